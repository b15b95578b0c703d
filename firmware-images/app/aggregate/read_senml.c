/* SenML packs (RFC 8428) in JSON and CBOR. */
#include "collect.h"

#include "../../lib/cbor.h"
#include "../../lib/json.h"
#include "../../lib/mem.h"
#include "../../lib/senml.h"
#include "../../lib/utf8.h"

#include "../../lib/cold.h" /* last */

enum { LONGEST_TEXT = 256, SKIP_DEPTH = 32, SIMPLE_FALSE = 20, SIMPLE_TRUE = 21 };

static const char sum_suffix[] = "#sum";

static enum edge_reason collect_sum(const struct edge_senml_value *v) {
    uint8_t field[EDGE_MAX_FIELD];
    size_t suffix = sizeof sum_suffix - 1;
    bool too_long = v->name.too_long || v->name.size + suffix > sizeof field;
    size_t size = too_long ? 0 : v->name.size + suffix;
    if (!too_long) {
        memcpy(field, v->name.bytes, v->name.size);
        memcpy(field + v->name.size, sum_suffix, suffix);
    }
    enum edge_reason reason = too_long || v->unit.too_long ? EDGE_TOO_LONG : EDGE_OK;
    return collect_named(field, size, v->unit.bytes, v->unit.size, v->time, &v->sum,
                         reason != EDGE_OK ? reason
                         : v->sum_fits     ? EDGE_OK
                                           : EDGE_NUMBER_RANGE);
}

static enum edge_reason finish_record(struct edge_senml_pack *pack, const struct edge_senml_record *record) {
    struct edge_senml_value v;
    memset(&v, 0, sizeof v);
    enum edge_reason reason = edge_senml_resolve(pack, record, agg.now, &v);
    if (reason == EDGE_OK && v.has_value) {
        bool too_long = v.name.too_long || v.unit.too_long;
        enum edge_reason fault = too_long ? EDGE_TOO_LONG : v.value_fits ? EDGE_OK : EDGE_NUMBER_RANGE;
        reason = collect_named(v.name.bytes, v.name.size, v.unit.bytes, v.unit.size, v.time, &v.value, fault);
    }
    if (reason == EDGE_OK && v.has_sum) {
        reason = collect_sum(&v);
    }
    return reason;
}

/* ---- JSON ---- */

/* Pass what is left of a value whose first token was read. */
static enum edge_reason pass_json(struct edge_json *j, enum edge_json_token token) {
    unsigned open = token == EDGE_JSON_OBJECT || token == EDGE_JSON_ARRAY;
    while (open != 0) {
        token = edge_json_next(j);
        if (token == EDGE_JSON_ERROR) {
            return (enum edge_reason)j->reason;
        }
        open += token == EDGE_JSON_OBJECT || token == EDGE_JSON_ARRAY;
        open -= token == EDGE_JSON_OBJECT_END || token == EDGE_JSON_ARRAY_END;
    }
    return EDGE_OK;
}

/* Text without escapes. One that is too long for the buffer is too long for anything here. */
static const uint8_t *plain_text(const struct edge_json *j, uint8_t *buffer, size_t *size) {
    *size = j->size;
    if (!j->escaped) {
        return j->text;
    }
    *size = edge_json_unescape(j->text, j->size, buffer, LONGEST_TEXT);
    if (*size == SIZE_MAX) {
        *size = j->size;
        return j->text;
    }
    return buffer;
}

static enum edge_reason json_field(struct edge_json *j, struct edge_senml_record *record) {
    uint8_t buffer[LONGEST_TEXT];
    size_t size;
    const uint8_t *text = plain_text(j, buffer, &size);
    enum edge_senml_label label = edge_senml_label(text, size);
    enum edge_json_token token = edge_json_next(j);
    bool taken;
    if (token == EDGE_JSON_ERROR) {
        return (enum edge_reason)j->reason;
    }
    if (label == EDGE_SENML_UNKNOWN) {
        return pass_json(j, token);
    }
    if (label == EDGE_SENML_MUST_UNDERSTAND) {
        return EDGE_MALFORMED_SENML;
    }
    switch (token) {
    case EDGE_JSON_NUMBER:
        taken = edge_senml_number(record, label, &j->number, j->fits);
        break;
    case EDGE_JSON_STRING:
        text = plain_text(j, buffer, &size);
        taken = edge_senml_text(record, label, text, size);
        break;
    case EDGE_JSON_TRUE:
    case EDGE_JSON_FALSE:
        taken = label == EDGE_SENML_VB && edge_senml_boolean(record, token == EDGE_JSON_TRUE);
        break;
    default:
        taken = false;
    }
    return taken ? EDGE_OK : EDGE_MALFORMED_SENML;
}

static enum edge_reason json_record(struct edge_json *j, struct edge_senml_pack *pack) {
    struct edge_senml_record record;
    edge_senml_begin(&record);
    for (;;) {
        enum edge_json_token token = edge_json_next(j);
        if (token == EDGE_JSON_OBJECT_END) {
            return finish_record(pack, &record);
        }
        enum edge_reason reason = token == EDGE_JSON_ERROR ? (enum edge_reason)j->reason : json_field(j, &record);
        if (reason != EDGE_OK) {
            return reason;
        }
    }
}

static enum edge_reason json_pack(struct edge_json *j) {
    struct edge_senml_pack pack;
    memset(&pack, 0, sizeof pack);
    enum edge_json_token token = edge_json_next(j);
    if (token != EDGE_JSON_ARRAY) {
        return token == EDGE_JSON_ERROR ? (enum edge_reason)j->reason : EDGE_MALFORMED_SENML;
    }
    while ((token = edge_json_next(j)) != EDGE_JSON_ARRAY_END) {
        enum edge_reason reason = token == EDGE_JSON_OBJECT  ? json_record(j, &pack)
                                  : token == EDGE_JSON_ERROR ? (enum edge_reason)j->reason
                                                             : EDGE_MALFORMED_SENML;
        if (reason != EDGE_OK) {
            return reason;
        }
    }
    return edge_json_next(j) == EDGE_JSON_END ? EDGE_OK : (enum edge_reason)j->reason;
}

enum edge_reason read_senml_json(const uint8_t *payload, size_t size, size_t *offset) {
    struct edge_json j;
    edge_json_init(&j, payload, size);
    enum edge_reason reason = json_pack(&j);
    *offset = (size_t)(j.at - payload);
    return reason;
}

/* ---- CBOR ---- */

/* Joined text; one that is too long keeps its first bytes and a size that says so. */
static enum edge_reason cbor_text(struct edge_reader *r, const struct edge_item *head, uint8_t *buffer,
                                  const uint8_t **text, size_t *size) {
    struct edge_item piece;
    uint64_t none = 0;
    *text = head->bytes;
    *size = (size_t)head->value;
    if (!head->indefinite) {
        bool valid = head->kind == EDGE_BYTES || edge_utf8_check(*text, *text + *size) == *text + *size;
        return valid ? EDGE_OK : EDGE_NOT_UTF8;
    }
    *text = buffer;
    *size = 0;
    while (edge_more(r, &none, true)) {
        if (!edge_read(r, &piece) || piece.kind != head->kind || piece.indefinite) {
            return EDGE_MALFORMED_CBOR;
        }
        const uint8_t *end = piece.bytes + piece.value;
        if (piece.kind == EDGE_TEXT && edge_utf8_check(piece.bytes, end) != end) {
            return EDGE_NOT_UTF8;
        }
        size_t room = LONGEST_TEXT - *size;
        size_t n = piece.value < room ? (size_t)piece.value : room;
        memcpy(buffer + *size, piece.bytes, n);
        *size += n;
    }
    return r->failed ? EDGE_MALFORMED_CBOR : EDGE_OK;
}

static enum edge_reason cbor_label(struct edge_reader *r, enum edge_senml_label *label) {
    struct edge_item head;
    uint8_t buffer[LONGEST_TEXT];
    const uint8_t *text;
    size_t size;
    if (!edge_read(r, &head)) {
        return EDGE_MALFORMED_CBOR;
    }
    if (head.kind <= EDGE_NINT) {
        *label = edge_senml_cbor_label(head.kind == EDGE_NINT, head.value);
        return EDGE_OK;
    }
    if (head.kind != EDGE_TEXT) {
        return EDGE_MALFORMED_SENML;
    }
    enum edge_reason reason = cbor_text(r, &head, buffer, &text, &size);
    if (reason == EDGE_OK) {
        *label = edge_senml_label(text, size);
    }
    return reason;
}

static enum edge_reason cbor_field(struct edge_reader *r, struct edge_senml_record *record) {
    uint8_t buffer[LONGEST_TEXT];
    const uint8_t *text;
    size_t size;
    struct edge_item head;
    struct edge_dec number = {0, 0};
    enum edge_senml_label label;
    enum edge_reason reason = cbor_label(r, &label);
    bool fits = false;
    if (reason != EDGE_OK) {
        return reason;
    }
    if (label == EDGE_SENML_MUST_UNDERSTAND) {
        return EDGE_MALFORMED_SENML;
    }
    if (label == EDGE_SENML_UNKNOWN) {
        return edge_skip(r, SKIP_DEPTH) ? EDGE_OK : EDGE_MALFORMED_CBOR;
    }
    if (!edge_read(r, &head)) {
        return EDGE_MALFORMED_CBOR;
    }
    switch (head.kind) {
    case EDGE_TEXT:
    case EDGE_BYTES:
        if ((head.kind == EDGE_BYTES) != (label == EDGE_SENML_VD)) {
            return EDGE_MALFORMED_SENML;
        }
        reason = cbor_text(r, &head, buffer, &text, &size);
        if (reason != EDGE_OK) {
            return reason;
        }
        return edge_senml_text(record, label, text, size) ? EDGE_OK : EDGE_MALFORMED_SENML;
    case EDGE_SIMPLE:
        if (label == EDGE_SENML_VB && (head.value == SIMPLE_TRUE || head.value == SIMPLE_FALSE)) {
            return edge_senml_boolean(record, head.value == SIMPLE_TRUE) ? EDGE_OK : EDGE_MALFORMED_SENML;
        }
        return EDGE_MALFORMED_SENML;
    default:
        if (!edge_cbor_number(r, &head, &number, &fits)) {
            return r->failed ? EDGE_MALFORMED_CBOR : EDGE_MALFORMED_SENML;
        }
        return edge_senml_number(record, label, &number, fits) ? EDGE_OK : EDGE_MALFORMED_SENML;
    }
}

static enum edge_reason cbor_record(struct edge_reader *r, struct edge_senml_pack *pack) {
    struct edge_senml_record record;
    struct edge_item head;
    if (!edge_read(r, &head)) {
        return EDGE_MALFORMED_CBOR;
    }
    if (head.kind != EDGE_MAP) {
        return EDGE_MALFORMED_SENML;
    }
    edge_senml_begin(&record);
    uint64_t left = head.value;
    while (edge_more(r, &left, head.indefinite)) {
        enum edge_reason reason = cbor_field(r, &record);
        if (reason != EDGE_OK) {
            return reason;
        }
    }
    return r->failed ? EDGE_MALFORMED_CBOR : finish_record(pack, &record);
}

static enum edge_reason cbor_pack(struct edge_reader *r) {
    struct edge_senml_pack pack;
    struct edge_item head;
    memset(&pack, 0, sizeof pack);
    if (!edge_read(r, &head)) {
        return EDGE_MALFORMED_CBOR;
    }
    if (head.kind != EDGE_ARRAY) {
        return EDGE_MALFORMED_SENML;
    }
    uint64_t left = head.value;
    while (edge_more(r, &left, head.indefinite)) {
        enum edge_reason reason = cbor_record(r, &pack);
        if (reason != EDGE_OK) {
            return reason;
        }
    }
    return r->failed ? EDGE_MALFORMED_CBOR : r->at == r->end ? EDGE_OK : EDGE_TRAILING_BYTES;
}

enum edge_reason read_senml_cbor(const uint8_t *payload, size_t size, size_t *offset) {
    struct edge_reader r;
    edge_reader_init(&r, payload, size);
    enum edge_reason reason = cbor_pack(&r);
    *offset = (size_t)(r.at - payload);
    return reason;
}

#pragma clang attribute pop
