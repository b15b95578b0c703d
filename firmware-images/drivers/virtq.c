#include "virtq.h"

#include <arch.h>

#define DESCRIPTOR_WRITE 2u       /* VIRTQ_DESC_F_WRITE */
#define AVAILABLE_NO_INTERRUPT 1u /* VIRTQ_AVAIL_F_NO_INTERRUPT */

void virtq_reset(struct virtq *queue, uint16_t index, uint16_t size) {
    /* RAM may have survived a reset of the machine, so .bss isn't trusted for what the device reads. */
    queue->available.flags = AVAILABLE_NO_INTERRUPT;
    queue->available.next = 0;
    queue->used.flags = 0;
    queue->used.next = 0;
    queue->size = size;
    queue->index = index;
    queue->posted = 0;
    queue->taken = 0;
}

void virtq_describe(struct virtq *queue, uint16_t id, void *buffer, uint32_t size, bool device_writes) {
    queue->table[id] = (struct virtq_descriptor){
        .address = arch_physical(buffer),
        .size = size,
        .flags = device_writes ? DESCRIPTOR_WRITE : 0,
    };
}

void virtq_post(struct virtq *queue, uint16_t id) {
    queue->available.ring[queue->posted & (queue->size - 1u)] = id;
    queue->posted++;
    __atomic_store_n(&queue->available.next, queue->posted, __ATOMIC_RELEASE);
}

void virtq_interrupts(struct virtq *queue, bool on) {
    __atomic_store_n(&queue->available.flags, on ? 0 : AVAILABLE_NO_INTERRUPT, __ATOMIC_RELAXED);
    if (on)
        __atomic_thread_fence(__ATOMIC_SEQ_CST);
}
