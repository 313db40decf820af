#include "encode.h"

#include <string.h>

#include "check.h"

void encode_number(struct encoder *encoder, uint64_t value, unsigned size)
{
    CHECK(encoder->length + size <= sizeof encoder->bytes);
    while (size-- > 0)
        encoder->bytes[encoder->length++] = (uint8_t)(value >> (8 * size));
}

void encode_bytes(struct encoder *encoder, const void *bytes, size_t length)
{
    CHECK(encoder->length + length <= sizeof encoder->bytes);
    if (length > 0)
        memcpy(encoder->bytes + encoder->length, bytes, length);
    encoder->length += length;
}

static size_t make_address(uint8_t address[16], unsigned family, uint8_t choice)
{
    size_t length = family == 4 ? 4 : 16;

    memset(address, choice & 0x80 ? 0xff : 0, 16);
    address[0] = family == 4 ? 10 : 0xfd;
    address[1] = choice & 3;
    address[length / 2] = choice >> 2 & 3;
    address[length - 1] = choice >> 4 & 7;
    return length;
}

void encode_address(struct encoder *encoder, unsigned family, uint8_t choice)
{
    uint8_t address[16];
    size_t length = make_address(address, family, choice);

    encode_number(encoder, family, 1);
    encode_bytes(encoder, address, length);
}

void encode_prefix(struct encoder *encoder, unsigned family, uint8_t length, uint8_t choice)
{
    uint8_t address[16];
    size_t size = make_address(address, family, choice), bit;

    for (bit = length; bit < size * 8; bit++)
        address[bit / 8] &= (uint8_t)~(0x80 >> bit % 8);
    encode_number(encoder, family, 1);
    encode_number(encoder, length, 1);
    encode_bytes(encoder, address, size);
}

void encode_endpoint(struct encoder *encoder, unsigned family, uint16_t port, uint8_t choice)
{
    uint8_t address[16];
    size_t length = make_address(address, family, choice);

    encode_number(encoder, family, 1);
    encode_number(encoder, port, 2);
    encode_bytes(encoder, address, length);
}
