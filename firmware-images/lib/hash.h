/* A hash for tables, eight bytes at a time; its highest bits are the best, so tables index with those. Not secret: what a colliding sender slows is bounded by the tables' limits.
 * Equal on every machine, though nothing that is said depends on it. */
#ifndef EDGE_HASH_H
#define EDGE_HASH_H

#include <stddef.h>
#include <stdint.h>

#include "bytes.h"

static inline uint64_t edge_mix(uint64_t hash, uint64_t word) {
    hash = (hash ^ word) * 0x9E3779B97F4A7C15u;
    return hash ^ hash >> 32;
}

/* 0..2^bits-1, 1 <= bits <= 32 */
static inline uint32_t edge_slot(uint64_t hash, unsigned bits) {
    return (uint32_t)(hash >> (64 - bits));
}

static inline uint64_t edge_hash(const uint8_t *p, size_t size) {
    uint64_t hash = size * 0xD6E8FEB86659FD93u; /* far apart, so that lengths don't meet */
    for (; size > 8; size -= 8, p += 8) {
        hash = edge_mix(hash, edge_le32(p) | (uint64_t)edge_le32(p + 4) << 32);
    }
    if (size >= 4) {
        return edge_mix(hash, edge_le32(p) | (uint64_t)edge_le32(p + size - 4) << 32);
    }
    if (size != 0) {
        return edge_mix(hash, p[0] | (uint64_t)p[size / 2] << 8 | (uint64_t)p[size - 1] << 16);
    }
    return edge_mix(hash, 0);
}

#endif
