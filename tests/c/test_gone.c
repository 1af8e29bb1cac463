/* Clients that leave: seen once, survived with SIGPIPE at its default; clients that only stop
 * sending are answered. Argument: the delivery. */
#include "host.h"

static enum delivery delivery;

#define GET_ROOT "GET / HTTP/1.1\r\nHost: x\r\n\r\n"

typedef struct kept {
    latch arrived;
    latch gone;
    latch drops;
    hysock_exchange *exchange;
    bool register_here;
} kept;

static void on_gone(hysock_exchange *exchange, void *userdata) {
    kept *k = userdata;
    CHECK(delivery_here(delivery));
    CHECK(exchange == k->exchange);
    CHECK_INT(latch_count(&k->drops), 0);
    latch_add(&k->gone, 1);
}

static void on_drop(void *userdata) {
    kept *k = userdata;
    latch_add(&k->drops, 1);
}

static void keep(hysock_exchange *exchange, void *userdata) {
    kept *k = userdata;
    CHECK_OK(hysock_exchange_defer(exchange, ERR));
    k->exchange = exchange;
    if (k->register_here)
        CHECK_OK(hysock_exchange_on_gone(exchange, on_gone, k, on_drop, ERR));
    latch_add(&k->arrived, 1);
}

static void kept_start(host *h, kept *k, raw *r, bool register_here) {
    memset(k, 0, sizeof(*k));
    latch_init(&k->arrived);
    latch_init(&k->gone);
    latch_init(&k->drops);
    k->register_here = register_here;
    host_start(h, delivery, keep, k);
    raw_open(r, h->path);
    raw_text(r, GET_ROOT);
    LATCH_AWAIT(&k->arrived, 1);
}

/* The client hangs up while its answer is being made. */
static void hangs_up(bool registered_late) {
    host h;
    kept k;
    raw r;
    kept_start(&h, &k, &r, !registered_late);
    raw_close(&r);
    if (registered_late) {
        /* A late answer is refused; then the registration finds that the client has left already.
         */
        int64_t end = now_ms() + check_ms(DEADLINE_MS);
        while (hysock_exchange_set_header(k.exchange, "a", "b", 1) == HYSOCK_OK)
            CHECK(now_ms() < end);
        CHECK_OK(hysock_exchange_on_gone(k.exchange, on_gone, &k, on_drop, ERR));
    }
    LATCH_AWAIT(&k.gone, 1);
    CHECK_STATUS(hysock_exchange_answer(k.exchange, 200, NULL, "x", 1, ERR), HYSOCK_E_CLOSED);
    CHECK_ERR(HYSOCK_E_CLOSED, "");
    CHECK(hysock_str_equal(hysock_exchange_method(k.exchange), "GET"));
    hysock_exchange_free(k.exchange);
    LATCH_AWAIT(&k.drops, 1);
    host_stop(&h);
    CHECK_INT(latch_count(&k.gone), 1);
    CHECK_INT(latch_count(&k.drops), 1);
}

/* Half-closed is not gone: the answer arrives, on_gone never runs. */
static void half_closed(void) {
    host h;
    kept k;
    raw r;
    kept_start(&h, &k, &r, true);
    CHECK(shutdown(r.fd, SHUT_WR) == 0);
    CHECK(!latch_reaches(&k.gone, 1, 100));
    answer_text(k.exchange, 200, "x");
    CHECK_INT(raw_status(&r), 200);
    CHECK(raw_closes(&r, check_ms(DEADLINE_MS)));
    raw_close(&r);
    hysock_exchange_free(k.exchange);
    LATCH_AWAIT(&k.drops, 1);
    host_stop(&h);
    CHECK_INT(latch_count(&k.gone), 0);
    CHECK_INT(latch_count(&k.drops), 1);
}

/* ---- many ---- */

static char large[512 * 1024]; /* more than a socket's buffers hold */
static latch handled;

static void on_large(hysock_exchange *exchange, void *userdata) {
    (void)userdata;
    latch_add(&handled, 1);
    answer_or_closed(exchange, large, sizeof(large));
}

typedef struct many {
    const char *path;
    const char *request;
    int count;
    latch answers;
} many;

static void *leave_halfway(void *argument) {
    many *m = argument;
    for (int i = 0; i < m->count; i++) {
        raw r;
        char some[512];
        raw_open(&r, m->path);
        raw_text(&r, GET_ROOT);
        /* A piece of the answer, never the whole; some leave with bytes unread. */
        CHECK(raw_poll(r.fd, POLLIN, check_ms(DEADLINE_MS)) != 0);
        if (i % 2 == 0)
            CHECK(recv(r.fd, some, sizeof(some), MSG_DONTWAIT) > 0);
        raw_close(&r);
    }
    return NULL;
}

static void hang_up_mid_answer(void) {
    host h;
    many m;
    pthread_t threads[4];
    struct sigaction action;
    CHECK(sigaction(SIGPIPE, NULL, &action) == 0);
    CHECK(action.sa_handler == SIG_DFL);
    latch_init(&handled);
    m.count = check_rounds(2500, 25);
    host_start(&h, delivery, on_large, NULL);
    m.path = h.path;
    for (int i = 0; i < 4; i++)
        threads[i] = thread_start(leave_halfway, &m);
    for (int i = 0; i < 4; i++)
        thread_join(threads[i]);
    /* The host lives, and serves. */
    raw r;
    answer a;
    raw_open(&r, h.path);
    raw_text(&r, GET_ROOT);
    CHECK_INT(raw_answer(&r, &a, false), 200);
    CHECK_INT(a.body_len, sizeof(large));
    answer_free(&a);
    raw_close(&r);
    CHECK_INT(latch_count(&handled), 4 * m.count + 1);
    host_stop(&h);
}

/* Threads that take 20 ms for an answer. */
#define SLOW_MAX 1024
static struct {
    pthread_mutex_t mutex;
    hysock_exchange *exchanges[SLOW_MAX];
    long put;
    long taken;
    latch arrived;
} slow = {.mutex = PTHREAD_MUTEX_INITIALIZER};

static void *answer_slowly(void *argument) {
    const long total = *(long *)argument;
    for (;;) {
        pthread_mutex_lock(&slow.mutex);
        long mine = ++slow.taken;
        pthread_mutex_unlock(&slow.mutex);
        if (mine > total)
            return NULL;
        LATCH_AWAIT(&slow.arrived, mine);
        pthread_mutex_lock(&slow.mutex);
        hysock_exchange *exchange = slow.exchanges[mine - 1];
        pthread_mutex_unlock(&slow.mutex);
        take_ms(20);
        answer_text(exchange, 200, "slow");
        hysock_exchange_free(exchange);
    }
}

static void on_either(hysock_exchange *exchange, void *userdata) {
    (void)userdata;
    if (!hysock_str_equal(hysock_exchange_path(exchange), "/slow")) {
        answer_text(exchange, 200, "quick");
        return;
    }
    CHECK_OK(hysock_exchange_defer(exchange, ERR));
    pthread_mutex_lock(&slow.mutex);
    CHECK(slow.put < SLOW_MAX);
    slow.exchanges[slow.put++] = exchange;
    pthread_mutex_unlock(&slow.mutex);
    latch_add(&slow.arrived, 1);
}

static void *half_close(void *argument) {
    many *m = argument;
    for (int i = 0; i < m->count; i++) {
        raw r;
        raw_open(&r, m->path);
        raw_text(&r, m->request);
        CHECK(shutdown(r.fd, SHUT_WR) == 0);
        CHECK_INT(raw_status(&r), 200);
        CHECK(raw_closes(&r, check_ms(DEADLINE_MS)));
        CHECK(!r.reset);
        raw_close(&r);
        latch_add(&m->answers, 1);
    }
    return NULL;
}

static void half_close_many(void) {
    host h;
    many quick, late;
    pthread_t workers[8], clients[20];
    latch_init(&slow.arrived);
    host_start(&h, delivery, on_either, NULL);
    quick.path = late.path = h.path;
    quick.request = GET_ROOT;
    late.request = "GET /slow HTTP/1.1\r\nHost: x\r\n\r\n";
    quick.count = late.count = check_rounds(50, 5);
    latch_init(&quick.answers);
    latch_init(&late.answers);
    long total = 10L * late.count;
    for (int i = 0; i < 8; i++)
        workers[i] = thread_start(answer_slowly, &total);
    for (int i = 0; i < 20; i++)
        clients[i] = thread_start(half_close, i % 2 == 0 ? &quick : &late);
    for (int i = 0; i < 20; i++)
        thread_join(clients[i]);
    for (int i = 0; i < 8; i++)
        thread_join(workers[i]);
    CHECK_INT(latch_count(&quick.answers) + latch_count(&late.answers), 2 * total);
    host_stop(&h);
}

/* A client that sends and closes at once: its request is handed over all the same, once. */
#define POSTED 300
static latch posted[POSTED];

static void on_posted(hysock_exchange *exchange, void *userdata) {
    latch *all = userdata;
    char number[16];
    hysock_str_copy(hysock_exchange_body(exchange), number, sizeof(number));
    int index = atoi(number);
    CHECK(index >= 0 && index < POSTED);
    latch_add(&posted[index], 1);
    answer_or_closed(exchange, "x", 1);
    latch_add(all, 1);
}

static void fire_and_forget(void) {
    host h;
    latch all;
    int count = check_rounds(POSTED, 30);
    latch_init(&all);
    host_start(&h, delivery, on_posted, &all);
    for (int i = 0; i < count; i++) {
        raw r;
        char request[128];
        latch_init(&posted[i]);
        snprintf(request, sizeof(request),
                 "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\n%03d", i);
        raw_open(&r, h.path);
        raw_text(&r, request);
        raw_close(&r);
    }
    LATCH_AWAIT(&all, count);
    host_stop(&h);
    for (int i = 0; i < count; i++)
        CHECK_INT(latch_count(&posted[i]), 1);
}

int main(int argc, char **argv) {
    check_start();
    delivery = delivery_parse(argc, argv);
    hangs_up(false);
    hangs_up(true);
    half_closed();
    hang_up_mid_answer();
    half_close_many();
    fire_and_forget();
    return check_end();
}
