/* Joining packets, and cutting up again what comes out with the reference: it has to be what went in. */
#include "checksum.h"
#include "input.h"
#include "join.h"
#include "reference.h"
#include "shape.h"

enum { PACKETS_MAX = 150, FLOWS = 8, BYTES_MAX = 200 * 1024 };

static const uint16_t SIZES[] = {1, 2, 3, 8, 20, 64, 100, 500, 1000, 1400, 1448, 9000, 21825, 21830, 21840, 40000};

struct entry {
    struct packet packet;
    void *owner;
    bool out;
};

static struct batch {
    struct joiner joiner;
    struct entry entry[PACKETS_MAX];
    unsigned count;
    unsigned order[PACKETS_MAX]; /* of what came out: indexes of `entry` */
    unsigned out;
    size_t bytes;
} batch;

/* What an observer can tell about the flow of a packet. */
struct flow {
    const uint8_t *addresses;
    size_t address_length;
    int protocol; /* -1: cannot be told */
    int ports;    /* -1: cannot be told; -2: the packet ends before them */
};

static struct flow flow_of(const struct packet *packet)
{
    const uint8_t *bytes = packet->bytes;
    bool v4 = bytes[0] >> 4 == 4;
    size_t transport = v4 ? (size_t)(bytes[0] & 15) * 4 : 40;
    struct flow flow = {
        .addresses = v4 ? bytes + 12 : bytes + 8,
        .address_length = v4 ? 8 : 32,
        .protocol = v4 ? bytes[9] : bytes[6],
        .ports = -1,
    };

    if (!v4 && flow.protocol != 6 && flow.protocol != 17 && flow.protocol != 58)
        flow.protocol = -1; /* an extension header, or who knows */
    else if ((flow.protocol == 6 || flow.protocol == 17) && (!v4 || (read16(bytes + 6) & 0x3fff) == 0))
        flow.ports = packet->length < transport + 4 ? -2 : (int)(read32(bytes + transport) & 0x7fffffff);
    return flow;
}

static bool may_be_of_one_flow(const struct packet *one, const struct packet *other)
{
    struct flow a = flow_of(one), b = flow_of(other);

    if (a.address_length != b.address_length || memcmp(a.addresses, b.addresses, a.address_length) != 0)
        return false;
    if (a.protocol >= 0 && b.protocol >= 0 && a.protocol != b.protocol)
        return false;
    return a.ports == -1 || b.ports == -1 || a.ports == b.ports;
}

/* The entry that these bytes are of, which has not come out yet. */
static unsigned claim(const struct iovec *iov)
{
    unsigned index;

    for (index = 0; index < batch.count; index++)
        if (batch.entry[index].packet.bytes == iov->iov_base)
            break;
    CHECK(index < batch.count && !batch.entry[index].out);
    CHECK(batch.entry[index].packet.length == iov->iov_len);
    batch.entry[index].out = true;
    batch.order[batch.out++] = index;
    return index;
}

static size_t flatten(const struct run *run, uint8_t *whole)
{
    size_t length = 0;
    unsigned index;

    for (index = 1; index < run->iov_count; index++) {
        CHECK(length + run->iov[index].iov_len <= PACKET_MAX);
        memcpy(whole + length, run->iov[index].iov_base, run->iov[index].iov_len);
        length += run->iov[index].iov_len;
    }
    return length;
}

/* Byte for byte, but for the identification of what must not be fragmented and its part in the header's checksum. */
static void check_same(const uint8_t *one, const uint8_t *other, size_t length)
{
    static const size_t NO_MATTER[] = {4, 5, 10, 11};
    uint8_t copy[IPV6_HEADER];
    unsigned index;

    memcpy(copy, one, 20);
    if (one[0] >> 4 == 4 && (one[6] & 0x40) != 0)
        for (index = 0; index < 4; index++)
            copy[NO_MATTER[index]] = other[NO_MATTER[index]];
    CHECK(memcmp(copy, other, 20) == 0);
    CHECK(memcmp(one + 20, other + 20, length - 20) == 0);
}

/* What the kernel reads from the header of a joined packet. */
static void check_whole(const struct run *run, const uint8_t *whole, size_t length)
{
    const struct virtio_header *virtio = run->iov[0].iov_base;
    struct packet packet;
    bool udp = virtio->gso_type == VIRTIO_GSO_UDP_L4;
    size_t transport = virtio->checksum_start, headers;
    uint32_t sum;

    CHECK(packet_parse((uint8_t *)(uintptr_t)whole, length, &packet) == PACKET_OK && packet.length == length);
    CHECK(virtio->flags == VIRTIO_NEEDS_CHECKSUM);
    CHECK(udp || virtio->gso_type == (packet_family(&packet) == 4 ? VIRTIO_GSO_TCPV4 : VIRTIO_GSO_TCPV6));
    CHECK(transport == (packet_family(&packet) == 4 ? 20 : 40));
    CHECK(virtio->checksum_offset == (udp ? 6 : 16));
    headers = transport + (udp ? 8u : (size_t)(whole[transport + 12] >> 4) * 4);
    CHECK(virtio->header_length == headers && headers < length && virtio->gso_size > 0);
    CHECK(packet_family(&packet) == 6 || reference_ipv4_header_is_right(whole));
    CHECK(!udp || read16(whole + transport + 4) == length - transport);
    sum = reference_pseudo_sum(whole, udp ? 17 : 6, length - transport);
    CHECK(read16(whole + transport + virtio->checksum_offset) == reference_fold(sum));
}

static void emit(void *context, struct run *run)
{
    static const struct virtio_header NONE;
    static uint8_t whole[PACKET_MAX], segment[PACKET_MAX];
    size_t length, bytes = 0;
    unsigned index;

    CHECK(context == &batch);
    CHECK(run->count >= 1 && run->count <= JOIN_SEGMENTS_MAX);
    CHECK(run->iov[0].iov_len == sizeof(struct virtio_header));
    for (index = 0; index < run->count; index++) {
        unsigned entry = claim(&run->packet[index]);

        CHECK(batch.entry[entry].owner == run->owner);
        bytes += run->packet[index].iov_len;
    }
    CHECK(run->bytes == bytes);
    if (run->count == 1) {
        CHECK(memcmp(run->iov[0].iov_base, &NONE, sizeof NONE) == 0);
        CHECK(run->iov_count == 2 && run->iov[1].iov_base == run->packet[0].iov_base &&
              run->iov[1].iov_len == run->packet[0].iov_len);
        return;
    }
    length = flatten(run, whole);
    check_whole(run, whole, length);
    for (index = 0; index < run->count; index++) {
        CHECK(reference_segment(run->iov[0].iov_base, whole, length, index, segment) == run->packet[index].iov_len);
        check_same(run->packet[index].iov_base, segment, run->packet[index].iov_len);
    }
    CHECK(reference_segment(run->iov[0].iov_base, whole, length, index, segment) == 0);
}

/* Takes the packet in, if it is one and there is room. Returns whether there was. */
static bool add(const uint8_t *bytes, size_t length, void *owner)
{
    struct entry *entry = &batch.entry[batch.count];
    uint8_t *copy;

    if (batch.count == PACKETS_MAX || batch.bytes + length > BYTES_MAX)
        return false;
    copy = exact(bytes, length);
    if (packet_parse(copy, length, &entry->packet) != PACKET_OK) {
        free(copy);
        return true;
    }
    entry->owner = owner;
    entry->out = false;
    batch.count++;
    batch.bytes += length;
    join_add(&batch.joiner, &entry->packet, owner);
    return true;
}

struct sender {
    struct shape next;
    uint16_t size;
};

static void start_senders(struct sender sender[FLOWS], struct input *input)
{
    unsigned index;

    for (index = 0; index < FLOWS; index++) {
        uint8_t kind = input_u8(input);

        sender[index] = (struct sender){
            .next = {
                .v6 = index & 1,
                .udp = index & 2,
                .flow = kind & 0x2f, /* some are one flow */
                .fragment = (kind & 0x40) != 0 ? 0x4000 : 0,
                .ttl = 64,
                .tcp_flags = TCP_ACK,
                .tcp_words = (kind & 0x80) != 0 ? 3 : 0,
                .id = 0xfffe,
                .sequence = 0xfffff000,
                .filling = kind,
            },
            .size = SIZES[input_u8(input) % (sizeof SIZES / sizeof SIZES[0])],
        };
    }
}

/* A change of one packet, or of all that follow. */
static void change(struct shape *shape, struct input *input)
{
    uint8_t value = input_u8(input);

    switch (value >> 4) {
    case 0:
        shape->tcp_flags ^= TCP_PSH;
        break;
    case 1:
        shape->tcp_flags ^= (uint8_t)(1 << (value & 7));
        break;
    case 2:
        shape->sequence += value & 15;
        break;
    case 3:
        shape->id = (uint16_t)(shape->id - 1 + (value & 3));
        break;
    case 4:
        shape->fragment ^= (uint16_t)(0x8000 >> (value & 3));
        break;
    case 5:
        shape->fragment ^= (uint16_t)(1 << (value & 7));
        break;
    case 6:
        shape->ip_words = value & 3;
        break;
    case 7:
        shape->tcp_words = (value & 15) % 11;
        break;
    case 8:
        shape->tos ^= (uint8_t)(1 << (value & 7));
        break;
    case 9:
        shape->ttl--;
        break;
    case 10:
        shape->acknowledgment += value & 15;
        break;
    case 11:
        shape->reserved = value & 15;
        break;
    case 12:
        shape->urgent = value & 15;
        break;
    case 13:
        shape->flow = (uint8_t)(shape->flow + 1 + (value & 15)) & 0x3f;
        break;
    default:
        shape->filling = value;
    }
}

/* Sends a packet; `size` differs from the sender's for a last one. */
static bool send_one(struct sender *sender, struct input *input, uint8_t how, size_t size)
{
    static uint8_t whole[PACKET_MAX + 1];
    static char owners[2];
    struct shape shape = sender->next;
    size_t length, at;

    if ((how & 1) != 0)
        change(&shape, input);
    shape.payload = size;
    if (shape_headers(&shape) + size > PACKET_MAX)
        return true;
    length = shape_write(&shape, whole);
    if ((how & 2) != 0) { /* a fault, which may make a checksum wrong, or 0 or 0xffff */
        at = input_u8(input) % length;
        whole[at] ^= input_u8(input);
        if ((how & 8) != 0)
            reference_write_checksum(whole, length, shape_transport(&shape), shape.udp);
        if (!shape.v6 && (how & 16) != 0)
            reference_write_ipv4_checksum(whole);
    }
    if ((how & 32) != 0) { /* a checksum of 0, or in its other representation; a few bytes that make it one */
        uint8_t *field = whole + shape_transport(&shape) + (shape.udp ? 6 : 16);
        uint8_t *word = shape.v6 ? field : whole + 4;

        if (size >= 2 && (word == field || (how & 64) != 0)) {
            uint16_t checksum = read16(field);

            /* Adding the checksum to what it is of makes it 0. */
            write16(whole + length - (size & 1) - 2,
                    reference_fold((uint32_t)read16(whole + length - (size & 1) - 2) + checksum));
            write16(field, how & 128 ? 0 : 0xffff);
        } else if (!shape.v6) {
            write16(word, reference_fold((uint32_t)read16(word) + read16(whole + 10)));
            write16(whole + 10, how & 128 ? 0 : 0xffff);
        }
    }
    sender->next.sequence += (uint32_t)size;
    sender->next.id++;
    return add(whole, length, owners + ((how & 4) != 0));
}

/* One decision: a burst of a flow, a change of it, or bytes from anywhere. */
static bool act(struct sender sender[FLOWS], struct input *input)
{
    uint8_t action = input_u8(input), how, count, index;
    struct sender *one = &sender[action & 7];
    uint8_t raw[64];

    switch (action >> 3 & 7) {
    case 0:
    case 1: /* as it should be */
        count = input_u8(input) % 72;
        for (index = 0; index <= count; index++)
            if (!send_one(one, input, 0, one->size))
                return false;
        return true;
    case 2:
        how = input_u8(input);
        return send_one(one, input, how, one->size);
    case 3: /* shorter, longer, or without payload */
        how = input_u8(input);
        return send_one(one, input, how, (size_t)one->size - 1 + input_u8(input) % 3);
    case 4:
        change(&one->next, input);
        return true;
    case 5:
        one->size = SIZES[input_u8(input) % (sizeof SIZES / sizeof SIZES[0])];
        return true;
    case 6: /* more flows than are held open */
        count = input_u8(input) % 24;
        if (count == 0)
            join_flush(&batch.joiner);
        for (index = 0; index < count; index++) {
            one->next.flow = (uint8_t)(one->next.flow + 1) & 0x3f;
            if (!send_one(one, input, 0, one->size))
                return false;
        }
        return true;
    default:
        count = input_u8(input) % sizeof raw;
        input_fill(input, raw, count);
        return add(raw, count, one);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input input = {data, size};
    struct sender sender[FLOWS];
    uint8_t takes = input_u8(&input);
    unsigned one, other;

    batch.count = batch.out = 0;
    batch.bytes = 0;
    batch.joiner.tcp = (takes & 1) == 0;
    batch.joiner.udp = (takes & 2) == 0;
    batch.joiner.emit = emit;
    batch.joiner.context = &batch;
    start_senders(sender, &input);
    while (input.left > 0 && act(sender, &input))
        ;
    join_flush(&batch.joiner);

    CHECK(batch.out == batch.count); /* each came out, and none twice */
    for (one = 0; one < batch.out; one++)
        for (other = one + 1; other < batch.out; other++)
            if (batch.order[one] > batch.order[other])
                CHECK(!may_be_of_one_flow(&batch.entry[batch.order[one]].packet,
                                          &batch.entry[batch.order[other]].packet));
    for (one = 0; one < batch.count; one++)
        free(batch.entry[one].packet.bytes);
    return 0;
}
