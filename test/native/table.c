#include "table.h"

#include <stdio.h>
#include <time.h>

#include "checks.h"
#include "random-prefix.h"

enum { PEERS = 12, ROUTES_MAX = 60, CHANGES = 60, MANY = 10000 };

static struct endpoint random_endpoint(void)
{
    uint8_t bytes[16] = {10, 0, 0, (uint8_t)random_below(PEERS)};
    struct address address = random_below(2) == 0 ? address_v4(bytes) : address_v6(bytes);

    return endpoint_of(address, (uint16_t)(8285 + random_below(2)));
}

static size_t random_routes(struct route_wish *wishes)
{
    size_t count = random_below(ROUTES_MAX), index;

    for (index = 0; index < count; index++)
        wishes[index] = (struct route_wish){random_prefix(random_below(2) == 0 ? 4 : 6), random_endpoint()};
    return count;
}

static const struct route *route_of(const struct table *table, const struct prefix *prefix)
{
    size_t index;

    for (index = 0; index < table->route_count; index++) {
        if (same_prefix(&table->route[index].prefix, prefix))
            return &table->route[index];
    }
    return NULL;
}

static bool same_endpoint(const struct endpoint *one, const struct endpoint *other)
{
    return one->length == other->length && memcmp(&one->socket, &other->socket, one->length) == 0;
}

static void check_same(const struct table *table, const struct table *expected)
{
    size_t index;

    CHECK(table->generation == expected->generation);
    CHECK(table->route_count == expected->route_count);
    CHECK(table->peer_count == expected->peer_count);
    for (index = 0; index < expected->route_count; index++) {
        const struct route *wanted = &expected->route[index];
        const struct route *route = route_of(table, &wanted->prefix);
        struct address outer = endpoint_address(&wanted->to);

        CHECK(route != NULL && same_endpoint(&route->to, &wanted->to));
        CHECK(table_sender(table, outer) == route->peer);
        CHECK(memcmp(&route->peer->address, &outer, sizeof outer.high * 2) == 0);
    }
    for (index = 0; index < 200; index++) {
        struct address address = random_address(index % 2 == 0 ? 4 : 6);
        const struct route *route = table_route(table, address), *wanted = table_route(expected, address);

        CHECK((route == NULL) == (wanted == NULL));
        CHECK(route == NULL || same_endpoint(&route->to, &wanted->to));
        CHECK(table_is_local(table, address) == table_is_local(expected, address));
    }
}

/* What a change makes of a table, written down as a whole one. */
static struct table *rebuilt(const struct table *table, uint64_t to, const struct prefix *remove, size_t remove_count,
                             const struct route_wish *set, size_t set_count)
{
    struct route_wish wishes[3 * ROUTES_MAX];
    size_t count = 0, index, other;

    for (index = 0; index < table->route_count; index++) {
        const struct route *route = &table->route[index];

        for (other = 0; other < remove_count && !same_prefix(&remove[other], &route->prefix); other++)
            ;
        if (other == remove_count)
            wishes[count++] = (struct route_wish){route->prefix, route->to};
    }
    for (index = 0; index < set_count; index++)
        wishes[count++] = set[index];
    return table_build(to, table->local_prefix, table->local_count, wishes, count, NULL);
}

/* Patched and rebuilt are the same, and the counters of a peer go on as long as a route leads to it. */
static struct table *check_change(struct table *table, uint64_t to)
{
    struct route_wish set[ROUTES_MAX];
    struct prefix remove[ROUTES_MAX];
    size_t remove_count = random_below(20), set_count = random_routes(set) / 4, index;
    struct table *patched, *expected;

    for (index = 0; index < remove_count; index++)
        remove[index] = table->route_count > 0 && random_below(2) == 0
                            ? table->route[random_below((uint32_t)table->route_count)].prefix
                            : random_prefix(4);
    patched = table_patch(table, to, remove, remove_count, set, set_count);
    expected = rebuilt(table, to, remove, remove_count, set, set_count);
    check_same(patched, expected);
    for (index = 0; index < patched->peer_count; index++) {
        struct peer *before = table_sender(table, patched->peer[index]->address);

        CHECK(before == NULL ? patched->peer[index]->sent_packets == 0 : before == patched->peer[index]);
        CHECK(patched->peer[index]->tables == (before == NULL ? 1 : 2));
        patched->peer[index]->sent_packets++;
    }
    table_free(expected);
    table_free(table);
    return patched;
}

/* A peer that only a replaced route led to is none. */
static void check_replaced_twice(void)
{
    uint8_t one[4] = {192, 0, 2, 1}, two[4] = {192, 0, 2, 2};
    struct prefix prefix = random_prefix(4);
    struct route_wish wishes[2] = {{prefix, endpoint_of(address_v4(one), 1)},
                                   {prefix, endpoint_of(address_v4(two), 1)}};
    struct table *table = table_build(1, NULL, 0, wishes, 2, NULL);

    CHECK(table->route_count == 1 && table->peer_count == 1);
    CHECK(table_sender(table, address_v4(one)) == NULL);
    CHECK(table_sender(table, address_v4(two)) == table->route[0].peer);
    table_free(table);
}

static void check_many(void)
{
    static struct route_wish wishes[MANY];
    struct table *table;
    struct timespec start, end;
    size_t index;

    for (index = 0; index < MANY; index++) {
        uint8_t subnet[4] = {10, (uint8_t)(index >> 8), (uint8_t)index, 0};
        uint8_t peer[4] = {172, 16, (uint8_t)(index >> 8), (uint8_t)index};

        wishes[index] = (struct route_wish){{address_v4(subnet), 24}, endpoint_of(address_v4(peer), 8285)};
    }
    clock_gettime(CLOCK_MONOTONIC, &start);
    table = table_build(1, NULL, 0, wishes, MANY, NULL);
    clock_gettime(CLOCK_MONOTONIC, &end);
    CHECK(table->route_count == MANY && table->peer_count == MANY);
    printf("%d routes in %ld us\n", MANY,
           (end.tv_sec - start.tv_sec) * 1000000 + (end.tv_nsec - start.tv_nsec) / 1000);
    for (index = 0; index < MANY; index++) {
        struct address inside = wishes[index].prefix.address;

        inside.high |= UINT64_C(7) << 32;
        CHECK(table_route(table, inside) == &table->route[index]);
    }
    table_free(table);
}

void check_table(void)
{
    struct route_wish wishes[ROUTES_MAX];
    struct prefix local[2] = {random_prefix(4), random_prefix(6)};
    struct table *table = table_build(1, local, 2, wishes, random_routes(wishes), NULL);
    uint64_t generation;

    CHECK(table_is_local(table, local[0].address) && table_is_local(table, local[1].address));
    for (generation = 2; generation < CHANGES; generation++)
        table = check_change(table, generation);
    table_free(table);
    check_replaced_twice();
    check_many();
}
