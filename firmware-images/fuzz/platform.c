/* The platform under a fuzzer: output goes nowhere, a panic ends the input and not the fuzzer. */
#include "platform.h"

#include <string.h>

#include <edge/guest.h>

#include "../lib/session.h"

enum { ARENA = 1 << 20, BUILD_ID = 32 };

static _Alignas(16) uint8_t arena[ARENA];
static const uint8_t build[BUILD_ID];

jmp_buf fuzz_panicked;

void edge_port_write(const void *bytes, size_t size) {
    static uint8_t copy[4096]; /* so that the sanitizer sees every byte read */
    const uint8_t *p = bytes;
    for (size_t n; size != 0; p += n, size -= n) {
        n = size < sizeof copy ? size : sizeof copy;
        memcpy(copy, p, n);
    }
}

void edge_port_flush(void) {
}

_Noreturn void edge_panic(const char *why) {
    edge_log_panic(why);
    longjmp(fuzz_panicked, 1);
}

struct edge_arena edge_platform_arena(uint64_t memory) {
    return (struct edge_arena){arena, memory < ARENA ? (size_t)memory & ~(size_t)15 : ARENA};
}

const uint8_t *edge_platform_build(void) {
    return build;
}

void fuzz_begin(void) {
    edge_session_reset();
    memset(arena, 0xA5, 4096);
}
