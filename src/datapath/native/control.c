#include "control.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "connection.h"
#include "log.h"
#include "messages.h"
#include "requests.h"

/* Root and the engine's owner alone can connect, but a daemon with a defect must not use up the engine's descriptors. */
enum { CONNECTIONS_MAX = 32 };
/* When the system has no descriptors or memory for a connection, the listening socket stays readable: look away. */
enum { ACCEPT_PAUSE_MS = 100 };
/* Requests of one connection before the others have their turn. */
enum { REQUESTS_A_TURN = 64 };

struct client {
    struct connection connection;
    enum afterwards afterwards; /* once the answer is out */
    bool more;                  /* whole frames may be left, from the turn before */
};

struct control {
    struct engine *engine;
    int listening;
    uid_t owner;
    struct client client[CONNECTIONS_MAX];
    bool accept_pauses;
    bool said_malformed, said_stranger, said_full, said_accept, said_memory;
    enum afterwards ends;
};

static void say_once(bool *said, const char *text, const char *detail)
{
    if (*said)
        return;
    *said = true;
    log_line("%s%s (said once)", text, detail);
}

static bool is_admitted(struct control *control, int fd)
{
    struct ucred peer;
    socklen_t length = sizeof peer;

    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &length) == 0 && (peer.uid == 0 || peer.uid == control->owner))
        return true;
    say_once(&control->said_stranger,
             "a control connection was closed, it is neither root's nor of the user that started the engine", "");
    return false;
}

static struct client *free_place(struct control *control)
{
    unsigned index;

    for (index = 0; index < CONNECTIONS_MAX; index++) {
        if (control->client[index].connection.fd < 0)
            return &control->client[index];
    }
    say_once(&control->said_full, "a control connection was closed, there are too many", "");
    return NULL;
}

/* Returns whether there may be more. */
static bool accept_one(struct control *control)
{
    int fd = accept4(control->listening, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    struct client *client;

    if (fd < 0) {
        /* The others are of a connection that is gone already, or say that there is none: accept(2). */
        if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS) {
            control->accept_pauses = true;
            say_once(&control->said_accept, "the control socket has a fault, and goes on: ", strerror(errno));
        }
        return false;
    }
    client = is_admitted(control, fd) ? free_place(control) : NULL;
    if (client == NULL) {
        close(fd);
        return true;
    }
    memset(client, 0, sizeof *client);
    connection_open(&client->connection, fd);
    return true;
}

/* All that wait: the queue of the listening socket is short, and connect(2) fails when it is full. */
static void accept_all(struct control *control)
{
    unsigned turn;

    for (turn = 0; turn < CONNECTIONS_MAX && accept_one(control); turn++)
        ;
}

/* The client is gone, or is sent away. What its request has set in motion goes on. */
static void drop(struct control *control, struct client *client)
{
    connection_close(&client->connection);
    if (client->afterwards == END_AS_ASKED || client->afterwards == END_IN_FAULT)
        control->ends = client->afterwards;
}

/* Sends what it can; when all is out, what was to come afterwards comes. */
static void send_answer(struct control *control, struct client *client)
{
    if (!connection_send(&client->connection)) {
        drop(control, client);
        return;
    }
    if (client->connection.out != NULL || client->afterwards == GO_ON)
        return;
    if (client->afterwards == HANG_UP)
        drop(control, client);
    else
        control->ends = client->afterwards;
}

static void put_answer(struct control *control, struct client *client, const struct frame *frame,
                       const struct reply *reply)
{
    const struct byte_writer *payload = &reply->payload;

    client->afterwards = reply->afterwards;
    if (!connection_answer(&client->connection, frame->type | RESPONSE_BIT, frame->id, payload->bytes,
                           payload->length)) {
        say_once(&control->said_memory,
                 "a control connection was closed, its answer is larger than a frame or memory is short", "");
        drop(control, client);
    }
}

static void put_refusal(struct control *control, struct client *client, const struct frame *frame,
                        const struct reply *reply)
{
    struct frame error = {.type = ERROR_TYPE, .id = frame->id};
    struct reply answer = {.afterwards = reply->afterwards};

    if (reply->refusal == REFUSED_MALFORMED)
        say_once(&control->said_malformed, "a control connection was closed, it sent a malformed request: ",
                 reply->text);
    messages_write_error(&answer.payload, reply->refusal, reply->text);
    put_answer(control, client, &error, &answer);
    free(answer.payload.bytes);
}

/* Handles one frame, if there is one. Returns whether there may be more. */
static bool handle_next(struct control *control, struct client *client)
{
    struct frame frame = {0};
    struct reply reply = {0};

    switch (connection_next(&client->connection, &frame)) {
    case FRAME_NONE:
        return false;
    case FRAME_MALFORMED:
        reply_refuse(&reply, REFUSED_MALFORMED, "a frame length of %zu is not in %d … %d", frame.length, FRAME_HEADER,
                     FRAME_MAX);
        reply.afterwards = HANG_UP;
        break;
    case FRAME_READY:
        requests_handle(control->engine, &frame, &reply);
    }
    if (reply.refused)
        put_refusal(control, client, &frame, &reply);
    else
        put_answer(control, client, &frame, &reply);
    free(reply.payload.bytes);
    if (client->connection.fd >= 0)
        send_answer(control, client);
    return true;
}

/* A client that does not take its answers gets no more of them: what it sends is left in the kernel. */
static void serve(struct control *control, struct client *client, short events)
{
    unsigned turn;

    if (client->connection.out != NULL) {
        send_answer(control, client);
    } else if (!client->more && events != 0 && !connection_receive(&client->connection)) {
        drop(control, client);
    }
    client->more = false;
    for (turn = 0; client->connection.fd >= 0 && client->connection.out == NULL && control->ends == GO_ON; turn++) {
        if (turn == REQUESTS_A_TURN) {
            client->more = true;
            return;
        }
        if (!handle_next(control, client))
            return;
    }
}

/* Waits until there is something to do. Element 0 is the listening socket; poll(2) passes over negative descriptors. */
static int wait_for(struct control *control, struct pollfd polled[1 + CONNECTIONS_MAX], const sigset_t *waiting)
{
    struct timespec timeout = {.tv_nsec = control->accept_pauses ? ACCEPT_PAUSE_MS * 1000000L : 0};
    bool in_time = control->accept_pauses;
    unsigned index;

    polled[0] = (struct pollfd){.fd = control->accept_pauses ? -1 : control->listening, .events = POLLIN};
    for (index = 0; index < CONNECTIONS_MAX; index++) {
        const struct client *client = &control->client[index];
        bool sends = client->connection.out != NULL;

        polled[1 + index] = (struct pollfd){.fd = client->connection.fd, .events = sends ? POLLOUT : POLLIN};
        if (client->connection.fd >= 0 && client->more && !sends) {
            in_time = true;
            timeout.tv_nsec = 0;
        }
    }
    control->accept_pauses = false;
    return ppoll(polled, 1 + CONNECTIONS_MAX, in_time ? &timeout : NULL, waiting);
}

/* ppoll(2) lets none in when it has something to report: a busy client must not keep the engine from its end. */
static void let_signals_in(const sigset_t *waiting)
{
    sigset_t previous;

    sigprocmask(SIG_SETMASK, waiting, &previous);
    sigprocmask(SIG_SETMASK, &previous, NULL);
}

enum control_end control_serve(struct engine *engine, int listening, uid_t owner, const sigset_t *waiting,
                               const volatile sig_atomic_t *signal)
{
    struct control control = {.engine = engine, .listening = listening, .owner = owner, .ends = GO_ON};
    struct pollfd polled[1 + CONNECTIONS_MAX];
    unsigned index;

    for (index = 0; index < CONNECTIONS_MAX; index++)
        connection_open(&control.client[index].connection, -1);
    while (control.ends == GO_ON) {
        int ready = wait_for(&control, polled, waiting);

        let_signals_in(waiting);
        if (*signal != 0)
            return CONTROL_SIGNAL;
        if (ready < 0)
            continue; /* EINTR, or ENOMEM for the moment */
        for (index = 0; index < CONNECTIONS_MAX && control.ends == GO_ON; index++) {
            struct client *client = &control.client[index];
            short events = polled[1 + index].revents;

            if (client->connection.fd >= 0 && (events != 0 || (client->more && client->connection.out == NULL)))
                serve(&control, client, events);
        }
        if (polled[0].revents != 0 && control.ends == GO_ON)
            accept_all(&control);
    }
    return control.ends == END_AS_ASKED ? CONTROL_SHUTDOWN : CONTROL_FAULT;
}
