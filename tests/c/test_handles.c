/* Stale, freed, foreign and wrong-kind handles are error codes from any function and any thread. */
#include "functions.h"

/* One of each kind, alive during the whole test, and what was freed. */
static void *live[LAST_KIND + 1];
static void *freed[64];
static size_t freed_count;
static latch drops;
static hysock_exchange *lent;

/* The path "/defer" keeps the exchange; anything else leaves a stale one behind. */
static void handler(hysock_exchange *exchange, void *userdata) {
    latch *seen = userdata;
    if (hysock_str_equal(hysock_exchange_path(exchange), "/defer")) {
        CHECK_OK(hysock_exchange_defer(exchange, ERR));
        live[HYSOCK_KIND_EXCHANGE] = exchange;
    } else {
        answer_text(exchange, 200, "x");
        lent = exchange;
    }
    latch_add(seen, 1);
}

static void make(host *h, bool keep) {
    void *made[] = {
        hysock_runtime_config_new(), hysock_listener_config_new(), hysock_server_config_new(),
        hysock_client_config_new(),  hysock_receiver_config_new(), hysock_producer_config_new(),
    };
    hysock_queue *queue;
    hysock_receiver *receiver;
    hysock_producer *producer;
    hysock_batch *batch;
    char path[108];
    hysock_server *server;
    CHECK_OK(hysock_queue_new(h->runtime, &queue, ERR));
    CHECK_OK(hysock_server_new(h->runtime, NULL, &server, ERR));
    hysock_client *client = host_client(h);
    hysock_call *call = new_call(client, "GET", "/");
    hysock_timer *timer;
    CHECK_OK(
        hysock_runtime_after(h->runtime, 3600000, NULL, ignore_timer, NULL, NULL, &timer, ERR));
    temp_path(path, "messages");
    CHECK_OK(hysock_receiver_serve(h->runtime, path, HYSOCK_NTS, NULL, NULL, NULL, NULL, &receiver,
                                   ERR));
    CHECK_OK(hysock_producer_new(h->runtime, path, HYSOCK_NTS, NULL, &producer, ERR));
    CHECK_OK(hysock_producer_send(producer, "x", 1, HYSOCK_FOREVER, ERR));
    CHECK_OK(hysock_receiver_recv(receiver, 1, (uint32_t)check_ms(DEADLINE_MS), &batch, ERR));
    if (keep) {
        live[HYSOCK_KIND_RECEIVER_CONFIG] = made[4];
        live[HYSOCK_KIND_PRODUCER_CONFIG] = made[5];
        live[HYSOCK_KIND_RECEIVER] = receiver;
        live[HYSOCK_KIND_PRODUCER] = producer;
        live[HYSOCK_KIND_BATCH] = batch;
        live[HYSOCK_KIND_RUNTIME_CONFIG] = made[0];
        live[HYSOCK_KIND_LISTENER_CONFIG] = made[1];
        live[HYSOCK_KIND_SERVER_CONFIG] = made[2];
        live[HYSOCK_KIND_CLIENT_CONFIG] = made[3];
        live[HYSOCK_KIND_RUNTIME] = h->runtime;
        live[HYSOCK_KIND_QUEUE] = queue;
        live[HYSOCK_KIND_SERVER] = server;
        live[HYSOCK_KIND_CLIENT] = client;
        live[HYSOCK_KIND_CALL] = call;
        live[HYSOCK_KIND_TIMER] = timer;
        return;
    }
    hysock_runtime_config_free(made[0]);
    hysock_listener_config_free(made[1]);
    hysock_server_config_free(made[2]);
    hysock_client_config_free(made[3]);
    hysock_receiver_config_free(made[4]);
    hysock_producer_config_free(made[5]);
    hysock_batch_free(batch);
    hysock_producer_free(producer);
    CHECK_OK(hysock_receiver_shutdown(receiver, 0, ERR));
    WAIT_OK(hysock_receiver_wait, receiver);
    hysock_receiver_free(receiver);
    hysock_queue_free(queue);
    hysock_server_free(server);
    hysock_call_free(call);
    hysock_client_free(client);
    hysock_timer_free(timer);
    void *gone[] = {made[0], made[1], made[2], made[3], made[4], made[5],  queue,
                    server,  call,    client,  timer,   batch,   producer, receiver};
    memcpy(&freed[freed_count], gone, sizeof(gone));
    freed_count += sizeof(gone) / sizeof(gone[0]);
}

/* Every function on `handle`, which is of no kind that it takes. */
static void expect(const function *f, void *handle, hysock_status expected) {
    hysock_status got = f->run(handle);
    if (f->result != STATUS)
        expected = 0;
    if (got != expected)
        dprintf(check_fd, "%s(%p)\n", f->name, handle);
    CHECK_STATUS(got, expected);
}

static void *storm(void *argument) {
    uint64_t state = (uint64_t)(uintptr_t)argument * 0x9E3779B97F4A7C15u + 1;
    int rounds = check_rounds(25000, 1500);
    for (int i = 0; i < rounds; i++) {
        const function *f = &functions[next_random(&state) % FUNCTIONS];
        void *handle = NULL;
        switch (next_random(&state) % 4) {
        case 0:
            break;
        case 1:
            handle = freed[next_random(&state) % freed_count];
            break;
        case 2: {
            int32_t kind = 1 + (int32_t)(next_random(&state) % LAST_KIND);
            handle = kind == f->kind ? NULL : live[kind];
            break;
        }
        default:
            handle = (void *)(uintptr_t)next_random(&state);
        }
        expect(f, handle, handle == NULL ? HYSOCK_E_INVALID_ARGUMENT : HYSOCK_E_BAD_HANDLE);
    }
    return NULL;
}

/* The second handle of a call is checked like the first. */
static void second_argument(host *h) {
    hysock_server *server = NULL;
    hysock_client *client = NULL;
    hysock_runtime *runtime = NULL;
    char path[108];
    temp_path(path, "none");
    for (size_t i = 0; i < freed_count; i++) {
        void *bad = freed[i];
        CHECK_STATUS(hysock_server_serve(h->runtime, path, HYSOCK_NTS, bad, ignore_exchange, &drops,
                                         count_drop, &server, ERR),
                     HYSOCK_E_BAD_HANDLE);
        CHECK_INT(latch_count(&drops), (long)(2 * i + 1));
        CHECK_STATUS(hysock_runtime_on_log(h->runtime, HYSOCK_LOG_INFO, bad, ignore_log, &drops,
                                           count_drop, ERR),
                     HYSOCK_E_BAD_HANDLE);
        CHECK_INT(latch_count(&drops), (long)(2 * i + 2));
        CHECK_STATUS(hysock_runtime_after(h->runtime, 0, bad, ignore_timer, NULL, NULL, NULL, ERR),
                     HYSOCK_E_BAD_HANDLE);
        CHECK_STATUS(hysock_runtime_new(bad, &runtime, ERR), HYSOCK_E_BAD_HANDLE);
        CHECK_STATUS(hysock_server_new(h->runtime, bad, &server, ERR), HYSOCK_E_BAD_HANDLE);
        CHECK_STATUS(hysock_client_new(h->runtime, path, HYSOCK_NTS, bad, &client, ERR),
                     HYSOCK_E_BAD_HANDLE);
        CHECK_STATUS(hysock_client_new(bad, path, HYSOCK_NTS, NULL, &client, ERR),
                     HYSOCK_E_BAD_HANDLE);
        CHECK_STATUS(
            hysock_server_add_listener(live[HYSOCK_KIND_SERVER], path, HYSOCK_NTS, bad, ERR),
            HYSOCK_E_BAD_HANDLE);
        hysock_server_config *sc = hysock_server_config_new();
        CHECK_STATUS(hysock_server_config_set_queue(sc, bad), HYSOCK_E_BAD_HANDLE);
        hysock_server_config_free(sc);
        hysock_client_config *cc = hysock_client_config_new();
        CHECK_STATUS(hysock_client_config_set_queue(cc, bad), HYSOCK_E_BAD_HANDLE);
        hysock_client_config_free(cc);
        hysock_receiver *receiver;
        CHECK_STATUS(hysock_receiver_serve(h->runtime, path, HYSOCK_NTS, bad, ignore_batch, NULL,
                                           NULL, &receiver, ERR),
                     HYSOCK_E_BAD_HANDLE);
        CHECK_STATUS(hysock_receiver_new(h->runtime, bad, &receiver, ERR), HYSOCK_E_BAD_HANDLE);
        CHECK_STATUS(
            hysock_receiver_add_listener(live[HYSOCK_KIND_RECEIVER], path, HYSOCK_NTS, bad, ERR),
            HYSOCK_E_BAD_HANDLE);
        hysock_producer *producer;
        CHECK_STATUS(hysock_producer_new(h->runtime, path, HYSOCK_NTS, bad, &producer, ERR),
                     HYSOCK_E_BAD_HANDLE);
        hysock_receiver_config *rv = hysock_receiver_config_new();
        CHECK_STATUS(hysock_receiver_config_set_queue(rv, bad), HYSOCK_E_BAD_HANDLE);
        hysock_receiver_config_free(rv);
        hysock_call *call = new_call(live[HYSOCK_KIND_CLIENT], "GET", "/");
        CHECK_STATUS(hysock_call_set_parent(call, bad), HYSOCK_E_BAD_HANDLE);
        hysock_call_free(call);
    }
    CHECK(access(path, F_OK) != 0);
}

/* A freed token stays bad when its slot is used again and again. */
static void reuse(void) {
    hysock_listener_config *old = hysock_listener_config_new();
    hysock_listener_config_free(old);
    for (int i = 0; i < check_rounds(200000, 20000); i++) {
        hysock_listener_config *config = hysock_listener_config_new();
        CHECK(config != old);
        hysock_listener_config_free(config);
    }
    CHECK_STATUS(hysock_listener_config_set_mode(old, 0600), HYSOCK_E_BAD_HANDLE);
    hysock_listener_config_free(old);
    CHECK_INT(hysock_handles_live(HYSOCK_KIND_LISTENER_CONFIG), 1);
}

/* A token is no address of this process and none that a debugger could take for one. */
static void tokens(void) {
    for (int32_t kind = 1; kind <= LAST_KIND; kind++) {
        uint64_t bits = (uint64_t)(uintptr_t)live[kind];
        CHECK(bits >> 63 & 1 && bits >> 55 & 1);
        CHECK(!(bits >> 56 & 1) && !(bits >> 47 & 1));
    }
}

int main(void) {
    host h;
    raw deferred;
    latch seen;
    pthread_t threads[4];
    check_start();
    latch_init(&drops);
    latch_init(&seen);
    host_start(&h, POOL, handler, &seen);
    for (int i = 0; i < 4; i++)
        make(&h, false);
    make(&h, true);
    raw_open(&deferred, h.path);
    raw_text(&deferred, "GET /defer HTTP/1.1\r\nHost: x\r\n\r\n");
    LATCH_AWAIT(&seen, 1);
    CHECK_INT(raw_get(h.path, "/"), 200);
    LATCH_AWAIT(&seen, 2);
    /* An exchange that was only lent ends with its callback, soon after the answer. */
    for (int64_t end = now_ms() + check_ms(DEADLINE_MS); hysock_exchange_version(lent) != 0;)
        CHECK(now_ms() < end);
    freed[freed_count++] = lent;

    tokens();
    for (size_t i = 0; i < FUNCTIONS; i++) {
        for (size_t j = 0; j < freed_count; j++)
            expect(&functions[i], freed[j], HYSOCK_E_BAD_HANDLE);
        for (int32_t kind = 1; kind <= LAST_KIND; kind++)
            if (kind != functions[i].kind)
                expect(&functions[i], live[kind], HYSOCK_E_BAD_HANDLE);
        expect(&functions[i], &h, HYSOCK_E_BAD_HANDLE); /* an address */
        expect(&functions[i], (void *)(uintptr_t)1, HYSOCK_E_BAD_HANDLE);
        expect(&functions[i], (void *)UINTPTR_MAX, HYSOCK_E_BAD_HANDLE);
    }
    second_argument(&h);
    reuse();
    for (uintptr_t i = 0; i < 4; i++)
        threads[i] = thread_start(storm, (void *)i);
    for (int i = 0; i < 4; i++)
        thread_join(threads[i]);

    /* Nothing alive was harmed: the kept handles work, and their number is right. */
    CHECK_INT(hysock_handles_live(HYSOCK_KIND_EXCHANGE), 1);
    CHECK_INT(hysock_handles_live(HYSOCK_KIND_RUNTIME), 1);
    CHECK_INT(hysock_handles_live(HYSOCK_KIND_SERVER), 2);
    CHECK_OK(hysock_exchange_answer(live[HYSOCK_KIND_EXCHANGE], 200, NULL, "x", 1, ERR));
    hysock_exchange_free(live[HYSOCK_KIND_EXCHANGE]);
    CHECK_INT(raw_status(&deferred), 200);
    raw_close(&deferred);
    CHECK_OK(hysock_call_perform(live[HYSOCK_KIND_CALL], ERR));
    hysock_call_free(live[HYSOCK_KIND_CALL]);
    hysock_timer_free(live[HYSOCK_KIND_TIMER]);
    size_t count;
    CHECK(memcmp(hysock_batch_messages(live[HYSOCK_KIND_BATCH], &count)->data, "x", 1) == 0);
    CHECK_INT(count, 1);
    hysock_batch_free(live[HYSOCK_KIND_BATCH]);
    hysock_producer_report report;
    CHECK_OK(hysock_producer_shutdown(live[HYSOCK_KIND_PRODUCER], HYSOCK_FOREVER, &report,
                                      sizeof(report), ERR));
    CHECK_INT(report.delivered, 1);
    hysock_producer_free(live[HYSOCK_KIND_PRODUCER]);
    hysock_receiver_free(live[HYSOCK_KIND_RECEIVER]);
    hysock_receiver_config_free(live[HYSOCK_KIND_RECEIVER_CONFIG]);
    hysock_producer_config_free(live[HYSOCK_KIND_PRODUCER_CONFIG]);
    hysock_client_free(live[HYSOCK_KIND_CLIENT]);
    hysock_server_free(live[HYSOCK_KIND_SERVER]);
    hysock_queue_free(live[HYSOCK_KIND_QUEUE]);
    hysock_client_config_free(live[HYSOCK_KIND_CLIENT_CONFIG]);
    hysock_server_config_free(live[HYSOCK_KIND_SERVER_CONFIG]);
    hysock_listener_config_free(live[HYSOCK_KIND_LISTENER_CONFIG]);
    hysock_runtime_config_free(live[HYSOCK_KIND_RUNTIME_CONFIG]);
    host_stop(&h);
    return check_end();
}
