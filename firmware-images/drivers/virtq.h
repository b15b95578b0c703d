/* A split virtqueue (virtio 1.2, 2.7) of which this driver posts single descriptors only. */
#ifndef EDGE_VIRTQ_H
#define EDGE_VIRTQ_H

#include <stdbool.h>
#include <stdint.h>

#define VIRTQ_MAX 64u /* entries; QEMU offers 128 for data and 32 for control */

struct virtq_descriptor {
    uint64_t address;
    uint32_t size;
    uint16_t flags;
    uint16_t next;
};

struct virtq_used {
    uint32_t id;
    uint32_t size;
};

struct virtq {
    _Alignas(16) struct virtq_descriptor table[VIRTQ_MAX];
    struct {
        uint16_t flags;
        uint16_t next;
        uint16_t ring[VIRTQ_MAX];
    } available;
    _Alignas(4) struct {
        uint16_t flags;
        uint16_t next;
        struct virtq_used ring[VIRTQ_MAX];
    } used;
    uint16_t size;   /* entries, a power of two */
    uint16_t index;  /* the device's number of this queue */
    uint16_t posted; /* descriptors given to the device, modulo 65536 */
    uint16_t taken;  /* and taken back */
    uintptr_t doorbell;
};

/* Empty the queue; interrupts are off. size is a power of two, at most VIRTQ_MAX. */
void virtq_reset(struct virtq *queue, uint16_t index, uint16_t size);

/* Tell the device where descriptor `id`'s buffer is; once per buffer. */
void virtq_describe(struct virtq *queue, uint16_t id, void *buffer, uint32_t size, bool device_writes);

/* Give descriptor `id` to the device. Doesn't ring the doorbell. */
void virtq_post(struct virtq *queue, uint16_t id);

/* Ask for interrupts, or ask for none. A full barrier: look at virtq_ready after it. */
void virtq_interrupts(struct virtq *queue, bool on);

static inline bool virtq_ready(const struct virtq *queue) {
    return __atomic_load_n(&queue->used.next, __ATOMIC_ACQUIRE) != queue->taken;
}

/* Descriptors that the device still holds. */
static inline uint16_t virtq_held(const struct virtq *queue) {
    return (uint16_t)(queue->posted - __atomic_load_n(&queue->used.next, __ATOMIC_ACQUIRE));
}

/* Take back the oldest used descriptor; only after virtq_ready. */
static inline struct virtq_used virtq_take(struct virtq *queue) {
    return queue->used.ring[queue->taken++ & (queue->size - 1u)];
}

#endif
