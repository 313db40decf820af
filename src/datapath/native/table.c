#include "table.h"

#include <stdlib.h>
#include <string.h>

enum { CACHE_LINE = 64 };

/* Peers do not share a cache line: each is counted in by other threads at the same time. */
static struct peer *peer_new(struct address address)
{
    size_t size = (sizeof(struct peer) + CACHE_LINE - 1) / CACHE_LINE * CACHE_LINE;
    struct peer *peer = aligned_alloc(CACHE_LINE, size);

    if (peer == NULL)
        return NULL;
    memset(peer, 0, size);
    peer->address = address;
    return peer;
}

static struct prefix host_prefix(struct address address)
{
    return (struct prefix){.address = address, .length = address.family == 4 ? 32 : 128};
}

static struct table *table_new(uint64_t generation, size_t local_count, size_t route_count)
{
    struct table *table = calloc(1, sizeof *table);
    unsigned family;

    if (table == NULL)
        return NULL;
    table->generation = generation;
    /* One more than needed: calloc may return NULL for none. */
    table->local_prefix = calloc(local_count + 1, sizeof *table->local_prefix);
    table->route = calloc(route_count + 1, sizeof *table->route);
    table->peer = calloc(route_count + 1, sizeof(struct peer *));
    for (family = 0; family < 2; family++) {
        uint8_t number = family == 0 ? 4 : 6;

        table->local[family] = prefix_map_new(number);
        table->routes[family] = prefix_map_new(number);
        table->senders[family] = prefix_map_new(number);
        if (table->local[family] == NULL || table->routes[family] == NULL || table->senders[family] == NULL)
            break;
    }
    if (table->local_prefix == NULL || table->route == NULL || table->peer == NULL || family < 2) {
        table_free(table);
        return NULL;
    }
    return table;
}

static int add_local(struct table *table, const struct prefix *prefix)
{
    table->local_prefix[table->local_count++] = *prefix;
    return prefix_map_set(table->local[family_index(prefix->address.family)], prefix, 0);
}

/* A prefix that is there already gets the route that comes now. */
static int add_route(struct table *table, const struct route_wish *wish)
{
    struct prefix_map *map = table->routes[family_index(wish->prefix.address.family)];
    uint32_t index;

    if (!prefix_map_get(map, &wish->prefix, &index)) {
        index = (uint32_t)table->route_count;
        if (prefix_map_set(map, &wish->prefix, index) < 0)
            return -1;
        table->route_count++;
    }
    table->route[index] = (struct route){.prefix = wish->prefix, .to = wish->to};
    return 0;
}

/* The peer of a route: of this table, of the previous one, or a new one. */
static int add_peer(struct table *table, struct route *route, const struct table *previous)
{
    struct address address = endpoint_address(&route->to);
    struct prefix host = host_prefix(address);

    route->peer = table_sender(table, address);
    if (route->peer != NULL)
        return 0;
    if (prefix_map_set(table->senders[family_index(address.family)], &host, (uint32_t)table->peer_count) < 0)
        return -1;
    route->peer = previous == NULL ? NULL : table_sender(previous, address);
    if (route->peer == NULL)
        route->peer = peer_new(address);
    if (route->peer == NULL)
        return -1;
    route->peer->tables++;
    table->peer[table->peer_count++] = route->peer;
    return 0;
}

struct table *table_build(uint64_t generation, const struct prefix *local, size_t local_count,
                          const struct route_wish *routes, size_t route_count, const struct table *previous)
{
    struct table *table = table_new(generation, local_count, route_count);
    bool built = table != NULL;
    size_t index;

    for (index = 0; built && index < local_count; index++)
        built = add_local(table, &local[index]) == 0;
    for (index = 0; built && index < route_count; index++)
        built = add_route(table, &routes[index]) == 0;
    /* Afterwards: a peer that only a replaced route led to is none. */
    for (index = 0; built && index < table->route_count; index++)
        built = add_peer(table, &table->route[index], previous) == 0;
    if (built)
        return table;
    table_free(table);
    return NULL;
}

static bool holds(struct prefix_map *const maps[2], const struct prefix *prefix)
{
    uint32_t value;

    return prefix_map_get(maps[family_index(prefix->address.family)], prefix, &value);
}

/* Lists what is left of the routes of `table`, and then `set`. Returns 0, or -1 when memory is short. */
static int list_patched(const struct table *table, struct prefix_map *const removed[2], const struct route_wish *set,
                        size_t set_count, struct route_wish **wishes, size_t *wish_count)
{
    struct route_wish *list = calloc(table->route_count + set_count + 1, sizeof *list);
    size_t count = 0, index;

    if (list == NULL)
        return -1;
    for (index = 0; index < table->route_count; index++) {
        const struct route *route = &table->route[index];

        if (!holds(removed, &route->prefix))
            list[count++] = (struct route_wish){.prefix = route->prefix, .to = route->to};
    }
    for (index = 0; index < set_count; index++)
        list[count++] = set[index];
    *wishes = list;
    *wish_count = count;
    return 0;
}

struct table *table_patch(const struct table *table, uint64_t to, const struct prefix *remove, size_t remove_count,
                          const struct route_wish *set, size_t set_count)
{
    struct prefix_map *removed[2] = {prefix_map_new(4), prefix_map_new(6)};
    bool listed = removed[0] != NULL && removed[1] != NULL;
    struct route_wish *wishes = NULL;
    size_t wish_count = 0, index;
    struct table *patched = NULL;

    for (index = 0; listed && index < remove_count; index++)
        listed = prefix_map_set(removed[family_index(remove[index].address.family)], &remove[index], 0) == 0;
    if (listed && list_patched(table, removed, set, set_count, &wishes, &wish_count) == 0)
        patched = table_build(to, table->local_prefix, table->local_count, wishes, wish_count, table);
    free(wishes);
    prefix_map_free(removed[0]);
    prefix_map_free(removed[1]);
    return patched;
}

void table_free(struct table *table)
{
    unsigned family;
    size_t index;

    if (table == NULL)
        return;
    for (index = 0; index < table->peer_count; index++) {
        struct peer *peer = table->peer[index];

        if (--peer->tables == 0)
            free(peer);
    }
    for (family = 0; family < 2; family++) {
        prefix_map_free(table->local[family]);
        prefix_map_free(table->routes[family]);
        prefix_map_free(table->senders[family]);
    }
    free(table->local_prefix);
    free(table->route);
    free(table->peer);
    free(table);
}
