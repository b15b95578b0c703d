#ifndef EDGE_UTF8_H
#define EDGE_UTF8_H

#include <stddef.h>
#include <stdint.h>

/* Length of the well-formed sequence at p (RFC 3629: no surrogates, nothing overlong), 0 when there is none. */
size_t edge_utf8_sequence(const uint8_t *p, const uint8_t *end);

/* First byte that is not well-formed, or end. */
const uint8_t *edge_utf8_check(const uint8_t *p, const uint8_t *end);

/* Write a code point; returns its length, 1 to 4. */
size_t edge_utf8_put(uint8_t *p, uint32_t code);

#endif
