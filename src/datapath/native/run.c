#include "run.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <malloc.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "control-listen.h"
#include "control.h"
#include "engine.h"
#include "log.h"
#include "privileges.h"
#include "report.h"
#include "tun.h"
#include "version.h"

struct arguments {
    const char *name;
    const char *listen;
    unsigned queues;
};

static int parse_queues(const char *text, unsigned *queues)
{
    char *end;
    long value;

    errno = 0;
    value = strtol(text, &end, 10);
    if (errno != 0 || end == text || *end != '\0' || value < 1 || value > QUEUES_MAX) {
        report("--queues is a number from 1 to %d, not \"%s\": see corduroy-datapath --help", QUEUES_MAX, text);
        return -1;
    }
    *queues = (unsigned)value;
    return 0;
}

/* Returns how many arguments were used, or -1 after a report. */
static int parse_one(int left, char **argv, struct arguments *parsed)
{
    const char *argument = argv[0];
    int is_listen = strcmp(argument, "--listen") == 0, is_queues = strcmp(argument, "--queues") == 0;

    if ((is_listen || is_queues) && left < 2) {
        report("%s needs %s: see corduroy-datapath --help", argument, is_listen ? "the path of a socket" : "a number");
        return -1;
    }
    if (is_listen) {
        parsed->listen = argv[1];
        return 2;
    }
    if (is_queues)
        return parse_queues(argv[1], &parsed->queues) < 0 ? -1 : 2;
    if (argument[0] == '-') {
        report("there is no option %s: see corduroy-datapath --help", argument);
        return -1;
    }
    if (parsed->name != NULL) {
        report("\"%s\" is one argument too many: see corduroy-datapath --help", argument);
        return -1;
    }
    parsed->name = argument;
    return 1;
}

static int parse(int argc, char **argv, struct arguments *parsed)
{
    int index = 1;

    *parsed = (struct arguments){.queues = 1};
    while (index < argc) {
        int used = parse_one(argc - index, argv + index, parsed);

        if (used < 0)
            return -1;
        index += used;
    }
    if (parsed->name == NULL || parsed->listen == NULL) {
        report("run needs a device and a socket: corduroy-datapath run NAME --listen SOCKET");
        return -1;
    }
    return 0;
}

/* The signal that came. There is one handler a process, and it can be told nothing: so this is not in the engine. */
static volatile sig_atomic_t arrived;

static void on_signal(int number)
{
    arrived = number;
}

/* The signals to end are let in only where the control thread waits; the workers, made later, never see them. SIGPIPE
 * is for a log whose reader is gone. */
static void prepare_signals(sigset_t *waiting)
{
    struct sigaction action;
    sigset_t ends;

    memset(&action, 0, sizeof action);
    sigemptyset(&action.sa_mask);
    action.sa_handler = SIG_IGN;
    sigaction(SIGPIPE, &action, NULL);
    action.sa_handler = on_signal;
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    sigemptyset(&ends);
    sigaddset(&ends, SIGTERM);
    sigaddset(&ends, SIGINT);
    sigprocmask(SIG_BLOCK, &ends, waiting);
    sigdelset(waiting, SIGTERM);
    sigdelset(waiting, SIGINT);
}

/* Ends by SIGTERM's default action, which systemd takes for a clean end, and which waits for no thread. */
static _Noreturn void end_as_asked(void)
{
    struct sigaction action;
    sigset_t term;

    memset(&action, 0, sizeof action);
    sigemptyset(&action.sa_mask);
    action.sa_handler = SIG_DFL;
    sigaction(SIGTERM, &action, NULL);
    sigemptyset(&term);
    sigaddset(&term, SIGTERM);
    kill(getpid(), SIGTERM);
    sigprocmask(SIG_UNBLOCK, &term, NULL);
    /* Not reached: SIGTERM has come by now. */
    kill(getpid(), SIGKILL);
    _exit(EXIT_FAULT);
}

/* Leaves nothing open but the log, which takes the place of the other standard descriptors too. */
static int close_others(void)
{
    if (close_range(STDERR_FILENO + 1, UINT_MAX, 0) < 0) {
        report("cannot close the other file descriptors: %s: Linux 5.9 or newer is needed", strerror(errno));
        return -1;
    }
    if (dup2(STDERR_FILENO, STDIN_FILENO) < 0 || dup2(STDERR_FILENO, STDOUT_FILENO) < 0) {
        report("cannot replace the standard descriptors: %s", strerror(errno));
        return -1;
    }
    return 0;
}

static int attach_queues(struct engine *engine, const struct arguments *arguments)
{
    unsigned flags = TUN_VNET_HDR | (arguments->queues > 1 ? TUN_MULTI_QUEUE : 0);

    for (engine->queues = 0; engine->queues < arguments->queues; engine->queues++) {
        engine->tun_fd[engine->queues] = tun_attach(arguments->name, flags);
        if (engine->tun_fd[engine->queues] < 0)
            return -1;
    }
    memcpy(engine->tun_name, arguments->name, strlen(arguments->name) + 1); /* tun_attach has checked that it fits */
    return 0;
}

/* An engine that is idle: its devices, and an empty table. NULL after a report. */
/* NULL after a report. */
static struct engine *engine_new(void)
{
    struct engine *engine = calloc(1, sizeof *engine);
    struct table *table = table_build(0, NULL, 0, NULL, 0, NULL);
    unsigned queue;

    if (engine == NULL || table == NULL) {
        report("memory is short");
        table_free(table);
        free(engine);
        return NULL;
    }
    atomic_init(&engine->table, table);
    engine->path_fd = -1;
    for (queue = 0; queue < QUEUES_MAX; queue++)
        engine->tun_fd[queue] = engine->udp_fd[queue] = -1;
    return engine;
}

static int listen_at(const char *path)
{
    int fd = control_listen(path);

    if (fd >= 0 && fcntl(fd, F_SETFL, O_NONBLOCK) < 0) {
        report("cannot set the socket %s to non-blocking: %s", path, strerror(errno));
        unlink(path);
        return -1;
    }
    return fd;
}

/* In vain once root is given up, for the folder is root's, and the filter forbids it: then the daemon removes the file,
 * or the next engine replaces it. */
static void remove_socket_file(const struct engine *engine, const char *path)
{
    if (engine->configured)
        log_line("%s stays, for the daemon to remove", path);
    else if (unlink(path) < 0)
        log_line("%s stays, for the daemon to remove: %s", path, strerror(errno));
}

static _Noreturn void serve(struct engine *engine, int control, const char *path)
{
    sigset_t waiting;
    enum control_end end;

    prepare_signals(&waiting);
    log_line("idle: version %s, device %s", CORDUROY_VERSION, engine->tun_name);
    end = control_serve(engine, control, getuid(), &waiting, &arrived);
    if (end == CONTROL_SIGNAL)
        log_line("ends: %s", arrived == SIGINT ? "SIGINT" : "SIGTERM");
    else if (end == CONTROL_SHUTDOWN)
        log_line("ends: SHUTDOWN was asked for");
    remove_socket_file(engine, path);
    if (end == CONTROL_FAULT)
        _exit(EXIT_FAULT);
    end_as_asked();
}

int run(int argc, char **argv)
{
    struct arguments arguments;
    struct engine *engine;
    int control = -1;

    if (parse(argc, argv, &arguments) < 0)
        return EXIT_USAGE;
#ifdef __GLIBC__
    /* One arena: for another, the C library would look at files, which the system call filter forbids. */
    mallopt(M_ARENA_MAX, 1);
#endif
    engine = close_others() < 0 ? NULL : engine_new();
    if (engine == NULL)
        return EXIT_FAULT;
    /* The device first: when it is not there, nothing of another engine has been touched. */
    if (attach_queues(engine, &arguments) == 0)
        control = listen_at(arguments.listen);
    if (control >= 0 && privileges_confine_engine() == 0)
        serve(engine, control, arguments.listen);
    if (control >= 0)
        unlink(arguments.listen);
    table_free(atomic_load(&engine->table));
    free(engine);
    return EXIT_FAULT;
}
