/* Every function that takes a handle, as a table: called with a handle and harmless arguments. */
#ifndef FUNCTIONS_H
#define FUNCTIONS_H

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

static void ignore_answer(hysock_exchange *exchange, int32_t status, void *userdata) {
    (void)exchange;
    (void)status;
    (void)userdata;
}

static void ignore_read(hysock_exchange *exchange, hysock_status status, hysock_str piece,
                        void *userdata) {
    (void)exchange;
    (void)status;
    (void)piece;
    (void)userdata;
}

static void ignore_call_read(hysock_call *call, hysock_status status, hysock_str piece,
                             void *userdata) {
    (void)call;
    (void)status;
    (void)piece;
    (void)userdata;
}

static void ignore_upgrade(hysock_exchange *exchange, int32_t fd, hysock_str early,
                           void *userdata) {
    (void)exchange;
    (void)fd;
    (void)early;
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

static void ignore_access(const hysock_access *entry, void *userdata) {
    (void)entry;
    (void)userdata;
}

static void ignore_log(int32_t level, hysock_str line, void *userdata) {
    (void)level;
    (void)line;
    (void)userdata;
}

static void ignore_batch(hysock_receiver *receiver, hysock_batch *batch, void *userdata) {
    (void)receiver;
    (void)batch;
    (void)userdata;
}

static void ignore_timer(hysock_timer *timer, void *userdata) {
    (void)timer;
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
FN(rt_log, hysock_runtime, hysock_runtime_on_log(h, 1, NULL, ignore_log, NULL, NULL, ERR))
FN(rt_level, hysock_runtime, hysock_runtime_set_log_level(h, 1, ERR))
FN(rt_after, hysock_runtime, hysock_runtime_after(h, 0, NULL, ignore_timer, NULL, NULL, NULL, ERR))
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
FREE(t_free, hysock_timer)
FN(lc_mode, hysock_listener_config, hysock_listener_config_set_mode(h, 0600))
FN(lc_backlog, hysock_listener_config, hysock_listener_config_set_backlog(h, 1))
FN(lc_stale, hysock_listener_config, hysock_listener_config_set_stale(h, HYSOCK_STALE_REFUSE))
FN(lc_owner, hysock_listener_config, hysock_listener_config_set_owner(h, "0"))
FN(lc_group, hysock_listener_config, hysock_listener_config_set_group(h, "0"))
FN(lc_parent, hysock_listener_config, hysock_listener_config_set_parent_check(h, true))
static hysock_status lc_open(void *handle) {
    char path[108];
    int32_t fd;
    if (handle == NULL) /* all defaults */
        return HYSOCK_E_INVALID_ARGUMENT;
    return hysock_listener_open(temp_path(path, "none"), HYSOCK_NTS, handle, &fd, ERR);
}
FREE(lc_free, hysock_listener_config)
FN(sc_delivery, hysock_server_config, hysock_server_config_set_delivery(h, HYSOCK_DELIVERY_POOL))
FN(sc_queue, hysock_server_config, hysock_server_config_set_queue(h, handle))
FN(sc_body, hysock_server_config, hysock_server_config_set_max_body(h, 1))
FN(sc_head, hysock_server_config, hysock_server_config_set_max_head(h, 65536))
FN(sc_conns, hysock_server_config, hysock_server_config_set_max_connections(h, 1))
FN(sc_reqs, hysock_server_config, hysock_server_config_set_max_requests(h, 1))
FN(sc_headt, hysock_server_config, hysock_server_config_set_head_timeout(h, 1))
FN(sc_idle, hysock_server_config, hysock_server_config_set_idle_timeout(h, 1))
FN(sc_hdrs, hysock_server_config, hysock_server_config_set_max_headers(h, 1))
FN(sc_mqueue, hysock_server_config, hysock_server_config_set_max_queue(h, 1))
FN(sc_prog, hysock_server_config, hysock_server_config_set_progress_timeout(h, 1))
FN(sc_floor, hysock_server_config, hysock_server_config_set_progress_floor(h, 1))
FN(sc_handt, hysock_server_config, hysock_server_config_set_handler_timeout(h, 1))
FN(sc_exit, hysock_server_config, hysock_server_config_set_exit_idle(h, 1))
FN(sc_drain, hysock_server_config, hysock_server_config_set_drain(h, 1))
FN(lc_allow, hysock_listener_config, hysock_listener_config_allow(h, HYSOCK_ALLOW_SELF, 0))
FN(sc_allow, hysock_server_config, hysock_server_config_allow(h, HYSOCK_ALLOW_SELF, 0))
FN(sc_uidc, hysock_server_config, hysock_server_config_set_max_connections_per_uid(h, 1))
FN(sc_uidr, hysock_server_config, hysock_server_config_set_max_requests_per_uid(h, 1))
FN(sc_host, hysock_server_config, hysock_server_config_set_strict_host(h, true))
FREE(sc_free, hysock_server_config)
FN(s_route, hysock_server, hysock_server_add_route(h, "GET", "/", ignore_exchange, NULL, NULL, ERR))
FN(s_stream, hysock_server,
   hysock_server_add_streaming_route(h, NULL, "/s", ignore_exchange, NULL, NULL, ERR))
FN(s_allow, hysock_server, hysock_server_allow_route(h, "GET", "/", HYSOCK_ALLOW_SELF, 0, ERR))
static hysock_status s_listen(void *handle) {
    char path[108];
    return hysock_server_add_listener(handle, temp_path(path, "none"), HYSOCK_NTS, NULL, ERR);
}
FN(s_adopt, hysock_server, hysock_server_add_listener_fd(h, -1, HYSOCK_ADOPT_KEEP, NULL, ERR))
FN(s_active, hysock_server, hysock_server_add_activated(h, "none", NULL, ERR))
FN(s_conn, hysock_server, hysock_server_add_connection(h, -1, ERR))
FN(s_address, hysock_server, hysock_server_listener_address(h, 0, NULL, 0, ERR))
FN(s_rules, hysock_server, hysock_server_reload_listener(h, 0, NULL, ERR))
static hysock_status s_take(void *handle) {
    int32_t fd;
    return hysock_server_take_listener(handle, 0, &fd, ERR);
}
FN(s_start, hysock_server, hysock_server_start(h, ERR))
FN(s_reload, hysock_server, hysock_server_reload(h, NULL, ERR))
FN(s_closed, hysock_server, hysock_server_on_closed(h, ignore_closed, NULL, NULL, ERR))
FN(s_request, hysock_server, hysock_server_on_request(h, ignore_exchange, NULL, NULL, ERR))
FN(s_answer, hysock_server, hysock_server_on_answer(h, ignore_answer, NULL, NULL, ERR))
FN(s_shutdown, hysock_server, hysock_server_shutdown(h, 0, ERR))
FN(s_signal, hysock_server, hysock_server_shutdown_signal(h))
FN(s_wait, hysock_server, hysock_server_wait(h, 0, ERR))
static hysock_status s_stats(void *handle) {
    hysock_server_counts counts;
    return hysock_server_stats(handle, &counts, sizeof(counts), ERR);
}
FN(s_metrics, hysock_server, hysock_server_metrics(h, NULL, 0, ERR))
FN(s_access, hysock_server, hysock_server_on_access(h, ignore_access, NULL, NULL, ERR))
FREE(s_free, hysock_server)
FN(x_method, hysock_exchange, none(hysock_exchange_method(h)))
FN(x_target, hysock_exchange, none(hysock_exchange_target(h)))
FN(x_path, hysock_exchange, none(hysock_exchange_path(h)))
FN(x_query, hysock_exchange, none(hysock_exchange_query(h)))
FN(x_version, hysock_exchange, nothing(hysock_exchange_version(h)))
static hysock_status x_peer(void *handle) {
    hysock_peer peer;
    return hysock_exchange_peer(handle, &peer, sizeof(peer), ERR);
}
static hysock_status x_pidfd(void *handle) {
    int32_t fd = hysock_exchange_peer_pidfd(handle, ERR);
    if (fd < 0)
        return fd;
    close(fd);
    return 0;
}
FN(x_header, hysock_exchange, none(hysock_exchange_header(h, "host")))
FN(x_count, hysock_exchange, nothing(hysock_exchange_header_count(h)))
FN(x_body, hysock_exchange, none(hysock_exchange_body(h)))
static hysock_status x_at(void *handle) {
    hysock_str name, value;
    return hysock_exchange_header_at(handle, 0, &name, &value);
}
static hysock_status x_all(void *handle) {
    hysock_header header;
    int32_t n = hysock_exchange_headers(handle, &header, 1);
    return n < 0 ? n : 0;
}
static hysock_status x_trailers(void *handle) {
    hysock_header header;
    int32_t n = hysock_exchange_trailers(handle, &header, 1);
    return n < 0 ? n : 0;
}
static hysock_status x_addall(void *handle) {
    hysock_header header = {{"a", 1}, {"b", 1}};
    return hysock_exchange_add_headers(handle, &header, 1);
}
static hysock_status c_all(void *handle) {
    hysock_header header;
    int32_t n = hysock_call_headers(handle, &header, 1);
    return n < 0 ? n : 0;
}
static hysock_status c_trailers(void *handle) {
    hysock_header header;
    int32_t n = hysock_call_trailers(handle, &header, 1);
    return n < 0 ? n : 0;
}
static hysock_status c_addall(void *handle) {
    hysock_header header = {{"a", 1}, {"b", 1}};
    return hysock_call_add_headers(handle, &header, 1);
}
static hysock_status q_take(void *handle) {
    hysock_event event;
    return hysock_queue_take(handle, &event, 1, sizeof(event), 0);
}
FN(x_set, hysock_exchange, hysock_exchange_set_header(h, "a", "b", 1))
FN(x_add, hysock_exchange, hysock_exchange_add_header(h, "a", "b", 1))
FN(x_param, hysock_exchange, none(hysock_exchange_param(h, "id")))
FN(x_pattern, hysock_exchange, none(hysock_exchange_pattern(h)))
FN(x_qvalue, hysock_exchange, none(hysock_exchange_query_value(h, "id")))
FN(x_qcount, hysock_exchange, nothing(hysock_exchange_query_count(h)))
static hysock_status x_qat(void *handle) {
    hysock_str name, value;
    return hysock_exchange_query_at(handle, 0, &name, &value);
}
FN(x_valueat, hysock_exchange, none(hysock_exchange_header_value_at(h, "host", 0)))
FN(x_remove, hysock_exchange, hysock_exchange_remove_header(h, "a"))
FN(x_keep, hysock_exchange, hysock_exchange_set_userdata(h, NULL, NULL, ERR))
FN(x_kept, hysock_exchange, nothing(hysock_exchange_userdata(h) != NULL))
FN(x_keepconn, hysock_exchange, hysock_exchange_set_connection_userdata(h, NULL, NULL, ERR))
FN(x_keptconn, hysock_exchange, nothing(hysock_exchange_connection_userdata(h) != NULL))
FN(x_answer, hysock_exchange, hysock_exchange_answer(h, 200, NULL, "x", 1, ERR))
FN(x_defer, hysock_exchange, hysock_exchange_defer(h, ERR))
FN(x_gone, hysock_exchange, hysock_exchange_on_gone(h, ignore_exchange, NULL, NULL, ERR))
FN(x_length, hysock_exchange, hysock_exchange_content_length(h) == HYSOCK_UNKNOWN ? 0 : 1)
static hysock_status x_read(void *handle) {
    hysock_str piece;
    return hysock_exchange_read(handle, &piece, 0, ERR);
}
FN(x_rstart, hysock_exchange, hysock_exchange_read_start(h, ignore_read, NULL, NULL, ERR))
FN(x_start, hysock_exchange, hysock_exchange_start_answer(h, 200, NULL, 0, ERR))
FN(x_write, hysock_exchange, hysock_exchange_write(h, "x", 1, 0, ERR))
FN(x_room, hysock_exchange, hysock_exchange_on_writable(h, ignore_exchange, NULL, NULL, ERR))
FN(x_finish, hysock_exchange, hysock_exchange_finish(h, ERR))
FN(x_wnocopy, hysock_exchange, hysock_exchange_write_nocopy(h, "x", 1, 0, NULL, NULL, ERR))
FN(x_nocopy, hysock_exchange, hysock_exchange_answer_nocopy(h, 200, NULL, "x", 1, NULL, NULL, ERR))
FN(x_atrailer, hysock_exchange, hysock_exchange_add_trailer(h, "a", "b", 1, ERR))
FN(x_trailer, hysock_exchange, none(hysock_exchange_trailer(h, "a")))
FN(x_events, hysock_exchange, hysock_exchange_start_events(h, ERR))
FN(x_event, hysock_exchange, hysock_exchange_write_event(h, NULL, NULL, "x", 1, 0, ERR))
FN(x_file, hysock_exchange, hysock_exchange_send_file(h, 0, NULL, ERR))
FN(x_upgrade, hysock_exchange, hysock_exchange_upgrade(h, "x", ignore_upgrade, NULL, NULL, ERR))
FREE(x_free, hysock_exchange)
FN(cc_delivery, hysock_client_config, hysock_client_config_set_delivery(h, HYSOCK_DELIVERY_POOL))
FN(cc_body, hysock_client_config, hysock_client_config_set_max_body(h, 1))
FN(cc_connect, hysock_client_config, hysock_client_config_set_connect_timeout(h, 1))
FN(cc_timeout, hysock_client_config, hysock_client_config_set_timeout(h, 1))
FN(cc_conns, hysock_client_config, hysock_client_config_set_max_connections(h, 1))
FN(cc_idle, hysock_client_config, hysock_client_config_set_max_idle(h, 1))
FN(cc_age, hysock_client_config, hysock_client_config_set_idle_age(h, 1))
FN(cc_head, hysock_client_config, hysock_client_config_set_max_head(h, 8192))
FN(cc_absent, hysock_client_config, hysock_client_config_set_wait_absent(h, 1))
FN(cc_allow, hysock_client_config, hysock_client_config_allow(h, HYSOCK_ALLOW_SELF, 0))
FN(cc_first, hysock_client_config, hysock_client_config_set_first_byte_timeout(h, 1))
FN(cc_rest, hysock_client_config, hysock_client_config_set_idle_timeout(h, 1))
FN(cc_follow, hysock_client_config, hysock_client_config_set_max_redirects(h, 1))
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
FN(k_first, hysock_call, hysock_call_set_first_byte_timeout(h, 1))
FN(k_rest, hysock_call, hysock_call_set_idle_timeout(h, 1))
static hysock_status k_peer(void *handle) {
    hysock_peer peer;
    return hysock_call_peer(handle, &peer, sizeof(peer), ERR);
}
FN(k_perform, hysock_call, hysock_call_perform(h, ERR))
FN(k_start, hysock_call, hysock_call_start(h, ignore_call, NULL, NULL, ERR))
FN(k_cancel, hysock_call, hysock_call_cancel(h, ERR))
FN(k_error, hysock_call, hysock_call_error(h, ERR))
FN(k_http, hysock_call, nothing(hysock_call_http_status(h)))
FN(k_version, hysock_call, nothing(hysock_call_version(h)))
FN(k_header, hysock_call, none(hysock_call_header(h, "host")))
FN(k_count, hysock_call, nothing(hysock_call_header_count(h)))
FN(k_body, hysock_call, none(hysock_call_body(h)))
FN(k_streaming, hysock_call, hysock_call_set_streaming(h))
static hysock_status k_read(void *handle) {
    hysock_str piece;
    return hysock_call_read(handle, &piece, 0, ERR);
}
FN(k_rstart, hysock_call, hysock_call_read_start(h, ignore_call_read, NULL, NULL, ERR))
FN(k_upgrade, hysock_call, hysock_call_set_upgrade(h, "x"))
static hysock_status k_fd(void *handle) {
    int32_t fd;
    hysock_str early;
    return hysock_call_take_fd(handle, &fd, &early, ERR);
}
FN(k_length, hysock_call, hysock_call_content_length(h) == HYSOCK_UNKNOWN ? 0 : 1)
FN(k_trailer, hysock_call, none(hysock_call_trailer(h, "a")))
static int64_t ignore_body(hysock_call *call, void *buf, size_t size, void *userdata) {
    (void)call;
    (void)buf;
    (void)size;
    (void)userdata;
    return 0;
}
static void ignore_writable(hysock_call *call, void *userdata) {
    (void)call;
    (void)userdata;
}
static void ignore_progress(hysock_call *call, uint64_t sent, uint64_t send_total,
                            uint64_t received, uint64_t receive_total, void *userdata) {
    (void)call;
    (void)sent;
    (void)send_total;
    (void)received;
    (void)receive_total;
    (void)userdata;
}
static void ignore_informational(hysock_call *call, int32_t http_status, void *userdata) {
    (void)call;
    (void)http_status;
    (void)userdata;
}
FN(k_reader, hysock_call, hysock_call_set_body_reader(h, NULL, 0, ignore_body, NULL, NULL))
FN(k_bodyfd, hysock_call, hysock_call_set_body_fd(h, NULL, 0, 0))
FN(k_stream, hysock_call, hysock_call_set_body_stream(h, NULL, 0))
FN(k_write, hysock_call, hysock_call_write(h, "x", 1, 0, ERR))
FN(k_room, hysock_call, hysock_call_on_writable(h, ignore_writable, NULL, NULL, ERR))
FN(k_finish, hysock_call, hysock_call_finish(h, ERR))
FN(k_atrailer, hysock_call, hysock_call_add_trailer(h, "a", "b", 1))
FN(k_expect, hysock_call, hysock_call_set_expect_continue(h, 1))
FN(k_output, hysock_call, hysock_call_set_output_fd(h, 1))
FN(k_progress, hysock_call, hysock_call_on_progress(h, ignore_progress, NULL, NULL, ERR))
FN(k_interim, hysock_call, hysock_call_on_informational(h, ignore_informational, NULL, NULL, ERR))
static hysock_status k_at(void *handle) {
    hysock_str name, value;
    return hysock_call_header_at(handle, 0, &name, &value);
}
FREE(k_free, hysock_call)
FN(rv_framing, hysock_receiver_config, hysock_receiver_config_set_framing(h, HYSOCK_FRAMING_RAW))
FN(rv_delim, hysock_receiver_config, hysock_receiver_config_set_delimiter(h, 0))
FN(rv_delivery, hysock_receiver_config,
   hysock_receiver_config_set_delivery(h, HYSOCK_DELIVERY_POOL))
FN(rv_queue, hysock_receiver_config, hysock_receiver_config_set_queue(h, handle))
FN(rv_message, hysock_receiver_config, hysock_receiver_config_set_max_message(h, 1))
FN(rv_bytes, hysock_receiver_config, hysock_receiver_config_set_max_bytes(h, 65536))
FN(rv_share, hysock_receiver_config, hysock_receiver_config_set_max_bytes_per_producer(h, 65536))
FN(rv_over, hysock_receiver_config, hysock_receiver_config_set_overflow(h, HYSOCK_OVERFLOW_BLOCK))
FN(rv_conns, hysock_receiver_config, hysock_receiver_config_set_max_connections(h, 1))
FN(rv_batch, hysock_receiver_config, hysock_receiver_config_set_max_batch(h, 1))
FN(rv_frame, hysock_receiver_config, hysock_receiver_config_set_frame_timeout(h, 1))
FN(rv_events, hysock_receiver_config, hysock_receiver_config_set_events(h, true))
FN(rv_fds, hysock_receiver_config, hysock_receiver_config_set_fds(h, true))
FN(rv_memfd, hysock_receiver_config, hysock_receiver_config_set_memfd(h, true))
FN(rv_trunc, hysock_receiver_config, hysock_receiver_config_set_truncated(h, true))
FREE(rv_free, hysock_receiver_config)
static hysock_status r_recv(void *handle) {
    hysock_batch *batch;
    return hysock_receiver_recv(handle, 1, 0, &batch, ERR);
}
static hysock_status r_stats(void *handle) {
    hysock_receiver_counts counts;
    return hysock_receiver_stats(handle, &counts, sizeof(counts), ERR);
}
static hysock_status r_listen(void *handle) {
    char path[108];
    return hysock_receiver_add_listener(handle, temp_path(path, "none"), HYSOCK_NTS, NULL, ERR);
}
static hysock_status rt_receiver(void *handle) {
    hysock_receiver *receiver;
    return hysock_receiver_new(handle, NULL, &receiver, ERR);
}
static hysock_status rt_receive(void *handle) {
    hysock_receiver *receiver;
    char path[108];
    return hysock_receiver_serve(handle, temp_path(path, "none"), HYSOCK_NTS, NULL, NULL, NULL,
                                 NULL, &receiver, ERR);
}
static hysock_status rt_producer(void *handle) {
    hysock_producer *producer;
    char path[108];
    return hysock_producer_new(handle, temp_path(path, "none"), HYSOCK_NTS, NULL, &producer, ERR);
}
FN(r_adopt, hysock_receiver, hysock_receiver_add_listener_fd(h, -1, HYSOCK_ADOPT_OWN, NULL, ERR))
FN(r_active, hysock_receiver, hysock_receiver_add_activated(h, NULL, NULL, ERR))
FN(r_metrics, hysock_receiver, hysock_receiver_metrics(h, NULL, 0, ERR))
FN(rv_uidc, hysock_receiver_config, hysock_receiver_config_set_max_connections_per_uid(h, 1))
static hysock_status b_peer(void *handle) {
    hysock_peer peer;
    return hysock_batch_peer(handle, 0, &peer, sizeof(peer), ERR);
}
FN(r_fd, hysock_receiver, hysock_receiver_fd(h))
FN(r_batch, hysock_receiver, hysock_receiver_on_batch(h, ignore_batch, NULL, NULL, ERR))
FN(r_start, hysock_receiver, hysock_receiver_start(h, ERR))
FN(r_shutdown, hysock_receiver, hysock_receiver_shutdown(h, 0, ERR))
FN(r_wait, hysock_receiver, hysock_receiver_wait(h, 0, ERR))
FREE(r_free, hysock_receiver)
static hysock_status b_messages(void *handle) {
    size_t count = 7;
    return hysock_batch_messages(handle, &count) == NULL && count == 0 ? 0 : 1;
}
FN(b_keep, hysock_batch, hysock_batch_keep(h, ERR))
FN(b_fd, hysock_batch, hysock_batch_take_fd(h, 0))
FREE(b_free, hysock_batch)
FN(pc_framing, hysock_producer_config, hysock_producer_config_set_framing(h, HYSOCK_FRAMING_RAW))
FN(pc_delim, hysock_producer_config, hysock_producer_config_set_delimiter(h, 0))
FN(pc_message, hysock_producer_config, hysock_producer_config_set_max_message(h, 1))
FN(pc_queue, hysock_producer_config, hysock_producer_config_set_max_queue(h, 1))
FN(pc_over, hysock_producer_config, hysock_producer_config_set_overflow(h, HYSOCK_OVERFLOW_BLOCK))
FN(pc_fds, hysock_producer_config, hysock_producer_config_set_fds(h, true))
FN(pc_memfd, hysock_producer_config, hysock_producer_config_set_memfd(h, 1))
FREE(pc_free, hysock_producer_config)
static hysock_status p_batch(void *handle) {
    hysock_slice slice = {"x", 1};
    size_t sent;
    return hysock_producer_send_batch(handle, &slice, 1, 0, &sent, ERR);
}
static hysock_status p_sendv(void *handle) {
    hysock_slice slice = {"x", 1};
    return hysock_producer_sendv(handle, &slice, 1, 0, ERR);
}
static hysock_status p_fds(void *handle) {
    int32_t fd = 0;
    return hysock_producer_send_fds(handle, "x", 1, &fd, 1, 0, ERR);
}
static hysock_status p_stats(void *handle) {
    hysock_producer_counts counts;
    return hysock_producer_stats(handle, &counts, sizeof(counts), ERR);
}
FN(p_send, hysock_producer, hysock_producer_send(h, "x", 1, 0, ERR))
FN(p_flush, hysock_producer, hysock_producer_flush(h, HYSOCK_FLUSH_WRITTEN, 0, ERR))
FN(p_shutdown, hysock_producer, hysock_producer_shutdown(h, 0, NULL, 0, ERR))
FREE(p_free, hysock_producer)

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
    S(rt_level, RUNTIME),
    S(rt_after, RUNTIME),
    S(rt_shutdown, RUNTIME),
    S(rt_wait, RUNTIME),
    N(rt_free, RUNTIME),
    S(rt_queue, RUNTIME),
    S(rt_server, RUNTIME),
    S(rt_serve, RUNTIME),
    S(q_fd, QUEUE),
    S(q_dispatch, QUEUE),
    S(q_wake, QUEUE),
    S(q_take, QUEUE),
    N(q_free, QUEUE),
    N(t_free, TIMER),
    S(lc_mode, LISTENER_CONFIG),
    S(lc_backlog, LISTENER_CONFIG),
    S(lc_stale, LISTENER_CONFIG),
    S(lc_owner, LISTENER_CONFIG),
    S(lc_group, LISTENER_CONFIG),
    S(lc_parent, LISTENER_CONFIG),
    S(lc_open, LISTENER_CONFIG),
    S(lc_allow, LISTENER_CONFIG),
    N(lc_free, LISTENER_CONFIG),
    S(sc_delivery, SERVER_CONFIG),
    S(sc_queue, SERVER_CONFIG),
    S(sc_body, SERVER_CONFIG),
    S(sc_head, SERVER_CONFIG),
    S(sc_conns, SERVER_CONFIG),
    S(sc_reqs, SERVER_CONFIG),
    S(sc_headt, SERVER_CONFIG),
    S(sc_idle, SERVER_CONFIG),
    S(sc_hdrs, SERVER_CONFIG),
    S(sc_mqueue, SERVER_CONFIG),
    S(sc_prog, SERVER_CONFIG),
    S(sc_floor, SERVER_CONFIG),
    S(sc_handt, SERVER_CONFIG),
    S(sc_exit, SERVER_CONFIG),
    S(sc_drain, SERVER_CONFIG),
    S(sc_allow, SERVER_CONFIG),
    S(sc_uidc, SERVER_CONFIG),
    S(sc_uidr, SERVER_CONFIG),
    S(sc_host, SERVER_CONFIG),
    N(sc_free, SERVER_CONFIG),
    S(s_route, SERVER),
    S(s_stream, SERVER),
    S(s_allow, SERVER),
    S(s_listen, SERVER),
    S(s_adopt, SERVER),
    S(s_active, SERVER),
    S(s_conn, SERVER),
    S(s_take, SERVER),
    S(s_address, SERVER),
    S(s_rules, SERVER),
    S(s_start, SERVER),
    S(s_reload, SERVER),
    S(s_closed, SERVER),
    S(s_request, SERVER),
    S(s_answer, SERVER),
    S(s_shutdown, SERVER),
    S(s_signal, SERVER),
    S(s_wait, SERVER),
    S(s_stats, SERVER),
    S(s_metrics, SERVER),
    S(s_access, SERVER),
    N(s_free, SERVER),
    E(x_method, EXCHANGE),
    E(x_target, EXCHANGE),
    E(x_path, EXCHANGE),
    E(x_query, EXCHANGE),
    E(x_version, EXCHANGE),
    S(x_peer, EXCHANGE),
    S(x_pidfd, EXCHANGE),
    E(x_header, EXCHANGE),
    E(x_count, EXCHANGE),
    E(x_body, EXCHANGE),
    S(x_at, EXCHANGE),
    S(x_set, EXCHANGE),
    S(x_all, EXCHANGE),
    S(x_trailers, EXCHANGE),
    S(x_addall, EXCHANGE),
    S(x_add, EXCHANGE),
    E(x_param, EXCHANGE),
    E(x_pattern, EXCHANGE),
    E(x_qvalue, EXCHANGE),
    E(x_qcount, EXCHANGE),
    S(x_qat, EXCHANGE),
    E(x_valueat, EXCHANGE),
    S(x_remove, EXCHANGE),
    S(x_keep, EXCHANGE),
    E(x_kept, EXCHANGE),
    S(x_keepconn, EXCHANGE),
    E(x_keptconn, EXCHANGE),
    S(x_answer, EXCHANGE),
    S(x_defer, EXCHANGE),
    S(x_gone, EXCHANGE),
    E(x_length, EXCHANGE),
    S(x_read, EXCHANGE),
    S(x_rstart, EXCHANGE),
    S(x_start, EXCHANGE),
    S(x_write, EXCHANGE),
    S(x_room, EXCHANGE),
    S(x_finish, EXCHANGE),
    S(x_wnocopy, EXCHANGE),
    S(x_nocopy, EXCHANGE),
    S(x_atrailer, EXCHANGE),
    E(x_trailer, EXCHANGE),
    S(x_events, EXCHANGE),
    S(x_event, EXCHANGE),
    S(x_file, EXCHANGE),
    S(x_upgrade, EXCHANGE),
    N(x_free, EXCHANGE),
    S(cc_delivery, CLIENT_CONFIG),
    S(cc_body, CLIENT_CONFIG),
    S(cc_connect, CLIENT_CONFIG),
    S(cc_timeout, CLIENT_CONFIG),
    S(cc_conns, CLIENT_CONFIG),
    S(cc_head, CLIENT_CONFIG),
    S(cc_absent, CLIENT_CONFIG),
    S(cc_allow, CLIENT_CONFIG),
    S(cc_first, CLIENT_CONFIG),
    S(cc_rest, CLIENT_CONFIG),
    S(cc_follow, CLIENT_CONFIG),
    S(cc_idle, CLIENT_CONFIG),
    S(cc_age, CLIENT_CONFIG),
    N(cc_free, CLIENT_CONFIG),
    S(c_shutdown, CLIENT),
    S(c_wait, CLIENT),
    N(c_free, CLIENT),
    S(c_call, CLIENT),
    S(k_set, CALL),
    S(c_all, CALL),
    S(c_trailers, CALL),
    S(c_addall, CALL),
    S(k_add, CALL),
    S(k_setbody, CALL),
    S(k_timeout, CALL),
    S(k_first, CALL),
    S(k_rest, CALL),
    S(k_peer, CALL),
    S(k_perform, CALL),
    S(k_start, CALL),
    S(k_cancel, CALL),
    S(k_error, CALL),
    E(k_http, CALL),
    E(k_version, CALL),
    E(k_header, CALL),
    E(k_count, CALL),
    E(k_body, CALL),
    S(k_streaming, CALL),
    S(k_read, CALL),
    S(k_rstart, CALL),
    S(k_upgrade, CALL),
    S(k_fd, CALL),
    E(k_length, CALL),
    E(k_trailer, CALL),
    S(k_reader, CALL),
    S(k_bodyfd, CALL),
    S(k_stream, CALL),
    S(k_write, CALL),
    S(k_room, CALL),
    S(k_finish, CALL),
    S(k_atrailer, CALL),
    S(k_expect, CALL),
    S(k_output, CALL),
    S(k_progress, CALL),
    S(k_interim, CALL),
    S(k_at, CALL),
    N(k_free, CALL),
    S(rv_framing, RECEIVER_CONFIG),
    S(rv_delim, RECEIVER_CONFIG),
    S(rv_delivery, RECEIVER_CONFIG),
    S(rv_queue, RECEIVER_CONFIG),
    S(rv_message, RECEIVER_CONFIG),
    S(rv_bytes, RECEIVER_CONFIG),
    S(rv_share, RECEIVER_CONFIG),
    S(rv_over, RECEIVER_CONFIG),
    S(rv_conns, RECEIVER_CONFIG),
    S(rv_batch, RECEIVER_CONFIG),
    S(rv_frame, RECEIVER_CONFIG),
    S(rv_events, RECEIVER_CONFIG),
    S(rv_fds, RECEIVER_CONFIG),
    S(rv_memfd, RECEIVER_CONFIG),
    S(rv_trunc, RECEIVER_CONFIG),
    N(rv_free, RECEIVER_CONFIG),
    S(r_recv, RECEIVER),
    S(r_stats, RECEIVER),
    S(r_listen, RECEIVER),
    S(rt_receiver, RUNTIME),
    S(rt_receive, RUNTIME),
    S(rt_producer, RUNTIME),
    S(r_adopt, RECEIVER),
    S(r_active, RECEIVER),
    S(r_metrics, RECEIVER),
    S(rv_uidc, RECEIVER_CONFIG),
    S(b_peer, BATCH),
    S(r_fd, RECEIVER),
    S(r_batch, RECEIVER),
    S(r_start, RECEIVER),
    S(r_shutdown, RECEIVER),
    S(r_wait, RECEIVER),
    N(r_free, RECEIVER),
    E(b_messages, BATCH),
    S(b_keep, BATCH),
    S(b_fd, BATCH),
    N(b_free, BATCH),
    S(pc_framing, PRODUCER_CONFIG),
    S(pc_delim, PRODUCER_CONFIG),
    S(pc_message, PRODUCER_CONFIG),
    S(pc_queue, PRODUCER_CONFIG),
    S(pc_over, PRODUCER_CONFIG),
    S(pc_fds, PRODUCER_CONFIG),
    S(pc_memfd, PRODUCER_CONFIG),
    N(pc_free, PRODUCER_CONFIG),
    S(p_batch, PRODUCER),
    S(p_sendv, PRODUCER),
    S(p_fds, PRODUCER),
    S(p_stats, PRODUCER),
    S(p_send, PRODUCER),
    S(p_flush, PRODUCER),
    S(p_shutdown, PRODUCER),
    N(p_free, PRODUCER),
};
#define FUNCTIONS (sizeof(functions) / sizeof(functions[0]))

#endif
