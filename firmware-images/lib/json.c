#include "json.h"

#include "../protocol/edge.h"
#include "mem.h"
#include "utf8.h"

enum expect { VALUE, VALUE_OR_END, KEY, KEY_OR_END, COMMA_OR_END, NOTHING };

/* What a byte means inside a string. */
enum { PLAIN, QUOTE, ESCAPE, CONTROL, MULTIBYTE };

#define ROW(x) x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x
static const uint8_t string_class[256] = {
    ROW(CONTROL),   ROW(CONTROL),   PLAIN,          PLAIN,          QUOTE,          PLAIN,          PLAIN,
    PLAIN,          PLAIN,          PLAIN,          PLAIN,          PLAIN,          PLAIN,          PLAIN,
    PLAIN,          PLAIN,          PLAIN,          PLAIN,          ROW(PLAIN),     ROW(PLAIN),     PLAIN,
    PLAIN,          PLAIN,          PLAIN,          PLAIN,          PLAIN,          PLAIN,          PLAIN,
    PLAIN,          PLAIN,          PLAIN,          PLAIN,          ESCAPE,         PLAIN,          PLAIN,
    PLAIN,          ROW(PLAIN),     ROW(PLAIN),     ROW(MULTIBYTE), ROW(MULTIBYTE), ROW(MULTIBYTE), ROW(MULTIBYTE),
    ROW(MULTIBYTE), ROW(MULTIBYTE), ROW(MULTIBYTE), ROW(MULTIBYTE),
};

void edge_json_init(struct edge_json *j, const uint8_t *bytes, size_t size) {
    j->start = bytes;
    j->at = bytes;
    j->end = bytes + size;
    j->objects = 0;
    j->depth = 0;
    j->expect = VALUE;
    j->reason = EDGE_OK;
}

static enum edge_json_token fail(struct edge_json *j, const uint8_t *at, enum edge_reason reason) {
    j->at = at;
    j->reason = (uint8_t)reason;
    return EDGE_JSON_ERROR;
}

/* Four hexadecimal digits, or -1. */
static int32_t hex4(const uint8_t *p, const uint8_t *end) {
    int32_t value = 0;
    if (end - p < 4) {
        return -1;
    }
    for (int i = 0; i < 4; i++) {
        uint8_t c = p[i];
        uint8_t letter = c | 0x20;
        if ((uint8_t)(c - '0') <= 9) {
            value = value << 4 | (c - '0');
        } else if (letter >= 'a' && letter <= 'f') {
            value = value << 4 | (letter - 'a' + 10);
        } else {
            return -1;
        }
    }
    return value;
}

enum { HIGH_SURROGATE = 0xD800, LOW_SURROGATE = 0xDC00, PAST_SURROGATES = 0xE000 };

/* The escape at p (a backslash). Returns its length and the code point; 0 when malformed, with why. */
static size_t escape(const uint8_t *p, const uint8_t *end, uint32_t *code, enum edge_reason *reason) {
    static const uint8_t from[] = "\"\\/bfnrt";
    static const uint8_t to[] = "\"\\/\b\f\n\r\t";
    *reason = EDGE_MALFORMED_JSON;
    if (end - p < 2) {
        return 0;
    }
    if (p[1] != 'u') {
        for (size_t i = 0; i < sizeof from - 1; i++) {
            if (p[1] == from[i]) {
                *code = to[i];
                return 2;
            }
        }
        return 0;
    }
    int32_t high = hex4(p + 2, end);
    if (high < 0) {
        return 0;
    }
    if (high < HIGH_SURROGATE || high >= PAST_SURROGATES) {
        *code = (uint32_t)high;
        return 6;
    }
    *reason = EDGE_NOT_UTF8; /* half a pair is no character */
    if (high >= LOW_SURROGATE || end - p < 12 || p[6] != '\\' || p[7] != 'u') {
        return 0;
    }
    int32_t low = hex4(p + 8, end);
    if (low < LOW_SURROGATE || low >= PAST_SURROGATES) {
        return 0;
    }
    *code = 0x10000u + ((uint32_t)(high - HIGH_SURROGATE) << 10) + (uint32_t)(low - LOW_SURROGATE);
    return 12;
}

/* The string whose first byte after the quote is p. */
static enum edge_json_token string(struct edge_json *j, const uint8_t *p, enum edge_json_token token) {
    const uint8_t *end = j->end;
    j->text = p;
    j->escaped = false;
    for (;;) {
        while (p < end && string_class[*p] == PLAIN) {
            p++;
        }
        if (p >= end) {
            return fail(j, end, EDGE_MALFORMED_JSON);
        }
        size_t n;
        uint32_t code;
        enum edge_reason reason;
        switch (string_class[*p]) {
        case QUOTE:
            j->size = (size_t)(p - j->text);
            j->at = p + 1;
            return token;
        case ESCAPE:
            n = escape(p, end, &code, &reason);
            if (n == 0) {
                return fail(j, p, reason);
            }
            j->escaped = true;
            p += n;
            break;
        case MULTIBYTE:
            n = edge_utf8_sequence(p, end);
            if (n == 0) {
                return fail(j, p, EDGE_NOT_UTF8);
            }
            p += n;
            break;
        default:
            return fail(j, p, EDGE_MALFORMED_JSON);
        }
    }
}

size_t edge_json_unescape(const uint8_t *text, size_t size, uint8_t *out, size_t limit) {
    const uint8_t *end = text + size;
    size_t used = 0;
    while (text < end) {
        uint8_t bytes[4];
        size_t n = 1;
        uint32_t code;
        enum edge_reason reason;
        if (*text == '\\') {
            text += escape(text, end, &code, &reason);
            n = edge_utf8_put(bytes, code);
        } else {
            bytes[0] = *text++;
        }
        if (n > limit - used) {
            return SIZE_MAX;
        }
        memcpy(out + used, bytes, n);
        used += n;
    }
    return used;
}

static const uint8_t *blanks(const uint8_t *p, const uint8_t *end) {
    if (p<end && * p> ' ') {
        return p;
    }
    while (p < end && (*p == ' ' || *p == '\n' || *p == '\r' || *p == '\t')) {
        p++;
    }
    return p;
}

static enum edge_json_token word(struct edge_json *j, const char *text, size_t size, enum edge_json_token token) {
    if ((size_t)(j->end - j->at) < size || memcmp(j->at, text, size) != 0) {
        return fail(j, j->at, EDGE_MALFORMED_JSON);
    }
    j->at += size;
    return token;
}

static enum edge_json_token begin(struct edge_json *j, const uint8_t *p, bool object) {
    if (j->depth == EDGE_JSON_DEPTH) {
        return fail(j, p, EDGE_TOO_DEEP);
    }
    uint32_t bit = (uint32_t)1 << j->depth;
    j->objects = object ? j->objects | bit : j->objects & ~bit;
    j->depth++;
    j->at = p + 1;
    j->expect = object ? KEY_OR_END : VALUE_OR_END;
    return object ? EDGE_JSON_OBJECT : EDGE_JSON_ARRAY;
}

static bool in_object(const struct edge_json *j) {
    return (j->objects >> (j->depth - 1u) & 1) != 0;
}

static enum edge_json_token finish(struct edge_json *j, const uint8_t *p) {
    bool object = in_object(j);
    j->depth--;
    j->at = p + 1;
    j->expect = j->depth == 0 ? NOTHING : COMMA_OR_END;
    return object ? EDGE_JSON_OBJECT_END : EDGE_JSON_ARRAY_END;
}

static enum edge_json_token value(struct edge_json *j, const uint8_t *p) {
    j->at = p;
    j->expect = j->depth == 0 ? NOTHING : COMMA_OR_END;
    switch (*p) {
    case '"':
        return string(j, p + 1, EDGE_JSON_STRING);
    case '{':
        return begin(j, p, true);
    case '[':
        return begin(j, p, false);
    case 't':
        return word(j, "true", 4, EDGE_JSON_TRUE);
    case 'f':
        return word(j, "false", 5, EDGE_JSON_FALSE);
    case 'n':
        return word(j, "null", 4, EDGE_JSON_NULL);
    default:
        break;
    }
    const uint8_t *after = edge_dec_scan(p, j->end, &j->number, &j->fits);
    if (after == NULL) {
        return fail(j, p, EDGE_MALFORMED_JSON);
    }
    j->text = p;
    j->size = (size_t)(after - p);
    j->at = after;
    return EDGE_JSON_NUMBER;
}

static enum edge_json_token key(struct edge_json *j, const uint8_t *p) {
    if (*p != '"') {
        return fail(j, p, EDGE_MALFORMED_JSON);
    }
    if (string(j, p + 1, EDGE_JSON_KEY) == EDGE_JSON_ERROR) {
        return EDGE_JSON_ERROR;
    }
    p = blanks(j->at, j->end);
    if (p == j->end || *p != ':') {
        return fail(j, p, EDGE_MALFORMED_JSON);
    }
    j->at = p + 1;
    j->expect = VALUE;
    return EDGE_JSON_KEY;
}

enum edge_json_token edge_json_next(struct edge_json *j) {
    if (j->reason != EDGE_OK) {
        return EDGE_JSON_ERROR;
    }
    const uint8_t *p = blanks(j->at, j->end);
    if (p == j->end) {
        return j->expect == NOTHING ? EDGE_JSON_END : fail(j, p, EDGE_MALFORMED_JSON);
    }
    uint8_t expect = j->expect;
    if (expect == COMMA_OR_END) {
        bool object = in_object(j);
        if (*p == (object ? '}' : ']')) {
            return finish(j, p);
        }
        if (*p != ',') {
            return fail(j, p, EDGE_MALFORMED_JSON);
        }
        p = blanks(p + 1, j->end);
        if (p == j->end) {
            return fail(j, p, EDGE_MALFORMED_JSON);
        }
        expect = object ? KEY : VALUE;
    }
    switch (expect) {
    case KEY_OR_END:
        return *p == '}' ? finish(j, p) : key(j, p);
    case KEY:
        return key(j, p);
    case VALUE_OR_END:
        return *p == ']' ? finish(j, p) : value(j, p);
    case VALUE:
        return value(j, p);
    default:
        return fail(j, p, EDGE_TRAILING_BYTES);
    }
}
