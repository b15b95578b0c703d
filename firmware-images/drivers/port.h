/* The channel "agent": port 1 of a virtio console (virtio 1.2, 5.3). edge_port_write and _flush are in guest.h. */
#ifndef EDGE_PORT_H
#define EDGE_PORT_H

#include <stdbool.h>

/* Find the console and open the port. */
void port_open(void);

/* Feed what has arrived to the session, one buffer; false when there is nothing. */
bool port_receive(void);

/* Halt until something arrives. */
void port_wait(void);

#endif
