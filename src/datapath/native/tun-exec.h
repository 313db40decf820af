#ifndef CORDUROY_TUN_EXEC_H
#define CORDUROY_TUN_EXEC_H

/* The environment variable that tells the command where its control socket is in the file system. */
#define CONTROL_SOCKET_VARIABLE "CORDUROY_CONTROL_SOCKET"

/* Is 1 when each packet has a virtio_net_hdr in front, and packets of up to 64 KiB come; unset otherwise. */
#define VNET_HDR_VARIABLE "CORDUROY_TUN_VNET_HDR"

/* `tun-exec NAME [--listen SOCKET] [--vnet-hdr] -- CMD…`; argv[0] is "tun-exec". Returns an exit code, if it
 * returns. */
int tun_exec(int argc, char **argv);

#endif
