#include "segment.h"

#include <string.h>

#include "checksum.h"

static size_t ip_header_length(const struct packet *packet)
{
    return packet_family(packet) == 4 ? (size_t)(packet->bytes[0] & 0x0f) * 4 : IPV6_HEADER;
}

/* Bytes from the start of the packet to the payload; 0 when what the header says cannot be. */
static size_t headers_length(const struct virtio_header *header, const struct packet *packet, bool udp)
{
    size_t transport = header->checksum_start, length;
    size_t ip = ip_header_length(packet);

    if (transport < ip || transport + (udp ? UDP_HEADER : TCP_HEADER) > packet->length)
        return 0;
    if (packet_family(packet) == 4 && transport != ip)
        return 0;
    length = transport + (udp ? UDP_HEADER : (size_t)(packet->bytes[transport + TCP_OFFSET] >> 4) * 4);
    if (length < transport + (udp ? UDP_HEADER : TCP_HEADER) || length >= packet->length || length > SEGMENT_HEADER_MAX)
        return 0;
    return length;
}

static bool fits_family(uint8_t gso_type, uint8_t family)
{
    switch (gso_type & ~VIRTIO_GSO_ECN) {
    case VIRTIO_GSO_TCPV4:
        return family == 4;
    case VIRTIO_GSO_TCPV6:
        return family == 6;
    case VIRTIO_GSO_UDP_L4:
        return true;
    default:
        return false;
    }
}

int segment_begin(struct segmenter *segmenter, const struct virtio_header *header, const struct packet *packet)
{
    bool udp = (header->gso_type & ~VIRTIO_GSO_ECN) == VIRTIO_GSO_UDP_L4;
    const uint8_t *bytes = packet->bytes, *transport;
    uint8_t blank[TCP_HEADER];
    size_t length, checksum = udp ? UDP_CHECKSUM : TCP_CHECKSUM;

    if (!fits_family(header->gso_type, packet_family(packet)) || header->gso_size == 0 ||
        (header->flags & VIRTIO_NEEDS_CHECKSUM) == 0 || header->checksum_offset != checksum)
        return -1;
    length = headers_length(header, packet, udp);
    if (length == 0)
        return -1;
    *segmenter = (struct segmenter){
        .packet = bytes,
        .payload = bytes + length,
        .payload_left = packet->length - length,
        .header_length = length,
        .transport = header->checksum_start,
        .size = header->gso_size,
        .udp = udp,
    };
    segmenter->count = (unsigned)((segmenter->payload_left + segmenter->size - 1) / segmenter->size);

    if (packet_family(packet) == 4) {
        segmenter->id = read16(bytes + IPV4_ID);
        segmenter->ip_sum = checksum_add(0, bytes, IPV4_LENGTH);
        segmenter->ip_sum = checksum_add(segmenter->ip_sum, bytes + IPV4_FRAGMENT, IPV4_CHECKSUM - IPV4_FRAGMENT);
        segmenter->ip_sum = checksum_add(segmenter->ip_sum, bytes + IPV4_SOURCE, segmenter->transport - IPV4_SOURCE);
    }
    /* The checksum field holds the sum of the pseudo header, with the length of the whole: that is taken off again. */
    transport = bytes + segmenter->transport;
    segmenter->transport_sum = read_word(transport + checksum);
    segmenter->transport_sum += (uint16_t)~__builtin_bswap16((uint16_t)(packet->length - segmenter->transport));
    if (udp) {
        segmenter->transport_sum = checksum_add(segmenter->transport_sum, transport, UDP_LENGTH);
        return 0;
    }
    memcpy(blank, transport, TCP_HEADER);
    segmenter->sequence = read32(blank + TCP_SEQUENCE);
    segmenter->flags = blank[TCP_FLAGS];
    write32(blank + TCP_SEQUENCE, 0);
    blank[TCP_FLAGS] = 0;
    write_word(blank + TCP_CHECKSUM, 0);
    segmenter->transport_sum = checksum_add(segmenter->transport_sum, blank, TCP_HEADER);
    segmenter->transport_sum = checksum_add(segmenter->transport_sum, transport + TCP_HEADER,
                                            segmenter->header_length - segmenter->transport - TCP_HEADER);
    return 0;
}

static void write_ip(const struct segmenter *segmenter, uint8_t *headers, size_t length)
{
    if ((headers[0] >> 4) == 4) {
        uint16_t id = (uint16_t)(segmenter->id + segmenter->index);
        uint64_t sum = segmenter->ip_sum + __builtin_bswap16((uint16_t)length) + __builtin_bswap16(id);

        write16(headers + IPV4_LENGTH, (uint16_t)length);
        write16(headers + IPV4_ID, id);
        write_word(headers + IPV4_CHECKSUM, (uint16_t)~checksum_fold(sum));
    } else {
        write16(headers + IPV6_LENGTH, (uint16_t)(length - IPV6_HEADER));
    }
}

static void write_udp(uint8_t *transport, uint16_t length, uint64_t sum)
{
    uint16_t checksum;

    write16(transport + UDP_LENGTH, length);
    checksum = (uint16_t)~checksum_fold(sum + __builtin_bswap16(length));
    write_word(transport + UDP_CHECKSUM, checksum == 0 ? 0xffff : checksum); /* RFC 768: 0 means that there is none */
}

/* FIN and PSH belong to the last segment, CWR to the first (RFC 3168 6.1.2). */
static void write_tcp(const struct segmenter *segmenter, uint8_t *transport, uint64_t sum)
{
    uint32_t sequence = segmenter->sequence + (uint32_t)segmenter->index * segmenter->size;
    uint8_t flags = segmenter->flags;

    if (segmenter->index + 1 < segmenter->count)
        flags &= (uint8_t)~(TCP_FIN | TCP_PSH);
    if (segmenter->index > 0)
        flags &= (uint8_t)~TCP_CWR;
    write32(transport + TCP_SEQUENCE, sequence);
    transport[TCP_FLAGS] = flags;
    sum = checksum_add(sum, transport + TCP_SEQUENCE, 4);
    sum += (uint64_t)flags << 8; /* an odd offset: the upper byte of a little-endian word */
    write_word(transport + TCP_CHECKSUM, (uint16_t)~checksum_fold(sum));
}

size_t segment_next(struct segmenter *segmenter, uint8_t *headers, const uint8_t **payload)
{
    size_t length = segmenter->payload_left < segmenter->size ? segmenter->payload_left : segmenter->size;
    uint16_t transport_length = (uint16_t)(segmenter->header_length - segmenter->transport + length);
    uint64_t sum = checksum_add(segmenter->transport_sum, segmenter->payload, length);

    memcpy(headers, segmenter->packet, segmenter->header_length);
    write_ip(segmenter, headers, segmenter->header_length + length);
    sum += __builtin_bswap16(transport_length);
    if (segmenter->udp)
        write_udp(headers + segmenter->transport, transport_length, sum);
    else
        write_tcp(segmenter, headers + segmenter->transport, sum);
    *payload = segmenter->payload;
    segmenter->payload += length;
    segmenter->payload_left -= length;
    segmenter->index++;
    return length;
}

int segment_finish_checksum(const struct virtio_header *header, struct packet *packet)
{
    size_t start = header->checksum_start, at = start + header->checksum_offset;
    uint16_t checksum;

    if ((header->flags & VIRTIO_NEEDS_CHECKSUM) == 0)
        return 0;
    if (start < ip_header_length(packet) || start > packet->length || at + 2 > packet->length)
        return -1;
    checksum = (uint16_t)~checksum_fold(checksum_add(0, packet->bytes + start, packet->length - start));
    if (checksum == 0 && header->checksum_offset == UDP_CHECKSUM)
        checksum = 0xffff; /* RFC 768: 0 means that there is none */
    write_word(packet->bytes + at, checksum);
    return 0;
}
