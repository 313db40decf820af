#ifndef CORDUROY_FUZZ_TRACKED_H
#define CORDUROY_FUZZ_TRACKED_H

#include <stddef.h>

/* The memory of control connections, which run.sh has connection.c take from here: when the engine ends it leaves that to
 * the end of the process, and a fuzz target goes on. */
void *tracked_malloc(size_t size);
void *tracked_realloc(void *memory, size_t size);
void tracked_free(void *memory);

unsigned tracked_count(void);
void tracked_free_all(void);

#endif
