/* IEEE 754 to decimal without a floating point instruction: the value is an integer times a power of two, which is an
 * integer times a power of ten (2^-k = 5^k / 10^k), and that is divided down to 18 digits in one small bignum. */
#include "decimal.h"

#include "cold.h" /* last */

enum {
    LIMBS = 40,           /* 1280 bits: 53 + log2(5^440) */
    MOST_NEGATIVE = -440, /* smaller values lie below 10^-112 and do not fit a decimal's exponent */
    MOST_POSITIVE = 500,  /* larger ones lie above 10^145 */
    BILLION = 1000000000,
    BILLION_DIGITS = 9,
    FIVE_13 = 1220703125, /* the largest power of five in 32 bits */
};

struct big {
    uint32_t limbs[LIMBS]; /* least significant first */
    unsigned used;
};

static void multiply(struct big *n, uint32_t factor) {
    uint64_t carry = 0;
    for (unsigned i = 0; i < n->used; i++) {
        carry += (uint64_t)n->limbs[i] * factor;
        n->limbs[i] = (uint32_t)carry;
        carry >>= 32;
    }
    if (carry != 0) {
        n->limbs[n->used++] = (uint32_t)carry;
    }
}

static uint32_t divide(struct big *n, uint32_t divisor) {
    uint64_t rest = 0;
    for (unsigned i = n->used; i-- != 0;) {
        rest = rest << 32 | n->limbs[i];
        n->limbs[i] = (uint32_t)(rest / divisor);
        rest %= divisor;
    }
    while (n->used != 0 && n->limbs[n->used - 1] == 0) {
        n->used--;
    }
    return (uint32_t)rest;
}

/* mantissa * 2^power, mantissa != 0 */
static bool convert(struct edge_dec *out, bool negative, uint64_t mantissa, int power) {
    struct big n;
    int64_t exponent = 0;
    bool sticky = false;
    while ((mantissa & 1) == 0) { /* fewer digits to carry through */
        mantissa >>= 1;
        power++;
    }
    n.limbs[0] = (uint32_t)mantissa;
    n.limbs[1] = (uint32_t)(mantissa >> 32);
    n.used = n.limbs[1] != 0 ? 2 : 1;
    if (power < MOST_NEGATIVE || power > MOST_POSITIVE) {
        return false;
    }
    if (power < 0) {
        exponent = power;
        for (; power <= -13; power += 13) {
            multiply(&n, FIVE_13);
        }
        for (; power < 0; power++) {
            multiply(&n, 5);
        }
    } else {
        for (; power >= 31; power -= 31) {
            multiply(&n, (uint32_t)1 << 31);
        }
        multiply(&n, (uint32_t)1 << power);
    }
    /* Down to one word of at least 10^18, so that nothing but the last digit is decided by what was cut off. */
    while (n.used > 2) {
        bool far = n.used > 3;
        sticky = divide(&n, far ? BILLION : 10) != 0 || sticky;
        exponent += far ? BILLION_DIGITS : 1;
    }
    uint64_t digits = n.limbs[0] | (n.used == 2 ? (uint64_t)n.limbs[1] << 32 : 0);
    return edge_dec_make(out, negative, digits, exponent, sticky);
}

bool edge_dec_from_float(struct edge_dec *out, unsigned width, uint64_t bits) {
    unsigned fraction_bits = width == 2 ? 10 : width == 4 ? 23 : 52;
    unsigned exponent_bits = width * 8 - 1 - fraction_bits;
    bool negative = (bits >> (width * 8 - 1) & 1) != 0;
    int biased = (int)(bits >> fraction_bits & ((1u << exponent_bits) - 1));
    uint64_t mantissa = bits & (((uint64_t)1 << fraction_bits) - 1);
    int bias = (1 << (exponent_bits - 1)) - 1;
    if (biased == (1 << exponent_bits) - 1) {
        return false; /* infinity, not a number */
    }
    if (biased == 0) {
        biased = 1;
    } else {
        mantissa |= (uint64_t)1 << fraction_bits;
    }
    if (mantissa == 0) {
        out->mantissa = 0;
        out->exponent = 0;
        return true;
    }
    return convert(out, negative, mantissa, biased - bias - (int)fraction_bits);
}

#pragma clang attribute pop
