/* The numbers of edge.cddl for C. tests/guest/test_lib_protocol.py holds the two together. */
#ifndef EDGE_PROTOCOL_H
#define EDGE_PROTOCOL_H

enum {
    EDGE_MAGIC_0 = 0xED,
    EDGE_MAGIC_1 = 0x9E,
    EDGE_FRAME_VERSION = 1,
    EDGE_HEADER = 12,
    EDGE_MAX_BODY = 196608,
    EDGE_ABI = 1,
    EDGE_MAX_TOPIC = 1024,
    EDGE_MAX_PAYLOAD = 131072,
    EDGE_MAX_PIECE = 65536,
    EDGE_MAX_LOG = 240,
    EDGE_MAX_REFUSAL = 200,
    EDGE_MAX_FIELD = 64,
    EDGE_MAX_UNIT = 32,
};

enum edge_frame_type {
    EDGE_HELLO = 0x01,
    EDGE_READY = 0x02,
    EDGE_PING = 0x03,
    EDGE_PONG = 0x04,
    EDGE_REFUSED = 0x05,
    EDGE_SPIN = 0x06,
    EDGE_SPUN = 0x07,
    EDGE_READING = 0x10,
    EDGE_TICK = 0x11,
    EDGE_DRAIN = 0x12,
    EDGE_CHECKPOINT = 0x13,
    EDGE_STATE = 0x14,
    EDGE_ACK = 0x20,
    EDGE_SUMMARY = 0x21,
    EDGE_REPORT = 0x22,
    EDGE_REJECT = 0x23,
    EDGE_LOG = 0x24,
    EDGE_ECHO = 0x30,
};

enum edge_level { EDGE_DEBUG, EDGE_INFO, EDGE_WARNING, EDGE_ERROR };

enum edge_reason {
    EDGE_OK = 0,
    EDGE_MALFORMED_JSON = 1,
    EDGE_MALFORMED_CBOR = 2,
    EDGE_MALFORMED_SENML = 3,
    EDGE_EMPTY = 4,
    EDGE_NO_NUMBER = 5,
    EDGE_TOO_DEEP = 6,
    EDGE_TOO_LONG = 7,
    EDGE_TOO_MANY_VALUES = 8,
    EDGE_NUMBER_RANGE = 9,
    EDGE_LATE = 10,
    EDGE_AHEAD = 11,
    EDGE_SERIES_LIMIT = 12,
    EDGE_WINDOW_LIMIT = 13,
    EDGE_BUCKET_LIMIT = 14,
    EDGE_FORMAT_UNSUPPORTED = 15,
    EDGE_BAD_TIME = 16,
    EDGE_TRAILING_BYTES = 17,
    EDGE_NOT_UTF8 = 18,
    EDGE_DUPLICATE_KEY = 19,
    EDGE_REASONS = 20, /* one past the last */
};

enum edge_format {
    EDGE_FORMAT_TEXT = 0,
    EDGE_FORMAT_JSON = 50,
    EDGE_FORMAT_CBOR = 60,
    EDGE_FORMAT_SENML_JSON = 110,
    EDGE_FORMAT_SENML_CBOR = 112,
    EDGE_FORMAT_SNIFF = 65535,
};

#endif
