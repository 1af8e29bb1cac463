/* Teaches: a whole daemon. All that a hysock server can do, in one program to copy from.
 *
 *   httpd SOCKET [OPTION]...     without arguments it says which
 *   curl --unix-socket SOCKET http://localhost/items/7
 *
 * Here: the life of the daemon. Routes and sockets are set up, signals are obeyed, the end is
 * clean. The handlers are in httpd_simple.c (answers at once), httpd_files.c, httpd_later.c
 * (answers by the clock), httpd_streams.c (bodies of any length) and httpd_upgrade.c;
 * httpd_options.c reads the options, httpd_text.c puts text together.
 *
 * SIGTERM and SIGINT end it: requests in flight get --drain milliseconds, a second signal cuts them
 * short. SIGHUP reads --settings again; no connection is cut for that.
 */
#define _GNU_SOURCE
#include "httpd.h"
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const struct {
    const char *method, *pattern;
    hysock_exchange_fn fn;
    enum { BODY_WHOLE, BODY_STREAMED } body;
} routes[] = {
    {"GET", "/", get_hello, BODY_WHOLE},
    {"GET", "/hello", get_hello, BODY_WHOLE},
    {"GET", "/items/{id}", get_item, BODY_WHOLE},
    {"GET", "/headers", get_headers, BODY_WHOLE},
    {"GET", "/peer", get_peer, BODY_WHOLE},
    {"GET", "/slow/{ms}", get_slow, BODY_WHOLE},
    {"GET", "/events/{count}", get_events, BODY_WHOLE},
    {"GET", "/bytes/{n}", get_bytes, BODY_WHOLE},
    {"GET", "/upgrade", get_upgrade, BODY_WHOLE},
    {"GET", "/metrics", get_metrics, BODY_WHOLE},
    {"GET", "/admin", get_admin, BODY_WHOLE},
    {NULL, "/echo", any_echo, BODY_STREAMED},
    {"POST", "/digest", post_digest, BODY_STREAMED},
    {NULL, NULL, not_found, BODY_WHOLE}, /* what no other route has */
};

static struct httpd httpd;                        /* userdata of all routes */
static volatile sig_atomic_t end_now, reload_now; /* what the signal handler leaves for main() */
static int ended;                                 /* atomic: the server is no more */

static void fail(const char *what, const hysock_error *err) {
    fprintf(stderr, "httpd: %s: %s\n", what, err->message);
    exit(1);
}

static void fail_system(const char *what) {
    fprintf(stderr, "httpd: %s: %s\n", what, strerror(errno));
    exit(1);
}

/* Signals: the handler leaves a note and wakes the main thread, which is all that one may do there;
 * hysock_queue_wake() is one of the two functions of hysock that are safe in it. The library's
 * threads block these signals, so the handler runs on the main thread. */

static void on_signal(int number) {
    if (number == SIGHUP)
        reload_now = 1;
    else
        end_now = 1;
    hysock_queue_wake(httpd.main_queue);
}

static void obey(int number) {
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = on_signal;
    sigemptyset(&action.sa_mask);
    action.sa_flags = SA_RESTART;
    if (sigaction(number, &action, NULL) != 0)
        fail_system("sigaction");
}

/* What the library tells. */

static void on_log(int32_t level, hysock_str line, void *userdata) {
    (void)level, (void)userdata;
    fprintf(stderr, "httpd: %.*s\n", HYSOCK_PRI(line));
}

static void on_access(const hysock_access *entry, void *userdata) {
    FILE *log = userdata;
    fprintf(log,
            "uid=%" PRIu32 " pid=%" PRId32 " %.*s %.*s %" PRId32 " in=%" PRIu64 " out=%" PRIu64
            " us=%" PRIu64 "\n",
            entry->uid, entry->pid, HYSOCK_PRI(entry->method), HYSOCK_PRI(entry->target),
            entry->http_status, entry->bytes_received, entry->bytes_sent, entry->microseconds);
    fflush(log);
}

static void close_log(void *userdata) { fclose(userdata); }

static void on_closed(hysock_server *server, hysock_status reason, uint64_t aborted,
                      void *userdata) {
    (void)server, (void)userdata;
    if (reason != HYSOCK_OK)
        fprintf(stderr, "httpd: %" PRIu64 " answers were cut short\n", aborted);
    __atomic_store_n(&ended, 1, __ATOMIC_RELEASE);
    hysock_queue_wake(httpd.main_queue);
}

/* Before every handler: a TRACE would tell scripts behind a proxy what the proxy has added. */
static void on_request(hysock_exchange *exchange, void *userdata) {
    (void)userdata;
    if (hysock_str_equal(hysock_exchange_method(exchange), "TRACE"))
        answer_text(exchange, 501, "No TRACE here.\n");
}

/* Before every answer of a handler is sent: a request's id is told back. */
static void on_answer(hysock_exchange *exchange, int32_t http_status, void *userdata) {
    hysock_str id = hysock_exchange_header(exchange, "x-request-id");
    (void)http_status, (void)userdata;
    if (id.ptr != NULL)
        hysock_exchange_set_header(exchange, "X-Request-Id", id.ptr, id.len);
}

/* A config is only values. Setters need no check one by one: the first that was refused makes
 * hysock_server_new() or hysock_server_reload() fail, with a message that names it. */
static hysock_server_config *server_config(const struct options *options) {
    hysock_server_config *config = hysock_server_config_new();
    int i;
    if (strcmp(options->delivery, "inline") == 0)
        hysock_server_config_set_delivery(config, HYSOCK_DELIVERY_INLINE);
    else if (strcmp(options->delivery, "queue") == 0)
        hysock_server_config_set_queue(config, httpd.main_queue);
    if (options->max_connections != 0)
        hysock_server_config_set_max_connections(config, options->max_connections);
    if (options->max_body != 0)
        hysock_server_config_set_max_body(config, options->max_body);
    if (options->head_timeout_ms != 0)
        hysock_server_config_set_head_timeout(config, (uint32_t)options->head_timeout_ms);
    if (options->idle_timeout_ms != 0)
        hysock_server_config_set_idle_timeout(config, (uint32_t)options->idle_timeout_ms);
    if (options->progress_timeout_ms != 0)
        hysock_server_config_set_progress_timeout(config, (uint32_t)options->progress_timeout_ms);
    if (options->exit_idle_ms != 0)
        hysock_server_config_set_exit_idle(config, (uint32_t)options->exit_idle_ms);
    for (i = 0; i < options->allowed_count; i++)
        hysock_server_config_allow(config, HYSOCK_ALLOW_UID, (uint32_t)options->allowed[i]);
    return config;
}

static void add_routes(const char *root) {
    hysock_server *server = httpd.server;
    hysock_error err;
    size_t i;
    for (i = 0; i < sizeof routes / sizeof routes[0]; i++) {
        hysock_status status = (routes[i].body == BODY_STREAMED ? hysock_server_add_streaming_route
                                                                : hysock_server_add_route)(
            server, routes[i].method, routes[i].pattern, routes[i].fn, &httpd, NULL, &err);
        if (status != HYSOCK_OK)
            fail("routes", &err);
    }
    if (root != NULL) {
        httpd.root = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (httpd.root < 0)
            fail_system(root);
        if (hysock_server_add_route(server, "GET", "/files/{*path}", get_file, &httpd, NULL,
                                    &err) != HYSOCK_OK)
            fail("/files", &err);
    }
    if (hysock_server_allow_route(server, "GET", "/admin", HYSOCK_ALLOW_ROOT, 0, &err) !=
            HYSOCK_OK ||
        hysock_server_allow_route(server, "GET", "/admin", HYSOCK_ALLOW_SELF, 0, &err) != HYSOCK_OK)
        fail("/admin", &err);
}

static void add_functions(const char *access_log) {
    hysock_error err;
    if (hysock_server_on_request(httpd.server, on_request, NULL, NULL, &err) != HYSOCK_OK ||
        hysock_server_on_answer(httpd.server, on_answer, NULL, NULL, &err) != HYSOCK_OK ||
        hysock_server_on_closed(httpd.server, on_closed, NULL, NULL, &err) != HYSOCK_OK)
        fail("server", &err);
    if (access_log != NULL) {
        FILE *log = fopen(access_log, "ae");
        if (log == NULL)
            fail_system(access_log);
        if (hysock_server_on_access(httpd.server, on_access, log, close_log, &err) != HYSOCK_OK)
            fail(access_log, &err);
    }
}

/* The sockets that the service manager holds for us, else one of our own. */
static void listen_on(const struct options *options) {
    hysock_listener_config *config = hysock_listener_config_new();
    hysock_error err;
    int32_t passed = 0;
    if (options->mode != 0)
        hysock_listener_config_set_mode(config, (uint32_t)options->mode);
    if (options->group != NULL)
        hysock_listener_config_set_group(config, options->group);
    if (options->takeover)
        hysock_listener_config_set_stale(config, HYSOCK_STALE_TAKE_OVER);
    if (options->activation) {
        passed = hysock_server_add_activated(httpd.server, NULL, config, &err);
        if (passed < 0)
            fail("activation", &err);
    }
    if (passed == 0 && hysock_server_add_listener(httpd.server, options->socket, HYSOCK_NTS, config,
                                                  &err) != HYSOCK_OK)
        fail("listen", &err);
    hysock_listener_config_free(config);
}

/* What the command line says, and on top of it the file as it is now. */
static void reload(const struct options *command_line) {
    struct options options = *command_line;
    hysock_server_config *config;
    hysock_error err;
    if (options.settings != NULL && !options_read(&options))
        return; /* all stays as it was */
    config = server_config(&options);
    if (hysock_server_reload(httpd.server, config, &err) != HYSOCK_OK)
        fprintf(stderr, "httpd: reload: %s\n", err.message);
    else
        fprintf(stderr, "httpd: reloaded\n");
    hysock_server_config_free(config);
}

/* The main thread sleeps here, runs what comes through its queue, and obeys the signals. */
static void serve(const struct options *command_line) {
    uint32_t drain_ms = (uint32_t)command_line->drain_ms;
    hysock_error err;
    while (!__atomic_load_n(&ended, __ATOMIC_ACQUIRE)) {
        int32_t ran = hysock_queue_dispatch(httpd.main_queue, UINT32_MAX, HYSOCK_FOREVER);
        if (ran < 0) {
            fprintf(stderr, "httpd: dispatch: %s\n", hysock_status_message(ran));
            exit(1);
        }
        if (reload_now) {
            reload_now = 0;
            reload(command_line);
        }
        if (end_now) {
            end_now = 0;
            if (hysock_server_shutdown(httpd.server, drain_ms, &err) != HYSOCK_OK)
                fail("shutdown", &err);
            drain_ms = 0; /* the second signal is for those who are in a hurry */
        }
    }
    if (hysock_server_wait(httpd.server, HYSOCK_FOREVER, &err) != HYSOCK_OK)
        fail("wait", &err);
}

int main(int argc, char **argv) {
    struct options command_line, options;
    hysock_server_config *config;
    hysock_error err;

    options_parse(&command_line, argc, argv);
    options = command_line;
    if (options.settings != NULL && !options_read(&options))
        return 1;
    httpd.root = -1;
    streams_prepare();

    if (hysock_runtime_new(NULL, &httpd.runtime, &err) != HYSOCK_OK ||
        hysock_queue_new(httpd.runtime, &httpd.main_queue, &err) != HYSOCK_OK ||
        hysock_runtime_on_log(httpd.runtime, HYSOCK_LOG_WARN, httpd.main_queue, on_log, NULL, NULL,
                              &err) != HYSOCK_OK)
        fail("runtime", &err);
    obey(SIGTERM);
    obey(SIGINT);
    obey(SIGHUP);

    config = server_config(&options);
    if (hysock_server_new(httpd.runtime, config, &httpd.server, &err) != HYSOCK_OK)
        fail("server", &err);
    hysock_server_config_free(config);
    add_routes(options.root);
    add_functions(options.access_log);
    listen_on(&options);
    if (hysock_server_start(httpd.server, &err) != HYSOCK_OK)
        fail("start", &err);
    printf("listening on %s\n", options.socket);
    fflush(stdout);

    serve(&command_line);

    /* Behind the runtime's wait no thread of the library runs any more. */
    hysock_server_free(httpd.server);
    if (hysock_runtime_shutdown(httpd.runtime, 0, &err) != HYSOCK_OK ||
        hysock_runtime_wait(httpd.runtime, HYSOCK_FOREVER, &err) != HYSOCK_OK)
        fail("end", &err);
    hysock_queue_free(httpd.main_queue);
    hysock_runtime_free(httpd.runtime);
    if (hysock_handles_live(HYSOCK_KIND_ANY) != 0) /* leak checkers cannot see handles */
        fprintf(stderr, "httpd: %" PRId32 " handles were not freed\n",
                hysock_handles_live(HYSOCK_KIND_ANY));
    if (httpd.root >= 0)
        close(httpd.root);
    return 0;
}
