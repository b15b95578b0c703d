/* Uses every byte of memory that it was given, again with every reading; says nothing wrong. */
#include "../hostile.h"

static struct edge_arena all;

static int start(struct edge_reader *config, struct edge_arena *arena) {
    all = *arena;
    return hostile_start(config, arena);
}

static void input(uint8_t type, const uint8_t *body, size_t size) {
    (void)body;
    (void)size;
    for (size_t at = 0; type == EDGE_READING && at < all.size; at++)
        ((volatile uint8_t *)all.base)[at]++;
}

const struct edge_app edge_app = {
    .name = "hostile-grow",
    .version = 1,
    .state_version = 1,
    .start = start,
    .input = input,
    .save = hostile_save,
    .restore = hostile_restore,
};
