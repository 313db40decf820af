#ifndef CORDUROY_ENGINE_H
#define CORDUROY_ENGINE_H

#include <net/if.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "address.h"
#include "table.h"

enum { QUEUES_MAX = 16, ICMP_SOURCES_MAX = 16, REASON_TEXT = 120 };

/* The numbers of DROP_REASONS in src/datapath/datapath.ts. */
enum drop_reason {
    IN_UNKNOWN_PEER = 1,
    IN_WRONG_SOURCE = 2,
    IN_WRONG_DESTINATION = 3,
    IN_TRUNCATED = 4,
    IN_BAD_VERSION = 5,
    IN_TOO_BIG = 6,
    IN_TUN_ERROR = 7,
    IN_CONGESTION = 8,
    OUT_NO_ROUTE = 16,
    OUT_TRUNCATED = 17,
    OUT_BAD_VERSION = 18,
    OUT_TOO_BIG = 19,
    OUT_SEND_ERROR = 20,
    OUT_PATH_MTU = 21,
    DROP_REASONS_END
};

/* The numbers of OFFLOADS and OFFLOAD_STATES in src/datapath/datapath.ts. */
enum offload { OFFLOAD_TUN_TSO = 1, OFFLOAD_TUN_USO, OFFLOAD_UDP_SEGMENT, OFFLOAD_UDP_GRO, OFFLOAD_BATCH, OFFLOADS_END };
enum offload_state { OFFLOAD_OFF, OFFLOAD_ON, OFFLOAD_LOST, OFFLOAD_LOSING };

/* `reason` is written before the workers start, or by the worker that changes the state from on to lost; in between the
 * state is OFFLOAD_LOSING, and nobody else reads the reason. */
struct offload_status {
    atomic_int state;
    char reason[REASON_TEXT];
};

/* CONFIGURE's payload. */
struct engine_config {
    char tun_name[IFNAMSIZ];
    uint32_t mtu;
    struct endpoint listen;
    struct address icmp_source[ICMP_SOURCES_MAX];
    unsigned icmp_source_count;
    bool strict_source, offload, ecn;
    unsigned queues;
};

struct forwarder;

/* The whole engine. The control thread owns everything; the workers read `config`, `table` (see worker.h) and the
 * descriptors, and write the counters and offload states, which are atomic. */
struct engine {
    char tun_name[IFNAMSIZ];
    int tun_fd[QUEUES_MAX];
    int udp_fd[QUEUES_MAX];
    /* A UDP socket that never sends: connected to a peer, it tells the path MTU. */
    int path_fd;
    unsigned queues;
    bool configured;
    struct engine_config config;
    _Atomic(struct table *) table; /* never NULL */
    atomic_uint_fast64_t drops[DROP_REASONS_END];
    struct offload_status offload[OFFLOADS_END];
    struct forwarder *forwarder; /* from forwarder_open on */
};

static inline void count_drops(struct engine *engine, enum drop_reason reason, uint64_t packets)
{
    atomic_fetch_add_explicit(&engine->drops[reason], packets, memory_order_relaxed);
}

#endif
