/* The interrupt controller of the virt machine: GICv2, or GICv3 where the host's KVM has only that. */
#ifndef EDGE_GIC_H
#define EDGE_GIC_H

/* Let this interrupt, level-triggered, reach the processor. */
void gic_open(unsigned interrupt);

#endif
