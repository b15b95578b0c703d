/* CBOR (RFC 8949) without memory of its own: a pull reader over bytes, and a writer into bytes. */
#ifndef EDGE_CBOR_H
#define EDGE_CBOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* ---- reader ---- */

struct edge_reader {
    const uint8_t *start;
    const uint8_t *at;
    const uint8_t *end;
    bool failed; /* sticky: after a failure every call returns false; `at` stays where it failed */
};

enum edge_kind { /* the major types; FLOAT, SIMPLE and BREAK share major type 7 */
                 EDGE_UINT,
                 EDGE_NINT,
                 EDGE_BYTES,
                 EDGE_TEXT,
                 EDGE_ARRAY,
                 EDGE_MAP,
                 EDGE_TAG,
                 EDGE_SIMPLE,
                 EDGE_FLOAT,
                 EDGE_BREAK,
};

struct edge_item {
    uint8_t kind;
    bool indefinite;      /* strings, arrays, maps: pieces or items follow, up to a BREAK */
    uint8_t width;        /* FLOAT: 2, 4 or 8 bytes */
    uint64_t value;       /* integer (NINT: -1 - value), length, number of items or pairs, tag, simple, float's bits */
    const uint8_t *bytes; /* definite strings: the content, already passed */
};

void edge_reader_init(struct edge_reader *r, const uint8_t *bytes, size_t size);

/* One head, with the content of a definite string. False: malformed or truncated. */
bool edge_read(struct edge_reader *r, struct edge_item *item);

/* One whole item of any shape. depth bounds nesting: 0 allows no container. */
bool edge_skip(struct edge_reader *r, unsigned depth);

/* What follows is the rest of an item whose head has been read. */
bool edge_skip_rest(struct edge_reader *r, const struct edge_item *head, unsigned depth);

/* Exactly this, or failure. Strings must be definite. */
bool edge_read_uint(struct edge_reader *r, uint64_t *value);
bool edge_read_string(struct edge_reader *r, enum edge_kind kind, const uint8_t **bytes, size_t *size);
/* Array of exactly `count` items; an indefinite one must be closed with edge_read_close. */
bool edge_read_array(struct edge_reader *r, uint64_t count, bool *indefinite);
bool edge_read_close(struct edge_reader *r, bool indefinite);
/* No bytes are left. */
bool edge_read_end(struct edge_reader *r);

/* Iterate a container of `left` items (ignored if indefinite): false at its end, which is passed. */
bool edge_more(struct edge_reader *r, uint64_t *left, bool indefinite);

/* ---- writer ---- */

struct edge_writer {
    uint8_t *start;
    uint8_t *at;
    uint8_t *end;
    bool full; /* sticky: something did not fit */
};

void edge_writer_init(struct edge_writer *w, uint8_t *bytes, size_t size);
size_t edge_written(const struct edge_writer *w);
/* Head only: kind UINT..TAG with its argument. */
void edge_put_head(struct edge_writer *w, enum edge_kind kind, uint64_t value);
void edge_put_uint(struct edge_writer *w, uint64_t value);
void edge_put_int(struct edge_writer *w, int64_t value);
void edge_put_text(struct edge_writer *w, const char *text);
void edge_put_string(struct edge_writer *w, enum edge_kind kind, const uint8_t *bytes, size_t size);
void edge_put_raw(struct edge_writer *w, const uint8_t *bytes, size_t size);

#endif
