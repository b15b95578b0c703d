#include "bytes.h"
#include "cbor.h"

enum { ADDITIONAL = 0x1f, ONE = 24, TWO = 25, FOUR = 26, EIGHT = 27, INDEFINITE = 31, MAJOR_SHIFT = 5, OTHER = 7 };

void edge_reader_init(struct edge_reader *r, const uint8_t *bytes, size_t size) {
    r->start = bytes;
    r->at = bytes;
    r->end = bytes + size;
    r->failed = false;
}

static bool fail(struct edge_reader *r, const uint8_t *at) {
    r->failed = true;
    r->at = at;
    return false;
}

/* Major type 7: the head's own byte is `additional`, its argument `value`. */
static bool simple(struct edge_reader *r, struct edge_item *item, unsigned additional, const uint8_t *head) {
    item->kind = EDGE_SIMPLE;
    if (additional == ONE) {
        if (item->value < 32) { /* RFC 8949 3.3: not well-formed */
            return fail(r, head);
        }
    } else if (additional > ONE) {
        item->kind = EDGE_FLOAT;
        item->width = (uint8_t)(1u << (additional - ONE));
    }
    return true;
}

bool edge_read(struct edge_reader *r, struct edge_item *item) {
    const uint8_t *p = r->at;
    size_t left = (size_t)(r->end - p);
    if (r->failed || left == 0) {
        return fail(r, p);
    }
    unsigned major = *p >> MAJOR_SHIFT;
    unsigned additional = *p & ADDITIONAL;
    item->kind = (uint8_t)major;
    item->indefinite = false;
    item->width = 0;
    size_t head = 1;
    if (additional < ONE) {
        item->value = additional;
    } else if (additional <= EIGHT) {
        head = 1 + ((size_t)1 << (additional - ONE));
        if (left < head) {
            return fail(r, r->end);
        }
        switch (additional) {
        case ONE:
            item->value = p[1];
            break;
        case TWO:
            item->value = edge_be16(p + 1);
            break;
        case FOUR:
            item->value = edge_be32(p + 1);
            break;
        default:
            item->value = edge_be64(p + 1);
        }
    } else if (additional == INDEFINITE && major == OTHER) {
        item->kind = EDGE_BREAK;
        item->value = 0;
        r->at = p + 1;
        return true;
    } else if (additional == INDEFINITE && major >= EDGE_BYTES && major <= EDGE_MAP) {
        item->indefinite = true;
        item->value = 0;
        r->at = p + 1;
        return true;
    } else {
        return fail(r, p);
    }
    r->at = p + head;
    if (major == OTHER) {
        return simple(r, item, additional, p);
    }
    if (major == EDGE_BYTES || major == EDGE_TEXT) {
        if (item->value > left - head) {
            return fail(r, r->end);
        }
        item->bytes = r->at;
        r->at += item->value;
    }
    return true;
}

bool edge_more(struct edge_reader *r, uint64_t *left, bool indefinite) {
    if (r->failed) {
        return false;
    }
    if (indefinite) {
        if (r->at < r->end && *r->at == 0xff) {
            r->at++;
            return false;
        }
        return true;
    }
    if (*left == 0) {
        return false;
    }
    (*left)--;
    return true;
}

/* Pieces of an indefinite string: definite strings of the same kind (RFC 8949 3.2.3). */
static bool skip_pieces(struct edge_reader *r, unsigned kind) {
    struct edge_item piece;
    uint64_t none = 0;
    while (edge_more(r, &none, true)) {
        const uint8_t *at = r->at;
        if (!edge_read(r, &piece)) {
            return false;
        }
        if (piece.kind != kind || piece.indefinite) {
            return fail(r, at);
        }
    }
    return !r->failed;
}

bool edge_skip_rest(struct edge_reader *r, const struct edge_item *head, unsigned depth) {
    switch (head->kind) {
    case EDGE_BYTES:
    case EDGE_TEXT:
        return head->indefinite ? skip_pieces(r, head->kind) : true;
    case EDGE_ARRAY:
    case EDGE_MAP:
    case EDGE_TAG:
        break;
    case EDGE_BREAK:
        return fail(r, r->at - 1);
    default:
        return true;
    }
    if (depth == 0) {
        return fail(r, r->at);
    }
    if (head->kind == EDGE_TAG) {
        return edge_skip(r, depth - 1);
    }
    uint64_t left = head->value;
    while (edge_more(r, &left, head->indefinite)) {
        if (!edge_skip(r, depth - 1) || (head->kind == EDGE_MAP && !edge_skip(r, depth - 1))) {
            return false;
        }
    }
    return !r->failed;
}

bool edge_skip(struct edge_reader *r, unsigned depth) {
    struct edge_item item;
    return edge_read(r, &item) && edge_skip_rest(r, &item, depth);
}

bool edge_read_uint(struct edge_reader *r, uint64_t *value) {
    struct edge_item item;
    const uint8_t *at = r->at;
    if (r->end - at > 8 && *at == (EDGE_UINT << MAJOR_SHIFT | EIGHT) && !r->failed) { /* the agent's own habit */
        *value = edge_be64(at + 1);
        r->at = at + 9;
        return true;
    }
    if (!edge_read(r, &item)) {
        return false;
    }
    if (item.kind != EDGE_UINT) {
        return fail(r, at);
    }
    *value = item.value;
    return true;
}

bool edge_read_string(struct edge_reader *r, enum edge_kind kind, const uint8_t **bytes, size_t *size) {
    struct edge_item item;
    const uint8_t *at = r->at;
    if (!edge_read(r, &item)) {
        return false;
    }
    if (item.kind != kind || item.indefinite) {
        return fail(r, at);
    }
    *bytes = item.bytes;
    *size = (size_t)item.value;
    return true;
}

bool edge_read_array(struct edge_reader *r, uint64_t count, bool *indefinite) {
    struct edge_item item;
    const uint8_t *at = r->at;
    if (!edge_read(r, &item)) {
        return false;
    }
    if (item.kind != EDGE_ARRAY || (!item.indefinite && item.value != count)) {
        return fail(r, at);
    }
    *indefinite = item.indefinite;
    return true;
}

bool edge_read_close(struct edge_reader *r, bool indefinite) {
    if (r->failed) {
        return false;
    }
    if (!indefinite) {
        return true;
    }
    struct edge_item item;
    const uint8_t *at = r->at;
    if (!edge_read(r, &item)) {
        return false;
    }
    return item.kind == EDGE_BREAK || fail(r, at);
}

bool edge_read_end(struct edge_reader *r) {
    return !r->failed && (r->at == r->end || fail(r, r->at));
}
