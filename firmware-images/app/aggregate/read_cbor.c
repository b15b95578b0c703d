/* CBOR maps and arrays, read as JSON is: every number in them. Integer keys become their decimal text. */
#include "collect.h"

#include "../../lib/cbor.h"
#include "../../lib/mem.h"
#include "../../lib/utf8.h"

#include "../../lib/cold.h" /* last */

enum {
    JOINED = 256,
    KEY_DIGITS = 21,
    SIMPLE_FALSE = 20,
    SIMPLE_TRUE = 21,
    FIRST_TAGGED_NUMBER = 2,
    LAST_TAGGED_NUMBER = 4
};

/* Strings may come in pieces (RFC 8949 3.2.3); they are joined here. A longer one is cut: too long to be a field. */
struct joined {
    uint8_t bytes[JOINED];
    const uint8_t *text;
    size_t size;
    bool lasting;
};

static enum edge_reason check_utf8(const uint8_t *text, size_t size) {
    return edge_utf8_check(text, text + size) == text + size ? EDGE_OK : EDGE_NOT_UTF8;
}

static enum edge_reason join(struct edge_reader *r, const struct edge_item *head, struct joined *out) {
    struct edge_item piece;
    uint64_t none = 0;
    if (!head->indefinite) {
        out->text = head->bytes;
        out->size = (size_t)head->value;
        out->lasting = true;
        return head->kind == EDGE_TEXT ? check_utf8(out->text, out->size) : EDGE_OK;
    }
    out->text = out->bytes;
    out->size = 0;
    out->lasting = false;
    while (edge_more(r, &none, true)) {
        if (!edge_read(r, &piece) || piece.kind != head->kind || piece.indefinite) {
            return EDGE_MALFORMED_CBOR;
        }
        if (piece.kind == EDGE_TEXT && check_utf8(piece.bytes, (size_t)piece.value) != EDGE_OK) {
            return EDGE_NOT_UTF8; /* every piece must be valid by itself */
        }
        size_t room = JOINED - out->size;
        size_t n = piece.value < room ? (size_t)piece.value : room;
        memcpy(out->bytes + out->size, piece.bytes, n);
        out->size += n;
    }
    return r->failed ? EDGE_MALFORMED_CBOR : EDGE_OK;
}

static enum edge_reason read_key(struct edge_reader *r) {
    struct edge_item head;
    struct joined text;
    uint8_t digits[KEY_DIGITS];
    unsigned at = KEY_DIGITS;
    if (!edge_read(r, &head)) {
        return EDGE_MALFORMED_CBOR;
    }
    if (head.kind == EDGE_TEXT) {
        enum edge_reason reason = join(r, &head, &text);
        return reason != EDGE_OK ? reason : collect_key(text.text, text.size, text.lasting);
    }
    if (head.kind > EDGE_NINT || (head.kind == EDGE_NINT && head.value == UINT64_MAX)) {
        return EDGE_MALFORMED_CBOR; /* a key that names nothing */
    }
    uint64_t value = head.value + (head.kind == EDGE_NINT);
    do {
        digits[--at] = (uint8_t)('0' + value % 10);
        value /= 10;
    } while (value != 0);
    if (head.kind == EDGE_NINT) {
        digits[--at] = '-';
    }
    return collect_key(digits + at, KEY_DIGITS - at, false);
}

static enum edge_reason read_value(struct edge_reader *r, unsigned depth);

static enum edge_reason read_items(struct edge_reader *r, const struct edge_item *head, unsigned depth) {
    uint64_t left = head->value;
    if (depth == MAX_DEPTH) {
        return EDGE_TOO_DEEP;
    }
    collect_open();
    while (edge_more(r, &left, head->indefinite)) {
        enum edge_reason reason = EDGE_OK;
        if (head->kind == EDGE_MAP) {
            reason = read_key(r);
        } else {
            collect_element();
        }
        reason = reason != EDGE_OK ? reason : read_value(r, depth + 1);
        if (reason != EDGE_OK) {
            return reason;
        }
    }
    collect_close();
    return r->failed ? EDGE_MALFORMED_CBOR : EDGE_OK;
}

static enum edge_reason read_value(struct edge_reader *r, unsigned depth) {
    struct edge_item head;
    struct joined text;
    struct edge_dec number;
    bool fits;
    enum edge_reason reason;
    unsigned tags = 0;
    for (;;) {
        if (!edge_read(r, &head)) {
            return EDGE_MALFORMED_CBOR;
        }
        bool tagged_number =
            head.kind == EDGE_TAG && head.value >= FIRST_TAGGED_NUMBER && head.value <= LAST_TAGGED_NUMBER;
        if (head.kind != EDGE_TAG || tagged_number) {
            break;
        }
        if (++tags > MAX_DEPTH) { /* other tags say what a value means, not what it is */
            return EDGE_TOO_DEEP;
        }
    }
    switch (head.kind) {
    case EDGE_UINT:
    case EDGE_NINT:
    case EDGE_FLOAT:
    case EDGE_TAG:
        number.mantissa = 0;
        number.exponent = 0;
        fits = false;
        if (!edge_cbor_number(r, &head, &number, &fits)) {
            return EDGE_MALFORMED_CBOR;
        }
        return collect_number(&number, fits, NULL, 0);
    case EDGE_SIMPLE:
        if (head.value != SIMPLE_TRUE && head.value != SIMPLE_FALSE) {
            return EDGE_OK;
        }
        number.mantissa = head.value == SIMPLE_TRUE;
        number.exponent = 0;
        return collect_number(&number, true, NULL, 0);
    case EDGE_BYTES:
    case EDGE_TEXT:
        reason = join(r, &head, &text);
        return reason != EDGE_OK || head.kind == EDGE_BYTES ? reason : collect_text(text.text, text.size);
    case EDGE_ARRAY:
    case EDGE_MAP:
        return read_items(r, &head, depth);
    default:
        return EDGE_MALFORMED_CBOR; /* a break where none belongs */
    }
}

enum edge_reason read_cbor(const uint8_t *payload, size_t size, size_t *offset) {
    struct edge_reader r;
    edge_reader_init(&r, payload, size);
    enum edge_reason reason = read_value(&r, 0);
    if (reason == EDGE_OK && r.at != r.end) {
        reason = EDGE_TRAILING_BYTES;
    }
    *offset = (size_t)(r.at - payload);
    collect_time(agg.now);
    return reason;
}

#pragma clang attribute pop
