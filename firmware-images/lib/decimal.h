/* Decimal numbers: no float reaches the protocol, and none is computed with. Nothing here needs compiler-rt. */
#ifndef EDGE_DECIMAL_H
#define EDGE_DECIMAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

__extension__ typedef __int128 edge_i128;
__extension__ typedef unsigned __int128 edge_u128;

/* mantissa * 10^exponent. At most 18 digits, no trailing decimal zero; zero is {0, 0}. */
struct edge_dec {
    int64_t mantissa;
    int8_t exponent;
};

enum { EDGE_DEC_DIGITS = 18, EDGE_ACC_DIGITS = 37 };

extern const uint64_t edge_pow10[20];

/* digits * 10^exponent, normalised; digits beyond 18 are rounded half to even, `sticky` saying that more digits, not
 * all zero, follow them. False: the exponent does not fit into -128..127 (out of range, too large or too small). */
bool edge_dec_make(struct edge_dec *out, bool negative, uint64_t digits, int64_t exponent, bool sticky);

/* A JSON number (RFC 8259 section 6) at p. Returns the first byte after it, NULL when there is none. *fits is false
 * when it is a number out of range. */
const uint8_t *edge_dec_scan(const uint8_t *p, const uint8_t *end, struct edge_dec *out, bool *fits);

/* IEEE 754 half, single or double (width 2, 4, 8) from its bits. False: not finite, or out of range. */
bool edge_dec_from_float(struct edge_dec *out, unsigned width, uint64_t bits);

/* Big-endian magnitude, as CBOR's bignums; negative means -1 - magnitude. */
bool edge_dec_from_big(struct edge_dec *out, bool negative, const uint8_t *bytes, size_t size);

/* -1, 0, 1; exact. */
int edge_dec_compare(const struct edge_dec *a, const struct edge_dec *b);

/* a < b, where exponents are mostly equal */
static inline bool edge_dec_less(const struct edge_dec *a, const struct edge_dec *b) {
    return a->exponent == b->exponent ? a->mantissa < b->mantissa : edge_dec_compare(a, b) < 0;
}

/* A sum: mantissa * 10^exponent with at most 37 digits. When more are needed, the last ones are rounded half to even
 * and `rounded` is set. (37, not 38: the sum of two such still fits into 127 bits.) */
struct edge_acc {
    edge_i128 mantissa;
    int32_t exponent;
    bool rounded;
};

/* |mantissa| < 10^37 */
void edge_acc_add(struct edge_acc *acc, edge_i128 mantissa, int32_t exponent);
/* Add (a - b)^2; the difference is rounded to 18 digits where it has more. */
void edge_acc_add_square(struct edge_acc *acc, const struct edge_dec *a, const struct edge_dec *b);
/* Remove trailing zeros; zero becomes {0, 0}. */
void edge_acc_normalise(struct edge_acc *acc);
/* -1, 0, 1: |a - b| against limit >= 0, exact up to 37 digits. */
int edge_dec_distance(const struct edge_dec *a, const struct edge_dec *b, const struct edge_dec *limit);

/* To an integer, multiplied by 10^scale and rounded half to even. False: it does not fit into 62 bits. */
bool edge_dec_to_int(const struct edge_dec *d, int scale, int64_t *out);
/* a + b to a decimal of 18 digits, rounded half to even. False: out of range. */
bool edge_dec_add(struct edge_dec *out, const struct edge_dec *a, const struct edge_dec *b);

struct edge_reader;
struct edge_item;
/* The CBOR number whose head has been read. False: it is none, or (see the reader's `failed`) malformed. */
bool edge_cbor_number(struct edge_reader *r, const struct edge_item *head, struct edge_dec *out, bool *fits);

struct edge_writer;
void edge_put_dec(struct edge_writer *w, const struct edge_dec *d);
/* The accumulator must be normalised. */
void edge_put_acc(struct edge_writer *w, const struct edge_acc *acc);

#endif
