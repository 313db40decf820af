#include "stand-in.h"

#include <stdarg.h>

#include "check.h"
#include "forwarder.h"
#include "log.h"
#include "seccomp.h"
#include "unprivileged.h"

struct stand_in stand_in;

int forwarder_open(struct engine *engine, char *error, size_t error_size)
{
    CHECK(engine->config.mtu >= 68 && engine->config.queues == engine->queues);
    snprintf(error, error_size, "the address is in use");
    return stand_in.open_fails ? -1 : 0;
}

int forwarder_start(struct engine *engine, char *error, size_t error_size)
{
    (void)engine, (void)error, (void)error_size;
    return 0;
}

void forwarder_go(struct engine *engine)
{
    CHECK(engine->configured && stand_in.has_table);
}

void forwarder_swap_table(struct engine *engine, struct table *table)
{
    CHECK(engine->configured);
    stand_in.has_table = true;
    table_free(atomic_exchange(&engine->table, table));
}

int unprivileged_become(char *text, size_t size)
{
    snprintf(text, size, "as it was");
    return stand_in.rights_fail ? -1 : 0;
}

int seccomp_confine(char *text, size_t size)
{
    snprintf(text, size, "no filter");
    return 0;
}

void log_line(const char *format, ...)
{
    char line[2048];
    va_list arguments;

    va_start(arguments, format);
    CHECK(vsnprintf(line, sizeof line, format, arguments) > 0);
    va_end(arguments);
}
