/* What a well-behaved client gets from a server. Argument: the delivery. */
#include "host.h"

static enum delivery delivery;

/* Exchanges on their way to the thread that answers later. */
#define LATER_MAX 64
static struct {
    pthread_mutex_t mutex;
    hysock_exchange *exchanges[LATER_MAX];
    size_t count;
    latch arrived;
} later = {.mutex = PTHREAD_MUTEX_INITIALIZER};

static void *answer_later(void *argument) {
    long count = (long)(intptr_t)argument;
    for (long i = 1; i <= count; i++) {
        LATCH_AWAIT(&later.arrived, i);
        pthread_mutex_lock(&later.mutex);
        hysock_exchange *exchange = later.exchanges[--later.count];
        pthread_mutex_unlock(&later.mutex);
        CHECK(hysock_str_equal(hysock_exchange_header(exchange, "x-id"), "7"));
        CHECK_OK(hysock_exchange_set_header(exchange, "x-from", "later", HYSOCK_NTS));
        answer_text(exchange, 202, "later");
        hysock_exchange_free(exchange);
    }
    return NULL;
}

static void on_hello(hysock_exchange *exchange, void *userdata) {
    (void)userdata;
    CHECK(delivery_here(delivery));
    CHECK_OK(hysock_exchange_answer(exchange, 200, "text/plain", "Hello, world!", 13, ERR));
}

static void on_echo(hysock_exchange *exchange, void *userdata) {
    (void)userdata;
    hysock_str body = hysock_exchange_body(exchange);
    CHECK(body.ptr != NULL);
    CHECK_INT(body.ptr[body.len], 0); /* an uncounted NUL */
    CHECK_OK(
        hysock_exchange_answer(exchange, 200, "application/octet-stream", body.ptr, body.len, ERR));
}

/* Answers what it was asked: one line for each part, then the headers in their order. */
static void on_info(hysock_exchange *exchange, void *userdata) {
    (void)userdata;
    char text[4096], part[256];
    hysock_str method = hysock_exchange_method(exchange);
    hysock_str target = hysock_exchange_target(exchange);
    hysock_str path = hysock_exchange_path(exchange);
    hysock_str query = hysock_exchange_query(exchange);
    int n = snprintf(text, sizeof(text), "%.*s|%.*s|%.*s|%s%.*s|%d\n", HYSOCK_PRI(method),
                     HYSOCK_PRI(target), HYSOCK_PRI(path), query.ptr == NULL ? "-" : "?",
                     HYSOCK_PRI(query), (int)hysock_exchange_version(exchange));
    int32_t count = hysock_exchange_header_count(exchange);
    CHECK(count >= 0);
    hysock_str name, value;
    for (int32_t i = 0; i < count; i++) {
        CHECK_OK(hysock_exchange_header_at(exchange, (size_t)i, &name, &value));
        CHECK(name.ptr != NULL && value.ptr != NULL);
        n += snprintf(text + n, sizeof(text) - (size_t)n, "%.*s: %.*s\n", HYSOCK_PRI(name),
                      HYSOCK_PRI(value));
    }
    CHECK_STATUS(hysock_exchange_header_at(exchange, (size_t)count, &name, &value),
                 HYSOCK_E_INVALID_ARGUMENT);
    CHECK_STATUS(hysock_exchange_header_at(exchange, SIZE_MAX, &name, &value),
                 HYSOCK_E_INVALID_ARGUMENT);
    CHECK(hysock_exchange_header(exchange, "x-absent").ptr == NULL);
    CHECK(hysock_exchange_header(exchange, "no\nname").ptr == NULL);
    CHECK(hysock_exchange_header(exchange, "").ptr == NULL);
    hysock_str empty = hysock_exchange_header(exchange, "X-EMPTY");
    if (empty.ptr != NULL)
        CHECK_INT(empty.len, 0);
    CHECK_INT(hysock_str_copy(method, part, sizeof(part)), method.len);
    CHECK_INT(strlen(part), method.len);
    CHECK_OK(hysock_exchange_answer(exchange, 200, "text/plain", text, (size_t)n, ERR));
}

static void on_later(hysock_exchange *exchange, void *userdata) {
    (void)userdata;
    CHECK_OK(hysock_exchange_defer(exchange, ERR));
    pthread_mutex_lock(&later.mutex);
    later.exchanges[later.count++] = exchange;
    pthread_mutex_unlock(&later.mutex);
    latch_add(&later.arrived, 1);
}

static void on_freed(hysock_exchange *exchange, void *userdata) {
    (void)userdata;
    CHECK_OK(hysock_exchange_defer(exchange, ERR));
    hysock_exchange_free(exchange);
}

static void on_nothing(hysock_exchange *exchange, void *userdata) {
    (void)exchange;
    (void)userdata;
}

static void on_twice(hysock_exchange *exchange, void *userdata) {
    (void)userdata;
    answer_text(exchange, 201, "first");
    CHECK_STATUS(hysock_exchange_answer(exchange, 200, NULL, "second", 6, ERR), HYSOCK_E_STATE);
    CHECK_INT(check_error.status, HYSOCK_E_STATE);
    CHECK(check_error.message[0] != 0);
    CHECK_STATUS(hysock_exchange_set_header(exchange, "x-late", "1", 1), HYSOCK_E_STATE);
    CHECK_STATUS(hysock_exchange_add_header(exchange, "x-late", "1", 1), HYSOCK_E_STATE);
}

/* Refused answers have sent nothing: the good one at the end arrives alone. */
static void on_refused(hysock_exchange *exchange, void *userdata) {
    (void)userdata;
    static const int32_t statuses[] = {0, -1, 99, 100, 101, 199, 600, 1000, INT32_MIN, INT32_MAX};
    for (size_t i = 0; i < sizeof(statuses) / sizeof(statuses[0]); i++)
        CHECK_STATUS(hysock_exchange_answer(exchange, statuses[i], NULL, "no", 2, ERR),
                     HYSOCK_E_INVALID_ARGUMENT);
    CHECK_STATUS(hysock_exchange_answer(exchange, 200, "text/plain\r\nx-evil: 1", "no", 2, ERR),
                 HYSOCK_E_INVALID_ARGUMENT);
    CHECK_STATUS(hysock_exchange_answer(exchange, 200, NULL, "no", PTRDIFF_MAX + (size_t)1, ERR),
                 HYSOCK_E_INVALID_ARGUMENT);
    CHECK_OK(hysock_exchange_answer(exchange, 203, "text/yes", "yes", 3, ERR));
    CHECK_INT(check_error.status, HYSOCK_OK);
}

/* set replaces, add appends, and what is copied may be changed at once. */
static void on_headers(hysock_exchange *exchange, void *userdata) {
    (void)userdata;
    char value[] = "cutXXX", body[] = "copied";
    CHECK_OK(hysock_exchange_set_header(exchange, "x-set", "old", HYSOCK_NTS));
    CHECK_OK(hysock_exchange_set_header(exchange, "X-Set", value, 3));
    CHECK_OK(hysock_exchange_add_header(exchange, "x-add", "one", HYSOCK_NTS));
    CHECK_OK(hysock_exchange_add_header(exchange, "x-add", "two", HYSOCK_NTS));
    CHECK_OK(hysock_exchange_set_header(exchange, "x-empty", "", 0));
    CHECK_OK(hysock_exchange_answer(exchange, 200, NULL, body, 6, ERR));
    memset(value, '#', sizeof(value));
    memset(body, '#', sizeof(body));
}

static void on_other(hysock_exchange *exchange, void *userdata) {
    (void)userdata;
    answer_text(exchange, 404, "not here");
}

static void check_answer(raw *r, int status, const char *body) {
    answer a;
    CHECK_INT(raw_answer(r, &a, false), status);
    if (body != NULL && strcmp(a.body, body) != 0) {
        dprintf(check_fd, "body: \"%s\"\nnot:  \"%s\"\n", a.body, body);
        CHECK(!"the right body");
    }
    answer_free(&a);
}

#define GET(target) "GET " target " HTTP/1.1\r\nHost: x\r\n\r\n"

static void ask(const char *path, const char *request, int status, const char *body) {
    raw r;
    raw_open(&r, path);
    raw_text(&r, request);
    check_answer(&r, status, body);
    raw_close(&r);
}

static void methods(const char *path) {
    answer a;
    raw r;
    raw_open(&r, path);
    raw_text(&r, GET("/"));
    CHECK_INT(raw_answer(&r, &a, false), 200);
    CHECK(strcmp(a.body, "Hello, world!") == 0);
    CHECK(answer_header_is(&a, "content-type", "text/plain"));
    CHECK(answer_header_is(&a, "content-length", "13"));
    answer_free(&a);
    /* HEAD: the same head, no body, and the connection goes on in step. */
    raw_text(&r, "HEAD / HTTP/1.1\r\nHost: x\r\n\r\n");
    CHECK_INT(raw_answer(&r, &a, true), 200);
    CHECK(answer_header_is(&a, "content-length", "13"));
    answer_free(&a);
    raw_text(&r, GET("/"));
    check_answer(&r, 200, "Hello, world!");
    raw_text(&r, "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\na\nb\tc");
    check_answer(&r, 200, "a\nb\tc");
    raw_text(&r, "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n");
    check_answer(&r, 200, "");
    raw_text(&r, "POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
                 "3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nTrailer: t\r\n\r\n");
    check_answer(&r, 200, "abcde");
    /* Not found, and found under another method. */
    raw_text(&r, GET("/nowhere"));
    check_answer(&r, 404, NULL);
    raw_text(&r, "DELETE / HTTP/1.1\r\nHost: x\r\n\r\n");
    CHECK_INT(raw_answer(&r, &a, false), 405);
    char allow[256];
    CHECK(answer_header(&a, "allow", allow, sizeof(allow)));
    CHECK(strstr(allow, "GET") != NULL && strstr(allow, "DELETE") == NULL);
    answer_free(&a);
    raw_close(&r);
}

static void info(const char *path) {
    ask(path, GET("/info"), 200, "GET|/info|/info|-|11\nhost: x\n");
    ask(path, GET("/info?"), 200, "GET|/info?|/info|?|11\nhost: x\n");
    ask(path,
        "PATCH /info?a=%20b&c HTTP/1.1\r\nHOST: localhost\r\nX-Two: 1\r\nX-Two: 2  \r\n"
        "x-empty:\r\n\r\n",
        200,
        "PATCH|/info?a=%20b&c|/info|?a=%20b&c|11\nhost: localhost\nx-two: 1\nx-two: 2\n"
        "x-empty: \n");
    /* A path is matched as it came: nothing is decoded. */
    ask(path, GET("/inf%6f"), 404, NULL);
}

static void connections(const char *path) {
    answer a;
    raw r;
    raw_open(&r, path);
    for (int i = 0; i < 100; i++) {
        raw_text(&r, GET("/"));
        check_answer(&r, 200, "Hello, world!");
    }
    /* Ten at once, answered in their order. */
    char batch[2048] = "", line[128];
    for (int i = 0; i < 10; i++) {
        snprintf(line, sizeof(line), "GET /info?%d HTTP/1.1\r\nHost: x\r\n\r\n", i);
        strcat(batch, line);
    }
    raw_text(&r, batch);
    for (int i = 0; i < 10; i++) {
        snprintf(line, sizeof(line), "GET|/info?%d|/info|?%d|11\nhost: x\n", i, i);
        check_answer(&r, 200, line);
    }
    raw_text(&r, "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    check_answer(&r, 200, "Hello, world!");
    CHECK(raw_closes(&r, check_ms(DEADLINE_MS)));
    raw_close(&r);

    /* HTTP/1.0: no Host needed, closed after the answer; kept when asked for. */
    raw_open(&r, path);
    raw_text(&r, "GET /info HTTP/1.0\r\n\r\n");
    check_answer(&r, 200, "GET|/info|/info|-|10\n");
    CHECK(raw_closes(&r, check_ms(DEADLINE_MS)));
    raw_close(&r);
    raw_open(&r, path);
    for (int i = 0; i < 2; i++) {
        raw_text(&r, "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
        check_answer(&r, 200, "Hello, world!");
    }
    raw_close(&r);

    /* Expect: the interim answer comes before the body is sent. */
    raw_open(&r, path);
    raw_text(&r,
             "POST /echo HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n");
    CHECK_INT(raw_answer(&r, &a, false), 100);
    answer_free(&a);
    raw_text(&r, "body");
    check_answer(&r, 200, "body");
    raw_close(&r);

    /* A request that comes byte by byte. */
    static const char slow[] = "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nxyz";
    raw_open(&r, path);
    for (size_t i = 0; i < sizeof(slow) - 1; i++)
        raw_send(&r, slow + i, 1);
    check_answer(&r, 200, "xyz");
    raw_close(&r);
}

static void answers(const char *path) {
    answer a;
    raw r;
    ask(path, GET("/freed"), 500, NULL);
    ask(path, GET("/nothing"), 500, NULL);
    ask(path, GET("/twice"), 201, "first");
    ask(path, GET("/refused"), 203, "yes");
    raw_open(&r, path);
    raw_text(&r, GET("/headers"));
    CHECK_INT(raw_answer(&r, &a, false), 200);
    CHECK(strcmp(a.body, "copied") == 0);
    CHECK(answer_header_is(&a, "x-set", "cut"));
    CHECK(answer_header_is(&a, "x-empty", ""));
    CHECK(strstr(a.head, "old") == NULL);
    CHECK(strstr(a.head, "one") != NULL && strstr(a.head, "two") != NULL);
    answer_free(&a);
    /* The connection is fit for use after each of the failures. */
    raw_text(&r, GET("/nothing"));
    check_answer(&r, 500, NULL);
    raw_text(&r, GET("/twice"));
    check_answer(&r, 201, "first");
    raw_close(&r);

    /* Later, from another thread; several at once on connections of their own. */
    raw many[16];
    pthread_t thread = thread_start(answer_later, (void *)(intptr_t)17);
    for (int i = 0; i < 16; i++) {
        raw_open(&many[i], path);
        raw_text(&many[i], "GET /later HTTP/1.1\r\nHost: x\r\nX-Id: 7\r\n\r\n");
    }
    for (int i = 0; i < 16; i++) {
        CHECK_INT(raw_answer(&many[i], &a, false), 202);
        CHECK(answer_header_is(&a, "x-from", "later"));
        answer_free(&a);
    }
    /* Pipelined behind an answer that comes later: the order stays. */
    raw_text(&many[0], "GET /later HTTP/1.1\r\nHost: x\r\nX-Id: 7\r\n\r\n" GET("/"));
    check_answer(&many[0], 202, "later");
    check_answer(&many[0], 200, "Hello, world!");
    thread_join(thread);
    for (int i = 0; i < 16; i++)
        raw_close(&many[i]);
}

static void add(hysock_server *server, const char *method, const char *path,
                hysock_exchange_fn fn) {
    CHECK_OK(hysock_server_add_route(server, method, path, fn, NULL, NULL, ERR));
}

static void add_routes(hysock_server *server) {
    add(server, "GET", "/", on_hello);
    add(server, "POST", "/echo", on_echo);
    add(server, NULL, "/info", on_info);
    add(server, "GET", "/later", on_later);
    add(server, "GET", "/freed", on_freed);
    add(server, "GET", "/nothing", on_nothing);
    add(server, "GET", "/twice", on_twice);
    add(server, "GET", "/refused", on_refused);
    add(server, "GET", "/headers", on_headers);
}

/* A route without a path takes what no other takes; one without a method takes every method. */
static void fallback(void) {
    host h;
    host_open(&h, delivery, NULL);
    hysock_server_config *config = host_server_config(&h);
    CHECK_OK(hysock_server_new(h.runtime, config, &h.server, ERR));
    hysock_server_config_free(config);
    add(h.server, "GET", "/", on_hello);
    add(h.server, NULL, NULL, on_other);
    CHECK_STATUS(hysock_server_wait(h.server, 20, ERR), HYSOCK_E_TIMED_OUT);
    CHECK_OK(hysock_server_add_listener(h.server, h.path, HYSOCK_NTS, NULL, ERR));
    CHECK_OK(hysock_server_start(h.server, ERR));
    CHECK_STATUS(hysock_server_start(h.server, ERR), HYSOCK_E_STATE);
    ask(h.path, GET("/"), 200, "Hello, world!");
    ask(h.path, GET("/x"), 404, "not here");
    ask(h.path, "PUT /x/y?z HTTP/1.1\r\nHost: x\r\n\r\n", 404, "not here");
    CHECK_STATUS(hysock_server_wait(h.server, 20, ERR), HYSOCK_E_TIMED_OUT);
    host_stop(&h);
    CHECK(access(h.path, F_OK) != 0); /* the socket file went with the server */
}

static latch inside;
static latch most;
static void on_together(hysock_exchange *exchange, void *userdata) {
    long want = *(long *)userdata;
    long now = latch_add(&inside, 1);
    if (want > 1)
        LATCH_AWAIT(&inside, want); /* the others run at the same time */
    else
        latch_add(&most, now > 1 ? 1 : 0);
    answer_text(exchange, 200, "x");
    if (want == 1)
        latch_add(&inside, -1);
}

/* The pool runs handlers side by side; with one callback thread never two at a time. */
static void parallel(void) {
    for (long want = 1; want <= 4; want += 3) {
        host h;
        raw many[8];
        latch_init(&inside);
        latch_init(&most);
        hysock_runtime_config *config = hysock_runtime_config_new();
        if (want == 1)
            CHECK_OK(hysock_runtime_config_set_callback_threads(config, 1));
        host_open(&h, POOL, config);
        hysock_runtime_config_free(config);
        host_serve(&h, NULL, on_together, &want, NULL);
        int n = want == 1 ? 8 : 4;
        for (int i = 0; i < n; i++) {
            raw_open(&many[i], h.path);
            raw_text(&many[i], GET("/"));
        }
        for (int i = 0; i < n; i++) {
            CHECK_INT(raw_status(&many[i]), 200);
            raw_close(&many[i]);
        }
        CHECK_INT(latch_count(&most), 0);
        host_stop(&h);
    }
}

int main(int argc, char **argv) {
    host h;
    check_start();
    delivery = delivery_parse(argc, argv);
    latch_init(&later.arrived);
    host_open(&h, delivery, NULL);
    hysock_server_config *config = host_server_config(&h);
    CHECK_OK(hysock_server_new(h.runtime, config, &h.server, ERR));
    hysock_server_config_free(config);
    add_routes(h.server);
    CHECK_OK(hysock_server_add_listener(h.server, h.path, HYSOCK_NTS, NULL, ERR));
    CHECK_OK(hysock_server_start(h.server, ERR));
    methods(h.path);
    info(h.path);
    connections(h.path);
    answers(h.path);
    host_stop(&h);
    fallback();
    if (delivery == POOL)
        parallel();
    return check_end();
}
