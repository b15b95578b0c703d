/* The input is a list of frames: type, length in two bytes, body. They are framed with a right checksum here (a fuzzer
 * can't guess one) and fed in pieces whose size the first byte gives; type 0 feeds its body as it is. */
#include <edge/guest.h>

#include "../lib/bytes.h"
#include "../lib/frame.h"
#include "../protocol/edge.h"
#include "platform.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void feed(const uint8_t *bytes, size_t size, size_t piece) {
    for (; size > piece; bytes += piece, size -= piece) {
        edge_session_feed(bytes, piece);
    }
    edge_session_feed(bytes, size);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static uint8_t frame[EDGE_HEADER + UINT16_MAX];
    if (size == 0 || setjmp(fuzz_panicked) != 0) {
        return 0;
    }
    fuzz_begin();
    size_t piece = *data != 0 ? *data : sizeof frame;
    data++;
    size--;
    while (size >= 3) {
        uint8_t type = data[0];
        size_t length = edge_be16(data + 1);
        data += 3;
        size -= 3;
        length = length < size ? length : size;
        if (type == 0) {
            feed(data, length, piece);
        } else if (type != EDGE_SPIN) { /* spinning is what it says */
            frame[0] = EDGE_MAGIC_0;
            frame[1] = EDGE_MAGIC_1;
            frame[2] = type;
            frame[3] = EDGE_FRAME_VERSION;
            edge_put_be32(frame + 4, (uint32_t)length);
            for (size_t i = 0; i < length; i++) {
                frame[EDGE_HEADER + i] = data[i];
            }
            uint32_t crc = edge_crc32(0, frame + 2, 6);
            edge_put_be32(frame + 8, edge_crc32(crc, frame + EDGE_HEADER, length));
            feed(frame, EDGE_HEADER + length, piece);
        }
        data += length;
        size -= length;
    }
    edge_session_idle();
    return 0;
}
