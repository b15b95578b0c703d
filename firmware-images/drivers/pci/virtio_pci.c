/* virtio over PCI (virtio 1.2, 4.1), on a board whose firmware assigns no addresses. */
#include "virtio.h"

#include <arch.h>
#include <edge/guest.h>

enum { /* configuration space */
       ID = 0x00,
       COMMAND = 0x04,
       BAR_4 = 0x20,
       BAR_5 = 0x24,
       CAPABILITIES = 0x34,
};
enum { /* a capability */
       LINK = 0,
       WHERE = 4,
       OFFSET = 8,
       MULTIPLIER = 16,
};
enum { COMMON = 1, NOTIFY = 2, ISR = 3, KINDS = 4 };
enum { /* the common structure */
       DEVICE_FEATURES_PART = 0x00,
       DEVICE_FEATURES = 0x04,
       DRIVER_FEATURES_PART = 0x08,
       DRIVER_FEATURES = 0x0c,
       STATUS = 0x14,
       QUEUE = 0x16,
       QUEUE_SIZE = 0x18,
       QUEUE_ENABLE = 0x1c,
       QUEUE_DOORBELL = 0x1e,
       TABLE = 0x20,
       AVAILABLE = 0x28,
       USED = 0x30,
};
enum { ACKNOWLEDGE = 1, DRIVER = 2, DRIVER_OK = 4, FEATURES_OK = 8 };

#define VENDOR 0x1af4u
#define MODERN 0x1040u /* plus the device type */
#define COMMAND_MEMORY_MASTER 0x6u
#define CAPABILITY_VENDOR 0x09u
#define MAX_CAPABILITIES 16u
#define OUR_BAR 4u
#define USED_NO_NOTIFY 1u

static uintptr_t common, doorbells, isr;
static uint32_t doorbell_stride;

static unsigned find(uint32_t type) {
    for (unsigned slot = 0; slot < ARCH_PCI_SLOTS; slot++)
        if (arch_pci_read(slot, ID) == (VENDOR | (MODERN + type) << 16))
            return slot;
    edge_panic("virtio-pci: no such device");
}

/* Where the three structures are; all must lie behind the one BAR that gets an address. */
static void map(unsigned slot) {
    uintptr_t at[KINDS] = {0};
    arch_pci_write(slot, BAR_4, ARCH_PCI_MEMORY);
    arch_pci_write(slot, BAR_5, 0);
    arch_pci_write(slot, COMMAND, arch_pci_read(slot, COMMAND) | COMMAND_MEMORY_MASTER);
    unsigned capability = arch_pci_read(slot, CAPABILITIES) & 0xfcu;
    for (unsigned count = 0; capability != 0 && count < MAX_CAPABILITIES; count++) {
        uint32_t link = arch_pci_read(slot, capability + LINK);
        unsigned kind = link >> 24;
        if ((link & 0xffu) == CAPABILITY_VENDOR && kind != 0 && kind < KINDS &&
            (arch_pci_read(slot, capability + WHERE) & 0xffu) == OUR_BAR) {
            at[kind] = ARCH_PCI_MEMORY + arch_pci_read(slot, capability + OFFSET);
            if (kind == NOTIFY)
                doorbell_stride = arch_pci_read(slot, capability + MULTIPLIER);
        }
        capability = link >> 8 & 0xfcu;
    }
    common = at[COMMON];
    doorbells = at[NOTIFY];
    isr = at[ISR];
    if (common == 0 || doorbells == 0 || isr == 0)
        edge_panic("virtio-pci: the device is a legacy one; start with disable-legacy=on");
}

static void set_address(unsigned offset, const void *memory) {
    uint64_t address = arch_physical(memory);
    mmio_write32(common + offset, (uint32_t)address);
    mmio_write32(common + offset + 4, (uint32_t)(address >> 32));
}

unsigned virtio_open(uint32_t type, uint64_t features) {
    unsigned slot = find(type);
    map(slot);
    mmio_write8(common + STATUS, 0);
    mmio_write8(common + STATUS, ACKNOWLEDGE | DRIVER);
    for (unsigned part = 0; part < 2; part++) {
        uint32_t wanted = (uint32_t)(features >> (32 * part));
        mmio_write32(common + DEVICE_FEATURES_PART, part);
        if ((mmio_read32(common + DEVICE_FEATURES) & wanted) != wanted)
            edge_panic("virtio-pci: the device lacks a feature");
        mmio_write32(common + DRIVER_FEATURES_PART, part);
        mmio_write32(common + DRIVER_FEATURES, wanted);
    }
    mmio_write8(common + STATUS, ACKNOWLEDGE | DRIVER | FEATURES_OK);
    if (!(mmio_read8(common + STATUS) & FEATURES_OK))
        edge_panic("virtio-pci: the device refuses its features");
    return slot;
}

void virtio_queue(struct virtq *queue, uint16_t index, uint16_t size) {
    mmio_write16(common + QUEUE, index);
    if (mmio_read16(common + QUEUE_SIZE) < size)
        edge_panic("virtio-pci: a queue is missing or too small");
    virtq_reset(queue, index, size);
    queue->doorbell = doorbells + (uintptr_t)mmio_read16(common + QUEUE_DOORBELL) * doorbell_stride;
    mmio_write16(common + QUEUE_SIZE, size);
    set_address(TABLE, queue->table);
    set_address(AVAILABLE, &queue->available);
    set_address(USED, &queue->used);
    mmio_write16(common + QUEUE_ENABLE, 1);
}

void virtio_start(void) {
    mmio_write8(common + STATUS, ACKNOWLEDGE | DRIVER | FEATURES_OK | DRIVER_OK);
}

void virtio_notify(struct virtq *queue) {
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    if (!(__atomic_load_n(&queue->used.flags, __ATOMIC_RELAXED) & USED_NO_NOTIFY))
        mmio_write16(queue->doorbell, queue->index);
}

void virtio_acknowledge(void) {
    (void)mmio_read8(isr);
}
