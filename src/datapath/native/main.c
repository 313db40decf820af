/* corduroy-datapath: the native programs of the data plane. */
#include <stdio.h>
#include <string.h>

#include "descriptors.h"
#include "report.h"
#include "tun-exec.h"

#ifndef CORDUROY_VERSION
#define CORDUROY_VERSION "unknown"
#endif

static const char HELP[] =
    "Usage: corduroy-datapath tun-exec NAME [--listen SOCKET] -- CMD...\n"
    "       corduroy-datapath --help | --version\n"
    "\n"
    "tun-exec executes CMD with the TUN device NAME as file descriptor 3. The device has to exist:\n"
    "    ip tuntap add dev NAME mode tun\n"
    "CMD can gain no rights (no_new_privs) and keeps of root's capabilities only those to bind a port, to\n"
    "become another user, and to read any file (its own may be in a private folder); they are gone when it\n"
    "has become an unprivileged user.\n"
    "\n"
    "  --listen SOCKET  make a listening Unix socket (mode 0600) as file descriptor 4; its path is in\n"
    "                   " CONTROL_SOCKET_VARIABLE ". A stale socket file is replaced.\n"
    "\n"
    "Exit codes: those of CMD; 1 when the device or the socket cannot be had, 2 wrong usage,\n"
    "127 when CMD cannot be executed.\n";

int main(int argc, char **argv)
{
    if (descriptors_open_standard() < 0)
        return EXIT_FAULT;
    if (argc == 2 && strcmp(argv[1], "--help") == 0)
        return fputs(HELP, stdout) == EOF || fflush(stdout) == EOF ? EXIT_FAULT : 0;
    if (argc == 2 && strcmp(argv[1], "--version") == 0)
        return printf("%s\n", CORDUROY_VERSION) < 0 || fflush(stdout) == EOF ? EXIT_FAULT : 0;
    if (argc >= 2 && strcmp(argv[1], "tun-exec") == 0)
        return tun_exec(argc - 1, argv + 1);
    report("%s%s: see corduroy-datapath --help", argc < 2 ? "no command" : "there is no command ",
           argc < 2 ? "" : argv[1]);
    return EXIT_USAGE;
}
