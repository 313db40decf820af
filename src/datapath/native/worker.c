#include "worker.h"

#include <poll.h>
#include <stdlib.h>

#include "inbound.h"
#include "outbound.h"

bool is_first(atomic_uint_fast64_t *said, int error)
{
    uint64_t bit = UINT64_C(1) << ((unsigned)error % 64);

    if ((atomic_load_explicit(said, memory_order_relaxed) & bit) != 0)
        return false;
    return (atomic_fetch_or(said, bit) & bit) == 0;
}

/* The control thread frees a table that nobody has announced to read. It looks after it has put another in place: so a
 * worker that announces a table has to see that it is still the one. */
const struct table *worker_enter(struct worker *worker)
{
    struct table *table;

    do {
        table = atomic_load(&worker->engine->table);
        atomic_store(&worker->reading, table);
    } while (table != atomic_load(&worker->engine->table));
    return table;
}

void worker_leave(struct worker *worker)
{
    atomic_store_explicit(&worker->reading, NULL, memory_order_release);
}

struct worker *worker_new(struct engine *engine, unsigned queue)
{
    struct worker *worker = calloc(1, sizeof *worker);

    if (worker == NULL)
        return NULL;
    worker->engine = engine;
    worker->queue = queue;
    worker->outbound = outbound_new(worker);
    worker->inbound = inbound_new(worker);
    if (worker->outbound != NULL && worker->inbound != NULL)
        return worker;
    free(worker->outbound);
    free(worker->inbound);
    free(worker);
    return NULL;
}

_Noreturn void worker_run(struct worker *worker)
{
    struct pollfd ready[2] = {
        {.fd = worker->engine->tun_fd[worker->queue], .events = POLLIN},
        {.fd = worker->engine->udp_fd[worker->queue], .events = POLLIN},
    };

    for (;;) {
        if (poll(ready, 2, -1) < 0)
            continue; /* EINTR; or memory is short for the moment */
        if (ready[0].revents != 0)
            outbound_batch(worker->outbound);
        if (ready[1].revents != 0)
            inbound_batch(worker->inbound);
    }
}
