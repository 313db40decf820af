#include "descriptors.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

#include "report.h"

int descriptors_open_standard(void)
{
    int fd;

    do {
        fd = open("/dev/null", O_RDWR);
        if (fd < 0)
            return -1; /* there may be no standard error to report to */
    } while (fd <= STDERR_FILENO);
    close(fd);
    return 0;
}

/* A copy above every number that is about to be assigned. */
static int move_up(int fd)
{
    return fcntl(fd, F_DUPFD_CLOEXEC, CONTROL_FD + 1);
}

int descriptors_arrange(int tun, int control)
{
    int high_tun = move_up(tun);
    int high_control = control < 0 ? -1 : move_up(control);
    unsigned int first_unused = TUN_FD + 1;

    if (high_tun < 0 || (control >= 0 && high_control < 0) || dup2(high_tun, TUN_FD) < 0) {
        report("cannot arrange the file descriptors: %s", strerror(errno));
        return -1;
    }
    if (control >= 0) {
        if (dup2(high_control, CONTROL_FD) < 0) {
            report("cannot arrange the file descriptors: %s", strerror(errno));
            return -1;
        }
        first_unused = CONTROL_FD + 1;
    }
    if (close_range(first_unused, UINT_MAX, 0) < 0) {
        report("cannot close the other file descriptors: %s: Linux 5.9 or newer is needed", strerror(errno));
        return -1;
    }
    return 0;
}
