/* PVH entry (Xen, docs/misc/pvh.pandoc): 32-bit protected mode, flat segments, paging and interrupts off.
 *
 * Two 2 MiB pages hold everything: code at 0 (read-only), data at 2 MiB (not executable). The linker script places them;
 * arch_map adds pages above. Tables are in .bss: filling in seven entries is cheaper than 16 KiB of image.
 */
#define PRESENT 0x001
#define WRITE 0x002
#define DEVICE 0x018 /* write-through, not cached */
#define LARGE 0x080
#define NO_EXECUTE 0x80000000 /* in the upper half */

#define EFER 0xc0000080
#define EFER_LME_NXE 0x900
#define CR4_PAE 0x20
#define CR0_PG_WP_PE 0x80010001

#define LOCAL_APIC_END 0xfee000b0 /* end of interrupt */

#define CODE_PAGE 0x000000
#define DATA_PAGE 0x200000 /* as in link.ld */

    .section .note.Xen, "a", @note
    .long 4, 8, 18 /* XEN_ELFNOTE_PHYS32_ENTRY */
    .asciz "Xen"
    .quad edge_entry

    .section .text.entry, "ax"
    .code32
    .globl edge_entry
edge_entry:
    movl $page_root, %eax
    movl %eax, %cr3
    movl $page_directories + PRESENT + WRITE, page_root
    movl $page_low + PRESENT + WRITE, page_directories
    movl $page_devices + PRESENT + WRITE, page_directories + 3 * 8
    movl $CODE_PAGE + PRESENT + LARGE, page_low
    movl $DATA_PAGE + PRESENT + WRITE + LARGE, page_low + 8
    movl $NO_EXECUTE, %eax
    movl %eax, page_low + 12
    .irp page, 0xfea00000, 0xfec00000, 0xfee00000 /* virtio, I/O APIC, local APIC */
    movl $\page + PRESENT + WRITE + DEVICE + LARGE, page_devices + ((\page >> 21) & 511) * 8
    movl %eax, page_devices + ((\page >> 21) & 511) * 8 + 4
    .endr

    movl %cr4, %eax
    orl $CR4_PAE, %eax
    movl %eax, %cr4
    movl $EFER, %ecx
    movl $EFER_LME_NXE, %eax
    xorl %edx, %edx
    wrmsr
    movl $CR0_PG_WP_PE, %eax
    movl %eax, %cr0
    lgdt gdt_pointer
    ljmp $0x08, $long_mode

    .section .text.gates, "ax"
    .code64
long_mode:
    movl $0x10, %eax
    movl %eax, %ss
    movl %eax, %ds
    movl %eax, %es
    lidt idt_pointer
    movl $0x18, %eax
    ltr %ax
    movl $edge_stack_top, %esp
    call edge_main

/* Exceptions run on a stack of their own (IST 1), so that a full stack can be reported. */
    .macro exception vector
exception_\vector:
    push $\vector
    jmp exception_common
    .endm
    .altmacro
    .set vector, 0
    .rept 32
    exception %vector
    .set vector, vector + 1
    .endr

exception_common:
    pop %rdi
    pop %rsi /* the error code, or the program counter where there is none: an interrupt frame is 16-byte aligned */
    testl $8, %esp
    jz 1f
    pop %rsi
1:  movq %cr2, %rdx
    jmp edge_fault

/* Interrupts are let in by arch_wait only, and mean only that its halt is over: drop the frame and return to its caller,
 * interrupts being masked again by the gate. So an interrupt that slips in between sti and hlt, as it does under a
 * software KVM, isn't lost. */
    .globl arch_wait
arch_wait:
    sti
    hlt
    cli
    ret

interrupt_entry:
    movl $LOCAL_APIC_END, %eax
    movl $0, (%rax)
    movq 24(%rsp), %rsp
    ret

    .data /* ltr marks the task segment as busy */
    .balign 8
gdt:
    .quad 0
    .quad 0x00af9b000000ffff /* 64-bit code, accessed */
    .quad 0x00cf93000000ffff /* data, accessed */
    /* The task segment: its base is split, and only bits 0..15 are left to the linker. */
    .short tss_end - tss - 1, tss - DATA_PAGE
    .byte DATA_PAGE >> 16, 0x89, 0, DATA_PAGE >> 24
    .quad 0
gdt_end:
gdt_pointer:
    .short gdt_end - gdt - 1
    .quad gdt

    .section .rodata.idt, "a"
    .macro gate handler, stack
    .short \handler - 0x100000, 0x08 /* in 0x100000..0x10ffff: link.ld puts .text.gates first */
    .byte \stack, 0x8e
    .short 0x10
    .quad 0
    .endm
    .macro exception_gate vector
    gate exception_\vector, 1
    .endm
    .balign 8
idt:
    .set vector, 0
    .rept 32
    exception_gate %vector
    .set vector, vector + 1
    .endr
    gate interrupt_entry, 0
idt_end:
idt_pointer:
    .short idt_end - idt - 1
    .quad idt

    .data
    .balign 8
tss:
    .long 0
    .quad 0, 0, 0, 0
    .quad exception_stack_top
    .fill 60, 1, 0
    .short 0, tss_end - tss
tss_end:

    .section .tables, "aw", @nobits /* aligned by link.ld */
page_root: .skip 4096
page_directories: .skip 4096
    .globl page_low
page_low: .skip 4096
page_devices: .skip 4096

    .section .noinit, "aw", @nobits
    .balign 16
    .skip 2048
exception_stack_top:
