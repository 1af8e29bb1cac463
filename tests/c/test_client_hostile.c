/* A peer that answers garbage, ends early or says nothing: the right status, never a hang or a
 * crash. */
#include "host.h"

typedef struct row {
    const char *name;
    const char *answer;
    size_t len; /* 0: its strlen */
    hysock_status status;
    bool hold; /* leave the connection open behind the answer */
} row;

static const row rows[] = {
    {"an answer", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", 0, HYSOCK_OK, true},
    {"until the end", "HTTP/1.1 200 OK\r\n\r\nok", 0, HYSOCK_OK, false},
    {"HTTP/1.0", "HTTP/1.0 200 OK\r\n\r\nok", 0, HYSOCK_OK, false},
    {"chunked", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", 0,
     HYSOCK_OK, true},
    {"interim answers",
     "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\nLink: x\r\n\r\n"
     "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
     0, HYSOCK_OK, true},
    {"more than was announced", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 500 x", 0,
     HYSOCK_OK, true},
    {"garbage", "garbage\r\n\r\n", 0, HYSOCK_E_PROTOCOL, true},
    {"another protocol", "SSH-2.0-OpenSSH_9.2\r\n", 0, HYSOCK_E_PROTOCOL, true},
    {"bytes", "\x00\x01\x02\xff\xfe\r\n\r\n", 9, HYSOCK_E_PROTOCOL, true},
    {"a NUL in a header", "HTTP/1.1 200 OK\r\na: b\0c\r\n\r\n", 26, HYSOCK_E_PROTOCOL, true},
    {"status 99", "HTTP/1.1 99 x\r\nContent-Length: 0\r\n\r\n", 0, HYSOCK_E_PROTOCOL, true},
    {"status 1000", "HTTP/1.1 1000 x\r\nContent-Length: 0\r\n\r\n", 0, HYSOCK_E_PROTOCOL, true},
    {"a length of letters", "HTTP/1.1 200 OK\r\nContent-Length: abc\r\n\r\nxyz", 0,
     HYSOCK_E_PROTOCOL, true},
    {"a negative length", "HTTP/1.1 200 OK\r\nContent-Length: -2\r\n\r\nok", 0, HYSOCK_E_PROTOCOL,
     true},
    {"two lengths", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nokx", 0,
     HYSOCK_E_PROTOCOL, true},
    {"a broken chunk", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nok\r\n", 0,
     HYSOCK_E_PROTOCOL, true},
    {"half a head", "HTTP/1.1 200 OK\r\nContent-Le", 0, HYSOCK_E_TRUNCATED, false},
    {"half a body", "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n0123", 0, HYSOCK_E_TRUNCATED,
     false},
    {"half a chunk", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\na\r\n0123", 0,
     HYSOCK_E_TRUNCATED, false},
    {"no last chunk", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n", 0,
     HYSOCK_E_TRUNCATED, false},
    {"closed without a byte", "", 0, HYSOCK_E_CLOSED, false},
    {"silence", "", 0, HYSOCK_E_TIMED_OUT, true},
    {"a head that never ends", "HTTP/1.1 200 OK\r\nContent-Le", 0, HYSOCK_E_TIMED_OUT, true},
    {"a body that never ends", "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n0123", 0,
     HYSOCK_E_TIMED_OUT, true},
    {"a length beyond the limit", "HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\nx", 0,
     HYSOCK_E_TOO_LARGE, true},
};
#define ROWS ((int)(sizeof(rows) / sizeof(rows[0])))
/* Two more, that are sent on and on: a header and a body without end. */
#define ENDLESS_HEAD ROWS
#define ENDLESS_BODY (ROWS + 1)

typedef struct peer {
    int listener;
    int what; /* set before each call */
    pthread_mutex_t mutex;
    bool end;
} peer;

static int peer_what(peer *p, bool *end) {
    pthread_mutex_lock(&p->mutex);
    int what = p->what;
    *end = p->end;
    pthread_mutex_unlock(&p->mutex);
    return what;
}

static void peer_set(peer *p, int what, bool end) {
    pthread_mutex_lock(&p->mutex);
    p->what = what;
    p->end = end;
    pthread_mutex_unlock(&p->mutex);
}

/* Sends the same piece until the client has had enough. */
static void flood(raw *r, const char *start) {
    char piece[8192];
    memset(piece, 'a', sizeof(piece));
    raw_text(r, start);
    int64_t end = now_ms() + check_ms(DEADLINE_MS);
    size_t total = 0;
    while (raw_send_some(r, piece, sizeof(piece), false) == sizeof(piece)) {
        CHECK(now_ms() < end);
        total += sizeof(piece);
        CHECK(total < (size_t)1 << 30); /* it must have been cut off long before */
    }
}

static void *serve(void *argument) {
    peer *p = argument;
    raw held;
    raw_adopt(&held, -1);
    for (;;) {
        raw r;
        bool end;
        raw_accept(&r, p->listener);
        if (held.fd >= 0)
            raw_close(&held); /* the call before has ended */
        int what = peer_what(p, &end);
        if (end) {
            raw_close(&r);
            return NULL;
        }
        if (raw_head(&r) == 0) {
            raw_close(&r);
            continue;
        }
        bool hold = false;
        if (what == ENDLESS_HEAD) {
            flood(&r, "HTTP/1.1 200 OK\r\nA: ");
        } else if (what == ENDLESS_BODY) {
            flood(&r, "HTTP/1.1 200 OK\r\n\r\n");
        } else {
            size_t len = rows[what].len ? rows[what].len : strlen(rows[what].answer);
            raw_send(&r, rows[what].answer, len);
            hold = rows[what].hold;
        }
        if (hold)
            held = r;
        else
            raw_close(&r);
    }
}

static void check_call(const hysock_call *call, const char *name, const char *how,
                       hysock_status got, hysock_status expected) {
    if (got != expected) {
        CHECK_STATUS(hysock_call_error(call, ERR), got);
        dprintf(check_fd, "%s, %s: %s\n", name, how, check_error.message);
    }
    CHECK_STATUS(got, expected);
    CHECK_STATUS(hysock_call_error(call, ERR), expected);
    CHECK_INT(check_error.status, expected);
    if (expected == HYSOCK_OK) {
        CHECK_INT(hysock_call_http_status(call), 200);
        CHECK(hysock_str_equal(hysock_call_body(call), "ok"));
    } else {
        CHECK(check_error.message[0] != 0);
    }
}

/* A client of its own: what one hostile answer did to a connection does not reach the next. */
static hysock_client *fresh_client(hysock_runtime *runtime, const char *path, uint32_t timeout_ms) {
    hysock_client *client = NULL;
    hysock_client_config *config = hysock_client_config_new();
    CHECK_OK(hysock_client_config_set_max_body(config, 65536));
    CHECK_OK(hysock_client_config_set_timeout(config, timeout_ms));
    CHECK_OK(hysock_client_new(runtime, path, HYSOCK_NTS, config, &client, ERR));
    hysock_client_config_free(config);
    return client;
}

static void ask(hysock_runtime *runtime, const char *path, const char *name,
                hysock_status expected) {
    uint32_t timeout = expected == HYSOCK_E_TIMED_OUT ? 150 : (uint32_t)check_ms(DEADLINE_MS);
    hysock_client *client = fresh_client(runtime, path, timeout);
    hysock_call *call = new_call(client, "GET", "/");
    check_call(call, name, "perform", hysock_call_perform(call, ERR), expected);
    hysock_call_free(call);
    hysock_client_free(client);
}

static void ask_started(hysock_runtime *runtime, const char *path, const char *name,
                        hysock_status expected) {
    completion c;
    hysock_client *client = fresh_client(runtime, path, HYSOCK_FOREVER);
    completion_new(&c, client, POOL, "/");
    if (expected == HYSOCK_E_TIMED_OUT)
        CHECK_OK(hysock_call_set_timeout(c.call, 150));
    completion_start(&c);
    LATCH_AWAIT(&c.drops, 1);
    check_call(c.call, name, "start", c.status, expected);
    completion_await(&c, expected);
    hysock_call_free(c.call);
    hysock_client_free(client);
}

int main(void) {
    char path[108];
    peer p = {.mutex = PTHREAD_MUTEX_INITIALIZER};
    hysock_runtime *runtime = NULL;
    check_start();
    p.listener = raw_listen(temp_path(path, "hostile"));
    pthread_t thread = thread_start(serve, &p);
    CHECK_OK(hysock_runtime_new(NULL, &runtime, ERR));
    for (int i = 0; i < ROWS; i++) {
        peer_set(&p, i, false);
        ask(NULL, path, rows[i].name, rows[i].status);
        ask(runtime, path, rows[i].name, rows[i].status);
        ask_started(runtime, path, rows[i].name, rows[i].status);
    }
    for (int i = ENDLESS_HEAD; i <= ENDLESS_BODY; i++) {
        const char *name = i == ENDLESS_HEAD ? "a header without end" : "a body without end";
        peer_set(&p, i, false);
        ask(NULL, path, name, HYSOCK_E_TOO_LARGE);
        ask_started(runtime, path, name, HYSOCK_E_TOO_LARGE);
    }
    peer_set(&p, 0, true);
    raw r;
    raw_open(&r, path);
    thread_join(thread);
    raw_close(&r);
    close(p.listener);
    CHECK_OK(hysock_runtime_shutdown(runtime, 1000, ERR));
    WAIT_OK(hysock_runtime_wait, runtime);
    hysock_runtime_free(runtime);
    return check_end();
}
