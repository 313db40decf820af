#ifndef CORDUROY_CLOCK_H
#define CORDUROY_CLOCK_H

#include <stdint.h>

/* A clock that never goes back. */
uint64_t now_ns(void);
uint64_t now_ms(void);

#endif
