#ifndef CORDUROY_VIRTIO_H
#define CORDUROY_VIRTIO_H

#include <stdint.h>

/* What precedes a packet on a TUN device with IFF_VNET_HDR: struct virtio_net_hdr of the virtio specification (5.1.6),
 * little-endian, 10 bytes:
 *
 *     | flags u8 | gso type u8 | header length u16 | gso size u16 | checksum start u16 | checksum offset u16 |
 *
 * With NEEDS_CSUM the checksum at `checksum start` + `checksum offset` is only the sum of the pseudo header; what lies
 * from `checksum start` on has still to be added. With a gso type the packet is many: `gso size` bytes of payload each. */
struct virtio_header {
    uint8_t flags;
    uint8_t gso_type;
    uint16_t header_length;
    uint16_t gso_size;
    uint16_t checksum_start;
    uint16_t checksum_offset;
};

_Static_assert(sizeof(struct virtio_header) == 10, "the header has no padding");

enum {
    VIRTIO_NEEDS_CHECKSUM = 1,
    VIRTIO_GSO_NONE = 0,
    VIRTIO_GSO_TCPV4 = 1,
    VIRTIO_GSO_TCPV6 = 4,
    VIRTIO_GSO_UDP_L4 = 5,
    VIRTIO_GSO_ECN = 0x80, /* a flag: the first segment has CWR */
};

#endif
