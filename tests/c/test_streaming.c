/* Bodies piece by piece, both ways, in one delivery, which is the argument. */
#include "stream.h"

static enum delivery delivery;

#define MIB (1024 * 1024)

/* ---- echo by callbacks ---- */

typedef struct echo {
    latch ended;    /* exchanges that were freed */
    latch drops;    /* registrations that were dropped */
    latch started;  /* registrations that were made */
    uint64_t bytes; /* of the last one */
    hysock_status last;
} echo;

typedef struct echoing {
    echo *of;
    hysock_str piece;
} echoing;

/* One for each exchange, for as long as the test. */
static echoing echoings[1024];
static latch echoing_count;

static void echo_drop(void *userdata) {
    echoing *e = userdata;
    latch_add(&e->of->drops, 1);
}

static void echo_piece(hysock_exchange *exchange, hysock_status status, hysock_str piece,
                       void *userdata);

static void echo_end(hysock_exchange *exchange, echoing *e, hysock_status last) {
    e->of->last = last;
    hysock_exchange_free(exchange);
    CHECK_STATUS(hysock_exchange_finish(exchange, ERR), HYSOCK_E_BAD_HANDLE);
    latch_add(&e->of->ended, 1);
}

static void echo_next(hysock_exchange *exchange, echoing *e) {
    latch_add(&e->of->started, 1);
    CHECK_OK(hysock_exchange_read_start(exchange, echo_piece, e, echo_drop, ERR));
    CHECK_STATUS(hysock_exchange_read_start(exchange, echo_piece, NULL, NULL, ERR), HYSOCK_E_STATE);
    CHECK_ERR(HYSOCK_E_STATE, "read");
}

static void echo_write(hysock_exchange *exchange, void *userdata) {
    echoing *e = userdata;
    CHECK(delivery_here(delivery));
    hysock_status status = hysock_exchange_write(exchange, e->piece.ptr, e->piece.len, 0, ERR);
    if (status == HYSOCK_E_WOULD_BLOCK) {
        latch_add(&e->of->started, 1);
        CHECK_OK(hysock_exchange_on_writable(exchange, echo_write, e, echo_drop, ERR));
        return;
    }
    if (status != HYSOCK_OK) {
        echo_end(exchange, e, status);
        return;
    }
    e->of->bytes += e->piece.len;
    echo_next(exchange, e);
}

static void echo_piece(hysock_exchange *exchange, hysock_status status, hysock_str piece,
                       void *userdata) {
    echoing *e = userdata;
    CHECK(delivery_here(delivery));
    e->piece = piece;
    if (status != HYSOCK_OK) {
        CHECK(piece.ptr == NULL);
        echo_end(exchange, e, status);
    } else if (piece.ptr == NULL) {
        echo_end(exchange, e, hysock_exchange_finish(exchange, ERR));
    } else {
        CHECK(piece.len > 0);
        echo_write(exchange, e);
    }
}

static void echo_begin(hysock_exchange *exchange, void *userdata) {
    echo *all = userdata;
    long index = latch_add(&echoing_count, 1) - 1;
    CHECK(index < 1024);
    echoing *e = &echoings[index];
    e->of = all;
    all->bytes = 0;
    CHECK_OK(hysock_exchange_defer(exchange, ERR));
    hysock_status status = hysock_exchange_start_answer(
        exchange, 200, "application/octet-stream", hysock_exchange_content_length(exchange), ERR);
    if (status == HYSOCK_OK)
        echo_next(exchange, e);
    else
        echo_end(exchange, e, status);
}

static void echo_init(echo *e) {
    memset(e, 0, sizeof(*e));
    latch_init(&e->ended);
    latch_init(&e->drops);
    latch_init(&e->started);
}

/* What a thread sends while the test reads. */
typedef struct sending {
    raw *r;
    size_t total;
    size_t piece;
    bool chunked;
} sending;

static void *send_body(void *argument) {
    sending *s = argument;
    for (size_t at = 0; at < s->total; at += s->piece)
        raw_body(s->r, at, s->total - at < s->piece ? s->total - at : s->piece, s->chunked);
    if (s->chunked)
        raw_text(s->r, "0\r\n\r\n");
    return NULL;
}

static void send_head(raw *r, size_t total, bool chunked) {
    char head[256];
    if (chunked)
        snprintf(head, sizeof(head),
                 "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n");
    else
        snprintf(head, sizeof(head), "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %zu\r\n\r\n",
                 total);
    raw_text(r, head);
}

/* The rest of a body that is body_byte() all along; false when it stops early. */
static bool take_body(raw *r, uint64_t at, uint64_t total) {
    while (at < total) {
        if (r->len == 0 && raw_fill(r, check_ms(DEADLINE_MS)) <= 0)
            return false;
        size_t n = r->len < total - at ? r->len : (size_t)(total - at);
        body_check(r->data, at, n);
        raw_take(r, n);
        at += n;
    }
    return true;
}

static void echo_one(raw *r, size_t total, size_t piece, bool chunked) {
    sending s = {r, total, piece, chunked};
    raw sender = *r; /* shares the descriptor; only the reader takes bytes */
    s.r = &sender;
    send_head(r, total, chunked);
    pthread_t thread = thread_start(send_body, &s);
    answer a;
    CHECK_INT(raw_begin(r, &a), 200);
    if (chunked) {
        CHECK(answer_header_is(&a, "transfer-encoding", "chunked"));
        CHECK_INT(raw_chunks(r, NULL, 0), total);
    } else {
        char length[32];
        snprintf(length, sizeof(length), "%zu", total);
        CHECK(answer_header_is(&a, "content-length", length));
        CHECK(take_body(r, 0, total));
    }
    answer_free(&a);
    thread_join(thread);
}

static void echoes(void) {
    host h;
    echo e;
    raw r;
    int rounds = 0;
    echo_init(&e);
    stream_start(&h, delivery, echo_begin, &e, NULL);
    raw_open(&r, h.path);
    /* One connection for all: each leaves it as it was. */
    for (int chunked = 0; chunked < 2; chunked++) {
        echo_one(&r, 1, 1, chunked);
        echo_one(&r, 1000, 1, chunked);
        echo_one(&r, 70 * 1000, 7000, chunked);
        echo_one(&r, (size_t)check_rounds(24, 2) * MIB, 300 * 1000, chunked);
        rounds += 4;
    }
    echo_one(&r, 0, 1, true);
    rounds++;
    LATCH_AWAIT(&e.ended, rounds);
    CHECK_STATUS(e.last, HYSOCK_OK);
    raw_close(&r);
    host_stop(&h);
    CHECK_INT(latch_count(&e.ended), rounds);
    CHECK_INT(latch_count(&e.drops), latch_count(&e.started));
}

/* ---- the same by calls that wait ---- */

typedef struct waiting {
    latch done;
    hysock_status read;
    hysock_status write;
    bool started;
} waiting;

static void echo_waiting(hysock_exchange *exchange, void *userdata) {
    waiting *w = userdata;
    hysock_str piece;
    uint64_t at = 0;
    w->write = hysock_exchange_start_answer(exchange, 200, NULL, HYSOCK_UNKNOWN, ERR);
    if (w->write == HYSOCK_OK && !w->started) {
        w->started = true;
        CHECK_STATUS(hysock_exchange_start_answer(exchange, 200, NULL, 0, ERR), HYSOCK_E_STATE);
        CHECK_STATUS(hysock_exchange_answer(exchange, 200, NULL, NULL, 0, ERR), HYSOCK_E_STATE);
    }
    for (;;) {
        w->read = hysock_exchange_read(exchange, &piece, (uint32_t)check_ms(DEADLINE_MS), ERR);
        if (w->read != HYSOCK_OK || piece.ptr == NULL)
            break;
        body_check(piece.ptr, at, piece.len);
        at += piece.len;
        w->write = hysock_exchange_write(exchange, piece.ptr, piece.len,
                                         (uint32_t)check_ms(DEADLINE_MS), ERR);
        if (w->write != HYSOCK_OK)
            break;
    }
    if (w->read == HYSOCK_OK && w->write == HYSOCK_OK) {
        CHECK_OK(hysock_exchange_read(exchange, &piece, 0, ERR)); /* the end stays */
        CHECK(piece.ptr == NULL);
        CHECK_OK(hysock_exchange_finish(exchange, ERR));
        CHECK_STATUS(hysock_exchange_finish(exchange, ERR), HYSOCK_E_STATE);
        CHECK_STATUS(hysock_exchange_write(exchange, "x", 1, 0, ERR), HYSOCK_E_STATE);
    }
    latch_add(&w->done, 1);
}

static void echo_waits(void) {
    host h;
    waiting w;
    raw r;
    memset(&w, 0, sizeof(w));
    latch_init(&w.done);
    stream_start(&h, delivery, echo_waiting, &w, NULL);
    raw_open(&r, h.path);
    echo_one(&r, (size_t)check_rounds(16, 2) * MIB, 100 * 1000, true);
    echo_one(&r, 10, 1, true);
    LATCH_AWAIT(&w.done, 2);
    /* The client leaves in the middle of its body. */
    send_head(&r, 0, true);
    raw_body(&r, 0, 10, true);
    raw_close(&r);
    LATCH_AWAIT(&w.done, 3);
    CHECK(w.read == HYSOCK_E_TRUNCATED || w.write == HYSOCK_E_CLOSED);
    host_stop(&h);
}

/* ---- writing alone ---- */

/* How the handler below goes on; each is one case. */
enum writes {
    WHOLE,      /* all that was announced, and the end */
    UNFINISHED, /* all that was announced, and no end: it is whole all the same */
    SHORT,      /* half of what was announced, then freed */
    CUT,        /* some pieces, then freed */
    CHUNKS,     /* of unknown length */
    NOTHING_AT_ALL,
};

typedef struct written {
    enum writes how;
    latch done;
} written;

static void writes(hysock_exchange *exchange, void *userdata) {
    written *w = userdata;
    static unsigned char data[1000];
    bool counted = w->how == WHOLE || w->how == UNFINISHED || w->how == SHORT;
    body_fill(data, 0, sizeof(data));
    CHECK_STATUS(hysock_exchange_write(exchange, "x", 1, 0, ERR), HYSOCK_E_STATE);
    CHECK_ERR(HYSOCK_E_STATE, "start_answer");
    CHECK_STATUS(hysock_exchange_finish(exchange, ERR), HYSOCK_E_STATE);
    CHECK_STATUS(hysock_exchange_start_answer(exchange, 99, NULL, 0, ERR),
                 HYSOCK_E_INVALID_ARGUMENT);
    CHECK_OK(hysock_exchange_set_header(exchange, "x-one", "1", HYSOCK_NTS));
    CHECK_OK(hysock_exchange_start_answer(exchange, 201, "text/plain",
                                          counted ? sizeof(data) : HYSOCK_UNKNOWN, ERR));
    CHECK_STATUS(hysock_exchange_set_header(exchange, "x-two", "2", HYSOCK_NTS), HYSOCK_E_STATE);
    size_t half = sizeof(data) / 2;
    if (w->how != NOTHING_AT_ALL) {
        CHECK_OK(hysock_exchange_write(exchange, data, half, 0, ERR));
        CHECK_OK(hysock_exchange_write(exchange, NULL, 0, 0, ERR));
    }
    if (counted) {
        CHECK_STATUS(hysock_exchange_finish(exchange, ERR), HYSOCK_E_STATE);
        CHECK_ERR(HYSOCK_E_STATE, "500 bytes were written of the 1000");
        CHECK_STATUS(hysock_exchange_write(exchange, data, half + 1, 0, ERR),
                     HYSOCK_E_INVALID_ARGUMENT);
        CHECK_ERR(HYSOCK_E_INVALID_ARGUMENT, "501 bytes are more than the 500");
    }
    if (w->how == WHOLE || w->how == UNFINISHED || w->how == CHUNKS)
        CHECK_OK(hysock_exchange_write(exchange, data + half, half, 0, ERR));
    if (w->how == WHOLE || w->how == CHUNKS || w->how == NOTHING_AT_ALL)
        CHECK_OK(hysock_exchange_finish(exchange, ERR));
    latch_add(&w->done, 1);
}

static void write_one(enum writes how, const char *request, const char *version) {
    host h;
    written w;
    raw r;
    answer a;
    bool head = strcmp(request, "HEAD") == 0;
    bool old = strcmp(version, "1.0") == 0;
    bool counted = how == WHOLE || how == UNFINISHED || how == SHORT;
    bool broken = how == SHORT || how == CUT;
    char text[128];
    w.how = how;
    latch_init(&w.done);
    stream_start(&h, delivery, writes, &w, NULL);
    raw_open(&r, h.path);
    snprintf(text, sizeof(text), "%s / HTTP/%s\r\nHost: x\r\n\r\n", request, version);
    for (int round = 1; round <= 2; round++) {
        raw_text(&r, text);
        LATCH_AWAIT(&w.done, round);
        CHECK_INT(raw_begin(&r, &a), 201);
        CHECK(answer_header_is(&a, "x-one", "1"));
        CHECK(answer_header_is(&a, "content-type", "text/plain"));
        CHECK_INT(answer_header_is(&a, "content-length", "1000"), counted);
        CHECK_INT(answer_header_is(&a, "transfer-encoding", "chunked"), !counted && !old && !head);
        answer_free(&a);
        if (head)
            CHECK_INT(r.len, 0);
        else if (counted)
            CHECK_INT(take_body(&r, 0, 1000), !broken);
        else if (!old)
            CHECK_INT(raw_chunks(&r, NULL, 0), broken ? -1 : how == CHUNKS ? 1000 : 0);
        if (old || (broken && !head)) {
            /* Until the end of the connection. */
            while (raw_fill(&r, check_ms(DEADLINE_MS)) > 0) {
            }
            CHECK(r.eof);
            if (old && !counted)
                CHECK_INT(r.len, how == CHUNKS ? 1000 : how == CUT ? 500 : 0);
            raw_close(&r);
            raw_open(&r, h.path);
        }
    }
    raw_close(&r);
    host_stop(&h);
}

static void lengths(void) {
    const enum writes all[] = {WHOLE, UNFINISHED, SHORT, CUT, CHUNKS, NOTHING_AT_ALL};
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        write_one(all[i], "GET", "1.1");
        write_one(all[i], "HEAD", "1.1");
        write_one(all[i], "GET", "1.0");
    }
}

/* ---- a client that leaves ---- */

typedef struct left {
    latch begun;
    latch reads;
    latch rooms;
    latch gone;
    latch drops;
    hysock_exchange *exchange;
    hysock_status read;
    bool free_here;
    bool fills; /* writes until nothing fits, and waits for room */
    bool reads_too;
} left;

static void left_drop(void *userdata) { latch_add(&((left *)userdata)->drops, 1); }

static void left_read(hysock_exchange *exchange, hysock_status status, hysock_str piece,
                      void *userdata) {
    left *l = userdata;
    CHECK(delivery_here(delivery));
    CHECK(exchange == l->exchange);
    CHECK(piece.ptr == NULL);
    l->read = status;
    if (l->free_here)
        hysock_exchange_free(exchange);
    latch_add(&l->reads, 1);
}

static void left_room(hysock_exchange *exchange, void *userdata) {
    left *l = userdata;
    CHECK(delivery_here(delivery));
    CHECK(exchange == l->exchange);
    if (l->free_here)
        hysock_exchange_free(exchange);
    latch_add(&l->rooms, 1);
}

static void left_gone(hysock_exchange *exchange, void *userdata) {
    left *l = userdata;
    CHECK(exchange == l->exchange);
    latch_add(&l->gone, 1);
}

static void left_begin(hysock_exchange *exchange, void *userdata) {
    left *l = userdata;
    static char data[64 * 1024];
    l->exchange = exchange;
    CHECK_OK(hysock_exchange_defer(exchange, ERR));
    CHECK_OK(hysock_exchange_on_gone(exchange, left_gone, l, left_drop, ERR));
    CHECK_OK(hysock_exchange_start_answer(exchange, 200, NULL, HYSOCK_UNKNOWN, ERR));
    if (l->reads_too)
        CHECK_OK(hysock_exchange_read_start(exchange, left_read, l, left_drop, ERR));
    if (l->fills && delivery != INLINE) {
        while (hysock_exchange_write(exchange, data, sizeof(data), 50, ERR) == HYSOCK_OK) {
        }
        CHECK_ERR(HYSOCK_E_TIMED_OUT, "");
    }
    if (l->fills)
        while (hysock_exchange_write(exchange, data, sizeof(data), 0, ERR) == HYSOCK_OK) {
        }
    if (l->fills && delivery != INLINE)
        CHECK_OK(hysock_exchange_on_writable(exchange, left_room, l, left_drop, ERR));
    latch_add(&l->begun, 1);
}

static void left_start(host *h, left *l, raw *r) {
    latch_init(&l->begun);
    latch_init(&l->reads);
    latch_init(&l->rooms);
    latch_init(&l->gone);
    latch_init(&l->drops);
    stream_start(h, delivery, left_begin, l, NULL);
    raw_open(r, h->path);
    send_head(r, 0, true);
    LATCH_AWAIT(&l->begun, 1);
}

/* Whoever waits hears of it, once. */
static void leaves(bool fills, bool free_here) {
    host h;
    left l = {.fills = fills, .reads_too = true, .free_here = free_here};
    raw r;
    bool rooms = fills && delivery != INLINE;
    left_start(&h, &l, &r);
    CHECK(!latch_reaches(&l.reads, 1, 20));
    raw_close(&r);
    if (!free_here) {
        LATCH_AWAIT(&l.reads, 1);
        LATCH_AWAIT(&l.gone, 1);
        if (rooms)
            LATCH_AWAIT(&l.rooms, 1);
        CHECK_STATUS(l.read, HYSOCK_E_TRUNCATED);
        CHECK_STATUS(hysock_exchange_write(l.exchange, "x", 1, 0, ERR), HYSOCK_E_CLOSED);
        CHECK_STATUS(hysock_exchange_finish(l.exchange, ERR), HYSOCK_E_CLOSED);
        /* Asked again, it says so again. */
        CHECK_OK(hysock_exchange_read_start(l.exchange, left_read, &l, left_drop, ERR));
        CHECK_OK(hysock_exchange_on_writable(l.exchange, left_room, &l, left_drop, ERR));
        LATCH_AWAIT(&l.reads, 2);
        LATCH_AWAIT(&l.rooms, rooms ? 2 : 1);
        hysock_exchange_free(l.exchange);
    }
    long registered = free_here ? (rooms ? 3 : 2) : (rooms ? 5 : 4);
    LATCH_AWAIT(&l.drops, registered);
    host_stop(&h);
    CHECK_INT(latch_count(&l.drops), registered);
    if (!free_here) {
        CHECK_INT(latch_count(&l.reads), 2);
        CHECK_INT(latch_count(&l.rooms), rooms ? 2 : 1);
        CHECK_INT(latch_count(&l.gone), 1);
    }
}

/* Freed while two functions wait: neither runs, both are dropped; the client sees a cut answer. */
static void freed_while_waiting(void) {
    host h;
    left l = {.fills = true, .reads_too = true};
    raw r;
    answer a;
    left_start(&h, &l, &r);
    hysock_exchange_free(l.exchange);
    LATCH_AWAIT(&l.drops, delivery == INLINE ? 2 : 3);
    CHECK_INT(raw_begin(&r, &a), 200);
    answer_free(&a);
    while (raw_fill(&r, check_ms(DEADLINE_MS)) > 0) {
    }
    CHECK(r.eof);
    CHECK(memcmp(r.data + r.len - 5, "0\r\n\r\n", 5) != 0);
    raw_close(&r);
    host_stop(&h);
    CHECK_INT(latch_count(&l.reads) + latch_count(&l.rooms) + latch_count(&l.gone), 0);
}

/* The server ends: whoever waits hears of that. */
static void server_ends(bool by_free) {
    host h;
    left l = {.fills = true, .reads_too = true};
    raw r;
    left_start(&h, &l, &r);
    if (by_free) {
        hysock_server_free(h.server);
        h.server = NULL;
    } else {
        CHECK_OK(hysock_server_shutdown(h.server, 0, ERR));
        WAIT_OK(hysock_server_wait, h.server);
        CHECK_INT(latch_count(&l.reads), 1);
        CHECK_STATUS(l.read, HYSOCK_E_SHUT_DOWN);
        CHECK_INT(latch_count(&l.gone), 1);
    }
    LATCH_AWAIT(&l.drops, delivery == INLINE ? 2 : 3);
    CHECK_STATUS(hysock_exchange_write(l.exchange, "x", 1, 0, ERR), HYSOCK_E_SHUT_DOWN);
    CHECK_STATUS(hysock_exchange_read_start(l.exchange, left_read, &l, left_drop, ERR),
                 HYSOCK_E_SHUT_DOWN);
    if (by_free)
        CHECK_INT(latch_count(&l.reads) + latch_count(&l.rooms) + latch_count(&l.gone), 0);
    hysock_exchange_free(l.exchange);
    raw_close(&r);
    host_stop(&h);
}

/* ---- blocked calls ---- */

static void block(hysock_exchange *exchange, void *userdata) {
    waiting *w = userdata;
    static char data[64 * 1024];
    hysock_str piece;
    if (delivery == INLINE) {
        CHECK_STATUS(hysock_exchange_read(exchange, &piece, 1, ERR), HYSOCK_E_WOULD_DEADLOCK);
        CHECK_STATUS(hysock_exchange_read(exchange, &piece, 0, ERR), HYSOCK_E_WOULD_BLOCK);
        CHECK(piece.ptr == NULL && piece.len == 0);
        CHECK_OK(hysock_exchange_start_answer(exchange, 200, NULL, HYSOCK_UNKNOWN, ERR));
        CHECK_STATUS(hysock_exchange_write(exchange, "x", 1, 1, ERR), HYSOCK_E_WOULD_DEADLOCK);
        CHECK_OK(hysock_exchange_finish(exchange, ERR));
        latch_add(&w->done, 1);
        return;
    }
    CHECK_STATUS(hysock_exchange_read(exchange, &piece, 20, ERR), HYSOCK_E_TIMED_OUT);
    CHECK_OK(hysock_exchange_start_answer(exchange, 200, NULL, HYSOCK_UNKNOWN, ERR));
    latch_add(&w->done, 1);
    if (w->started)
        while ((w->write = hysock_exchange_write(exchange, data, sizeof(data), HYSOCK_FOREVER,
                                                 ERR)) == HYSOCK_OK) {
        }
    w->read = hysock_exchange_read(exchange, &piece, HYSOCK_FOREVER, ERR);
    latch_add(&w->done, 1);
}

/* A call that waits returns when the client leaves (or the server ends). */
static void blocked(bool in_write, bool by_shutdown) {
    host h;
    waiting w;
    raw r;
    memset(&w, 0, sizeof(w));
    latch_init(&w.done);
    w.started = in_write;
    stream_start(&h, delivery, block, &w, NULL);
    raw_open(&r, h.path);
    send_head(&r, 0, true);
    LATCH_AWAIT(&w.done, 1);
    if (delivery != INLINE) {
        if (in_write)
            CHECK(!latch_reaches(&w.done, 2, 50));
        if (by_shutdown)
            CHECK_OK(hysock_server_shutdown(h.server, 0, ERR));
        else
            raw_close(&r);
        LATCH_AWAIT(&w.done, 2);
        CHECK_STATUS(w.read, by_shutdown ? HYSOCK_E_SHUT_DOWN : HYSOCK_E_TRUNCATED);
        if (in_write)
            CHECK_STATUS(w.write, by_shutdown ? HYSOCK_E_SHUT_DOWN : HYSOCK_E_CLOSED);
    }
    if (r.fd >= 0)
        raw_close(&r);
    host_stop(&h);
}

/* ---- bodies that were collected ---- */

typedef struct pieces {
    latch done;
    char text[64];
    size_t len;
    hysock_exchange *exchange;
} pieces;

static void collected_piece(hysock_exchange *exchange, hysock_status status, hysock_str piece,
                            void *userdata) {
    pieces *p = userdata;
    CHECK_OK(status);
    if (piece.ptr != NULL) {
        CHECK(hysock_str_equal(piece, "hello"));
        CHECK(piece.ptr == hysock_exchange_body(exchange).ptr);
        CHECK_OK(hysock_exchange_read_start(exchange, collected_piece, p, NULL, ERR));
        return;
    }
    answer_text(exchange, 200, "ok");
    hysock_exchange_free(exchange);
    latch_add(&p->done, 1);
}

static void collected_begin(hysock_exchange *exchange, void *userdata) {
    hysock_str piece;
    CHECK_INT(hysock_exchange_content_length(exchange), 5);
    if (hysock_str_equal(hysock_exchange_path(exchange), "/callback")) {
        CHECK_OK(hysock_exchange_defer(exchange, ERR));
        CHECK_OK(hysock_exchange_read_start(exchange, collected_piece, userdata, NULL, ERR));
        return;
    }
    CHECK_OK(hysock_exchange_read(exchange, &piece, 0, ERR));
    CHECK(hysock_str_equal(piece, "hello"));
    CHECK_OK(hysock_exchange_read(exchange, &piece, 0, ERR));
    CHECK(piece.ptr == NULL);
    answer_text(exchange, 200, "ok");
    latch_add(&((pieces *)userdata)->done, 1);
}

static void collected(void) {
    host h;
    pieces p;
    raw r;
    latch_init(&p.done);
    host_start(&h, delivery, collected_begin, &p);
    raw_open(&r, h.path);
    raw_text(&r, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello");
    CHECK_INT(raw_status(&r), 200);
    raw_text(&r, "POST /callback HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello");
    CHECK_INT(raw_status(&r), 200);
    LATCH_AWAIT(&p.done, 2);
    raw_close(&r);
    host_stop(&h);
}

/* ---- answers before the body was read ---- */

static void refuse(hysock_exchange *exchange, void *userdata) {
    CHECK_INT(hysock_exchange_content_length(exchange), 8 * MIB);
    answer_text(exchange, 403, "no");
    latch_add(userdata, 1);
}

/* The client is still sending: it gets the answer, and the connection ends. */
static void early(void) {
    host h;
    latch done;
    latch_init(&done);
    stream_start(&h, delivery, refuse, &done, NULL);
    for (int i = 1; i <= 10; i++) {
        raw r;
        answer a;
        raw_open(&r, h.path);
        send_head(&r, 8 * MIB, false);
        char *data = calloc(1, 8 * MIB);
        CHECK(data != NULL);
        raw_send_some(&r, data, 8 * MIB, true);
        free(data);
        CHECK_INT(raw_answer(&r, &a, false), 403);
        CHECK(answer_header_is(&a, "connection", "close"));
        CHECK(strcmp(a.body, "no") == 0);
        answer_free(&a);
        raw_close(&r);
        LATCH_AWAIT(&done, i);
    }
    host_stop(&h);
}

/* The 100 goes out at the first read, and not before. */
static hysock_exchange *patient;
static void be_patient(hysock_exchange *exchange, void *userdata) {
    CHECK_OK(hysock_exchange_defer(exchange, ERR));
    patient = exchange;
    latch_add(userdata, 1);
}

static void expects(void) {
    host h;
    latch begun;
    echo e;
    raw r;
    latch_init(&begun);
    echo_init(&e);
    stream_start(&h, delivery, be_patient, &begun, NULL);
    raw_open(&r, h.path);
    raw_text(&r, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n");
    LATCH_AWAIT(&begun, 1);
    CHECK_INT(raw_fill(&r, 50), -1);
    hysock_str piece;
    CHECK_STATUS(hysock_exchange_read(patient, &piece, 0, ERR), HYSOCK_E_WOULD_BLOCK);
    CHECK_INT(raw_status(&r), 100);
    raw_text(&r, "abc");
    CHECK_OK(hysock_exchange_read(patient, &piece, (uint32_t)check_ms(DEADLINE_MS), ERR));
    CHECK(hysock_str_equal(piece, "abc"));
    answer_text(patient, 200, "ok");
    CHECK_INT(raw_status(&r), 200);
    hysock_exchange_free(patient);
    /* Answered without a read: no 100 at all. */
    raw_text(&r, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n");
    LATCH_AWAIT(&begun, 2);
    answer_text(patient, 401, "no");
    CHECK_INT(raw_status(&r), 401);
    hysock_exchange_free(patient);
    raw_close(&r);
    host_stop(&h);
}

/* What a client pipelined before it left is still handled. */
static void pipelined_by_the_gone(void) {
    host h;
    echo e;
    raw r;
    echo_init(&e);
    stream_start(&h, delivery, echo_begin, &e, NULL);
    raw_open(&r, h.path);
    for (int i = 0; i < 5; i++) {
        send_head(&r, 1000, i % 2 == 1);
        raw_body(&r, 0, 1000, i % 2 == 1);
        if (i % 2 == 1)
            raw_text(&r, "0\r\n\r\n");
    }
    raw_close(&r);
    LATCH_AWAIT(&e.ended, 5);
    host_stop(&h);
    CHECK_INT(latch_count(&e.ended), 5);
    CHECK_INT(latch_count(&e.drops), latch_count(&e.started));
}

/* ---- trailers ---- */

static void trailing(hysock_exchange *exchange, void *userdata) {
    hysock_str piece;
    CHECK(hysock_exchange_trailer(exchange, "x-sum").ptr == NULL);
    CHECK_OK(hysock_exchange_defer(exchange, ERR));
    int64_t end = now_ms() + check_ms(DEADLINE_MS);
    hysock_status status;
    do {
        CHECK(now_ms() < end);
        status = hysock_exchange_read(exchange, &piece, delivery == INLINE ? 0 : 100, ERR);
        if (delivery == INLINE && status == HYSOCK_E_WOULD_BLOCK)
            break;
        CHECK_OK(status);
    } while (piece.ptr != NULL);
    if (delivery != INLINE) {
        CHECK(hysock_str_equal(hysock_exchange_trailer(exchange, "X-Sum"), "12"));
        CHECK(hysock_exchange_trailer(exchange, "x-other").ptr == NULL);
        CHECK(hysock_exchange_trailer(exchange, NULL).ptr == NULL);
    }
    bool counted = hysock_str_equal(hysock_exchange_path(exchange), "/counted");
    CHECK_STATUS(hysock_exchange_add_trailer(exchange, "x-sum", "1", 1, ERR), HYSOCK_E_STATE);
    CHECK_OK(hysock_exchange_set_header(exchange, "trailer", "X-Sum, x-two", HYSOCK_NTS));
    CHECK_OK(hysock_exchange_start_answer(exchange, 200, NULL, counted ? 3 : HYSOCK_UNKNOWN, ERR));
    CHECK_OK(hysock_exchange_write(exchange, "\0\1\2", 3, 0, ERR));
    if (counted || hysock_exchange_version(exchange) == 10) {
        CHECK_STATUS(hysock_exchange_add_trailer(exchange, "x-sum", "1", 1, ERR), HYSOCK_E_STATE);
        CHECK_ERR(HYSOCK_E_STATE, "in chunks");
    } else {
        CHECK_OK(hysock_exchange_add_trailer(exchange, "x-sum", "3", HYSOCK_NTS, ERR));
        CHECK_OK(hysock_exchange_add_trailer(exchange, "X-Two", "a b", 3, ERR));
        CHECK_STATUS(hysock_exchange_add_trailer(exchange, "x-new", "1", 1, ERR),
                     HYSOCK_E_INVALID_ARGUMENT);
        CHECK_ERR(HYSOCK_E_INVALID_ARGUMENT, "Trailer");
        CHECK_STATUS(hysock_exchange_add_trailer(exchange, "content-type", "x", 1, ERR),
                     HYSOCK_E_INVALID_ARGUMENT);
        CHECK_STATUS(hysock_exchange_add_trailer(exchange, "x-two", "a\nb", 3, ERR),
                     HYSOCK_E_INVALID_ARGUMENT);
        CHECK_STATUS(hysock_exchange_add_trailer(exchange, NULL, "1", 1, ERR),
                     HYSOCK_E_INVALID_ARGUMENT);
    }
    CHECK_OK(hysock_exchange_finish(exchange, ERR));
    hysock_exchange_free(exchange);
    latch_add(userdata, 1);
}

static void trailers(void) {
    host h;
    latch done;
    raw r;
    answer a;
    char lines[256] = "";
    latch_init(&done);
    stream_start(&h, delivery, trailing, &done, NULL);
    const char *body = "Host: x\r\nTransfer-Encoding: chunked\r\nTE: trailers\r\n\r\n"
                       "3\r\nabc\r\n0\r\nX-Sum: 12\r\n\r\n";
    raw_open(&r, h.path);
    for (int i = 1; i <= 3; i++) {
        raw_text(&r, i == 2 ? "POST /counted HTTP/1.1\r\n" : "POST / HTTP/1.1\r\n");
        raw_text(&r, body);
        LATCH_AWAIT(&done, i);
        CHECK_INT(raw_begin(&r, &a), 200);
        answer_free(&a);
        if (i == 2) {
            CHECK(take_body(&r, 0, 3));
        } else {
            CHECK_INT(raw_chunks(&r, lines, sizeof(lines)), 3);
            CHECK(strcmp(lines, "x-sum: 3\nx-two: a b\n") == 0);
        }
        if (delivery == INLINE) { /* it did not read to the end */
            raw_close(&r);
            raw_open(&r, h.path);
        }
    }
    raw_close(&r);
    host_stop(&h);
}

/* ---- bodies that are not copied ---- */

#define LENT_SIZE (3 * MIB)
static char *lent;
static latch lent_drops;

static void lent_drop(void *userdata) {
    CHECK(userdata == lent);
    CHECK(delivery_here(delivery));
    latch_add(&lent_drops, 1);
}

static void refused_drop(void *userdata) { latch_add(userdata, 1); }

static void lend(hysock_exchange *exchange, void *userdata) {
    latch refused;
    latch_init(&refused);
    bool written = hysock_str_equal(hysock_exchange_path(exchange), "/written");
    CHECK_OK(hysock_exchange_defer(exchange, ERR));
    CHECK_STATUS(
        hysock_exchange_answer_nocopy(exchange, 999, NULL, lent, 1, &refused, refused_drop, ERR),
        HYSOCK_E_INVALID_ARGUMENT);
    CHECK_STATUS(
        hysock_exchange_answer_nocopy(exchange, 200, NULL, NULL, 1, &refused, refused_drop, ERR),
        HYSOCK_E_INVALID_ARGUMENT);
    CHECK_STATUS(hysock_exchange_write_nocopy(exchange, lent, 1, 0, &refused, refused_drop, ERR),
                 HYSOCK_E_STATE);
    CHECK_INT(latch_count(&refused), 3);
    if (!written) {
        CHECK_OK(hysock_exchange_answer_nocopy(exchange, 200, NULL, lent, LENT_SIZE, lent,
                                               lent_drop, ERR));
    } else {
        CHECK_OK(hysock_exchange_start_answer(exchange, 200, NULL, LENT_SIZE, ERR));
        /* Longer than the buffer: taken since that is empty; then nothing fits. */
        CHECK_OK(hysock_exchange_write(exchange, lent, 10, 0, ERR));
        CHECK_OK(hysock_exchange_write_nocopy(exchange, lent + 10, 0, 0, lent, lent_drop, ERR));
        CHECK_OK(hysock_exchange_write_nocopy(exchange, lent + 10, 90, 0, lent, lent_drop, ERR));
        hysock_status status = HYSOCK_E_WOULD_BLOCK;
        if (delivery != INLINE)
            status =
                hysock_exchange_write_nocopy(exchange, lent + 100, LENT_SIZE - 100,
                                             (uint32_t)check_ms(DEADLINE_MS), lent, lent_drop, ERR);
        else
            CHECK_STATUS(hysock_exchange_write_nocopy(exchange, lent + 100, LENT_SIZE - 100, 0,
                                                      &refused, refused_drop, ERR),
                         HYSOCK_E_WOULD_BLOCK);
        if (delivery == INLINE) {
            CHECK_INT(latch_count(&refused), 4);
        } else {
            CHECK_OK(status);
            CHECK_OK(hysock_exchange_finish(exchange, ERR));
        }
    }
    hysock_exchange_free(exchange);
    latch_add(userdata, 1);
    latch_free(&refused);
}

static void nocopy(void) {
    host h;
    latch done;
    raw r;
    answer a;
    lent = malloc(LENT_SIZE);
    CHECK(lent != NULL);
    body_fill(lent, 0, LENT_SIZE);
    latch_init(&done);
    latch_init(&lent_drops);
    host_start(&h, delivery, lend, &done);
    raw_open(&r, h.path);
    raw_text(&r, "GET /whole HTTP/1.1\r\nHost: x\r\n\r\n");
    CHECK_INT(raw_begin(&r, &a), 200);
    CHECK(take_body(&r, 0, LENT_SIZE));
    answer_free(&a);
    LATCH_AWAIT(&lent_drops, 1);
    raw_text(&r, "HEAD /whole HTTP/1.1\r\nHost: x\r\n\r\n");
    CHECK_INT(raw_begin(&r, &a), 200);
    answer_free(&a);
    LATCH_AWAIT(&lent_drops, 2);
    raw_text(&r, "GET /written HTTP/1.1\r\nHost: x\r\n\r\n");
    CHECK_INT(raw_begin(&r, &a), 200);
    answer_free(&a);
    CHECK_INT(take_body(&r, 0, LENT_SIZE), delivery != INLINE);
    LATCH_AWAIT(&lent_drops, delivery == INLINE ? 4 : 5);
    raw_close(&r);
    /* The client leaves with most of it unread. */
    raw_open(&r, h.path);
    raw_text(&r, "GET /whole HTTP/1.1\r\nHost: x\r\n\r\n");
    CHECK_INT(raw_begin(&r, &a), 200);
    answer_free(&a);
    raw_close(&r);
    LATCH_AWAIT(&lent_drops, delivery == INLINE ? 5 : 6);
    host_stop(&h);
    CHECK_INT(latch_count(&lent_drops), delivery == INLINE ? 5 : 6);
    free(lent);
}

/* ---- events ---- */

static void tell(hysock_exchange *exchange, void *userdata) {
    CHECK_STATUS(hysock_exchange_write_event(exchange, "a", "1", "x", 1, 0, ERR), HYSOCK_E_STATE);
    CHECK_OK(hysock_exchange_start_events(exchange, ERR));
    CHECK_STATUS(hysock_exchange_start_events(exchange, ERR), HYSOCK_E_STATE);
    CHECK_OK(hysock_exchange_write_event(exchange, "tick", "1", "one\ntwo", HYSOCK_NTS, 0, ERR));
    CHECK_OK(hysock_exchange_write_event(exchange, NULL, NULL, "three!", 5, 0, ERR));
    CHECK_OK(hysock_exchange_write_event(exchange, NULL, NULL, NULL, 0, 0, ERR));
    CHECK_STATUS(hysock_exchange_write_event(exchange, "a\nb", NULL, "x", 1, 0, ERR),
                 HYSOCK_E_INVALID_ARGUMENT);
    CHECK_ERR(HYSOCK_E_INVALID_ARGUMENT, "event");
    CHECK_STATUS(hysock_exchange_write_event(exchange, NULL, "1\r", "x", 1, 0, ERR),
                 HYSOCK_E_INVALID_ARGUMENT);
    CHECK_ERR(HYSOCK_E_INVALID_ARGUMENT, "id");
    CHECK_STATUS(hysock_exchange_write_event(exchange, NULL, NULL, NULL, 1, 0, ERR),
                 HYSOCK_E_INVALID_ARGUMENT);
    CHECK_OK(hysock_exchange_finish(exchange, ERR));
    latch_add(userdata, 1);
}

static void events(void) {
    host h;
    latch done;
    raw r;
    answer a;
    latch_init(&done);
    host_start(&h, delivery, tell, &done);
    raw_open(&r, h.path);
    raw_text(&r, "GET / HTTP/1.0\r\n\r\n");
    CHECK_INT(raw_begin(&r, &a), 200);
    CHECK(answer_header_is(&a, "content-type", "text/event-stream"));
    CHECK(answer_header_is(&a, "cache-control", "no-store"));
    answer_free(&a);
    while (raw_fill(&r, check_ms(DEADLINE_MS)) > 0) {
    }
    CHECK(strcmp(r.data, "event: tick\nid: 1\ndata: one\ndata: two\n\ndata: three\n\n:\n\n") == 0);
    LATCH_AWAIT(&done, 1);
    raw_close(&r);
    host_stop(&h);
}

int main(int argc, char **argv) {
    check_start();
    delivery = delivery_parse(argc, argv);
    latch_init(&echoing_count);
    echoes();
    if (delivery != INLINE)
        echo_waits();
    lengths();
    leaves(false, false);
    leaves(true, false);
    leaves(false, true);
    leaves(true, true);
    freed_while_waiting();
    server_ends(false);
    server_ends(true);
    blocked(false, false);
    blocked(true, false);
    blocked(false, true);
    blocked(true, true);
    collected();
    early();
    expects();
    pipelined_by_the_gone();
    trailers();
    nocopy();
    events();
    return check_end();
}
