/* In a forked child everything that hangs on the parent's runtime gives FORKED and its free does
 * nothing; the parent is not harmed, and the child may begin anew. */
#include "host.h"

#include <fcntl.h>
#include <sys/wait.h>

static hysock_exchange *kept;
static latch arrived;

static void handler(hysock_exchange *exchange, void *userdata) {
    (void)userdata;
    if (hysock_str_equal(hysock_exchange_path(exchange), "/keep")) {
        CHECK_OK(hysock_exchange_defer(exchange, ERR));
        kept = exchange;
        latch_add(&arrived, 1);
    } else {
        answer_text(exchange, 200, "x");
    }
}

static void no_exchange(hysock_exchange *exchange, void *userdata) {
    (void)exchange;
    (void)userdata;
    CHECK(!"a handler of a child that serves nothing");
}

static void no_closed(hysock_server *server, hysock_status reason, uint64_t n, void *userdata) {
    (void)server;
    (void)reason;
    (void)n;
    (void)userdata;
    CHECK(!"on_closed in a child");
}

static void no_call(hysock_call *call, hysock_status status, void *userdata) {
    (void)call;
    (void)status;
    (void)userdata;
    CHECK(!"a completion in a child");
}

static void no_log(int32_t level, hysock_str line, void *userdata) {
    (void)level;
    (void)line;
    (void)userdata;
    CHECK(!"a log line in a child");
}

typedef struct world {
    host h;
    hysock_client *client;
    hysock_client *bare;
    hysock_call *fresh; /* not started */
    completion flying;  /* started, waits for `kept` */
    latch drops;
} world;

#define FORKED(call) CHECK_STATUS(call, HYSOCK_E_FORKED)
#define FORKED_DROP(call)                                                                          \
    do {                                                                                           \
        long before_ = latch_count(&w->drops);                                                     \
        FORKED(call);                                                                              \
        CHECK_INT(latch_count(&w->drops), before_ + 1);                                            \
    } while (0)

static void refused(world *w) {
    char path[108];
    hysock_queue *queue = NULL;
    hysock_server *server = NULL;
    hysock_client *client = NULL;
    hysock_call *call = NULL;
    host *h = &w->h;
    temp_path(path, "child");
    FORKED_DROP(hysock_runtime_on_log(h->runtime, HYSOCK_LOG_INFO, NULL, no_log, &w->drops,
                                      count_drop, ERR));
    CHECK_ERR(HYSOCK_E_FORKED, "fork");
    FORKED(hysock_runtime_shutdown(h->runtime, 0, ERR));
    FORKED(hysock_runtime_wait(h->runtime, HYSOCK_FOREVER, ERR));
    FORKED(hysock_queue_new(h->runtime, &queue, ERR));
    FORKED(hysock_queue_fd(h->queue));
    FORKED(hysock_queue_dispatch(h->queue, 1, HYSOCK_FOREVER));
    FORKED(hysock_queue_wake(h->queue));
    FORKED(hysock_server_new(h->runtime, NULL, &server, ERR));
    FORKED_DROP(hysock_server_serve(h->runtime, path, HYSOCK_NTS, NULL, no_exchange, &w->drops,
                                    count_drop, &server, ERR));
    FORKED_DROP(
        hysock_server_add_route(h->server, "GET", "/x", no_exchange, &w->drops, count_drop, ERR));
    FORKED(hysock_server_add_listener(h->server, path, HYSOCK_NTS, NULL, ERR));
    int32_t fd;
    FORKED(hysock_server_take_listener(h->server, 0, &fd, ERR));
    FORKED(hysock_server_listener_address(h->server, 0, NULL, 0, ERR));
    FORKED(hysock_server_reload_listener(h->server, 0, NULL, ERR));
    CHECK_INT(fd, -1);
    FORKED(hysock_server_add_activated(h->server, NULL, NULL, ERR));
    CHECK_OK(hysock_listener_open(path, HYSOCK_NTS, NULL, &fd, ERR)); /* needs no runtime */
    FORKED(hysock_server_add_listener_fd(h->server, fd, HYSOCK_ADOPT_OWN, NULL, ERR));
    CHECK(fcntl(fd, F_GETFD) < 0 && unlink(path) == 0);
    int pair[2];
    CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
    FORKED(hysock_server_add_connection(h->server, pair[0], ERR));
    CHECK(fcntl(pair[0], F_GETFD) < 0);
    FORKED(hysock_server_start(h->server, ERR));
    FORKED_DROP(hysock_server_on_closed(h->server, no_closed, &w->drops, count_drop, ERR));
    FORKED(hysock_server_shutdown(h->server, 0, ERR));
    FORKED(hysock_server_shutdown_signal(h->server));
    FORKED(hysock_server_wait(h->server, HYSOCK_FOREVER, ERR));
    FORKED(hysock_exchange_answer(kept, 200, NULL, "x", 1, ERR));
    FORKED_DROP(hysock_exchange_on_gone(kept, no_exchange, &w->drops, count_drop, ERR));
    FORKED(hysock_client_new(h->runtime, h->path, HYSOCK_NTS, NULL, &client, ERR));
    FORKED(hysock_client_shutdown(w->client, 0, ERR));
    FORKED(hysock_client_wait(w->client, HYSOCK_FOREVER, ERR));
    FORKED(hysock_call_new(w->client, "GET", "/", HYSOCK_NTS, &call, ERR));
    FORKED(hysock_call_perform(w->fresh, ERR));
    FORKED_DROP(hysock_call_start(w->fresh, no_call, &w->drops, count_drop, ERR));
    FORKED(hysock_call_cancel(w->flying.call, ERR));
    CHECK(access(path, F_OK) != 0);
}

/* None of these may hang, or touch what is the parent's. */
static void freed(world *w) {
    hysock_exchange_free(kept);
    hysock_call_free(w->fresh);
    hysock_call_free(w->flying.call);
    hysock_client_free(w->client);
    hysock_server_free(w->h.server);
    hysock_queue_free(w->h.queue);
    hysock_runtime_free(w->h.runtime);
    CHECK(access(w->h.path, F_OK) == 0);
}

static void perform(hysock_client *client) {
    hysock_call *call = new_call(client, "GET", "/");
    CHECK_OK(hysock_call_perform(call, ERR));
    CHECK_INT(hysock_call_http_status(call), 200);
    hysock_call_free(call);
}

/* Configurations and a client without a runtime know no process. */
static void survivors(world *w, hysock_runtime_config *config) {
    CHECK_OK(hysock_runtime_config_set_callback_threads(config, 2));
    hysock_server_config *more = hysock_server_config_new();
    CHECK_OK(hysock_server_config_set_max_body(more, 1));
    hysock_server_config_free(more);
    perform(w->bare);
    perform(w->bare);
}

/* A runtime of its own. */
static void anew(world *w, const hysock_runtime_config *config) {
    host h;
    host_open(&h, POOL, config);
    temp_path(h.path, "anew");
    host_serve(&h, NULL, handler, NULL, NULL);
    hysock_client *client = host_client(&h);
    perform(client);
    CHECK_INT(raw_get(h.path, "/"), 200);
    hysock_client_free(client);
    /* The parent's stays foreign beside it. */
    FORKED(hysock_runtime_shutdown(w->h.runtime, 0, ERR));
    FORKED(hysock_exchange_answer(kept, 200, NULL, "x", 1, ERR));
    host_stop(&h);
    CHECK(access(h.path, F_OK) != 0);
}

enum stage { REFUSED_STAGE, SURVIVORS_STAGE, ANEW_STAGE, FREED_STAGE };

/* Runs one stage in a child and waits for its word. */
static void in_child(world *w, hysock_runtime_config *config, enum stage stage) {
    int verdict[2];
    char word = 0;
    CHECK(pipe(verdict) == 0);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        close(verdict[0]);
        if (stage == REFUSED_STAGE)
            refused(w);
        else if (stage == SURVIVORS_STAGE)
            survivors(w, config);
        else if (stage == ANEW_STAGE)
            anew(w, config);
        else
            freed(w);
        CHECK(write(verdict[1], "k", 1) == 1);
        /* No exit: a leak checker would look at a process whose other threads are gone. */
        kill(getpid(), SIGKILL);
    }
    close(verdict[1]);
    int events = raw_poll(verdict[0], POLLIN, check_ms(DEADLINE_MS));
    if (events == 0)
        kill(child, SIGKILL);
    ssize_t n = read(verdict[0], &word, 1);
    int status;
    CHECK(waitpid(child, &status, 0) == child);
    close(verdict[0]);
    CHECK(events != 0); /* else the child hung */
    CHECK_INT(n, 1);
    CHECK(word == 'k' && WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    /* The parent's world is as it was. */
    CHECK(access(w->h.path, F_OK) == 0);
    CHECK_INT(raw_get(w->h.path, "/"), 200);
    perform(w->client);
    perform(w->bare);
    CHECK_INT(latch_count(&w->drops), 0);
}

int main(void) {
    world w;
    check_start();
    latch_init(&arrived);
    memset(&w, 0, sizeof(w));
    latch_init(&w.drops);
    hysock_runtime_config *config = hysock_runtime_config_new();
    host_start(&w.h, POOL, handler, NULL);
    CHECK_OK(hysock_queue_new(w.h.runtime, &w.h.queue, ERR));
    w.client = host_client(&w.h);
    CHECK_OK(hysock_client_new(NULL, w.h.path, HYSOCK_NTS, NULL, &w.bare, ERR));
    perform(w.client);
    perform(w.bare); /* leaves a connection that the child must not use */
    w.fresh = new_call(w.client, "GET", "/");
    completion_new(&w.flying, w.client, POOL, "/keep");
    completion_start(&w.flying);
    LATCH_AWAIT(&arrived, 1);
    in_child(&w, config, REFUSED_STAGE);
    in_child(&w, config, SURVIVORS_STAGE);
    in_child(&w, config, ANEW_STAGE);
    in_child(&w, config, FREED_STAGE);
    /* What was in flight during all of it arrives. */
    answer_text(kept, 200, "x");
    hysock_exchange_free(kept);
    completion_await(&w.flying, HYSOCK_OK);
    CHECK_OK(hysock_call_perform(w.fresh, ERR));
    hysock_call_free(w.fresh);
    hysock_call_free(w.flying.call);
    hysock_client_free(w.client);
    hysock_client_free(w.bare);
    hysock_runtime_config_free(config);
    host_stop(&w.h);
    CHECK(access(w.h.path, F_OK) != 0);
    return check_end();
}
