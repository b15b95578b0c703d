/* What hello's configuration says (edge.cddl, aggregate-config). */
#ifndef AGGREGATE_CONFIG_H
#define AGGREGATE_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../../lib/decimal.h"

enum {
    MAX_SERIES = 100000,
    MAX_WINDOWS = 400000,
    MIN_BUCKETS = 4,
    MAX_BUCKETS = 4096,
    MAX_QUANTILES = 16,
    MAX_TIMES = 8,
    MAX_FIELDS = 64,
    MAX_NAME = 65, /* a field and a star */
};

struct name {
    uint8_t size;
    bool prefix; /* ended in a star */
    uint8_t bytes[MAX_NAME];
};

struct config {
    uint64_t window, lateness, ahead; /* ms */
    uint32_t series, windows, buckets;
    uint32_t heartbeat;
    struct edge_dec deadband;
    uint32_t quantile_count, time_count, field_count;
    uint16_t quantiles[MAX_QUANTILES]; /* per mille */
    struct name times[MAX_TIMES];
    struct name fields[MAX_FIELDS];
};

struct edge_reader;

/* NULL, or why the configuration can't be taken. */
const char *config_read(struct config *config, struct edge_reader *r);

/* Whether `fields` lets this field through. */
bool config_takes(const struct config *config, const uint8_t *field, size_t size);

/* Index of a `times` name, or -1. */
int config_time(const struct config *config, const uint8_t *key, size_t size);

#endif
