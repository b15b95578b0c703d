/* Says log lines without end, past the bound that lib/log.c keeps. */
#include "../hostile.h"

#include "../../lib/frame.h"

static void misbehave(void) {
    static const uint8_t line[] = {0x82, 0x01, 0x64, 0x6c, 0x69, 0x6e, 0x65}; /* [1, "line"] */
    for (;;)
        edge_send(EDGE_LOG, line, sizeof line, NULL, 0);
}

HOSTILE_APP("hostile-log", misbehave);
