#ifndef CORDUROY_PRIVILEGES_H
#define CORDUROY_PRIVILEGES_H

/* Takes from this process, and from all it executes, what an engine has no use for: it can gain no rights by executing
 * a file (no_new_privs), and of the capabilities only CAP_SETUID, CAP_SETGID, CAP_NET_BIND_SERVICE and
 * CAP_DAC_READ_SEARCH are left, with which the engine reads its own files in a private folder, binds its UDP socket
 * and becomes another user. Once it is an unprivileged one it has none of them. Returns 0, or -1 after a report. */
int privileges_confine(void);

/* The same for the engine in this program, which executes nothing: of the capabilities that it has it keeps CAP_SETUID,
 * CAP_SETGID, CAP_NET_BIND_SERVICE and CAP_NET_ADMIN until it is configured, and the bounding set is emptied. Returns
 * 0, or -1 after a report. */
int privileges_confine_engine(void);

#endif
