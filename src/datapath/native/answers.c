#include "answers.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/uio.h>

#include "clock.h"
#include "segment.h"
#include "tun-queue.h"
#include "worker.h"

static bool may_send_icmp(struct forwarder *forwarder)
{
    bool may;
    uint64_t now = now_ms();

    pthread_mutex_lock(&forwarder->rare);
    forwarder->icmp_tokens += (double)(now - forwarder->icmp_filled_at) * ICMP_PER_SECOND / 1000;
    if (forwarder->icmp_tokens > ICMP_PER_SECOND)
        forwarder->icmp_tokens = ICMP_PER_SECOND;
    forwarder->icmp_filled_at = now;
    may = forwarder->icmp_tokens >= 1;
    if (may)
        forwarder->icmp_tokens--;
    pthread_mutex_unlock(&forwarder->rare);
    return may;
}

/* Tells the sender of a packet what became of it. */
static void answer(struct worker *worker, enum icmp_error error, const struct packet *packet, size_t mtu)
{
    struct engine *engine = worker->engine;
    const struct engine_config *config = &engine->config;
    struct virtio_header header = {0};
    uint8_t bytes[ICMP_PACKET_MAX];
    struct iovec iov[2] = {{&header, sizeof header}, {bytes, 0}};
    unsigned index;

    for (index = 0; index < config->icmp_source_count; index++)
        if (config->icmp_source[index].family == packet_family(packet))
            break;
    if (index == config->icmp_source_count)
        return;
    iov[1].iov_len = icmp_answer(bytes, error, packet, &config->icmp_source[index], (uint32_t)mtu);
    if (iov[1].iov_len > 0 && may_send_icmp(engine->forwarder) &&
        writev(engine->tun_fd[worker->queue], iov, 2) < 0)
        tun_refused(worker, errno);
}

void answer_datagram(struct worker *worker, enum icmp_error error, const struct datagram *datagram, size_t mtu)
{
    uint8_t bytes[SEGMENT_HEADER_MAX + ICMP_PACKET_MAX];
    struct packet packet;
    size_t used = 0;
    unsigned part;

    for (part = 0; part < datagram->parts; part++) {
        size_t length = datagram->part[part].iov_len;

        if (length > sizeof bytes - used)
            length = sizeof bytes - used;
        memcpy(bytes + used, datagram->part[part].iov_base, length);
        used += length;
    }
    packet = (struct packet){.bytes = bytes, .length = used};
    /* Its own header tells of more bytes than are quoted: only the addresses are taken from it. */
    packet.source = (bytes[0] >> 4) == 4 ? address_v4(bytes + IPV4_SOURCE) : address_v6(bytes + IPV6_SOURCE);
    packet.destination =
        (bytes[0] >> 4) == 4 ? address_v4(bytes + IPV4_DESTINATION) : address_v6(bytes + IPV6_DESTINATION);
    answer(worker, error, &packet, mtu);
}
