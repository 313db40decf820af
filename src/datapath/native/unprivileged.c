#include "unprivileged.h"

#include <errno.h>
#include <grp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <linux/capability.h>

/* In order of preference. `nobody` is shared with others, so a user of its own is better. */
static const char *const ACCOUNTS[] = {"corduroy", "nobody"};
enum { ACCOUNT_COUNT = sizeof ACCOUNTS / sizeof ACCOUNTS[0] };

/* Not getpwnam(3): it may load libraries and open sockets. */
static const char PASSWD[] = "/etc/passwd";

/* The number that is the whole field, above 0, and not -1, which setuid(2) and its like take for "no change". */
static bool id_of(const char *field, unsigned *id)
{
    char *end;
    unsigned long value;

    if (field[0] < '1' || field[0] > '9')
        return false;
    errno = 0;
    value = strtoul(field, &end, 10);
    if (errno != 0 || (*end != ':' && *end != '\n' && *end != '\0') || value >= UINT32_MAX)
        return false;
    *id = (unsigned)value;
    return true;
}

bool unprivileged_account(const char *line, const char *name, struct account *account)
{
    size_t length = strlen(name);
    const char *password, *uid, *gid;

    if (strncmp(line, name, length) != 0 || line[length] != ':' || length >= sizeof account->name)
        return false;
    password = line + length + 1;
    uid = strchr(password, ':');
    gid = uid == NULL ? NULL : strchr(uid + 1, ':');
    if (gid == NULL || !id_of(uid + 1, &account->uid) || !id_of(gid + 1, &account->gid))
        return false;
    memcpy(account->name, name, length + 1);
    return true;
}

/* Returns the rank of the best account that the file has; ACCOUNT_COUNT: none. */
static unsigned find_account(FILE *file, struct account *best)
{
    unsigned rank = ACCOUNT_COUNT, candidate;
    char *line = NULL;
    size_t size = 0;

    while (getline(&line, &size, file) >= 0) {
        for (candidate = 0; candidate < rank; candidate++) {
            if (unprivileged_account(line, ACCOUNTS[candidate], best))
                rank = candidate;
        }
    }
    free(line);
    return rank;
}

static int choose_account(struct account *account, char *text, size_t size)
{
    FILE *file = fopen(PASSWD, "re");
    unsigned rank;

    if (file == NULL) {
        snprintf(text, size, "cannot read %s: %s", PASSWD, strerror(errno));
        return -1;
    }
    rank = find_account(file, account);
    fclose(file);
    if (rank < ACCOUNT_COUNT)
        return 0;
    snprintf(text, size,
             "%s has none of the users %s, %s, and the data plane will not run as root: make one with `useradd "
             "--system %s`",
             PASSWD, ACCOUNTS[0], ACCOUNTS[1], ACCOUNTS[0]);
    return -1;
}

/* Gives up all that a change of the user has not cleared: a parent may have set securebits that keep them. */
static int clear_capabilities(char *text, size_t size)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
    struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];
    unsigned half;

    prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0); /* the check below finds what is left */
    memset(data, 0, sizeof data);
    if (syscall(SYS_capset, &header, data) < 0 || syscall(SYS_capget, &header, data) < 0) {
        snprintf(text, size, "cannot give up the capabilities: %s", strerror(errno));
        return -1;
    }
    for (half = 0; half < _LINUX_CAPABILITY_U32S_3; half++) {
        if ((data[half].permitted | data[half].effective | data[half].inheritable) != 0) {
            snprintf(text, size, "the kernel leaves it capabilities: defect of the kernel");
            return -1;
        }
    }
    return 0;
}

static int become(const struct account *account, char *text, size_t size)
{
    uid_t real, effective, saved;

    if (setgroups(0, NULL) < 0 || setgid(account->gid) < 0 || setuid(account->uid) < 0) {
        snprintf(text, size, "cannot become %s (uid %u, gid %u): %s: start it with CAP_SETUID and CAP_SETGID",
                 account->name, account->uid, account->gid, strerror(errno));
        return -1;
    }
    if (clear_capabilities(text, size) < 0)
        return -1;
    if (getresuid(&real, &effective, &saved) < 0 || real != account->uid || effective != account->uid ||
        saved != account->uid || setuid(0) == 0) {
        snprintf(text, size, "the process could become root again after setuid: start it as root, with CAP_SETUID");
        return -1;
    }
    snprintf(text, size, "runs as %s (uid %u, gid %u), with no capabilities", account->name, account->uid,
             account->gid);
    return 0;
}

int unprivileged_become(char *text, size_t size)
{
    struct account account;

    if (getuid() != 0 && geteuid() != 0) {
        if (clear_capabilities(text, size) < 0)
            return -1;
        snprintf(text, size, "runs as uid %u, without root from the start", getuid());
        return 0;
    }
    if (choose_account(&account, text, size) < 0)
        return -1;
    return become(&account, text, size);
}
