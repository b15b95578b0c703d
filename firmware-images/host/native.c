/* The platform on a desk: frames on standard input, frames on standard output. For tests, fuzzers and forensics.
 *
 * Every read ends with edge_session_idle, as on a board when the channel runs dry. EDGE_NATIVE_READ=n reads n bytes at
 * a time, to cut frames anywhere. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <edge/guest.h>

enum { READ = 65536, BUILD_ID = 32, MEMORY_LIMIT = 1 << 30, ALIGN = 16, PANICKED = 70, BROKEN_PIPE = 74 };

static uint8_t build[BUILD_ID];
static uint8_t output[READ];
static size_t held;

void edge_port_flush(void) {
    size_t done = 0;
    while (done < held) {
        ssize_t n = write(STDOUT_FILENO, output + done, held - done);
        if (n <= 0) {
            _exit(BROKEN_PIPE);
        }
        done += (size_t)n;
    }
    held = 0;
}

void edge_port_write(const void *bytes, size_t size) {
    const uint8_t *from = bytes;
    while (size != 0) {
        size_t n = sizeof output - held;
        n = n < size ? n : size;
        memcpy(output + held, from, n);
        held += n;
        from += n;
        size -= n;
        if (held == sizeof output) {
            edge_port_flush();
        }
    }
}

_Noreturn void edge_panic(const char *why) {
    edge_log_panic(why);
    edge_port_flush();
    (void)fprintf(stderr, "panic: %s\n", (const char *)edge_ring.panic);
    exit(PANICKED);
}

struct edge_arena edge_platform_arena(uint64_t memory) {
    static uint8_t *arena;
    size_t size = memory < MEMORY_LIMIT ? (size_t)memory & ~(size_t)(ALIGN - 1) : MEMORY_LIMIT;
    free(arena);
    arena = aligned_alloc(ALIGN, size + ALIGN);
    if (arena == NULL) {
        edge_panic("no memory");
    }
    memset(arena, 0xA5, size); /* RAM is not zero after a reset */
    return (struct edge_arena){arena, size};
}

const uint8_t *edge_platform_build(void) {
    return build;
}

int main(void) {
    static uint8_t input[READ];
    const char *setting = getenv("EDGE_NATIVE_READ");
    size_t step = setting != NULL ? strtoul(setting, NULL, 10) : READ;
    step = step != 0 && step < READ ? step : READ;
    for (;;) {
        ssize_t n = read(STDIN_FILENO, input, step);
        if (n <= 0) {
            return n == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
        }
        edge_session_feed(input, (size_t)n);
        edge_session_idle();
        edge_port_flush();
    }
}
