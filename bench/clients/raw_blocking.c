/* The limit of a blocking client: calls SOCKET N, one send and one recv each, nothing checked but
 * the length. */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

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
    long n = atol(argv[2]);
    for (long i = 0; i < n; i++) {
        if (send(fd, request, sizeof request - 1, MSG_NOSIGNAL) < 0)
            return perror("send"), 1;
        ssize_t got = recv(fd, answer, sizeof answer, 0);
        if (got <= 0 || (want && got != want))
            return perror("recv"), 1;
        want = got;
    }
    printf("%ld answers, 0 errors\n", n);
    return 0;
}
