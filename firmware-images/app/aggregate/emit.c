/* Frames out. */
#include "aggregate.h"

#include "../../lib/cbor.h"
#include "../../lib/frame.h"
#include "../../lib/mem.h"
#include "../../lib/session.h"

#include "../../lib/cold.h" /* last */

/* The longest summary: topic, field, unit, 6 numbers of at most 22 bytes, the quantiles, 10 integers. */
enum { BODY = EDGE_MAX_TOPIC + EDGE_MAX_FIELD + EDGE_MAX_UNIT + (6 + MAX_QUANTILES) * 22 + 10 * 9 + 64 };

static uint8_t body[BODY];

static void begin(struct edge_writer *w, uint64_t items) {
    edge_writer_init(w, body, sizeof body);
    edge_put_head(w, EDGE_ARRAY, items);
}

static void send(enum edge_frame_type type, const struct edge_writer *w) {
    edge_send((uint8_t)type, body, edge_written(w), NULL, 0);
}

static void put_source(struct edge_writer *w, const struct source *source) {
    uint8_t text[EDGE_MAX_TOPIC];
    table_text(&agg.tables, source->text, source->size, text);
    edge_put_string(w, EDGE_TEXT, text, source->size);
}

/* rank of a quantile, nearest rank: the smallest value that at least this share of all values does not exceed. */
static uint32_t rank_of(uint16_t per_mille, uint32_t count) {
    uint64_t rank = ((uint64_t)per_mille * count + 999) / 1000;
    return rank == 0 ? 1 : (uint32_t)rank;
}

static void put_quantile(struct edge_writer *w, const struct window *window, uint16_t per_mille) {
    uint32_t rank = rank_of(per_mille, window->count);
    struct edge_dec value;
    if (rank == 1) {
        value = window->min;
    } else if (rank == window->count) {
        value = window->max;
    } else {
        value = edge_sketch_rank(&agg.tables.pool, &window->sketch, rank);
        if (edge_dec_compare(&value, &window->min) < 0) {
            value = window->min;
        }
        if (edge_dec_compare(&value, &window->max) > 0) {
            value = window->max;
        }
    }
    edge_put_dec(w, &value);
}

void emit_summary(const struct window *window, uint8_t flags) {
    const struct tables *t = &agg.tables;
    const struct series *s = &t->series[window->series];
    const struct config *c = &agg.config;
    uint8_t name[EDGE_MAX_FIELD + EDGE_MAX_UNIT];
    struct edge_acc sum = window->sum;
    struct edge_acc square = window->square;
    struct edge_writer w;
    table_text(t, s->text, (size_t)s->field_size + s->unit_size, name);
    edge_acc_normalise(&sum);
    edge_acc_normalise(&square);
    begin(&w, 18);
    edge_put_uint(&w, edge_next_out());
    edge_put_uint(&w, agg.seq);
    put_source(&w, &t->sources[s->source]);
    edge_put_string(&w, EDGE_TEXT, name, s->field_size);
    edge_put_string(&w, EDGE_TEXT, name + s->field_size, s->unit_size);
    edge_put_uint(&w, window->start);
    edge_put_uint(&w, c->window);
    edge_put_uint(&w, window->count);
    edge_put_dec(&w, &window->min);
    edge_put_dec(&w, &window->max);
    edge_put_acc(&w, &sum);
    edge_put_dec(&w, &window->first);
    edge_put_dec(&w, &window->last);
    edge_put_acc(&w, &square);
    edge_put_head(&w, EDGE_ARRAY, c->quantile_count);
    for (uint32_t i = 0; i < c->quantile_count; i++) {
        put_quantile(&w, window, c->quantiles[i]);
    }
    edge_put_uint(&w, edge_sketch_error(&window->sketch));
    edge_put_uint(&w, s->held);
    edge_put_uint(&w, flags);
    send(EDGE_SUMMARY, &w);
}

void emit_report(uint64_t now) {
    struct report *r = &agg.report;
    uint64_t used = 0;
    for (unsigned i = 0; i < EDGE_REASONS; i++) {
        used += r->reasons[i] != 0;
    }
    if (r->begun && (r->payloads != 0 || r->values != 0 || used != 0)) {
        struct edge_writer w;
        begin(&w, 7);
        edge_put_uint(&w, edge_next_out());
        edge_put_uint(&w, agg.seq);
        edge_put_uint(&w, r->start);
        edge_put_uint(&w, agg.config.window);
        edge_put_uint(&w, r->payloads);
        edge_put_uint(&w, r->values);
        edge_put_head(&w, EDGE_MAP, used);
        for (unsigned i = 0; i < EDGE_REASONS; i++) {
            if (r->reasons[i] != 0) {
                edge_put_uint(&w, i);
                edge_put_uint(&w, r->reasons[i]);
            }
        }
        send(EDGE_REPORT, &w);
    }
    memset(r, 0, sizeof *r);
    r->begun = true;
    r->start = now - now % agg.config.window;
}

void emit_reject(enum edge_reason reason, size_t offset) {
    struct edge_writer w;
    begin(&w, 3);
    edge_put_uint(&w, agg.seq);
    edge_put_uint(&w, (uint64_t)reason);
    edge_put_uint(&w, offset);
    send(EDGE_REJECT, &w);
}

#pragma clang attribute pop
