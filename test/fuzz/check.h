#ifndef CORDUROY_FUZZ_CHECK_H
#define CORDUROY_FUZZ_CHECK_H

#include <stdio.h>
#include <stdlib.h>

/* Ends the process, which the fuzzer takes for a finding. Never compiled out, unlike assert(3). */
#define CHECK(condition) ((condition) ? (void)0 : check_failed(#condition, __FILE__, __LINE__))

static inline _Noreturn void check_failed(const char *condition, const char *file, int line)
{
    fprintf(stderr, "%s:%d: this does not hold: %s\n", file, line, condition);
    abort();
}

#endif
