// hysock/call.hpp: one request sent, and the answer received.
#ifndef HYSOCK_CALL_HPP
#define HYSOCK_CALL_HPP

#include "client.hpp"
#include "exchange.hpp"

namespace hysock {

/// One request sent, and the answer received.
///
/// A setter that is refused makes perform() and start() fail with its words. An HTTP error status
/// is a success of the call. Texts of the answer are good as long as the call.
class call : public detail::lendable<hysock_call, hysock_call_free> {
    template <class F> using box = detail::box<F>;

  public:
    using lendable::lendable;
    /// A call that a callback of hysock.h was lent.
    static call lent(hysock_call *raw) noexcept { return {lendable::lent{}, raw}; }

    /// hysock_call_new(): make a call; nothing is sent yet.
    static result<call> make(const client &client, zstring method, std::string_view target) {
        return detail::made<call, hysock_call>([&](hysock_call **raw, hysock_error *err) {
            return hysock_call_new(client.get(), method.c_str(), detail::chars(target),
                                   target.size(), raw, err);
        });
    }

    // ---- the request ----

    /// hysock_call_set_header(): set a header of the request, in the place of any with that name.
    status set_header(zstring name, std::string_view value) noexcept {
        return detail::to_status(
            hysock_call_set_header(get(), name.c_str(), detail::chars(value), value.size()));
    }
    /// hysock_call_add_header(): add a header to the request, after any with that name.
    status add_header(zstring name, std::string_view value) noexcept {
        return detail::to_status(
            hysock_call_add_header(get(), name.c_str(), detail::chars(value), value.size()));
    }
    /// hysock_call_set_body(): set the request's body, all of it; Content-Length follows from it.
    status set_body(zstring content_type, bytes body) noexcept {
        return detail::to_status(
            hysock_call_set_body(get(), content_type.c_str(), body.data(), body.size()));
    }
    /// hysock_call_set_timeout(): set how long the call may take in all, from perform or start on,
    /// in milliseconds: 1 or more or HYSOCK_FOREVER; by default the client's.
    status set_timeout(timeout time) noexcept {
        return detail::to_status(hysock_call_set_timeout(get(), time.ms()));
    }
    /// hysock_call_set_first_byte_timeout(): set how long the answer may take to begin: from the
    /// last byte of the request that was sent to the first one of the answer.
    status set_first_byte_timeout(timeout time) noexcept {
        return detail::to_status(hysock_call_set_first_byte_timeout(get(), time.ms()));
    }
    /// hysock_call_set_idle_timeout(): set how long the call waits for a server that neither takes
    /// nor sends a byte.
    status set_idle_timeout(timeout time) noexcept {
        return detail::to_status(hysock_call_set_idle_timeout(get(), time.ms()));
    }
    /// hysock_call_set_parent(): hang the call on an exchange: it is made in order to answer that
    /// one.
    status set_parent(const exchange &exchange) noexcept {
        return detail::to_status(hysock_call_set_parent(get(), exchange.get()));
    }

    // ---- on the way ----

    /// hysock_call_perform(): send the request and wait for the whole answer, on this thread: no
    /// other thread of the library takes part.
    // Not inlined: in a coroutine compilers would keep the address of a thread's variable.
    [[nodiscard]] [[gnu::noinline]] result<void> perform() {
        const detail::throws_into_me thrown;
        return thrown.instead_of(
            detail::done([&](hysock_error *err) { hysock_call_perform(get(), err); }));
    }
    /// hysock_call_start(): send the request and return; `fn` runs once, in the client's delivery,
    /// when the call has ended.
    /// `fn(call &, status)`. The call stays yours: its end cancels it and withdraws `fn`.
    template <class F> [[nodiscard]] result<void> start(F fn) & {
        return start_raw(get(), std::move(fn));
    }
    /// The same for a call that nobody keeps, `std::move(call).start(fn)`: it lasts until `fn` has
    /// returned. Also when this fails the call is gone.
    template <class F> [[nodiscard]] result<void> start(F fn) && {
        hysock_call *raw = get();
        return start_raw(raw, [fn = std::move(fn), kept = std::move(*this)](
                                  call &call, status s) mutable { fn(call, s); });
    }
    /// hysock_call_cancel(): end a call early: it ends with HYSOCK_E_CANCELLED, now or in a moment.
    result<void> cancel() {
        return detail::done([&](hysock_error *err) { hysock_call_cancel(get(), err); });
    }
    /// hysock_call_error(): how the call went: HYSOCK_OK when its answer is there, else the status
    /// and the words for what kept it from coming.
    result<void> error() const {
        return detail::done([&](hysock_error *err) { hysock_call_error(get(), err); });
    }

    // ---- the answer ----

    /// hysock_call_http_status(): the HTTP status of the answer, such as 200 or 404.
    int http_status() const noexcept { return hysock_call_http_status(get()); }
    /// hysock_call_version(): the HTTP version of the answer: 10 or 11.
    int version() const noexcept { return hysock_call_version(get()); }
    /// hysock_call_header(): a header of the answer; `name` in any case.
    std::optional<std::string_view> header(zstring name) const noexcept {
        return detail::to_optional(hysock_call_header(get(), name.c_str()));
    }
    /// hysock_call_header_count(): how many headers the answer has, each of several with the same
    /// name counted; 0 as long as there is no answer.
    result<std::size_t> header_count() const {
        return detail::counted<std::size_t>(hysock_call_header_count(get()));
    }
    /// hysock_call_header_at(): name and value of the answer's header number `index`, from 0.
    result<field> header_at(std::size_t index) const {
        hysock_str name{nullptr, 0};
        hysock_str value{nullptr, 0};
        const hysock_status s = hysock_call_header_at(get(), index, &name, &value);
        if (s != HYSOCK_OK)
            return hysock::error(detail::to_status(s));
        return field{detail::to_view(name), detail::to_view(value)};
    }
    /// hysock_call_body(): the answer's body, all of it; a NUL that does not count follows it.
    std::string_view body() const noexcept { return detail::to_view(hysock_call_body(get())); }
    /// hysock_call_peer(): fill `*peer` with who has answered the call: the process that called
    /// listen(2), at that moment.
    result<hysock::peer> peer() const {
        return detail::to_peer([&](hysock_peer *peer, std::size_t size, hysock_error *err) {
            return hysock_call_peer(get(), peer, size, err);
        });
    }
    /// hysock_call_peer_pidfd(): open a pidfd of the process that has answered the call, see
    /// hysock_exchange_peer_pidfd().
    result<unique_fd> peer_pidfd() const {
        hysock::error err;
        const std::int32_t fd = hysock_call_peer_pidfd(get(), err.out());
        return detail::to_fd(fd, err);
    }

  private:
    call(lendable::lent how, hysock_call *raw) noexcept : lendable(how, raw) {}

    template <class F> static result<void> start_raw(hysock_call *raw, F fn) {
        static_assert(std::is_invocable_v<F &, call &, status>);
        const auto completed = [](hysock_call *raw, hysock_status s, void *u) noexcept {
            detail::guarded([&] {
                call lent = call::lent(raw);
                box<F>::of(u)(lent, detail::to_status(s));
            });
        };
        return detail::done([&](hysock_error *err) {
            hysock_call_start(raw, completed, box<F>::make(std::move(fn)), box<F>::drop, err);
        });
    }
};

/// hysock_get(): one GET of a URL that holds both socket and target, such as
/// "http+unix://%2Frun%2Fapp.sock/version": sends it and waits for the whole answer, on this
/// thread.
inline result<call> get(std::string_view url) {
    return detail::made<call, hysock_call>([&](hysock_call **raw, hysock_error *err) {
        return hysock_get(detail::chars(url), url.size(), raw, err);
    });
}

} // namespace hysock

#endif
