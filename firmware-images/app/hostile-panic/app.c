/* Gives up, and says why in its log ring. */
#include "../hostile.h"

#include "../../lib/log.h"

static void misbehave(void) {
    edge_log(EDGE_ERROR, "about to give up");
    edge_panic("hostile-panic gives up");
}

HOSTILE_APP("hostile-panic", misbehave);
