/* A host for test_observed.py: GET /metrics gives Prometheus text, POST /echo what was sent,
 * /items/{id} "item"; each entry of the access log is a line on stdout.
 *
 *   observed SOCKET pool|inline
 */
#define _POSIX_C_SOURCE 200809L
#include <hysock.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static hysock_server *server;

static void check(hysock_status status, const hysock_error *err) {
    if (status == HYSOCK_OK)
        return;
    fprintf(stderr, "observed: %s\n", err->message);
    exit(1);
}

static void metrics(hysock_exchange *exchange, void *userdata) {
    char text[8192];
    int32_t len = hysock_server_metrics(server, text, sizeof(text), NULL);
    (void)userdata;
    if (len < 0 || len >= (int32_t)sizeof(text))
        return;
    hysock_exchange_answer(exchange, 200, "text/plain; version=0.0.4", text, (size_t)len, NULL);
}

static void echo(hysock_exchange *exchange, void *userdata) {
    hysock_str body = hysock_exchange_body(exchange);
    (void)userdata;
    hysock_exchange_answer(exchange, 200, NULL, body.ptr, body.len, NULL);
}

static void item(hysock_exchange *exchange, void *userdata) {
    (void)userdata;
    hysock_exchange_answer(exchange, 200, NULL, "item", 4, NULL);
}

static void access_line(const hysock_access *e, void *userdata) {
    (void)userdata;
    printf("access %.*s %.*s %.*s %d uid=%u pid=%d received=%llu sent=%llu us=%llu\n",
           HYSOCK_PRI(e->method), HYSOCK_PRI(e->target), e->pattern.ptr ? (int)e->pattern.len : 1,
           e->pattern.ptr ? e->pattern.ptr : "-", (int)e->http_status, (unsigned)e->uid,
           (int)e->pid, (unsigned long long)e->bytes_received, (unsigned long long)e->bytes_sent,
           (unsigned long long)e->microseconds);
    fflush(stdout);
}

static void on_signal(int number) {
    (void)number;
    hysock_server_shutdown_signal(server);
}

int main(int argc, char **argv) {
    hysock_error err;
    hysock_runtime *runtime;
    struct sigaction action;
    if (argc != 3)
        return 2;
    check(hysock_runtime_new(NULL, &runtime, &err), &err);
    hysock_server_config *config = hysock_server_config_new();
    hysock_server_config_set_delivery(
        config, strcmp(argv[2], "inline") == 0 ? HYSOCK_DELIVERY_INLINE : HYSOCK_DELIVERY_POOL);
    check(hysock_server_new(runtime, config, &server, &err), &err);
    hysock_server_config_free(config);
    check(hysock_server_add_route(server, "GET", "/metrics", metrics, NULL, NULL, &err), &err);
    check(hysock_server_add_route(server, "POST", "/echo", echo, NULL, NULL, &err), &err);
    check(hysock_server_add_route(server, "GET", "/items/{id}", item, NULL, NULL, &err), &err);
    check(hysock_server_on_access(server, access_line, NULL, NULL, &err), &err);
    check(hysock_server_add_listener(server, argv[1], HYSOCK_NTS, NULL, &err), &err);
    check(hysock_server_start(server, &err), &err);

    memset(&action, 0, sizeof(action));
    action.sa_handler = on_signal;
    sigemptyset(&action.sa_mask);
    if (sigaction(SIGTERM, &action, NULL) != 0)
        return 1;
    printf("listening on %s\n", argv[1]);
    fflush(stdout);

    check(hysock_server_wait(server, HYSOCK_FOREVER, &err), &err);
    hysock_server_free(server);
    check(hysock_runtime_shutdown(runtime, 0, &err), &err);
    check(hysock_runtime_wait(runtime, HYSOCK_FOREVER, &err), &err);
    hysock_runtime_free(runtime);
    return 0;
}
