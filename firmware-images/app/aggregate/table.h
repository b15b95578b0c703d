/* The bounded tables: strings, sources, series, windows. Indices instead of pointers; NONE ends a list. */
#ifndef AGGREGATE_TABLE_H
#define AGGREGATE_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../../lib/decimal.h"
#include "../../lib/sketch.h"

#define NONE UINT32_MAX

/* A string lies in a chain of blocks, so that freed ones leave no gaps. */
enum { BLOCK_BYTES = 28 };

struct block {
    uint32_t next;
    uint8_t bytes[BLOCK_BYTES];
};

/* A topic. It exists while series refer to it. */
struct source {
    uint64_t hash;
    uint64_t birth; /* tells it from others that had its place before */
    uint32_t chain; /* of its hash bucket, or of the free list */
    uint32_t text;  /* first block */
    uint32_t size;
    uint32_t users;
};

struct series {
    uint64_t hash;
    uint64_t birth;
    uint64_t newest;           /* event time, ms, that set the clock ... */
    uint64_t heard;            /* ... and the silence heard until it came, ms */
    struct edge_dec reference; /* `last` of the last summary that was sent, for the deadband */
    uint32_t chain;
    uint32_t source;
    uint32_t text;                   /* field and unit, one after the other */
    uint32_t windows;                /* open ones, by start */
    uint32_t older_idle, newer_idle; /* list of series without open windows, in the order they became idle */
    uint32_t held;                   /* windows in a row that the deadband kept back */
    uint8_t field_size, unit_size;
    bool clocked;    /* newest and heard mean something */
    bool referenced; /* reference means something */
    bool taken;      /* `fields` lets it through: a restored one may be of another configuration */
};

struct window {
    uint64_t start;
    uint64_t last_time;
    uint32_t next; /* of its series, by start; or of the free list */
    uint32_t series;
    uint32_t count;
    struct edge_dec min, max, first, last;
    struct edge_acc sum, square;
    struct edge_sketch sketch;
};

struct tables {
    struct block *blocks;
    struct source *sources;
    struct series *series;
    struct window *windows;
    uint32_t *order;  /* room to sort windows */
    uint32_t *places; /* while a state is restored: where its sources and its series went */
    uint32_t *source_heads, *series_heads;
    unsigned slot_bits;
    uint32_t free_block, free_blocks, free_source, free_window;
    uint32_t series_used, series_limit;
    uint32_t oldest_idle, newest_idle;
    uint64_t births;
    struct edge_pool pool;
};

/* Sizes that follow from the configured limits. */
uint32_t table_blocks(uint32_t series);
uint32_t table_reserve(uint32_t windows, uint32_t buckets);

/* Of a hash table of that many entries: as many slots, or up to twice that; at least two. */
unsigned table_slot_bits(uint32_t entries);

struct config;
struct edge_arena;

/* Bytes of arena for the tables, and for a state of full ones. */
size_t table_need(const struct config *config);
size_t table_state_bound(const struct config *config);
/* False: the arena is too small. */
bool table_init(struct tables *t, const struct config *config, struct edge_arena *arena);

uint32_t table_find_source(const struct tables *t, uint64_t hash, const uint8_t *topic, size_t size);
/* What names a series within its source. */
struct series_name {
    const uint8_t *field, *unit;
    uint8_t field_size, unit_size;
};
uint64_t table_series_hash(uint32_t source, const struct series_name *name);
uint32_t table_find_series(const struct tables *t, uint64_t hash, uint32_t source, const struct series_name *name);

/* Make a series, and its source where *source is NONE. When the table is full the one that has been idle longest gives
 * its place. NONE: every series has open windows, or the strings don't fit. */
uint32_t table_add_series(struct tables *t, uint32_t *source, uint64_t source_hash, const uint8_t *topic,
                          size_t topic_size, const struct series_name *name);

/* Restoring: sources in their places (false: taken, or no room), then the free ones in a list again. */
bool table_put_source(struct tables *t, uint32_t source, const uint8_t *topic, size_t size);
void table_free_sources(struct tables *t);

/* A window of a series, put into its list by start. NONE: all are in use. */
uint32_t table_add_window(struct tables *t, uint32_t series, uint64_t start);
void table_drop_window(struct tables *t, uint32_t window);

/* The idle list, for restoring it in order. */
void table_idle_append(struct tables *t, uint32_t series);
void table_idle_remove(struct tables *t, uint32_t series);

/* Copy a string out of its blocks. */
void table_text(const struct tables *t, uint32_t text, size_t size, uint8_t *out);

#endif
