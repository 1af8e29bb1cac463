/* Answers out of files: whole, in part, or not at all; with one delivery: the argument. */
#include "stream.h"

#include <fcntl.h>

static enum delivery delivery;

#define SIZE (3 * 1024 * 1024 + 17)

typedef struct serving {
    char path[108];
    int fd;
    latch handled;
    hysock_status status;
    const char *etag; /* set by the handler */
    bool close_here;
} serving;

static void serve(hysock_exchange *exchange, void *userdata) {
    serving *s = userdata;
    int fd = s->close_here ? open(s->path, O_RDONLY | O_CLOEXEC) : s->fd;
    CHECK(fd >= 0);
    if (s->etag != NULL)
        CHECK_OK(hysock_exchange_set_header(exchange, "etag", s->etag, HYSOCK_NTS));
    s->status = hysock_exchange_send_file(exchange, fd, "text/x-test", ERR);
    if (s->close_here)
        close(fd); /* the library has its own */
    if (s->status == HYSOCK_OK)
        CHECK_STATUS(hysock_exchange_send_file(exchange, s->fd, NULL, ERR), HYSOCK_E_STATE);
    else
        answer_text(exchange, 500, check_error.message);
    latch_add(&s->handled, 1);
}

static void make_file(serving *s, size_t size) {
    static char data[65536];
    temp_path(s->path, "file");
    int fd = open(s->path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    CHECK(fd >= 0);
    for (size_t at = 0; at < size; at += sizeof(data)) {
        size_t n = size - at < sizeof(data) ? size - at : sizeof(data);
        body_fill(data, at, n);
        CHECK_INT(write(fd, data, n), n);
    }
    s->fd = fd; /* at its end: that does not matter */
}

/* A request with one more header line; the body must be bytes `first` on, `len` of them. */
static void ask(raw *r, const char *method, const char *line, int status, uint64_t first,
                uint64_t len, const char *range, answer *head) {
    char request[512];
    char value[128];
    answer a;
    snprintf(request, sizeof(request), "%s / HTTP/1.1\r\nHost: x\r\n%s%s\r\n", method, line,
             line[0] != 0 ? "\r\n" : "");
    raw_text(r, request);
    CHECK_INT(raw_begin(r, &a), status);
    bool is_head = strcmp(method, "HEAD") == 0;
    if (status == 200 || status == 206) {
        CHECK(answer_header_is(&a, "accept-ranges", "bytes"));
        CHECK(answer_header_is(&a, "content-type", "text/x-test"));
        snprintf(value, sizeof(value), "%llu", (unsigned long long)len);
        CHECK(answer_header_is(&a, "content-length", value));
        if (!is_head) {
            for (uint64_t at = first; at < first + len;) {
                if (r->len == 0)
                    CHECK(raw_fill(r, check_ms(DEADLINE_MS)) > 0);
                size_t n = r->len < first + len - at ? r->len : (size_t)(first + len - at);
                body_check(r->data, at, n);
                raw_take(r, n);
                at += n;
            }
        }
    } else if (status != 304 && !is_head) {
        CHECK(answer_header(&a, "content-length", value, sizeof(value)));
        raw_need(r, (size_t)atoi(value));
        raw_take(r, (size_t)atoi(value));
    }
    CHECK_INT(r->len, 0);
    if (range != NULL)
        CHECK(answer_header_is(&a, "content-range", range));
    else
        CHECK(!answer_header(&a, "content-range", value, sizeof(value)));
    CHECK(answer_header(&a, "etag", value, sizeof(value)));
    if (head != NULL)
        *head = a;
    else
        answer_free(&a);
}

static void served(void) {
    host h;
    serving s = {.close_here = true};
    raw r;
    answer a;
    char etag[128], modified[128], line[256];
    const uint64_t size = SIZE;
    latch_init(&s.handled);
    make_file(&s, SIZE);
    host_start(&h, delivery, serve, &s);
    raw_open(&r, h.path);
    ask(&r, "GET", "", 200, 0, size, NULL, &a);
    CHECK(answer_header(&a, "etag", etag, sizeof(etag)));
    CHECK(answer_header(&a, "last-modified", modified, sizeof(modified)));
    CHECK(etag[0] == '"');
    answer_free(&a);
    ask(&r, "HEAD", "", 200, 0, size, NULL, NULL);
    ask(&r, "DELETE", "Range: bytes=1-2", 200, 0, size, NULL, NULL);
    ask(&r, "GET", "Range: bytes=0-0", 206, 0, 1, "bytes 0-0/3145745", NULL);
    ask(&r, "GET", "Range: bytes=3145744-", 206, size - 1, 1, "bytes 3145744-3145744/3145745",
        NULL);
    ask(&r, "GET", "Range: bytes=-5", 206, size - 5, 5, "bytes 3145740-3145744/3145745", NULL);
    ask(&r, "GET", "Range: bytes=1000-2000999", 206, 1000, 2000000, "bytes 1000-2000999/3145745",
        NULL);
    ask(&r, "GET", "Range: bytes=0-1,3-4", 200, 0, size, NULL, NULL);
    ask(&r, "HEAD", "Range: bytes=0-1", 200, 0, size, NULL, NULL);
    ask(&r, "GET", "Range: bytes=3145745-", 416, 0, 0, "bytes */3145745", NULL);
    snprintf(line, sizeof(line), "If-None-Match: %s", etag);
    ask(&r, "GET", line, 304, 0, 0, NULL, NULL);
    ask(&r, "HEAD", line, 304, 0, 0, NULL, NULL);
    snprintf(line, sizeof(line), "If-Modified-Since: %s", modified);
    ask(&r, "GET", line, 304, 0, 0, NULL, NULL);
    ask(&r, "GET", "If-Match: \"other\"", 412, 0, 0, NULL, NULL);
    snprintf(line, sizeof(line), "Range: bytes=5-6\r\nIf-Range: %s", etag);
    ask(&r, "GET", line, 206, 5, 2, "bytes 5-6/3145745", NULL);
    ask(&r, "GET", "Range: bytes=5-6\r\nIf-Range: \"other\"", 200, 0, size, NULL, NULL);
    /* Another state of the file has another tag. */
    struct timespec times[2] = {{1000000000, 0}, {1000000000, 1}};
    CHECK_INT(futimens(s.fd, times), 0);
    snprintf(line, sizeof(line), "If-None-Match: %s", etag);
    ask(&r, "GET", line, 200, 0, size, NULL, &a);
    CHECK(answer_header_is(&a, "last-modified", "Sun, 09 Sep 2001 01:46:40 GMT"));
    answer_free(&a);
    raw_close(&r);
    host_stop(&h);
    close(s.fd);
}

/* The program's own tag counts. */
static void tagged(void) {
    host h;
    serving s = {.etag = "\"v1\""};
    raw r;
    latch_init(&s.handled);
    make_file(&s, 10);
    host_start(&h, delivery, serve, &s);
    raw_open(&r, h.path);
    ask(&r, "GET", "If-None-Match: \"v1\"", 304, 0, 0, NULL, NULL);
    ask(&r, "GET", "If-None-Match: \"v2\"", 200, 0, 10, NULL, NULL);
    raw_close(&r);
    host_stop(&h);
    close(s.fd);
}

static void nothing_in_it(void) {
    host h;
    serving s = {0};
    raw r;
    latch_init(&s.handled);
    make_file(&s, 0);
    host_start(&h, delivery, serve, &s);
    raw_open(&r, h.path);
    ask(&r, "GET", "", 200, 0, 0, NULL, NULL);
    ask(&r, "GET", "Range: bytes=0-", 416, 0, 0, "bytes */0", NULL);
    ask(&r, "GET", "Range: bytes=-1", 200, 0, 0, NULL, NULL);
    raw_close(&r);
    host_stop(&h);
    close(s.fd);
}

static void no_file(int fd, const char *word) {
    host h;
    serving s = {.fd = fd};
    raw r;
    answer a;
    latch_init(&s.handled);
    host_start(&h, delivery, serve, &s);
    raw_open(&r, h.path);
    raw_text(&r, "GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    CHECK_INT(raw_answer(&r, &a, false), 500);
    CHECK_STATUS(s.status, HYSOCK_E_INVALID_ARGUMENT);
    CHECK(strstr(a.body, word) != NULL);
    answer_free(&a);
    raw_close(&r);
    host_stop(&h);
}

/* A file that becomes shorter: the client sees that it did not get all. */
static void shrinks(void) {
    host h;
    serving s = {0};
    raw r;
    answer a;
    latch_init(&s.handled);
    make_file(&s, SIZE);
    host_start(&h, delivery, serve, &s);
    raw_open(&r, h.path);
    raw_text(&r, "GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    CHECK_INT(raw_begin(&r, &a), 200);
    answer_free(&a);
    /* No more than the socket and the buffers hold has been read of it. */
    CHECK_INT(ftruncate(s.fd, 1024 * 1024), 0);
    uint64_t at = 0;
    for (;;) {
        body_check(r.data, at, r.len);
        at += r.len;
        raw_take(&r, r.len);
        long n = raw_fill(&r, check_ms(DEADLINE_MS));
        CHECK(n >= 0);
        if (n == 0)
            break;
    }
    CHECK(at == 1024 * 1024);
    raw_close(&r);
    /* The server lives. */
    raw_open(&r, h.path);
    ask(&r, "GET", "", 200, 0, 1024 * 1024, NULL, NULL);
    raw_close(&r);
    host_stop(&h);
    close(s.fd);
}

/* The next answer: so many bytes of the file from `first` on. */
static void need_part(raw *r, int status, uint64_t first, uint64_t len) {
    answer a;
    CHECK_INT(raw_begin(r, &a), status);
    answer_free(&a);
    for (uint64_t at = first; at < first + len;) {
        if (r->len == 0)
            CHECK(raw_fill(r, check_ms(DEADLINE_MS)) > 0);
        size_t n = r->len < first + len - at ? r->len : (size_t)(first + len - at);
        body_check(r->data, at, n);
        raw_take(r, n);
        at += n;
    }
}

static void need_end(raw *r) {
    CHECK_INT(r->len, 0);
    CHECK_INT(raw_fill(r, check_ms(DEADLINE_MS)), 0);
    CHECK(!r->reset);
}

#define GET "GET / HTTP/1.1\r\nHost: x\r\n"

/* What stands around a large file: requests behind it, and the end of the connection. */
static void in_a_row(void) {
    host h;
    serving s = {0};
    raw r;
    latch_init(&s.handled);
    make_file(&s, SIZE);
    host_start(&h, delivery, serve, &s);
    raw_open(&r, h.path);
    raw_text(&r, GET "\r\n" GET "Range: bytes=7-8\r\n\r\n"
                     "HEAD / HTTP/1.1\r\nHost: x\r\n\r\n" GET "\r\n" GET
                     "Range: bytes=100000-\r\nConnection: close\r\n\r\n" GET "\r\n");
    need_part(&r, 200, 0, SIZE);
    need_part(&r, 206, 7, 2);
    need_part(&r, 200, 0, 0);
    need_part(&r, 200, 0, SIZE);
    need_part(&r, 206, 100000, SIZE - 100000);
    /* What followed was unread. */
    CHECK_INT(r.len, 0);
    CHECK_INT(raw_fill(&r, check_ms(DEADLINE_MS)), 0);
    raw_close(&r);
    /* As proxies ask. */
    raw_open(&r, h.path);
    raw_text(&r, "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    need_part(&r, 200, 0, SIZE);
    raw_text(&r, "GET / HTTP/1.0\r\n\r\n");
    need_part(&r, 200, 0, SIZE);
    need_end(&r);
    raw_close(&r);
    /* One that has said all that it wants. */
    raw_open(&r, h.path);
    raw_text(&r, GET "\r\n" GET "\r\n");
    CHECK_INT(shutdown(r.fd, SHUT_WR), 0);
    need_part(&r, 200, 0, SIZE);
    need_part(&r, 200, 0, SIZE);
    need_end(&r);
    raw_close(&r);
    /* A body that is there before its answer. */
    raw_open(&r, h.path);
    raw_text(&r, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nbody" GET "\r\n");
    need_part(&r, 200, 0, SIZE);
    need_part(&r, 200, 0, SIZE);
    raw_close(&r);
    host_stop(&h);
    close(s.fd);
}

/* Clients that leave in the middle. */
static void left_alone(void) {
    host h;
    serving s = {0};
    int rounds = check_rounds(200, 10);
    latch_init(&s.handled);
    make_file(&s, SIZE);
    host_start(&h, delivery, serve, &s);
    for (int i = 1; i <= rounds; i++) {
        raw r;
        raw_open(&r, h.path);
        raw_text(&r, "GET / HTTP/1.1\r\nHost: x\r\n\r\n");
        if (i % 3 == 0)
            raw_need(&r, 100 * 1000);
        else if (i % 3 == 1)
            raw_need(&r, 1);
        LATCH_AWAIT(&s.handled, i);
        raw_close(&r);
    }
    host_stop(&h);
    close(s.fd);
}

int main(int argc, char **argv) {
    int fds[2];
    check_start();
    delivery = delivery_parse(argc, argv);
    served();
    tagged();
    nothing_in_it();
    CHECK_INT(pipe2(fds, O_CLOEXEC), 0);
    no_file(fds[0], "regular file");
    no_file(fds[1], "regular file");
    close(fds[0]);
    no_file(fds[0], "fd");
    close(fds[1]);
    char path[108];
    int fd = open(temp_path(path, "w"), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    no_file(fd, "reading");
    close(fd);
    fd = open(path, O_PATH | O_CLOEXEC);
    no_file(fd, "");
    close(fd);
    fd = open("/", O_RDONLY | O_CLOEXEC);
    no_file(fd, "regular file");
    close(fd);
    in_a_row();
    shrinks();
    left_alone();
    return check_end();
}
