#include "fragment.h"

#include <string.h>

#include "checksum.h"

enum {
    /* Fragment offsets are in units of 8 bytes. */
    UNIT = 8,
    OPTION_END = 0,
    OPTION_NOTHING = 1,
    /* RFC 791 3.1: the option goes into every fragment. */
    OPTION_COPIED = 0x80,
};

int fragment_begin(struct fragmenter *fragmenter, const struct packet *packet, size_t most)
{
    size_t header = (size_t)(packet->bytes[0] & 0x0f) * 4;

    size_t offset = (size_t)(read16(packet->bytes + IPV4_FRAGMENT) & IPV4_FRAGMENT_OFFSET) * UNIT;

    /* A fragment whose end is beyond any packet's would come round to the beginning. */
    if (most < header + UNIT || offset + packet->length - header > PACKET_MAX)
        return -1;
    *fragmenter = (struct fragmenter){
        .packet = packet->bytes, .header_length = header, .length = packet->length, .most = most};
    return 0;
}

/* The options of all fragments but the first. Returns the length of the header. */
static size_t copy_options(const struct fragmenter *fragmenter, uint8_t *header)
{
    const uint8_t *options = fragmenter->packet + IPV4_HEADER;
    size_t length = fragmenter->header_length - IPV4_HEADER, at = 0, used = IPV4_HEADER;

    while (at < length && options[at] != OPTION_END) {
        size_t size = options[at] == OPTION_NOTHING ? 1 : at + 1 < length ? options[at + 1] : 0;

        if (size == 0 || (size == 1 && options[at] != OPTION_NOTHING) || size > length - at)
            break; /* malformed: what follows cannot be told */
        if ((options[at] & OPTION_COPIED) != 0) {
            memcpy(header + used, options + at, size);
            used += size;
        }
        at += size;
    }
    while (used % 4 != 0)
        header[used++] = OPTION_END;
    return used;
}

size_t fragment_next(struct fragmenter *fragmenter, uint8_t header[FRAGMENT_HEADER_MAX], size_t *header_length,
                     const uint8_t **payload)
{
    size_t left = fragmenter->length - fragmenter->header_length - fragmenter->at, used = fragmenter->header_length, room;
    uint16_t field = read16(fragmenter->packet + IPV4_FRAGMENT);
    size_t offset, flags;
    bool last;

    memcpy(header, fragmenter->packet, fragmenter->at == 0 ? used : IPV4_HEADER);
    if (fragmenter->at > 0)
        used = copy_options(fragmenter, header);
    room = fragmenter->most - used;
    last = left <= room;
    if (!last)
        left = room - room % UNIT;
    header[0] = (uint8_t)(0x40 | (used / 4));
    write16(header + IPV4_LENGTH, (uint16_t)(used + left));
    /* The packet may be a fragment itself: the offset goes on from its own, and so does "more". */
    offset = ((size_t)field + fragmenter->at / UNIT) & IPV4_FRAGMENT_OFFSET;
    flags = (size_t)field & IPV4_MORE_FRAGMENTS;
    write16(header + IPV4_FRAGMENT, (uint16_t)(offset | (last ? flags : IPV4_MORE_FRAGMENTS)));
    write_word(header + IPV4_CHECKSUM, 0);
    write_word(header + IPV4_CHECKSUM, (uint16_t)~checksum_fold(checksum_add(0, header, used)));
    *header_length = used;
    *payload = fragmenter->packet + fragmenter->header_length + fragmenter->at;
    fragmenter->at += left;
    return left;
}
