/* libmicrohttpd: server SOCKET [--threads|--poll|--large]. One internal thread with epoll, which is
   its fastest mode; with --threads a thread for each connection, which is its mode for handlers
   that block; with --poll poll in place of epoll, which in 0.9.75 loses wakes when more than 128
   connections are busy; with --large a buffer for each connection that suits large bodies. */
#define _GNU_SOURCE
#include <microhttpd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

static enum MHD_Result hello(void *closure, struct MHD_Connection *connection, const char *target,
                             const char *method, const char *version, const char *data, size_t *len,
                             void **seen) {
    static int begun;
    (void)method, (void)version, (void)data;
    if (!*seen) {
        *seen = &begun;
        return MHD_YES;
    }
    if (*len) {
        *len = 0; /* the body is read and thrown away */
        return MHD_YES;
    }
    if (!strncmp(target, "/slow/", 6)) {
        long ms = strtol(target + 6, NULL, 10);
        struct timespec pause = {ms / 1000, ms % 1000 * 1000000};
        nanosleep(&pause, NULL);
    }
    return MHD_queue_response(connection, 200, closure);
}

int main(int argc, char **argv) {
    if (argc < 2)
        return 2;
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    strncpy(a.sun_path, argv[1], sizeof a.sun_path - 1);
    int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (listener < 0 || bind(listener, (struct sockaddr *)&a, sizeof a) || listen(listener, 4096)) {
        perror(argv[1]);
        return 1;
    }
    struct MHD_Response *response = MHD_create_response_from_buffer(
        13, (void *)(size_t) "Hello, world!", MHD_RESPMEM_PERSISTENT);
    MHD_add_response_header(response, "Content-Type", "text/plain");
    const char *mode = argc > 2 ? argv[2] : "";
    int large = !strcmp(mode, "--large");
    unsigned flags = MHD_USE_EPOLL_INTERNAL_THREAD;
    if (!strcmp(mode, "--threads"))
        flags = MHD_USE_THREAD_PER_CONNECTION | MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_POLL;
    if (!strcmp(mode, "--poll"))
        flags = MHD_USE_POLL_INTERNAL_THREAD;
    size_t room = large ? 1 << 19 : 32768, step = large ? 1 << 18 : 1024;
    if (!MHD_start_daemon(flags, 0, NULL, NULL, hello, response, MHD_OPTION_LISTEN_SOCKET, listener,
                          MHD_OPTION_CONNECTION_LIMIT, 20000u, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
                          room, MHD_OPTION_CONNECTION_MEMORY_INCREMENT, step, MHD_OPTION_END)) {
        fprintf(stderr, "libmicrohttpd does not start\n");
        return 1;
    }
    for (;;)
        pause();
}
