/* Teaches: hysock inside an event loop that exists already. One thread, poll(2), and a queue whose
 * descriptor is readable exactly while a callback waits to be run. No locks anywhere.
 *
 *   loop_poll SOCKET        serves on SOCKET, and calls itself once through it
 *
 * loop.h has the server and the client. The same in other loops: loop_epoll, loop_libevent,
 * loop_libuv, loop_glib, loop_sd_event.
 */
#define _POSIX_C_SOURCE 200809L
#include "loop.h"
#include <errno.h>
#include <poll.h>
#include <signal.h>

static hysock_server *server; /* set before the signal handler that reads it is installed */

/* Interrupts poll(2), or does not: the server's end comes through the queue in any case. */
static void on_signal(int number) {
    (void)number;
    hysock_server_shutdown_signal(server); /* one of the two functions that a handler may call */
}

static void end_on(int number) {
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = on_signal;
    sigemptyset(&action.sa_mask);
    if (sigaction(number, &action, NULL) != 0) {
        perror("loop_poll: sigaction");
        exit(1);
    }
}

int main(int argc, char **argv) {
    struct loop l;
    struct pollfd fds[1]; /* the other descriptors of your program come beside it */
    loop_open(&l, "loop_poll", argc, argv);
    server = l.server;
    end_on(SIGTERM);
    end_on(SIGINT);
    fds[0].fd = hysock_queue_fd(l.queue);
    fds[0].events = POLLIN;
    loop_ready(&l);
    for (;;) {
        if (poll(fds, 1, -1) < 0) {
            if (errno == EINTR)
                continue;
            loop_fail(&l, "poll", strerror(errno));
        }
        if (fds[0].revents != 0 && loop_dispatch(&l))
            break;
    }
    return loop_close(&l);
}
