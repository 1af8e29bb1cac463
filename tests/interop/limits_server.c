/* A server with the limits of its command line, for test_limits.py.
 *
 *   limits_server SOCKET [OPTION=VALUE]...
 *       head idle progress handler exit_idle drain         milliseconds
 *       floor connections                                  bytes, a number
 *       inline=1     handlers run on the I/O thread
 *       activated=1  serves the sockets that a service manager passed; SOCKET is not looked at
 *
 * `/` answers at once, also a POST; `/large` with 1 MiB; `/later` after 200 ms. Prints its log, and
 * how it ended. */
#define _POSIX_C_SOURCE 200809L
#include <hysock.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LARGE ((size_t)1 << 20)

static hysock_runtime *runtime;
static hysock_server *server;

static void check(hysock_status status, const hysock_error *err) {
    if (status == HYSOCK_OK)
        return;
    fprintf(stderr, "limits_server: %s\n", err->message);
    exit(1);
}

static void hello(hysock_exchange *exchange, void *userdata) {
    (void)userdata;
    hysock_exchange_answer(exchange, 200, "text/plain", "Hello, world!", 13, NULL);
}

static void large(hysock_exchange *exchange, void *userdata) {
    hysock_exchange_answer(exchange, 200, "application/octet-stream", userdata, LARGE, NULL);
}

static void answer_later(hysock_timer *timer, void *userdata) {
    (void)timer;
    hello(userdata, NULL);
    hysock_exchange_free(userdata);
}

static void later(hysock_exchange *exchange, void *userdata) {
    hysock_error err;
    (void)userdata;
    check(hysock_exchange_defer(exchange, &err), &err);
    check(hysock_runtime_after(runtime, 200, NULL, answer_later, exchange, NULL, NULL, &err), &err);
}

static void print_log(int32_t level, hysock_str line, void *userdata) {
    (void)level;
    (void)userdata;
    printf("log: %.*s\n", HYSOCK_PRI(line));
    fflush(stdout);
}

static void closed(hysock_server *ended, hysock_status reason, uint64_t aborted, void *userdata) {
    (void)ended;
    (void)userdata;
    printf("closed: %s, %llu aborted\n", hysock_status_message(reason),
           (unsigned long long)aborted);
    fflush(stdout);
}

static void on_signal(int number) {
    (void)number;
    hysock_server_shutdown_signal(server);
}

static int is(const char *argument, const char *name) {
    size_t len = strlen(name);
    return strncmp(argument, name, len) == 0 && argument[len] == '=';
}

static void set(hysock_server_config *config, const char *argument) {
    const char *text = strchr(argument, '=');
    uint32_t value = text != NULL ? (uint32_t)strtoul(text + 1, NULL, 10) : 0;
    if (is(argument, "head"))
        hysock_server_config_set_head_timeout(config, value);
    else if (is(argument, "idle"))
        hysock_server_config_set_idle_timeout(config, value);
    else if (is(argument, "progress"))
        hysock_server_config_set_progress_timeout(config, value);
    else if (is(argument, "handler"))
        hysock_server_config_set_handler_timeout(config, value);
    else if (is(argument, "exit_idle"))
        hysock_server_config_set_exit_idle(config, value);
    else if (is(argument, "drain"))
        hysock_server_config_set_drain(config, value);
    else if (is(argument, "floor"))
        hysock_server_config_set_progress_floor(config, value);
    else if (is(argument, "connections"))
        hysock_server_config_set_max_connections(config, value);
    else if (is(argument, "inline"))
        hysock_server_config_set_delivery(config, HYSOCK_DELIVERY_INLINE);
}

int main(int argc, char **argv) {
    hysock_error err;
    hysock_server_config *config = hysock_server_config_new();
    struct sigaction action;
    int activated = 0;
    void *much = calloc(1, LARGE);

    if (much == NULL || argc < 2)
        return 2;
    for (int i = 2; i < argc; i++) {
        set(config, argv[i]);
        activated |= is(argv[i], "activated");
    }
    check(hysock_runtime_new(NULL, &runtime, &err), &err);
    check(hysock_runtime_on_log(runtime, HYSOCK_LOG_WARN, NULL, print_log, NULL, NULL, &err), &err);
    check(hysock_server_new(runtime, config, &server, &err), &err);
    hysock_server_config_free(config);
    check(hysock_server_add_route(server, NULL, "/", hello, NULL, NULL, &err), &err);
    check(hysock_server_add_route(server, NULL, "/large", large, much, NULL, &err), &err);
    check(hysock_server_add_route(server, NULL, "/later", later, NULL, NULL, &err), &err);
    check(hysock_server_on_closed(server, closed, NULL, NULL, &err), &err);
    if (!activated) {
        check(hysock_server_add_listener(server, argv[1], HYSOCK_NTS, NULL, &err), &err);
    } else if (hysock_server_add_activated(server, NULL, NULL, &err) != 1) {
        fprintf(stderr, "limits_server: no socket was passed: %s\n", err.message);
        return 1;
    }
    check(hysock_server_start(server, &err), &err);
    memset(&action, 0, sizeof(action));
    action.sa_handler = on_signal;
    action.sa_flags = SA_RESTART;
    sigemptyset(&action.sa_mask);
    sigaction(SIGTERM, &action, NULL);
    printf("listening on %s\n", argv[1]);
    fflush(stdout);

    check(hysock_server_wait(server, HYSOCK_FOREVER, &err), &err);
    hysock_server_free(server);
    check(hysock_runtime_shutdown(runtime, 0, &err), &err);
    check(hysock_runtime_wait(runtime, HYSOCK_FOREVER, &err), &err);
    hysock_runtime_free(runtime);
    free(much);
    return 0;
}
