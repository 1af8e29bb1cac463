/* No wake is lost when the program watches the queue edge-triggered: whatever the moment at which
 * an event comes, epoll tells of it or the last dispatch has had it.
 *
 *   test_queue_edge [EVENTS]
 */
#include "host.h"

#include <sys/epoll.h>

#define CLIENTS 16
#define GET_ROOT "GET / HTTP/1.1\r\nHost: x\r\n\r\n"

typedef struct edge {
    host h;
    long events;
    long handled;
    bool takes;
} edge;

static void handler(hysock_exchange *exchange, void *userdata) {
    edge *e = userdata;
    e->handled++;
    answer_text(exchange, 200, "x");
}

/* All clients ask, in bursts of every size, and wait for their answers: the queue runs empty again
 * and again while the other thread is anywhere in its loop. */
static void *ask(void *argument) {
    edge *e = argument;
    raw clients[CLIENTS];
    uint64_t state = 2463534242u;
    for (int i = 0; i < CLIENTS; i++)
        raw_open(&clients[i], e->h.path);
    for (long asked = 0; asked < e->events;) {
        long burst = 1 + (long)(next_random(&state) % CLIENTS);
        if (burst > e->events - asked)
            burst = e->events - asked;
        for (long i = 0; i < burst; i++)
            raw_text(&clients[i], GET_ROOT);
        for (long i = 0; i < burst; i++)
            CHECK_INT(raw_status(&clients[i]), 200);
        asked += burst;
    }
    for (int i = 0; i < CLIENTS; i++)
        raw_close(&clients[i]);
    return NULL;
}

static int32_t take_some(edge *e) {
    hysock_event events[8];
    int32_t n = hysock_queue_take(e->h.queue, events, 8, sizeof(events[0]), 0);
    for (int32_t i = 0; i < n; i++) {
        if (events[i].kind != HYSOCK_EVENT_REQUEST)
            continue;
        handler(events[i].handle, e);
        hysock_exchange_free(events[i].handle);
    }
    return n;
}

static void loop(edge *e) {
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event event = {.events = EPOLLIN | EPOLLET};
    CHECK(epoll >= 0);
    CHECK(epoll_ctl(epoll, EPOLL_CTL_ADD, hysock_queue_fd(e->h.queue), &event) == 0);
    while (e->handled < e->events) {
        int n = epoll_wait(epoll, &event, 1, check_ms(DEADLINE_MS));
        if (n < 0 && errno == EINTR)
            continue;
        CHECK_INT(n, 1); /* else a wake was lost */
        do {
            n = e->takes ? take_some(e) : hysock_queue_dispatch(e->h.queue, 8, 0);
            CHECK(n >= 0);
        } while (n > 0);
    }
    close(epoll);
}

static void run(long events, bool takes) {
    edge e;
    memset(&e, 0, sizeof(e));
    host_open(&e.h, POOL, NULL);
    e.events = events;
    e.takes = takes;
    CHECK_OK(hysock_queue_new(e.h.runtime, &e.h.queue, ERR));
    hysock_server_config *config = hysock_server_config_new();
    CHECK_OK(hysock_server_config_set_queue(config, e.h.queue));
    host_serve(&e.h, config, takes ? NULL : handler, &e, NULL);
    pthread_t thread = thread_start(ask, &e);
    loop(&e);
    thread_join(thread);
    CHECK_INT(e.handled, e.events);
    CHECK_OK(hysock_server_shutdown(e.h.server, 5000, ERR));
    while (takes && hysock_server_wait(e.h.server, 0, ERR) == HYSOCK_E_TIMED_OUT)
        take_some(&e);
    host_stop(&e.h);
}

int main(int argc, char **argv) {
    check_start();
    long events = argc > 1 ? atol(argv[1]) : check_rounds(100000, 400);
    run(events / 2, false);
    run(events / 2, true);
    return check_end();
}
