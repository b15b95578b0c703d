// Guests for a PC, 32-bit: what each does is its ACT. Booted by Multiboot 1, or with PVH defined by a PVH note.
#include <stdint.h>

#ifdef PVH
__asm__(".pushsection .note, \"a\"\n"
        ".long 4, 4, 0x12\n"
        ".asciz \"Xen\"\n"
        ".long start\n"
        ".popsection\n");
#define INFO_COMMAND_LINE 24 // struct hvm_start_info: cmdline_paddr
#else
__asm__(".pushsection .head, \"a\"\n"
        ".balign 4\n"
        ".long 0x1badb002, 0, -0x1badb002\n"
        ".popsection\n");
#define INFO_COMMAND_LINE 16 // Multiboot information: cmdline
#endif

__asm__(".pushsection .text.start, \"ax\"\n"
        ".globl start\n"
        "start: mov $stack_end, %esp\n"
        "push %ebx\n"
        "call run\n"
        ".popsection\n");

char stack[4096] __attribute__((aligned(16)));
__asm__(".globl stack_end\n.set stack_end, stack + 4096");

enum { COM1 = 0x3f8, DEBUG_EXIT = 0x501, PVPANIC = 0x505, ACPI_CONTROL = 0x604, ACPI_OFF = 0x2000 };

static void out8(uint16_t port, uint8_t value) {
    __asm__ volatile("outb %0, %1" : : "a"(value), "Nd"(port));
}
static void out16(uint16_t port, uint16_t value) {
    __asm__ volatile("outw %0, %1" : : "a"(value), "Nd"(port));
}

static uint8_t in8(uint16_t port) {
    uint8_t value;
    __asm__ volatile("inb %1, %0" : "=a"(value) : "Nd"(port));
    return value;
}

static void put(char byte) {
    while (!(in8(COM1 + 5) & 0x20)) {
    }
    out8(COM1, (uint8_t)byte);
}

static void say(const char *text) {
    while (*text) {
        put(*text++);
    }
    put('\n');
}

static void leave(uint8_t value) {
    out16(DEBUG_EXIT, value);
}

static void act_hello(uint32_t info) {
    say(*(const char **)(uintptr_t)(info + INFO_COMMAND_LINE));
    say("hello");
    leave(41);
}

static void act_off(uint32_t info) {
    (void)info;
    say("good bye");
    out16(ACPI_CONTROL, ACPI_OFF);
}

static void act_panic(uint32_t info) {
    (void)info;
    say("can't go on");
    out8(PVPANIC, 1);
}

static void act_triple(uint32_t info) {
    (void)info;
    say("about to fault");
    struct {
        uint16_t limit;
        uint32_t base;
    } __attribute__((packed)) nothing = {0, 0};
    __asm__ volatile("lidt %0; int3" : : "m"(nothing));
}

static void act_sse(uint32_t info) {
    (void)info;
    say("about to use SSE");
    __asm__ volatile("mov %%cr0, %%eax; and $~4, %%eax; or $2, %%eax; mov %%eax, %%cr0\n"
                     "mov %%cr4, %%eax; or $0x600, %%eax; mov %%eax, %%cr4\n"
                     "movd %%eax, %%xmm0; movq %%xmm0, (%%esp)"
                     :
                     :
                     : "eax", "memory");
    say("SSE works");
    leave(41);
}

static void act_flood(uint32_t info) {
    (void)info;
    for (;;) {
        say("all work and no play makes a dull guest, and a long log, which somebody has to keep");
    }
}

static void act_hang(uint32_t info) {
    (void)info;
    say("waiting for ever");
    for (;;) {
        __asm__ volatile("hlt");
    }
}

static void act_echo(uint32_t info) {
    (void)info;
    say("type");
    for (;;) {
        if (in8(COM1 + 5) & 1) {
            uint8_t byte = in8(COM1);
            if (byte == 'q') {
                leave(41);
            }
            put((char)byte);
        }
    }
}

#define JOIN(a, b) a##b
#define ACTOR(name) JOIN(act_, name)

void run(uint32_t info) {
    (void)act_hello, (void)act_off, (void)act_panic, (void)act_triple;
    (void)act_sse, (void)act_flood, (void)act_hang, (void)act_echo;
    ACTOR(ACT)(info);
    for (;;) {
    }
}
