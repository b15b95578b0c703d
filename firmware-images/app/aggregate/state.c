/* The state between two frames, whole: restored, the guest goes on as if it had never stopped.
 *
 * Variable-length integers, seven bits a byte, least significant first; signed ones are zigzag. Series keep their
 * places, since windows close in that order. States of several guests that shared the unit's topics can be restored
 * into one, as far as their topics are its own; then series stand in the order in which they come. */
#include "aggregate.h"

#include <edge/guest.h>

#include "../../lib/hash.h"
#include "../../lib/mem.h"
#include "../../lib/session.h"

#include "../../lib/cold.h" /* last */

enum {
    FORMAT = 1,
    STAGE = 256, /* bytes gathered before they are handed on */
    WIDEST_SUM_EXPONENT = 400,
    WIDEST_EXPONENT_LOW = -60,
    WIDEST_EXPONENT_HIGH = 40,
    HIGHEST_KEY = 22000, /* of a full-resolution bucket */
};

/* Flags. */
enum { CLOCKED = 1, REFERENCED = 2 };

static const edge_u128 sum_limit = (edge_u128)1000000000000000000u * 10000000000000000000u;

/* ---- saving ---- */

static uint8_t stage[STAGE];
static size_t staged;

static void flush(void) {
    edge_state_write(stage, staged);
    staged = 0;
}

__attribute__((noinline)) static void put(uint64_t value) {
    if (staged > STAGE - 10) {
        flush();
    }
    while (value >= 128) {
        stage[staged++] = (uint8_t)(value | 128);
        value >>= 7;
    }
    stage[staged++] = (uint8_t)value;
}

__attribute__((noinline)) static void put_signed(int64_t value) {
    put(value < 0 ? ~((uint64_t)value << 1) : (uint64_t)value << 1);
}

static void put_text(uint32_t text, size_t size) {
    uint8_t bytes[EDGE_MAX_TOPIC];
    table_text(&agg.tables, text, size, bytes);
    flush();
    edge_state_write(bytes, size);
}

static void put_dec(const struct edge_dec *d) {
    put_signed(d->mantissa);
    put_signed(d->exponent);
}

static void put_sum(const struct edge_acc *a) {
    bool negative = a->mantissa < 0;
    edge_u128 m = negative ? 0 - (edge_u128)a->mantissa : (edge_u128)a->mantissa;
    put((uint64_t)negative | (uint64_t)a->rounded << 1);
    put((uint64_t)(m >> 64));
    put((uint64_t)m);
    put_signed(a->exponent);
}

static void put_sketch(const struct edge_sketch *s) {
    const struct edge_chunk *chunks = agg.tables.pool.chunks;
    int32_t last = 0;
    put(s->shift);
    put(s->zeros);
    put(s->buckets);
    for (int32_t index = s->first; index != EDGE_NO_CHUNK; index = chunks[index].next) {
        for (int32_t i = 0; i < EDGE_CHUNK_BUCKETS; i++) {
            if (chunks[index].counts[i] != 0) {
                int32_t key = chunks[index].base * EDGE_CHUNK_BUCKETS + i;
                put_signed((int64_t)key - last);
                put(chunks[index].counts[i]);
                last = key;
            }
        }
    }
}

static void put_window(const struct window *w) {
    put(w->start);
    put(w->last_time);
    put(w->count);
    put_dec(&w->min);
    put_dec(&w->max);
    put_dec(&w->first);
    put_dec(&w->last);
    put_sum(&w->sum);
    put_sum(&w->square);
    put_sketch(&w->sketch);
}

static void put_series(const struct series *s) {
    uint32_t open = 0;
    for (uint32_t w = s->windows; w != NONE; w = agg.tables.windows[w].next) {
        open++;
    }
    put(s->source);
    put(s->field_size);
    put(s->unit_size);
    put_text(s->text, (size_t)s->field_size + s->unit_size);
    put((s->clocked ? CLOCKED : 0) | (s->referenced ? REFERENCED : 0));
    put(s->newest);
    put(s->heard);
    put_dec(&s->reference);
    put(s->held);
    put(open);
    for (uint32_t w = s->windows; w != NONE; w = agg.tables.windows[w].next) {
        put_window(&agg.tables.windows[w]);
    }
}

static void put_report(void) {
    const struct report *r = &agg.report;
    put(r->begun);
    put(r->start);
    put(r->payloads);
    put(r->values);
    for (unsigned i = 0; i < EDGE_REASONS; i++) {
        put(r->reasons[i]);
    }
}

void state_save(void) {
    const struct tables *t = &agg.tables;
    uint32_t sources = 0;
    uint32_t idle = 0;
    put(FORMAT);
    put(agg.config.window);
    put(agg.started);
    put(agg.latest);
    put(agg.ticked);
    put(agg.silence);
    put_report();
    for (uint32_t i = 0; i < t->series_limit; i++) {
        sources += t->sources[i].size != 0;
    }
    put(sources);
    for (uint32_t i = 0; i < t->series_limit; i++) {
        if (t->sources[i].size != 0) {
            put(i);
            put(t->sources[i].size);
            put_text(t->sources[i].text, t->sources[i].size);
        }
    }
    put(t->series_used);
    for (uint32_t i = 0; i < t->series_used; i++) {
        put_series(&t->series[i]);
    }
    for (uint32_t i = t->oldest_idle; i != NONE; i = t->series[i].newer_idle) {
        idle++;
    }
    put(idle);
    for (uint32_t i = t->oldest_idle; i != NONE; i = t->series[i].newer_idle) {
        put(i);
    }
    flush();
}

/* ---- restoring ---- */

enum { ABSENT = NONE, OTHERS = NONE - 1 }; /* in tables.places: isn't there, is another guest's */

static struct {
    const uint8_t *at, *end;
    uint64_t silence; /* that its guest heard */
    bool failed;
} in;

__attribute__((noinline)) static uint64_t get_upto(uint64_t limit) {
    uint64_t value = 0;
    for (unsigned shift = 0; shift < 64 && in.at < in.end; shift += 7) {
        uint8_t byte = *in.at++;
        value |= (uint64_t)(byte & 127) << shift;
        if (byte < 128) {
            in.failed = in.failed || value > limit;
            return value > limit ? 0 : value;
        }
    }
    in.failed = true;
    return 0;
}

static void skip(uint64_t integers) {
    while (integers-- != 0 && !in.failed) {
        (void)get_upto(UINT64_MAX);
    }
}

static uint32_t get32(uint32_t limit) {
    return (uint32_t)get_upto(limit);
}

__attribute__((noinline)) static int64_t get_signed(void) {
    uint64_t value = get_upto(UINT64_MAX);
    return (int64_t)(value >> 1 ^ (0 - (value & 1)));
}

static const uint8_t *get_bytes(size_t size) {
    const uint8_t *bytes = in.at;
    if ((size_t)(in.end - in.at) < size) {
        in.failed = true;
        return NULL;
    }
    in.at += size;
    return bytes;
}

static struct edge_dec get_dec(void) {
    struct edge_dec zero = {0, 0};
    int64_t mantissa = get_signed();
    int64_t exponent = get_signed();
    bool fits = mantissa > -(int64_t)edge_pow10[EDGE_DEC_DIGITS] && mantissa < (int64_t)edge_pow10[EDGE_DEC_DIGITS] &&
                exponent >= WIDEST_EXPONENT_LOW && exponent <= WIDEST_EXPONENT_HIGH;
    struct edge_dec value = {mantissa, (int8_t)exponent};
    in.failed = in.failed || !fits;
    return fits && mantissa != 0 ? value : zero;
}

static struct edge_acc get_sum(void) {
    struct edge_acc a = {0, 0, false};
    uint64_t flags = get_upto(3);
    uint64_t high = get_upto(UINT64_MAX);
    uint64_t low = get_upto(UINT64_MAX);
    int64_t exponent = get_signed();
    edge_u128 m = (edge_u128)high << 64 | low;
    if (m >= sum_limit || exponent < -WIDEST_SUM_EXPONENT || exponent > WIDEST_SUM_EXPONENT) {
        in.failed = true;
        return a;
    }
    a.mantissa = (flags & 1) != 0 ? -(edge_i128)m : (edge_i128)m;
    a.rounded = (flags & 2) != 0;
    a.exponent = (int32_t)exponent;
    return a;
}

static void get_sketch(struct edge_sketch *s) {
    int64_t key = 0;
    s->shift = (uint8_t)get_upto(EDGE_SKETCH_COARSEST);
    s->zeros = get32(UINT32_MAX);
    uint32_t buckets = get32(UINT32_MAX);
    for (uint32_t i = 0; i < buckets && !in.failed; i++) {
        int64_t step = get_signed();
        uint32_t count = get32(UINT32_MAX);
        bool near = step >= -2 * HIGHEST_KEY && step <= 2 * HIGHEST_KEY;
        key += near ? step : 0;
        int64_t distance = key < 0 ? -1 - key : key;
        if (!near || distance << s->shift > HIGHEST_KEY || !edge_sketch_put(&agg.tables.pool, s, (int32_t)key, count)) {
            in.failed = true;
        }
    }
}

static void get_window(uint32_t series, uint64_t *after) {
    uint64_t start = get_upto(latest_time);
    uint32_t index = in.failed || start < *after ? NONE : table_add_window(&agg.tables, series, start);
    if (index == NONE) {
        in.failed = true;
        return;
    }
    struct window *w = &agg.tables.windows[index];
    *after = start + agg.config.window;
    w->last_time = get_upto(latest_time);
    w->count = get32(UINT32_MAX);
    w->min = get_dec();
    w->max = get_dec();
    w->first = get_dec();
    w->last = get_dec();
    w->sum = get_sum();
    w->square = get_sum();
    get_sketch(&w->sketch);
    in.failed = in.failed || w->count == 0 || start % agg.config.window != 0;
}

/* The rest of a series that is another guest's; see put_series. */
static void skip_series(void) {
    enum { SERIES = 6, WINDOW = 21 };
    skip(SERIES);
    uint32_t open = get32(UINT32_MAX);
    for (uint32_t i = 0; i < open && !in.failed; i++) {
        skip(WINDOW);
        uint64_t buckets = get_upto(UINT32_MAX);
        skip(2 * buckets);
    }
}

/* Returns where it went. */
static uint32_t get_series(void) {
    struct tables *t = &agg.tables;
    uint32_t source = t->places[get32(t->series_limit - 1)];
    uint8_t field_size = (uint8_t)get_upto(EDGE_MAX_FIELD);
    uint8_t unit_size = (uint8_t)get_upto(EDGE_MAX_UNIT);
    const uint8_t *text = get_bytes((size_t)field_size + unit_size);
    if (source == OTHERS && !in.failed) {
        skip_series();
        return OTHERS;
    }
    in.failed = in.failed || source == ABSENT;
    if (in.failed) {
        return ABSENT;
    }
    uint32_t place = t->series_used;
    struct series_name name = {text, text + field_size, field_size, unit_size};
    /* Elsewhere: it doesn't fit without giving up another one. */
    if (table_add_series(t, &source, 0, NULL, 0, &name) != place) {
        in.failed = true;
        return ABSENT;
    }
    struct series *s = &t->series[place];
    uint64_t flags = get_upto(CLOCKED | REFERENCED);
    s->taken = config_takes(&agg.config, text, field_size);
    s->clocked = (flags & CLOCKED) != 0;
    s->referenced = (flags & REFERENCED) != 0;
    s->newest = get_upto(latest_time);
    s->heard = get_upto(latest_time) + agg.silence;
    s->heard = s->heard > in.silence ? s->heard - in.silence : 0;
    s->reference = get_dec();
    s->held = get32(UINT32_MAX);
    uint32_t open = get32(UINT32_MAX);
    uint64_t after = 0;
    for (uint32_t i = 0; i < open && !in.failed; i++) {
        get_window(place, &after);
    }
    return place;
}

static uint64_t larger(uint64_t a, uint64_t b) {
    return a > b ? a : b;
}

/* Counts add up, in the first of the guests that take over; all have the same window of arrival time, or nearly. */
static void get_report(void) {
    struct report *r = &agg.report;
    bool counts = edge_shard.index == 0;
    r->begun |= get_upto(1) != 0;
    r->start = larger(r->start, get_upto(latest_time));
    uint64_t payloads = get_upto(UINT64_MAX);
    uint64_t values = get_upto(UINT64_MAX);
    r->payloads += counts ? payloads : 0;
    r->values += counts ? values : 0;
    for (unsigned i = 0; i < EDGE_REASONS; i++) {
        uint64_t count = get_upto(UINT64_MAX);
        r->reasons[i] += counts ? count : 0;
    }
}

static void get_sources(void) {
    struct tables *t = &agg.tables;
    bool moved = edge_shard.count != 0;
    uint32_t sources = get32(t->series_limit);
    memset(t->places, 0xff, 2 * t->series_limit * sizeof(uint32_t));
    for (uint32_t i = 0; i < sources && !in.failed; i++) {
        uint32_t place = get32(t->series_limit - 1);
        size_t size = get32(EDGE_MAX_TOPIC);
        const uint8_t *topic = get_bytes(size);
        if (in.failed || size == 0) {
            in.failed = true;
        } else if (!edge_shard_keeps(topic, size)) {
            t->places[place] = OTHERS;
        } else {
            uint32_t to = moved ? t->free_source : place;
            if (moved && to != NONE) {
                t->free_source = t->sources[to].chain;
            }
            t->places[place] = to;
            in.failed = to == NONE || (moved && table_find_source(t, edge_hash(topic, size), topic, size) != NONE) ||
                        !table_put_source(t, to, topic, size);
        }
    }
    table_free_sources(t);
}

/* The order in which series became idle; adding them has listed them by place. */
static void get_idle(const uint32_t *places, uint32_t count) {
    struct tables *t = &agg.tables;
    uint32_t idle = get32(count);
    for (uint32_t i = 0; i < idle && !in.failed; i++) {
        uint32_t place = get32(count - 1);
        uint32_t series = in.failed ? ABSENT : places[place];
        if (series == OTHERS) {
            continue;
        }
        if (series == ABSENT || t->series[series].windows != NONE) {
            in.failed = true;
            return;
        }
        table_idle_remove(t, series);
        table_idle_append(t, series);
    }
}

static void get_all_series(void) {
    uint32_t *places = agg.tables.places + agg.tables.series_limit;
    uint32_t count = get32(agg.tables.series_limit);
    for (uint32_t i = 0; i < count && !in.failed; i++) {
        places[i] = get_series();
    }
    if (!in.failed) {
        get_idle(places, count);
    }
}

int state_restore(const uint8_t *bytes, size_t size) {
    in.at = bytes;
    in.end = bytes + size;
    in.failed = false;
    if (get_upto(UINT64_MAX) != FORMAT) {
        edge_refuse("the state is of another format", 0, 0);
        return -1;
    }
    if (get_upto(UINT64_MAX) != agg.config.window) {
        edge_refuse("the state was made with another window length", 0, 0);
        return -1;
    }
    bool first = !agg.started; /* the others had no input yet, or this is the only one */
    agg.started |= get_upto(1) != 0;
    agg.latest = larger(agg.latest, get_upto(latest_time));
    agg.ticked = larger(agg.ticked, get_upto(latest_time));
    in.silence = get_upto(latest_time);
    if (first) {
        agg.silence = in.silence;
    }
    get_report();
    get_sources();
    get_all_series();
    if (in.failed || in.at != in.end) {
        edge_refuse("the state is malformed, or larger than the limits series, windows and buckets allow", 0, 0);
        return -1;
    }
    agg.due = 0;
    return 0;
}

#pragma clang attribute pop
