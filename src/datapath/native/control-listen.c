#include "control-listen.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "report.h"

enum { BACKLOG = 16 };

static int address_of(const char *path, struct sockaddr_un *address)
{
    size_t length = strlen(path);

    if (length == 0 || length >= sizeof address->sun_path) {
        report("the socket path \"%s\" is not 1 to %zu bytes long: name a shorter one", path,
               sizeof address->sun_path - 1);
        return -1;
    }
    memset(address, 0, sizeof *address);
    address->sun_family = AF_UNIX;
    memcpy(address->sun_path, path, length + 1);
    return 0;
}

/* Removes what an engine that has ended left behind. */
static int remove_stale(const char *path, const struct sockaddr_un *address)
{
    struct stat status;
    int probe, result, error;

    if (lstat(path, &status) < 0) {
        if (errno == ENOENT)
            return 0;
        report("cannot look at %s: %s", path, strerror(errno));
        return -1;
    }
    if (!S_ISSOCK(status.st_mode)) {
        report("%s is not a socket: remove it, or name another path", path);
        return -1;
    }
    /* Non-blocking: an engine that is stuck with a full backlog is there all the same (EAGAIN). */
    probe = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (probe < 0) {
        report("cannot make a socket: %s", strerror(errno));
        return -1;
    }
    result = connect(probe, (const struct sockaddr *)address, sizeof *address);
    error = errno;
    close(probe);
    if (result == 0 || error == EAGAIN) {
        report("a data plane listens at %s already: shut it down first", path);
        return -1;
    }
    if (error != ECONNREFUSED) {
        report("cannot tell whether a data plane listens at %s: %s", path, strerror(error));
        return -1;
    }
    if (unlink(path) < 0 && errno != ENOENT) {
        report("cannot remove the stale socket %s: %s", path, strerror(errno));
        return -1;
    }
    return 0;
}

int control_listen(const char *path)
{
    struct sockaddr_un address;
    mode_t previous;
    int fd, result;

    if (address_of(path, &address) < 0 || remove_stale(path, &address) < 0)
        return -1;
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        report("cannot make a socket: %s", strerror(errno));
        return -1;
    }
    /* The mode is right from the first moment: a chmod would come too late. */
    previous = umask(0177);
    result = bind(fd, (const struct sockaddr *)&address, sizeof address);
    umask(previous);
    if (result < 0) {
        report("cannot make the socket %s: %s: is its folder there?", path, strerror(errno));
        close(fd);
        return -1;
    }
    if (listen(fd, BACKLOG) < 0) {
        report("cannot listen at %s: %s", path, strerror(errno));
        close(fd);
        unlink(path);
        return -1;
    }
    return fd;
}
