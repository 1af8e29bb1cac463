/* No function changes errno, whether it succeeds or fails, in the host's code or inside callbacks.
 */
#include "host.h"

#define SENTINEL 4711

/* Runs `call` with errno at the sentinel; it must be there still. */
#define KEEPS(call)                                                                                \
    do {                                                                                           \
        errno = SENTINEL;                                                                          \
        call;                                                                                      \
        CHECK_INT(errno, SENTINEL);                                                                \
    } while (0)
#define KEEPS_STATUS(call, expected)                                                               \
    do {                                                                                           \
        errno = SENTINEL;                                                                          \
        hysock_status status_ = (call);                                                            \
        int after_ = errno;                                                                        \
        CHECK_STATUS(status_, (expected));                                                         \
        CHECK_INT(after_, SENTINEL);                                                               \
    } while (0)
#define KEEPS_OK(call) KEEPS_STATUS(call, HYSOCK_OK)

static hysock_exchange *kept;
static latch arrived, done, drops;

static void on_gone(hysock_exchange *exchange, void *userdata) {
    (void)exchange;
    (void)userdata;
}

static void handler(hysock_exchange *exchange, void *userdata) {
    hysock_str text = {NULL, 0}, name;
    char copy[64];
    (void)userdata;
    KEEPS(text = hysock_exchange_method(exchange));
    KEEPS(text = hysock_exchange_target(exchange));
    KEEPS(text = hysock_exchange_query(exchange));
    KEEPS(text = hysock_exchange_path(exchange));
    KEEPS(hysock_str_copy(text, copy, sizeof(copy)));
    KEEPS(hysock_str_equal(text, "/keep"));
    KEEPS(hysock_exchange_version(exchange));
    hysock_peer peer;
    KEEPS_OK(hysock_exchange_peer(exchange, &peer, sizeof(peer), ERR));
    KEEPS(hysock_exchange_header_count(exchange));
    KEEPS_OK(hysock_exchange_header_at(exchange, 0, &name, &text));
    KEEPS(text = hysock_exchange_header(exchange, "host"));
    KEEPS(text = hysock_exchange_body(exchange));
    KEEPS_OK(hysock_exchange_set_header(exchange, "a", "b", 1));
    KEEPS_OK(hysock_exchange_add_header(exchange, "a", "c", 1));
    if (strcmp(copy, "/keep") == 0) {
        KEEPS_OK(hysock_exchange_defer(exchange, ERR));
        KEEPS_OK(hysock_exchange_on_gone(exchange, on_gone, NULL, NULL, ERR));
        kept = exchange;
        latch_add(&arrived, 1);
        return;
    }
    KEEPS_STATUS(hysock_exchange_answer(exchange, 99, NULL, "x", 1, ERR),
                 HYSOCK_E_INVALID_ARGUMENT);
    KEEPS_OK(hysock_exchange_answer(exchange, 200, "text/plain", "x", 1, ERR));
    KEEPS_STATUS(hysock_exchange_answer(exchange, 200, NULL, "x", 1, ERR), HYSOCK_E_STATE);
}

static void on_call(hysock_call *call, hysock_status status, void *userdata) {
    (void)userdata;
    (void)status;
    KEEPS(hysock_call_http_status(call));
    KEEPS_STATUS(hysock_call_error(call, ERR), status);
    latch_add(&done, 1);
}

static void on_log(int32_t level, hysock_str line, void *userdata) {
    (void)level;
    (void)line;
    (void)userdata;
}

static void on_closed(hysock_server *server, hysock_status reason, uint64_t n, void *userdata) {
    (void)server;
    (void)reason;
    (void)n;
    (void)userdata;
}

static void small_things(void) {
    hysock_runtime_config *config;
    hysock_runtime *runtime = NULL;
    KEEPS(hysock_version());
    KEEPS(hysock_version_number());
    KEEPS(hysock_status_message(HYSOCK_E_BUSY));
    KEEPS(hysock_handles_live(HYSOCK_KIND_ANY));
    KEEPS(config = hysock_runtime_config_new());
    KEEPS_STATUS(hysock_runtime_config_set_io_threads(config, 0), HYSOCK_E_INVALID_ARGUMENT);
    KEEPS_STATUS(hysock_runtime_new(config, &runtime, ERR), HYSOCK_E_INVALID_ARGUMENT);
    KEEPS(hysock_runtime_config_free(config));
    KEEPS(hysock_runtime_config_free(config)); /* a bad handle */
    KEEPS(hysock_runtime_config_free(NULL));
}

static void client_side(host *h) {
    char path[108];
    hysock_client *client = NULL, *nowhere = NULL, *bare = NULL;
    hysock_call *call = NULL;
    temp_path(path, "nobody");
    KEEPS_OK(hysock_client_new(h->runtime, h->path, HYSOCK_NTS, NULL, &client, ERR));
    KEEPS_OK(hysock_client_new(h->runtime, path, HYSOCK_NTS, NULL, &nowhere, ERR));
    KEEPS_OK(hysock_client_new(NULL, h->path, HYSOCK_NTS, NULL, &bare, ERR));
    hysock_client *clients[] = {client, bare};
    for (int i = 0; i < 2; i++) {
        KEEPS_OK(hysock_call_new(clients[i], "POST", "/x?y", HYSOCK_NTS, &call, ERR));
        KEEPS_OK(hysock_call_set_header(call, "a", "b", 1));
        KEEPS_OK(hysock_call_set_body(call, "text/plain", "x", 1));
        KEEPS_OK(hysock_call_set_timeout(call, 10000));
        KEEPS_OK(hysock_call_perform(call, ERR));
        KEEPS(hysock_call_body(call));
        KEEPS(hysock_call_free(call));
        KEEPS_OK(hysock_call_new(clients[i], "GET", "/keep", HYSOCK_NTS, &call, ERR));
        KEEPS_OK(hysock_call_set_timeout(call, 50));
        long before = latch_count(&arrived);
        KEEPS_STATUS(hysock_call_perform(call, ERR), HYSOCK_E_TIMED_OUT);
        KEEPS(hysock_call_free(call));
        LATCH_AWAIT(&arrived, before + 1);
        KEEPS(hysock_exchange_free(kept));
    }
    KEEPS_OK(hysock_call_new(nowhere, "GET", "/", HYSOCK_NTS, &call, ERR));
    KEEPS_STATUS(hysock_call_perform(call, ERR), HYSOCK_E_ABSENT);
    KEEPS(hysock_call_free(call));
    hysock_client *both[] = {client, nowhere};
    for (int i = 0; i < 2; i++) {
        long before = latch_count(&done);
        KEEPS_OK(hysock_call_new(both[i], "GET", "/", HYSOCK_NTS, &call, ERR));
        KEEPS_OK(hysock_call_start(call, on_call, NULL, NULL, ERR));
        LATCH_AWAIT(&done, before + 1);
        KEEPS(hysock_call_free(call));
    }
    long calls = latch_count(&done), exchanges = latch_count(&arrived);
    KEEPS_OK(hysock_call_new(client, "GET", "/keep", HYSOCK_NTS, &call, ERR));
    KEEPS_OK(hysock_call_start(call, on_call, NULL, NULL, ERR));
    LATCH_AWAIT(&arrived, exchanges + 1);
    KEEPS_OK(hysock_call_cancel(call, ERR));
    LATCH_AWAIT(&done, calls + 1);
    KEEPS(hysock_call_free(call));
    KEEPS(hysock_exchange_free(kept));
    KEEPS_OK(hysock_client_shutdown(client, 1000, ERR));
    KEEPS_OK(hysock_client_wait(client, (uint32_t)check_ms(DEADLINE_MS), ERR));
    KEEPS(hysock_client_free(client));
    KEEPS(hysock_client_free(nowhere));
    KEEPS(hysock_client_free(bare));
}

int main(void) {
    host h;
    char path[108];
    hysock_server *server = NULL;
    check_start();
    latch_init(&arrived);
    latch_init(&done);
    latch_init(&drops);
    memset(&h, 0, sizeof(h));
    latch_init(&h.dispatch_end);
    temp_path(h.path, "sock");
    small_things();
    KEEPS_OK(hysock_runtime_new(NULL, &h.runtime, ERR));
    KEEPS_OK(hysock_runtime_on_log(h.runtime, HYSOCK_LOG_WARN, NULL, on_log, NULL, NULL, ERR));
    KEEPS_OK(hysock_queue_new(h.runtime, &h.queue, ERR));
    KEEPS(hysock_queue_fd(h.queue));
    KEEPS(hysock_queue_dispatch(h.queue, 1, 0));
    KEEPS(hysock_queue_dispatch(h.queue, 1, 10));
    KEEPS_OK(hysock_queue_wake(h.queue));
    KEEPS(hysock_queue_dispatch(h.queue, 1, HYSOCK_FOREVER));
    KEEPS_OK(hysock_server_serve(h.runtime, h.path, HYSOCK_NTS, NULL, handler, NULL, NULL,
                                 &h.server, ERR));
    KEEPS_OK(hysock_server_on_closed(h.server, on_closed, NULL, NULL, ERR));
    KEEPS_STATUS(
        hysock_server_serve(h.runtime, h.path, HYSOCK_NTS, NULL, handler, NULL, NULL, &server, ERR),
        HYSOCK_E_IN_USE);
    snprintf(path, sizeof(path), "%s/absent/sock", check_dir);
    errno = SENTINEL;
    hysock_status status = hysock_server_serve(h.runtime, path, HYSOCK_NTS, NULL, handler, &drops,
                                               count_drop, &server, ERR);
    CHECK_INT(errno, SENTINEL);
    CHECK(status < 0);
    KEEPS_OK(hysock_server_new(h.runtime, NULL, &server, ERR));
    KEEPS_OK(hysock_server_add_route(server, "GET", "/", handler, NULL, NULL, ERR));
    temp_path(path, "second");
    KEEPS_OK(hysock_server_add_listener(server, path, HYSOCK_NTS, NULL, ERR));
    KEEPS_OK(hysock_server_start(server, ERR));
    client_side(&h);
    KEEPS_OK(hysock_server_shutdown_signal(server));
    KEEPS_OK(hysock_server_wait(server, (uint32_t)check_ms(DEADLINE_MS), ERR));
    KEEPS(hysock_server_free(server));
    KEEPS_STATUS(hysock_server_wait(h.server, 10, ERR), HYSOCK_E_TIMED_OUT);
    KEEPS_OK(hysock_server_shutdown(h.server, 1000, ERR));
    KEEPS_OK(hysock_server_wait(h.server, (uint32_t)check_ms(DEADLINE_MS), ERR));
    KEEPS(hysock_server_free(h.server));
    KEEPS_OK(hysock_runtime_shutdown(h.runtime, 1000, ERR));
    KEEPS_OK(hysock_runtime_wait(h.runtime, (uint32_t)check_ms(DEADLINE_MS), ERR));
    KEEPS(hysock_queue_free(h.queue));
    KEEPS(hysock_runtime_free(h.runtime));
    KEEPS_STATUS(hysock_runtime_wait(h.runtime, 0, ERR), HYSOCK_E_BAD_HANDLE);
    return check_end();
}
