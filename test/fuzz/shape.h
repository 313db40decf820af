#ifndef CORDUROY_FUZZ_SHAPE_H
#define CORDUROY_FUZZ_SHAPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A TCP or UDP packet, in a few decisions. */
struct shape {
    bool v6, udp;
    uint8_t flow;            /* the last bytes of the addresses, and the ports */
    uint8_t tos, ttl;
    uint16_t id, fragment;   /* IPv4; `fragment`: flags and offset */
    uint8_t ip_words;        /* IPv4 options, 0 … 10 words of 4 bytes; IPv6 extension headers, words of 8 bytes */
    uint32_t sequence, acknowledgment;
    uint8_t tcp_flags, reserved;
    uint8_t tcp_words;       /* TCP options, 0 … 10 words of 4 bytes */
    uint16_t urgent;
    uint8_t filling;         /* decides on the bytes of options and payload */
    size_t payload;
};

/* Bytes from the start of the packet to the TCP or UDP header, and to the payload. */
size_t shape_transport(const struct shape *shape);
size_t shape_headers(const struct shape *shape);

/* Writes the packet, with right checksums. Returns its length, which the caller keeps in what IP can say. */
size_t shape_write(const struct shape *shape, uint8_t *packet);

#endif
