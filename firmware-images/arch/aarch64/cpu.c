#include <edge/guest.h>

#include "arch.h"
#include "gic.h"
#include "platform.h"

#define VIRTIO_FIRST_INTERRUPT 48u /* shared peripheral interrupt 16 */

#define BLOCK_SIZE 0x200000u
#define BLOCKS 512u
#define BLOCK_DATA (3ull << 53 | 0x705u) /* as in entry.S: not executable, normal */

#define PSCI_SYSTEM_RESET 0x84000009u

extern uint64_t page_low[BLOCKS];

void arch_interrupts_open(unsigned slot) {
    gic_open(VIRTIO_FIRST_INTERRUPT + slot);
}

/* The interrupt stays masked and isn't taken: wfi ends when it is pending, and it is pending while the device raises
 * its line, which virtio_acknowledge ends. */
void arch_wait(void) {
    __asm__ volatile("dsb sy; wfi" ::: "memory");
}

void arch_map(uint64_t end) {
    for (uint64_t block = 2; ARCH_RAM_BASE + block * BLOCK_SIZE < end; block++)
        page_low[block] = (ARCH_RAM_BASE + block * BLOCK_SIZE) | BLOCK_DATA;
    __asm__ volatile("dsb ishst; isb" ::: "memory");
}

_Noreturn void arch_die(void) {
    register uint64_t function __asm__("x0") = PSCI_SYSTEM_RESET;
    for (;;)
        __asm__ volatile("hvc #0" : "+r"(function)::"x1", "x2", "x3", "memory");
}
