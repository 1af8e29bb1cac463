/* What is kept with exchanges and connections, and that each drop runs exactly once, after the last
 * callback, on the delivery's threads. Argument: the delivery. */
#include "host.h"

#define GET(target) "GET " target " HTTP/1.1\r\nHost: x\r\n\r\n"

static enum delivery delivery;

/* One thing that is kept. */
typedef struct thing {
    latch drops;
    bool misplaced; /* dropped on a thread of another delivery */
    bool early;     /* dropped while a callback could still use it */
    volatile bool in_use;
} thing;

static void thing_init(thing *t) {
    memset(t, 0, sizeof(*t));
    latch_init(&t->drops);
}

static void thing_drop(void *userdata) {
    thing *t = userdata;
    t->misplaced = !delivery_here(delivery);
    t->early = t->in_use;
    latch_add(&t->drops, 1);
}

static void thing_done(thing *t) {
    LATCH_AWAIT(&t->drops, 1);
    CHECK_INT(latch_count(&t->drops), 1);
    CHECK(!t->misplaced);
    CHECK(!t->early);
}

#define KEEP(exchange, t) CHECK_OK(hysock_exchange_set_userdata(exchange, t, thing_drop, ERR))
#define KEEP_LONG(exchange, t)                                                                     \
    CHECK_OK(hysock_exchange_set_connection_userdata(exchange, t, thing_drop, ERR))

#define KEPT_MAX 4
static struct {
    thing own, replaced, connection, connection_replaced;
    hysock_exchange *exchanges[KEPT_MAX];
    latch arrived;
} kept;

static void kept_init(void) {
    thing_init(&kept.own);
    thing_init(&kept.replaced);
    thing_init(&kept.connection);
    thing_init(&kept.connection_replaced);
    latch_init(&kept.arrived);
}

static bool path_is(hysock_exchange *exchange, const char *path) {
    return hysock_str_equal(hysock_exchange_path(exchange), path);
}

/* The function before handlers keeps the exchange's own; handlers find it. */
static void on_request(hysock_exchange *exchange, void *userdata) {
    (void)userdata;
    CHECK(hysock_exchange_userdata(exchange) == NULL);
    if (path_is(exchange, "/own") || path_is(exchange, "/own-freed")) {
        KEEP(exchange, &kept.replaced);
        CHECK(hysock_exchange_userdata(exchange) == &kept.replaced);
        KEEP(exchange, &kept.own);
    }
}

static void on_handler(hysock_exchange *exchange, void *userdata) {
    (void)userdata;
    if (path_is(exchange, "/own") || path_is(exchange, "/own-freed")) {
        kept.own.in_use = true;
        CHECK(hysock_exchange_userdata(exchange) == &kept.own);
        CHECK_INT(latch_count(&kept.own.drops), 0);
        answer_text(exchange, 200, "x");
        CHECK(hysock_exchange_userdata(exchange) == &kept.own);
        if (path_is(exchange, "/own-freed"))
            hysock_exchange_free(exchange);
        CHECK_INT(latch_count(&kept.own.drops), 0);
        kept.own.in_use = false;
        return;
    }
    if (path_is(exchange, "/first")) {
        CHECK(hysock_exchange_connection_userdata(exchange) == NULL);
        KEEP_LONG(exchange, &kept.connection_replaced);
        KEEP_LONG(exchange, &kept.connection);
        CHECK(hysock_exchange_connection_userdata(exchange) == &kept.connection);
    } else if (path_is(exchange, "/next")) {
        CHECK(hysock_exchange_connection_userdata(exchange) == &kept.connection);
    } else if (path_is(exchange, "/keep")) {
        CHECK_OK(hysock_exchange_defer(exchange, ERR));
        kept.exchanges[latch_count(&kept.arrived)] = exchange;
        latch_add(&kept.arrived, 1);
        return;
    } else {
        CHECK(hysock_exchange_connection_userdata(exchange) == NULL);
    }
    answer_text(exchange, 200, "x");
    /* After the answer the connection may have gone on: too late for it, not for the exchange. */
    if (path_is(exchange, "/first")) {
        thing late;
        thing_init(&late);
        CHECK_STATUS(hysock_exchange_set_connection_userdata(exchange, &late, thing_drop, ERR),
                     HYSOCK_E_STATE);
        CHECK_INT(latch_count(&late.drops), 1);
        CHECK(hysock_exchange_connection_userdata(exchange) == &kept.connection);
    }
}

static void serve(host *h) {
    kept_init();
    host_open(h, delivery, NULL);
    hysock_server_config *config = host_server_config(h);
    CHECK_OK(hysock_server_new(h->runtime, config, &h->server, ERR));
    hysock_server_config_free(config);
    CHECK_OK(hysock_server_add_route(h->server, NULL, NULL, on_handler, NULL, NULL, ERR));
    CHECK_OK(hysock_server_on_request(h->server, on_request, NULL, NULL, ERR));
    CHECK_OK(hysock_server_add_listener(h->server, h->path, HYSOCK_NTS, NULL, ERR));
    CHECK_OK(hysock_server_start(h->server, ERR));
}

static void ask(raw *r, const char *request) {
    raw_text(r, request);
    CHECK_INT(raw_status(r), 200);
}

/* With an exchange that is lent: dropped when its handler has returned. */
static void lent(const char *request) {
    host h;
    raw r;
    serve(&h);
    raw_open(&r, h.path);
    ask(&r, request);
    thing_done(&kept.own);
    thing_done(&kept.replaced);
    ask(&r, GET("/other")); /* on the same exchange, used again: nothing is left of it */
    raw_close(&r);
    host_stop(&h);
    CHECK_INT(latch_count(&kept.own.drops), 1);
    CHECK_INT(latch_count(&kept.replaced.drops), 1);
}

static void on_gone(hysock_exchange *exchange, void *userdata) {
    thing *t = userdata;
    t->in_use = true;
    CHECK(hysock_exchange_userdata(exchange) == t || latch_count(&kept.arrived) > 1);
    latch_add(&kept.arrived, 1);
    take_ms(20);
    t->in_use = false;
}

/* With one that was deferred: when it is freed, after its last callback, whatever else happens. */
static void deferred(bool answered, bool leaves) {
    host h;
    raw r;
    serve(&h);
    raw_open(&r, h.path);
    raw_text(&r, GET("/keep"));
    LATCH_AWAIT(&kept.arrived, 1);
    hysock_exchange *exchange = kept.exchanges[0];
    KEEP(exchange, &kept.replaced);
    KEEP(exchange, &kept.own);
    CHECK_OK(hysock_exchange_set_userdata(exchange, NULL, NULL, ERR));
    CHECK(hysock_exchange_userdata(exchange) == NULL);
    thing_done(&kept.own);
    thing_done(&kept.replaced);
    thing_init(&kept.own);
    if (answered) {
        answer_text(exchange, 200, "x");
        CHECK_INT(raw_status(&r), 200);
    }
    KEEP(exchange, &kept.own); /* an answer does not end it */
    if (leaves)
        CHECK_OK(hysock_exchange_on_gone(exchange, on_gone, &kept.own, NULL, ERR));
    CHECK_INT(latch_count(&kept.own.drops), 0);
    if (leaves) {
        raw_close(&r);
        LATCH_AWAIT(&kept.arrived, 2); /* on_gone runs now */
    }
    CHECK_INT(latch_count(&kept.own.drops), 0);
    hysock_exchange_free(exchange);
    CHECK_STATUS(hysock_exchange_set_userdata(exchange, NULL, NULL, ERR), HYSOCK_E_BAD_HANDLE);
    CHECK(hysock_exchange_userdata(exchange) == NULL);
    thing_done(&kept.own);
    if (!leaves)
        raw_close(&r);
    host_stop(&h);
    CHECK_INT(latch_count(&kept.own.drops), 1);
}

/* With a connection: for each request on it, and for no other, until it ends. */
static void connection(bool shutdown) {
    host h;
    raw r, other;
    serve(&h);
    raw_open(&r, h.path);
    raw_open(&other, h.path);
    ask(&r, GET("/first"));
    thing_done(&kept.connection_replaced);
    for (int i = 0; i < 10; i++) {
        ask(&r, GET("/next"));
        ask(&other, GET("/other"));
    }
    CHECK_INT(latch_count(&kept.connection.drops), 0);
    if (shutdown) {
        /* wait is the barrier: when it returns the drops have run. */
        host_stop_server(&h);
        CHECK_INT(latch_count(&kept.connection.drops), 1);
        raw_close(&r);
    } else {
        raw_close(&r);
        thing_done(&kept.connection);
    }
    raw_close(&other);
    host_stop(&h);
    thing_done(&kept.connection);
}

/* An exchange that is kept keeps it too: longer than the connection, than the server. */
static void outlived(bool server_too) {
    host h;
    raw r;
    serve(&h);
    raw_open(&r, h.path);
    ask(&r, GET("/first"));
    raw_text(&r, GET("/keep"));
    LATCH_AWAIT(&kept.arrived, 1);
    hysock_exchange *exchange = kept.exchanges[0];
    CHECK(hysock_exchange_connection_userdata(exchange) == &kept.connection);
    KEEP(exchange, &kept.own);
    answer_text(exchange, 200, "x");
    CHECK_INT(raw_status(&r), 200);
    ask(&r, GET("/next"));
    raw_close(&r);
    host_stop_server(&h);
    if (server_too)
        host_stop(&h);
    CHECK_INT(latch_count(&kept.connection.drops), 0);
    CHECK(hysock_exchange_connection_userdata(exchange) == &kept.connection);
    hysock_exchange_free(exchange);
    LATCH_AWAIT(&kept.connection.drops, 1);
    LATCH_AWAIT(&kept.own.drops, 1);
    if (!server_too) {
        thing_done(&kept.connection);
        thing_done(&kept.own);
        host_stop(&h);
    }
    CHECK_INT(latch_count(&kept.connection.drops), 1);
    CHECK_INT(latch_count(&kept.own.drops), 1);
}

/* Kept for the first time by an exchange whose client leaves before it is answered. */
static void gone(void) {
    host h;
    raw r;
    serve(&h);
    raw_open(&r, h.path);
    raw_text(&r, GET("/keep"));
    LATCH_AWAIT(&kept.arrived, 1);
    hysock_exchange *exchange = kept.exchanges[0];
    KEEP_LONG(exchange, &kept.connection);
    raw_close(&r);
    int64_t end = now_ms() + check_ms(DEADLINE_MS);
    while (hysock_exchange_set_header(exchange, "a", "b", 1) == HYSOCK_OK) {
        CHECK(now_ms() < end);
        take_ms(1);
    }
    CHECK_STATUS(hysock_exchange_set_connection_userdata(exchange, &kept.own, thing_drop, ERR),
                 HYSOCK_E_CLOSED);
    CHECK_INT(latch_count(&kept.own.drops), 1);
    CHECK(hysock_exchange_connection_userdata(exchange) == &kept.connection);
    CHECK_INT(latch_count(&kept.connection.drops), 0);
    hysock_exchange_free(exchange);
    thing_done(&kept.connection);
    host_stop(&h);
    CHECK_INT(latch_count(&kept.connection.drops), 1);
}

/* Many connections that come and go, with something new for each request. */
static latch many_drops;
static void count_one(void *userdata) {
    CHECK(userdata == &many_drops);
    latch_add(&many_drops, 1);
}

static void on_many(hysock_exchange *exchange, void *userdata) {
    hysock_status status;
    latch_add(userdata, 1);
    CHECK_OK(hysock_exchange_set_userdata(exchange, &many_drops, count_one, ERR));
    status = hysock_exchange_set_connection_userdata(exchange, &many_drops, count_one, ERR);
    if (status != HYSOCK_E_CLOSED)
        CHECK_OK(status);
    if (path_is(exchange, "/answer"))
        answer_or_closed(exchange, "x", 1);
}

static void many(void) {
    host h;
    long rounds = check_rounds(300, 40);
    latch calls;
    latch_init(&many_drops);
    latch_init(&calls);
    host_start(&h, delivery, on_many, &calls);
    for (long i = 0; i < rounds; i++) {
        raw r;
        raw_open(&r, h.path);
        raw_text(&r, GET("/answer") GET("/nothing") GET("/answer"));
        CHECK_INT(raw_status(&r), 200);
        if (i % 2 == 0) {
            CHECK_INT(raw_status(&r), 500);
            CHECK_INT(raw_status(&r), 200);
        }
        raw_close(&r);
    }
    host_stop_server(&h);
    long drops = latch_count(&many_drops);
    CHECK_INT(drops, 2 * latch_count(&calls));
    CHECK(drops > 3 * rounds);
    host_stop(&h);
    CHECK_INT(latch_count(&many_drops), drops);
}

int main(int argc, char **argv) {
    check_start();
    delivery = delivery_parse(argc, argv);
    lent(GET("/own"));
    lent(GET("/own-freed"));
    deferred(false, false);
    deferred(true, false);
    deferred(false, true);
    connection(false);
    connection(true);
    outlived(false);
    outlived(true);
    gone();
    many();
    return check_end();
}
