#ifndef CORDUROY_SECCOMP_H
#define CORDUROY_SECCOMP_H

#include <stddef.h>

/* Leaves to all threads of this process only the system calls that forwarding and the control socket need; another one
 * ends the process. Needs no_new_privs. Left out in builds with a sanitizer, which makes calls of its own, and on a
 * kernel that has no filters. Says in `text` what it did. Returns 0; or -1, with what failed in `text`. */
int seccomp_confine(char *text, size_t size);

#endif
