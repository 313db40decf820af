#include "messages.h"

#include <stdio.h>
#include <stdlib.h>

#include "checks.h"
#include "random-prefix.h"

/* CONFIGURE's payload, as docs/control-protocol.md has it. */
static const uint8_t CONFIG[] = {
    0, 9, 'c', 'o', 'r', 'd', 'u', 'r', 'o', 'y', '0',       /* TUN */
    0, 0, 0x05, 0xc0,                                        /* MTU */
    4, 0x20, 0x5d, 192, 0, 2, 1,                             /* listen */
    2, 4, 10, 5, 1, 0,                                       /* ICMP sources */
    6, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1,
    5, 16,                                                   /* strictSource and ecn, queues */
};
/* Where the fields are. */
enum { AT_NAME = 2, AT_MTU = 11, AT_LISTEN = 15, AT_SOURCES = 22, AT_FLAGS = sizeof CONFIG - 2, AT_QUEUES };

static bool config_is_read(const uint8_t *bytes, size_t length)
{
    uint8_t *copy = malloc(length + (length == 0)); /* of exactly that size: the sanitizer watches its end */
    struct byte_reader reader;
    struct engine_config config;
    bool read;

    memcpy(copy, bytes, length);
    reader_init(&reader, copy, length);
    read = messages_read_config(&reader, &config);
    CHECK(read == (reader.error[0] == '\0'));
    free(copy);
    return read;
}

static bool table_is_read(const uint8_t *bytes, size_t length)
{
    uint8_t *copy = malloc(length + (length == 0));
    struct byte_reader reader;
    struct table_message message;
    bool read;

    memcpy(copy, bytes, length);
    reader_init(&reader, copy, length);
    read = messages_read_table(&reader, &message);
    messages_free_table(&message);
    free(copy);
    return read;
}

static bool change_is_read(const uint8_t *bytes, size_t length)
{
    uint8_t *copy = malloc(length + (length == 0));
    struct byte_reader reader;
    struct change_message message;
    bool read;

    memcpy(copy, bytes, length);
    reader_init(&reader, copy, length);
    read = messages_read_change(&reader, &message);
    messages_free_change(&message);
    free(copy);
    return read;
}

/* Whole it is read; cut anywhere, or with a byte behind it, it is not; damaged, it is the one or the other. */
static void check_cuts(bool (*is_read)(const uint8_t *, size_t), const uint8_t *bytes, size_t length)
{
    uint8_t *longer = malloc(length + 1);
    size_t cut;
    unsigned round;

    memcpy(longer, bytes, length);
    longer[length] = 0;
    CHECK(is_read(longer, length));
    CHECK(!is_read(longer, length + 1));
    for (cut = 0; cut < length; cut++)
        CHECK(!is_read(longer, cut));
    for (round = 0; round < 3000; round++) {
        size_t at = random_below((uint32_t)length);
        uint8_t previous = longer[at];

        longer[at] = (uint8_t)random64();
        is_read(longer, length);
        longer[at] = previous;
    }
    free(longer);
}

static bool with(size_t at, uint8_t value)
{
    uint8_t bytes[sizeof CONFIG];

    memcpy(bytes, CONFIG, sizeof CONFIG);
    bytes[at] = value;
    return config_is_read(bytes, sizeof bytes);
}

static void check_config(void)
{
    struct byte_reader reader;
    struct byte_writer writer = {0};
    struct engine_config config;

    reader_init(&reader, CONFIG, sizeof CONFIG);
    CHECK(messages_read_config(&reader, &config));
    CHECK(strcmp(config.tun_name, "corduroy0") == 0 && config.mtu == 1472 && config.icmp_source_count == 2);
    CHECK(config.strict_source && !config.offload && config.ecn && config.queues == 16);
    messages_write_config(&writer, &config);
    CHECK(writer.length == sizeof CONFIG && memcmp(writer.bytes, CONFIG, sizeof CONFIG) == 0);
    free(writer.bytes);

    check_cuts(config_is_read, CONFIG, sizeof CONFIG);
    CHECK(!with(AT_NAME, 0) && !with(AT_NAME, 0xff));
    CHECK(!with(AT_LISTEN, 5));
    CHECK(!with(AT_SOURCES, 1) && !with(AT_SOURCES, 3) && !with(AT_SOURCES, 255));
    CHECK(with(AT_FLAGS, 0) && with(AT_FLAGS, 7) && !with(AT_FLAGS, 8) && !with(AT_FLAGS, 255));
    CHECK(with(AT_QUEUES, 1) && !with(AT_QUEUES, 0) && !with(AT_QUEUES, 17));
}

static bool mtu_is_read(uint32_t mtu)
{
    uint8_t bytes[sizeof CONFIG];

    memcpy(bytes, CONFIG, sizeof CONFIG);
    bytes[AT_MTU] = (uint8_t)(mtu >> 24);
    bytes[AT_MTU + 1] = (uint8_t)(mtu >> 16);
    bytes[AT_MTU + 2] = (uint8_t)(mtu >> 8);
    bytes[AT_MTU + 3] = (uint8_t)mtu;
    return config_is_read(bytes, sizeof bytes);
}

static bool port_is_read(uint16_t port)
{
    uint8_t bytes[sizeof CONFIG];

    memcpy(bytes, CONFIG, sizeof CONFIG);
    bytes[AT_LISTEN + 1] = (uint8_t)(port >> 8);
    bytes[AT_LISTEN + 2] = (uint8_t)port;
    return config_is_read(bytes, sizeof bytes);
}

static bool name_is_read(size_t length)
{
    uint8_t bytes[sizeof CONFIG + 32] = {0, (uint8_t)length};
    size_t rest = sizeof CONFIG - AT_MTU;

    memset(bytes + AT_NAME, 'x', length);
    memcpy(bytes + AT_NAME + length, CONFIG + AT_MTU, rest);
    return config_is_read(bytes, AT_NAME + length + rest);
}

static void check_config_bounds(void)
{
    CHECK(!mtu_is_read(67) && mtu_is_read(68) && mtu_is_read(65507) && !mtu_is_read(65508));
    CHECK(!mtu_is_read(UINT32_MAX));
    CHECK(!port_is_read(0) && port_is_read(1) && port_is_read(65535));
    CHECK(!name_is_read(0) && name_is_read(1) && name_is_read(15) && !name_is_read(16));
}

static void write_prefix(struct byte_writer *writer, const struct prefix *prefix)
{
    struct byte_writer address = {0};
    size_t index;

    writer_address(&address, &prefix->address);
    writer_u8(writer, prefix->address.family);
    writer_u8(writer, prefix->length);
    for (index = 1; index < address.length; index++)
        writer_u8(writer, address.bytes[index]);
    free(address.bytes);
}

static void write_lists(struct byte_writer *writer, uint32_t prefixes, uint32_t routes)
{
    uint32_t index;

    writer_u32(writer, prefixes);
    for (index = 0; index < prefixes; index++) {
        struct prefix prefix = random_prefix(index % 2 == 0 ? 4 : 6);

        write_prefix(writer, &prefix);
    }
    writer_u32(writer, routes);
    for (index = 0; index < routes; index++) {
        struct prefix prefix = random_prefix(index % 2 == 0 ? 4 : 6);
        struct endpoint to = endpoint_of(random_address(index % 3 == 0 ? 6 : 4), 8285);

        write_prefix(writer, &prefix);
        writer_endpoint(writer, &to);
    }
}

static void check_lists(void)
{
    uint32_t prefixes, routes;

    for (prefixes = 0; prefixes < 4; prefixes++) {
        for (routes = 0; routes < 4; routes++) {
            struct byte_writer table = {0}, change = {0};

            writer_u64(&table, random64());
            write_lists(&table, prefixes, routes);
            check_cuts(table_is_read, table.bytes, table.length);
            writer_u64(&change, random64());
            writer_u64(&change, random64());
            write_lists(&change, prefixes, routes);
            check_cuts(change_is_read, change.bytes, change.length);
            free(table.bytes);
            free(change.bytes);
        }
    }
}

/* A count far beyond the message asks for no memory. */
static void check_lying_count(void)
{
    uint8_t bytes[64] = {[8] = 0xff, 0xff, 0xff, 0xff};
    struct byte_reader reader;
    struct table_message message;

    reader_init(&reader, bytes, sizeof bytes);
    CHECK(!messages_read_table(&reader, &message));
    CHECK(!reader.short_of_memory && message.local == NULL && message.routes == NULL);
    CHECK(strstr(reader.error, "inside a list of 4294967295 that starts at 8") != NULL);
    messages_free_table(&message);
}

void check_messages(void)
{
    check_config();
    check_config_bounds();
    check_lists();
    check_lying_count();
}
