/* Limits of a server, to the byte and to the connection. */
#include "host.h"

#include <linux/sockios.h>
#include <sched.h>
#include <sys/ioctl.h>

#define GET_ROOT "GET / HTTP/1.1\r\nHost: x\r\n\r\n"

static latch handled;

static void handler(hysock_exchange *exchange, void *userdata) {
    (void)userdata;
    latch_add(&handled, 1);
    answer_or_closed(exchange, "x", 1);
}

/* ---- connections ---- */

static void ask(raw *r, const char *path) {
    raw_open(r, path);
    raw_text(r, GET_ROOT);
}

/* Two listeners share the places: when connections end, both accept again. */
static void places(uint64_t max) {
    host h;
    char paths[2][108];
    raw held[8], further[2];
    host_open(&h, POOL, NULL);
    hysock_server_config *config = host_server_config(&h);
    CHECK_OK(hysock_server_config_set_max_connections(config, max));
    CHECK_OK(hysock_server_new(h.runtime, config, &h.server, ERR));
    hysock_server_config_free(config);
    CHECK_OK(hysock_server_add_route(h.server, NULL, NULL, handler, NULL, NULL, ERR));
    for (int i = 0; i < 2; i++)
        CHECK_OK(hysock_server_add_listener(h.server, temp_path(paths[i], i == 0 ? "one" : "two"),
                                            HYSOCK_NTS, NULL, ERR));
    CHECK_OK(hysock_server_start(h.server, ERR));
    for (int round = 0; round < check_rounds(20, 4); round++) {
        const char *full = paths[round % 2], *other = paths[1 - round % 2];
        for (uint64_t i = 0; i < max; i++) {
            ask(&held[i], full);
            CHECK_INT(raw_status(&held[i]), 200);
        }
        /* One at each listener waits for a place. */
        ask(&further[0], other);
        ask(&further[1], full);
        if (round < 2) {
            CHECK_INT(raw_poll(further[0].fd, POLLIN, 100), 0);
            CHECK_INT(raw_poll(further[1].fd, POLLIN, 0), 0);
        }
        /* Whichever gets the first place gives it to the other one. */
        raw_close(&held[0]);
        struct pollfd both[2] = {{further[0].fd, POLLIN, 0}, {further[1].fd, POLLIN, 0}};
        CHECK(poll(both, 2, check_ms(DEADLINE_MS)) > 0);
        int first = both[0].revents != 0 ? 0 : 1;
        CHECK_INT(raw_status(&further[first]), 200);
        raw_close(&further[first]);
        CHECK_INT(raw_status(&further[1 - first]), 200);
        raw_close(&further[1 - first]);
        for (uint64_t i = 1; i < max; i++)
            raw_close(&held[i]);
    }
    for (int i = 0; i < 2; i++)
        CHECK_INT(raw_get(paths[i], "/"), 200);
    host_stop(&h);
}

/* ---- heads ---- */

/* A request whose head has `size` bytes, in one long header or in 50 shorter ones. */
static char *head_of(size_t size, bool many) {
    char *head = malloc(size + 64);
    CHECK(head != NULL);
    size_t len = (size_t)sprintf(head, "GET / HTTP/1.1\r\nHost: x\r\n");
    for (size_t left = many ? 50 : 1; left > 0; left--) {
        size_t line = (size - 2 - len) / left; /* of what is left, and the last takes all */
        memcpy(head + len, "A: ", 3);
        memset(head + len + 3, 'x', line - 5);
        memcpy(head + len + line - 2, "\r\n", 2);
        len += line;
    }
    memcpy(head + len, "\r\n", 3);
    CHECK_INT(strlen(head), size);
    return head;
}

/* Sends pieces, each after the server has read the one before; stops when it has answered. */
static void send_pieces(raw *r, const char *data, size_t len, size_t piece) {
    int64_t end = now_ms() + check_ms(DEADLINE_MS);
    while (len > 0 && raw_poll(r->fd, POLLIN, 0) == 0) {
        size_t n = len < piece ? len : piece;
        if (raw_send_some(r, data, n, true) < n)
            return;
        data += n;
        len -= n;
        for (int unread = 1; unread > 0 && raw_poll(r->fd, POLLIN, 0) == 0; sched_yield()) {
            CHECK(ioctl(r->fd, SIOCOUTQ, &unread) == 0);
            CHECK(now_ms() < end);
        }
    }
}

/* `before`: after another request on the same connection. */
static void head(const char *path, size_t size, bool many, size_t piece, bool before, int status) {
    raw r;
    long count = latch_count(&handled);
    char *request = head_of(size, many);
    raw_open(&r, path);
    if (before) {
        raw_text(&r, GET_ROOT);
        CHECK_INT(raw_status(&r), 200);
        count++;
    }
    send_pieces(&r, request, size, piece);
    int got = raw_status(&r);
    if (got != status)
        dprintf(check_fd, "a head of %zu bytes, many %d, pieces of %zu, before %d\n", size, many,
                piece, before);
    CHECK_INT(got, status);
    if (status != 200)
        CHECK(raw_closes(&r, check_ms(DEADLINE_MS)));
    CHECK_INT(latch_count(&handled) - count, status == 200 ? 1 : 0);
    raw_close(&r);
    free(request);
}

/* The largest head is exactly that: however it arrives, whatever else came with it. */
static void heads(size_t limit) {
    host h;
    host_open(&h, POOL, NULL);
    hysock_server_config *config = host_server_config(&h);
    if (limit != 65536) /* the default */
        CHECK_OK(hysock_server_config_set_max_head(config, limit));
    host_serve(&h, config, handler, NULL, NULL);
    size_t pieces[] = {SIZE_MAX, 4000, limit / 2 + 1};
    for (size_t i = 0; i < sizeof(pieces) / sizeof(pieces[0]); i++)
        for (int kind = 0; kind < 4; kind++) {
            bool many = kind % 2 == 1, before = kind / 2 == 1;
            head(h.path, limit - 100, many, pieces[i], before, 200);
            head(h.path, limit, many, pieces[i], before, 200);
            head(h.path, limit + 1, many, pieces[i], before, 431);
            head(h.path, limit + limit / 2, many, pieces[i], before, 431);
        }
    host_stop(&h);
}

/* A body that comes in one write with its head does not count. */
static void head_and_body(void) {
    enum { LIMIT = 8192, BODY = 20000 };
    host h;
    raw r;
    char *request = calloc(1, LIMIT + BODY);
    CHECK(request != NULL);
    size_t len = (size_t)sprintf(
        request, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\nA: ", (int)BODY);
    memset(request + len, 'x', LIMIT - len - 4);
    memcpy(request + LIMIT - 4, "\r\n\r\n", 4);
    memset(request + LIMIT, 'b', BODY);
    host_open(&h, POOL, NULL);
    hysock_server_config *config = host_server_config(&h);
    CHECK_OK(hysock_server_config_set_max_head(config, LIMIT));
    host_serve(&h, config, handler, NULL, NULL);
    raw_open(&r, h.path);
    for (int i = 0; i < 3; i++) {
        raw_send(&r, request, LIMIT + BODY);
        CHECK_INT(raw_status(&r), 200);
    }
    raw_close(&r);
    free(request);
    host_stop(&h);
}

/* ---- header lines ---- */

static void header_lines(uint32_t limit) {
    host h;
    raw r;
    host_open(&h, POOL, NULL);
    hysock_server_config *config = host_server_config(&h);
    if (limit != 100) /* the default */
        CHECK_OK(hysock_server_config_set_max_headers(config, limit));
    host_serve(&h, config, handler, NULL, NULL);
    for (uint32_t n = limit > 1 ? limit - 1 : 1; n <= limit + 1; n++) {
        long count = latch_count(&handled);
        raw_open(&r, h.path);
        raw_text(&r, "GET / HTTP/1.1\r\nHost: x\r\n");
        for (uint32_t i = 1; i < n; i++) /* equal names count each */
            raw_text(&r, "A: x\r\n");
        raw_text(&r, "\r\n");
        CHECK_INT(raw_status(&r), n <= limit ? 200 : 431);
        if (n > limit)
            CHECK(raw_closes(&r, check_ms(DEADLINE_MS)));
        CHECK_INT(latch_count(&handled) - count, n <= limit ? 1 : 0);
        raw_close(&r);
    }
    host_stop(&h);
}

/* ---- requests that wait ---- */

static latch entered, leave;

static void blocker(hysock_exchange *exchange, void *userdata) {
    (void)userdata;
    latch_add(&entered, 1);
    LATCH_AWAIT(&leave, 1);
    answer_or_closed(exchange, "x", 1);
}

/* One thread that is busy, `max` requests behind it, and the next gets a 503. */
static void waiting(uint64_t max) {
    enum { ASKED = 12 };
    host h;
    raw busy, r[ASKED];
    latch_init(&entered);
    latch_init(&leave);
    hysock_runtime_config *threads = hysock_runtime_config_new();
    CHECK_OK(hysock_runtime_config_set_callback_threads(threads, 1));
    host_open(&h, POOL, threads);
    hysock_runtime_config_free(threads);
    hysock_server_config *config = host_server_config(&h);
    CHECK_OK(hysock_server_config_set_max_queue(config, max));
    host_serve(&h, config, blocker, NULL, NULL);
    ask(&busy, h.path);
    LATCH_AWAIT(&entered, 1);
    uint64_t refused = 0;
    for (int i = 0; i < ASKED; i++) {
        ask(&r[i], h.path);
        /* One by one: the queue is filled once per turn of the I/O thread. */
        if ((uint64_t)i >= max) {
            answer a;
            CHECK_INT(raw_answer(&r[i], &a, false), 503);
            CHECK(answer_header_is(&a, "retry-after", "1"));
            answer_free(&a);
            refused++;
        } else {
            int unread = 1;
            for (int64_t end = now_ms() + check_ms(DEADLINE_MS); unread > 0; sched_yield()) {
                CHECK(ioctl(r[i].fd, SIOCOUTQ, &unread) == 0);
                CHECK(now_ms() < end);
            }
            CHECK_INT(raw_poll(r[i].fd, POLLIN, 20), 0);
        }
    }
    CHECK_INT(refused, ASKED - max);
    latch_add(&leave, 1);
    CHECK_INT(raw_status(&busy), 200);
    for (int i = 0; i < ASKED; i++) {
        if ((uint64_t)i < max)
            CHECK_INT(raw_status(&r[i]), 200);
        raw_close(&r[i]);
    }
    CHECK_INT(latch_count(&entered), (long)max + 1);
    raw_close(&busy);
    host_stop(&h);
}

int main(void) {
    check_start();
    latch_init(&handled);
    places(1);
    places(2);
    heads(8192);
    heads(65536);
    heads(1 << 20);
    head_and_body();
    header_lines(1);
    header_lines(20);
    header_lines(100);
    waiting(1);
    waiting(10);
    return check_end();
}
