/* Frames on the channel, as protocol/edge.cddl lays them out. */
#ifndef EDGE_FRAME_H
#define EDGE_FRAME_H

#include <stddef.h>
#include <stdint.h>

/* CRC-32 (ISO-HDLC), continued: start with 0, as zlib's crc32 does. */
uint32_t edge_crc32(uint32_t crc, const uint8_t *bytes, size_t size);

/* Bytes in, frames out: calls take once per whole frame. The body lies in the fed bytes or in the decoder's one
 * buffer and is valid during the call only. take must not feed. */
void edge_frames_feed(const uint8_t *bytes, size_t size, void (*take)(uint8_t type, const uint8_t *body, size_t size));

/* Bytes skipped so far in search of a frame. */
uint64_t edge_frames_skipped(void);

/* Forget a half-received frame and the count (tests, fuzzers). */
void edge_frames_reset(void);

/* Write one frame; its body is head followed by tail. */
void edge_send(uint8_t type, const uint8_t *head, size_t head_size, const uint8_t *tail, size_t tail_size);

#endif
