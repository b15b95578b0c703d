#include <edge/guest.h>

#include "arch.h"
#include "platform.h"

#define IO 0x18000000u /* PCI's I/O space */
#define PIC_MASTER (IO + 0x20u)
#define PIC_SLAVE (IO + 0xa0u)
#define PIC_DATA 1u
#define PIC_INIT 0x11u
#define PIC_MASTER_SLAVE_AT_2 0x04u
#define PIC_SLAVE_IS_2 0x02u
#define PIC_AUTOMATIC_END 0x03u
#define PIC_TRIGGER_8_15 (IO + 0x4d1u) /* level or edge */
#define PIT_MODE (IO + 0x43u)
#define PIT_0_ONCE 0x30u

#define SOUTH_BRIDGE 10u /* PIIX4 */
#define SOUTH_BRIDGE_ROUTE 0x60u
#define ROUTE_ALL_TO_10 0x0a0a0a0au
#define ONLY_INPUT_2 0xfbu /* of the slave, interrupt 10; of the master, the slave */
#define INPUT_2 0x04u

#define SOFT_RESET 0x1f000500u
#define SOFT_RESET_VALUE 0x42u

void arch_halt(void);

static void pic_open(uintptr_t pic, uint8_t first, uint8_t cascade) {
    mmio_write8(pic, PIC_INIT);
    mmio_write8(pic + PIC_DATA, first);
    mmio_write8(pic + PIC_DATA, cascade);
    mmio_write8(pic + PIC_DATA, PIC_AUTOMATIC_END);
    mmio_write8(pic + PIC_DATA, ONLY_INPUT_2);
}

void arch_interrupts_open(unsigned slot) {
    (void)slot; /* all four lines lead to interrupt 10 */
    arch_pci_write(SOUTH_BRIDGE, SOUTH_BRIDGE_ROUTE, ROUTE_ALL_TO_10);
    pic_open(PIC_MASTER, 0, PIC_MASTER_SLAVE_AT_2);
    pic_open(PIC_SLAVE, 8, PIC_SLAVE_IS_2);
    mmio_write8(PIC_TRIGGER_8_15, INPUT_2);
    mmio_write8(PIT_MODE, PIT_0_ONCE); /* or it would tick, and wake the host, for nobody */
}

/* The slave's input is a level, which ends when the device withdraws it, but the master latches the slave's edge until it
 * is acknowledged. */
void arch_wait(void) {
    arch_halt();
    (void)mmio_read32(BRIDGE_ACKNOWLEDGE);
}

/* kseg0 maps all there can be. */
void arch_map(uint64_t end) {
    (void)end;
}

_Noreturn void arch_die(void) {
    for (;;)
        mmio_write32(SOFT_RESET, SOFT_RESET_VALUE);
}
