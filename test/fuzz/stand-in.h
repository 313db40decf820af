#ifndef CORDUROY_FUZZ_STAND_IN_H
#define CORDUROY_FUZZ_STAND_IN_H

#include <stdbool.h>

/* In place of the forwarding side, the rights and the log, for the control side to be looked at alone. */
extern struct stand_in {
    bool open_fails;  /* CONFIGURE, which leaves the engine idle */
    bool rights_fail; /* the same, which ends it */
    bool has_table;   /* one was put in place, and so forwarding may begin */
} stand_in;

#endif
