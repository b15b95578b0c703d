#include "config.h"

#include "../../lib/cbor.h"
#include "../../lib/mem.h"

#include "../../lib/cold.h" /* last */

enum {
    MIN_WINDOW = 1000,
    MAX_WINDOW = 86400000,
    MAX_AHEAD = 2000000000,
    PER_MILLE = 1000,
    KEYS = 11,
    WIDEST_EXPONENT = 40,
};

struct number_row {
    const char *key;
    uint64_t low, high;
    const char *refusal;
};

enum { WINDOW, LATENESS, AHEAD, SERIES, WINDOWS, BUCKETS, HEARTBEAT, NUMBERS };
enum { QUANTILES = NUMBERS, TIMES, FIELDS, DEADBAND };

static const struct number_row numbers[NUMBERS] = {
    {"window", MIN_WINDOW, MAX_WINDOW, "window must be 1000..86400000 ms"},
    {"lateness", 0, MAX_WINDOW, "lateness must be 0..window ms"},
    {"ahead", 0, MAX_AHEAD, "ahead must be 0..2000000000 ms"},
    {"series", 1, MAX_SERIES, "series must be 1..100000"},
    {"windows", 1, MAX_WINDOWS, "windows must be 1..400000"},
    {"buckets", MIN_BUCKETS, MAX_BUCKETS, "buckets must be 4..4096"},
    {"heartbeat", 0, UINT32_MAX, "heartbeat must be 0..4294967295"},
};
static const char *const others[KEYS - NUMBERS] = {"quantiles", "times", "fields", "deadband"};

static bool is(const char *name, const uint8_t *text, size_t size) {
    return strlen(name) == size && memcmp(name, text, size) == 0;
}

static int key_index(const uint8_t *text, size_t size) {
    for (int i = 0; i < KEYS; i++) {
        if (is(i < NUMBERS ? numbers[i].key : others[i - NUMBERS], text, size)) {
            return i;
        }
    }
    return -1;
}

static bool read_quantiles(struct config *c, struct edge_reader *r) {
    struct edge_item head;
    if (!edge_read(r, &head) || head.kind != EDGE_ARRAY) {
        return false;
    }
    uint64_t left = head.value;
    while (edge_more(r, &left, head.indefinite)) {
        uint64_t value;
        if (c->quantile_count == MAX_QUANTILES || !edge_read_uint(r, &value) || value > PER_MILLE) {
            return false;
        }
        c->quantiles[c->quantile_count++] = (uint16_t)value;
    }
    return !r->failed;
}

static bool read_names(struct edge_reader *r, struct name *names, uint32_t limit, uint32_t *count) {
    struct edge_item head;
    if (!edge_read(r, &head) || head.kind != EDGE_ARRAY) {
        return false;
    }
    uint64_t left = head.value;
    while (edge_more(r, &left, head.indefinite)) {
        const uint8_t *text;
        size_t size;
        if (*count == limit || !edge_read_string(r, EDGE_TEXT, &text, &size) || size > MAX_NAME) {
            return false;
        }
        struct name *name = &names[(*count)++];
        memcpy(name->bytes, text, size);
        name->size = (uint8_t)size;
    }
    return !r->failed;
}

static bool read_deadband(struct config *c, struct edge_reader *r) {
    bool indefinite;
    struct edge_item exponent;
    struct edge_item mantissa;
    if (!edge_read_array(r, 2, &indefinite) || !edge_read(r, &exponent) || exponent.kind > EDGE_NINT ||
        exponent.value > WIDEST_EXPONENT || !edge_read(r, &mantissa) || mantissa.kind != EDGE_UINT ||
        mantissa.value >= edge_pow10[EDGE_DEC_DIGITS] || !edge_read_close(r, indefinite)) {
        return false;
    }
    int64_t power = (int64_t)exponent.value;
    return edge_dec_make(&c->deadband, false, mantissa.value, exponent.kind == EDGE_NINT ? -1 - power : power, false);
}

static const char *read_key(struct config *c, struct edge_reader *r, int key) {
    uint64_t value;
    if (key < NUMBERS) {
        if (!edge_read_uint(r, &value) || value < numbers[key].low || value > numbers[key].high) {
            return numbers[key].refusal;
        }
        switch (key) {
        case WINDOW:
            c->window = value;
            break;
        case LATENESS:
            c->lateness = value;
            break;
        case AHEAD:
            c->ahead = value;
            break;
        case SERIES:
            c->series = (uint32_t)value;
            break;
        case WINDOWS:
            c->windows = (uint32_t)value;
            break;
        case BUCKETS:
            c->buckets = (uint32_t)value;
            break;
        default:
            c->heartbeat = (uint32_t)value;
        }
        return NULL;
    }
    switch (key) {
    case QUANTILES:
        return read_quantiles(c, r) ? NULL : "quantiles must be at most 16 numbers 0..1000";
    case TIMES:
        return read_names(r, c->times, MAX_TIMES, &c->time_count) ? NULL : "times must be at most 8 names of 65 bytes";
    case FIELDS:
        return read_names(r, c->fields, MAX_FIELDS, &c->field_count) ? NULL
                                                                     : "fields must be at most 64 names of 65 bytes";
    default:
        return read_deadband(c, r) ? NULL : "deadband must be [exponent -41..40, mantissa 0..10^18-1]";
    }
}

const char *config_read(struct config *c, struct edge_reader *r) {
    struct edge_item head;
    uint32_t seen = 0;
    memset(c, 0, sizeof *c);
    if (!edge_read(r, &head) || head.kind != EDGE_MAP) {
        return "config is not a map";
    }
    uint64_t left = head.value;
    while (edge_more(r, &left, head.indefinite)) {
        const uint8_t *text;
        size_t size;
        if (!edge_read_string(r, EDGE_TEXT, &text, &size)) {
            return "config has a key that is no text";
        }
        int key = key_index(text, size);
        if (key < 0) {
            return "config has an unknown key";
        }
        if ((seen >> key & 1) != 0) {
            return "config has a key twice";
        }
        seen |= 1u << key;
        const char *refusal = read_key(c, r, key);
        if (refusal != NULL) {
            return refusal;
        }
    }
    if (r->failed) {
        return "config is truncated";
    }
    if (seen != (1u << KEYS) - 1) {
        return "config lacks a key";
    }
    if (c->lateness > c->window) {
        return numbers[LATENESS].refusal;
    }
    for (uint32_t i = 0; i < c->field_count; i++) {
        struct name *name = &c->fields[i];
        if (name->size != 0 && name->bytes[name->size - 1] == '*') {
            name->prefix = true;
            name->size--;
        }
    }
    return NULL;
}

bool config_takes(const struct config *c, const uint8_t *field, size_t size) {
    for (uint32_t i = 0; i < c->field_count; i++) {
        const struct name *name = &c->fields[i];
        if ((name->prefix ? size >= name->size : size == name->size) && memcmp(name->bytes, field, name->size) == 0) {
            return true;
        }
    }
    return c->field_count == 0;
}

int config_time(const struct config *c, const uint8_t *key, size_t size) {
    for (uint32_t i = 0; i < c->time_count; i++) {
        if (c->times[i].size == size && memcmp(c->times[i].bytes, key, size) == 0) {
            return (int)i;
        }
    }
    return -1;
}

#pragma clang attribute pop
