#include "messages.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "version.h"

/* Largest inner packet: what fits a UDP datagram over IPv4. Smallest: what every IPv4 link must carry (RFC 791). */
enum { MTU_MIN = 68, MTU_MAX = 65507 };
enum { FLAG_STRICT_SOURCE = 1, FLAG_OFFLOAD = 2, FLAG_ECN = 4, FLAGS = 7 };
/* Bytes of the shortest prefix and route: those of IPv4. */
enum { PREFIX_MIN = 6, ROUTE_MIN = PREFIX_MIN + 7 };

static void read_tun_name(struct byte_reader *reader, char name[IFNAMSIZ])
{
    size_t length;
    const uint8_t *bytes = reader_string(reader, &length);

    if (reader->failed)
        return;
    if (length == 0 || length >= IFNAMSIZ) {
        reader_fail(reader, "a text of %zu bytes is not a device name of 1 … %d bytes", length, IFNAMSIZ - 1);
        return;
    }
    if (memchr(bytes, 0, length) != NULL) {
        reader_fail(reader, "a text with a zero byte is not a device name");
        return;
    }
    memcpy(name, bytes, length);
}

static void read_icmp_sources(struct byte_reader *reader, struct engine_config *config)
{
    unsigned count = reader_u8(reader);

    if (count > ICMP_SOURCES_MAX)
        reader_fail(reader, "%u ICMP sources are more than %d", count, ICMP_SOURCES_MAX);
    for (; !reader->failed && config->icmp_source_count < count; config->icmp_source_count++)
        config->icmp_source[config->icmp_source_count] = reader_address(reader);
}

bool messages_read_config(struct byte_reader *reader, struct engine_config *config)
{
    unsigned flags;

    memset(config, 0, sizeof *config);
    read_tun_name(reader, config->tun_name);
    config->mtu = reader_u32(reader);
    if (config->mtu < MTU_MIN || config->mtu > MTU_MAX)
        reader_fail(reader, "an MTU of %u is not in %d … %d", config->mtu, MTU_MIN, MTU_MAX);
    config->listen = reader_endpoint(reader);
    read_icmp_sources(reader, config);
    flags = reader_u8(reader);
    if ((flags & ~(unsigned)FLAGS) != 0)
        reader_fail(reader, "flags of %u are not in 0 … %d", flags, FLAGS);
    config->strict_source = (flags & FLAG_STRICT_SOURCE) != 0;
    config->offload = (flags & FLAG_OFFLOAD) != 0;
    config->ecn = (flags & FLAG_ECN) != 0;
    config->queues = reader_u8(reader);
    if (config->queues < 1 || config->queues > QUEUES_MAX)
        reader_fail(reader, "%u queues are not in 1 … %d", config->queues, QUEUES_MAX);
    return reader_end(reader);
}

/* Memory for a list whose count has been checked against the bytes of the message. */
static void *list_memory(struct byte_reader *reader, size_t count, size_t element_size)
{
    void *memory;

    if (reader->failed || count == 0)
        return NULL;
    memory = calloc(count, element_size);
    if (memory == NULL) {
        reader_fail(reader, "memory is short for a list of %zu", count);
        reader->short_of_memory = true;
    }
    return memory;
}

static struct prefix *read_prefixes(struct byte_reader *reader, size_t *count)
{
    size_t announced = reader_count(reader, PREFIX_MIN);
    struct prefix *prefixes = list_memory(reader, announced, sizeof *prefixes);

    for (*count = 0; !reader->failed && *count < announced; ++*count)
        prefixes[*count] = reader_prefix(reader);
    return prefixes;
}

static struct route_wish *read_routes(struct byte_reader *reader, size_t *count)
{
    size_t announced = reader_count(reader, ROUTE_MIN);
    struct route_wish *routes = list_memory(reader, announced, sizeof *routes);

    for (*count = 0; !reader->failed && *count < announced; ++*count) {
        routes[*count].prefix = reader_prefix(reader);
        routes[*count].to = reader_endpoint(reader);
    }
    return routes;
}

bool messages_read_table(struct byte_reader *reader, struct table_message *message)
{
    memset(message, 0, sizeof *message);
    message->generation = reader_u64(reader);
    message->local = read_prefixes(reader, &message->local_count);
    message->routes = read_routes(reader, &message->route_count);
    return reader_end(reader);
}

bool messages_read_change(struct byte_reader *reader, struct change_message *message)
{
    memset(message, 0, sizeof *message);
    message->from = reader_u64(reader);
    message->to = reader_u64(reader);
    message->remove = read_prefixes(reader, &message->remove_count);
    message->set = read_routes(reader, &message->set_count);
    return reader_end(reader);
}

void messages_free_table(struct table_message *message)
{
    free(message->local);
    free(message->routes);
}

void messages_free_change(struct change_message *message)
{
    free(message->remove);
    free(message->set);
}

void messages_write_config(struct byte_writer *writer, const struct engine_config *config)
{
    unsigned index;

    writer_string(writer, config->tun_name);
    writer_u32(writer, config->mtu);
    writer_endpoint(writer, &config->listen);
    writer_u8(writer, config->icmp_source_count);
    for (index = 0; index < config->icmp_source_count; index++)
        writer_address(writer, &config->icmp_source[index]);
    writer_u8(writer, (config->strict_source ? FLAG_STRICT_SOURCE : 0u) | (config->offload ? FLAG_OFFLOAD : 0u) |
                          (config->ecn ? FLAG_ECN : 0u));
    writer_u8(writer, config->queues);
}

void messages_write_hello(struct byte_writer *writer, const struct engine *engine)
{
    writer_string(writer, "native");
    writer_string(writer, CORDUROY_VERSION);
    writer_u32(writer, (uint32_t)getpid());
    writer_u8(writer, engine->configured ? 1 : 0);
    if (engine->configured)
        messages_write_config(writer, &engine->config);
}

void messages_write_error(struct byte_writer *writer, enum refusal refusal, const char *text)
{
    writer_u16(writer, refusal);
    writer_string(writer, text);
}

static uint64_t count_of(atomic_uint_fast64_t *counter)
{
    return atomic_load_explicit(counter, memory_order_relaxed);
}

static void write_drops(struct byte_writer *writer, struct engine *engine)
{
    unsigned reason;

    /* Numbers between the reasons that mean nothing are zero, and left out by the reader. */
    writer_u16(writer, DROP_REASONS_END - 1);
    for (reason = 1; reason < DROP_REASONS_END; reason++) {
        writer_u16(writer, reason);
        writer_u64(writer, count_of(&engine->drops[reason]));
    }
}

static void write_offloads(struct byte_writer *writer, struct engine *engine)
{
    unsigned number;

    writer_u8(writer, OFFLOADS_END - 1);
    for (number = 1; number < OFFLOADS_END; number++) {
        struct offload_status *status = &engine->offload[number];
        int state = atomic_load_explicit(&status->state, memory_order_acquire);

        if (state == OFFLOAD_LOSING)
            state = OFFLOAD_ON; /* for a moment more, until its reason is written */
        writer_u8(writer, number);
        writer_u8(writer, (unsigned)state);
        writer_string(writer, state == OFFLOAD_ON ? "" : status->reason);
    }
}

static void write_no_segment(struct byte_writer *writer, struct peer *peer, uint64_t now)
{
    int error = atomic_load_explicit(&peer->segment_error, memory_order_relaxed);
    char text[REASON_TEXT] = "";

    if (error != 0 && count_of(&peer->no_segment_until) > now)
        snprintf(text, sizeof text, "the path refused them: %s", strerror(error));
    writer_string(writer, text);
}

void messages_write_stats(struct byte_writer *writer, struct engine *engine, uint64_t now)
{
    const struct table *table = atomic_load(&engine->table);
    size_t index;

    writer_u64(writer, table->generation);
    writer_u32(writer, (uint32_t)table->route_count);
    write_drops(writer, engine);
    write_offloads(writer, engine);
    writer_u32(writer, (uint32_t)table->peer_count);
    for (index = 0; index < table->peer_count; index++) {
        struct peer *peer = table->peer[index];

        writer_address(writer, &peer->address);
        writer_u64(writer, count_of(&peer->sent_packets));
        writer_u64(writer, count_of(&peer->sent_bytes));
        writer_u64(writer, count_of(&peer->received_packets));
        writer_u64(writer, count_of(&peer->received_bytes));
        writer_u32(writer, (uint32_t)atomic_load_explicit(&peer->path_mtu, memory_order_relaxed));
        write_no_segment(writer, peer, now);
    }
}
