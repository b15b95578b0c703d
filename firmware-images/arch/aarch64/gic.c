#include "gic.h"

#include "arch.h"

#define DISTRIBUTOR 0x08000000u
#define CPU_INTERFACE 0x08010000u /* GICv2 */
#define REDISTRIBUTOR 0x080a0000u /* GICv3 */

#define CONTROL 0x000u
#define GROUP 0x080u    /* one bit for each interrupt */
#define ENABLE 0x100u   /* one bit */
#define PRIORITY 0x400u /* one byte */
#define TARGETS 0x800u  /* one byte, GICv2 */
#define ROUTER 0x6000u  /* eight bytes, GICv3 */
#define PERIPHERAL_ID_2 0xfe8u
#define PRIORITY_MASK 0x004u
#define WAKER 0x014u

#define CONTROL_GROUPS 0x3u
#define CONTROL_AFFINITY 0x10u
#define WAKER_SLEEP 0x2u
#define WAKER_ASLEEP 0x4u
#define ANY_PRIORITY 0xffu
#define MIDDLE_PRIORITY 0x80u
#define REVISION_2 2u

static void set_byte(uintptr_t table, unsigned interrupt, uint32_t value) {
    uintptr_t word = table + (interrupt & ~3u);
    unsigned shift = 8 * (interrupt & 3u);
    mmio_write32(word, (mmio_read32(word) & ~(0xffu << shift)) | value << shift);
}

static void open_v2(void) {
    mmio_write32(CPU_INTERFACE + PRIORITY_MASK, ANY_PRIORITY);
    mmio_write32(CPU_INTERFACE + CONTROL, 1);
}

static void open_v3(void) {
    mmio_write32(REDISTRIBUTOR + WAKER, mmio_read32(REDISTRIBUTOR + WAKER) & ~WAKER_SLEEP);
    while (mmio_read32(REDISTRIBUTOR + WAKER) & WAKER_ASLEEP)
        continue;
    __asm__ volatile("msr S3_0_C12_C12_5, %0; isb" ::"r"(7ul));                  /* ICC_SRE_EL1: registers */
    __asm__ volatile("msr S3_0_C4_C6_0, %0" ::"r"((unsigned long)ANY_PRIORITY)); /* ICC_PMR_EL1 */
    __asm__ volatile("msr S3_0_C12_C12_7, %0; isb" ::"r"(1ul));                  /* ICC_IGRPEN1_EL1 */
}

void gic_open(unsigned interrupt) {
    uint32_t bit = 1u << (interrupt & 31u);
    uintptr_t word = 4 * (interrupt / 32);
    set_byte(DISTRIBUTOR + PRIORITY, interrupt, MIDDLE_PRIORITY);
    if ((mmio_read32(DISTRIBUTOR + PERIPHERAL_ID_2) >> 4 & 15u) == REVISION_2) {
        set_byte(DISTRIBUTOR + TARGETS, interrupt, 1);
        mmio_write32(DISTRIBUTOR + CONTROL, 1);
        open_v2();
    } else {
        mmio_write32(DISTRIBUTOR + CONTROL, CONTROL_GROUPS | CONTROL_AFFINITY);
        mmio_write32(DISTRIBUTOR + GROUP + word, mmio_read32(DISTRIBUTOR + GROUP + word) | bit);
        mmio_write32(DISTRIBUTOR + ROUTER + 8 * interrupt, 0);
        mmio_write32(DISTRIBUTOR + ROUTER + 8 * interrupt + 4, 0);
        open_v3();
    }
    mmio_write32(DISTRIBUTOR + ENABLE + word, bit);
}
