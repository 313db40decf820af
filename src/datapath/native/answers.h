#ifndef CORDUROY_ANSWERS_H
#define CORDUROY_ANSWERS_H

#include <stddef.h>

#include "icmp.h"
#include "send-batch.h"

struct worker;

/* Tells the sender of a datagram's packet, through the TUN, why it went nowhere; where ICMP allows it, and no more often
 * than ICMP_PER_SECOND. `mtu`: in bytes, for ICMP_TOO_BIG. */
void answer_datagram(struct worker *worker, enum icmp_error error, const struct datagram *datagram, size_t mtu);

#endif
