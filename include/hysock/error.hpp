// hysock/error.hpp: how a call went, without exceptions and with them.
#ifndef HYSOCK_ERROR_HPP
#define HYSOCK_ERROR_HPP

#include <hysock.h>

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <optional>
#include <string_view>
#include <utility>

#if defined(__cpp_exceptions) || defined(__EXCEPTIONS)
#define HYSOCK_EXCEPTIONS 1
#else
#define HYSOCK_EXCEPTIONS 0
#endif

namespace hysock {

/// How a call went. Never an HTTP status. Any other number of a later library fits in as well.
enum class status : std::int32_t {
    ok = HYSOCK_OK,
    invalid_argument = HYSOCK_E_INVALID_ARGUMENT,
    bad_handle = HYSOCK_E_BAD_HANDLE,
    state = HYSOCK_E_STATE,
    would_deadlock = HYSOCK_E_WOULD_DEADLOCK,
    forked = HYSOCK_E_FORKED,
    would_block = HYSOCK_E_WOULD_BLOCK,
    timed_out = HYSOCK_E_TIMED_OUT,
    cancelled = HYSOCK_E_CANCELLED,
    closed = HYSOCK_E_CLOSED,
    shut_down = HYSOCK_E_SHUT_DOWN,
    absent = HYSOCK_E_ABSENT,
    refused = HYSOCK_E_REFUSED,
    busy = HYSOCK_E_BUSY,
    forbidden = HYSOCK_E_FORBIDDEN,
    wrong_type = HYSOCK_E_WRONG_TYPE,
    in_use = HYSOCK_E_IN_USE,
    protocol = HYSOCK_E_PROTOCOL,
    truncated = HYSOCK_E_TRUNCATED,
    too_large = HYSOCK_E_TOO_LARGE,
    limit = HYSOCK_E_LIMIT,
    system = HYSOCK_E_SYSTEM,
    unsupported = HYSOCK_E_UNSUPPORTED,
    panic = HYSOCK_E_PANIC,
    /// C++ only: a callback of the program threw. The library itself never gives this number.
    threw = -1000,
};

/// A few words for a status.
inline const char *status_message(status s) noexcept {
    return s == status::threw ? "a callback threw"
                              : hysock_status_message(static_cast<std::int32_t>(s));
}

/// The step that failed.
enum class operation : std::int32_t {
    none = HYSOCK_OPERATION_NONE,
    argument = HYSOCK_OPERATION_ARGUMENT,
    start = HYSOCK_OPERATION_START,
    bind = HYSOCK_OPERATION_BIND,
    connect = HYSOCK_OPERATION_CONNECT,
    send = HYSOCK_OPERATION_SEND,
    receive = HYSOCK_OPERATION_RECEIVE,
    wait = HYSOCK_OPERATION_WAIT,
    callback = HYSOCK_OPERATION_CALLBACK,
};

/// What went wrong, in words: a hysock_error with its words in reach.
class error {
  public:
    error() noexcept { // NOLINT(*-member-init): of the message's 496 bytes one will do
        raw_.status = HYSOCK_OK;
        raw_.os_error = 0;
        raw_.operation = HYSOCK_OPERATION_NONE;
        raw_.reserved = 0;
        raw_.message[0] = '\0';
    }
    /// An error of its status alone, with the words of status_message().
    explicit error(hysock::status s) noexcept
        : error(s, s == hysock::status::ok ? "" : status_message(s)) {}
    error(hysock::status s, const char *message,
          hysock::operation step = hysock::operation::none) noexcept
        : error() {
        raw_.status = static_cast<std::int32_t>(s);
        raw_.operation = static_cast<std::int32_t>(step);
        put(message);
    }
    error(const error &other) noexcept : error() { *this = other; }
    error(error &&other) noexcept : error() { *this = other; }
    ~error() = default;
    error &operator=(const error &other) noexcept {
        if (this != &other) {
            raw_.status = other.raw_.status;
            raw_.os_error = other.raw_.os_error;
            raw_.operation = other.raw_.operation;
            put(other.raw_.message); // a success moves one byte, not 512
        }
        return *this;
    }
    error &operator=(error &&other) noexcept { return *this = std::as_const(other); }

    /// Whether this is an error.
    explicit operator bool() const noexcept { return raw_.status != HYSOCK_OK; }
    hysock::status status() const noexcept { return static_cast<hysock::status>(raw_.status); }
    /// The errno behind it; 0 when no system call failed.
    int os_error() const noexcept { return raw_.os_error; }
    hysock::operation operation() const noexcept {
        return static_cast<hysock::operation>(raw_.operation);
    }
    /// What failed, on what, and what to do: UTF-8 with a NUL at its end. Empty after a success.
    const char *message() const noexcept { return raw_.message; }
    /// For functions of hysock.h.
    hysock_error *out() noexcept { return &raw_; }

  private:
    void put(const char *message) noexcept {
        const std::size_t len = strnlen(message, sizeof(raw_.message) - 1);
        std::memcpy(raw_.message, message, len);
        raw_.message[len] = '\0';
    }
    hysock_error raw_;
};

#if HYSOCK_EXCEPTIONS
/// What result::value() throws.
class exception : public std::exception {
  public:
    explicit exception(const hysock::error &e) noexcept : error_(e) {}
    const char *what() const noexcept override { return error_.message(); }
    const hysock::error &error() const noexcept { return error_; }
    hysock::status status() const noexcept { return error_.status(); }

  private:
    hysock::error error_;
};
#endif

namespace detail {

/// The end of value() on an error: an exception, or without them the end of the process.
[[noreturn]] inline void fail(const error &e) {
#if HYSOCK_EXCEPTIONS
    throw exception(e);
#else
    (void)e;
    std::abort();
#endif
}

} // namespace detail

/// A value, or the error that stands in its place: what std::expected is in C++23.
template <class T> class [[nodiscard]] result {
  public:
    using value_type = T;

    result(T value) : value_(std::move(value)) {}          // NOLINT(*-explicit-*)
    result(const hysock::error &e) noexcept : error_(e) {} // NOLINT(*-explicit-*)

    bool has_value() const noexcept { return value_.has_value(); }
    explicit operator bool() const noexcept { return has_value(); }
    hysock::status status() const noexcept { return error_.status(); }
    /// The error; one with status ok when there is a value.
    const hysock::error &error() const noexcept { return error_; }

    /// The value; throws hysock::exception in its absence, without exceptions calls std::abort().
    T &value() & { return check(), *value_; }
    const T &value() const & { return check(), *value_; }
    T &&value() && { return check(), std::move(*value_); }
    template <class U> T value_or(U &&otherwise) && {
        return has_value() ? std::move(*value_) : static_cast<T>(std::forward<U>(otherwise));
    }
    template <class U> T value_or(U &&otherwise) const & {
        return has_value() ? *value_ : static_cast<T>(std::forward<U>(otherwise));
    }
    /// The value, unchecked.
    T &operator*() &noexcept { return *value_; }
    const T &operator*() const &noexcept { return *value_; }
    T &&operator*() &&noexcept { return std::move(*value_); }
    T *operator->() noexcept { return &*value_; }
    const T *operator->() const noexcept { return &*value_; }

  private:
    void check() const {
        if (!has_value())
            detail::fail(error_);
    }
    std::optional<T> value_;
    hysock::error error_;
};

/// Success, or an error. May be passed over where the peer hears of a failure by other means.
template <> class result<void> {
  public:
    using value_type = void;

    result() noexcept = default;
    result(const hysock::error &e) noexcept : error_(e) {} // NOLINT(*-explicit-*)

    bool has_value() const noexcept { return !error_; }
    explicit operator bool() const noexcept { return has_value(); }
    hysock::status status() const noexcept { return error_.status(); }
    const hysock::error &error() const noexcept { return error_; }
    /// Throws hysock::exception on an error, without exceptions calls std::abort().
    void value() const {
        if (error_)
            detail::fail(error_);
    }
    /// For functions of hysock.h.
    hysock_error *out() noexcept { return error_.out(); }

  private:
    hysock::error error_;
};

namespace detail {

inline status to_status(hysock_status s) noexcept { return static_cast<status>(s); }

/// A count or descriptor that is a status when it is negative.
template <class T = int> result<T> counted(std::int32_t n) {
    if (n < 0)
        return error(to_status(n));
    return T(n);
}

} // namespace detail

} // namespace hysock

#endif
