#ifndef CORDUROY_CONFIGURE_H
#define CORDUROY_CONFIGURE_H

#include "requests.h"

/* From idle to forwarding, once in an engine's life: opens the sockets, gives up every right, and makes the
 * workers, which go with the first table.
 * The same configuration again is granted and changes nothing. */
void configure_engine(struct engine *engine, const struct engine_config *config, struct reply *reply);

#endif
