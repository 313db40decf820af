#ifndef CORDUROY_OUTBOUND_H
#define CORDUROY_OUTBOUND_H

struct outbound;
struct worker;

/* From a queue of the TUN to the peers. NULL when memory is short. */
struct outbound *outbound_new(struct worker *worker);

/* Forwards what is there to read, up to a batch. */
void outbound_batch(struct outbound *outbound);

#endif
