/* The control thread among clients that send anything, in any pieces, and take their answers or not. The system calls
 * are played: see the linker's options in run.sh. */
#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "control.h"
#include "encode.h"
#include "input.h"
#include "protocol.h"
#include "stand-in.h"
#include "table.h"
#include "tracked.h"

enum { CLIENTS = 40, FIRST_FD = 10000, LISTENING = FIRST_FD - 1, OWNER = 1000, BYTES_MAX = 4096, ROUNDS_MAX = 300 };

/* A client: the bytes that it sent, of which the engine has received some; and what it got. */
struct peer_side {
    bool open, gone, stuck; /* `stuck`: it takes no answers */
    size_t sent, received, got;
    uint8_t out[BYTES_MAX], in[BYTES_MAX];
};

static struct play {
    struct input input;
    struct peer_side client[CLIENTS];
    unsigned clients, waiting, rounds;
    bool over; /* all clients go */
    volatile sig_atomic_t signal;
} play;

static struct peer_side *side_of(int fd)
{
    CHECK(fd >= FIRST_FD && fd < FIRST_FD + (int)play.clients);
    CHECK(play.client[fd - FIRST_FD].open);
    return &play.client[fd - FIRST_FD];
}

/* ---- The system calls. Descriptors below are the fuzzer's own. */

int __real_getsockopt(int fd, int level, int name, void *value, socklen_t *length);
int __wrap_getsockopt(int fd, int level, int name, void *value, socklen_t *length);
int __wrap_accept4(int fd, struct sockaddr *address, socklen_t *length, int flags);
int __real_close(int fd);
int __wrap_close(int fd);
ssize_t __wrap_recv(int fd, void *bytes, size_t length, int flags);
ssize_t __wrap_send(int fd, const void *bytes, size_t length, int flags);
int __wrap_ppoll(struct pollfd *polled, nfds_t count, const struct timespec *timeout, const sigset_t *mask);
int __wrap_sigprocmask(int how, const sigset_t *set, sigset_t *previous);

int __wrap_accept4(int fd, struct sockaddr *address, socklen_t *length, int flags)
{
    struct peer_side *client = &play.client[play.clients];

    CHECK(fd == LISTENING && address == NULL && length == NULL && (flags & SOCK_NONBLOCK) != 0);
    if (play.waiting == 0 || play.clients == CLIENTS) {
        errno = play.over || (input_u8(&play.input) & 1) == 0 ? EAGAIN : EMFILE;
        return -1;
    }
    play.waiting--;
    client->open = true;
    client->gone = client->stuck = false;
    client->sent = client->received = client->got = 0;
    return FIRST_FD + (int)play.clients++;
}

int __wrap_getsockopt(int fd, int level, int name, void *value, socklen_t *length)
{
    static const uid_t USERS[4] = {0, OWNER, 0, 4711};

    if (fd < FIRST_FD)
        return __real_getsockopt(fd, level, name, value, length);
    CHECK(level == SOL_SOCKET && name == SO_PEERCRED);
    *(struct ucred *)value = (struct ucred){.pid = 1, .uid = USERS[input_u8(&play.input) & 3]};
    return 0;
}

int __wrap_close(int fd)
{
    if (fd < FIRST_FD)
        return __real_close(fd);
    side_of(fd)->open = false;
    return 0;
}

ssize_t __wrap_recv(int fd, void *bytes, size_t length, int flags)
{
    struct peer_side *client = side_of(fd);
    size_t ready = client->sent - client->received;

    CHECK(length > 0 && flags == 0);
    if (ready == 0 && client->gone)
        return 0;
    if (ready == 0) {
        errno = EAGAIN;
        return -1;
    }
    if (length < ready)
        ready = length;
    memcpy(bytes, client->out + client->received, ready);
    client->received += ready;
    return (ssize_t)ready;
}

ssize_t __wrap_send(int fd, const void *bytes, size_t length, int flags)
{
    struct peer_side *client = side_of(fd);

    CHECK(length > 0 && (flags & MSG_NOSIGNAL) != 0);
    if ((client->gone && play.over) || client->got + length > sizeof client->in) {
        errno = EPIPE;
        return -1;
    }
    if (client->stuck) {
        errno = EAGAIN;
        return -1;
    }
    if (length > 7 && (input_u8(&play.input) & 7) == 7)
        length = 7;
    memcpy(client->in + client->got, bytes, length);
    client->got += length;
    return (ssize_t)length;
}

int __wrap_sigprocmask(int how, const sigset_t *set, sigset_t *previous)
{
    (void)how, (void)set;
    if (previous != NULL)
        sigemptyset(previous);
    return 0;
}

/* ---- What the clients do. */

static void put_routes(struct encoder *encoder, struct input *input, bool routes)
{
    uint8_t count = input_u8(input) & 7, index;

    encode_number(encoder, count, 4);
    for (index = 0; index < count; index++) {
        uint8_t kind = input_u8(input), length = input_u8(input);

        encode_prefix(encoder, kind & 1 ? 6 : 4, length & 63, kind);
        if (routes)
            encode_endpoint(encoder, kind & 2 ? 6 : 4, length, kind);
    }
}

static void put_configuration(struct encoder *encoder, struct input *input)
{
    uint8_t kind = input_u8(input), sources = input_u8(input) & 31, index;

    if (kind & 1) {
        uint8_t name[32] = "t0", length = input_u8(input) & 31;

        encode_number(encoder, length, 2);
        encode_bytes(encoder, name, length < 2 ? length : 2);
        memset(name, 'x', sizeof name);
        encode_bytes(encoder, name, length < 2 ? 0 : length - 2u);
    } else {
        encode_number(encoder, 2, 2);
        encode_bytes(encoder, "t0", 2);
    }
    encode_number(encoder, kind & 2 ? input_u16(input) : 1400, 4);
    encode_endpoint(encoder, kind & 4 ? 6 : 4, 8285, kind);
    if (sources > 17)
        sources = 0;
    encode_number(encoder, sources, 1);
    for (index = 0; index < sources; index++)
        encode_address(encoder, (kind >> 3 & 1) != 0 ? 6 : 4, index);
    encode_number(encoder, kind >> 4 & 7, 1);
    encode_number(encoder, kind & 0x80 ? 2 : 1, 1);
}

/* A frame: mostly one that is in order. */
static void put_frame(struct encoder *frame, struct input *input)
{
    static struct encoder payload;
    uint8_t kind = input_u8(input), type = kind & 7;
    uint8_t raw[32];

    payload.length = 0;
    switch (type) {
    case REQUEST_CONFIGURE:
        put_configuration(&payload, input);
        break;
    case REQUEST_UPDATE_ROUTES:
        encode_number(&payload, input_u8(input) & 3, 8);
        /* fall through */
    case REQUEST_REPLACE_ROUTES:
        encode_number(&payload, input_u8(input) & 3, 8);
        put_routes(&payload, input, false);
        put_routes(&payload, input, true);
        break;
    default:
        break;
    }
    if ((kind & 8) != 0) { /* a byte too much, or too few, or another one */
        uint8_t fault = input_u8(input);

        if ((fault & 3) == 0)
            encode_number(&payload, 0, 1);
        else if ((fault & 3) == 1 && payload.length > 0)
            payload.length--;
        else if (payload.length > 0)
            payload.bytes[(fault >> 2) % payload.length] ^= input_u8(input);
    }
    if (type == 7) {
        type = input_u8(input);
        input_fill(input, raw, sizeof raw);
        encode_bytes(&payload, raw, raw[0] & 31);
    }
    encode_number(frame, 4 + payload.length, 4);
    encode_number(frame, (kind & 0xf0) == 0xf0 ? input_u8(input) : PROTOCOL_VERSION, 1);
    encode_number(frame, type, 1);
    encode_number(frame, 0x100u + kind, 2);
    encode_bytes(frame, payload.bytes, payload.length);
}

static void send_bytes(struct peer_side *client, const uint8_t *bytes, size_t length)
{
    if (length > sizeof client->out - client->sent)
        length = sizeof client->out - client->sent;
    if (length > 0)
        memcpy(client->out + client->sent, bytes, length);
    client->sent += length;
}

static void act(void)
{
    struct input *input = &play.input;
    static struct encoder frame;
    uint8_t action = input_u8(input), raw[64];
    struct peer_side *client = play.clients == 0 ? NULL : &play.client[(action >> 3) % play.clients];

    if ((action & 7) == 0 || client == NULL || !client->open || client->gone) {
        play.waiting++;
        return;
    }
    frame.length = 0;
    switch (action & 7) {
    case 1:
        client->gone = true;
        break;
    case 2:
        client->stuck = !client->stuck;
        break;
    case 3:
        input_fill(input, raw, sizeof raw);
        send_bytes(client, raw, raw[0] % sizeof raw);
        break;
    case 4: /* the beginning of a frame; the rest of it never comes, or is the next one */
        put_frame(&frame, input);
        send_bytes(client, frame.bytes, input_u8(input) % frame.length);
        break;
    default:
        put_frame(&frame, input);
        send_bytes(client, frame.bytes, frame.length);
    }
}

static short events_of(const struct pollfd *polled)
{
    const struct peer_side *client = side_of(polled->fd);

    if ((polled->events & POLLOUT) != 0)
        return client->stuck && !play.over ? 0 : POLLOUT;
    CHECK(polled->events == POLLIN);
    return client->sent > client->received || client->gone ? POLLIN : 0;
}

/* Every round the clients do a few things; when the input is used up, they all go, and at last a signal comes. */
int __wrap_ppoll(struct pollfd *polled, nfds_t count, const struct timespec *timeout, const sigset_t *mask)
{
    int ready = 0;
    unsigned index, open = 0, actions;

    (void)timeout, (void)mask;
    CHECK(++play.rounds <= ROUNDS_MAX + 200);
    if (!play.over && (play.input.left == 0 || play.rounds > ROUNDS_MAX))
        play.over = true;
    for (actions = play.over ? 0 : 1 + (input_u8(&play.input) & 3); actions > 0; actions--)
        act();
    for (index = 0; index < play.clients; index++) {
        open += play.client[index].open;
        if (play.over)
            play.client[index].gone = true;
    }
    if (play.over && open == 0)
        play.signal = 1;
    polled[0].revents = polled[0].fd >= 0 && play.waiting > 0 && !play.over ? POLLIN : 0;
    for (index = 0; index < count; index++) {
        if (index > 0)
            polled[index].revents = polled[index].fd >= 0 ? events_of(&polled[index]) : 0;
        ready += polled[index].revents != 0;
    }
    return ready;
}

/* ---- What they got. */

struct seen {
    size_t at, length;
};

static unsigned number(const uint8_t *bytes, unsigned size)
{
    unsigned value = 0;

    while (size-- > 0)
        value = value << 8 | *bytes++;
    return value;
}

/* The next whole frame; false: there is none. A length that cannot be ends the stream. */
static bool next_frame(const uint8_t *bytes, size_t end, struct seen *frame)
{
    frame->at += frame->length;
    if (end - frame->at < 4)
        return false;
    frame->length = 4 + (size_t)number(bytes + frame->at, 4);
    return frame->length >= 8 && frame->length <= 4 + FRAME_MAX && frame->length <= end - frame->at;
}

/* Whether a request is a CONFIGURE whose device name has a length that none can have. */
static bool has_bad_name(const uint8_t *frame, size_t length)
{
    return frame[4] == PROTOCOL_VERSION && frame[5] == REQUEST_CONFIGURE && length >= 10 &&
           (number(frame + 8, 2) == 0 || number(frame + 8, 2) > 15);
}

/* Each answer belongs to the request at its place, and after a malformed one nothing more comes. */
static void check_answers(const struct peer_side *client)
{
    struct seen answer = {0}, request = {0};
    bool malformed = false;

    while (next_frame(client->in, client->got, &answer)) {
        const uint8_t *got = client->in + answer.at;
        bool there = next_frame(client->out, client->received, &request);
        const uint8_t *asked = client->out + request.at;

        CHECK(!malformed && got[4] == PROTOCOL_VERSION);
        if (got[5] == ERROR_TYPE) {
            CHECK(answer.length >= 12 && number(got + 10, 2) == answer.length - 12 && answer.length > 12);
            malformed = number(got + 8, 2) == REFUSED_MALFORMED;
            CHECK(malformed || (there && !has_bad_name(asked, request.length)));
            CHECK(there ? number(got + 6, 2) == number(asked + 6, 2) : number(got + 6, 2) == 0);
            CHECK((number(got + 8, 2) == REFUSED_VERSION_MISMATCH) ==
                  (there && asked[4] != PROTOCOL_VERSION && asked[5] != REQUEST_SHUTDOWN));
        } else {
            CHECK(there && got[5] == (asked[5] | RESPONSE_BIT) && memcmp(got + 6, asked + 6, 2) == 0);
            CHECK(asked[4] == PROTOCOL_VERSION || asked[5] == REQUEST_SHUTDOWN);
            CHECK(!has_bad_name(asked, request.length));
            CHECK(asked[5] >= REQUEST_HELLO && asked[5] <= REQUEST_SHUTDOWN);
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct engine engine;
    sigset_t waiting;
    uint8_t decisions;
    unsigned index;
    enum control_end end;

    play.input = (struct input){data, size};
    play.clients = play.waiting = play.rounds = 0;
    play.over = false;
    play.signal = 0;
    decisions = input_u8(&play.input);
    stand_in.open_fails = (decisions & 7) == 7;
    stand_in.has_table = false;
    stand_in.rights_fail = (decisions & 7) == 6;

    memset(&engine, 0, sizeof engine);
    memcpy(engine.tun_name, "t0", 3);
    engine.queues = 1;
    engine.table = table_build(0, NULL, 0, NULL, 0, NULL);
    CHECK(engine.table != NULL);
    sigemptyset(&waiting);
    end = control_serve(&engine, LISTENING, OWNER, &waiting, &play.signal);
    CHECK((end == CONTROL_SIGNAL) == (play.signal != 0));
    CHECK(end != CONTROL_FAULT || stand_in.rights_fail);
    for (index = 0; index < play.clients; index++) {
        CHECK(end != CONTROL_SIGNAL || !play.client[index].open);
        check_answers(&play.client[index]);
    }
    if (end == CONTROL_SIGNAL) /* each was closed, and with it its memory */
        CHECK(tracked_count() == 0);
    tracked_free_all();
    table_free(atomic_load(&engine.table));
    return 0;
}
