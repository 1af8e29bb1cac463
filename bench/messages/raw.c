/* raw: recv KIND ADDR TOTAL HELLOS LATENCY ; send KIND ADDR COUNT BATCH GAP_NS
 * KIND: stream dgram seqpacket. The plain loops that anybody would write. */
#include "common.h"
#include <arpa/inet.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>

static int kind_of(const char *k) {
    return !strcmp(k, "stream") ? SOCK_STREAM : !strcmp(k, "dgram") ? SOCK_DGRAM : SOCK_SEQPACKET;
}

static void address(struct sockaddr_un *a, const char *path) {
    memset(a, 0, sizeof *a);
    a->sun_family = AF_UNIX;
    strncpy(a->sun_path, path, sizeof a->sun_path - 1);
}

static int conns;

#define BUF 65536
struct conn {
    int fd;
    size_t have;
    char buf[BUF];
};

static int drain(struct conn *c) {
    ssize_t n = read(c->fd, c->buf + c->have, BUF - c->have);
    if (n <= 0)
        return n == 0 || errno != EAGAIN ? -1 : 0;
    c->have += (size_t)n;
    size_t at = 0;
    while (c->have - at >= 4) {
        uint32_t len;
        memcpy(&len, c->buf + at, 4);
        len = ntohl(len);
        if (c->have - at < 4 + len)
            break;
        if (count(c->buf + at + 4, len))
            report();
        at += 4 + len;
    }
    memmove(c->buf, c->buf + at, c->have - at);
    c->have -= at;
    return 0;
}

static void receive_mm(int fd, int block) {
    enum { N = 64 };
    static char space[N][2048];
    struct iovec v[N];
    struct mmsghdr h[N];
    for (int i = 0; i < N; i++) {
        v[i].iov_base = space[i];
        v[i].iov_len = sizeof space[i];
        memset(&h[i], 0, sizeof h[i]);
        h[i].msg_hdr.msg_iov = &v[i];
        h[i].msg_hdr.msg_iovlen = 1;
    }
    do {
        int n = recvmmsg(fd, h, N, block ? MSG_WAITFORONE : MSG_DONTWAIT, NULL);
        if (n <= 0)
            return;
        for (int i = 0; i < n; i++)
            if (h[i].msg_len > 0 && count(space[i], h[i].msg_len))
                report();
    } while (block);
}

int main(int argc, char **argv) {
    struct sockaddr_un a;
    if (argc < 7)
        return 2;
    int kind = kind_of(argv[2]);
    address(&a, argv[3]);
    if (!strcmp(argv[1], "recv")) {
        count_init(strtoull(argv[4], 0, 10), strtoull(argv[5], 0, 10), atoi(argv[6]));
        int l = socket(AF_UNIX, kind, 0);
        unlink(argv[3]);
        if (bind(l, (void *)&a, sizeof a))
            return perror("bind"), 1;
        if (kind == SOCK_DGRAM) {
            printf("listening\n"), fflush(stdout);
            receive_mm(l, 1);
            return 1;
        }
        listen(l, 128);
        printf("listening\n"), fflush(stdout);
        int ep = epoll_create1(0);
        struct epoll_event e = {EPOLLIN, {.ptr = NULL}}, got[64];
        epoll_ctl(ep, EPOLL_CTL_ADD, l, &e);
        for (;;) {
            int n = epoll_wait(ep, got, 64, -1);
            for (int i = 0; i < n; i++) {
                if (!got[i].data.ptr) {
                    struct conn *c = malloc(sizeof *c);
                    c->fd = accept4(l, NULL, NULL, SOCK_NONBLOCK);
                    c->have = 0;
                    conns++;
                    e.data.ptr = c;
                    epoll_ctl(ep, EPOLL_CTL_ADD, c->fd, &e);
                    continue;
                }
                struct conn *c = got[i].data.ptr;
                if (kind == SOCK_SEQPACKET)
                    receive_mm(c->fd, 0);
                else if (drain(c) < 0)
                    close(c->fd);
            }
        }
    }
    uint64_t n = strtoull(argv[4], 0, 10), gap = strtoull(argv[6], 0, 10), next = 0;
    int batch = atoi(argv[5]);
    int fd = socket(AF_UNIX, kind, 0);
    if (connect(fd, (void *)&a, sizeof a))
        return perror("connect"), 1;
    size_t head = kind == SOCK_STREAM ? 4 : 0;
    static char frames[256 * (4 + SIZE)];
    if (batch > 256)
        return 2;
    for (int i = 0; i < batch; i++) {
        uint32_t len = htonl(SIZE);
        memcpy(frames + (size_t)i * (head + SIZE), &len, head);
        fill(frames + (size_t)i * (head + SIZE) + head);
    }
    if (write(fd, frames, head + SIZE) < 0)
        return perror("write"), 1;
    await_start();
    struct iovec v[256];
    struct mmsghdr h[256];
    for (int i = 0; i < batch; i++) {
        v[i].iov_base = frames + (size_t)i * (head + SIZE);
        v[i].iov_len = head + SIZE;
        memset(&h[i], 0, sizeof h[i]);
        h[i].msg_hdr.msg_iov = &v[i];
        h[i].msg_hdr.msg_iovlen = 1;
    }
    while (n > 0) {
        if (gap)
            pace(&next, gap), stamp(frames + head);
        uint64_t k = n < (uint64_t)batch ? n : (uint64_t)batch;
        if (batch == 1) {
            if (write(fd, frames, head + SIZE) < 0)
                return perror("write"), 1;
        } else if (kind == SOCK_STREAM) {
            size_t left = k * (head + SIZE), at = 0;
            while (left) {
                ssize_t w = write(fd, frames + at, left);
                if (w < 0)
                    return perror("write"), 1;
                at += (size_t)w, left -= (size_t)w;
            }
        } else {
            for (uint64_t done = 0; done < k;) {
                int w = sendmmsg(fd, h + done, (unsigned)(k - done), 0);
                if (w < 0)
                    return perror("sendmmsg"), 1;
                done += (uint64_t)w;
            }
        }
        n -= k;
    }
    return 0;
}
