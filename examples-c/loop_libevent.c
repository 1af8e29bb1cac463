/* Teaches: hysock in a libevent loop. The queue's descriptor is one persistent read event.
 *
 *   loop_libevent SOCKET    serves on SOCKET, and calls itself once through it
 */
#define _POSIX_C_SOURCE 200809L
#include "loop.h"
#include <event2/event.h>
#include <signal.h>

struct program {
    struct loop loop;
    struct event_base *base;
};

static void on_readable(evutil_socket_t fd, short what, void *argument) {
    struct program *p = argument;
    (void)fd;
    (void)what;
    if (loop_dispatch(&p->loop))
        event_base_loopbreak(p->base);
}

/* libevent calls this in the loop, not in the signal handler: any function may be used. */
static void on_signal(evutil_socket_t number, short what, void *argument) {
    struct program *p = argument;
    (void)number;
    (void)what;
    loop_shutdown(&p->loop);
}

int main(int argc, char **argv) {
    struct program p;
    struct event *events[3];

    loop_open(&p.loop, "loop_libevent", argc, argv);
    p.base = event_base_new();
    if (p.base == NULL)
        loop_fail(&p.loop, "event_base_new", "no memory or no descriptors");
    events[0] =
        event_new(p.base, hysock_queue_fd(p.loop.queue), EV_READ | EV_PERSIST, on_readable, &p);
    events[1] = evsignal_new(p.base, SIGTERM, on_signal, &p);
    events[2] = evsignal_new(p.base, SIGINT, on_signal, &p);
    for (int i = 0; i < 3; i++)
        if (events[i] == NULL || event_add(events[i], NULL) != 0)
            loop_fail(&p.loop, "event_add", "refused");
    loop_ready(&p.loop);

    event_base_dispatch(p.base);

    for (int i = 0; i < 3; i++)
        event_free(events[i]);
    event_base_free(p.base);
    libevent_global_shutdown();
    return loop_close(&p.loop);
}
