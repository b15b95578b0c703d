/* Is honest for a while, and then says well-formed frames without end. */
#include "../hostile.h"

#include "../../lib/frame.h"

enum { HONEST_READINGS = 50 };

static unsigned readings;

static void misbehave(void) {
    static const uint8_t word[] = {0x00};
    if (++readings <= HONEST_READINGS)
        return;
    for (;;)
        edge_send(EDGE_ECHO, word, sizeof word, NULL, 0);
}

HOSTILE_APP("hostile-late", misbehave);
