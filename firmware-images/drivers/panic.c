/* How this machine ends, and what it says about it. */
#include <edge/guest.h>

#include "platform.h"

#define DIGITS 16u

_Noreturn void edge_panic(const char *why) {
    edge_log_panic(why);
    arch_die();
}

static char *put_text(char *to, const char *text) {
    while (*text != 0)
        *to++ = *text++;
    return to;
}

static char *put_hex(char *to, uint64_t value) {
    for (unsigned digit = DIGITS; digit-- > 0;)
        *to++ = "0123456789abcdef"[value >> (4 * digit) & 15u];
    return to;
}

_Noreturn void edge_fault(uint64_t cause, uint64_t pc, uint64_t address) {
    static char text[EDGE_PANIC_RECORD];
    char *end = put_text(text, "processor exception, cause 0x");
    end = put_hex(end, cause);
    end = put_text(end, " at pc 0x");
    end = put_hex(end, pc);
    end = put_text(end, ", address 0x");
    end = put_hex(end, address);
    *end = 0;
    edge_panic(text);
}
