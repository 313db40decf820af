#ifndef CORDUROY_ADDRESS_H
#define CORDUROY_ADDRESS_H

#include <netinet/in.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>

/* An IPv4 or IPv6 address as 128 bits, left-aligned: an IPv4 address is the upper 32 bits of `high`. So one longest
 * prefix match serves both families. */
struct address {
    uint64_t high, low;
    uint8_t family; /* 4 or 6 */
};

struct prefix {
    struct address address; /* no bits set beyond `length` */
    uint8_t length;         /* 0 … 32 or 128 */
};

/* An outer address and UDP port, in the form that the socket calls take. */
struct endpoint {
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
    } socket;
    socklen_t length;
};

static inline uint64_t load64(const uint8_t *bytes)
{
    uint64_t value;

    memcpy(&value, bytes, sizeof value);
    return __builtin_bswap64(value);
}

static inline struct address address_v4(const uint8_t *bytes)
{
    uint32_t value;

    memcpy(&value, bytes, sizeof value);
    return (struct address){.high = (uint64_t)__builtin_bswap32(value) << 32, .low = 0, .family = 4};
}

static inline struct address address_v6(const uint8_t *bytes)
{
    return (struct address){.high = load64(bytes), .low = load64(bytes + 8), .family = 6};
}

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "only little-endian machines are supported: load64 and address_v4 swap bytes"
#endif

/* INET6_ADDRSTRLEN bytes are enough, for both families. */
enum { ADDRESS_TEXT = INET6_ADDRSTRLEN };
const char *address_text(const struct address *address, char text[ADDRESS_TEXT]);

/* The address of an endpoint, without its port. */
struct address endpoint_address(const struct endpoint *endpoint);

/* "192.0.2.1:8285" or "[2001:db8::1]:8285". */
enum { ENDPOINT_TEXT = ADDRESS_TEXT + 8 };
const char *endpoint_text(const struct endpoint *endpoint, char text[ENDPOINT_TEXT]);

#endif
