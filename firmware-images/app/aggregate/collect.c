#include "collect.h"

#include "../../lib/hash.h"
#include "../../lib/mem.h"

enum {
    SLOT_BITS = 11,
    SLOTS = 1 << SLOT_BITS, /* of the hash table of keys: twice MAX_KEYS */
    TEXT = MAX_VALUES * (EDGE_MAX_FIELD + EDGE_MAX_UNIT),
    TOO_LONG = EDGE_MAX_FIELD + 1, /* size of a path that has grown too long */
    INDEX_DIGITS = 10,
    NO_KEY = -1,
};

struct values values;

/* A key that has been met in this payload. */
struct key {
    uint64_t hash;       /* of its place: the enclosing object's and the key's own */
    uint32_t generation; /* of the payload, so that the table needn't be cleared */
    uint16_t first, end; /* values below it */
    uint32_t times;      /* said so often */
};

struct level {
    uint64_t hash;
    uint32_t path;  /* size of its path */
    uint32_t index; /* of the next array element */
    int32_t key;    /* slot to close, or NO_KEY */
};

static struct {
    struct key keys[SLOTS];
    uint32_t generation;
    uint32_t key_count;
    uint8_t text[TEXT];
    size_t text_used;
    struct level levels[MAX_DEPTH + 1];
    uint32_t depth;
    uint8_t path[EDGE_MAX_FIELD + 1]; /* of the value that comes next, unless it is the key itself */
    uint32_t path_size;
    const uint8_t *field; /* the path, where it lies */
    bool lasting;
    uint64_t hash;
    int32_t key;
} c;

void collect_begin(void) {
    values.count = 0;
    values.live = 0;
    values.duplicates = 0;
    values.time = NULL;
    c.generation++;
    c.key_count = 0;
    c.text_used = 0;
    c.depth = 0;
    c.path_size = 0;
    c.field = c.path;
    c.lasting = false;
    c.hash = 0;
    c.key = NO_KEY;
    c.levels[0].hash = 0;
    c.levels[0].path = 0;
    c.levels[0].index = 0;
    c.levels[0].key = NO_KEY;
}

/* Set the path to that of the level, a point (unless at the top) and this. */
static void extend(const uint8_t *text, size_t size) {
    uint32_t used = c.levels[c.depth].path;
    c.field = c.path;
    c.lasting = false;
    if (c.depth > 1 && used < TOO_LONG) {
        c.path[used++] = '.';
    }
    if (size > EDGE_MAX_FIELD || used + size > EDGE_MAX_FIELD) {
        c.path_size = TOO_LONG;
        return;
    }
    memcpy(c.path + used, text, size);
    c.path_size = used + (uint32_t)size;
}

/* The slot of a key in this payload, free or its own. */
static struct key *slot_of(uint64_t hash) {
    struct key *key = &c.keys[edge_slot(hash, SLOT_BITS)];
    while (key->generation == c.generation && key->hash != hash) {
        key = key + 1 == c.keys + SLOTS ? c.keys : key + 1;
    }
    return key;
}

enum edge_reason collect_key(const uint8_t *text, size_t size, bool lasting) {
    const struct level *level = &c.levels[c.depth];
    uint64_t hash = edge_mix(edge_hash(text, size), level->hash);
    struct key *key = slot_of(hash);
    if (key->generation == c.generation) { /* said before */
        for (uint32_t i = key->first; i < key->end; i++) {
            values.live -= !values.items[i].dead;
            values.items[i].dead = true;
        }
        key->times++;
        values.duplicates++;
    } else {
        if (c.key_count == MAX_KEYS) {
            return EDGE_TOO_MANY_VALUES;
        }
        c.key_count++;
        key->generation = c.generation;
        key->hash = hash;
        key->times = 1;
    }
    key->first = (uint16_t)values.count;
    key->end = key->first;
    c.key = (int32_t)(key - c.keys);
    c.hash = edge_mix(hash, key->times); /* what is below a repeated key doesn't repeat what was below it before */
    if (c.depth == 1 && lasting && size <= EDGE_MAX_FIELD) {
        c.field = text;
        c.path_size = (uint32_t)size;
        c.lasting = true;
    } else {
        extend(text, size);
    }
    return EDGE_OK;
}

void collect_element(void) {
    struct level *level = &c.levels[c.depth];
    uint8_t digits[INDEX_DIGITS];
    unsigned at = INDEX_DIGITS;
    uint32_t index = level->index++;
    c.hash = edge_mix(level->hash + 1, index);
    c.key = NO_KEY;
    do {
        digits[--at] = (uint8_t)('0' + index % 10);
        index /= 10;
    } while (index != 0);
    extend(digits + at, INDEX_DIGITS - at);
}

void collect_open(void) {
    if (c.field != c.path) {
        memcpy(c.path, c.field, c.path_size);
    }
    struct level *level = &c.levels[++c.depth];
    level->hash = c.hash;
    level->path = c.path_size;
    level->index = 0;
    level->key = c.key;
}

/* The value of a key is complete: what was collected since belongs to it. */
static void finish_key(int32_t key) {
    if (key != NO_KEY) {
        c.keys[key].end = (uint16_t)values.count;
    }
}

void collect_close(void) {
    finish_key(c.levels[c.depth--].key);
}

static struct value *add(void) {
    if (values.count == MAX_VALUES) {
        return NULL;
    }
    values.live++;
    return &values.items[values.count++];
}

static const uint8_t *keep(const uint8_t *text, size_t size) {
    uint8_t *kept = c.text + c.text_used;
    memcpy(kept, text, size);
    c.text_used += size;
    return kept;
}

bool collect_in_range(const struct edge_dec *number) {
    return number->exponent >= -60 && number->exponent <= 40; /* so that squares and sums have room */
}

enum edge_reason collect_number(const struct edge_dec *number, bool fits, const uint8_t *written, size_t size) {
    struct value *v = add();
    if (v == NULL) {
        return EDGE_TOO_MANY_VALUES;
    }
    bool too_long = c.path_size > EDGE_MAX_FIELD;
    v->number = *number;
    v->field_size = too_long ? 0 : (uint8_t)c.path_size;
    v->field = c.lasting ? c.field : keep(c.path, v->field_size);
    v->unit_size = 0;
    v->unit = NULL;
    v->reason = too_long ? EDGE_TOO_LONG : fits && collect_in_range(number) ? EDGE_OK : EDGE_NUMBER_RANGE;
    v->written = written;
    v->written_size = (uint32_t)size;
    v->dead = false;
    finish_key(c.key);
    return EDGE_OK;
}

enum edge_reason collect_text(const uint8_t *text, size_t size) {
    struct edge_dec number;
    bool fits;
    if (size == 0 || (*text != '-' && (uint8_t)(*text - '0') > 9) ||
        edge_dec_scan(text, text + size, &number, &fits) != text + size) {
        return EDGE_OK;
    }
    return collect_number(&number, fits, NULL, 0);
}

enum edge_reason collect_named(const uint8_t *field, size_t field_size, const uint8_t *unit, size_t unit_size,
                               uint64_t time, const struct edge_dec *number, enum edge_reason reason) {
    struct value *v = add();
    if (v == NULL) {
        return EDGE_TOO_MANY_VALUES;
    }
    v->number = *number;
    v->time = time;
    v->written = NULL;
    v->written_size = 0;
    v->field = keep(field, field_size);
    v->field_size = (uint8_t)field_size;
    v->unit = keep(unit, unit_size);
    v->unit_size = (uint8_t)unit_size;
    v->reason = reason != EDGE_OK || collect_in_range(number) ? (uint8_t)reason : EDGE_NUMBER_RANGE;
    v->dead = false;
    return EDGE_OK;
}

void collect_time(uint64_t time) {
    for (uint32_t i = 0; i < values.count; i++) {
        values.items[i].time = time;
    }
}
