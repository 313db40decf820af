#include "packet.h"

#include "checksum.h"

static enum packet_verdict parse_v4(uint8_t *bytes, size_t length, struct packet *packet)
{
    size_t header, total;

    if (length < IPV4_HEADER)
        return PACKET_TRUNCATED;
    header = (size_t)(bytes[0] & 0x0f) * 4;
    total = read16(bytes + IPV4_LENGTH);
    if (header < IPV4_HEADER || total < header || total > length)
        return PACKET_TRUNCATED;
    *packet = (struct packet){
        .bytes = bytes,
        .length = total,
        .source = address_v4(bytes + IPV4_SOURCE),
        .destination = address_v4(bytes + IPV4_DESTINATION),
    };
    return PACKET_OK;
}

static enum packet_verdict parse_v6(uint8_t *bytes, size_t length, struct packet *packet)
{
    size_t total;

    if (length < IPV6_HEADER)
        return PACKET_TRUNCATED;
    total = IPV6_HEADER + (size_t)read16(bytes + IPV6_LENGTH);
    if (total > length)
        return PACKET_TRUNCATED;
    *packet = (struct packet){
        .bytes = bytes,
        .length = total,
        .source = address_v6(bytes + IPV6_SOURCE),
        .destination = address_v6(bytes + IPV6_DESTINATION),
    };
    return PACKET_OK;
}

enum packet_verdict packet_parse(uint8_t *bytes, size_t length, struct packet *packet)
{
    if (length == 0)
        return PACKET_TRUNCATED;
    switch (bytes[0] >> 4) {
    case 4:
        return parse_v4(bytes, length, packet);
    case 6:
        return parse_v6(bytes, length, packet);
    default:
        return PACKET_BAD_VERSION;
    }
}
