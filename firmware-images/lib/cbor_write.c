#include "bytes.h"
#include "cbor.h"
#include "mem.h"

#include "cold.h" /* last */

enum { LONGEST_HEAD = 9 };

void edge_writer_init(struct edge_writer *w, uint8_t *bytes, size_t size) {
    w->start = bytes;
    w->at = bytes;
    w->end = bytes + size;
    w->full = false;
}

size_t edge_written(const struct edge_writer *w) {
    return (size_t)(w->at - w->start);
}

void edge_put_head(struct edge_writer *w, enum edge_kind kind, uint64_t value) {
    uint8_t *p = w->at;
    uint8_t major = (uint8_t)((unsigned)kind << 5);
    if (w->end - p < LONGEST_HEAD) {
        w->full = true;
        return;
    }
    if (value < 24) {
        *p = (uint8_t)(major | value);
        w->at = p + 1;
    } else if (value <= UINT8_MAX) {
        *p = major | 24;
        p[1] = (uint8_t)value;
        w->at = p + 2;
    } else if (value <= UINT16_MAX) {
        *p = major | 25;
        p[1] = (uint8_t)(value >> 8);
        p[2] = (uint8_t)value;
        w->at = p + 3;
    } else if (value <= UINT32_MAX) {
        *p = major | 26;
        edge_put_be32(p + 1, (uint32_t)value);
        w->at = p + 5;
    } else {
        *p = major | 27;
        edge_put_be64(p + 1, value);
        w->at = p + LONGEST_HEAD;
    }
}

void edge_put_uint(struct edge_writer *w, uint64_t value) {
    edge_put_head(w, EDGE_UINT, value);
}

void edge_put_int(struct edge_writer *w, int64_t value) {
    if (value < 0) {
        edge_put_head(w, EDGE_NINT, ~(uint64_t)value);
    } else {
        edge_put_head(w, EDGE_UINT, (uint64_t)value);
    }
}

void edge_put_raw(struct edge_writer *w, const uint8_t *bytes, size_t size) {
    if (w->full || (size_t)(w->end - w->at) < size) {
        w->full = true;
        return;
    }
    memcpy(w->at, bytes, size);
    w->at += size;
}

void edge_put_string(struct edge_writer *w, enum edge_kind kind, const uint8_t *bytes, size_t size) {
    edge_put_head(w, kind, size);
    edge_put_raw(w, bytes, size);
}

void edge_put_text(struct edge_writer *w, const char *text) {
    edge_put_string(w, EDGE_TEXT, (const uint8_t *)text, strlen(text));
}

#pragma clang attribute pop
