#ifndef CORDUROY_RUN_H
#define CORDUROY_RUN_H

/* `run NAME --listen SOCKET [--queues N]`, the native data plane; argv[0] is "run". Returns an exit code, if it
 * returns: an end that was asked for is by SIGTERM. */
int run(int argc, char **argv);

#endif
