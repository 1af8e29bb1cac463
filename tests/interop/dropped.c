/* A host for test_confined.py that starts as root and goes on as somebody else.
 *
 *   dropped SOCKET UID
 *
 * Only its own user may ask: GET /uid says who that is. Log lines go to stdout.
 */
#define _GNU_SOURCE
#include <grp.h>
#include <hysock.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static hysock_server *server;

static void check(hysock_status status, const hysock_error *err) {
    if (status == HYSOCK_OK)
        return;
    fprintf(stderr, "dropped: %s\n", err->message);
    exit(1);
}

static void tell_uid(hysock_exchange *exchange, void *userdata) {
    char text[16];
    (void)userdata;
    snprintf(text, sizeof(text), "%u", (unsigned)geteuid());
    hysock_exchange_answer(exchange, 200, "text/plain", text, strlen(text), NULL);
}

static void log_line(int32_t level, hysock_str line, void *userdata) {
    (void)userdata;
    printf("log %d %.*s\n", (int)level, HYSOCK_PRI(line));
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
    uid_t uid = (uid_t)strtoul(argv[2], NULL, 10);
    check(hysock_runtime_new(NULL, &runtime, &err), &err);
    check(hysock_runtime_on_log(runtime, HYSOCK_LOG_INFO, NULL, log_line, NULL, NULL, &err), &err);
    hysock_server_config *config = hysock_server_config_new();
    hysock_server_config_allow(config, HYSOCK_ALLOW_SELF, 0);
    check(hysock_server_new(runtime, config, &server, &err), &err);
    hysock_server_config_free(config);
    hysock_listener_config *listener = hysock_listener_config_new();
    hysock_listener_config_set_mode(listener, 0666);
    check(hysock_server_add_route(server, "GET", "/uid", tell_uid, NULL, NULL, &err), &err);
    check(hysock_server_add_listener(server, argv[1], HYSOCK_NTS, listener, &err), &err);
    hysock_listener_config_free(listener);
    check(hysock_server_start(server, &err), &err);

    if (setgroups(0, NULL) != 0 || setresgid(uid, uid, uid) != 0 || setresuid(uid, uid, uid) != 0) {
        perror("dropped: cannot become another user");
        return 1;
    }
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
