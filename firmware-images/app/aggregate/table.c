#include "table.h"

#include "../../lib/hash.h"
#include "../../lib/mem.h"
#include "../../lib/session.h"
#include "../../protocol/edge.h"
#include "config.h"

#include "../../lib/cold.h" /* last */

enum {
    BLOCKS_PER_SERIES = 4, /* 112 bytes of topic, field and unit; topics are shared by a device's fields */
    EXTRA_BLOCKS = 64,     /* so that one topic of the longest kind fits whatever the limit */
    RESERVE_PER_WINDOW = 4,
    /* of an encoded state, in bytes; state.c writes variable-length integers of at most these */
    STATE_HEADER = 512,
    STATE_SERIES = 96,
    STATE_WINDOW = 224,
    STATE_BUCKET = 8,
};

uint32_t table_blocks(uint32_t series) {
    return series * BLOCKS_PER_SERIES + EXTRA_BLOCKS;
}

uint32_t table_reserve(uint32_t windows, uint32_t buckets) {
    return windows * RESERVE_PER_WINDOW + buckets;
}

static uint32_t chunks(const struct config *c) {
    return c->windows * EDGE_SKETCH_OWN_CHUNKS + table_reserve(c->windows, c->buckets);
}

unsigned table_slot_bits(uint32_t entries) {
    unsigned bits = 1;
    while (((uint32_t)1 << bits) < entries) {
        bits++;
    }
    return bits;
}

static uint32_t heads(uint32_t entries) {
    return (uint32_t)1 << table_slot_bits(entries);
}

static size_t padded(size_t size) {
    return (size + 15) & ~(size_t)15;
}

size_t table_need(const struct config *c) {
    return padded(table_blocks(c->series) * sizeof(struct block)) + padded(c->series * sizeof(struct source)) +
           padded(c->series * sizeof(struct series)) + padded(c->windows * sizeof(struct window)) +
           padded(c->windows * sizeof(uint32_t)) + padded(2 * c->series * sizeof(uint32_t)) +
           2 * padded(heads(c->series) * sizeof(uint32_t)) + padded(chunks(c) * sizeof(struct edge_chunk));
}

size_t table_state_bound(const struct config *c) {
    return STATE_HEADER + (size_t)c->series * STATE_SERIES + (size_t)c->windows * STATE_WINDOW +
           (size_t)chunks(c) * EDGE_CHUNK_BUCKETS * STATE_BUCKET + (size_t)table_blocks(c->series) * BLOCK_BYTES;
}

bool table_init(struct tables *t, const struct config *c, struct edge_arena *arena) {
    uint32_t blocks = table_blocks(c->series);
    unsigned bits = table_slot_bits(c->series);
    uint32_t buckets = (uint32_t)1 << bits;
    if (arena->size < table_need(c)) {
        return false;
    }
    memset(t, 0, sizeof *t);
    t->blocks = edge_arena_take(arena, blocks * sizeof(struct block));
    t->sources = edge_arena_take(arena, c->series * sizeof(struct source));
    t->series = edge_arena_take(arena, c->series * sizeof(struct series));
    t->windows = edge_arena_take(arena, c->windows * sizeof(struct window));
    t->order = edge_arena_take(arena, c->windows * sizeof(uint32_t));
    t->places = edge_arena_take(arena, 2 * c->series * sizeof(uint32_t));
    t->source_heads = edge_arena_take(arena, buckets * sizeof(uint32_t));
    t->series_heads = edge_arena_take(arena, buckets * sizeof(uint32_t));
    struct edge_chunk *pool = edge_arena_take(arena, chunks(c) * sizeof(struct edge_chunk));
    edge_pool_init(&t->pool, pool, c->windows, table_reserve(c->windows, c->buckets), c->buckets);
    for (uint32_t i = 0; i < blocks; i++) {
        t->blocks[i].next = i + 1 < blocks ? i + 1 : NONE;
    }
    for (uint32_t i = 0; i < c->series; i++) {
        t->sources[i].chain = i + 1 < c->series ? i + 1 : NONE;
        t->sources[i].size = 0;
    }
    for (uint32_t i = 0; i < c->windows; i++) {
        t->windows[i].next = i + 1 < c->windows ? i + 1 : NONE;
    }
    memset(t->source_heads, 0xff, buckets * sizeof(uint32_t));
    memset(t->series_heads, 0xff, buckets * sizeof(uint32_t));
    t->slot_bits = bits;
    t->free_blocks = blocks;
    t->series_limit = c->series;
    t->oldest_idle = NONE;
    t->newest_idle = NONE;
    return true;
}

/* ---- strings ---- */

static uint32_t blocks_for(size_t size) {
    return (uint32_t)((size + BLOCK_BYTES - 1) / BLOCK_BYTES);
}

/* A string made of two; there must be blocks enough. */
static uint32_t text_add(struct tables *t, const uint8_t *a, size_t a_size, const uint8_t *b, size_t b_size) {
    uint32_t first = NONE;
    uint32_t *link = &first;
    size_t used = BLOCK_BYTES;
    struct block *block = NULL;
    for (size_t i = 0; i < a_size + b_size; i++) {
        if (used == BLOCK_BYTES) {
            uint32_t index = t->free_block;
            block = &t->blocks[index];
            t->free_block = block->next;
            t->free_blocks--;
            block->next = NONE;
            *link = index;
            link = &block->next;
            used = 0;
        }
        block->bytes[used++] = i < a_size ? a[i] : b[i - a_size];
    }
    return first;
}

static void text_drop(struct tables *t, uint32_t text) {
    while (text != NONE) {
        uint32_t next = t->blocks[text].next;
        t->blocks[text].next = t->free_block;
        t->free_block = text;
        t->free_blocks++;
        text = next;
    }
}

/* ---- sources and series ---- */

static void source_release(struct tables *t, uint32_t index) {
    struct source *s = &t->sources[index];
    if (--s->users != 0) {
        return;
    }
    uint32_t *link = &t->source_heads[edge_slot(s->hash, t->slot_bits)];
    while (*link != index) {
        link = &t->sources[*link].chain;
    }
    *link = s->chain;
    text_drop(t, s->text);
    s->size = 0;
    s->chain = t->free_source;
    t->free_source = index;
}

void table_idle_append(struct tables *t, uint32_t index) {
    struct series *s = &t->series[index];
    s->newer_idle = NONE;
    s->older_idle = t->newest_idle;
    if (t->newest_idle == NONE) {
        t->oldest_idle = index;
    } else {
        t->series[t->newest_idle].newer_idle = index;
    }
    t->newest_idle = index;
}

void table_idle_remove(struct tables *t, uint32_t index) {
    struct series *s = &t->series[index];
    if (s->older_idle == NONE) {
        t->oldest_idle = s->newer_idle;
    } else {
        t->series[s->older_idle].newer_idle = s->newer_idle;
    }
    if (s->newer_idle == NONE) {
        t->newest_idle = s->older_idle;
    } else {
        t->series[s->newer_idle].older_idle = s->older_idle;
    }
}

/* Take a series out of its tables; its place may be used again. */
static void series_forget(struct tables *t, uint32_t index) {
    struct series *s = &t->series[index];
    uint32_t *link = &t->series_heads[edge_slot(s->hash, t->slot_bits)];
    while (*link != index) {
        link = &t->series[*link].chain;
    }
    *link = s->chain;
    table_idle_remove(t, index);
    text_drop(t, s->text);
    source_release(t, s->source);
}

/* Whether the strings of a new series fit if `victim` (or NONE) gives its place. */
static bool strings_fit(const struct tables *t, uint32_t victim, uint32_t source, size_t topic_size, size_t name_size) {
    uint32_t available = t->free_blocks;
    bool topic_missing = source == NONE;
    if (victim != NONE) {
        const struct series *s = &t->series[victim];
        const struct source *from = &t->sources[s->source];
        available += blocks_for((size_t)s->field_size + s->unit_size);
        if (from->users == 1) { /* it goes with its last series */
            available += blocks_for(from->size);
            topic_missing = topic_missing || s->source == source;
        }
    }
    return blocks_for(name_size) + (topic_missing ? blocks_for(topic_size) : 0) <= available;
}

static void source_place(struct tables *t, uint32_t index, uint64_t hash, const uint8_t *topic, size_t size) {
    struct source *s = &t->sources[index];
    s->hash = hash;
    s->birth = ++t->births;
    s->size = (uint32_t)size;
    s->users = 0;
    s->text = text_add(t, topic, size, NULL, 0);
    uint32_t *head = &t->source_heads[edge_slot(hash, t->slot_bits)];
    s->chain = *head;
    *head = index;
}

bool table_put_source(struct tables *t, uint32_t index, const uint8_t *topic, size_t size) {
    if (t->sources[index].size != 0 || blocks_for(size) > t->free_blocks) {
        return false;
    }
    source_place(t, index, edge_hash(topic, size), topic, size);
    return true;
}

void table_free_sources(struct tables *t) {
    t->free_source = NONE;
    for (uint32_t i = t->series_limit; i-- != 0;) {
        if (t->sources[i].size == 0) {
            t->sources[i].chain = t->free_source;
            t->free_source = i;
        }
    }
}

uint32_t table_add_series(struct tables *t, uint32_t *source, uint64_t source_hash, const uint8_t *topic,
                          size_t topic_size, const struct series_name *name) {
    size_t name_size = (size_t)name->field_size + name->unit_size;
    uint32_t index = t->series_used;
    if (t->series_used == t->series_limit || !strings_fit(t, NONE, *source, topic_size, name_size)) {
        index = t->oldest_idle;
        if (index == NONE || !strings_fit(t, index, *source, topic_size, name_size)) {
            return NONE;
        }
        if (t->series[index].source == *source && t->sources[*source].users == 1) {
            *source = NONE;
        }
        series_forget(t, index);
    } else {
        t->series_used++;
    }
    if (*source == NONE) {
        *source = t->free_source;
        t->free_source = t->sources[*source].chain;
        source_place(t, *source, source_hash, topic, topic_size);
    }
    t->sources[*source].users++;
    struct series *s = &t->series[index];
    memset(s, 0, sizeof *s);
    s->hash = table_series_hash(*source, name);
    s->birth = ++t->births;
    s->source = *source;
    s->field_size = name->field_size;
    s->unit_size = name->unit_size;
    s->text = text_add(t, name->field, name->field_size, name->unit, name->unit_size);
    s->windows = NONE;
    uint32_t *head = &t->series_heads[edge_slot(s->hash, t->slot_bits)];
    s->chain = *head;
    *head = index;
    table_idle_append(t, index);
    return index;
}

/* ---- windows ---- */

uint32_t table_add_window(struct tables *t, uint32_t series, uint64_t start) {
    uint32_t index = t->free_window;
    if (index == NONE) {
        return NONE;
    }
    struct window *w = &t->windows[index];
    t->free_window = w->next;
    memset(w, 0, sizeof *w);
    edge_sketch_init(&w->sketch);
    w->start = start;
    w->series = series;
    struct series *s = &t->series[series];
    if (s->windows == NONE) {
        table_idle_remove(t, series);
    }
    uint32_t *link = &s->windows;
    while (*link != NONE && t->windows[*link].start < start) {
        link = &t->windows[*link].next;
    }
    w->next = *link;
    *link = index;
    return index;
}

void table_drop_window(struct tables *t, uint32_t index) {
    struct window *w = &t->windows[index];
    struct series *s = &t->series[w->series];
    uint32_t *link = &s->windows;
    while (*link != index) {
        link = &t->windows[*link].next;
    }
    *link = w->next;
    edge_sketch_clear(&t->pool, &w->sketch);
    w->next = t->free_window;
    t->free_window = index;
    if (s->windows == NONE) {
        table_idle_append(t, (uint32_t)(s - t->series));
    }
}

#pragma clang attribute pop
