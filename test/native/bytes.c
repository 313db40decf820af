#include "bytes.h"

#include <stdlib.h>

#include "checks.h"
#include "random-prefix.h"

static bool is_accepted(const char *text, size_t length)
{
    uint8_t *bytes = malloc(length + 2); /* of exactly that size, so that the sanitizer sees a read beyond it */
    struct byte_reader reader;
    size_t read;
    bool accepted;

    bytes[0] = (uint8_t)(length >> 8);
    bytes[1] = (uint8_t)length;
    memcpy(bytes + 2, text, length);
    reader_init(&reader, bytes, length + 2);
    accepted = memcmp(reader_string(&reader, &read), text, length) == 0 && reader_end(&reader) && read == length;
    free(bytes);
    return accepted;
}

#define ACCEPTED(text) is_accepted(text, sizeof text - 1)

static void check_utf8(void)
{
    CHECK(ACCEPTED(""));
    CHECK(ACCEPTED("corduroy0"));
    CHECK(ACCEPTED("\x7f\xc2\x80\xdf\xbf"));
    CHECK(ACCEPTED("\xe0\xa0\x80\xed\x9f\xbf\xee\x80\x80\xef\xbf\xbf"));
    CHECK(ACCEPTED("\xf0\x90\x80\x80\xf4\x8f\xbf\xbf"));
}

static bool is_refused(const char *text, size_t length)
{
    uint8_t bytes[16] = {0, (uint8_t)length};
    struct byte_reader reader;
    size_t read;

    memcpy(bytes + 2, text, length);
    reader_init(&reader, bytes, length + 2);
    reader_string(&reader, &read);
    return !reader_end(&reader) && read == 0 && strstr(reader.error, "not UTF-8") != NULL;
}

#define REFUSED(text) is_refused(text, sizeof text - 1)

static void check_not_utf8(void)
{
    CHECK(REFUSED("\x80"));             /* goes on with nothing */
    CHECK(REFUSED("\xc3"));             /* ends too early */
    CHECK(REFUSED("\xe2\x82"));
    CHECK(REFUSED("\xf0\x9f\x98"));
    CHECK(REFUSED("\xc3("));
    CHECK(REFUSED("\xc0\xaf"));         /* longer than needed */
    CHECK(REFUSED("\xc1\xbf"));
    CHECK(REFUSED("\xe0\x9f\xbf"));
    CHECK(REFUSED("\xf0\x8f\xbf\xbf"));
    CHECK(REFUSED("\xed\xa0\x80"));     /* surrogate */
    CHECK(REFUSED("\xf4\x90\x80\x80")); /* beyond U+10FFFF */
    CHECK(REFUSED("\xf5\x80\x80\x80"));
    CHECK(REFUSED("\xff"));
}

static bool prefix_is_read(const uint8_t *bytes, size_t length)
{
    struct byte_reader reader;

    reader_init(&reader, bytes, length);
    reader_prefix(&reader);
    return reader_end(&reader);
}

static void check_prefixes(void)
{
    CHECK(prefix_is_read((uint8_t[]){4, 0, 0, 0, 0, 0}, 6));
    CHECK(!prefix_is_read((uint8_t[]){4, 0, 128, 0, 0, 0}, 6));
    CHECK(prefix_is_read((uint8_t[]){4, 25, 10, 5, 1, 128}, 6));
    CHECK(!prefix_is_read((uint8_t[]){4, 24, 10, 5, 1, 128}, 6));
    CHECK(prefix_is_read((uint8_t[]){4, 32, 10, 5, 1, 129}, 6));
    CHECK(!prefix_is_read((uint8_t[]){4, 33, 10, 5, 1, 129}, 6));
    CHECK(!prefix_is_read((uint8_t[]){5, 24, 10, 5, 1, 0}, 6));
    CHECK(prefix_is_read((uint8_t[18]){6, 64, 0xfd, [9] = 1}, 18));
    CHECK(!prefix_is_read((uint8_t[18]){6, 63, 0xfd, [9] = 1}, 18));
    CHECK(!prefix_is_read((uint8_t[18]){6, 64, 0xfd, [10] = 128}, 18));
    CHECK(prefix_is_read((uint8_t[18]){6, 65, 0xfd, [10] = 128}, 18));
    CHECK(prefix_is_read((uint8_t[18]){6, 128, 0xfd, [17] = 1}, 18));
    CHECK(!prefix_is_read((uint8_t[18]){6, 127, 0xfd, [17] = 1}, 18));
    CHECK(!prefix_is_read((uint8_t[18]){6, 129, 0xfd}, 18));
}

/* What was written is read again, and the sticky error gives nothing afterwards. */
static void check_round_trip(void)
{
    unsigned round;

    for (round = 0; round < 500; round++) {
        struct address address = random_address(round % 2 == 0 ? 4 : 6), read;
        struct endpoint endpoint = endpoint_of(address, (uint16_t)(1 + random_below(65535))), read_endpoint;
        struct byte_writer writer = {0};
        struct byte_reader reader;
        uint64_t number = random64();
        size_t length;

        writer_string(&writer, "corduroy");
        writer_u64(&writer, number);
        writer_address(&writer, &address);
        writer_endpoint(&writer, &endpoint);
        reader_init(&reader, writer.bytes, writer.length);
        CHECK(memcmp(reader_string(&reader, &length), "corduroy", 8) == 0 && length == 8);
        CHECK(reader_u64(&reader) == number);
        read = reader_address(&reader);
        read_endpoint = reader_endpoint(&reader);
        CHECK(read.high == address.high && read.low == address.low && read.family == address.family);
        CHECK(memcmp(&read_endpoint, &endpoint, sizeof endpoint) == 0);
        CHECK(reader_end(&reader));
        CHECK(reader_u32(&reader) == 0 && reader.failed && reader_u8(&reader) == 0);
        free(writer.bytes);
    }
}

static void check_texts(void)
{
    uint8_t v4[4] = {192, 0, 2, 1}, v6[16] = {0x20, 0x01, 0x0d, 0xb8, [15] = 1};
    struct endpoint one = endpoint_of(address_v4(v4), 8285), other = endpoint_of(address_v6(v6), 65535);
    char text[ENDPOINT_TEXT];

    CHECK(strcmp(endpoint_text(&one, text), "192.0.2.1:8285") == 0);
    CHECK(strcmp(endpoint_text(&other, text), "[2001:db8::1]:65535") == 0);
}

void check_bytes(void)
{
    check_utf8();
    check_not_utf8();
    check_prefixes();
    check_round_trip();
    check_texts();
}
