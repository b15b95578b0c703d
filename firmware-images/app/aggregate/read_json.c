/* JSON objects, arrays and bare values: every number in them, wherever it lies. */
#include "collect.h"

#include "../../lib/json.h"

enum {
    UNESCAPED = 256, /* keys and numbers with escapes that are longer than this stay as they are written */
    NO_TIME = -1,
};

struct reading {
    struct edge_json json;
    uint8_t buffer[UNESCAPED];
    int time_key;   /* the `times` name whose value comes next, or NO_TIME */
    int time_found; /* the first of `times` met so far */
    bool time_valid;
    uint64_t time;
    size_t time_offset; /* where its value stands */
    uint32_t ignored;   /* levels of a `times` value that is no time */
};

/* A key's or string's text without escapes; *lasting says that it lies in the payload. */
static const uint8_t *text_of(struct reading *r, size_t *size, bool *lasting) {
    const struct edge_json *j = &r->json;
    *size = j->size;
    *lasting = true;
    if (j->escaped) {
        size_t unescaped = edge_json_unescape(j->text, j->size, r->buffer, sizeof r->buffer);
        if (unescaped != SIZE_MAX) {
            *size = unescaped;
            *lasting = false;
            return r->buffer;
        }
    }
    return j->text;
}

static enum edge_reason take_key(struct reading *r) {
    size_t size;
    bool lasting;
    const uint8_t *text = text_of(r, &size, &lasting);
    if (r->json.depth == 1 && agg.config.time_count != 0) {
        r->time_key = config_time(&agg.config, text, size);
    }
    return collect_key(text, size, lasting);
}

/* The value of a `times` key. null counts as absent. */
static void take_time(struct reading *r, enum edge_json_token token, size_t offset) {
    uint64_t time = 0;
    bool valid = false;
    size_t size;
    bool lasting;
    if (token == EDGE_JSON_NUMBER) {
        valid = r->json.fits && time_from_number(&r->json.number, &time);
    } else if (token == EDGE_JSON_STRING) {
        const uint8_t *text = text_of(r, &size, &lasting);
        valid = time_from_text(text, size, &time);
    }
    if (token != EDGE_JSON_NULL && (r->time_found == NO_TIME || r->time_key <= r->time_found)) {
        r->time_found = r->time_key;
        r->time_valid = valid;
        r->time = time;
        r->time_offset = offset;
        values.time = r->json.text;
        values.time_size = r->json.size;
    }
    r->time_key = NO_TIME;
    if (token == EDGE_JSON_OBJECT || token == EDGE_JSON_ARRAY) {
        r->ignored = 1;
    }
}

static enum edge_reason take_value(struct reading *r, enum edge_json_token token) {
    size_t size;
    bool lasting;
    struct edge_dec truth = {token == EDGE_JSON_TRUE, 0};
    const uint8_t *text;
    switch (token) {
    case EDGE_JSON_OBJECT:
    case EDGE_JSON_ARRAY:
        collect_open();
        return EDGE_OK;
    case EDGE_JSON_NUMBER:
        return collect_number(&r->json.number, r->json.fits, r->json.text, r->json.size);
    case EDGE_JSON_TRUE:
    case EDGE_JSON_FALSE:
        return collect_number(&truth, true, NULL, 0);
    case EDGE_JSON_STRING:
        text = text_of(r, &size, &lasting);
        return collect_text(text, size);
    default:
        return EDGE_OK;
    }
}

/* Inside of a value that is skipped: only its end matters. */
static void pass(struct reading *r, enum edge_json_token token) {
    if (token == EDGE_JSON_OBJECT || token == EDGE_JSON_ARRAY) {
        r->ignored++;
    } else if (token == EDGE_JSON_OBJECT_END || token == EDGE_JSON_ARRAY_END) {
        r->ignored--;
    }
}

static bool in_array(const struct edge_json *j) {
    return j->depth != 0 && (j->objects >> (j->depth - 1u) & 1) == 0;
}

enum edge_reason read_json(const uint8_t *payload, size_t size, size_t *offset) {
    struct reading r;
    r.time_key = NO_TIME;
    r.time_found = NO_TIME;
    r.ignored = 0;
    edge_json_init(&r.json, payload, size);
    for (;;) {
        bool element = in_array(&r.json);
        enum edge_json_token token = edge_json_next(&r.json);
        enum edge_reason reason = EDGE_OK;
        size_t at = (size_t)(r.json.at - payload);
        switch (token) {
        case EDGE_JSON_ERROR:
            *offset = at;
            return (enum edge_reason)r.json.reason;
        case EDGE_JSON_END:
            if (r.time_found != NO_TIME) {
                if (!r.time_valid) {
                    *offset = r.time_offset;
                    return EDGE_BAD_TIME;
                }
                collect_time(r.time);
            } else {
                collect_time(agg.now);
            }
            return EDGE_OK;
        case EDGE_JSON_KEY:
            if (r.ignored == 0) {
                reason = take_key(&r);
            }
            break;
        case EDGE_JSON_OBJECT_END:
        case EDGE_JSON_ARRAY_END:
            if (r.ignored == 0) {
                collect_close();
            } else {
                pass(&r, token);
            }
            break;
        default:
            if (r.ignored != 0) {
                pass(&r, token);
            } else if (r.time_key != NO_TIME) {
                take_time(&r, token, at);
            } else {
                if (element) {
                    collect_element();
                }
                reason = take_value(&r, token);
            }
        }
        if (reason != EDGE_OK) {
            *offset = at;
            return reason;
        }
    }
}
