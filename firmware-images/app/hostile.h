/* Apps that behave until their first reading and misbehave from then on: what the supervisor is tested with.
 * `edgeagent image build` makes them like any other; no board is given one. */
#ifndef EDGE_HOSTILE_H
#define EDGE_HOSTILE_H

#include <edge/guest.h>

#include "../lib/cbor.h"
#include "../protocol/edge.h"

enum { HOSTILE_CONFIG_DEPTH = 4 };

static int hostile_start(struct edge_reader *config, struct edge_arena *arena) {
    (void)arena;
    return edge_skip(config, HOSTILE_CONFIG_DEPTH) ? 0 : -1;
}

static void hostile_save(void) {
}

static int hostile_restore(const uint8_t *state, size_t size) {
    (void)state;
    (void)size;
    return 0;
}

#define HOSTILE_APP(app_name, misbehave)                                                                               \
    static void input(uint8_t type, const uint8_t *body, size_t size) {                                                \
        (void)body;                                                                                                    \
        (void)size;                                                                                                    \
        if (type == EDGE_READING)                                                                                      \
            misbehave();                                                                                               \
    }                                                                                                                  \
    const struct edge_app edge_app = {                                                                                 \
        .name = (app_name),                                                                                            \
        .version = 1,                                                                                                  \
        .state_version = 1,                                                                                            \
        .start = hostile_start,                                                                                        \
        .input = input,                                                                                                \
        .save = hostile_save,                                                                                          \
        .restore = hostile_restore,                                                                                    \
    }

#endif
