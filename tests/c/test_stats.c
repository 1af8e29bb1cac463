/*
 * What a server counts and logs, after traffic of every kind: exact counts, one access entry for
 * each request, and what happens when nobody takes the entries.
 */
#include "host.h"

/* ---- the access log as the test sees it ---- */

typedef struct seen {
    const char *method;
    const char *target;
    const char *pattern;
    int32_t status;
    long expected;
    long entries;
} seen;

typedef struct access_log {
    pthread_mutex_t mutex;
    enum delivery delivery;
    latch entries;
    latch drops;
    bool closed; /* on_closed has run */
    uint64_t received, sent;
    seen *expected;
    size_t kinds;
} access_log;

static void access_fn(const hysock_access *entry, void *userdata) {
    access_log *log = userdata;
    CHECK(delivery_here(log->delivery));
    CHECK_INT(latch_count(&log->drops), 0);
    pthread_mutex_lock(&log->mutex);
    CHECK(!log->closed);
    log->received += entry->bytes_received;
    log->sent += entry->bytes_sent;
    CHECK_INT(entry->peer_state, HYSOCK_PEER_KNOWN);
    CHECK_INT(entry->uid, geteuid());
    CHECK_INT(entry->gid, getegid());
    CHECK_INT(entry->pid, getpid());
    CHECK_INT(entry->reserved, 0);
    CHECK(entry->microseconds < 60000000);
    size_t i = 0;
    while (i < log->kinds && !(hysock_str_equal(entry->method, log->expected[i].method) &&
                               hysock_str_equal(entry->target, log->expected[i].target) &&
                               hysock_str_equal(entry->pattern, log->expected[i].pattern) &&
                               entry->http_status == log->expected[i].status))
        i++;
    if (i == log->kinds) {
        dprintf(check_fd, "%.*s %.*s %d was not expected\n", HYSOCK_PRI(entry->method),
                HYSOCK_PRI(entry->target), (int)entry->http_status);
        CHECK(!"an entry that fits no request");
    }
    log->expected[i].entries++;
    pthread_mutex_unlock(&log->mutex);
    latch_add(&log->entries, 1);
}

static void access_drop(void *userdata) {
    access_log *log = userdata;
    latch_add(&log->drops, 1);
}

static void access_init(access_log *log, enum delivery delivery, seen *expected, size_t kinds) {
    memset(log, 0, sizeof(*log));
    CHECK(pthread_mutex_init(&log->mutex, NULL) == 0);
    latch_init(&log->entries);
    latch_init(&log->drops);
    log->delivery = delivery;
    log->expected = expected;
    log->kinds = kinds;
}

static void access_check(access_log *log) {
    CHECK_INT(latch_count(&log->drops), 1);
    for (size_t i = 0; i < log->kinds; i++) {
        seen *s = &log->expected[i];
        if (s->entries != s->expected)
            dprintf(check_fd, "%s %s %d\n", s->method, s->target, (int)s->status);
        CHECK_INT(s->entries, s->expected);
    }
    pthread_mutex_destroy(&log->mutex);
    latch_free(&log->entries);
    latch_free(&log->drops);
}

/* ---- the server ---- */

typedef struct place {
    latch deferred;
    hysock_exchange *held;
    int fd; /* of an upgrade */
} place;

static void handler(hysock_exchange *exchange, void *userdata) {
    place *p = userdata;
    hysock_str path = hysock_exchange_path(exchange);
    if (hysock_str_equal(path, "/fail"))
        return; /* the library says 500 */
    if (hysock_str_equal(path, "/hold")) {
        CHECK_OK(hysock_exchange_defer(exchange, ERR));
        p->held = exchange;
        latch_add(&p->deferred, 1);
        return;
    }
    if (hysock_str_equal(path, "/moved"))
        answer_text(exchange, 301, "");
    else if (hysock_str_equal(path, "/items/7"))
        answer_text(exchange, 418, "short and stout");
    else
        answer_text(exchange, 200, "hello");
}

static void on_closed(hysock_server *server, hysock_status reason, uint64_t n, void *userdata) {
    access_log *log = userdata;
    (void)server;
    (void)reason;
    (void)n;
    pthread_mutex_lock(&log->mutex);
    log->closed = true;
    pthread_mutex_unlock(&log->mutex);
}

static hysock_server_counts counts_of(hysock_server *server) {
    hysock_server_counts counts;
    memset(&counts, 0xff, sizeof(counts));
    CHECK_OK(hysock_server_stats(server, &counts, sizeof(counts), ERR));
    return counts;
}

/* Nobody tells when a number changes: asks until `field` is `n`. */
#define AWAIT_COUNT(server, field, n)                                                              \
    do {                                                                                           \
        int64_t end_ = now_ms() + check_ms(DEADLINE_MS);                                           \
        while (counts_of(server).field != (uint64_t)(n) && now_ms() < end_)                        \
            take_ms(1);                                                                            \
        CHECK_INT(counts_of(server).field, (n));                                                   \
    } while (0)

static void serve(host *h, place *p, access_log *log, hysock_server_config *config) {
    memset(p, 0, sizeof(*p));
    latch_init(&p->deferred);
    CHECK_OK(hysock_server_new(h->runtime, config, &h->server, ERR));
    hysock_server_config_free(config);
    CHECK_OK(hysock_server_add_listener(h->server, h->path, HYSOCK_NTS, NULL, ERR));
    const char *paths[] = {"/ok", "/moved", "/items/{id}", "/fail", "/hold"};
    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++)
        CHECK_OK(hysock_server_add_route(h->server, "GET", paths[i], handler, p, NULL, ERR));
    CHECK_OK(hysock_server_add_route(h->server, "POST", "/ok", handler, p, NULL, ERR));
    if (log != NULL) {
        CHECK_OK(hysock_server_on_access(h->server, access_fn, log, access_drop, ERR));
        CHECK_OK(hysock_server_on_closed(h->server, on_closed, log, NULL, ERR));
    }
    CHECK_OK(hysock_server_start(h->server, ERR));
}

static void place_free(place *p) { latch_free(&p->deferred); }

/* ---- traffic ---- */

/* What a client sent and read, byte by byte. */
typedef struct traffic {
    uint64_t sent, read;
} traffic;

static int ask(raw *r, traffic *t, const char *request) {
    answer a;
    raw_text(r, request);
    t->sent += strlen(request);
    int status = raw_answer(r, &a, strncmp(request, "HEAD", 4) == 0);
    t->read += strlen(a.head) + a.body_len;
    answer_free(&a);
    return status;
}

#define H " HTTP/1.1\r\nHost: x\r\n"

/* One connection: answers of every class, then a malformed head. */
static void ordinary(const char *path, traffic *t) {
    raw r;
    raw_open(&r, path);
    for (int i = 0; i < 3; i++)
        CHECK_INT(ask(&r, t, "GET /ok?n=1" H "\r\n"), 200);
    CHECK_INT(ask(&r, t, "HEAD /ok" H "\r\n"), 200);
    CHECK_INT(ask(&r, t, "POST /ok" H "Content-Length: 4\r\n\r\nbody"), 200);
    CHECK_INT(ask(&r, t, "GET /moved" H "\r\n"), 301);
    CHECK_INT(ask(&r, t, "GET /items/7" H "\r\n"), 418);
    CHECK_INT(ask(&r, t, "GET /fail" H "\r\n"), 500);
    CHECK_INT(ask(&r, t, "GET /nowhere" H "\r\n"), 404);
    CHECK_INT(ask(&r, t, "DELETE /ok" H "\r\n"), 405);
    CHECK_INT(ask(&r, t, "GET /ok HTTP/1.1\r\n\r\n"), 400); /* no Host */
    CHECK_INT(ask(&r, t, "no http at all\r\n\r\n"), 400);
    CHECK(raw_closes(&r, check_ms(DEADLINE_MS)));
    raw_close(&r);
}

/* Refused before it was sent: 413, on a connection that is closed for it. */
static void too_large(const char *path, traffic *t) {
    raw r;
    raw_open(&r, path);
    CHECK_INT(ask(&r, t, "POST /ok" H "Content-Length: 100000\r\n\r\n"), 413);
    raw_close(&r);
}

/* Four at once: their bytes cannot be told apart, their sum can. */
static void pipelined(const char *path, traffic *t) {
    static const char request[] = "GET /ok" H "\r\n";
    raw r;
    raw_open(&r, path);
    for (int i = 0; i < 3; i++) {
        raw_text(&r, request);
        t->sent += strlen(request);
    }
    CHECK_INT(ask(&r, t, request), 200);
    for (int i = 0; i < 3; i++)
        CHECK_INT(ask(&r, t, ""), 200);
    raw_close(&r);
}

/* One that is held, so that a second one is beyond the limit; then its client leaves. */
static void held(host *h, place *p, traffic *t) {
    static const char request[] = "GET /hold" H "\r\n";
    raw first, second;
    raw_open(&first, h->path);
    raw_text(&first, request);
    t->sent += strlen(request);
    LATCH_AWAIT(&p->deferred, 1);
    AWAIT_COUNT(h->server, requests_in_flight, 1);
    raw_open(&second, h->path);
    CHECK_INT(ask(&second, t, "GET /ok" H "\r\n"), 503);
    raw_close(&second);
    raw_close(&first);
    AWAIT_COUNT(h->server, requests_unanswered, 1);
    hysock_exchange_free(p->held);
}

static void test_traffic(enum delivery delivery) {
    seen expected[] = {
        {"GET", "/ok?n=1", "/ok", 200, 3, 0},
        {"HEAD", "/ok", "/ok", 200, 1, 0},
        {"POST", "/ok", "/ok", 200, 1, 0},
        {"GET", "/moved", "/moved", 301, 1, 0},
        {"GET", "/items/7", "/items/{id}", 418, 1, 0},
        {"GET", "/fail", "/fail", 500, 1, 0},
        {"GET", "/nowhere", NULL, 404, 1, 0},
        {"DELETE", "/ok", NULL, 405, 1, 0},
        {"GET", "/ok", NULL, 400, 1, 0},
        {"POST", "/ok", "/ok", 413, 1, 0},
        {"GET", "/ok", "/ok", 200, 4, 0},
        {"GET", "/ok", NULL, 503, 1, 0},
        {"GET", "/hold", "/hold", 0, 1, 0},
    };
    host h;
    place p;
    access_log log;
    traffic t = {0, 0};
    access_init(&log, delivery, expected, sizeof(expected) / sizeof(expected[0]));
    host_open(&h, delivery, NULL);
    hysock_server_config *config = host_server_config(&h);
    CHECK_OK(hysock_server_config_set_max_body(config, 1000));
    CHECK_OK(hysock_server_config_set_max_requests(config, 1));
    serve(&h, &p, &log, config);
    CHECK_STATUS(hysock_server_on_access(h.server, access_fn, NULL, NULL, ERR), HYSOCK_E_STATE);

    ordinary(h.path, &t);
    too_large(h.path, &t);
    pipelined(h.path, &t);
    held(&h, &p, &t);
    AWAIT_COUNT(h.server, connections_open, 0);

    hysock_server_counts c = counts_of(h.server);
    CHECK_INT(c.connections_total, 5);
    CHECK_INT(c.connections_refused, 0);
    CHECK_INT(c.requests_total, 18);
    CHECK_INT(c.requests_in_flight, 0);
    CHECK_INT(c.requests_malformed, 1);
    CHECK_INT(c.requests_unanswered, 1);
    CHECK_INT(c.requests_aborted, 0);
    CHECK_INT(c.requests_forbidden, 0);
    CHECK_INT(c.overloads, 1);
    CHECK_INT(c.answers_1xx, 0);
    CHECK_INT(c.answers_2xx, 9);
    CHECK_INT(c.answers_3xx, 1);
    CHECK_INT(c.answers_4xx, 5);
    CHECK_INT(c.answers_5xx, 2);
    CHECK_INT(c.bytes_received, t.sent);
    CHECK_INT(c.bytes_sent, t.read);
    CHECK_INT(c.timeouts_head + c.timeouts_idle + c.timeouts_progress + c.timeouts_handler, 0);
    CHECK_INT(c.accept_errors, 0);
    CHECK_INT(c.listeners_lost, 0);
    CHECK_INT(c.log_dropped, 0);
    CHECK_INT(c.access_dropped, 0);

    LATCH_AWAIT(&log.entries, 18);
    /* All but the head that was no request, and the bytes that answered it. */
    CHECK(log.received <= t.sent && log.received >= t.sent - strlen("no http at all\r\n\r\n"));
    CHECK(log.sent <= t.read && log.sent >= t.read - 200);

    CHECK_OK(hysock_server_shutdown(h.server, 5000, ERR));
    WAIT_OK(hysock_server_wait, h.server);
    access_check(&log);
    CHECK_INT(counts_of(h.server).requests_total, 18); /* also after the end */
    host_stop(&h);
    place_free(&p);
}

/* A streamed answer: its entry waits for the last byte; one that breaks off has its status and
 * bytes. */
static void test_streamed(enum delivery delivery) {
    seen expected[] = {{"GET", "/hold", "/hold", 200, 2, 0}, {"GET", "/ok", "/ok", 200, 1, 0}};
    host h;
    place p;
    access_log log;
    raw r;
    access_init(&log, delivery, expected, 2);
    host_open(&h, delivery, NULL);
    serve(&h, &p, &log, host_server_config(&h));
    for (int finished = 1; finished >= 0; finished--) {
        raw_open(&r, h.path);
        raw_text(&r, "GET /hold" H "\r\n");
        LATCH_AWAIT(&p.deferred, 2 - finished);
        CHECK_OK(hysock_exchange_start_answer(p.held, 200, "text/plain", 8, ERR));
        CHECK_OK(hysock_exchange_write(p.held, "half", 4, (uint32_t)check_ms(DEADLINE_MS), ERR));
        while (r.len < 4 || memcmp(r.data + r.len - 4, "half", 4) != 0)
            CHECK(raw_fill(&r, check_ms(DEADLINE_MS)) > 0);
        if (finished) {
            CHECK_INT(raw_get(h.path, "/ok"), 200);
            LATCH_AWAIT(&log.entries, 1); /* that of /ok */
            CHECK_INT(expected[0].entries, 0);
            CHECK_INT(counts_of(h.server).requests_in_flight, 1);
            CHECK_OK(
                hysock_exchange_write(p.held, "half", 4, (uint32_t)check_ms(DEADLINE_MS), ERR));
            CHECK_OK(hysock_exchange_finish(p.held, ERR));
        }
        hysock_exchange_free(p.held);
        LATCH_AWAIT(&log.entries, 3 - finished);
        AWAIT_COUNT(h.server, requests_in_flight, 0);
        raw_close(&r);
    }
    CHECK_INT(counts_of(h.server).answers_2xx, 3);
    CHECK_INT(counts_of(h.server).requests_unanswered, 0);
    CHECK_OK(hysock_server_shutdown(h.server, 5000, ERR));
    WAIT_OK(hysock_server_wait, h.server);
    access_check(&log);
    host_stop(&h);
    place_free(&p);
}

static void upgraded(hysock_exchange *exchange, int32_t fd, hysock_str early, void *userdata) {
    place *p = userdata;
    CHECK_INT(early.len, 0);
    CHECK(exchange == p->held);
    p->fd = fd;
    latch_add(&p->deferred, 1);
}

/* An upgrade is logged when its 101 has left, not when its session is over. */
static void test_upgrade(enum delivery delivery) {
    seen expected[] = {{"GET", "/hold", "/hold", 101, 1, 0}};
    host h;
    place p;
    access_log log;
    raw r;
    access_init(&log, delivery, expected, 1);
    host_open(&h, delivery, NULL);
    serve(&h, &p, &log, host_server_config(&h));
    raw_open(&r, h.path);
    raw_text(&r, "GET /hold" H "Connection: upgrade\r\nUpgrade: x\r\n\r\n");
    LATCH_AWAIT(&p.deferred, 1);
    CHECK_OK(hysock_exchange_upgrade(p.held, "x", upgraded, &p, NULL, ERR));
    LATCH_AWAIT(&p.deferred, 2);
    LATCH_AWAIT(&log.entries, 1);
    CHECK_INT(raw_status(&r), 101);
    CHECK(close(p.fd) == 0);
    hysock_exchange_free(p.held);
    CHECK(raw_closes(&r, check_ms(DEADLINE_MS)));
    AWAIT_COUNT(h.server, requests_in_flight, 0);
    CHECK_INT(counts_of(h.server).answers_1xx, 1);
    CHECK_INT(counts_of(h.server).requests_unanswered, 0);
    CHECK_OK(hysock_server_shutdown(h.server, 5000, ERR));
    WAIT_OK(hysock_server_wait, h.server);
    access_check(&log);
    raw_close(&r);
    host_stop(&h);
    place_free(&p);
}

/* Entries of requests that the end cuts short come too, and before on_closed. */
static void test_end(enum delivery delivery) {
    seen expected[] = {{"GET", "/hold", "/hold", 0, 1, 0}, {"GET", "/ok", "/ok", 200, 1, 0}};
    host h;
    place p;
    access_log log;
    raw r;
    access_init(&log, delivery, expected, 2);
    host_open(&h, delivery, NULL);
    serve(&h, &p, &log, host_server_config(&h));
    CHECK_INT(raw_get(h.path, "/ok"), 200);
    raw_open(&r, h.path);
    raw_text(&r, "GET /hold" H "\r\n");
    LATCH_AWAIT(&p.deferred, 1);
    CHECK_OK(hysock_server_shutdown(h.server, 0, ERR));
    WAIT_OK(hysock_server_wait, h.server);
    CHECK_INT(counts_of(h.server).requests_aborted, 1);
    CHECK_INT(counts_of(h.server).requests_unanswered, 1);
    CHECK_INT(counts_of(h.server).connections_open, 0);
    CHECK(log.closed);
    access_check(&log);
    hysock_exchange_free(p.held);
    raw_close(&r);
    host_stop(&h);
    place_free(&p);
}

static void test_timeouts(enum delivery delivery) {
    host h;
    place p;
    raw silent, idle;
    host_open(&h, delivery, NULL);
    hysock_server_config *config = host_server_config(&h);
    CHECK_OK(hysock_server_config_set_head_timeout(config, 300));
    CHECK_OK(hysock_server_config_set_idle_timeout(config, 300));
    serve(&h, &p, NULL, config);
    raw_open(&silent, h.path);
    raw_open(&idle, h.path);
    raw_text(&idle, "GET /ok" H "\r\n");
    CHECK_INT(raw_status(&idle), 200);
    CHECK(raw_closes(&silent, check_ms(DEADLINE_MS)));
    CHECK(raw_closes(&idle, check_ms(DEADLINE_MS)));
    hysock_server_counts c = counts_of(h.server);
    CHECK_INT(c.timeouts_head, 1);
    CHECK_INT(c.timeouts_idle, 1);
    CHECK_INT(c.requests_total, 1);
    CHECK(c.uptime_ms >= 300);
    raw_close(&silent);
    raw_close(&idle);
    host_stop(&h);
    place_free(&p);
}

/* ---- the struct and the text ---- */

static void test_struct(hysock_server *server) {
    struct {
        hysock_server_counts counts;
        uint64_t unknown[4];
        uint64_t beyond;
    } larger;
    memset(&larger, 0xee, sizeof(larger));
    CHECK_OK(
        hysock_server_stats(server, &larger.counts, offsetof(__typeof__(larger), beyond), ERR));
    CHECK_INT(larger.counts.requests_total, 1);
    for (int i = 0; i < 4; i++)
        CHECK_INT(larger.unknown[i], 0);
    CHECK(larger.beyond == 0xeeeeeeeeeeeeeeee);
    hysock_server_counts untouched;
    memset(&untouched, 0xee, sizeof(untouched));
    CHECK_STATUS(hysock_server_stats(server, &untouched, sizeof(untouched) - 8, ERR),
                 HYSOCK_E_INVALID_ARGUMENT);
    CHECK_ERR(HYSOCK_E_INVALID_ARGUMENT, "size is");
    CHECK(untouched.requests_total == 0xeeeeeeeeeeeeeeee);
}

static void test_metrics(hysock_server *server) {
    char text[8192], cut[32];
    int32_t len = hysock_server_metrics(server, text, sizeof(text), ERR);
    CHECK(len > 1000 && len < (int32_t)sizeof(text));
    CHECK_INT(strlen(text), len);
    CHECK(strstr(text, "\nhysock_server_requests_total 1\n") != NULL);
    CHECK(strstr(text, "\nhysock_server_answers_total{class=\"2xx\"} 1\n") != NULL);
    CHECK(hysock_server_metrics(server, NULL, 0, ERR) > 1000);
    memset(cut, 0x7f, sizeof(cut));
    CHECK(hysock_server_metrics(server, cut, 10, ERR) > 1000);
    CHECK_INT(strlen(cut), 9);
    CHECK(memcmp(cut, text, 9) == 0 && cut[10] == 0x7f);
    CHECK_INT(hysock_server_metrics(server, cut, 1, ERR) > 1000 && cut[0] == 0, 1);
}

static void test_asking(enum delivery delivery) {
    host h;
    place p;
    latch drops;
    latch_init(&drops);
    host_open(&h, delivery, NULL);
    serve(&h, &p, NULL, host_server_config(&h));
    CHECK_STATUS(hysock_server_on_access(h.server, access_fn, &drops, count_drop, ERR),
                 HYSOCK_E_STATE); /* after the start */
    CHECK_INT(latch_count(&drops), 1);
    CHECK_INT(raw_get(h.path, "/ok"), 200);
    test_struct(h.server);
    test_metrics(h.server);
    host_stop(&h);

    host_open(&h, delivery, NULL);
    CHECK_OK(hysock_server_new(h.runtime, NULL, &h.server, ERR));
    CHECK_OK(hysock_server_on_access(h.server, access_fn, &drops, count_drop, ERR));
    CHECK_STATUS(hysock_server_on_access(h.server, access_fn, &drops, count_drop, ERR),
                 HYSOCK_E_STATE); /* a second one */
    CHECK_INT(latch_count(&drops), 2);
    host_stop(&h); /* never started: its own drop runs all the same */
    CHECK_INT(latch_count(&drops), 3);
    latch_free(&drops);
    place_free(&p);
}

/* ---- nobody takes the entries ---- */

typedef struct stuck {
    latch entered, release, entries;
} stuck;

static void stuck_fn(const hysock_access *entry, void *userdata) {
    stuck *s = userdata;
    (void)entry;
    latch_add(&s->entered, 1);
    LATCH_AWAIT(&s->release, 1);
    latch_add(&s->entries, 1);
}

static void test_overflow(void) {
    enum { REQUESTS = 4096 + 100 };
    static const char request[] = "GET /ok" H "\r\n";
    host h;
    place p;
    raw r;
    stuck s;
    latch_init(&s.entered);
    latch_init(&s.release);
    latch_init(&s.entries);
    host_open(&h, POOL, NULL);
    CHECK_OK(hysock_server_new(h.runtime, NULL, &h.server, ERR));
    CHECK_OK(hysock_server_add_route(h.server, "GET", "/ok", handler, &p, NULL, ERR));
    CHECK_OK(hysock_server_add_listener(h.server, h.path, HYSOCK_NTS, NULL, ERR));
    CHECK_OK(hysock_server_on_access(h.server, stuck_fn, &s, NULL, ERR));
    CHECK_OK(hysock_server_start(h.server, ERR));
    raw_open(&r, h.path);
    raw_text(&r, request);
    CHECK_INT(raw_status(&r), 200);
    LATCH_AWAIT(&s.entered, 1); /* alone: the buffer is empty behind it */
    for (int i = 0; i < REQUESTS; i++) {
        raw_text(&r, request);
        CHECK_INT(raw_status(&r), 200); /* nobody waits for the access log */
    }
    AWAIT_COUNT(h.server, access_dropped, 100);
    latch_add(&s.release, 1);
    LATCH_AWAIT(&s.entries, 1 + 4096);
    raw_close(&r);
    host_stop(&h);
    CHECK_INT(latch_count(&s.entries), 1 + 4096);
    latch_free(&s.entered);
    latch_free(&s.release);
    latch_free(&s.entries);
}

int main(int argc, char **argv) {
    enum delivery delivery = delivery_parse(argc, argv);
    check_start();
    test_traffic(delivery);
    test_streamed(delivery);
    test_upgrade(delivery);
    test_end(delivery);
    test_timeouts(delivery);
    test_asking(delivery);
    if (delivery == POOL)
        test_overflow();
    return check_end();
}
