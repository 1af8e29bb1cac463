/* shutdown begins the end, wait is the barrier. Argument: the delivery. */
#include "host.h"

static enum delivery delivery;

#define GET_ROOT "GET / HTTP/1.1\r\nHost: x\r\n\r\n"

typedef struct closing {
    latch calls;
    latch drops;
    hysock_status reason;
    uint64_t aborted;
} closing;

static void on_closed(hysock_server *server, hysock_status reason, uint64_t n, void *userdata) {
    closing *c = userdata;
    (void)server;
    CHECK(delivery_here(delivery));
    CHECK_INT(latch_count(&c->drops), 0);
    c->reason = reason;
    c->aborted = n;
    latch_add(&c->calls, 1);
}

static void on_closed_drop(void *userdata) {
    closing *c = userdata;
    latch_add(&c->drops, 1);
}

static void closing_watch(closing *c, host *h) {
    memset(c, 0, sizeof(*c));
    latch_init(&c->calls);
    latch_init(&c->drops);
    CHECK_OK(hysock_server_on_closed(h->server, on_closed, c, on_closed_drop, ERR));
}

static void closing_check(closing *c, hysock_status reason, uint64_t aborted) {
    CHECK_INT(latch_count(&c->calls), 1);
    CHECK_INT(latch_count(&c->drops), 1);
    CHECK_STATUS(c->reason, reason);
    CHECK_INT(c->aborted, aborted);
}

static void wait_server(host *h) { WAIT_OK(hysock_server_wait, h->server); }

static void free_server(host *h) {
    hysock_server_free(h->server);
    h->server = NULL;
}

/* ---- a server with much to do ---- */

typedef struct load {
    const char *path;
    latch asked;
    latch answered;
    latch runs; /* handlers begun */
    latch drops;
    latch stopped; /* wait has returned: nothing may run any more */
    bool late;
} load;

static void on_load(hysock_exchange *exchange, void *userdata) {
    load *l = userdata;
    if (latch_count(&l->stopped) != 0 || latch_count(&l->drops) != 0)
        l->late = true;
    latch_add(&l->runs, 1);
    answer_text(exchange, 200, "x");
}

static void on_load_drop(void *userdata) {
    load *l = userdata;
    if (latch_count(&l->stopped) != 0)
        l->late = true;
    latch_add(&l->drops, 1);
}

/* Asks until the server is gone: each request has a whole answer, or no byte of it could be sent:
 * EPIPE, after which it may be sent elsewhere. Nobody is left in the backlog either. */
static void *load_client(void *argument) {
    load *l = argument;
    struct sockaddr_un address;
    int64_t end = now_ms() + 2 * check_ms(DEADLINE_MS);
    for (;;) {
        CHECK(now_ms() < end);
        raw r;
        int fd = raw_socket(l->path, &address);
        if (connect(fd, (struct sockaddr *)&address, sizeof(address)) != 0) {
            CHECK(errno == ECONNREFUSED || errno == ENOENT);
            close(fd);
            return NULL;
        }
        raw_adopt(&r, fd);
        for (int i = 0; i < 50; i++) {
            size_t sent = raw_send_some(&r, GET_ROOT, strlen(GET_ROOT), false);
            if (sent == 0)
                break;
            CHECK_INT(sent, strlen(GET_ROOT));
            latch_add(&l->asked, 1);
            answer a;
            int status = raw_answer(&r, &a, false); /* fails on a torn answer */
            CHECK(status == 200 || status == 503);
            latch_add(&l->answered, 1);
            bool last = answer_header_is(&a, "connection", "close");
            answer_free(&a);
            if (last)
                break;
        }
        raw_close(&r);
    }
}

static void drain_under_load(void) {
    host h;
    load l;
    closing c;
    pthread_t clients[8];
    memset(&l, 0, sizeof(l));
    latch_init(&l.asked);
    latch_init(&l.answered);
    latch_init(&l.runs);
    latch_init(&l.drops);
    latch_init(&l.stopped);
    host_open(&h, delivery, NULL);
    l.path = h.path;
    host_serve(&h, NULL, on_load, &l, on_load_drop);
    closing_watch(&c, &h);
    for (int i = 0; i < 8; i++)
        clients[i] = thread_start(load_client, &l);
    LATCH_AWAIT(&l.answered, check_rounds(2000, 100));
    CHECK_OK(hysock_server_shutdown(h.server, (uint32_t)check_ms(DEADLINE_MS), ERR));
    wait_server(&h);
    latch_add(&l.stopped, 1);
    CHECK_INT(latch_count(&l.drops), 1);
    closing_check(&c, HYSOCK_OK, 0);
    CHECK(access(h.path, F_OK) != 0);
    CHECK_OK(hysock_server_wait(h.server, 0, ERR)); /* a second wait finds the gate open */
    for (int i = 0; i < 8; i++)
        thread_join(clients[i]);
    CHECK(!l.late);
    CHECK_INT(latch_count(&l.asked), latch_count(&l.answered));
    CHECK(latch_count(&l.runs) >= latch_count(&l.answered));
    free_server(&h);
    host_stop(&h);
    CHECK(!l.late);
    CHECK_INT(latch_count(&l.drops), 1);
}

/* ---- connections without a request ---- */

static void answers(hysock_exchange *exchange, void *userdata) {
    (void)userdata;
    answer_text(exchange, 200, "x");
}

/* One that has just been made may still send its request, one that idles may not, one that says
 * nothing holds nobody up for long. */
static void without_a_request(void) {
    host h;
    raw idle, half, fresh, silent;
    closing c;
    host_start(&h, delivery, answers, NULL);
    closing_watch(&c, &h);
    raw_open(&idle, h.path);
    raw_text(&idle, GET_ROOT);
    CHECK_INT(raw_status(&idle), 200);
    raw_open(&half, h.path);
    raw_text(&half, GET_ROOT "GET / HT");
    CHECK_INT(raw_status(&half), 200);
    raw_open(&fresh, h.path);
    raw_open(&silent, h.path);
    int64_t began = now_ms();
    CHECK_OK(hysock_server_shutdown(h.server, (uint32_t)check_ms(DEADLINE_MS), ERR));
    raw_text(&fresh, GET_ROOT); /* a second is enough for this, even here */
    answer a;
    CHECK_INT(raw_answer(&fresh, &a, false), 200);
    CHECK(answer_header_is(&a, "connection", "close"));
    answer_free(&a);
    CHECK(raw_closes(&fresh, check_ms(DEADLINE_MS)));
    CHECK(raw_closes(&idle, check_ms(DEADLINE_MS)));
    CHECK_INT(raw_send_some(&idle, "G", 1, false), 0);
    /* What has begun is let come to its end. */
    raw_text(&half, "TP/1.1\r\nHost: x\r\n\r\n");
    CHECK_INT(raw_status(&half), 200);
    CHECK(raw_closes(&half, check_ms(DEADLINE_MS)));
    CHECK(raw_closes(&silent, check_ms(DEADLINE_MS)));
    CHECK(!silent.reset);
    CHECK(now_ms() - began < check_ms(3000));
    wait_server(&h);
    closing_check(&c, HYSOCK_OK, 0);
    raw_close(&idle);
    raw_close(&half);
    raw_close(&fresh);
    raw_close(&silent);
    free_server(&h);
    host_stop(&h);
}

/* ---- answers that are owed ---- */

typedef struct kept {
    latch arrived;
    hysock_exchange *exchange;
} kept;

static void keep(hysock_exchange *exchange, void *userdata) {
    kept *k = userdata;
    CHECK_OK(hysock_exchange_defer(exchange, ERR));
    k->exchange = exchange;
    latch_add(&k->arrived, 1);
}

static void kept_start(host *h, kept *k, raw *r) {
    memset(k, 0, sizeof(*k));
    latch_init(&k->arrived);
    host_start(h, delivery, keep, k);
    raw_open(r, h->path);
    raw_text(r, GET_ROOT);
    LATCH_AWAIT(&k->arrived, 1);
}

/* What was begun is finished within the drain. */
static void drain_waits(void) {
    host h;
    kept k;
    raw r;
    closing c;
    kept_start(&h, &k, &r);
    closing_watch(&c, &h);
    CHECK_OK(hysock_server_shutdown(h.server, (uint32_t)check_ms(DEADLINE_MS), ERR));
    CHECK_STATUS(hysock_server_wait(h.server, 30, ERR), HYSOCK_E_TIMED_OUT);
    CHECK_INT(latch_count(&c.calls), 0);
    answer_text(k.exchange, 200, "x");
    CHECK_INT(raw_status(&r), 200);
    CHECK(raw_closes(&r, check_ms(DEADLINE_MS)));
    hysock_exchange_free(k.exchange);
    wait_server(&h);
    closing_check(&c, HYSOCK_OK, 0);
    raw_close(&r);
    free_server(&h);
    host_stop(&h);
}

/* The drain's deadline cuts off what is still owed; the exchange outlives its server. */
static void drain_aborts(bool freed) {
    host h;
    kept k;
    raw r;
    closing c;
    kept_start(&h, &k, &r);
    closing_watch(&c, &h);
    int64_t began = now_ms();
    if (freed) {
        free_server(&h); /* at once, without a word */
        CHECK(raw_closes(&r, check_ms(DEADLINE_MS)));
        LATCH_AWAIT(&c.drops, 1);
        CHECK(latch_count(&c.calls) <= 1);
    } else {
        CHECK_OK(hysock_server_shutdown(h.server, 100, ERR));
        wait_server(&h);
        CHECK(now_ms() - began >= 95);
        CHECK(now_ms() - began < check_ms(2000));
        closing_check(&c, HYSOCK_E_TIMED_OUT, 1);
        free_server(&h);
        CHECK(raw_closes(&r, check_ms(DEADLINE_MS)));
    }
    CHECK_STATUS(hysock_exchange_answer(k.exchange, 200, NULL, "x", 1, ERR), HYSOCK_E_SHUT_DOWN);
    CHECK_ERR(HYSOCK_E_SHUT_DOWN, "");
    CHECK(hysock_str_equal(hysock_exchange_path(k.exchange), "/")); /* readable all the same */
    raw_close(&r);
    host_stop(&h); /* the runtime ends before the exchange is freed */
    CHECK_STATUS(hysock_exchange_answer(k.exchange, 200, NULL, "x", 1, ERR), HYSOCK_E_SHUT_DOWN);
    hysock_exchange_free(k.exchange);
    CHECK_INT(hysock_handles_live(HYSOCK_KIND_ANY), 0);
}

/* ---- what a callback must not do ---- */

typedef struct inside {
    host *h;
    hysock_client *client;
    latch done;
} inside;

static void on_inside(hysock_exchange *exchange, void *userdata) {
    inside *i = userdata;
    uint32_t forever = HYSOCK_FOREVER;
    if (hysock_str_equal(hysock_exchange_path(exchange), "/self")) {
        answer_text(exchange, 200, "x");
        return;
    }
    CHECK_STATUS(hysock_server_wait(i->h->server, forever, ERR), HYSOCK_E_WOULD_DEADLOCK);
    CHECK_ERR(HYSOCK_E_WOULD_DEADLOCK, "hysock_server_wait");
    CHECK_STATUS(hysock_runtime_wait(i->h->runtime, forever, ERR), HYSOCK_E_WOULD_DEADLOCK);
    CHECK_ERR(HYSOCK_E_WOULD_DEADLOCK, "hysock_runtime_wait");
    CHECK_STATUS(hysock_client_wait(i->client, forever, ERR), HYSOCK_E_WOULD_DEADLOCK);
    CHECK_ERR(HYSOCK_E_WOULD_DEADLOCK, "hysock_client_wait");
    hysock_call *call = new_call(i->client, "GET", "/self");
    if (delivery == INLINE)
        CHECK_STATUS(hysock_call_perform(call, ERR), HYSOCK_E_WOULD_DEADLOCK);
    else if (delivery == POOL) /* there are other threads to answer it */
        CHECK_OK(hysock_call_perform(call, ERR));
    hysock_call_free(call);
    /* A client without a runtime may block no I/O thread either. */
    hysock_client *bare = NULL;
    CHECK_OK(hysock_client_new(NULL, i->h->path, HYSOCK_NTS, NULL, &bare, ERR));
    call = new_call(bare, "GET", "/self");
    if (delivery == INLINE)
        CHECK_STATUS(hysock_call_perform(call, ERR), HYSOCK_E_WOULD_DEADLOCK);
    hysock_call_free(call);
    hysock_client_free(bare);
    answer_text(exchange, 200, "x");
    latch_add(&i->done, 1);
}

static void would_deadlock(void) {
    host h;
    inside i;
    latch_init(&i.done);
    i.h = &h;
    host_open(&h, delivery, NULL);
    i.client = host_client(&h);
    host_serve(&h, NULL, on_inside, &i, NULL);
    CHECK_INT(raw_get(h.path, "/"), 200);
    LATCH_AWAIT(&i.done, 1);
    hysock_client_free(i.client);
    host_stop(&h);
}

typedef struct dropped {
    host *h;
    latch drops;
} dropped;

static void on_dropped(hysock_exchange *exchange, void *userdata) {
    (void)userdata;
    answer_text(exchange, 200, "x");
}

static void on_dropped_drop(void *userdata) {
    dropped *d = userdata;
    uint32_t forever = HYSOCK_FOREVER;
    CHECK_STATUS(hysock_server_wait(d->h->server, forever, ERR), HYSOCK_E_WOULD_DEADLOCK);
    CHECK_ERR(HYSOCK_E_WOULD_DEADLOCK, "hysock_server_wait");
    CHECK_STATUS(hysock_runtime_wait(d->h->runtime, forever, ERR), HYSOCK_E_WOULD_DEADLOCK);
    latch_add(&d->drops, 1);
}

/* A drop is a callback like any other. */
static void wait_in_a_drop(void) {
    host h;
    dropped d;
    d.h = &h;
    latch_init(&d.drops);
    host_open(&h, delivery, NULL);
    host_serve(&h, NULL, on_dropped, &d, on_dropped_drop);
    CHECK_INT(raw_get(h.path, "/"), 200);
    CHECK_OK(hysock_server_shutdown(h.server, 0, ERR));
    LATCH_AWAIT(&d.drops, 1);
    wait_server(&h);
    CHECK_INT(latch_count(&d.drops), 1);
    free_server(&h);
    host_stop(&h);
}

/* ---- a signal handler ---- */

static hysock_server *signalled;
static volatile sig_atomic_t signal_status;

static void on_signal(int number) {
    (void)number;
    signal_status = hysock_server_shutdown_signal(signalled);
}

static void from_a_signal(void) {
    host h;
    kept k;
    raw r;
    closing c;
    struct sigaction action, before;
    memset(&action, 0, sizeof(action));
    action.sa_handler = on_signal;
    CHECK(sigaction(SIGUSR1, &action, &before) == 0);
    kept_start(&h, &k, &r);
    closing_watch(&c, &h);
    signalled = h.server;
    signal_status = 1;
    CHECK(raise(SIGUSR1) == 0);
    CHECK_INT(signal_status, HYSOCK_OK);
    /* It drains like any other shutdown. */
    CHECK_STATUS(hysock_server_wait(h.server, 30, ERR), HYSOCK_E_TIMED_OUT);
    answer_text(k.exchange, 200, "x");
    hysock_exchange_free(k.exchange);
    CHECK_INT(raw_status(&r), 200);
    raw_close(&r);
    wait_server(&h);
    closing_check(&c, HYSOCK_OK, 0);
    CHECK(raise(SIGUSR1) == 0); /* once more, after the end: no harm */
    free_server(&h);
    CHECK(raise(SIGUSR1) == 0);
    CHECK_INT(signal_status, HYSOCK_E_BAD_HANDLE);
    CHECK(sigaction(SIGUSR1, &before, NULL) == 0);
    host_stop(&h);
}

/* ---- the runtime's end ends all of it ---- */

/* A call in flight completes exactly once, by the end of its client (0) or of its runtime (1). */
static void call_in_flight(bool whole_runtime) {
    host h;
    kept k;
    completion c;
    memset(&k, 0, sizeof(k));
    latch_init(&k.arrived);
    host_start(&h, delivery, keep, &k);
    hysock_client *client = host_client(&h);
    completion_new(&c, client, delivery, "/");
    completion_start(&c);
    LATCH_AWAIT(&k.arrived, 1);
    CHECK_STATUS(hysock_client_wait(client, 20, ERR), HYSOCK_E_TIMED_OUT);
    CHECK_STATUS(hysock_runtime_wait(h.runtime, 20, ERR), HYSOCK_E_TIMED_OUT);
    if (whole_runtime)
        CHECK_OK(hysock_runtime_shutdown(h.runtime, 50, ERR));
    else
        CHECK_OK(hysock_client_shutdown(client, 50, ERR));
    WAIT_OK(hysock_client_wait, client);
    CHECK_INT(latch_count(&c.drops), 1);
    completion_await(&c, c.status);
    CHECK(c.status < 0);
    CHECK_STATUS(hysock_call_error(c.call, ERR), c.status);
    if (whole_runtime) {
        hysock_server *server = NULL;
        hysock_queue *queue = NULL;
        wait_server(&h);
        CHECK_STATUS(hysock_server_new(h.runtime, NULL, &server, ERR), HYSOCK_E_SHUT_DOWN);
        CHECK_STATUS(hysock_queue_new(h.runtime, &queue, ERR), HYSOCK_E_SHUT_DOWN);
        /* The client's end or the server's, whichever came first. */
        hysock_status late = hysock_exchange_answer(k.exchange, 200, NULL, "x", 1, ERR);
        CHECK(late == HYSOCK_E_SHUT_DOWN || late == HYSOCK_E_CLOSED);
    } else {
        /* Its connection went with the client: the exchange hears of it. */
        hysock_status late;
        int64_t end = now_ms() + check_ms(DEADLINE_MS);
        while ((late = hysock_exchange_set_header(k.exchange, "a", "b", 1)) == HYSOCK_OK)
            CHECK(now_ms() < end);
        CHECK_STATUS(late, HYSOCK_E_CLOSED);
    }
    hysock_exchange_free(k.exchange);
    hysock_call_free(c.call);
    hysock_client_free(client);
    host_stop(&h);
}

int main(int argc, char **argv) {
    check_start();
    delivery = delivery_parse(argc, argv);
    for (int i = 0; i < check_rounds(5, 1); i++)
        drain_under_load();
    without_a_request();
    drain_waits();
    drain_aborts(false);
    drain_aborts(true);
    would_deadlock();
    wait_in_a_drop();
    from_a_signal();
    call_in_flight(false);
    call_in_flight(true);
    return check_end();
}
