/* Cutting a packet of the TUN into packets of the wire, compared byte for byte with the reference. */
#include "checksum.h"
#include "input.h"
#include "reference.h"
#include "segment.h"
#include "shape.h"

static const size_t PAYLOADS[] = {1, 2, 7, 100, 1000, 1447, 1448, 1449, 2896, 5000, 20000, 40000, 65000, 65535};
static const uint16_t SIZES[] = {1, 2, 3, 100, 536, 1000, 1220, 1440, 1447, 1448, 8948, 32768, 65495, 65535};

static uint16_t pick(struct input *input, const uint16_t *values, size_t count)
{
    uint8_t decision = input_u8(input);

    return decision & 0x80 ? input_u16(input) : values[decision % count];
}

static struct shape take_shape(struct input *input)
{
    uint8_t kind = input_u8(input), words = input_u8(input), payload = input_u8(input);
    struct shape shape = {
        .v6 = kind & 1,
        .udp = kind & 2,
        .ip_words = (kind & 4) != 0 ? words % 11 : 0,
        .tcp_words = (kind & 8) != 0 ? (words >> 4) % 11 : 0,
        .fragment = (kind & 16) != 0 ? 0x4000 : 0,
        .ttl = 64,
        .flow = input_u8(input),
        .tos = input_u8(input),
        .tcp_flags = input_u8(input),
        .reserved = input_u8(input),
        .filling = input_u8(input),
        .id = input_u16(input),
        .sequence = input_u32(input),
    };
    size_t room;

    if (shape.v6 && (kind & 32) != 0)
        shape.ip_words = words % 64; /* beyond what the segmenter has room for */
    room = 65535 - shape_headers(&shape);
    shape.payload = payload & 0x80 ? input_u16(input) & 0xfff
                                   : PAYLOADS[payload % (sizeof PAYLOADS / sizeof PAYLOADS[0])];
    if (shape.payload > room)
        shape.payload = room;
    return shape;
}

/* As the kernel hands a packet over: the checksum is the sum of the pseudo header. */
static void leave_checksum(uint8_t *packet, size_t length, const struct virtio_header *header, bool udp)
{
    uint32_t sum = reference_pseudo_sum(packet, udp ? 17 : 6, length - header->checksum_start);
    uint16_t partial = reference_fold(sum);
    uint8_t *field = packet + header->checksum_start + header->checksum_offset;

    field[0] = (uint8_t)(partial >> 8);
    field[1] = (uint8_t)partial;
}

/* `checksums`: those of the packet are as the kernel leaves them, and so the reference knows what they have to be. */
static void check_segments(const struct virtio_header *header, const struct packet *packet, bool checksums)
{
    static uint8_t expected[PACKET_MAX + IPV6_HEADER];
    struct segmenter segmenter;
    size_t largest = 0, promised, sum = 0, checksum_at;
    uint8_t *headers;
    unsigned index;

    if (segment_begin(&segmenter, header, packet) < 0) {
        CHECK(!checksums);
        return;
    }
    CHECK(segmenter.header_length <= SEGMENT_HEADER_MAX && segmenter.count > 0);
    promised = segment_largest(&segmenter);
    checksum_at = segmenter.transport + header->checksum_offset;
    headers = malloc(segmenter.header_length);
    for (index = 0; index < segmenter.count; index++) {
        size_t wanted = reference_segment(header, packet->bytes, packet->length, index, expected);
        const uint8_t *payload;
        size_t length = segment_next(&segmenter, headers, &payload);

        CHECK(length > 0 && wanted == segmenter.header_length + length);
        CHECK(payload >= packet->bytes && payload + length <= packet->bytes + packet->length);
        if (!checksums)
            memcpy(expected + checksum_at, headers + checksum_at, 2);
        CHECK(memcmp(headers, expected, segmenter.header_length) == 0);
        CHECK(memcmp(payload, expected + segmenter.header_length, length) == 0);
        largest = wanted > largest ? wanted : largest;
        sum += length;
    }
    CHECK(reference_segment(header, packet->bytes, packet->length, index, expected) == 0);
    CHECK(largest == promised && sum == packet->length - segmenter.header_length);
    free(headers);
}

/* A packet that is one: its checksum is finished. */
static void check_single(const struct virtio_header *header, struct packet *packet, bool udp)
{
    CHECK(segment_finish_checksum(header, packet) == 0);
    CHECK(reference_transport_is_right(packet->bytes, packet->length, header->checksum_start, udp ? 17 : 6));
    CHECK(!udp || read16(packet->bytes + header->checksum_start + 6) != 0);
}

static void check_shape(struct input *input, bool single)
{
    static uint8_t whole[PACKET_MAX];
    struct shape shape = take_shape(input);
    uint16_t size = pick(input, SIZES, sizeof SIZES / sizeof SIZES[0]);
    struct virtio_header header = {
        .flags = VIRTIO_NEEDS_CHECKSUM,
        .gso_type = shape.udp  ? VIRTIO_GSO_UDP_L4
                    : shape.v6 ? VIRTIO_GSO_TCPV6
                               : VIRTIO_GSO_TCPV4,
        .gso_size = size,
        .checksum_start = (uint16_t)shape_transport(&shape),
        .checksum_offset = shape.udp ? UDP_CHECKSUM : TCP_CHECKSUM,
    };
    struct packet packet;
    size_t length;
    uint8_t *bytes;
    bool fits;

    if (!shape.udp && (shape.tcp_flags & TCP_CWR) != 0)
        header.gso_type |= VIRTIO_GSO_ECN;
    if (size == 0)
        header.gso_size = size = 1;
    if (shape.payload / size > 2000)
        shape.payload = (size_t)size * 2000;
    length = shape_write(&shape, whole);
    leave_checksum(whole, length, &header, shape.udp);
    bytes = exact(whole, length);
    CHECK(packet_parse(bytes, length, &packet) == PACKET_OK && packet.length == length);
    fits = shape_headers(&shape) <= SEGMENT_HEADER_MAX && shape.payload > 0;
    if (single)
        check_single(&header, &packet, shape.udp);
    else
        check_segments(&header, &packet, fits);
    free(bytes);
}

/* Header and packet from anywhere: what is refused is no matter, what is not refused has to fit together. */
static void check_raw(struct input *input)
{
    struct virtio_header header;
    uint8_t fields[sizeof header];
    struct packet packet;
    uint8_t *bytes;

    input_fill(input, fields, sizeof fields);
    memcpy(&header, fields, sizeof header);
    bytes = exact(input->bytes, input->left);
    if (packet_parse(bytes, input->left, &packet) == PACKET_OK && is_super_packet(&header))
        check_segments(&header, &packet, false);
    free(bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input input = {data, size};
    uint8_t kind = input_u8(&input);

    if ((kind & 3) == 3)
        check_raw(&input);
    else
        check_shape(&input, (kind & 3) == 2);
    return 0;
}
