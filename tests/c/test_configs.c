/* Configurations: 0 and out of range are refused, the first refusal is remembered by name and
 * value. */
#include "host.h"

#define REFUSED(call) CHECK_STATUS(call, HYSOCK_E_INVALID_ARGUMENT)
#define SAME(text, expected) CHECK(hysock_str_equal(text, expected))

static latch drops;

static void handler(hysock_exchange *exchange, void *userdata) {
    (void)userdata;
    answer_text(exchange, 200, "x");
}

static void hook(void *userdata) { (void)userdata; }

/* A spoilt configuration makes no runtime; the message names the first refused setter and its
 * value. */
static void runtime_fails(hysock_runtime_config *config, const char *setter, const char *value) {
    hysock_runtime *runtime = NULL;
    REFUSED(hysock_runtime_new(config, &runtime, ERR));
    CHECK(runtime == NULL);
    CHECK_ERR(HYSOCK_E_INVALID_ARGUMENT, setter);
    CHECK_ERR(HYSOCK_E_INVALID_ARGUMENT, value);
    CHECK_INT(check_error.operation, HYSOCK_OPERATION_ARGUMENT);
    hysock_runtime_config_free(config);
}

static void runtime(void) {
    hysock_runtime_config *config = hysock_runtime_config_new();
    REFUSED(hysock_runtime_config_set_io_threads(config, 0));
    REFUSED(hysock_runtime_config_set_io_threads(config, 65));
    REFUSED(hysock_runtime_config_set_callback_threads(config, 0));
    REFUSED(hysock_runtime_config_set_callback_threads(config, 1025));
    REFUSED(hysock_runtime_config_set_stack_size(config, 0));
    REFUSED(hysock_runtime_config_set_stack_size(config, 64 * 1024 - 1));
    REFUSED(hysock_runtime_config_set_stack_size(config, ((size_t)1 << 30) + 1));
    REFUSED(hysock_runtime_config_set_thread_name(config, ""));
    REFUSED(hysock_runtime_config_set_thread_name(config, "ninebytes"));
    CHECK_OK(hysock_runtime_config_set_io_threads(config, 64));
    CHECK_OK(hysock_runtime_config_set_callback_threads(config, 1024));
    CHECK_OK(hysock_runtime_config_set_stack_size(config, 64 * 1024));
    CHECK_OK(hysock_runtime_config_set_stack_size(config, (size_t)1 << 30));
    CHECK_OK(hysock_runtime_config_set_thread_name(config, "8bytes.."));
    /* A later right value does not make up for it. */
    CHECK_OK(hysock_runtime_config_set_io_threads(config, 1));
    runtime_fails(config, "set_io_threads", "0");

    config = hysock_runtime_config_new();
    REFUSED(hysock_runtime_config_set_callback_threads(config, 2048));
    REFUSED(hysock_runtime_config_set_io_threads(config, 65));
    runtime_fails(config, "set_callback_threads", "2048");
    config = hysock_runtime_config_new();
    REFUSED(hysock_runtime_config_set_stack_size(config, 4321));
    runtime_fails(config, "set_stack_size", "4321");
    config = hysock_runtime_config_new();
    REFUSED(hysock_runtime_config_set_thread_name(config, "muchtoolong"));
    runtime_fails(config, "set_thread_name", "muchtoolong");

    /* Hooks of a configuration that made no runtime are dropped with it. */
    config = hysock_runtime_config_new();
    CHECK_OK(hysock_runtime_config_set_thread_hooks(config, hook, hook, &drops, count_drop));
    CHECK_INT(latch_count(&drops), 0);
    hysock_runtime_config_free(config);
    CHECK_INT(latch_count(&drops), 1);
}

static void listener(host *h) {
    char path[108];
    hysock_server *server;
    hysock_listener_config *config = hysock_listener_config_new();
    REFUSED(hysock_listener_config_set_mode(config, 07777));
    REFUSED(hysock_listener_config_set_mode(config, 0));
    REFUSED(hysock_listener_config_set_backlog(config, 0));
    REFUSED(hysock_listener_config_set_stale(config, 0));
    REFUSED(hysock_listener_config_set_stale(config, 4));
    REFUSED(hysock_listener_config_set_stale(config, -1));
    CHECK_OK(hysock_listener_config_set_mode(config, 0660));
    CHECK_OK(hysock_listener_config_set_backlog(config, 16));
    CHECK_OK(hysock_listener_config_set_stale(config, HYSOCK_STALE_REFUSE));
    CHECK_OK(hysock_listener_config_set_stale(config, HYSOCK_STALE_REPLACE));
    CHECK_OK(hysock_server_new(h->runtime, NULL, &server, ERR));
    temp_path(path, "spoilt");
    REFUSED(hysock_server_add_listener(server, path, HYSOCK_NTS, config, ERR));
    CHECK_ERR(HYSOCK_E_INVALID_ARGUMENT, "set_mode");
    CHECK(access(path, F_OK) != 0);
    hysock_listener_config_free(config);
    hysock_server_free(server);
}

static void server(host *h) {
    char path[108];
    hysock_server *server = NULL;
    hysock_server_config *config = hysock_server_config_new();
    REFUSED(hysock_server_config_set_max_body(config, 0));
    REFUSED(hysock_server_config_set_delivery(config, 0));
    REFUSED(hysock_server_config_set_delivery(config, 3));
    REFUSED(hysock_server_config_set_delivery(config, -1));
    REFUSED(hysock_server_config_set_max_head(config, 0));
    REFUSED(hysock_server_config_set_max_head(config, 8 * 1024 - 1));
    REFUSED(hysock_server_config_set_max_head(config, 1024 * 1024 + 1));
    REFUSED(hysock_server_config_set_max_head(config, HYSOCK_UNLIMITED));
    REFUSED(hysock_server_config_set_max_connections(config, 0));
    REFUSED(hysock_server_config_set_max_requests(config, 0));
    REFUSED(hysock_server_config_set_head_timeout(config, 0));
    REFUSED(hysock_server_config_set_idle_timeout(config, 0));
    REFUSED(hysock_server_config_set_max_headers(config, 0));
    REFUSED(hysock_server_config_set_max_headers(config, 101));
    REFUSED(hysock_server_config_set_max_queue(config, 0));
    REFUSED(hysock_server_config_set_progress_timeout(config, 0));
    REFUSED(hysock_server_config_set_progress_floor(config, 0));
    REFUSED(hysock_server_config_set_progress_floor(config, HYSOCK_UNLIMITED));
    REFUSED(hysock_server_config_set_handler_timeout(config, 0));
    REFUSED(hysock_server_config_set_exit_idle(config, 0));
    REFUSED(hysock_server_config_set_drain(config, 0));
    CHECK_OK(hysock_server_config_set_delivery(config, HYSOCK_DELIVERY_INLINE));
    CHECK_OK(hysock_server_config_set_max_body(config, HYSOCK_UNLIMITED));
    CHECK_OK(hysock_server_config_set_max_head(config, 8 * 1024));
    CHECK_OK(hysock_server_config_set_max_head(config, 1024 * 1024));
    CHECK_OK(hysock_server_config_set_max_connections(config, HYSOCK_UNLIMITED));
    CHECK_OK(hysock_server_config_set_max_requests(config, HYSOCK_UNLIMITED));
    CHECK_OK(hysock_server_config_set_head_timeout(config, HYSOCK_FOREVER));
    CHECK_OK(hysock_server_config_set_idle_timeout(config, HYSOCK_FOREVER));
    CHECK_OK(hysock_server_config_set_max_headers(config, 1));
    CHECK_OK(hysock_server_config_set_max_headers(config, 100));
    CHECK_OK(hysock_server_config_set_max_queue(config, HYSOCK_UNLIMITED));
    CHECK_OK(hysock_server_config_set_progress_timeout(config, HYSOCK_FOREVER));
    CHECK_OK(hysock_server_config_set_progress_floor(config, 1));
    CHECK_OK(hysock_server_config_set_handler_timeout(config, HYSOCK_FOREVER));
    CHECK_OK(hysock_server_config_set_exit_idle(config, HYSOCK_FOREVER));
    CHECK_OK(hysock_server_config_set_drain(config, HYSOCK_FOREVER));
    CHECK_OK(hysock_server_config_set_strict_host(config, true));
    CHECK_OK(hysock_server_config_set_strict_host(config, false));
    REFUSED(hysock_server_new(h->runtime, config, &server, ERR));
    CHECK(server == NULL);
    CHECK_ERR(HYSOCK_E_INVALID_ARGUMENT, "set_max_body");
    long before = latch_count(&drops);
    temp_path(path, "spoilt");
    REFUSED(hysock_server_serve(h->runtime, path, HYSOCK_NTS, config, handler, &drops, count_drop,
                                &server, ERR));
    CHECK_ERR(HYSOCK_E_INVALID_ARGUMENT, "set_max_body");
    CHECK_INT(latch_count(&drops), before + 1);
    CHECK(access(path, F_OK) != 0);
    hysock_server_config_free(config);
}

static void client(host *h) {
    hysock_client *client = NULL;
    hysock_client_config *config = hysock_client_config_new();
    REFUSED(hysock_client_config_set_max_idle(config, 0));
    REFUSED(hysock_client_config_set_delivery(config, 7));
    REFUSED(hysock_client_config_set_max_body(config, 0));
    REFUSED(hysock_client_config_set_connect_timeout(config, 0));
    REFUSED(hysock_client_config_set_timeout(config, 0));
    REFUSED(hysock_client_config_set_max_connections(config, 0));
    REFUSED(hysock_client_config_set_idle_age(config, 0));
    CHECK_OK(hysock_client_config_set_delivery(config, HYSOCK_DELIVERY_INLINE));
    CHECK_OK(hysock_client_config_set_max_body(config, HYSOCK_UNLIMITED));
    CHECK_OK(hysock_client_config_set_connect_timeout(config, HYSOCK_FOREVER));
    CHECK_OK(hysock_client_config_set_timeout(config, HYSOCK_FOREVER));
    CHECK_OK(hysock_client_config_set_max_connections(config, HYSOCK_UNLIMITED));
    CHECK_OK(hysock_client_config_set_idle_age(config, HYSOCK_FOREVER));
    REFUSED(hysock_client_new(h->runtime, h->path, HYSOCK_NTS, config, &client, ERR));
    CHECK(client == NULL);
    CHECK_ERR(HYSOCK_E_INVALID_ARGUMENT, "set_max_idle");
    hysock_client_config_free(config);
}

static void no_completion(hysock_call *call, hysock_status status, void *userdata) {
    (void)call;
    (void)status;
    (void)userdata;
    CHECK(!"a refused call completed");
}

/* A call remembers like a configuration does; it has sent nothing. */
static void call(host *h) {
    hysock_client *client = host_client(h);
    hysock_call *call = new_call(client, "GET", "/");
    REFUSED(hysock_call_set_header(call, "bad name", "x", HYSOCK_NTS));
    REFUSED(hysock_call_set_timeout(call, 0));
    REFUSED(hysock_call_perform(call, ERR));
    CHECK_ERR(HYSOCK_E_INVALID_ARGUMENT, "bad name");
    long before = latch_count(&drops);
    REFUSED(hysock_call_start(call, no_completion, &drops, count_drop, ERR));
    CHECK_ERR(HYSOCK_E_INVALID_ARGUMENT, "bad name");
    CHECK_INT(latch_count(&drops), before + 1);
    CHECK_INT(hysock_call_http_status(call), 0);
    hysock_call_free(call);

    static const struct {
        const char *name;
        const char *value;
        size_t len;
    } bad[] = {
        {"", "x", 1},    {"a b", "x", 1},      {"a\r\nb", "x", 1},
        {"a:", "x", 1},  {"a\n", "x", 1},      {"a", "x\r\ny: z", 7},
        {"a", "x\n", 2}, {"a", "x\r", 2},      {"a", "x\0y", 3},
        {"a", "\0", 1},  {"\xc3\xa4", "x", 1}, {"a", "x", PTRDIFF_MAX + (size_t)1},
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        call = new_call(client, "GET", "/");
        REFUSED(hysock_call_set_header(call, bad[i].name, bad[i].value, bad[i].len));
        hysock_call_free(call);
        call = new_call(client, "GET", "/");
        REFUSED(hysock_call_add_header(call, bad[i].name, bad[i].value, bad[i].len));
        REFUSED(hysock_call_perform(call, ERR));
        hysock_call_free(call);
    }
    call = new_call(client, "POST", "/");
    REFUSED(hysock_call_set_body(call, "text/plain\r\nx: y", "x", 1));
    hysock_call_free(call);
    call = new_call(client, "POST", "/");
    REFUSED(hysock_call_set_body(call, NULL, "x", PTRDIFF_MAX + (size_t)1));
    hysock_call_free(call);

    static const char *const methods[] = {"", "G T", "GET ", "G\r\n", "G\n", "GET/"};
    static const char *const targets[] = {"",     "x",     "x/",  " /",   "/ ",
                                          "/a b", "/\r\n", "/\n", "/\x01"};
    for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++) {
        REFUSED(hysock_call_new(client, methods[i], "/", HYSOCK_NTS, &call, ERR));
        CHECK_ERR(HYSOCK_E_INVALID_ARGUMENT, "method");
    }
    for (size_t i = 0; i < sizeof(targets) / sizeof(targets[0]); i++) {
        REFUSED(hysock_call_new(client, "GET", targets[i], HYSOCK_NTS, &call, ERR));
        CHECK_ERR(HYSOCK_E_INVALID_ARGUMENT, "target");
    }
    REFUSED(hysock_call_new(client, "GET", "/a\0b", 4, &call, ERR));
    REFUSED(hysock_call_new(client, "GET", "/", PTRDIFF_MAX + (size_t)1, &call, ERR));
    /* A length cuts: no NUL is needed behind it. */
    CHECK_OK(hysock_call_new(client, "GET", "/xyz", 1, &call, ERR));
    CHECK_OK(hysock_call_perform(call, ERR));
    SAME(hysock_call_body(call), "x");
    hysock_call_free(call);
    hysock_client_free(client);
}

/* Everything that takes a configuration takes NULL, and has read it when it returns. */
static void freed_at_once(void) {
    host h;
    raw r;
    char value[8192];
    hysock_runtime_config *config = hysock_runtime_config_new();
    CHECK_OK(hysock_runtime_config_set_callback_threads(config, 1));
    CHECK_OK(hysock_runtime_config_set_thread_hooks(config, hook, hook, &drops, count_drop));
    long before = latch_count(&drops);
    memset(&h, 0, sizeof(h));
    latch_init(&h.dispatch_end);
    temp_path(h.path, "freed");
    CHECK_OK(hysock_runtime_new(config, &h.runtime, ERR));
    hysock_runtime_config_free(config);
    hysock_server_config *sc = hysock_server_config_new();
    CHECK_OK(hysock_server_config_set_max_head(sc, 8 * 1024));
    CHECK_OK(hysock_server_new(h.runtime, sc, &h.server, ERR));
    hysock_server_config_free(sc);
    hysock_listener_config *lc = hysock_listener_config_new();
    CHECK_OK(hysock_listener_config_set_mode(lc, 0640));
    CHECK_OK(hysock_server_add_listener(h.server, h.path, HYSOCK_NTS, lc, ERR));
    hysock_listener_config_free(lc);
    CHECK_OK(hysock_server_add_route(h.server, NULL, NULL, handler, NULL, NULL, ERR));
    CHECK_OK(hysock_server_start(h.server, ERR));
    struct stat st;
    CHECK(stat(h.path, &st) == 0);
    CHECK_INT(st.st_mode & 0777, 0640);
    CHECK_INT(raw_get(h.path, "/"), 200);
    /* max_head is what was set, not its default: a head of 12 KiB is too large. */
    memset(value, 'v', sizeof(value) - 1);
    value[sizeof(value) - 1] = 0;
    raw_open(&r, h.path);
    raw_text(&r, "GET / HTTP/1.1\r\nHost: x\r\nA: ");
    raw_text(&r, value);
    raw_text(&r, "\r\nB: ");
    raw_send_some(&r, value, 4096, true);
    raw_send_some(&r, "\r\n\r\n", 4, true);
    CHECK_INT(raw_status(&r), 431);
    raw_close(&r);
    CHECK_INT(latch_count(&drops), before);
    host_stop(&h);
    CHECK_INT(latch_count(&drops), before + 1); /* the hooks' drop */
}

int main(void) {
    host h;
    check_start();
    latch_init(&drops);
    runtime();
    host_start(&h, POOL, handler, NULL);
    listener(&h);
    server(&h);
    client(&h);
    call(&h);
    host_stop(&h);
    freed_at_once();
    return check_end();
}
