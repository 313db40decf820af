#include "requests.h"

#include <stdlib.h>
#include <string.h>

#include "checks.h"
#include "configure.h"
#include "forwarder.h"

/* In place of the forwarding side: a table is swapped, and that is all. */
void forwarder_swap_table(struct engine *engine, struct table *table)
{
    table_free(atomic_exchange(&engine->table, table));
}

void forwarder_go(struct engine *engine)
{
    (void)engine;
}

void configure_engine(struct engine *engine, const struct engine_config *config, struct reply *reply)
{
    (void)reply;
    engine->config = *config;
    engine->configured = true;
}

static struct reply ask(struct engine *engine, unsigned version, unsigned type, const uint8_t *payload, size_t length)
{
    struct frame frame = {.version = version, .type = type, .id = 1, .payload = payload, .length = length};
    struct reply reply;

    requests_handle(engine, &frame, &reply);
    return reply;
}

static bool is_refused(struct reply reply, enum refusal refusal, const char *text, enum afterwards afterwards)
{
    free(reply.payload.bytes);
    return reply.refused && reply.refusal == refusal && strstr(reply.text, text) != NULL &&
           reply.afterwards == afterwards;
}

static bool is_granted(struct reply reply, enum afterwards afterwards)
{
    free(reply.payload.bytes);
    return !reply.refused && reply.afterwards == afterwards;
}

/* A whole table: generation 7, 10.5.1.0/24 here, 10.5.2.0/24 at 192.0.2.2:8285. */
static const uint8_t TABLE[] = {0, 0, 0, 0, 0, 0, 0, 7, 0, 0,  0, 1,    4,    24,  10, 5, 1,
                                0, 0, 0, 0, 1, 4, 24, 10, 5, 2, 0, 4,    0x20, 0x5d, 192, 0, 2, 2};
/* From 7 to 8: 10.5.2.0/24 is removed. */
static const uint8_t CHANGE[] = {0, 0, 0, 0, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0, 8, 0,
                                 0, 0, 1, 4, 24, 10, 5, 2, 0, 0, 0, 0, 0};
static const uint8_t CONFIG[] = {0, 2, 't', '0', 0, 0, 5, 0xc0, 4, 0x20, 0x5d, 192, 0, 2, 1, 0, 7, 1};

static void check_idle(struct engine *engine)
{
    CHECK(is_granted(ask(engine, 2, REQUEST_HELLO, NULL, 0), GO_ON));
    CHECK(is_granted(ask(engine, 2, REQUEST_STATS, NULL, 0), GO_ON));
    CHECK(is_refused(ask(engine, 2, REQUEST_REPLACE_ROUTES, TABLE, sizeof TABLE), REFUSED_NOT_CONFIGURED,
                     "configure it first", GO_ON));
    CHECK(is_refused(ask(engine, 2, REQUEST_UPDATE_ROUTES, CHANGE, sizeof CHANGE), REFUSED_NOT_CONFIGURED,
                     "configure it first", GO_ON));
    CHECK(is_refused(ask(engine, 9, REQUEST_HELLO, NULL, 0), REFUSED_VERSION_MISMATCH, "version 9", GO_ON));
    CHECK(is_refused(ask(engine, 2, 77, TABLE, 1), REFUSED_UNKNOWN_REQUEST, "type 77", GO_ON));
    CHECK(is_refused(ask(engine, 2, REQUEST_HELLO, TABLE, 1), REFUSED_MALFORMED, "left over", HANG_UP));
    CHECK(is_refused(ask(engine, 9, REQUEST_SHUTDOWN, TABLE, 1), REFUSED_MALFORMED, "left over", HANG_UP));
    CHECK(is_granted(ask(engine, 9, REQUEST_SHUTDOWN, NULL, 0), END_AS_ASKED));
    CHECK(is_granted(ask(engine, 1, REQUEST_SHUTDOWN, NULL, 0), END_AS_ASKED));
}

static void check_routes(struct engine *engine)
{
    CHECK(is_granted(ask(engine, 2, REQUEST_CONFIGURE, CONFIG, sizeof CONFIG), GO_ON));
    CHECK(is_granted(ask(engine, 2, REQUEST_REPLACE_ROUTES, TABLE, sizeof TABLE), GO_ON));
    CHECK(atomic_load(&engine->table)->generation == 7 && atomic_load(&engine->table)->route_count == 1);
    CHECK(is_granted(ask(engine, 2, REQUEST_STATS, NULL, 0), GO_ON));
    CHECK(is_refused(ask(engine, 2, REQUEST_REPLACE_ROUTES, TABLE, sizeof TABLE - 1), REFUSED_MALFORMED,
                     "ends at byte", HANG_UP));
    CHECK(is_granted(ask(engine, 2, REQUEST_UPDATE_ROUTES, CHANGE, sizeof CHANGE), GO_ON));
    CHECK(atomic_load(&engine->table)->generation == 8 && atomic_load(&engine->table)->route_count == 0);
    CHECK(atomic_load(&engine->table)->local_count == 1);
    CHECK(is_refused(ask(engine, 2, REQUEST_UPDATE_ROUTES, CHANGE, sizeof CHANGE), REFUSED_WRONG_GENERATION,
                     "generation 7, and the table is of generation 8", GO_ON));
}

void check_requests(void)
{
    struct engine *engine = calloc(1, sizeof *engine);

    atomic_init(&engine->table, table_build(0, NULL, 0, NULL, 0, NULL));
    check_idle(engine);
    check_routes(engine);
    table_free(atomic_load(&engine->table));
    free(engine);
}
