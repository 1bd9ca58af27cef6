/* Load generator for STUN Binding servers: bench/stund.py builds and runs it.
 *
 *   stund_load ADDRESS PORT SOURCE_PORTS SECONDS OUTSTANDING BURST
 *
 * Keeps OUTSTANDING requests under way, sent in bursts of BURST from one of SOURCE_PORTS sockets
 * after the other: one system call a burst, which the kernel cuts into requests (UDP_SEGMENT). With
 * room for all of them in both receive queues nothing need be lost. Prints one JSON object. `busy`
 * is the share of the time in which it was not waiting for the server: below 1 the server was the
 * limit, not this program.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/udp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { MAX_PORTS = 4096, MAX_BURST = 64, READ_BATCH = 64, REQUEST_BYTES = 20, ANSWER_BYTES = 256 };

struct port {
    int fd;
    int outstanding;
    uint32_t sequence; /* in the transaction id, so that answers can be told apart */
};

static struct port ports[MAX_PORTS];
static int port_count, burst, window, outstanding, next_port;
static uint64_t sent, answered, wrong, stalls;

static uint8_t requests[MAX_BURST][REQUEST_BYTES];
static uint8_t answers[READ_BATCH][ANSWER_BYTES];
static struct iovec answer_iov[READ_BATCH];
static struct mmsghdr answer_msg[READ_BATCH];

static void die(const char *what) {
    fprintf(stderr, "stund_load: %s: %s\n", what, strerror(errno));
    exit(1);
}

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec * 1e-9;
}

static double cpu_seconds(void) {
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    return u.ru_utime.tv_sec + u.ru_stime.tv_sec + (u.ru_utime.tv_usec + u.ru_stime.tv_usec) * 1e-6;
}

static void prepare(void) {
    static const uint8_t head[8] = {0x00, 0x01, 0x00, 0x00, 0x21, 0x12, 0xa4, 0x42};
    for (int i = 0; i < MAX_BURST; i++) {
        memcpy(requests[i], head, sizeof head);
    }
    for (int i = 0; i < READ_BATCH; i++) {
        answer_iov[i] = (struct iovec){answers[i], ANSWER_BYTES};
        answer_msg[i].msg_hdr = (struct msghdr){.msg_iov = &answer_iov[i], .msg_iovlen = 1};
    }
}

static void open_ports(const char *address, int port, int epoll) {
    struct sockaddr_storage to = {0};
    struct sockaddr_in *v4 = (struct sockaddr_in *)&to;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&to;
    socklen_t size;
    if (inet_pton(AF_INET, address, &v4->sin_addr) == 1) {
        to.ss_family = AF_INET, v4->sin_port = htons(port), size = sizeof *v4;
    } else if (inet_pton(AF_INET6, address, &v6->sin6_addr) == 1) {
        to.ss_family = AF_INET6, v6->sin6_port = htons(port), size = sizeof *v6;
    } else {
        errno = EINVAL;
        die(address);
    }
    for (int i = 0; i < port_count; i++) {
        int fd = socket(to.ss_family, SOCK_DGRAM | SOCK_NONBLOCK, 0);
        int bytes = 4 << 20, segment = REQUEST_BYTES;
        struct epoll_event event = {.events = EPOLLIN, .data.u32 = i};
        if (fd < 0) die("socket");
        /* Room for all answers; beyond the system's limit where this program may. */
        if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof bytes) < 0)
            setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof bytes);
        if (setsockopt(fd, SOL_UDP, UDP_SEGMENT, &segment, sizeof segment) < 0) die("UDP_SEGMENT");
        if (connect(fd, (struct sockaddr *)&to, size) < 0) die("connect");
        if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) < 0) die("epoll_ctl");
        ports[i].fd = fd;
    }
}

/* Fill the window again, a whole burst at a time; returns whether anything went out. */
static int top_up(void) {
    int progress = 0;
    while (outstanding + burst <= window) {
        struct port *port = &ports[next_port];
        uint32_t index = next_port;
        next_port = (next_port + 1) % port_count;
        for (int i = 0; i < burst; i++) {
            uint32_t sequence = port->sequence + i;
            memcpy(requests[i] + 8, &index, 4);
            memcpy(requests[i] + 12, &sequence, 4);
        }
        if (send(port->fd, requests, burst * REQUEST_BYTES, 0) < 0) {
            if (errno == EAGAIN || errno == ECONNREFUSED) return progress;
            die("send");
        }
        port->sequence += burst;
        port->outstanding += burst;
        outstanding += burst;
        sent += burst;
        progress = 1;
    }
    return progress;
}

static void collect(struct port *port) {
    uint32_t index = port - ports;
    int got = recvmmsg(port->fd, answer_msg, READ_BATCH, MSG_DONTWAIT, NULL);
    if (got < 0) {
        if (errno == EAGAIN || errno == ECONNREFUSED) return;
        die("recvmmsg");
    }
    for (int i = 0; i < got; i++) {
        const uint8_t *answer = answers[i];
        int good = answer_msg[i].msg_len >= 32 && answer[0] == 0x01 && answer[1] == 0x01 &&
                   memcmp(answer + 4, requests[0] + 4, 4) == 0 && memcmp(answer + 8, &index, 4) == 0;
        if (good)
            answered++;
        else
            wrong++;
    }
    int counted = got < port->outstanding ? got : port->outstanding;
    port->outstanding -= counted;
    outstanding -= counted;
}

int main(int argc, char **argv) {
    if (argc != 7) {
        fprintf(stderr, "usage: stund_load ADDRESS PORT SOURCE_PORTS SECONDS OUTSTANDING BURST\n");
        return 2;
    }
    port_count = atoi(argv[3]);
    double seconds = atof(argv[4]);
    window = atoi(argv[5]);
    burst = atoi(argv[6]);
    if (port_count < 1 || port_count > MAX_PORTS || burst < 1 || burst > MAX_BURST || window < burst) {
        fprintf(stderr, "stund_load: 1..%d ports, bursts of 1..%d, at least one burst under way\n",
                MAX_PORTS, MAX_BURST);
        return 2;
    }
    int epoll = epoll_create1(0);
    if (epoll < 0) die("epoll_create1");
    prepare();
    open_ports(argv[1], atoi(argv[2]), epoll);

    static struct epoll_event ready[MAX_PORTS];
    double start = now(), waited = 0, cpu = cpu_seconds();
    int draining = 0;
    for (;;) {
        double before = now();
        if (!draining && before - start >= seconds) draining = 1;
        if (draining && outstanding == 0) break;
        if (!draining) top_up();
        int count = epoll_wait(epoll, ready, MAX_PORTS, 0);
        if (count == 0) {
            before = now();
            count = epoll_wait(epoll, ready, MAX_PORTS, 200);
            waited += now() - before;
        }
        if (count < 0) die("epoll_wait");
        if (count == 0) { /* what is still out is lost */
            stalls++;
            for (int i = 0; i < port_count; i++) ports[i].outstanding = 0;
            outstanding = 0;
        }
        for (int i = 0; i < count; i++) collect(&ports[ready[i].data.u32]);
    }
    double wall = now() - start;
    cpu = cpu_seconds() - cpu;
    printf("{\"sent\": %llu, \"answered\": %llu, \"wrong\": %llu, \"stalls\": %llu, "
           "\"seconds\": %.6f, \"cpu_seconds\": %.6f, \"busy\": %.4f}\n",
           (unsigned long long)sent, (unsigned long long)answered, (unsigned long long)wrong,
           (unsigned long long)stalls, wall, cpu, 1 - waited / wall);
    return 0;
}
