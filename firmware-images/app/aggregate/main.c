#include "aggregate.h"

#include <edge/guest.h>

#include "../../lib/cbor.h"
#include "../../lib/mem.h"
#include "../../lib/session.h"

struct aggregate agg;

static int start(struct edge_reader *config, struct edge_arena *arena) {
    memset(&agg, 0, sizeof agg);
    const char *refusal = config_read(&agg.config, config);
    if (refusal != NULL) {
        edge_refuse(refusal, 0, 0);
        return -1;
    }
    /* A state that is to be restored lies in what is left over, so that there must be room for the largest. */
    size_t needed = table_need(&agg.config) + habit_need(&agg.config) + 16 + table_state_bound(&agg.config);
    if (arena->size < needed || !table_init(&agg.tables, &agg.config, arena) || !habit_init(&agg.config, arena)) {
        edge_refuse("memory is too small for the limits series, windows and buckets", needed, arena->size);
        return -1;
    }
    return 0;
}

static void take_reading(struct edge_reader *r) {
    uint64_t flags;
    uint64_t format;
    uint64_t tag;
    const uint8_t *topic;
    const uint8_t *payload;
    size_t topic_size;
    size_t payload_size;
    if (!edge_read_uint(r, &flags) || flags > UINT8_MAX || !edge_read_uint(r, &format) || format > UINT16_MAX ||
        !edge_read_uint(r, &tag) || !edge_read_string(r, EDGE_BYTES, &topic, &topic_size) || topic_size == 0 ||
        topic_size > EDGE_MAX_TOPIC || !edge_read_string(r, EDGE_BYTES, &payload, &payload_size) ||
        payload_size > EDGE_MAX_PAYLOAD) {
        edge_panic("malformed reading frame");
    }
    agg.clock_unset = (flags & CLOCK_UNSET) != 0;
    payload_take((uint16_t)format, topic, topic_size, payload, payload_size);
}

static void input(uint8_t type, const uint8_t *body, size_t size) {
    struct edge_reader r;
    bool indefinite;
    uint64_t seq;
    uint64_t now;
    edge_reader_init(&r, body, size);
    if (!edge_read_array(&r, type == EDGE_READING ? 7 : 2, &indefinite) || !edge_read_uint(&r, &seq) ||
        !edge_read_uint(&r, &now) || now > latest_time) {
        edge_panic("malformed input frame");
    }
    engine_time(seq, now);
    if (type == EDGE_READING) {
        take_reading(&r);
    } else if (type == EDGE_TICK) {
        engine_tick();
    } else if (type == EDGE_DRAIN) {
        engine_drain();
    }
    if (!edge_read_close(&r, indefinite) || !edge_read_end(&r)) {
        edge_panic("bytes after an input frame");
    }
}

const struct edge_app edge_app = {
    .name = "aggregate",
    .version = AGGREGATE_VERSION,
    .state_version = AGGREGATE_STATE_VERSION,
    .start = start,
    .input = input,
    .save = state_save,
    .restore = state_restore,
};
