/* raw: server SOCKET [--file PATH]. The limit: one thread, epoll, one recv and one send for a
   request, nothing checked. Knows requests without a body, and those whose body comes with a
   content-length. /file is answered by sendfile, which the other connections wait for. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static const char answer[] = "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 13\r\n"
                             "date: Sun, 22 Nov 2026 00:00:00 GMT\r\n\r\nHello, world!";
static char space[1 << 17];
static size_t body[1 << 16]; /* bytes of a body still to come, by descriptor */
static int file = -1;

static void die(const char *what) {
    perror(what);
    exit(1);
}

static void take(int poller, int listener) {
    for (;;) {
        int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
        if (fd < 0 && errno == EAGAIN)
            return;
        if (fd < 0 || fd >= 1 << 16)
            die("accept4");
        body[fd] = 0;
        struct epoll_event e = {.events = EPOLLIN, .data.fd = fd};
        if (epoll_ctl(poller, EPOLL_CTL_ADD, fd, &e))
            die("epoll_ctl");
    }
}

static int send_file(int fd) {
    char head[128];
    struct stat about;
    off_t at = 0;
    if (fstat(file, &about))
        die("fstat");
    int n = snprintf(head, sizeof head, "HTTP/1.1 200 OK\r\ncontent-length: %lld\r\n\r\n",
                     (long long)about.st_size);
    if (send(fd, head, (size_t)n, MSG_NOSIGNAL | MSG_MORE) < 0)
        return -1;
    while (at < about.st_size)
        if (sendfile(fd, file, &at, (size_t)(about.st_size - at)) <= 0)
            return -1;
    return 0;
}

static void serve(int fd) {
    ssize_t n = recv(fd, space, sizeof space - 1, 0);
    if (n <= 0) {
        close(fd);
        return;
    }
    if (body[fd] > 0) {
        body[fd] -= (size_t)n;
    } else {
        space[n] = 0;
        char *end = memmem(space, (size_t)n, "\r\n\r\n", 4);
        if (!end) {
            close(fd);
            return;
        }
        if (file >= 0 && !strncmp(space, "GET /file ", 10)) {
            if (send_file(fd))
                close(fd);
            return;
        }
        char *length = space[0] == 'P' ? strcasestr(space, "content-length:") : NULL;
        if (length && length < end)
            body[fd] = strtoul(length + 15, NULL, 10) - (size_t)(space + n - end - 4);
    }
    if (body[fd] == 0 && send(fd, answer, sizeof answer - 1, MSG_NOSIGNAL) < 0)
        close(fd);
}

int main(int argc, char **argv) {
    if (argc < 2)
        return 2;
    if (argc > 3 && (file = open(argv[3], O_RDONLY | O_CLOEXEC)) < 0)
        die(argv[3]);
    signal(SIGPIPE, SIG_IGN); /* sendfile has no MSG_NOSIGNAL */
    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    strncpy(a.sun_path, argv[1], sizeof a.sun_path - 1);
    int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (listener < 0 || bind(listener, (struct sockaddr *)&a, sizeof a) || listen(listener, 4096))
        die(argv[1]);
    int poller = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event events[256] = {{.events = EPOLLIN, .data.fd = listener}};
    if (epoll_ctl(poller, EPOLL_CTL_ADD, listener, events))
        die("epoll_ctl");
    for (;;) {
        int n = epoll_wait(poller, events, 256, -1);
        if (n < 0 && errno != EINTR)
            die("epoll_wait");
        for (int i = 0; i < n; i++) {
            if (events[i].data.fd == listener)
                take(poller, listener);
            else
                serve(events[i].data.fd);
        }
    }
}
