/* aarch64 on QEMU's virt machine (highmem=off, its=off, acpi=off). */
#ifndef EDGE_ARCH_H
#define EDGE_ARCH_H

#include <stdint.h>

#define ARCH_RAM_BASE 0x40000000u
#define ARCH_RAM_MAX (1u << 30) /* what page_low in entry.S can map */

#define ARCH_VIRTIO_BASE 0x0a000000u
#define ARCH_VIRTIO_STRIDE 0x200u
#define ARCH_VIRTIO_SLOTS 32u

/* By hand: a hypervisor emulates single loads and stores only, not what a compiler may fold an address update into. */
static inline uint32_t mmio_read32(uintptr_t address) {
    uint32_t value;
    __asm__ volatile("ldr %w0, [%1]" : "=r"(value) : "r"(address) : "memory");
    return value;
}
static inline void mmio_write32(uintptr_t address, uint32_t value) {
    __asm__ volatile("str %w0, [%1]" ::"r"(value), "r"(address) : "memory");
}
static inline uint64_t arch_physical(const void *memory) {
    return (uintptr_t)memory;
}
static inline uint8_t *arch_virtual(uint64_t physical) {
    return (uint8_t *)physical;
}

#endif
