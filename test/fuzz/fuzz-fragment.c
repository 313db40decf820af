/* Fragments of an IPv4 packet, put together again. */
#include "checksum.h"
#include "fragment.h"
#include "input.h"
#include "reference.h"

/* The options that every fragment has to have: RFC 791 3.1, those whose first bit is set. */
static size_t copied_options(const uint8_t *packet, uint8_t *copied)
{
    size_t end = (size_t)(packet[0] & 15) * 4, at = 20, used = 0;

    while (at < end && packet[at] != 0) {
        size_t size = packet[at] == 1 ? 1 : at + 1 < end ? packet[at + 1] : 0;

        if (size == 0 || (size == 1 && packet[at] != 1) || at + size > end)
            break;
        if (packet[at] >= 128) {
            memcpy(copied + used, packet + at, size);
            used += size;
        }
        at += size;
    }
    while (used % 4 != 0)
        copied[used++] = 0;
    return used;
}

static void check_header(const struct packet *packet, const uint8_t *header, size_t length, bool first)
{
    uint8_t options[40];
    size_t expected = (size_t)(packet->bytes[0] & 15) * 4 - 20;

    if (first)
        memcpy(options, packet->bytes + 20, expected);
    else
        expected = copied_options(packet->bytes, options);
    CHECK(header[0] >> 4 == 4 && (size_t)(header[0] & 15) * 4 == length);
    CHECK(length == 20 + expected && memcmp(header + 20, options, expected) == 0);
    CHECK(header[1] == packet->bytes[1] && memcmp(header + 4, packet->bytes + 4, 2) == 0);
    CHECK(memcmp(header + 8, packet->bytes + 8, 2) == 0 && memcmp(header + 12, packet->bytes + 12, 8) == 0);
    CHECK(reference_ipv4_header_is_right(header));
}

static void check(const struct packet *packet, size_t most)
{
    size_t at = (size_t)(packet->bytes[0] & 15) * 4, start = at, length, header_length;
    uint16_t field = read16(packet->bytes + IPV4_FRAGMENT);
    uint8_t *header = malloc(FRAGMENT_HEADER_MAX);
    struct fragmenter fragmenter;

    if (fragment_begin(&fragmenter, packet, most) < 0) {
        CHECK(most < start + 8 || (size_t)(field & 0x1fff) * 8 + packet->length - start > 65535);
        free(header);
        return;
    }
    while (fragment_is_left(&fragmenter)) {
        const uint8_t *payload;
        uint16_t own;
        bool last;

        length = fragment_next(&fragmenter, header, &header_length, &payload);
        last = at + length == packet->length;
        own = read16(header + IPV4_FRAGMENT);
        check_header(packet, header, header_length, at == start);
        CHECK(payload == packet->bytes + at && length > 0 && at + length <= packet->length);
        CHECK(header_length + length <= most && read16(header + IPV4_LENGTH) == header_length + length);
        CHECK((own & 0x1fff) == ((field + (at - start) / 8) & 0x1fff));
        CHECK((own & 0x2000) == (last ? field & 0x2000 : 0x2000) && (last || length % 8 == 0));
        at += length;
    }
    CHECK(at == packet->length);
    free(header);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t whole[PACKET_MAX];
    struct input input = {data, size};
    size_t most = input_u16(&input), length = input_u16(&input), header;
    struct packet packet;
    uint8_t *bytes;

    /* The header is the input's; the payload is as long as it says. */
    most %= (most & 1) ? 2048 : 128;
    length %= (length & 1) ? sizeof whole : 512;
    input_fill(&input, whole, 60);
    whole[0] = (uint8_t)(0x40 | (whole[0] & 15));
    header = (size_t)(whole[0] & 15) * 4;
    if (header < 20)
        return 0;
    if (length < header)
        length = header;
    write16(whole + IPV4_LENGTH, (uint16_t)length);
    bytes = exact(whole, length);
    CHECK(packet_parse(bytes, length, &packet) == PACKET_OK);
    if (may_be_fragmented(bytes))
        check(&packet, most);
    free(bytes);
    return 0;
}
