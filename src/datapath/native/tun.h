#ifndef CORDUROY_TUN_H
#define CORDUROY_TUN_H

#include <linux/if_tun.h>

/* Linux 6.2; older headers lack them. */
#ifndef TUN_F_USO4
#define TUN_F_USO4 0x20
#define TUN_F_USO6 0x40
#endif

enum tun_flags {
    /* Each packet has a virtio_net_hdr of 10 bytes in front, little-endian. */
    TUN_VNET_HDR = 1,
    /* One queue of several: attach once for each. */
    TUN_MULTI_QUEUE = 2,
};

/* Attaches to the persistent TUN device `name`, whole IP packets (IFF_TUN | IFF_NO_PI), all offloads off. A device that
 * does not exist is not created. A multi-queue device is taken without TUN_MULTI_QUEUE as well, as one queue. Returns a
 * descriptor (close-on-exec), or -1 after a report. */
int tun_attach(const char *name, unsigned flags);

/* Tells the device which packets may come out of it: TUN_F_* of <linux/if_tun.h>. Returns 0, or a negative errno. */
int tun_set_offloads(int fd, unsigned offloads);

#endif
