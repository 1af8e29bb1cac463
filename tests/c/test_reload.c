/* hysock_server_reload() and hysock_runtime_set_log_level(): what holds from then on, and that
 * nobody is cut off by it. */
#include "host.h"

#define GET_ROOT "GET / HTTP/1.1\r\nHost: x\r\n\r\n"

static host h;

static void handler(hysock_exchange *exchange, void *userdata) {
    (void)userdata;
    CHECK(delivery_here(h.delivery));
    if (hysock_str_equal(hysock_exchange_path(exchange), "/forget"))
        return; /* which is worth a line in the log */
    answer_text(exchange, 200, "x");
}

static int ask(raw *r) {
    raw_text(r, GET_ROOT);
    return raw_status(r);
}

/* Reloads with one setting. */
#define RELOAD(setter, value)                                                                      \
    do {                                                                                           \
        hysock_server_config *config_ = hysock_server_config_new();                                \
        CHECK_OK(setter(config_, value));                                                          \
        CHECK_OK(hysock_server_reload(h.server, config_, ERR));                                    \
        hysock_server_config_free(config_);                                                        \
    } while (0)

static void connections(void) {
    raw first, second, third;
    RELOAD(hysock_server_config_set_max_connections, 1);
    raw_open(&first, h.path);
    CHECK_INT(ask(&first), 200);
    raw_open(&second, h.path);
    raw_text(&second, GET_ROOT);
    CHECK_INT(raw_poll(second.fd, POLLIN, 100), 0);
    /* One place more, and whoever waits gets it. */
    RELOAD(hysock_server_config_set_max_connections, 2);
    CHECK_INT(raw_status(&second), 200);
    /* One less: both stay, and the next one waits until both have gone. */
    RELOAD(hysock_server_config_set_max_connections, 1);
    CHECK_INT(ask(&first), 200);
    CHECK_INT(ask(&second), 200);
    raw_open(&third, h.path);
    raw_text(&third, GET_ROOT);
    raw_close(&first);
    CHECK_INT(raw_poll(third.fd, POLLIN, 100), 0);
    raw_close(&second);
    CHECK_INT(raw_status(&third), 200);
    raw_close(&third);
}

static int post(const char *body) {
    char request[256];
    raw r;
    snprintf(request, sizeof(request),
             "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %zu\r\nA: 1\r\nB: 2\r\n\r\n%s",
             strlen(body), body);
    raw_open(&r, h.path);
    raw_text(&r, request);
    int status = raw_status(&r);
    raw_close(&r);
    return status;
}

static void sizes(void) {
    CHECK_INT(post("0123456789"), 200);
    RELOAD(hysock_server_config_set_max_body, 9);
    CHECK_INT(post("0123456789"), 413);
    CHECK_INT(post("012345678"), 200);
    RELOAD(hysock_server_config_set_max_headers, 3); /* which forgets the body's size */
    CHECK_INT(post("0123456789"), 431);
    CHECK_INT(raw_get(h.path, "/"), 200);
    /* A refused one changes nothing. */
    hysock_server_config *config = hysock_server_config_new();
    CHECK_OK(hysock_server_config_set_max_headers(config, 100));
    CHECK_STATUS(hysock_server_config_set_max_body(config, 0), HYSOCK_E_INVALID_ARGUMENT);
    CHECK_STATUS(hysock_server_reload(h.server, config, ERR), HYSOCK_E_INVALID_ARGUMENT);
    CHECK_ERR(HYSOCK_E_INVALID_ARGUMENT, "set_max_body");
    CHECK_INT(post("0123456789"), 431);
    hysock_server_config_free(config);
    CHECK_OK(hysock_server_reload(h.server, NULL, ERR));
    CHECK_INT(post("0123456789"), 200);
}

/* Deadlines that are running follow the new times. */
static void times(void) {
    raw idle, silent, other;
    raw_open(&idle, h.path);
    raw_open(&silent, h.path);
    CHECK_INT(ask(&idle), 200);
    RELOAD(hysock_server_config_set_idle_timeout, 300);
    CHECK(raw_closes(&idle, check_ms(1500)));
    CHECK_INT(raw_poll(silent.fd, POLLIN, 0), 0);
    RELOAD(hysock_server_config_set_head_timeout, 300);
    CHECK(raw_closes(&silent, check_ms(1500)));
    raw_close(&idle);
    raw_close(&silent);
    CHECK_OK(hysock_server_reload(h.server, NULL, ERR));
    raw_open(&other, h.path);
    CHECK_INT(raw_poll(other.fd, POLLIN, 1000), 0);
    CHECK_INT(ask(&other), 200);
    raw_close(&other);
}

/* A head that is too large for a new connection is told so, whatever was before. */
static void heads(void) {
    static char request[20000];
    memset(request, 'a', sizeof(request) - 1);
    memcpy(request, "GET / HTTP/1.1\r\nHost: x\r\nA: ", 28);
    memcpy(request + sizeof(request) - 5, "\r\n\r\n", 4);
    raw r;
    for (int round = 0; round < 2; round++) {
        raw_open(&r, h.path);
        raw_text(&r, request);
        CHECK_INT(raw_status(&r), round == 0 ? 200 : 431);
        raw_close(&r);
        RELOAD(hysock_server_config_set_max_head, 8192);
    }
    CHECK_OK(hysock_server_reload(h.server, NULL, ERR));
}

/* ---- under load ---- */

static latch stop, asked;

static void *client(void *argument) {
    (void)argument;
    raw r;
    raw_open(&r, h.path);
    while (latch_count(&stop) == 0) {
        CHECK_INT(ask(&r), 200);
        latch_add(&asked, 1);
    }
    raw_close(&r);
    return NULL;
}

static void under_load(void) {
    pthread_t clients[4];
    latch_init(&stop);
    latch_init(&asked);
    for (int i = 0; i < 4; i++)
        clients[i] = thread_start(client, NULL);
    for (int i = 0; i < check_rounds(200, 20); i++) {
        RELOAD(hysock_server_config_set_max_connections, (uint64_t)i % 3 + 4);
        LATCH_AWAIT(&asked, 5 * i);
    }
    latch_add(&stop, 1);
    for (int i = 0; i < 4; i++)
        thread_join(clients[i]);
    CHECK_OK(hysock_server_reload(h.server, NULL, ERR));
}

/* ---- the log ---- */

static latch lines;

static void on_log(int32_t level, hysock_str line, void *userdata) {
    (void)line;
    (void)userdata;
    CHECK(level <= HYSOCK_LOG_WARN);
    latch_add(&lines, 1);
}

static void log_level(void) {
    latch_init(&lines);
    CHECK_STATUS(hysock_runtime_set_log_level(h.runtime, HYSOCK_LOG_WARN, ERR), HYSOCK_E_STATE);
    CHECK_ERR(HYSOCK_E_STATE, "hysock_runtime_on_log");
    CHECK_OK(hysock_runtime_on_log(h.runtime, HYSOCK_LOG_ERROR, h.queue, on_log, NULL, NULL, ERR));
    CHECK_INT(raw_get(h.path, "/forget"), 500);
    /* Its line is written behind its answer: it must not meet the next level. */
    int64_t end = now_ms() + check_ms(DEADLINE_MS);
    while (hysock_handles_live(HYSOCK_KIND_EXCHANGE) != 0) {
        CHECK(now_ms() < end);
        take_ms(1);
    }
    CHECK_OK(hysock_runtime_set_log_level(h.runtime, HYSOCK_LOG_WARN, ERR));
    CHECK_INT(raw_get(h.path, "/forget"), 500);
    LATCH_AWAIT(&lines, 1);
    CHECK_OK(hysock_runtime_set_log_level(h.runtime, HYSOCK_LOG_ERROR, ERR));
    CHECK_INT(raw_get(h.path, "/forget"), 500);
    CHECK_STATUS(hysock_runtime_set_log_level(h.runtime, 0, ERR), HYSOCK_E_INVALID_ARGUMENT);
    CHECK_STATUS(hysock_runtime_set_log_level(h.runtime, 5, ERR), HYSOCK_E_INVALID_ARGUMENT);
}

int main(int argc, char **argv) {
    check_start();
    host_open(&h, delivery_parse(argc, argv), NULL);
    hysock_server_config *config = host_server_config(&h);
    CHECK_OK(hysock_server_new(h.runtime, config, &h.server, ERR));
    CHECK_OK(hysock_server_add_route(h.server, NULL, NULL, handler, NULL, NULL, ERR));
    CHECK_OK(hysock_server_add_listener(h.server, h.path, HYSOCK_NTS, NULL, ERR));
    /* Before the start too. */
    CHECK_OK(hysock_server_config_set_max_body(config, 9));
    CHECK_OK(hysock_server_reload(h.server, config, ERR));
    CHECK_OK(hysock_server_start(h.server, ERR));
    CHECK_INT(post("0123456789"), 413);
    CHECK_OK(hysock_server_reload(h.server, NULL, ERR));
    sizes();
    connections();
    heads();
    times();
    under_load();
    log_level();
    CHECK_OK(hysock_server_shutdown(h.server, 1000, ERR));
    CHECK_STATUS(hysock_server_reload(h.server, config, ERR), HYSOCK_E_SHUT_DOWN);
    WAIT_OK(hysock_server_wait, h.server);
    CHECK_STATUS(hysock_server_reload(h.server, config, ERR), HYSOCK_E_SHUT_DOWN);
    hysock_server_config_free(config);
    host_stop(&h);
    CHECK_INT(latch_count(&lines), 1);
    return check_end();
}
