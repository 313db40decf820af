#ifndef CORDUROY_SEGMENT_H
#define CORDUROY_SEGMENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "packet.h"
#include "virtio.h"

/* Room for the headers of one segment: IP with options or extension headers, and TCP with options. */
enum { SEGMENT_HEADER_MAX = 512 };

/* Cuts a packet of the TUN into packets of the wire, one after the other: the headers of each are written anew, its
 * payload stays where it is. */
struct segmenter {
    const uint8_t *packet;
    const uint8_t *payload;
    size_t payload_left;
    size_t header_length;
    size_t transport; /* offset of the TCP or UDP header */
    uint16_t size;    /* payload bytes of each but the last */
    bool udp;
    unsigned index, count;
    uint64_t ip_sum;        /* of the IPv4 header without length, id and checksum */
    uint64_t transport_sum; /* of the pseudo and transport header without lengths, sequence, flags and checksum */
    uint16_t id;
    uint32_t sequence;
    uint8_t flags;
};

/* Whether the header is of a packet that is many. */
static inline bool is_super_packet(const struct virtio_header *header)
{
    return header->gso_type != VIRTIO_GSO_NONE;
}

/* Returns 0; or -1 when the header and the packet do not fit each other, or the headers are longer than
 * SEGMENT_HEADER_MAX. The packet, which packet_parse has accepted, has to stay as it is. */
int segment_begin(struct segmenter *segmenter, const struct virtio_header *header, const struct packet *packet);

/* The length of the largest of the segments. */
static inline size_t segment_largest(const struct segmenter *segmenter)
{
    size_t payload = segmenter->payload_left < segmenter->size ? segmenter->payload_left : segmenter->size;

    return segmenter->header_length + payload;
}

/* Writes the headers of the next segment, `header_length` bytes, and tells where its payload is. Returns the payload's
 * length. To be called `count` times. */
size_t segment_next(struct segmenter *segmenter, uint8_t *headers, const uint8_t **payload);

/* Completes the checksum of a packet that is one. Returns 0, or -1 when the header points outside of the packet, or into its
 * IP header, which has been read already. */
int segment_finish_checksum(const struct virtio_header *header, struct packet *packet);

#endif
