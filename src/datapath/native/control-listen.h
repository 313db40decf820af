#ifndef CORDUROY_CONTROL_LISTEN_H
#define CORDUROY_CONTROL_LISTEN_H

/* Makes a Unix stream socket that listens at `path`, mode 0600. A socket file that nobody answers on is replaced; one
 * that is answered on, or a file of another kind, is left alone. Returns a descriptor (close-on-exec), or -1 after a
 * report. */
int control_listen(const char *path);

#endif
