#ifndef CORDUROY_TUN_QUEUE_H
#define CORDUROY_TUN_QUEUE_H

#include "worker.h"

/* Logs, once a kind, that the TUN refused a packet. */
void tun_refused(struct worker *worker, int error);

/* Ends the process: the device is gone, and the engine is of no use. Logged; exit code 1. */
_Noreturn void tun_is_gone(struct worker *worker, int error);

#endif
