/* ELF entry, at the image's first byte, since that is where QEMU jumps without firmware. Interrupts are masked.
 *
 * One image serves two worlds. Under TCG the machine has no firmware and starts in M-mode; its ROM passes a2, the
 * record for a firmware (fw_dynamic). Under KVM the guest starts in S-mode, and nobody passes a2. Either way wfi ends
 * when an external interrupt is pending, though none is ever taken.
 */
#define M_EXTERNAL 0x800
#define S_EXTERNAL 0x200

/* Physical memory protection, locked, so that it binds M-mode too; each entry ends where the next begins:
 * devices and what lies below RAM (read, write), code (read, execute), data (read, write). */
#define PMP_CONFIG 0x8b8d8b
#define PMP_SHIFT 2

    .section .text.entry, "ax"
    .globl edge_entry
edge_entry:
    bnez a0, park
    la sp, edge_stack_top
    mv fp, zero
    beqz a2, supervisor

machine:
    la t0, edge_code
    srli t0, t0, PMP_SHIFT
    csrw pmpaddr0, t0
    la t0, edge_code_end
    srli t0, t0, PMP_SHIFT
    csrw pmpaddr1, t0
    li t0, -1
    srli t0, t0, 10
    csrw pmpaddr2, t0
    li t0, PMP_CONFIG
    csrw pmpcfg0, t0
    la t0, machine_trap
    csrw mtvec, t0
    li t0, M_EXTERNAL
    csrw mie, t0
    tail edge_main

supervisor:
    la t0, supervisor_trap
    csrw stvec, t0
    li t0, S_EXTERNAL
    csrw sie, t0
    tail edge_main

/* A hart that nobody needs. */
park:
    wfi
    j park

/* On a stack of their own, so that a full stack can be reported. */
    .balign 4
machine_trap:
    la sp, exception_stack_top
    csrr a0, mcause
    csrr a1, mepc
    csrr a2, mtval
    tail edge_fault

    .balign 4
supervisor_trap:
    la sp, exception_stack_top
    csrr a0, scause
    csrr a1, sepc
    csrr a2, stval
    tail edge_fault

    .section .noinit, "aw", @nobits
    .balign 16
    .skip 2048
exception_stack_top:
