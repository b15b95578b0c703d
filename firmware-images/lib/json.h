/* JSON (RFC 8259), strict, as a pull parser over bytes: one pass, no memory of its own. */
#ifndef EDGE_JSON_H
#define EDGE_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "decimal.h"

enum { EDGE_JSON_DEPTH = 32 };

enum edge_json_token {
    EDGE_JSON_END, /* the document is complete and only white space followed */
    EDGE_JSON_ERROR,
    EDGE_JSON_OBJECT,
    EDGE_JSON_OBJECT_END,
    EDGE_JSON_ARRAY,
    EDGE_JSON_ARRAY_END,
    EDGE_JSON_KEY,
    EDGE_JSON_STRING,
    EDGE_JSON_NUMBER,
    EDGE_JSON_TRUE,
    EDGE_JSON_FALSE,
    EDGE_JSON_NULL,
};

struct edge_json {
    const uint8_t *start;
    const uint8_t *at;
    const uint8_t *end;
    uint32_t objects; /* bit n: level n + 1 is an object */
    uint8_t depth;
    uint8_t expect;
    uint8_t reason;      /* after ERROR: an enum edge_reason; `at` is where */
    bool escaped;        /* KEY, STRING: has escapes, see edge_json_unescape */
    bool fits;           /* NUMBER: not out of range */
    const uint8_t *text; /* KEY, STRING: between the quotes; NUMBER: its digits */
    size_t size;
    struct edge_dec number;
};

void edge_json_init(struct edge_json *j, const uint8_t *bytes, size_t size);
enum edge_json_token edge_json_next(struct edge_json *j);

/* The text of a KEY or STRING without escapes. Returns its size, or SIZE_MAX when it is longer than limit. */
size_t edge_json_unescape(const uint8_t *text, size_t size, uint8_t *out, size_t limit);

#endif
