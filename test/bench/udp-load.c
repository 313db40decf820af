/*
 * Small UDP packets for the benchmark of the data path. One program, four parts, each for one end of a path:
 *
 *   udp-load sink  ADDRESS PORT SIZE WARM_UP_MS MS   prints the packets delivered in MS
 *   udp-load flood ADDRESS PORT SIZE MS              sends as fast as it can; prints the packets sent
 *   udp-load echo  ADDRESS PORT SIZE                 sends back what it is sent, until it is killed
 *   udp-load ping  ADDRESS PORT SIZE MS              one packet there and back at a time;
 *                                                    prints "round-trips p50 p99 lost", times in microseconds
 *
 * SIZE is the UDP payload in bytes: a payload of 64 is an IPv4 packet of 92. sink and echo print "ready" once they
 * can be sent to. Sockets block and senders are connected. The flood goes out with sendmmsg and without UDP_SEGMENT:
 * it is to measure packets, not the offload of the sender.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
    BATCH = 64,
    PAYLOAD_MIN = 8, /* the sequence number of a ping */
    PAYLOAD_MAX = 1400,
    BUFFER = 8 << 20,
    /* How long anything is waited for before it is lost. */
    PATIENCE_MS = 200,
    /* How long a sink waits for its first packet. */
    FIRST_MS = 5000,
    /* Round trips that are forgotten: addresses are resolved, and the caches filled. */
    PING_WARM_UP = 100,
    SAMPLES = 1 << 20,
};

struct batch {
    struct mmsghdr messages[BATCH];
    struct iovec vectors[BATCH];
    uint8_t bytes[BATCH][PAYLOAD_MAX];
};

static void fail(const char *what)
{
    fprintf(stderr, "udp-load: %s: %s\n", what, strerror(errno));
    exit(1);
}

static int64_t now_ns(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (int64_t)time.tv_sec * 1000000000 + time.tv_nsec;
}

static int open_socket(const struct sockaddr_in *address, int is_sender)
{
    const struct timeval patience = {.tv_usec = PATIENCE_MS * 1000};
    const int buffer = BUFFER;
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        fail("no socket");
    if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience) < 0)
        fail("SO_RCVTIMEO");
    /* Where this is not granted, the default has to do. */
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &buffer, sizeof buffer);
    if (is_sender ? connect(fd, (const struct sockaddr *)address, sizeof *address) < 0
                  : bind(fd, (const struct sockaddr *)address, sizeof *address) < 0)
        fail(is_sender ? "cannot connect" : "cannot bind");
    if (!is_sender) {
        puts("ready");
        fflush(stdout);
    }
    return fd;
}

static void batch_init(struct batch *batch, size_t size)
{
    memset(batch, 0, sizeof *batch);
    for (int i = 0; i < BATCH; i++) {
        batch->vectors[i] = (struct iovec){.iov_base = batch->bytes[i], .iov_len = size};
        batch->messages[i].msg_hdr.msg_iov = &batch->vectors[i];
        batch->messages[i].msg_hdr.msg_iovlen = 1;
    }
}

/* Counts in a window that opens a while after the first packet: what the start of the flood costs stays out. */
static void sink(int fd, size_t size, int64_t warm_up_ms, int64_t ms)
{
    static struct batch batch;
    const int64_t given_up = now_ns() + FIRST_MS * INT64_C(1000000);
    int64_t opens = 0, closes = given_up;
    uint64_t packets = 0;

    batch_init(&batch, size);
    for (;;) {
        int count = recvmmsg(fd, batch.messages, BATCH, MSG_WAITFORONE, NULL);
        int64_t now = now_ns();
        if (count < 0 && errno != EAGAIN && errno != EINTR)
            fail("recvmmsg");
        if (now >= closes)
            break;
        if (opens == 0 && count > 0) {
            opens = now + warm_up_ms * 1000000;
            closes = opens + ms * 1000000;
        }
        for (int i = 0; i < count && now >= opens; i++)
            packets += batch.messages[i].msg_len == size;
    }
    printf("%" PRIu64 "\n", packets);
}

static void flood(int fd, size_t size, int64_t ms)
{
    static struct batch batch;
    const int64_t end = now_ns() + ms * 1000000;
    uint64_t packets = 0;

    batch_init(&batch, size);
    while (now_ns() < end) {
        /* Refusals (no buffer, an ICMP error from the path) are what a flood meets. */
        int count = sendmmsg(fd, batch.messages, BATCH, 0);
        if (count > 0)
            packets += (uint64_t)count;
    }
    printf("%" PRIu64 "\n", packets);
}

static void echo(int fd)
{
    uint8_t bytes[PAYLOAD_MAX];
    for (;;) {
        struct sockaddr_in from;
        socklen_t from_length = sizeof from;
        ssize_t length = recvfrom(fd, bytes, sizeof bytes, 0, (struct sockaddr *)&from, &from_length);
        if (length >= 0)
            (void)sendto(fd, bytes, (size_t)length, 0, (struct sockaddr *)&from, from_length);
        else if (errno != EAGAIN && errno != EINTR)
            fail("recvfrom");
    }
}

/* 0: the answer to this number has come; -1: it is lost. Late answers to others are passed over. */
static int await_answer(int fd, uint64_t number)
{
    uint8_t bytes[PAYLOAD_MAX];
    uint64_t answered;
    for (;;) {
        ssize_t length = recv(fd, bytes, sizeof bytes, 0);
        if (length < 0)
            return -1;
        if ((size_t)length < sizeof answered)
            continue;
        memcpy(&answered, bytes, sizeof answered);
        if (answered == number)
            return 0;
    }
}

static int compare(const void *one, const void *other)
{
    const uint32_t a = *(const uint32_t *)one, b = *(const uint32_t *)other;
    return (a > b) - (a < b);
}

static void ping(int fd, size_t size, int64_t ms)
{
    static uint32_t samples[SAMPLES];
    uint8_t bytes[PAYLOAD_MAX] = {0};
    size_t count = 0;
    uint64_t lost = 0, number = 0;
    const int64_t end = now_ns() + ms * 1000000;

    for (int64_t sent; (sent = now_ns()) < end && count < SAMPLES;) {
        number++;
        memcpy(bytes, &number, sizeof number);
        if (send(fd, bytes, size, 0) < 0 || await_answer(fd, number) < 0)
            lost++;
        else if (number > PING_WARM_UP)
            samples[count++] = (uint32_t)(now_ns() - sent);
    }
    if (count == 0) {
        fprintf(stderr, "udp-load: no answer came to %" PRIu64 " packets\n", number);
        exit(1);
    }
    qsort(samples, count, sizeof samples[0], compare);
    printf("%zu %.1f %.1f %" PRIu64 "\n", count, samples[count / 2] / 1e3, samples[count * 99 / 100] / 1e3, lost);
}

static long number(const char *text, long min, long max)
{
    char *end;
    long value = strtol(text, &end, 10);
    if (*text == '\0' || *end != '\0' || value < min || value > max) {
        fprintf(stderr, "udp-load: %s is not a number from %ld to %ld\n", text, min, max);
        exit(2);
    }
    return value;
}

int main(int argc, char **argv)
{
    const char *part = argc > 1 ? argv[1] : "";
    const int is_sink = strcmp(part, "sink") == 0, is_flood = strcmp(part, "flood") == 0;
    const int is_echo = strcmp(part, "echo") == 0, is_ping = strcmp(part, "ping") == 0;
    const int expected = is_sink ? 7 : is_flood || is_ping ? 6 : is_echo ? 5 : 0;
    if (argc != expected) {
        fputs("Usage: udp-load sink ADDRESS PORT SIZE WARM_UP_MS MS\n"
              "       udp-load flood|ping ADDRESS PORT SIZE MS\n"
              "       udp-load echo ADDRESS PORT SIZE\n",
              stderr);
        return 2;
    }
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)number(argv[3], 1, 65535))};
    if (inet_pton(AF_INET, argv[2], &address.sin_addr) != 1) {
        fprintf(stderr, "udp-load: %s is not an IPv4 address\n", argv[2]);
        return 2;
    }
    const size_t size = (size_t)number(argv[4], PAYLOAD_MIN, PAYLOAD_MAX);
    const long ms = expected > 5 ? number(argv[expected - 1], 1, 3600000) : 0;
    const long warm_up_ms = is_sink ? number(argv[5], 0, 60000) : 0;
    const int fd = open_socket(&address, is_flood || is_ping);

    if (is_sink)
        sink(fd, size, warm_up_ms, ms);
    else if (is_flood)
        flood(fd, size, ms);
    else if (is_ping)
        ping(fd, size, ms);
    else
        echo(fd);
    return 0;
}
