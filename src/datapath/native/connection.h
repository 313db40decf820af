#ifndef CORDUROY_CONNECTION_H
#define CORDUROY_CONNECTION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A frame of the control protocol (protocol.h), less its length. */
struct frame {
    unsigned version, type, id;
    const uint8_t *payload; /* in the connection's memory, until it receives again */
    size_t length;
};

/* One client of the control socket: cuts what comes into frames, however it was chunked, and sends the answers. */
struct connection {
    int fd; /* non-blocking; -1: nobody */
    uint8_t *in;
    size_t in_start, in_end, in_capacity;
    uint8_t *out; /* NULL: nothing is on its way */
    size_t out_sent, out_length;
};

void connection_open(struct connection *connection, int fd);
void connection_close(struct connection *connection);

/* Receives once. Returns false when the connection is of no further use: its end, an error, or memory is short. */
bool connection_receive(struct connection *connection);

enum frame_state { FRAME_NONE, FRAME_READY, FRAME_MALFORMED };

/* The next frame that is there as a whole. FRAME_MALFORMED: the stream is of no use from here on; `length` is what the
 * length field says. */
enum frame_state connection_next(struct connection *connection, struct frame *frame);

/* Makes the answer that goes out next; nothing else may be on its way. Returns false when memory is short. */
bool connection_answer(struct connection *connection, unsigned type, unsigned id, const uint8_t *payload,
                       size_t length);

/* Sends what it can. Returns false when the client is gone. */
bool connection_send(struct connection *connection);

#endif
