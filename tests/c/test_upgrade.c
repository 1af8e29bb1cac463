/* Another protocol after a 101, with one delivery: the argument. */
#include "stream.h"

#include <fcntl.h>

static enum delivery delivery;

#define ASK "GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n"

typedef struct sessions {
    latch begun;   /* fn has run */
    latch drops;   /* its userdata was dropped */
    latch gone;    /* on_gone has run */
    latch handled; /* the handler has returned */
    hysock_exchange *exchange;
    int fd;
    char early[64];
    bool free_in_fn;
    bool free_in_handler;
    bool defer_first;
    bool leaves;
} sessions;

static void session_drop(void *userdata) { latch_add(&((sessions *)userdata)->drops, 1); }

static void session_gone(hysock_exchange *exchange, void *userdata) {
    sessions *s = userdata;
    CHECK(exchange == s->exchange);
    latch_add(&s->gone, 1);
}

static void session_begin(hysock_exchange *exchange, int32_t fd, hysock_str early, void *userdata) {
    sessions *s = userdata;
    CHECK(delivery_here(delivery));
    CHECK(exchange == s->exchange);
    CHECK(early.ptr != NULL);
    hysock_str_copy(early, s->early, sizeof(s->early));
    s->fd = fd;
    if (s->free_in_fn)
        hysock_exchange_free(exchange);
    latch_add(&s->begun, 1);
}

static void handler(hysock_exchange *exchange, void *userdata) {
    sessions *s = userdata;
    s->exchange = exchange;
    if (s->defer_first)
        CHECK_OK(hysock_exchange_defer(exchange, ERR));
    CHECK_STATUS(hysock_exchange_upgrade(exchange, "other", session_begin, s, NULL, ERR),
                 HYSOCK_E_STATE);
    CHECK_ERR(HYSOCK_E_STATE, "\"other\"");
    CHECK_STATUS(hysock_exchange_upgrade(exchange, "ec\nho", session_begin, s, NULL, ERR),
                 HYSOCK_E_INVALID_ARGUMENT);
    if (hysock_exchange_header(exchange, "upgrade").ptr == NULL) {
        CHECK_STATUS(hysock_exchange_upgrade(exchange, "echo", session_begin, s, session_drop, ERR),
                     HYSOCK_E_STATE);
        CHECK_INT(latch_count(&s->drops), 1);
        answer_text(exchange, 426, "upgrade to echo");
        latch_add(&s->handled, 1);
        return;
    }
    hysock_status status = hysock_exchange_set_header(exchange, "x-session", "7", 1);
    if (s->leaves && status == HYSOCK_E_CLOSED) {
        CHECK_STATUS(hysock_exchange_upgrade(exchange, "echo", session_begin, s, session_drop, ERR),
                     HYSOCK_E_CLOSED);
        latch_add(&s->handled, 1);
        return;
    }
    CHECK_OK(status);
    if (s->leaves) {
        status = hysock_exchange_upgrade(exchange, "echo", session_begin, s, session_drop, ERR);
        if (status != HYSOCK_E_CLOSED)
            CHECK_OK(status);
        latch_add(&s->handled, 1);
        return;
    }
    CHECK_OK(hysock_exchange_on_gone(exchange, session_gone, s, NULL, ERR));
    CHECK_OK(hysock_exchange_upgrade(exchange, "echo", session_begin, s, session_drop, ERR));
    CHECK_STATUS(hysock_exchange_upgrade(exchange, "echo", session_begin, s, NULL, ERR),
                 HYSOCK_E_STATE);
    CHECK_STATUS(hysock_exchange_answer(exchange, 200, NULL, NULL, 0, ERR), HYSOCK_E_STATE);
    if (s->free_in_handler)
        hysock_exchange_free(exchange);
    latch_add(&s->handled, 1);
}

static void sessions_start(host *h, sessions *s) {
    latch_init(&s->begun);
    latch_init(&s->drops);
    latch_init(&s->gone);
    latch_init(&s->handled);
    s->fd = -1;
    host_start(h, delivery, handler, s);
}

static void take_101(raw *r) {
    answer a;
    CHECK_INT(raw_begin(r, &a), 101);
    CHECK(answer_header_is(&a, "upgrade", "echo"));
    CHECK(answer_header_is(&a, "connection", "upgrade"));
    CHECK(answer_header_is(&a, "x-session", "7"));
    CHECK(!answer_header_is(&a, "content-length", "0"));
    answer_free(&a);
}

/* Reads from `fd`, which blocks, until `n` bytes are there or it ends. */
static size_t read_all(int fd, char *data, size_t n) {
    size_t got = 0;
    while (got < n) {
        CHECK(raw_poll(fd, POLLIN, check_ms(DEADLINE_MS)) != 0);
        ssize_t some = read(fd, data + got, n - got);
        CHECK(some >= 0);
        if (some == 0)
            break;
        got += (size_t)some;
    }
    return got;
}

/* Both ways, with bytes that came early, and each side ends its own way. */
static void talks(bool defer_first) {
    host h;
    sessions s = {.defer_first = defer_first};
    raw r;
    char data[64] = "";
    sessions_start(&h, &s);
    raw_open(&r, h.path);
    raw_text(&r, ASK "early");
    take_101(&r);
    LATCH_AWAIT(&s.begun, 1);
    CHECK(strcmp(s.early, "early") == 0);
    CHECK(s.fd >= 0);
    CHECK(fcntl(s.fd, F_GETFD) & FD_CLOEXEC);
    CHECK((fcntl(s.fd, F_GETFL) & O_NONBLOCK) == 0);
    LATCH_AWAIT(&s.drops, 1);
    raw_text(&r, "ping");
    CHECK_INT(read_all(s.fd, data, 4), 4);
    CHECK(memcmp(data, "ping", 4) == 0);
    CHECK_INT(write(s.fd, "pong", 4), 4);
    raw_need(&r, 4);
    CHECK(memcmp(r.data, "pong", 4) == 0);
    raw_take(&r, 4);
    /* The client ends its side and still reads. */
    CHECK(shutdown(r.fd, SHUT_WR) == 0);
    CHECK_INT(read_all(s.fd, data, 1), 0);
    CHECK_INT(write(s.fd, "bye", 3), 3);
    CHECK(shutdown(s.fd, SHUT_WR) == 0);
    raw_need(&r, 3);
    CHECK_INT(raw_fill(&r, check_ms(DEADLINE_MS)), 0);
    close(s.fd);
    hysock_exchange_free(s.exchange);
    raw_close(&r);
    host_stop(&h);
    CHECK_INT(latch_count(&s.begun), 1);
    CHECK_INT(latch_count(&s.gone), 0);
}

/* The exchange is freed first: the descriptor goes on. */
static void freed_first(bool in_fn) {
    host h;
    sessions s = {.free_in_fn = in_fn};
    raw r;
    char data[8];
    sessions_start(&h, &s);
    raw_open(&r, h.path);
    raw_text(&r, ASK);
    take_101(&r);
    LATCH_AWAIT(&s.begun, 1);
    CHECK(s.early[0] == 0);
    hysock_exchange_free(s.exchange);
    host_stop(&h);
    raw_text(&r, "x");
    CHECK_INT(read_all(s.fd, data, 1), 1);
    CHECK_INT(write(s.fd, "y", 1), 1);
    raw_need(&r, 1);
    close(s.fd);
    raw_take(&r, 1);
    CHECK(raw_closes(&r, check_ms(DEADLINE_MS)));
    raw_close(&r);
}

/* Freed before the connection was handed over: nobody gets it. */
static void freed_at_once(void) {
    host h;
    sessions s = {.free_in_handler = true};
    raw r;
    sessions_start(&h, &s);
    raw_open(&r, h.path);
    raw_text(&r, ASK);
    LATCH_AWAIT(&s.drops, 1);
    while (raw_fill(&r, check_ms(DEADLINE_MS)) > 0) {
    }
    CHECK(r.eof);
    raw_close(&r);
    host_stop(&h);
    CHECK_INT(latch_count(&s.begun), 0);
}

/* The drain waits for a session, and ends it at its deadline. */
static void drained(bool in_time) {
    host h;
    sessions s = {0};
    raw r;
    char data[8];
    sessions_start(&h, &s);
    raw_open(&r, h.path);
    raw_text(&r, ASK);
    take_101(&r);
    LATCH_AWAIT(&s.begun, 1);
    CHECK_OK(hysock_server_shutdown(h.server, in_time ? HYSOCK_FOREVER : 50, ERR));
    if (in_time) {
        CHECK_STATUS(hysock_server_wait(h.server, 100, ERR), HYSOCK_E_TIMED_OUT);
        hysock_exchange_free(s.exchange);
    } else {
        LATCH_AWAIT(&s.gone, 1);
        CHECK_INT(read_all(s.fd, data, 1), 0);
        CHECK(raw_closes(&r, check_ms(DEADLINE_MS)));
    }
    WAIT_OK(hysock_server_wait, h.server);
    CHECK_INT(latch_count(&s.gone), in_time ? 0 : 1);
    close(s.fd);
    hysock_exchange_free(s.exchange);
    raw_close(&r);
    host_stop(&h);
}

/* The client has left before: the function runs all the same, once. */
static void leaves(void) {
    host h;
    sessions s = {.leaves = true};
    raw r;
    char data[8];
    sessions_start(&h, &s);
    raw_open(&r, h.path);
    raw_text(&r, ASK);
    raw_close(&r);
    LATCH_AWAIT(&s.handled, 1);
    /* Refused, and dropped by that, or begun. */
    LATCH_AWAIT(&s.drops, 1);
    if (latch_count(&s.begun) == 1 && s.fd >= 0) {
        CHECK_INT(read_all(s.fd, data, 1), 0);
        close(s.fd);
    }
    hysock_exchange_free(s.exchange);
    host_stop(&h);
    CHECK(latch_count(&s.begun) <= 1);
    CHECK_INT(latch_count(&s.drops), 1);
}

/* A request that does not ask for it is answered like any other. */
static void not_asked(void) {
    host h;
    sessions s = {0};
    raw r;
    sessions_start(&h, &s);
    raw_open(&r, h.path);
    raw_text(&r, "GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    CHECK_INT(raw_status(&r), 426);
    LATCH_AWAIT(&s.handled, 1);
    raw_close(&r);
    host_stop(&h);
    CHECK_INT(latch_count(&s.drops), 1);
    CHECK_INT(latch_count(&s.begun), 0);
}

/* The server is freed: what has not begun is withdrawn, the descriptor is not lost. */
static void withdrawn(void) {
    host h;
    sessions s = {0};
    raw r;
    sessions_start(&h, &s);
    raw_open(&r, h.path);
    raw_text(&r, ASK);
    take_101(&r);
    LATCH_AWAIT(&s.begun, 1);
    hysock_server_free(h.server);
    h.server = NULL;
    CHECK(raw_closes(&r, check_ms(DEADLINE_MS)));
    close(s.fd);
    hysock_exchange_free(s.exchange);
    raw_close(&r);
    host_stop(&h);
    CHECK_INT(latch_count(&s.gone), 0);
}

int main(int argc, char **argv) {
    check_start();
    delivery = delivery_parse(argc, argv);
    talks(false);
    talks(true);
    freed_first(false);
    freed_first(true);
    freed_at_once();
    drained(true);
    drained(false);
    leaves();
    not_asked();
    withdrawn();
    return check_end();
}
