#include "forwarder.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#include "clock.h"
#include "offload.h"
#include "udp-socket.h"
#include "worker.h"

enum {
    /* Bytes: no worker has large variables. */
    STACK = 256 * 1024,
    /* Nanoseconds between looks whether a table is still read. */
    GRACE = 20 * 1000,
};

void forwarder_swap_table(struct engine *engine, struct table *table)
{
    const struct timespec grace = {.tv_nsec = GRACE};
    struct table *old = atomic_exchange(&engine->table, table);
    unsigned index;

    for (index = 0; engine->forwarder != NULL && index < engine->forwarder->workers; index++)
        while (atomic_load(&engine->forwarder->worker[index]->reading) == old)
            nanosleep(&grace, NULL);
    table_free(old);
}

static int open_sockets(struct engine *engine, char *error, size_t error_size)
{
    const struct engine_config *config = &engine->config;
    struct udp_options options = {.share = engine->queues > 1, .offload = config->offload};
    unsigned queue;

    for (queue = 0; queue < engine->queues; queue++) {
        engine->udp_fd[queue] = udp_open(&config->listen, &options, error, error_size);
        if (engine->udp_fd[queue] < 0)
            return -1;
        if (fcntl(engine->tun_fd[queue], F_SETFL, O_NONBLOCK) < 0) {
            snprintf(error, error_size, "cannot read the device %s without waiting: %s", engine->tun_name,
                     strerror(errno));
            return -1;
        }
    }
    engine->path_fd = udp_open_path(&config->listen);
    if (engine->path_fd < 0) {
        snprintf(error, error_size, "cannot make a UDP socket: %s", strerror(errno));
        return -1;
    }
    offload_probe(engine, options.segment_error, options.gro_error);
    return 0;
}

static void close_socket(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

void forwarder_close(struct engine *engine)
{
    unsigned queue;

    for (queue = 0; queue < engine->queues; queue++)
        close_socket(&engine->udp_fd[queue]);
    close_socket(&engine->path_fd);
    free(engine->forwarder);
    engine->forwarder = NULL;
}

int forwarder_open(struct engine *engine, char *error, size_t error_size)
{
    struct forwarder *forwarder = calloc(1, sizeof *forwarder);
    unsigned queue;

    for (queue = 0; queue < QUEUES_MAX; queue++)
        engine->udp_fd[queue] = -1;
    engine->path_fd = -1;
    if (forwarder == NULL || sem_init(&forwarder->gate, 0, 0) < 0 || pthread_mutex_init(&forwarder->rare, NULL) != 0) {
        free(forwarder);
        snprintf(error, error_size, "memory is short");
        return -1;
    }
    forwarder->icmp_tokens = ICMP_PER_SECOND;
    forwarder->icmp_filled_at = now_ms();
    engine->forwarder = forwarder;
    if (open_sockets(engine, error, error_size) < 0) {
        forwarder_close(engine);
        return -1;
    }
    return 0;
}

static void *main_of_worker(void *argument)
{
    struct worker *worker = argument;

    /* Nanoseconds: short pauses are to be short, not the 50 microseconds longer that they are by default. */
    prctl(PR_SET_TIMERSLACK, 1000, 0, 0, 0);
    while (sem_wait(&worker->engine->forwarder->gate) < 0)
        ;
    worker_run(worker);
}

static int start(struct forwarder *forwarder, struct worker *worker, const pthread_attr_t *attributes)
{
    int result;

    if (worker == NULL)
        return ENOMEM;
    result = pthread_create(&worker->thread, attributes, main_of_worker, worker);
    if (result == 0)
        forwarder->worker[forwarder->workers++] = worker;
    return result;
}

int forwarder_start(struct engine *engine, char *error, size_t error_size)
{
    struct forwarder *forwarder = engine->forwarder;
    pthread_attr_t attributes;
    sigset_t all, previous;
    unsigned queue;
    int result;

    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, STACK);
    /* Signals are the control thread's. */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &previous);
    for (queue = 0, result = 0; queue < engine->queues && result == 0; queue++)
        result = start(forwarder, worker_new(engine, queue), &attributes);
    pthread_sigmask(SIG_SETMASK, &previous, NULL);
    pthread_attr_destroy(&attributes);
    if (result != 0) {
        snprintf(error, error_size, "cannot make a thread: %s", strerror(result));
        return -1;
    }
    return 0;
}

void forwarder_go(struct engine *engine)
{
    unsigned index;

    for (index = 0; index < engine->forwarder->workers && !engine->forwarder->going; index++)
        sem_post(&engine->forwarder->gate);
    engine->forwarder->going = true;
}
