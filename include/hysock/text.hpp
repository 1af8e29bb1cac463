// hysock/text.hpp: what goes in and comes out: texts, bytes, arrays, times, descriptors.
#ifndef HYSOCK_TEXT_HPP
#define HYSOCK_TEXT_HPP

#include "error.hpp"

#include <chrono>
#include <cstddef>
#include <initializer_list>
#include <string>
#include <type_traits>
#include <unistd.h>
#if __cplusplus >= 202002L
#include <span>
#endif

namespace hysock {

/// A short text that goes in with a NUL at its end: a method, a name, a pattern, a content type.
/// A std::string with a NUL inside becomes a text that every function refuses.
class zstring {
  public:
    zstring(const char *text) noexcept : text_(text) {} // NOLINT(*-explicit-*)
    zstring(const std::string &text) noexcept           // NOLINT(*-explicit-*)
        : text_(text.find('\0') == std::string::npos ? text.c_str() : "\n") {}
    zstring(std::nullptr_t) noexcept {} // NOLINT(*-explicit-*)
    const char *c_str() const noexcept { return text_; }

  private:
    const char *text_ = nullptr;
};

/// Bytes that go in: a text, or any container with data() and size() of one-byte elements
/// (std::string, std::vector<std::byte>, std::span<const std::byte>). A char array is a text.
class bytes {
    template <class C>
    using element = std::remove_pointer_t<decltype(std::declval<const C &>().data())>;
    template <class C>
    using if_bytes = std::enable_if_t<
        sizeof(element<C>) == 1 && std::is_trivially_copyable_v<element<C>> &&
        std::is_convertible_v<decltype(std::declval<const C &>().size()), std::size_t>>;

  public:
    bytes() noexcept = default;
    bytes(const char *text) noexcept // NOLINT(*-explicit-*)
        : data_(text), size_(text != nullptr ? std::strlen(text) : 0) {}
    bytes(const void *data, std::size_t size) noexcept : data_(data), size_(size) {}
    template <class C, class = if_bytes<C>>
    bytes(const C &container) noexcept // NOLINT(*-explicit-*)
        : data_(container.data()), size_(container.size()) {}

    const void *data() const noexcept { return data_; }
    std::size_t size() const noexcept { return size_; }
    /// As one of hysock_producer_send_batch().
    operator hysock_slice() const noexcept { return {data_, size_}; } // NOLINT(*-explicit-*)

  private:
    const void *data_ = nullptr;
    std::size_t size_ = 0;
};

/// An array that belongs to somebody else. A std::span can be made of it.
template <class T> class view {
    template <class C>
    using if_array = std::enable_if_t<
        std::is_convertible_v<decltype(std::declval<const C &>().data()), const T *>>;

  public:
    using value_type = T;

    constexpr view() noexcept = default;
    constexpr view(const T *data, std::size_t size) noexcept : data_(data), size_(size) {}
    constexpr view(std::initializer_list<T> list) noexcept
        : data_(list.begin()), size_(list.size()) {}
    template <std::size_t N>
    constexpr view(const T (&array)[N]) noexcept : data_(array), size_(N) {} // NOLINT(*-explicit-*)
    template <class C, class = if_array<C>>
    constexpr view(const C &container) noexcept // NOLINT(*-explicit-*)
        : data_(container.data()), size_(container.size()) {}

    constexpr const T *data() const noexcept { return data_; }
    constexpr std::size_t size() const noexcept { return size_; }
    constexpr bool empty() const noexcept { return size_ == 0; }
    constexpr const T *begin() const noexcept { return data_; }
    constexpr const T *end() const noexcept { return data_ + size_; }
    constexpr const T &operator[](std::size_t index) const noexcept { return data_[index]; }

  private:
    const T *data_ = nullptr;
    std::size_t size_ = 0;
};

/// A time to wait, of any std::chrono duration: rounded up to milliseconds, negative ones to 0.
/// What lasts longer than 49 days lasts 49 days; hysock::forever is no limit.
class timeout {
  public:
    template <class Rep, class Period>
    constexpr timeout(std::chrono::duration<Rep, Period> time) noexcept // NOLINT(*-explicit-*)
        : ms_(round(std::chrono::duration<double, std::milli>(time).count())) {}
    /// `ms` as hysock.h has it.
    static constexpr timeout raw(std::uint32_t ms) noexcept {
        timeout t{std::chrono::milliseconds(0)};
        t.ms_ = ms;
        return t;
    }
    constexpr std::uint32_t ms() const noexcept { return ms_; }

  private:
    static constexpr std::uint32_t round(double ms) noexcept {
        if (!(ms > 0))
            return 0;
        if (ms >= HYSOCK_FOREVER - 1.0)
            return HYSOCK_FOREVER - 1;
        const auto whole = static_cast<std::uint32_t>(ms);
        return static_cast<double>(whole) < ms ? whole + 1 : whole;
    }
    std::uint32_t ms_;
};

/// As a time: no limit.
inline constexpr timeout forever = timeout::raw(HYSOCK_FOREVER);
/// As a time: do not wait.
inline constexpr timeout no_wait = timeout::raw(0);
/// As a size or a count: no limit.
inline constexpr std::uint64_t unlimited = HYSOCK_UNLIMITED;
/// As the length of a body: not announced.
inline constexpr std::uint64_t unknown = HYSOCK_UNKNOWN;

/// A descriptor that is closed at its end. Functions that consume one take it by value.
class unique_fd {
  public:
    unique_fd() noexcept = default;
    explicit unique_fd(int fd) noexcept : fd_(fd) {}
    unique_fd(unique_fd &&other) noexcept : fd_(other.release()) {}
    unique_fd &operator=(unique_fd &&other) noexcept {
        if (this != &other)
            reset(other.release());
        return *this;
    }
    unique_fd(const unique_fd &) = delete;
    unique_fd &operator=(const unique_fd &) = delete;
    ~unique_fd() { reset(); }

    int get() const noexcept { return fd_; }
    explicit operator bool() const noexcept { return fd_ >= 0; }
    int release() noexcept { return std::exchange(fd_, -1); }
    void reset(int fd = -1) noexcept {
        if (fd_ >= 0)
            ::close(fd_);
        fd_ = fd;
    }

  private:
    int fd_ = -1;
};

#if __cplusplus >= 202002L
/// A text that came out, as bytes.
inline std::span<const std::byte> as_bytes(std::string_view text) noexcept {
    return std::as_bytes(std::span<const char>(text.data(), text.size()));
}
#endif

namespace detail {

/// What came out, as a view; `data()` is nullptr when it is absent.
inline std::string_view to_view(hysock_str s) noexcept { return {s.ptr, s.len}; }

inline std::optional<std::string_view> to_optional(hysock_str s) noexcept {
    if (s.ptr == nullptr)
        return std::nullopt;
    return to_view(s);
}

/// The characters of a text that goes in. An empty one of no place is still a text.
inline const char *chars(std::string_view text) noexcept {
    return text.data() != nullptr ? text.data() : "";
}

/// Calls `fill(buf, size)`, which returns the whole length, until all of it fits.
template <class F> result<std::string> filled(std::size_t size, F &&fill) {
    std::string text(size, '\0');
    for (;;) {
        const result<std::size_t> n = fill(text.data(), text.size());
        if (!n)
            return n.error();
        const bool fits = *n < text.size();
        text.resize(fits ? *n : *n + 1);
        if (fits)
            return text;
    }
}

} // namespace detail

/// hysock_version(): the library's version as text, like "0.1.0".
inline std::string_view version() noexcept { return hysock_version(); }
/// hysock_version_number(): the library's version as a number; compare it with
/// HYSOCK_VERSION_NUMBER.
inline std::uint32_t version_number() noexcept { return hysock_version_number(); }

/// What hysock_address_parse() finds in an address.
struct parsed_address {
    std::string socket; ///< an absolute path, or @name
    std::string target; ///< of a request; empty when the address holds none
};

/// hysock_address_parse(): split an address into the socket, in its plain form, and the target of
/// a request.
inline result<parsed_address> address_parse(std::string_view address) {
    // Neither part is ever longer than what it comes from, or than a path may be.
    std::string socket(4096 + address.size(), '\0');
    std::string target(address.size() + 2, '\0');
    error err;
    if (hysock_address_parse(detail::chars(address), address.size(), socket.data(), socket.size(),
                             target.data(), target.size(), err.out()) != HYSOCK_OK)
        return err;
    socket.resize(std::strlen(socket.c_str()));
    target.resize(std::strlen(target.c_str()));
    return parsed_address{std::move(socket), std::move(target)};
}

} // namespace hysock

#endif
