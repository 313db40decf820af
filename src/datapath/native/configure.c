#include "configure.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "forwarder.h"
#include "log.h"
#include "messages.h"
#include "seccomp.h"
#include "unprivileged.h"

/* REPLY_TEXT holds two configurations of the usual kind: a text that is longer is cut. */
enum { CONFIG_TEXT = 1024, STEP_TEXT = 384 };

static const char *yes_no(bool value)
{
    return value ? "true" : "false";
}

static const char *describe(const struct engine_config *config, char text[CONFIG_TEXT])
{
    char sources[ICMP_SOURCES_MAX * (ADDRESS_TEXT + 2)] = "none";
    char listen[ENDPOINT_TEXT], address[ADDRESS_TEXT];
    size_t length = 0;
    unsigned index;

    for (index = 0; index < config->icmp_source_count; index++)
        length += (size_t)snprintf(sources + length, sizeof sources - length, "%s%s", index == 0 ? "" : ", ",
                                   address_text(&config->icmp_source[index], address));
    snprintf(text, CONFIG_TEXT,
             "%s MTU %u on UDP %s, ICMP from %s, strict source %s, offload %s, ECN %s, %u queue%s", config->tun_name,
             config->mtu, endpoint_text(&config->listen, listen), sources, yes_no(config->strict_source),
             yes_no(config->offload), yes_no(config->ecn), config->queues, config->queues == 1 ? "" : "s");
    return text;
}

static bool is_same(const struct engine_config *one, const struct engine_config *other, struct reply *reply)
{
    struct byte_writer first = {0}, second = {0};
    bool same;

    messages_write_config(&first, one);
    messages_write_config(&second, other);
    if (first.failed || second.failed)
        reply_refuse(reply, REFUSED_INTERNAL, "memory is short: configure it again");
    same = !reply->refused && first.length == second.length && memcmp(first.bytes, second.bytes, first.length) == 0;
    free(first.bytes);
    free(second.bytes);
    return same;
}

static void compare(const struct engine *engine, const struct engine_config *config, struct reply *reply)
{
    char present[CONFIG_TEXT], wanted[CONFIG_TEXT];

    if (is_same(&engine->config, config, reply) || reply->refused)
        return;
    reply_refuse(reply, REFUSED_CONFIGURED_OTHERWISE,
                 "the engine is configured already, %s, and not %s: shut it down and start another one",
                 describe(&engine->config, present), describe(config, wanted));
}

/* There is no way back from here to idle, for rights are gone: the engine ends, which closes its sockets, and another
 * can be started. Nothing has been forwarded. */
static void fail(const char *what, const char *why, struct reply *reply)
{
    reply_refuse(reply, REFUSED_CONFIGURE_FAILED, "the engine cannot %s, and ends: %s", what, why);
    reply->afterwards = END_IN_FAULT;
    log_line("%s", reply->text);
}

/* The sockets are open. The workers are made before the filter, so that it is put on them, and wait for the
 * first table. */
static void give_up_rights(struct engine *engine, struct reply *reply)
{
    char rights[STEP_TEXT], filter[STEP_TEXT], text[CONFIG_TEXT];

    if (unprivileged_become(rights, sizeof rights) < 0) {
        fail("give up root", rights, reply);
    } else if (forwarder_start(engine, text, sizeof text) < 0) {
        fail("start to forward", text, reply);
    } else if (seccomp_confine(filter, sizeof filter) < 0) {
        fail("filter its system calls", filter, reply);
    } else {
        engine->configured = true;
        log_line("configured: %s; %s; %s", describe(&engine->config, text), rights, filter);
    }
}

void configure_engine(struct engine *engine, const struct engine_config *config, struct reply *reply)
{
    char error[STEP_TEXT] = "";

    if (engine->configured) {
        compare(engine, config, reply);
        return;
    }
    if (strcmp(config->tun_name, engine->tun_name) != 0) {
        reply_refuse(reply, REFUSED_CONFIGURE_FAILED, "the engine was started with %s, not %s: start another",
                     engine->tun_name, config->tun_name);
        return;
    }
    if (config->queues != engine->queues) {
        reply_refuse(reply, REFUSED_CONFIGURE_FAILED,
                     "the engine was started with --queues %u, not %u: start another", engine->queues, config->queues);
        return;
    }
    engine->config = *config;
    if (forwarder_open(engine, error, sizeof error) < 0)
        reply_refuse(reply, REFUSED_CONFIGURE_FAILED, "%s", error);
    else
        give_up_rights(engine, reply);
}
