// hysock/producer.hpp: messages to one receiver.
#ifndef HYSOCK_PRODUCER_HPP
#define HYSOCK_PRODUCER_HPP

#include "message.hpp"
#include "runtime.hpp"

namespace hysock {

/// How far messages have come.
enum class flush_level : std::int32_t {
    written = HYSOCK_FLUSH_WRITTEN,
    read = HYSOCK_FLUSH_READ,
};

/// What became of the messages of a producer that was shut down.
using producer_report = hysock_producer_report;
/// What a producer has counted since it was made.
using producer_counts = hysock_producer_counts;
/// One message of a batch that is sent, or one piece of a message: any `bytes` will do.
using slice = hysock_slice;

/// What a producer keeps to. The first setter that is refused makes the producer that reads the
/// config fail, with its words.
class producer_config : public detail::handle<hysock_producer_config, hysock_producer_config_free> {
  public:
    /// hysock_producer_config_new(): make a config that holds the defaults.
    producer_config() noexcept : handle(hysock_producer_config_new()) {}
    /// hysock_producer_config_set_framing(): set how messages stand on the wire: one of
    /// HYSOCK_FRAMING_*, HYSOCK_FRAMING_U32BE by default, as the receiver has it.
    status set_framing(hysock::framing framing) noexcept {
        return detail::to_status(
            hysock_producer_config_set_framing(get(), static_cast<std::int32_t>(framing)));
    }
    /// hysock_producer_config_set_delimiter(): set the byte that ends each message.
    status set_delimiter(std::uint8_t delimiter) noexcept {
        return detail::to_status(hysock_producer_config_set_delimiter(get(), delimiter));
    }
    /// hysock_producer_config_set_max_message(): set the longest message, in bytes: 1 to 1 GiB, 1
    /// MiB by default.
    status set_max_message(std::uint64_t bytes) noexcept {
        return detail::to_status(hysock_producer_config_set_max_message(get(), bytes));
    }
    /// hysock_producer_config_set_max_queue(): set how many bytes may wait while the receiver is
    /// busy or away, 48 for each message included: 1 or more, 1 MiB by default.
    status set_max_queue(std::uint64_t bytes) noexcept {
        return detail::to_status(hysock_producer_config_set_max_queue(get(), bytes));
    }
    /// hysock_producer_config_set_overflow(): set what a send does when the queue is full:
    /// HYSOCK_OVERFLOW_BLOCK (wait for room up to its timeout, the default), HYSOCK_OVERFLOW_FAIL,
    /// HYSOCK_OVERFLOW_DROP_OLDEST or HYSOCK_OVERFLOW_DROP_NEWEST.
    status set_overflow(overflow_policy policy) noexcept {
        return detail::to_status(
            hysock_producer_config_set_overflow(get(), static_cast<std::int32_t>(policy)));
    }
    /// hysock_producer_config_set_fds(): set whether messages may carry descriptors or not, the
    /// default, as the receiver has it.
    status set_fds(bool on) noexcept {
        return detail::to_status(hysock_producer_config_set_fds(get(), on));
    }
    /// hysock_producer_config_set_memfd(): set from how many bytes on a message goes as sealed
    /// memory, of which the receiver needs no copy: 1 to 1 GiB, or HYSOCK_UNLIMITED, the default,
    /// for none.
    status set_memfd(std::uint64_t from_bytes) noexcept {
        return detail::to_status(hysock_producer_config_set_memfd(get(), from_bytes));
    }
};

/// Messages to one receiver, across its restarts.
class producer : public detail::handle<hysock_producer, hysock_producer_free> {
  public:
    using handle::handle;
    using config_or_none = detail::optional_config<producer_config>;

    /// hysock_producer_new(): make a producer for the receiver at `address`.
    static result<producer> make(const runtime &runtime, std::string_view address,
                                 config_or_none config = {}) {
        return detail::made<producer, hysock_producer>(
            [&](hysock_producer **raw, hysock_error *err) {
                return hysock_producer_new(runtime.get(), detail::chars(address), address.size(),
                                           config.get(), raw, err);
            });
    }
    /// hysock_producer_send(): send one message.
    [[nodiscard]] result<void> send(bytes message, timeout time = forever) {
        return detail::done([&](hysock_error *err) {
            hysock_producer_send(get(), message.data(), message.size(), time.ms(), err);
        });
    }
    /// hysock_producer_send_batch(): send `count` messages in order, many with one system call.
    [[nodiscard]] result<void> send_batch(view<slice> messages, std::size_t &sent,
                                          timeout time = forever) {
        sent = 0;
        return detail::done([&](hysock_error *err) {
            hysock_producer_send_batch(get(), messages.data(), messages.size(), time.ms(), &sent,
                                       err);
        });
    }
    /// hysock_producer_sendv(): send one message that is made of `count` pieces.
    [[nodiscard]] result<void> sendv(view<slice> pieces, timeout time = forever) {
        return detail::done([&](hysock_error *err) {
            hysock_producer_sendv(get(), pieces.data(), pieces.size(), time.ms(), err);
        });
    }
    /// hysock_producer_send_fds(): send one message with `fd_count` open descriptors, 1 to 253.
    [[nodiscard]] result<void> send_fds(bytes message, view<std::int32_t> fds,
                                        timeout time = forever) {
        return detail::done([&](hysock_error *err) {
            hysock_producer_send_fds(get(), message.data(), message.size(), fds.data(), fds.size(),
                                     time.ms(), err);
        });
    }
    /// hysock_producer_flush(): wait until every message that was sent before has come that far:
    /// HYSOCK_FLUSH_WRITTEN or HYSOCK_FLUSH_READ.
    [[nodiscard]] result<void> flush(flush_level how, timeout time = forever) {
        return detail::done([&](hysock_error *err) {
            hysock_producer_flush(get(), static_cast<std::int32_t>(how), time.ms(), err);
        });
    }
    /// hysock_producer_shutdown(): take no more messages, give those that wait up to `drain_ms`
    /// milliseconds to be written and read, end the connection, and say what became of all messages
    /// since the producer was made.
    result<producer_report> shutdown(timeout drain) {
        return detail::sized<producer_report>(
            [&](producer_report *report, std::size_t size, hysock_error *err) {
                return hysock_producer_shutdown(get(), drain.ms(), report, size, err);
            });
    }
    /// hysock_producer_stats(): fill `*counts` with what the producer has counted so far; also
    /// after its end, until it is freed.
    result<producer_counts> stats() const {
        return detail::sized<producer_counts>(
            [&](producer_counts *counts, std::size_t size, hysock_error *err) {
                return hysock_producer_stats(get(), counts, size, err);
            });
    }
};

} // namespace hysock

#endif
