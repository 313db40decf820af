#include "tun-queue.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "log.h"
#include "report.h"

void tun_refused(struct worker *worker, int error)
{
    struct engine *engine = worker->engine;

    if (is_first(&engine->forwarder->tun_said, error))
        log_line("the device %s refuses packets, %s%s%s%s; counted as in-tun-error (said once)", engine->tun_name,
                 strerrorname_np(error), error == EIO ? ": is it down? ip link set " : "",
                 error == EIO ? engine->tun_name : "", error == EIO ? " up" : "");
}

_Noreturn void tun_is_gone(struct worker *worker, int error)
{
    log_line("the device %s is gone (%s): the engine ends, to be started with a new one", worker->engine->tun_name,
             strerrorname_np(error));
    _exit(EXIT_FAULT);
}
