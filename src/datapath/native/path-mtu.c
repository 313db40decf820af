#include "path-mtu.h"

#include <pthread.h>

#include "clock.h"
#include "log.h"
#include "udp-socket.h"
#include "worker.h"

enum {
    V4_OVERHEAD = 20 + 8,
    V6_OVERHEAD = 40 + 8,
    /* Milliseconds. */
    ASK_AGAIN = 1000,
};

/* What the kernel says; the MTU when it says nothing of use. */
static size_t ask(struct engine *engine, const struct endpoint *to)
{
    size_t overhead = to->socket.any.sa_family == AF_INET ? V4_OVERHEAD : V6_OVERHEAD;
    unsigned outer;

    pthread_mutex_lock(&engine->forwarder->rare);
    outer = udp_path_mtu(engine->path_fd, to);
    pthread_mutex_unlock(&engine->forwarder->rare);
    return outer <= overhead || outer - overhead >= engine->config.mtu ? engine->config.mtu : outer - overhead;
}

static size_t remember(struct engine *engine, struct peer *peer, size_t mtu)
{
    uint_fast32_t known = mtu == engine->config.mtu ? 0 : (uint_fast32_t)mtu;
    uint_fast32_t before = atomic_exchange(&peer->path_mtu, known);
    char text[ADDRESS_TEXT];

    atomic_store(&peer->path_mtu_at, now_ms());
    if (before != known && known != 0)
        log_line("the path to %s takes packets of %zu bytes, not of %u: senders of larger ones are told so",
                 address_text(&peer->address, text), mtu, engine->config.mtu);
    else if (before != known)
        log_line("the path to %s takes packets of %u bytes again", address_text(&peer->address, text),
                 engine->config.mtu);
    return mtu;
}

size_t path_mtu(struct engine *engine, struct peer *peer, const struct endpoint *to, size_t length)
{
    uint_fast32_t known = atomic_load_explicit(&peer->path_mtu, memory_order_relaxed);

    if (known == 0)
        return engine->config.mtu;
    if (length > known && now_ms() - atomic_load(&peer->path_mtu_at) >= ASK_AGAIN)
        return remember(engine, peer, ask(engine, to));
    return known;
}

size_t path_mtu_shrank(struct engine *engine, struct peer *peer, const struct endpoint *to)
{
    return remember(engine, peer, ask(engine, to));
}
