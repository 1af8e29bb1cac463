/* Starts, ends and cancels that meet on two threads. */
#include "host.h"

static latch drops;
static uint64_t chance = 0x9e3779b97f4a7c15u;

static void handler(hysock_exchange *exchange, void *userdata) {
    (void)userdata;
    answer_or_closed(exchange, "x", 1);
}

/* A moment of a random length: what follows meets the other thread at another place each time. */
static void moment(uint64_t most) {
    for (volatile uint64_t left = next_random(&chance) % most; left > 0; left--) {
    }
}

/* ---- start and end ---- */

typedef struct starting {
    hysock_server *server;
    pthread_barrier_t both;
    hysock_status status;
} starting;

static void *start(void *argument) {
    starting *s = argument;
    pthread_barrier_wait(&s->both);
    s->status = hysock_server_start(s->server, ERR);
    return NULL;
}

static void start_and_end(hysock_runtime *runtime, bool freed) {
    char path[108];
    starting s;
    temp_path(path, "start");
    CHECK_INT(pthread_barrier_init(&s.both, NULL, 2), 0);
    for (int i = 0; i < check_rounds(400, 30); i++) {
        long before = latch_count(&drops);
        CHECK_OK(hysock_server_new(runtime, NULL, &s.server, ERR));
        CHECK_OK(hysock_server_add_route(s.server, NULL, NULL, handler, &drops, count_drop, ERR));
        CHECK_OK(hysock_server_add_listener(s.server, path, HYSOCK_NTS, NULL, ERR));
        pthread_t thread = thread_start(start, &s);
        pthread_barrier_wait(&s.both);
        moment(4000);
        if (freed) {
            hysock_server_free(s.server);
        } else {
            CHECK_OK(hysock_server_shutdown(s.server, 0, ERR));
        }
        thread_join(thread);
        if (freed)
            CHECK(s.status == HYSOCK_OK || s.status == HYSOCK_E_BAD_HANDLE ||
                  s.status == HYSOCK_E_SHUT_DOWN);
        else
            CHECK(s.status == HYSOCK_OK || s.status == HYSOCK_E_SHUT_DOWN);
        if (!freed) {
            WAIT_OK(hysock_server_wait, s.server);
            CHECK_INT(latch_count(&drops), before + 1);
            hysock_server_free(s.server);
        }
        LATCH_AWAIT(&drops, before + 1);
        CHECK_INT(latch_count(&drops), before + 1);
        CHECK(access(path, F_OK) != 0);
    }
    pthread_barrier_destroy(&s.both);
}

/* ---- the same path again and again ---- */

/* The next one listens without a pause: whether the one before was shut down, freed or both. */
static void serve_again(hysock_runtime *runtime, bool shut_down, bool freed) {
    enum { ROUNDS = 100 };
    char path[108];
    hysock_server *servers[ROUNDS];
    long before = latch_count(&drops);
    int rounds = check_rounds(ROUNDS, 20);
    temp_path(path, "again");
    for (int i = 0; i < rounds; i++) {
        CHECK_OK(hysock_server_serve(runtime, path, HYSOCK_NTS, NULL, handler, &drops, count_drop,
                                     &servers[i], ERR));
        if (i % 4 == 0)
            CHECK_INT(raw_get(path, "/"), 200);
        if (shut_down) {
            CHECK_OK(hysock_server_shutdown(servers[i], i % 2 == 0 ? 0 : 5000, ERR));
            CHECK(access(path, F_OK) != 0);
        }
        if (freed)
            hysock_server_free(servers[i]);
    }
    for (int i = 0; !freed && i < rounds; i++) {
        WAIT_OK(hysock_server_wait, servers[i]);
        hysock_server_free(servers[i]);
    }
    LATCH_AWAIT(&drops, before + rounds);
    CHECK(access(path, F_OK) != 0);
}

/* ---- the one place of a client ---- */

static struct {
    latch arrived;
    hysock_exchange *exchange;
} held;

static void on_held(hysock_exchange *exchange, void *userdata) {
    (void)userdata;
    if (!hysock_str_equal(hysock_exchange_path(exchange), "/hold")) {
        answer_or_closed(exchange, "x", 1);
        return;
    }
    CHECK_OK(hysock_exchange_defer(exchange, ERR));
    held.exchange = exchange;
    latch_add(&held.arrived, 1);
}

typedef struct performing {
    hysock_call *call;
    hysock_status status;
    pthread_barrier_t *both;
    uint64_t spin;
} performing;

static void *perform(void *argument) {
    performing *p = argument;
    p->status = hysock_call_perform(p->call, ERR);
    return NULL;
}

static void *cancel(void *argument) {
    performing *p = argument;
    pthread_barrier_wait(p->both);
    for (volatile uint64_t left = p->spin; left > 0; left--) {
    }
    CHECK_OK(hysock_call_cancel(p->call, ERR));
    return NULL;
}

static performing new_performing(hysock_client *client, const char *target) {
    performing p;
    memset(&p, 0, sizeof(p));
    p.call = new_call(client, "GET", target);
    CHECK_OK(hysock_call_set_timeout(p.call, (uint32_t)check_ms(DEADLINE_MS)));
    return p;
}

/* A call that waits for the place is cancelled while the place becomes free: it is not lost. */
static void place_and_cancel(host *h, hysock_runtime *runtime) {
    hysock_client *client = NULL;
    pthread_barrier_t both;
    long cancelled = 0;
    CHECK_INT(pthread_barrier_init(&both, NULL, 2), 0);
    hysock_client_config *config = hysock_client_config_new();
    CHECK_OK(hysock_client_config_set_max_connections(config, 1));
    CHECK_OK(hysock_client_new(runtime, h->path, HYSOCK_NTS, config, &client, ERR));
    hysock_client_config_free(config);
    for (int i = 0; i < check_rounds(400, 25); i++) {
        long arrived = latch_count(&held.arrived);
        performing holds = new_performing(client, "/hold");
        performing waits = new_performing(client, "/");
        pthread_t holder = thread_start(perform, &holds);
        LATCH_AWAIT(&held.arrived, arrived + 1);
        pthread_t waiter = thread_start(perform, &waits);
        waits.both = &both;
        waits.spin = next_random(&chance) % 60000;
        pthread_t canceller = thread_start(cancel, &waits);
        pthread_barrier_wait(&both);
        moment(20000);
        answer_text(held.exchange, 200, "x");
        hysock_exchange_free(held.exchange);
        thread_join(canceller);
        thread_join(waiter);
        thread_join(holder);
        CHECK_STATUS(holds.status, HYSOCK_OK);
        CHECK(waits.status == HYSOCK_OK || waits.status == HYSOCK_E_CANCELLED);
        cancelled += waits.status == HYSOCK_E_CANCELLED;
        performing after = new_performing(client, "/");
        perform(&after);
        CHECK_STATUS(after.status, HYSOCK_OK);
        hysock_call_free(holds.call);
        hysock_call_free(waits.call);
        hysock_call_free(after.call);
    }
    CHECK(cancelled > 0);
    hysock_client_free(client);
    pthread_barrier_destroy(&both);
}

int main(void) {
    host h;
    check_start();
    latch_init(&drops);
    latch_init(&held.arrived);
    host_start(&h, POOL, on_held, NULL);
    start_and_end(h.runtime, false);
    start_and_end(h.runtime, true);
    serve_again(h.runtime, true, true);
    serve_again(h.runtime, true, false);
    serve_again(h.runtime, false, true);
    place_and_cancel(&h, h.runtime);
    place_and_cancel(&h, NULL);
    host_stop(&h);
    return check_end();
}
