#ifndef CORDUROY_TUN_H
#define CORDUROY_TUN_H

/* Attaches to the persistent TUN device `name`, whole IP packets without a prefix (IFF_TUN | IFF_NO_PI). A device that
 * does not exist is not created. Returns a descriptor (close-on-exec), or -1 after a report. */
int tun_attach(const char *name);

#endif
