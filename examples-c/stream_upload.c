/* Teaches: reading a request's body piece by piece, so that one of any size needs the memory of a
 * piece.
 *
 *   stream_upload SOCKET [LIMIT]
 *   curl -T FILE --unix-socket SOCKET http://localhost/     counts the lines and bytes of FILE
 *
 * The handler of a streaming route runs when the head of its request is there. It reads the body by
 * calls that wait, which a callback thread may do; with inline delivery the same is done by
 * hysock_exchange_read_start(). A client that says `Expect: 100-continue`, as curl does for large
 * files, sends nothing before the first read: more than LIMIT bytes never leave it.
 */
#define _POSIX_C_SOURCE 200809L
#include <hysock.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static hysock_server *server; /* set before the signal handler that reads it is installed */
static unsigned long long limit = HYSOCK_UNLIMITED;

static void fail(const char *what, const hysock_error *err) {
    fprintf(stderr, "stream_upload: %s: %s\n", what, err->message);
    exit(1);
}

/* Answering without reading to the end is allowed: the client gets the answer, also while it still
 * sends, and then the connection ends. */
static void too_large(hysock_exchange *exchange) {
    static const char text[] = "that is too much\n";
    hysock_exchange_answer(exchange, 413, "text/plain", text, strlen(text), NULL);
}

static void count(hysock_exchange *exchange, void *userdata) {
    unsigned long long bytes = 0, lines = 0;
    uint64_t length = hysock_exchange_content_length(exchange);
    char text[64];
    hysock_error err;
    hysock_str piece;
    (void)userdata;

    if (length != HYSOCK_UNKNOWN && length > limit) {
        too_large(exchange);
        return;
    }
    for (;;) {
        /* 10 s is our patience; the server itself ends clients that move too little for too long.
         */
        hysock_status status = hysock_exchange_read(exchange, &piece, 10000, &err);
        if (status != HYSOCK_OK) {
            /* HYSOCK_E_TRUNCATED when the client has left: half a body is no body. Nobody waits
             * for an answer, so returning without one is right. */
            printf("after %llu bytes: %s\n", bytes, err.message);
            fflush(stdout);
            if (status == HYSOCK_E_TIMED_OUT)
                hysock_exchange_answer(exchange, 408, NULL, NULL, 0, NULL);
            return;
        }
        if (piece.ptr == NULL)
            break; /* the end */
        /* The piece is ours until the next read. */
        bytes += piece.len;
        if (bytes > limit) {
            too_large(exchange);
            return;
        }
        for (const char *at = piece.ptr, *end = piece.ptr + piece.len;
             (at = memchr(at, '\n', (size_t)(end - at))) != NULL; at++)
            lines++;
    }
    snprintf(text, sizeof text, "%llu lines, %llu bytes\n", lines, bytes);
    hysock_exchange_answer(exchange, 200, "text/plain", text, strlen(text), NULL);
}

static void on_signal(int number) {
    (void)number;
    hysock_server_shutdown_signal(server);
}

static void end_on(int number) {
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = on_signal;
    sigemptyset(&action.sa_mask);
    action.sa_flags = SA_RESTART;
    if (sigaction(number, &action, NULL) != 0) {
        perror("stream_upload: sigaction");
        exit(1);
    }
}

int main(int argc, char **argv) {
    hysock_error err;
    hysock_runtime *runtime;
    char *end = NULL;

    if (argc == 3)
        limit = strtoull(argv[2], &end, 10);
    if (argc < 2 || argc > 3 || (end != NULL && (end == argv[2] || *end != '\0'))) {
        fprintf(stderr, "usage: stream_upload SOCKET [LIMIT]\n");
        return 2;
    }
    if (hysock_runtime_new(NULL, &runtime, &err) != HYSOCK_OK ||
        hysock_server_new(runtime, NULL, &server, &err) != HYSOCK_OK)
        fail("server", &err);
    /* A method NULL takes POST and PUT; a path NULL takes every path. */
    if (hysock_server_add_streaming_route(server, NULL, NULL, count, NULL, NULL, &err) !=
            HYSOCK_OK ||
        hysock_server_add_listener(server, argv[1], HYSOCK_NTS, NULL, &err) != HYSOCK_OK ||
        hysock_server_start(server, &err) != HYSOCK_OK)
        fail("listen", &err);

    end_on(SIGTERM);
    end_on(SIGINT);
    printf("listening on %s\n", argv[1]);
    fflush(stdout);

    if (hysock_server_wait(server, HYSOCK_FOREVER, &err) != HYSOCK_OK)
        fail("wait", &err);
    hysock_server_free(server);
    if (hysock_runtime_shutdown(runtime, 0, &err) != HYSOCK_OK ||
        hysock_runtime_wait(runtime, HYSOCK_FOREVER, &err) != HYSOCK_OK)
        fail("end", &err);
    hysock_runtime_free(runtime);
    return 0;
}
