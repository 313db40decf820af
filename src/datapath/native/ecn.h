#ifndef CORDUROY_ECN_H
#define CORDUROY_ECN_H

#include <stdbool.h>
#include <stdint.h>

#include "packet.h"

/* Explicit congestion notification in tunnels (RFC 6040). */
enum { ECN_NOT_ECT = 0, ECN_ECT_1 = 1, ECN_ECT_0 = 2, ECN_CE = 3, ECN_MASK = 3 };

/* The ECN bits of an inner packet, which is at least as long as its fixed header. */
uint8_t ecn_of(const uint8_t *packet);

/* Decapsulation, RFC 6040 figure 4: brings what the outer header says into the inner one. Returns false when the packet
 * has to be dropped: it met congestion, and its transport would not understand a mark. */
bool ecn_decapsulate(struct packet *packet, uint8_t outer_ecn);

#endif
