#include <edge/guest.h>

#include "arch.h"
#include "platform.h"

/* The interrupt controller (PLIC). Context 0 is hart 0's only one under KVM, which is S-mode's, and its first one
 * elsewhere, which is M-mode's: see entry.S. */
#define PLIC 0x0c000000u
#define PLIC_ENABLE (PLIC + 0x2000u)
#define PLIC_THRESHOLD (PLIC + 0x200000u)
#define PLIC_CLAIM (PLIC + 0x200004u)
#define VIRTIO_FIRST_INTERRUPT 1u

#define BLOCK_SIZE 0x200000u
#define BLOCKS 512u
#define BLOCK_DATA 0xc7u /* as in entry.S: not executable */

#define TEST_DEVICE 0x100000u
#define TEST_RESET 0x7777u

extern uint64_t page_low[BLOCKS]; /* used in S-mode only */

void arch_interrupts_open(unsigned slot) {
    unsigned interrupt = VIRTIO_FIRST_INTERRUPT + slot;
    mmio_write32(PLIC + 4 * interrupt, 1);
    mmio_write32(PLIC_THRESHOLD, 0);
    mmio_write32(PLIC_ENABLE, 1u << interrupt);
}

void arch_wait(void) {
    __asm__ volatile("wfi" ::: "memory");
    uint32_t interrupt = mmio_read32(PLIC_CLAIM);
    if (interrupt != 0)
        mmio_write32(PLIC_CLAIM, interrupt);
}

void arch_map(uint64_t end) {
    for (uint64_t block = 1; ARCH_RAM_BASE + block * BLOCK_SIZE < end; block++)
        page_low[block] = (ARCH_RAM_BASE + block * BLOCK_SIZE) >> 2 | BLOCK_DATA;
    __asm__ volatile("sfence.vma" ::: "memory");
}

_Noreturn void arch_die(void) {
    for (;;)
        mmio_write32(TEST_DEVICE, TEST_RESET);
}
