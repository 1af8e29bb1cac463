/* Calls that end in another way than by an answer, and calls that hang on an exchange.
 * Argument: the delivery. */
#include "host.h"

static enum delivery delivery;

/* The peer hangs at /hang; each exchange is kept until the test ends it. */
static struct {
    pthread_mutex_t mutex;
    hysock_exchange *exchanges[64];
    long count;
    latch arrived;
} hung = {.mutex = PTHREAD_MUTEX_INITIALIZER};

static void peer(hysock_exchange *exchange, void *userdata) {
    (void)userdata;
    if (!hysock_str_equal(hysock_exchange_path(exchange), "/hang")) {
        answer_or_closed(exchange, "quick", 5);
        return;
    }
    CHECK_OK(hysock_exchange_defer(exchange, ERR));
    pthread_mutex_lock(&hung.mutex);
    CHECK(hung.count < 64);
    hung.exchanges[hung.count++] = exchange;
    pthread_mutex_unlock(&hung.mutex);
    latch_add(&hung.arrived, 1);
}

static void free_hung(void) {
    pthread_mutex_lock(&hung.mutex);
    for (long i = 0; i < hung.count; i++)
        hysock_exchange_free(hung.exchanges[i]);
    hung.count = 0;
    pthread_mutex_unlock(&hung.mutex);
}

static void timeouts(hysock_client *client) {
    completion c;
    hysock_call *call = new_call(client, "GET", "/hang");
    CHECK_OK(hysock_call_set_timeout(call, 100));
    int64_t began = now_ms();
    CHECK_STATUS(hysock_call_perform(call, ERR), HYSOCK_E_TIMED_OUT);
    int64_t took = now_ms() - began;
    CHECK(took >= 95 && took < check_ms(2000));
    CHECK_STATUS(hysock_call_error(call, ERR), HYSOCK_E_TIMED_OUT);
    CHECK_INT(hysock_call_http_status(call), 0);
    hysock_call_free(call);

    completion_new(&c, client, delivery, "/hang");
    CHECK_OK(hysock_call_set_timeout(c.call, 100));
    began = now_ms();
    completion_start(&c);
    completion_await(&c, HYSOCK_E_TIMED_OUT);
    took = now_ms() - began;
    CHECK(took >= 95 && took < check_ms(2000));
    hysock_call_free(c.call);
    /* The client is as good as new. */
    completion_new(&c, client, delivery, "/");
    CHECK_OK(hysock_call_set_timeout(c.call, (uint32_t)check_ms(DEADLINE_MS)));
    completion_start(&c);
    completion_await(&c, HYSOCK_OK);
    hysock_call_free(c.call);
}

typedef struct performing {
    hysock_call *call;
    hysock_status status;
    latch ended;
} performing;

static void *perform_hanging(void *argument) {
    performing *p = argument;
    p->status = hysock_call_perform(p->call, ERR);
    latch_add(&p->ended, 1);
    return NULL;
}

/* Cancels `call`, which hangs at the peer: how long its end took. */
static int64_t cancel(hysock_call *call, latch *ended) {
    CHECK_STATUS(hysock_call_error(call, ERR), HYSOCK_E_WOULD_BLOCK);
    int64_t began = now_ms();
    CHECK_OK(hysock_call_cancel(call, ERR));
    LATCH_AWAIT(ended, 1);
    return now_ms() - began;
}

/* Cancelled from this thread while the peer hangs: the quickest of five within 100 ms. */
static void cancels(hysock_client *client) {
    int64_t quickest_start = INT64_MAX, quickest_perform = INT64_MAX;
    for (int i = 0; i < 5; i++) {
        completion c;
        performing p;
        long arrived = latch_count(&hung.arrived);
        completion_new(&c, client, delivery, "/hang");
        completion_start(&c);
        LATCH_AWAIT(&hung.arrived, arrived + 1);
        int64_t took = cancel(c.call, &c.calls);
        quickest_start = took < quickest_start ? took : quickest_start;
        completion_await(&c, HYSOCK_E_CANCELLED);
        hysock_call_free(c.call);

        latch_init(&p.ended);
        p.call = new_call(client, "GET", "/hang");
        pthread_t thread = thread_start(perform_hanging, &p);
        LATCH_AWAIT(&hung.arrived, arrived + 2);
        took = cancel(p.call, &p.ended);
        quickest_perform = took < quickest_perform ? took : quickest_perform;
        thread_join(thread);
        CHECK_STATUS(p.status, HYSOCK_E_CANCELLED);
        hysock_call_free(p.call);
    }
    CHECK(quickest_start <= check_ms(100));
    CHECK(quickest_perform <= check_ms(100));
}

/* Cancel and answer race: one completion, with one of the two statuses. */
static void cancel_races(hysock_client *client) {
    int rounds = check_rounds(500, 30);
    for (int i = 0; i < rounds; i++) {
        completion c;
        completion_new(&c, client, delivery, "/");
        completion_start(&c);
        CHECK_OK(hysock_call_cancel(c.call, ERR));
        LATCH_AWAIT(&c.drops, 1);
        CHECK(c.status == HYSOCK_OK || c.status == HYSOCK_E_CANCELLED);
        completion_await(&c, c.status);
        hysock_call_free(c.call);
    }
}

/* ---- a connection that the server has closed meanwhile ---- */

typedef struct closer {
    int listener;
    int connections;
    latch closed;
} closer;

/* Answers one request a connection as if it would keep it, and closes it. */
static void *close_each(void *argument) {
    closer *c = argument;
    for (int i = 0; i < c->connections; i++) {
        raw r;
        raw_accept(&r, c->listener);
        CHECK(raw_head(&r) > 0);
        raw_text(&r, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        raw_close(&r);
        latch_add(&c->closed, 1);
    }
    return NULL;
}

static void retries(host *h) {
    char path[108];
    closer c;
    hysock_client *client = NULL, *bare = NULL;
    static const char *const methods[] = {"GET", "POST"};
    c.listener = raw_listen(temp_path(path, "closer"));
    int rounds = check_rounds(100, 20);
    c.connections = 8 + rounds;
    latch_init(&c.closed);
    pthread_t thread = thread_start(close_each, &c);
    CHECK_OK(hysock_client_new(h->runtime, path, HYSOCK_NTS, NULL, &client, ERR));
    CHECK_OK(hysock_client_new(NULL, path, HYSOCK_NTS, NULL, &bare, ERR));
    long closed = 0;
    for (int i = 0; i < 8; i++) {
        /* From the second on there is a kept connection, and it is dead. */
        hysock_call *call = new_call(i < 4 ? client : bare, methods[i % 2], "/");
        CHECK_OK(hysock_call_perform(call, ERR));
        CHECK(hysock_str_equal(hysock_call_body(call), "ok"));
        hysock_call_free(call);
        LATCH_AWAIT(&c.closed, ++closed);
    }
    for (int i = 0; i < rounds; i++) {
        completion one;
        completion_new(&one, client, POOL, "/");
        completion_start(&one);
        completion_await(&one, HYSOCK_OK);
        CHECK(hysock_str_equal(hysock_call_body(one.call), "ok"));
        hysock_call_free(one.call);
        LATCH_AWAIT(&c.closed, ++closed);
    }
    thread_join(thread);
    close(c.listener);
    hysock_client_free(client);
    hysock_client_free(bare);
}

/* ---- parent and call ---- */

typedef struct proxy {
    hysock_client *upstream;
    const char *target;
    latch calls;
    latch drops;
    hysock_exchange *exchange;
    hysock_status status;
} proxy;

static void on_upstream(hysock_call *call, hysock_status status, void *userdata) {
    proxy *p = userdata;
    p->status = status;
    if (status == HYSOCK_OK) {
        hysock_str body = hysock_call_body(call);
        CHECK_OK(hysock_exchange_answer(p->exchange, hysock_call_http_status(call), "text/plain",
                                        body.ptr, body.len, ERR));
    }
    hysock_exchange_free(p->exchange);
    hysock_call_free(call);
    latch_add(&p->calls, 1);
}

static void on_proxy_drop(void *userdata) {
    proxy *p = userdata;
    latch_add(&p->drops, 1);
}

static void on_proxy(hysock_exchange *exchange, void *userdata) {
    proxy *p = userdata;
    CHECK_OK(hysock_exchange_defer(exchange, ERR));
    p->exchange = exchange;
    hysock_call *call = new_call(p->upstream, "GET", p->target);
    CHECK_OK(hysock_call_set_parent(call, exchange));
    CHECK_OK(hysock_call_start(call, on_upstream, p, on_proxy_drop, ERR));
}

static void parent(host *h, bool leaves) {
    proxy p;
    raw r;
    answer a;
    char path[108];
    hysock_server *server = NULL;
    hysock_server_config *config = host_server_config(h);
    memset(&p, 0, sizeof(p));
    latch_init(&p.calls);
    latch_init(&p.drops);
    p.upstream = host_client(h);
    p.target = leaves ? "/hang" : "/";
    CHECK_OK(hysock_server_serve(h->runtime, temp_path(path, "proxy"), HYSOCK_NTS, config, on_proxy,
                                 &p, NULL, &server, ERR));
    hysock_server_config_free(config);
    long arrived = latch_count(&hung.arrived);
    raw_open(&r, path);
    raw_text(&r, "GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    if (leaves) {
        /* The client hangs up: the call ends with the exchange. */
        LATCH_AWAIT(&hung.arrived, arrived + 1);
        raw_close(&r);
        LATCH_AWAIT(&p.drops, 1);
        CHECK_STATUS(p.status, HYSOCK_E_CANCELLED);
    } else {
        CHECK_INT(raw_answer(&r, &a, false), 200);
        CHECK(strcmp(a.body, "quick") == 0);
        answer_free(&a);
        raw_close(&r);
        LATCH_AWAIT(&p.drops, 1);
    }
    CHECK_INT(latch_count(&p.calls), 1);
    CHECK_INT(latch_count(&p.drops), 1);
    CHECK_OK(hysock_server_shutdown(server, 1000, ERR));
    WAIT_OK(hysock_server_wait, server);
    hysock_server_free(server);
    hysock_client_free(p.upstream);
}

/* A client that was shut down makes no call, or one that goes nowhere. */
static void ended(hysock_client *client) {
    CHECK_OK(hysock_client_shutdown(client, 1000, ERR));
    WAIT_OK(hysock_client_wait, client);
    hysock_call *call = NULL;
    hysock_status status = hysock_call_new(client, "GET", "/", HYSOCK_NTS, &call, ERR);
    if (status == HYSOCK_OK) {
        status = hysock_call_perform(call, ERR);
        hysock_call_free(call);
    }
    CHECK_STATUS(status, HYSOCK_E_SHUT_DOWN);
}

/* A client without a runtime: its end has nobody but the performing thread itself. */
static void ended_bare(const host *h) {
    performing p;
    hysock_client *bare = NULL;
    long arrived = latch_count(&hung.arrived);
    CHECK_OK(hysock_client_new(NULL, h->path, HYSOCK_NTS, NULL, &bare, ERR));
    CHECK_STATUS(hysock_client_wait(bare, 20, ERR), HYSOCK_E_TIMED_OUT);
    latch_init(&p.ended);
    p.call = new_call(bare, "GET", "/hang");
    pthread_t thread = thread_start(perform_hanging, &p);
    LATCH_AWAIT(&hung.arrived, arrived + 1);
    int64_t began = now_ms();
    CHECK_OK(hysock_client_shutdown(bare, 200, ERR));
    CHECK_STATUS(hysock_client_wait(bare, 20, ERR), HYSOCK_E_TIMED_OUT);
    CHECK_OK(hysock_client_wait(bare, (uint32_t)check_ms(DEADLINE_MS), ERR));
    int64_t took = now_ms() - began;
    CHECK(took >= 195 && took < check_ms(1200));
    thread_join(thread);
    CHECK_STATUS(p.status, HYSOCK_E_SHUT_DOWN);
    CHECK_STATUS(hysock_call_error(p.call, ERR), HYSOCK_E_SHUT_DOWN);
    hysock_call_free(p.call);
    ended(bare);
    hysock_client_free(bare);
}

int main(int argc, char **argv) {
    host h;
    check_start();
    delivery = delivery_parse(argc, argv);
    latch_init(&hung.arrived);
    host_start(&h, delivery, peer, NULL);
    hysock_client *client = host_client(&h);
    timeouts(client);
    cancels(client);
    cancel_races(client);
    retries(&h);
    parent(&h, false);
    parent(&h, true);
    ended(client);
    hysock_client_free(client);
    ended_bare(&h);
    free_hung();
    host_stop(&h);
    return check_end();
}
