#ifndef CORDUROY_DESCRIPTORS_H
#define CORDUROY_DESCRIPTORS_H

/* The descriptors that an engine is handed. */
enum { TUN_FD = 3, CONTROL_FD = 4 };

/* Opens /dev/null in place of standard descriptors that are closed, so that no engine takes a device for its log. Must
 * come before anything else is opened. Returns 0, or -1. */
int descriptors_open_standard(void);

/* Puts `tun` at TUN_FD and `control` (-1: none) at CONTROL_FD, both to be inherited, and closes all others but the
 * standard ones. Returns 0, or -1 after a report. */
int descriptors_arrange(int tun, int control);

#endif
