/* Integers in byte order of the wire, one byte at a time: no alignment, no endianness of the machine. Compilers for
 * machines that allow unaligned loads merge these into one instruction. */
#ifndef EDGE_BYTES_H
#define EDGE_BYTES_H

#include <stdint.h>

static inline uint16_t edge_be16(const uint8_t *p) {
    return (uint16_t)((unsigned)p[0] << 8 | p[1]);
}

static inline uint32_t edge_be32(const uint8_t *p) {
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static inline uint64_t edge_be64(const uint8_t *p) {
    return (uint64_t)p[0] << 56 | (uint64_t)p[1] << 48 | (uint64_t)p[2] << 40 | (uint64_t)p[3] << 32 |
           (uint64_t)p[4] << 24 | (uint64_t)p[5] << 16 | (uint64_t)p[6] << 8 | (uint64_t)p[7];
}

static inline uint32_t edge_le32(const uint8_t *p) {
    return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static inline void edge_put_be32(uint8_t *p, uint32_t value) {
    p[0] = (uint8_t)(value >> 24);
    p[1] = (uint8_t)(value >> 16);
    p[2] = (uint8_t)(value >> 8);
    p[3] = (uint8_t)value;
}

static inline void edge_put_be64(uint8_t *p, uint64_t value) {
    edge_put_be32(p, (uint32_t)(value >> 32));
    edge_put_be32(p + 4, (uint32_t)value);
}

#endif
