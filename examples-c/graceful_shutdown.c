/* Teaches: ending a daemon so that no client loses a request, and changing its limits while it
 * runs.
 *
 *   graceful_shutdown SOCKET [DRAIN_MS]
 *   curl --unix-socket SOCKET http://localhost/         answers at once
 *   curl --unix-socket SOCKET http://localhost/2000     answers after 2000 ms
 *   kill -TERM PID     no new clients; requests under way are answered, for DRAIN_MS at most
 *   kill -TERM PID     the second time: at once
 *   kill -HUP PID      reads SOCKET.conf, if there is one: a number, the handler timeout in ms
 *
 * Signals are waited for, not handled: then any function may be called. A program that has to use
 * handlers calls hysock_server_shutdown_signal(), as hello_server does.
 */
#define _POSIX_C_SOURCE 200809L
#include <hysock.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static hysock_runtime *runtime; /* set before the first request */

static void fail(const char *what, const hysock_error *err) {
    fprintf(stderr, "graceful_shutdown: %s: %s\n", what, err->message);
    exit(1);
}

static void say(const char *what) {
    printf("%s\n", what);
    fflush(stdout);
}

static void answer(hysock_exchange *exchange) {
    static const char text[] = "done\n";
    hysock_error err;
    /* HYSOCK_E_CLOSED is an ordinary Tuesday: the client has left, or the handler timeout has
     * answered for us. HYSOCK_E_SHUT_DOWN: the drain's time was up. */
    if (hysock_exchange_answer(exchange, 200, "text/plain", text, strlen(text), &err) != HYSOCK_OK)
        fprintf(stderr, "graceful_shutdown: answer: %s\n", err.message);
}

/* Runs once, later. The drop would run after it, and also when it never runs: that is the place
 * for the free. */
static void on_time(hysock_timer *timer, void *userdata) {
    (void)timer;
    answer(userdata);
}

static void drop_exchange(void *userdata) { hysock_exchange_free(userdata); }

static void on_request(hysock_exchange *exchange, void *userdata) {
    char path[16];
    uint32_t ms;
    hysock_error err;
    (void)userdata;
    hysock_str_copy(hysock_exchange_path(exchange), path, sizeof path);
    ms = (uint32_t)strtoul(path + 1, NULL, 10);
    if (ms == 0 || ms > 60000) {
        answer(exchange);
        return;
    }
    say("waiting");
    if (hysock_exchange_defer(exchange, &err) != HYSOCK_OK ||
        hysock_runtime_after(runtime, ms, NULL, on_time, exchange, drop_exchange, NULL, &err) !=
            HYSOCK_OK)
        fprintf(stderr, "graceful_shutdown: %s\n", err.message);
}

/* The last callback of the server. The program waits for signals, so this is one more. */
static void on_closed(hysock_server *server, hysock_status reason, uint64_t aborted,
                      void *userdata) {
    (void)server;
    (void)userdata;
    printf("closed: %s, %llu without an answer\n", hysock_status_message(reason),
           (unsigned long long)aborted);
    fflush(stdout);
    kill(getpid(), SIGUSR1);
}

/* All of the settings, each time: what is not set is the default again. */
static hysock_server_config *settings(const char *socket_path, uint32_t drain_ms) {
    hysock_server_config *config = hysock_server_config_new();
    char path[4096];
    unsigned timeout_ms;
    FILE *file;

    hysock_server_config_set_drain(config, drain_ms);
    snprintf(path, sizeof path, "%s.conf", socket_path);
    file = fopen(path, "r");
    if (file != NULL) {
        if (fscanf(file, "%u", &timeout_ms) == 1)
            hysock_server_config_set_handler_timeout(config, timeout_ms);
        fclose(file);
    }
    return config;
}

static void reload(hysock_server *server, const char *path, uint32_t drain_ms) {
    hysock_server_config *config = settings(path, drain_ms);
    hysock_error err;
    /* A setting that makes no sense changes nothing, and the daemon goes on. */
    if (hysock_server_reload(server, config, &err) == HYSOCK_OK)
        say("reloaded");
    else
        fprintf(stderr, "graceful_shutdown: reload: %s\n", err.message);
    hysock_server_config_free(config);
}

/* Until on_closed() has sent its signal. */
static void serve(hysock_server *server, const sigset_t *signals, const char *path,
                  uint32_t drain_ms) {
    hysock_error err;
    int number, ending = 0;
    while (sigwait(signals, &number) == 0 && number != SIGUSR1) {
        if (number == SIGHUP) {
            if (!ending)
                reload(server, path, drain_ms);
            continue;
        }
        say(ending ? "ending at once" : "ending");
        if (hysock_server_shutdown(server, ending ? 0 : drain_ms, &err) != HYSOCK_OK)
            fail("shutdown", &err);
        ending = 1;
    }
}

int main(int argc, char **argv) {
    hysock_server_config *config;
    hysock_server *server;
    hysock_error err;
    sigset_t signals;
    uint32_t drain_ms = argc == 3 ? (uint32_t)strtoul(argv[2], NULL, 10) : 10000;

    if (argc < 2 || argc > 3) {
        fprintf(stderr, "usage: graceful_shutdown SOCKET [DRAIN_MS]\n");
        return 2;
    }
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGHUP);
    sigaddset(&signals, SIGUSR1);
    pthread_sigmask(SIG_BLOCK, &signals, NULL);

    if (hysock_runtime_new(NULL, &runtime, &err) != HYSOCK_OK)
        fail("runtime", &err);
    config = settings(argv[1], drain_ms);
    if (hysock_server_serve(runtime, argv[1], HYSOCK_NTS, config, on_request, NULL, NULL, &server,
                            &err) != HYSOCK_OK)
        fail(argv[1], &err);
    hysock_server_config_free(config);
    if (hysock_server_on_closed(server, on_closed, NULL, NULL, &err) != HYSOCK_OK)
        fail("on_closed", &err);
    printf("listening on %s\n", argv[1]);
    fflush(stdout);

    serve(server, &signals, argv[1], drain_ms);

    /* Nothing of the server runs any more; what is left ends with the runtime. */
    hysock_server_free(server);
    if (hysock_runtime_shutdown(runtime, 0, &err) != HYSOCK_OK ||
        hysock_runtime_wait(runtime, HYSOCK_FOREVER, &err) != HYSOCK_OK)
        fail("end", &err);
    hysock_runtime_free(runtime);
    return 0;
}
