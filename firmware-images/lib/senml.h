/* SenML (RFC 8428): records in, resolved values out. JSON and CBOR packs share it; the readers are the app's. */
#ifndef EDGE_SENML_H
#define EDGE_SENML_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../protocol/edge.h"
#include "decimal.h"

/* In the order of the CBOR labels -6..8 (RFC 8428 table 4). */
enum edge_senml_label {
    EDGE_SENML_BS,
    EDGE_SENML_BV,
    EDGE_SENML_BU,
    EDGE_SENML_BT,
    EDGE_SENML_BN,
    EDGE_SENML_BVER,
    EDGE_SENML_N,
    EDGE_SENML_U,
    EDGE_SENML_V,
    EDGE_SENML_VS,
    EDGE_SENML_VB,
    EDGE_SENML_S,
    EDGE_SENML_T,
    EDGE_SENML_UT,
    EDGE_SENML_VD,
    EDGE_SENML_LABELS,
    EDGE_SENML_UNKNOWN = EDGE_SENML_LABELS, /* to be ignored */
    EDGE_SENML_MUST_UNDERSTAND,             /* ends in `_`: the pack is to be rejected */
    EDGE_SENML_FIRST_CBOR_LABEL = -6,
};

enum edge_senml_label edge_senml_label(const uint8_t *text, size_t size);
enum edge_senml_label edge_senml_cbor_label(bool negative, uint64_t value);

/* A name or unit. One that is too long keeps nothing but that fact. */
struct edge_senml_text {
    uint8_t size;
    bool too_long;
    uint8_t bytes[EDGE_MAX_FIELD];
};

/* One record as it stands in the pack. */
struct edge_senml_record {
    uint32_t seen; /* bit per label */
    bool boolean;
    bool out_of_range; /* v or s is no decimal of ours */
    struct edge_dec numbers[EDGE_SENML_LABELS];
    struct edge_senml_text name, base_name, unit, base_unit;
};

/* What a pack has said so far. */
struct edge_senml_pack {
    uint32_t seen;
    struct edge_dec base_time, base_value, base_sum, version;
    struct edge_senml_text base_name, base_unit;
};

struct edge_senml_value {
    struct edge_senml_text name, unit;
    uint64_t time; /* ms since 1970 */
    bool has_value, has_sum, value_fits, sum_fits;
    struct edge_dec value, sum;
};

void edge_senml_begin(struct edge_senml_record *record);

/* One field of a record. False: the label's type or a second time for the same label. */
bool edge_senml_number(struct edge_senml_record *r, enum edge_senml_label label, const struct edge_dec *d, bool fits);
bool edge_senml_text(struct edge_senml_record *r, enum edge_senml_label label, const uint8_t *text, size_t size);
bool edge_senml_boolean(struct edge_senml_record *r, bool value);

/* Resolve (section 4.6). Times below 2^28 s are relative to now (ms). */
enum edge_reason edge_senml_resolve(struct edge_senml_pack *pack, const struct edge_senml_record *record, uint64_t now,
                                    struct edge_senml_value *out);

#endif
