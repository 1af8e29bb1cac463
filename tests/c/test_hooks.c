/* The function before every handler and the one for every answer. Argument: the delivery. */
#include "host.h"

#define GET(target) "GET " target " HTTP/1.1\r\nHost: x\r\n\r\n"

static enum delivery delivery;
static latch requests, handlers, answers, drops;

/* Exchanges for the thread that answers later. */
static struct {
    hysock_exchange *exchange;
    latch arrived;
} later;

static bool path_is(hysock_exchange *exchange, const char *path) {
    return hysock_str_equal(hysock_exchange_path(exchange), path);
}

static void keep(hysock_exchange *exchange) {
    later.exchange = exchange;
    CHECK_OK(hysock_exchange_defer(exchange, ERR));
    latch_add(&later.arrived, 1);
}

/* Who came first, for the handler: one exchange is one handle. */
static __thread hysock_exchange *seen;

static void on_request(hysock_exchange *exchange, void *userdata) {
    CHECK(userdata == &drops);
    CHECK(delivery_here(delivery));
    CHECK_INT(latch_count(&drops), 0);
    latch_add(&requests, 1);
    seen = exchange;
    CHECK_OK(hysock_exchange_set_header(exchange, "x-request", "1", 1));
    if (path_is(exchange, "/answered")) {
        answer_text(exchange, 401, "who are you");
    } else if (path_is(exchange, "/deferred")) {
        keep(exchange);
    } else if (path_is(exchange, "/freed")) {
        hysock_exchange_free(exchange);
        CHECK_STATUS(hysock_exchange_answer(exchange, 200, NULL, "x", 1, ERR), HYSOCK_E_BAD_HANDLE);
    } else if (path_is(exchange, "/deferred-and-freed")) {
        CHECK_OK(hysock_exchange_defer(exchange, ERR));
        answer_text(exchange, 202, "mine");
        hysock_exchange_free(exchange);
    }
}

static void on_handler(hysock_exchange *exchange, void *userdata) {
    CHECK(userdata == &handlers);
    CHECK(delivery_here(delivery));
    CHECK(exchange == seen); /* the same thread, the same turn, the same handle */
    latch_add(&handlers, 1);
    if (path_is(exchange, "/nothing"))
        return;
    if (path_is(exchange, "/later")) {
        keep(exchange);
        return;
    }
    if (path_is(exchange, "/ended")) {
        CHECK_OK(hysock_exchange_defer(exchange, ERR));
        hysock_exchange_free(exchange);
        return;
    }
    CHECK_OK(hysock_exchange_set_header(exchange, "x-secret", "1", 1));
    CHECK_OK(hysock_exchange_set_header(exchange, "x-both", "handler", HYSOCK_NTS));
    if (path_is(exchange, "/refused")) {
        /* on_answer is refused a header, once: then the answer goes out. */
        CHECK_STATUS(hysock_exchange_answer(exchange, 200, "text/first", "no", 2, ERR),
                     HYSOCK_E_INVALID_ARGUMENT);
        CHECK_ERR(HYSOCK_E_INVALID_ARGUMENT, "line feed");
        /* What was of the handler's before is still there; what was of the answer's is not. */
        CHECK_OK(hysock_exchange_add_header(exchange, "x-again", "1", 1));
        CHECK_OK(hysock_exchange_answer(exchange, 201, NULL, "yes", 3, ERR));
        return;
    }
    answer_text(exchange, 200, "handled");
    CHECK_STATUS(hysock_exchange_set_header(exchange, "x-late", "1", 1), HYSOCK_E_STATE);
}

static __thread bool refused_once;

/* How often a header's name begins a line of the answer. */
static int lines_of(const answer *a, const char *name) {
    int n = 0;
    for (const char *line = strstr(a->head, "\r\n"); line != NULL; line = strstr(line + 2, "\r\n"))
        n += strncasecmp(line + 2, name, strlen(name)) == 0 && line[2 + strlen(name)] == ':';
    return n;
}

static void on_answer(hysock_exchange *exchange, int32_t status, void *userdata) {
    char text[16];
    hysock_error error;
    CHECK(userdata == &drops);
    CHECK_INT(latch_count(&drops), 0);
    latch_add(&answers, 1);
    CHECK(hysock_str_equal(hysock_exchange_method(exchange), "GET"));
    snprintf(text, sizeof(text), "%d", (int)status);
    CHECK_OK(hysock_exchange_add_header(exchange, "x-status", text, HYSOCK_NTS));
    CHECK_OK(hysock_exchange_set_header(exchange, "x-both", "on_answer", HYSOCK_NTS));
    if (!path_is(exchange, "/refused"))
        CHECK_OK(hysock_exchange_set_header(exchange, "content-type", "text/other", HYSOCK_NTS));
    CHECK_OK(hysock_exchange_remove_header(exchange, "x-secret"));
    /* Nothing but headers. */
    CHECK_STATUS(hysock_exchange_answer(exchange, 200, NULL, "x", 1, &error), HYSOCK_E_STATE);
    CHECK_STATUS(hysock_server_wait((hysock_server *)NULL, 0, &error), HYSOCK_E_INVALID_ARGUMENT);
    if (path_is(exchange, "/refused") && !refused_once) {
        refused_once = true;
        CHECK_STATUS(hysock_exchange_set_header(exchange, "x-bad", "a\nb", 3),
                     HYSOCK_E_INVALID_ARGUMENT);
    } else if (path_is(exchange, "/nothing")) {
        /* The 500 is sent without it. */
        CHECK_STATUS(hysock_exchange_set_header(exchange, "x-bad", "a\nb", 3),
                     HYSOCK_E_INVALID_ARGUMENT);
    }
}

/* One request: its status, and whether both functions have left their marks on the answer. */
static void ask(raw *r, const char *request, int status, bool marked) {
    char expected[16];
    answer a;
    raw_text(r, request);
    CHECK_INT(raw_answer(r, &a, false), status);
    snprintf(expected, sizeof(expected), "%d", status);
    CHECK(answer_header_is(&a, "x-status", expected) == marked);
    CHECK(answer_header_is(&a, "x-both", "on_answer") == marked);
    CHECK(answer_header_is(&a, "content-type", "text/other") == marked);
    /* A 500 of the library's has none of the headers that were set before it. */
    CHECK(answer_header_is(&a, "x-request", "1") == (marked && status != 500));
    CHECK(strstr(a.head, "x-secret") == NULL && strstr(a.head, "x-bad") == NULL);
    answer_free(&a);
}

static void counts(long r, long h, long a) {
    CHECK_INT(latch_count(&requests), r);
    CHECK_INT(latch_count(&handlers), h);
    CHECK_INT(latch_count(&answers), a);
}

static void *answer_later(void *unused) {
    (void)unused;
    LATCH_AWAIT(&later.arrived, 1);
    hysock_exchange *first = later.exchange; /* answered, it makes room for the next request */
    answer_text(first, 202, "later");
    hysock_exchange_free(first);
    LATCH_AWAIT(&later.arrived, 2);
    hysock_exchange_free(later.exchange); /* a 500, on this thread */
    return NULL;
}

static hysock_status add_hooks(hysock_server *server) {
    hysock_status status = hysock_server_on_request(server, on_request, &drops, count_drop, ERR);
    if (status != HYSOCK_OK)
        return status;
    return hysock_server_on_answer(server, on_answer, &drops, count_drop, ERR);
}

static void serve(host *h) {
    latch_init(&requests);
    latch_init(&handlers);
    latch_init(&answers);
    latch_init(&drops);
    latch_init(&later.arrived);
    host_open(h, delivery, NULL);
    hysock_server_config *config = host_server_config(h);
    CHECK_OK(hysock_server_new(h->runtime, config, &h->server, ERR));
    hysock_server_config_free(config);
    CHECK_OK(
        hysock_server_add_route(h->server, "GET", "/{name}", on_handler, &handlers, NULL, ERR));
    CHECK_OK(hysock_server_add_listener(h->server, h->path, HYSOCK_NTS, NULL, ERR));
    CHECK_OK(add_hooks(h->server));
    /* One of each, and before the start: what is refused is dropped at once. */
    CHECK_STATUS(add_hooks(h->server), HYSOCK_E_STATE);
    CHECK_INT(latch_count(&drops), 1);
    CHECK_STATUS(hysock_server_on_answer(h->server, on_answer, &drops, count_drop, ERR),
                 HYSOCK_E_STATE);
    CHECK_ERR(HYSOCK_E_STATE, "on_answer");
    CHECK_OK(hysock_server_start(h->server, ERR));
    CHECK_STATUS(add_hooks(h->server), HYSOCK_E_STATE);
    CHECK_INT(latch_count(&drops), 3);
    latch_init(&drops);
}

static void requests_and_answers(void) {
    host h;
    raw r;
    serve(&h);
    raw_open(&r, h.path);
    ask(&r, GET("/"), 404, false);
    ask(&r, "PUT /x HTTP/1.1\r\nHost: x\r\n\r\n", 405, false);
    counts(0, 0, 0);
    for (int i = 1; i <= 3; i++) {
        ask(&r, GET("/x"), 200, true);
        counts(i, i, i);
    }
    ask(&r, GET("/answered"), 401, true);
    counts(4, 3, 4);
    ask(&r, GET("/freed"), 500, true);
    counts(5, 3, 5);
    ask(&r, GET("/deferred-and-freed"), 202, true);
    counts(6, 3, 6);
    ask(&r, GET("/nothing"), 500, true);
    counts(7, 4, 7);
    ask(&r, GET("/ended"), 500, true);
    counts(8, 5, 8);
    pthread_t thread = thread_start(answer_later, NULL);
    ask(&r, GET("/deferred"), 202, true);
    counts(9, 5, 9);
    ask(&r, GET("/later"), 500, true);
    counts(10, 6, 10);
    thread_join(thread);
    /* Each of the two answers that were tried was seen. */
    raw_text(&r, GET("/refused"));
    answer a;
    CHECK_INT(raw_answer(&r, &a, false), 201);
    CHECK(answer_header_is(&a, "x-both", "on_answer"));
    CHECK(strstr(a.head, "x-bad") == NULL && strstr(a.head, "x-secret") == NULL);
    CHECK(answer_header_is(&a, "x-request", "1") && answer_header_is(&a, "x-again", "1"));
    CHECK_INT(lines_of(&a, "x-status"), 1);
    CHECK_INT(lines_of(&a, "content-type"), 0);
    answer_free(&a);
    counts(11, 7, 12);
    ask(&r, GET("/x"), 200, true);
    raw_close(&r);
    CHECK_INT(latch_count(&drops), 0);
    host_stop_server(&h);
    CHECK_INT(latch_count(&drops), 2);
    host_stop(&h);
    CHECK_INT(latch_count(&drops), 2);
}

/* The client leaves while on_answer runs: the answer says so, on_gone comes after it, once. */
static struct {
    raw client;
    latch waiting, gone;
    bool inside;
} leaving;

static void on_gone(hysock_exchange *exchange, void *userdata) {
    (void)exchange;
    (void)userdata;
    CHECK(!leaving.inside);
    latch_add(&leaving.gone, 1);
}

static void on_leaving(hysock_exchange *exchange, int32_t status, void *userdata) {
    (void)userdata;
    CHECK_INT(status, 200);
    leaving.inside = true;
    latch_add(&leaving.waiting, 1);
    /* Until the connection has noticed, which shows in the headers. */
    int64_t end = now_ms() + check_ms(DEADLINE_MS);
    while (hysock_exchange_set_header(exchange, "a", "b", 1) == HYSOCK_OK) {
        CHECK(now_ms() < end);
        take_ms(1);
    }
    leaving.inside = false;
}

static void on_deferred(hysock_exchange *exchange, void *userdata) {
    (void)userdata;
    CHECK_OK(hysock_exchange_on_gone(exchange, on_gone, NULL, NULL, ERR));
    keep(exchange);
}

static void *leave(void *unused) {
    (void)unused;
    LATCH_AWAIT(&leaving.waiting, 1);
    raw_close(&leaving.client);
    return NULL;
}

static void client_leaves(void) {
    host h;
    latch_init(&leaving.waiting);
    latch_init(&leaving.gone);
    latch_init(&later.arrived);
    host_open(&h, delivery, NULL);
    hysock_server_config *config = host_server_config(&h);
    CHECK_OK(hysock_server_new(h.runtime, config, &h.server, ERR));
    hysock_server_config_free(config);
    CHECK_OK(hysock_server_add_route(h.server, NULL, NULL, on_deferred, NULL, NULL, ERR));
    CHECK_OK(hysock_server_on_answer(h.server, on_leaving, NULL, NULL, ERR));
    CHECK_OK(hysock_server_add_listener(h.server, h.path, HYSOCK_NTS, NULL, ERR));
    CHECK_OK(hysock_server_start(h.server, ERR));
    raw_open(&leaving.client, h.path);
    pthread_t thread = thread_start(leave, NULL);
    raw_text(&leaving.client, GET("/"));
    LATCH_AWAIT(&later.arrived, 1);
    CHECK_STATUS(hysock_exchange_answer(later.exchange, 200, NULL, "x", 1, ERR), HYSOCK_E_CLOSED);
    LATCH_AWAIT(&leaving.gone, 1);
    hysock_exchange_free(later.exchange);
    thread_join(thread);
    host_stop(&h);
    CHECK_INT(latch_count(&leaving.gone), 1);
}

/* A server that is freed calls neither any more; what they had is dropped, once. */
static void freed(void) {
    host h;
    raw r;
    serve(&h);
    raw_open(&r, h.path);
    raw_text(&r, GET("/later"));
    LATCH_AWAIT(&later.arrived, 1);
    hysock_server_free(h.server);
    h.server = NULL;
    LATCH_AWAIT(&drops, 2);
    CHECK(hysock_exchange_answer(later.exchange, 200, NULL, "x", 1, ERR) < 0);
    hysock_exchange_free(later.exchange);
    raw_close(&r);
    host_stop(&h);
    counts(1, 1, 0);
    CHECK_INT(latch_count(&drops), 2);
}

int main(int argc, char **argv) {
    check_start();
    delivery = delivery_parse(argc, argv);
    requests_and_answers();
    client_leaves();
    freed();
    return check_end();
}
