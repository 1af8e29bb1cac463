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
static void queue_host_of(host *h, hysock_exchange_fn fn, void *userdata, hysock_drop_fn drop) {
    host_open(h, POOL, NULL);
    CHECK_OK(hysock_queue_new(h->runtime, &h->queue, ERR));
    hysock_server_config *config = hysock_server_config_new();
    CHECK_OK(hysock_server_config_set_queue(config, h->queue));
    host_serve(h, config, fn, userdata, drop);
}

static void queue_host(host *h, latch *drops) { queue_host_of(h, handler, drops, on_drop); }

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

/* ---- exchanges that are kept ---- */

typedef struct kept {
    hysock_exchange *exchange;
    bool watched;
    latch arrived;
    latch gone;
    latch gone_drops;
} kept;

static void on_gone(hysock_exchange *exchange, void *userdata) {
    kept *k = userdata;
    (void)exchange;
    latch_add(&k->gone, 1);
}

static void on_gone_drop(void *userdata) {
    kept *k = userdata;
    latch_add(&k->gone_drops, 1);
}

static void keep(hysock_exchange *exchange, void *userdata) {
    kept *k = userdata;
    CHECK_OK(hysock_exchange_defer(exchange, ERR));
    if (k->watched)
        CHECK_OK(hysock_exchange_on_gone(exchange, on_gone, k, on_gone_drop, ERR));
    k->exchange = exchange;
    latch_add(&k->arrived, 1);
}

/* One request is with its handler, which kept it. */
static void kept_start(kept *k, host *h, raw *r, bool watched) {
    memset(k, 0, sizeof(*k));
    latch_init(&k->arrived);
    latch_init(&k->gone);
    latch_init(&k->gone_drops);
    k->watched = watched;
    queue_host_of(h, keep, k, NULL);
    raw_open(r, h->path);
    raw_text(r, GET_ROOT);
    CHECK_INT(hysock_queue_dispatch(h->queue, 1, (uint32_t)check_ms(DEADLINE_MS)), 1);
    CHECK_INT(latch_count(&k->arrived), 1);
    CHECK(!readable(h));
}

/* The client has left, and on_gone waits in the queue: a free withdraws it. */
static void freed_before_gone(void) {
    for (int i = 0; i < check_rounds(20, 4); i++) {
        host h;
        kept k;
        raw r;
        kept_start(&k, &h, &r, true);
        raw_close(&r);
        CHECK(raw_poll(hysock_queue_fd(h.queue), POLLIN, check_ms(DEADLINE_MS)) & POLLIN);
        hysock_exchange_free(k.exchange);
        for (int64_t end = now_ms() + check_ms(DEADLINE_MS);
             readable(&h) || latch_count(&k.gone_drops) == 0;) {
            CHECK(now_ms() < end);
            CHECK(hysock_queue_dispatch(h.queue, 64, 10) >= 0);
        }
        host_stop(&h);
        CHECK_INT(latch_count(&k.gone), 0);
        CHECK_INT(latch_count(&k.gone_drops), 1);
    }
}

/* The queue is freed while an exchange is kept: everything ends all the same. */
static void freed_while_kept(bool watched, bool leaves) {
    host h;
    kept k;
    raw r;
    kept_start(&k, &h, &r, watched);
    if (leaves) {
        raw_close(&r);
        if (watched) /* on_gone waits in the queue */
            CHECK(raw_poll(hysock_queue_fd(h.queue), POLLIN, check_ms(DEADLINE_MS)) & POLLIN);
    }
    hysock_queue_free(h.queue);
    h.queue = NULL;
    CHECK_OK(hysock_runtime_shutdown(h.runtime, 50, ERR));
    WAIT_OK(hysock_runtime_wait, h.runtime);
    WAIT_OK(hysock_server_wait, h.server);
    CHECK_INT(latch_count(&k.gone), 0);
    CHECK_INT(latch_count(&k.gone_drops), watched ? 1 : 0);
    hysock_status status = hysock_exchange_answer(k.exchange, 200, NULL, "x", 1, ERR);
    CHECK(status == HYSOCK_E_SHUT_DOWN || status == HYSOCK_E_CLOSED);
    hysock_exchange_free(k.exchange);
    if (!leaves)
        raw_close(&r);
    hysock_server_free(h.server);
    h.server = NULL;
    host_stop(&h);
}

/* ---- whose queue it is ---- */

static void on_log(int32_t level, hysock_str line, void *userdata) {
    (void)level;
    (void)line;
    (void)userdata;
}

/* A queue is for its own runtime alone. */
static void of_another_runtime(void) {
    host h;
    latch drops;
    hysock_runtime *other = NULL;
    hysock_queue *queue = NULL;
    hysock_server *server = NULL;
    hysock_client *client = NULL;
    latch_init(&drops);
    host_open(&h, POOL, NULL);
    CHECK_OK(hysock_runtime_new(NULL, &other, ERR));
    CHECK_OK(hysock_queue_new(other, &queue, ERR));
    hysock_server_config *sc = hysock_server_config_new();
    hysock_client_config *cc = hysock_client_config_new();
    CHECK_OK(hysock_server_config_set_queue(sc, queue));
    CHECK_OK(hysock_client_config_set_queue(cc, queue));
    CHECK_STATUS(hysock_server_new(h.runtime, sc, &server, ERR), HYSOCK_E_INVALID_ARGUMENT);
    CHECK_ERR(HYSOCK_E_INVALID_ARGUMENT, "queue");
    CHECK(server == NULL);
    CHECK_STATUS(hysock_server_serve(h.runtime, h.path, HYSOCK_NTS, sc, handler, &drops, on_drop,
                                     &server, ERR),
                 HYSOCK_E_INVALID_ARGUMENT);
    CHECK_INT(latch_count(&drops), 1);
    CHECK(server == NULL && access(h.path, F_OK) != 0);
    CHECK_STATUS(hysock_client_new(h.runtime, h.path, HYSOCK_NTS, cc, &client, ERR),
                 HYSOCK_E_INVALID_ARGUMENT);
    CHECK_ERR(HYSOCK_E_INVALID_ARGUMENT, "queue");
    CHECK_STATUS(hysock_client_new(NULL, h.path, HYSOCK_NTS, cc, &client, ERR),
                 HYSOCK_E_INVALID_ARGUMENT);
    CHECK_ERR(HYSOCK_E_INVALID_ARGUMENT, "queue");
    CHECK(client == NULL);
    CHECK_STATUS(
        hysock_runtime_on_log(h.runtime, HYSOCK_LOG_DEBUG, queue, on_log, &drops, on_drop, ERR),
        HYSOCK_E_INVALID_ARGUMENT);
    CHECK_ERR(HYSOCK_E_INVALID_ARGUMENT, "queue");
    CHECK_INT(latch_count(&drops), 2);
    /* With its own runtime the same configs are good. */
    CHECK_OK(hysock_server_new(other, sc, &server, ERR));
    CHECK_OK(hysock_client_new(other, h.path, HYSOCK_NTS, cc, &client, ERR));
    hysock_server_free(server);
    hysock_client_free(client);
    hysock_server_config_free(sc);
    hysock_client_config_free(cc);
    CHECK_OK(hysock_runtime_shutdown(other, 0, ERR));
    WAIT_OK(hysock_runtime_wait, other);
    /* And when that runtime has ended, so has its queue. */
    CHECK_STATUS(hysock_queue_dispatch(queue, 1, 0), HYSOCK_E_SHUT_DOWN);
    CHECK_STATUS(hysock_queue_dispatch(queue, 1, HYSOCK_FOREVER), HYSOCK_E_SHUT_DOWN);
    hysock_runtime_free(other);
    CHECK_STATUS(hysock_queue_dispatch(queue, 1, HYSOCK_FOREVER), HYSOCK_E_SHUT_DOWN);
    hysock_queue_free(queue);
    host_stop(&h);
}

/* A dispatch that waits when the runtime ends: it ends too. */
static void ends_with_its_runtime(void) {
    host h;
    host_open(&h, POOL, NULL);
    CHECK_OK(hysock_queue_new(h.runtime, &h.queue, ERR));
    pthread_t thread = thread_start(dispatch_until_freed, &h);
    CHECK_OK(hysock_runtime_shutdown(h.runtime, 0, ERR));
    WAIT_OK(hysock_runtime_wait, h.runtime);
    thread_join(thread);
    CHECK_STATUS(hysock_queue_dispatch(h.queue, 1, HYSOCK_FOREVER), HYSOCK_E_SHUT_DOWN);
    host_stop(&h);
}

/* ---- a call for an exchange, with another delivery ---- */

typedef struct proxy {
    kept k;
    hysock_client *client;
    hysock_call *call;
    latch completions;
    latch drops;
} proxy;

static void on_upstream(hysock_call *call, hysock_status status, void *userdata) {
    proxy *p = userdata;
    (void)call;
    CHECK(status < 0);
    latch_add(&p->completions, 1);
}

static void on_upstream_drop(void *userdata) {
    proxy *p = userdata;
    latch_add(&p->drops, 1);
}

static void on_proxy(hysock_exchange *exchange, void *userdata) {
    proxy *p = userdata;
    keep(exchange, &p->k);
    p->call = new_call(p->client, "GET", "/");
    CHECK_OK(hysock_call_set_parent(p->call, exchange));
    CHECK_OK(hysock_call_start(p->call, on_upstream, p, on_upstream_drop, ERR));
}

/* The call is in the pool's hands and its exchange in the queue's: the end waits for both. */
static void parent_elsewhere(bool watched, bool leaves) {
    host h;
    proxy p;
    raw r, upstream;
    char path[108];
    memset(&p, 0, sizeof(p));
    latch_init(&p.completions);
    latch_init(&p.drops);
    latch_init(&p.k.arrived);
    latch_init(&p.k.gone);
    latch_init(&p.k.gone_drops);
    p.k.watched = watched;
    int listener = raw_listen(temp_path(path, "upstream"));
    queue_host_of(&h, on_proxy, &p, NULL);
    CHECK_OK(hysock_client_new(h.runtime, path, HYSOCK_NTS, NULL, &p.client, ERR));
    raw_open(&r, h.path);
    raw_text(&r, GET_ROOT);
    CHECK_INT(hysock_queue_dispatch(h.queue, 1, (uint32_t)check_ms(DEADLINE_MS)), 1);
    raw_accept(&upstream, listener);
    CHECK(raw_head(&upstream) > 0); /* it is on its way, and hangs */
    if (leaves) {
        raw_close(&r);
        if (watched)
            CHECK(raw_poll(hysock_queue_fd(h.queue), POLLIN, check_ms(DEADLINE_MS)) & POLLIN);
    }
    CHECK_OK(hysock_runtime_shutdown(h.runtime, 0, ERR));
    WAIT_OK(hysock_runtime_wait, h.runtime);
    CHECK(latch_count(&p.completions) <= 1);
    CHECK_INT(latch_count(&p.drops), 1);
    CHECK(latch_count(&p.k.gone) <= 1);
    CHECK_INT(latch_count(&p.k.gone_drops), watched ? 1 : 0);
    hysock_call_free(p.call);
    hysock_exchange_free(p.k.exchange);
    hysock_client_free(p.client);
    hysock_server_free(h.server);
    h.server = NULL;
    host_stop(&h);
    if (!leaves)
        raw_close(&r);
    raw_close(&upstream);
    close(listener);
    unlink(path);
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
    freed_before_gone();
    of_another_runtime();
    ends_with_its_runtime();
    for (int i = 0; i < 4; i++) {
        freed_while_kept(i % 2 == 1, i / 2 == 1);
        parent_elsewhere(i % 2 == 1, i / 2 == 1);
    }
    return check_end();
}
