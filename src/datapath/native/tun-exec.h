#ifndef CORDUROY_TUN_EXEC_H
#define CORDUROY_TUN_EXEC_H

/* The environment variable that tells the command where its control socket is in the file system. */
#define CONTROL_SOCKET_VARIABLE "CORDUROY_CONTROL_SOCKET"

/* `tun-exec NAME [--listen SOCKET] -- CMD…`; argv[0] is "tun-exec". Returns an exit code, if it returns. */
int tun_exec(int argc, char **argv);

#endif
