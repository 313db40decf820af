#ifndef CORDUROY_TABLE_H
#define CORDUROY_TABLE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "address.h"
#include "prefix-map.h"

/* An outer address that routes lead to. Lives as long as a table leads to it: its counters outlive a swap. Made, kept
 * and freed by the control thread; the workers count in it, and remember what the path to it takes. */
struct peer {
    struct address address;
    unsigned tables; /* that lead to it; the control thread's */

    atomic_uint_fast64_t sent_packets, sent_bytes, received_packets, received_bytes;

    /* Bytes: the largest inner packet that the path takes; 0: as many as the MTU. */
    atomic_uint_fast32_t path_mtu;
    /* Milliseconds of the monotonic clock: when path_mtu was asked of the kernel. */
    atomic_uint_fast64_t path_mtu_at;
    /* The error of a segmented send that the path refused, 0 for none; until when it is not tried again; the one that the
     * log has told of. */
    atomic_int segment_error, segment_error_said;
    atomic_uint_fast64_t no_segment_until;
    /* Bit per kind of failure that the log has told of. */
    atomic_uint_fast64_t said;
};

struct route {
    struct prefix prefix;
    struct endpoint to;
    struct peer *peer;
};

/* A route table in the form that forwarding reads. Never changed after it was built. */
struct table {
    uint64_t generation;
    struct prefix_map *local[2];  /* [0] IPv4, [1] IPv6; values mean nothing */
    struct prefix_map *routes[2]; /* values are indexes of `route` */
    struct prefix_map *senders[2]; /* outer addresses as host prefixes; values are indexes of `peer` */
    struct route *route;
    size_t route_count;
    struct prefix *local_prefix;
    size_t local_count;
    struct peer **peer;
    size_t peer_count;
};

static inline unsigned family_index(uint8_t family)
{
    return family == 4 ? 0 : 1;
}

/* The route to an inner destination; NULL: there is none. */
static inline const struct route *table_route(const struct table *table, struct address destination)
{
    uint32_t index;

    return prefix_map_lookup(table->routes[family_index(destination.family)], destination, &index)
               ? &table->route[index]
               : NULL;
}

/* The peer at an outer address; NULL: it is nobody's. */
static inline struct peer *table_sender(const struct table *table, struct address outer)
{
    uint32_t index;

    return prefix_map_lookup(table->senders[family_index(outer.family)], outer, &index) ? table->peer[index] : NULL;
}

static inline bool table_is_local(const struct table *table, struct address destination)
{
    uint32_t index;

    return prefix_map_lookup(table->local[family_index(destination.family)], destination, &index);
}

/* What a table is made from; the lists are the caller's. A prefix that comes twice has the route that came last. */
struct route_wish {
    struct prefix prefix;
    struct endpoint to;
};

/* Builds a table; peers that `previous` (or NULL) has as well keep their counters. NULL when memory is short. */
struct table *table_build(uint64_t generation, const struct prefix *local, size_t local_count,
                          const struct route_wish *routes, size_t route_count, const struct table *previous);

/* A copy of `table` of the generation `to`, without the prefixes of `remove`, then with the routes of `set`. A prefix
 * to remove that is not there is no error. NULL when memory is short. */
struct table *table_patch(const struct table *table, uint64_t to, const struct prefix *remove, size_t remove_count,
                          const struct route_wish *set, size_t set_count);

/* Frees a table that no worker reads any more, and the peers that only it led to. NULL is allowed. */
void table_free(struct table *table);

#endif
