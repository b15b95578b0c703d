/* Sums in 128 bits. Division is by at most 10^9 at a time, in 32-bit digits, so that no compiler-rt call is needed. */
#include "bytes.h"
#include "cbor.h"
#include "decimal.h"

enum { LIMBS = 4, STEP_DIGITS = 9, BIG_LIMIT = 16 };

static edge_u128 magnitude(edge_i128 value) {
    return value < 0 ? 0 - (edge_u128)value : (edge_u128)value;
}

/* 64 x 64 -> 128 and 128 x 64 -> 128 (which must fit), in a form every target has an instruction for. */
static edge_u128 times(edge_u128 a, uint64_t b) {
    edge_u128 low = (edge_u128)(uint64_t)a * b;
    uint64_t high = (uint64_t)(a >> 64) * b;
    return low + ((edge_u128)high << 64);
}

/* value / divisor, remainder returned. */
static uint32_t divide(edge_u128 *value, uint32_t divisor) {
    uint64_t high = (uint64_t)(*value >> 64);
    uint64_t low = (uint64_t)*value;
    uint32_t limbs[LIMBS] = {(uint32_t)(high >> 32), (uint32_t)high, (uint32_t)(low >> 32), (uint32_t)low};
    uint64_t rest = 0;
    for (unsigned i = 0; i < LIMBS; i++) {
        rest = rest << 32 | limbs[i];
        limbs[i] = (uint32_t)(rest / divisor);
        rest %= divisor;
    }
    *value = (edge_u128)((uint64_t)limbs[0] << 32 | limbs[1]) << 64 | ((uint64_t)limbs[2] << 32 | limbs[3]);
    return (uint32_t)rest;
}

static edge_u128 power(unsigned n) {
    return n <= EDGE_DEC_DIGITS ? (edge_u128)edge_pow10[n]
                                : times(edge_pow10[EDGE_DEC_DIGITS], edge_pow10[n - EDGE_DEC_DIGITS]);
}

/* 10^37 */
static const edge_u128 limit = (edge_u128)1000000000000000000u * 10000000000000000000u;

/* How often value can be multiplied by ten before it has more than 37 digits. */
static unsigned headroom(edge_u128 value) {
    unsigned n = 0;
    while (n < EDGE_ACC_DIGITS && value < power(EDGE_ACC_DIGITS - 1 - n)) {
        n++;
    }
    return n;
}

/* Drop n decimal digits, rounding half to even. Returns whether it was inexact. */
static bool drop(edge_u128 *value, int64_t n) {
    bool sticky = false;
    uint32_t last = 0; /* the most significant dropped digit */
    if (n > EDGE_ACC_DIGITS + 1) {
        bool inexact = *value != 0;
        *value = 0;
        return inexact;
    }
    while (n > 0) {
        unsigned step = n > STEP_DIGITS ? STEP_DIGITS : (unsigned)n;
        uint32_t rest = divide(value, (uint32_t)edge_pow10[step]);
        uint32_t unit = (uint32_t)edge_pow10[step - 1];
        sticky = sticky || last != 0 || rest % unit != 0;
        last = rest / unit;
        n -= step;
    }
    if (last > 5 || (last == 5 && (sticky || (*value & 1) != 0))) {
        *value += 1;
    }
    return sticky || last != 0;
}

static edge_i128 with_sign(edge_u128 value, bool negative) {
    return negative ? -(edge_i128)value : (edge_i128)value;
}

/* Bring both to one exponent: the higher one down as far as 37 digits allow, then the lower one up, rounding. */
static void align(struct edge_acc *high, struct edge_acc *low) {
    edge_u128 h = magnitude(high->mantissa);
    int64_t gap = (int64_t)high->exponent - low->exponent;
    int64_t up = gap;
    if (h >= edge_pow10[EDGE_DEC_DIGITS] || gap > EDGE_DEC_DIGITS) { /* else there is room */
        int64_t room = headroom(h);
        up = gap < room ? gap : room;
    }
    high->exponent -= (int32_t)up;
    for (; up > 0; up -= EDGE_DEC_DIGITS) {
        h = times(h, edge_pow10[up < EDGE_DEC_DIGITS ? up : EDGE_DEC_DIGITS]);
    }
    high->mantissa = with_sign(h, high->mantissa < 0);
    gap = (int64_t)high->exponent - low->exponent;
    if (gap > 0) {
        edge_u128 l = magnitude(low->mantissa);
        bool inexact = drop(&l, gap);
        low->mantissa = with_sign(l, low->mantissa < 0);
        low->exponent = high->exponent;
        low->rounded = low->rounded || inexact;
    }
}

/* Rounded to at most `digits` (18 or 37) digits. */
static void fit(struct edge_acc *acc, edge_u128 bound) {
    edge_u128 m = magnitude(acc->mantissa);
    while (m >= bound) {
        bool inexact = drop(&m, 1);
        acc->rounded = acc->rounded || inexact;
        acc->mantissa = with_sign(m, acc->mantissa < 0);
        acc->exponent++;
    }
}

/* 10^37, without what lies below 2^64: a sum whose high word stays within this needs no rounding. */
static const int64_t safe_high = 542101086242752217;

void edge_acc_add(struct edge_acc *acc, edge_i128 mantissa, int32_t exponent) {
    if (exponent == acc->exponent) { /* nearly always */
        edge_i128 sum = acc->mantissa + mantissa;
        int64_t high = (int64_t)((edge_u128)sum >> 64);
        if (acc->mantissa != 0 && high < safe_high && high > -safe_high) {
            acc->mantissa = sum;
            return;
        }
    }
    if (mantissa == 0) {
        return;
    }
    if (acc->mantissa == 0) {
        acc->mantissa = mantissa;
        acc->exponent = exponent;
        return;
    }
    if (exponent != acc->exponent) {
        struct edge_acc other = {mantissa, exponent, false};
        if (exponent > acc->exponent) {
            align(&other, acc);
        } else {
            align(acc, &other);
        }
        mantissa = other.mantissa;
        acc->rounded = acc->rounded || other.rounded;
    }
    acc->mantissa += mantissa;
    if ((uint64_t)(magnitude(acc->mantissa) >> 64) >= (uint64_t)(limit >> 64)) {
        fit(acc, limit);
    }
}

void edge_acc_add_square(struct edge_acc *acc, const struct edge_dec *a, const struct edge_dec *b) {
    struct edge_acc difference = {a->mantissa, a->exponent, false};
    if (a->exponent == b->exponent) {
        difference.mantissa = a->mantissa - b->mantissa;
    } else {
        edge_acc_add(&difference, -(edge_i128)b->mantissa, b->exponent);
    }
    if (difference.mantissa == 0) {
        return;
    }
    edge_u128 m = magnitude(difference.mantissa);
    if (m >= edge_pow10[EDGE_DEC_DIGITS]) {
        fit(&difference, edge_pow10[EDGE_DEC_DIGITS]);
        m = magnitude(difference.mantissa);
    }
    acc->rounded = acc->rounded || difference.rounded;
    edge_acc_add(acc, (edge_i128)times((uint64_t)m, (uint64_t)m), 2 * difference.exponent);
}

void edge_acc_normalise(struct edge_acc *acc) {
    edge_u128 m = magnitude(acc->mantissa);
    if (m == 0) {
        acc->exponent = 0;
        return;
    }
    for (;;) {
        edge_u128 shorter = m;
        if (divide(&shorter, 10) != 0) {
            break;
        }
        m = shorter;
        acc->exponent++;
    }
    acc->mantissa = with_sign(m, acc->mantissa < 0);
}

int edge_dec_distance(const struct edge_dec *a, const struct edge_dec *b, const struct edge_dec *bound) {
    struct edge_acc difference = {a->mantissa, a->exponent, false};
    edge_acc_add(&difference, -(edge_i128)b->mantissa, b->exponent);
    difference.mantissa = (edge_i128)magnitude(difference.mantissa);
    edge_acc_add(&difference, -(edge_i128)bound->mantissa, bound->exponent);
    return (difference.mantissa > 0) - (difference.mantissa < 0);
}

bool edge_dec_add(struct edge_dec *out, const struct edge_dec *a, const struct edge_dec *b) {
    struct edge_acc sum = {a->mantissa, a->exponent, false};
    edge_acc_add(&sum, b->mantissa, b->exponent);
    edge_u128 m = magnitude(sum.mantissa);
    bool negative = sum.mantissa < 0;
    unsigned room = headroom(m);
    bool sticky = false;
    if (room < EDGE_ACC_DIGITS - EDGE_DEC_DIGITS - 1) { /* more than 19 digits: keep 19, edge_dec_make rounds */
        unsigned cut = EDGE_ACC_DIGITS - EDGE_DEC_DIGITS - 1 - room;
        sum.exponent += (int32_t)cut;
        for (; cut > 0; cut--) {
            sticky = divide(&m, 10) != 0 || sticky;
        }
    }
    return edge_dec_make(out, negative, (uint64_t)m, sum.exponent, sticky);
}

bool edge_dec_from_big(struct edge_dec *out, bool negative, const uint8_t *bytes, size_t size) {
    edge_u128 m = 0;
    while (size != 0 && *bytes == 0) {
        bytes++;
        size--;
    }
    if (size > BIG_LIMIT) {
        return false;
    }
    for (; size != 0; size--) {
        m = m << 8 | *bytes++;
    }
    if (negative && m + 1 != 0) { /* -2^128 rounds to the same 18 digits as its neighbour */
        m += 1;
    }
    int64_t exponent = 0;
    bool sticky = false;
    while (m >= edge_pow10[EDGE_DEC_DIGITS + 1]) {
        sticky = divide(&m, 10) != 0 || sticky;
        exponent++;
    }
    return edge_dec_make(out, negative, (uint64_t)m, exponent, sticky);
}

void edge_put_acc(struct edge_writer *w, const struct edge_acc *acc) {
    edge_u128 m = magnitude(acc->mantissa);
    bool negative = acc->mantissa < 0;
    edge_put_head(w, EDGE_ARRAY, 2);
    edge_put_int(w, acc->exponent);
    if (negative) {
        m -= 1; /* CBOR's negative integers are -1 - n */
    }
    if (m >> 64 == 0) {
        edge_put_head(w, negative ? EDGE_NINT : EDGE_UINT, (uint64_t)m);
        return;
    }
    uint8_t bytes[BIG_LIMIT];
    edge_put_be64(bytes, (uint64_t)(m >> 64));
    edge_put_be64(bytes + 8, (uint64_t)m);
    unsigned zeros = 0;
    while (bytes[zeros] == 0) {
        zeros++;
    }
    edge_put_head(w, EDGE_TAG, negative ? 3 : 2);
    edge_put_string(w, EDGE_BYTES, bytes + zeros, BIG_LIMIT - zeros);
}
