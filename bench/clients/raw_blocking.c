/* The limit of a blocking client: calls SOCKET N [latency], one send and one recv each,
   nothing checked but the length; download SOCKET TARGET when N is a target, recv into one buffer
   to the end. */
#define _GNU_SOURCE
#include "laps.h"
#include <sys/socket.h>
#include <sys/un.h>

static int download(int fd, const char *target) {
    static char space[1 << 18];
    char request[512];
    int n = snprintf(request, sizeof request,
                     "GET %s HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n", target);
    if (send(fd, request, (size_t)n, MSG_NOSIGNAL) < 0)
        return perror("send"), 1;
    size_t bytes = 0, want = 0, head = 0;
    ssize_t got;
    while ((!want || bytes < want) && (got = recv(fd, space, sizeof space - 1, 0)) > 0) {
        if (!want) { /* the head is sent in one piece */
            space[got] = 0;
            char *length = strcasestr(space, "content-length:"), *end = strstr(space, "\r\n\r\n");
            if (!length || !end)
                return 1;
            head = (size_t)(end + 4 - space);
            want = head + strtoull(length + 15, NULL, 10);
        }
        bytes += (size_t)got;
    }
    printf("%zu bytes\n", bytes - head);
    return bytes != want;
}

int main(int argc, char **argv) {
    static const char request[] = "GET / HTTP/1.1\r\nhost: localhost\r\n\r\n";
    char answer[8192];
    ssize_t want = 0;
    if (argc < 3)
        return 2;
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    strncpy(a.sun_path, argv[1], sizeof a.sun_path - 1);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, (struct sockaddr *)&a, sizeof a))
        return perror(argv[1]), 1;
    if (argv[2][0] == '/')
        return download(fd, argv[2]);
    long n = atol(argv[2]);
    int timed = laps_wanted(argc, argv);
    for (long i = 0; i < n; i++) {
        uint64_t begin = timed ? now_ns() : 0;
        if (send(fd, request, sizeof request - 1, MSG_NOSIGNAL) < 0)
            return perror("send"), 1;
        ssize_t got = recv(fd, answer, sizeof answer, 0);
        if (got <= 0 || (want && got != want))
            return perror("recv"), 1;
        want = got;
        if (timed)
            histogram_add(&laps, now_ns() - begin);
    }
    printf("%ld answers, 0 errors\n", n);
    laps_print();
    return 0;
}
