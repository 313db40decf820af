#include "privileges.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <linux/capability.h>

#include "report.h"

#define CAPABILITY(number) (UINT64_C(1) << (number))

/* Reading is among them for the engine's own program files, which may lie in another user's private folder; all of
 * them are gone once the engine has become an unprivileged user. */
static const uint64_t KEPT_FOR_COMMAND = CAPABILITY(CAP_SETUID) | CAPABILITY(CAP_SETGID) |
                                         CAPABILITY(CAP_NET_BIND_SERVICE) | CAPABILITY(CAP_DAC_READ_SEARCH);

/* CAP_NET_ADMIN is for SO_RCVBUFFORCE. */
static const uint64_t KEPT_UNTIL_CONFIGURED = CAPABILITY(CAP_SETUID) | CAPABILITY(CAP_SETGID) |
                                              CAPABILITY(CAP_NET_BIND_SERVICE) | CAPABILITY(CAP_NET_ADMIN);

/* The bounding set is what root gets back at execve(2): capabilities(7). Another user gets nothing back, and may not
 * be able to drop (EPERM without CAP_SETPCAP), which is no harm. */
static int drop_bounding_set(uint64_t kept)
{
    int number;

    for (number = 0; number < 64; number++) {
        int held = prctl(PR_CAPBSET_READ, number, 0, 0, 0);

        if (held < 0)
            break; /* EINVAL: past the last capability of this kernel */
        if (held == 0 || (kept & CAPABILITY(number)) != 0)
            continue;
        if (prctl(PR_CAPBSET_DROP, number, 0, 0, 0) < 0 && (errno != EPERM || geteuid() == 0)) {
            report("cannot drop capability %d from the bounding set: %s: run with CAP_SETPCAP", number,
                   strerror(errno));
            return -1;
        }
    }
    return 0;
}

static int reduce_sets(uint64_t kept)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
    struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];
    size_t half;

    memset(data, 0, sizeof data);
    if (syscall(SYS_capget, &header, data) < 0) {
        report("cannot read the capabilities: %s", strerror(errno));
        return -1;
    }
    for (half = 0; half < _LINUX_CAPABILITY_U32S_3; half++) {
        uint32_t kept_half = (uint32_t)(kept >> (32 * half));

        data[half].permitted &= kept_half;
        data[half].effective &= kept_half;
        data[half].inheritable = 0;
    }
    if (syscall(SYS_capset, &header, data) < 0) {
        report("cannot reduce the capabilities: %s", strerror(errno));
        return -1;
    }
    return 0;
}

static int confine(uint64_t kept, uint64_t bounding)
{
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0) {
        report("cannot set no_new_privs: %s", strerror(errno));
        return -1;
    }
    if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0) {
        report("cannot clear the ambient capabilities: %s", strerror(errno));
        return -1;
    }
    if (drop_bounding_set(bounding) < 0)
        return -1;
    return reduce_sets(kept);
}

int privileges_confine(void)
{
    return confine(KEPT_FOR_COMMAND, KEPT_FOR_COMMAND);
}

int privileges_confine_engine(void)
{
    /* The bounding set takes nothing from a process that executes nothing. */
    return confine(KEPT_UNTIL_CONFIGURED, 0);
}
