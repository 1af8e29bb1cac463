/* A peer that answers garbage, ends early, says nothing or does not stop: the right status, never a
 * hang or a crash. */
#include "hostile.h"

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
    {"the same length twice", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok",
     0, HYSOCK_OK, true},
    {"a length of more than 64 bits",
     "HTTP/1.1 200 OK\r\nContent-Length: 18446744073709551617\r\n\r\nok", 0, HYSOCK_E_PROTOCOL,
     true},
    {"a length and chunks",
     "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n"
     "2\r\nok\r\n0\r\n\r\n",
     0, HYSOCK_E_PROTOCOL, true},
    {"chunks and a length",
     "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 12\r\n\r\n"
     "2\r\nok\r\n0\r\n\r\n",
     0, HYSOCK_E_PROTOCOL, true},
    {"chunks in HTTP/1.0",
     "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", 0,
     HYSOCK_E_PROTOCOL, true},
    {"an encoding that nobody knows",
     "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, rot13\r\n\r\nok", 0, HYSOCK_OK, false},
    {"a chunk size of more than 64 bits",
     "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n10000000000000001\r\nok", 0,
     HYSOCK_E_PROTOCOL, true},
    {"a chunk that is longer than it says",
     "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nok\r\n0\r\n\r\n", 0,
     HYSOCK_E_PROTOCOL, true},
    {"a broken trailer",
     "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nno colon\r\n\r\n", 0,
     HYSOCK_E_PROTOCOL, true},
    {"a 101 that nobody asked for", "HTTP/1.1 101 x\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n",
     0, HYSOCK_E_PROTOCOL, true},
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

/* Each of these goes on for ever. */
#define CHUNKED "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
#define CHUNK "01234567890123456789012345678901"
static const struct {
    script script;
    hysock_status status;
    const char *word; /* of its message */
} floods[] = {
    {{.name = "empty lines", .piece = "\r\n"}, HYSOCK_E_TOO_LARGE, "set_max_head"},
    {{.name = "a reason", .start = "HTTP/1.1 200 ", .piece = "a"},
     HYSOCK_E_TOO_LARGE,
     "set_max_head"},
    {{.name = "a header", .start = "HTTP/1.1 200 OK\r\nA: ", .piece = "a"},
     HYSOCK_E_TOO_LARGE,
     "set_max_head"},
    {{.name = "headers", .start = "HTTP/1.1 200 OK\r\n", .piece = "A: b\r\n"},
     HYSOCK_E_TOO_LARGE,
     "100 headers"},
    {{.name = "interim headers", .start = "HTTP/1.1 103 OK\r\n", .piece = "A: b\r\n"},
     HYSOCK_E_TOO_LARGE,
     "100 headers"},
    {{.name = "interim answers", .piece = "HTTP/1.1 100 Continue\r\n\r\n"},
     HYSOCK_E_PROTOCOL,
     "sends on and on"},
    {{.name = "a body", .start = "HTTP/1.1 200 OK\r\n\r\n", .piece = "a"},
     HYSOCK_E_TOO_LARGE,
     "set_max_body"},
    {{.name = "chunks", .start = CHUNKED, .piece = "20\r\n" CHUNK "\r\n"},
     HYSOCK_E_TOO_LARGE,
     "set_max_body"},
    {{.name = "a chunk's size", .start = CHUNKED, .piece = "0"}, HYSOCK_E_PROTOCOL, "malformed"},
    {{.name = "a second chunk's size", .start = CHUNKED "1\r\na\r\n", .piece = "0"},
     HYSOCK_E_PROTOCOL,
     "malformed"},
    {{.name = "a chunk's blanks", .start = CHUNKED "1", .piece = " "},
     HYSOCK_E_PROTOCOL,
     "malformed"},
    {{.name = "a chunk's extension", .start = CHUNKED "1;", .piece = "a"},
     HYSOCK_E_PROTOCOL,
     "malformed"},
    {{.name = "a trailer", .start = CHUNKED "0\r\nA: ", .piece = "a"},
     HYSOCK_E_PROTOCOL,
     "malformed"},
    {{.name = "trailers", .start = CHUNKED "0\r\n", .piece = "A: b\r\n"},
     HYSOCK_E_PROTOCOL,
     "malformed"},
};

static void fixed(question *q) {
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const row *one = &rows[i];
        const script s = {
            .name = one->name, .start = one->answer, .len = one->len, .hold = one->hold};
        q->timeout_ms = one->status == HYSOCK_E_TIMED_OUT ? 150 : (uint32_t)check_ms(DEADLINE_MS);
        peer_set(q->peer, &s);
        for (enum how how = BARE; how <= STREAMED; how++)
            /* The limit is for bodies that are collected. */
            if (how != STREAMED || one->status != HYSOCK_E_TOO_LARGE)
                ask_for(q, how, &s, one->status, 200, "ok", 2);
    }
    q->timeout_ms = (uint32_t)check_ms(DEADLINE_MS);
}

static void endless(const question *q) {
    for (size_t i = 0; i < sizeof(floods) / sizeof(floods[0]); i++) {
        peer_set(q->peer, &floods[i].script);
        for (enum how how = check_slow() ? STARTED : BARE; how <= STREAMED; how++) {
            if (how == STREAMED && strcmp(floods[i].word, "set_max_body") == 0)
                continue;
            ask_for(q, how, &floods[i].script, floods[i].status, 0, NULL, 0);
            CHECK_ERR(floods[i].status, floods[i].word);
        }
    }
}

/* Many interim answers, and then the one that counts. */
static void patient(const question *q) {
    char text[32768], *end = text;
    while (end - text < (long)sizeof(text) - 200)
        end = stpcpy(end, "HTTP/1.1 102 Processing\r\nA: b\r\n\r\n");
    stpcpy(end, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    const script s = {.name = "many interim answers", .start = text, .hold = true};
    peer_set(q->peer, &s);
    for (enum how how = BARE; how <= STARTED; how++)
        ask_for(q, how, &s, HYSOCK_OK, 200, "ok", 2);
}

int main(void) {
    peer p;
    question q = {.peer = &p};
    check_start();
    peer_start(&p);
    CHECK_OK(hysock_runtime_new(NULL, &q.runtime, ERR));
    fixed(&q);
    endless(&q);
    patient(&q);
    peer_stop(&p);
    CHECK_OK(hysock_runtime_shutdown(q.runtime, 1000, ERR));
    WAIT_OK(hysock_runtime_wait, q.runtime);
    hysock_runtime_free(q.runtime);
    return check_end();
}
