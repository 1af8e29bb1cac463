// hysock/receiver.hpp: a socket that many producers write to, and the messages that come out.
#ifndef HYSOCK_RECEIVER_HPP
#define HYSOCK_RECEIVER_HPP

#include "listener.hpp"
#include "message.hpp"
#include "peer.hpp"
#include "runtime.hpp"

namespace hysock {

/// What a receiver has counted since it was made.
using receiver_counts = hysock_receiver_counts;
/// One message of a batch.
using message = hysock_message;

/// What flags of a message say.
enum message_flags : std::uint32_t {
    message_partial = HYSOCK_MESSAGE_PARTIAL,
    message_truncated = HYSOCK_MESSAGE_TRUNCATED,
    message_fds = HYSOCK_MESSAGE_FDS,
    message_mapped = HYSOCK_MESSAGE_MAPPED,
    message_connected = HYSOCK_MESSAGE_CONNECTED,
    message_disconnected = HYSOCK_MESSAGE_DISCONNECTED,
};

/// Why a producer is gone: the `sequence` of a message with message_disconnected.
enum class gone_reason : std::uint64_t {
    closed = HYSOCK_GONE_CLOSED,
    truncated = HYSOCK_GONE_TRUNCATED,
    oversize = HYSOCK_GONE_OVERSIZE,
    timed_out = HYSOCK_GONE_TIMED_OUT,
    shut_down = HYSOCK_GONE_SHUT_DOWN,
    error = HYSOCK_GONE_ERROR,
    rejected = HYSOCK_GONE_REJECTED,
};

/// The bytes of a message, good until its batch ends.
inline std::string_view payload(const message &m) noexcept {
    return {static_cast<const char *>(m.data), m.len};
}

/// What a receiver keeps to. The first setter that is refused makes the receiver that reads the
/// config fail, with its words.
class receiver_config : public detail::handle<hysock_receiver_config, hysock_receiver_config_free> {
  public:
    /// hysock_receiver_config_new(): make a config that holds the defaults.
    receiver_config() noexcept : handle(hysock_receiver_config_new()) {}
    /// hysock_receiver_config_set_framing(): set how messages stand on the wire: one of
    /// HYSOCK_FRAMING_*, HYSOCK_FRAMING_U32BE by default.
    status set_framing(hysock::framing framing) noexcept {
        return detail::to_status(
            hysock_receiver_config_set_framing(get(), static_cast<std::int32_t>(framing)));
    }
    /// hysock_receiver_config_set_delimiter(): set the byte that ends each message: any, `'\\n'`
    /// and 0 are usual.
    status set_delimiter(std::uint8_t delimiter) noexcept {
        return detail::to_status(hysock_receiver_config_set_delimiter(get(), delimiter));
    }
    /// hysock_receiver_config_set_delivery(): set where the batch callback runs:
    /// HYSOCK_DELIVERY_POOL, the default, or HYSOCK_DELIVERY_INLINE.
    status set_delivery(hysock::delivery delivery) noexcept {
        return detail::to_status(
            hysock_receiver_config_set_delivery(get(), static_cast<std::int32_t>(delivery)));
    }
    /// hysock_receiver_config_set_queue(): run the batch callback on whoever dispatches this queue,
    /// which must be of the receiver's runtime.
    status set_queue(const queue &queue) noexcept {
        return detail::to_status(hysock_receiver_config_set_queue(get(), detail::given(queue)));
    }
    /// hysock_receiver_config_set_max_message(): set the longest message, in bytes: 1 to 1 GiB, 1
    /// MiB by default.
    status set_max_message(std::uint64_t bytes) noexcept {
        return detail::to_status(hysock_receiver_config_set_max_message(get(), bytes));
    }
    /// hysock_receiver_config_set_max_bytes(): set how many bytes of messages may be held, 48 for
    /// each message included: those that wait, and those in batches that were not freed. 64 KiB or
    /// more, 16 MiB by default.
    status set_max_bytes(std::uint64_t bytes) noexcept {
        return detail::to_status(hysock_receiver_config_set_max_bytes(get(), bytes));
    }
    /// hysock_receiver_config_set_max_bytes_per_producer(): set how many of these bytes one
    /// producer may hold: 64 KiB or more, 4 MiB by default.
    status set_max_bytes_per_producer(std::uint64_t bytes) noexcept {
        return detail::to_status(hysock_receiver_config_set_max_bytes_per_producer(get(), bytes));
    }
    /// hysock_receiver_config_set_overflow(): set what happens to messages for which there is no
    /// room: HYSOCK_OVERFLOW_BLOCK, the default, HYSOCK_OVERFLOW_DROP_NEWEST or
    /// HYSOCK_OVERFLOW_DROP_OLDEST.
    status set_overflow(overflow_policy policy) noexcept {
        return detail::to_status(
            hysock_receiver_config_set_overflow(get(), static_cast<std::int32_t>(policy)));
    }
    /// hysock_receiver_config_set_max_connections(): set how many producers may be connected: 1 to
    /// 4294967295 or HYSOCK_UNLIMITED, 4096 by default.
    status set_max_connections(std::uint64_t n) noexcept {
        return detail::to_status(hysock_receiver_config_set_max_connections(get(), n));
    }
    /// hysock_receiver_config_set_max_connections_per_uid(): set how many of these one user may
    /// have: 1 to 4294967295 or HYSOCK_UNLIMITED, 1024 by default.
    status set_max_connections_per_uid(std::uint64_t n) noexcept {
        return detail::to_status(hysock_receiver_config_set_max_connections_per_uid(get(), n));
    }
    /// hysock_receiver_config_set_max_batch(): set how many messages one callback gets at most: 1
    /// to 4294967295, 1024 by default.
    status set_max_batch(std::uint64_t n) noexcept {
        return detail::to_status(hysock_receiver_config_set_max_batch(get(), n));
    }
    /// hysock_receiver_config_set_frame_timeout(): set how long a message under way may stand
    /// still, in milliseconds: 30 seconds by default, or HYSOCK_FOREVER. Then its producer is
    /// disconnected.
    status set_frame_timeout(timeout time) noexcept {
        return detail::to_status(hysock_receiver_config_set_frame_timeout(get(), time.ms()));
    }
    /// hysock_receiver_config_set_events(): set whether connects and disconnects of producers come
    /// out among the messages, flagged HYSOCK_MESSAGE_CONNECTED and HYSOCK_MESSAGE_DISCONNECTED, or
    /// not, the default.
    status set_events(bool on) noexcept {
        return detail::to_status(hysock_receiver_config_set_events(get(), on));
    }
    /// hysock_receiver_config_set_fds(): set whether messages may carry descriptors or not, the
    /// default: they are closed and counted.
    status set_fds(bool on) noexcept {
        return detail::to_status(hysock_receiver_config_set_fds(get(), on));
    }
    /// hysock_receiver_config_set_memfd(): set whether messages may come as sealed memory
    /// (memfd_create(2)) or not, the default.
    status set_memfd(bool on) noexcept {
        return detail::to_status(hysock_receiver_config_set_memfd(get(), on));
    }
    /// hysock_receiver_config_set_truncated(): set what becomes of datagrams and packets that are
    /// longer than the longest message: passed over, the default, or their beginning is handed
    /// over, flagged HYSOCK_MESSAGE_TRUNCATED. Both are counted.
    status set_truncated(bool on) noexcept {
        return detail::to_status(hysock_receiver_config_set_truncated(get(), on));
    }
};

/// Messages that were received together. Lent to a callback, which may keep() it.
class batch : public detail::lendable<hysock_batch, hysock_batch_free> {
  public:
    using lendable::lendable;
    /// A batch that a callback of hysock.h was lent.
    static batch lent(hysock_batch *raw) noexcept { return {lendable::lent{}, raw}; }

    /// hysock_batch_messages(): the messages of a batch: `*count` of them, in the order of their
    /// arrival.
    view<message> messages() const noexcept {
        std::size_t count = 0;
        const hysock_message *first = hysock_batch_messages(get(), &count);
        return {first, count};
    }
    /// hysock_batch_keep(): keep a batch beyond the callback that it is lent to: it is yours until
    /// hysock_batch_free().
    /// What comes back owns the batch; this object goes on as a second name of it.
    result<batch> keep() {
        error err;
        if (hysock_batch_keep(get(), err.out()) != HYSOCK_OK)
            return err;
        return batch(get());
    }
    /// hysock_batch_take_fd(): take the next descriptor that came with message number `index` of
    /// the batch.
    result<unique_fd> take_fd(std::size_t index) {
        return detail::to_fd(hysock_batch_take_fd(get(), index), {});
    }
    /// hysock_batch_peer(): fill `*peer` with who sent message number `index` of the batch; `size`
    /// is `sizeof *peer`.
    result<hysock::peer> peer(std::size_t index) const {
        return detail::to_peer([&](hysock_peer *peer, std::size_t size, hysock_error *err) {
            return hysock_batch_peer(get(), index, peer, size, err);
        });
    }

  private:
    batch(lendable::lent how, hysock_batch *raw) noexcept : lendable(how, raw) {}
};

/// A socket that many producers write messages to, and one place where they come out.
class receiver : public detail::handle<hysock_receiver, hysock_receiver_free> {
    template <class F> using box = detail::box<F>;

  public:
    using handle::handle;
    using config_or_none = detail::optional_config<receiver_config>;
    using listener_or_none = detail::optional_config<listener_config>;

    /// hysock_receiver_serve(): listen at `address` and give every batch of messages to `fn`: new,
    /// add_listener, on_batch and start in one.
    /// `fn(batch &)`.
    template <class F>
    static result<receiver> serve(const runtime &runtime, std::string_view address,
                                  const receiver_config &config, F fn) {
        return serve_raw(runtime, address, config, call<F>, box<F>::make(std::move(fn)),
                         box<F>::drop);
    }
    /// The same for one that is pulled: recv().
    static result<receiver> serve(const runtime &runtime, std::string_view address,
                                  config_or_none config = {}) {
        return serve_raw(runtime, address, config, nullptr, nullptr, nullptr);
    }
    /// hysock_receiver_new(): make a receiver that listens nowhere yet.
    static result<receiver> make(const runtime &runtime, config_or_none config = {}) {
        return detail::made<receiver, hysock_receiver>(
            [&](hysock_receiver **raw, hysock_error *err) {
                return hysock_receiver_new(runtime.get(), config.get(), raw, err);
            });
    }
    /// hysock_receiver_add_listener(): bind a socket for producers; several are possible.
    [[nodiscard]] result<void> add_listener(std::string_view address,
                                            listener_or_none config = {}) {
        return detail::done([&](hysock_error *err) {
            hysock_receiver_add_listener(get(), detail::chars(address), address.size(),
                                         config.get(), err);
        });
    }
    /// hysock_receiver_add_listener_fd(): receive from a socket that is there already: inherited,
    /// or passed.
    [[nodiscard]] result<void> add_listener_fd(unique_fd fd, adopt adopt,
                                               listener_or_none config = {}) {
        return detail::done([&](hysock_error *err) {
            hysock_receiver_add_listener_fd(get(), fd.release(), static_cast<std::int32_t>(adopt),
                                            config.get(), err);
        });
    }
    /// hysock_receiver_add_activated(): receive from the sockets that the service manager has
    /// passed, as hysock_server_add_activated() does; returns how many.
    result<unsigned> add_activated(zstring name = nullptr, listener_or_none config = {}) {
        error err;
        const std::int32_t n =
            hysock_receiver_add_activated(get(), name.c_str(), config.get(), err.out());
        if (n < 0)
            return err;
        return static_cast<unsigned>(n);
    }
    /// hysock_receiver_on_batch(): give every batch of messages to `fn`, in the receiver's
    /// delivery, one call at a time.
    /// `fn(batch &)`.
    template <class F> [[nodiscard]] result<void> on_batch(F fn) {
        return detail::done([&](hysock_error *err) {
            hysock_receiver_on_batch(get(), call<F>, box<F>::make(std::move(fn)), box<F>::drop,
                                     err);
        });
    }
    /// hysock_receiver_start(): accept producers from now on.
    [[nodiscard]] result<void> start() {
        return detail::done([&](hysock_error *err) { hysock_receiver_start(get(), err); });
    }
    /// hysock_receiver_recv(): take up to `max_messages` messages of a receiver without a callback;
    /// wait up to `timeout_ms` for the first.
    result<batch> recv(std::size_t max_messages, timeout time = forever) {
        return detail::made<batch, hysock_batch>([&](hysock_batch **raw, hysock_error *err) {
            return hysock_receiver_recv(get(), max_messages, time.ms(), raw, err);
        });
    }
    /// hysock_receiver_fd(): a descriptor for poll, epoll or any loop: readable exactly while
    /// something waits for hysock_receiver_recv(), and for ever once the receiver has ended.
    result<int> fd() const { return detail::counted(hysock_receiver_fd(get())); }
    /// hysock_receiver_shutdown(): begin the end: no new producers, the socket file is removed.
    result<void> shutdown(timeout drain = no_wait) {
        return detail::done(
            [&](hysock_error *err) { hysock_receiver_shutdown(get(), drain.ms(), err); });
    }
    /// hysock_receiver_wait(): wait until the receiver has ended: all was handed over, no callback
    /// of it runs or will run, and its drop has run.
    [[nodiscard]] result<void> wait(timeout time = forever) {
        return detail::done(
            [&](hysock_error *err) { hysock_receiver_wait(get(), time.ms(), err); });
    }
    /// hysock_receiver_stats(): fill `*counts` with what the receiver has counted so far; also
    /// after its end, until it is freed.
    result<receiver_counts> stats() const {
        return detail::sized<receiver_counts>(
            [&](receiver_counts *counts, std::size_t size, hysock_error *err) {
                return hysock_receiver_stats(get(), counts, size, err);
            });
    }
    /// hysock_receiver_metrics(): write the same numbers into `buf` as text for Prometheus, as
    /// hysock_server_metrics() does; returns the length of the whole text. 4096 bytes are always
    /// enough.
    result<std::string> metrics() const {
        return detail::filled(4096, [&](char *buf, std::size_t size) -> result<std::size_t> {
            error err;
            const std::int32_t n = hysock_receiver_metrics(get(), buf, size, err.out());
            if (n < 0)
                return err;
            return static_cast<std::size_t>(n);
        });
    }

  private:
    template <class F>
    static void call(hysock_receiver *, hysock_batch *raw, void *userdata) noexcept {
        static_assert(std::is_invocable_v<F &, batch &>, "a function of (hysock::batch &)");
        detail::guarded([&] {
            batch lent = batch::lent(raw);
            box<F>::of(userdata)(lent);
        });
    }
    static result<receiver> serve_raw(const runtime &runtime, std::string_view address,
                                      config_or_none config, hysock_batch_fn fn, void *userdata,
                                      hysock_drop_fn drop) {
        return detail::made<receiver, hysock_receiver>(
            [&](hysock_receiver **raw, hysock_error *err) {
                return hysock_receiver_serve(runtime.get(), detail::chars(address), address.size(),
                                             config.get(), fn, userdata, drop, raw, err);
            });
    }
};

} // namespace hysock

#endif
