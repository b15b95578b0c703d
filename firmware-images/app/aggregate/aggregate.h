/* The app `aggregate`: payloads in, window summaries out. One instance, in static memory and the arena. */
#ifndef AGGREGATE_H
#define AGGREGATE_H

#include "../../protocol/edge.h"
#include "config.h"
#include "table.h"

enum { AGGREGATE_VERSION = 1, AGGREGATE_STATE_VERSION = 1 };

/* Flags of a reading. */
enum { CLOCK_UNSET = 1 };

/* Flags of a summary. */
enum { FLAG_PARTIAL = 1, FLAG_ROUNDED = 2 };

static const uint64_t latest_time = 253402300799999; /* the end of the year 9999, ms */

struct report {
    bool begun;
    uint64_t start; /* ms, arrival time */
    uint64_t payloads, values;
    uint64_t reasons[EDGE_REASONS];
};

struct aggregate {
    struct config config;
    struct tables tables;
    struct report report;
    uint64_t seq;          /* of the frame being processed */
    uint64_t now;          /* its time, ms */
    uint64_t latest;       /* the latest frame time since the clock was last set back */
    uint64_t ticked;       /* time of the last tick */
    uint64_t silence;      /* ms that ticks have counted */
    uint64_t due;          /* before this much silence no window can close: saves looking, decides nothing */
    uint64_t recent_start; /* of the window that the last value fell into */
    bool clock_unset;      /* of the reading being processed: no event is ahead of such a clock */
    bool started;          /* latest and ticked mean something */
};

extern struct aggregate agg;

/* ---- engine.c: clocks and windows ---- */

/* A frame of this time came: report what is due. */
void engine_time(uint64_t seq, uint64_t now);
/* Silence was heard: close what is over. */
void engine_tick(void);
/* Close every window. */
void engine_drain(void);

/* One number of a payload. */
struct value {
    struct edge_dec number;
    uint64_t time; /* event time, ms */
    const uint8_t *field, *unit;
    const uint8_t *written; /* where the number stands in a JSON text; NULL when it isn't one (true, "5") */
    uint32_t written_size;
    uint32_t series; /* engine_apply: the series it belongs to, or NONE */
    uint8_t field_size, unit_size;
    uint8_t reason; /* not EDGE_OK: counted as this instead */
    bool dead;      /* replaced by a later one of the same key */
};

/* Where a payload comes from. */
struct origin {
    const uint8_t *topic;
    size_t size;
    uint64_t hash;
    uint32_t source; /* NONE: it has no series yet */
};

/* Count a payload's values; sets their series. Returns whether each was counted or not asked for. */
bool engine_apply(struct origin *origin, struct value *values, uint32_t count);
/* Count a value of a series that is known. */
void engine_count(uint32_t series, const struct edge_dec *number, uint64_t time);

/* ---- habit.c: what a device says again and again ---- */

/* Whether the payload has the shape of the last one of its source; if so it is counted. */
bool habit_take(const struct origin *origin, const uint8_t *payload, size_t size);
/* Remember the shape of a payload that was counted whole. time_*: where its event time stands, or NULL. */
void habit_learn(const struct origin *origin, const uint8_t *payload, size_t size, const uint8_t *time,
                 size_t time_size);
size_t habit_need(const struct config *config); /* bytes of arena */
bool habit_init(const struct config *config, struct edge_arena *arena);

/* ---- emit.c: frames out ---- */

void emit_summary(const struct window *w, uint8_t flags);
/* Say the report, if it says anything, and begin the one that holds `now`. */
void emit_report(uint64_t now);
void emit_reject(enum edge_reason reason, size_t offset);

/* ---- payload.c: bytes to values ---- */

void payload_take(uint16_t format, const uint8_t *topic, size_t topic_size, const uint8_t *payload, size_t size);

/* ---- state.c ---- */

void state_save(void);
int state_restore(const uint8_t *bytes, size_t size);

#endif
