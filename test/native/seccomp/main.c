/* What the system call filter lets through, and what ends the process. Apart from the other tests: sanitizers make
 * calls of their own, so the filter is left out there. Prints "unavailable: …" where the kernel has no filters. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "seccomp.h"

enum { ALIVE = 42 };

static unsigned checks;

static bool has_filter(void)
{
    char text[200];

    if (seccomp_confine(text, sizeof text) < 0) {
        fprintf(stderr, "%s\n", text);
        exit(2);
    }
    return strcmp(text, "system calls are filtered") == 0;
}

/* Does it in a filtered child. Returns how that ended: ALIVE, or minus the signal. */
static int outcome(void (*deed)(void))
{
    pid_t child = fork();
    int status;

    if (child == 0) {
        prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
        has_filter();
        deed();
        _exit(ALIVE);
    }
    waitpid(child, &status, 0);
    return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
}

static void expect(int line, void (*deed)(void), int expected)
{
    int result = outcome(deed);

    if (result != expected) {
        fprintf(stderr, "line %d: the outcome is %d, not %d\n", line, result, expected);
        exit(1);
    }
    checks++;
}
#define EXPECT(deed, expected) expect(__LINE__, deed, expected)

static void use_memory(void)
{
    size_t size;

    for (size = 16; size < (16u << 20); size *= 4) {
        char *memory = realloc(malloc(size), size * 2);

        memset(memory, 1, size * 2);
        free(memory);
    }
}

static void log_something(void)
{
    char text[64];

    snprintf(text, sizeof text, "%s %d %.1f", strerror(EAGAIN), getpid(), 1.5);
    if (write(STDOUT_FILENO, text, 0) < 0)
        _exit(1);
}

static void open_file(void)
{
    if (open("/etc/passwd", O_RDONLY) >= 0 || errno != EACCES)
        _exit(1);
}

static void end_itself(void)
{
    kill(getpid(), SIGTERM);
}

static void end_parent(void)
{
    kill(getppid(), 0);
}

static void end_another(void)
{
    kill(1, 0);
}

static void make_socket(void)
{
    socket(AF_INET, SOCK_STREAM, 0);
}

static void map_code(void)
{
    mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

static void make_code(void)
{
    void *memory = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    mprotect(memory, 4096, PROT_READ | PROT_EXEC);
}

static void execute(void)
{
    execl("/bin/true", "true", NULL);
}

static void become_root(void)
{
    syscall(SYS_setuid, 0);
}

static void make_process(void)
{
    fork();
}

static void set_up_thread(void)
{
    if (prctl(PR_SET_TIMERSLACK, 1000, 0, 0, 0) < 0)
        _exit(1);
}

static void map_data(void)
{
    void *memory = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (memory == MAP_FAILED || mprotect(memory, 4096, PROT_READ | PROT_WRITE) < 0 || write(-1, "x", 1) >= 0)
        _exit(1);
}

static void trace(void)
{
    prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
}

static int barrier[2];

static void *wait_and_trace(void *nothing)
{
    char byte;

    if (read(barrier[0], &byte, 1) == 1)
        make_socket();
    return nothing;
}

/* The filter is on threads that were there before it. */
static int outcome_of_thread(void)
{
    pid_t child = fork();
    int status;

    if (child == 0) {
        pthread_t thread;

        prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
        if (pipe(barrier) < 0 || pthread_create(&thread, NULL, wait_and_trace, NULL) != 0)
            _exit(1);
        has_filter();
        if (write(barrier[1], "x", 1) != 1)
            _exit(1);
        pthread_join(thread, NULL);
        _exit(ALIVE);
    }
    waitpid(child, &status, 0);
    return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
}

int main(void)
{
    pid_t probe = fork();
    int status;

    if (probe == 0) {
        prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
        _exit(has_filter() ? 0 : 1);
    }
    waitpid(probe, &status, 0);
    if (!WIFEXITED(status) || WEXITSTATUS(status) > 1)
        return 1; /* refused: it has said why */
    if (status != 0) {
        printf("unavailable: no system call filters here\n");
        return 0;
    }
    EXPECT(use_memory, ALIVE);
    EXPECT(log_something, ALIVE);
    EXPECT(open_file, ALIVE);
    EXPECT(set_up_thread, ALIVE);
    EXPECT(map_data, ALIVE);
    EXPECT(end_itself, -SIGTERM);
    EXPECT(end_parent, -SIGSYS);
    EXPECT(end_another, -SIGSYS);
    EXPECT(make_socket, -SIGSYS);
    EXPECT(map_code, -SIGSYS);
    EXPECT(make_code, -SIGSYS);
    EXPECT(execute, -SIGSYS);
    EXPECT(become_root, -SIGSYS);
    EXPECT(make_process, -SIGSYS);
    EXPECT(trace, -SIGSYS);
    if (outcome_of_thread() != -SIGSYS) {
        fprintf(stderr, "a thread that was there before has no filter\n");
        return 1;
    }
    printf("%u checks\n", checks + 1);
    return 0;
}
