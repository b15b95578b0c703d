/* Writes where there is no memory. */
#include "../hostile.h"

#define NOWHERE 0x7ffffffff000u

static void misbehave(void) {
    *(volatile uint32_t *)(uintptr_t)NOWHERE = 1;
}

HOSTILE_APP("hostile-fault", misbehave);
