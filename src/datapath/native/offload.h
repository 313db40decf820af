#ifndef CORDUROY_OFFLOAD_H
#define CORDUROY_OFFLOAD_H

#include <stdbool.h>

#include "engine.h"

/* Before the workers start: an offload is on (`why` is NULL), or off for a reason in a few words. */
void offload_set(struct engine *engine, enum offload offload, const char *why);

static inline bool offload_is_on(const struct engine *engine, enum offload offload)
{
    return atomic_load_explicit(&engine->offload[offload].state, memory_order_acquire) == OFFLOAD_ON;
}

/* The kernel has refused it: it is not used any more. Logged by the first worker that finds out. */
void offload_lose(struct engine *engine, enum offload offload, const char *what, int error);

/* Turns on what the TUN's queues take, and says of each offload whether it is on. `segment` and `gro`: the errors of the
 * UDP sockets' options, 0 for none. */
void offload_probe(struct engine *engine, int segment, int gro);

#endif
