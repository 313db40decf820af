#ifndef CORDUROY_ICMP_H
#define CORDUROY_ICMP_H

#include <stddef.h>
#include <stdint.h>

#include "packet.h"

/* The errors that a router sends: RFC 792 and RFC 1191 for IPv4, RFC 4443 for IPv6. */
enum icmp_error {
    ICMP_NO_ROUTE, /* type 3 code 0; type 1 code 0 */
    ICMP_TOO_BIG,  /* type 3 code 4, with the MTU of the next hop; type 2 */
};

/* The minimum MTU of IPv6, which RFC 4443 2.4(c) lets no error exceed. */
enum { ICMP_PACKET_MAX = 1280 };

/* Writes the packet that answers `offending`, which packet_parse has accepted, to its sender. `source` is of the same
 * family; `mtu` is for ICMP_TOO_BIG. Returns its length; or 0 where RFC 1122 3.2.2 or RFC 4443 2.4(e) forbids an answer:
 * about errors, about fragments but the first, to or about what is no single host. Of ICMP only echo requests are
 * answered, because people ping: any other type may be an error, and two errors could answer each other for ever. */
size_t icmp_answer(uint8_t answer[ICMP_PACKET_MAX], enum icmp_error error, const struct packet *offending,
                   const struct address *source, uint32_t mtu);

#endif
