/* Bad input to a server: the right 4xx, closed where the protocol demands it, no handler called,
 * and a normal client beside it undisturbed. */
#include "host.h"

#define MAX_BODY 65536

static latch handled;
static raw beside; /* the normal client, on one connection from start to end */

static void handler(hysock_exchange *exchange, void *userdata) {
    (void)userdata;
    if (!hysock_str_equal(hysock_exchange_path(exchange), "/beside"))
        latch_add(&handled, 1);
    answer_text(exchange, 200, "fine");
}

static void undisturbed(void) {
    raw_text(&beside, "GET /beside HTTP/1.1\r\nHost: x\r\n\r\n");
    CHECK_INT(raw_status(&beside), 200);
}

/* What the server makes of `request`: its answer's status; then it must close when `closes`. */
static void expect(const char *path, const char *what, const void *request, size_t len, int status,
                   bool closes) {
    raw r;
    long before = latch_count(&handled);
    raw_open(&r, path);
    raw_send_some(&r, request, len, true);
    int got = raw_status(&r);
    if (got != status)
        dprintf(check_fd, "%s\n", what);
    CHECK_INT(got, status);
    if (closes && !raw_closes(&r, check_ms(DEADLINE_MS))) {
        dprintf(check_fd, "%s\n", what);
        CHECK(!"closed after its answer");
    }
    raw_close(&r);
    CHECK_INT(latch_count(&handled) - before, status == 200 ? 1 : 0);
    undisturbed();
}

static void text(const char *path, const char *request, int status, bool closes) {
    expect(path, request, request, strlen(request), status, closes);
}

static void lines(const char *path) {
    static const char *const broken[] = {
        "garbage\r\n\r\n",
        "GE T / HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET  / HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET / HTTP/1.1 \r\nHost: x\r\n\r\n",
        "GET / HTTP/9.9\r\nHost: x\r\n\r\n",
        "GET / FTP/1.1\r\nHost: x\r\n\r\n",
        "GET /\x01 HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: x\r\nbad name: y\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: x\r\nname : y\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: x\r\n: y\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: x\r\nnocolon\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: x\r\na: b\rc\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: abc\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef",
        "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\n\r\n",
    };
    for (size_t i = 0; i < sizeof(broken) / sizeof(broken[0]); i++)
        text(path, broken[i], 400, true);
    /* A coding that the server does not know, before the one that it does. */
    text(path, "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
         501, true);
    text(path,
         "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\nTransfer-Encoding: "
         "chunked\r\n\r\n"
         "0\r\n\r\n",
         501, true);
    static const char nul[] = "GET / HTTP/1.1\r\nHost: x\r\na: b\0c\r\n\r\n";
    expect(path, "a NUL in a header", nul, sizeof(nul) - 1, 400, true);
    static const char tls[] = "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03zzzzzzzz";
    expect(path, "a TLS hello", tls, sizeof(tls) - 1, 400, true);
    /* Bytes of chance, the same ones in each run. */
    uint64_t state = 20240607;
    char noise[4096];
    for (size_t i = 0; i < sizeof(noise); i++)
        noise[i] = (char)next_random(&state);
    noise[0] = (char)0xfe;
    expect(path, "noise", noise, sizeof(noise), 400, true);
    /* A target is a path that starts with a slash. */
    text(path, "GET x HTTP/1.1\r\nHost: x\r\n\r\n", 400, false);
    text(path, "GET x/y HTTP/1.1\r\nHost: x\r\n\r\n", 400, false);
}

static void hosts(const char *path, bool strict) {
    static const struct {
        const char *lines;
        int status;
        int strict;
    } rows[] = {
        {"", 400, 400},
        {"Host: a\r\nHost: a\r\n", 400, 400},
        {"Host: a\r\nHost: b\r\n", 400, 400},
        {"Host: a b\r\n", 400, 400},
        {"Host: a,b\r\n", 400, 400},
        {"Host: a@b\r\n", 400, 400},
        {"Host: a/b\r\n", 400, 400},
        {"Host: /run/x.sock\r\n", 400, 400},
        {"Host: a\tb\r\n", 400, 400},
        {"Host:\r\n", 200, 400},
        {"Host: %2Frun%2Fx.sock\r\n", 200, 400},
        {"Host: docker:port\r\n", 200, 400},
        {"Host: odd\"one\r\n", 200, 400},
        {"Host: localhost\r\n", 200, 200},
        {"Host: localhost:80\r\n", 200, 200},
        {"Host: 127.0.0.1\r\n", 200, 200},
        {"Host: [::1]:8080\r\n", 200, 200},
        {"Host: api.example\r\n", 200, 200},
    };
    char request[256];
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        snprintf(request, sizeof(request), "GET / HTTP/1.1\r\n%s\r\n", rows[i].lines);
        text(path, request, strict ? rows[i].strict : rows[i].status, false);
    }
    /* HTTP/1.0 knew no Host; what is sent must be right all the same. */
    text(path, "GET / HTTP/1.0\r\n\r\n", 200, true);
    text(path, "GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n", 400, false);
}

static char *filled(size_t len, const char *start, const char *end) {
    size_t before = strlen(start), after = strlen(end);
    char *text = malloc(before + len + after + 1);
    CHECK(text != NULL);
    memcpy(text, start, before);
    memset(text + before, 'a', len);
    memcpy(text + before + len, end, after + 1);
    return text;
}

static void large_heads(const char *path) {
    char *request = filled(1 << 20, "GET / HTTP/1.1\r\nHost: x\r\nA: ", "\r\n\r\n");
    expect(path, "a header of 1 MB", request, strlen(request), 431, true);
    free(request);
    request = filled(9000, "GET /", " HTTP/1.1\r\nHost: x\r\n\r\n");
    expect(path, "a target of 9,001 bytes", request, strlen(request), 414, false);
    free(request);
    request = filled(8191, "GET /", " HTTP/1.1\r\nHost: x\r\n\r\n");
    expect(path, "a target of 8 KiB", request, strlen(request), 200, false);
    free(request);
    for (int count = 100; count <= 200; count += 100) {
        char *many = malloc(200 * 16 + 64);
        CHECK(many != NULL);
        size_t n = (size_t)sprintf(many, "GET / HTTP/1.1\r\nHost: x\r\n");
        for (int i = 1; i < count; i++)
            n += (size_t)sprintf(many + n, "H%d: v\r\n", i);
        n += (size_t)sprintf(many + n, "\r\n");
        expect(path, "many headers", many, n, count == 100 ? 200 : 431, count != 100);
        free(many);
    }
}

/* Sends a body without end until the server has answered; the answer must arrive. */
static void body_without_end(const char *path, const char *head, const char *piece, size_t len,
                             int expected) {
    raw r;
    answer a;
    long before = latch_count(&handled);
    raw_open(&r, path);
    raw_text(&r, head);
    int64_t end = now_ms() + check_ms(DEADLINE_MS);
    bool answered = false;
    while (!answered) {
        CHECK(now_ms() < end);
        size_t sent = raw_send_some(&r, piece, len, true);
        answered = sent < len;
    }
    CHECK_INT(raw_answer(&r, &a, false), expected);
    answer_free(&a);
    raw_close(&r);
    CHECK_INT(latch_count(&handled), before);
    undisturbed();
}

static void bodies(const char *path) {
    answer a;
    raw r;
    char head[128];
    char *chunk = filled(16384, "4000\r\n", "\r\n");
    body_without_end(path, "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n",
                     chunk, strlen(chunk), 413);
    body_without_end(path, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000000000\r\n\r\n",
                     chunk, strlen(chunk), 413);
    free(chunk);
    /* One byte over the limit and not one more sent: refused by its length alone. */
    snprintf(head, sizeof(head), "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n",
             MAX_BODY + 1);
    text(path, head, 413, false);
    snprintf(head, sizeof(head),
             "POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: %d\r\n\r\n",
             MAX_BODY + 1);
    text(path, head, 413, false); /* and no 100 before it */
    /* Exactly the limit is fine. */
    snprintf(head, sizeof(head), "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n",
             MAX_BODY);
    char *whole = filled(MAX_BODY, head, "");
    expect(path, "a body of the limit", whole, strlen(whole), 200, false);
    free(whole);
    /* A broken chunk, found before the handler is called. */
    raw_open(&r, path);
    raw_text(&r, "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nabc");
    int status = raw_answer(&r, &a, false);
    CHECK(status == 400 || status == 0);
    answer_free(&a);
    CHECK(raw_closes(&r, check_ms(DEADLINE_MS)));
    raw_close(&r);
    undisturbed();
}

/* A client that leaves in the middle of a request: no handler, nothing left behind. */
static void cut(const char *path) {
    static const char request[] = "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n01234";
    long before = latch_count(&handled);
    for (size_t len = 0; len < sizeof(request); len++) {
        raw r;
        raw_open(&r, path);
        raw_send(&r, request, len);
        if (len % 2 == 0) {
            shutdown(r.fd, SHUT_WR);
            CHECK(raw_status(&r) == 0 || raw_closes(&r, check_ms(DEADLINE_MS)));
        }
        raw_close(&r);
    }
    undisturbed();
    CHECK_INT(latch_count(&handled), before);
}

/* What a handler may not put into an answer. */
static void injecting(hysock_exchange *exchange, void *userdata) {
    (void)userdata;
    static const struct {
        const char *name;
        const char *value;
        size_t len;
    } bad[] = {
        {"", "x", 1},
        {"a b", "x", 1},
        {" a", "x", 1},
        {"a:", "x", 1},
        {"a\r\nx-evil", "x", 1},
        {"a\n", "x", 1},
        {"a\r", "x", 1},
        {"\x7f", "x", 1},
        {"a", "x\r\nx-evil: y", 12},
        {"a", "x\n", 2},
        {"a", "\rx", 2},
        {"a", "x\0y", 3},
        {"a", "\0", 1},
        {"a", "x", PTRDIFF_MAX + (size_t)1},
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        CHECK_STATUS(hysock_exchange_set_header(exchange, bad[i].name, bad[i].value, bad[i].len),
                     HYSOCK_E_INVALID_ARGUMENT);
        CHECK_STATUS(hysock_exchange_add_header(exchange, bad[i].name, bad[i].value, bad[i].len),
                     HYSOCK_E_INVALID_ARGUMENT);
    }
    static const int32_t statuses[] = {99, 1000, 600, 199, 0, -200};
    for (size_t i = 0; i < sizeof(statuses) / sizeof(statuses[0]); i++) {
        CHECK_STATUS(hysock_exchange_answer(exchange, statuses[i], NULL, "x", 1, ERR),
                     HYSOCK_E_INVALID_ARGUMENT);
        char number[16];
        snprintf(number, sizeof(number), "%d", (int)statuses[i]);
        CHECK_ERR(HYSOCK_E_INVALID_ARGUMENT, number);
    }
    CHECK_STATUS(hysock_exchange_answer(exchange, 200, "a/b\nx-evil: y", "x", 1, ERR),
                 HYSOCK_E_INVALID_ARGUMENT);
    /* Without the headers that were refused: said once, then the answer may go. */
    CHECK_STATUS(hysock_exchange_answer(exchange, 200, NULL, "x", 1, ERR),
                 HYSOCK_E_INVALID_ARGUMENT);
    answer_text(exchange, 200, "clean");
}

static void injection(void) {
    host h;
    raw r;
    answer a;
    host_start(&h, POOL, injecting, NULL);
    raw_open(&r, h.path);
    raw_text(&r, "GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    CHECK_INT(raw_answer(&r, &a, false), 200);
    CHECK(strstr(a.head, "evil") == NULL);
    CHECK(strcmp(a.body, "clean") == 0);
    answer_free(&a);
    raw_close(&r);
    host_stop(&h);
}

int main(void) {
    check_start();
    latch_init(&handled);
    for (int strict = 0; strict < 2; strict++) {
        host h;
        host_open(&h, POOL, NULL);
        hysock_server_config *config = host_server_config(&h);
        CHECK_OK(hysock_server_config_set_max_body(config, MAX_BODY));
        CHECK_OK(hysock_server_config_set_strict_host(config, strict == 1));
        host_serve(&h, config, handler, NULL, NULL);
        raw_open(&beside, h.path);
        undisturbed();
        hosts(h.path, strict == 1);
        if (!strict) {
            lines(h.path);
            large_heads(h.path);
            bodies(h.path);
            cut(h.path);
        }
        raw_close(&beside);
        host_stop(&h);
    }
    injection();
    return check_end();
}
