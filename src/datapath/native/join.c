#include "join.h"

#include <string.h>

#include "checksum.h"

enum kind {
    ALONE,   /* no TCP or UDP: it concerns no run */
    UNKNOWN, /* it may belong to any flow */
    OF_FLOW, /* its addresses and ports can be told, but it cannot be joined */
    JOINABLE,
};

/* The other form of zero: right, and nobody writes it. What is written anew would be the usual one. */
static const uint16_t NEGATIVE_ZERO = 0xffff;

/* A packet as far as joining looks at it. */
struct candidate {
    const struct packet *packet;
    void *owner;
    enum kind kind;
    bool udp;
    size_t ip_length, header_length, payload;
};

static bool is_v4(const uint8_t *bytes)
{
    return (bytes[0] >> 4) == 4;
}

static uint64_t pseudo_sum(const uint8_t *bytes, uint8_t protocol, size_t transport_length)
{
    uint64_t sum = is_v4(bytes) ? checksum_add(0, bytes + IPV4_SOURCE, 8) : checksum_add(0, bytes + IPV6_SOURCE, 32);

    return sum + __builtin_bswap16((uint16_t)transport_length) + __builtin_bswap16(protocol);
}

static bool transport_checksum_is_right(const uint8_t *bytes, size_t ip_length, size_t length, uint8_t protocol)
{
    uint64_t sum = pseudo_sum(bytes, protocol, length - ip_length);

    return checksum_fold(checksum_add(sum, bytes + ip_length, length - ip_length)) == 0xffff;
}

/* Fills in ip_length and udp. Returns ALONE, UNKNOWN, or OF_FLOW for TCP and UDP. */
static enum kind classify_ip(const uint8_t *bytes, struct candidate *candidate)
{
    uint8_t protocol;

    if (is_v4(bytes)) {
        if (bytes[0] != 0x45 || (read16(bytes + IPV4_FRAGMENT) & (IPV4_MORE_FRAGMENTS | IPV4_FRAGMENT_OFFSET)) != 0)
            return UNKNOWN;
        candidate->ip_length = IPV4_HEADER;
        protocol = bytes[IPV4_PROTOCOL];
        if (protocol != PROTOCOL_TCP && protocol != PROTOCOL_UDP)
            return ALONE;
    } else {
        candidate->ip_length = IPV6_HEADER;
        protocol = bytes[IPV6_NEXT];
        if (protocol == PROTOCOL_ICMPV6)
            return ALONE;
        if (protocol != PROTOCOL_TCP && protocol != PROTOCOL_UDP)
            return UNKNOWN;
    }
    candidate->udp = protocol == PROTOCOL_UDP;
    return OF_FLOW;
}

static bool is_joinable_tcp(const uint8_t *bytes, size_t length, struct candidate *candidate)
{
    const uint8_t *tcp = bytes + candidate->ip_length;
    size_t header;

    if (length < candidate->ip_length + TCP_HEADER)
        return false;
    header = (size_t)(tcp[TCP_OFFSET] >> 4) * 4;
    if (header < TCP_HEADER || candidate->ip_length + header >= length)
        return false;
    candidate->header_length = candidate->ip_length + header;
    candidate->payload = length - candidate->header_length;
    return (tcp[TCP_OFFSET] & 0x0f) == 0 && (tcp[TCP_FLAGS] & ~TCP_PSH) == TCP_ACK &&
           read_word(tcp + TCP_URGENT) == 0 && read_word(tcp + TCP_CHECKSUM) != NEGATIVE_ZERO &&
           transport_checksum_is_right(bytes, candidate->ip_length, length, PROTOCOL_TCP);
}

static bool is_joinable_udp(const uint8_t *bytes, size_t length, struct candidate *candidate)
{
    const uint8_t *udp = bytes + candidate->ip_length;

    candidate->header_length = candidate->ip_length + UDP_HEADER;
    if (length <= candidate->header_length)
        return false;
    candidate->payload = length - candidate->header_length;
    /* Without a checksum it has to stay so; joined it would get one. */
    return read16(udp + UDP_LENGTH) == length - candidate->ip_length && read_word(udp + UDP_CHECKSUM) != 0 &&
           transport_checksum_is_right(bytes, candidate->ip_length, length, PROTOCOL_UDP);
}

static struct candidate classify(const struct joiner *joiner, const struct packet *packet, void *owner)
{
    struct candidate candidate = {.packet = packet, .owner = owner};
    const uint8_t *bytes = packet->bytes;
    bool joinable;

    candidate.kind = classify_ip(bytes, &candidate);
    if (candidate.kind != OF_FLOW)
        return candidate;
    if (packet->length < candidate.ip_length + 4) { /* no ports */
        candidate.kind = ALONE;
        return candidate;
    }
    if (candidate.udp ? !joiner->udp : !joiner->tcp)
        return candidate;
    if (is_v4(bytes) && (checksum_fold(checksum_add(0, bytes, IPV4_HEADER)) != 0xffff ||
                         read_word(bytes + IPV4_CHECKSUM) == NEGATIVE_ZERO))
        return candidate;
    joinable = candidate.udp ? is_joinable_udp(bytes, packet->length, &candidate)
                             : is_joinable_tcp(bytes, packet->length, &candidate);
    if (joinable)
        candidate.kind = JOINABLE;
    return candidate;
}

/* Addresses, protocol and ports. */
static bool is_of_flow(const struct run *run, const struct candidate *candidate)
{
    const uint8_t *one = run->packet[0].iov_base, *other = candidate->packet->bytes;

    if (run->udp != candidate->udp || is_v4(one) != is_v4(other) ||
        memcmp(one + run->ip_length, other + candidate->ip_length, 4) != 0)
        return false;
    return is_v4(one) ? memcmp(one + IPV4_SOURCE, other + IPV4_SOURCE, 8) == 0
                      : memcmp(one + IPV6_SOURCE, other + IPV6_SOURCE, 32) == 0;
}

static bool ip_headers_agree(const struct run *run, const uint8_t *one, const uint8_t *other)
{
    uint16_t id;

    if (!is_v4(one)) /* version, traffic class, flow label; hop limit */
        return memcmp(one, other, 4) == 0 && one[IPV6_HOPS] == other[IPV6_HOPS];
    if (one[IPV4_TOS] != other[IPV4_TOS] || one[IPV4_TTL] != other[IPV4_TTL] ||
        read_word(one + IPV4_FRAGMENT) != read_word(other + IPV4_FRAGMENT))
        return false;
    id = read16(other + IPV4_ID);
    return id == (uint16_t)(run->last_id + 1) ||
           (id == run->last_id && (read16(other + IPV4_FRAGMENT) & IPV4_DONT_FRAGMENT) != 0);
}

static bool tcp_headers_agree(const struct run *run, const uint8_t *one, const uint8_t *other, size_t length)
{
    return read32(other + TCP_SEQUENCE) == run->next_sequence &&
           memcmp(one + TCP_ACKNOWLEDGMENT, other + TCP_ACKNOWLEDGMENT, 5) == 0 && /* and the data offset */
           read_word(one + TCP_WINDOW) == read_word(other + TCP_WINDOW) &&
           memcmp(one + TCP_HEADER, other + TCP_HEADER, length - TCP_HEADER) == 0;
}

static bool continues(const struct run *run, const struct candidate *candidate)
{
    const uint8_t *one = run->packet[0].iov_base, *other = candidate->packet->bytes;

    return run->owner == candidate->owner && run->count < JOIN_SEGMENTS_MAX && candidate->payload <= run->size &&
           run->header_length == candidate->header_length &&
           run->header_length + run->payload_total + candidate->payload <= PACKET_MAX &&
           ip_headers_agree(run, one, other) &&
           (run->udp || tcp_headers_agree(run, one + run->ip_length, other + run->ip_length,
                                          run->header_length - run->ip_length));
}

/* The headers of the whole, whose length and checksum cover all payloads. */
static void write_headers(struct run *run)
{
    uint8_t *header = run->header, *transport = header + run->ip_length;
    size_t total = run->header_length + run->payload_total;
    uint8_t protocol = run->udp ? PROTOCOL_UDP : PROTOCOL_TCP;
    uint16_t checksum;

    memcpy(header, run->packet[0].iov_base, run->header_length);
    if (is_v4(header)) {
        write16(header + IPV4_LENGTH, (uint16_t)total);
        write_word(header + IPV4_CHECKSUM, 0);
        write_word(header + IPV4_CHECKSUM, (uint16_t)~checksum_fold(checksum_add(0, header, IPV4_HEADER)));
    } else {
        write16(header + IPV6_LENGTH, (uint16_t)(total - IPV6_HEADER));
    }
    checksum = checksum_fold(pseudo_sum(header, protocol, total - run->ip_length));
    if (run->udp) {
        write16(transport + UDP_LENGTH, (uint16_t)(total - run->ip_length));
        write_word(transport + UDP_CHECKSUM, checksum);
    } else {
        write_word(transport + TCP_CHECKSUM, checksum);
        if (run->pushed)
            transport[TCP_FLAGS] |= TCP_PSH;
    }
}

static void emit(struct joiner *joiner, struct run *run)
{
    run->virtio = (struct virtio_header){0};
    run->iov[0] = (struct iovec){&run->virtio, sizeof run->virtio};
    if (run->count == 1) {
        run->iov[1] = run->packet[0];
        run->iov_count = 2;
    } else {
        write_headers(run);
        run->iov[1] = (struct iovec){run->header, run->header_length};
        run->virtio.flags = VIRTIO_NEEDS_CHECKSUM;
        run->virtio.gso_type = run->udp            ? VIRTIO_GSO_UDP_L4
                               : is_v4(run->header) ? VIRTIO_GSO_TCPV4
                                                    : VIRTIO_GSO_TCPV6;
        run->virtio.header_length = (uint16_t)run->header_length;
        run->virtio.gso_size = (uint16_t)run->size;
        run->virtio.checksum_start = (uint16_t)run->ip_length;
        run->virtio.checksum_offset = run->udp ? UDP_CHECKSUM : TCP_CHECKSUM;
        run->iov_count = 2 + run->count;
    }
    joiner->emit(joiner->context, run);
}

static void close_run(struct joiner *joiner, unsigned index)
{
    struct run *run = joiner->open[index];

    joiner->open_count--;
    memmove(&joiner->open[index], &joiner->open[index + 1], (joiner->open_count - index) * sizeof joiner->open[0]);
    emit(joiner, run);
    run->open = false;
}

static void append(struct run *run, const struct candidate *candidate)
{
    const struct packet *packet = candidate->packet;

    run->packet[run->count] = (struct iovec){packet->bytes, packet->length};
    run->iov[2 + run->count] = (struct iovec){packet->bytes + candidate->header_length, candidate->payload};
    run->count++;
    run->bytes += packet->length;
    run->payload_total += candidate->payload;
    if (is_v4(packet->bytes))
        run->last_id = read16(packet->bytes + IPV4_ID);
    if (!candidate->udp) {
        const uint8_t *tcp = packet->bytes + candidate->ip_length;

        run->next_sequence = read32(tcp + TCP_SEQUENCE) + (uint32_t)candidate->payload;
        run->pushed = (tcp[TCP_FLAGS] & TCP_PSH) != 0;
    }
}

/* Nothing can follow: a shorter payload, or the sender's push, is the end of what the sender cut up. */
static bool is_complete(const struct run *run, const struct candidate *candidate)
{
    return candidate->payload < run->size || run->pushed || run->count == JOIN_SEGMENTS_MAX;
}

static struct run *take_from_pool(struct joiner *joiner)
{
    struct run *run = joiner->pool;

    while (run->open)
        run++;
    return run;
}

static void start(struct run *run, const struct candidate *candidate)
{
    run->count = 0;
    run->bytes = 0;
    run->payload_total = 0;
    run->owner = candidate->owner;
    run->udp = candidate->udp;
    run->ip_length = candidate->ip_length;
    run->header_length = candidate->header_length;
    run->size = candidate->payload;
    run->pushed = false;
    append(run, candidate);
}

static void emit_alone(struct joiner *joiner, const struct candidate *candidate)
{
    struct run *run = take_from_pool(joiner);

    run->count = 1;
    run->bytes = candidate->packet->length;
    run->owner = candidate->owner;
    run->packet[0] = (struct iovec){candidate->packet->bytes, candidate->packet->length};
    emit(joiner, run);
}

static void open_run(struct joiner *joiner, const struct candidate *candidate)
{
    struct run *run = take_from_pool(joiner);

    start(run, candidate);
    if (is_complete(run, candidate)) {
        emit(joiner, run);
        return;
    }
    if (joiner->open_count == RUNS_MAX)
        close_run(joiner, 0);
    run->open = true;
    joiner->open[joiner->open_count++] = run;
}

void join_add(struct joiner *joiner, const struct packet *packet, void *owner)
{
    struct candidate candidate = classify(joiner, packet, owner);
    unsigned index;

    if (candidate.kind == UNKNOWN)
        join_flush(joiner);
    if (candidate.kind == OF_FLOW || candidate.kind == JOINABLE) {
        for (index = 0; index < joiner->open_count; index++)
            if (is_of_flow(joiner->open[index], &candidate))
                break;
        if (index < joiner->open_count) {
            struct run *run = joiner->open[index];

            if (candidate.kind == JOINABLE && continues(run, &candidate)) {
                append(run, &candidate);
                if (is_complete(run, &candidate))
                    close_run(joiner, index);
                return;
            }
            close_run(joiner, index);
        }
    }
    if (candidate.kind == JOINABLE)
        open_run(joiner, &candidate);
    else
        emit_alone(joiner, &candidate);
}

void join_flush(struct joiner *joiner)
{
    while (joiner->open_count > 0)
        close_run(joiner, 0);
}
