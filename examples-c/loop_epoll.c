/* Teaches: hysock in a loop on epoll(7), its signals included: signalfd(2) makes them events too.
 *
 *   loop_epoll SOCKET       serves on SOCKET, and calls itself once through it
 *
 * The queue is watched level-triggered, which is the default. With EPOLLET a wake must be followed
 * by dispatches until one returns 0.
 */
#define _GNU_SOURCE
#include "loop.h"
#include <errno.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <unistd.h>

static void watch(const struct loop *l, int epoll, int fd) {
    struct epoll_event event;
    memset(&event, 0, sizeof event);
    event.events = EPOLLIN;
    event.data.fd = fd;
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) != 0)
        loop_fail(l, "epoll_ctl", strerror(errno));
}

int main(int argc, char **argv) {
    struct loop l;
    struct epoll_event events[8];
    struct signalfd_siginfo info;
    sigset_t signals;
    int done = 0;

    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    sigprocmask(SIG_BLOCK, &signals, NULL);
    loop_open(&l, "loop_epoll", argc, argv);
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    int signal_fd = signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
    if (epoll < 0 || signal_fd < 0)
        loop_fail(&l, "epoll", strerror(errno));
    watch(&l, epoll, signal_fd);
    watch(&l, epoll, hysock_queue_fd(l.queue));
    loop_ready(&l);
    while (!done) {
        int n = epoll_wait(epoll, events, 8, -1);
        if (n < 0 && errno != EINTR)
            loop_fail(&l, "epoll_wait", strerror(errno));
        for (int i = 0; i < n; i++) {
            if (events[i].data.fd != signal_fd)
                done = loop_dispatch(&l);
            else if (read(signal_fd, &info, sizeof info) == (ssize_t)sizeof info)
                loop_shutdown(&l);
        }
    }
    close(signal_fd);
    close(epoll);
    return loop_close(&l);
}
