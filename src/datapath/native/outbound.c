#include "outbound.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "answers.h"
#include "clock.h"
#include "ecn.h"
#include "fragment.h"
#include "log.h"
#include "offload.h"
#include "packet.h"
#include "path-mtu.h"
#include "segment.h"
#include "send-batch.h"
#include "tun-queue.h"
#include "worker.h"

enum {
    /* A batch is sent when it has so many bytes or packets, or nothing more is there to read. More bytes would leave the
     * second-level cache between the read and the send. */
    BATCH_BYTES = 64 * 1024,
    BATCH_PACKETS = 128,
    READ_MAX = (int)sizeof(struct virtio_header) + PACKET_MAX,
    HEADERS_BYTES = 64 * 1024,
    /* Milliseconds that segmented sends to a peer are not tried for, after its path refused one. */
    NO_SEGMENT_FOR = 60 * 1000,
    /* Small packets of a stream (fewer bytes than STREAM_BYTES together) are given so many nanoseconds to become more, for a
     * send costs about the same for one and for sixty. */
    STREAM_PAUSE = 20 * 1000,
    STREAM_BYTES = 16 * 1024,
};

struct outbound {
    struct worker *worker;
    const struct table *table;
    bool segment, batching;
    uint64_t sent_at; /* nanoseconds: the end of the last batch */
    struct send_batch batch;
    size_t headers_used;
    uint8_t headers[HEADERS_BYTES];
    uint8_t whole[SEGMENT_HEADER_MAX + PACKET_MAX]; /* a segment in one piece */
    uint8_t packets[BATCH_BYTES + READ_MAX];
};

/* send_batch.failed */
static void failed(void *context, const struct send_group *group, const struct datagram *datagram, int error)
{
    struct outbound *outbound = context;
    struct engine *engine = outbound->worker->engine;
    char text[ADDRESS_TEXT];

    if (error == EMSGSIZE) {
        size_t mtu = path_mtu_shrank(engine, group->peer, group->to);

        count_drops(engine, OUT_PATH_MTU, 1);
        /* One that may be cut will be, from the next one on. */
        if (!may_be_fragmented(datagram->part[0].iov_base)) {
            mtu = told_mtu(datagram->part[0].iov_base, mtu);
            if (mtu < datagram->length)
                answer_datagram(outbound->worker, ICMP_TOO_BIG, datagram, mtu);
        }
        return;
    }
    count_drops(engine, OUT_SEND_ERROR, 1);
    if (is_first(&group->peer->said, error))
        log_line("cannot send to %s: %s%s; counted as out-send-error (said once)",
                 address_text(&group->peer->address, text), strerrorname_np(error),
                 error == EAGAIN || error == ENOBUFS ? ", the network takes less than this host sends" : "");
}

/* send_batch.segments_refused */
static void segments_refused(void *context, const struct send_group *group, int error)
{
    struct peer *peer = group->peer;
    char text[ADDRESS_TEXT];

    (void)context;
    atomic_store(&peer->no_segment_until, now_ms() + NO_SEGMENT_FOR);
    atomic_store(&peer->segment_error, error);
    if (atomic_exchange(&peer->segment_error_said, error) != error)
        log_line("the path to %s refuses segmented sends (%s): its datagrams leave one by one",
                 address_text(&peer->address, text), strerrorname_np(error));
}

static unsigned segments_limit(const struct outbound *outbound, struct peer *peer)
{
    if (!outbound->segment)
        return 1;
    if (atomic_load_explicit(&peer->segment_error, memory_order_relaxed) == 0)
        return SEGMENTS_MAX;
    if (now_ms() < atomic_load(&peer->no_segment_until))
        return 1;
    atomic_store(&peer->segment_error, 0);
    return SEGMENTS_MAX;
}

static uint8_t outer_ecn(const struct outbound *outbound, const struct packet *packet)
{
    return outbound->worker->engine->config.ecn ? ecn_of(packet->bytes) : ECN_NOT_ECT;
}

/* Headers stay until the flush. */
static uint8_t *take_headers(struct outbound *outbound, size_t length)
{
    uint8_t *headers;

    if (outbound->headers_used + length > sizeof outbound->headers) {
        send_batch_flush(&outbound->batch);
        outbound->headers_used = 0;
    }
    headers = outbound->headers + outbound->headers_used;
    outbound->headers_used += length;
    return headers;
}

/* A packet that the path does not take, and that may be cut: RFC 791 has the router do it. */
static void send_fragments(struct outbound *outbound, const struct packet *packet, const struct route *route, size_t mtu)
{
    struct fragmenter fragmenter;

    if (fragment_begin(&fragmenter, packet, mtu) < 0) {
        count_drops(outbound->worker->engine, OUT_PATH_MTU, 1);
        return;
    }
    while (fragment_is_left(&fragmenter)) {
        uint8_t *header = take_headers(outbound, FRAGMENT_HEADER_MAX);
        const uint8_t *payload;
        size_t header_length;
        size_t length = fragment_next(&fragmenter, header, &header_length, &payload);
        struct datagram datagram = {
            .part = {{header, header_length}, {(void *)(uintptr_t)payload, length}},
            .parts = 2,
            .length = header_length + length,
        };

        send_batch_add(&outbound->batch, &route->to, route->peer, outer_ecn(outbound, packet), &datagram,
                       segments_limit(outbound, route->peer));
    }
}

/* Multicast of link-local scope (RFC 4291 2.7, RFC 5771 4): with IPv6 on the device the kernel tells it which groups it has
 * joined (MLD), and a container's packet of this kind never leaves its bridge. Nobody misses it: it is no drop. */
static bool is_for_link_only(const uint8_t *packet)
{
    const uint8_t *v4 = packet + IPV4_DESTINATION, *v6 = packet + IPV6_DESTINATION;

    return (packet[0] >> 4) == 6 ? v6[0] == 0xff && (v6[1] & 0x0f) <= 2 : v4[0] == 224 && v4[1] == 0 && v4[2] == 0;
}

/* What is to be cut where the path takes less: the packet, to so many bytes, or the datagram, by the kernel. */
struct cut {
    size_t inside; /* 0: it is not */
    bool outside;
};

/* Where a packet goes. It is `count` packets of the wire, the largest of `length`; the sender is told about the `first` of
 * them. */
static const struct route *route_of(struct outbound *outbound, const struct packet *packet, size_t length, unsigned count,
                                    const struct datagram *first, struct cut *cut)
{
    struct engine *engine = outbound->worker->engine;
    const struct route *route;
    enum drop_reason reason;
    enum icmp_error error = ICMP_TOO_BIG;
    size_t mtu = engine->config.mtu;

    if (length > mtu) {
        reason = OUT_TOO_BIG;
    } else {
        route = table_route(outbound->table, packet->destination);
        if (route == NULL) {
            if (is_for_link_only(packet->bytes))
                return NULL;
            reason = OUT_NO_ROUTE;
            error = ICMP_NO_ROUTE;
        } else {
            mtu = path_mtu(engine, route->peer, &route->to, length);
            if (length <= mtu)
                return route;
            if (may_be_fragmented(packet->bytes)) {
                cut->inside = mtu;
                return route;
            }
            mtu = told_mtu(packet->bytes, mtu);
            if (length <= mtu) {
                cut->outside = true;
                return route;
            }
            reason = OUT_PATH_MTU;
        }
    }
    count_drops(engine, reason, count);
    answer_datagram(outbound->worker, error, first, mtu);
    return NULL;
}

/* By the socket whose datagrams the kernel may cut into fragments: see path-mtu.h. It has another source port, which
 * nobody looks at. */
static void send_cut_outside(struct outbound *outbound, const struct packet *packet, const struct route *route,
                             const struct datagram *datagram)
{
    struct engine *engine = outbound->worker->engine;

    send_batch_flush(&outbound->batch);
    outbound->batch.fd = engine->path_fd;
    send_batch_add(&outbound->batch, &route->to, route->peer, outer_ecn(outbound, packet), datagram, 1);
    send_batch_flush(&outbound->batch);
    outbound->batch.fd = engine->udp_fd[outbound->worker->queue];
}

static void send_packet(struct outbound *outbound, const struct packet *packet)
{
    struct datagram datagram = {.part = {{packet->bytes, packet->length}}, .parts = 1, .length = packet->length};
    struct cut cut = {0};
    const struct route *route = route_of(outbound, packet, packet->length, 1, &datagram, &cut);

    if (route == NULL)
        return;
    if (cut.inside > 0)
        send_fragments(outbound, packet, route, cut.inside);
    else if (cut.outside)
        send_cut_outside(outbound, packet, route, &datagram);
    else
        send_batch_add(&outbound->batch, &route->to, route->peer, outer_ecn(outbound, packet), &datagram,
                       segments_limit(outbound, route->peer));
}

static struct datagram next_segment(struct segmenter *segmenter, uint8_t *headers)
{
    const uint8_t *payload;
    size_t length = segment_next(segmenter, headers, &payload);

    return (struct datagram){
        .part = {{headers, segmenter->header_length}, {(void *)(uintptr_t)payload, length}},
        .parts = 2,
        .length = segmenter->header_length + length,
    };
}

/* Segments that are cut further. Rare: a sender of TCP that forbids no fragmentation, on a path that takes less. */
static void send_segments_in_fragments(struct outbound *outbound, struct segmenter *segmenter, const struct route *route,
                                       size_t mtu)
{
    while (segmenter->index < segmenter->count) {
        struct datagram segment = next_segment(segmenter, outbound->whole);
        struct packet packet;

        memcpy(outbound->whole + segment.part[0].iov_len, segment.part[1].iov_base, segment.part[1].iov_len);
        if (packet_parse(outbound->whole, segment.length, &packet) == PACKET_OK)
            send_fragments(outbound, &packet, route, mtu);
        send_batch_flush(&outbound->batch); /* the next one is made in the same place */
        outbound->headers_used = 0;
    }
}

static void send_super_packet(struct outbound *outbound, const struct virtio_header *header, const struct packet *packet)
{
    uint8_t scratch[SEGMENT_HEADER_MAX];
    struct segmenter segmenter, trial;
    struct datagram first;
    const struct route *route;
    struct cut cut = {0};
    unsigned limit;

    if (segment_begin(&segmenter, header, packet) < 0) {
        count_drops(outbound->worker->engine, OUT_TRUNCATED, 1);
        return;
    }
    trial = segmenter;
    first = next_segment(&trial, scratch);
    route = route_of(outbound, packet, segment_largest(&segmenter), segmenter.count, &first, &cut);
    if (route == NULL)
        return;
    if (cut.inside > 0) {
        send_segments_in_fragments(outbound, &segmenter, route, cut.inside);
        return;
    }
    while (cut.outside && segmenter.index < segmenter.count) {
        struct datagram datagram = next_segment(&segmenter, scratch);

        send_cut_outside(outbound, packet, route, &datagram);
    }
    limit = segments_limit(outbound, route->peer);
    if (limit > 1)
        limit = send_batch_share(segment_largest(&segmenter), segmenter.count);
    while (segmenter.index < segmenter.count) {
        struct datagram datagram = next_segment(&segmenter, take_headers(outbound, segmenter.header_length));

        send_batch_add(&outbound->batch, &route->to, route->peer, outer_ecn(outbound, packet), &datagram, limit);
    }
}

static void forward(struct outbound *outbound, uint8_t *bytes, size_t length)
{
    struct virtio_header header;
    struct packet packet;
    enum packet_verdict verdict;

    if (length < sizeof header)
        return; /* the kernel writes no such thing */
    memcpy(&header, bytes, sizeof header);
    verdict = packet_parse(bytes + sizeof header, length - sizeof header, &packet);
    if (verdict != PACKET_OK) {
        count_drops(outbound->worker->engine, verdict == PACKET_TRUNCATED ? OUT_TRUNCATED : OUT_BAD_VERSION, 1);
        return;
    }
    if (is_super_packet(&header))
        send_super_packet(outbound, &header, &packet);
    else if (segment_finish_checksum(&header, &packet) == 0)
        send_packet(outbound, &packet);
    else
        count_drops(outbound->worker->engine, OUT_TRUNCATED, 1);
}

static bool is_transient(int error)
{
    return error == EINTR || error == ENOBUFS || error == ENOMEM;
}

static void wait_for_more(void)
{
    const struct timespec pause = {.tv_nsec = STREAM_PAUSE};

    nanosleep(&pause, NULL);
}

/* Reads a packet to `at`. Returns its length, 0 when there is none. */
static size_t read_packet(struct worker *worker, uint8_t *at)
{
    ssize_t length;

    do
        length = read(worker->engine->tun_fd[worker->queue], at, READ_MAX);
    while (length < 0 && is_transient(errno));
    if (length < 0 && errno == EAGAIN)
        return 0;
    if (length <= 0)
        tun_is_gone(worker, length < 0 ? errno : ENODEV);
    return (size_t)length;
}

void outbound_batch(struct outbound *outbound)
{
    size_t length = read_packet(outbound->worker, outbound->packets), used = 0;
    unsigned packets = 0;
    bool stream, waited = false;

    if (length == 0)
        return;
    /* One that comes after a pause may have an answer waited for: it goes at once, without a look at what else there is. */
    stream = outbound->batching && now_ns() - outbound->sent_at < STREAM_GAP;
    outbound->headers_used = 0;
    outbound->table = worker_enter(outbound->worker);
    for (;;) {
        forward(outbound, outbound->packets + used, length);
        used += (length + 63) & ~(size_t)63; /* each packet begins a cache line */
        if (!stream || used >= BATCH_BYTES || ++packets == BATCH_PACKETS)
            break;
        length = read_packet(outbound->worker, outbound->packets + used);
        if (length == 0 && !waited && used < STREAM_BYTES) {
            wait_for_more();
            waited = true;
            length = read_packet(outbound->worker, outbound->packets + used);
        }
        if (length == 0)
            break;
    }
    send_batch_flush(&outbound->batch);
    worker_leave(outbound->worker);
    outbound->sent_at = now_ns();
}

struct outbound *outbound_new(struct worker *worker)
{
    struct outbound *outbound = calloc(1, sizeof *outbound);

    if (outbound == NULL)
        return NULL;
    outbound->worker = worker;
    outbound->segment = offload_is_on(worker->engine, OFFLOAD_UDP_SEGMENT);
    outbound->batching = offload_is_on(worker->engine, OFFLOAD_BATCH);
    outbound->batch.fd = worker->engine->udp_fd[worker->queue];
    outbound->batch.failed = failed;
    outbound->batch.segments_refused = segments_refused;
    outbound->batch.context = outbound;
    return outbound;
}
