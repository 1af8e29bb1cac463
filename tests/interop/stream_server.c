/* A server that streams, for test_streaming.py. All of it by callbacks, so that it goes with every
 * delivery.
 *
 *   stream_server SOCKET DELIVERY FILE [progress=MS] [handler=MS]
 *
 * `/echo` sends the body back as it comes; `/digest` answers with its length and its sum;
 * `/bytes/{n}` is n bytes, `/lines/{n}` n lines, chunked; `/file` is FILE; `/events/{n}` n events,
 * one each millisecond; `/trailer` counts in a trailer; `/lazy` reads nothing of its body for a
 * second, then all of it; `/first` reads one piece and answers; `/never` reads nothing and answers;
 * `/upgrade` to echo. */
#define _POSIX_C_SOURCE 200809L
#include <fcntl.h>
#include <hysock.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static hysock_runtime *runtime;
static hysock_server *server;
static hysock_queue *queue;
static int file;

static void check(hysock_status status, const hysock_error *err) {
    if (status == HYSOCK_OK)
        return;
    fprintf(stderr, "stream_server: %s\n", err->message);
    exit(1);
}

/* One exchange that is streamed. */
struct stream {
    hysock_exchange *exchange;
    hysock_str piece; /* read, and not written yet */
    uint64_t count;
    uint64_t left;
    uint64_t sum;
    int lines;
};

static struct stream *stream_new(hysock_exchange *exchange) {
    hysock_error err;
    struct stream *s = calloc(1, sizeof *s);
    if (s == NULL)
        exit(1);
    s->exchange = exchange;
    s->sum = 0xcbf29ce484222325;
    check(hysock_exchange_defer(exchange, &err), &err);
    check(hysock_exchange_set_userdata(exchange, s, free, &err), &err);
    return s;
}

/* What is refused here ended otherwise: the client has left. */
static void stream_end(struct stream *s, hysock_status status, const char *what) {
    if (status != HYSOCK_OK) {
        printf("%s %s %llu\n", what, hysock_status_message(status), (unsigned long long)s->count);
        fflush(stdout);
    }
    hysock_exchange_free(s->exchange);
}

/* ---- echo ---- */

static void echo_piece(hysock_exchange *exchange, hysock_status status, hysock_str piece,
                       void *userdata);

static void echo_write(hysock_exchange *exchange, void *userdata) {
    struct stream *s = userdata;
    hysock_error err;
    hysock_status status = hysock_exchange_write(exchange, s->piece.ptr, s->piece.len, 0, &err);
    s->count += status == HYSOCK_OK ? s->piece.len : 0;
    if (status == HYSOCK_E_WOULD_BLOCK)
        status = hysock_exchange_on_writable(exchange, echo_write, s, NULL, &err);
    else if (status == HYSOCK_OK)
        status = hysock_exchange_read_start(exchange, echo_piece, s, NULL, &err);
    if (status != HYSOCK_OK)
        stream_end(s, status, "echo");
}

static void echo_piece(hysock_exchange *exchange, hysock_status status, hysock_str piece,
                       void *userdata) {
    struct stream *s = userdata;
    s->piece = piece;
    if (status == HYSOCK_OK && piece.ptr != NULL)
        echo_write(exchange, s);
    else if (status == HYSOCK_OK)
        stream_end(s, hysock_exchange_finish(exchange, NULL), "echo");
    else
        stream_end(s, status, "echo");
}

static void echo(hysock_exchange *exchange, void *userdata) {
    struct stream *s = stream_new(exchange);
    hysock_error err;
    char type[128];
    (void)userdata;
    hysock_str_copy(hysock_exchange_header(exchange, "content-type"), type, sizeof type);
    hysock_status status = hysock_exchange_start_answer(
        exchange, 200, type, hysock_exchange_content_length(exchange), &err);
    if (status == HYSOCK_OK)
        status = hysock_exchange_read_start(exchange, echo_piece, s, NULL, &err);
    if (status != HYSOCK_OK)
        stream_end(s, status, "echo");
}

/* ---- bodies that are only read ---- */

static void digest_piece(hysock_exchange *exchange, hysock_status status, hysock_str piece,
                         void *userdata) {
    struct stream *s = userdata;
    char text[64];
    if (status != HYSOCK_OK) {
        stream_end(s, status, "digest");
        return;
    }
    for (size_t i = 0; i < piece.len; i++)
        s->sum = (s->sum ^ (unsigned char)piece.ptr[i]) * 0x100000001b3;
    s->count += piece.len;
    if (piece.ptr != NULL) {
        hysock_exchange_read_start(exchange, digest_piece, s, NULL, NULL);
        return;
    }
    snprintf(text, sizeof text, "%llu %016llx", (unsigned long long)s->count,
             (unsigned long long)s->sum);
    stream_end(s, hysock_exchange_answer(exchange, 200, "text/plain", text, strlen(text), NULL),
               "digest");
}

static void digest(hysock_exchange *exchange, void *userdata) {
    (void)userdata;
    hysock_exchange_read_start(exchange, digest_piece, stream_new(exchange), NULL, NULL);
}

static void lazy_wakes(hysock_timer *timer, void *userdata) {
    struct stream *s = userdata;
    (void)timer;
    if (hysock_exchange_read_start(s->exchange, digest_piece, s, NULL, NULL) != HYSOCK_OK)
        hysock_exchange_free(s->exchange);
}

static void lazy(hysock_exchange *exchange, void *userdata) {
    hysock_error err;
    (void)userdata;
    check(hysock_runtime_after(runtime, 1000, queue, lazy_wakes, stream_new(exchange), NULL, NULL,
                               &err),
          &err);
}

static void first_piece(hysock_exchange *exchange, hysock_status status, hysock_str piece,
                        void *userdata) {
    (void)userdata;
    if (status == HYSOCK_OK)
        hysock_exchange_answer(exchange, 200, "text/plain", piece.ptr, piece.len < 5 ? 1 : 5, NULL);
    hysock_exchange_free(exchange);
}

static void first(hysock_exchange *exchange, void *userdata) {
    (void)userdata;
    hysock_exchange_read_start(exchange, first_piece, stream_new(exchange), NULL, NULL);
}

static void never(hysock_exchange *exchange, void *userdata) {
    (void)userdata;
    hysock_exchange_answer(exchange, 403, "text/plain", "no", 2, NULL);
}

/* ---- answers that are only written ---- */

static void write_some(hysock_exchange *exchange, void *userdata) {
    struct stream *s = userdata;
    char data[16384];
    hysock_status status = HYSOCK_OK;
    while (status == HYSOCK_OK && s->left > 0) {
        size_t n = s->left < sizeof data ? (size_t)s->left : sizeof data;
        if (s->lines) {
            n = (size_t)snprintf(data, sizeof data, "%llu\n", (unsigned long long)s->count);
        } else {
            for (size_t i = 0; i < n; i++)
                data[i] = (char)((s->count + i) % 251);
        }
        status = hysock_exchange_write(exchange, data, n, 0, NULL);
        if (status == HYSOCK_OK) {
            s->count += s->lines ? 1 : n;
            s->left -= s->lines ? 1 : n;
        }
    }
    if (status == HYSOCK_E_WOULD_BLOCK) {
        status = hysock_exchange_on_writable(exchange, write_some, s, NULL, NULL);
        if (status == HYSOCK_OK)
            return;
    }
    if (status == HYSOCK_OK)
        status = hysock_exchange_finish(exchange, NULL);
    stream_end(s, status, "write");
}

static void numbers(hysock_exchange *exchange, void *userdata) {
    struct stream *s = stream_new(exchange);
    char n[32];
    hysock_str_copy(hysock_exchange_param(exchange, "n"), n, sizeof n);
    s->left = strtoull(n, NULL, 10);
    s->lines = userdata != NULL;
    hysock_status status = hysock_exchange_start_answer(exchange, 200, "text/plain",
                                                        s->lines ? HYSOCK_UNKNOWN : s->left, NULL);
    if (status != HYSOCK_OK)
        stream_end(s, status, "write");
    else
        write_some(exchange, s);
}

static void next_event(hysock_timer *timer, void *userdata) {
    struct stream *s = userdata;
    char text[64];
    (void)timer;
    snprintf(text, sizeof text, "number\n%llu", (unsigned long long)s->count);
    hysock_status status = HYSOCK_OK;
    if (s->count < s->left)
        status = hysock_exchange_write_event(s->exchange, "tick", NULL, text, HYSOCK_NTS, 0, NULL);
    else
        status = hysock_exchange_finish(s->exchange, NULL);
    if (status != HYSOCK_OK || s->count++ == s->left) {
        stream_end(s, status, "events");
        return;
    }
    hysock_runtime_after(runtime, 1, queue, next_event, s, NULL, NULL, NULL);
}

static void events(hysock_exchange *exchange, void *userdata) {
    struct stream *s = stream_new(exchange);
    char n[32];
    (void)userdata;
    hysock_str_copy(hysock_exchange_param(exchange, "n"), n, sizeof n);
    s->left = strtoull(n, NULL, 10);
    hysock_status status = hysock_exchange_start_events(exchange, NULL);
    if (status != HYSOCK_OK)
        stream_end(s, status, "events");
    else
        hysock_runtime_after(runtime, 1, queue, next_event, s, NULL, NULL, NULL);
}

static void trailer(hysock_exchange *exchange, void *userdata) {
    (void)userdata;
    hysock_exchange_set_header(exchange, "trailer", "x-count", HYSOCK_NTS);
    hysock_exchange_start_answer(exchange, 200, "text/plain", HYSOCK_UNKNOWN, NULL);
    hysock_exchange_write(exchange, "hello", 5, 0, NULL);
    hysock_exchange_add_trailer(exchange, "x-count", "5", HYSOCK_NTS, NULL);
    hysock_exchange_finish(exchange, NULL);
}

static void send_file(hysock_exchange *exchange, void *userdata) {
    hysock_error err;
    (void)userdata;
    if (hysock_exchange_send_file(exchange, file, "application/octet-stream", &err) != HYSOCK_OK)
        printf("file %s\n", err.message);
}

/* ---- another protocol ---- */

struct session {
    hysock_exchange *exchange;
    int fd;
};

static void *talk(void *argument) {
    struct session *s = argument;
    char data[65536];
    ssize_t n;
    while ((n = read(s->fd, data, sizeof data)) > 0)
        for (ssize_t at = 0; at < n;) {
            ssize_t sent = send(s->fd, data + at, (size_t)(n - at), MSG_NOSIGNAL);
            if (sent < 0)
                break;
            at += sent;
        }
    send(s->fd, "bye", 3, MSG_NOSIGNAL);
    close(s->fd);
    hysock_exchange_free(s->exchange);
    free(s);
    return NULL;
}

static void switched(hysock_exchange *exchange, int32_t fd, hysock_str early, void *userdata) {
    struct session *s = malloc(sizeof *s);
    pthread_t thread;
    (void)userdata;
    if (s == NULL || fd < 0)
        exit(1);
    s->exchange = exchange;
    s->fd = fd;
    if (early.len > 0 && send(fd, early.ptr, early.len, MSG_NOSIGNAL) < 0)
        perror("stream_server: early");
    if (pthread_create(&thread, NULL, talk, s) != 0)
        exit(1);
    pthread_detach(thread);
}

static void upgrade(hysock_exchange *exchange, void *userdata) {
    hysock_error err;
    (void)userdata;
    if (hysock_exchange_upgrade(exchange, "echo", switched, NULL, NULL, &err) != HYSOCK_OK)
        hysock_exchange_answer(exchange, 426, "text/plain", err.message, strlen(err.message), NULL);
}

/* ---- the server ---- */

static void on_signal(int number) {
    (void)number;
    hysock_server_shutdown_signal(server);
}

static void stream(const char *method, const char *path, hysock_exchange_fn fn) {
    hysock_error err;
    check(hysock_server_add_streaming_route(server, method, path, fn, NULL, NULL, &err), &err);
}

static void route(const char *path, hysock_exchange_fn fn, void *userdata) {
    hysock_error err;
    check(hysock_server_add_route(server, "GET", path, fn, userdata, NULL, &err), &err);
}

int main(int argc, char **argv) {
    hysock_error err;
    hysock_server_config *config = hysock_server_config_new();
    struct sigaction action;

    if (argc < 4 || (file = open(argv[3], O_RDONLY | O_CLOEXEC)) < 0)
        return 2;
    check(hysock_runtime_new(NULL, &runtime, &err), &err);
    if (strcmp(argv[2], "inline") == 0)
        hysock_server_config_set_delivery(config, HYSOCK_DELIVERY_INLINE);
    if (strcmp(argv[2], "queue") == 0) {
        check(hysock_queue_new(runtime, &queue, &err), &err);
        hysock_server_config_set_queue(config, queue);
    }
    for (int i = 4; i < argc; i++) {
        uint32_t value = (uint32_t)strtoul(strchr(argv[i], '=') + 1, NULL, 10);
        if (argv[i][0] == 'p')
            hysock_server_config_set_progress_timeout(config, value);
        else
            hysock_server_config_set_handler_timeout(config, value);
    }
    check(hysock_server_new(runtime, config, &server, &err), &err);
    hysock_server_config_free(config);
    stream(NULL, "/echo", echo);
    stream("POST", "/digest", digest);
    stream("POST", "/lazy", lazy);
    stream("POST", "/first", first);
    stream("POST", "/never", never);
    route("/bytes/{n}", numbers, NULL);
    route("/lines/{n}", numbers, &err);
    route("/events/{n}", events, NULL);
    route("/trailer", trailer, NULL);
    route("/file", send_file, NULL);
    route("/upgrade", upgrade, NULL);
    check(hysock_server_add_listener(server, argv[1], HYSOCK_NTS, NULL, &err), &err);
    check(hysock_server_start(server, &err), &err);
    memset(&action, 0, sizeof action);
    action.sa_handler = on_signal;
    sigaction(SIGTERM, &action, NULL);
    printf("listening on %s\n", argv[1]);
    fflush(stdout);
    check(hysock_server_wait(server, HYSOCK_FOREVER, &err), &err);
    hysock_server_free(server);
    hysock_queue_free(queue);
    check(hysock_runtime_shutdown(runtime, 0, &err), &err);
    check(hysock_runtime_wait(runtime, HYSOCK_FOREVER, &err), &err);
    hysock_runtime_free(runtime);
    if (hysock_handles_live(HYSOCK_KIND_ANY) != 0)
        return 1;
    return 0;
}
