#ifndef CORDUROY_FUZZ_REFERENCE_H
#define CORDUROY_FUZZ_REFERENCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "virtio.h"

/* Slow and obviously correct: what the data plane is compared with. It shares no code with it. */

/* RFC 1071, of big-endian words. The sum is not inverted. */
uint32_t reference_sum(uint32_t sum, const uint8_t *bytes, size_t length);
uint16_t reference_fold(uint32_t sum);

/* Of the pseudo header: RFC 9293 3.1, RFC 768, RFC 8200 8.1. The addresses are those of the IP header. */
uint32_t reference_pseudo_sum(const uint8_t *packet, uint8_t protocol, size_t transport_length);

/* Whether the sum over the IPv4 header is as it has to be. */
bool reference_ipv4_header_is_right(const uint8_t *packet);

/* Whether the checksum of what starts at `transport` is right. */
bool reference_transport_is_right(const uint8_t *packet, size_t length, size_t transport, uint8_t protocol);

/* Writes the checksum of TCP or UDP anew. */
void reference_write_checksum(uint8_t *packet, size_t length, size_t transport, bool udp);
void reference_write_ipv4_checksum(uint8_t *packet);

/* Writes the packet number `index` of those that the packet behind a virtio header stands for, whole. Returns its
 * length; 0: there are no more. */
size_t reference_segment(const struct virtio_header *header, const uint8_t *packet, size_t length, unsigned index,
                         uint8_t *segment);

#endif
