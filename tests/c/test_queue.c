/* The queue: readable exactly while something waits; dispatch, wake and free. */
#include "host.h"

static latch handled;

static void handler(hysock_exchange *exchange, void *userdata) {
    (void)userdata;
    CHECK(!thread_is("hysock-"));
    latch_add(&handled, 1);
    answer_text(exchange, 200, "x");
}

static void on_drop(void *userdata) { latch_add(userdata, 1); }

#define GET_ROOT "GET / HTTP/1.1\r\nHost: x\r\n\r\n"

/* A host whose queue nobody dispatches but the test: host_stop() treats it like the pool's. */
static void queue_host(host *h, latch *drops) {
    host_open(h, POOL, NULL);
    CHECK_OK(hysock_queue_new(h->runtime, &h->queue, ERR));
    hysock_server_config *config = hysock_server_config_new();
    CHECK_OK(hysock_server_config_set_queue(config, h->queue));
    host_serve(h, config, handler, drops, on_drop);
}

static bool readable(const host *h) { return raw_poll(hysock_queue_fd(h->queue), POLLIN, 0) != 0; }

/* Dispatches what waits; each callback counted is one that ran. */
static long drain(host *h, uint32_t max) {
    long before = latch_count(&handled);
    int32_t n = hysock_queue_dispatch(h->queue, max, 0);
    CHECK(n >= 0 && (uint32_t)n <= max);
    CHECK_INT(latch_count(&handled) - before, n);
    return n;
}

/* ---- the property, after each of many random steps ---- */

#define CLIENTS 16

typedef struct walk {
    host h;
    raw clients[CLIENTS];
    bool asked[CLIENTS];
    long waiting; /* requests sent and not dispatched */
} walk;

/* Something waits exactly when the descriptor is readable; what was sent arrives in a moment. */
static void check_property(walk *w) {
    int fd = hysock_queue_fd(w->h.queue);
    if (w->waiting > 0)
        CHECK(raw_poll(fd, POLLIN, check_ms(DEADLINE_MS)) & POLLIN);
    else
        CHECK(!readable(&w->h));
}

/* Reads the answers that have come, so that their connections are free again. */
static void collect(walk *w, long dispatched) {
    w->waiting -= dispatched;
    CHECK(w->waiting >= 0);
    while (dispatched > 0) {
        struct pollfd all[CLIENTS];
        for (int i = 0; i < CLIENTS; i++) {
            all[i].fd = w->asked[i] ? w->clients[i].fd : -1;
            all[i].events = POLLIN;
            all[i].revents = 0;
        }
        CHECK(poll(all, CLIENTS, check_ms(DEADLINE_MS)) > 0);
        for (int i = 0; i < CLIENTS; i++) {
            if (all[i].revents == 0)
                continue;
            CHECK_INT(raw_status(&w->clients[i]), 200);
            w->asked[i] = false;
            dispatched--;
        }
    }
}

static void ask(walk *w, uint64_t chance) {
    int i = (int)(chance % CLIENTS);
    for (int tries = 0; tries < CLIENTS && w->asked[i]; tries++)
        i = (i + 1) % CLIENTS;
    if (w->asked[i])
        return;
    raw_text(&w->clients[i], GET_ROOT);
    w->asked[i] = true;
    w->waiting++;
}

static void wake(walk *w) {
    CHECK_OK(hysock_queue_wake(w->h.queue));
    CHECK(readable(&w->h)); /* so that a poll loop comes round */
    long n;
    do {
        n = drain(&w->h, 64);
        collect(w, n);
    } while (n > 0);
}

static void random_steps(void) {
    walk w;
    latch drops;
    uint64_t state = 88172645463325252u;
    memset(&w, 0, sizeof(w));
    latch_init(&drops);
    queue_host(&w.h, &drops);
    CHECK(hysock_queue_fd(w.h.queue) >= 0);
    for (int i = 0; i < CLIENTS; i++)
        raw_open(&w.clients[i], w.h.path);
    int steps = check_rounds(10000, 400);
    for (int i = 0; i < steps; i++) {
        uint64_t chance = next_random(&state);
        switch (chance % 8) {
        case 0:
        case 1:
        case 2:
        case 3:
            ask(&w, chance >> 8);
            break;
        case 4:
        case 5:
            collect(&w, drain(&w.h, 1));
            break;
        case 6:
            collect(&w, drain(&w.h, 1 + (uint32_t)(chance >> 8) % 8));
            break;
        default:
            wake(&w);
        }
        check_property(&w);
    }
    while (w.waiting > 0) {
        check_property(&w);
        collect(&w, drain(&w.h, 64));
    }
    check_property(&w);
    for (int i = 0; i < CLIENTS; i++)
        raw_close(&w.clients[i]);
    /* wait dispatches on this thread: nobody else does. */
    host_stop(&w.h);
    CHECK_INT(latch_count(&drops), 1);
}

/* ---- timeouts, wake, max ---- */

static void *dispatch_forever(void *argument) {
    host *h = argument;
    CHECK_INT(hysock_queue_dispatch(h->queue, 64, HYSOCK_FOREVER), 0);
    return NULL;
}

static void ends_of_dispatch(void) {
    host h;
    latch drops;
    raw many[8];
    latch_init(&drops);
    queue_host(&h, &drops);
    int64_t began = now_ms();
    CHECK_INT(hysock_queue_dispatch(h.queue, 64, 0), 0);
    CHECK(now_ms() - began < check_ms(1000));
    began = now_ms();
    CHECK_INT(hysock_queue_dispatch(h.queue, 64, 60), 0);
    CHECK(now_ms() - began >= 55);
    /* A wake ends a dispatch that waits, or the next one; then it is used up. */
    for (int i = 0; i < 20; i++) {
        pthread_t thread = thread_start(dispatch_forever, &h);
        CHECK_OK(hysock_queue_wake(h.queue));
        thread_join(thread);
        CHECK(!readable(&h));
    }
    CHECK_OK(hysock_queue_wake(h.queue));
    CHECK_OK(hysock_queue_wake(h.queue)); /* two in a row are one */
    CHECK(readable(&h));
    CHECK_INT(hysock_queue_dispatch(h.queue, 64, HYSOCK_FOREVER), 0);
    CHECK(!readable(&h));
    /* max counts: eight requests by ones and by threes. */
    for (int i = 0; i < 8; i++) {
        raw_open(&many[i], h.path);
        raw_text(&many[i], GET_ROOT);
    }
    for (int i = 0; i < 3; i++) {
        long before = latch_count(&handled);
        CHECK_INT(hysock_queue_dispatch(h.queue, 1, (uint32_t)check_ms(DEADLINE_MS)), 1);
        CHECK_INT(latch_count(&handled), before + 1);
    }
    for (long ran = 3; ran < 8;) {
        int32_t n = hysock_queue_dispatch(h.queue, 3, (uint32_t)check_ms(DEADLINE_MS));
        CHECK(n >= 1 && n <= 3);
        ran += n;
    }
    for (int i = 0; i < 8; i++) {
        CHECK_INT(raw_status(&many[i]), 200);
        raw_close(&many[i]);
    }
    CHECK(!readable(&h));
    host_stop(&h);
    CHECK_INT(latch_count(&drops), 1);
}

/* ---- several dispatchers ---- */

typedef struct crowd {
    host h;
    latch stop;
    latch ran;
} crowd;

static void *dispatch_crowd(void *argument) {
    crowd *c = argument;
    while (latch_count(&c->stop) == 0) {
        int32_t n = hysock_queue_dispatch(c->h.queue, 4, 20);
        CHECK(n >= 0 && n <= 4);
        latch_add(&c->ran, n);
    }
    return NULL;
}

static void *ask_many(void *argument) {
    crowd *c = argument;
    raw r;
    raw_open(&r, c->h.path);
    for (int i = 0; i < check_rounds(250, 20); i++) {
        raw_text(&r, GET_ROOT);
        CHECK_INT(raw_status(&r), 200);
    }
    raw_close(&r);
    return NULL;
}

static void several_threads(void) {
    crowd c;
    latch drops;
    pthread_t dispatchers[4], clients[4];
    latch_init(&drops);
    latch_init(&c.stop);
    latch_init(&c.ran);
    queue_host(&c.h, &drops);
    long before = latch_count(&handled);
    for (int i = 0; i < 4; i++)
        dispatchers[i] = thread_start(dispatch_crowd, &c);
    for (int i = 0; i < 4; i++)
        clients[i] = thread_start(ask_many, &c);
    for (int i = 0; i < 4; i++)
        thread_join(clients[i]);
    latch_add(&c.stop, 1);
    for (int i = 0; i < 4; i++)
        thread_join(dispatchers[i]);
    long total = 4L * check_rounds(250, 20);
    CHECK_INT(latch_count(&handled) - before, total);
    CHECK_INT(latch_count(&c.ran), total);
    CHECK(!readable(&c.h));
    host_stop(&c.h);
    CHECK_INT(latch_count(&drops), 1);
}

/* ---- free ---- */

static void *dispatch_until_freed(void *argument) {
    host *h = argument;
    int32_t n;
    while ((n = hysock_queue_dispatch(h->queue, 64, HYSOCK_FOREVER)) >= 0) {
    }
    CHECK(n == HYSOCK_E_SHUT_DOWN || n == HYSOCK_E_BAD_HANDLE);
    return NULL;
}

/* Freed while events wait: no peer hangs, no handler runs, every drop runs. */
static void freed_while_waiting(void) {
    host h;
    latch drops;
    raw many[4];
    latch_init(&drops);
    queue_host(&h, &drops);
    long before = latch_count(&handled);
    for (int i = 0; i < 4; i++) {
        raw_open(&many[i], h.path);
        raw_text(&many[i], GET_ROOT);
    }
    CHECK(raw_poll(hysock_queue_fd(h.queue), POLLIN, check_ms(DEADLINE_MS)) & POLLIN);
    hysock_queue_free(h.queue);
    CHECK_STATUS(hysock_queue_dispatch(h.queue, 1, 0), HYSOCK_E_BAD_HANDLE);
    CHECK_STATUS(hysock_queue_fd(h.queue), HYSOCK_E_BAD_HANDLE);
    CHECK_STATUS(hysock_queue_wake(h.queue), HYSOCK_E_BAD_HANDLE);
    h.queue = NULL;
    for (int i = 0; i < 4; i++) {
        int status = raw_status(&many[i]);
        CHECK(status == 0 || status >= 500);
        raw_close(&many[i]);
    }
    /* A request that comes later fares no better, and does not hang either. */
    int status = raw_get(h.path, "/");
    CHECK(status == 0 || status >= 500);
    CHECK_INT(latch_count(&handled), before);
    host_stop(&h);
    CHECK_INT(latch_count(&drops), 1);
    CHECK_INT(latch_count(&handled), before);
}

/* Freed while a thread waits in it: that dispatch ends. */
static void freed_while_dispatched(void) {
    host h;
    latch drops;
    latch_init(&drops);
    queue_host(&h, &drops);
    pthread_t thread = thread_start(dispatch_until_freed, &h);
    CHECK_INT(raw_get(h.path, "/"), 200); /* it is at work */
    hysock_queue_free(h.queue);
    thread_join(thread);
    h.queue = NULL;
    host_stop(&h);
    CHECK_INT(latch_count(&drops), 1);
}

/* Handles of one queue, and their callbacks: a call's completion comes through its client's queue.
 */
static void on_call(hysock_call *call, hysock_status status, void *userdata) {
    CHECK_STATUS(status, HYSOCK_OK);
    hysock_call_free(call);
    latch_add(userdata, 1);
}

static void calls_itself(void) {
    host h;
    latch drops, calls;
    latch_init(&drops);
    latch_init(&calls);
    queue_host(&h, &drops);
    h.delivery = QUEUE; /* for the client alone */
    hysock_client *client = host_client(&h);
    h.delivery = POOL;
    for (int i = 0; i < 20; i++)
        CHECK_OK(hysock_call_start(new_call(client, "GET", "/"), on_call, &calls, NULL, ERR));
    /* One thread: it serves and calls by poll and dispatch alone. */
    for (int64_t end = now_ms() + check_ms(DEADLINE_MS); latch_count(&calls) < 20;) {
        CHECK(now_ms() < end);
        CHECK(raw_poll(hysock_queue_fd(h.queue), POLLIN, check_ms(DEADLINE_MS)) & POLLIN);
        CHECK(hysock_queue_dispatch(h.queue, 64, 0) >= 0);
    }
    hysock_client_free(client);
    host_stop(&h);
    CHECK_INT(latch_count(&drops), 1);
    CHECK_INT(latch_count(&calls), 20);
}

int main(void) {
    check_start();
    latch_init(&handled);
    random_steps();
    ends_of_dispatch();
    several_threads();
    freed_while_waiting();
    freed_while_dispatched();
    calls_itself();
    return check_end();
}
