#ifndef CORDUROY_FORWARDER_H
#define CORDUROY_FORWARDER_H

#include <stddef.h>

#include "engine.h"

/* Opens the UDP sockets that `engine->config` asks for, and finds out which offloads work. Needs the capabilities to
 * bind the port and to enlarge buffers; these are not needed again. Returns 0; or -1 with the reason in `error`, and
 * everything closed again. */
int forwarder_open(struct engine *engine, char *error, size_t error_size);

/* Undoes forwarder_open. */
void forwarder_close(struct engine *engine);

/* Makes the workers, one a queue. They wait; so that a system call filter can be put on all of them first. Returns 0, or
 * -1 with the reason in `error`. */
int forwarder_start(struct engine *engine, char *error, size_t error_size);

/* Lets the workers forward. Once they do, it does nothing. */
void forwarder_go(struct engine *engine);

/* Puts a table in place of the one in use, and frees that one when no worker reads it any more. Each packet is forwarded
 * by the one or by the other. */
void forwarder_swap_table(struct engine *engine, struct table *table);

#endif
