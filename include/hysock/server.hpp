// hysock/server.hpp: routes, and the sockets that they are served on.
#ifndef HYSOCK_SERVER_HPP
#define HYSOCK_SERVER_HPP

#include "exchange.hpp"
#include "listener.hpp"
#include "server_config.hpp"

namespace hysock {

/// What a server has counted since it was made.
using server_counts = hysock_server_counts;
/// One request of the access log, good until the callback returns.
using access = hysock_access;

/// Routes, and the sockets that they are served on.
///
/// Handlers are `fn(hysock::exchange &)`. They are moved in, and destroyed after their last call.
/// One that throws gets its client a 500. A handler that needs its server is added to one that
/// was made with make(): serve() begins before it returns.
class server : public detail::handle<hysock_server, hysock_server_free> {
    template <class F> using box = detail::box<F>;

  public:
    using handle::handle;
    using config_or_none = detail::optional_config<server_config>;
    using listener_or_none = detail::optional_config<listener_config>;

    /// hysock_server_serve(): listen at `address` and hand every request to `fn`: new,
    /// add_listener, add_route and start in one.
    template <class F>
    static result<server> serve(const runtime &runtime, std::string_view address, F handler) {
        return serve_with(runtime, address, {}, std::move(handler));
    }
    template <class F>
    static result<server> serve(const runtime &runtime, std::string_view address,
                                const server_config &config, F handler) {
        return serve_with(runtime, address, config, std::move(handler));
    }
    /// hysock_server_new(): make a server without routes and sockets: it does nothing until it has
    /// both and is started.
    static result<server> make(const runtime &runtime, config_or_none config = {}) {
        return detail::made<server, hysock_server>([&](hysock_server **raw, hysock_error *err) {
            return hysock_server_new(runtime.get(), config.get(), raw, err);
        });
    }
    /// hysock_server_add_route(): hand requests with this method and path to `fn`; before the start
    /// only.
    template <class F>
    [[nodiscard]] result<void> add_route(zstring method, zstring pattern, F handler) {
        return detail::done([&](hysock_error *err) {
            hysock_server_add_route(get(), method.c_str(), pattern.c_str(), exchange::call<F>,
                                    box<F>::make(std::move(handler)), box<F>::drop, err);
        });
    }
    /// hysock_server_add_streaming_route(): hand requests with this method and path to `fn` as soon
    /// as their heads are there: it reads the body itself.
    template <class F>
    [[nodiscard]] result<void> add_streaming_route(zstring method, zstring pattern, F handler) {
        return detail::done([&](hysock_error *err) {
            hysock_server_add_streaming_route(get(), method.c_str(), pattern.c_str(),
                                              exchange::call<F>, box<F>::make(std::move(handler)),
                                              box<F>::drop, err);
        });
    }
    /// hysock_server_allow_route(): let only those use a route whom a rule names: this one, or
    /// another rule of the same route.
    [[nodiscard]] result<void> allow_route(zstring method, zstring pattern, rule rule,
                                           std::uint32_t id = 0) {
        return detail::done([&](hysock_error *err) {
            hysock_server_allow_route(get(), method.c_str(), pattern.c_str(),
                                      static_cast<std::int32_t>(rule), id, err);
        });
    }
    /// hysock_server_add_listener(): make a socket at `address` and listen on it; before the start
    /// only.
    [[nodiscard]] result<void> add_listener(std::string_view address,
                                            listener_or_none config = {}) {
        return detail::done([&](hysock_error *err) {
            hysock_server_add_listener(get(), detail::chars(address), address.size(), config.get(),
                                       err);
        });
    }
    /// hysock_server_add_listener_fd(): listen on a socket that is there already: opened by
    /// hysock_listener_open(), inherited, or passed.
    [[nodiscard]] result<void> add_listener_fd(unique_fd fd, adopt adopt,
                                               listener_or_none config = {}) {
        return detail::done([&](hysock_error *err) {
            hysock_server_add_listener_fd(get(), fd.release(), static_cast<std::int32_t>(adopt),
                                          config.get(), err);
        });
    }
    /// hysock_server_add_activated(): listen on the sockets that the service manager has passed
    /// (systemd's socket activation, sd_listen_fds(3)); returns how many: 0 says that the program
    /// was started without, and binds its own.
    result<unsigned> add_activated(zstring name = nullptr, listener_or_none config = {}) {
        error err;
        const std::int32_t n =
            hysock_server_add_activated(get(), name.c_str(), config.get(), err.out());
        if (n < 0)
            return err;
        return static_cast<unsigned>(n);
    }
    /// hysock_server_add_connection(): serve one connection that is there already: an end of a
    /// socketpair(2), or what a superserver such as inetd passes.
    [[nodiscard]] result<void> add_connection(unique_fd fd) {
        return detail::done(
            [&](hysock_error *err) { hysock_server_add_connection(get(), fd.release(), err); });
    }
    /// hysock_server_take_listener(): take a listening socket out of a server, for a successor:
    /// this server accepts no more from it and leaves its file alone; its connections go on.
    result<unique_fd> take_listener(std::size_t index) {
        std::int32_t fd = -1;
        error err;
        if (hysock_server_take_listener(get(), index, &fd, err.out()) != HYSOCK_OK)
            return err;
        return unique_fd(fd);
    }
    /// hysock_server_on_request(): run `fn` before every handler, on the same thread and in the
    /// same turn: own authorisation, a request id, common headers.
    /// `fn(exchange &)`. When it throws, the client gets a 500 and the handler does not run.
    template <class F> [[nodiscard]] result<void> on_request(F fn) {
        return detail::done([&](hysock_error *err) {
            hysock_server_on_request(get(), exchange::call<F>, box<F>::make(std::move(fn)),
                                     box<F>::drop, err);
        });
    }
    /// hysock_server_on_answer(): run `fn` for every answer before it is sent, the 500 of a handler
    /// that gave none included: common headers, cookies.
    /// `fn(exchange &, int http_status)`. When it throws, the client gets a 500.
    template <class F> [[nodiscard]] result<void> on_answer(F fn) {
        static_assert(std::is_invocable_v<F &, exchange &, int>);
        const auto call = [](hysock_exchange *raw, std::int32_t http_status, void *u) noexcept {
            const bool went_well = detail::guarded([&] {
                exchange lent = exchange::lent(raw);
                box<F>::of(u)(lent, static_cast<int>(http_status));
            });
            if (!went_well) // what it was to add is missing: a refused header stops the answer
                hysock_exchange_set_header(raw, "", "", 0);
        };
        return detail::done([&](hysock_error *err) {
            hysock_server_on_answer(get(), call, box<F>::make(std::move(fn)), box<F>::drop, err);
        });
    }
    /// hysock_server_on_access(): run `fn` once for each request: after its answer has left (of an
    /// upgrade: the 101), or when its client has.
    /// `fn(const access &)`.
    template <class F> [[nodiscard]] result<void> on_access(F fn) {
        static_assert(std::is_invocable_v<F &, const access &>);
        const auto call = [](const hysock_access *entry, void *u) noexcept {
            detail::guarded([&] { box<F>::of(u)(*entry); });
        };
        return detail::done([&](hysock_error *err) {
            hysock_server_on_access(get(), call, box<F>::make(std::move(fn)), box<F>::drop, err);
        });
    }
    /// hysock_server_on_closed(): run `fn` once when the server has ended.
    /// `fn(status reason, std::uint64_t aborted)`.
    template <class F> [[nodiscard]] result<void> on_closed(F fn) {
        static_assert(std::is_invocable_v<F &, status, std::uint64_t>);
        const auto call = [](hysock_server *, hysock_status reason, std::uint64_t aborted,
                             void *u) noexcept {
            detail::guarded([&] { box<F>::of(u)(detail::to_status(reason), aborted); });
        };
        return detail::done([&](hysock_error *err) {
            hysock_server_on_closed(get(), call, box<F>::make(std::move(fn)), box<F>::drop, err);
        });
    }
    /// hysock_server_start(): accept connections from now on, on every socket that was added.
    [[nodiscard]] result<void> start() {
        return detail::done([&](hysock_error *err) { hysock_server_start(get(), err); });
    }
    /// hysock_server_reload(): keep to another config from now on: for a daemon that reads its
    /// settings again.
    [[nodiscard]] result<void> reload(config_or_none config = {}) {
        return detail::done(
            [&](hysock_error *err) { hysock_server_reload(get(), config.get(), err); });
    }
    /// hysock_server_reload_listener(): keep to the allow rules of another listener config from now
    /// on, at one listener; what hysock_server_reload() is for the rest.
    [[nodiscard]] result<void> reload_listener(std::size_t index, listener_or_none config = {}) {
        return detail::done([&](hysock_error *err) {
            hysock_server_reload_listener(get(), index, config.get(), err);
        });
    }
    /// hysock_server_listener_address(): write the address of a listener into `buf`, with a NUL
    /// after it, as much as fits; returns the length of the whole address, so a result of `size` or
    /// more says that it was cut.
    result<std::string> listener_address(std::size_t index) const {
        return detail::filled(256, [&](char *buf, std::size_t size) -> result<std::size_t> {
            error err;
            const std::int32_t n =
                hysock_server_listener_address(get(), index, buf, size, err.out());
            if (n < 0)
                return err;
            return static_cast<std::size_t>(n);
        });
    }
    /// hysock_server_shutdown(): begin the end: no new connections, idle ones are closed, answers
    /// in flight may finish for `drain_ms` milliseconds (0: none, HYSOCK_FOREVER: all), then
    /// connections are closed.
    result<void> shutdown(timeout drain = no_wait) {
        return detail::done(
            [&](hysock_error *err) { hysock_server_shutdown(get(), drain.ms(), err); });
    }
    /// hysock_server_shutdown_signal(): begin the end like hysock_server_shutdown(), from a signal
    /// handler; answers in flight get the config's drain time, 10 seconds by default.
    status shutdown_signal() noexcept {
        return detail::to_status(hysock_server_shutdown_signal(get()));
    }
    /// hysock_server_wait(): wait until the server has ended: no callback of it runs or will run,
    /// its drops have run.
    [[nodiscard]] result<void> wait(timeout time = forever) {
        return detail::done([&](hysock_error *err) { hysock_server_wait(get(), time.ms(), err); });
    }
    /// hysock_server_stats(): fill `*counts` with what the server has counted so far; also after
    /// its end, until it is freed.
    result<server_counts> stats() const {
        return detail::sized<server_counts>(
            [&](server_counts *counts, std::size_t size, hysock_error *err) {
                return hysock_server_stats(get(), counts, size, err);
            });
    }
    /// hysock_server_metrics(): write the same numbers into `buf` as text for Prometheus
    /// (exposition format 0.0.4, content type `text/plain; version=0.0.4`), with a NUL after it, as
    /// much as fits; returns the length of the whole text, so a result of `size` or more says that
    /// it was cut.
    result<std::string> metrics() const {
        return detail::filled(8192, [&](char *buf, std::size_t size) -> result<std::size_t> {
            error err;
            const std::int32_t n = hysock_server_metrics(get(), buf, size, err.out());
            if (n < 0)
                return err;
            return static_cast<std::size_t>(n);
        });
    }

  private:
    template <class F>
    static result<server> serve_with(const runtime &runtime, std::string_view address,
                                     config_or_none config, F handler) {
        return detail::made<server, hysock_server>([&](hysock_server **raw, hysock_error *err) {
            return hysock_server_serve(runtime.get(), detail::chars(address), address.size(),
                                       config.get(), exchange::call<F>,
                                       box<F>::make(std::move(handler)), box<F>::drop, raw, err);
        });
    }
};

} // namespace hysock

#endif
