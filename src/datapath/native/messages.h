#ifndef CORDUROY_MESSAGES_H
#define CORDUROY_MESSAGES_H

#include "bytes.h"
#include "engine.h"
#include "protocol.h"
#include "table.h"

/* What the lists are in is freed by the function beside each; also after a message that was not in order. */
struct table_message {
    uint64_t generation;
    struct prefix *local;
    size_t local_count;
    struct route_wish *routes;
    size_t route_count;
};

struct change_message {
    uint64_t from, to;
    struct prefix *remove;
    size_t remove_count;
    struct route_wish *set;
    size_t set_count;
};

/* Each reads a whole payload, and returns whether it was in order; if not, `reader` says why. */
bool messages_read_config(struct byte_reader *reader, struct engine_config *config);
bool messages_read_table(struct byte_reader *reader, struct table_message *message);
bool messages_read_change(struct byte_reader *reader, struct change_message *message);
void messages_free_table(struct table_message *message);
void messages_free_change(struct change_message *message);

/* One configuration has exactly one encoding, so equal bytes mean equal configurations. */
void messages_write_config(struct byte_writer *writer, const struct engine_config *config);
void messages_write_hello(struct byte_writer *writer, const struct engine *engine);
void messages_write_error(struct byte_writer *writer, enum refusal refusal, const char *text);

/* `now`: milliseconds of the monotonic clock. */
void messages_write_stats(struct byte_writer *writer, struct engine *engine, uint64_t now);

#endif
