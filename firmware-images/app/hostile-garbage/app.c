/* Says bytes that belong to no frame, without end. */
#include "../hostile.h"

static const uint8_t garbage[64] = {0xed, 0x9e, 0x20, 0x01, 0xff, 0xff};

static void misbehave(void) {
    for (;;)
        edge_port_write(garbage, sizeof garbage);
}

HOSTILE_APP("hostile-garbage", misbehave);
