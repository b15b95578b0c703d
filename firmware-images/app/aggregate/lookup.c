/* Finding what is in the tables: the part of them that every value needs. */
#include "table.h"

#include "../../lib/hash.h"
#include "../../lib/mem.h"
#include "../../protocol/edge.h"

void table_text(const struct tables *t, uint32_t text, size_t size, uint8_t *out) {
    while (size != 0) {
        const struct block *block = &t->blocks[text];
        size_t n = size < BLOCK_BYTES ? size : BLOCK_BYTES;
        memcpy(out, block->bytes, n);
        out += n;
        size -= n;
        text = block->next;
    }
}

static bool text_equal(const struct tables *t, uint32_t text, const uint8_t *bytes, size_t size) {
    while (size != 0) {
        const struct block *block = &t->blocks[text];
        size_t n = size < BLOCK_BYTES ? size : BLOCK_BYTES;
        if (memcmp(block->bytes, bytes, n) != 0) {
            return false;
        }
        bytes += n;
        size -= n;
        text = block->next;
    }
    return true;
}

uint32_t table_find_source(const struct tables *t, uint64_t hash, const uint8_t *topic, size_t size) {
    uint32_t index = t->source_heads[edge_slot(hash, t->slot_bits)];
    while (index != NONE) {
        const struct source *s = &t->sources[index];
        if (s->hash == hash && s->size == size && text_equal(t, s->text, topic, size)) {
            break;
        }
        index = s->chain;
    }
    return index;
}

uint64_t table_series_hash(uint32_t source, const struct series_name *name) {
    uint64_t hash = edge_mix(edge_hash(name->field, name->field_size), source);
    return name->unit_size == 0 ? hash : edge_mix(hash, edge_hash(name->unit, name->unit_size));
}

/* Field and unit share one string; most have no unit and fit into one block. */
static bool name_equal(const struct tables *t, const struct series *s, const struct series_name *name) {
    if (s->field_size != name->field_size || s->unit_size != name->unit_size) {
        return false;
    }
    if (s->unit_size == 0) {
        return text_equal(t, s->text, name->field, s->field_size);
    }
    uint8_t both[EDGE_MAX_FIELD + EDGE_MAX_UNIT];
    table_text(t, s->text, (size_t)s->field_size + s->unit_size, both);
    return memcmp(both, name->field, s->field_size) == 0 && memcmp(both + s->field_size, name->unit, s->unit_size) == 0;
}

uint32_t table_find_series(const struct tables *t, uint64_t hash, uint32_t source, const struct series_name *name) {
    uint32_t index = t->series_heads[edge_slot(hash, t->slot_bits)];
    while (index != NONE) {
        const struct series *s = &t->series[index];
        if (s->hash == hash && s->source == source && name_equal(t, s, name)) {
            break;
        }
        index = s->chain;
    }
    return index;
}
