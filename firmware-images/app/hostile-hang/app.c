/* Stops answering, and halts: it costs nobody anything but the wait for it. */
#include "../hostile.h"

#include "../../drivers/platform.h"

static void misbehave(void) {
    for (;;)
        arch_wait();
}

HOSTILE_APP("hostile-hang", misbehave);
