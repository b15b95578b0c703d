/* ELF entry at EL1, MMU and caches off, interrupts masked.
 *
 * 2 GiB of addresses: devices in the first, RAM in the second. Of RAM, two 2 MiB blocks hold everything: code
 * (read-only), then data (not executable). The linker script places them; arch_map adds blocks above.
 */
#define BLOCK 0x1
#define TABLE 0x3
#define NORMAL 0x704 /* accessed, inner shareable, MAIR 1 */
#define DEVICE 0x400 /* accessed, MAIR 0 */
#define READ_ONLY 0x80
#define EL0_NO_EXECUTE (1 << 54)
#define NO_EXECUTE (3 << 53)

#define MAIR 0xff00           /* 0: device nGnRnE, 1: normal, write-back */
#define TCR 0x803521          /* T0SZ 33, walks write-back and inner shareable, 4 KiB granule, no TTBR1 */
#define SCTLR 0x30d81805      /* reserved ones; MMU, caches, and nothing both writable and executable */

#define CODE_BLOCK 0x40000000
#define DATA_BLOCK 0x40200000 /* as in link.ld */

    /* Of the sixteen vectors the last eight are for exceptions from below EL1, where nothing runs. */
    .section .text.vectors, "ax" /* aligned by link.ld */
vectors:
    .rept 8
    b exception
    .fill 31, 4, 0
    .endr

    .section .text.entry, "ax"
    .globl edge_entry
edge_entry:
    ldr x0, =page_low
    ldr x1, =CODE_BLOCK + NORMAL + READ_ONLY + EL0_NO_EXECUTE + BLOCK
    ldr x2, =DATA_BLOCK + NORMAL + NO_EXECUTE + BLOCK
    stp x1, x2, [x0]
    dmb sy
    dc ivac, x0 /* written past the cache, walked through it */
    ldr x1, =MAIR
    msr mair_el1, x1
    ldr x1, =TCR
    msr tcr_el1, x1
    ldr x1, =page_root
    msr ttbr0_el1, x1
    ldr x1, =vectors
    msr vbar_el1, x1
    tlbi vmalle1
    ic iallu
    dsb sy
    isb
    ldr x1, =SCTLR
    msr sctlr_el1, x1
    isb
    /* Exceptions switch to the other stack by themselves, so a full stack can be reported. */
    msr spsel, #1
    ldr x1, =exception_stack_top
    mov sp, x1
    msr spsel, #0
    ldr x1, =edge_stack_top
    mov sp, x1
    mov x29, xzr
    mov x30, xzr
    b edge_main

exception:
    mrs x0, esr_el1
    mrs x1, elr_el1
    mrs x2, far_el1
    b edge_fault

    .section .rodata.page_root, "a"
    .balign 64
page_root:
    .quad DEVICE + NO_EXECUTE + BLOCK
    .quad page_low + TABLE

    .section .tables, "aw", @nobits /* aligned by link.ld */
    .globl page_low
page_low: .skip 4096

    .section .noinit, "aw", @nobits
    .balign 16
    .skip 2048
exception_stack_top:
