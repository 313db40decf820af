#ifndef CORDUROY_SEND_BATCH_H
#define CORDUROY_SEND_BATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "table.h"

/* Gathers datagrams, and sends them with as few system calls as the kernel allows: those of one size to one peer leave
 * in one segmented send (UDP_SEGMENT), and all of these in one sendmmsg. */
enum {
    /* UDP_MAX_SEGMENTS before Linux 6.9. */
    SEGMENTS_MAX = 64,
    /* What fits a datagram over IPv4, which is what a segmented send is at first. */
    SEND_BYTES_MAX = 65507,
    GROUPS_MAX = 64,
};

/* A datagram in one piece, or headers and payload. */
struct datagram {
    struct iovec part[2];
    unsigned parts;
    size_t length;
};

/* Datagrams of one size to one endpoint; the last may be smaller. */
struct send_group {
    const struct endpoint *to;
    struct peer *peer;
    uint8_t ecn;
    bool closed;
    unsigned limit; /* of datagrams */
    unsigned count;
    size_t size, bytes;
    unsigned iov_count;
    struct iovec iov[2 * SEGMENTS_MAX];
    uint8_t parts[SEGMENTS_MAX]; /* of iov, a datagram */
};

struct send_batch {
    int fd;
    /* Tells of a datagram that could not be sent, with the errno. */
    void (*failed)(void *context, const struct send_group *group, const struct datagram *datagram, int error);
    /* Tells that a segmented send was refused, and the same datagrams one by one were not. */
    void (*segments_refused)(void *context, const struct send_group *group, int error);
    void *context;
    unsigned count;
    struct send_group group[GROUPS_MAX];
};

/* How many datagrams of this size to put in each send, so that `count` of them leave in sends of about equal length. */
unsigned send_batch_share(size_t size, unsigned count);

/* Adds a datagram, whose bytes have to stay until the flush. At most `limit` datagrams are in its send; 1: it leaves by
 * itself. When there is no room, what is there is sent first. */
void send_batch_add(struct send_batch *batch, const struct endpoint *to, struct peer *peer, uint8_t ecn,
                    const struct datagram *datagram, unsigned limit);

/* Sends everything. */
void send_batch_flush(struct send_batch *batch);

#endif
