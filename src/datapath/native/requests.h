#ifndef CORDUROY_REQUESTS_H
#define CORDUROY_REQUESTS_H

#include <stdbool.h>

#include "bytes.h"
#include "connection.h"
#include "engine.h"
#include "protocol.h"

enum { REPLY_TEXT = 1024 };

/* What comes once the answer is out. */
enum afterwards {
    GO_ON,
    HANG_UP,      /* this connection; the others notice nothing */
    END_AS_ASKED, /* the engine */
    END_IN_FAULT, /* the engine, which could not become what it has to be */
};

struct reply {
    bool refused;
    enum refusal refusal;
    char text[REPLY_TEXT];
    struct byte_writer payload; /* of what is granted; its bytes are the caller's to free */
    enum afterwards afterwards;
};

void reply_refuse(struct reply *reply, enum refusal refusal, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Does what a frame asks for, and says what to answer. */
void requests_handle(struct engine *engine, const struct frame *frame, struct reply *reply);

#endif
