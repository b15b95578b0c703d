/* A modern virtio device, over whichever bus the architecture has: virtio_mmio.c or virtio_pci.c. */
#ifndef EDGE_VIRTIO_H
#define EDGE_VIRTIO_H

#include <stdint.h>

#include "virtq.h"

#define VIRTIO_CONSOLE 3u             /* device type */
#define VIRTIO_VERSION_1 (1ull << 32) /* feature: no legacy layout */

/* Find the first device of this type, reset it and accept exactly these features. Panics when there is none, or when
 * it refuses. Returns the slot, which says its interrupt. */
unsigned virtio_open(uint32_t type, uint64_t features);

/* Set up a queue of at most `size` entries before virtio_start. */
void virtio_queue(struct virtq *queue, uint16_t index, uint16_t size);

/* The device may work from now on. */
void virtio_start(void);

/* Ring the doorbell, unless the device asked not to be told. A full barrier. */
void virtio_notify(struct virtq *queue);

/* Withdraw the device's interrupt; what it was about is in the queues. */
void virtio_acknowledge(void);

#endif
