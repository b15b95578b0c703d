/* Quantiles within a bounded relative error: counts of log-linear decimal buckets.
 *
 * A value's first three digits, 100..999, fall into steps of 2 below 200, 4 below 500 and 10 above: 175 buckets a
 * decade, each at most 2 % of its lower edge wide, so its middle is within 1 %. Halving the resolution (merging
 * neighbours) doubles that bound. Zero is counted apart, negative values mirror positive ones.
 *
 * Buckets lie in chunks of eight neighbours from a pool that all sketches share: a sensor that hardly moves takes one
 * chunk. Two chunks of every sketch are its own, enough for its coarsest form; more come from a common reserve, and a
 * sketch that finds that empty halves its resolution instead. So no value is ever refused. */
#ifndef EDGE_SKETCH_H
#define EDGE_SKETCH_H

#include "decimal.h"

enum {
    EDGE_CHUNK_BUCKETS = 8,
    EDGE_SKETCH_OWN_CHUNKS = 2,
    EDGE_SKETCH_ERROR = 10,    /* per mille, at full resolution */
    EDGE_SKETCH_COARSEST = 15, /* halvings after which one bucket holds every positive value */
    EDGE_NO_CHUNK = -1,
};

struct edge_chunk {
    int32_t next;
    int32_t base; /* the first bucket's number / EDGE_CHUNK_BUCKETS */
    uint32_t counts[EDGE_CHUNK_BUCKETS];
};

struct edge_pool {
    struct edge_chunk *chunks;
    int32_t free;
    uint32_t reserve;     /* chunks that sketches may take beyond their own */
    uint32_t max_buckets; /* of one sketch */
};

struct edge_sketch {
    int32_t first; /* chunks, ascending */
    int32_t recent;
    uint32_t chunks;
    uint32_t buckets; /* that aren't empty */
    uint32_t zeros;
    uint8_t shift; /* halvings of the resolution */
};

/* sketches * EDGE_SKETCH_OWN_CHUNKS + reserve chunks. */
void edge_pool_init(struct edge_pool *pool, struct edge_chunk *chunks, uint32_t sketches, uint32_t reserve,
                    uint32_t max_buckets);

void edge_sketch_init(struct edge_sketch *s);
/* exponent must lie in -60..40 */
void edge_sketch_add(struct edge_pool *pool, struct edge_sketch *s, const struct edge_dec *value);
/* Give the chunks back. */
void edge_sketch_clear(struct edge_pool *pool, struct edge_sketch *s);

/* The value at rank 1..count, within the error. */
struct edge_dec edge_sketch_rank(const struct edge_pool *pool, const struct edge_sketch *s, uint32_t rank);
/* Bound of the relative error, per mille. */
uint32_t edge_sketch_error(const struct edge_sketch *s);

/* Set a bucket's count, for restoring: keys ascending or not, at the sketch's own shift. False: it doesn't fit. */
bool edge_sketch_put(struct edge_pool *pool, struct edge_sketch *s, int32_t key, uint32_t count);

#endif
