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

/* In S-mode, where there is no such protection, page tables (Sv39) say the same. Addresses stay physical: devices in the
 * first GiB, RAM in the third. RAM's first 2 MiB hold the image, in pages of 4 KiB; arch_map adds what is above. */
#define VALID 0x01
#define DATA 0xc7 /* dirty, accessed, write, read, valid */
#define CODE 0x4b /* accessed, execute, read, valid */
#define PAGE_SIZE 0x1000
#define FIRST_SIZE 0x200000
#define ENTRY_SHIFT 2 /* from an address to its place in an entry */
#define ROOT_RAM 2 * 8
#define SATP_SV39 8

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
    la t0, page_first
    la t1, edge_code
    la t2, edge_code_end
    li t3, FIRST_SIZE
    add t3, t1, t3
    li t4, PAGE_SIZE
page:
    li t5, CODE
    bltu t1, t2, 1f
    li t5, DATA
1:  srli t6, t1, ENTRY_SHIFT
    or t5, t5, t6
    sd t5, (t0)
    addi t0, t0, 8
    add t1, t1, t4
    bltu t1, t3, page
    la t0, page_first
    srli t0, t0, ENTRY_SHIFT
    ori t0, t0, VALID
    la t1, page_low
    sd t0, (t1)
    srli t1, t1, ENTRY_SHIFT
    ori t1, t1, VALID
    la t2, page_root
    sd t1, ROOT_RAM(t2)
    li t0, DATA
    sd t0, (t2)
    srli t2, t2, 12
    li t0, SATP_SV39
    slli t0, t0, 60
    or t0, t0, t2
    sfence.vma
    csrw satp, t0
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

    .section .tables, "aw", @nobits /* aligned by link.ld */
page_root: .skip PAGE_SIZE
    .globl page_low
page_low: .skip PAGE_SIZE
page_first: .skip PAGE_SIZE

    .section .noinit, "aw", @nobits
    .balign 16
    .skip 2048
exception_stack_top:
