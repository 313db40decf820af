#ifndef CORDUROY_CONTROL_H
#define CORDUROY_CONTROL_H

#include <signal.h>
#include <sys/types.h>

#include "engine.h"

enum control_end {
    CONTROL_SHUTDOWN, /* it was asked for, and the answer is out */
    CONTROL_FAULT,    /* CONFIGURE left the engine unusable, and the answer is out */
    CONTROL_SIGNAL,   /* `*signal` is not zero any more */
};

/* Answers the control protocol on a listening, non-blocking Unix socket until the engine has to end. Requests are
 * handled one at a time over all connections, and answered in order. A connection whose bytes make no sense gets an
 * ERROR and is closed; the others, and the packets, notice nothing. Only root and `owner`, the user that the engine was
 * started by, are let in. `waiting` is the signal mask while it waits. */
enum control_end control_serve(struct engine *engine, int listening, uid_t owner, const sigset_t *waiting,
                               const volatile sig_atomic_t *signal);

#endif
