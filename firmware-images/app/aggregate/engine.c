/* Event time and windows. Everything here is a function of the frames so far. */
#include "aggregate.h"

#include "../../lib/hash.h"
#include "../../lib/utf8.h"

/* What a tick counts at most. A longer gap is one in which the sources could not be heard: what they said is to come. */
enum { MOST_OF_A_TICK = 2000 };

static uint64_t since_tick(uint64_t now) {
    uint64_t passed = now > agg.ticked ? now - agg.ticked : 0;
    return passed < MOST_OF_A_TICK ? passed : MOST_OF_A_TICK;
}

/* A series' clock: the event time that set it, plus the silence that was heard since (docs/adr/0003). It never goes back
 * but when the frames' own time does. */
static uint64_t clock_of(const struct series *s) {
    return s->newest + (agg.silence > s->heard ? agg.silence - s->heard : 0);
}

static uint64_t closing(const struct window *w) {
    return w->start + agg.config.window + agg.config.lateness;
}

/* The silence at which a series' window closes, if nothing sets its clock forward before. */
static void note_due(const struct series *s, uint32_t window) {
    uint64_t end = closing(&agg.tables.windows[window]);
    uint64_t due = end > s->newest ? s->heard + (end - s->newest) : 0;
    if (due < agg.due) {
        agg.due = due;
    }
}

/* Whether the deadband keeps this window back. */
static bool held_back(const struct series *s, const struct window *w) {
    const struct config *c = &agg.config;
    return c->deadband.mantissa != 0 && s->referenced && s->held < c->heartbeat &&
           edge_dec_distance(&w->min, &s->reference, &c->deadband) <= 0 &&
           edge_dec_distance(&w->max, &s->reference, &c->deadband) <= 0;
}

static void close_window(uint32_t index, bool partial) {
    struct window *w = &agg.tables.windows[index];
    struct series *s = &agg.tables.series[w->series];
    if (held_back(s, w)) {
        s->held++;
    } else {
        bool rounded = w->sum.rounded || w->square.rounded;
        emit_summary(w, (uint8_t)((partial ? FLAG_PARTIAL : 0) | (rounded ? FLAG_ROUNDED : 0)));
        s->reference = w->last;
        s->referenced = true;
        s->held = 0;
    }
    table_drop_window(&agg.tables, index);
}

static void close_due(struct series *s) {
    while (s->windows != NONE && closing(&agg.tables.windows[s->windows]) <= clock_of(s)) {
        close_window(s->windows, false);
    }
    if (s->windows != NONE) {
        note_due(s, s->windows);
    }
}

/* Windows are closed by start, then by series. */
static bool before(uint32_t a, uint32_t b) {
    const struct window *x = &agg.tables.windows[a];
    const struct window *y = &agg.tables.windows[b];
    return x->start != y->start ? x->start < y->start : x->series < y->series;
}

static void sift(uint32_t *heap, uint32_t at, uint32_t count) {
    uint32_t moved = heap[at];
    for (;;) {
        uint32_t child = 2 * at + 1;
        if (child >= count) {
            break;
        }
        if (child + 1 < count && before(heap[child], heap[child + 1])) {
            child++;
        }
        if (!before(moved, heap[child])) {
            break;
        }
        heap[at] = heap[child];
        at = child;
    }
    heap[at] = moved;
}

static void heap_sort(uint32_t *order, uint32_t count) {
    for (uint32_t at = count / 2; at-- != 0;) {
        sift(order, at, count);
    }
    while (count > 1) {
        uint32_t last = order[--count];
        order[count] = order[0];
        order[0] = last;
        sift(order, 0, count);
    }
}

enum sweep {
    DUE,   /* what is over */
    DRAIN, /* everything; what is not over is partial */
    BACK,  /* everything, as partial: the frames' clock was set back further than any lateness explains */
};

static void sweep(enum sweep mode) {
    struct tables *t = &agg.tables;
    uint32_t count = 0;
    bool sorted = true;
    agg.due = UINT64_MAX;
    for (uint32_t i = 0; i < t->series_used; i++) {
        const struct series *s = &t->series[i];
        if (s->windows == NONE) {
            continue;
        }
        uint64_t clock = clock_of(s);
        uint32_t index = s->windows;
        for (; index != NONE && (mode != DUE || closing(&t->windows[index]) <= clock); index = t->windows[index].next) {
            sorted = sorted && (count == 0 || before(t->order[count - 1], index));
            t->order[count++] = index;
        }
        if (index != NONE) {
            note_due(s, index);
        }
    }
    if (!sorted) {
        heap_sort(t->order, count);
    }
    for (uint32_t i = 0; i < count; i++) {
        const struct window *w = &t->windows[t->order[i]];
        bool over = mode == DUE || clock_of(&t->series[w->series]) >= w->start + agg.config.window;
        close_window(t->order[i], mode == BACK || !over);
    }
}

static void forget_clocks(void) {
    struct tables *t = &agg.tables;
    for (uint32_t i = 0; i < t->series_used; i++) {
        t->series[i].clocked = false;
        t->series[i].newest = 0;
        t->series[i].heard = 0;
    }
}

void engine_time(uint64_t seq, uint64_t now) {
    const struct config *c = &agg.config;
    agg.seq = seq;
    agg.now = now;
    if (!agg.started) {
        agg.started = true;
        agg.latest = now;
        agg.ticked = now;
    }
    bool back = now + c->window + c->lateness < agg.latest;
    if (back) {
        sweep(BACK);
        forget_clocks();
        agg.latest = now;
        agg.ticked = now;
    } else if (now > agg.latest) {
        agg.latest = now;
    }
    if (!agg.report.begun || back || now >= agg.report.start + c->window) {
        emit_report(now);
    }
}

void engine_tick(void) {
    agg.silence += since_tick(agg.now);
    agg.ticked = agg.now;
    if (agg.silence >= agg.due) {
        sweep(DUE);
    }
}

void engine_drain(void) {
    sweep(DRAIN);
    emit_report(agg.now);
}

static void accumulate(struct window *w, const struct edge_dec *number, uint64_t time) {
    if (w->count == 0) {
        w->min = *number;
        w->max = *number;
        w->first = *number;
        w->last = *number;
        w->last_time = time;
    } else {
        if (edge_dec_less(number, &w->min)) {
            w->min = *number;
        } else if (edge_dec_less(&w->max, number)) {
            w->max = *number;
        }
        if (time >= w->last_time) {
            w->last = *number;
            w->last_time = time;
        }
    }
    w->count++;
    edge_acc_add(&w->sum, number->mantissa, number->exponent);
    edge_acc_add_square(&w->square, number, &w->first);
    edge_sketch_add(&agg.tables.pool, &w->sketch, number);
}

/* The open window of a series that begins at start. */
static uint32_t find_window(const struct series *s, uint64_t start) {
    uint32_t index = s->windows;
    while (index != NONE && agg.tables.windows[index].start != start) {
        index = agg.tables.windows[index].next;
    }
    return index;
}

/* The beginning of the window that holds time. Nearly always that of the value before, which saves a division. */
static uint64_t window_start(uint64_t time) {
    if (time - agg.recent_start >= agg.config.window) {
        agg.recent_start = time - time % agg.config.window;
    }
    return agg.recent_start;
}

/* Count one value into a window of its series, which may be new. */
static void count_in(uint32_t index, uint32_t window, const struct edge_dec *number, uint64_t time) {
    struct tables *t = &agg.tables;
    struct series *s = &t->series[index];
    if (!s->clocked || time > clock_of(s)) {
        s->clocked = true;
        s->newest = time;
        s->heard = agg.silence + since_tick(agg.now);
    }
    accumulate(&t->windows[window], number, time);
    agg.report.values++;
    close_due(s);
}

static bool is_ahead(uint64_t time) {
    return agg.config.ahead != 0 && !agg.clock_unset && time > agg.now + agg.config.ahead;
}

static enum edge_reason count_known(uint32_t index, const struct edge_dec *number, uint64_t time) {
    const struct config *c = &agg.config;
    const struct series *s = &agg.tables.series[index];
    if (is_ahead(time)) {
        return EDGE_AHEAD;
    }
    uint64_t start = window_start(time);
    if (s->clocked && start + c->window + c->lateness <= clock_of(s)) {
        return EDGE_LATE;
    }
    uint32_t window = find_window(s, start);
    if (window == NONE) {
        window = table_add_window(&agg.tables, index, start);
        if (window == NONE) {
            return EDGE_WINDOW_LIMIT;
        }
    }
    count_in(index, window, number, time);
    return EDGE_OK;
}

static enum edge_reason count_new(struct origin *o, struct value *v, const struct series_name *name) {
    struct tables *t = &agg.tables;
    if (is_ahead(v->time)) {
        return EDGE_AHEAD;
    }
    if (t->free_window == NONE) {
        return EDGE_WINDOW_LIMIT;
    }
    if (o->source == NONE && edge_utf8_check(o->topic, o->topic + o->size) != o->topic + o->size) {
        return EDGE_NOT_UTF8; /* a summary's source is text */
    }
    v->series = table_add_series(t, &o->source, o->hash, o->topic, o->size, name);
    if (v->series == NONE) {
        return EDGE_SERIES_LIMIT;
    }
    t->series[v->series].taken = true;
    count_in(v->series, table_add_window(t, v->series, window_start(v->time)), &v->number, v->time);
    return EDGE_OK;
}

static enum edge_reason apply(struct origin *o, struct value *v) {
    struct tables *t = &agg.tables;
    v->series = NONE;
    if (v->reason == EDGE_TOO_LONG) {
        return EDGE_TOO_LONG; /* its field can't be looked up */
    }
    struct series_name name = {v->field, v->unit, v->field_size, v->unit_size};
    if (o->source != NONE) {
        v->series = table_find_series(t, table_series_hash(o->source, &name), o->source, &name);
    }
    bool taken = v->series == NONE ? config_takes(&agg.config, v->field, v->field_size) : t->series[v->series].taken;
    if (!taken) {
        v->series = NONE;
        return EDGE_OK; /* not asked for */
    }
    if (v->reason != EDGE_OK) {
        return (enum edge_reason)v->reason;
    }
    return v->series == NONE ? count_new(o, v, &name) : count_known(v->series, &v->number, v->time);
}

bool engine_apply(struct origin *o, struct value *values, uint32_t count) {
    bool all = true;
    for (uint32_t i = 0; i < count; i++) {
        if (!values[i].dead) {
            enum edge_reason reason = apply(o, &values[i]);
            if (reason != EDGE_OK) {
                agg.report.reasons[reason]++;
                all = false;
            }
        }
    }
    return all;
}

void engine_count(uint32_t series, const struct edge_dec *number, uint64_t time) {
    enum edge_reason reason = count_known(series, number, time);
    if (reason != EDGE_OK) {
        agg.report.reasons[reason]++;
    }
}
