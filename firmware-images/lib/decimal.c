#include "decimal.h"

#include "cbor.h"

const uint64_t edge_pow10[20] = {
    1u,
    10u,
    100u,
    1000u,
    10000u,
    100000u,
    1000000u,
    10000000u,
    100000000u,
    1000000000u,
    10000000000u,
    100000000000u,
    1000000000000u,
    10000000000000u,
    100000000000000u,
    1000000000000000u,
    10000000000000000u,
    100000000000000000u,
    1000000000000000000u,
    10000000000000000000u,
};

enum { EXPONENT_LIMIT = 1000000 }; /* written exponents saturate here, far outside of what fits */

bool edge_dec_make(struct edge_dec *out, bool negative, uint64_t digits, int64_t exponent, bool sticky) {
    while (digits >= edge_pow10[EDGE_DEC_DIGITS]) {
        uint64_t rest = digits % 10;
        digits /= 10;
        exponent++;
        bool more = digits >= edge_pow10[EDGE_DEC_DIGITS];
        if (more) { /* 20 digits: round once, at the last cut */
            sticky = sticky || rest != 0;
        } else if (rest > 5 || (rest == 5 && (sticky || (digits & 1) != 0))) {
            digits++; /* may make 10^18, which the loop then cuts exactly */
            sticky = false;
        }
    }
    if (digits == 0) {
        out->mantissa = 0;
        out->exponent = 0;
        return true;
    }
    while (digits % 10 == 0) {
        digits /= 10;
        exponent++;
    }
    out->mantissa = negative ? -(int64_t)digits : (int64_t)digits;
    out->exponent = (int8_t)exponent;
    return exponent >= INT8_MIN && exponent <= INT8_MAX;
}

static bool is_digit(const uint8_t *p, const uint8_t *end) {
    return p < end && (uint8_t)(*p - '0') <= 9;
}

/* The exponent part, p at 'e'. NULL when malformed. */
static const uint8_t *scan_exponent(const uint8_t *p, const uint8_t *end, int64_t *exponent) {
    bool negative = false;
    int64_t value = 0;
    p++;
    if (p < end && (*p == '+' || *p == '-')) {
        negative = *p++ == '-';
    }
    if (!is_digit(p, end)) {
        return NULL;
    }
    for (; is_digit(p, end); p++) {
        if (value < EXPONENT_LIMIT) {
            value = value * 10 + (*p - '0');
        }
    }
    *exponent += negative ? -value : value;
    return p;
}

/* The rare number of more digits than 18: those kept stay in *digits, the rest decide how it is rounded. */
struct long_number {
    uint64_t digits;
    int64_t exponent;
    unsigned kept; /* significant digits taken; one more than 18, so that edge_dec_make rounds */
    bool sticky;
};

static void take_digit(struct long_number *n, unsigned digit, bool fraction) {
    if (n->kept <= EDGE_DEC_DIGITS) {
        n->digits = n->digits * 10 + digit;
        n->kept += n->digits != 0;
        n->exponent -= fraction;
    } else {
        n->sticky = n->sticky || digit != 0;
        n->exponent += !fraction;
    }
}

static const uint8_t *scan_long(const uint8_t *p, const uint8_t *end, struct long_number *n) {
    for (; is_digit(p, end); p++) {
        take_digit(n, (unsigned)(*p - '0'), false);
    }
    if (p < end && *p == '.') {
        for (p++; is_digit(p, end); p++) {
            take_digit(n, (unsigned)(*p - '0'), true);
        }
    }
    return p;
}

/* Digits from p on, appended to *digits (which wraps when there are too many; the caller counts). */
static const uint8_t *take_digits(const uint8_t *p, const uint8_t *end, uint64_t *digits) {
    uint64_t value = *digits;
    uint8_t digit;
    for (; p < end && (digit = (uint8_t)(*p - '0')) <= 9; p++) {
        value = value * 10 + digit;
    }
    *digits = value;
    return p;
}

const uint8_t *edge_dec_scan(const uint8_t *p, const uint8_t *end, struct edge_dec *out, bool *fits) {
    struct long_number n = {0, 0, 0, false};
    bool negative = p < end && *p == '-';
    p += negative;
    const uint8_t *start = p;
    uint64_t digits = 0;
    p = take_digits(p, end, &digits);
    size_t length = (size_t)(p - start);
    if (length == 0 || (*start == '0' && length > 1)) {
        return NULL;
    }
    if (p < end && *p == '.') {
        const uint8_t *fraction = ++p;
        p = take_digits(p, end, &digits);
        size_t places = (size_t)(p - fraction);
        if (places == 0) {
            return NULL;
        }
        n.exponent = -(int64_t)places;
        length += places;
    }
    bool scientific = p < end && (*p | 0x20) == 'e';
    if (length <= EDGE_DEC_DIGITS && !scientific && p[-1] != '0') { /* nearly every number: nothing to normalise */
        out->mantissa = negative ? -(int64_t)digits : (int64_t)digits;
        out->exponent = (int8_t)n.exponent;
        *fits = true;
        return p;
    }
    if (length <= EDGE_DEC_DIGITS) {
        n.digits = digits;
    } else {
        n.exponent = 0;
        scan_long(start, p, &n);
    }
    if (scientific) {
        p = scan_exponent(p, end, &n.exponent);
        if (p == NULL) {
            return NULL;
        }
    }
    *fits = edge_dec_make(out, negative, n.digits, n.exponent, n.sticky);
    return p;
}

int edge_dec_compare(const struct edge_dec *a, const struct edge_dec *b) {
    int64_t x = a->mantissa;
    int64_t y = b->mantissa;
    if (a->exponent == b->exponent) {
        return (x > y) - (x < y);
    }
    int sign_x = (x > 0) - (x < 0);
    int sign_y = (y > 0) - (y < 0);
    if (sign_x != sign_y || sign_x == 0) {
        return (sign_x > sign_y) - (sign_x < sign_y);
    }
    int gap = a->exponent - b->exponent;
    if (gap > EDGE_DEC_DIGITS) {
        return sign_x;
    }
    if (gap < -EDGE_DEC_DIGITS) {
        return -sign_x;
    }
    edge_i128 p = x;
    edge_i128 q = y;
    if (gap > 0) {
        p = (edge_i128)x * (int64_t)edge_pow10[gap];
    } else {
        q = (edge_i128)y * (int64_t)edge_pow10[-gap];
    }
    return (p > q) - (p < q);
}

bool edge_dec_to_int(const struct edge_dec *d, int scale, int64_t *out) {
    bool negative = d->mantissa < 0;
    uint64_t m = negative ? 0 - (uint64_t)d->mantissa : (uint64_t)d->mantissa;
    int e = d->exponent + scale;
    if (m == 0 || e < -EDGE_DEC_DIGITS) {
        *out = 0;
        return true;
    }
    if (e >= 0) {
        if (e > EDGE_DEC_DIGITS || m > ((uint64_t)INT64_MAX >> 1) / edge_pow10[e]) {
            return false;
        }
        m *= edge_pow10[e];
    } else {
        uint64_t unit = edge_pow10[-e];
        uint64_t rest = m % unit;
        m /= unit;
        m += rest > unit / 2 || (rest == unit / 2 && (m & 1) != 0);
    }
    *out = negative ? -(int64_t)m : (int64_t)m;
    return true;
}

void edge_put_dec(struct edge_writer *w, const struct edge_dec *d) {
    edge_put_head(w, EDGE_ARRAY, 2);
    edge_put_int(w, d->exponent);
    edge_put_int(w, d->mantissa);
}
