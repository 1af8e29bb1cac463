// hysock/exchange.hpp: one request received, and the answer to it.
#ifndef HYSOCK_EXCHANGE_HPP
#define HYSOCK_EXCHANGE_HPP

#include "field.hpp"
#include "peer.hpp"

namespace hysock {

/// One request received, and the answer to it.
///
/// It is lent to a handler: answer before you return, or take it over with defer(). Its texts are
/// good until the handler returns, or with a defer until the end of what defer() gave. An optional
/// text that is not there is std::nullopt; the other texts then have a data() of nullptr.
class exchange : public detail::lendable<hysock_exchange, hysock_exchange_free> {
    template <class F> using box = detail::box<F>;

  public:
    using lendable::lendable;
    /// An exchange that a callback of hysock.h was lent.
    static exchange lent(hysock_exchange *raw) noexcept { return {lendable::lent{}, raw}; }

    // ---- the request ----

    /// hysock_exchange_method(): the request's method, such as GET.
    std::string_view method() const noexcept {
        return detail::to_view(hysock_exchange_method(get()));
    }
    /// hysock_exchange_path(): the path of the request, as it was sent: not decoded, without the
    /// query.
    std::string_view path() const noexcept { return detail::to_view(hysock_exchange_path(get())); }
    /// hysock_exchange_target(): what was asked for, as it was sent: path and query.
    std::string_view target() const noexcept {
        return detail::to_view(hysock_exchange_target(get()));
    }
    /// hysock_exchange_query(): what follows the first `?` of the target, as it was sent; absent
    /// when there is none.
    std::optional<std::string_view> query() const noexcept {
        return detail::to_optional(hysock_exchange_query(get()));
    }
    /// hysock_exchange_version(): the HTTP version of the request: 10 or 11.
    int version() const noexcept { return hysock_exchange_version(get()); }
    /// hysock_exchange_header(): a header of the request; `name` in any case.
    std::optional<std::string_view> header(zstring name) const noexcept {
        return detail::to_optional(hysock_exchange_header(get(), name.c_str()));
    }
    /// hysock_exchange_header_count(): how many headers the request has, each of several with the
    /// same name counted.
    result<std::size_t> header_count() const {
        return detail::counted<std::size_t>(hysock_exchange_header_count(get()));
    }
    /// hysock_exchange_header_at(): name and value of header number `index`, from 0.
    result<field> header_at(std::size_t index) const {
        return detail::field_at(get(), hysock_exchange_header_at, index);
    }
    /// hysock_exchange_header_value_at(): value number `index`, from 0, of the request's headers
    /// with this name, in the order in which they were sent.
    std::optional<std::string_view> header_value_at(zstring name,
                                                    std::size_t index) const noexcept {
        return detail::to_optional(hysock_exchange_header_value_at(get(), name.c_str(), index));
    }
    /// hysock_exchange_headers(): all headers of the request: as many as there are up to `n` are
    /// written to `headers`, in the order in which hysock_exchange_header_at() shows them.
    result<std::vector<field>> headers() const {
        return detail::all_fields(get(), hysock_exchange_headers);
    }
    /// hysock_exchange_body(): the request's body, all of it; a NUL that does not count follows it.
    std::string_view body() const noexcept { return detail::to_view(hysock_exchange_body(get())); }
    /// hysock_exchange_param(): what stands in the path where the route's pattern has this
    /// parameter, decoded: of `{id}` in `/items/{id}` the name is `id`, of `{*rest}` in
    /// `/files/{*rest}` it is `rest`.
    std::optional<std::string_view> param(zstring name) const noexcept {
        return detail::to_optional(hysock_exchange_param(get(), name.c_str()));
    }
    /// hysock_exchange_pattern(): the path of the route that took the request, as it was given to
    /// server::add_route(): what to group requests by in logs and metrics.
    std::optional<std::string_view> pattern() const noexcept {
        return detail::to_optional(hysock_exchange_pattern(get()));
    }
    /// hysock_exchange_query_value(): the first value of a name in the query, decoded as HTML forms
    /// encode it: `+` is a space.
    std::optional<std::string_view> query_value(zstring name) const noexcept {
        return detail::to_optional(hysock_exchange_query_value(get(), name.c_str()));
    }
    /// hysock_exchange_query_count(): how many names with values the query has, each of several
    /// with the same name counted.
    result<std::size_t> query_count() const {
        return detail::counted<std::size_t>(hysock_exchange_query_count(get()));
    }
    /// hysock_exchange_query_at(): name and value number `index` of the query, from 0, in the order
    /// in which they were sent, decoded as by hysock_exchange_query_value().
    result<field> query_at(std::size_t index) const {
        return detail::field_at(get(), hysock_exchange_query_at, index);
    }
    /// hysock_exchange_peer(): fill `*peer` with who sent the request.
    result<hysock::peer> peer() const {
        return detail::to_peer([&](hysock_peer *peer, std::size_t size, hysock_error *err) {
            return hysock_exchange_peer(get(), peer, size, err);
        });
    }
    /// hysock_exchange_peer_pidfd(): open a pidfd of the process that connected: unlike its pid, it
    /// can never mean another process.
    result<unique_fd> peer_pidfd() const {
        error err;
        const std::int32_t fd = hysock_exchange_peer_pidfd(get(), err.out());
        return detail::to_fd(fd, err);
    }

    // ---- the answer ----

    /// hysock_exchange_set_header(): set a header of the answer, in the place of any with that
    /// name.
    status set_header(zstring name, std::string_view value) noexcept {
        return detail::to_status(
            hysock_exchange_set_header(get(), name.c_str(), detail::chars(value), value.size()));
    }
    /// hysock_exchange_add_header(): add a header to the answer, after any with that name.
    status add_header(zstring name, std::string_view value) noexcept {
        return detail::to_status(
            hysock_exchange_add_header(get(), name.c_str(), detail::chars(value), value.size()));
    }
    /// hysock_exchange_add_headers(): add `n` headers to the answer, as if by
    /// hysock_exchange_add_header() one after another, up to the first that is refused.
    status add_headers(view<field> fields) {
        const auto raw = detail::to_headers(fields);
        return detail::to_status(hysock_exchange_add_headers(get(), raw.data(), raw.size()));
    }
    /// hysock_exchange_remove_header(): remove what was set or added to the answer under this name;
    /// nothing of that name is fine too.
    status remove_header(zstring name) noexcept {
        return detail::to_status(hysock_exchange_remove_header(get(), name.c_str()));
    }
    /// hysock_exchange_answer(): answer with this status, the headers that were set, and this body.
    result<void> answer(int http_status, zstring content_type = nullptr, bytes body = {}) {
        return detail::done([&](hysock_error *err) {
            hysock_exchange_answer(get(), http_status, content_type.c_str(), body.data(),
                                   body.size(), err);
        });
    }
    /// hysock_exchange_answer_nocopy(): like hysock_exchange_answer() without a copy: the body
    /// stays where it is, and must stay as it is, until `drop` is called with `userdata`: once, in
    /// the server's delivery, when its bytes are no longer needed.
    /// `owner` is moved and kept as long as its bytes are needed: a std::string, a std::vector.
    template <class O> result<void> answer_nocopy(int http_status, zstring content_type, O owner) {
        auto *held = new O(std::move(owner));
        const bytes body(*held);
        return detail::done([&](hysock_error *err) {
            hysock_exchange_answer_nocopy(get(), http_status, content_type.c_str(), body.data(),
                                          body.size(), held, detail::drop_owner<O>, err);
        });
    }
    /// hysock_exchange_send_file(): answer with the content of a regular file: 200, or what the
    /// request asks for.
    result<void> send_file(int fd, zstring content_type = nullptr) {
        return detail::done([&](hysock_error *err) {
            hysock_exchange_send_file(get(), fd, content_type.c_str(), err);
        });
    }
    /// hysock_exchange_defer(): keep the exchange beyond the handler's return: from now on it is
    /// yours, to be answered on any thread, until hysock_exchange_free().
    /// What comes back owns the exchange; this object goes on as a second name of it.
    result<exchange> defer() {
        error err;
        if (hysock_exchange_defer(get(), err.out()) != HYSOCK_OK)
            return err;
        return exchange(get());
    }
    /// hysock_exchange_on_gone(): run `fn` once when the client has left before its answer was
    /// given as a whole, or finished: nobody reads it any more.
    /// `fn(exchange &)`.
    template <class F> [[nodiscard]] result<void> on_gone(F fn) {
        return detail::done([&](hysock_error *err) {
            hysock_exchange_on_gone(get(), call<F>, box<F>::make(std::move(fn)), box<F>::drop, err);
        });
    }

    // ---- userdata: what is kept by set_... in C++ is found by its type in C++ ----

    /// hysock_exchange_set_userdata(): keep `userdata` with the exchange, in the place of what was
    /// kept before.
    template <class T> [[nodiscard]] result<void> set_userdata(T value) {
        return detail::done([&](hysock_error *err) {
            hysock_exchange_set_userdata(get(), kept<T>::make(std::move(value)), kept<T>::drop,
                                         err);
        });
    }
    /// hysock_exchange_userdata(): what was kept with the exchange; NULL for nothing.
    /// nullptr also when it is of another type.
    template <class T> T *userdata() const noexcept {
        return find<T>(hysock_exchange_userdata(get()));
    }
    /// hysock_exchange_set_connection_userdata(): keep `userdata` with the exchange's connection,
    /// in the place of what was kept before: the next requests on it find it.
    template <class T> [[nodiscard]] result<void> set_connection_userdata(T value) {
        return detail::done([&](hysock_error *err) {
            hysock_exchange_set_connection_userdata(get(), kept<T>::make(std::move(value)),
                                                    kept<T>::drop, err);
        });
    }
    /// hysock_exchange_connection_userdata(): what was kept with the exchange's connection; NULL
    /// for nothing.
    /// nullptr also when it is of another type.
    template <class T> T *connection_userdata() const noexcept {
        return find<T>(hysock_exchange_connection_userdata(get()));
    }

    // ---- bodies piece by piece ----

    /// hysock_exchange_read(): read the next piece of the request's body; wait for it up to
    /// `timeout_ms`.
    /// The end is a piece with a data() of nullptr.
    result<std::string_view> read(timeout time = forever) {
        hysock_str piece{nullptr, 0};
        error err;
        if (hysock_exchange_read(get(), &piece, time.ms(), err.out()) != HYSOCK_OK)
            return err;
        return detail::to_view(piece);
    }
    /// hysock_exchange_read_start(): ask for the next piece of the request's body: `fn` runs once
    /// with it, in the server's delivery, never while another callback of the exchange runs.
    /// `fn(exchange &, status, std::string_view piece)`.
    template <class F> [[nodiscard]] result<void> read_start(F fn) {
        static_assert(std::is_invocable_v<F &, exchange &, status, std::string_view>);
        const auto call = [](hysock_exchange *raw, hysock_status s, hysock_str piece,
                             void *u) noexcept {
            serve(raw, [&](exchange &lent) {
                box<F>::of(u)(lent, detail::to_status(s), detail::to_view(piece));
            });
        };
        return detail::done([&](hysock_error *err) {
            hysock_exchange_read_start(get(), call, box<F>::make(std::move(fn)), box<F>::drop, err);
        });
    }
    /// hysock_exchange_content_length(): how many bytes the request's body has, as its head says: 0
    /// without a body, HYSOCK_UNKNOWN when it is not said (chunked).
    std::uint64_t content_length() const noexcept { return hysock_exchange_content_length(get()); }
    /// hysock_exchange_trailer(): a trailer of the request: a header field that came behind a
    /// chunked body, known once that was read to its end.
    std::optional<std::string_view> trailer(zstring name) const noexcept {
        return detail::to_optional(hysock_exchange_trailer(get(), name.c_str()));
    }
    /// hysock_exchange_trailers(): all trailers of the request, once its body was read to the end:
    /// as hysock_exchange_headers().
    result<std::vector<field>> trailers() const {
        return detail::all_fields(get(), hysock_exchange_trailers);
    }
    /// hysock_exchange_start_answer(): begin an answer with this status and the headers that were
    /// set; its body is written piece by piece.
    [[nodiscard]] result<void> start_answer(int http_status, zstring content_type = nullptr,
                                            std::uint64_t content_length = unknown) {
        return detail::done([&](hysock_error *err) {
            hysock_exchange_start_answer(get(), http_status, content_type.c_str(), content_length,
                                         err);
        });
    }
    /// hysock_exchange_write(): write a piece of the answer's body: all of it or, when this fails,
    /// nothing.
    [[nodiscard]] result<void> write(bytes piece, timeout time = forever) {
        return detail::done([&](hysock_error *err) {
            hysock_exchange_write(get(), piece.data(), piece.size(), time.ms(), err);
        });
    }
    /// hysock_exchange_write_nocopy(): like hysock_exchange_write() without a copy: the piece stays
    /// where it is, and must stay as it is, until `drop` is called with `userdata`: once, in the
    /// server's delivery, when its bytes are no longer needed.
    /// `owner` is moved and kept as long as its bytes are needed.
    template <class O> [[nodiscard]] result<void> write_nocopy(O owner, timeout time = forever) {
        auto *held = new O(std::move(owner));
        const bytes piece(*held);
        return detail::done([&](hysock_error *err) {
            hysock_exchange_write_nocopy(get(), piece.data(), piece.size(), time.ms(), held,
                                         detail::drop_owner<O>, err);
        });
    }
    /// hysock_exchange_on_writable(): run `fn` once when there is room for a piece of any size, or
    /// when there will never be: the client has left and the next write says so.
    /// `fn(exchange &)`.
    template <class F> [[nodiscard]] result<void> on_writable(F fn) {
        return detail::done([&](hysock_error *err) {
            hysock_exchange_on_writable(get(), call<F>, box<F>::make(std::move(fn)), box<F>::drop,
                                        err);
        });
    }
    /// hysock_exchange_add_trailer(): add a trailer: a header field behind the body of an answer in
    /// chunks, before hysock_exchange_finish().
    [[nodiscard]] result<void> add_trailer(zstring name, std::string_view value) {
        return detail::done([&](hysock_error *err) {
            hysock_exchange_add_trailer(get(), name.c_str(), detail::chars(value), value.size(),
                                        err);
        });
    }
    /// hysock_exchange_finish(): end the answer that was started.
    result<void> finish() {
        return detail::done([&](hysock_error *err) { hysock_exchange_finish(get(), err); });
    }
    /// hysock_exchange_start_events(): begin an answer of events: status 200, `text/event-stream`,
    /// `Cache-Control: no-store`.
    [[nodiscard]] result<void> start_events() {
        return detail::done([&](hysock_error *err) { hysock_exchange_start_events(get(), err); });
    }
    /// hysock_exchange_write_event(): write one event, all of it or nothing, as
    /// hysock_exchange_write() does.
    [[nodiscard]] result<void> write_event(zstring event, zstring id, std::string_view data,
                                           timeout time = forever) {
        return detail::done([&](hysock_error *err) {
            hysock_exchange_write_event(get(), event.c_str(), id.c_str(), data.data(), data.size(),
                                        time.ms(), err);
        });
    }

    // ---- another protocol ----

    /// hysock_exchange_upgrade(): switch to another protocol, which the request has asked for with
    /// `Upgrade` and `Connection: upgrade`: the client gets a 101 with these two and the headers
    /// that were set, then `fn` runs once with the connection, in the server's delivery.
    /// `fn(exchange session, unique_fd fd, std::string_view early)`: the end of `session` says that
    /// the session is over, so keep it as long as that lasts. `fd` is empty when the connection was
    /// lost before. After a success the exchange belongs to `fn`, also one that was deferred
    /// before.
    template <class F> [[nodiscard]] result<void> upgrade(zstring protocol, F fn);

  private:
    friend class server;
    exchange(lendable::lent how, hysock_exchange *raw) noexcept : lendable(how, raw) {}

    /// Calls back with an exchange that is lent; what throws is answered with a 500, if nothing
    /// was before.
    template <class F> static void serve(hysock_exchange *raw, F &&fn) noexcept {
        const bool went_well = detail::guarded([&] {
            exchange lent = exchange::lent(raw);
            fn(lent);
        });
        static const char text[] = "500 internal server error\n"; // as the library itself says it
        if (!went_well)
            hysock_exchange_answer(raw, 500, "text/plain", text, sizeof(text) - 1, nullptr);
    }

    /// How handlers and their like are called.
    template <class F> static void call(hysock_exchange *raw, void *userdata) noexcept {
        static_assert(std::is_invocable_v<F &, exchange &>, "a function of (hysock::exchange &)");
        serve(raw, [&](exchange &lent) { box<F>::of(userdata)(lent); });
    }

    /// What set_userdata() keeps: the type's own mark, then the value.
    struct marked {
        const void *mark;
    };
    template <class T> struct kept : marked {
        explicit kept(T &&from) : marked{&own_mark}, value(std::move(from)) {}
        static void *make(T &&from) { return static_cast<marked *>(new kept(std::move(from))); }
        static void drop(void *userdata) noexcept {
            delete static_cast<kept *>(static_cast<marked *>(userdata));
        }
        T value;
        static inline char own_mark = 0; // its address is what counts
    };
    template <class T> static T *find(void *userdata) noexcept {
        auto *found = static_cast<marked *>(userdata);
        if (found == nullptr || found->mark != &kept<T>::own_mark)
            return nullptr;
        return &static_cast<kept<T> *>(found)->value;
    }
};

template <class F> result<void> exchange::upgrade(zstring protocol, F fn) {
    static_assert(std::is_invocable_v<F &, exchange, unique_fd, std::string_view>);
    hysock_exchange *raw = get();
    auto fate = std::make_shared<detail::fate>();
    // A session that never begins, because its server was freed, ends here.
    const auto end = [raw] { hysock_exchange_free(raw); };
    using once = detail::once<F, decltype(end)>;
    const auto call = [](hysock_exchange *mine, std::int32_t fd, hysock_str early,
                         void *u) noexcept {
        unique_fd connection(fd);
        exchange session(mine);
        detail::guarded([&] {
            box<once>::of(u)(std::move(session), std::move(connection), detail::to_view(early));
        });
    };
    void *userdata = box<once>::make(once(std::move(fn), end, fate));
    result<void> r = detail::done([&](hysock_error *err) {
        hysock_exchange_upgrade(raw, protocol.c_str(), call, userdata, box<once>::drop, err);
    });
    if (r) {
        release();
        if (fate->registered())
            end();
    }
    return r;
}

} // namespace hysock

#endif
