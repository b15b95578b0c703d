/* One guest's conversation with the agent: hello, inputs in order, checkpoints. What an app may call. */
#ifndef EDGE_SESSION_H
#define EDGE_SESSION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <edge/guest.h>

/* Take bytes from the front of the arena, aligned to 16. NULL when it is too small. */
void *edge_arena_take(struct edge_arena *arena, size_t size);

/* Say why hello or state can't be taken. needed and available are bytes; needed is 0 where memory isn't the reason. */
void edge_refuse(const char *reason, uint64_t needed, uint64_t available);

/* The number of the next summary or report: 1, 2, 3 ... Restored with the state. */
uint64_t edge_next_out(void);

/* While states are restored: which part of other guests' series is this guest's. count 0: the state is its own, whole. */
struct edge_shard {
    uint32_t index, count;
};
extern struct edge_shard edge_shard;

/* Whether the series of this topic are this guest's. */
bool edge_shard_keeps(const uint8_t *topic, size_t size);

/* Append to the state that is being saved. */
void edge_state_write(const void *bytes, size_t size);

/* Forget everything, as after power on (tests, fuzzers). */
void edge_session_reset(void);

#endif
