/* Stale, freed, foreign and wrong-kind handles are error codes from any function and any thread. */
#include "host.h"

/* What a function may give for a handle that is none of its own. */
enum result { STATUS, NOTHING, EMPTY };

typedef struct function {
    const char *name;
    int32_t kind;
    enum result result;
    hysock_status (*run)(void *handle);
} function;

static void ignore_exchange(hysock_exchange *exchange, void *userdata) {
    (void)exchange;
    (void)userdata;
}

static void ignore_call(hysock_call *call, hysock_status status, void *userdata) {
    (void)call;
    (void)status;
    (void)userdata;
}

static void ignore_closed(hysock_server *server, hysock_status reason, uint64_t n, void *userdata) {
    (void)server;
    (void)reason;
    (void)n;
    (void)userdata;
}

static void ignore_log(int32_t level, hysock_str line, void *userdata) {
    (void)level;
    (void)line;
    (void)userdata;
}

/* Getters: 0 for empty; anything else fails the check. */
static hysock_status none(hysock_str s) { return s.ptr == NULL && s.len == 0 ? 0 : 1; }
static hysock_status nothing(int32_t count) { return count <= 0 ? 0 : 1; }

#define FN(name, type, expression)                                                                 \
    static hysock_status name(void *handle) {                                                      \
        type *h = handle;                                                                          \
        return expression;                                                                         \
    }
#define FREE(name, type)                                                                           \
    static hysock_status name(void *handle) {                                                      \
        type##_free(handle);                                                                       \
        return 0;                                                                                  \
    }

FN(rc_io, hysock_runtime_config, hysock_runtime_config_set_io_threads(h, 1))
FN(rc_cb, hysock_runtime_config, hysock_runtime_config_set_callback_threads(h, 1))
FN(rc_stack, hysock_runtime_config, hysock_runtime_config_set_stack_size(h, 1 << 20))
FN(rc_name, hysock_runtime_config, hysock_runtime_config_set_thread_name(h, "x"))
FN(rc_hooks, hysock_runtime_config,
   hysock_runtime_config_set_thread_hooks(h, NULL, NULL, NULL, NULL))
FREE(rc_free, hysock_runtime_config)
static hysock_status rc_new(void *handle) {
    hysock_runtime *runtime;
    return hysock_runtime_new(handle, &runtime, ERR);
}
FN(rt_log, hysock_runtime, hysock_runtime_on_log(h, 1, NULL, ignore_log, NULL, NULL, ERR))
FN(rt_shutdown, hysock_runtime, hysock_runtime_shutdown(h, 0, ERR))
FN(rt_wait, hysock_runtime, hysock_runtime_wait(h, 0, ERR))
FREE(rt_free, hysock_runtime)
static hysock_status rt_queue(void *handle) {
    hysock_queue *queue;
    return hysock_queue_new(handle, &queue, ERR);
}
static hysock_status rt_server(void *handle) {
    hysock_server *server;
    return hysock_server_new(handle, NULL, &server, ERR);
}
static hysock_status rt_serve(void *handle) {
    hysock_server *server;
    char path[108];
    return hysock_server_serve(handle, temp_path(path, "none"), HYSOCK_NTS, NULL, ignore_exchange,
                               NULL, NULL, &server, ERR);
}
FN(q_fd, hysock_queue, hysock_queue_fd(h))
FN(q_dispatch, hysock_queue, hysock_queue_dispatch(h, 1, 0))
FN(q_wake, hysock_queue, hysock_queue_wake(h))
FREE(q_free, hysock_queue)
FN(lc_mode, hysock_listener_config, hysock_listener_config_set_mode(h, 0600))
FN(lc_backlog, hysock_listener_config, hysock_listener_config_set_backlog(h, 1))
FN(lc_stale, hysock_listener_config, hysock_listener_config_set_stale(h, HYSOCK_STALE_REFUSE))
FREE(lc_free, hysock_listener_config)
FN(sc_delivery, hysock_server_config, hysock_server_config_set_delivery(h, HYSOCK_DELIVERY_POOL))
FN(sc_queue, hysock_server_config, hysock_server_config_set_queue(h, handle))
FN(sc_body, hysock_server_config, hysock_server_config_set_max_body(h, 1))
FN(sc_head, hysock_server_config, hysock_server_config_set_max_head(h, 65536))
FN(sc_conns, hysock_server_config, hysock_server_config_set_max_connections(h, 1))
FN(sc_reqs, hysock_server_config, hysock_server_config_set_max_requests(h, 1))
FN(sc_headt, hysock_server_config, hysock_server_config_set_head_timeout(h, 1))
FN(sc_idle, hysock_server_config, hysock_server_config_set_idle_timeout(h, 1))
FN(sc_drain, hysock_server_config, hysock_server_config_set_drain(h, 1))
FN(sc_host, hysock_server_config, hysock_server_config_set_strict_host(h, true))
FREE(sc_free, hysock_server_config)
FN(s_route, hysock_server, hysock_server_add_route(h, "GET", "/", ignore_exchange, NULL, NULL, ERR))
static hysock_status s_listen(void *handle) {
    char path[108];
    return hysock_server_add_listener(handle, temp_path(path, "none"), HYSOCK_NTS, NULL, ERR);
}
FN(s_start, hysock_server, hysock_server_start(h, ERR))
FN(s_closed, hysock_server, hysock_server_on_closed(h, ignore_closed, NULL, NULL, ERR))
FN(s_shutdown, hysock_server, hysock_server_shutdown(h, 0, ERR))
FN(s_signal, hysock_server, hysock_server_shutdown_signal(h))
FN(s_wait, hysock_server, hysock_server_wait(h, 0, ERR))
FREE(s_free, hysock_server)
FN(x_method, hysock_exchange, none(hysock_exchange_method(h)))
FN(x_target, hysock_exchange, none(hysock_exchange_target(h)))
FN(x_path, hysock_exchange, none(hysock_exchange_path(h)))
FN(x_query, hysock_exchange, none(hysock_exchange_query(h)))
FN(x_version, hysock_exchange, nothing(hysock_exchange_version(h)))
FN(x_header, hysock_exchange, none(hysock_exchange_header(h, "host")))
FN(x_count, hysock_exchange, nothing(hysock_exchange_header_count(h)))
FN(x_body, hysock_exchange, none(hysock_exchange_body(h)))
static hysock_status x_at(void *handle) {
    hysock_str name, value;
    return hysock_exchange_header_at(handle, 0, &name, &value);
}
FN(x_set, hysock_exchange, hysock_exchange_set_header(h, "a", "b", 1))
FN(x_add, hysock_exchange, hysock_exchange_add_header(h, "a", "b", 1))
FN(x_answer, hysock_exchange, hysock_exchange_answer(h, 200, NULL, "x", 1, ERR))
FN(x_defer, hysock_exchange, hysock_exchange_defer(h, ERR))
FN(x_gone, hysock_exchange, hysock_exchange_on_gone(h, ignore_exchange, NULL, NULL, ERR))
FREE(x_free, hysock_exchange)
FN(cc_delivery, hysock_client_config, hysock_client_config_set_delivery(h, HYSOCK_DELIVERY_POOL))
FN(cc_body, hysock_client_config, hysock_client_config_set_max_body(h, 1))
FN(cc_connect, hysock_client_config, hysock_client_config_set_connect_timeout(h, 1))
FN(cc_timeout, hysock_client_config, hysock_client_config_set_timeout(h, 1))
FN(cc_conns, hysock_client_config, hysock_client_config_set_max_connections(h, 1))
FN(cc_idle, hysock_client_config, hysock_client_config_set_max_idle(h, 1))
FN(cc_age, hysock_client_config, hysock_client_config_set_idle_age(h, 1))
FREE(cc_free, hysock_client_config)
FN(c_shutdown, hysock_client, hysock_client_shutdown(h, 0, ERR))
FN(c_wait, hysock_client, hysock_client_wait(h, 0, ERR))
FREE(c_free, hysock_client)
static hysock_status c_call(void *handle) {
    hysock_call *call;
    return hysock_call_new(handle, "GET", "/", HYSOCK_NTS, &call, ERR);
}
FN(k_set, hysock_call, hysock_call_set_header(h, "a", "b", 1))
FN(k_add, hysock_call, hysock_call_add_header(h, "a", "b", 1))
FN(k_setbody, hysock_call, hysock_call_set_body(h, NULL, "x", 1))
FN(k_timeout, hysock_call, hysock_call_set_timeout(h, 1))
FN(k_perform, hysock_call, hysock_call_perform(h, ERR))
FN(k_start, hysock_call, hysock_call_start(h, ignore_call, NULL, NULL, ERR))
FN(k_cancel, hysock_call, hysock_call_cancel(h, ERR))
FN(k_error, hysock_call, hysock_call_error(h, ERR))
FN(k_http, hysock_call, nothing(hysock_call_http_status(h)))
FN(k_version, hysock_call, nothing(hysock_call_version(h)))
FN(k_header, hysock_call, none(hysock_call_header(h, "host")))
FN(k_count, hysock_call, nothing(hysock_call_header_count(h)))
FN(k_body, hysock_call, none(hysock_call_body(h)))
static hysock_status k_at(void *handle) {
    hysock_str name, value;
    return hysock_call_header_at(handle, 0, &name, &value);
}
FREE(k_free, hysock_call)

#define S(fn, kind)                                                                                \
    { #fn, HYSOCK_KIND_##kind, STATUS, fn }
#define E(fn, kind)                                                                                \
    { #fn, HYSOCK_KIND_##kind, EMPTY, fn }
#define N(fn, kind)                                                                                \
    { #fn, HYSOCK_KIND_##kind, NOTHING, fn }

static const function functions[] = {
    S(rc_io, RUNTIME_CONFIG),
    S(rc_cb, RUNTIME_CONFIG),
    S(rc_stack, RUNTIME_CONFIG),
    S(rc_name, RUNTIME_CONFIG),
    S(rc_hooks, RUNTIME_CONFIG),
    N(rc_free, RUNTIME_CONFIG),
    S(rt_log, RUNTIME),
    S(rt_shutdown, RUNTIME),
    S(rt_wait, RUNTIME),
    N(rt_free, RUNTIME),
    S(rt_queue, RUNTIME),
    S(rt_server, RUNTIME),
    S(rt_serve, RUNTIME),
    S(q_fd, QUEUE),
    S(q_dispatch, QUEUE),
    S(q_wake, QUEUE),
    N(q_free, QUEUE),
    S(lc_mode, LISTENER_CONFIG),
    S(lc_backlog, LISTENER_CONFIG),
    S(lc_stale, LISTENER_CONFIG),
    N(lc_free, LISTENER_CONFIG),
    S(sc_delivery, SERVER_CONFIG),
    S(sc_queue, SERVER_CONFIG),
    S(sc_body, SERVER_CONFIG),
    S(sc_head, SERVER_CONFIG),
    S(sc_conns, SERVER_CONFIG),
    S(sc_reqs, SERVER_CONFIG),
    S(sc_headt, SERVER_CONFIG),
    S(sc_idle, SERVER_CONFIG),
    S(sc_drain, SERVER_CONFIG),
    S(sc_host, SERVER_CONFIG),
    N(sc_free, SERVER_CONFIG),
    S(s_route, SERVER),
    S(s_listen, SERVER),
    S(s_start, SERVER),
    S(s_closed, SERVER),
    S(s_shutdown, SERVER),
    S(s_signal, SERVER),
    S(s_wait, SERVER),
    N(s_free, SERVER),
    E(x_method, EXCHANGE),
    E(x_target, EXCHANGE),
    E(x_path, EXCHANGE),
    E(x_query, EXCHANGE),
    E(x_version, EXCHANGE),
    E(x_header, EXCHANGE),
    E(x_count, EXCHANGE),
    E(x_body, EXCHANGE),
    S(x_at, EXCHANGE),
    S(x_set, EXCHANGE),
    S(x_add, EXCHANGE),
    S(x_answer, EXCHANGE),
    S(x_defer, EXCHANGE),
    S(x_gone, EXCHANGE),
    N(x_free, EXCHANGE),
    S(cc_delivery, CLIENT_CONFIG),
    S(cc_body, CLIENT_CONFIG),
    S(cc_connect, CLIENT_CONFIG),
    S(cc_timeout, CLIENT_CONFIG),
    S(cc_conns, CLIENT_CONFIG),
    S(cc_idle, CLIENT_CONFIG),
    S(cc_age, CLIENT_CONFIG),
    N(cc_free, CLIENT_CONFIG),
    S(c_shutdown, CLIENT),
    S(c_wait, CLIENT),
    N(c_free, CLIENT),
    S(c_call, CLIENT),
    S(k_set, CALL),
    S(k_add, CALL),
    S(k_setbody, CALL),
    S(k_timeout, CALL),
    S(k_perform, CALL),
    S(k_start, CALL),
    S(k_cancel, CALL),
    S(k_error, CALL),
    E(k_http, CALL),
    E(k_version, CALL),
    E(k_header, CALL),
    E(k_count, CALL),
    E(k_body, CALL),
    S(k_at, CALL),
    N(k_free, CALL),
    S(rc_new, RUNTIME_CONFIG),
};
#define FUNCTIONS (sizeof(functions) / sizeof(functions[0]))

/* One of each kind, alive during the whole test, and what was freed. */
static void *live[HYSOCK_KIND_CALL + 1];
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
        hysock_runtime_config_new(),
        hysock_listener_config_new(),
        hysock_server_config_new(),
        hysock_client_config_new(),
    };
    hysock_queue *queue;
    hysock_server *server;
    CHECK_OK(hysock_queue_new(h->runtime, &queue, ERR));
    CHECK_OK(hysock_server_new(h->runtime, NULL, &server, ERR));
    hysock_client *client = host_client(h);
    hysock_call *call = new_call(client, "GET", "/");
    if (keep) {
        live[HYSOCK_KIND_RUNTIME_CONFIG] = made[0];
        live[HYSOCK_KIND_LISTENER_CONFIG] = made[1];
        live[HYSOCK_KIND_SERVER_CONFIG] = made[2];
        live[HYSOCK_KIND_CLIENT_CONFIG] = made[3];
        live[HYSOCK_KIND_RUNTIME] = h->runtime;
        live[HYSOCK_KIND_QUEUE] = queue;
        live[HYSOCK_KIND_SERVER] = server;
        live[HYSOCK_KIND_CLIENT] = client;
        live[HYSOCK_KIND_CALL] = call;
        return;
    }
    hysock_runtime_config_free(made[0]);
    hysock_listener_config_free(made[1]);
    hysock_server_config_free(made[2]);
    hysock_client_config_free(made[3]);
    hysock_queue_free(queue);
    hysock_server_free(server);
    hysock_call_free(call);
    hysock_client_free(client);
    void *gone[] = {made[0], made[1], made[2], made[3], queue, server, call, client};
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
            int32_t kind = 1 + (int32_t)(next_random(&state) % HYSOCK_KIND_CALL);
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
    for (int32_t kind = 1; kind <= HYSOCK_KIND_CALL; kind++) {
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
        for (int32_t kind = 1; kind <= HYSOCK_KIND_CALL; kind++)
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
