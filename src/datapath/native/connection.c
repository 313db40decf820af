#include "connection.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "protocol.h"

enum { FIRST_CAPACITY = 4096, KEPT_CAPACITY = 256 * 1024 };

void connection_open(struct connection *connection, int fd)
{
    memset(connection, 0, sizeof *connection);
    connection->fd = fd;
}

void connection_close(struct connection *connection)
{
    close(connection->fd);
    free(connection->in);
    free(connection->out);
    connection_open(connection, -1);
}

/* Puts the beginning of a frame to the front, and makes room behind it. Memory grows with what has come, not with what
 * a length field announces. */
static bool make_room(struct connection *connection)
{
    size_t held = connection->in_end - connection->in_start;
    size_t capacity = connection->in_capacity;
    uint8_t *larger;

    if (held == 0 && capacity > KEPT_CAPACITY) {
        free(connection->in);
        connection->in = NULL;
        capacity = connection->in_capacity = 0;
    }
    if (held > 0 && connection->in_start > 0)
        memmove(connection->in, connection->in + connection->in_start, held);
    connection->in_start = 0;
    connection->in_end = held;
    if (held < capacity)
        return true;
    capacity = capacity == 0 ? FIRST_CAPACITY : capacity * 2;
    larger = realloc(connection->in, capacity);
    if (larger == NULL)
        return false;
    connection->in = larger;
    connection->in_capacity = capacity;
    return true;
}

bool connection_receive(struct connection *connection)
{
    ssize_t length;

    if (!make_room(connection))
        return false;
    length = recv(connection->fd, connection->in + connection->in_end, connection->in_capacity - connection->in_end, 0);
    if (length < 0)
        return errno == EAGAIN || errno == EINTR;
    connection->in_end += (size_t)length;
    return length > 0;
}

static uint32_t number(const uint8_t *bytes, unsigned size)
{
    uint32_t value = 0;

    while (size-- > 0)
        value = value << 8 | *bytes++;
    return value;
}

enum frame_state connection_next(struct connection *connection, struct frame *frame)
{
    const uint8_t *bytes = connection->in + connection->in_start;
    size_t held = connection->in_end - connection->in_start;
    size_t length;

    if (held < FRAME_LENGTH_FIELD)
        return FRAME_NONE;
    length = number(bytes, FRAME_LENGTH_FIELD);
    if (length < FRAME_HEADER || length > FRAME_MAX) {
        frame->length = length;
        return FRAME_MALFORMED;
    }
    if (held - FRAME_LENGTH_FIELD < length)
        return FRAME_NONE;
    *frame = (struct frame){
        .version = bytes[4],
        .type = bytes[5],
        .id = number(bytes + 6, 2),
        .payload = bytes + FRAME_LENGTH_FIELD + FRAME_HEADER,
        .length = length - FRAME_HEADER,
    };
    connection->in_start += FRAME_LENGTH_FIELD + length;
    return FRAME_READY;
}

bool connection_answer(struct connection *connection, unsigned type, unsigned id, const uint8_t *payload,
                       size_t length)
{
    size_t counted = FRAME_HEADER + length;
    const uint8_t head[FRAME_LENGTH_FIELD + FRAME_HEADER] = {
        (uint8_t)(counted >> 24), (uint8_t)(counted >> 16), (uint8_t)(counted >> 8), (uint8_t)counted,
        PROTOCOL_VERSION,         (uint8_t)type,            (uint8_t)(id >> 8),      (uint8_t)id,
    };

    if (counted > FRAME_MAX)
        return false;
    connection->out = malloc(sizeof head + length);
    if (connection->out == NULL)
        return false;
    memcpy(connection->out, head, sizeof head);
    if (length > 0)
        memcpy(connection->out + sizeof head, payload, length);
    connection->out_sent = 0;
    connection->out_length = sizeof head + length;
    return true;
}

bool connection_send(struct connection *connection)
{
    while (connection->out_sent < connection->out_length) {
        ssize_t sent = send(connection->fd, connection->out + connection->out_sent,
                            connection->out_length - connection->out_sent, MSG_NOSIGNAL);

        if (sent < 0 && errno == EINTR)
            continue;
        if (sent < 0)
            return errno == EAGAIN;
        connection->out_sent += (size_t)sent;
    }
    free(connection->out);
    connection->out = NULL;
    connection->out_sent = connection->out_length = 0;
    return true;
}
