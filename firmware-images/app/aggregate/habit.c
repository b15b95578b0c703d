/* A device says the same thing again and again, only its numbers change. So the shape of each source's last JSON
 * object is remembered: the bytes between the numbers, and the series that each number belongs to. A payload of the same
 * shape has the same keys, nesting and strings, hence the same values but for the numbers, which are all that is read.
 *
 * A cache: what is said does not depend on it, and it is no part of the state. A number that does not fit, or anything
 * else out of the ordinary, leaves the payload to the full reader. */
#include "collect.h"

#include "../../lib/mem.h"
#include "../../lib/session.h"

enum {
    SERIES_PER_PLACE = 4, /* a device has so many fields, about; with fewer, sources share places, and badly */
    SHAPE = 256,          /* bytes between the numbers */
    SLOTS = 16,           /* numbers, constants and the event time */
};

enum kind {
    NUMBER,      /* a number of a series */
    UNUSED,      /* a number that `fields` doesn't let through */
    CONSTANT,    /* what the shape itself says: true, "5" */
    TIME_NUMBER, /* the event time */
    TIME_TEXT,
};

struct slot {
    uint8_t kind;
    uint16_t gap; /* bytes of shape before it */
    uint32_t series;
    uint64_t birth; /* of the series */
    struct edge_dec constant;
};

static struct habit {
    uint64_t birth; /* of the source; 0: nothing is remembered */
    uint16_t size;
    uint16_t slots;
    uint8_t shape[SHAPE];
    struct slot slot[SLOTS];
} * habits;
static uint32_t places;

static uint32_t places_for(const struct config *config) {
    return config->series / SERIES_PER_PLACE + 1;
}

size_t habit_need(const struct config *config) {
    return sizeof(struct habit) * places_for(config);
}

bool habit_init(const struct config *config, struct edge_arena *arena) {
    places = places_for(config);
    habits = edge_arena_take(arena, habit_need(config));
    for (uint32_t i = 0; habits != NULL && i < places; i++) {
        habits[i].birth = 0;
    }
    return habits != NULL;
}

/* The end of an event time's text: plain ASCII up to the quote, or NULL. */
static const uint8_t *text_end(const uint8_t *p, const uint8_t *end) {
    while (p < end && *p >= ' ' && *p < 0x7f && *p != '\\' && *p != '"') {
        p++;
    }
    return p < end && *p == '"' ? p : NULL;
}

/* The bytes of a slot, read. Returns what follows, or NULL. */
static const uint8_t *read_slot(const struct slot *slot, const uint8_t *p, const uint8_t *end, struct edge_dec *number,
                                uint64_t *time) {
    bool fits;
    const uint8_t *after;
    switch (slot->kind) {
    case CONSTANT:
        *number = slot->constant;
        return p;
    case TIME_TEXT:
        after = text_end(p, end);
        return after != NULL && time_from_text(p, (size_t)(after - p), time) ? after : NULL;
    case TIME_NUMBER:
        after = edge_dec_scan(p, end, number, &fits);
        return after != NULL && fits && time_from_number(number, time) ? after : NULL;
    default:
        after = edge_dec_scan(p, end, number, &fits);
        return after != NULL && fits && collect_in_range(number) ? after : NULL;
    }
}

bool habit_take(const struct origin *origin, const uint8_t *payload, size_t size) {
    const struct tables *t = &agg.tables;
    if (origin->source == NONE) {
        return false;
    }
    const struct habit *h = &habits[origin->source % places];
    if (h->birth != t->sources[origin->source].birth) {
        return false;
    }
    struct edge_dec numbers[SLOTS];
    uint64_t time = agg.now;
    const uint8_t *p = payload;
    const uint8_t *end = payload + size;
    const uint8_t *shape = h->shape;
    for (unsigned i = 0; i < h->slots; i++) {
        const struct slot *slot = &h->slot[i];
        if ((size_t)(end - p) < slot->gap || memcmp(p, shape, slot->gap) != 0 ||
            (slot->series != NONE && t->series[slot->series].birth != slot->birth)) {
            return false;
        }
        shape += slot->gap;
        p = read_slot(slot, p + slot->gap, end, &numbers[i], &time);
        if (p == NULL) {
            return false;
        }
    }
    size_t rest = (size_t)(h->shape + h->size - shape);
    if ((size_t)(end - p) != rest || memcmp(p, shape, rest) != 0) {
        return false;
    }
    for (unsigned i = 0; i < h->slots; i++) {
        if (h->slot[i].series != NONE) {
            /* A series may close windows, but only a new one takes another's place: all are still what they were. */
            engine_count(h->slot[i].series, &numbers[i], time);
        }
    }
    return true;
}

/* A habit in the making. */
struct draft {
    struct habit *habit;
    const uint8_t *done; /* the payload up to here is in it */
    bool fits;
};

/* What stands at written, size bytes, is a slot. */
static struct slot *add_slot(struct draft *d, enum kind kind, const uint8_t *written, size_t size) {
    struct habit *h = d->habit;
    size_t gap = (size_t)(written - d->done);
    if (h->slots == SLOTS || gap > SHAPE - (size_t)h->size) {
        d->fits = false;
        return NULL;
    }
    memcpy(h->shape + h->size, d->done, gap);
    h->size = (uint16_t)(h->size + gap);
    d->done = written + size;
    struct slot *slot = &h->slot[h->slots++];
    slot->kind = (uint8_t)kind;
    slot->gap = (uint16_t)gap;
    slot->series = NONE;
    return slot;
}

static void add_time(struct draft *d, const uint8_t *time, size_t size) {
    bool text = time[-1] == '"'; /* an object begins with a brace: there is a byte before it */
    if (text && text_end(time, time + size + 1) != time + size) {
        d->fits = false;
        return;
    }
    (void)add_slot(d, text ? TIME_TEXT : TIME_NUMBER, time, size);
}

static void add_value(struct draft *d, const struct value *v) {
    bool constant = v->written == NULL;
    struct slot *slot = constant ? add_slot(d, CONSTANT, d->done, 0)
                                 : add_slot(d, v->series == NONE ? UNUSED : NUMBER, v->written, v->written_size);
    if (slot != NULL) {
        slot->series = v->series;
        slot->birth = v->series == NONE ? 0 : agg.tables.series[v->series].birth;
        slot->constant = v->number;
    }
}

void habit_learn(const struct origin *origin, const uint8_t *payload, size_t size, const uint8_t *time,
                 size_t time_size) {
    if (origin->source == NONE) {
        return;
    }
    struct habit *h = &habits[origin->source % places];
    struct draft d = {h, payload, true};
    bool timed = time == NULL;
    h->birth = 0;
    h->size = 0;
    h->slots = 0;
    for (uint32_t i = 0; i < values.count && d.fits; i++) {
        const struct value *v = &values.items[i];
        if (!timed && v->written > time) {
            add_time(&d, time, time_size);
            timed = true;
        }
        add_value(&d, v);
    }
    if (!timed) {
        add_time(&d, time, time_size);
    }
    size_t rest = size - (size_t)(d.done - payload);
    if (d.fits && rest <= SHAPE - (size_t)h->size) {
        memcpy(h->shape + h->size, d.done, rest);
        h->size = (uint16_t)(h->size + rest);
        h->birth = agg.tables.sources[origin->source].birth;
    }
}
