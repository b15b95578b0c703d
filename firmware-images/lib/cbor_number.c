/* Numbers in CBOR: integers, floats, bignums (tags 2, 3) and decimal fractions (tag 4). */
#include "cbor.h"
#include "decimal.h"

#include "cold.h" /* last */

enum { TAG_BIG = 2, TAG_NEGATIVE_BIG = 3, TAG_DECIMAL = 4 };

static bool from_uint(struct edge_dec *out, bool negative, uint64_t value, int64_t exponent) {
    if (negative && value == UINT64_MAX) { /* -2^64; one more than fits, rounded to 18 digits anyway */
        return edge_dec_make(out, true, 1844674407370955161u, exponent + 1, true);
    }
    return edge_dec_make(out, negative, value + negative, exponent, false);
}

static bool fraction(struct edge_reader *r, struct edge_dec *out, bool *fits) {
    bool indefinite;
    struct edge_item power;
    struct edge_item mantissa;
    if (!edge_read_array(r, 2, &indefinite)) {
        return false;
    }
    if (!edge_read(r, &power) || power.kind > EDGE_NINT || !edge_read(r, &mantissa)) {
        r->failed = true;
        return false;
    }
    int64_t exponent = power.value > INT32_MAX ? INT32_MAX : (int64_t)power.value;
    exponent = power.kind == EDGE_NINT ? -1 - exponent : exponent;
    if (mantissa.kind <= EDGE_NINT) {
        *fits = from_uint(out, mantissa.kind == EDGE_NINT, mantissa.value, exponent);
    } else if (mantissa.kind == EDGE_TAG && (mantissa.value == TAG_BIG || mantissa.value == TAG_NEGATIVE_BIG)) {
        const uint8_t *bytes;
        size_t size;
        if (!edge_read_string(r, EDGE_BYTES, &bytes, &size)) {
            return false;
        }
        *fits = edge_dec_from_big(out, mantissa.value == TAG_NEGATIVE_BIG, bytes, size);
        exponent += out->exponent;
        *fits = *fits && exponent >= INT8_MIN && exponent <= INT8_MAX;
        out->exponent = (int8_t)(*fits && out->mantissa != 0 ? exponent : 0);
    } else {
        r->failed = true;
        return false;
    }
    return edge_read_close(r, indefinite);
}

bool edge_cbor_number(struct edge_reader *r, const struct edge_item *head, struct edge_dec *out, bool *fits) {
    const uint8_t *bytes;
    size_t size;
    switch (head->kind) {
    case EDGE_UINT:
    case EDGE_NINT:
        *fits = from_uint(out, head->kind == EDGE_NINT, head->value, 0);
        return true;
    case EDGE_FLOAT:
        *fits = edge_dec_from_float(out, head->width, head->value);
        return true;
    case EDGE_TAG:
        if (head->value == TAG_DECIMAL) {
            return fraction(r, out, fits);
        }
        if (head->value == TAG_BIG || head->value == TAG_NEGATIVE_BIG) {
            if (!edge_read_string(r, EDGE_BYTES, &bytes, &size)) {
                return false;
            }
            *fits = edge_dec_from_big(out, head->value == TAG_NEGATIVE_BIG, bytes, size);
            return true;
        }
        return false;
    default:
        return false;
    }
}

#pragma clang attribute pop
