#include "address.h"

#include <arpa/inet.h>
#include <stdio.h>

const char *address_text(const struct address *address, char text[ADDRESS_TEXT])
{
    uint64_t bytes[2] = {__builtin_bswap64(address->high), __builtin_bswap64(address->low)};

    if (inet_ntop(address->family == 4 ? AF_INET : AF_INET6, bytes, text, ADDRESS_TEXT) == NULL)
        text[0] = '\0'; /* cannot be: it fits */
    return text;
}

struct address endpoint_address(const struct endpoint *endpoint)
{
    return endpoint->socket.any.sa_family == AF_INET
               ? address_v4((const uint8_t *)&endpoint->socket.v4.sin_addr)
               : address_v6(endpoint->socket.v6.sin6_addr.s6_addr);
}

const char *endpoint_text(const struct endpoint *endpoint, char text[ENDPOINT_TEXT])
{
    struct address address = endpoint_address(endpoint);
    char host[ADDRESS_TEXT];

    address_text(&address, host);
    if (address.family == 4)
        snprintf(text, ENDPOINT_TEXT, "%s:%u", host, ntohs(endpoint->socket.v4.sin_port));
    else
        snprintf(text, ENDPOINT_TEXT, "[%s]:%u", host, ntohs(endpoint->socket.v6.sin6_port));
    return text;
}
