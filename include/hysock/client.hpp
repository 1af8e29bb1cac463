// hysock/client.hpp: one address to talk to, with its connections.
#ifndef HYSOCK_CLIENT_HPP
#define HYSOCK_CLIENT_HPP

#include "runtime.hpp"

namespace hysock {

/// What a client keeps to. The first setter that is refused makes the client that reads the config
/// fail, with its words.
class client_config : public detail::handle<hysock_client_config, hysock_client_config_free> {
  public:
    /// hysock_client_config_new(): make a config that holds the defaults.
    client_config() noexcept : handle(hysock_client_config_new()) {}
    /// hysock_client_config_set_delivery(): set where callbacks run: HYSOCK_DELIVERY_POOL, the
    /// default, or HYSOCK_DELIVERY_INLINE.
    status set_delivery(hysock::delivery delivery) noexcept {
        return detail::to_status(
            hysock_client_config_set_delivery(get(), static_cast<std::int32_t>(delivery)));
    }
    /// hysock_client_config_set_queue(): run callbacks on whoever dispatches this queue, which must
    /// be of the client's runtime.
    status set_queue(const queue &queue) noexcept {
        return detail::to_status(hysock_client_config_set_queue(get(), detail::given(queue)));
    }
    /// hysock_client_config_set_max_body(): set the largest body of an answer, in bytes: 1 or more
    /// or HYSOCK_UNLIMITED, 16 MiB by default.
    status set_max_body(std::uint64_t bytes) noexcept {
        return detail::to_status(hysock_client_config_set_max_body(get(), bytes));
    }
    /// hysock_client_config_set_max_head(): set the longest head of an answer, in bytes: 8192 to
    /// 1048576, 64 KiB by default.
    status set_max_head(std::uint64_t bytes) noexcept {
        return detail::to_status(hysock_client_config_set_max_head(get(), bytes));
    }
    /// hysock_client_config_allow(): let calls go only to a server whom a rule names: this one, or
    /// another rule of the same config.
    status allow(hysock::rule rule, std::uint32_t id = 0) noexcept {
        return detail::to_status(
            hysock_client_config_allow(get(), static_cast<std::int32_t>(rule), id));
    }
    /// hysock_client_config_set_connect_timeout(): set how long connecting may take, in
    /// milliseconds: 1 or more or HYSOCK_FOREVER, 10 seconds by default.
    status set_connect_timeout(timeout time) noexcept {
        return detail::to_status(hysock_client_config_set_connect_timeout(get(), time.ms()));
    }
    /// hysock_client_config_set_wait_absent(): set how long to wait for a server that is not up, in
    /// milliseconds: 1 or more or HYSOCK_FOREVER. By default not at all: HYSOCK_E_ABSENT and
    /// HYSOCK_E_REFUSED come at once.
    status set_wait_absent(timeout time) noexcept {
        return detail::to_status(hysock_client_config_set_wait_absent(get(), time.ms()));
    }
    /// hysock_client_config_set_first_byte_timeout(): set how long an answer may take to begin, in
    /// milliseconds: 1 or more or HYSOCK_FOREVER, the default.
    status set_first_byte_timeout(timeout time) noexcept {
        return detail::to_status(hysock_client_config_set_first_byte_timeout(get(), time.ms()));
    }
    /// hysock_client_config_set_idle_timeout(): set how long a call waits for a server that neither
    /// takes nor sends a byte, in milliseconds: 1 or more or HYSOCK_FOREVER, the default.
    status set_idle_timeout(timeout time) noexcept {
        return detail::to_status(hysock_client_config_set_idle_timeout(get(), time.ms()));
    }
    /// hysock_client_config_set_max_redirects(): follow redirects, up to so many for one call: 1 to
    /// 50.
    status set_max_redirects(std::uint64_t n) noexcept {
        return detail::to_status(hysock_client_config_set_max_redirects(get(), n));
    }
    /// hysock_client_config_set_timeout(): set how long a call may take in all, in milliseconds: 1
    /// or more or HYSOCK_FOREVER, the default. hysock_call_set_timeout() is the same for one call.
    status set_timeout(timeout time) noexcept {
        return detail::to_status(hysock_client_config_set_timeout(get(), time.ms()));
    }
    /// hysock_client_config_set_max_connections(): set how many connections the client may hold: 1
    /// to 4294967295 or HYSOCK_UNLIMITED, 64 by default.
    status set_max_connections(std::uint64_t n) noexcept {
        return detail::to_status(hysock_client_config_set_max_connections(get(), n));
    }
    /// hysock_client_config_set_max_idle(): set how many idle connections are kept for later calls:
    /// 1 to 4294967295 or HYSOCK_UNLIMITED, 8 by default.
    status set_max_idle(std::uint64_t n) noexcept {
        return detail::to_status(hysock_client_config_set_max_idle(get(), n));
    }
    /// hysock_client_config_set_idle_age(): set how long an idle connection is kept, in
    /// milliseconds: 1 or more or HYSOCK_FOREVER, 60 seconds by default.
    status set_idle_age(timeout time) noexcept {
        return detail::to_status(hysock_client_config_set_idle_age(get(), time.ms()));
    }
};

/// One address to talk to, with its connections. Calls are made from it: call::make().
class client : public detail::handle<hysock_client, hysock_client_free> {
  public:
    using handle::handle;
    using config_or_none = detail::optional_config<client_config>;

    /// hysock_client_new(): make a client for the socket at `address`.
    static result<client> make(const runtime &runtime, std::string_view address,
                               config_or_none config = {}) {
        return make_raw(detail::given(runtime), address, config);
    }
    /// The same without a runtime: its calls can be performed, not started. It survives fork(2).
    static result<client> make(std::string_view address, config_or_none config = {}) {
        return make_raw(nullptr, address, config);
    }
    /// hysock_client_new_fd(): make a client for one connection that is there already: an end of a
    /// socketpair(2), or a descriptor that somebody has passed.
    static result<client> make_fd(const runtime &runtime, unique_fd fd,
                                  config_or_none config = {}) {
        return make_fd_raw(detail::given(runtime), std::move(fd), config);
    }
    /// The same without a runtime.
    static result<client> make_fd(unique_fd fd, config_or_none config = {}) {
        return make_fd_raw(nullptr, std::move(fd), config);
    }
    /// hysock_client_shutdown(): begin the end: no new calls, those that run have `drain_ms`
    /// milliseconds (0: none, HYSOCK_FOREVER: all the time), then they are cancelled; each started
    /// one still completes.
    result<void> shutdown(timeout drain = no_wait) {
        return detail::done(
            [&](hysock_error *err) { hysock_client_shutdown(get(), drain.ms(), err); });
    }
    /// hysock_client_wait(): wait until the client has ended: no completion of it runs or will run,
    /// its drops have run.
    [[nodiscard]] result<void> wait(timeout time = forever) {
        return detail::done([&](hysock_error *err) { hysock_client_wait(get(), time.ms(), err); });
    }

  private:
    static result<client> make_raw(hysock_runtime *runtime, std::string_view address,
                                   config_or_none config) {
        return detail::made<client, hysock_client>([&](hysock_client **raw, hysock_error *err) {
            return hysock_client_new(runtime, detail::chars(address), address.size(), config.get(),
                                     raw, err);
        });
    }
    static result<client> make_fd_raw(hysock_runtime *runtime, unique_fd fd,
                                      config_or_none config) {
        return detail::made<client, hysock_client>([&](hysock_client **raw, hysock_error *err) {
            return hysock_client_new_fd(runtime, fd.release(), config.get(), raw, err);
        });
    }
};

} // namespace hysock

#endif
