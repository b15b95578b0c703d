/* Counts readings, with the count as its state, and gives up at a reading that has "poison" in it, saying the count. */
#include <edge/guest.h>

#include "../../lib/cbor.h"
#include "../../lib/log.h"
#include "../../lib/mem.h"
#include "../../lib/session.h"
#include "../../protocol/edge.h"

enum { CONFIG_DEPTH = 4, DIGITS = 10 };

static uint32_t count;

static int start(struct edge_reader *config, struct edge_arena *arena) {
    (void)arena;
    return edge_skip(config, CONFIG_DEPTH) ? 0 : -1;
}

static _Noreturn void give_up(void) {
    static char words[] = "poisoned by reading ..........";
    char *digit = words + sizeof words - 1 - DIGITS;
    uint32_t part = 1000000000u;
    for (int i = 0; i < DIGITS; i++, part /= 10)
        digit[i] = (char)('0' + count / part % 10);
    edge_log(EDGE_ERROR, "this one tastes odd");
    edge_panic(words);
}

static void input(uint8_t type, const uint8_t *body, size_t size) {
    static const char poison[] = "poison";
    if (type != EDGE_READING)
        return;
    count++;
    for (size_t at = 0; at + sizeof poison - 1 <= size; at++)
        if (memcmp(body + at, poison, sizeof poison - 1) == 0)
            give_up();
}

static void save(void) {
    edge_state_write(&count, sizeof count);
}

static int restore(const uint8_t *state, size_t size) {
    if (size == sizeof count)
        memcpy(&count, state, size);
    return 0;
}

const struct edge_app edge_app = {
    .name = "hostile-poison",
    .version = 1,
    .state_version = 1,
    .start = start,
    .input = input,
    .save = save,
    .restore = restore,
};
