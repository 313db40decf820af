#ifndef CORDUROY_PACKET_H
#define CORDUROY_PACKET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "address.h"

/* The headers of the inner packets, by byte offset:
 *
 *  IPv4 (RFC 791)                                       IPv6 (RFC 8200)
 *   0       8       16              31                   0       8       16              31
 *  |ver|ihl| tos   |   total length   |                 |ver|class |      flow label       |
 *  |      id       |flags|frag offset |                 | payload length |next hdr| hops   |
 *  |  ttl  | proto |    checksum      |                 |          source (16)            |
 *  |             source               |                 |        destination (16)         |
 *  |           destination            |
 *
 *  TCP (RFC 9293)                                       UDP (RFC 768)
 *   0              16              31                    0              16              31
 *  |  source port   |   dest. port    |                 |  source port   |   dest. port    |
 *  |        sequence number           |                 |     length     |    checksum     |
 *  |     acknowledgment number        |
 *  |off|res | flags |     window      |
 *  |    checksum    |  urgent pointer |
 *  |             options …            |
 */
enum {
    IPV4_HEADER = 20,
    IPV4_TOS = 1,
    IPV4_LENGTH = 2,
    IPV4_ID = 4,
    IPV4_FRAGMENT = 6,
    IPV4_TTL = 8,
    IPV4_PROTOCOL = 9,
    IPV4_CHECKSUM = 10,
    IPV4_SOURCE = 12,
    IPV4_DESTINATION = 16,
    IPV4_DONT_FRAGMENT = 0x4000,
    IPV4_MORE_FRAGMENTS = 0x2000,
    IPV4_FRAGMENT_OFFSET = 0x1fff,

    IPV6_HEADER = 40,
    IPV6_LENGTH = 4,
    IPV6_NEXT = 6,
    IPV6_HOPS = 7,
    IPV6_SOURCE = 8,
    IPV6_DESTINATION = 24,

    TCP_HEADER = 20,
    TCP_SEQUENCE = 4,
    TCP_ACKNOWLEDGMENT = 8,
    TCP_OFFSET = 12,
    TCP_FLAGS = 13,
    TCP_WINDOW = 14,
    TCP_CHECKSUM = 16,
    TCP_URGENT = 18,
    TCP_FIN = 0x01,
    TCP_PSH = 0x08,
    TCP_ACK = 0x10,
    TCP_CWR = 0x80,

    UDP_HEADER = 8,
    UDP_LENGTH = 4,
    UDP_CHECKSUM = 6,

    PROTOCOL_ICMP = 1,
    PROTOCOL_TCP = 6,
    PROTOCOL_UDP = 17,
    PROTOCOL_ICMPV6 = 58,

    PACKET_MAX = 65535,
};

enum packet_verdict { PACKET_OK, PACKET_TRUNCATED, PACKET_BAD_VERSION };

/* What forwarding needs of a packet. */
struct packet {
    uint8_t *bytes;
    size_t length; /* as its header says; what lies behind is padding */
    struct address source, destination;
};

/* Reads the IP header. Nothing is trusted: the header's own lengths have to fit in `length` bytes. */
enum packet_verdict packet_parse(uint8_t *bytes, size_t length, struct packet *packet);

static inline uint8_t packet_family(const struct packet *packet)
{
    return packet->source.family;
}

#endif
