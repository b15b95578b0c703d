#include "utf8.h"

#include "cold.h" /* last */

static int continues(const uint8_t *p) {
    return (*p & 0xC0) == 0x80;
}

size_t edge_utf8_sequence(const uint8_t *p, const uint8_t *end) {
    size_t left = (size_t)(end - p);
    if (left == 0) {
        return 0;
    }
    uint8_t a = p[0];
    if (a < 0x80) {
        return 1;
    }
    if (a < 0xC2 || left < 2 || !continues(p + 1)) {
        return 0;
    }
    if (a < 0xE0) {
        return 2;
    }
    uint8_t b = p[1];
    if (left < 3 || !continues(p + 2)) {
        return 0;
    }
    if (a < 0xF0) {
        return (a == 0xE0 && b < 0xA0) || (a == 0xED && b > 0x9F) ? 0 : 3;
    }
    if (a > 0xF4 || left < 4 || !continues(p + 3) || (a == 0xF0 && b < 0x90) || (a == 0xF4 && b > 0x8F)) {
        return 0;
    }
    return 4;
}

const uint8_t *edge_utf8_check(const uint8_t *p, const uint8_t *end) {
    while (p < end) {
        size_t n = edge_utf8_sequence(p, end);
        if (n == 0) {
            break;
        }
        p += n;
    }
    return p;
}

size_t edge_utf8_put(uint8_t *p, uint32_t code) {
    if (code < 0x80) {
        p[0] = (uint8_t)code;
        return 1;
    }
    if (code < 0x800) {
        p[0] = (uint8_t)(0xC0 | code >> 6);
        p[1] = (uint8_t)(0x80 | (code & 0x3F));
        return 2;
    }
    if (code < 0x10000) {
        p[0] = (uint8_t)(0xE0 | code >> 12);
        p[1] = (uint8_t)(0x80 | (code >> 6 & 0x3F));
        p[2] = (uint8_t)(0x80 | (code & 0x3F));
        return 3;
    }
    p[0] = (uint8_t)(0xF0 | code >> 18);
    p[1] = (uint8_t)(0x80 | (code >> 12 & 0x3F));
    p[2] = (uint8_t)(0x80 | (code >> 6 & 0x3F));
    p[3] = (uint8_t)(0x80 | (code & 0x3F));
    return 4;
}

#pragma clang attribute pop
