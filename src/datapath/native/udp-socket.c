#include "udp-socket.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Bytes. What comes in one burst while a worker does not run has to fit; measured to be enough for 15 Gbit/s. */
static const int BUFFER = 8 * 1024 * 1024;

/* The kernel grants more than its sysctl to CAP_NET_ADMIN only; without it, as much as the sysctl allows. */
static void enlarge(int fd, int force, int plain)
{
    if (setsockopt(fd, SOL_SOCKET, force, &BUFFER, sizeof BUFFER) < 0)
        (void)setsockopt(fd, SOL_SOCKET, plain, &BUFFER, sizeof BUFFER);
}

static int set(int fd, int level, int option, int value)
{
    return setsockopt(fd, level, option, &value, sizeof value);
}

/* IP_PMTUDISC_DO: a datagram that the path does not take is refused (EMSGSIZE), and its sender told, instead of being cut
 * into fragments. */
static int set_ip_options(int fd, sa_family_t family)
{
    if (family == AF_INET)
        return set(fd, IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DO) < 0 ? -1 : set(fd, IPPROTO_IP, IP_RECVTOS, 1);
    if (set(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1) < 0 || set(fd, IPPROTO_IPV6, IPV6_RECVTCLASS, 1) < 0)
        return -1;
    return set(fd, IPPROTO_IPV6, IPV6_MTU_DISCOVER, IPV6_PMTUDISC_DO);
}

static void probe(int fd, struct udp_options *options)
{
    int value = 0;
    socklen_t length = sizeof value;

    options->segment_error = getsockopt(fd, IPPROTO_UDP, UDP_SEGMENT, &value, &length) < 0 ? errno : 0;
    options->gro_error = set(fd, IPPROTO_UDP, UDP_GRO, 1) < 0 ? errno : 0;
}

int udp_open(const struct endpoint *listen, struct udp_options *options, char *error, size_t error_size)
{
    sa_family_t family = listen->socket.any.sa_family;
    char where[ENDPOINT_TEXT];
    int fd = socket(family, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    if (fd < 0) {
        snprintf(error, error_size, "cannot make a UDP socket: %s", strerror(errno));
        return -1;
    }
    enlarge(fd, SO_RCVBUFFORCE, SO_RCVBUF);
    enlarge(fd, SO_SNDBUFFORCE, SO_SNDBUF);
    if (set_ip_options(fd, family) < 0 || (options->share && set(fd, SOL_SOCKET, SO_REUSEPORT, 1) < 0)) {
        snprintf(error, error_size, "cannot set the options of a UDP socket: %s", strerror(errno));
        close(fd);
        return -1;
    }
    if (bind(fd, &listen->socket.any, listen->length) < 0) {
        snprintf(error, error_size,
                 "cannot listen on UDP %s (%s): it has to be free, and an address of this host",
                 endpoint_text(listen, where), strerror(errno));
        close(fd);
        return -1;
    }
    if (options->offload)
        probe(fd, options);
    return fd;
}

int udp_open_path(const struct endpoint *listen)
{
    struct endpoint any_port = *listen;
    int fd = socket(listen->socket.any.sa_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return -1;
    any_port.socket.v4.sin_port = 0; /* at the same place for both families */
    if (bind(fd, &any_port.socket.any, any_port.length) < 0) {
        close(fd);
        return -1;
    }
    return fd;
}

unsigned udp_path_mtu(int path_fd, const struct endpoint *peer)
{
    bool v4 = peer->socket.any.sa_family == AF_INET;
    int mtu = 0;
    socklen_t length = sizeof mtu;

    if (connect(path_fd, &peer->socket.any, peer->length) < 0 ||
        getsockopt(path_fd, v4 ? IPPROTO_IP : IPPROTO_IPV6, v4 ? IP_MTU : IPV6_MTU, &mtu, &length) < 0 || mtu < 0)
        return 0;
    return (unsigned)mtu;
}
