#include "connection.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "checks.h"
#include "protocol.h"

enum { FRAMES = 200, PAYLOAD_MAX = 3000 };

static size_t put_frame(uint8_t *bytes, unsigned id, size_t payload)
{
    size_t length = FRAME_HEADER + payload;

    bytes[0] = (uint8_t)(length >> 24);
    bytes[1] = (uint8_t)(length >> 16);
    bytes[2] = (uint8_t)(length >> 8);
    bytes[3] = (uint8_t)length;
    bytes[4] = PROTOCOL_VERSION;
    bytes[5] = REQUEST_STATS;
    bytes[6] = (uint8_t)(id >> 8);
    bytes[7] = (uint8_t)id;
    memset(bytes + 8, (int)id, payload);
    return FRAME_LENGTH_FIELD + length;
}

static void open_pair(struct connection *connection, int *client)
{
    int pair[2];

    CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair) == 0);
    connection_open(connection, pair[0]);
    *client = pair[1];
}

/* Takes the frames that are there, and checks that each is the next one. */
static unsigned take(struct connection *connection, unsigned next)
{
    struct frame frame;
    size_t index;

    while (connection_next(connection, &frame) == FRAME_READY) {
        CHECK(frame.id == next && frame.version == PROTOCOL_VERSION && frame.type == REQUEST_STATS);
        for (index = 0; index < frame.length && frame.payload[index] == (uint8_t)next; index++)
            ;
        CHECK(index == frame.length);
        next++;
    }
    return next;
}

/* However the stream is chunked, the frames come out. */
static void check_chunks(void)
{
    uint8_t *stream = malloc(FRAMES * (PAYLOAD_MAX + 8));
    struct connection connection;
    size_t length = 0, sent = 0;
    unsigned id, next = 0;
    int client;

    for (id = 0; id < FRAMES; id++)
        length += put_frame(stream + length, id, random_below(3) == 0 ? random_below(PAYLOAD_MAX) : 0);
    open_pair(&connection, &client);
    while (sent < length) {
        size_t chunk = 1 + random_below(random_below(2) == 0 ? 9 : 5000);

        if (chunk > length - sent)
            chunk = length - sent;
        CHECK(send(client, stream + sent, chunk, 0) == (ssize_t)chunk);
        sent += chunk;
        CHECK(connection_receive(&connection));
        next = take(&connection, next);
    }
    while (next < FRAMES) {
        CHECK(connection_receive(&connection));
        next = take(&connection, next);
    }
    close(client);
    CHECK(!connection_receive(&connection));
    connection_close(&connection);
    free(stream);
}

static enum frame_state state_of(uint32_t length, size_t *memory)
{
    uint8_t bytes[8] = {(uint8_t)(length >> 24), (uint8_t)(length >> 16), (uint8_t)(length >> 8), (uint8_t)length};
    struct connection connection;
    struct frame frame;
    enum frame_state state;
    int client;

    open_pair(&connection, &client);
    CHECK(send(client, bytes, sizeof bytes, 0) == sizeof bytes);
    CHECK(connection_receive(&connection));
    state = connection_next(&connection, &frame);
    *memory = connection.in_capacity;
    close(client);
    connection_close(&connection);
    return state;
}

static void check_lengths(void)
{
    size_t memory;

    CHECK(state_of(0, &memory) == FRAME_MALFORMED);
    CHECK(state_of(3, &memory) == FRAME_MALFORMED);
    CHECK(state_of(4, &memory) == FRAME_READY);
    CHECK(state_of(5, &memory) == FRAME_NONE);
    CHECK(state_of(FRAME_MAX, &memory) == FRAME_NONE && memory < 65536); /* none for what is only announced */
    CHECK(state_of(FRAME_MAX + 1u, &memory) == FRAME_MALFORMED);
    CHECK(state_of(UINT32_MAX, &memory) == FRAME_MALFORMED);
}

/* An answer larger than what the kernel takes at once goes out in parts. */
static void check_answer(void)
{
    enum { LARGE = 4 * 1024 * 1024 };
    uint8_t *payload = calloc(1, LARGE), buffer[65536];
    struct connection connection;
    size_t received = 0;
    unsigned parts = 0;
    int client;

    open_pair(&connection, &client);
    CHECK(connection_answer(&connection, REQUEST_STATS | RESPONSE_BIT, 7, payload, LARGE));
    while (connection.out != NULL) {
        ssize_t length;

        CHECK(connection_send(&connection));
        while ((length = recv(client, buffer, sizeof buffer, 0)) > 0)
            received += (size_t)length;
        parts++;
    }
    CHECK(received == LARGE + 8 && parts > 1);
    close(client);
    CHECK(connection_answer(&connection, ERROR_TYPE, 7, payload, 1));
    CHECK(!connection_send(&connection));
    connection_close(&connection);
    free(payload);
}

void check_connection(void)
{
    check_chunks();
    check_lengths();
    check_answer();
}
