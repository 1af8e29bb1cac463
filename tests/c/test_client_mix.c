/* Many threads use one client in every way at once: calls that are performed, started, cancelled by
 * their own thread and by others, freed while they run. Each ends once, and each answer is its own.
 * Argument: the delivery. */
#include "host.h"

enum { THREADS = 8, IN_FLIGHT = 32 };

/* What became of the calls, and what the server saw. */
enum { PERFORMED, STARTED, REFUSED, ANSWERED, CANCELLED, COMPLETED, DROPPED, FREED, SERVED, SUMS };

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static long sums[SUMS];
static hysock_call *newest[THREADS]; /* of each thread, for others to cancel; freed perhaps */
static hysock_client *client;
static enum delivery delivery;

static void add(int what) {
    pthread_mutex_lock(&mutex);
    sums[what]++;
    pthread_mutex_unlock(&mutex);
}

static void echo(hysock_exchange *exchange, void *userdata) {
    (void)userdata;
    hysock_str path = hysock_exchange_path(exchange);
    add(SERVED);
    answer_or_closed(exchange, path.ptr, path.len);
}

static void check_end_of(const hysock_call *call, hysock_status status, const char *target) {
    if (status == HYSOCK_OK) {
        CHECK_INT(hysock_call_http_status(call), 200);
        CHECK(hysock_str_equal(hysock_call_body(call), target));
        add(ANSWERED);
    } else {
        CHECK_STATUS(status, HYSOCK_E_CANCELLED);
        add(CANCELLED);
    }
}

/* A started call. */
typedef struct one {
    char target[32];
    latch *ended;
    int completions;
} one;

static void on_end(hysock_call *call, hysock_status status, void *userdata) {
    one *o = userdata;
    CHECK(delivery_here(delivery));
    CHECK_INT(++o->completions, 1);
    add(COMPLETED);
    check_end_of(call, status, o->target);
    hysock_call_free(call);
}

static void on_drop(void *userdata) {
    one *o = userdata;
    add(DROPPED);
    latch_add(o->ended, 1);
    free(o);
}

static hysock_call *make(int thread, const char *target) {
    hysock_call *call = new_call(client, "GET", target);
    pthread_mutex_lock(&mutex);
    newest[thread] = call;
    pthread_mutex_unlock(&mutex);
    return call;
}

static void perform(int thread, const char *target) {
    hysock_call *call = make(thread, target);
    hysock_status status = hysock_call_perform(call, ERR);
    add(PERFORMED);
    check_end_of(call, status, target);
    hysock_call_free(call);
}

static void cancel_any(uint64_t random) {
    pthread_mutex_lock(&mutex);
    hysock_call *victim = newest[random % THREADS];
    pthread_mutex_unlock(&mutex);
    if (victim == NULL)
        return;
    hysock_status status = hysock_call_cancel(victim, ERR);
    if (status != HYSOCK_E_BAD_HANDLE)
        CHECK_OK(status);
}

static void start(int thread, const char *target, latch *ended, bool frees) {
    one *o = calloc(1, sizeof(*o));
    CHECK(o != NULL);
    strcpy(o->target, target);
    o->ended = ended;
    hysock_call *call = make(thread, target);
    hysock_status status = hysock_call_start(call, on_end, o, on_drop, ERR);
    if (status != HYSOCK_OK) {
        CHECK_STATUS(status, HYSOCK_E_CANCELLED); /* another thread was quicker */
        hysock_call_free(call);
        add(REFUSED);
        return;
    }
    add(STARTED);
    if (frees) {
        hysock_call_free(call);
        add(FREED);
    }
}

typedef struct worker {
    int number;
    int calls;
} worker;

static void *work(void *argument) {
    const worker *w = argument;
    uint64_t random = 88172645463325252u + (uint64_t)w->number * 7919;
    latch ended;
    long started = 0;
    latch_init(&ended);
    for (int i = 0; i < w->calls; i++) {
        char target[32];
        snprintf(target, sizeof(target), "/%d/%d", w->number, i);
        LATCH_AWAIT(&ended, started - IN_FLIGHT);
        uint64_t what = next_random(&random) % 8;
        if (what < 3) {
            perform(w->number, target);
        } else {
            start(w->number, target, &ended, what == 7);
            started++;
        }
        if (next_random(&random) % 4 == 0)
            cancel_any(next_random(&random));
    }
    LATCH_AWAIT(&ended, started);
    latch_free(&ended);
    return NULL;
}

int main(int argc, char **argv) {
    host h;
    worker workers[THREADS];
    pthread_t threads[THREADS];

    check_start();
    delivery = delivery_parse(argc, argv);
    int calls = check_rounds(delivery == POOL ? 100000 : 20000, 800) / THREADS;
    host_start(&h, delivery, echo, NULL);
    hysock_client_config *config = hysock_client_config_new();
    /* Fewer connections than calls in flight: some wait for one. */
    CHECK_OK(hysock_client_config_set_max_connections(config, 16));
    if (delivery == QUEUE)
        CHECK_OK(hysock_client_config_set_queue(config, h.queue));
    else
        CHECK_OK(hysock_client_config_set_delivery(
            config, delivery == POOL ? HYSOCK_DELIVERY_POOL : HYSOCK_DELIVERY_INLINE));
    CHECK_OK(hysock_client_new(h.runtime, h.path, HYSOCK_NTS, config, &client, ERR));
    hysock_client_config_free(config);
    for (int i = 0; i < THREADS; i++) {
        workers[i] = (worker){i, calls};
        threads[i] = thread_start(work, &workers[i]);
    }
    for (int i = 0; i < THREADS; i++)
        thread_join(threads[i]);

    CHECK_OK(hysock_client_shutdown(client, 1000, ERR));
    WAIT_OK(hysock_client_wait, client);
    hysock_client_free(client);
    host_stop(&h);

    long all = (long)THREADS * calls;
    CHECK_INT(sums[PERFORMED] + sums[STARTED] + sums[REFUSED], all);
    CHECK_INT(sums[DROPPED], all - sums[PERFORMED]);
    CHECK_INT(sums[ANSWERED] + sums[CANCELLED], sums[PERFORMED] + sums[COMPLETED]);
    CHECK(sums[COMPLETED] <= sums[STARTED] && sums[COMPLETED] >= sums[STARTED] - sums[FREED]);
    CHECK(sums[SERVED] >= sums[ANSWERED] && sums[SERVED] <= all);
    /* All of it has happened. */
    for (int i = 0; i < SUMS; i++)
        CHECK(sums[i] > 0 || i == REFUSED);
    return check_end();
}
