/* Calls, blocking and by callback, against a hysock server in this process. Argument: the delivery.
 */
#include "host.h"

static enum delivery delivery;

/* Exchanges that hang until the test ends them. */
static struct {
    pthread_mutex_t mutex;
    hysock_exchange *exchanges[256];
    long count;
    latch arrived;
} hung = {.mutex = PTHREAD_MUTEX_INITIALIZER};

static void hang(hysock_exchange *exchange) {
    CHECK_OK(hysock_exchange_defer(exchange, ERR));
    pthread_mutex_lock(&hung.mutex);
    CHECK(hung.count < 256);
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

/* The peer: echoes, hangs, gives bodies of a size, or says what it was sent. */
static void peer(hysock_exchange *exchange, void *userdata) {
    (void)userdata;
    hysock_str path = hysock_exchange_path(exchange);
    hysock_str query = hysock_exchange_query(exchange);
    hysock_str body = hysock_exchange_body(exchange);
    if (hysock_str_equal(path, "/hang")) {
        hang(exchange);
    } else if (hysock_str_equal(path, "/size")) {
        char number[32];
        hysock_str_copy(query, number, sizeof(number));
        size_t size = (size_t)strtoull(number, NULL, 10);
        char *data = malloc(size + 1);
        CHECK(data != NULL);
        memset(data, 'b', size);
        CHECK_OK(hysock_exchange_answer(exchange, 200, NULL, data, size, ERR));
        free(data);
    } else if (hysock_str_equal(path, "/echo")) {
        hysock_str type = hysock_exchange_header(exchange, "content-type");
        char copy[64] = "";
        if (type.ptr != NULL)
            hysock_str_copy(type, copy, sizeof(copy));
        CHECK_OK(
            hysock_exchange_answer(exchange, 200, type.ptr ? copy : NULL, body.ptr, body.len, ERR));
    } else if (hysock_str_equal(path, "/heads")) {
        char text[256];
        hysock_str host = hysock_exchange_header(exchange, "host");
        hysock_str one = hysock_exchange_header(exchange, "x-one");
        hysock_str method = hysock_exchange_method(exchange);
        int n =
            snprintf(text, sizeof(text), "%.*s|%.*s|%.*s|%d", HYSOCK_PRI(method), HYSOCK_PRI(host),
                     HYSOCK_PRI(one), (int)hysock_exchange_header_count(exchange));
        CHECK_OK(hysock_exchange_add_header(exchange, "X-Answer", "1", HYSOCK_NTS));
        CHECK_OK(hysock_exchange_add_header(exchange, "x-answer", "2", HYSOCK_NTS));
        CHECK_OK(hysock_exchange_answer(exchange, 200, NULL, text, (size_t)n, ERR));
    } else {
        answer_text(exchange, 404, "no such thing");
    }
}

static void check_body(const hysock_call *call, const char *expected) {
    hysock_str body = hysock_call_body(call);
    CHECK(body.ptr != NULL);
    CHECK_INT(body.ptr[body.len], 0);
    if (!hysock_str_equal(body, expected)) {
        dprintf(check_fd, "body \"%.*s\", expected \"%s\"\n", HYSOCK_PRI(body), expected);
        CHECK(!"the right body");
    }
}

/* ---- blocking ---- */

static void perform(hysock_client *client) {
    hysock_call *call = new_call(client, "GET", "/heads");
    CHECK_INT(hysock_call_http_status(call), 0);
    CHECK(hysock_call_body(call).ptr == NULL);
    CHECK_OK(hysock_call_set_header(call, "X-One", "old", HYSOCK_NTS));
    CHECK_OK(hysock_call_set_header(call, "x-one", "new!", 3));
    CHECK_OK(hysock_call_perform(call, ERR));
    CHECK_OK(hysock_call_error(call, ERR));
    CHECK_INT(hysock_call_http_status(call), 200);
    CHECK_INT(hysock_call_version(call), 11);
    check_body(call, "GET|localhost|new|2");
    int answers = 0;
    for (int32_t i = 0; i < hysock_call_header_count(call); i++) {
        hysock_str name, value;
        CHECK_OK(hysock_call_header_at(call, (size_t)i, &name, &value));
        answers += hysock_str_equal(name, "x-answer");
    }
    CHECK_INT(answers, 2);
    hysock_str name, value;
    CHECK_STATUS(hysock_call_header_at(call, (size_t)hysock_call_header_count(call), &name, &value),
                 HYSOCK_E_INVALID_ARGUMENT);
    CHECK(hysock_str_equal(hysock_call_header(call, "X-ANSWER"), "1"));
    CHECK(hysock_call_header(call, "x-absent").ptr == NULL);
    CHECK_STATUS(hysock_call_perform(call, ERR), HYSOCK_E_STATE);
    hysock_call_free(call);

    call = new_call(client, "GET", "/heads");
    CHECK_OK(hysock_call_set_header(call, "Host", "other", HYSOCK_NTS));
    CHECK_OK(hysock_call_perform(call, ERR));
    check_body(call, "GET|other||1");
    hysock_call_free(call);

    call = new_call(client, "POST", "/echo");
    char body[] = "text of mine";
    CHECK_OK(hysock_call_set_body(call, "x/mine", body, 4));
    memset(body, '#', sizeof(body)); /* it was copied */
    CHECK_OK(hysock_call_perform(call, ERR));
    check_body(call, "text");
    CHECK(hysock_str_equal(hysock_call_header(call, "content-type"), "x/mine"));
    hysock_call_free(call);

    call = new_call(client, "POST", "/echo");
    CHECK_OK(hysock_call_perform(call, ERR)); /* no body at all */
    check_body(call, "");
    hysock_call_free(call);

    /* An HTTP error is a success of the transport. */
    call = new_call(client, "DELETE", "/x");
    CHECK_OK(hysock_call_perform(call, ERR));
    CHECK_INT(hysock_call_http_status(call), 404);
    check_body(call, "no such thing");
    hysock_call_free(call);

    call = new_call(client, "HEAD", "/size?100");
    CHECK_OK(hysock_call_perform(call, ERR));
    CHECK_INT(hysock_call_http_status(call), 200);
    CHECK_INT(hysock_call_body(call).len, 0);
    CHECK(hysock_str_equal(hysock_call_header(call, "content-length"), "100"));
    hysock_call_free(call);

    for (int i = 0; i < 100; i++) {
        call = new_call(client, "GET", "/size?1");
        CHECK_OK(hysock_call_perform(call, ERR));
        check_body(call, "b");
        hysock_call_free(call);
    }
    /* Bodies larger than any socket buffer, both ways. */
    size_t size = 900000;
    char *data = malloc(size);
    CHECK(data != NULL);
    memset(data, 'm', size);
    call = new_call(client, "POST", "/echo");
    CHECK_OK(hysock_call_set_body(call, NULL, data, size));
    CHECK_OK(hysock_call_perform(call, ERR));
    CHECK_INT(hysock_call_body(call).len, size);
    CHECK(memcmp(hysock_call_body(call).ptr, data, size) == 0);
    hysock_call_free(call);
    free(data);
}

/* ---- by callback ---- */

typedef struct done {
    latch calls;
    latch drops;
    hysock_call *call;
    hysock_status status;
    bool free_here; /* the completion frees its own call */
} done;

static void done_init(done *d) {
    memset(d, 0, sizeof(*d));
    latch_init(&d->calls);
    latch_init(&d->drops);
}

static void on_done(hysock_call *call, hysock_status status, void *userdata) {
    done *d = userdata;
    CHECK(delivery_here(delivery));
    CHECK_INT(latch_count(&d->drops), 0);
    CHECK(call == d->call);
    CHECK_STATUS(hysock_call_error(call, ERR), status);
    CHECK_INT(check_error.status, status);
    d->status = status;
    if (d->free_here) {
        if (status == HYSOCK_OK)
            check_body(call, "b");
        hysock_call_free(call);
        CHECK_STATUS(hysock_call_error(call, ERR), HYSOCK_E_BAD_HANDLE);
    }
    latch_add(&d->calls, 1);
}

static void on_done_drop(void *userdata) {
    done *d = userdata;
    latch_add(&d->drops, 1);
}

static void start(done *d, hysock_client *client, const char *target, uint32_t timeout_ms) {
    done_init(d);
    d->call = new_call(client, "GET", target);
    if (timeout_ms != 0)
        CHECK_OK(hysock_call_set_timeout(d->call, timeout_ms));
}

#define START(d) CHECK_OK(hysock_call_start((d)->call, on_done, (d), on_done_drop, ERR))

/* Completed exactly once, with `status`; the drop came after it. */
static void finished(done *d, hysock_status status) {
    LATCH_AWAIT(&d->drops, 1);
    CHECK_INT(latch_count(&d->calls), 1);
    CHECK_INT(latch_count(&d->drops), 1);
    CHECK_STATUS(d->status, status);
}

static void started(hysock_client *client) {
    done d, many[128];
    start(&d, client, "/heads", 0);
    CHECK_OK(hysock_call_set_header(d.call, "x-one", "1", HYSOCK_NTS));
    START(&d);
    finished(&d, HYSOCK_OK);
    CHECK_INT(hysock_call_http_status(d.call), 200);
    CHECK_INT(hysock_call_version(d.call), 11);
    check_body(d.call, "GET|localhost|1|2");
    CHECK_STATUS(hysock_call_perform(d.call, ERR), HYSOCK_E_STATE);
    hysock_call_free(d.call);
    /* More calls than connections, each freed in its own completion: fire and forget. */
    for (int i = 0; i < 128; i++) {
        start(&many[i], client, "/size?1", 0);
        many[i].free_here = true;
        START(&many[i]);
    }
    for (int i = 0; i < 128; i++)
        finished(&many[i], HYSOCK_OK);
    CHECK_INT(hysock_handles_live(HYSOCK_KIND_CALL), 0);
}

/* ---- ends before the answer ---- */

static void timeouts(hysock_client *client) {
    done d;
    hysock_call *call = new_call(client, "GET", "/hang");
    CHECK_OK(hysock_call_set_timeout(call, 100));
    int64_t began = now_ms();
    CHECK_STATUS(hysock_call_perform(call, ERR), HYSOCK_E_TIMED_OUT);
    int64_t took = now_ms() - began;
    CHECK(took >= 95 && took < check_ms(2000));
    CHECK_STATUS(hysock_call_error(call, ERR), HYSOCK_E_TIMED_OUT);
    CHECK_INT(hysock_call_http_status(call), 0);
    hysock_call_free(call);

    start(&d, client, "/hang", 100);
    began = now_ms();
    START(&d);
    CHECK_STATUS(hysock_call_error(d.call, ERR), HYSOCK_E_WOULD_BLOCK);
    finished(&d, HYSOCK_E_TIMED_OUT);
    took = now_ms() - began;
    CHECK(took >= 95 && took < check_ms(2000));
    hysock_call_free(d.call);
    /* The client is as good as new. */
    start(&d, client, "/size?1", 5000);
    START(&d);
    finished(&d, HYSOCK_OK);
    hysock_call_free(d.call);
}

static void *perform_hanging(void *argument) {
    done *d = argument;
    d->status = hysock_call_perform(d->call, ERR);
    latch_add(&d->calls, 1);
    return NULL;
}

/* Cancelled from this thread while the peer hangs: the quickest of five within 100 ms. */
static void cancels(hysock_client *client) {
    int64_t quickest_start = INT64_MAX, quickest_perform = INT64_MAX;
    for (int i = 0; i < 5; i++) {
        done d;
        long arrived = latch_count(&hung.arrived);
        start(&d, client, "/hang", 0);
        START(&d);
        LATCH_AWAIT(&hung.arrived, arrived + 1);
        int64_t began = now_ms();
        CHECK_OK(hysock_call_cancel(d.call, ERR));
        LATCH_AWAIT(&d.calls, 1);
        if (now_ms() - began < quickest_start)
            quickest_start = now_ms() - began;
        finished(&d, HYSOCK_E_CANCELLED);
        hysock_call_free(d.call);

        start(&d, client, "/hang", 0);
        pthread_t thread = thread_start(perform_hanging, &d);
        LATCH_AWAIT(&hung.arrived, arrived + 2);
        began = now_ms();
        CHECK_OK(hysock_call_cancel(d.call, ERR));
        LATCH_AWAIT(&d.calls, 1);
        if (now_ms() - began < quickest_perform)
            quickest_perform = now_ms() - began;
        thread_join(thread);
        CHECK_STATUS(d.status, HYSOCK_E_CANCELLED);
        hysock_call_free(d.call);
    }
    CHECK(quickest_start <= check_ms(100));
    CHECK(quickest_perform <= check_ms(100));
}

/* Cancel and answer race: one completion, with one of the two statuses. */
static void cancel_races(hysock_client *client) {
    int rounds = check_rounds(500, 30);
    for (int i = 0; i < rounds; i++) {
        done d;
        start(&d, client, "/size?1", 0);
        START(&d);
        CHECK_OK(hysock_call_cancel(d.call, ERR));
        LATCH_AWAIT(&d.drops, 1);
        CHECK(d.status == HYSOCK_OK || d.status == HYSOCK_E_CANCELLED);
        finished(&d, d.status);
        hysock_call_free(d.call);
    }
}

/* ---- limits ---- */

static void limits(host *h) {
    hysock_client *client = NULL;
    hysock_client_config *config = hysock_client_config_new();
    CHECK_OK(hysock_client_config_set_max_body(config, 65536));
    CHECK_OK(hysock_client_config_set_delivery(config, HYSOCK_DELIVERY_POOL));
    if (delivery == QUEUE)
        CHECK_OK(hysock_client_config_set_queue(config, h->queue));
    if (delivery == INLINE)
        CHECK_OK(hysock_client_config_set_delivery(config, HYSOCK_DELIVERY_INLINE));
    CHECK_OK(hysock_client_new(h->runtime, h->path, HYSOCK_NTS, config, &client, ERR));
    hysock_client_config_free(config);
    static const struct {
        const char *target;
        hysock_status status;
    } rows[] = {
        {"/size?65536", HYSOCK_OK},
        {"/size?65537", HYSOCK_E_TOO_LARGE},
        {"/size?3000000", HYSOCK_E_TOO_LARGE},
        {"/size?65536", HYSOCK_OK},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        done d;
        hysock_call *call = new_call(client, "GET", rows[i].target);
        CHECK_STATUS(hysock_call_perform(call, ERR), rows[i].status);
        if (rows[i].status != HYSOCK_OK)
            CHECK_ERR(HYSOCK_E_TOO_LARGE, "hysock_client_config_set_max_body");
        else
            CHECK_INT(hysock_call_body(call).len, 65536);
        hysock_call_free(call);
        start(&d, client, rows[i].target, 0);
        START(&d);
        finished(&d, rows[i].status);
        hysock_call_free(d.call);
    }
    hysock_client_free(client);
}

/* ---- a connection that the server has closed meanwhile ---- */

#define CLOSER_ANSWER "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
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
        size_t head = raw_head(&r);
        CHECK(head > 0);
        raw_text(&r, CLOSER_ANSWER);
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
    c.connections = 12;
    latch_init(&c.closed);
    pthread_t thread = thread_start(close_each, &c);
    CHECK_OK(hysock_client_new(h->runtime, path, HYSOCK_NTS, NULL, &client, ERR));
    CHECK_OK(hysock_client_new(NULL, path, HYSOCK_NTS, NULL, &bare, ERR));
    enum delivery before = delivery;
    delivery = POOL; /* that of `client` */
    long closed = 0;
    for (int i = 0; i < 4; i++) {
        hysock_call *call = new_call(i < 2 ? client : bare, methods[i % 2], "/");
        CHECK_OK(hysock_call_perform(call, ERR));
        check_body(call, "ok");
        hysock_call_free(call);
        LATCH_AWAIT(&c.closed, ++closed); /* the kept connection is dead now */
        call = new_call(i < 2 ? client : bare, methods[i % 2], "/");
        CHECK_OK(hysock_call_perform(call, ERR));
        check_body(call, "ok");
        hysock_call_free(call);
        LATCH_AWAIT(&c.closed, ++closed);
    }
    for (int i = 0; i < 4; i++) {
        done d;
        start(&d, client, "/", 0);
        START(&d);
        finished(&d, HYSOCK_OK);
        check_body(d.call, "ok");
        hysock_call_free(d.call);
        LATCH_AWAIT(&c.closed, ++closed);
    }
    delivery = before;
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

static void parents(host *h) {
    for (int leaves = 0; leaves < 2; leaves++) {
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
        p.target = leaves ? "/hang" : "/size?5";
        CHECK_OK(hysock_server_serve(h->runtime, temp_path(path, "proxy"), HYSOCK_NTS, config,
                                     on_proxy, &p, NULL, &server, ERR));
        hysock_server_config_free(config);
        long arrived = latch_count(&hung.arrived);
        raw_open(&r, path);
        raw_text(&r, "GET / HTTP/1.1\r\nHost: x\r\n\r\n");
        if (leaves) {
            /* The client hangs up: its call ends with it. */
            LATCH_AWAIT(&hung.arrived, arrived + 1);
            raw_close(&r);
            LATCH_AWAIT(&p.drops, 1);
            CHECK_STATUS(p.status, HYSOCK_E_CANCELLED);
        } else {
            CHECK_INT(raw_answer(&r, &a, false), 200);
            CHECK(strcmp(a.body, "bbbbb") == 0);
            answer_free(&a);
            raw_close(&r);
            LATCH_AWAIT(&p.drops, 1);
        }
        CHECK_INT(latch_count(&p.calls), 1);
        CHECK_INT(latch_count(&p.drops), 1);
        CHECK_OK(hysock_server_shutdown(server, 1000, ERR));
        CHECK_OK(hysock_server_wait(server, (uint32_t)check_ms(DEADLINE_MS), ERR));
        hysock_server_free(server);
        hysock_client_free(p.upstream);
    }
}

/* ---- many threads on one client ---- */

static void *perform_many(void *argument) {
    hysock_client *client = argument;
    for (int i = 0; i < check_rounds(500, 30); i++) {
        hysock_call *call = new_call(client, "GET", "/size?1");
        CHECK_OK(hysock_call_perform(call, ERR));
        check_body(call, "b");
        hysock_call_free(call);
    }
    return NULL;
}

static void threads(hysock_client *client) {
    pthread_t all[4];
    for (int i = 0; i < 4; i++)
        all[i] = thread_start(perform_many, client);
    for (int i = 0; i < 4; i++)
        thread_join(all[i]);
}

/* A client that was shut down makes no call, or one that goes nowhere. */
static void ended(hysock_client *client) {
    hysock_call *call = NULL;
    hysock_status status = hysock_call_new(client, "GET", "/", HYSOCK_NTS, &call, ERR);
    if (status == HYSOCK_OK) {
        status = hysock_call_perform(call, ERR);
        hysock_call_free(call);
    }
    CHECK_STATUS(status, HYSOCK_E_SHUT_DOWN);
}

int main(int argc, char **argv) {
    host h;
    hysock_client *bare = NULL;
    check_start();
    delivery = delivery_parse(argc, argv);
    latch_init(&hung.arrived);
    host_open(&h, delivery, NULL);
    hysock_server_config *config = host_server_config(&h);
    CHECK_OK(hysock_server_config_set_max_body(config, HYSOCK_UNLIMITED));
    host_serve(&h, config, peer, NULL, NULL);
    hysock_client *client = host_client(&h);
    perform(client);
    started(client);
    timeouts(client);
    cancels(client);
    cancel_races(client);
    limits(&h);
    retries(&h);
    parents(&h);
    threads(client);
    /* Without a runtime: the same, on nobody's threads but ours. */
    CHECK_OK(hysock_client_new(NULL, h.path, HYSOCK_NTS, NULL, &bare, ERR));
    perform(bare);
    threads(bare);
    hysock_client_free(bare);
    CHECK_OK(hysock_client_shutdown(client, 1000, ERR));
    CHECK_OK(hysock_client_wait(client, (uint32_t)check_ms(DEADLINE_MS), ERR));
    ended(client);
    hysock_client_free(client);
    free_hung();
    host_stop(&h);
    return check_end();
}
