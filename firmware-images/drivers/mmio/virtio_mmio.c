/* virtio over memory-mapped registers (virtio 1.2, 4.2). */
#include "virtio.h"

#include <arch.h>
#include <edge/guest.h>

enum {
    MAGIC = 0x000,
    VERSION = 0x004,
    TYPE = 0x008,
    DEVICE_FEATURES = 0x010,
    DEVICE_FEATURES_PART = 0x014,
    DRIVER_FEATURES = 0x020,
    DRIVER_FEATURES_PART = 0x024,
    QUEUE = 0x030,
    QUEUE_MAX = 0x034,
    QUEUE_SIZE = 0x038,
    QUEUE_READY = 0x044,
    NOTIFY = 0x050,
    INTERRUPT_ACKNOWLEDGE = 0x064,
    STATUS = 0x070,
    TABLE = 0x080,
    AVAILABLE = 0x090,
    USED = 0x0a0,
};
enum { ACKNOWLEDGE = 1, DRIVER = 2, DRIVER_OK = 4, FEATURES_OK = 8 };

#define MAGIC_VALUE 0x74726976u /* "virt" */
#define USED_NO_NOTIFY 1u
#define EVERY_INTERRUPT 3u /* used buffers, configuration */

static uintptr_t device;

static uint32_t get(unsigned offset) {
    return mmio_read32(device + offset);
}
static void set(unsigned offset, uint32_t value) {
    mmio_write32(device + offset, value);
}

static void set_address(unsigned offset, const void *memory) {
    uint64_t address = arch_physical(memory);
    set(offset, (uint32_t)address);
    set(offset + 4, (uint32_t)(address >> 32));
}

/* Hosts fill the slots from the last to the first, so that is how to look. */
static unsigned find(uint32_t type) {
    for (unsigned slot = ARCH_VIRTIO_SLOTS; slot-- > 0;) {
        device = ARCH_VIRTIO_BASE + slot * (uintptr_t)ARCH_VIRTIO_STRIDE;
        if (get(MAGIC) == MAGIC_VALUE && get(TYPE) == type)
            return slot;
    }
    edge_panic("virtio-mmio: no such device");
}

unsigned virtio_open(uint32_t type, uint64_t features) {
    unsigned slot = find(type);
    if (get(VERSION) != 2)
        edge_panic("virtio-mmio: the device is a legacy one; start with virtio-mmio.force-legacy=false");
    set(STATUS, 0);
    set(STATUS, ACKNOWLEDGE | DRIVER);
    for (unsigned part = 0; part < 2; part++) {
        uint32_t wanted = (uint32_t)(features >> (32 * part));
        set(DEVICE_FEATURES_PART, part);
        if ((get(DEVICE_FEATURES) & wanted) != wanted)
            edge_panic("virtio-mmio: the device lacks a feature");
        set(DRIVER_FEATURES_PART, part);
        set(DRIVER_FEATURES, wanted);
    }
    set(STATUS, ACKNOWLEDGE | DRIVER | FEATURES_OK);
    if (!(get(STATUS) & FEATURES_OK))
        edge_panic("virtio-mmio: the device refuses its features");
    return slot;
}

void virtio_queue(struct virtq *queue, uint16_t index, uint16_t size) {
    set(QUEUE, index);
    uint32_t most = get(QUEUE_MAX);
    if (most < size)
        edge_panic("virtio-mmio: a queue is missing or too small");
    virtq_reset(queue, index, size);
    queue->doorbell = device + NOTIFY;
    set(QUEUE_SIZE, size);
    set_address(TABLE, queue->table);
    set_address(AVAILABLE, &queue->available);
    set_address(USED, &queue->used);
    set(QUEUE_READY, 1);
}

void virtio_start(void) {
    set(STATUS, ACKNOWLEDGE | DRIVER | FEATURES_OK | DRIVER_OK);
}

void virtio_notify(struct virtq *queue) {
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    if (!(__atomic_load_n(&queue->used.flags, __ATOMIC_RELAXED) & USED_NO_NOTIFY))
        mmio_write32(queue->doorbell, queue->index);
}

void virtio_acknowledge(void) {
    set(INTERRUPT_ACKNOWLEDGE, EVERY_INTERRUPT);
}
