/* Eight bytes at a time: `rep movs` costs 3 us per iteration under a software KVM, and byte loops eight times as much.
 * A packed word is one load where the machine allows unaligned access, and byte loads where it does not; pointers that
 * are both aligned take whole words everywhere. no_builtin keeps the compiler from turning a loop into a call to
 * itself. */
#include "mem.h"

#include <stdint.h>

struct packed_word {
    uint64_t value;
} __attribute__((packed, may_alias));

typedef uint64_t __attribute__((may_alias)) word;

enum { WORD = 8 };

#define SELF_CONTAINED __attribute__((no_builtin("memcpy", "memmove", "memset", "memcmp", "strlen")))

static int both_aligned(const void *a, const void *b) {
    return (((uintptr_t)a | (uintptr_t)b) & (WORD - 1)) == 0;
}

SELF_CONTAINED void *memcpy(void *restrict to, const void *restrict from, size_t size) {
    uint8_t *d = to;
    const uint8_t *s = from;
    if (both_aligned(d, s)) {
        for (; size >= WORD; size -= WORD, d += WORD, s += WORD) {
            *(word *)(void *)d = *(const word *)(const void *)s;
        }
    } else {
        for (; size >= WORD; size -= WORD, d += WORD, s += WORD) {
            ((struct packed_word *)(void *)d)->value = ((const struct packed_word *)(const void *)s)->value;
        }
    }
    while (size-- != 0) {
        *d++ = *s++;
    }
    return to;
}

SELF_CONTAINED void *memmove(void *to, const void *from, size_t size) {
    uint8_t *d = to;
    const uint8_t *s = from;
    if ((uintptr_t)d - (uintptr_t)s >= size) { /* forward is safe: `to` lies before `from` or past its end */
        for (; size >= WORD; size -= WORD, d += WORD, s += WORD) {
            uint64_t value = ((const struct packed_word *)(const void *)s)->value;
            ((struct packed_word *)(void *)d)->value = value;
        }
        while (size-- != 0) {
            *d++ = *s++;
        }
        return to;
    }
    d += size;
    s += size;
    for (; size >= WORD; size -= WORD) {
        d -= WORD;
        s -= WORD;
        uint64_t value = ((const struct packed_word *)(const void *)s)->value;
        ((struct packed_word *)(void *)d)->value = value;
    }
    while (size-- != 0) {
        *--d = *--s;
    }
    return to;
}

SELF_CONTAINED void *memset(void *to, int byte, size_t size) {
    uint8_t *d = to;
    uint64_t fill = (uint8_t)byte * 0x0101010101010101u;
    while (size != 0 && ((uintptr_t)d & (WORD - 1)) != 0) {
        *d++ = (uint8_t)byte;
        size--;
    }
    for (; size >= WORD; size -= WORD, d += WORD) {
        *(word *)(void *)d = fill;
    }
    while (size-- != 0) {
        *d++ = (uint8_t)byte;
    }
    return to;
}

SELF_CONTAINED int memcmp(const void *a, const void *b, size_t size) {
    const uint8_t *x = a;
    const uint8_t *y = b;
    while (size >= WORD && ((const struct packed_word *)(const void *)x)->value ==
                               ((const struct packed_word *)(const void *)y)->value) {
        size -= WORD;
        x += WORD;
        y += WORD;
    }
    for (; size != 0; size--, x++, y++) {
        if (*x != *y) {
            return *x < *y ? -1 : 1;
        }
    }
    return 0;
}

SELF_CONTAINED size_t strlen(const char *text) {
    const char *end = text;
    while (*end != 0) {
        end++;
    }
    return (size_t)(end - text);
}
