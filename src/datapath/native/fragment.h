#ifndef CORDUROY_FRAGMENT_H
#define CORDUROY_FRAGMENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "packet.h"

/* IPv4 with all its options. */
enum { FRAGMENT_HEADER_MAX = 60 };

/* Cuts an IPv4 packet into fragments (RFC 791 2.3 and 3.2), one after the other: the header of each is written anew, its
 * payload stays where it is. */
struct fragmenter {
    const uint8_t *packet;
    size_t header_length, length;
    size_t at;   /* payload bytes that are out already */
    size_t most; /* bytes of a fragment */
};

/* Whether the packet is IPv4 and allows it. */
static inline bool may_be_fragmented(const uint8_t *packet)
{
    return (packet[0] >> 4) == 4 && (packet[IPV4_FRAGMENT] & (IPV4_DONT_FRAGMENT >> 8)) == 0;
}

/* `packet` may be fragmented; `most` is what a fragment may be long. Returns -1 when that is too little for
 * any, or the packet is a fragment that cannot be. */
int fragment_begin(struct fragmenter *fragmenter, const struct packet *packet, size_t most);

static inline bool fragment_is_left(const struct fragmenter *fragmenter)
{
    return fragmenter->header_length + fragmenter->at < fragmenter->length;
}

/* Writes the header of the next fragment and tells its length; returns the length of the payload, and where it is. */
size_t fragment_next(struct fragmenter *fragmenter, uint8_t header[FRAGMENT_HEADER_MAX], size_t *header_length,
                     const uint8_t **payload);

#endif
