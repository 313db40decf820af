#include "tun-exec.h"

#include <errno.h>
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

/* The variable never tells of another process's socket. */
static int set_environment(const char *listen)
{
    int result = listen == NULL ? unsetenv(CONTROL_SOCKET_VARIABLE) : setenv(CONTROL_SOCKET_VARIABLE, listen, 1);

    if (result < 0)
        report("cannot set " CONTROL_SOCKET_VARIABLE ": %s", strerror(errno));
    return result;
}

/* Does not return when all goes well. */
static int run(int tun, int control, const struct arguments *arguments)
{
    if (set_environment(arguments->listen) < 0 || descriptors_arrange(tun, control) < 0 || privileges_confine() < 0)
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
    tun = tun_attach(arguments.name);
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
