/* Says every reading back, byte for byte: for bring-up, for tests of the channel and for calibration. No state. */
#include <edge/guest.h>

#include "cbor.h"
#include "frame.h"
#include "session.h"

#include "../../protocol/edge.h"

static int start(struct edge_reader *config, struct edge_arena *arena) {
    struct edge_item head;
    (void)arena;
    if (!edge_read(config, &head) || head.kind != EDGE_MAP || head.value != 0 || head.indefinite) {
        edge_refuse("echo takes no configuration: the map must be empty", 0, 0);
        return -1;
    }
    return 0;
}

static void input(uint8_t type, const uint8_t *body, size_t size) {
    if (type == EDGE_READING)
        edge_send(EDGE_ECHO, body, size, NULL, 0);
}

static void save(void) {
}

static int restore(const uint8_t *state, size_t size) {
    (void)state;
    if (size == 0)
        return 0;
    edge_refuse("echo has no state", 0, 0);
    return -1;
}

const struct edge_app edge_app = {
    .name = "echo",
    .version = 1,
    .state_version = 1,
    .start = start,
    .input = input,
    .save = save,
    .restore = restore,
};
