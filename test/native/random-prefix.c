#include "random-prefix.h"

#include <arpa/inet.h>

#include "checks.h"
#include "prefix-map.h"

struct address random_address(uint8_t family)
{
    uint8_t bytes[16];
    unsigned index;

    for (index = 0; index < sizeof bytes; index++)
        bytes[index] = random_below(3) == 0 ? (uint8_t)(random_below(4) << 6) : 0;
    return family == 4 ? address_v4(bytes) : address_v6(bytes);
}

struct prefix random_prefix(uint8_t family)
{
    static const uint8_t LENGTHS[2][8] = {{0, 8, 16, 17, 24, 25, 31, 32}, {0, 1, 48, 63, 64, 65, 127, 128}};
    uint8_t length = LENGTHS[family == 6][random_below(8)];

    return (struct prefix){.address = address_masked(random_address(family), length), .length = length};
}

static unsigned bit_of(const struct address *address, unsigned number)
{
    return (unsigned)((number < 64 ? address->high >> (63 - number) : address->low >> (127 - number)) & 1);
}

bool slow_holds(const struct prefix *prefix, const struct address *address)
{
    unsigned number;

    for (number = 0; number < prefix->length; number++) {
        if (bit_of(&prefix->address, number) != bit_of(address, number))
            return false;
    }
    return prefix->address.family == address->family;
}

bool same_prefix(const struct prefix *one, const struct prefix *other)
{
    return one->length == other->length && one->address.family == other->address.family &&
           slow_holds(one, &other->address);
}

struct endpoint endpoint_of(struct address address, uint16_t port)
{
    uint64_t bytes[2] = {__builtin_bswap64(address.high), __builtin_bswap64(address.low)};
    struct endpoint endpoint;

    memset(&endpoint, 0, sizeof endpoint);
    if (address.family == 4) {
        endpoint.length = sizeof endpoint.socket.v4;
        endpoint.socket.v4.sin_family = AF_INET;
        endpoint.socket.v4.sin_port = htons(port);
        memcpy(&endpoint.socket.v4.sin_addr, bytes, 4);
    } else {
        endpoint.length = sizeof endpoint.socket.v6;
        endpoint.socket.v6.sin6_family = AF_INET6;
        endpoint.socket.v6.sin6_port = htons(port);
        memcpy(&endpoint.socket.v6.sin6_addr, bytes, 16);
    }
    return endpoint;
}
