#include "port.h"

#include <edge/guest.h>

#include "platform.h"
#include "virtio.h"

#define MULTIPORT (1ull << 1) /* VIRTIO_CONSOLE_F_MULTIPORT */
#define PORT 1u

/* QEMU reads its socket 4096 bytes at a time and spends one buffer on each, so larger buffers would stay empty. */
#define RECEIVE_BUFFERS 64u
#define RECEIVE_SIZE 4096u
#define RECEIVE_LOW 16u /* buffers at the host below which it is told of new ones */
#define TRANSMIT_BUFFERS 4u
#define TRANSMIT_SIZE 32768u
#define CONTROL_BUFFERS 8u
#define CONTROL_SIZE 64u
#define CONTROL_REPLIES 4u

enum { CONTROL_RECEIVE = 2, CONTROL_TRANSMIT = 3, DATA_RECEIVE = 2 * PORT + 2, DATA_TRANSMIT = 2 * PORT + 3 };
enum { DEVICE_READY = 0, PORT_ADD = 1, PORT_READY = 3, PORT_OPEN = 6 };

struct control {
    uint32_t port;
    uint16_t event;
    uint16_t value;
};

static struct virtq receive, transmit, control_receive, control_transmit;

/* Never read before the device or this driver has written it, so nobody need zero it. */
#define UNZEROED __attribute__((section(".noinit")))
UNZEROED static _Alignas(64) uint8_t receive_buffers[RECEIVE_BUFFERS][RECEIVE_SIZE];
UNZEROED static _Alignas(64) uint8_t transmit_buffers[TRANSMIT_BUFFERS][TRANSMIT_SIZE];
UNZEROED static _Alignas(8) uint8_t control_buffers[CONTROL_BUFFERS][CONTROL_SIZE];
UNZEROED static struct control replies[CONTROL_REPLIES];

static bool added;     /* the device has told of the port */
static bool connected; /* somebody holds the other end */
static size_t filled;  /* bytes in the transmit buffer being written */

static void obey(const struct control *message) {
    if (message->port != PORT)
        return;
    if (message->event == PORT_ADD)
        added = true;
    else if (message->event == PORT_OPEN)
        connected = message->value != 0;
}

static void poll_control(void) {
    bool any = false;
    for (; virtq_ready(&control_receive); any = true) {
        struct virtq_used used = virtq_take(&control_receive);
        if (used.id < CONTROL_BUFFERS && used.size >= sizeof(struct control))
            obey((const struct control *)control_buffers[used.id]);
        virtq_post(&control_receive, (uint16_t)used.id);
    }
    if (any)
        virtio_notify(&control_receive);
}

/* Halt, unless the queue has something by now. Control messages, whose interrupt is always on, end the halt too.
 *
 * The rings are looked at after the device has been asked for interrupts, and after its last one was withdrawn: what
 * comes later raises a new one. The write that withdraws it stands between for a second reason. QEMU before 8.0 leaves
 * a lone processor's memory barriers out (tcg_gen_mb), and an access to a device is the only thing left that orders. */
static void halt_for(struct virtq *queue) {
    virtq_interrupts(queue, true);
    virtio_acknowledge();
    if (!virtq_ready(queue) && !virtq_ready(&control_receive))
        arch_wait();
    if (queue != &control_receive)
        virtq_interrupts(queue, false);
    poll_control();
}

/* Wait until the device holds fewer than `limit` of the queue's descriptors. Nothing is done with those taken back. */
static void wait_below(struct virtq *queue, uint16_t limit) {
    for (;;) {
        uint16_t held = virtq_held(queue);
        queue->taken = (uint16_t)(queue->posted - held);
        if (held < limit)
            return;
        halt_for(queue);
    }
}

static void say(uint16_t event, uint16_t value) {
    wait_below(&control_transmit, CONTROL_REPLIES);
    uint16_t id = control_transmit.posted % CONTROL_REPLIES;
    replies[id] = (struct control){.port = PORT, .event = event, .value = value};
    virtq_post(&control_transmit, id);
    virtio_notify(&control_transmit);
}

void port_open(void) {
    unsigned slot = virtio_open(VIRTIO_CONSOLE, VIRTIO_VERSION_1 | MULTIPORT);
    virtio_queue(&control_receive, CONTROL_RECEIVE, CONTROL_BUFFERS);
    virtio_queue(&control_transmit, CONTROL_TRANSMIT, CONTROL_REPLIES);
    virtio_queue(&receive, DATA_RECEIVE, RECEIVE_BUFFERS);
    virtio_queue(&transmit, DATA_TRANSMIT, TRANSMIT_BUFFERS);
    for (uint16_t id = 0; id < CONTROL_BUFFERS; id++) {
        virtq_describe(&control_receive, id, control_buffers[id], CONTROL_SIZE, true);
        virtq_post(&control_receive, id);
    }
    for (uint16_t id = 0; id < CONTROL_REPLIES; id++)
        virtq_describe(&control_transmit, id, &replies[id], sizeof replies[id], false);
    for (uint16_t id = 0; id < RECEIVE_BUFFERS; id++) {
        virtq_describe(&receive, id, receive_buffers[id], RECEIVE_SIZE, true);
        virtq_post(&receive, id);
    }
    for (uint16_t id = 0; id < TRANSMIT_BUFFERS; id++)
        virtq_describe(&transmit, id, transmit_buffers[id], 0, false);
    virtio_start();
    arch_interrupts_open(slot);
    virtio_acknowledge(); /* malta loses its first interrupt otherwise */
    virtq_interrupts(&control_receive, true);

    say(DEVICE_READY, 1);
    while (!added)
        halt_for(&control_receive);
    say(PORT_READY, 1);
    say(PORT_OPEN, 1);
    virtio_notify(&receive); /* QEMU doesn't look at its socket again because a port was opened */
}

bool port_receive(void) {
    if (!virtq_ready(&receive))
        return false;
    struct virtq_used used = virtq_take(&receive);
    if (used.id >= RECEIVE_BUFFERS || used.size > RECEIVE_SIZE)
        edge_panic("virtio console: the host returned a buffer that isn't ours");
    edge_session_feed(receive_buffers[used.id], used.size);
    bool starving = virtq_held(&receive) < RECEIVE_LOW;
    virtq_post(&receive, (uint16_t)used.id);
    if (starving)
        virtio_notify(&receive);
    return true;
}

void port_wait(void) {
    halt_for(&receive);
}

void edge_port_flush(void) {
    if (filled == 0)
        return;
    while (!connected) /* the device would throw the bytes away */
        halt_for(&control_receive);
    uint16_t id = transmit.posted % TRANSMIT_BUFFERS;
    transmit.table[id].size = (uint32_t)filled;
    filled = 0;
    virtq_post(&transmit, id);
    virtio_notify(&transmit);
}

void edge_port_write(const void *bytes, size_t size) {
    const uint8_t *from = bytes;
    while (size > 0) {
        if (filled == 0)
            wait_below(&transmit, TRANSMIT_BUFFERS);
        size_t part = TRANSMIT_SIZE - filled;
        if (part > size)
            part = size;
        __builtin_memcpy(transmit_buffers[transmit.posted % TRANSMIT_BUFFERS] + filled, from, part);
        filled += part;
        from += part;
        size -= part;
        if (filled == TRANSMIT_SIZE)
            edge_port_flush();
    }
}
