#include "bytes.h"
#include "frame.h"

#include "crc_table.h"

uint32_t edge_crc32(uint32_t crc, const uint8_t *bytes, size_t size) {
    crc = ~crc;
    for (; size >= 4; size -= 4, bytes += 4) {
        crc ^= edge_le32(bytes);
        crc = table[3][crc & 255] ^ table[2][crc >> 8 & 255] ^ table[1][crc >> 16 & 255] ^ table[0][crc >> 24];
    }
    for (; size != 0; size--, bytes++) {
        crc = crc >> 8 ^ table[0][(crc ^ *bytes) & 255];
    }
    return ~crc;
}
