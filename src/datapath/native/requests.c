#include "requests.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "clock.h"
#include "configure.h"
#include "forwarder.h"
#include "messages.h"
#include "version.h"

void reply_refuse(struct reply *reply, enum refusal refusal, const char *format, ...)
{
    va_list arguments;

    reply->refused = true;
    reply->refusal = refusal;
    va_start(arguments, format);
    vsnprintf(reply->text, sizeof reply->text, format, arguments);
    va_end(arguments);
}

/* The payload was not in order; or memory was too short to look. */
static void refuse_payload(struct reply *reply, const struct byte_reader *reader)
{
    reply_refuse(reply, reader->short_of_memory ? REFUSED_INTERNAL : REFUSED_MALFORMED, "%s", reader->error);
    if (!reader->short_of_memory)
        reply->afterwards = HANG_UP;
}

static void refuse_version(struct reply *reply, unsigned version)
{
    reply_refuse(reply, REFUSED_VERSION_MISMATCH,
                 "the request is of protocol version %u, and this engine (native %s, pid %d) speaks version %d: it "
                 "goes on forwarding; to have the matching version started: corduroy datapath restart",
                 version, CORDUROY_VERSION, getpid(), PROTOCOL_VERSION);
}

static bool may_have_routes(const struct engine *engine, struct reply *reply)
{
    if (!engine->configured)
        reply_refuse(reply, REFUSED_NOT_CONFIGURED, "the engine is idle: configure it first");
    return engine->configured;
}

/* A table that was built apart, put in place. With the first one forwarding begins: until then packets wait, instead of
 * being told that there is no route. */
static void swap(struct engine *engine, struct table *table, struct reply *reply)
{
    if (table == NULL) {
        reply_refuse(reply, REFUSED_INTERNAL, "memory is short for the table: the one before is in place");
        return;
    }
    forwarder_swap_table(engine, table);
    forwarder_go(engine);
}

static void replace_routes(struct engine *engine, struct byte_reader *reader, struct reply *reply)
{
    struct table_message message;

    if (!messages_read_table(reader, &message))
        refuse_payload(reply, reader);
    else if (may_have_routes(engine, reply))
        swap(engine,
             table_build(message.generation, message.local, message.local_count, message.routes, message.route_count,
                         atomic_load(&engine->table)),
             reply);
    messages_free_table(&message);
}

static void update_routes(struct engine *engine, struct byte_reader *reader, struct reply *reply)
{
    const struct table *table = atomic_load(&engine->table);
    struct change_message message;

    if (!messages_read_change(reader, &message))
        refuse_payload(reply, reader);
    else if (!may_have_routes(engine, reply))
        ; /* refused */
    else if (table->generation != message.from)
        reply_refuse(reply, REFUSED_WRONG_GENERATION,
                     "the change starts from generation %" PRIu64 ", and the table is of generation %" PRIu64
                     ": send the whole table",
                     message.from, table->generation);
    else
        swap(engine,
             table_patch(table, message.to, message.remove, message.remove_count, message.set, message.set_count),
             reply);
    messages_free_change(&message);
}

static void configure(struct engine *engine, struct byte_reader *reader, struct reply *reply)
{
    struct engine_config config;

    if (messages_read_config(reader, &config))
        configure_engine(engine, &config, reply);
    else
        refuse_payload(reply, reader);
}

/* The requests without a payload. */
static void handle_bare(struct engine *engine, unsigned type, struct byte_reader *reader, struct reply *reply)
{
    if (!reader_end(reader)) {
        refuse_payload(reply, reader);
        return;
    }
    if (type == REQUEST_HELLO)
        messages_write_hello(&reply->payload, engine);
    else if (type == REQUEST_STATS)
        messages_write_stats(&reply->payload, engine, now_ms());
    else
        reply->afterwards = END_AS_ASKED;
}

void requests_handle(struct engine *engine, const struct frame *frame, struct reply *reply)
{
    struct byte_reader reader;

    memset(reply, 0, sizeof *reply);
    reader_init(&reader, frame->payload, frame->length);
    /* SHUTDOWN is the same in every version: another program's daemon can end this engine and start its own. */
    if (frame->version != PROTOCOL_VERSION && frame->type != REQUEST_SHUTDOWN) {
        refuse_version(reply, frame->version);
        return;
    }
    switch (frame->type) {
    case REQUEST_HELLO:
    case REQUEST_STATS:
    case REQUEST_SHUTDOWN:
        handle_bare(engine, frame->type, &reader, reply);
        break;
    case REQUEST_CONFIGURE:
        configure(engine, &reader, reply);
        break;
    case REQUEST_REPLACE_ROUTES:
        replace_routes(engine, &reader, reply);
        break;
    case REQUEST_UPDATE_ROUTES:
        update_routes(engine, &reader, reply);
        break;
    default:
        reply_refuse(reply, REFUSED_UNKNOWN_REQUEST, "there is no request of type %u in version %d", frame->type,
                     PROTOCOL_VERSION);
    }
    if (!reply->refused && reply->payload.failed)
        reply_refuse(reply, REFUSED_INTERNAL, "memory is short for the answer: ask again");
}
