/* Payloads through the whole app: the first two bytes are the format, the rest the payload. */
#include <stdbool.h>
#include <string.h>

#include <edge/guest.h>

#include "../app/aggregate/aggregate.h"
#include "../lib/bytes.h"
#include "../lib/cbor.h"
#include "../lib/session.h"
#include "platform.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const uint8_t formats[] = {EDGE_FORMAT_TEXT, EDGE_FORMAT_JSON, EDGE_FORMAT_CBOR, EDGE_FORMAT_SENML_JSON,
                                  EDGE_FORMAT_SENML_CBOR};

static void put_number(struct edge_writer *w, const char *key, uint64_t value) {
    edge_put_text(w, key);
    edge_put_uint(w, value);
}

static void start(void) {
    static uint8_t config[256];
    struct edge_writer w;
    struct edge_reader r;
    edge_writer_init(&w, config, sizeof config);
    edge_put_head(&w, EDGE_MAP, 11);
    put_number(&w, "window", 1000);
    put_number(&w, "lateness", 1000);
    put_number(&w, "ahead", 0);
    put_number(&w, "series", 8);
    put_number(&w, "windows", 16);
    put_number(&w, "buckets", 8);
    put_number(&w, "heartbeat", 0);
    edge_put_text(&w, "quantiles");
    edge_put_head(&w, EDGE_ARRAY, 1);
    edge_put_uint(&w, 500);
    edge_put_text(&w, "times");
    edge_put_head(&w, EDGE_ARRAY, 1);
    edge_put_text(&w, "t");
    edge_put_text(&w, "fields");
    edge_put_head(&w, EDGE_ARRAY, 0);
    edge_put_text(&w, "deadband");
    edge_put_head(&w, EDGE_ARRAY, 2);
    edge_put_uint(&w, 0);
    edge_put_uint(&w, 0);
    edge_reader_init(&r, config, edge_written(&w));
    struct edge_arena arena = edge_platform_arena(UINT64_MAX);
    if (edge_app.start(&r, &arena) != 0) {
        __builtin_trap();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static uint8_t exact[EDGE_MAX_PAYLOAD];
    if (size == 0 || size > EDGE_MAX_PAYLOAD) {
        return 0;
    }
    if (setjmp(fuzz_panicked) != 0) {
        __builtin_trap(); /* no payload may end the guest */
    }
    fuzz_begin();
    start();
    uint16_t format = *data % 6 < sizeof formats ? formats[*data % 6] : EDGE_FORMAT_SNIFF;
    memcpy(exact, data + 1, size - 1);
    engine_time(1, 1700000000000);
    payload_take(format, (const uint8_t *)"t", 1, exact, size - 1);
    engine_time(2, 1700000060000);
    payload_take(format, (const uint8_t *)"t", 1, exact, size - 1);
    engine_drain();
    return 0;
}
