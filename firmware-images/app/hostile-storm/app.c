/* Asks its device without end: every access leaves the guest, and is the VMM's work. */
#include "../hostile.h"

#include "../../drivers/virtio.h"

static void misbehave(void) {
    for (;;)
        virtio_acknowledge();
}

HOSTILE_APP("hostile-storm", misbehave);
