/* A raw Unix socket: connect, send, read answers, each with a deadline, and a listener. */
#ifndef RAW_H
#define RAW_H

#include "check.h"

#include <poll.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/un.h>

/* One connection, with the bytes that came beyond the last answer. */
typedef struct raw {
    int fd;
    char *data;
    size_t len;
    size_t size;
    bool eof;   /* the peer has closed */
    bool reset; /* ... with bytes of ours unread */
} raw;

/* One answer. `head` and `body` are NUL-terminated. */
typedef struct answer {
    int status; /* 0: the peer closed without a byte */
    char *head;
    char *body;
    size_t body_len;
} answer;

static inline int raw_socket(const char *path, struct sockaddr_un *address) {
    memset(address, 0, sizeof(*address));
    address->sun_family = AF_UNIX;
    CHECK(strlen(path) < sizeof(address->sun_path));
    strcpy(address->sun_path, path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK(fd >= 0);
    return fd;
}

static inline void raw_adopt(raw *r, int fd) {
    memset(r, 0, sizeof(*r));
    r->fd = fd;
}

static inline void raw_open(raw *r, const char *path) {
    struct sockaddr_un address;
    int fd = raw_socket(path, &address);
    struct timeval limit = {check_ms(DEADLINE_MS) / 1000, 0};
    /* A blocking connect waits for a place in the backlog, no longer than this. */
    CHECK(setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit)) == 0);
    CHECK(connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0);
    raw_adopt(r, fd);
}

static inline int raw_listen(const char *path) {
    struct sockaddr_un address;
    int fd = raw_socket(path, &address);
    CHECK(bind(fd, (struct sockaddr *)&address, sizeof(address)) == 0);
    CHECK(listen(fd, 64) == 0);
    return fd;
}

/* Waits for `events`; what came, 0 after `ms`. */
static inline int raw_poll(int fd, short events, int ms) {
    int64_t end = now_ms() + ms;
    for (;;) {
        int64_t left = end - now_ms();
        struct pollfd p = {fd, events, 0};
        int n = poll(&p, 1, left > 0 ? (int)left : 0);
        if (n > 0)
            return p.revents;
        CHECK(n == 0 || errno == EINTR);
        if (now_ms() >= end)
            return 0;
    }
}

static inline void raw_accept(raw *r, int listener) {
    CHECK(raw_poll(listener, POLLIN, check_ms(DEADLINE_MS)) != 0);
    int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    CHECK(fd >= 0);
    raw_adopt(r, fd);
}

static inline void raw_close(raw *r) {
    close(r->fd);
    free(r->data);
    raw_adopt(r, -1);
}

/* One read: the bytes that came, 0 at the end, -1 when nothing came in `ms`. */
static inline long raw_fill(raw *r, int ms) {
    if (r->eof)
        return 0;
    if (raw_poll(r->fd, POLLIN, ms) == 0)
        return -1;
    if (r->size - r->len < 65536) {
        r->size = 2 * r->size + 65536;
        char *grown = realloc(r->data, r->size + 1);
        CHECK(grown != NULL);
        r->data = grown;
    }
    ssize_t n = recv(r->fd, r->data + r->len, r->size - r->len, MSG_DONTWAIT);
    if (n <= 0) {
        CHECK(n == 0 || errno == ECONNRESET);
        r->reset = n < 0;
        r->eof = true;
        return 0;
    }
    r->len += (size_t)n;
    r->data[r->len] = 0;
    return (long)n;
}

/* Sends all of it, or stops when the peer has closed or has sent something: the bytes that went. */
static inline size_t raw_send_some(raw *r, const void *data, size_t len, bool stop_at_answer) {
    int64_t end = now_ms() + check_ms(DEADLINE_MS);
    size_t sent = 0;
    while (sent < len) {
        CHECK(now_ms() < end);
        int events = raw_poll(r->fd, POLLOUT | (stop_at_answer ? POLLIN : 0), 1000);
        if (stop_at_answer && (events & POLLIN))
            break;
        ssize_t n = send(r->fd, (const char *)data + sent, len - sent, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0 && (errno == EPIPE || errno == ECONNRESET))
            break;
        CHECK(n > 0 || errno == EAGAIN || errno == EINTR);
        sent += n > 0 ? (size_t)n : 0;
    }
    return sent;
}

static inline void raw_send(raw *r, const void *data, size_t len) {
    CHECK_INT(raw_send_some(r, data, len, false), len);
}

static inline void raw_text(raw *r, const char *text) { raw_send(r, text, strlen(text)); }

static inline void raw_take(raw *r, size_t n) {
    r->len -= n;
    memmove(r->data, r->data + n, r->len + 1);
}

static inline char *raw_copy(const char *data, size_t len) {
    char *copy = malloc(len + 1);
    CHECK(copy != NULL);
    if (len > 0)
        memcpy(copy, data, len);
    copy[len] = 0;
    return copy;
}

/* Reads up to and with the empty line: the length of the head, 0 when the peer closed before it. */
static inline size_t raw_head(raw *r) {
    int64_t end = now_ms() + check_ms(DEADLINE_MS);
    for (;;) {
        char *stop = r->len > 0 ? memmem(r->data, r->len, "\r\n\r\n", 4) : NULL;
        if (stop != NULL)
            return (size_t)(stop - r->data) + 4;
        CHECK(now_ms() < end);
        if (raw_fill(r, check_ms(DEADLINE_MS)) == 0)
            return 0;
    }
}

/* The value of header `name` in `a`, copied to `value`; false when absent. */
static inline bool answer_header(const answer *a, const char *name, char *value, size_t size) {
    const char *line = strstr(a->head, "\r\n");
    size_t len = strlen(name);
    for (; line != NULL && line[2] != '\r'; line = strstr(line + 2, "\r\n")) {
        const char *start = line + 2;
        const char *end = strstr(start, "\r\n");
        if (strncasecmp(start, name, len) != 0 || start[len] != ':')
            continue;
        start += len + 1 + strspn(start + len + 1, " ");
        snprintf(value, size, "%.*s", (int)(end - start), start);
        return true;
    }
    return false;
}

static inline bool answer_header_is(const answer *a, const char *name, const char *expected) {
    char value[1024];
    return answer_header(a, name, value, sizeof(value)) && strcasecmp(value, expected) == 0;
}

static inline void answer_free(answer *a) {
    free(a->head);
    free(a->body);
    memset(a, 0, sizeof(*a));
}

/* Reads one answer (an interim one too). `no_body`: it answers a HEAD. Its status. */
static inline int raw_answer(raw *r, answer *a, bool no_body) {
    char value[32];
    memset(a, 0, sizeof(*a));
    size_t head = raw_head(r);
    if (head == 0) {
        CHECK_INT(r->len, 0); /* closed in the middle of a head */
        return 0;
    }
    a->head = raw_copy(r->data, head);
    raw_take(r, head);
    CHECK(sscanf(a->head, "HTTP/1.%*1[01] %d", &a->status) == 1);
    CHECK(!answer_header(a, "transfer-encoding", value, sizeof(value)));
    bool empty = no_body || a->status < 200 || a->status == 204 || a->status == 304;
    bool counted = answer_header(a, "content-length", value, sizeof(value));
    a->body_len = !empty && counted ? (size_t)strtoull(value, NULL, 10) : 0;
    while (!empty && (!counted || r->len < a->body_len)) {
        long n = raw_fill(r, check_ms(DEADLINE_MS));
        CHECK(n >= 0);
        if (n == 0)
            break;
    }
    if (!empty && !counted)
        a->body_len = r->len;
    CHECK(r->len >= a->body_len); /* else the body ended early */
    a->body = raw_copy(r->data, a->body_len);
    if (a->body_len > 0)
        raw_take(r, a->body_len);
    return a->status;
}

/* The status alone. */
static inline int raw_status(raw *r) {
    answer a;
    int status = raw_answer(r, &a, false);
    answer_free(&a);
    return status;
}

/* Whether the peer closes within `ms`, without another byte. */
static inline bool raw_closes(raw *r, int ms) { return r->len == 0 && raw_fill(r, ms) == 0; }

/* GET `target` over a connection of its own: the status. */
static inline int raw_get(const char *path, const char *target) {
    char request[256];
    raw r;
    snprintf(request, sizeof(request), "GET %s HTTP/1.1\r\nHost: x\r\n\r\n", target);
    raw_open(&r, path);
    raw_text(&r, request);
    int status = raw_status(&r);
    raw_close(&r);
    return status;
}

#endif
