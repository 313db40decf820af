/* Tables and changes as they come in messages: read, built, and searched, against lists. */
#include "encode.h"
#include "input.h"
#include "messages.h"
#include "table.h"

enum { LIST_MAX = 40, ROUTES_MAX = 256 };

/* What the routes are by now, as the prefixes and endpoints of the messages. */
static struct model {
    struct prefix local[LIST_MAX];
    size_t local_count;
    struct route_wish route[ROUTES_MAX];
    size_t route_count;
} model;

static bool is_same_address(struct address one, struct address other)
{
    return one.family == other.family && one.high == other.high && one.low == other.low;
}

static bool is_same_prefix(const struct prefix *one, const struct prefix *other)
{
    return one->length == other->length && is_same_address(one->address, other->address);
}

static bool holds(const struct prefix *prefix, struct address address)
{
    unsigned bit;

    if (prefix->address.family != address.family)
        return false;
    for (bit = 0; bit < prefix->length; bit++) {
        uint64_t one = bit < 64 ? prefix->address.high : prefix->address.low;
        uint64_t other = bit < 64 ? address.high : address.low;

        if (((one ^ other) >> (63 - bit % 64) & 1) != 0)
            return false;
    }
    return true;
}

static void model_set(const struct route_wish *wish)
{
    size_t index;

    for (index = 0; index < model.route_count; index++)
        if (is_same_prefix(&model.route[index].prefix, &wish->prefix))
            break;
    CHECK(index < ROUTES_MAX);
    model.route[index] = *wish;
    if (index == model.route_count)
        model.route_count++;
}

static void model_remove(const struct prefix *prefix)
{
    size_t index;

    for (index = 0; index < model.route_count; index++)
        if (is_same_prefix(&model.route[index].prefix, prefix))
            model.route[index--] = model.route[--model.route_count];
}

/* Puts a list into a message, from the input. Returns false when it put in something that has to be refused. */
static bool put_list(struct input *input, struct encoder *encoder, bool routes)
{
    static const uint8_t LENGTHS[2][8] = {{0, 8, 16, 18, 24, 31, 32, 32}, {0, 8, 48, 64, 65, 72, 127, 128}};
    uint8_t decision = input_u8(input);
    size_t count = decision % LIST_MAX, index;
    bool valid = decision != 0xff;

    encode_number(encoder, valid ? count : 0xffffffff, 4);
    for (index = 0; index < count; index++) {
        uint8_t kind = input_u8(input), choice = input_u8(input);
        uint8_t length = LENGTHS[kind & 1][kind >> 1 & 7];
        size_t at = encoder->length;

        encode_prefix(encoder, kind & 1 ? 6 : 4, length, choice);
        if (choice == 0xff) { /* a host bit, or a length that cannot be */
            if (length < (kind & 1 ? 128 : 32))
                encoder->bytes[encoder->length - 1] |= 1;
            else
                encoder->bytes[at + 1]++;
            valid = false;
        } else if (choice == 0xfe) { /* a family that is none */
            encoder->bytes[at] = 5;
            valid = false;
        }
        if (routes) {
            uint16_t port = choice == 0xfd ? 0 : (uint16_t)(8285 + (kind >> 5));

            encode_endpoint(encoder, kind & 16 ? 6 : 4, port, (uint8_t)(choice * 7 + kind));
            valid = valid && port != 0;
        }
    }
    return valid;
}

/* What was read has to be what was written: writing it again brings back the bytes. */
static void check_read(const struct prefix *prefixes, size_t prefix_count, const struct route_wish *routes,
                       size_t route_count, const struct encoder *encoder, size_t at)
{
    struct byte_writer writer = {0};
    size_t index;

    writer_u32(&writer, (uint32_t)prefix_count);
    for (index = 0; index < prefix_count + route_count; index++) {
        const struct prefix *prefix = index < prefix_count ? &prefixes[index] : &routes[index - prefix_count].prefix;
        struct byte_writer address = {0};

        if (index == prefix_count)
            writer_u32(&writer, (uint32_t)route_count);
        writer_address(&address, &prefix->address);
        writer_u8(&writer, address.bytes[0]);
        writer_u8(&writer, prefix->length);
        for (size_t byte = 1; byte < address.length; byte++)
            writer_u8(&writer, address.bytes[byte]);
        free(address.bytes);
        if (index >= prefix_count)
            writer_endpoint(&writer, &routes[index - prefix_count].to);
    }
    if (route_count == 0)
        writer_u32(&writer, 0);
    CHECK(!writer.failed && writer.length == encoder->length - at);
    CHECK(memcmp(writer.bytes, encoder->bytes + at, writer.length) == 0);
    free(writer.bytes);
}

static const struct route_wish *model_route(struct address destination)
{
    const struct route_wish *best = NULL;
    size_t index;

    for (index = 0; index < model.route_count; index++)
        if (holds(&model.route[index].prefix, destination) &&
            (best == NULL || model.route[index].prefix.length > best->prefix.length))
            best = &model.route[index];
    return best;
}

static void check_address(const struct table *table, struct address address)
{
    const struct route_wish *wish = model_route(address);
    const struct route *route = table_route(table, address);
    const struct peer *sender = table_sender(table, address);
    bool local = false, peer = false;
    size_t index;

    CHECK((wish == NULL) == (route == NULL));
    if (route != NULL) {
        CHECK(is_same_prefix(&route->prefix, &wish->prefix));
        CHECK(route->to.length == wish->to.length);
        CHECK(memcmp(&route->to.socket, &wish->to.socket, wish->to.length) == 0);
        CHECK(is_same_address(route->peer->address, endpoint_address(&wish->to)));
        CHECK(table_sender(table, route->peer->address) == route->peer);
    }
    for (index = 0; index < model.local_count; index++)
        local = local || holds(&model.local[index], address);
    CHECK(table_is_local(table, address) == local);
    for (index = 0; index < model.route_count; index++)
        peer = peer || is_same_address(endpoint_address(&model.route[index].to), address);
    CHECK((sender != NULL) == peer);
}

static void check_table(const struct table *table, struct input *input)
{
    uint8_t looks = input_u8(input) & 15;
    size_t index;

    CHECK(table->route_count == model.route_count && table->peer_count <= table->route_count);
    for (index = 0; index < table->peer_count; index++)
        CHECK(table->peer[index]->tables == 1);
    while (looks-- > 0) {
        static struct encoder encoder;
        struct byte_reader reader;

        encoder.length = 0;
        encode_address(&encoder, looks & 1 ? 6 : 4, input_u8(input));
        reader_init(&reader, encoder.bytes, encoder.length);
        check_address(table, reader_address(&reader));
    }
    for (index = 0; index < model.route_count && index < 8; index++)
        check_address(table, endpoint_address(&model.route[index].to));
}

/* A peer that stays keeps its counters, a new one starts at nothing. Marks each for the next time. */
static void check_peers(struct table *table, const struct table *previous)
{
    size_t index;

    for (index = 0; index < table->peer_count; index++) {
        struct peer *peer = table->peer[index];
        const struct peer *before = previous == NULL ? NULL : table_sender(previous, peer->address);

        CHECK(before == NULL ? atomic_load(&peer->sent_packets) == 0 : before == peer);
        atomic_store(&peer->sent_packets, 1);
    }
}

/* A message of exactly its length, so that a read beyond it is seen. */
static uint8_t *open_message(struct byte_reader *reader, const struct encoder *encoder)
{
    uint8_t *bytes = exact(encoder->bytes, encoder->length);

    reader_init(reader, bytes, encoder->length);
    return bytes;
}

static struct table *build(struct input *input, struct encoder *encoder, const struct table *previous)
{
    struct table_message message;
    struct byte_reader reader;
    struct table *table = NULL;
    uint8_t *bytes;
    size_t index;
    bool valid;

    encode_number(encoder, 7, 8);
    valid = put_list(input, encoder, false);
    valid = put_list(input, encoder, true) && valid;
    bytes = open_message(&reader, encoder);
    if (messages_read_table(&reader, &message)) {
        CHECK(valid);
        check_read(message.local, message.local_count, message.routes, message.route_count, encoder, 8);
        model.local_count = message.local_count;
        if (message.local_count > 0)
            memcpy(model.local, message.local, message.local_count * sizeof model.local[0]);
        model.route_count = 0;
        for (index = 0; index < message.route_count; index++)
            model_set(&message.routes[index]);
        table = table_build(message.generation, message.local, message.local_count, message.routes,
                            message.route_count, previous);
        CHECK(table != NULL && table->generation == 7);
    } else {
        CHECK(!valid && reader.error[0] != '\0');
    }
    messages_free_table(&message);
    free(bytes);
    return table;
}

static struct table *patch(struct input *input, struct encoder *encoder, const struct table *previous)
{
    struct change_message message;
    struct byte_reader reader;
    struct table *table = NULL;
    uint8_t *bytes;
    size_t index;
    bool valid;

    encode_number(encoder, 7, 8);
    encode_number(encoder, 8, 8);
    valid = put_list(input, encoder, false);
    valid = put_list(input, encoder, true) && valid;
    bytes = open_message(&reader, encoder);
    if (messages_read_change(&reader, &message)) {
        CHECK(valid);
        check_read(message.remove, message.remove_count, message.set, message.set_count, encoder, 16);
        for (index = 0; index < message.remove_count; index++)
            model_remove(&message.remove[index]);
        for (index = 0; index < message.set_count; index++)
            model_set(&message.set[index]);
        table = table_patch(previous, message.to, message.remove, message.remove_count, message.set,
                            message.set_count);
        CHECK(table != NULL && table->generation == 8);
    } else {
        CHECK(!valid && reader.error[0] != '\0');
    }
    messages_free_change(&message);
    free(bytes);
    return table;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input input = {data, size};
    struct table *table = NULL;
    unsigned turns;

    model.local_count = model.route_count = 0;
    for (turns = 0; turns < 6 && input.left > 0; turns++) {
        static struct encoder encoder;
        bool whole = (input_u8(&input) & 1) == 0 || table == NULL;
        struct table *next;

        encoder.length = 0;
        next = whole ? build(&input, &encoder, table) : patch(&input, &encoder, table);
        if (next == NULL)
            continue;
        check_peers(next, table);
        table_free(table);
        table = next;
        check_table(table, &input);
    }
    table_free(table);
    return 0;
}
