#include "tun.h"

#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "report.h"

static const char TUN_CONTROL[] = "/dev/net/tun";
/* sizeof(struct virtio_net_hdr) */
enum { VNET_HEADER = 10 };

/* The kernel takes a "%d" in a name for a pattern, and makes a device of it. */
static int is_device_name(const char *name)
{
    size_t length = strlen(name);

    return length > 0 && length < IFNAMSIZ && strpbrk(name, "/% \t\n") == NULL;
}

static void report_no_device(const char *name)
{
    report("there is no device %s in this network namespace: corduroyd makes it, or by hand: "
           "ip tuntap add dev %s mode tun",
           name, name);
}

static void report_attach_failure(const char *name, unsigned flags, int error)
{
    switch (error) {
    case EBUSY:
        report("the device %s is in use by another process: end the data plane that has it", name);
        break;
    case EPERM:
        report("the device %s may not be attached to by this user: run as root, or with CAP_NET_ADMIN", name);
        break;
    case EINVAL:
        report("the device %s is not a plain TUN device (it may be TAP, or another kind%s): "
               "remove it, then: ip tuntap add dev %s mode tun%s",
               name, (flags & TUN_MULTI_QUEUE) != 0 ? ", or have one queue" : "", name,
               (flags & TUN_MULTI_QUEUE) != 0 ? " multi_queue" : "");
        break;
    default:
        report("cannot attach to the device %s: %s", name, strerror(error));
    }
}

/* Returns 0, or a negative errno. */
static int set_interface(int fd, const char *name, unsigned flags)
{
    struct ifreq request;

    memset(&request, 0, sizeof request);
    memcpy(request.ifr_name, name, strlen(name) + 1); /* is_device_name has checked that it fits */
    request.ifr_flags = (short)(IFF_TUN | IFF_NO_PI | ((flags & TUN_VNET_HDR) != 0 ? IFF_VNET_HDR : 0) |
                                ((flags & TUN_MULTI_QUEUE) != 0 ? IFF_MULTI_QUEUE : 0));
    return ioctl(fd, TUNSETIFF, &request) < 0 ? -errno : 0;
}

/* A device deleted since the look at its index was made anew by TUNSETIFF, and goes with the descriptor. */
static int check_persistent(int fd, const char *name)
{
    struct ifreq request;

    memset(&request, 0, sizeof request);
    if (ioctl(fd, TUNGETIFF, &request) < 0) {
        report("cannot read the flags of the device %s: %s", name, strerror(errno));
        return -1;
    }
    if (((unsigned short)request.ifr_flags & IFF_PERSIST) == 0) {
        report_no_device(name);
        return -1;
    }
    return 0;
}

/* The device keeps what the engine before has set: it must not hand out packets that this one cannot take. */
static int set_form(int fd, const char *name, unsigned flags)
{
    int header = VNET_HEADER, little_endian = 1;

    if (tun_set_offloads(fd, 0) < 0 ||
        ((flags & TUN_VNET_HDR) != 0 &&
         (ioctl(fd, TUNSETVNETHDRSZ, &header) < 0 || ioctl(fd, TUNSETVNETLE, &little_endian) < 0))) {
        report("cannot set the form of the packets of the device %s: %s", name, strerror(errno));
        return -1;
    }
    return 0;
}

static int attach(int fd, const char *name, unsigned flags)
{
    int result = set_interface(fd, name, flags);

    if (result == -EINVAL && (flags & TUN_MULTI_QUEUE) == 0)
        result = set_interface(fd, name, flags | TUN_MULTI_QUEUE);
    if (result < 0) {
        report_attach_failure(name, flags, -result);
        return -1;
    }
    if (check_persistent(fd, name) < 0)
        return -1;
    return set_form(fd, name, flags);
}

int tun_set_offloads(int fd, unsigned offloads)
{
    return ioctl(fd, TUNSETOFFLOAD, (unsigned long)offloads) < 0 ? -errno : 0;
}

int tun_attach(const char *name, unsigned flags)
{
    int fd;

    if (!is_device_name(name)) {
        report("\"%s\" is not a device name: 1 to %d bytes, without / and %%", name, IFNAMSIZ - 1);
        return -1;
    }
    if (if_nametoindex(name) == 0) {
        report_no_device(name);
        return -1;
    }
    fd = open(TUN_CONTROL, O_RDWR | O_CLOEXEC);
    if (fd < 0) {
        report("cannot open %s: %s: %s", TUN_CONTROL, strerror(errno),
               errno == EACCES ? "run as root, or open it to all, as udev does (chmod 666), since attaching to a device "
                                 "takes more than that"
                               : "load the module: modprobe tun");
        return -1;
    }
    if (attach(fd, name, flags) < 0) {
        close(fd);
        return -1;
    }
    return fd;
}
