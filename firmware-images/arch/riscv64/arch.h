/* riscv64 on QEMU's virt machine (bios none). */
#ifndef EDGE_ARCH_H
#define EDGE_ARCH_H

#include <stdint.h>

#define ARCH_RAM_BASE 0x80000000u
#define ARCH_RAM_MAX (1u << 30) /* what page_low in entry.S can map */

#define ARCH_VIRTIO_BASE 0x10001000u
#define ARCH_VIRTIO_STRIDE 0x1000u
#define ARCH_VIRTIO_SLOTS 8u

/* RAM is ordered before device accesses by the fences of whoever rings a doorbell. */
static inline uint32_t mmio_read32(uintptr_t address) {
    return *(volatile uint32_t *)address;
}
static inline void mmio_write32(uintptr_t address, uint32_t value) {
    *(volatile uint32_t *)address = value;
}
static inline uint64_t arch_physical(const void *memory) {
    return (uintptr_t)memory;
}
static inline uint8_t *arch_virtual(uint64_t physical) {
    return (uint8_t *)physical;
}

#endif
