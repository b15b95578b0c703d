/* Never comes back. */
#include "../hostile.h"

static void misbehave(void) {
    for (;;)
        __asm__ volatile("");
}

HOSTILE_APP("hostile-spin", misbehave);
