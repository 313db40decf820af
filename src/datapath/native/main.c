/* corduroy-datapath: the native programs of the data plane. */
#include <stdio.h>
#include <string.h>

#include "descriptors.h"
#include "report.h"
#include "run.h"
#include "tun-exec.h"
#include "version.h"

static const char HELP[] =
    "Usage: corduroy-datapath run NAME --listen SOCKET [--queues N]\n"
    "       corduroy-datapath tun-exec NAME [--listen SOCKET] [--vnet-hdr] -- CMD...\n"
    "       corduroy-datapath --help | --version\n"
    "\n"
    "Both need a TUN device NAME that exists: ip tuntap add dev NAME mode tun\n"
    "\n"
    "run is the native data plane. It waits for its configuration on SOCKET (made with mode 0600; a stale\n"
    "one is replaced), then becomes the user corduroy or nobody, and forwards until it is told to end, or\n"
    "gets SIGTERM. It logs to standard error. corduroyd starts it; by hand:\n"
    "    corduroy-datapath run corduroy0 --listen /run/corduroy/datapath.sock\n"
    "\n"
    "  --queues N       queues of the device, 1 (the default) to 16. More than one need a device made with\n"
    "                   ip tuntap add dev NAME mode tun multi_queue\n"
    "\n"
    "tun-exec executes CMD with the device as file descriptor 3.\n"
    "CMD can gain no rights (no_new_privs) and keeps of root's capabilities only those to bind a port, to\n"
    "become another user, and to read any file (its own may be in a private folder); they are gone when it\n"
    "has become an unprivileged user.\n"
    "\n"
    "  --listen SOCKET  make a listening Unix socket (mode 0600) as file descriptor 4; its path is in\n"
    "                   " CONTROL_SOCKET_VARIABLE ". A stale socket file is replaced.\n"
    "  --vnet-hdr       have a virtio_net_hdr of 10 bytes, little-endian, in front of each packet, and TCP\n"
    "                   packets of up to 64 KiB; " VNET_HDR_VARIABLE " is 1 then.\n"
    "\n"
    "Exit codes: those of CMD; 1 when the device or the socket cannot be had, or is lost; 2 wrong usage,\n"
    "127 when CMD cannot be executed. run, told to end, ends by SIGTERM.\n";

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
    if (argc >= 2 && strcmp(argv[1], "run") == 0)
        return run(argc - 1, argv + 1);
    report("%s%s: see corduroy-datapath --help", argc < 2 ? "no command" : "there is no command ",
           argc < 2 ? "" : argv[1]);
    return EXIT_USAGE;
}
