/* What the tests of streams share: a body that can be told, chunked answers, a host with a route.
 */
#ifndef STREAM_H
#define STREAM_H

#include "host.h"

/* Byte `at` of every body here. */
static inline unsigned char body_byte(uint64_t at) { return (unsigned char)(at % 251); }

static inline void body_fill(void *data, uint64_t at, size_t len) {
    for (size_t i = 0; i < len; i++)
        ((unsigned char *)data)[i] = body_byte(at + i);
}

static inline void body_check(const void *data, uint64_t at, size_t len) {
    for (size_t i = 0; i < len; i++)
        if (((const unsigned char *)data)[i] != body_byte(at + i))
            check_int(__FILE__, __LINE__, "byte of the body", (long long)(at + i), -1);
}

/* A server whose every request goes to `fn` as soon as its head is there. */
static inline void stream_start(host *h, enum delivery delivery, hysock_exchange_fn fn,
                                void *userdata, hysock_drop_fn drop) {
    host_open(h, delivery, NULL);
    hysock_server_config *config = host_server_config(h);
    CHECK_OK(hysock_server_new(h->runtime, config, &h->server, ERR));
    hysock_server_config_free(config);
    CHECK_OK(hysock_server_add_listener(h->server, h->path, HYSOCK_NTS, NULL, ERR));
    CHECK_OK(hysock_server_add_streaming_route(h->server, NULL, NULL, fn, userdata, drop, ERR));
    CHECK_OK(hysock_server_start(h->server, ERR));
}

static inline void raw_need(raw *r, size_t n) {
    while (r->len < n)
        CHECK(raw_fill(r, check_ms(DEADLINE_MS)) > 0);
}

/* One line without its end; false when the peer closed before. */
static inline bool raw_line(raw *r, char *line, size_t size) {
    for (;;) {
        char *stop = r->len > 0 ? memmem(r->data, r->len, "\r\n", 2) : NULL;
        if (stop != NULL) {
            size_t n = (size_t)(stop - r->data);
            CHECK(n < size);
            memcpy(line, r->data, n);
            line[n] = 0;
            raw_take(r, n + 2);
            return true;
        }
        long n = raw_fill(r, check_ms(DEADLINE_MS));
        CHECK(n >= 0);
        if (n == 0)
            return false;
    }
}

/* The head of an answer; its status, 0 when the peer closed. */
static inline int raw_begin(raw *r, answer *a) {
    memset(a, 0, sizeof(*a));
    size_t head = raw_head(r);
    if (head == 0)
        return 0;
    a->head = raw_copy(r->data, head);
    raw_take(r, head);
    CHECK(sscanf(a->head, "HTTP/1.%*1[01] %d", &a->status) == 1);
    return a->status;
}

/* Takes a chunked body that is body_byte() all along: its length, -1 when it stops early.
 * `trailers` gets the lines behind it. */
static inline int64_t raw_chunks(raw *r, char *trailers, size_t size) {
    char line[256];
    uint64_t at = 0;
    size_t used = 0;
    while (raw_line(r, line, sizeof(line))) {
        size_t n = (size_t)strtoull(line, NULL, 16);
        if (n == 0) {
            while (raw_line(r, line, sizeof(line))) {
                if (line[0] == 0)
                    return (int64_t)at;
                if (trailers != NULL)
                    used += (size_t)snprintf(trailers + used, size - used, "%s\n", line);
            }
            return -1;
        }
        while (r->len < n + 2)
            if (raw_fill(r, check_ms(DEADLINE_MS)) <= 0)
                return -1;
        body_check(r->data, at, n);
        at += n;
        raw_take(r, n + 2);
    }
    return -1;
}

/* Sends body bytes `at` to `at + len`, chunked or not. */
static inline void raw_body(raw *r, uint64_t at, size_t len, bool chunked) {
    char line[32];
    char *data = malloc(len + 1);
    CHECK(data != NULL);
    body_fill(data, at, len);
    if (chunked) {
        snprintf(line, sizeof(line), "%zx\r\n", len);
        raw_text(r, line);
    }
    raw_send(r, data, len);
    if (chunked)
        raw_text(r, "\r\n");
    free(data);
}

#endif
