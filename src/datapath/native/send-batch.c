#include "send-batch.h"

#include <errno.h>
#include <netinet/in.h>
#include <string.h>

#include "udp-socket.h"

/* Of one send: its segment size, and its traffic class. */
union control {
    struct cmsghdr align;
    uint8_t bytes[CMSG_SPACE(sizeof(uint16_t)) + CMSG_SPACE(sizeof(int))];
};

unsigned send_batch_share(size_t size, unsigned count)
{
    size_t fitting = SEND_BYTES_MAX / size;
    unsigned most = fitting < 1 ? 1 : fitting < SEGMENTS_MAX ? (unsigned)fitting : SEGMENTS_MAX;
    unsigned sends = (count + most - 1) / most;

    return (count + sends - 1) / sends;
}

static bool same_endpoint(const struct send_group *group, const struct peer *peer, const struct endpoint *to)
{
    /* The port is at the same place for both families. */
    return group->peer == peer &&
           (group->to == to || group->to->socket.v4.sin_port == to->socket.v4.sin_port);
}

static bool fits(const struct send_group *group, uint8_t ecn, const struct datagram *datagram)
{
    return !group->closed && group->ecn == ecn && datagram->length <= group->size && group->count < group->limit &&
           group->bytes + datagram->length <= SEND_BYTES_MAX;
}

/* The newest group of the endpoint, if it takes the datagram: an older one would bring it before others. */
static struct send_group *find(struct send_batch *batch, const struct endpoint *to, const struct peer *peer, uint8_t ecn,
                               const struct datagram *datagram)
{
    unsigned index;

    for (index = batch->count; index-- > 0;)
        if (same_endpoint(&batch->group[index], peer, to))
            return fits(&batch->group[index], ecn, datagram) ? &batch->group[index] : NULL;
    return NULL;
}

void send_batch_add(struct send_batch *batch, const struct endpoint *to, struct peer *peer, uint8_t ecn,
                    const struct datagram *datagram, unsigned limit)
{
    struct send_group *group = limit > 1 ? find(batch, to, peer, ecn, datagram) : NULL;
    unsigned part;

    if (group == NULL) {
        if (batch->count == GROUPS_MAX)
            send_batch_flush(batch);
        group = &batch->group[batch->count++];
        group->to = to;
        group->peer = peer;
        group->ecn = ecn;
        group->closed = false;
        group->limit = limit < SEGMENTS_MAX ? limit : SEGMENTS_MAX;
        group->count = 0;
        group->size = datagram->length;
        group->bytes = 0;
        group->iov_count = 0;
    }
    for (part = 0; part < datagram->parts; part++)
        group->iov[group->iov_count++] = datagram->part[part];
    group->parts[group->count++] = (uint8_t)datagram->parts;
    group->bytes += datagram->length;
    group->closed = datagram->length < group->size;
}

static void add_control(struct msghdr *message, int level, int type, const void *value, size_t size)
{
    struct cmsghdr *header = (struct cmsghdr *)((uint8_t *)message->msg_control + message->msg_controllen);

    header->cmsg_level = level;
    header->cmsg_type = type;
    header->cmsg_len = CMSG_LEN(size);
    memcpy(CMSG_DATA(header), value, size);
    message->msg_controllen += CMSG_SPACE(size);
}

/* @param segment bytes of each datagram, 0: there is one */
static void fill(struct msghdr *message, const struct send_group *group, struct iovec *iov, size_t iov_count,
                 uint16_t segment, union control *control)
{
    bool v4 = group->to->socket.any.sa_family == AF_INET;

    *message = (struct msghdr){
        .msg_name = (void *)(uintptr_t)&group->to->socket,
        .msg_namelen = group->to->length,
        .msg_iov = iov,
        .msg_iovlen = iov_count,
        .msg_control = control->bytes,
    };
    if (segment != 0)
        add_control(message, IPPROTO_UDP, UDP_SEGMENT, &segment, sizeof segment);
    if (group->ecn != 0) {
        int traffic_class = group->ecn;

        add_control(message, v4 ? IPPROTO_IP : IPPROTO_IPV6, v4 ? IP_TOS : IPV6_TCLASS, &traffic_class,
                    sizeof traffic_class);
    }
    if (message->msg_controllen == 0)
        message->msg_control = NULL;
}

static void count_sent(struct peer *peer, unsigned packets, size_t bytes)
{
    atomic_fetch_add_explicit(&peer->sent_packets, packets, memory_order_relaxed);
    atomic_fetch_add_explicit(&peer->sent_bytes, bytes, memory_order_relaxed);
}

static int send_one(int fd, const struct msghdr *message)
{
    while (sendmsg(fd, message, MSG_DONTWAIT) < 0)
        if (errno != EINTR)
            return errno;
    return 0;
}

static struct datagram datagram_of(const struct iovec *iov, unsigned parts)
{
    struct datagram datagram = {.part = {iov[0]}, .parts = parts, .length = iov[0].iov_len};

    if (parts == 2) {
        datagram.part[1] = iov[1];
        datagram.length += iov[1].iov_len;
    }
    return datagram;
}

/* Each datagram by itself. Returns how many were sent. */
static unsigned send_singly(struct send_batch *batch, struct send_group *group)
{
    struct iovec *iov = group->iov;
    unsigned index, sent = 0;

    for (index = 0; index < group->count; iov += group->parts[index++]) {
        struct datagram datagram = datagram_of(iov, group->parts[index]);
        union control control;
        struct msghdr message;
        int error;

        fill(&message, group, iov, group->parts[index], 0, &control);
        error = send_one(batch->fd, &message);
        if (error == 0) {
            sent++;
            count_sent(group->peer, 1, datagram.length);
        } else {
            batch->failed(batch->context, group, &datagram, error);
        }
    }
    return sent;
}

static void fail_all(struct send_batch *batch, const struct send_group *group, int error)
{
    const struct iovec *iov = group->iov;
    unsigned index;

    for (index = 0; index < group->count; iov += group->parts[index++]) {
        struct datagram datagram = datagram_of(iov, group->parts[index]);

        batch->failed(batch->context, group, &datagram, error);
    }
}

/* EINVAL: the segments are larger than the path MTU, or the device is at fault; EMSGSIZE: the same, by newer kernels; EIO:
 * the device cannot do checksums, or the route has a transformation (IPsec). */
static void recover(struct send_batch *batch, struct send_group *group, int error)
{
    bool segmented = group->count > 1;

    if (segmented && (error == EINVAL || error == EMSGSIZE || error == EIO || error == EOPNOTSUPP)) {
        if (send_singly(batch, group) == group->count)
            batch->segments_refused(batch->context, group, error);
    } else {
        fail_all(batch, group, error);
    }
}

void send_batch_flush(struct send_batch *batch)
{
    struct mmsghdr message[GROUPS_MAX];
    union control control[GROUPS_MAX];
    unsigned index, done = 0;

    for (index = 0; index < batch->count; index++) {
        struct send_group *group = &batch->group[index];

        fill(&message[index].msg_hdr, group, group->iov, group->iov_count,
             group->count > 1 ? (uint16_t)group->size : 0, &control[index]);
    }
    while (done < batch->count) {
        int sent = batch->count - done == 1 ? (send_one(batch->fd, &message[done].msg_hdr) == 0 ? 1 : -1)
                                            : sendmmsg(batch->fd, message + done, batch->count - done, MSG_DONTWAIT);

        if (sent < 0) {
            if (errno == EINTR)
                continue;
            recover(batch, &batch->group[done++], errno);
            continue;
        }
        for (; sent > 0; sent--, done++)
            count_sent(batch->group[done].peer, batch->group[done].count, batch->group[done].bytes);
    }
    batch->count = 0;
}
