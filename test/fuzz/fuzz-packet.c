/* What is done with one packet: parsing, the ICMP errors, congestion marks, an unfinished checksum. */
#include <stdbool.h>

#include "checksum.h"
#include "ecn.h"
#include "icmp.h"
#include "input.h"
#include "packet.h"
#include "reference.h"
#include "segment.h"

enum { DROP = 4 };

/* RFC 6040 figure 4. Rows: the inner packet; columns: the outer; both Not-ECT, ECT(1), ECT(0), CE. */
static const uint8_t DECAPSULATED[4][4] = {
    {0, 0, 0, DROP},
    {1, 1, 1, 3},
    {2, 1, 2, 3},
    {3, 3, 3, 3},
};

static size_t header_length(const struct packet *packet)
{
    return packet_family(packet) == 4 ? (size_t)(packet->bytes[0] & 15) * 4 : IPV6_HEADER;
}

/* The upper-layer protocol, and where it starts; a packet that ends before counts as one of protocol 59, "no next
 * header". IPv6 extension headers: RFC 8200 4; the authentication header: RFC 4302 2.2. */
static uint8_t upper_layer(const struct packet *packet, size_t *at, bool *later_fragment)
{
    const uint8_t *bytes = packet->bytes;
    uint8_t next = packet_family(packet) == 4 ? bytes[9] : bytes[6];

    *at = header_length(packet);
    *later_fragment = packet_family(packet) == 4 && (read16(bytes + 6) & 0x1fff) != 0;
    if (packet_family(packet) == 4)
        return next;
    while (next == 0 || next == 43 || next == 44 || next == 51 || next == 60) {
        size_t length;

        if (*at + 8 > packet->length)
            return 59;
        length = next == 44 ? 8 : next == 51 ? ((size_t)bytes[*at + 1] + 2) * 4 : ((size_t)bytes[*at + 1] + 1) * 8;
        if (next == 44 && (read16(bytes + *at + 2) & 0xfff8) != 0)
            *later_fragment = true;
        next = bytes[*at];
        *at += length;
    }
    return next;
}

/* RFC 792: 3, 4, 5, 11, 12; RFC 4443: below 128. */
static bool is_about_error(const struct packet *packet, size_t at, uint8_t protocol)
{
    uint8_t type;

    if (protocol != (packet_family(packet) == 4 ? 1 : 58))
        return false;
    if (at >= packet->length)
        return true;
    type = packet->bytes[at];
    return packet_family(packet) == 6 ? type < 128 : (type >= 3 && type <= 5) || type == 11 || type == 12;
}

static void check_answer(const struct packet *offending, enum icmp_error error, struct input *input)
{
    static const uint8_t ADDRESS[16] = {0xfd, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    struct address source = packet_family(offending) == 4 ? address_v4(ADDRESS) : address_v6(ADDRESS);
    uint32_t mtu = input_u32(input);
    uint8_t *answer = malloc(ICMP_PACKET_MAX), *icmp, protocol;
    size_t length = icmp_answer(answer, error, offending, &source, mtu), at;
    struct packet parsed;
    bool later_fragment;

    if (length > 0) {
        CHECK(length <= ICMP_PACKET_MAX);
        CHECK(packet_parse(answer, length, &parsed) == PACKET_OK);
        CHECK(parsed.length == length && packet_family(&parsed) == packet_family(offending));
        CHECK(parsed.destination.high == offending->source.high && parsed.destination.low == offending->source.low);
        CHECK(parsed.source.high == source.high && parsed.source.low == source.low);
        icmp = answer + header_length(&parsed);
        if (packet_family(offending) == 4) {
            CHECK(reference_ipv4_header_is_right(answer));
            CHECK(reference_fold(reference_sum(0, icmp, length - 20)) == 0xffff);
            CHECK(icmp[0] == 3 && icmp[1] == (error == ICMP_TOO_BIG ? 4 : 0));
            CHECK(error != ICMP_TOO_BIG || read16(icmp + 6) == (mtu > 65535 ? 65535 : mtu));
        } else {
            CHECK(reference_transport_is_right(answer, length, 40, 58));
            CHECK(icmp[0] == (error == ICMP_TOO_BIG ? 2 : 1) && icmp[1] == 0);
            CHECK(error != ICMP_TOO_BIG || read32(icmp + 4) == mtu);
        }
        CHECK(memcmp(icmp + 8, offending->bytes, length - 8 - header_length(&parsed)) == 0);
        protocol = upper_layer(offending, &at, &later_fragment);
        CHECK(!later_fragment);
        CHECK(!is_about_error(offending, at, protocol));
    }
    free(answer);
}

static void check_ecn(struct packet *packet, uint8_t outer)
{
    bool v4 = packet_family(packet) == 4, was_right = v4 && reference_ipv4_header_is_right(packet->bytes);
    uint8_t *before = exact(packet->bytes, packet->length);
    uint8_t inner = ecn_of(packet->bytes), expected = DECAPSULATED[inner][outer];
    size_t at;

    CHECK(inner == (v4 ? before[1] & 3 : before[1] >> 4 & 3));
    CHECK(ecn_decapsulate(packet, outer) == (expected != DROP));
    if (expected != DROP) {
        CHECK(ecn_of(packet->bytes) == expected);
        CHECK(!v4 || reference_ipv4_header_is_right(packet->bytes) == was_right);
        for (at = 0; at < packet->length; at++) /* nothing else */
            CHECK(packet->bytes[at] == before[at] || at == 1 || (v4 && (at == 10 || at == 11)));
        CHECK(((packet->bytes[1] ^ before[1]) & ~(v4 ? 3 : 0x30)) == 0);
    }
    free(before);
}

static void check_finish(struct packet *packet, struct input *input)
{
    struct virtio_header header = {
        .flags = input_u8(input) & 1,
        .checksum_start = input_u16(input),
        .checksum_offset = input_u16(input),
    };
    bool was_right = packet_family(packet) == 4 && reference_ipv4_header_is_right(packet->bytes);
    size_t start = header.checksum_start, at = start + header.checksum_offset;
    uint32_t sum = start < packet->length
                       ? reference_sum(0, packet->bytes + start, packet->length - start)
                       : 0;
    bool finished = segment_finish_checksum(&header, packet) == 0;

    if (was_right)
        CHECK(reference_ipv4_header_is_right(packet->bytes));
    if (header.flags == 0 || !finished)
        return;
    CHECK(start >= header_length(packet) && at + 2 <= packet->length);
    CHECK(read16(packet->bytes + at) == 0xffff - reference_fold(sum) ||
          (header.checksum_offset == 6 && read16(packet->bytes + at) == 0xffff));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input input = {data, size};
    uint8_t what = input_u8(&input), decisions[8];
    struct input decided = {decisions, sizeof decisions};
    struct packet packet;
    uint8_t *bytes;

    input_fill(&input, decisions, sizeof decisions);
    bytes = exact(input.bytes, input.left);
    if (packet_parse(bytes, input.left, &packet) == PACKET_OK) {
        CHECK(packet.bytes == bytes && packet.length <= input.left);
        CHECK(packet.length >= header_length(&packet));
        if (packet_family(&packet) == 4 && (what & 0x40) != 0)
            reference_write_ipv4_checksum(bytes);
        switch (what & 3) {
        case 0:
            check_answer(&packet, ICMP_NO_ROUTE, &decided);
            break;
        case 1:
            check_answer(&packet, ICMP_TOO_BIG, &decided);
            break;
        case 2:
            check_ecn(&packet, what >> 2 & 3);
            break;
        default:
            check_finish(&packet, &decided);
        }
    }
    free(bytes);
    return 0;
}
