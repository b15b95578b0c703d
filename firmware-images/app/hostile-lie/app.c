/* Acknowledges input that it was never given. */
#include "../hostile.h"

#include "../../lib/frame.h"

static void misbehave(void) {
    static const uint8_t ack[] = {0x82, 0x19, 0x27, 0x0f, 0x00}; /* [9999, 0] */
    edge_send(EDGE_ACK, ack, sizeof ack, NULL, 0);
}

HOSTILE_APP("hostile-lie", misbehave);
