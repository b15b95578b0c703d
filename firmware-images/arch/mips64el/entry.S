/* ELF entry from QEMU's boot loader: kernel mode, kseg0, interrupts off. Addresses are sign-extended 32-bit ones. */
#define STATUS 0x10000400 /* coprocessor 0; interrupt 2, the i8259; vectors at EBase */
#define CAUSE_CODE 0x7c

    .set noreorder
    .set noat

/* Offsets are the architecture's: TLB refill, extended TLB refill, cache error, everything else. Nothing of ours goes
 * through the TLB, so that only a stray pointer gets to the first two. */
    .section .text.vectors, "ax" /* aligned by link.ld */
vectors:
    b fault
    nop
    .org 0x080
    b fault
    nop
    .org 0x100
    b fault
    nop
    .org 0x180
    mfc0 $k0, $13
    andi $k0, $k0, CAUSE_CODE
    bnez $k0, fault
    nop
/* Interrupts are let in by arch_halt only, and mean only that its halt is over: return to its caller, not to it. So one
 * that comes before `wait` isn't lost. */
halt_over:
    mfc0 $k0, $12
    ins $k0, $zero, 0, 2 /* interrupts and exception level off */
    mtc0 $k0, $12
    ehb
    jr $ra
    nop

    .globl arch_halt
arch_halt:
    ei
    ehb
    wait
    b halt_over
    nop

fault:
    mfc0 $a0, $13
    dmfc0 $a1, $14
    dmfc0 $a2, $8
    lui $sp, %hi(exception_stack_top)
    daddiu $sp, $sp, %lo(exception_stack_top)
    j edge_fault
    nop

    .globl edge_entry
edge_entry:
    lui $t0, %hi(vectors)
    daddiu $t0, $t0, %lo(vectors)
    li $t1, 0x10400400 /* EBase may be written with the vectors in ROM only */
    mtc0 $t1, $12
    ehb
    mtc0 $t0, $15, 1
    li $t1, STATUS
    mtc0 $t1, $12
    ehb
    lui $sp, %hi(edge_stack_top)
    daddiu $sp, $sp, %lo(edge_stack_top)
    move $fp, $zero
    j edge_main
    move $ra, $zero

    .section .noinit, "aw", @nobits
    .balign 16
    .skip 2048
exception_stack_top:
    .skip 16
