/*
 * The hands of the differential test, in the namespace of an engine: puts packets into its TUN as if the kernel had
 * routed them there, sends and takes the outer datagrams of its peers, and reads what the kernel forwards to a second,
 * plain device.
 *
 *   wire-agent TUN PLAIN HOST PORT PEER…
 *
 * PLAIN is made. Frames, in and out, numbers little-endian:
 *
 *   | channel u8 | 0 u8 | segment u16 | length u32 | bytes … |
 *
 * Channel 0: into TUN; 1: into PLAIN, where the kernel does what an engine has to do; both with a virtio header in front.
 * 2: comes back, when all before it is done, with the number of packets that the kernel refused. 3: out of PLAIN. 16 and
 * up: from or to a peer; several datagrams of `segment` bytes, if that is not 0. Addresses are IPv4.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#endif

enum {
    INTO_TUN = 0,
    INTO_PLAIN = 1,
    SYNC = 2,
    OUT_OF_PLAIN = 3,
    FIRST_PEER = 16,
    PEERS_MAX = 8,
    BYTES_MAX = 70000,
    VIRTIO_HEADER = 10,
    /* Bytes: whatever one batch of a test brings. */
    RECEIVE_BUFFER = 256 << 20,
};

struct frame {
    uint8_t channel, zero;
    uint16_t segment;
    uint32_t length;
};

static uint8_t bytes[BYTES_MAX];
static struct sockaddr_in host;
static int injector[2], plain, peer[PEERS_MAX], peers;
static uint32_t refused;

static void fail(const char *what)
{
    fprintf(stderr, "wire-agent: %s: %s\n", what, strerror(errno));
    exit(1);
}

/* The kernel did not take what it was given. */
static void refuse(size_t length)
{
    size_t index;

    fprintf(stderr, "wire-agent: %s: %zu bytes ", strerror(errno), length);
    for (index = 0; index < length && index < 80; index++)
        fprintf(stderr, "%02x", bytes[index]);
    fputc('\n', stderr);
    refused++;
}

static void say(uint8_t channel, size_t length)
{
    const struct frame frame = {.channel = channel, .length = (uint32_t)length};

    fwrite(&frame, sizeof frame, 1, stdout);
    fwrite(bytes, length, 1, stdout);
}

static int open_plain(const char *name)
{
    struct ifreq request = {.ifr_flags = IFF_TUN | IFF_NO_PI};
    int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK);

    strncpy(request.ifr_name, name, IFNAMSIZ - 1);
    if (fd < 0 || ioctl(fd, TUNSETIFF, &request) < 0)
        fail(name);
    return fd;
}

static int open_injector(const char *device)
{
    struct sockaddr_ll address = {.sll_family = AF_PACKET, .sll_ifindex = (int)if_nametoindex(device)};
    int fd = socket(AF_PACKET, SOCK_RAW, 0), on = 1;

    if (fd < 0 || setsockopt(fd, SOL_PACKET, PACKET_VNET_HDR, &on, sizeof on) < 0 ||
        bind(fd, (struct sockaddr *)&address, sizeof address) < 0)
        fail(device);
    return fd;
}

static int open_peer(const char *address)
{
    struct sockaddr_in local = {.sin_family = AF_INET, .sin_port = host.sin_port, .sin_addr.s_addr = inet_addr(address)};
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0), size = RECEIVE_BUFFER;

    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof size) < 0 ||
        bind(fd, (struct sockaddr *)&local, sizeof local) < 0)
        fail(address);
    return fd;
}

static void inject(int which, const char *device, size_t length)
{
    int v6 = length > VIRTIO_HEADER && bytes[VIRTIO_HEADER] >> 4 == 6;
    struct sockaddr_ll to = {
        .sll_family = AF_PACKET,
        .sll_protocol = htons(v6 ? ETH_P_IPV6 : ETH_P_IP),
        .sll_ifindex = (int)if_nametoindex(device),
    };

    if (sendto(injector[which], bytes, length, 0, (struct sockaddr *)&to, sizeof to) < 0)
        refuse(length);
}

static void send_from(int fd, size_t length, uint16_t segment)
{
    union {
        struct cmsghdr header;
        uint8_t space[CMSG_SPACE(sizeof segment)];
    } control = {.header = {.cmsg_level = IPPROTO_UDP, .cmsg_type = UDP_SEGMENT, .cmsg_len = CMSG_LEN(sizeof segment)}};
    struct iovec iov = {bytes, length};
    struct msghdr message = {.msg_name = &host, .msg_namelen = sizeof host, .msg_iov = &iov, .msg_iovlen = 1};

    if (segment != 0) {
        memcpy(CMSG_DATA(&control.header), &segment, sizeof segment);
        message.msg_control = control.space;
        message.msg_controllen = sizeof control.space;
    }
    if (sendmsg(fd, &message, 0) < 0)
        refuse(length);
}

static void read_all(size_t length, uint8_t *to)
{
    while (length > 0) {
        ssize_t got = read(STDIN_FILENO, to, length);

        if (got <= 0)
            exit(got < 0);
        to += got;
        length -= (size_t)got;
    }
}

static void obey(char **device)
{
    struct frame frame;

    read_all(sizeof frame, (uint8_t *)&frame);
    if (frame.length > sizeof bytes)
        fail("a frame is too long");
    read_all(frame.length, bytes);
    if (frame.channel <= INTO_PLAIN) {
        inject(frame.channel, device[frame.channel], frame.length);
    } else if (frame.channel == SYNC) {
        memcpy(bytes, &refused, sizeof refused);
        say(SYNC, sizeof refused);
    } else if (frame.channel >= FIRST_PEER && frame.channel < FIRST_PEER + peers) {
        send_from(peer[frame.channel - FIRST_PEER], frame.length, frame.segment);
    }
}

/* All that is there. */
static void take(int fd, uint8_t channel)
{
    ssize_t length;

    while ((length = read(fd, bytes, sizeof bytes)) >= 0)
        say(channel, (size_t)length);
}

int main(int argc, char **argv)
{
    struct pollfd polled[2 + PEERS_MAX] = {{.fd = STDIN_FILENO, .events = POLLIN}};
    int index;

    if (argc < 6 || argc > 5 + PEERS_MAX)
        return 2;
    host.sin_family = AF_INET;
    host.sin_addr.s_addr = inet_addr(argv[3]);
    host.sin_port = htons((uint16_t)atoi(argv[4]));
    plain = open_plain(argv[2]);
    injector[INTO_TUN] = open_injector(argv[1]);
    injector[INTO_PLAIN] = open_injector(argv[2]);
    polled[1] = (struct pollfd){.fd = plain, .events = POLLIN};
    for (; peers < argc - 5; peers++) {
        peer[peers] = open_peer(argv[5 + peers]);
        polled[2 + peers] = (struct pollfd){.fd = peer[peers], .events = POLLIN};
    }
    for (;;) {
        if (poll(polled, (nfds_t)(2 + peers), -1) < 0)
            fail("poll");
        if (polled[1].revents != 0)
            take(plain, OUT_OF_PLAIN);
        for (index = 0; index < peers; index++)
            if (polled[2 + index].revents != 0)
                take(peer[index], (uint8_t)(FIRST_PEER + index));
        if (polled[0].revents != 0)
            obey(argv + 1);
        fflush(stdout);
    }
}
