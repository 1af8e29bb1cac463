/* How those are sent away who may not come in: told so, kept apart, counted, logged once; and the
 * share of connections and requests that each user has. */
#include "host.h"

#include <sys/resource.h>

#define GET "GET %s HTTP/1.1\r\nHost: x\r\n\r\n"
enum { OTHER = 54321, PLACES = 2, TOLD = 64 /* refused connections that are read */ };

static latch arrived, lines;
static hysock_exchange *kept[9];
static char last_line[512];

static void on_log(int32_t level, hysock_str line, void *userdata) {
    (void)userdata;
    if (level != HYSOCK_LOG_WARN || latch_count(&lines) > 0)
        return;
    hysock_str_copy(line, last_line, sizeof(last_line));
    latch_add(&lines, 1);
}

/* /kept stays unanswered, all else is answered at once. */
static void handler(hysock_exchange *exchange, void *userdata) {
    (void)userdata;
    if (hysock_str_equal(hysock_exchange_path(exchange), "/kept")) {
        CHECK_OK(hysock_exchange_defer(exchange, ERR));
        kept[latch_count(&arrived)] = exchange;
        latch_add(&arrived, 1);
        return;
    }
    answer_or_closed(exchange, "x", 1);
}

static void ask_on(raw *r, const char *target) {
    char request[256];
    snprintf(request, sizeof(request), GET, target);
    raw_text(r, request);
}

static void ask(raw *r, const char *path, const char *target) {
    raw_open(r, path);
    ask_on(r, target);
}

/* The answer to a refusal: status, text, headers, and whether the connection ends with it. */
static void refused(raw *r, int status, const char *text, bool closes) {
    answer a;
    CHECK_INT(raw_answer(r, &a, false), status);
    CHECK(strstr(a.body, text) != NULL);
    CHECK(answer_header_is(&a, "content-type", "text/plain"));
    CHECK(answer_header_is(&a, "connection", "close") == closes);
    CHECK(answer_header_is(&a, "retry-after", "1") == (status == 503));
    answer_free(&a);
    if (closes)
        CHECK(raw_closes(r, check_ms(DEADLINE_MS)));
}

/* Two listeners, of which the second lets nobody in, and few places. */
static void host_two(host *h, char closed_path[108]) {
    hysock_server_config *config = host_server_config(h);
    hysock_listener_config *listener = hysock_listener_config_new();
    CHECK_OK(hysock_listener_config_allow(listener, HYSOCK_ALLOW_UID, OTHER));
    CHECK_OK(hysock_server_config_set_max_connections(config, PLACES));
    CHECK_OK(hysock_server_new(h->runtime, config, &h->server, ERR));
    hysock_server_config_free(config);
    CHECK_OK(hysock_server_add_route(h->server, NULL, NULL, handler, NULL, NULL, ERR));
    CHECK_OK(hysock_server_add_listener(h->server, h->path, HYSOCK_NTS, NULL, ERR));
    CHECK_OK(hysock_server_add_listener(h->server, temp_path(closed_path, "closed"), HYSOCK_NTS,
                                        listener, ERR));
    hysock_listener_config_free(listener);
    CHECK_OK(hysock_server_start(h->server, ERR));
}

static hysock_server_counts counts(const host *h) {
    hysock_server_counts counts;
    CHECK_OK(hysock_server_stats(h->server, &counts, sizeof(counts), ERR));
    return counts;
}

/* Refused connections take no place from others, whatever they do. */
static void places(void) {
    enum { MOST = 3 * TOLD };
    const int n = check_rounds(MOST, TOLD + 8); /* in 2 s, however slow all is */
    host h;
    char path[108];
    static raw silent[MOST];
    raw r;
    host_open(&h, POOL, NULL);
    host_two(&h, path);
    int64_t began = now_ms();
    for (int i = 0; i < n; i++)
        raw_open(&silent[i], path);
    for (int i = 0; i < PLACES + 2; i++)
        CHECK_INT(raw_get(h.path, "/"), 200);
    /* Beyond the first ones they are told at once, without a word of their own. */
    for (int i = TOLD; i < n; i++)
        refused(&silent[i], 403, "403 ", true);
    /* The first ones are asked what they want, for a little while. */
    ask_on(&silent[0], "/");
    refused(&silent[0], 403, "403 ", true);
    CHECK(now_ms() - began < check_ms(1500));
    for (int i = 1; i < TOLD; i++)
        CHECK(raw_closes(&silent[i], check_ms(DEADLINE_MS)));
    CHECK(now_ms() - began < check_ms(5000));
    /* Their room is free again. */
    raw_open(&r, path);
    ask_on(&r, "/");
    refused(&r, 403, "403 ", true);
    raw_close(&r);
    for (int i = 0; i < n; i++)
        raw_close(&silent[i]);
    CHECK_INT(counts(&h).connections_refused, n + 1);
    CHECK_INT(counts(&h).connections_total, PLACES + 2);
    host_stop(&h);
}

/* Whoever sends slowly, or much, or nonsense, is sent away as well. */
static void bad_manners(enum delivery delivery) {
    const int much_len = check_rounds(20 << 20, 1 << 20); /* in 2 s, however slow all is */
    host h;
    char path[108], head[128];
    raw r;
    char *much = calloc(1, (size_t)much_len);
    CHECK(much != NULL);
    host_open(&h, delivery, NULL);
    host_two(&h, path);
    for (int i = 0; i < check_rounds(20, 3); i++) {
        raw_open(&r, path);
        snprintf(head, sizeof(head), "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n",
                 much_len);
        raw_text(&r, head);
        CHECK_INT(raw_send_some(&r, much, (size_t)much_len, false), much_len);
        refused(&r, 403, "403 ", true);
        raw_close(&r);
    }
    raw_open(&r, path);
    raw_text(&r, "POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 9\r\n\r\n");
    refused(&r, 403, "403 ", true); /* and no 100 */
    raw_close(&r);
    raw_open(&r, path);
    raw_text(&r, "GET nonsense HTTP/1.1\r\n\r\n");
    CHECK_INT(raw_status(&r), 403);
    raw_close(&r);
    raw_open(&r, path);
    int64_t began = now_ms();
    for (int i = 0; raw_poll(r.fd, POLLIN, 200) == 0; i++) {
        CHECK(now_ms() - began < check_ms(5000));
        raw_send_some(&r, i == 0 ? "G" : "x", 1, true);
    }
    CHECK(raw_closes(&r, 0));
    raw_close(&r);
    CHECK_INT(raw_get(h.path, "/"), 200);
    free(much);
    host_stop(&h);
}

/* One line for many refusals, and a count of all. */
static void logged(void) {
    enum { MANY = 50 };
    host h;
    char path[108], me[64];
    host_open(&h, POOL, NULL);
    CHECK_OK(hysock_runtime_on_log(h.runtime, HYSOCK_LOG_DEBUG, NULL, on_log, NULL, NULL, ERR));
    host_two(&h, path);
    for (int i = 0; i < MANY; i++)
        CHECK_INT(raw_get(path, "/"), 403);
    hysock_server_counts c = counts(&h);
    CHECK_INT(c.connections_refused, MANY);
    CHECK_INT(c.requests_forbidden, MANY);
    CHECK_INT(c.answers_4xx, MANY);
    host_stop(&h);
    CHECK_INT(latch_count(&lines), 1);
    snprintf(me, sizeof(me), "uid %d (gid %d, pid %d)", (int)geteuid(), (int)getegid(),
             (int)getpid());
    CHECK(strstr(last_line, me) != NULL && strstr(last_line, path) != NULL);
    CHECK(strstr(last_line, "no allow rule") != NULL);
}

/* A route's refusal is that of a request: the connection goes on. */
static void of_a_route(void) {
    host h;
    raw r;
    host_open(&h, POOL, NULL);
    CHECK_OK(hysock_server_new(h.runtime, NULL, &h.server, ERR));
    CHECK_OK(hysock_server_add_route(h.server, "GET", "/", handler, NULL, NULL, ERR));
    CHECK_OK(hysock_server_add_route(h.server, NULL, "/admin", handler, NULL, NULL, ERR));
    CHECK_OK(hysock_server_allow_route(h.server, NULL, "/admin", HYSOCK_ALLOW_UID, OTHER, ERR));
    CHECK_OK(hysock_server_add_listener(h.server, h.path, HYSOCK_NTS, NULL, ERR));
    CHECK_OK(hysock_server_start(h.server, ERR));
    raw_open(&r, h.path);
    for (int i = 0; i < 3; i++) {
        ask_on(&r, "/");
        CHECK_INT(raw_status(&r), 200);
        ask_on(&r, "/admin");
        refused(&r, 403, "403 ", false);
    }
    /* One that still sends is not waited for. */
    raw_text(&r, "PUT /admin HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\nx");
    refused(&r, 403, "403 ", true);
    raw_close(&r);
    hysock_server_counts c = counts(&h);
    CHECK_INT(c.requests_forbidden, 4);
    CHECK_INT(c.connections_refused, 0);
    host_stop(&h);
}

/* ---- shares ---- */

static void connections_of_a_user(enum delivery delivery) {
    host h;
    raw held[3], further;
    hysock_runtime_config *threads = hysock_runtime_config_new();
    CHECK_OK(hysock_runtime_config_set_io_threads(threads, 3));
    host_open(&h, delivery, threads); /* connections of a user are on all of them */
    hysock_runtime_config_free(threads);
    hysock_server_config *config = host_server_config(&h);
    CHECK_STATUS(hysock_server_config_set_max_connections_per_uid(config, UINT64_C(1) << 32),
                 HYSOCK_E_INVALID_ARGUMENT);
    hysock_server_config_free(config);
    config = host_server_config(&h);
    CHECK_OK(hysock_server_config_set_max_connections_per_uid(config, 3));
    host_serve(&h, config, handler, NULL, NULL);
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 3; i++) {
            ask(&held[i], h.path, "/");
            CHECK_INT(raw_status(&held[i]), 200);
        }
        ask(&further, h.path, "/");
        refused(&further, 503, "503 this user has too many connections", true);
        raw_close(&further);
        /* Those that are there do not notice. */
        ask_on(&held[2], "/");
        CHECK_INT(raw_status(&held[2]), 200);
        for (int i = 0; i < 3; i++)
            raw_close(&held[i]);
        /* A place is free when the server has seen the end. */
        int64_t end = now_ms() + check_ms(DEADLINE_MS);
        while (counts(&h).connections_open > 0)
            CHECK(now_ms() < end);
    }
    CHECK_INT(counts(&h).connections_refused, 3);
    CHECK_INT(counts(&h).overloads, 3);
    host_stop(&h);
}

/* 1,024 by default. */
static void default_share(void) {
    enum { SHARE = 1024 };
    host h;
    raw further;
    static raw held[SHARE];
    struct rlimit files;
    CHECK(getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_max > 3 * SHARE);
    files.rlim_cur = files.rlim_max;
    CHECK(setrlimit(RLIMIT_NOFILE, &files) == 0);
    host_start(&h, INLINE, handler, NULL);
    for (int i = 0; i < SHARE; i++)
        raw_open(&held[i], h.path);
    ask(&further, h.path, "/");
    refused(&further, 503, "503 this user has too many connections", true);
    raw_close(&further);
    for (int i = 0; i < SHARE; i++)
        raw_close(&held[i]);
    host_stop(&h);
}

/* Until no more than `n` connections are there. */
static void await_connections(const host *h, uint64_t n) {
    int64_t end = now_ms() + check_ms(DEADLINE_MS);
    while (counts(h).connections_open > n)
        CHECK(now_ms() < end);
}

static void requests_of_a_user(enum delivery delivery) {
    host h;
    raw waiting[2], other;
    latch_add(&arrived, -latch_count(&arrived));
    host_open(&h, delivery, NULL);
    hysock_server_config *config = host_server_config(&h);
    CHECK_OK(hysock_server_config_set_max_requests_per_uid(config, HYSOCK_UNLIMITED));
    CHECK_OK(hysock_server_config_set_max_requests_per_uid(config, 2));
    host_serve(&h, config, handler, NULL, NULL);
    raw_open(&other, h.path);
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 2; i++) {
            ask(&waiting[i], h.path, "/kept");
            LATCH_AWAIT(&arrived, 3 * round + i + 1);
        }
        ask_on(&other, "/");
        refused(&other, 503, "503 too many requests of this user", false);
        CHECK_OK(hysock_exchange_answer(kept[3 * round], 200, NULL, "x", 1, ERR));
        hysock_exchange_free(kept[3 * round]);
        CHECK_INT(raw_status(&waiting[0]), 200);
        ask_on(&other, "/");
        CHECK_INT(raw_status(&other), 200);
        /* A client that leaves does not take along what is done for it. */
        raw_close(&waiting[0]);
        raw_close(&waiting[1]);
        await_connections(&h, 1);
        CHECK_INT(counts(&h).requests_in_flight, 1);
        ask(&waiting[0], h.path, "/kept");
        LATCH_AWAIT(&arrived, 3 * round + 3);
        ask_on(&other, "/");
        refused(&other, 503, "503 too many requests of this user", false);
        hysock_exchange_free(kept[3 * round + 1]);
        hysock_exchange_free(kept[3 * round + 2]);
        CHECK_INT(raw_status(&waiting[0]), 500);
        raw_close(&waiting[0]);
        CHECK_INT(counts(&h).requests_in_flight, 0);
    }
    raw_close(&other);
    CHECK_INT(counts(&h).overloads, 6);
    host_stop(&h);
}

/* ---- other rules ---- */

/* The listener's rules from now on: one that lets nobody in, or none. */
static void keep_to(const host *h, size_t index, bool closed) {
    hysock_listener_config *config = hysock_listener_config_new();
    if (closed)
        CHECK_OK(hysock_listener_config_allow(config, HYSOCK_ALLOW_UID, OTHER));
    CHECK_OK(hysock_server_reload_listener(h->server, index, config, ERR));
    hysock_listener_config_free(config);
}

/* Asks until the connection is refused: it hears of the rules when its thread does. */
static void refused_soon(raw *r) {
    int64_t end = now_ms() + check_ms(DEADLINE_MS);
    int got;
    while (ask_on(r, "/"), (got = raw_status(r)) != 403) {
        CHECK_INT(got, 200);
        CHECK(now_ms() < end);
    }
    CHECK(raw_closes(r, check_ms(DEADLINE_MS)));
    raw_close(r);
}

static void let_in(raw *r, const char *path) {
    ask(r, path, "/");
    CHECK_INT(raw_status(r), 200);
}

static void reloaded(enum delivery delivery) {
    enum { EACH = 6 };
    host h;
    char path[108];
    raw first[EACH], second, later;
    latch_add(&lines, -latch_count(&lines));
    hysock_runtime_config *threads = hysock_runtime_config_new();
    CHECK_OK(hysock_runtime_config_set_io_threads(threads, 3));
    host_open(&h, delivery, threads);
    hysock_runtime_config_free(threads);
    CHECK_OK(hysock_runtime_on_log(h.runtime, HYSOCK_LOG_DEBUG, NULL, on_log, NULL, NULL, ERR));
    host_two(&h, path);                                  /* the second one lets nobody in */
    CHECK_OK(hysock_server_reload(h.server, NULL, ERR)); /* more than two places */
    keep_to(&h, 1, false);
    let_in(&second, path);
    for (int i = 0; i < EACH; i++)
        let_in(&first[i], h.path);
    /* What is refused changes nothing. */
    CHECK_STATUS(hysock_server_reload_listener(h.server, 2, NULL, ERR), HYSOCK_E_INVALID_ARGUMENT);
    CHECK_ERR(HYSOCK_E_INVALID_ARGUMENT, "no listener 2");
    hysock_listener_config *bad = hysock_listener_config_new();
    CHECK_STATUS(hysock_listener_config_allow(bad, 99, 0), HYSOCK_E_INVALID_ARGUMENT);
    CHECK_STATUS(hysock_server_reload_listener(h.server, 0, bad, ERR), HYSOCK_E_INVALID_ARGUMENT);
    hysock_listener_config_free(bad);
    let_in(&later, h.path);
    raw_close(&later);
    /* Who comes is refused at once, who is there with the next request, on each thread. */
    keep_to(&h, 0, true);
    ask(&later, h.path, "/");
    refused(&later, 403, "403 ", true);
    raw_close(&later);
    for (int i = 0; i < EACH; i++)
        refused_soon(&first[i]);
    /* Not those of the other listener. */
    ask_on(&second, "/");
    CHECK_INT(raw_status(&second), 200);
    keep_to(&h, 0, false);
    keep_to(&h, 1, true);
    let_in(&first[0], h.path);
    refused_soon(&second);
    ask_on(&first[0], "/");
    CHECK_INT(raw_status(&first[0]), 200);
    raw_close(&first[0]);
    CHECK_OK(hysock_server_shutdown(h.server, 1000, ERR));
    CHECK_STATUS(hysock_server_reload_listener(h.server, 0, NULL, ERR), HYSOCK_E_SHUT_DOWN);
    host_stop(&h);
    CHECK_INT(latch_count(&lines), 1); /* for all of them */
    CHECK(strstr(last_line, "no allow rule") != NULL);
}

/* ---- hanging up at once ---- */

static latch at_work, go_on;

/* At work until it is told to go on, whoever still waits for it. */
static void worker(hysock_exchange *exchange, void *userdata) {
    (void)userdata;
    if (hysock_str_equal(hysock_exchange_path(exchange), "/quick")) {
        answer_or_closed(exchange, "x", 1);
        return;
    }
    latch_add(&at_work, 1);
    if (hysock_str_equal(hysock_exchange_path(exchange), "/streamed")) {
        hysock_status status = hysock_exchange_start_answer(exchange, 200, NULL, 2, ERR);
        CHECK(status == HYSOCK_OK || status == HYSOCK_E_CLOSED);
    }
    LATCH_AWAIT(&go_on, 1);
}

/* However often clients hang up at once: no more handlers than the share are at work or wait.
 * `per_uid`: the share of a user, else that of all. `target`: not answered, or in the middle of it.
 */
static void hang_up(enum delivery delivery, bool per_uid, const char *target) {
    enum { SHARE = 3 };
    const int many = check_rounds(300, 30);
    host h;
    raw r;
    latch_init(&at_work);
    latch_init(&go_on);
    hysock_runtime_config *threads = hysock_runtime_config_new();
    CHECK_OK(hysock_runtime_config_set_callback_threads(threads, 2)); /* one of the share waits */
    host_open(&h, delivery, threads);
    hysock_runtime_config_free(threads);
    hysock_server_config *config = host_server_config(&h);
    CHECK_OK(per_uid ? hysock_server_config_set_max_requests_per_uid(config, SHARE)
                     : hysock_server_config_set_max_requests(config, SHARE));
    host_serve(&h, config, worker, NULL, NULL);
    for (int i = 0; i < many; i++) {
        ask(&r, h.path, target);
        raw_close(&r);
    }
    int64_t end = now_ms() + check_ms(DEADLINE_MS);
    while (counts(&h).requests_total < (uint64_t)many)
        CHECK(now_ms() < end);
    await_connections(&h, 0);
    CHECK_INT(counts(&h).requests_in_flight, SHARE);
    CHECK_INT(counts(&h).overloads, many - SHARE);
    ask(&r, h.path, "/quick");
    refused(&r, 503, per_uid ? "503 too many requests of this user" : "503 too many requests",
            false);
    /* When they have returned the share is free again. */
    latch_add(&go_on, 1);
    while (counts(&h).requests_in_flight > 0)
        CHECK(now_ms() < end);
    ask_on(&r, "/quick");
    CHECK_INT(raw_status(&r), 200);
    raw_close(&r);
    CHECK_INT(latch_count(&at_work), SHARE);
    host_stop(&h);
}

int main(int argc, char **argv) {
    enum delivery delivery = delivery_parse(argc, argv);
    check_start();
    latch_init(&arrived);
    latch_init(&lines);
    if (delivery == POOL) {
        places();
        logged();
        of_a_route();
        default_share();
    }
    bad_manners(delivery);
    connections_of_a_user(delivery);
    requests_of_a_user(delivery);
    reloaded(delivery);
    if (delivery != INLINE) { /* where a handler that waits stops all that could come */
        hang_up(delivery, true, "/");
        hang_up(delivery, false, "/");
        hang_up(delivery, true, "/streamed");
    }
    return check_end();
}
