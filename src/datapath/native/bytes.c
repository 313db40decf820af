#include "bytes.h"

#include <arpa/inet.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FIRST_CAPACITY = 256, STRING_MAX = 0xffff };

void reader_init(struct byte_reader *reader, const uint8_t *bytes, size_t length)
{
    memset(reader, 0, sizeof *reader);
    reader->bytes = bytes;
    reader->length = length;
}

void reader_fail(struct byte_reader *reader, const char *format, ...)
{
    va_list arguments;

    if (reader->failed)
        return;
    reader->failed = true;
    va_start(arguments, format);
    vsnprintf(reader->error, sizeof reader->error, format, arguments);
    va_end(arguments);
}

/* `count` bytes of the message; NULL when they are not there. */
static const uint8_t *take(struct byte_reader *reader, size_t count)
{
    const uint8_t *bytes = reader->bytes + reader->offset;

    if (reader->failed)
        return NULL;
    if (count > reader->length - reader->offset) {
        reader_fail(reader, "the message ends at byte %zu, inside a field of %zu bytes that starts at %zu",
                    reader->length, count, reader->offset);
        return NULL;
    }
    reader->offset += count;
    return bytes;
}

static uint64_t number(struct byte_reader *reader, size_t size)
{
    const uint8_t *bytes = take(reader, size);
    uint64_t value = 0;
    size_t index;

    for (index = 0; bytes != NULL && index < size; index++)
        value = value << 8 | bytes[index];
    return value;
}

uint8_t reader_u8(struct byte_reader *reader)
{
    return (uint8_t)number(reader, 1);
}

uint16_t reader_u16(struct byte_reader *reader)
{
    return (uint16_t)number(reader, 2);
}

uint32_t reader_u32(struct byte_reader *reader)
{
    return (uint32_t)number(reader, 4);
}

uint64_t reader_u64(struct byte_reader *reader)
{
    return number(reader, 8);
}

/* How many bytes follow the first one of a UTF-8 sequence, and the least and greatest second byte: RFC 3629, 4. */
static int sequence(uint8_t first, uint8_t *least, uint8_t *greatest)
{
    *least = first == 0xe0 ? 0xa0 : first == 0xf0 ? 0x90 : 0x80;    /* no shorter form would do */
    *greatest = first == 0xed ? 0x9f : first == 0xf4 ? 0x8f : 0xbf; /* no surrogate; not beyond U+10FFFF */
    if (first < 0x80)
        return 0;
    if (first >= 0xc2 && first <= 0xdf)
        return 1;
    if (first >= 0xe0 && first <= 0xef)
        return 2;
    return first >= 0xf0 && first <= 0xf4 ? 3 : -1;
}

static bool is_utf8(const uint8_t *bytes, size_t length)
{
    size_t at = 0;

    while (at < length) {
        uint8_t least, greatest;
        int follow = sequence(bytes[at++], &least, &greatest);

        if (follow < 0 || (size_t)follow > length - at)
            return false;
        for (; follow > 0; follow--, at++, least = 0x80, greatest = 0xbf) {
            if (bytes[at] < least || bytes[at] > greatest)
                return false;
        }
    }
    return true;
}

const uint8_t *reader_string(struct byte_reader *reader, size_t *length)
{
    static const uint8_t NOTHING[1];
    size_t count = reader_u16(reader), at = reader->offset;
    const uint8_t *bytes = take(reader, count);

    *length = 0;
    if (bytes == NULL)
        return NOTHING;
    if (!is_utf8(bytes, count)) {
        reader_fail(reader, "the text at byte %zu is not UTF-8", at);
        return NOTHING;
    }
    *length = count;
    return bytes;
}

static uint8_t family(struct byte_reader *reader)
{
    uint8_t value = reader_u8(reader);

    if (value == 4 || value == 6)
        return value;
    reader_fail(reader, "%u at byte %zu is no address family (4 or 6)", value, reader->offset - 1);
    return 4; /* so that all that follows is of some family */
}

static struct address address_of(struct byte_reader *reader, uint8_t of)
{
    static const uint8_t UNSPECIFIED[16];
    const uint8_t *bytes = take(reader, of == 4 ? 4 : 16);

    if (bytes == NULL)
        bytes = UNSPECIFIED;
    return of == 4 ? address_v4(bytes) : address_v6(bytes);
}

struct address reader_address(struct byte_reader *reader)
{
    return address_of(reader, family(reader));
}

static bool has_host_bits(const struct address *address, unsigned length)
{
    uint64_t high = length >= 64 ? 0 : ~UINT64_C(0) >> length;
    uint64_t low = length <= 64 ? ~UINT64_C(0) : length == 128 ? 0 : ~UINT64_C(0) >> (length - 64);

    return (address->high & high) != 0 || (address->low & low) != 0;
}

struct prefix reader_prefix(struct byte_reader *reader)
{
    size_t at = reader->offset;
    uint8_t of = family(reader);
    uint8_t length = reader_u8(reader);
    struct prefix prefix = {.address = address_of(reader, of), .length = length};

    if (length > (of == 4 ? 32 : 128))
        reader_fail(reader, "/%u at byte %zu is not a prefix length of IPv%u", length, at + 1, of);
    else if (has_host_bits(&prefix.address, length))
        reader_fail(reader, "the prefix of length %u at byte %zu has host bits set", length, at);
    return prefix;
}

struct endpoint reader_endpoint(struct byte_reader *reader)
{
    size_t at = reader->offset;
    uint8_t of = family(reader);
    uint16_t port = reader_u16(reader);
    const uint8_t *bytes = take(reader, of == 4 ? 4 : 16);
    struct endpoint endpoint;

    memset(&endpoint, 0, sizeof endpoint);
    if (of == 4) {
        endpoint.length = sizeof endpoint.socket.v4;
        endpoint.socket.v4.sin_family = AF_INET;
        endpoint.socket.v4.sin_port = htons(port);
        if (bytes != NULL)
            memcpy(&endpoint.socket.v4.sin_addr, bytes, 4);
    } else {
        endpoint.length = sizeof endpoint.socket.v6;
        endpoint.socket.v6.sin6_family = AF_INET6;
        endpoint.socket.v6.sin6_port = htons(port);
        if (bytes != NULL)
            memcpy(&endpoint.socket.v6.sin6_addr, bytes, 16);
    }
    if (port == 0)
        reader_fail(reader, "port 0 at byte %zu is not a UDP port", at + 1);
    return endpoint;
}

size_t reader_count(struct byte_reader *reader, size_t element_min)
{
    size_t at = reader->offset;
    uint32_t count = reader_u32(reader);

    if (reader->failed)
        return 0;
    if (count > (reader->length - reader->offset) / element_min) {
        reader_fail(reader, "the message ends at byte %zu, inside a list of %u that starts at %zu", reader->length,
                    count, at);
        return 0;
    }
    return count;
}

bool reader_end(struct byte_reader *reader)
{
    if (reader->offset < reader->length)
        reader_fail(reader, "%zu bytes are left over at byte %zu", reader->length - reader->offset, reader->offset);
    return !reader->failed;
}

/* Room for `count` bytes more; NULL when memory is short. */
static uint8_t *room(struct byte_writer *writer, size_t count)
{
    size_t capacity = writer->capacity == 0 ? FIRST_CAPACITY : writer->capacity;
    uint8_t *bytes;

    if (writer->failed)
        return NULL;
    while (capacity - writer->length < count)
        capacity *= 2;
    if (capacity != writer->capacity) {
        bytes = realloc(writer->bytes, capacity);
        if (bytes == NULL) {
            writer->failed = true;
            return NULL;
        }
        writer->bytes = bytes;
        writer->capacity = capacity;
    }
    bytes = writer->bytes + writer->length;
    writer->length += count;
    return bytes;
}

static void put_number(struct byte_writer *writer, uint64_t value, size_t size)
{
    uint8_t *bytes = room(writer, size);
    size_t index;

    if (bytes == NULL)
        return;
    for (index = size; index > 0; index--, value >>= 8)
        bytes[index - 1] = (uint8_t)value;
}

static void put_bytes(struct byte_writer *writer, const void *source, size_t count)
{
    uint8_t *bytes = room(writer, count);

    if (bytes != NULL)
        memcpy(bytes, source, count);
}

void writer_u8(struct byte_writer *writer, unsigned value)
{
    put_number(writer, value, 1);
}

void writer_u16(struct byte_writer *writer, unsigned value)
{
    put_number(writer, value, 2);
}

void writer_u32(struct byte_writer *writer, uint32_t value)
{
    put_number(writer, value, 4);
}

void writer_u64(struct byte_writer *writer, uint64_t value)
{
    put_number(writer, value, 8);
}

void writer_string(struct byte_writer *writer, const char *text)
{
    size_t length = strnlen(text, STRING_MAX);

    writer_u16(writer, (unsigned)length);
    put_bytes(writer, text, length);
}

static void put_address(struct byte_writer *writer, const struct address *address)
{
    if (address->family == 4) {
        put_number(writer, address->high >> 32, 4);
    } else {
        put_number(writer, address->high, 8);
        put_number(writer, address->low, 8);
    }
}

void writer_address(struct byte_writer *writer, const struct address *address)
{
    writer_u8(writer, address->family);
    put_address(writer, address);
}

void writer_endpoint(struct byte_writer *writer, const struct endpoint *endpoint)
{
    struct address address = endpoint_address(endpoint);

    writer_u8(writer, address.family);
    /* Both families have the port at one place. */
    writer_u16(writer, ntohs(endpoint->socket.v4.sin_port));
    put_address(writer, &address);
}
