/* A server that stops at every point of its answer, by a close or a reset, dribbles it, damages a
 * byte of it, or answers before it has the whole request. */
#include "hostile.h"

enum { SIZE = 2048, UPLOAD = 1 << 20 };

typedef struct text {
    char bytes[SIZE + 1];
    size_t body;      /* where the body begins */
    size_t body_size; /* without what surrounds the chunks */
    char whole[SIZE]; /* the body, as the client gets it */
    bool until_end;   /* the end of the connection is the end of the body */
} text;

static void fill(text *t, const char *head) {
    char *end = stpcpy(t->bytes, head);
    for (int i = 0; i < 10; i++)
        end += sprintf(end, "X-%d: %040d\r\n", i, i);
    end = stpcpy(end, "\r\n");
    t->body = (size_t)(end - t->bytes);
}

static void fill_body(text *t, size_t at, size_t size) {
    for (size_t i = 0; i < size; i++) {
        char one = (char)('a' + t->body_size % 26);
        t->bytes[at + i] = t->whole[t->body_size++] = one;
    }
}

/* SIZE bytes, head and all, with a length or without. */
static void plain(text *t, bool until_end) {
    char head[128];
    memset(t, 0, sizeof(*t));
    t->until_end = until_end;
    fill(t, "HTTP/1.1 200 OK\r\n");
    if (!until_end) {
        size_t line = strlen("Content-Length: 0000\r\n");
        snprintf(head, sizeof(head), "HTTP/1.1 200 OK\r\nContent-Length: %04zu\r\n",
                 SIZE - t->body - line);
        fill(t, head);
    }
    fill_body(t, t->body, SIZE - t->body);
}

/* The same in chunks, with a trailer. */
static void chunked(text *t) {
    static const char trailer[] = "0\r\nX-Sum: 12345\r\n\r\n";
    memset(t, 0, sizeof(*t));
    fill(t, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n");
    size_t at = t->body, last = sizeof(trailer) - 1;
    while (at + last < SIZE) {
        size_t left = SIZE - at - last, size = left < 300 ? left - 7 : 200;
        at += (size_t)sprintf(t->bytes + at, "%03zx\r\n", size);
        fill_body(t, at, size);
        at += size;
        at += (size_t)sprintf(t->bytes + at, "\r\n");
    }
    strcpy(t->bytes + at, trailer);
    CHECK_INT(strlen(t->bytes), SIZE);
}

static hysock_status expected_at(const text *t, size_t cut) {
    if (cut == 0)
        return HYSOCK_E_CLOSED;
    if (cut == SIZE || (t->until_end && cut >= t->body))
        return HYSOCK_OK;
    return HYSOCK_E_TRUNCATED;
}

/* The answer ends behind `at` bytes. */
static void cut(const question *q, enum how how, const text *t, size_t at, bool reset) {
    /* A length of 0 would be all of it. */
    const script s = {.name = reset ? "reset" : "cut",
                      .start = at == 0 ? NULL : t->bytes,
                      .len = at,
                      .unread = reset};
    size_t got = at > t->body ? at - t->body : 0;
    hysock_status expected = expected_at(t, at);
    if (reset && t->until_end && at >= t->body)
        expected = HYSOCK_E_TRUNCATED; /* no end is as good as another */
    peer_set(q->peer, &s);
    ask_for(q, how, &s, expected, 200, t->whole, t->until_end ? got : t->body_size);
}

/* All kinds of calls, in turns: what one has not met in one form, it does in another. */
static enum how turns(size_t at) {
    static const enum how all[] = {BARE, STARTED, STREAMED};
    return all[at % 3];
}

static void cuts(const question *q, const text *t, size_t turn) {
    size_t step = (size_t)check_rounds(1, 67);
    for (size_t at = 0; at < SIZE; at += step)
        cut(q, turns(at + turn), t, at, false);
    for (size_t at = 0; at < SIZE; at += 13 * step)
        cut(q, turns(at + turn), t, at, true);
    for (enum how how = BARE; how <= STREAMED; how++)
        cut(q, how, t, SIZE, false);
}

/* Slow, and whole all the same. */
static void drips(const question *q, const text *t) {
    const script s = {.name = "drip", .start = t->bytes, .drip_us = 50, .hold = !t->until_end};
    peer_set(q->peer, &s);
    for (enum how how = BARE; how <= STREAMED; how++)
        ask_for(q, how, &s, HYSOCK_OK, 200, t->whole, t->body_size);
}

/* Any byte may be any other: whatever becomes of that, it is an end. */
static void damages(const question *q, const text *t, uint64_t *random) {
    static read_body streamed;
    text damaged = *t;
    for (int i = 0; i < check_rounds(1000, 20); i++) {
        size_t at = next_random(random) % (i % 2 ? SIZE : t->body);
        damaged.bytes[at] = (char)next_random(random);
        const script s = {.name = "damage", .start = damaged.bytes, .len = SIZE};
        hysock_client *client;
        hysock_call *call;
        peer_set(q->peer, &s);
        hysock_status got = ask(q, (enum how)(i / 2 % 4), &client, &call, &streamed);
        CHECK(got == HYSOCK_OK || got == HYSOCK_E_PROTOCOL || got == HYSOCK_E_TRUNCATED ||
              got == HYSOCK_E_TOO_LARGE);
        asked(client, call);
        damaged.bytes[at] = t->bytes[at];
    }
}

static void garbage(const question *q, uint64_t *random) {
    char bytes[SIZE];
    for (int i = 0; i < check_rounds(500, 20); i++) {
        size_t len = 1 + next_random(random) % SIZE;
        for (size_t k = 0; k < len; k++)
            bytes[k] = (char)next_random(random);
        bytes[0] |= (char)0x80; /* no answer by chance */
        const script s = {.name = "garbage", .start = bytes, .len = len};
        peer_set(q->peer, &s);
        ask_for(q, i % 2 ? BARE : STARTED, &s, HYSOCK_E_PROTOCOL, 0, NULL, 0);
    }
}

/* ---- while a megabyte goes up ---- */

static void uploads(const question *get) {
    static const char full[] = "HTTP/1.1 413 No\r\nContent-Length: 2\r\n\r\nno";
    static const char half[] = "HTTP/1.1 413 No\r\nContent-Length: 9\r\n\r\nno";
    static const struct {
        script script;
        hysock_status status;
    } early[] = {
        {{.name = "early, and it stays", .start = full, .hold = true}, HYSOCK_OK},
        {{.name = "early in the body", .start = full, .read = UPLOAD / 2, .hold = true}, HYSOCK_OK},
        {{.name = "early, and a reset", .start = full}, HYSOCK_OK},
        {{.name = "early, nothing was read", .start = full, .unread = true}, HYSOCK_OK},
        {{.name = "half an answer, early", .start = half}, HYSOCK_E_TRUNCATED},
        {{.name = "half a head, early", .start = "HTTP/1.1 413"}, HYSOCK_E_TRUNCATED},
        {{.name = "garbage, early", .start = "\377\r\n\r\n", .hold = true}, HYSOCK_E_PROTOCOL},
        {{.name = "reset behind the head"}, HYSOCK_E_CLOSED},
        {{.name = "reset in the body", .read = UPLOAD / 2}, HYSOCK_E_CLOSED},
        {{.name = "reset, nothing was read", .unread = true}, HYSOCK_E_CLOSED},
        {{.name = "reset with the last byte unread", .read = UPLOAD + 50}, HYSOCK_E_CLOSED},
    };
    question q = *get;
    char *data = malloc(UPLOAD);
    CHECK(data != NULL);
    memset(data, 'u', UPLOAD);
    q.upload = data;
    q.upload_len = UPLOAD;
    for (int round = 0; round < check_rounds(10, 1); round++)
        for (size_t i = 0; i < sizeof(early) / sizeof(early[0]); i++) {
            peer_set(q.peer, &early[i].script);
            for (enum how how = BARE; how <= STREAMED; how++)
                ask_for(&q, how, &early[i].script, early[i].status, 413, "no", 2);
        }
    /* Neither answered nor read: nothing but the timeout ends it. */
    const script deaf = {.name = "deaf", .read = 100, .hold = true};
    q.timeout_ms = 100;
    peer_set(q.peer, &deaf);
    for (enum how how = BARE; how <= STARTED; how++)
        ask_for(&q, how, &deaf, HYSOCK_E_TIMED_OUT, 0, NULL, 0);
    free(data);
}

int main(void) {
    static text with_length, to_the_end, in_chunks;
    uint64_t random = 20251122;
    peer p;
    check_start();
    peer_start(&p);
    question q = {.peer = &p, .timeout_ms = (uint32_t)check_ms(DEADLINE_MS)};
    CHECK_OK(hysock_runtime_new(NULL, &q.runtime, ERR));
    plain(&with_length, false);
    plain(&to_the_end, true);
    chunked(&in_chunks);
    cuts(&q, &with_length, 0);
    cuts(&q, &with_length, 1);
    cuts(&q, &to_the_end, 2);
    cuts(&q, &in_chunks, 1);
    drips(&q, &with_length);
    drips(&q, &to_the_end);
    drips(&q, &in_chunks);
    damages(&q, &with_length, &random);
    damages(&q, &in_chunks, &random);
    garbage(&q, &random);
    uploads(&q);
    peer_stop(&p);
    CHECK_OK(hysock_runtime_shutdown(q.runtime, 1000, ERR));
    WAIT_OK(hysock_runtime_wait, q.runtime);
    hysock_runtime_free(q.runtime);
    return check_end();
}
