/* Teaches: hysock in a libuv loop. The queue's descriptor is one uv_poll_t.
 *
 *   loop_libuv SOCKET       serves on SOCKET, and calls itself once through it
 */
#define _GNU_SOURCE
#include "loop.h"
#include <signal.h>
#include <uv.h>

struct program {
    struct loop loop;
    uv_poll_t readable;
    uv_signal_t signals[2];
};

/* Closed handles let uv_run() return. */
static void stop(struct program *p) {
    uv_close((uv_handle_t *)&p->readable, NULL);
    for (int i = 0; i < 2; i++)
        uv_close((uv_handle_t *)&p->signals[i], NULL);
}

static void on_readable(uv_poll_t *poll, int status, int events) {
    struct program *p = poll->data;
    (void)events;
    if (status < 0)
        loop_fail(&p->loop, "poll", uv_strerror(status));
    if (loop_dispatch(&p->loop))
        stop(p);
}

static void on_signal(uv_signal_t *handle, int number) {
    struct program *p = handle->data;
    (void)number;
    loop_shutdown(&p->loop);
}

static void check(const struct loop *l, const char *what, int result) {
    if (result < 0)
        loop_fail(l, what, uv_strerror(result));
}

int main(int argc, char **argv) {
    static const int numbers[2] = {SIGTERM, SIGINT};
    struct program p;
    uv_loop_t uv;

    loop_open(&p.loop, "loop_libuv", argc, argv);
    check(&p.loop, "uv_loop_init", uv_loop_init(&uv));
    p.readable.data = &p;
    check(&p.loop, "uv_poll_init", uv_poll_init(&uv, &p.readable, hysock_queue_fd(p.loop.queue)));
    check(&p.loop, "uv_poll_start", uv_poll_start(&p.readable, UV_READABLE, on_readable));
    for (int i = 0; i < 2; i++) {
        p.signals[i].data = &p;
        check(&p.loop, "uv_signal_init", uv_signal_init(&uv, &p.signals[i]));
        check(&p.loop, "uv_signal_start", uv_signal_start(&p.signals[i], on_signal, numbers[i]));
    }
    loop_ready(&p.loop);

    uv_run(&uv, UV_RUN_DEFAULT);

    check(&p.loop, "uv_loop_close", uv_loop_close(&uv));
    return loop_close(&p.loop);
}
