/* Handlers and clients that take too long: each is given up in its time, the others are served.
 * Argument: the delivery. */
#include "host.h"

#define TIMEOUT (check_slow() ? 1500 : 500)
#define FLOOR 1000
#define GET(path) "GET " path " HTTP/1.1\r\nHost: x\r\n\r\n"
#define LARGE ((size_t)8 << 20)

static enum delivery delivery;

static hysock_server_config *config_of(const host *h) {
    hysock_server_config *config = host_server_config(h);
    CHECK_OK(hysock_server_config_set_handler_timeout(config, (uint32_t)TIMEOUT));
    CHECK_OK(hysock_server_config_set_progress_timeout(config, (uint32_t)TIMEOUT));
    CHECK_OK(hysock_server_config_set_progress_floor(config, FLOOR));
    return config;
}

/* What began at `began` was given up neither early nor much too late. */
static void in_time(int64_t began) {
    int64_t took = now_ms() - began;
    /* Times are measured in quarters of a second. */
    CHECK(took >= TIMEOUT - 260);
    CHECK(took < TIMEOUT + check_ms(1000));
}

/* ---- handlers ---- */

static latch arrived, gone, dropped, runs, hold;
static hysock_exchange *kept, *unanswered;
static hysock_client *back; /* to the same server */
static completion child;

static void on_gone(hysock_exchange *exchange, void *userdata) {
    (void)userdata;
    CHECK(delivery_here(delivery));
    CHECK(exchange == kept);
    latch_add(&gone, 1);
}

static void keep(hysock_exchange *exchange) {
    CHECK_OK(hysock_exchange_defer(exchange, ERR));
    kept = exchange;
}

static void handler(hysock_exchange *exchange, void *userdata) {
    hysock_str path = hysock_exchange_path(exchange);
    (void)userdata;
    latch_add(&runs, 1);
    if (hysock_str_equal(path, "/keep")) {
        keep(exchange);
        CHECK_OK(hysock_exchange_on_gone(exchange, on_gone, &dropped, count_drop, ERR));
        latch_add(&arrived, 1);
    } else if (hysock_str_equal(path, "/parent")) {
        keep(exchange);
        completion_new(&child, back, delivery, "/child");
        CHECK_OK(hysock_call_set_parent(child.call, exchange));
        completion_start(&child);
    } else if (hysock_str_equal(path, "/child")) {
        CHECK_OK(hysock_exchange_defer(exchange, ERR));
        unanswered = exchange;
        latch_add(&arrived, 1);
    } else if (hysock_str_equal(path, "/hold")) {
        latch_add(&arrived, 1);
        LATCH_AWAIT(&hold, 1);
        CHECK_STATUS(hysock_exchange_answer(exchange, 200, NULL, "x", 1, ERR), HYSOCK_E_CLOSED);
    } else {
        answer_text(exchange, 200, "x");
    }
}

static void latches(void) {
    latch *all[] = {&arrived, &gone, &dropped, &runs, &hold};
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
        latch_init(all[i]);
}

/* The client has its 503 and goes on; the exchange is gone. */
static void late_answer(void) {
    host h;
    raw r;
    latches();
    host_open(&h, delivery, NULL);
    host_serve(&h, config_of(&h), handler, NULL, NULL);
    raw_open(&r, h.path);
    int64_t began = now_ms();
    raw_text(&r, GET("/keep"));
    CHECK_INT(raw_status(&r), 503);
    in_time(began);
    LATCH_AWAIT(&dropped, 1);
    CHECK_INT(latch_count(&gone), 1);
    CHECK_STATUS(hysock_exchange_answer(kept, 200, NULL, "x", 1, ERR), HYSOCK_E_CLOSED);
    CHECK_ERR(HYSOCK_E_CLOSED, "handler timeout");
    raw_text(&r, GET("/")); /* the connection is as good as before */
    CHECK_INT(raw_status(&r), 200);
    CHECK(hysock_str_equal(hysock_exchange_path(kept), "/keep"));
    hysock_exchange_free(kept);
    raw_close(&r);
    host_stop(&h);
    CHECK_INT(latch_count(&gone), 1);
    CHECK_INT(latch_count(&dropped), 1);
}

/* A call that is made for a request ends with it. */
static void child_ends_with_it(void) {
    host h;
    raw r;
    latches();
    host_open(&h, delivery, NULL);
    /* Two servers: the child's request has no timeout of its own. */
    char path[108];
    hysock_server *other;
    hysock_server_config *own = host_server_config(&h);
    temp_path(path, "other");
    CHECK_OK(
        hysock_server_serve(h.runtime, path, HYSOCK_NTS, own, handler, NULL, NULL, &other, ERR));
    hysock_server_config_free(own);
    hysock_client_config *config = hysock_client_config_new();
    CHECK_OK(delivery == QUEUE
                 ? hysock_client_config_set_queue(config, h.queue)
                 : hysock_client_config_set_delivery(
                       config, delivery == POOL ? HYSOCK_DELIVERY_POOL : HYSOCK_DELIVERY_INLINE));
    CHECK_OK(hysock_client_new(h.runtime, path, HYSOCK_NTS, config, &back, ERR));
    hysock_client_config_free(config);
    host_serve(&h, config_of(&h), handler, NULL, NULL);
    raw_open(&r, h.path);
    int64_t began = now_ms();
    raw_text(&r, GET("/parent"));
    LATCH_AWAIT(&arrived, 1);
    CHECK_INT(raw_status(&r), 503);
    completion_await(&child, HYSOCK_E_CANCELLED);
    in_time(began);
    hysock_call_free(child.call);
    hysock_exchange_free(kept);
    hysock_exchange_free(unanswered);
    hysock_client_free(back);
    raw_close(&r);
    CHECK_OK(hysock_server_shutdown(other, 1000, ERR));
    WAIT_OK(hysock_server_wait, other);
    hysock_server_free(other);
    host_stop(&h);
}

/* One handler blocks the only thread: what waits behind it gets its 503 and is never begun. */
static void never_begun(void) {
    host h;
    raw busy, waiting;
    latches();
    hysock_runtime_config *config = hysock_runtime_config_new();
    CHECK_OK(hysock_runtime_config_set_callback_threads(config, 1));
    host_open(&h, delivery, config);
    hysock_runtime_config_free(config);
    host_serve(&h, config_of(&h), handler, NULL, NULL);
    raw_open(&busy, h.path);
    raw_open(&waiting, h.path);
    int64_t began = now_ms();
    raw_text(&busy, GET("/hold"));
    LATCH_AWAIT(&arrived, 1);
    raw_text(&waiting, GET("/"));
    CHECK_INT(raw_status(&busy), 503);
    CHECK_INT(raw_status(&waiting), 503);
    in_time(began);
    latch_add(&hold, 1);
    raw_text(&waiting, GET("/"));
    CHECK_INT(raw_status(&waiting), 200);
    CHECK_INT(latch_count(&runs), 2);
    raw_close(&busy);
    raw_close(&waiting);
    host_stop(&h);
}

/* ---- bodies ---- */

/* Sends a body of 20,000 bytes: `piece` of them every `pause` ms, until the server has had enough.
 * Its answer; 0 for none. */
static int post(const char *path, size_t piece, int pause, int64_t *took) {
    raw r;
    char *body = calloc(1, piece + 1);
    CHECK(body != NULL);
    raw_open(&r, path);
    raw_text(&r, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 20000\r\n\r\n");
    int64_t began = now_ms();
    for (size_t sent = 0; sent < 20000;) {
        if (raw_fill(&r, pause) >= 0)
            break;
        size_t n = 20000 - sent < piece ? 20000 - sent : piece;
        sent += raw_send_some(&r, body, n, false);
        CHECK(now_ms() - began < check_ms(DEADLINE_MS));
    }
    int status = raw_status(&r);
    *took = now_ms() - began;
    raw_close(&r);
    free(body);
    return status;
}

static void bodies(void) {
    host h;
    int64_t took;
    latches();
    host_open(&h, delivery, NULL);
    host_serve(&h, config_of(&h), handler, NULL, NULL);
    /* Twice the floor, and all of it takes longer than the timeout. */
    CHECK_INT(post(h.path, 2 * FLOOR, TIMEOUT / 2, &took), 200);
    CHECK(took > 2 * TIMEOUT);
    /* Always something, and too little: half of the floor. */
    CHECK_INT(post(h.path, FLOOR / 10, TIMEOUT / 5, &took), 0);
    CHECK(took >= TIMEOUT - 260);
    CHECK(took < TIMEOUT + TIMEOUT / 5 + check_ms(1000));
    CHECK_INT(latch_count(&runs), 1);
    host_stop(&h);
}

/* ---- readers ---- */

static void large(hysock_exchange *exchange, void *userdata) {
    hysock_status status =
        hysock_exchange_answer(exchange, 200, "application/octet-stream", userdata, LARGE, ERR);
    CHECK_OK(status);
}

/* Reads what has come, at most `n` bytes: 0 at the end. */
static size_t read_some(raw *r, char *space, size_t n) {
    CHECK(raw_poll(r->fd, POLLIN, check_ms(DEADLINE_MS)) != 0);
    ssize_t got = recv(r->fd, space, n, MSG_DONTWAIT);
    return got > 0 ? (size_t)got : 0;
}

static void readers(void) {
    host h;
    raw slow, dead;
    char *body = calloc(1, LARGE), *space = malloc(1 << 20);
    CHECK(body != NULL && space != NULL);
    host_open(&h, delivery, NULL);
    host_serve(&h, config_of(&h), large, body, NULL);
    raw_open(&slow, h.path);
    raw_open(&dead, h.path);
    int64_t began = now_ms();
    raw_text(&slow, GET("/"));
    raw_text(&dead, GET("/"));
    CHECK(raw_poll(dead.fd, POLLIN, check_ms(DEADLINE_MS)) != 0);
    /* What it does not read makes no room: the server can only see that nothing moves. */
    size_t total = 0, n;
    bool cut = false;
    while ((n = read_some(&slow, space, 1 << 20)) > 0 && (total += n) < LARGE) {
        take_ms(check_ms(100));
        if (!cut && (raw_poll(dead.fd, 0, 0) & POLLHUP)) {
            in_time(began);
            cut = true;
        }
    }
    CHECK(total > LARGE); /* the head too */
    CHECK(now_ms() - began > 2 * TIMEOUT);
    CHECK(cut);
    raw_close(&slow);
    raw_close(&dead);
    free(space);
    host_stop(&h);
    free(body);
}

int main(int argc, char **argv) {
    check_start();
    delivery = delivery_parse(argc, argv);
    late_answer();
    child_ends_with_it();
    if (delivery != INLINE)
        never_begun();
    bodies();
    readers();
    return check_end();
}
