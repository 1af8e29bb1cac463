/* Teaches: hysock in an sd-event loop, that of systemd's own services.
 *
 *   loop_sd_event SOCKET    serves on SOCKET, and calls itself once through it
 */
#define _GNU_SOURCE
#include "loop.h"
#include <signal.h>
#include <sys/epoll.h>
#include <systemd/sd-event.h>

static int on_readable(sd_event_source *source, int fd, uint32_t events, void *argument) {
    struct loop *l = argument;
    (void)fd;
    (void)events;
    if (loop_dispatch(l))
        return sd_event_exit(sd_event_source_get_event(source), 0);
    return 0;
}

static int on_signal(sd_event_source *source, const struct signalfd_siginfo *info, void *argument) {
    (void)source;
    (void)info;
    loop_shutdown(argument);
    return 0;
}

static void check(const struct loop *l, const char *what, int result) {
    if (result < 0)
        loop_fail(l, what, strerror(-result));
}

int main(int argc, char **argv) {
    struct loop l;
    sd_event *event = NULL;
    sigset_t signals;

    /* sd-event takes its signals from a descriptor: they must be blocked. */
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    sigprocmask(SIG_BLOCK, &signals, NULL);
    loop_open(&l, "loop_sd_event", argc, argv);
    check(&l, "sd_event_new", sd_event_new(&event));
    check(&l, "sd_event_add_io",
          sd_event_add_io(event, NULL, hysock_queue_fd(l.queue), EPOLLIN, on_readable, &l));
    check(&l, "SIGTERM", sd_event_add_signal(event, NULL, SIGTERM, on_signal, &l));
    check(&l, "SIGINT", sd_event_add_signal(event, NULL, SIGINT, on_signal, &l));
    loop_ready(&l);

    check(&l, "sd_event_loop", sd_event_loop(event));

    sd_event_unref(event);
    return loop_close(&l);
}
