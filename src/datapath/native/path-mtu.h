#ifndef CORDUROY_PATH_MTU_H
#define CORDUROY_PATH_MTU_H

#include <stddef.h>

#include "engine.h"

/* The largest inner packet, in bytes, that the path to the peer is known to take; the MTU where nothing less is known. A
 * packet of `length` that is larger makes it ask the kernel again, at most once a second: paths change. */
size_t path_mtu(struct engine *engine, struct peer *peer, const struct endpoint *to, size_t length);

/* To be called when a send was refused with EMSGSIZE: asks the kernel, and remembers. */
size_t path_mtu_shrank(struct engine *engine, struct peer *peer, const struct endpoint *to);

#endif
