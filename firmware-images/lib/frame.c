#include "frame.h"

#include <edge/guest.h>

#include "../protocol/edge.h"
#include "bytes.h"
#include "mem.h"

enum { CRC_FROM = 2, CRC_AT = 8, LENGTH_AT = 4 };

/* A frame that did not arrive whole is put together here. */
static uint8_t pending[EDGE_HEADER + EDGE_MAX_BODY];
static size_t held;
static uint64_t skipped;

/* Whether n bytes can be the beginning of a frame. */
static int plausible(const uint8_t *p, size_t n) {
    return p[0] == EDGE_MAGIC_0 && (n < 2 || p[1] == EDGE_MAGIC_1) && (n < 4 || p[3] == EDGE_FRAME_VERSION) &&
           (n < CRC_AT || edge_be32(p + LENGTH_AT) <= EDGE_MAX_BODY);
}

static int intact(const uint8_t *p, size_t length) {
    uint32_t crc = edge_crc32(0, p + CRC_FROM, CRC_AT - CRC_FROM);
    return edge_crc32(crc, p + EDGE_HEADER, length) == edge_be32(p + CRC_AT);
}

/* Takes every whole frame in p and returns how many bytes are done with; what is left may still become a frame. */
static size_t scan(const uint8_t *p, size_t n, void (*take)(uint8_t, const uint8_t *, size_t)) {
    size_t at = 0;
    while (at < n) {
        size_t left = n - at;
        if (!plausible(p + at, left)) {
            at++;
            skipped++;
            continue;
        }
        if (left < EDGE_HEADER) {
            break;
        }
        size_t length = edge_be32(p + at + LENGTH_AT);
        if (left - EDGE_HEADER < length) {
            break;
        }
        if (!intact(p + at, length)) {
            at++;
            skipped++;
            continue;
        }
        take(p[at + 2], p + at + EDGE_HEADER, length);
        at += EDGE_HEADER + length;
    }
    return at;
}

/* Bytes that `pending` needs before it can be judged. */
static size_t wanted(void) {
    return held < EDGE_HEADER ? EDGE_HEADER : EDGE_HEADER + (size_t)edge_be32(pending + LENGTH_AT);
}

void edge_frames_feed(const uint8_t *bytes, size_t size, void (*take)(uint8_t, const uint8_t *, size_t)) {
    while (size != 0) {
        if (held == 0) {
            size_t done = scan(bytes, size, take);
            held = size - done;
            memcpy(pending, bytes + done, held);
            return;
        }
        size_t want = wanted() - held;
        size_t n = want < size ? want : size;
        memcpy(pending + held, bytes, n);
        held += n;
        bytes += n;
        size -= n;
        size_t done = scan(pending, held, take);
        held -= done;
        if (done != 0) { /* else a large frame would be moved onto itself with every piece of it */
            memmove(pending, pending + done, held);
        }
    }
}

uint64_t edge_frames_skipped(void) {
    return skipped;
}

void edge_frames_reset(void) {
    held = 0;
    skipped = 0;
}

void edge_send(uint8_t type, const uint8_t *head, size_t head_size, const uint8_t *tail, size_t tail_size) {
    uint8_t header[EDGE_HEADER] = {EDGE_MAGIC_0, EDGE_MAGIC_1, type, EDGE_FRAME_VERSION};
    edge_put_be32(header + LENGTH_AT, (uint32_t)(head_size + tail_size));
    uint32_t crc = edge_crc32(0, header + CRC_FROM, CRC_AT - CRC_FROM);
    crc = edge_crc32(crc, head, head_size);
    if (tail_size != 0) {
        crc = edge_crc32(crc, tail, tail_size);
    }
    edge_put_be32(header + CRC_AT, crc);
    edge_port_write(header, sizeof header);
    edge_port_write(head, head_size);
    if (tail_size != 0) {
        edge_port_write(tail, tail_size);
    }
}
