/* What the drivers ask of an architecture, and what an architecture asks of the drivers.
 * arch/NAME/arch.h adds register access and the place of the virtio devices; the folder is chosen by the build.
 */
#ifndef EDGE_PLATFORM_H
#define EDGE_PLATFORM_H

#include <stddef.h>
#include <stdint.h>

/* ---- offered by arch/NAME ---- */

/* Route the interrupt of the virtio device in this slot to the processor. Interrupts stay masked. */
void arch_interrupts_open(unsigned slot);

/* Halt until an interrupt is pending, take it, and return with interrupts masked. May return early. */
void arch_wait(void);

/* Make RAM up to this physical address usable; it is at most ARCH_RAM_BASE + ARCH_RAM_MAX. */
void arch_map(uint64_t end);

/* Tell the host that this machine has failed, and stop. */
_Noreturn void arch_die(void);

/* ---- offered by drivers/ ---- */

/* Where every entry.S ends up, with a stack, zeroed .bss and interrupts masked. */
_Noreturn void edge_main(void);

/* A processor exception: panic with its cause, program counter and faulting address. */
_Noreturn void edge_fault(uint64_t cause, uint64_t pc, uint64_t address);

#endif
