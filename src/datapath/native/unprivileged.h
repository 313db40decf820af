#ifndef CORDUROY_UNPRIVILEGED_H
#define CORDUROY_UNPRIVILEGED_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct account {
    char name[32];
    uid_t uid;
    gid_t gid;
};

/* Takes the account from a line of /etc/passwd, if it is `name`'s. One of uid or gid 0 is no choice. */
bool unprivileged_account(const char *line, const char *name, struct account *account);

/* Gives up root for good: no supplementary groups, another group and user, no capability in any set that this process
 * may change. A process that has not been root from the start stays what it is, and loses its capabilities. Says in
 * `text` what it did. Returns 0; or -1, with what failed in `text`: the process may have rights, and must not go on. */
int unprivileged_become(char *text, size_t size);

#endif
