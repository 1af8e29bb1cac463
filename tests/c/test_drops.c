/* Every drop runs exactly once: after the last callback, on the delivery's threads, or before a
 * registration that failed returns. Argument: the delivery. */
#include "host.h"

/* The userdata of one registration. */
typedef struct watch {
    latch calls;
    latch drops;
    enum delivery delivery;
    bool early;     /* a callback ran after the drop */
    bool misplaced; /* one ran on a thread of another delivery */
} watch;

static void watch_init(watch *w, enum delivery delivery) {
    memset(w, 0, sizeof(*w));
    latch_init(&w->calls);
    latch_init(&w->drops);
    w->delivery = delivery;
}

static void watch_call(watch *w) {
    if (latch_count(&w->drops) != 0)
        w->early = true;
    if (!delivery_here(w->delivery))
        w->misplaced = true;
    latch_add(&w->calls, 1);
}

static void watch_drop(void *userdata) {
    watch *w = userdata;
    if (!delivery_here(w->delivery))
        w->misplaced = true;
    latch_add(&w->drops, 1);
}

/* Dropped once, right, after `calls` callbacks. */
static void watch_done(watch *w, long calls) {
    LATCH_AWAIT(&w->drops, 1);
    CHECK_INT(latch_count(&w->calls), calls);
    CHECK_INT(latch_count(&w->drops), 1);
    CHECK(!w->early);
    CHECK(!w->misplaced);
}

static void on_exchange(hysock_exchange *exchange, void *userdata) {
    watch_call(userdata);
    answer_or_closed(exchange, "x", 1); /* closed: the caller freed its call */
}

static void on_call(hysock_call *call, hysock_status status, void *userdata) {
    (void)call;
    (void)status;
    watch_call(userdata);
}

static void on_closed(hysock_server *server, hysock_status reason, uint64_t n, void *userdata) {
    (void)server;
    (void)n;
    CHECK_INT(reason, HYSOCK_OK);
    watch_call(userdata);
}

static void on_log(int32_t level, hysock_str line, void *userdata) {
    CHECK(level >= HYSOCK_LOG_ERROR && level <= HYSOCK_LOG_DEBUG);
    CHECK(line.ptr != NULL && line.len > 0);
    watch_call(userdata);
}

static latch failed; /* drops of refused registrations */

#define FAILS(call, expected)                                                                      \
    do {                                                                                           \
        long before_ = latch_count(&failed);                                                       \
        CHECK_STATUS(call, expected);                                                              \
        CHECK_INT(latch_count(&failed), before_ + 1);                                              \
    } while (0)

static void failed_registrations(host *h) {
    char path[108];
    hysock_server *server;
    hysock_call *call;
    watch w;
    snprintf(path, sizeof(path), "%s/absent/sock", check_dir);
    hysock_status status = hysock_server_serve(h->runtime, path, HYSOCK_NTS, NULL, on_exchange,
                                               &failed, count_drop, &server, ERR);
    CHECK(status < 0);
    CHECK_INT(check_error.os_error, ENOENT);
    CHECK_INT(latch_count(&failed), 1);
    FAILS(hysock_server_serve(h->runtime, h->path, HYSOCK_NTS, NULL, on_exchange, &failed,
                              count_drop, &server, ERR),
          HYSOCK_E_IN_USE);
    FAILS(hysock_server_add_route(h->server, "GET", "/", on_exchange, &failed, count_drop, ERR),
          HYSOCK_E_STATE); /* it has started */
    CHECK_OK(hysock_server_new(h->runtime, NULL, &server, ERR));
    FAILS(hysock_server_add_route(server, "G T", "/", on_exchange, &failed, count_drop, ERR),
          HYSOCK_E_INVALID_ARGUMENT);
    FAILS(hysock_server_add_route(server, "GET", "x", on_exchange, &failed, count_drop, ERR),
          HYSOCK_E_INVALID_ARGUMENT);
    FAILS(hysock_server_add_route(server, "GET", "", on_exchange, &failed, count_drop, ERR),
          HYSOCK_E_INVALID_ARGUMENT);
    hysock_server_free(server);
    FAILS(hysock_runtime_on_log(h->runtime, 0, NULL, on_log, &failed, count_drop, ERR),
          HYSOCK_E_INVALID_ARGUMENT);
    FAILS(hysock_runtime_on_log(h->runtime, 5, NULL, on_log, &failed, count_drop, ERR),
          HYSOCK_E_INVALID_ARGUMENT);

    /* The second start of a call is refused, the first one goes on. */
    hysock_client *client = host_client(h);
    call = new_call(client, "GET", "/");
    watch_init(&w, h->delivery);
    CHECK_OK(hysock_call_start(call, on_call, &w, watch_drop, ERR));
    FAILS(hysock_call_start(call, on_call, &failed, count_drop, ERR), HYSOCK_E_STATE);
    watch_done(&w, 1);
    CHECK_OK(hysock_call_error(call, ERR));
    FAILS(hysock_call_start(call, on_call, &failed, count_drop, ERR), HYSOCK_E_STATE);
    hysock_call_free(call);
    hysock_client_free(client);
    /* A client without a runtime performs only. */
    CHECK_OK(hysock_client_new(NULL, h->path, HYSOCK_NTS, NULL, &client, ERR));
    call = new_call(client, "GET", "/");
    CHECK(hysock_call_start(call, on_call, &failed, count_drop, ERR) < 0);
    CHECK_OK(hysock_call_perform(call, ERR));
    hysock_call_free(call);
    hysock_client_free(client);
}

/* A call freed while it runs: at most one completion, then the drop. */
static void freed_calls(host *h) {
    watch w[64];
    hysock_client *client = host_client(h);
    for (int i = 0; i < 64; i++) {
        hysock_call *call = new_call(client, "GET", "/");
        watch_init(&w[i], h->delivery);
        CHECK_OK(hysock_call_start(call, on_call, &w[i], watch_drop, ERR));
        hysock_call_free(call);
    }
    for (int i = 0; i < 64; i++) {
        LATCH_AWAIT(&w[i].drops, 1);
        watch_done(&w[i], latch_count(&w[i].calls));
        CHECK(latch_count(&w[i].calls) <= 1);
    }
    hysock_client_free(client);
    CHECK_INT(hysock_handles_live(HYSOCK_KIND_CALL), 0);
}

/* A call that was never started has nothing to drop; a client freed first changes nothing. */
static void unstarted(host *h) {
    hysock_client *client = host_client(h);
    hysock_call *call = new_call(client, "GET", "/");
    hysock_client_free(client);
    hysock_call_free(call);
}

typedef struct kept {
    latch arrived;
    hysock_exchange *exchange;
    watch gone;
} kept;

static void on_gone(hysock_exchange *exchange, void *userdata) {
    (void)exchange;
    watch_call(userdata);
}

static void keep(hysock_exchange *exchange, void *userdata) {
    kept *k = userdata;
    CHECK_OK(hysock_exchange_defer(exchange, ERR));
    CHECK_OK(hysock_exchange_on_gone(exchange, on_gone, &k->gone, watch_drop, ERR));
    k->exchange = exchange;
    latch_add(&k->arrived, 1);
}

/* on_gone: dropped with the exchange when nobody left, after its callback when somebody did. */
static void gone(enum delivery delivery) {
    for (int leaves = 0; leaves < 2; leaves++) {
        host h;
        kept k;
        raw r;
        latch_init(&k.arrived);
        watch_init(&k.gone, delivery);
        host_start(&h, delivery, keep, &k);
        raw_open(&r, h.path);
        raw_text(&r, "GET / HTTP/1.1\r\nHost: x\r\n\r\n");
        LATCH_AWAIT(&k.arrived, 1);
        if (leaves) {
            raw_close(&r);
            LATCH_AWAIT(&k.gone.calls, 1);
        } else {
            answer_text(k.exchange, 200, "x");
            CHECK_INT(raw_status(&r), 200);
            raw_close(&r);
        }
        hysock_exchange_free(k.exchange);
        watch_done(&k.gone, leaves);
        host_stop(&h);
        CHECK_INT(latch_count(&k.gone.drops), 1);
        CHECK_INT(latch_count(&k.gone.calls), leaves);
    }
}

/* Routes of a server: each is dropped once, whether it was used, only added, or freed unserved. */
static void routes(enum delivery delivery) {
    host h;
    watch used, unused, inert, closed;
    hysock_server *never;
    watch_init(&used, delivery);
    watch_init(&unused, delivery);
    watch_init(&inert, delivery);
    watch_init(&closed, delivery);
    host_open(&h, delivery, NULL);
    hysock_server_config *config = host_server_config(&h);
    CHECK_OK(hysock_server_new(h.runtime, config, &h.server, ERR));
    CHECK_OK(hysock_server_new(h.runtime, config, &never, ERR));
    hysock_server_config_free(config);
    CHECK_OK(hysock_server_add_route(never, "GET", "/", on_exchange, &inert, watch_drop, ERR));
    hysock_server_free(never);
    watch_done(&inert, 0);
    CHECK_OK(hysock_server_add_route(h.server, "GET", "/", on_exchange, &used, watch_drop, ERR));
    CHECK_OK(hysock_server_add_route(h.server, NULL, NULL, on_exchange, &unused, watch_drop, ERR));
    CHECK_OK(hysock_server_on_closed(h.server, on_closed, &closed, watch_drop, ERR));
    CHECK_OK(hysock_server_add_listener(h.server, h.path, HYSOCK_NTS, NULL, ERR));
    CHECK_OK(hysock_server_start(h.server, ERR));
    CHECK_INT(raw_get(h.path, "/"), 200);
    CHECK_INT(raw_get(h.path, "/"), 200);
    CHECK_INT(latch_count(&used.drops) + latch_count(&unused.drops), 0);
    /* wait is the barrier: when it returns the drops have run. */
    CHECK_OK(hysock_server_shutdown(h.server, 5000, ERR));
    WAIT_OK(hysock_server_wait, h.server);
    CHECK_INT(latch_count(&used.drops), 1);
    CHECK_INT(latch_count(&unused.drops), 1);
    CHECK_INT(latch_count(&closed.drops), 1);
    hysock_server_free(h.server);
    h.server = NULL;
    host_stop(&h);
    watch_done(&used, 2);
    watch_done(&unused, 0);
    watch_done(&closed, 1);
}

/* The server is freed while it serves: no shutdown, no wait, and still one drop. */
static void freed_server(enum delivery delivery) {
    host h;
    watch w;
    watch_init(&w, delivery);
    host_open(&h, delivery, NULL);
    host_serve(&h, NULL, on_exchange, &w, watch_drop);
    CHECK_INT(raw_get(h.path, "/"), 200);
    hysock_server_free(h.server);
    h.server = NULL;
    watch_done(&w, 1);
    host_stop(&h);
    CHECK_INT(latch_count(&w.drops), 1);
}

static latch hook_starts, hook_stops;
static void hook_start(void *userdata) {
    latch *drops = userdata;
    CHECK_INT(latch_count(drops), 0);
    latch_add(&hook_starts, 1);
}
static void hook_stop(void *userdata) {
    latch *drops = userdata;
    CHECK_INT(latch_count(drops), 0);
    latch_add(&hook_stops, 1);
}

static void unanswered(hysock_exchange *exchange, void *userdata) {
    (void)exchange;
    (void)userdata;
}

/* A log function and thread hooks: dropped when the runtime's wait returns. */
static void runtime(void) {
    host h;
    watch log;
    latch hooks;
    latch_init(&hooks);
    latch_init(&hook_starts);
    latch_init(&hook_stops);
    watch_init(&log, POOL);
    hysock_runtime_config *config = hysock_runtime_config_new();
    CHECK_OK(hysock_runtime_config_set_io_threads(config, 2));
    CHECK_OK(hysock_runtime_config_set_callback_threads(config, 3));
    CHECK_OK(
        hysock_runtime_config_set_thread_hooks(config, hook_start, hook_stop, &hooks, count_drop));
    host_open(&h, POOL, config);
    hysock_runtime_config_free(config);
    LATCH_AWAIT(&hook_starts, 5);
    CHECK_OK(
        hysock_runtime_on_log(h.runtime, HYSOCK_LOG_DEBUG, NULL, on_log, &log, watch_drop, ERR));
    host_serve(&h, NULL, unanswered, NULL, NULL);
    CHECK_INT(raw_get(h.path, "/"), 500); /* gives the log its line */
    LATCH_AWAIT(&log.calls, 1);
    CHECK_INT(latch_count(&log.drops), 0);
    CHECK_INT(latch_count(&hooks), 0);
    CHECK_INT(latch_count(&hook_stops), 0);
    host_stop(&h);
    CHECK_INT(latch_count(&hook_starts), 5);
    CHECK_INT(latch_count(&hook_stops), 5);
    CHECK_INT(latch_count(&hooks), 1);
    watch_done(&log, latch_count(&log.calls));
}

int main(int argc, char **argv) {
    enum delivery delivery = delivery_parse(argc, argv);
    host h;
    watch w;
    check_start();
    latch_init(&failed);
    watch_init(&w, delivery);
    host_open(&h, delivery, NULL);
    host_serve(&h, NULL, on_exchange, &w, watch_drop);
    CHECK_INT(raw_get(h.path, "/"), 200);
    failed_registrations(&h);
    freed_calls(&h);
    unstarted(&h);
    CHECK_INT(latch_count(&w.drops), 0);
    host_stop(&h);
    CHECK_INT(latch_count(&w.drops), 1);
    watch_done(&w, latch_count(&w.calls));
    routes(delivery);
    freed_server(delivery);
    gone(delivery);
    runtime();
    return check_end();
}
