#include "shape.h"

#include <string.h>

#include "reference.h"

enum { FILLING_MAX = 65536 + 256 };

/* Bytes without a pattern, made once. */
static const uint8_t *filling(uint8_t from)
{
    static uint8_t bytes[FILLING_MAX];
    static bool made;
    uint32_t state = 1;
    size_t at;

    for (at = 0; !made && at < sizeof bytes; at++) {
        state = state * 1664525 + 1013904223;
        bytes[at] = (uint8_t)(state >> 24);
    }
    made = true;
    return bytes + from;
}

static void put16(uint8_t *bytes, size_t value)
{
    bytes[0] = (uint8_t)(value >> 8);
    bytes[1] = (uint8_t)value;
}

static void put32(uint8_t *bytes, uint32_t value)
{
    put16(bytes, value >> 16);
    put16(bytes + 2, value & 0xffff);
}

size_t shape_transport(const struct shape *shape)
{
    return shape->v6 ? 40 + (size_t)shape->ip_words * 8 : 20 + (size_t)shape->ip_words * 4;
}

size_t shape_headers(const struct shape *shape)
{
    return shape_transport(shape) + (shape->udp ? 8 : 20 + (size_t)shape->tcp_words * 4);
}

static void write_ipv4(const struct shape *shape, uint8_t *packet, size_t length)
{
    packet[0] = (uint8_t)(0x45 + shape->ip_words);
    packet[1] = shape->tos;
    put16(packet + 2, length);
    put16(packet + 4, shape->id);
    put16(packet + 6, shape->fragment);
    packet[8] = shape->ttl;
    packet[9] = shape->udp ? 17 : 6;
    put32(packet + 12, 0x0a010200u | (shape->flow & 3));
    put32(packet + 16, 0x0a020300u | (shape->flow >> 2 & 3));
    memcpy(packet + 20, filling(shape->filling), (size_t)shape->ip_words * 4);
    reference_write_ipv4_checksum(packet);
}

/* Each extension header is one of destination options, padded (RFC 8200 4.6). */
static void write_ipv6(const struct shape *shape, uint8_t *packet, size_t length)
{
    uint8_t *next = packet + 6;
    unsigned index;

    memset(packet, 0, shape_transport(shape));
    packet[0] = (uint8_t)(0x60 | shape->tos >> 4);
    packet[1] = (uint8_t)(shape->tos << 4);
    put16(packet + 4, length - 40);
    packet[7] = shape->ttl;
    packet[8] = packet[24] = 0xfd;
    packet[23] = shape->flow & 3;
    packet[39] = shape->flow >> 2 & 3;
    for (index = 0; index < shape->ip_words; index++) {
        *next = 60;
        next = packet + 40 + (size_t)index * 8;
        next[2] = 1; /* PadN, of 4 bytes */
        next[3] = 4;
    }
    *next = shape->udp ? 17 : 6;
}

static void write_tcp(const struct shape *shape, uint8_t *tcp)
{
    put32(tcp + 4, shape->sequence);
    put32(tcp + 8, shape->acknowledgment);
    tcp[12] = (uint8_t)((5 + shape->tcp_words) << 4 | (shape->reserved & 15));
    tcp[13] = shape->tcp_flags;
    put16(tcp + 14, 0x1000);
    put16(tcp + 18, shape->urgent);
    memcpy(tcp + 20, filling(shape->filling), (size_t)shape->tcp_words * 4);
}

size_t shape_write(const struct shape *shape, uint8_t *packet)
{
    size_t transport = shape_transport(shape), headers = shape_headers(shape), length = headers + shape->payload;

    if (shape->v6)
        write_ipv6(shape, packet, length);
    else
        write_ipv4(shape, packet, length);
    put16(packet + transport, 1000u + (shape->flow >> 4 & 1));
    put16(packet + transport + 2, 2000u + (shape->flow >> 5 & 1));
    if (shape->udp)
        put16(packet + transport + 4, length - transport);
    else
        write_tcp(shape, packet + transport);
    memcpy(packet + headers, filling(shape->filling), shape->payload);
    reference_write_checksum(packet, length, transport, shape->udp);
    return length;
}
