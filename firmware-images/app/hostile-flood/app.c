/* Says well-formed frames without end. */
#include "../hostile.h"

#include "../../lib/frame.h"

static const uint8_t nothing[4096];

static void misbehave(void) {
    for (;;)
        edge_send(EDGE_ECHO, nothing, sizeof nothing, NULL, 0);
}

HOSTILE_APP("hostile-flood", misbehave);
