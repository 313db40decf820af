#ifndef CORDUROY_PRIVILEGES_H
#define CORDUROY_PRIVILEGES_H

/* Takes from this process, and from all it executes, what an engine has no use for: it can gain no rights by executing
 * a file (no_new_privs), and of the capabilities only CAP_SETUID, CAP_SETGID and CAP_NET_BIND_SERVICE are left, with
 * which the engine binds its UDP socket and becomes another user. Returns 0, or -1 after a report. */
int privileges_confine(void);

#endif
