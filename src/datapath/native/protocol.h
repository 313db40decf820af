#ifndef CORDUROY_PROTOCOL_H
#define CORDUROY_PROTOCOL_H

/*
 * The control protocol between the daemon and a data plane, over a Unix stream socket: frames, each a request or the
 * answer to one. docs/control-protocol.md has the whole of it; messages.h has the payloads.
 *
 *      0               1               2               3
 *     +---------------+---------------+---------------+---------------+
 *     |           length: bytes that follow, 4 … 16 MiB               |
 *     +---------------+---------------+---------------+---------------+
 *     |    version    |     type      |          request id           |
 *     +---------------+---------------+---------------+---------------+
 *     |  payload …
 */
enum {
    PROTOCOL_VERSION = 2,
    FRAME_MAX = 16 * 1024 * 1024,
    FRAME_LENGTH_FIELD = 4,
    FRAME_HEADER = 4, /* behind the length field, and counted by it */
};

enum request_type {
    REQUEST_HELLO = 1,
    REQUEST_CONFIGURE = 2,
    REQUEST_REPLACE_ROUTES = 3,
    REQUEST_UPDATE_ROUTES = 4,
    REQUEST_STATS = 5,
    REQUEST_SHUTDOWN = 6,
};

/* RESPONSE_BIT is set in the type of the answer that grants a request; ERROR_TYPE is the type of one that refuses. */
enum { RESPONSE_BIT = 0x80, ERROR_TYPE = 0xff };

/* REFUSALS of src/datapath/protocol.ts. */
enum refusal {
    REFUSED_MALFORMED = 1,
    REFUSED_VERSION_MISMATCH = 2,
    REFUSED_UNKNOWN_REQUEST = 3,
    REFUSED_NOT_CONFIGURED = 4,
    REFUSED_CONFIGURED_OTHERWISE = 5,
    REFUSED_CONFIGURE_FAILED = 6,
    REFUSED_WRONG_GENERATION = 7,
    REFUSED_INTERNAL = 8,
};

#endif
