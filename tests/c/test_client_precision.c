/* Wherever a call waits, a cancel ends it within 1 ms and its deadline within 5 ms, never before.
 * The quickest of some tries counts: the machine may have other things to do. */
#include "hostile.h"

enum where { ANSWER, BODY, UPLOAD, BACKLOG, PLACE, WHERES };
static const char *const names[WHERES] = {"the answer", "a piece of its body", "room to send",
                                          "a place in the backlog", "a connection"};

enum { CANCELS = 12, DEADLINES = 4, TIMEOUT_MS = 60 };

static const script silent = {.name = "silent", .hold = true};
static const script stops = {
    .name = "stops", .start = "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nab", .hold = true};
static const script deaf = {.name = "deaf", .read = 1, .hold = true};

static hysock_runtime *runtime;
static peer server;
static char full[108]; /* a socket whose backlog is full */
static char *data;
enum { DATA = 1 << 20 };

static int64_t now_us(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

/* One call that waits until it is ended. */
typedef struct waiting {
    enum where where;
    bool started;
    hysock_client *client;
    hysock_call *blocker; /* has the only connection */
    completion blocked;
    hysock_call *call;
    latch begun;
    latch ended;
    pthread_t thread;
    hysock_status status;
    int64_t began, end; /* in microseconds */
} waiting;

static void ended(waiting *w, hysock_status status) {
    w->status = status;
    w->end = now_us();
    latch_add(&w->ended, 1);
}

static void on_piece(hysock_call *call, hysock_status status, hysock_str piece, void *userdata) {
    if (status == HYSOCK_OK && piece.ptr != NULL)
        CHECK_OK(hysock_call_read_start(call, on_piece, userdata, NULL, ERR));
    else
        ended(userdata, status);
}

static void on_end(hysock_call *call, hysock_status status, void *userdata) {
    waiting *w = userdata;
    if (status == HYSOCK_OK && w->where == BODY)
        CHECK_OK(hysock_call_read_start(call, on_piece, w, NULL, ERR));
    else
        ended(w, status);
}

static void *perform(void *argument) {
    waiting *w = argument;
    hysock_str piece;
    latch_add(&w->begun, 1);
    hysock_status status = hysock_call_perform(w->call, ERR);
    while (status == HYSOCK_OK && w->where == BODY)
        status = hysock_call_read(w->call, &piece, HYSOCK_FOREVER, ERR);
    ended(w, status);
    return NULL;
}

static void begin(waiting *w, enum where where, bool started, uint32_t timeout_ms) {
    memset(w, 0, sizeof(*w));
    w->where = where;
    w->started = started;
    latch_init(&w->begun);
    latch_init(&w->ended);
    peer_set(&server, where == BODY ? &stops : where == UPLOAD ? &deaf : &silent);
    hysock_client_config *config = hysock_client_config_new();
    CHECK_OK(hysock_client_config_set_max_connections(config, 1));
    CHECK_OK(hysock_client_config_set_delivery(config, HYSOCK_DELIVERY_INLINE));
    CHECK_OK(hysock_client_new(runtime, where == BACKLOG ? full : server.path, HYSOCK_NTS, config,
                               &w->client, ERR));
    hysock_client_config_free(config);
    if (where == PLACE) {
        completion_new(&w->blocked, w->client, INLINE, "/");
        completion_start(&w->blocked);
        take_ms(2); /* most likely it has the connection then; else it waits, as good a case */
    }
    w->call = new_call(w->client, where == UPLOAD ? "POST" : "GET", "/");
    if (where == UPLOAD)
        CHECK_OK(hysock_call_set_body(w->call, NULL, data, DATA));
    if (where == BODY)
        CHECK_OK(hysock_call_set_streaming(w->call));
    CHECK_OK(hysock_call_set_timeout(w->call, timeout_ms));
    w->began = now_us();
    if (started) {
        CHECK_OK(hysock_call_start(w->call, on_end, w, NULL, ERR));
    } else {
        w->thread = thread_start(perform, w);
        LATCH_AWAIT(&w->begun, 1);
    }
}

static void finish(waiting *w, hysock_status expected) {
    LATCH_AWAIT(&w->ended, 1);
    if (!w->started)
        thread_join(w->thread);
    /* Both were waited for until the same moment. */
    if (w->where != BACKLOG || w->status != HYSOCK_E_BUSY || expected != HYSOCK_E_TIMED_OUT)
        CHECK_STATUS(w->status, expected);
    if (w->where == PLACE) {
        CHECK_OK(hysock_call_cancel(w->blocked.call, ERR));
        completion_await(&w->blocked, HYSOCK_E_CANCELLED);
        hysock_call_free(w->blocked.call);
    }
    hysock_call_free(w->call);
    hysock_client_free(w->client);
}

/* The least time between a cancel and the end. */
static int64_t cancel(enum where where, bool started) {
    int64_t least = INT64_MAX;
    waiting w;
    for (int i = 0; i < CANCELS; i++) {
        begin(&w, where, started, HYSOCK_FOREVER);
        take_ms(3); /* it gets to where it waits; an earlier cancel must be as quick */
        int64_t began = now_us();
        CHECK_OK(hysock_call_cancel(w.call, ERR));
        finish(&w, HYSOCK_E_CANCELLED);
        least = w.end - began < least ? w.end - began : least;
    }
    return least;
}

/* The least time between the deadline and the end. */
static int64_t deadline(enum where where, bool started) {
    int64_t least = INT64_MAX;
    waiting w;
    for (int i = 0; i < DEADLINES; i++) {
        begin(&w, where, started, TIMEOUT_MS);
        finish(&w, HYSOCK_E_TIMED_OUT);
        int64_t late = w.end - w.began - TIMEOUT_MS * 1000;
        CHECK(late >= -1000); /* a clock of milliseconds may be one ahead */
        least = late < least ? late : least;
    }
    return least;
}

/* Connects until the backlog is full. */
static int fill_backlog(int *fds) {
    struct sockaddr_un address;
    int listener = raw_socket(temp_path(full, "full"), &address), count = 0;
    CHECK(bind(listener, (struct sockaddr *)&address, sizeof(address)) == 0);
    CHECK(listen(listener, 0) == 0);
    for (;;) {
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        CHECK(fd >= 0 && count < 16);
        fds[count++] = fd;
        if (connect(fd, (struct sockaddr *)&address, sizeof(address)) != 0)
            break;
    }
    CHECK_INT(errno, EAGAIN);
    fds[count++] = listener;
    return count;
}

int main(void) {
    int fds[18];
    check_start();
    data = calloc(1, DATA);
    CHECK(data != NULL);
    CHECK_OK(hysock_runtime_new(NULL, &runtime, ERR));
    peer_start(&server);
    int count = fill_backlog(fds);
    for (enum where where = ANSWER; where < WHERES; where++)
        for (int started = 0; started <= 1; started++) {
            int64_t took = cancel(where, started), late = deadline(where, started);
            int64_t slow = check_slow() ? 1000 : 1; /* where all is slow only the end counts */
            if (took >= slow * 1000 || late >= slow * 5000)
                dprintf(check_fd, "%s, waiting for %s: cancelled after %lld us, %lld us late\n",
                        started ? "start" : "perform", names[where], (long long)took,
                        (long long)late);
            CHECK(took < slow * 1000);
            CHECK(late < slow * 5000);
        }
    while (count > 0)
        close(fds[--count]);
    peer_stop(&server);
    CHECK_OK(hysock_runtime_shutdown(runtime, 1000, ERR));
    WAIT_OK(hysock_runtime_wait, runtime);
    hysock_runtime_free(runtime);
    free(data);
    return check_end();
}
