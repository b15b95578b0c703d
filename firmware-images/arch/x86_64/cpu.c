#include <edge/guest.h>

#include "arch.h"
#include "platform.h"

#define IOAPIC 0xfec00000u
#define IOAPIC_DATA 0x10u
#define IOAPIC_PINS 0x10u /* register of pin 0; two for each */
#define VIRTIO_FIRST_PIN 5u
#define LOCAL_APIC_SPURIOUS 0xfee000f0u
#define LOCAL_APIC_ON 0x100u
#define VECTOR 32u /* the one entry after the exceptions in entry.S */

#define PAGE_SIZE 0x200000u
#define PAGES 512u
#define PAGE_DATA (1ull << 63 | 0x83u) /* not executable, large, writable, present */

#define PVPANIC 0x505u
#define PVPANIC_PANICKED 1u

extern uint64_t page_low[PAGES];

void arch_interrupts_open(unsigned slot) {
    mmio_write32(LOCAL_APIC_SPURIOUS, LOCAL_APIC_ON | 0xffu);
    unsigned pin = VIRTIO_FIRST_PIN + slot;
    mmio_write32(IOAPIC, IOAPIC_PINS + 2 * pin + 1);
    mmio_write32(IOAPIC + IOAPIC_DATA, 0);
    mmio_write32(IOAPIC, IOAPIC_PINS + 2 * pin);
    mmio_write32(IOAPIC + IOAPIC_DATA, VECTOR); /* fixed, edge, active high, not masked */
}

void arch_map(uint64_t end) {
    for (uint64_t page = 2; page * PAGE_SIZE < end; page++)
        page_low[page] = page * PAGE_SIZE | PAGE_DATA;
}

_Noreturn void arch_die(void) {
    static const struct __attribute__((packed)) {
        uint16_t limit;
        uint64_t base;
    } no_idt = {0, 0};
    __asm__ volatile("outb %b0, %w1" ::"a"(PVPANIC_PANICKED), "d"(PVPANIC));
    __asm__ volatile("lidt %0; int3" ::"m"(no_idt)); /* without pvpanic: a triple fault resets the machine */
    __builtin_unreachable();
}
