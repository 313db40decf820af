#include "tun-exec.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "control-listen.h"
#include "descriptors.h"
#include "privileges.h"
#include "report.h"
#include "tun.h"

struct arguments {
    const char *name;
    const char *listen; /* NULL: no control socket */
    bool vnet_hdr;
    char **command;
};

static int parse(int argc, char **argv, struct arguments *parsed)
{
    int index;

    memset(parsed, 0, sizeof *parsed);
    for (index = 1; index < argc; index++) {
        const char *argument = argv[index];

        if (strcmp(argument, "--") == 0) {
            parsed->command = &argv[index + 1];
            break;
        }
        if (strcmp(argument, "--listen") == 0) {
            if (index + 1 >= argc || strcmp(argv[index + 1], "--") == 0) {
                report("--listen needs the path of a socket: see corduroy-datapath --help");
                return -1;
            }
            parsed->listen = argv[++index];
        } else if (strcmp(argument, "--vnet-hdr") == 0) {
            parsed->vnet_hdr = true;
        } else if (argument[0] == '-') {
            report("there is no option %s: see corduroy-datapath --help", argument);
            return -1;
        } else if (parsed->name != NULL) {
            report("\"%s\" is one argument too many; the command comes after --: see corduroy-datapath --help",
                   argument);
            return -1;
        } else {
            parsed->name = argument;
        }
    }
    if (parsed->name == NULL || parsed->command == NULL || parsed->command[0] == NULL) {
        report("tun-exec needs a device and a command: corduroy-datapath tun-exec NAME [--listen SOCKET] -- CMD…");
        return -1;
    }
    return 0;
}

static int set_variable(const char *name, const char *value)
{
    int result = value == NULL ? unsetenv(name) : setenv(name, value, 1);

    if (result < 0)
        report("cannot set %s: %s", name, strerror(errno));
    return result;
}

/* The variables never tell of another process's socket or device. */
static int set_environment(const struct arguments *arguments)
{
    if (set_variable(CONTROL_SOCKET_VARIABLE, arguments->listen) < 0)
        return -1;
    return set_variable(VNET_HDR_VARIABLE, arguments->vnet_hdr ? "1" : NULL);
}

static int attach(const struct arguments *arguments)
{
    int tun = tun_attach(arguments->name, arguments->vnet_hdr ? TUN_VNET_HDR : 0), result;

    if (tun < 0 || !arguments->vnet_hdr)
        return tun;
    result = tun_set_offloads(tun, TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN);
    if (result == 0)
        return tun;
    report("the device %s has no offloads: %s: leave out --vnet-hdr", arguments->name, strerror(-result));
    close(tun);
    return -1;
}

/* Does not return when all goes well. */
static int run(int tun, int control, const struct arguments *arguments)
{
    if (set_environment(arguments) < 0 || descriptors_arrange(tun, control) < 0 || privileges_confine() < 0)
        return EXIT_FAULT;
    execvp(arguments->command[0], arguments->command);
    report("cannot execute %s: %s", arguments->command[0], strerror(errno));
    return EXIT_NO_COMMAND;
}

int tun_exec(int argc, char **argv)
{
    struct arguments arguments;
    int tun, control = -1, code;

    if (parse(argc, argv, &arguments) < 0)
        return EXIT_USAGE;
    /* The device first: when it is not there, nothing of another engine has been touched. */
    tun = attach(&arguments);
    if (tun < 0)
        return EXIT_FAULT;
    if (arguments.listen != NULL) {
        control = control_listen(arguments.listen);
        if (control < 0)
            return EXIT_FAULT;
    }
    code = run(tun, control, &arguments);
    if (arguments.listen != NULL)
        unlink(arguments.listen);
    return code;
}
