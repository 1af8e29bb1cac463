// hysock/server_config.hpp: what a server keeps to.
#ifndef HYSOCK_SERVER_CONFIG_HPP
#define HYSOCK_SERVER_CONFIG_HPP

#include "runtime.hpp"

namespace hysock {

/// What a server keeps to. The first setter that is refused makes the server that reads the config
/// fail, with its words: looking at each result is allowed, never needed.
class server_config : public detail::handle<hysock_server_config, hysock_server_config_free> {
  public:
    /// hysock_server_config_new(): make a config that holds the defaults.
    server_config() noexcept : handle(hysock_server_config_new()) {}
    /// hysock_server_config_set_delivery(): set where callbacks run: HYSOCK_DELIVERY_POOL, the
    /// default, or HYSOCK_DELIVERY_INLINE.
    status set_delivery(hysock::delivery delivery) noexcept {
        return detail::to_status(
            hysock_server_config_set_delivery(get(), static_cast<std::int32_t>(delivery)));
    }
    /// hysock_server_config_set_queue(): run callbacks on whoever dispatches this queue, which must
    /// be of the server's runtime.
    status set_queue(const queue &queue) noexcept {
        return detail::to_status(hysock_server_config_set_queue(get(), detail::given(queue)));
    }
    /// hysock_server_config_set_max_body(): set the largest request body, in bytes: 1 or more or
    /// HYSOCK_UNLIMITED, 1 MiB by default.
    status set_max_body(std::uint64_t bytes) noexcept {
        return detail::to_status(hysock_server_config_set_max_body(get(), bytes));
    }
    /// hysock_server_config_set_max_head(): set the largest request head (request line and
    /// headers), in bytes: 8 KiB to 1 MiB, 64 KiB by default.
    status set_max_head(std::uint64_t bytes) noexcept {
        return detail::to_status(hysock_server_config_set_max_head(get(), bytes));
    }
    /// hysock_server_config_set_max_connections(): set how many connections there may be at once: 1
    /// to 4294967295 or HYSOCK_UNLIMITED, 4096 by default.
    status set_max_connections(std::uint64_t n) noexcept {
        return detail::to_status(hysock_server_config_set_max_connections(get(), n));
    }
    /// hysock_server_config_set_max_requests(): set how many requests may be without an answer at
    /// once: 1 to 4294967295 or HYSOCK_UNLIMITED, 4096 by default.
    status set_max_requests(std::uint64_t n) noexcept {
        return detail::to_status(hysock_server_config_set_max_requests(get(), n));
    }
    /// hysock_server_config_set_max_headers(): set how many header lines a request may have: 1 to
    /// 100, 100 by default.
    status set_max_headers(std::uint32_t n) noexcept {
        return detail::to_status(hysock_server_config_set_max_headers(get(), n));
    }
    /// hysock_server_config_set_max_queue(): set how many requests may wait for callback threads or
    /// in a queue: 1 to 4294967295 or HYSOCK_UNLIMITED, 1024 by default.
    status set_max_queue(std::uint64_t n) noexcept {
        return detail::to_status(hysock_server_config_set_max_queue(get(), n));
    }
    /// hysock_server_config_set_head_timeout(): set how long a client may take to send a request
    /// head, in milliseconds: 1 or more or HYSOCK_FOREVER, 10 seconds by default.
    status set_head_timeout(timeout time) noexcept {
        return detail::to_status(hysock_server_config_set_head_timeout(get(), time.ms()));
    }
    /// hysock_server_config_set_idle_timeout(): set how long a connection may lie idle between two
    /// requests, in milliseconds: 1 or more or HYSOCK_FOREVER, 75 seconds by default.
    status set_idle_timeout(timeout time) noexcept {
        return detail::to_status(hysock_server_config_set_idle_timeout(get(), time.ms()));
    }
    /// hysock_server_config_set_progress_timeout(): set in which time a client that owes us bytes
    /// must move hysock_server_config_set_progress_floor() of them, in milliseconds: 1 or more or
    /// HYSOCK_FOREVER, 30 seconds by default.
    status set_progress_timeout(timeout time) noexcept {
        return detail::to_status(hysock_server_config_set_progress_timeout(get(), time.ms()));
    }
    /// hysock_server_config_set_progress_floor(): set how many bytes a client must move in
    /// hysock_server_config_set_progress_timeout(): 1 to 4294967295, 256 by default.
    status set_progress_floor(std::uint64_t bytes) noexcept {
        return detail::to_status(hysock_server_config_set_progress_floor(get(), bytes));
    }
    /// hysock_server_config_set_handler_timeout(): set how long a request that was read to its end
    /// may wait for its answer, in milliseconds: 1 or more or HYSOCK_FOREVER, the default.
    status set_handler_timeout(timeout time) noexcept {
        return detail::to_status(hysock_server_config_set_handler_timeout(get(), time.ms()));
    }
    /// hysock_server_config_set_exit_idle(): set after how long without a connection the server
    /// shuts itself down, in milliseconds: 1 or more or HYSOCK_FOREVER, the default.
    status set_exit_idle(timeout time) noexcept {
        return detail::to_status(hysock_server_config_set_exit_idle(get(), time.ms()));
    }
    /// hysock_server_config_set_drain(): set how long answers in flight may take after
    /// hysock_server_shutdown_signal(), in milliseconds: 1 or more or HYSOCK_FOREVER, 10 seconds by
    /// default. hysock_server_shutdown() takes its own time.
    status set_drain(timeout time) noexcept {
        return detail::to_status(hysock_server_config_set_drain(get(), time.ms()));
    }
    /// hysock_server_config_set_strict_host(): set whether Host must be a proper host name: off by
    /// default, since clients on Unix sockets send empty and odd ones.
    status set_strict_host(bool strict) noexcept {
        return detail::to_status(hysock_server_config_set_strict_host(get(), strict));
    }
    /// hysock_server_config_allow(): let in only those whom a rule names: this one, or another rule
    /// of the same config; on every listener, beside the listener's own rules.
    status allow(hysock::rule rule, std::uint32_t id = 0) noexcept {
        return detail::to_status(
            hysock_server_config_allow(get(), static_cast<std::int32_t>(rule), id));
    }
    /// hysock_server_config_set_max_connections_per_uid(): set how many connections one user may
    /// have at once: 1 to 4294967295 or HYSOCK_UNLIMITED, 1024 by default.
    status set_max_connections_per_uid(std::uint64_t n) noexcept {
        return detail::to_status(hysock_server_config_set_max_connections_per_uid(get(), n));
    }
    /// hysock_server_config_set_max_requests_per_uid(): set how many requests of one user may be
    /// without an answer at once: 1 to 4294967295 or HYSOCK_UNLIMITED, which is the default.
    status set_max_requests_per_uid(std::uint64_t n) noexcept {
        return detail::to_status(hysock_server_config_set_max_requests_per_uid(get(), n));
    }
};

} // namespace hysock

#endif
