/* mips64el on QEMU's malta board. */
#ifndef EDGE_ARCH_H
#define EDGE_ARCH_H

#include <stdint.h>

#define ARCH_RAM_BASE 0u
#define ARCH_RAM_MAX (256u << 20) /* devices follow */

#define CACHED 0xffffffff80000000ull   /* kseg0 */
#define UNCACHED 0xffffffffa0000000ull /* kseg1 */
#define PHYSICAL 0x1fffffffull

#define ARCH_PCI_SLOTS 32u
#define ARCH_PCI_MEMORY 0x10000000u /* a window of the bridge, free but for our device */

#define BRIDGE 0x1be00000u /* GT-64120, where the boot loader left it */
#define BRIDGE_CONFIG_ADDRESS (BRIDGE + 0xcf8u)
#define BRIDGE_CONFIG_DATA (BRIDGE + 0xcfcu)
#define BRIDGE_ACKNOWLEDGE (BRIDGE + 0xc34u)

/* Device registers lie at physical addresses below 512 MiB. */
static inline volatile void *arch_device(uintptr_t address) {
    return (volatile void *)(UNCACHED + address);
}
static inline uint8_t mmio_read8(uintptr_t address) {
    return *(volatile uint8_t *)arch_device(address);
}
static inline uint16_t mmio_read16(uintptr_t address) {
    return *(volatile uint16_t *)arch_device(address);
}
static inline uint32_t mmio_read32(uintptr_t address) {
    return *(volatile uint32_t *)arch_device(address);
}
static inline void mmio_write8(uintptr_t address, uint8_t value) {
    *(volatile uint8_t *)arch_device(address) = value;
}
static inline void mmio_write16(uintptr_t address, uint16_t value) {
    *(volatile uint16_t *)arch_device(address) = value;
}
static inline void mmio_write32(uintptr_t address, uint32_t value) {
    *(volatile uint32_t *)arch_device(address) = value;
}
static inline uint64_t arch_physical(const void *memory) {
    return (uintptr_t)memory & PHYSICAL;
}
static inline uint8_t *arch_virtual(uint64_t physical) {
    return (uint8_t *)(CACHED + physical);
}

/* Configuration space of function 0 of a device on the first bus. */
static inline void arch_pci_select(unsigned slot, unsigned offset) {
    mmio_write32(BRIDGE_CONFIG_ADDRESS, 1u << 31 | slot << 11 | (offset & 0xfcu));
}
static inline uint32_t arch_pci_read(unsigned slot, unsigned offset) {
    arch_pci_select(slot, offset);
    return mmio_read32(BRIDGE_CONFIG_DATA);
}
static inline void arch_pci_write(unsigned slot, unsigned offset, uint32_t value) {
    arch_pci_select(slot, offset);
    mmio_write32(BRIDGE_CONFIG_DATA, value);
}

#endif
