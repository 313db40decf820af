#ifndef CORDUROY_WORKER_H
#define CORDUROY_WORKER_H

#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "engine.h"

enum {
    /* Errors a second, of all workers: enough for people and TCP, too few to be of use to anybody else. */
    ICMP_PER_SECOND = 100,
    /* Nanoseconds: packets that follow the last ones sooner are a stream. */
    STREAM_GAP = 10 * 1000,
};

/* A thread that moves the packets of one queue: from the TUN to the UDP socket (outbound.c), and back (inbound.c). */
struct worker {
    struct engine *engine;
    unsigned queue;
    pthread_t thread;
    struct outbound *outbound;
    struct inbound *inbound;
    /* The table that it reads now; NULL: none, it waits. */
    _Atomic(struct table *) reading;
};

/* What the workers share. */
struct forwarder {
    struct worker *worker[QUEUES_MAX];
    unsigned workers;
    sem_t gate; /* until forwarder_go */
    bool going;
    /* Guards what is rare: the budget of ICMP errors, and the path socket. */
    pthread_mutex_t rare;
    double icmp_tokens;
    uint64_t icmp_filled_at;
    atomic_uint_fast64_t tun_said; /* bit per error of the TUN that the log has told of */
};

/* The worker of a queue, with its buffers. NULL when memory is short. */
struct worker *worker_new(struct engine *engine, unsigned queue);

/* Moves packets as long as the process lives. */
_Noreturn void worker_run(struct worker *worker);

/* The table for the packets of one batch. It stays until worker_leave; nothing that waits for long may come between. */
const struct table *worker_enter(struct worker *worker);
void worker_leave(struct worker *worker);

/* Whether this is the first failure of its kind: sets its bit in `said`. */
bool is_first(atomic_uint_fast64_t *said, int error);

#endif
