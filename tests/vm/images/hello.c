// Says hello on the first UART of QEMU's virt or malta machine, and turns it off where it can be (else resets it).
#include <stdint.h>

#if defined(__aarch64__)
// Linux's arm64/booting.rst; as an ELF file it is entered at its first instruction too.
__asm__(".pushsection .head, \"ax\"\n"
        ".globl start\n"
        "start: b boot\n"
        ".long 0\n"
        ".quad 0, 0x10000, 10, 0, 0, 0\n"
        ".ascii \"ARM\\x64\"\n"
        ".long 0\n"
        "boot: adrp x0, stack_end\n"
        "add x0, x0, :lo12:stack_end\n"
        "mov sp, x0\n"
        "b run\n"
        ".popsection\n");
#define UART 0x09000000UL
static void off(void) {
    register uint64_t function __asm__("x0") = 0x84000008; // PSCI SYSTEM_OFF
    __asm__ volatile("hvc #0" : : "r"(function));
}
#elif defined(__riscv)
// Linux's riscv/boot-image-header.rst.
__asm__(".pushsection .head, \"ax\"\n"
        ".option norvc\n"
        ".globl start\n"
        "start: j boot\n"
        ".long 0\n"
        ".quad 0x200000, 0x10000, 0\n"
        ".long 2, 0\n"
        ".quad 0\n"
        ".ascii \"RISCV\\0\\0\\0RSC\\x05\"\n"
        ".long 0\n"
        "boot: la sp, stack_end\n"
        "j run\n"
        ".popsection\n");
#define UART 0x10000000UL
static void off(void) {
    *(volatile uint32_t *)0x100000 = 0x5555;
} // SiFive test device: pass
#elif defined(__mips__)
#if __mips == 64
#define LOAD "dla"
#else
#define LOAD "la"
#endif
__asm__(".pushsection .head, \"ax\"\n"
        ".set noreorder\n"
        ".globl start\n"
        "start: " LOAD " $sp, stack_end - 64\n"
        "j run\n"
        "nop\n"
        ".popsection\n");
#define UART ((uintptr_t)(intptr_t)(int32_t)0xb80003f8)
static void off(void) {
    *(volatile uint32_t *)(uintptr_t)(intptr_t)(int32_t)0xbf000500 = 0x42;
} // SOFTRES
#endif

char stack[4096] __attribute__((aligned(16)));
__asm__(".globl stack_end\n.set stack_end, stack + 4096");

void run(void) {
    for (const char *text = "hello\n"; *text; text++) {
        *(volatile uint8_t *)UART = (uint8_t)*text;
    }
    off();
    for (;;) {
    }
}
