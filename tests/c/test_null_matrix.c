/* Every function with NULL for each pointer argument: the right status, empty getters, no crash. */
#include "host.h"

#define REFUSED(call) CHECK_STATUS(call, HYSOCK_E_INVALID_ARGUMENT)
/* A refused registration: its drop has run before the call returned. */
#define REFUSED_DROP(call)                                                                         \
    do {                                                                                           \
        long before_ = latch_count(&drops);                                                        \
        REFUSED(call);                                                                             \
        CHECK_INT(latch_count(&drops), before_ + 1);                                               \
    } while (0)

static latch drops;
static latch handled;
static hysock_error error; /* so that NULL and a real error record are both tried */

static void no_exchange(hysock_exchange *exchange, void *userdata) {
    (void)exchange;
    (void)userdata;
    CHECK(!"a refused handler was called");
}

static void no_answer(hysock_exchange *exchange, int32_t status, void *userdata) {
    (void)exchange;
    (void)status;
    (void)userdata;
    CHECK(!"a refused on_answer was called");
}

static void no_call(hysock_call *call, hysock_status status, void *userdata) {
    (void)call;
    (void)status;
    (void)userdata;
    CHECK(!"a refused completion was called");
}

static void no_closed(hysock_server *server, hysock_status reason, uint64_t n, void *userdata) {
    (void)server;
    (void)reason;
    (void)n;
    (void)userdata;
    CHECK(!"a refused on_closed was called");
}

static void no_access(const hysock_access *entry, void *userdata) {
    (void)entry;
    (void)userdata;
    CHECK(!"a refused on_access was called");
}

static void no_log(int32_t level, hysock_str line, void *userdata) {
    (void)level;
    (void)line;
    (void)userdata;
    CHECK(!"a refused log function was called");
}

static void empty(hysock_str s) {
    CHECK(s.ptr == NULL);
    CHECK_INT(s.len, 0);
}

static void text(void) {
    hysock_str none = {NULL, 0}, some = {"abc", 3};
    char buffer[4] = "zzz";
    CHECK(!hysock_str_equal(none, "abc"));
    CHECK(!hysock_str_equal(some, NULL));
    CHECK(hysock_str_equal(some, "abc"));
    CHECK(!hysock_str_equal(some, "ab"));
    CHECK(!hysock_str_equal(some, "abcd"));
    CHECK_INT(hysock_str_copy(none, buffer, sizeof(buffer)), 0);
    CHECK(buffer[0] == 0);
    CHECK_INT(hysock_str_copy(some, NULL, 0), 3);
    CHECK_INT(hysock_str_copy(some, NULL, 4), 3);
    CHECK_INT(hysock_str_copy(some, buffer, 2), 3);
    CHECK(strcmp(buffer, "a") == 0);
    CHECK_INT(hysock_str_copy(some, buffer, 4), 3);
    CHECK(strcmp(buffer, "abc") == 0);
    for (int32_t status = -200; status < 200; status++)
        CHECK(hysock_status_message(status)[0] != 0);
    CHECK(hysock_status_message(INT32_MIN) != NULL);
    CHECK(hysock_status_message(INT32_MAX) != NULL);
    CHECK(strcmp(hysock_version(), HYSOCK_VERSION) == 0);
    CHECK_INT(hysock_version_number(), HYSOCK_VERSION_NUMBER);
    REFUSED(hysock_handles_live(-1));
    REFUSED(hysock_handles_live(99));
}

static void configs(void) {
    REFUSED(hysock_runtime_config_set_io_threads(NULL, 1));
    REFUSED(hysock_runtime_config_set_callback_threads(NULL, 1));
    REFUSED(hysock_runtime_config_set_stack_size(NULL, 1 << 20));
    REFUSED(hysock_runtime_config_set_thread_name(NULL, "x"));
    REFUSED_DROP(hysock_runtime_config_set_thread_hooks(NULL, NULL, NULL, &drops, count_drop));
    hysock_runtime_config *config = hysock_runtime_config_new();
    REFUSED(hysock_runtime_config_set_thread_name(config, NULL));
    hysock_runtime_config_free(config);
    hysock_runtime_config_free(NULL);

    REFUSED(hysock_listener_config_set_mode(NULL, 0600));
    REFUSED(hysock_listener_config_set_backlog(NULL, 1));
    REFUSED(hysock_listener_config_set_stale(NULL, HYSOCK_STALE_REFUSE));
    REFUSED(hysock_listener_config_set_owner(NULL, "0"));
    REFUSED(hysock_listener_config_set_group(NULL, "0"));
    REFUSED(hysock_listener_config_set_parent_check(NULL, true));
    hysock_listener_config *listener = hysock_listener_config_new();
    REFUSED(hysock_listener_config_set_owner(listener, NULL));
    REFUSED(hysock_listener_config_set_group(listener, NULL));
    hysock_listener_config_free(listener);
    REFUSED(hysock_listener_config_allow(NULL, HYSOCK_ALLOW_SELF, 0));
    hysock_listener_config_free(NULL);

    REFUSED(hysock_server_config_set_delivery(NULL, HYSOCK_DELIVERY_POOL));
    REFUSED(hysock_server_config_set_queue(NULL, NULL));
    REFUSED(hysock_server_config_set_max_body(NULL, 1));
    REFUSED(hysock_server_config_set_max_head(NULL, 65536));
    REFUSED(hysock_server_config_set_max_connections(NULL, 1));
    REFUSED(hysock_server_config_set_max_requests(NULL, 1));
    REFUSED(hysock_server_config_set_head_timeout(NULL, 1));
    REFUSED(hysock_server_config_set_idle_timeout(NULL, 1));
    REFUSED(hysock_server_config_set_drain(NULL, 1));
    REFUSED(hysock_server_config_set_strict_host(NULL, true));
    REFUSED(hysock_server_config_allow(NULL, HYSOCK_ALLOW_SELF, 0));
    REFUSED(hysock_server_config_set_max_connections_per_uid(NULL, 1));
    REFUSED(hysock_server_config_set_max_requests_per_uid(NULL, 1));
    hysock_server_config *server = hysock_server_config_new();
    REFUSED(hysock_server_config_set_queue(server, NULL));
    hysock_server_config_free(server);
    hysock_server_config_free(NULL);

    REFUSED(hysock_client_config_set_delivery(NULL, HYSOCK_DELIVERY_POOL));
    REFUSED(hysock_client_config_set_queue(NULL, NULL));
    REFUSED(hysock_client_config_set_max_body(NULL, 1));
    REFUSED(hysock_client_config_set_connect_timeout(NULL, 1));
    REFUSED(hysock_client_config_set_timeout(NULL, 1));
    REFUSED(hysock_client_config_set_max_connections(NULL, 1));
    REFUSED(hysock_client_config_set_max_idle(NULL, 1));
    REFUSED(hysock_client_config_set_idle_age(NULL, 1));
    REFUSED(hysock_client_config_set_max_head(NULL, 8192));
    REFUSED(hysock_client_config_set_wait_absent(NULL, 1));
    REFUSED(hysock_client_config_allow(NULL, HYSOCK_ALLOW_SELF, 0));
    REFUSED(hysock_client_config_set_first_byte_timeout(NULL, 1));
    REFUSED(hysock_client_config_set_idle_timeout(NULL, 1));
    REFUSED(hysock_client_config_set_max_redirects(NULL, 1));
    hysock_client_config *client = hysock_client_config_new();
    REFUSED(hysock_client_config_set_queue(client, NULL));
    hysock_client_config_free(client);
    hysock_client_config_free(NULL);

    REFUSED(hysock_receiver_config_set_framing(NULL, HYSOCK_FRAMING_RAW));
    REFUSED(hysock_receiver_config_set_delimiter(NULL, 0));
    REFUSED(hysock_receiver_config_set_delivery(NULL, HYSOCK_DELIVERY_POOL));
    REFUSED(hysock_receiver_config_set_queue(NULL, NULL));
    REFUSED(hysock_receiver_config_set_max_message(NULL, 1));
    REFUSED(hysock_receiver_config_set_max_bytes(NULL, 65536));
    REFUSED(hysock_receiver_config_set_max_bytes_per_producer(NULL, 65536));
    REFUSED(hysock_receiver_config_set_overflow(NULL, HYSOCK_OVERFLOW_BLOCK));
    REFUSED(hysock_receiver_config_set_max_connections(NULL, 1));
    REFUSED(hysock_receiver_config_set_max_batch(NULL, 1));
    REFUSED(hysock_receiver_config_set_max_connections_per_uid(NULL, 1));
    REFUSED(hysock_receiver_config_set_frame_timeout(NULL, 1));
    REFUSED(hysock_receiver_config_set_events(NULL, true));
    REFUSED(hysock_receiver_config_set_fds(NULL, true));
    REFUSED(hysock_receiver_config_set_memfd(NULL, true));
    REFUSED(hysock_receiver_config_set_truncated(NULL, true));
    hysock_receiver_config *receiver = hysock_receiver_config_new();
    REFUSED(hysock_receiver_config_set_queue(receiver, NULL));
    REFUSED(hysock_receiver_config_set_framing(receiver, 99));
    REFUSED(hysock_receiver_config_set_overflow(receiver, HYSOCK_OVERFLOW_FAIL));
    hysock_receiver_config_free(receiver);
    hysock_receiver_config_free(NULL);

    REFUSED(hysock_producer_config_set_framing(NULL, HYSOCK_FRAMING_RAW));
    REFUSED(hysock_producer_config_set_delimiter(NULL, 0));
    REFUSED(hysock_producer_config_set_max_message(NULL, 1));
    REFUSED(hysock_producer_config_set_max_queue(NULL, 1));
    REFUSED(hysock_producer_config_set_overflow(NULL, HYSOCK_OVERFLOW_FAIL));
    REFUSED(hysock_producer_config_set_fds(NULL, true));
    REFUSED(hysock_producer_config_set_memfd(NULL, 1));
    hysock_producer_config *producer = hysock_producer_config_new();
    REFUSED(hysock_producer_config_set_framing(producer, 99));
    REFUSED(hysock_producer_config_set_overflow(producer, 99));
    hysock_producer_config_free(producer);
    hysock_producer_config_free(NULL);
}

static void no_batch(hysock_receiver *receiver, hysock_batch *batch, void *userdata) {
    (void)receiver;
    (void)batch;
    (void)userdata;
    CHECK(!"a refused batch callback was called");
}

static void receiver(hysock_runtime *runtime) {
    hysock_receiver *receiver = NULL;
    hysock_batch *batch = NULL;
    hysock_receiver_counts counts;
    char path[108];
    temp_path(path, "receiver");
    REFUSED_DROP(hysock_receiver_serve(NULL, path, HYSOCK_NTS, NULL, no_batch, &drops, count_drop,
                                       &receiver, ERR));
    REFUSED_DROP(hysock_receiver_serve(runtime, NULL, 0, NULL, no_batch, &drops, count_drop,
                                       &receiver, ERR));
    REFUSED_DROP(hysock_receiver_serve(runtime, path, HYSOCK_NTS, NULL, no_batch, &drops,
                                       count_drop, NULL, NULL));
    REFUSED(hysock_receiver_new(NULL, NULL, &receiver, ERR));
    REFUSED(hysock_receiver_new(runtime, NULL, NULL, ERR));
    REFUSED(hysock_receiver_add_listener(NULL, path, HYSOCK_NTS, NULL, ERR));
    REFUSED_DROP(hysock_receiver_on_batch(NULL, no_batch, &drops, count_drop, NULL));
    REFUSED(hysock_receiver_start(NULL, ERR));
    REFUSED(hysock_receiver_add_listener_fd(NULL, -1, HYSOCK_ADOPT_OWN, NULL, ERR));
    REFUSED(hysock_receiver_add_activated(NULL, NULL, NULL, ERR));
    REFUSED(hysock_receiver_metrics(NULL, NULL, 0, ERR));
    REFUSED(hysock_receiver_shutdown(NULL, 0, NULL));
    REFUSED(hysock_receiver_wait(NULL, 0, ERR));
    REFUSED(hysock_receiver_recv(NULL, 1, 0, &batch, ERR));
    REFUSED(hysock_receiver_fd(NULL));
    REFUSED(hysock_receiver_stats(NULL, &counts, sizeof(counts), ERR));
    hysock_receiver_free(NULL);
    CHECK(access(path, F_OK) != 0);

    CHECK_OK(hysock_receiver_new(runtime, NULL, &receiver, ERR));
    REFUSED(hysock_receiver_add_listener(receiver, NULL, 0, NULL, NULL));
    REFUSED_DROP(hysock_receiver_on_batch(receiver, NULL, &drops, count_drop, NULL));
    REFUSED(hysock_receiver_recv(receiver, 1, 0, NULL, ERR));
    REFUSED(hysock_receiver_recv(receiver, 0, 0, &batch, ERR));
    REFUSED(hysock_receiver_stats(receiver, NULL, sizeof(counts), ERR));
    REFUSED(hysock_receiver_stats(receiver, &counts, 8, ERR));
    REFUSED(hysock_receiver_metrics(receiver, NULL, 1, ERR));
    REFUSED(hysock_receiver_add_listener_fd(receiver, -1, HYSOCK_ADOPT_OWN, NULL, ERR));
    CHECK_STATUS(hysock_receiver_start(receiver, ERR), HYSOCK_E_STATE);
    hysock_receiver_free(receiver);

    size_t count = 1;
    CHECK(hysock_batch_messages(NULL, &count) == NULL);
    CHECK_INT(count, 0);
    CHECK(hysock_batch_messages(NULL, NULL) == NULL);
    REFUSED(hysock_batch_keep(NULL, ERR));
    hysock_peer peer;
    REFUSED(hysock_batch_take_fd(NULL, 0));
    REFUSED(hysock_batch_peer(NULL, 0, &peer, sizeof(peer), ERR));
    REFUSED(hysock_batch_peer(NULL, 0, NULL, 0, ERR));
    hysock_batch_free(NULL);
}

static void producer(hysock_runtime *runtime) {
    hysock_producer *producer = NULL;
    hysock_producer_counts counts;
    hysock_producer_report report;
    hysock_slice slice = {NULL, 1};
    size_t sent = 1;
    int32_t fd = -1;
    char path[108];
    temp_path(path, "receiver");
    REFUSED(hysock_producer_new(NULL, path, HYSOCK_NTS, NULL, &producer, ERR));
    REFUSED(hysock_producer_new(runtime, NULL, 0, NULL, &producer, ERR));
    REFUSED(hysock_producer_new(runtime, path, HYSOCK_NTS, NULL, NULL, ERR));
    REFUSED(hysock_producer_send(NULL, "x", 1, 0, ERR));
    REFUSED(hysock_producer_send_batch(NULL, &slice, 1, 0, &sent, ERR));
    REFUSED(hysock_producer_sendv(NULL, &slice, 1, 0, ERR));
    REFUSED(hysock_producer_send_fds(NULL, "x", 1, &fd, 1, 0, ERR));
    REFUSED(hysock_producer_flush(NULL, HYSOCK_FLUSH_READ, 0, ERR));
    REFUSED(hysock_producer_shutdown(NULL, 0, &report, sizeof(report), ERR));
    REFUSED(hysock_producer_stats(NULL, &counts, sizeof(counts), ERR));
    hysock_producer_free(NULL);

    CHECK_OK(hysock_producer_new(runtime, path, HYSOCK_NTS, NULL, &producer, ERR));
    REFUSED(hysock_producer_send(producer, NULL, 1, 0, NULL));
    REFUSED(hysock_producer_send(producer, "x", HYSOCK_NTS, 0, ERR));
    REFUSED(hysock_producer_send_batch(producer, NULL, 1, 0, &sent, ERR));
    REFUSED(hysock_producer_send_batch(producer, &slice, 1, 0, &sent, ERR));
    CHECK_INT(sent, 0);
    REFUSED(hysock_producer_send_batch(producer, &slice, 1, 0, NULL, ERR));
    REFUSED(hysock_producer_sendv(producer, NULL, 1, 0, ERR));
    REFUSED(hysock_producer_sendv(producer, &slice, 1, 0, ERR));
    REFUSED(hysock_producer_send_fds(producer, "x", 1, NULL, 1, 0, ERR));
    REFUSED(hysock_producer_send_fds(producer, "x", 1, &fd, 1, 0, ERR));
    REFUSED(hysock_producer_send_fds(producer, "x", 1, &fd, 0, 0, ERR));
    REFUSED(hysock_producer_flush(producer, 0, 0, ERR));
    REFUSED(hysock_producer_shutdown(producer, 0, &report, 8, ERR));
    REFUSED(hysock_producer_stats(producer, NULL, sizeof(counts), ERR));
    REFUSED(hysock_producer_stats(producer, &counts, 8, ERR));
    hysock_producer_free(producer);
}

static void runtime(hysock_runtime *runtime) {
    hysock_queue *queue = (hysock_queue *)&drops;
    REFUSED(hysock_runtime_new(NULL, NULL, NULL));
    REFUSED(hysock_runtime_new(NULL, NULL, &error));
    CHECK_INT(error.status, HYSOCK_E_INVALID_ARGUMENT);
    CHECK_INT(error.operation, HYSOCK_OPERATION_ARGUMENT);
    CHECK(error.message[0] != 0);
    REFUSED_DROP(
        hysock_runtime_on_log(NULL, HYSOCK_LOG_INFO, NULL, no_log, &drops, count_drop, &error));
    REFUSED_DROP(
        hysock_runtime_on_log(runtime, HYSOCK_LOG_INFO, NULL, NULL, &drops, count_drop, NULL));
    REFUSED(hysock_runtime_shutdown(NULL, 0, NULL));
    REFUSED(hysock_runtime_wait(NULL, 0, NULL));
    hysock_runtime_free(NULL);

    REFUSED(hysock_queue_new(NULL, &queue, NULL));
    CHECK(queue == NULL); /* a failure leaves no pointer that looks like a result */
    REFUSED(hysock_queue_new(runtime, NULL, NULL));
    REFUSED(hysock_queue_fd(NULL));
    REFUSED(hysock_queue_dispatch(NULL, 1, 0));
    REFUSED(hysock_queue_wake(NULL));
    hysock_event event;
    REFUSED(hysock_queue_take(NULL, &event, 1, sizeof(event), 0));
    REFUSED(hysock_queue_take(NULL, NULL, 0, sizeof(event), 0));
    hysock_queue_free(NULL);
}

static void server(hysock_runtime *runtime) {
    char path[108];
    hysock_server *server = NULL, *none = (hysock_server *)&drops;
    temp_path(path, "other");
    REFUSED(hysock_server_new(NULL, NULL, &none, NULL));
    CHECK(none == NULL);
    REFUSED(hysock_server_new(runtime, NULL, NULL, NULL));
    CHECK_OK(hysock_server_new(runtime, NULL, &server, NULL));
    REFUSED_DROP(hysock_server_add_route(NULL, "GET", "/", no_exchange, &drops, count_drop, NULL));
    REFUSED_DROP(hysock_server_add_route(server, "GET", "/", NULL, &drops, count_drop, NULL));
    CHECK_OK(hysock_server_add_route(server, NULL, NULL, no_exchange, &drops, NULL, NULL));
    REFUSED(hysock_server_allow_route(NULL, NULL, NULL, HYSOCK_ALLOW_SELF, 0, NULL));
    CHECK_OK(hysock_server_allow_route(server, NULL, NULL, HYSOCK_ALLOW_SELF, 0, NULL));
    REFUSED(hysock_server_add_listener(NULL, path, HYSOCK_NTS, NULL, NULL));
    REFUSED(hysock_server_add_listener(server, NULL, HYSOCK_NTS, NULL, NULL));
    REFUSED(hysock_server_add_listener(server, NULL, 0, NULL, NULL));
    int32_t fd = 7;
    REFUSED(hysock_listener_open(NULL, HYSOCK_NTS, NULL, &fd, NULL));
    CHECK_INT(fd, -1);
    REFUSED(hysock_listener_open(path, HYSOCK_NTS, NULL, NULL, NULL));
    CHECK(access(path, F_OK) != 0);
    REFUSED(hysock_server_add_listener_fd(NULL, -1, HYSOCK_ADOPT_OWN, NULL, NULL));
    REFUSED(hysock_server_add_listener_fd(server, -1, HYSOCK_ADOPT_OWN, NULL, NULL));
    REFUSED(hysock_server_add_activated(NULL, NULL, NULL, NULL));
    CHECK_INT(hysock_server_add_activated(server, NULL, NULL, NULL), 0);
    REFUSED(hysock_server_add_connection(NULL, -1, NULL));
    REFUSED(hysock_server_add_connection(server, -1, NULL));
    fd = 7;
    REFUSED(hysock_server_take_listener(NULL, 0, &fd, NULL));
    CHECK_INT(fd, -1);
    REFUSED(hysock_server_take_listener(server, 0, &fd, NULL));
    REFUSED(hysock_server_take_listener(server, 0, NULL, NULL));
    REFUSED(hysock_server_listener_address(NULL, 0, path, sizeof(path), NULL));
    REFUSED(hysock_server_listener_address(server, 0, path, sizeof(path), NULL));
    REFUSED(hysock_server_listener_address(server, 0, NULL, 1, NULL));
    REFUSED(hysock_server_reload_listener(NULL, 0, NULL, NULL));
    REFUSED(hysock_server_reload_listener(server, 0, NULL, NULL));
    REFUSED(hysock_server_start(NULL, NULL));
    REFUSED_DROP(hysock_server_on_closed(NULL, no_closed, &drops, count_drop, NULL));
    REFUSED_DROP(hysock_server_on_closed(server, NULL, &drops, count_drop, NULL));
    REFUSED_DROP(hysock_server_on_request(NULL, no_exchange, &drops, count_drop, NULL));
    REFUSED_DROP(hysock_server_on_request(server, NULL, &drops, count_drop, NULL));
    REFUSED_DROP(hysock_server_on_answer(NULL, no_answer, &drops, count_drop, NULL));
    REFUSED_DROP(hysock_server_on_answer(server, NULL, &drops, count_drop, NULL));
    REFUSED(hysock_server_shutdown(NULL, 0, NULL));
    REFUSED(hysock_server_shutdown_signal(NULL));
    REFUSED(hysock_server_wait(NULL, 0, NULL));
    hysock_server_counts counts;
    REFUSED(hysock_server_stats(NULL, &counts, sizeof(counts), NULL));
    REFUSED(hysock_server_stats(server, NULL, sizeof(counts), NULL));
    REFUSED(hysock_server_stats(server, &counts, 0, NULL));
    REFUSED(hysock_server_stats(server, &counts, sizeof(counts) - 1, NULL));
    REFUSED(hysock_server_stats(server, &counts, SIZE_MAX, NULL));
    REFUSED(hysock_server_metrics(NULL, path, sizeof(path), NULL));
    REFUSED(hysock_server_metrics(server, NULL, 1, NULL));
    REFUSED_DROP(hysock_server_on_access(NULL, no_access, &drops, count_drop, NULL));
    REFUSED_DROP(hysock_server_on_access(server, NULL, &drops, count_drop, NULL));
    hysock_server_free(NULL);
    hysock_server_free(server);

    none = (hysock_server *)&drops;
    REFUSED_DROP(hysock_server_serve(NULL, path, HYSOCK_NTS, NULL, no_exchange, &drops, count_drop,
                                     &none, NULL));
    CHECK(none == NULL);
    REFUSED_DROP(hysock_server_serve(runtime, NULL, HYSOCK_NTS, NULL, no_exchange, &drops,
                                     count_drop, &none, NULL));
    REFUSED_DROP(hysock_server_serve(runtime, path, HYSOCK_NTS, NULL, NULL, &drops, count_drop,
                                     &none, NULL));
    REFUSED_DROP(hysock_server_serve(runtime, path, HYSOCK_NTS, NULL, no_exchange, &drops,
                                     count_drop, NULL, NULL));
    CHECK(access(path, F_OK) != 0); /* refused before anything was bound */
}

static void address(void) {
    char socket[16] = "old", target[16] = "old";
    hysock_call *no = (hysock_call *)&drops;
    REFUSED(hysock_address_parse(NULL, 0, socket, 16, target, 16, NULL));
    REFUSED(hysock_address_parse("/x", HYSOCK_NTS, NULL, 16, target, 16, NULL));
    REFUSED(hysock_address_parse("/x", HYSOCK_NTS, socket, 16, NULL, 16, NULL));
    CHECK(strcmp(socket, "old") == 0 && strcmp(target, "old") == 0);
    CHECK_OK(hysock_address_parse("/x", HYSOCK_NTS, NULL, 0, NULL, 0, NULL));
    REFUSED(hysock_get(NULL, 0, &no, NULL));
    CHECK(no == NULL);
    REFUSED(hysock_get("/x", HYSOCK_NTS, NULL, NULL));
}

static void no_call_read(hysock_call *call, hysock_status status, hysock_str piece,
                         void *userdata) {
    (void)piece;
    no_call(call, status, userdata);
}

static int64_t no_body(hysock_call *call, void *buf, size_t size, void *userdata) {
    (void)buf;
    (void)size;
    no_call(call, HYSOCK_OK, userdata);
    return -1;
}

static void no_writable(hysock_call *call, void *userdata) { no_call(call, HYSOCK_OK, userdata); }

static void no_progress(hysock_call *call, uint64_t sent, uint64_t send_total, uint64_t received,
                        uint64_t receive_total, void *userdata) {
    (void)sent;
    (void)send_total;
    (void)received;
    (void)receive_total;
    no_call(call, HYSOCK_OK, userdata);
}

static void no_informational(hysock_call *call, int32_t http_status, void *userdata) {
    (void)http_status;
    no_call(call, HYSOCK_OK, userdata);
}

static void bodies(hysock_client *client) {
    REFUSED_DROP(hysock_call_set_body_reader(NULL, NULL, 0, no_body, &drops, count_drop));
    REFUSED(hysock_call_set_body_fd(NULL, NULL, 0, 0));
    REFUSED(hysock_call_set_body_stream(NULL, NULL, 0));
    REFUSED(hysock_call_write(NULL, "x", 1, 0, NULL));
    REFUSED_DROP(hysock_call_on_writable(NULL, no_writable, &drops, count_drop, NULL));
    REFUSED(hysock_call_finish(NULL, NULL));
    REFUSED(hysock_call_add_trailer(NULL, "a", "b", HYSOCK_NTS));
    REFUSED(hysock_call_set_expect_continue(NULL, 1));
    REFUSED(hysock_call_set_output_fd(NULL, 1));
    REFUSED_DROP(hysock_call_on_progress(NULL, no_progress, &drops, count_drop, NULL));
    REFUSED_DROP(hysock_call_on_informational(NULL, no_informational, &drops, count_drop, NULL));

    hysock_call *call = new_call(client, "PUT", "/");
    REFUSED_DROP(hysock_call_set_body_reader(call, NULL, 0, NULL, &drops, count_drop));
    REFUSED_DROP(hysock_call_on_progress(call, NULL, &drops, count_drop, NULL));
    REFUSED_DROP(hysock_call_on_informational(call, NULL, &drops, count_drop, NULL));
    REFUSED(hysock_call_perform(call, NULL)); /* as the setter was */
    hysock_call_free(call);
    call = new_call(client, "PUT", "/");
    REFUSED(hysock_call_set_body_fd(call, NULL, -1, 0));
    REFUSED(hysock_call_perform(call, NULL));
    hysock_call_free(call);
    call = new_call(client, "PUT", "/");
    REFUSED(hysock_call_set_output_fd(call, -1));
    REFUSED(hysock_call_perform(call, NULL));
    hysock_call_free(call);
    call = new_call(client, "PUT", "/");
    REFUSED(hysock_call_set_expect_continue(call, 0));
    REFUSED(hysock_call_perform(call, NULL));
    hysock_call_free(call);
    call = new_call(client, "PUT", "/");
    CHECK_OK(hysock_call_set_body_stream(call, NULL, HYSOCK_UNKNOWN));
    REFUSED(hysock_call_add_trailer(call, NULL, "b", HYSOCK_NTS));
    REFUSED(hysock_call_add_trailer(call, "a", NULL, HYSOCK_NTS));
    REFUSED(hysock_call_write(call, NULL, 1, 0, NULL));
    REFUSED(hysock_call_write(call, "x", HYSOCK_NTS, 0, NULL));
    REFUSED_DROP(hysock_call_on_writable(call, NULL, &drops, count_drop, NULL));
    hysock_call_free(call);
}

static void client(hysock_runtime *runtime, const char *path) {
    hysock_client *client = NULL, *none = (hysock_client *)&drops;
    hysock_call *call = NULL, *no = (hysock_call *)&drops;
    REFUSED(hysock_client_new(runtime, NULL, HYSOCK_NTS, NULL, &none, NULL));
    CHECK(none == NULL);
    REFUSED(hysock_client_new(runtime, path, HYSOCK_NTS, NULL, NULL, NULL));
    CHECK_OK(hysock_client_new(NULL, path, HYSOCK_NTS, NULL, &none, NULL));
    hysock_client_free(none);
    CHECK_OK(hysock_client_new(runtime, path, HYSOCK_NTS, NULL, &client, NULL));
    REFUSED(hysock_client_new_fd(runtime, -1, NULL, &none, NULL));
    REFUSED(hysock_client_new_fd(runtime, -1, NULL, NULL, NULL));
    hysock_peer peer;
    REFUSED(hysock_call_peer(NULL, &peer, sizeof(peer), NULL));
    CHECK_INT(hysock_call_peer_pidfd(NULL, NULL), HYSOCK_E_INVALID_ARGUMENT);
    REFUSED(hysock_call_set_first_byte_timeout(NULL, 1));
    REFUSED(hysock_call_set_idle_timeout(NULL, 1));
    REFUSED(hysock_client_shutdown(NULL, 0, NULL));
    REFUSED(hysock_client_wait(NULL, 0, NULL));
    hysock_client_free(NULL);

    REFUSED(hysock_call_new(NULL, "GET", "/", HYSOCK_NTS, &no, NULL));
    CHECK(no == NULL);
    REFUSED(hysock_call_new(client, NULL, "/", HYSOCK_NTS, &no, NULL));
    REFUSED(hysock_call_new(client, "GET", NULL, HYSOCK_NTS, &no, NULL));
    REFUSED(hysock_call_new(client, "GET", "/", HYSOCK_NTS, NULL, NULL));
    REFUSED(hysock_call_set_header(NULL, "a", "b", HYSOCK_NTS));
    REFUSED(hysock_call_add_header(NULL, "a", "b", HYSOCK_NTS));
    REFUSED(hysock_call_set_body(NULL, NULL, "x", 1));
    REFUSED(hysock_call_set_timeout(NULL, 1));
    REFUSED(hysock_call_set_parent(NULL, NULL));
    REFUSED(hysock_call_perform(NULL, NULL));
    REFUSED_DROP(hysock_call_start(NULL, no_call, &drops, count_drop, NULL));
    REFUSED(hysock_call_cancel(NULL, NULL));
    REFUSED(hysock_call_error(NULL, &error));
    hysock_str name, value;
    CHECK_INT(hysock_call_http_status(NULL), 0);
    CHECK_INT(hysock_call_version(NULL), 0);
    CHECK(hysock_call_header_count(NULL) <= 0);
    empty(hysock_call_header(NULL, "a"));
    empty(hysock_call_body(NULL));
    REFUSED(hysock_call_header_at(NULL, 0, &name, &value));
    hysock_header header = {{"a", 1}, {NULL, 0}};
    REFUSED(hysock_call_headers(NULL, &header, 1));
    REFUSED(hysock_call_trailers(NULL, &header, 1));
    REFUSED(hysock_call_add_headers(NULL, &header, 1));
    hysock_call_free(NULL);
    hysock_str piece;
    REFUSED(hysock_call_set_streaming(NULL));
    REFUSED(hysock_call_read(NULL, &piece, 0, NULL));
    REFUSED_DROP(hysock_call_read_start(NULL, no_call_read, &drops, count_drop, NULL));
    CHECK(hysock_call_content_length(NULL) == HYSOCK_UNKNOWN);
    empty(hysock_call_trailer(NULL, "a"));
    int32_t fd;
    REFUSED(hysock_call_set_upgrade(NULL, "x"));
    REFUSED(hysock_call_take_fd(NULL, &fd, &piece, NULL));

    /* Each refused setter spoils its call, so each gets one of its own. */
    call = new_call(client, "GET", "/");
    REFUSED(hysock_call_set_header(call, NULL, "b", HYSOCK_NTS));
    hysock_call_free(call);
    call = new_call(client, "GET", "/");
    REFUSED(hysock_call_set_header(call, "a", NULL, HYSOCK_NTS));
    hysock_call_free(call);
    call = new_call(client, "GET", "/");
    REFUSED(hysock_call_add_header(call, NULL, "b", HYSOCK_NTS));
    hysock_call_free(call);
    call = new_call(client, "GET", "/");
    REFUSED(hysock_call_add_header(call, "a", NULL, HYSOCK_NTS));
    hysock_call_free(call);
    call = new_call(client, "POST", "/");
    REFUSED(hysock_call_set_body(call, NULL, NULL, 5));
    hysock_call_free(call);
    call = new_call(client, "POST", "/");
    REFUSED(hysock_call_set_body(call, NULL, "x", HYSOCK_NTS));
    hysock_call_free(call);
    call = new_call(client, "GET", "/");
    REFUSED(hysock_call_set_parent(call, NULL));
    hysock_call_free(call);

    call = new_call(client, "GET", "/");
    REFUSED(hysock_call_set_upgrade(call, ""));
    hysock_call_free(call);

    call = new_call(client, "GET", "/");
    CHECK_OK(hysock_call_set_body(call, NULL, NULL, 0));
    REFUSED_DROP(hysock_call_start(call, NULL, &drops, count_drop, NULL));
    CHECK_OK(hysock_call_perform(call, NULL)); /* the refused start has spoilt nothing */
    CHECK_OK(hysock_call_error(call, NULL));
    empty(hysock_call_header(call, NULL));
    REFUSED(hysock_call_headers(call, NULL, 1));
    REFUSED(hysock_call_add_headers(call, NULL, 1));
    REFUSED(hysock_call_add_headers(call, &header, 1));
    REFUSED(hysock_call_take_fd(call, NULL, &piece, NULL));
    REFUSED(hysock_call_take_fd(call, &fd, NULL, NULL));
    REFUSED(hysock_call_header_at(call, 0, NULL, &value));
    REFUSED(hysock_call_header_at(call, 0, &name, NULL));
    CHECK_OK(hysock_call_header_at(call, 0, &name, &value));
    hysock_call_free(call);

    call = new_call(client, "GET", "/");
    CHECK_OK(hysock_call_set_streaming(call));
    CHECK_OK(hysock_call_perform(call, NULL));
    REFUSED(hysock_call_read(call, NULL, 0, NULL));
    REFUSED_DROP(hysock_call_read_start(call, NULL, &drops, count_drop, NULL));
    empty(hysock_call_trailer(call, NULL));
    hysock_call_free(call);
    bodies(client);
    hysock_client_free(client);
}

static void no_gone(hysock_exchange *exchange, void *userdata) {
    (void)exchange;
    (void)userdata;
    CHECK(!"a refused on_gone was called");
}

static void no_upgrade(hysock_exchange *exchange, int32_t fd, hysock_str early, void *userdata) {
    (void)fd;
    (void)early;
    no_gone(exchange, userdata);
}

static void no_read(hysock_exchange *exchange, hysock_status status, hysock_str piece,
                    void *userdata) {
    (void)status;
    (void)piece;
    no_gone(exchange, userdata);
}

static void handler(hysock_exchange *exchange, void *userdata) {
    (void)userdata;
    hysock_str name, value;
    empty(hysock_exchange_method(NULL));
    empty(hysock_exchange_target(NULL));
    empty(hysock_exchange_path(NULL));
    empty(hysock_exchange_query(NULL));
    CHECK_INT(hysock_exchange_version(NULL), 0);
    hysock_peer peer;
    REFUSED(hysock_exchange_peer(NULL, &peer, sizeof(peer), NULL));
    REFUSED(hysock_exchange_peer_pidfd(NULL, NULL));
    empty(hysock_exchange_header(NULL, "host"));
    CHECK(hysock_exchange_header_count(NULL) <= 0);
    empty(hysock_exchange_body(NULL));
    REFUSED(hysock_exchange_header_at(NULL, 0, &name, &value));
    hysock_header header = {{"a", 1}, {NULL, 0}};
    REFUSED(hysock_exchange_headers(NULL, &header, 1));
    REFUSED(hysock_exchange_trailers(NULL, &header, 1));
    REFUSED(hysock_exchange_add_headers(NULL, &header, 1));
    REFUSED(hysock_exchange_set_header(NULL, "a", "b", HYSOCK_NTS));
    REFUSED(hysock_exchange_add_header(NULL, "a", "b", HYSOCK_NTS));
    REFUSED(hysock_exchange_remove_header(NULL, "a"));
    REFUSED_DROP(hysock_exchange_set_userdata(NULL, &drops, count_drop, NULL));
    REFUSED_DROP(hysock_exchange_set_connection_userdata(NULL, &drops, count_drop, NULL));
    CHECK(hysock_exchange_userdata(NULL) == NULL);
    CHECK(hysock_exchange_connection_userdata(NULL) == NULL);
    empty(hysock_exchange_param(NULL, "id"));
    empty(hysock_exchange_pattern(NULL));
    empty(hysock_exchange_query_value(NULL, "id"));
    CHECK(hysock_exchange_query_count(NULL) <= 0);
    REFUSED(hysock_exchange_query_at(NULL, 0, &name, &value));
    empty(hysock_exchange_header_value_at(NULL, "host", 0));
    REFUSED(hysock_exchange_answer(NULL, 200, NULL, NULL, 0, NULL));
    hysock_str piece;
    CHECK(hysock_exchange_content_length(NULL) == HYSOCK_UNKNOWN);
    REFUSED(hysock_exchange_read(NULL, &piece, 0, NULL));
    REFUSED_DROP(hysock_exchange_read_start(NULL, no_read, &drops, count_drop, NULL));
    REFUSED(hysock_exchange_start_answer(NULL, 200, NULL, 0, NULL));
    REFUSED(hysock_exchange_write(NULL, "x", 1, 0, NULL));
    REFUSED_DROP(hysock_exchange_on_writable(NULL, no_gone, &drops, count_drop, NULL));
    REFUSED(hysock_exchange_finish(NULL, NULL));
    REFUSED_DROP(hysock_exchange_write_nocopy(NULL, "x", 1, 0, &drops, count_drop, NULL));
    REFUSED_DROP(hysock_exchange_answer_nocopy(NULL, 200, NULL, "x", 1, &drops, count_drop, NULL));
    REFUSED(hysock_exchange_add_trailer(NULL, "a", "b", 1, NULL));
    empty(hysock_exchange_trailer(NULL, "a"));
    REFUSED(hysock_exchange_start_events(NULL, NULL));
    REFUSED(hysock_exchange_write_event(NULL, NULL, NULL, NULL, 0, 0, NULL));
    REFUSED(hysock_exchange_send_file(NULL, 0, NULL, NULL));
    REFUSED_DROP(hysock_exchange_upgrade(NULL, "x", no_upgrade, &drops, count_drop, NULL));
    REFUSED(hysock_exchange_defer(NULL, NULL));
    REFUSED_DROP(hysock_exchange_on_gone(NULL, no_gone, &drops, count_drop, NULL));
    hysock_exchange_free(NULL);

    REFUSED(hysock_exchange_read(exchange, NULL, 0, NULL));
    REFUSED_DROP(hysock_exchange_read_start(exchange, NULL, &drops, count_drop, NULL));
    REFUSED(hysock_exchange_write(exchange, NULL, 1, 0, NULL));
    REFUSED(hysock_exchange_write(exchange, "x", HYSOCK_NTS, 0, NULL));
    REFUSED_DROP(hysock_exchange_on_writable(exchange, NULL, &drops, count_drop, NULL));
    REFUSED_DROP(hysock_exchange_write_nocopy(exchange, NULL, 1, 0, &drops, count_drop, NULL));
    REFUSED_DROP(
        hysock_exchange_answer_nocopy(exchange, 200, NULL, NULL, 1, &drops, count_drop, NULL));
    REFUSED_DROP(hysock_exchange_answer_nocopy(exchange, 200, NULL, "x", HYSOCK_NTS, &drops,
                                               count_drop, NULL));
    REFUSED(hysock_exchange_add_trailer(exchange, NULL, "b", 1, NULL));
    REFUSED(hysock_exchange_add_trailer(exchange, "a", NULL, 1, NULL));
    empty(hysock_exchange_trailer(exchange, NULL));
    REFUSED(hysock_exchange_send_file(exchange, -1, NULL, NULL));
    REFUSED_DROP(hysock_exchange_upgrade(exchange, NULL, no_upgrade, &drops, count_drop, NULL));
    REFUSED_DROP(hysock_exchange_upgrade(exchange, "x", NULL, &drops, count_drop, NULL));
    empty(hysock_exchange_header(exchange, NULL));
    REFUSED(hysock_exchange_headers(exchange, NULL, 1));
    REFUSED(hysock_exchange_trailers(exchange, NULL, 1));
    REFUSED(hysock_exchange_add_headers(exchange, NULL, 1));
    REFUSED(hysock_exchange_add_headers(exchange, &header, 1));
    REFUSED(hysock_exchange_add_headers(exchange, &header, SIZE_MAX));
    REFUSED(hysock_exchange_header_at(exchange, 0, NULL, &value));
    REFUSED(hysock_exchange_header_at(exchange, 0, &name, NULL));
    REFUSED(hysock_exchange_peer(exchange, NULL, sizeof(hysock_peer), NULL));
    CHECK_OK(hysock_exchange_peer(exchange, &peer, sizeof(peer), NULL));
    REFUSED(hysock_exchange_set_header(exchange, NULL, "b", HYSOCK_NTS));
    REFUSED(hysock_exchange_set_header(exchange, "a", NULL, HYSOCK_NTS));
    REFUSED(hysock_exchange_add_header(exchange, NULL, "b", HYSOCK_NTS));
    REFUSED(hysock_exchange_add_header(exchange, "a", NULL, HYSOCK_NTS));
    CHECK_OK(hysock_exchange_set_userdata(exchange, NULL, NULL, NULL));
    CHECK_OK(hysock_exchange_set_connection_userdata(exchange, NULL, NULL, NULL));
    CHECK(hysock_exchange_userdata(exchange) == NULL);
    CHECK(hysock_exchange_connection_userdata(exchange) == NULL);
    REFUSED(hysock_exchange_remove_header(exchange, NULL));
    empty(hysock_exchange_param(exchange, NULL));
    empty(hysock_exchange_query_value(exchange, NULL));
    REFUSED(hysock_exchange_query_at(exchange, 0, NULL, &value));
    REFUSED(hysock_exchange_query_at(exchange, 0, &name, NULL));
    empty(hysock_exchange_header_value_at(exchange, NULL, 0));
    REFUSED(hysock_exchange_answer(exchange, 200, NULL, NULL, 5, NULL));
    REFUSED(hysock_exchange_answer(exchange, 200, NULL, "x", HYSOCK_NTS, &error));
    CHECK_OK(hysock_exchange_defer(exchange, NULL));
    REFUSED_DROP(hysock_exchange_on_gone(exchange, NULL, &drops, count_drop, NULL));
    /* The headers that were refused are missing: the answer says so once, and may be repeated. */
    REFUSED(hysock_exchange_answer(exchange, 200, NULL, NULL, 0, NULL));
    CHECK_OK(hysock_exchange_answer(exchange, 200, NULL, NULL, 0, NULL));
    hysock_exchange_free(exchange);
    latch_add(&handled, 1);
}

int main(void) {
    host h;
    check_start();
    latch_init(&drops);
    latch_init(&handled);
    text();
    configs();
    host_start(&h, POOL, handler, NULL);
    runtime(h.runtime);
    server(h.runtime);
    receiver(h.runtime);
    producer(h.runtime);
    address();
    client(h.runtime, h.path);
    LATCH_AWAIT(&handled, 1);
    host_stop(&h);
    return check_end();
}
