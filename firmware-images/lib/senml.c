#include "senml.h"

#include "mem.h"

#include "cold.h" /* last */

enum { SUPPORTED_VERSION = 10 };
#define BIT(label) ((uint32_t)1 << (label))

static const uint64_t relative_below = (uint64_t)268435456 * 1000; /* 2^28 s, in ms */
static const int64_t latest = 253402300799999;                     /* the end of the year 9999, in ms */

enum edge_senml_label edge_senml_cbor_label(bool negative, uint64_t value) {
    if (negative) {
        return value < 6 ? (enum edge_senml_label)(-EDGE_SENML_FIRST_CBOR_LABEL - 1 - (int)value) : EDGE_SENML_UNKNOWN;
    }
    return value <= 8 ? (enum edge_senml_label)((int)value - EDGE_SENML_FIRST_CBOR_LABEL) : EDGE_SENML_UNKNOWN;
}

enum edge_senml_label edge_senml_label(const uint8_t *text, size_t size) {
    static const char names[EDGE_SENML_LABELS][5] = {"bs", "bv", "bu", "bt", "bn", "bver", "n", "u",
                                                     "v",  "vs", "vb", "s",  "t",  "ut",   "vd"};
    if (size != 0 && text[size - 1] == '_') {
        return EDGE_SENML_MUST_UNDERSTAND;
    }
    if (size <= 4) {
        for (unsigned i = 0; i < EDGE_SENML_LABELS; i++) {
            if (strlen(names[i]) == size && memcmp(names[i], text, size) == 0) {
                return (enum edge_senml_label)i;
            }
        }
    }
    return EDGE_SENML_UNKNOWN;
}

void edge_senml_begin(struct edge_senml_record *record) {
    record->seen = 0;
    record->out_of_range = false;
}

static bool see(struct edge_senml_record *r, enum edge_senml_label label) {
    bool first = (r->seen & BIT(label)) == 0;
    r->seen |= BIT(label);
    return first;
}

bool edge_senml_number(struct edge_senml_record *r, enum edge_senml_label label, const struct edge_dec *d, bool fits) {
    const uint32_t numeric = BIT(EDGE_SENML_BS) | BIT(EDGE_SENML_BV) | BIT(EDGE_SENML_BT) | BIT(EDGE_SENML_BVER) |
                             BIT(EDGE_SENML_V) | BIT(EDGE_SENML_S) | BIT(EDGE_SENML_T) | BIT(EDGE_SENML_UT);
    if ((numeric & BIT(label)) == 0) {
        return false;
    }
    if (!fits) {
        if (label != EDGE_SENML_V && label != EDGE_SENML_S) {
            return false;
        }
        r->out_of_range = true;
    }
    r->numbers[label] = *d;
    return see(r, label);
}

static void keep(struct edge_senml_text *to, const uint8_t *text, size_t size, size_t limit) {
    to->too_long = size > limit;
    to->size = to->too_long ? 0 : (uint8_t)size;
    memcpy(to->bytes, text, to->size);
}

bool edge_senml_text(struct edge_senml_record *r, enum edge_senml_label label, const uint8_t *text, size_t size) {
    switch (label) {
    case EDGE_SENML_N:
        keep(&r->name, text, size, EDGE_MAX_FIELD);
        break;
    case EDGE_SENML_BN:
        keep(&r->base_name, text, size, EDGE_MAX_FIELD);
        break;
    case EDGE_SENML_U:
        keep(&r->unit, text, size, EDGE_MAX_UNIT);
        break;
    case EDGE_SENML_BU:
        keep(&r->base_unit, text, size, EDGE_MAX_UNIT);
        break;
    case EDGE_SENML_VS:
    case EDGE_SENML_VD:
        break;
    default:
        return false;
    }
    return see(r, label);
}

bool edge_senml_boolean(struct edge_senml_record *r, bool value) {
    r->boolean = value;
    return see(r, EDGE_SENML_VB);
}

/* Section 4.5.1: a resolved name starts with a letter or digit and holds those and - : . / _ only. */
static bool valid_name(const struct edge_senml_text *name) {
    for (unsigned i = 0; i < name->size; i++) {
        uint8_t c = name->bytes[i];
        uint8_t letter = c | 0x20;
        bool plain = (uint8_t)(c - '0') <= 9 || (letter >= 'a' && letter <= 'z');
        bool other = c == '-' || c == ':' || c == '.' || c == '/' || c == '_';
        if (!plain && (i == 0 || !other)) {
            return false;
        }
    }
    return name->size != 0;
}

static void join(struct edge_senml_text *to, const struct edge_senml_text *a, const struct edge_senml_text *b) {
    size_t size = (size_t)a->size + b->size;
    to->too_long = a->too_long || b->too_long || size > EDGE_MAX_FIELD;
    to->size = to->too_long ? 0 : (uint8_t)size;
    if (!to->too_long) {
        memcpy(to->bytes, a->bytes, a->size);
        memcpy(to->bytes + a->size, b->bytes, b->size);
    }
}

static void take_bases(struct edge_senml_pack *pack, const struct edge_senml_record *r) {
    pack->seen |= r->seen;
    if ((r->seen & BIT(EDGE_SENML_BN)) != 0) {
        pack->base_name = r->base_name;
    }
    if ((r->seen & BIT(EDGE_SENML_BU)) != 0) {
        pack->base_unit = r->base_unit;
    }
    if ((r->seen & BIT(EDGE_SENML_BT)) != 0) {
        pack->base_time = r->numbers[EDGE_SENML_BT];
    }
    if ((r->seen & BIT(EDGE_SENML_BV)) != 0) {
        pack->base_value = r->numbers[EDGE_SENML_BV];
    }
    if ((r->seen & BIT(EDGE_SENML_BS)) != 0) {
        pack->base_sum = r->numbers[EDGE_SENML_BS];
    }
}

static bool version_taken(struct edge_senml_pack *pack, const struct edge_senml_record *r) {
    if ((r->seen & BIT(EDGE_SENML_BVER)) == 0) {
        return true;
    }
    struct edge_dec version = r->numbers[EDGE_SENML_BVER];
    int64_t number;
    bool same = (pack->seen & BIT(EDGE_SENML_BVER)) == 0 || edge_dec_compare(&pack->version, &version) == 0;
    pack->version = version;
    return same && version.exponent >= 0 && edge_dec_to_int(&version, 0, &number) && number > 0 &&
           number <= SUPPORTED_VERSION;
}

/* Sections 4.5.2 and 4.5.3: base time plus time; less than 2^28 s either way counts from now. */
static bool resolve_time(const struct edge_senml_pack *pack, const struct edge_senml_record *r, uint64_t now,
                         uint64_t *time) {
    struct edge_dec zero = {0, 0};
    struct edge_dec sum;
    int64_t ms;
    const struct edge_dec *base = (pack->seen & BIT(EDGE_SENML_BT)) != 0 ? &pack->base_time : &zero;
    const struct edge_dec *own = (r->seen & BIT(EDGE_SENML_T)) != 0 ? &r->numbers[EDGE_SENML_T] : &zero;
    if (!edge_dec_add(&sum, base, own) || !edge_dec_to_int(&sum, 3, &ms)) {
        return false;
    }
    if (ms > -(int64_t)relative_below && ms < (int64_t)relative_below) {
        ms += (int64_t)now;
    }
    *time = (uint64_t)ms;
    return ms >= 0 && ms <= latest;
}

enum edge_reason edge_senml_resolve(struct edge_senml_pack *pack, const struct edge_senml_record *r, uint64_t now,
                                    struct edge_senml_value *out) {
    static const struct edge_senml_text none;
    const uint32_t values = BIT(EDGE_SENML_V) | BIT(EDGE_SENML_VS) | BIT(EDGE_SENML_VB) | BIT(EDGE_SENML_VD);
    const uint32_t bases = BIT(EDGE_SENML_BS) | BIT(EDGE_SENML_BV) | BIT(EDGE_SENML_BU) | BIT(EDGE_SENML_BT) |
                           BIT(EDGE_SENML_BN) | BIT(EDGE_SENML_BVER);
    uint32_t said = r->seen & values;
    if (!version_taken(pack, r) || (said & (said - 1)) != 0) {
        return EDGE_MALFORMED_SENML; /* two values in one record */
    }
    take_bases(pack, r);
    out->has_value = (said & (BIT(EDGE_SENML_V) | BIT(EDGE_SENML_VB))) != 0;
    out->has_sum = (r->seen & BIT(EDGE_SENML_S)) != 0;
    if (said == 0 && !out->has_sum) {
        return (r->seen & ~bases) == 0 ? EDGE_OK : EDGE_MALFORMED_SENML; /* bases alone are fine */
    }
    join(&out->name, (pack->seen & BIT(EDGE_SENML_BN)) != 0 ? &pack->base_name : &none,
         (r->seen & BIT(EDGE_SENML_N)) != 0 ? &r->name : &none);
    if (!out->name.too_long && !valid_name(&out->name)) {
        return EDGE_MALFORMED_SENML;
    }
    out->unit = (r->seen & BIT(EDGE_SENML_U)) != 0       ? r->unit
                : (pack->seen & BIT(EDGE_SENML_BU)) != 0 ? pack->base_unit
                                                         : none;
    if (!resolve_time(pack, r, now, &out->time)) {
        return EDGE_BAD_TIME;
    }
    struct edge_dec zero = {0, 0};
    out->value_fits = !r->out_of_range;
    out->sum_fits = !r->out_of_range;
    if ((said & BIT(EDGE_SENML_VB)) != 0) {
        out->value.mantissa = r->boolean;
        out->value.exponent = 0;
    } else if (out->has_value && out->value_fits) {
        out->value_fits = edge_dec_add(&out->value, &r->numbers[EDGE_SENML_V],
                                       (pack->seen & BIT(EDGE_SENML_BV)) != 0 ? &pack->base_value : &zero);
    }
    if (out->has_sum && out->sum_fits) {
        out->sum_fits = edge_dec_add(&out->sum, &r->numbers[EDGE_SENML_S],
                                     (pack->seen & BIT(EDGE_SENML_BS)) != 0 ? &pack->base_sum : &zero);
    }
    return EDGE_OK;
}

#pragma clang attribute pop
