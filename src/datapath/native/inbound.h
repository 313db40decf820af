#ifndef CORDUROY_INBOUND_H
#define CORDUROY_INBOUND_H

struct inbound;
struct worker;

/* From the peers to a queue of the TUN. NULL when memory is short. */
struct inbound *inbound_new(struct worker *worker);

/* Delivers what is there to receive, up to a batch. */
void inbound_batch(struct inbound *inbound);

#endif
