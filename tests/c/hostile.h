/* A server that does one thing to whoever connects: sends a text, all of it or less, slowly or
 * without end, reads its client's request or leaves it unread, then closes or stays. */
#ifndef HOSTILE_H
#define HOSTILE_H

#include "host.h"

enum { LIMIT = 65536 }; /* of the body, in the clients below */

typedef struct script {
    const char *name;
    const char *start; /* what is sent, NULL for nothing */
    size_t len;        /* of it; 0 is all up to the NUL */
    const char *piece; /* sent behind it, on and on, until the client has had enough */
    size_t read;       /* bytes of the request that are read first; 0 is its head */
    bool unread;       /* the request is waited for and not read: a close is a reset */
    bool hold;         /* the connection is left open behind all that */
    int drip_us;       /* a byte at a time, with such pauses */
} script;

/* One connection at a time. A held one ends when the next has come. */
typedef struct peer {
    char path[108];
    int listener;
    pthread_t thread;
    pthread_mutex_t mutex;
    script script; /* its text belongs to the peer */
    bool ends;
} peer;

/* With a text of its own: whoever made the script goes on while the peer still sends it. */
static inline void script_copy(script *to, const script *from) {
    *to = *from;
    if (from->start == NULL)
        return;
    to->len = from->len ? from->len : strlen(from->start);
    char *text = malloc(to->len + 1);
    CHECK(text != NULL);
    memcpy(text, from->start, to->len);
    text[to->len] = '\0';
    to->start = text;
}

static inline void script_free(script *s) {
    free((char *)(uintptr_t)s->start);
    memset(s, 0, sizeof(*s));
}

/* What to do with the next client; free it. False when the peer is to end. */
static inline bool peer_script(peer *p, script *now) {
    pthread_mutex_lock(&p->mutex);
    bool goes_on = !p->ends;
    if (goes_on)
        script_copy(now, &p->script);
    pthread_mutex_unlock(&p->mutex);
    return goes_on;
}

/* For the calls that follow; NULL ends the peer with the next client. */
static inline void peer_set(peer *p, const script *next) {
    pthread_mutex_lock(&p->mutex);
    script_free(&p->script);
    if (next != NULL)
        script_copy(&p->script, next);
    p->ends = next == NULL;
    pthread_mutex_unlock(&p->mutex);
}

static inline void peer_flood(raw *r, const char *piece) {
    char block[8192];
    size_t len = 0, one = strlen(piece), total = 0;
    while (len + one <= sizeof(block)) {
        memcpy(block + len, piece, one);
        len += one;
    }
    int64_t end = now_ms() + check_ms(DEADLINE_MS);
    while (raw_send_some(r, block, len, false) == len) {
        CHECK(now_ms() < end);
        total += len;
        CHECK(total < (size_t)1 << 28); /* it must have been cut off long before */
    }
}

/* Reads what the script has it read; false when the client has left before. */
static inline bool peer_read(raw *r, const script *s) {
    if (s->unread)
        return raw_poll(r->fd, POLLIN, check_ms(DEADLINE_MS)) != 0;
    if (s->read == 0)
        return raw_head(r) > 0;
    while (r->len < s->read)
        if (raw_fill(r, check_ms(DEADLINE_MS)) <= 0)
            return false;
    return true;
}

static inline void peer_send(raw *r, const script *s) {
    size_t len = s->start == NULL ? 0 : s->len ? s->len : strlen(s->start);
    for (size_t at = 0; at < len;) {
        size_t some = s->drip_us ? 1 : len - at;
        if (raw_send_some(r, s->start + at, some, false) < some)
            return;
        at += some;
        if (s->drip_us) {
            struct timespec pause = {0, s->drip_us * 1000L};
            nanosleep(&pause, NULL); /* the slowness is what is tested */
        }
    }
    if (s->piece != NULL)
        peer_flood(r, s->piece);
}

static inline void *peer_serve(void *argument) {
    peer *p = argument;
    raw held;
    raw_adopt(&held, -1);
    for (;;) {
        raw r;
        raw_accept(&r, p->listener);
        if (held.fd >= 0)
            raw_close(&held); /* the call before has ended */
        script s;
        if (!peer_script(p, &s)) {
            raw_close(&r);
            return NULL;
        }
        bool goes_on = peer_read(&r, &s);
        if (goes_on)
            peer_send(&r, &s);
        if (goes_on && s.hold)
            held = r;
        else
            raw_close(&r);
        script_free(&s);
    }
}

static inline void peer_start(peer *p) {
    memset(p, 0, sizeof(*p));
    CHECK(pthread_mutex_init(&p->mutex, NULL) == 0);
    p->listener = raw_listen(temp_path(p->path, "hostile"));
    p->thread = thread_start(peer_serve, p);
}

static inline void peer_stop(peer *p) {
    raw r;
    peer_set(p, NULL);
    raw_open(&r, p->path);
    thread_join(p->thread);
    raw_close(&r);
    close(p->listener);
}

/* ---- calls of it ---- */

enum how { BARE, PERFORMED, STARTED, STREAMED };
static const char *const how_names[] = {"perform without a runtime", "perform", "start",
                                        "perform and read"};

/* What one call is to be. */
typedef struct question {
    hysock_runtime *runtime;
    peer *peer;
    uint32_t timeout_ms;
    const char *upload; /* NULL: a GET */
    size_t upload_len;
} question;

/* A client of its own: what one answer did to a connection does not reach the next. */
static inline hysock_client *hostile_client(const question *q, enum how how) {
    hysock_client *client = NULL;
    hysock_client_config *config = hysock_client_config_new();
    CHECK_OK(hysock_client_config_set_max_body(config, LIMIT));
    CHECK_OK(hysock_client_config_set_timeout(config, q->timeout_ms));
    CHECK_OK(hysock_client_new(how == BARE ? NULL : q->runtime, q->peer->path, HYSOCK_NTS, config,
                               &client, ERR));
    hysock_client_config_free(config);
    return client;
}

/* A streamed answer, to its end. */
typedef struct read_body {
    char data[LIMIT];
    size_t len;
} read_body;

static inline hysock_status ask_streamed(hysock_call *call, read_body *body) {
    hysock_str piece;
    body->len = 0;
    CHECK_OK(hysock_call_set_streaming(call));
    hysock_status status = hysock_call_perform(call, ERR);
    while (status == HYSOCK_OK) {
        status = hysock_call_read(call, &piece, HYSOCK_FOREVER, ERR);
        if (status != HYSOCK_OK || piece.ptr == NULL)
            break;
        CHECK(piece.len > 0 && body->len + piece.len <= sizeof(body->data));
        memcpy(body->data + body->len, piece.ptr, piece.len);
        body->len += piece.len;
    }
    return status;
}

/* One call: it ends once, with what it says itself. The caller frees both. */
static inline hysock_status ask(const question *q, enum how how, hysock_client **client,
                                hysock_call **call, read_body *body) {
    completion c;
    hysock_status status;
    *client = hostile_client(q, how);
    completion_new(&c, *client, POOL, "/");
    if (q->upload != NULL) {
        hysock_call_free(c.call);
        c.call = new_call(*client, "POST", "/");
        CHECK_OK(hysock_call_set_body(c.call, "text/plain", q->upload, q->upload_len));
    }
    if (how == STARTED) {
        completion_start(&c);
        LATCH_AWAIT(&c.drops, 1);
        status = c.status;
        completion_await(&c, status);
    } else if (how == STREAMED) {
        status = ask_streamed(c.call, body);
    } else {
        status = hysock_call_perform(c.call, ERR);
    }
    CHECK_STATUS(hysock_call_error(c.call, ERR), status);
    CHECK_INT(check_error.status, status);
    CHECK((check_error.message[0] == 0) == (status == HYSOCK_OK));
    if (how != STREAMED || status == HYSOCK_OK)
        CHECK((hysock_call_http_status(c.call) != 0) == (status == HYSOCK_OK));
    latch_free(&c.calls);
    latch_free(&c.drops);
    *call = c.call;
    return status;
}

static inline void asked(hysock_client *client, hysock_call *call) {
    hysock_call_free(call);
    hysock_client_free(client);
}

/* The call ends with `expected`, and its answer is `http_status` and `body` when that is OK. */
static inline void ask_for(const question *q, enum how how, const script *s, hysock_status expected,
                           int http_status, const char *body, size_t body_len) {
    static read_body streamed;
    hysock_client *client;
    hysock_call *call;
    hysock_status got = ask(q, how, &client, &call, &streamed);
    if (got != expected)
        dprintf(check_fd, "%s, %zu bytes, %s: %s\n", s->name, s->len, how_names[how],
                check_error.message);
    CHECK_STATUS(got, expected);
    if (got == HYSOCK_OK) {
        hysock_str text = hysock_call_body(call);
        if (how == STREAMED)
            text = (hysock_str){streamed.data, streamed.len};
        CHECK_INT(hysock_call_http_status(call), http_status);
        CHECK_INT(text.len, body_len);
        CHECK(memcmp(text.ptr, body, body_len) == 0);
    }
    asked(client, call);
}

#endif
