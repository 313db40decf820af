#include "inbound.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "clock.h"
#include "ecn.h"
#include "join.h"
#include "offload.h"
#include "packet.h"
#include "tun-queue.h"
#include "udp-socket.h"
#include "worker.h"

enum {
    /* Receives of up to 64 KiB each: enough to bring together again what one read of the TUN was cut into, and to take
     * many small packets that came singly; few enough to stay in the second-level cache. */
    MESSAGES = 16,
    MESSAGE_MAX = 65536,
    /* Bytes of a receive: more than one datagram. */
    BULK = 2048,
};

/* What comes with a receive: segment size, traffic class. */
union control {
    struct cmsghdr align;
    uint8_t bytes[2 * CMSG_SPACE(sizeof(int))];
};

struct inbound {
    struct worker *worker;
    const struct table *table;
    uint64_t delivered_at; /* nanoseconds: the end of the last batch */
    bool bulk;             /* it was of many bytes */
    bool several;          /* this one is of several receives */
    /* The last inner addresses that were admitted, and from whom: the next packet mostly has the same. */
    struct address source, destination;
    const struct peer *admitted;
    struct joiner joiner;
    struct mmsghdr message[MESSAGES];
    struct iovec iov[MESSAGES];
    struct endpoint sender[MESSAGES];
    union control control[MESSAGES];
    uint8_t bytes[MESSAGES][MESSAGE_MAX];
};

static bool is_gone(int error)
{
    return error == EBADFD || error == ENODEV;
}

static void count_received(void *owner, unsigned packets, size_t bytes)
{
    struct peer *peer = owner;

    atomic_fetch_add_explicit(&peer->received_packets, packets, memory_order_relaxed);
    atomic_fetch_add_explicit(&peer->received_bytes, bytes, memory_order_relaxed);
}

static int write_tun(struct inbound *inbound, const struct iovec *iov, unsigned count)
{
    int fd = inbound->worker->engine->tun_fd[inbound->worker->queue];

    while (writev(fd, iov, (int)count) < 0) {
        if (is_gone(errno))
            tun_is_gone(inbound->worker, errno);
        if (errno != EINTR)
            return errno;
    }
    return 0;
}

/* The packets of a run as they came. Returns how many the TUN took. */
static unsigned write_singly(struct inbound *inbound, const struct run *run)
{
    struct virtio_header header = {0};
    unsigned index, taken = 0;

    for (index = 0; index < run->count; index++) {
        const struct iovec iov[2] = {{&header, sizeof header}, run->packet[index]};
        int error = write_tun(inbound, iov, 2);

        if (error == 0) {
            taken++;
            count_received(run->owner, 1, run->packet[index].iov_len);
        } else {
            count_drops(inbound->worker->engine, IN_TUN_ERROR, 1);
            tun_refused(inbound->worker, error);
        }
    }
    return taken;
}

/* joiner.emit */
static void write_run(void *context, struct run *run)
{
    struct inbound *inbound = context;
    struct engine *engine = inbound->worker->engine;
    int error = write_tun(inbound, run->iov, run->iov_count);

    if (error == 0) {
        count_received(run->owner, run->count, run->bytes);
        return;
    }
    if (run->count == 1) {
        count_drops(engine, IN_TUN_ERROR, 1);
        tun_refused(inbound->worker, error);
    } else if (write_singly(inbound, run) > 0 && error != ENOBUFS && error != ENOMEM) {
        /* So it was the joining that the kernel refused, and not that memory is short. */
        offload_lose(engine, run->udp ? OFFLOAD_TUN_USO : OFFLOAD_TUN_TSO, "the device refuses joined packets", error);
        inbound->joiner.tcp = offload_is_on(engine, OFFLOAD_TUN_TSO);
        inbound->joiner.udp = offload_is_on(engine, OFFLOAD_TUN_USO);
    }
}

static bool same_address(struct address one, struct address other)
{
    return one.high == other.high && one.low == other.low && one.family == other.family;
}

/* Whether the packet is of the peer's and for this host; else the reason is counted. */
static bool is_admitted(struct inbound *inbound, const struct packet *packet, const struct peer *peer)
{
    struct engine *engine = inbound->worker->engine;
    const struct route *back;

    if (!engine->config.strict_source)
        return true;
    if (inbound->admitted == peer && same_address(inbound->source, packet->source) &&
        same_address(inbound->destination, packet->destination))
        return true;
    back = table_route(inbound->table, packet->source);
    if (back == NULL || back->peer != peer) {
        count_drops(engine, IN_WRONG_SOURCE, 1);
        return false;
    }
    if (!table_is_local(inbound->table, packet->destination)) {
        count_drops(engine, IN_WRONG_DESTINATION, 1);
        return false;
    }
    inbound->admitted = peer;
    inbound->source = packet->source;
    inbound->destination = packet->destination;
    return true;
}

static void deliver(struct inbound *inbound, uint8_t *bytes, size_t length, struct peer *peer, uint8_t outer_ecn)
{
    struct engine *engine = inbound->worker->engine;
    struct packet packet;
    enum packet_verdict verdict = packet_parse(bytes, length, &packet);

    if (verdict != PACKET_OK) {
        count_drops(engine, verdict == PACKET_TRUNCATED ? IN_TRUNCATED : IN_BAD_VERSION, 1);
    } else if (packet.length > engine->config.mtu) {
        count_drops(engine, IN_TOO_BIG, 1);
    } else if (is_admitted(inbound, &packet, peer)) {
        if (ecn_decapsulate(&packet, outer_ecn))
            join_add(&inbound->joiner, &packet, peer);
        else
            count_drops(engine, IN_CONGESTION, 1);
    }
}

struct ancillary {
    size_t segment; /* bytes of each datagram; 0: there is one */
    uint8_t ecn;
};

static struct ancillary read_control(struct msghdr *message)
{
    struct ancillary ancillary = {0};
    struct cmsghdr *header;

    for (header = CMSG_FIRSTHDR(message); header != NULL; header = CMSG_NXTHDR(message, header)) {
        int value = 0;

        /* IP_TOS comes as one byte, the others as an int; the machine is little-endian. */
        memcpy(&value, CMSG_DATA(header),
               header->cmsg_len - CMSG_LEN(0) < sizeof value ? header->cmsg_len - CMSG_LEN(0) : sizeof value);
        if (header->cmsg_level == IPPROTO_UDP && header->cmsg_type == UDP_GRO)
            ancillary.segment = (size_t)(value < 0 ? 0 : value);
        else if ((header->cmsg_level == IPPROTO_IP && header->cmsg_type == IP_TOS) ||
                 (header->cmsg_level == IPPROTO_IPV6 && header->cmsg_type == IPV6_TCLASS))
            ancillary.ecn = (uint8_t)value & ECN_MASK;
    }
    return ancillary;
}

/* One receive: a datagram, or many of one size, the last of which may be smaller. */
static void take(struct inbound *inbound, unsigned index)
{
    struct msghdr *message = &inbound->message[index].msg_hdr;
    size_t left = inbound->message[index].msg_len;
    uint8_t *bytes = inbound->bytes[index];
    struct ancillary ancillary = read_control(message);
    size_t segment = ancillary.segment == 0 ? left : ancillary.segment;
    struct peer *peer = table_sender(inbound->table, endpoint_address(&inbound->sender[index]));
    bool several;

    if (peer == NULL) {
        count_drops(inbound->worker->engine, IN_UNKNOWN_PEER, left == 0 ? 1 : (left + segment - 1) / segment);
        return;
    }
    /* One alone is joined with nothing: its checksum need not be looked at. */
    several = inbound->several || left > segment;
    inbound->joiner.tcp = several && offload_is_on(inbound->worker->engine, OFFLOAD_TUN_TSO);
    inbound->joiner.udp = several && offload_is_on(inbound->worker->engine, OFFLOAD_TUN_USO);
    do {
        size_t length = left < segment ? left : segment;

        deliver(inbound, bytes, length, peer, ancillary.ecn);
        bytes += length;
        left -= length;
    } while (left > 0);
}

static void prepare(struct inbound *inbound, unsigned count)
{
    unsigned index;

    for (index = 0; index < count; index++) {
        inbound->iov[index] = (struct iovec){inbound->bytes[index], MESSAGE_MAX};
        inbound->message[index].msg_hdr = (struct msghdr){
            .msg_name = &inbound->sender[index].socket,
            .msg_namelen = sizeof inbound->sender[index].socket,
            .msg_iov = &inbound->iov[index],
            .msg_iovlen = 1,
            .msg_control = inbound->control[index].bytes,
            .msg_controllen = sizeof inbound->control[index].bytes,
        };
    }
}

void inbound_batch(struct inbound *inbound)
{
    struct engine *engine = inbound->worker->engine;
    /* As in outbound.c: a small one that comes after a pause is not kept waiting while others are looked for. */
    bool stream = inbound->bulk || now_ns() - inbound->delivered_at < STREAM_GAP;
    unsigned most = stream && offload_is_on(engine, OFFLOAD_BATCH) ? MESSAGES : 1;
    int fd = engine->udp_fd[inbound->worker->queue], index;
    int received = recvmmsg(fd, inbound->message, most, MSG_DONTWAIT, NULL);

    if (received <= 0)
        return; /* there was an error for a send (EHOSTUNREACH and the like), which tells of it */
    inbound->several = received > 1;
    inbound->table = worker_enter(inbound->worker);
    inbound->admitted = NULL;
    for (index = 0; index < received; index++)
        take(inbound, (unsigned)index);
    join_flush(&inbound->joiner);
    worker_leave(inbound->worker);
    prepare(inbound, (unsigned)received); /* those that were used */
    inbound->bulk = inbound->message[0].msg_len > BULK;
    inbound->delivered_at = now_ns();
}

struct inbound *inbound_new(struct worker *worker)
{
    struct inbound *inbound = calloc(1, sizeof *inbound);

    if (inbound == NULL)
        return NULL;
    inbound->worker = worker;
    inbound->joiner.emit = write_run;
    inbound->joiner.context = inbound;
    prepare(inbound, MESSAGES);
    return inbound;
}
