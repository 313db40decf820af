#include "reference.h"

#include <string.h>

static unsigned get16(const uint8_t *bytes)
{
    return (unsigned)bytes[0] << 8 | bytes[1];
}

static void put16(uint8_t *bytes, unsigned value)
{
    bytes[0] = (uint8_t)(value >> 8);
    bytes[1] = (uint8_t)value;
}

uint32_t reference_sum(uint32_t sum, const uint8_t *bytes, size_t length)
{
    size_t at;

    for (at = 0; at + 1 < length; at += 2)
        sum += get16(bytes + at);
    if (at < length)
        sum += (uint32_t)bytes[at] << 8;
    return sum;
}

uint16_t reference_fold(uint32_t sum)
{
    while (sum > 0xffff)
        sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t)sum;
}

uint32_t reference_pseudo_sum(const uint8_t *packet, uint8_t protocol, size_t transport_length)
{
    uint32_t sum = packet[0] >> 4 == 4 ? reference_sum(0, packet + 12, 8) : reference_sum(0, packet + 8, 32);

    return sum + protocol + (uint32_t)transport_length;
}

bool reference_ipv4_header_is_right(const uint8_t *packet)
{
    return reference_fold(reference_sum(0, packet, (size_t)(packet[0] & 15) * 4)) == 0xffff;
}

bool reference_transport_is_right(const uint8_t *packet, size_t length, size_t transport, uint8_t protocol)
{
    uint32_t sum = reference_pseudo_sum(packet, protocol, length - transport);

    return reference_fold(reference_sum(sum, packet + transport, length - transport)) == 0xffff;
}

void reference_write_checksum(uint8_t *packet, size_t length, size_t transport, bool udp)
{
    uint8_t *field = packet + transport + (udp ? 6 : 16);
    uint32_t sum = reference_pseudo_sum(packet, udp ? 17 : 6, length - transport);
    unsigned checksum;

    put16(field, 0);
    checksum = 0xffffu - reference_fold(reference_sum(sum, packet + transport, length - transport));
    if (udp && checksum == 0)
        checksum = 0xffff;
    put16(field, checksum);
}

void reference_write_ipv4_checksum(uint8_t *packet)
{
    put16(packet + 10, 0);
    put16(packet + 10, 0xffffu - reference_fold(reference_sum(0, packet, (size_t)(packet[0] & 15) * 4)));
}

/* The sequence number goes on; FIN and PSH are of the last packet, CWR of the first. */
static void write_tcp(uint8_t *tcp, unsigned index, size_t before, bool last)
{
    uint32_t sequence = (uint32_t)get16(tcp + 4) << 16 | get16(tcp + 6);

    sequence += (uint32_t)before;
    put16(tcp + 4, sequence >> 16);
    put16(tcp + 6, sequence & 0xffff);
    if (!last)
        tcp[13] &= 0xf6;
    if (index > 0)
        tcp[13] &= 0x7f;
}

size_t reference_segment(const struct virtio_header *header, const uint8_t *packet, size_t length, unsigned index,
                         uint8_t *segment)
{
    bool udp = (header->gso_type & 0x7f) == 5;
    size_t transport = header->checksum_start;
    size_t headers = transport + (udp ? 8u : (size_t)(packet[transport + 12] >> 4) * 4);
    size_t before = (size_t)index * header->gso_size;
    size_t payload, total;

    if (headers + before >= length)
        return 0;
    payload = length - headers - before;
    if (payload > header->gso_size)
        payload = header->gso_size;
    total = headers + payload;

    memcpy(segment, packet, headers);
    memcpy(segment + headers, packet + headers + before, payload);
    if (packet[0] >> 4 == 4) {
        put16(segment + 2, (unsigned)total);
        put16(segment + 4, get16(packet + 4) + index);
        reference_write_ipv4_checksum(segment);
    } else {
        put16(segment + 4, (unsigned)total - 40);
    }
    if (udp)
        put16(segment + transport + 4, (unsigned)(total - transport));
    else
        write_tcp(segment + transport, index, before, headers + before + payload == length);
    reference_write_checksum(segment, total, transport, udp);
    return total;
}
