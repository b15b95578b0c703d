/* The guest API: what lib/ and app/ may ask of the platform (arch/, drivers/), and what the platform asks of lib/.
 * On a desk the platform is host/native.c instead, which is why nothing here names a device.
 */
#ifndef EDGE_GUEST_H
#define EDGE_GUEST_H

#include <stddef.h>
#include <stdint.h>

/* ---- offered by the platform ---- */

/* Append bytes to the channel's transmit buffer. Coalesced; sent when the buffer is full or at edge_port_flush.
 * Spins while the host takes nothing: output is never dropped. */
void edge_port_write(const void *bytes, size_t size);

/* Hand everything written so far to the host. */
void edge_port_flush(void);

/* Write why into the log ring's panic record (edge_log_panic) and end this machine. */
_Noreturn void edge_panic(const char *why);

/* The arena: RAM between the end of the image and the end of memory, 16-byte aligned.
 * memory is what hello said; the platform checks that it is at least what the image needs. */
struct edge_arena {
    uint8_t *base;
    size_t size;
};
struct edge_arena edge_platform_arena(uint64_t memory);

/* The 32 bytes of the image's build id note, as `ready` reports them. */
const uint8_t *edge_platform_build(void);

/* ---- offered by lib/ to the platform ---- */

/* Feed bytes as they came from the channel, in any pieces. */
void edge_session_feed(const uint8_t *bytes, size_t size);

/* Called when there is no more input for now, before edge_port_flush and halting: sends the ack. */
void edge_session_idle(void);

/* The log ring, laid out as protocol/edge.cddl says (integers big-endian). In .bss until the first frame. */
enum { EDGE_RING_TEXT = 4096, EDGE_PANIC_RECORD = 192 };
struct edge_ring {
    uint8_t magic[8];
    uint8_t size[4];
    uint8_t next[4];
    uint8_t wrapped[4];
    uint8_t panicked[4];
    uint8_t panic[EDGE_PANIC_RECORD];
    uint8_t text[EDGE_RING_TEXT];
};
extern struct edge_ring edge_ring;

/* Writes the panic flag and record; touches nothing but the ring, so a broken guest can still call it. */
void edge_log_panic(const char *why);

/* ---- offered by the app to lib/ ---- */

struct edge_reader; /* CBOR reader, lib/cbor.h */

struct edge_app {
    const char *name;
    uint32_t version;
    uint32_t state_version;
    /* Called once with the body of hello positioned at config. Takes what its tables need from the front of the
     * arena (edge_arena_take); what is left is free. Returns 0, or calls edge_refuse and returns -1. */
    int (*start)(struct edge_reader *config, struct edge_arena *arena);
    /* One call per sequenced frame (reading, tick, drain), in order. body is the CBOR array's bytes. */
    void (*input)(uint8_t type, const uint8_t *body, size_t size);
    /* Save: write the whole state with edge_state_write; called twice and must write the same bytes both times.
     * Restore: all pieces, joined. Returns 0, or calls edge_refuse and returns -1. */
    void (*save)(void);
    int (*restore)(const uint8_t *state, size_t size);
};

/* Defined by exactly one app. */
extern const struct edge_app edge_app;

#endif
