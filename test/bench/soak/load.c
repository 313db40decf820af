/*
 * UDP packets of which every one is counted, for the soak test. One program, two parts:
 *
 *   load send  ADDRESS PORT SIZE PER_SECOND SECONDS   prints "SENT REFUSED"
 *   load count ADDRESS PORT                           prints "ready", and the packets received when it gets SIGTERM
 *
 * SIZE is the UDP payload in bytes. REFUSED are those that the kernel did not take from the sender.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

enum { SIZE_MAX_ = 65507, BUFFER = 32 << 20, TICK_NS = 1000000, BATCH = 64, COUNTED = 64 };

static volatile sig_atomic_t has_to_end;

static void on_term(int number)
{
    (void)number;
    has_to_end = 1;
}

static void fail(const char *what)
{
    fprintf(stderr, "load: %s: %s\n", what, strerror(errno));
    exit(1);
}

static long number(const char *text, long min, long max)
{
    char *end;
    long value = strtol(text, &end, 10);
    if (*text == '\0' || *end != '\0' || value < min || value > max) {
        fprintf(stderr, "load: %s is not a number from %ld to %ld\n", text, min, max);
        exit(2);
    }
    return value;
}

static int64_t now_ns(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (int64_t)time.tv_sec * 1000000000 + time.tv_nsec;
}

/* As many a tick as are due. What was missed while others had the processor is not sent in one burst. */
static void send_all(int fd, size_t size, long per_second, long seconds)
{
    static const uint8_t bytes[SIZE_MAX_];
    const struct timespec tick = {.tv_nsec = TICK_NS};
    const double most = (double)per_second / 200 + 1;
    const int64_t end = now_ns() + seconds * INT64_C(1000000000);
    uint64_t sent = 0, refused = 0;
    double due = 0;

    for (int64_t last = now_ns(), now; (now = now_ns()) < end && !has_to_end; last = now) {
        due += (double)(now - last) * 1e-9 * (double)per_second;
        for (due = due > most ? most : due; due >= 1; due--) {
            if (send(fd, bytes, size, 0) >= 0)
                sent++;
            else
                refused++;
        }
        nanosleep(&tick, NULL);
    }
    printf("%" PRIu64 " %" PRIu64 "\n", sent, refused);
}

/* Only the length is of interest: what is longer than the buffer is cut off. */
static void count_all(int fd)
{
    static uint8_t bytes[BATCH][COUNTED];
    struct mmsghdr messages[BATCH];
    struct iovec vectors[BATCH];
    uint64_t packets = 0;

    memset(messages, 0, sizeof messages);
    for (int i = 0; i < BATCH; i++) {
        vectors[i] = (struct iovec){.iov_base = bytes[i], .iov_len = COUNTED};
        messages[i].msg_hdr.msg_iov = &vectors[i];
        messages[i].msg_hdr.msg_iovlen = 1;
    }
    for (;;) {
        int count = recvmmsg(fd, messages, BATCH, MSG_WAITFORONE, NULL);
        if (count > 0)
            packets += (uint64_t)count;
        else if (errno != EAGAIN && errno != EINTR)
            fail("recvmmsg");
        else if (has_to_end)
            break; /* Nothing has come for a while. */
    }
    printf("%" PRIu64 "\n", packets);
}

int main(int argc, char **argv)
{
    const int is_sender = argc == 7 && strcmp(argv[1], "send") == 0;
    if (!is_sender && !(argc == 4 && strcmp(argv[1], "count") == 0)) {
        fputs("Usage: load send ADDRESS PORT SIZE PER_SECOND SECONDS\n       load count ADDRESS PORT\n", stderr);
        return 2;
    }
    const struct timeval patience = {.tv_usec = 200000};
    const int buffer = BUFFER;
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)number(argv[3], 1, 65535))};
    if (inet_pton(AF_INET, argv[2], &address.sin_addr) != 1) {
        fprintf(stderr, "load: %s is not an IPv4 address\n", argv[2]);
        return 2;
    }
    struct sigaction action = {.sa_handler = on_term};
    sigaction(SIGTERM, &action, NULL);

    const int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        fail("no socket");
    if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience) < 0)
        fail("SO_RCVTIMEO");
    if (setsockopt(fd, SOL_SOCKET, is_sender ? SO_SNDBUFFORCE : SO_RCVBUFFORCE, &buffer, sizeof buffer) < 0)
        fail("the buffer");
    if (is_sender) {
        if (connect(fd, (const struct sockaddr *)&address, sizeof address) < 0)
            fail("cannot connect");
        send_all(fd, (size_t)number(argv[4], 1, SIZE_MAX_), number(argv[5], 1, 1000000), number(argv[6], 1, 86400));
    } else {
        if (bind(fd, (const struct sockaddr *)&address, sizeof address) < 0)
            fail("cannot bind");
        puts("ready");
        fflush(stdout);
        count_all(fd);
    }
    return 0;
}
