#include "icmp.h"

#include <stdbool.h>
#include <string.h>

#include "checksum.h"

enum {
    ICMP_HEADER = 8,
    ICMP_CHECKSUM = 2,
    /* RFC 792: the header and 8 bytes of what offended. */
    V4_QUOTED_PAYLOAD = 8,
    V4_UNREACHABLE = 3,
    V4_NET_UNREACHABLE = 0,
    V4_FRAGMENTATION_NEEDED = 4,
    V4_ECHO_REQUEST = 8,
    V6_UNREACHABLE = 1,
    V6_TOO_BIG = 2,
    V6_ECHO_REQUEST = 128,
    V6_HOP_BY_HOP = 0,
    V6_ROUTING = 43,
    V6_FRAGMENT = 44,
    V6_AUTHENTICATION = 51,
    V6_DESTINATION_OPTIONS = 60,
    /* RFC 1812 4.3.2.5: precedence "internetwork control". */
    V4_TOS = 0xc0,
    TTL = 64,
};

static void put_address(uint8_t *bytes, const struct address *address)
{
    uint64_t high = __builtin_bswap64(address->high), low = __builtin_bswap64(address->low);

    memcpy(bytes, &high, address->family == 4 ? 4 : 8);
    if (address->family == 6)
        memcpy(bytes + 8, &low, 8);
}

static bool may_answer_v4(const struct packet *packet)
{
    const uint8_t *bytes = packet->bytes;
    size_t header = (size_t)(bytes[0] & 0x0f) * 4;
    uint8_t source = bytes[IPV4_SOURCE], destination = bytes[IPV4_DESTINATION];

    if ((read16(bytes + IPV4_FRAGMENT) & IPV4_FRAGMENT_OFFSET) != 0)
        return false;
    if (bytes[IPV4_PROTOCOL] == PROTOCOL_ICMP &&
        (packet->length <= header || bytes[header] != V4_ECHO_REQUEST))
        return false;
    return source != 0 && source < 224 && destination < 224;
}

static size_t answer_v4(uint8_t *answer, enum icmp_error error, const struct packet *offending,
                        const struct address *source, uint32_t mtu)
{
    size_t header = (size_t)(offending->bytes[0] & 0x0f) * 4, quoted = header + V4_QUOTED_PAYLOAD, length;
    uint8_t *icmp = answer + IPV4_HEADER;

    if (!may_answer_v4(offending))
        return 0;
    if (quoted > offending->length)
        quoted = offending->length;
    length = IPV4_HEADER + ICMP_HEADER + quoted;
    memset(answer, 0, IPV4_HEADER + ICMP_HEADER);
    answer[0] = 0x45;
    answer[IPV4_TOS] = V4_TOS;
    write16(answer + IPV4_LENGTH, (uint16_t)length);
    answer[IPV4_TTL] = TTL;
    answer[IPV4_PROTOCOL] = PROTOCOL_ICMP;
    put_address(answer + IPV4_SOURCE, source);
    memcpy(answer + IPV4_DESTINATION, offending->bytes + IPV4_SOURCE, 4);
    write_word(answer + IPV4_CHECKSUM, (uint16_t)~checksum_fold(checksum_add(0, answer, IPV4_HEADER)));

    icmp[0] = V4_UNREACHABLE;
    icmp[1] = error == ICMP_TOO_BIG ? V4_FRAGMENTATION_NEEDED : V4_NET_UNREACHABLE;
    if (error == ICMP_TOO_BIG) /* RFC 1191 4 */
        write16(icmp + 6, mtu > 0xffff ? 0xffff : (uint16_t)mtu);
    memcpy(icmp + ICMP_HEADER, offending->bytes, quoted);
    write_word(icmp + ICMP_CHECKSUM, (uint16_t)~checksum_fold(checksum_add(0, icmp, ICMP_HEADER + quoted)));
    return length;
}

/* Whether the upper layer is ICMPv6 other than an echo request, or the packet is a fragment but the first. What cannot be
 * told, because the packet ends, is taken for an error. */
static bool may_be_error_or_later_fragment(const struct packet *packet)
{
    const uint8_t *bytes = packet->bytes;
    uint8_t next = bytes[IPV6_NEXT];
    size_t at = IPV6_HEADER;

    while (next == V6_HOP_BY_HOP || next == V6_ROUTING || next == V6_FRAGMENT || next == V6_AUTHENTICATION ||
           next == V6_DESTINATION_OPTIONS) {
        /* RFC 8200 4: in units of 8 bytes, less the first. RFC 4302 2.2: in units of 4, less two. */
        size_t unit = next == V6_FRAGMENT ? 0 : next == V6_AUTHENTICATION ? 4 : 8;

        if (at + 8 > packet->length)
            return true;
        if (next == V6_FRAGMENT && (read16(bytes + at + 2) & 0xfff8) != 0)
            return true;
        next = bytes[at];
        at += 8 + bytes[at + 1] * unit;
    }
    return next == PROTOCOL_ICMPV6 && (at >= packet->length || bytes[at] != V6_ECHO_REQUEST);
}

static bool may_answer_v6(enum icmp_error error, const struct packet *packet)
{
    const uint8_t *bytes = packet->bytes;
    bool unspecified = packet->source.high == 0 && packet->source.low == 0;

    if (may_be_error_or_later_fragment(packet) || unspecified || bytes[IPV6_SOURCE] == 0xff)
        return false;
    /* RFC 4443 2.4(e.3): path MTU discovery has to work for multicast. */
    return bytes[IPV6_DESTINATION] != 0xff || error == ICMP_TOO_BIG;
}

static size_t answer_v6(uint8_t *answer, enum icmp_error error, const struct packet *offending,
                        const struct address *source, uint32_t mtu)
{
    size_t room = ICMP_PACKET_MAX - IPV6_HEADER - ICMP_HEADER;
    size_t quoted = offending->length < room ? offending->length : room;
    uint8_t *icmp = answer + IPV6_HEADER;
    uint64_t sum;

    if (!may_answer_v6(error, offending))
        return 0;
    memset(answer, 0, IPV6_HEADER + ICMP_HEADER);
    answer[0] = 0x60;
    write16(answer + IPV6_LENGTH, (uint16_t)(ICMP_HEADER + quoted));
    answer[IPV6_NEXT] = PROTOCOL_ICMPV6;
    answer[IPV6_HOPS] = TTL;
    put_address(answer + IPV6_SOURCE, source);
    memcpy(answer + IPV6_DESTINATION, offending->bytes + IPV6_SOURCE, 16);

    icmp[0] = error == ICMP_TOO_BIG ? V6_TOO_BIG : V6_UNREACHABLE;
    if (error == ICMP_TOO_BIG)
        write32(icmp + 4, mtu);
    memcpy(icmp + ICMP_HEADER, offending->bytes, quoted);
    sum = checksum_add(0, answer + IPV6_SOURCE, 32);
    sum += __builtin_bswap16((uint16_t)(ICMP_HEADER + quoted)) + (uint64_t)__builtin_bswap16(PROTOCOL_ICMPV6);
    write_word(icmp + ICMP_CHECKSUM, (uint16_t)~checksum_fold(checksum_add(sum, icmp, ICMP_HEADER + quoted)));
    return IPV6_HEADER + ICMP_HEADER + quoted;
}

size_t icmp_answer(uint8_t answer[ICMP_PACKET_MAX], enum icmp_error error, const struct packet *offending,
                   const struct address *source, uint32_t mtu)
{
    return packet_family(offending) == 4 ? answer_v4(answer, error, offending, source, mtu)
                                         : answer_v6(answer, error, offending, source, mtu);
}
