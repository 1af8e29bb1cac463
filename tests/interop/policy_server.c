/* A server with the allow rules and shares of its command line, for test_policy.py.
 *
 *   policy_server SOCKET [OPTION=VALUE]...
 *       listener=RULE server=RULE admin=RULE     RULE is uid:N, gid:N, self or root
 *       connections=N requests=N                 of one user
 *
 * `/` answers at once, `/admin` has a rule of its own, `/kept` stays unanswered. Prints its log. */
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
    fprintf(stderr, "policy_server: %s\n", err->message);
    exit(1);
}

static void hello(hysock_exchange *exchange, void *userdata) {
    (void)userdata;
    hysock_exchange_answer(exchange, 200, "text/plain", "Hello, world!", 13, NULL);
}

static void gone(hysock_exchange *exchange, void *userdata) {
    (void)userdata;
    hysock_exchange_free(exchange);
}

static void keep(hysock_exchange *exchange, void *userdata) {
    hysock_error err;
    (void)userdata;
    check(hysock_exchange_defer(exchange, &err), &err);
    check(hysock_exchange_on_gone(exchange, gone, NULL, NULL, &err), &err);
}

static void print_log(int32_t level, hysock_str line, void *userdata) {
    (void)level;
    (void)userdata;
    printf("log: %.*s\n", HYSOCK_PRI(line));
    fflush(stdout);
}

static uint32_t id_of(const char *text) {
    const char *number = strchr(text, ':');
    return number != NULL ? (uint32_t)strtoul(number + 1, NULL, 10) : 0;
}

static int32_t rule_of(const char *text) {
    return strncmp(text, "uid:", 4) == 0   ? HYSOCK_ALLOW_UID
           : strncmp(text, "gid:", 4) == 0 ? HYSOCK_ALLOW_GID
           : strcmp(text, "self") == 0     ? HYSOCK_ALLOW_SELF
                                           : HYSOCK_ALLOW_ROOT;
}

static void on_signal(int number) {
    (void)number;
    hysock_server_shutdown_signal(server);
}

int main(int argc, char **argv) {
    hysock_error err;
    hysock_runtime *runtime;
    hysock_listener_config *listener = hysock_listener_config_new();
    hysock_server_config *config = hysock_server_config_new();
    struct sigaction action;

    hysock_listener_config_set_mode(listener, 0666);
    hysock_server_config_set_drain(config, 100);
    for (int i = 2; i < argc; i++) {
        const char *value = strchr(argv[i], '=') + 1;
        if (strncmp(argv[i], "listener=", 9) == 0)
            hysock_listener_config_allow(listener, rule_of(value), id_of(value));
        else if (strncmp(argv[i], "server=", 7) == 0)
            hysock_server_config_allow(config, rule_of(value), id_of(value));
        else if (strncmp(argv[i], "connections=", 12) == 0)
            hysock_server_config_set_max_connections_per_uid(config, strtoul(value, NULL, 10));
        else if (strncmp(argv[i], "requests=", 9) == 0)
            hysock_server_config_set_max_requests_per_uid(config, strtoul(value, NULL, 10));
    }
    check(hysock_runtime_new(NULL, &runtime, &err), &err);
    check(hysock_runtime_on_log(runtime, HYSOCK_LOG_WARN, NULL, print_log, NULL, NULL, &err), &err);
    check(hysock_server_new(runtime, config, &server, &err), &err);
    check(hysock_server_add_route(server, NULL, "/", hello, NULL, NULL, &err), &err);
    check(hysock_server_add_route(server, NULL, "/admin", hello, NULL, NULL, &err), &err);
    check(hysock_server_add_route(server, NULL, "/kept", keep, NULL, NULL, &err), &err);
    for (int i = 2; i < argc; i++) {
        if (strncmp(argv[i], "admin=", 6) != 0)
            continue;
        check(hysock_server_allow_route(server, NULL, "/admin", rule_of(argv[i] + 6),
                                        id_of(argv[i] + 6), &err),
              &err);
    }
    check(hysock_server_add_listener(server, argv[1], HYSOCK_NTS, listener, &err), &err);
    check(hysock_server_start(server, &err), &err);
    hysock_listener_config_free(listener);
    hysock_server_config_free(config);
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
    return 0;
}
