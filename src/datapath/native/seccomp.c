#include "seccomp.h"

#include <stdio.h>

#if !defined(CORDUROY_NO_SECCOMP) && (defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__))
#define CORDUROY_NO_SECCOMP
#endif

#ifdef CORDUROY_NO_SECCOMP

int seccomp_confine(char *text, size_t size)
{
    snprintf(text, size, "system calls are not filtered: built without it");
    return 0;
}

#else

#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>

#if defined(__x86_64__)
#define ARCHITECTURE AUDIT_ARCH_X86_64
/* Of the x32 ABI, whose calls come with this bit and the same architecture: seccomp(2). */
#define FOREIGN_CALLS 0x40000000u
#elif defined(__aarch64__)
#define ARCHITECTURE AUDIT_ARCH_AARCH64
#else
#error "no system call filter for this architecture: build with -DCORDUROY_NO_SECCOMP, or write one"
#endif

/* Forwarding, the control socket, and what the C library does on its own for memory, threads, locks and the clock. */
static const int ALLOWED[] = {
    SYS_read,
    SYS_write,
    SYS_writev,
    SYS_sendmsg,
    SYS_sendmmsg,
    SYS_recvmsg,
    SYS_recvmmsg,
    SYS_sendto,
    SYS_recvfrom,
#ifdef SYS_poll
    SYS_poll,
#endif
    SYS_ppoll,
    SYS_futex,
    SYS_clock_gettime,
    SYS_clock_nanosleep,
    SYS_nanosleep,
    SYS_getrandom,
    SYS_accept4,
    SYS_getsockopt,
    SYS_connect,
    SYS_close,
    SYS_munmap,
    SYS_mremap,
    SYS_brk,
    SYS_madvise,
    SYS_rt_sigreturn,
    SYS_rt_sigprocmask,
    SYS_rt_sigaction,
    SYS_restart_syscall,
#ifdef SYS_rseq
    SYS_rseq,
#endif
    SYS_set_robust_list,
    SYS_getpid,
    SYS_gettid,
    SYS_exit,
    SYS_exit_group,
};

/* Refused with EACCES: what a C library may try on its own, and does without. No reason to end the data plane. */
static const int DENIED[] = {
#ifdef SYS_open
    SYS_open,
#endif
    SYS_openat,
    SYS_newfstatat,
    SYS_fstat,
    SYS_sysinfo,
    SYS_prlimit64,
};

enum { INSTRUCTIONS_MAX = 2 * (sizeof ALLOWED + sizeof DENIED) / sizeof(int) + 48 };

struct filter {
    struct sock_filter code[INSTRUCTIONS_MAX];
    unsigned short length;
};

static void add(struct filter *filter, unsigned operation, uint32_t operand, unsigned if_true, unsigned if_false)
{
    if (filter->length == INSTRUCTIONS_MAX)
        abort(); /* a defect: more rules than there is room for */
    filter->code[filter->length++] = (struct sock_filter){
        .code = (uint16_t)operation, .jt = (uint8_t)if_true, .jf = (uint8_t)if_false, .k = operand};
}

static void add_load(struct filter *filter, size_t offset)
{
    add(filter, BPF_LD | BPF_W | BPF_ABS, (uint32_t)offset, 0, 0);
}

static void add_return(struct filter *filter, uint32_t action)
{
    add(filter, BPF_RET | BPF_K, action, 0, 0);
}

static void add_call(struct filter *filter, int call, uint32_t action)
{
    add(filter, BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)call, 0, 1);
    add_return(filter, action);
}

/* The action for a call whose argument, in its lower half, passes `test` (BPF_JEQ or BPF_JSET) against `operand`;
 * others go on to the next rule, for which the number is loaded again. */
static void add_call_by_argument(struct filter *filter, int call, unsigned argument, unsigned test, uint32_t operand,
                                 uint32_t action)
{
    add(filter, BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)call, 0, 4);
    /* Little-endian (address.h): the lower half comes first. */
    add_load(filter, offsetof(struct seccomp_data, args) + argument * sizeof(uint64_t));
    add(filter, BPF_JMP | test | BPF_K, operand, 0, 1);
    add_return(filter, action);
    add_load(filter, offsetof(struct seccomp_data, nr));
}

static void add_all(struct filter *filter, const int *calls, size_t count, uint32_t action)
{
    size_t index;

    for (index = 0; index < count; index++)
        add_call(filter, calls[index], action);
}

static void build(struct filter *filter)
{
    const uint32_t ALLOW = SECCOMP_RET_ALLOW, END = SECCOMP_RET_KILL_PROCESS;

    filter->length = 0;
    add_load(filter, offsetof(struct seccomp_data, arch));
    add(filter, BPF_JMP | BPF_JEQ | BPF_K, ARCHITECTURE, 1, 0);
    add_return(filter, END);
    add_load(filter, offsetof(struct seccomp_data, nr));
#ifdef FOREIGN_CALLS
    add(filter, BPF_JMP | BPF_JGE | BPF_K, FOREIGN_CALLS, 0, 1);
    add_return(filter, END);
#endif
    add_all(filter, ALLOWED, sizeof ALLOWED / sizeof ALLOWED[0], ALLOW);
    add_all(filter, DENIED, sizeof DENIED / sizeof DENIED[0], SECCOMP_RET_ERRNO | EACCES);
    /* Memory is never for code. */
    add_call_by_argument(filter, SYS_mmap, 2, BPF_JSET, PROT_EXEC, END);
    add_call(filter, SYS_mmap, ALLOW);
    add_call_by_argument(filter, SYS_mprotect, 2, BPF_JSET, PROT_EXEC, END);
    add_call(filter, SYS_mprotect, ALLOW);
    /* It may end itself, and nobody else. */
    add_call_by_argument(filter, SYS_kill, 0, BPF_JEQ, (uint32_t)getpid(), ALLOW);
    add_call_by_argument(filter, SYS_tgkill, 0, BPF_JEQ, (uint32_t)getpid(), ALLOW);
    /* A worker may come to this after the filter has. */
    add_call_by_argument(filter, SYS_prctl, 0, BPF_JEQ, PR_SET_TIMERSLACK, ALLOW);
    add_return(filter, END);
}

static int is_available(void)
{
    uint32_t action = SECCOMP_RET_KILL_PROCESS;

    return syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &action) == 0;
}

int seccomp_confine(char *text, size_t size)
{
    struct filter filter;
    struct sock_fprog program = {.filter = filter.code};
    long result;

    if (!is_available()) {
        snprintf(text, size, "system calls are not filtered: this kernel cannot (%s)", strerror(errno));
        return 0;
    }
    build(&filter);
    program.len = filter.length;
    result = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &program);
    if (result != 0) {
        if (result > 0)
            snprintf(text, size, "thread %ld has a system call filter of its own", result);
        else
            snprintf(text, size, "seccomp: %s", strerror(errno));
        return -1;
    }
    snprintf(text, size, "system calls are filtered");
    return 0;
}

#endif
