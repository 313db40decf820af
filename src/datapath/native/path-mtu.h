#ifndef CORDUROY_PATH_MTU_H
#define CORDUROY_PATH_MTU_H

#include <stddef.h>
#include <stdint.h>

#include "engine.h"

/* The largest inner packet, in bytes, that the path to the peer is known to take; the MTU where nothing less is known. A
 * packet of `length` that is larger makes it ask the kernel again, at most once a second: paths change. */
size_t path_mtu(struct engine *engine, struct peer *peer, const struct endpoint *to, size_t length);

/* To be called when a send was refused with EMSGSIZE: asks the kernel, and remembers. */
size_t path_mtu_shrank(struct engine *engine, struct peer *peer, const struct endpoint *to);

/* What the sender of a packet that the path does not take is told. IPv6 knows no path of less than 1280 bytes (RFC 8200
 * 5), and its senders keep to no less (RFC 8201 4): there the datagram around the packet is cut (RFC 2473 7.1). */
static inline size_t told_mtu(const uint8_t *packet, size_t mtu)
{
    const size_t least = 1280;

    return (packet[0] >> 4) == 6 && mtu < least ? least : mtu;
}

#endif
