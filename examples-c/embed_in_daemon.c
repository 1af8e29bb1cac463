/* Teaches: a control API for a daemon that exists already, with a loop of its own and one thread.
 *
 *   embed_in_daemon SOCKET PIDFILE CONFIG [--foreground]
 *   curl --unix-socket SOCKET http://localhost/status
 *   curl --unix-socket SOCKET -X POST http://localhost/reload           as SIGHUP does
 *   curl --unix-socket SOCKET -X PUT -d debug http://localhost/log-level
 *
 * The daemon beats: every `interval` milliseconds, which CONFIG says in a line `interval=100`. What
 * was added for the API is marked with "API". The order at the start is what matters: fork first,
 * since threads do not survive it, then the runtime, and only then is the parent told that all is
 * well.
 */
#define _DEFAULT_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <hysock.h> /* API */
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <systemd/sd-daemon.h>
#include <time.h>
#include <unistd.h>

static const char *const level_names[] = {"error", "warn", "info", "debug"};

struct daemon {
    const char *socket;
    const char *config;
    long interval_ms;
    unsigned long beats;
    unsigned long reloads;
    int level;
    int ending;
    hysock_runtime *runtime; /* API */
    hysock_queue *queue;     /* API */
    hysock_server *server;   /* API */
};

static int signal_pipe[2];

/* ---- the daemon as it was ---- */

static void say(const struct daemon *d, int level, const char *format, ...) {
    va_list arguments;
    if (level > d->level)
        return;
    va_start(arguments, format);
    fprintf(stderr, "%s: ", level_names[level]);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
}

static void die(const char *what, const char *why) {
    fprintf(stderr, "embed_in_daemon: %s: %s\n", what, why);
    exit(1);
}

/* Keeps the old settings when the new ones cannot be read. */
static int load_config(struct daemon *d) {
    char line[128];
    long interval = 0;
    FILE *file = fopen(d->config, "re");
    if (file == NULL)
        return -1;
    while (fgets(line, sizeof line, file) != NULL)
        if (strncmp(line, "interval=", 9) == 0)
            interval = strtol(line + 9, NULL, 10);
    fclose(file);
    if (interval < 1 || interval > 60000)
        return -1;
    d->interval_ms = interval;
    return 0;
}

static int reload(struct daemon *d) {
    sd_notify(0, "RELOADING=1");
    int result = load_config(d);
    if (result == 0)
        d->reloads++;
    say(d, result == 0 ? 2 : 0, "reload: interval is %ld ms%s", d->interval_ms,
        result == 0 ? "" : ", the new configuration cannot be used");
    sd_notify(0, "READY=1");
    return result;
}

static void on_signal(int number) {
    int saved = errno;
    unsigned char byte = (unsigned char)number;
    if (write(signal_pipe[1], &byte, 1) < 0) {
        /* The pipe is full: a signal is on its way already. */
    }
    errno = saved;
}

static void catch_signal(int number) {
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = on_signal;
    sigemptyset(&action.sa_mask);
    action.sa_flags = SA_RESTART;
    if (sigaction(number, &action, NULL) != 0)
        die("sigaction", strerror(errno));
}

static void open_signals(void) {
    if (pipe(signal_pipe) != 0)
        die("pipe", strerror(errno));
    for (int i = 0; i < 2; i++) {
        fcntl(signal_pipe[i], F_SETFD, FD_CLOEXEC);
        fcntl(signal_pipe[i], F_SETFL, O_NONBLOCK);
    }
    catch_signal(SIGHUP);
    catch_signal(SIGTERM);
    catch_signal(SIGINT);
}

/* A PID file that its lock makes true: it says who holds it, or it is old. */
static int open_pidfile(const char *path) {
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (fd < 0)
        die(path, strerror(errno));
    if (flock(fd, LOCK_EX | LOCK_NB) != 0)
        die(path, "another daemon runs");
    return fd;
}

static void write_pidfile(int fd, const char *path) {
    char text[32];
    int len = snprintf(text, sizeof text, "%ld\n", (long)getpid());
    if (ftruncate(fd, 0) != 0 || pwrite(fd, text, (size_t)len, 0) != len)
        die(path, strerror(errno));
}

/* Returns in the daemon; the parent ends when the daemon says how it went, by `tell`. */
static int go_to_background(void) {
    int report[2];
    char ok = 0;
    if (pipe(report) != 0)
        die("pipe", strerror(errno));
    pid_t child = fork();
    if (child < 0)
        die("fork", strerror(errno));
    if (child > 0) {
        close(report[1]);
        _exit(read(report[0], &ok, 1) == 1 ? 0 : 1);
    }
    close(report[0]);
    fcntl(report[1], F_SETFD, FD_CLOEXEC);
    if (setsid() < 0)
        die("setsid", strerror(errno));
    child = fork(); /* no session leader any more: it never gets a terminal */
    if (child < 0)
        die("fork", strerror(errno));
    if (child > 0)
        _exit(0);
    return report[1];
}

static void tell(int report) {
    if (report < 0)
        return;
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (null >= 0) {
        dup2(null, 0);
        dup2(null, 1);
        close(null);
    }
    if (write(report, "", 1) != 1)
        die("parent", strerror(errno));
    close(report);
}

static long now_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* ---- the control API ---- */

static void answer_text(hysock_exchange *exchange, int status, const char *text) {
    hysock_exchange_answer(exchange, status, "text/plain", text, strlen(text), NULL);
}

static void on_status(hysock_exchange *exchange, void *userdata) {
    const struct daemon *d = userdata;
    char text[256];
    int len = snprintf(text, sizeof text,
                       "{\"pid\": %ld, \"beats\": %lu, \"interval\": %ld, \"reloads\": %lu, "
                       "\"log_level\": \"%s\"}\n",
                       (long)getpid(), d->beats, d->interval_ms, d->reloads, level_names[d->level]);
    hysock_exchange_answer(exchange, 200, "application/json", text, (size_t)len, NULL);
}

static void on_reload(hysock_exchange *exchange, void *userdata) {
    if (reload(userdata) == 0)
        answer_text(exchange, 200, "reloaded\n");
    else
        answer_text(exchange, 500, "the new configuration cannot be used\n");
}

static void on_log_level(hysock_exchange *exchange, void *userdata) {
    struct daemon *d = userdata;
    hysock_str body = hysock_exchange_body(exchange);
    for (int i = 0; i < 4; i++) {
        if (!hysock_str_equal(body, level_names[i]))
            continue;
        d->level = i;
        /* The library's own lines go by the same level; its levels begin with 1. */
        hysock_runtime_set_log_level(d->runtime, i + 1, NULL);
        answer_text(exchange, 200, "set\n");
        return;
    }
    answer_text(exchange, 400, "error, warn, info or debug\n");
}

static void on_log(int32_t level, hysock_str line, void *userdata) {
    say(userdata, level - 1, "hysock: %.*s", HYSOCK_PRI(line));
}

static void on_closed(hysock_server *server, hysock_status reason, uint64_t aborted,
                      void *userdata) {
    struct daemon *d = userdata;
    (void)server;
    (void)reason;
    (void)aborted;
    d->server = NULL;
    hysock_server_free(server);
}

/* All callbacks come through the queue, so they run in the daemon's loop, on its one thread. */
static void open_api(struct daemon *d) {
    hysock_error err;
    hysock_server_config *config = hysock_server_config_new();
    if (hysock_runtime_new(NULL, &d->runtime, &err) != HYSOCK_OK ||
        hysock_queue_new(d->runtime, &d->queue, &err) != HYSOCK_OK ||
        hysock_runtime_on_log(d->runtime, d->level + 1, d->queue, on_log, d, NULL, &err) !=
            HYSOCK_OK)
        die("hysock", err.message);
    hysock_server_config_set_queue(config, d->queue);
    if (hysock_server_new(d->runtime, config, &d->server, &err) != HYSOCK_OK ||
        hysock_server_add_route(d->server, "GET", "/status", on_status, d, NULL, &err) !=
            HYSOCK_OK ||
        hysock_server_add_route(d->server, "POST", "/reload", on_reload, d, NULL, &err) !=
            HYSOCK_OK ||
        hysock_server_add_route(d->server, "PUT", "/log-level", on_log_level, d, NULL, &err) !=
            HYSOCK_OK ||
        hysock_server_add_listener(d->server, d->socket, HYSOCK_NTS, NULL, &err) != HYSOCK_OK ||
        hysock_server_on_closed(d->server, on_closed, d, NULL, &err) != HYSOCK_OK ||
        hysock_server_start(d->server, &err) != HYSOCK_OK)
        die("control API", err.message);
    hysock_server_config_free(config);
}

static void close_api(struct daemon *d) {
    hysock_error err;
    if (hysock_runtime_shutdown(d->runtime, 1000, &err) != HYSOCK_OK ||
        hysock_runtime_wait(d->runtime, HYSOCK_FOREVER, &err) != HYSOCK_OK)
        die("end", err.message);
    hysock_queue_free(d->queue);
    hysock_runtime_free(d->runtime);
}

/* ---- the loop ---- */

static void take_signals(struct daemon *d) {
    unsigned char number;
    while (read(signal_pipe[0], &number, 1) == 1) {
        if (number == SIGHUP) {
            reload(d);
        } else if (!d->ending) {
            d->ending = 1;
            sd_notify(0, "STOPPING=1");
            hysock_server_shutdown(d->server, 1000, NULL); /* API: on_closed ends the loop */
        }
    }
}

static void loop(struct daemon *d) {
    struct pollfd fds[2] = {{signal_pipe[0], POLLIN, 0}, {-1, POLLIN, 0}};
    long next = now_ms() + d->interval_ms;
    fds[1].fd = hysock_queue_fd(d->queue); /* API */
    while (!d->ending || d->server != NULL) {
        long left = next - now_ms();
        if (left <= 0) {
            say(d, 3, "beat %lu", ++d->beats);
            next += d->interval_ms;
            continue;
        }
        if (poll(fds, 2, (int)left) < 0 && errno != EINTR)
            die("poll", strerror(errno));
        take_signals(d);
        hysock_queue_dispatch(d->queue, 64, 0); /* API */
    }
}

int main(int argc, char **argv) {
    struct daemon d;
    int report = -1;
    memset(&d, 0, sizeof d);
    if (argc < 4 || argc > 5 || (argc == 5 && strcmp(argv[4], "--foreground") != 0)) {
        fprintf(stderr, "usage: embed_in_daemon SOCKET PIDFILE CONFIG [--foreground]\n");
        return 2;
    }
    d.socket = argv[1];
    d.config = argv[3];
    d.level = 2;
    if (load_config(&d) != 0)
        die(d.config, "cannot be used: a line interval=1 to 60000 is needed");
    int pidfile = open_pidfile(argv[2]); /* the lock goes along with the forks */
    if (argc == 4)
        report = go_to_background();
    open_signals();
    open_api(&d); /* API: behind the last fork */
    write_pidfile(pidfile, argv[2]);
    sd_notify(0, "READY=1");
    say(&d, 2, "listening on %s", d.socket);
    tell(report);
    loop(&d);
    close_api(&d); /* API */
    unlink(argv[2]);
    close(pidfile);
    return 0;
}
