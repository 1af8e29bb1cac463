/* Teaches: writing an answer piece by piece, no faster than its client reads, without a thread that
 * waits.
 *
 *   stream_download SOCKET
 *   curl --unix-socket SOCKET http://localhost/1000000                       a million lines
 *   curl --limit-rate 10k --unix-socket SOCKET http://localhost/1000000      slowly: costs nothing
 *
 * A write takes all of its piece or nothing. When the client has not read enough, it says
 * HYSOCK_E_WOULD_BLOCK, and hysock_exchange_on_writable() calls when there is room again: a
 * thousand slow clients need a thousand buffers, not a thousand threads. A program that may wait
 * gives the write a timeout instead. What lies in a file needs none of this:
 * hysock_exchange_send_file().
 */
#define _POSIX_C_SOURCE 200809L
#include <hysock.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static hysock_server *server; /* set before the signal handler that reads it is installed */

/* Where one answer stands. Kept with its exchange, and freed with it. */
struct answer {
    unsigned long long next;
    unsigned long long end;
};

static void fail(const char *what, const hysock_error *err) {
    fprintf(stderr, "stream_download: %s: %s\n", what, err->message);
    exit(1);
}

/* As many lines as fit; called again when there is room, so it may not wait for anything. */
static void write_lines(hysock_exchange *exchange, void *userdata) {
    struct answer *a = userdata;
    hysock_status status = HYSOCK_OK;
    hysock_error err;
    char line[32];

    while (a->next < a->end) {
        int len = snprintf(line, sizeof line, "%llu\n", a->next);
        status = hysock_exchange_write(exchange, line, (size_t)len, 0, &err);
        if (status != HYSOCK_OK)
            break;
        a->next++;
    }
    if (status == HYSOCK_E_WOULD_BLOCK) {
        status = hysock_exchange_on_writable(exchange, write_lines, a, NULL, &err);
        if (status == HYSOCK_OK)
            return;
    } else if (status == HYSOCK_OK) {
        status = hysock_exchange_finish(exchange, &err);
    }
    if (status != HYSOCK_OK) { /* HYSOCK_E_CLOSED: the client has left */
        printf("ended at line %llu: %s\n", a->next, err.message);
        fflush(stdout);
    }
    /* An answer that is freed before its end cuts the connection, so that nobody takes the half for
     * the whole. */
    hysock_exchange_free(exchange);
}

static void lines(hysock_exchange *exchange, void *userdata) {
    struct answer *a = calloc(1, sizeof *a);
    char n[24];
    hysock_error err;
    (void)userdata;

    if (a == NULL)
        return; /* the client gets a 500 */
    hysock_str_copy(hysock_exchange_param(exchange, "n"), n, sizeof n);
    a->end = strtoull(n, NULL, 10);
    if (hysock_exchange_set_userdata(exchange, a, free, &err) != HYSOCK_OK ||
        hysock_exchange_defer(exchange, &err) != HYSOCK_OK) {
        fprintf(stderr, "stream_download: %s\n", err.message);
        return;
    }
    /* Nobody knows the length, so it is sent in chunks; a length that is known goes here. */
    if (hysock_exchange_start_answer(exchange, 200, "text/plain", HYSOCK_UNKNOWN, &err) !=
        HYSOCK_OK) {
        hysock_exchange_free(exchange);
        return;
    }
    write_lines(exchange, a);
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
        perror("stream_download: sigaction");
        exit(1);
    }
}

int main(int argc, char **argv) {
    hysock_error err;
    hysock_runtime *runtime;
    hysock_server_config *config;

    if (argc != 2) {
        fprintf(stderr, "usage: stream_download SOCKET\n");
        return 2;
    }
    /* Nothing here waits, so it may all run on the I/O thread. */
    config = hysock_server_config_new();
    hysock_server_config_set_delivery(config, HYSOCK_DELIVERY_INLINE);
    if (hysock_runtime_new(NULL, &runtime, &err) != HYSOCK_OK ||
        hysock_server_new(runtime, config, &server, &err) != HYSOCK_OK)
        fail("server", &err);
    hysock_server_config_free(config);
    if (hysock_server_add_route(server, "GET", "/{n}", lines, NULL, NULL, &err) != HYSOCK_OK ||
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
