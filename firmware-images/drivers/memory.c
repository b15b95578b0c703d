/* The arena: what RAM the linked image leaves. */
#include <edge/guest.h>

#include <arch.h>

#include "platform.h"

#define ALIGNMENT 16u

extern uint8_t edge_image_end[];
extern const uint8_t edge_build_id[];

struct edge_arena edge_platform_arena(uint64_t memory) {
    uint64_t first = arch_physical(edge_image_end);
    first = (first + ALIGNMENT - 1) & ~(uint64_t)(ALIGNMENT - 1);
    uint64_t end = (ARCH_RAM_BASE + memory) & ~(uint64_t)(ALIGNMENT - 1);
    if (end <= first || memory > ARCH_RAM_MAX)
        edge_panic("memory: hello says less than the image needs, or more than it can reach");
    arch_map(end);
    return (struct edge_arena){.base = arch_virtual(first), .size = (size_t)(end - first)};
}

const uint8_t *edge_platform_build(void) {
    return edge_build_id;
}
