#ifndef CORDUROY_VERSION_H
#define CORDUROY_VERSION_H

/* The Makefile says it. */
#ifndef CORDUROY_VERSION
#define CORDUROY_VERSION "unknown"
#endif

#endif
