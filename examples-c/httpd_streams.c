/* httpd: bodies of any length, piece by piece, in bounded memory and without blocking.
 *
 * Each step asks for the next one and returns: hysock_exchange_read_start() for a piece of the
 * request, hysock_exchange_on_writable() for room in the answer. So a client that reads slowly
 * slows its own sending down and nothing else. Where handlers may block, hysock_exchange_read() and
 * hysock_exchange_write() with a timeout make plain loops of this: see stream_upload.c and
 * stream_download.c.
 *
 * hysock_exchange_free() is the way out of every error: an answer that was begun and is not
 * finished is cut off, so that its client cannot take it for a whole one.
 */
#define _POSIX_C_SOURCE 200809L
#include "httpd.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A zeroed block that goes with the exchange, which is ours from here on. NULL: it was answered. */
static void *keep_with(hysock_exchange *exchange, size_t size) {
    void *block = calloc(1, size);
    if (block == NULL) {
        answer_text(exchange, 503, "out of memory\n");
        return NULL;
    }
    if (hysock_exchange_set_userdata(exchange, block, free, NULL) != HYSOCK_OK ||
        hysock_exchange_defer(exchange, NULL) != HYSOCK_OK)
        return NULL; /* block is freed already, or with the exchange */
    return block;
}

/* /echo: each piece is sent back before the next one is read. The answer begins with the first
 * piece, not before: a client with `Expect: 100-continue` keeps its body back when the answer comes
 * first. */

struct echo {
    hysock_str piece; /* good until the next read */
    bool started;
};

static bool echo_start(hysock_exchange *exchange, struct echo *echo) {
    hysock_str type = hysock_exchange_header(exchange, "content-type");
    if (echo->started)
        return true;
    echo->started = true;
    if (type.ptr != NULL)
        hysock_exchange_set_header(exchange, "Content-Type", type.ptr, type.len);
    return hysock_exchange_start_answer(
               exchange, 200, NULL, hysock_exchange_content_length(exchange), NULL) == HYSOCK_OK;
}

static void echo_write(hysock_exchange *exchange, void *userdata);

static void echo_piece(hysock_exchange *exchange, hysock_status status, hysock_str piece,
                       void *userdata) {
    struct echo *echo = userdata;
    if (status != HYSOCK_OK || !echo_start(exchange, echo)) { /* the client is gone */
        hysock_exchange_free(exchange);
    } else if (piece.ptr == NULL) { /* the body's end */
        hysock_exchange_finish(exchange, NULL);
        hysock_exchange_free(exchange);
    } else {
        echo->piece = piece;
        echo_write(exchange, echo);
    }
}

static void echo_write(hysock_exchange *exchange, void *userdata) {
    struct echo *echo = userdata;
    hysock_status status =
        hysock_exchange_write(exchange, echo->piece.ptr, echo->piece.len, 0, NULL);
    if (status == HYSOCK_OK)
        status = hysock_exchange_read_start(exchange, echo_piece, echo, NULL, NULL);
    else if (status == HYSOCK_E_WOULD_BLOCK)
        status = hysock_exchange_on_writable(exchange, echo_write, echo, NULL, NULL);
    if (status != HYSOCK_OK)
        hysock_exchange_free(exchange);
}

void any_echo(hysock_exchange *exchange, void *userdata) {
    struct echo *echo = keep_with(exchange, sizeof *echo);
    (void)userdata;
    if (echo != NULL &&
        hysock_exchange_read_start(exchange, echo_piece, echo, NULL, NULL) != HYSOCK_OK)
        hysock_exchange_free(exchange);
}

/* POST /digest: FNV-1a, 64 bits, http://www.isthe.com/chongo/tech/comp/fnv/ */

struct digest {
    uint64_t bytes, hash;
};

static void digest_piece(hysock_exchange *exchange, hysock_status status, hysock_str piece,
                         void *userdata) {
    struct digest *digest = userdata;
    char json[80];
    size_t i;
    if (status == HYSOCK_OK && piece.ptr != NULL) {
        for (i = 0; i < piece.len; i++)
            digest->hash = (digest->hash ^ (unsigned char)piece.ptr[i]) * 0x100000001b3u;
        digest->bytes += piece.len;
        if (hysock_exchange_read_start(exchange, digest_piece, digest, NULL, NULL) == HYSOCK_OK)
            return;
    } else if (status == HYSOCK_OK) {
        snprintf(json, sizeof json, "{\"bytes\":%" PRIu64 ",\"fnv1a64\":\"%016" PRIx64 "\"}\n",
                 digest->bytes, digest->hash);
        hysock_exchange_answer(exchange, 200, "application/json", json, strlen(json), NULL);
    }
    hysock_exchange_free(exchange);
}

void post_digest(hysock_exchange *exchange, void *userdata) {
    struct digest *digest = keep_with(exchange, sizeof *digest);
    (void)userdata;
    if (digest == NULL)
        return;
    digest->hash = 0xcbf29ce484222325u;
    if (hysock_exchange_read_start(exchange, digest_piece, digest, NULL, NULL) != HYSOCK_OK)
        hysock_exchange_free(exchange);
}

/* GET /bytes/{n}: byte i is i mod 251. Each piece is the same whole number of rounds, so all are
 * alike, and they are sent from where the one lies, without a copy. */

enum { ROUND = 251, PIECE = ROUND * 256 };
static unsigned char rounds[PIECE];

void streams_prepare(void) {
    size_t i;
    for (i = 0; i < sizeof rounds; i++)
        rounds[i] = (unsigned char)(i % ROUND);
}

/* One piece a turn, so that a large answer leaves room for the others. */
static void bytes_write(hysock_exchange *exchange, void *userdata) {
    uint64_t *left = userdata;
    size_t len = *left < PIECE ? (size_t)*left : PIECE;
    hysock_status status = HYSOCK_OK;
    if (len > 0)
        status = hysock_exchange_write_nocopy(exchange, rounds, len, 0, NULL, NULL, NULL);
    if (status == HYSOCK_OK)
        *left -= len;
    if (*left == 0)
        hysock_exchange_finish(exchange, NULL);
    else if (status == HYSOCK_OK || status == HYSOCK_E_WOULD_BLOCK)
        if (hysock_exchange_on_writable(exchange, bytes_write, left, NULL, NULL) == HYSOCK_OK)
            return;
    hysock_exchange_free(exchange);
}

void get_bytes(hysock_exchange *exchange, void *userdata) {
    uint64_t count, *left;
    (void)userdata;
    if (!parse_number(hysock_exchange_param(exchange, "n"), UINT64_MAX, &count)) {
        answer_text(exchange, 400, "/bytes/{n}: a number\n");
        return;
    }
    left = keep_with(exchange, sizeof *left);
    if (left == NULL)
        return;
    if (!hysock_str_equal(hysock_exchange_method(exchange), "HEAD"))
        *left = count; /* a HEAD gets the head alone: nothing to write */
    if (hysock_exchange_start_answer(exchange, 200, "application/octet-stream", HYSOCK_UNKNOWN,
                                     NULL) != HYSOCK_OK)
        hysock_exchange_free(exchange);
    else
        bytes_write(exchange, left);
}
