#include "log.h"

#include <edge/guest.h>

#include "../protocol/edge.h"
#include "bytes.h"
#include "cbor.h"
#include "frame.h"
#include "mem.h"

#include "cold.h" /* last */

struct edge_ring edge_ring;

struct edge_log_rate edge_log_rate;

void edge_log_begin(void) {
    static const uint8_t magic[8] = {'E', 'D', 'G', 'E', 'R', 'I', 'N', 'G'};
    memcpy(edge_ring.magic, magic, sizeof magic);
    edge_put_be32(edge_ring.size, EDGE_RING_TEXT);
}

static void ring_put(const uint8_t *text, size_t size) {
    uint32_t next = edge_be32(edge_ring.next);
    for (size_t i = 0; i < size; i++) {
        edge_ring.text[next] = text[i];
        if (++next == EDGE_RING_TEXT) {
            next = 0;
            edge_put_be32(edge_ring.wrapped, 1);
        }
    }
    edge_put_be32(edge_ring.next, next);
}

/* Up to limit bytes of text, not cutting through a UTF-8 sequence. */
static size_t cut(const char *text, size_t limit) {
    size_t size = strlen(text);
    if (size <= limit) {
        return size;
    }
    size = limit;
    while (size != 0 && ((uint8_t)text[size] & 0xC0) == 0x80) {
        size--;
    }
    return size;
}

void edge_log_time(uint64_t ms) {
    uint64_t second = ms / 1000;
    if (second != edge_log_rate.second) {
        edge_log_rate.second = second;
        edge_log_rate.used = 0;
    }
}

void edge_log(uint8_t level, const char *text) {
    static const char names[4] = {'D', 'I', 'W', 'E'};
    size_t size = cut(text, EDGE_MAX_LOG);
    edge_log_begin();
    uint8_t lead[2] = {(uint8_t)names[level & 3], ' '};
    ring_put(lead, sizeof lead);
    ring_put((const uint8_t *)text, size);
    ring_put((const uint8_t *)"\n", 1);
    if (!edge_log_rate.up || edge_log_rate.used >= EDGE_LOG_BURST) {
        return;
    }
    edge_log_rate.used++;
    uint8_t body[EDGE_MAX_LOG + 16];
    struct edge_writer w;
    edge_writer_init(&w, body, sizeof body);
    edge_put_head(&w, EDGE_ARRAY, 2);
    edge_put_uint(&w, level & 3u);
    edge_put_string(&w, EDGE_TEXT, (const uint8_t *)text, size);
    edge_send(EDGE_LOG, body, edge_written(&w), NULL, 0);
}

void edge_log_panic(const char *why) {
    edge_log_begin();
    edge_put_be32(edge_ring.panicked, 1);
    size_t size = cut(why, EDGE_PANIC_RECORD - 1);
    memset(edge_ring.panic, 0, sizeof edge_ring.panic);
    memcpy(edge_ring.panic, why, size);
}

#pragma clang attribute pop
