/* Event times in payloads. */
#include "collect.h"

#include "../../lib/mem.h"

#include "../../lib/cold.h" /* last */

bool time_from_number(const struct edge_dec *number, uint64_t *ms) {
    const struct edge_dec border = {1, 11}; /* 10^11 s is the year 5138, 10^11 ms is 1973 */
    int64_t value;
    if (number->mantissa < 0 || !edge_dec_to_int(number, edge_dec_compare(number, &border) < 0 ? 3 : 0, &value)) {
        return false;
    }
    *ms = (uint64_t)value;
    return *ms <= latest_time;
}

struct cursor {
    const uint8_t *at, *end;
};

/* `count` digits, into *value. */
static bool digits(struct cursor *c, unsigned count, uint32_t *value) {
    *value = 0;
    for (; count != 0; count--, c->at++) {
        if (c->at == c->end || (uint8_t)(*c->at - '0') > 9) {
            return false;
        }
        *value = *value * 10 + (uint32_t)(*c->at - '0');
    }
    return true;
}

static bool take(struct cursor *c, uint8_t byte) {
    if (c->at == c->end || *c->at != byte) {
        return false;
    }
    c->at++;
    return true;
}

static uint32_t fraction(struct cursor *c) {
    uint32_t ms = 0;
    uint32_t unit = 100;
    for (; c->at != c->end && (uint8_t)(*c->at - '0') <= 9; c->at++) {
        ms += (uint32_t)(*c->at - '0') * unit;
        unit /= 10;
    }
    return ms;
}

/* Days since 1970-01-01 of the proleptic Gregorian calendar; months count from March so that leap days come last. */
static int64_t days(uint32_t year, uint32_t month, uint32_t day) {
    int64_t y = (int64_t)year - (month <= 2);
    int64_t m = (int64_t)month + (month <= 2 ? 9 : -3);
    return y * 365 + y / 4 - y / 100 + y / 400 + (m * 153 + 2) / 5 + day - 1 - 719468;
}

static uint32_t month_length(uint32_t year, uint32_t month) {
    static const uint8_t lengths[12] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    return lengths[month - 1] + (uint32_t)(month == 2 && leap);
}

/* "Z", "+hh:mm", "+hhmm", "+hh" or nothing: minutes east of UTC. */
static bool zone(struct cursor *c, int64_t *minutes) {
    uint32_t hour;
    uint32_t minute = 0;
    *minutes = 0;
    if (c->at == c->end) {
        return true;
    }
    uint8_t sign = *c->at++;
    if (sign == 'Z' || sign == 'z') {
        return c->at == c->end;
    }
    if ((sign != '+' && sign != '-') || !digits(c, 2, &hour)) {
        return false;
    }
    if (c->at != c->end) {
        (void)take(c, ':');
        if (!digits(c, 2, &minute)) {
            return false;
        }
    }
    *minutes = (int64_t)hour * 60 + minute;
    *minutes = sign == '-' ? -*minutes : *minutes;
    return c->at == c->end && hour < 24 && minute < 60;
}

static bool iso(struct cursor *c, uint64_t *ms) {
    uint32_t year;
    uint32_t month;
    uint32_t day;
    uint32_t hour;
    uint32_t minute;
    uint32_t second;
    int64_t east;
    if (!digits(c, 4, &year) || !take(c, '-') || !digits(c, 2, &month) || !take(c, '-') || !digits(c, 2, &day) ||
        month < 1 || month > 12 || day < 1 || day > month_length(year, month)) {
        return false;
    }
    if (!take(c, 'T') && !take(c, 't') && !take(c, ' ')) {
        return false;
    }
    if (!digits(c, 2, &hour) || !take(c, ':') || !digits(c, 2, &minute) || !take(c, ':') || !digits(c, 2, &second) ||
        hour > 23 || minute > 59 || second > 59) {
        return false;
    }
    uint32_t rest = 0;
    if (take(c, '.') || take(c, ',')) {
        const uint8_t *before = c->at;
        rest = fraction(c);
        if (c->at == before) {
            return false;
        }
    }
    if (!zone(c, &east)) {
        return false;
    }
    int64_t minutes = (days(year, month, day) * 24 + hour) * 60 + minute - east;
    int64_t value = minutes * 60000 + (int64_t)second * 1000 + rest;
    *ms = (uint64_t)value;
    return value >= 0 && *ms <= latest_time;
}

bool time_from_text(const uint8_t *text, size_t size, uint64_t *ms) {
    struct cursor c = {text, text + size};
    struct edge_dec number;
    bool fits;
    if (size != 0 && edge_dec_scan(text, text + size, &number, &fits) == text + size) {
        return fits && time_from_number(&number, ms);
    }
    return iso(&c, ms);
}

#pragma clang attribute pop
