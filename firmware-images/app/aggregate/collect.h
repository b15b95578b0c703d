/* A payload's values, collected before any of them counts: what is malformed at its end contributes nothing.
 *
 * Readers walk a payload and say what they meet; the collector names the values (path of keys joined by '.', array
 * elements by index), and drops those of a key that is said again in the same object: the last one wins. */
#ifndef AGGREGATE_COLLECT_H
#define AGGREGATE_COLLECT_H

#include "aggregate.h"

enum {
    MAX_VALUES = 512, /* numbers in one payload */
    MAX_KEYS = 1024,  /* keys in one payload */
    MAX_DEPTH = 32,
};

struct values {
    struct value items[MAX_VALUES];
    uint32_t count;
    uint32_t live;       /* of them, those that no later key replaced */
    uint32_t duplicates; /* keys that were said again */
    const uint8_t *time; /* where a JSON text states the event time (a string: between its quotes), or NULL */
    size_t time_size;
};
extern struct values values;

/* Begin a payload; every value gets this event time until collect_time. */
void collect_begin(void);

/* The next value is that of `key` in the current object. lasting: the bytes stay until the values are applied. */
enum edge_reason collect_key(const uint8_t *key, size_t size, bool lasting);
/* The next value is the next element of the current array. */
void collect_element(void);
/* The value is an object or an array; what follows is inside, until collect_close. Depth is the reader's business. */
void collect_open(void);
void collect_close(void);
/* The value is a number; fits says that it is in range; written is where it stands in a JSON text, or NULL. */
enum edge_reason collect_number(const struct edge_dec *number, bool fits, const uint8_t *written, size_t size);
/* The value is text: a number if all of it is one. */
enum edge_reason collect_text(const uint8_t *text, size_t size);

/* Whether a number is one that windows take. */
bool collect_in_range(const struct edge_dec *number);

/* A value with its own name, unit and time (SenML). */
enum edge_reason collect_named(const uint8_t *field, size_t field_size, const uint8_t *unit, size_t unit_size,
                               uint64_t time, const struct edge_dec *number, enum edge_reason reason);

/* Give all values this event time. */
void collect_time(uint64_t time);

/* ---- readers: EDGE_OK, or why the payload is refused and where ---- */

enum edge_reason read_json(const uint8_t *payload, size_t size, size_t *offset);
enum edge_reason read_cbor(const uint8_t *payload, size_t size, size_t *offset);
enum edge_reason read_senml_json(const uint8_t *payload, size_t size, size_t *offset);
enum edge_reason read_senml_cbor(const uint8_t *payload, size_t size, size_t *offset);

/* ---- event_time.c ---- */

/* A number of seconds or, from 10^11 on, milliseconds. False: not a time between 1970 and 9999. */
bool time_from_number(const struct edge_dec *number, uint64_t *ms);
/* ISO 8601 date and time; without a zone it is UTC. Digits beyond milliseconds are cut. Or a number. */
bool time_from_text(const uint8_t *text, size_t size, uint64_t *ms);

#endif
