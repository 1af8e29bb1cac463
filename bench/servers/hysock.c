/* hysock: server SOCKET [--delivery inline|pool|queue] [--file PATH] [--threads N]
   The routes of every server here: / answers any method, /slow/MS after that time, /file with the
   file, /upload what it was sent, which is read piece by piece. */
#define _POSIX_C_SOURCE 200809L
#include <fcntl.h>
#include <hysock.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static hysock_server *server;
static int file = -1;

static void check(hysock_status status, const hysock_error *err) {
    if (status != HYSOCK_OK) {
        fprintf(stderr, "hysock server: %s\n", err->message);
        exit(1);
    }
}

static void hello(hysock_exchange *exchange, void *userdata) {
    (void)userdata;
    hysock_exchange_answer(exchange, 200, "text/plain", "Hello, world!", 13, NULL);
}

static void slow(hysock_exchange *exchange, void *userdata) {
    hysock_str text = hysock_exchange_param(exchange, "ms");
    long ms = text.ptr ? strtol(text.ptr, NULL, 10) : 0;
    struct timespec pause = {ms / 1000, ms % 1000 * 1000000};
    nanosleep(&pause, NULL);
    hello(exchange, userdata);
}

static void send_file(hysock_exchange *exchange, void *userdata) {
    (void)userdata;
    hysock_exchange_send_file(exchange, file, "application/octet-stream", NULL);
}

/* Inline: a callback for each piece, on the I/O thread. */
static void on_piece(hysock_exchange *exchange, hysock_status status, hysock_str piece,
                     void *userdata) {
    if (status == HYSOCK_OK && piece.ptr) {
        hysock_exchange_read_start(exchange, on_piece, NULL, NULL, NULL);
        return;
    }
    if (status == HYSOCK_OK)
        hello(exchange, userdata);
    hysock_exchange_free(exchange);
}

static void upload_inline(hysock_exchange *exchange, void *userdata) {
    (void)userdata;
    hysock_exchange_defer(exchange, NULL);
    hysock_exchange_read_start(exchange, on_piece, NULL, NULL, NULL);
}

/* Pool: reads that wait. */
static void upload(hysock_exchange *exchange, void *userdata) {
    hysock_str piece;
    do {
        if (hysock_exchange_read(exchange, &piece, HYSOCK_FOREVER, NULL) != HYSOCK_OK)
            return;
    } while (piece.ptr);
    hello(exchange, userdata);
}

static void on_signal(int number) {
    (void)number;
    hysock_server_shutdown_signal(server);
}

int main(int argc, char **argv) {
    hysock_error err;
    hysock_runtime *runtime;
    hysock_queue *queue = NULL;
    const char *delivery = "inline";
    if (argc < 2)
        return 2;
    hysock_runtime_config *threads = hysock_runtime_config_new();
    for (int i = 2; i + 1 < argc; i += 2) {
        if (!strcmp(argv[i], "--threads"))
            hysock_runtime_config_set_callback_threads(threads, (uint32_t)atoi(argv[i + 1]));
        else if (!strcmp(argv[i], "--delivery"))
            delivery = argv[i + 1];
        else if ((file = open(argv[i + 1], O_RDONLY | O_CLOEXEC)) < 0)
            return perror(argv[i + 1]), 1;
    }
    check(hysock_runtime_new(threads, &runtime, &err), &err);
    hysock_runtime_config_free(threads);
    hysock_server_config *config = hysock_server_config_new();
    if (!strcmp(delivery, "inline"))
        hysock_server_config_set_delivery(config, HYSOCK_DELIVERY_INLINE);
    if (!strcmp(delivery, "queue")) {
        check(hysock_queue_new(runtime, &queue, &err), &err);
        hysock_server_config_set_queue(config, queue);
    }
    hysock_server_config_set_max_body(config, 2 << 20);
    /* More than these would be refused in a real server; here one user opens them all. */
    hysock_server_config_set_max_connections(config, 20000);
    hysock_server_config_set_max_connections_per_uid(config, 20000);
    hysock_server_config_set_max_requests_per_uid(config, 20000);
    hysock_server_config_set_max_requests(config, 20000);
    hysock_server_config_set_max_queue(config, 20000);
    check(hysock_server_new(runtime, config, &server, &err), &err);
    hysock_server_config_free(config);
    check(hysock_server_add_route(server, NULL, "/", hello, NULL, NULL, &err), &err);
    check(hysock_server_add_route(server, "GET", "/slow/{ms}", slow, NULL, NULL, &err), &err);
    check(hysock_server_add_streaming_route(server, "POST", "/upload",
                                            strcmp(delivery, "inline") ? upload : upload_inline,
                                            NULL, NULL, &err),
          &err);
    if (file >= 0)
        check(hysock_server_add_route(server, "GET", "/file", send_file, NULL, NULL, &err), &err);
    check(hysock_server_add_listener(server, argv[1], HYSOCK_NTS, NULL, &err), &err);
    check(hysock_server_start(server, &err), &err);
    signal(SIGTERM, on_signal);
    check(hysock_server_wait(server, HYSOCK_FOREVER, &err), &err);
    hysock_server_free(server);
    hysock_queue_free(queue);
    check(hysock_runtime_shutdown(runtime, 0, &err), &err);
    check(hysock_runtime_wait(runtime, HYSOCK_FOREVER, &err), &err);
    hysock_runtime_free(runtime);
    return 0;
}
