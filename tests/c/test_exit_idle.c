/* A server that ends when nobody has used it for a while. Argument: the delivery. */
#include "host.h"

#define GET_ROOT "GET / HTTP/1.1\r\nHost: x\r\n\r\n"
#define CALM 300

static enum delivery delivery;

static void handler(hysock_exchange *exchange, void *userdata) {
    (void)userdata;
    answer_text(exchange, 200, "x");
}

static void on_closed(hysock_server *server, hysock_status reason, uint64_t n, void *userdata) {
    (void)server;
    CHECK_STATUS(reason, HYSOCK_OK);
    CHECK_INT(n, 0);
    latch_add(userdata, 1);
}

static hysock_server_config *ends_after(const host *h, uint32_t ms) {
    hysock_server_config *config = host_server_config(h);
    CHECK_OK(hysock_server_config_set_exit_idle(config, ms));
    return config;
}

/* The server ends by itself, after `began` + CALM. */
static void ends(host *h, int64_t began) {
    CHECK_OK(hysock_server_wait(h->server, (uint32_t)check_ms(DEADLINE_MS), ERR));
    int64_t took = now_ms() - began;
    CHECK(took >= CALM - 2);
    CHECK(took < CALM + check_ms(1000));
    hysock_server_free(h->server);
    h->server = NULL;
}

static void never_used(void) {
    host h;
    latch closed;
    latch_init(&closed);
    host_open(&h, delivery, NULL);
    int64_t began = now_ms();
    host_serve(&h, ends_after(&h, CALM), handler, NULL, NULL);
    CHECK_OK(hysock_server_on_closed(h.server, on_closed, &closed, NULL, ERR));
    ends(&h, began);
    CHECK_INT(latch_count(&closed), 1);
    CHECK(access(h.path, F_OK) != 0);
    host_stop(&h);
}

/* A connection, though it idles, is a use. */
static void used(void) {
    host h;
    raw r;
    host_open(&h, delivery, NULL);
    host_serve(&h, ends_after(&h, CALM), handler, NULL, NULL);
    raw_open(&r, h.path);
    raw_text(&r, GET_ROOT);
    CHECK_INT(raw_status(&r), 200);
    CHECK_STATUS(hysock_server_wait(h.server, 3 * CALM, ERR), HYSOCK_E_TIMED_OUT);
    raw_text(&r, GET_ROOT);
    CHECK_INT(raw_status(&r), 200);
    int64_t began = now_ms();
    raw_close(&r);
    ends(&h, began);
    host_stop(&h);
}

/* Each use begins the time anew. */
static void used_now_and_then(void) {
    host h;
    host_open(&h, delivery, NULL);
    host_serve(&h, ends_after(&h, (uint32_t)check_ms(CALM)), handler, NULL, NULL);
    for (int i = 0; i < 6; i++) {
        CHECK_INT(raw_get(h.path, "/"), 200);
        CHECK_STATUS(hysock_server_wait(h.server, (uint32_t)check_ms(CALM / 2), ERR),
                     HYSOCK_E_TIMED_OUT);
    }
    CHECK_OK(hysock_server_wait(h.server, (uint32_t)check_ms(DEADLINE_MS), ERR));
    host_stop(&h);
}

static void by_a_reload(void) {
    host h;
    host_start(&h, delivery, handler, NULL);
    CHECK_STATUS(hysock_server_wait(h.server, 2 * CALM, ERR), HYSOCK_E_TIMED_OUT);
    hysock_server_config *config = ends_after(&h, CALM);
    int64_t began = now_ms();
    CHECK_OK(hysock_server_reload(h.server, config, ERR));
    hysock_server_config_free(config);
    ends(&h, began);
    host_stop(&h);
}

/* ---- instance after instance on one socket ---- */

typedef struct client {
    const char *path;
    uint64_t random;
    latch stop;
    latch answered;
} client;

static void *asks(void *argument) {
    client *c = argument;
    while (latch_count(&c->stop) == 0) {
        CHECK_INT(raw_get(c->path, "/"), 200);
        latch_add(&c->answered, 1);
        take_ms((int)(next_random(&c->random) % 12));
    }
    return NULL;
}

/* Whoever connects while one instance ends is served by the next. */
static void nobody_is_lost(void) {
    host h;
    client c = {0};
    int instances = check_rounds(60, 8);
    latch_init(&c.stop);
    latch_init(&c.answered);
    host_open(&h, delivery, NULL);
    c.path = h.path;
    c.random = 4711;
    int32_t fd;
    CHECK_OK(hysock_listener_open(h.path, HYSOCK_NTS, NULL, &fd, ERR));
    pthread_t thread = thread_start(asks, &c);
    for (int i = 0; i < instances; i++) {
        hysock_server_config *config = ends_after(&h, 2 + (uint32_t)i % 4);
        CHECK_OK(hysock_server_new(h.runtime, config, &h.server, ERR));
        hysock_server_config_free(config);
        CHECK_OK(hysock_server_add_route(h.server, NULL, NULL, handler, NULL, NULL, ERR));
        CHECK_OK(hysock_server_add_listener_fd(h.server, dup(fd), HYSOCK_ADOPT_KEEP, NULL, ERR));
        CHECK_OK(hysock_server_start(h.server, ERR));
        CHECK_OK(hysock_server_wait(h.server, (uint32_t)check_ms(DEADLINE_MS), ERR));
        hysock_server_free(h.server);
        CHECK(access(h.path, F_OK) == 0);
    }
    latch_add(&c.stop, 1);
    /* Its last request may wait for an instance. */
    CHECK_OK(hysock_server_new(h.runtime, NULL, &h.server, ERR));
    CHECK_OK(hysock_server_add_route(h.server, NULL, NULL, handler, NULL, NULL, ERR));
    CHECK_OK(hysock_server_add_listener_fd(h.server, fd, HYSOCK_ADOPT_OWN, NULL, ERR));
    CHECK_OK(hysock_server_start(h.server, ERR));
    thread_join(thread);
    CHECK(latch_count(&c.answered) > 0);
    host_stop(&h);
    CHECK(access(h.path, F_OK) != 0);
}

int main(int argc, char **argv) {
    check_start();
    delivery = delivery_parse(argc, argv);
    never_used();
    used();
    used_now_and_then();
    by_a_reload();
    nobody_is_lost();
    return check_end();
}
