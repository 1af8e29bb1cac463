/* A server for other people's clients that shows what routes know: `routing_server SOCKET
 * DELIVERY`.
 *
 *   GET  /items/{id}, /files/{*rest}   the parameter, byte by byte
 *   GET  /query                        NAME=VALUE for each, in hex, one a line; first ?a in x-first
 *   GET  /values                       the values of x-value, one a line
 *   GET  /secret                       401 unless there is a header x-key (before any handler)
 *   GET  /nothing                      a handler that does not answer
 * Every answer of a handler has x-status, and x-pattern with the route's path.
 */
#define _POSIX_C_SOURCE 200809L

#include <hysock.h>

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static hysock_server *server;

static void stop(int signal) {
    (void)signal;
    hysock_server_shutdown_signal(server);
}

static void die(const char *what, const hysock_error *err) {
    fprintf(stderr, "%s: %s\n", what, err->message);
    exit(1);
}

static void answer(hysock_exchange *exchange, int status, const char *text, size_t len) {
    hysock_error err;
    if (hysock_exchange_answer(exchange, status, "text/plain", text, len, &err) != HYSOCK_OK)
        fprintf(stderr, "answer: %s\n", err.message);
}

static void on_param(hysock_exchange *exchange, void *userdata) {
    hysock_str value = hysock_exchange_param(exchange, userdata);
    answer(exchange, 200, value.ptr, value.len);
}

static size_t hex(char *out, hysock_str s) {
    for (size_t i = 0; i < s.len; i++)
        sprintf(out + 2 * i, "%02x", (unsigned char)s.ptr[i]);
    return 2 * s.len;
}

static void on_query(hysock_exchange *exchange, void *userdata) {
    static const size_t most = 64 * 1024; /* a target has 8 KiB at most */
    char *text = malloc(most);
    size_t n = 0;
    hysock_str name, value, first = hysock_exchange_query_value(exchange, "a");
    (void)userdata;
    for (size_t i = 0; hysock_exchange_query_at(exchange, i, &name, &value) == HYSOCK_OK; i++) {
        n += hex(text + n, name);
        text[n++] = '=';
        n += hex(text + n, value);
        text[n++] = '\n';
    }
    if (first.ptr != NULL) {
        char *line = malloc(2 * first.len + 1);
        hysock_exchange_set_header(exchange, "x-first", line, hex(line, first));
        free(line);
    }
    answer(exchange, 200, text, n);
    free(text);
}

static void on_values(hysock_exchange *exchange, void *userdata) {
    char text[4096];
    size_t n = 0;
    (void)userdata;
    for (size_t i = 0;; i++) {
        hysock_str value = hysock_exchange_header_value_at(exchange, "x-value", i);
        if (value.ptr == NULL)
            break;
        n += (size_t)snprintf(text + n, sizeof(text) - n, "%.*s\n", HYSOCK_PRI(value));
    }
    answer(exchange, 200, text, n);
}

static void on_nothing(hysock_exchange *exchange, void *userdata) {
    (void)exchange;
    (void)userdata;
}

static void on_request(hysock_exchange *exchange, void *userdata) {
    hysock_str path = hysock_exchange_path(exchange);
    (void)userdata;
    if (hysock_str_equal(path, "/secret") && hysock_exchange_header(exchange, "x-key").ptr == NULL)
        answer(exchange, 401, "no key\n", 7);
}

static void on_answer(hysock_exchange *exchange, int32_t http_status, void *userdata) {
    hysock_str pattern = hysock_exchange_pattern(exchange);
    char status[16];
    (void)userdata;
    snprintf(status, sizeof(status), "%d", (int)http_status);
    hysock_exchange_set_header(exchange, "x-status", status, HYSOCK_NTS);
    if (pattern.ptr != NULL)
        hysock_exchange_set_header(exchange, "x-pattern", pattern.ptr, pattern.len);
}

static void route(const char *method, const char *pattern, hysock_exchange_fn fn,
                  const char *param) {
    hysock_error err;
    if (hysock_server_add_route(server, method, pattern, fn, (void *)param, NULL, &err) !=
        HYSOCK_OK)
        die(pattern, &err);
}

static hysock_server_config *config_of(const char *delivery) {
    hysock_server_config *config = hysock_server_config_new();
    if (strcmp(delivery, "inline") == 0)
        hysock_server_config_set_delivery(config, HYSOCK_DELIVERY_INLINE);
    return config;
}

int main(int argc, char **argv) {
    hysock_error err;
    hysock_runtime *runtime;
    struct sigaction action;
    if (argc != 3) {
        fprintf(stderr, "usage: routing_server SOCKET pool|inline\n");
        return 2;
    }
    if (hysock_runtime_new(NULL, &runtime, &err) != HYSOCK_OK)
        die("runtime", &err);
    hysock_server_config *config = config_of(argv[2]);
    if (hysock_server_new(runtime, config, &server, &err) != HYSOCK_OK)
        die("server", &err);
    hysock_server_config_free(config);
    route("GET", "/items/{id}", on_param, "id");
    route("DELETE", "/items/{id}", on_param, "id");
    route("GET", "/files/{*rest}", on_param, "rest");
    route("GET", "/query", on_query, NULL);
    route("GET", "/values", on_values, NULL);
    route("GET", "/secret", on_values, NULL);
    route("GET", "/nothing", on_nothing, NULL);
    if (hysock_server_on_request(server, on_request, NULL, NULL, &err) != HYSOCK_OK ||
        hysock_server_on_answer(server, on_answer, NULL, NULL, &err) != HYSOCK_OK)
        die("hooks", &err);
    if (hysock_server_add_listener(server, argv[1], HYSOCK_NTS, NULL, &err) != HYSOCK_OK ||
        hysock_server_start(server, &err) != HYSOCK_OK)
        die(argv[1], &err);
    memset(&action, 0, sizeof(action));
    action.sa_handler = stop;
    sigaction(SIGTERM, &action, NULL);
    printf("listening on %s\n", argv[1]);
    fflush(stdout);
    hysock_server_wait(server, HYSOCK_FOREVER, &err);
    hysock_server_free(server);
    hysock_runtime_shutdown(runtime, 1000, &err);
    hysock_runtime_wait(runtime, 5000, &err);
    hysock_runtime_free(runtime);
    return 0;
}
