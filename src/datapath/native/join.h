#ifndef CORDUROY_JOIN_H
#define CORDUROY_JOIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "packet.h"
#include "virtio.h"

/* Joins consecutive TCP segments, and UDP datagrams, of one flow into one packet for the TUN, so that the kernel's stack
 * is walked once for all of them. What comes out, cut up again, is what came in, byte for byte; but for the
 * identification of IPv4 packets that must not be fragmented, which means nothing (RFC 6864 4.1).
 *
 * Joined is only what is sound: a checksum that is wrong stays wrong, and with its packet. */
enum {
    JOIN_SEGMENTS_MAX = 64,
    /* IPv6 and TCP with all its options. */
    JOIN_HEADER_MAX = IPV6_HEADER + 60,
};

/* Packets of one flow that follow on each other; or one packet that is none of these. */
struct run {
    /* What to write to the TUN: the virtio header, headers, payloads. */
    struct iovec iov[2 + JOIN_SEGMENTS_MAX];
    unsigned iov_count;
    /* The packets as they came, for a kernel that refuses them joined. */
    struct iovec packet[JOIN_SEGMENTS_MAX];
    unsigned count;
    size_t bytes;        /* of all packets */
    void *owner;         /* of all packets: the peer that sent them */

    struct virtio_header virtio;
    uint8_t header[JOIN_HEADER_MAX];
    size_t ip_length, header_length, size, payload_total;
    uint32_t next_sequence;
    uint16_t last_id;
    bool udp, pushed, open;
};

enum { RUNS_MAX = 16 };

struct joiner {
    bool tcp, udp; /* what the TUN takes joined */
    void (*emit)(void *context, struct run *run);
    void *context;
    struct run pool[RUNS_MAX + 1]; /* one more than are open: for a packet that is complete at once */
    struct run *open[RUNS_MAX]; /* in the order of their first packets */
    unsigned open_count;
};

/* Takes a packet, whose bytes have to stay until join_flush. Packets of one flow come out in the order they went in. */
void join_add(struct joiner *joiner, const struct packet *packet, void *owner);

/* Emits everything that is still held. */
void join_flush(struct joiner *joiner);

#endif
