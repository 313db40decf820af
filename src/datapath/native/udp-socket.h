#ifndef CORDUROY_UDP_SOCKET_H
#define CORDUROY_UDP_SOCKET_H

#include <netinet/udp.h>
#include <stdbool.h>
#include <stddef.h>

#include "address.h"

/* Since Linux 4.18 and 5.0; older headers lack them. */
#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#endif
#ifndef UDP_GRO
#define UDP_GRO 104
#endif

struct udp_options {
    bool share;   /* the port, among the queues (SO_REUSEPORT) */
    bool offload; /* probe UDP_SEGMENT, turn UDP_GRO on */
    /* What came of it: 0, or an errno. */
    int segment_error, gro_error;
};

/* Opens the socket to the peers: large buffers, no fragmentation of what it sends, the sender's traffic class with what it
 * receives. Returns a descriptor, or -1 with the reason in `error`. */
int udp_open(const struct endpoint *listen, struct udp_options *options, char *error, size_t error_size);

/* Opens a socket of the same address that is only asked for path MTUs. Returns a descriptor or -1. */
int udp_open_path(const struct endpoint *listen);

/* The MTU that the kernel knows of the path to a peer, in bytes of outer packet; 0 when it cannot tell. */
unsigned udp_path_mtu(int path_fd, const struct endpoint *peer);

#endif
