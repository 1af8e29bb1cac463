// hysock/call.hpp: one request sent, and the answer received.
#ifndef HYSOCK_CALL_HPP
#define HYSOCK_CALL_HPP

#include "client.hpp"
#include "exchange.hpp"

namespace hysock {

/// The connection of a call whose server has switched to another protocol.
struct switched {
    unique_fd fd;
    std::string_view early; ///< what has come already; good as long as the call
};

/// How far a call is: bytes of the request's body and of the answer's. Totals may be `unknown`.
struct progress {
    std::uint64_t sent;
    std::uint64_t send_total;
    std::uint64_t received;
    std::uint64_t receive_total;
};

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
    /// hysock_call_add_headers(): add `n` headers to the request, as if by hysock_call_add_header()
    /// one after another, up to the first that is refused.
    status add_headers(view<field> fields) {
        const auto raw = detail::to_headers(fields);
        return detail::to_status(hysock_call_add_headers(get(), raw.data(), raw.size()));
    }
    /// hysock_call_set_body(): set the request's body, all of it; Content-Length follows from it.
    status set_body(zstring content_type, bytes body) noexcept {
        return detail::to_status(
            hysock_call_set_body(get(), content_type.c_str(), body.data(), body.size()));
    }
    /// hysock_call_set_body_reader(): let `fn` give the request's body, piece by piece.
    /// `fn(call &, char *buf, std::size_t size)` returns how many bytes it has put into `buf`, as a
    /// std::int64_t: 0 is the end, a negative number ends the call.
    template <class F>
    status set_body_reader(zstring content_type, std::uint64_t content_length, F fn) {
        static_assert(std::is_invocable_r_v<std::int64_t, F &, call &, char *, std::size_t>);
        const auto more = [](hysock_call *raw, void *buf, std::size_t size,
                             void *u) noexcept -> std::int64_t {
            std::int64_t n = -1;
            detail::guarded([&] {
                call lent = call::lent(raw);
                n = box<F>::of(u)(lent, static_cast<char *>(buf), size);
            });
            return n;
        };
        return detail::to_status(
            hysock_call_set_body_reader(get(), content_type.c_str(), content_length, more,
                                        box<F>::make(std::move(fn)), box<F>::drop));
    }
    /// hysock_call_set_body_fd(): send what is read from `fd` as the request's body.
    status set_body_fd(zstring content_type, int fd, std::uint64_t length = unknown) noexcept {
        return detail::to_status(hysock_call_set_body_fd(get(), content_type.c_str(), fd, length));
    }
    /// hysock_call_set_body_stream(): the request's body is written while the call runs: by
    /// hysock_call_write() after hysock_call_start(), until hysock_call_finish().
    status set_body_stream(zstring content_type, std::uint64_t content_length = unknown) noexcept {
        return detail::to_status(
            hysock_call_set_body_stream(get(), content_type.c_str(), content_length));
    }
    /// hysock_call_add_trailer(): add a trailer to a request with a body of unknown length: a
    /// header field behind it.
    status add_trailer(zstring name, std::string_view value) noexcept {
        return detail::to_status(
            hysock_call_add_trailer(get(), name.c_str(), detail::chars(value), value.size()));
    }
    /// hysock_call_set_expect_continue(): hold the body back until the server has said that it
    /// wants it: `Expect: 100-continue` is sent, and the body after the 100, or after `wait_ms`
    /// without any answer. 1 or more, or HYSOCK_FOREVER. When the server answers at once instead,
    /// nothing of the body is sent.
    status set_expect_continue(timeout wait) noexcept {
        return detail::to_status(hysock_call_set_expect_continue(get(), wait.ms()));
    }
    /// hysock_call_set_output_fd(): send the answer's body to `fd`: a file, a pipe, a socket.
    status set_output_fd(int fd) noexcept {
        return detail::to_status(hysock_call_set_output_fd(get(), fd));
    }
    /// hysock_call_on_progress(): hear how far the call is: `fn` runs when bytes of a body have
    /// moved, at most every 100 ms, and once at the end, before the call's `fn`.
    /// `fn(call &, const progress &)`. When it throws, the call is cancelled.
    template <class F> [[nodiscard]] result<void> on_progress(F fn) {
        static_assert(std::is_invocable_v<F &, call &, const progress &>);
        const auto moved = [](hysock_call *raw, std::uint64_t sent, std::uint64_t send_total,
                              std::uint64_t received, std::uint64_t receive_total,
                              void *u) noexcept {
            tell(raw, [&](call &lent) {
                box<F>::of(u)(lent, progress{sent, send_total, received, receive_total});
            });
        };
        return detail::done([&](hysock_error *err) {
            hysock_call_on_progress(get(), moved, box<F>::make(std::move(fn)), box<F>::drop, err);
        });
    }
    /// hysock_call_on_informational(): hear of informational answers: 100, 102, 103 and others that
    /// come before the answer; 101 is an answer.
    /// `fn(call &, int http_status)`. When it throws, the call is cancelled.
    template <class F> [[nodiscard]] result<void> on_informational(F fn) {
        static_assert(std::is_invocable_v<F &, call &, int>);
        const auto came = [](hysock_call *raw, std::int32_t http_status, void *u) noexcept {
            tell(raw, [&](call &lent) { box<F>::of(u)(lent, static_cast<int>(http_status)); });
        };
        return detail::done([&](hysock_error *err) {
            hysock_call_on_informational(get(), came, box<F>::make(std::move(fn)), box<F>::drop,
                                         err);
        });
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
    /// hysock_call_set_streaming(): give the answer as soon as its head is there; its body is read
    /// by hysock_call_read() or hysock_call_read_start(). hysock_call_body() stays absent, and
    /// hysock_client_config_set_max_body() does not bound the body.
    status set_streaming() noexcept { return detail::to_status(hysock_call_set_streaming(get())); }
    /// hysock_call_set_upgrade(): ask the server to switch the connection to `protocol`: sends
    /// `Connection: Upgrade` and `Upgrade: protocol`.
    status set_upgrade(zstring protocol) noexcept {
        return detail::to_status(hysock_call_set_upgrade(get(), protocol.c_str()));
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
                                  call &lent, status s) mutable { fn(lent, s); });
    }
    /// hysock_call_write(): write a piece of the request's body: all of it or, when this fails,
    /// nothing.
    [[nodiscard]] result<void> write(bytes piece, timeout time = forever) {
        return detail::done([&](hysock_error *err) {
            hysock_call_write(get(), piece.data(), piece.size(), time.ms(), err);
        });
    }
    /// hysock_call_on_writable(): run `fn` once when there is room for a piece of any size, or when
    /// there will never be: the next write says why.
    /// `fn(call &)`.
    template <class F> [[nodiscard]] result<void> on_writable(F fn) {
        static_assert(std::is_invocable_v<F &, call &>);
        const auto room = [](hysock_call *raw, void *u) noexcept {
            tell(raw, [&](call &lent) { box<F>::of(u)(lent); });
        };
        return detail::done([&](hysock_error *err) {
            hysock_call_on_writable(get(), room, box<F>::make(std::move(fn)), box<F>::drop, err);
        });
    }
    /// hysock_call_finish(): end the body that is written.
    [[nodiscard]] result<void> finish() {
        return detail::done([&](hysock_error *err) { hysock_call_finish(get(), err); });
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
        return detail::field_at(get(), hysock_call_header_at, index);
    }
    /// hysock_call_headers(): all headers of the answer: as hysock_exchange_headers().
    result<std::vector<field>> headers() const {
        return detail::all_fields(get(), hysock_call_headers);
    }
    /// hysock_call_body(): the answer's body, all of it; a NUL that does not count follows it.
    std::string_view body() const noexcept { return detail::to_view(hysock_call_body(get())); }
    /// hysock_call_content_length(): how many bytes the answer's body has, as its head says: 0 when
    /// it has none, HYSOCK_UNKNOWN when it is not said (chunked, or until the end of the
    /// connection).
    std::uint64_t content_length() const noexcept { return hysock_call_content_length(get()); }
    /// hysock_call_read(): read the next piece of a streamed answer's body; wait for it up to
    /// `timeout_ms`.
    /// The end is a piece with a data() of nullptr.
    result<std::string_view> read(timeout time = forever) {
        hysock_str piece{nullptr, 0};
        hysock::error err;
        if (hysock_call_read(get(), &piece, time.ms(), err.out()) != HYSOCK_OK)
            return err;
        return detail::to_view(piece);
    }
    /// hysock_call_read_start(): ask for the next piece of a streamed answer's body: `fn` runs once
    /// with it, in the client's delivery, never while another callback of the call runs.
    /// `fn(call &, status, std::string_view piece)`. When it throws, the call is cancelled.
    template <class F> [[nodiscard]] result<void> read_start(F fn) {
        static_assert(std::is_invocable_v<F &, call &, status, std::string_view>);
        const auto came = [](hysock_call *raw, hysock_status s, hysock_str piece,
                             void *u) noexcept {
            tell(raw, [&](call &lent) {
                box<F>::of(u)(lent, detail::to_status(s), detail::to_view(piece));
            });
        };
        return detail::done([&](hysock_error *err) {
            hysock_call_read_start(get(), came, box<F>::make(std::move(fn)), box<F>::drop, err);
        });
    }
    /// hysock_call_trailer(): a trailer of the answer: a header field that came behind a chunked
    /// body, known once that was read to its end.
    std::optional<std::string_view> trailer(zstring name) const noexcept {
        return detail::to_optional(hysock_call_trailer(get(), name.c_str()));
    }
    /// hysock_call_trailers(): all trailers of the answer, once its body was read to the end: as
    /// hysock_call_headers().
    result<std::vector<field>> trailers() const {
        return detail::all_fields(get(), hysock_call_trailers);
    }
    /// hysock_call_take_fd(): take the connection of a call whose server has switched, once.
    result<switched> take_fd() {
        std::int32_t fd = -1;
        hysock_str early{nullptr, 0};
        hysock::error err;
        if (hysock_call_take_fd(get(), &fd, &early, err.out()) != HYSOCK_OK)
            return err;
        return switched{unique_fd(fd), detail::to_view(early)};
    }
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

    /// Calls back on the way of a call, which what throws ends.
    template <class F> static void tell(hysock_call *raw, F &&fn) noexcept {
        const bool went_well = detail::guarded([&] {
            call lent = call::lent(raw);
            fn(lent);
        });
        if (!went_well)
            hysock_call_cancel(raw, nullptr);
    }

    template <class F> static result<void> start_raw(hysock_call *raw, F fn) {
        static_assert(std::is_invocable_v<F &, call &, status>);
        const auto completed = [](hysock_call *ended, hysock_status s, void *u) noexcept {
            detail::guarded([&] {
                call lent = call::lent(ended);
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
