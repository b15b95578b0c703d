#ifndef FUZZ_PLATFORM_H
#define FUZZ_PLATFORM_H

#include <setjmp.h>

extern jmp_buf fuzz_panicked;

/* A guest as after power on. */
void fuzz_begin(void);

#endif
