#include "offload.h"

#include <stdio.h>
#include <string.h>

#include <linux/if_tun.h>

#include "log.h"
#include "tun.h"

/* Linux 6.2. */
#ifndef TUN_F_USO4
#define TUN_F_USO4 0x20
#define TUN_F_USO6 0x40
#endif

static const char *const NAMES[OFFLOADS_END] = {
    [OFFLOAD_TUN_TSO] = "tun-tso",   [OFFLOAD_TUN_USO] = "tun-uso", [OFFLOAD_UDP_SEGMENT] = "udp-segment",
    [OFFLOAD_UDP_GRO] = "udp-gro", [OFFLOAD_BATCH] = "batch",
};

void offload_set(struct engine *engine, enum offload offload, const char *why)
{
    struct offload_status *status = &engine->offload[offload];

    snprintf(status->reason, sizeof status->reason, "%s", why == NULL ? "" : why);
    atomic_store(&status->state, why == NULL ? OFFLOAD_ON : OFFLOAD_OFF);
}

void offload_lose(struct engine *engine, enum offload offload, const char *what, int error)
{
    struct offload_status *status = &engine->offload[offload];
    int on = OFFLOAD_ON;

    if (!atomic_compare_exchange_strong(&status->state, &on, OFFLOAD_LOSING))
        return;
    snprintf(status->reason, sizeof status->reason, "%s: %s", what, strerror(error));
    atomic_store(&status->state, OFFLOAD_LOST);
    log_line("%s is not used any more, %s; packets go one by one where it was", NAMES[offload], status->reason);
}

static int set_on_all_queues(const struct engine *engine, unsigned flags)
{
    unsigned queue;
    int error = 0;

    for (queue = 0; queue < engine->queues && error == 0; queue++)
        error = tun_set_offloads(engine->tun_fd[queue], flags);
    return error;
}

static void probe_tun(struct engine *engine)
{
    const unsigned tso = TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN;
    char why[REASON_TEXT];
    int error;

    if (set_on_all_queues(engine, tso | TUN_F_USO4 | TUN_F_USO6) == 0) {
        offload_set(engine, OFFLOAD_TUN_TSO, NULL);
        offload_set(engine, OFFLOAD_TUN_USO, NULL);
        return;
    }
    offload_set(engine, OFFLOAD_TUN_USO, "the kernel has none: Linux 6.2 is needed");
    error = set_on_all_queues(engine, tso);
    if (error == 0) {
        offload_set(engine, OFFLOAD_TUN_TSO, NULL);
        return;
    }
    set_on_all_queues(engine, 0);
    snprintf(why, sizeof why, "the device refuses it: %s", strerror(-error));
    offload_set(engine, OFFLOAD_TUN_TSO, why);
}

static void probe_socket(struct engine *engine, enum offload offload, int error, const char *needed)
{
    char why[REASON_TEXT];

    snprintf(why, sizeof why, "the socket refuses it: %s; %s is needed", strerror(error), needed);
    offload_set(engine, offload, error == 0 ? NULL : why);
}

void offload_probe(struct engine *engine, int segment, int gro)
{
    int offload;

    if (!engine->config.offload) {
        set_on_all_queues(engine, 0);
        for (offload = OFFLOAD_TUN_TSO; offload < OFFLOADS_END; offload++)
            offload_set(engine, (enum offload)offload, "switched off by --datapath-offload=false");
        return;
    }
    probe_tun(engine);
    probe_socket(engine, OFFLOAD_UDP_SEGMENT, segment, "Linux 4.18");
    probe_socket(engine, OFFLOAD_UDP_GRO, gro, "Linux 5.0");
    offload_set(engine, OFFLOAD_BATCH, NULL);
}
