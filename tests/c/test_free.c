/* Everything freed inside a callback, in any order. Argument: the delivery. */
#include "host.h"

#include <dirent.h>

static enum delivery delivery;

#define GET_ROOT "GET / HTTP/1.1\r\nHost: x\r\n\r\n"

typedef struct ends {
    host h;
    hysock_client *client;
    hysock_call *call; /* hangs at the kept exchange */
    hysock_exchange *kept;
    latch ready;
    latch completions;
    latch call_drops;
    latch server_drops;
    const char *order;
    bool defers;
} ends;

static void on_ends_call(hysock_call *call, hysock_status status, void *userdata) {
    ends *e = userdata;
    (void)call;
    (void)status; /* cancelled, or the 500 of the freed exchange */
    latch_add(&e->completions, 1);
}

static void on_ends_call_drop(void *userdata) {
    ends *e = userdata;
    latch_add(&e->call_drops, 1);
}

static void on_ends_drop(void *userdata) {
    ends *e = userdata;
    latch_add(&e->server_drops, 1);
}

static void on_ends(hysock_exchange *exchange, void *userdata) {
    ends *e = userdata;
    if (hysock_str_equal(hysock_exchange_path(exchange), "/hang")) {
        CHECK_OK(hysock_exchange_defer(exchange, ERR));
        e->kept = exchange;
        latch_add(&e->ready, 1);
        return;
    }
    if (e->defers)
        CHECK_OK(hysock_exchange_defer(exchange, ERR));
    for (const char *what = e->order; *what != 0; what++) {
        switch (*what) {
        case 'r':
            hysock_runtime_free(e->h.runtime);
            break;
        case 's':
            hysock_server_free(e->h.server);
            break;
        case 'c':
            hysock_client_free(e->client);
            break;
        case 'k':
            hysock_call_free(e->call);
            break;
        case 'x':
            hysock_exchange_free(e->kept);
            break;
        default:
            /* An answer at this point: taken, or refused since the server has ended. */
            CHECK(hysock_exchange_answer(exchange, 200, NULL, "x", 1, ERR) <= 0);
        }
    }
    if (e->defers)
        hysock_exchange_free(exchange);
}

/* The number of this process's threads. */
static int thread_count(void) {
    DIR *tasks = opendir("/proc/self/task");
    CHECK(tasks != NULL);
    int count = 0;
    for (struct dirent *entry; (entry = readdir(tasks)) != NULL;)
        count += entry->d_name[0] != '.';
    closedir(tasks);
    return count;
}

static void free_inside(const char *order, bool defers) {
    ends e;
    raw r;
    memset(&e, 0, sizeof(e));
    latch_init(&e.ready);
    latch_init(&e.completions);
    latch_init(&e.call_drops);
    latch_init(&e.server_drops);
    e.order = order;
    e.defers = defers;
    int threads = thread_count();
    host_open(&e.h, delivery, NULL);
    e.client = host_client(&e.h);
    host_serve(&e.h, NULL, on_ends, &e, on_ends_drop);
    e.call = new_call(e.client, "GET", "/hang");
    CHECK_OK(hysock_call_start(e.call, on_ends_call, &e, on_ends_call_drop, ERR));
    LATCH_AWAIT(&e.ready, 1);
    raw_open(&r, e.h.path);
    raw_text(&r, GET_ROOT);
    LATCH_AWAIT(&e.server_drops, 1);
    LATCH_AWAIT(&e.call_drops, 1);
    /* An answer, a 500 or the end: never a connection that hangs. */
    int status = raw_status(&r);
    CHECK(status == 0 || status == 200 || status == 500);
    raw_close(&r);
    CHECK_INT(latch_count(&e.server_drops), 1);
    CHECK_INT(latch_count(&e.call_drops), 1);
    CHECK(latch_count(&e.completions) <= 1);
    if (delivery == QUEUE) {
        latch_add(&e.h.dispatch_end, 1);
        hysock_queue_wake(e.h.queue);
        thread_join(e.h.dispatcher);
        hysock_queue_free(e.h.queue);
    }
    /* Nobody can wait for a freed runtime: its threads end by themselves. */
    for (int64_t end = now_ms() + check_ms(DEADLINE_MS); thread_count() > threads; take_ms(1))
        CHECK(now_ms() < end);
    CHECK_INT(hysock_handles_live(HYSOCK_KIND_ANY), 0);
    CHECK(access(e.h.path, F_OK) != 0);
}

static void on_log(int32_t level, hysock_str line, void *userdata) {
    (void)level;
    (void)line;
    (void)userdata;
}

static void on_served(hysock_exchange *exchange, void *userdata) {
    (void)userdata;
    answer_text(exchange, 200, "x");
}

/* A runtime that logs, freed as it runs: all of its threads end. */
static void free_logging(bool serves, uint32_t callback_threads) {
    host h;
    latch drops;
    latch_init(&drops);
    int threads = thread_count();
    hysock_runtime_config *config = hysock_runtime_config_new();
    CHECK_OK(hysock_runtime_config_set_callback_threads(config, callback_threads));
    host_open(&h, delivery, config);
    hysock_runtime_config_free(config);
    CHECK_OK(hysock_runtime_on_log(h.runtime, HYSOCK_LOG_DEBUG, h.queue, on_log, &drops, count_drop,
                                   ERR));
    if (serves) {
        host_serve(&h, NULL, on_served, &drops, count_drop);
        CHECK_INT(raw_get(h.path, "/"), 200);
        hysock_server_free(h.server);
    }
    hysock_runtime_free(h.runtime);
    LATCH_AWAIT(&drops, serves ? 2 : 1);
    if (delivery == QUEUE) {
        latch_add(&h.dispatch_end, 1);
        hysock_queue_wake(h.queue);
        thread_join(h.dispatcher);
        hysock_queue_free(h.queue);
    }
    for (int64_t end = now_ms() + check_ms(DEADLINE_MS); thread_count() > threads; take_ms(1))
        CHECK(now_ms() < end);
    CHECK_INT(latch_count(&drops), serves ? 2 : 1);
    CHECK_INT(hysock_handles_live(HYSOCK_KIND_ANY), 0);
}

int main(int argc, char **argv) {
    check_start();
    delivery = delivery_parse(argc, argv);
    /* r runtime, s server, c client, k call, x kept exchange, . the answer */
    static const char *const orders[] = {
        ".rsckx", "rsckx.", "r.xkcs", "s.crxk", "sxkcr.", "c.krsx", "kcsxr.", "xcr.sk",
    };
    for (size_t i = 0; i < sizeof(orders) / sizeof(orders[0]); i++)
        for (int defers = 0; defers < 2; defers++)
            free_inside(orders[i], defers == 1);
    for (int i = 0; i < check_rounds(20, 4); i++)
        free_logging(i % 2 == 1, i % 4 < 2 ? 1 : 4);
    return check_end();
}
