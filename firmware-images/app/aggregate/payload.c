/* Which reader a payload gets. */
#include "collect.h"

#include "../../lib/hash.h"
#include "../../lib/json.h"
#include "../../lib/senml.h"
#include "../../lib/utf8.h"

static bool blank(uint8_t byte) {
    return byte == ' ' || byte == '\t' || byte == '\n' || byte == '\r';
}

/* Plain text: a number, or a word. */
static enum edge_reason read_text(const uint8_t *payload, size_t size, size_t *offset) {
    const uint8_t *at = payload;
    const uint8_t *end = payload + size;
    while (at < end && blank(*at)) {
        at++;
    }
    while (end > at && blank(end[-1])) {
        end--;
    }
    enum edge_reason reason = collect_text(at, (size_t)(end - at));
    collect_time(agg.now);
    if (values.count == 0) {
        const uint8_t *bad = edge_utf8_check(payload, payload + size);
        if (bad != payload + size) {
            *offset = (size_t)(bad - payload);
            return EDGE_NOT_UTF8;
        }
    }
    return reason;
}

/* Whether a JSON array is a SenML pack: its first record has a name and a value, or a base name. */
static bool looks_like_senml(const uint8_t *payload, size_t size) {
    struct edge_json j;
    uint32_t seen = 0;
    edge_json_init(&j, payload, size);
    if (edge_json_next(&j) != EDGE_JSON_ARRAY || edge_json_next(&j) != EDGE_JSON_OBJECT) {
        return false;
    }
    for (;;) {
        enum edge_json_token token = edge_json_next(&j);
        if (token == EDGE_JSON_KEY && j.depth == 2) {
            enum edge_senml_label label = edge_senml_label(j.text, j.size);
            if (label < EDGE_SENML_LABELS) {
                seen |= (uint32_t)1 << label;
            }
        } else if (token == EDGE_JSON_ERROR || (token == EDGE_JSON_OBJECT_END && j.depth == 1)) {
            break;
        }
    }
    const uint32_t values_seen =
        seen & ((uint32_t)1 << EDGE_SENML_V | (uint32_t)1 << EDGE_SENML_VS | (uint32_t)1 << EDGE_SENML_VB |
                (uint32_t)1 << EDGE_SENML_VD | (uint32_t)1 << EDGE_SENML_S);
    return (seen >> EDGE_SENML_BN & 1) != 0 || ((seen >> EDGE_SENML_N & 1) != 0 && values_seen != 0);
}

/* A CBOR array whose first item is a map: neither byte can begin UTF-8 text. */
static bool looks_like_senml_cbor(const uint8_t *payload, size_t size) {
    static const uint8_t argument_size[32] = {[24] = 1, [25] = 2, [26] = 4, [27] = 8};
    if (size == 0 || payload[0] >> 5 != 4 || ((payload[0] & 31) > 27 && (payload[0] & 31) != 31)) {
        return false;
    }
    size_t first = 1 + (size_t)argument_size[payload[0] & 31];
    return first < size && payload[first] >> 5 == 5;
}

/* Text, or JSON in it. sniff: perhaps a SenML pack. */
static enum edge_reason read_any(const uint8_t *payload, size_t size, bool sniff, size_t *offset) {
    size_t at = 0;
    while (at < size && blank(payload[at])) {
        at++;
    }
    if (at == size) {
        return EDGE_EMPTY;
    }
    if (payload[at] == '{' || payload[at] == '[' || payload[at] == '"') {
        if (sniff && payload[at] == '[' && looks_like_senml(payload, size)) {
            return read_senml_json(payload, size, offset);
        }
        return read_json(payload, size, offset);
    }
    if (sniff && looks_like_senml_cbor(payload, size)) {
        return read_senml_cbor(payload, size, offset);
    }
    enum edge_reason reason = read_text(payload, size, offset);
    return sniff && reason == EDGE_NOT_UTF8 ? EDGE_FORMAT_UNSUPPORTED : reason;
}

static enum edge_reason read(uint16_t format, const uint8_t *payload, size_t size, size_t *offset) {
    if (size == 0) {
        return EDGE_EMPTY;
    }
    switch (format) {
    case EDGE_FORMAT_SNIFF:
    case EDGE_FORMAT_TEXT:
        return read_any(payload, size, format == EDGE_FORMAT_SNIFF, offset);
    case EDGE_FORMAT_JSON:
        return read_json(payload, size, offset);
    case EDGE_FORMAT_CBOR:
        return read_cbor(payload, size, offset);
    case EDGE_FORMAT_SENML_JSON:
        return read_senml_json(payload, size, offset);
    case EDGE_FORMAT_SENML_CBOR:
        return read_senml_cbor(payload, size, offset);
    default:
        return EDGE_FORMAT_UNSUPPORTED;
    }
}

void payload_take(uint16_t format, const uint8_t *topic, size_t topic_size, const uint8_t *payload, size_t size) {
    struct origin origin = {topic, topic_size, edge_hash(topic, topic_size), NONE};
    origin.source = table_find_source(&agg.tables, origin.hash, topic, topic_size);
    /* These formats read a text that begins with a brace alike. */
    bool object = size != 0 && *payload == '{' &&
                  (format == EDGE_FORMAT_SNIFF || format == EDGE_FORMAT_TEXT || format == EDGE_FORMAT_JSON);
    agg.report.payloads++;
    if (object && habit_take(&origin, payload, size)) {
        return;
    }
    size_t offset = 0;
    collect_begin();
    enum edge_reason reason = read(format, payload, size, &offset);
    agg.report.reasons[EDGE_DUPLICATE_KEY] += reason == EDGE_OK ? values.duplicates : 0;
    if (reason == EDGE_OK && values.live == 0) {
        reason = EDGE_NO_NUMBER;
        offset = size;
    }
    if (reason != EDGE_OK) {
        agg.report.reasons[reason]++;
        emit_reject(reason, offset);
        return;
    }
    if (engine_apply(&origin, values.items, values.count) && object && values.duplicates == 0) {
        habit_learn(&origin, payload, size, values.time, values.time_size);
    }
}
