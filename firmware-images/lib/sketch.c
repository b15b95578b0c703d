#include "sketch.h"

#include "mem.h"

enum {
    PER_DECADE = 175,
    FINE_END = 50,    /* buckets of step 2: 100..199 */
    MIDDLE_END = 125, /* of step 4: 200..499; the rest of step 10 */
    DECADE_ZERO = 64, /* makes decades -60..58 positive */
    WIDE_DECADES = 7, /* beyond, the harmonic mean is twice the lower edge to six digits */
};

void edge_pool_init(struct edge_pool *pool, struct edge_chunk *chunks, uint32_t sketches, uint32_t reserve,
                    uint32_t max_buckets) {
    uint32_t total = sketches * EDGE_SKETCH_OWN_CHUNKS + reserve;
    pool->chunks = chunks;
    pool->free = 0;
    pool->reserve = reserve;
    pool->max_buckets = max_buckets;
    for (uint32_t i = 0; i < total; i++) {
        chunks[i].next = i + 1 < total ? (int32_t)(i + 1) : EDGE_NO_CHUNK;
    }
}

void edge_sketch_init(struct edge_sketch *s) {
    memset(s, 0, sizeof *s);
    s->first = EDGE_NO_CHUNK;
    s->recent = EDGE_NO_CHUNK;
}

static void give(struct edge_pool *pool, struct edge_sketch *s, int32_t index) {
    pool->chunks[index].next = pool->free;
    pool->free = index;
    s->chunks--;
    pool->reserve += s->chunks >= EDGE_SKETCH_OWN_CHUNKS;
}

void edge_sketch_clear(struct edge_pool *pool, struct edge_sketch *s) {
    int32_t index = s->first;
    while (index != EDGE_NO_CHUNK) {
        int32_t next = pool->chunks[index].next;
        give(pool, s, index);
        index = next;
    }
    edge_sketch_init(s);
}

/* floor(key / 2^n) for n < 32; shifting negative numbers is left to the implementation by C11 */
static int32_t halve(int32_t key, unsigned n) {
    return key >= 0 ? key >> n : -1 - ((-1 - key) >> n);
}

static int32_t chunk_of(int32_t key) {
    return halve(key, 3);
}

static int32_t key_of(const struct edge_dec *value) {
    bool negative = value->mantissa < 0;
    uint64_t m = negative ? (uint64_t)-value->mantissa : (uint64_t)value->mantissa;
    int digits = 1;
    while (m >= edge_pow10[digits]) {
        digits++;
    }
    uint32_t top = digits > 3 ? (uint32_t)(m / edge_pow10[digits - 3]) : (uint32_t)(m * edge_pow10[3 - digits]);
    uint32_t place = top < 200   ? (top - 100) / 2
                     : top < 500 ? FINE_END + (top - 200) / 4
                                 : MIDDLE_END + (top - 500) / 10;
    int32_t key = (value->exponent + digits + DECADE_ZERO) * PER_DECADE + (int32_t)place;
    return negative ? -1 - key : key;
}

/* Half the resolution: every chunk's buckets move into one half of the chunk above it, in place. */
static void coarsen(struct edge_pool *pool, struct edge_sketch *s) {
    int32_t *link = &s->first;
    struct edge_chunk *above = NULL;
    s->shift++;
    s->buckets = 0;
    s->recent = EDGE_NO_CHUNK;
    while (*link != EDGE_NO_CHUNK) {
        int32_t index = *link;
        struct edge_chunk *chunk = &pool->chunks[index];
        uint32_t counts[EDGE_CHUNK_BUCKETS] = {0};
        unsigned half = (unsigned)(chunk->base & 1) * (EDGE_CHUNK_BUCKETS / 2);
        for (unsigned i = 0; i < EDGE_CHUNK_BUCKETS; i++) {
            counts[half + i / 2] += chunk->counts[i];
        }
        chunk->base = halve(chunk->base, 1);
        if (above != NULL && above->base == chunk->base) {
            for (unsigned i = 0; i < EDGE_CHUNK_BUCKETS; i++) {
                above->counts[i] += counts[i];
                s->buckets += counts[i] != 0;
            }
            *link = chunk->next;
            give(pool, s, index);
            continue;
        }
        for (unsigned i = 0; i < EDGE_CHUNK_BUCKETS; i++) {
            chunk->counts[i] = counts[i];
            s->buckets += counts[i] != 0;
        }
        above = chunk;
        link = &chunk->next;
    }
}

/* The chunk of base, made when missing; EDGE_NO_CHUNK when it may not be. */
static int32_t chunk_at(struct edge_pool *pool, struct edge_sketch *s, int32_t base) {
    if (s->recent != EDGE_NO_CHUNK && pool->chunks[s->recent].base == base) {
        return s->recent;
    }
    int32_t *link = &s->first;
    while (*link != EDGE_NO_CHUNK && pool->chunks[*link].base < base) {
        link = &pool->chunks[*link].next;
    }
    if (*link == EDGE_NO_CHUNK || pool->chunks[*link].base != base) {
        if (s->chunks >= EDGE_SKETCH_OWN_CHUNKS) {
            if (pool->reserve == 0) {
                return EDGE_NO_CHUNK;
            }
            pool->reserve--;
        }
        int32_t index = pool->free;
        struct edge_chunk *chunk = &pool->chunks[index];
        pool->free = chunk->next;
        memset(chunk, 0, sizeof *chunk);
        chunk->base = base;
        chunk->next = *link;
        *link = index;
        s->chunks++;
    }
    s->recent = *link;
    return *link;
}

/* Add to a bucket at the sketch's shift. False: no chunk to be had. */
static bool count(struct edge_pool *pool, struct edge_sketch *s, int32_t key, uint32_t n) {
    int32_t index = chunk_at(pool, s, chunk_of(key));
    if (index == EDGE_NO_CHUNK) {
        return false;
    }
    uint32_t *bucket = &pool->chunks[index].counts[(uint32_t)key % EDGE_CHUNK_BUCKETS];
    s->buckets += *bucket == 0;
    *bucket += n;
    return true;
}

void edge_sketch_add(struct edge_pool *pool, struct edge_sketch *s, const struct edge_dec *value) {
    if (value->mantissa == 0) {
        s->zeros++;
        return;
    }
    int32_t key = key_of(value);
    while (!count(pool, s, halve(key, s->shift), 1)) {
        coarsen(pool, s);
    }
    while (s->buckets > pool->max_buckets && s->shift < EDGE_SKETCH_COARSEST) {
        coarsen(pool, s);
    }
}

bool edge_sketch_put(struct edge_pool *pool, struct edge_sketch *s, int32_t key, uint32_t n) {
    return n != 0 && s->shift <= EDGE_SKETCH_COARSEST && count(pool, s, key, n);
}

/* Lower edge of a full-resolution bucket: three digits and a power of ten. */
static struct edge_dec edge_of(int32_t key) {
    int32_t place = key % PER_DECADE;
    struct edge_dec edge;
    edge.exponent = (int8_t)(key / PER_DECADE - DECADE_ZERO - 3);
    edge.mantissa = place < FINE_END     ? 100 + 2 * place
                    : place < MIDDLE_END ? 200 + 4 * (place - FINE_END)
                                         : 500 + 10 * (place - MIDDLE_END);
    return edge;
}

/* What stands for a bucket of positive values. At full resolution its middle, within (high - low) / 2 low <= 1 %.
 * Above, the harmonic mean of its edges, rounded to six digits: its error (high - low) / (high + low) is at most half
 * of ln(high / low), which is at most 2^shift times ln(1.02). */
static struct edge_dec middle(int32_t key, unsigned shift) {
    struct edge_dec low = edge_of((int32_t)((uint32_t)key << shift));
    struct edge_dec high = edge_of((int32_t)(((uint32_t)key + 1) << shift));
    struct edge_dec out;
    int gap = high.exponent - low.exponent;
    uint64_t l = (uint64_t)low.mantissa;
    if (shift == 0) {
        uint64_t h = (uint64_t)high.mantissa * edge_pow10[gap];
        (void)edge_dec_make(&out, false, (l + h) * 5, low.exponent - 1, false);
        return out;
    }
    if (gap > WIDE_DECADES) {
        (void)edge_dec_make(&out, false, 2 * l, low.exponent, false);
        return out;
    }
    uint64_t h = (uint64_t)high.mantissa * edge_pow10[gap];
    uint64_t mean = 2 * l * h * 10000 / (l + h); /* in 1/10000 of the lower edge's last digit: 6 to 8 digits */
    int exponent = low.exponent - 4;
    while (mean >= 1000000) {
        mean = (mean + 5) / 10;
        exponent++;
    }
    (void)edge_dec_make(&out, false, mean, exponent, false);
    return out;
}

struct edge_dec edge_sketch_rank(const struct edge_pool *pool, const struct edge_sketch *s, uint32_t rank) {
    struct edge_dec zero = {0, 0};
    bool zeros_passed = false;
    for (int32_t index = s->first;; index = pool->chunks[index].next) {
        if (!zeros_passed && (index == EDGE_NO_CHUNK || pool->chunks[index].base >= 0)) {
            if (rank <= s->zeros) {
                return zero;
            }
            rank -= s->zeros;
            zeros_passed = true;
        }
        if (index == EDGE_NO_CHUNK) {
            return zero; /* a rank beyond the count */
        }
        const struct edge_chunk *chunk = &pool->chunks[index];
        for (int32_t i = 0; i < EDGE_CHUNK_BUCKETS; i++) {
            if (rank > chunk->counts[i]) {
                rank -= chunk->counts[i];
                continue;
            }
            int32_t key = chunk->base * EDGE_CHUNK_BUCKETS + i;
            struct edge_dec value = middle(key < 0 ? -1 - key : key, s->shift);
            value.mantissa = key < 0 ? -value.mantissa : value.mantissa;
            return value;
        }
    }
}

uint32_t edge_sketch_error(const struct edge_sketch *s) {
    uint32_t error = (uint32_t)EDGE_SKETCH_ERROR << s->shift;
    return error < 1000 ? error : 1000;
}
