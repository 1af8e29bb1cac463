// hysock/handle.hpp: what all handles have in common.
#ifndef HYSOCK_HANDLE_HPP
#define HYSOCK_HANDLE_HPP

#include "closure.hpp"

namespace hysock {

/// The kinds of handles, for handles_live().
enum class handle_kind : std::int32_t {
    any = HYSOCK_KIND_ANY,
    runtime_config = HYSOCK_KIND_RUNTIME_CONFIG,
    runtime = HYSOCK_KIND_RUNTIME,
    queue = HYSOCK_KIND_QUEUE,
    listener_config = HYSOCK_KIND_LISTENER_CONFIG,
    server_config = HYSOCK_KIND_SERVER_CONFIG,
    server = HYSOCK_KIND_SERVER,
    exchange = HYSOCK_KIND_EXCHANGE,
    client_config = HYSOCK_KIND_CLIENT_CONFIG,
    client = HYSOCK_KIND_CLIENT,
    call = HYSOCK_KIND_CALL,
    timer = HYSOCK_KIND_TIMER,
    receiver_config = HYSOCK_KIND_RECEIVER_CONFIG,
    receiver = HYSOCK_KIND_RECEIVER,
    batch = HYSOCK_KIND_BATCH,
    producer_config = HYSOCK_KIND_PRODUCER_CONFIG,
    producer = HYSOCK_KIND_PRODUCER,
};

/// hysock_handles_live(): how many handles of a kind were made and not freed.
inline result<int> handles_live(handle_kind kind = handle_kind::any) {
    return detail::counted(hysock_handles_live(static_cast<std::int32_t>(kind)));
}

/// Where callbacks run; a queue is the third place.
enum class delivery : std::int32_t {
    pool = HYSOCK_DELIVERY_POOL,
    in_line = HYSOCK_DELIVERY_INLINE,
};

/// Whom an allow rule names.
enum class rule : std::int32_t {
    uid = HYSOCK_ALLOW_UID,
    gid = HYSOCK_ALLOW_GID,
    self = HYSOCK_ALLOW_SELF,
    root = HYSOCK_ALLOW_ROOT,
};

namespace detail {

/// Owns a handle of hysock.h. Empty after a move, a release and a free: then every function says
/// status::invalid_argument or status::bad_handle, and every getter gives nothing.
template <class T, void (*Free)(T *)> class handle {
  public:
    handle() noexcept = default;
    /// Takes over a handle of hysock.h.
    explicit handle(T *raw) noexcept : raw_(raw) {}
    handle(handle &&other) noexcept : raw_(other.release()) {}
    handle &operator=(handle &&other) noexcept {
        if (this != &other) {
            free();
            raw_ = other.release();
        }
        return *this;
    }
    handle(const handle &) = delete;
    handle &operator=(const handle &) = delete;
    ~handle() { free(); }

    /// The handle, for functions of hysock.h. It stays ours.
    T *get() const noexcept { return raw_; }
    /// The handle, which is the caller's from now on.
    T *release() noexcept { return std::exchange(raw_, nullptr); }
    explicit operator bool() const noexcept { return raw_ != nullptr; }
    /// Ends it now, as its destructor would. Never waits, and is allowed anywhere.
    void free() noexcept {
        if (raw_ != nullptr)
            Free(release());
    }

  private:
    T *raw_ = nullptr;
};

/// A handle that may also be lent: by a callback, which ends it when it returns.
template <class T, void (*Free)(T *)> class lendable {
  public:
    lendable() noexcept = default;
    /// Takes over a handle of hysock.h.
    explicit lendable(T *raw) noexcept : raw_(raw), owned_(true) {}
    lendable(lendable &&other) noexcept
        : raw_(std::exchange(other.raw_, nullptr)), owned_(std::exchange(other.owned_, false)) {}
    lendable &operator=(lendable &&other) noexcept {
        if (this != &other) {
            if (owned_)
                free();
            raw_ = std::exchange(other.raw_, nullptr);
            owned_ = std::exchange(other.owned_, false);
        }
        return *this;
    }
    lendable(const lendable &) = delete;
    lendable &operator=(const lendable &) = delete;
    ~lendable() {
        if (owned_)
            free();
    }

    /// The handle, for functions of hysock.h. It stays ours, or of whoever lent it.
    T *get() const noexcept { return raw_; }
    /// The handle, which is the caller's from now on if it was ours.
    T *release() noexcept {
        owned_ = false;
        return std::exchange(raw_, nullptr);
    }
    explicit operator bool() const noexcept { return raw_ != nullptr; }
    /// Whether the destructor frees it.
    bool owned() const noexcept { return owned_; }
    /// Ends it now, also one that is lent. Never waits, and is allowed anywhere.
    void free() noexcept {
        if (raw_ != nullptr)
            Free(release());
    }

  protected:
    struct lent {};
    lendable(lent, T *raw) noexcept : raw_(raw) {}

  private:
    T *raw_ = nullptr;
    bool owned_ = false;
};

/// A handle that must be there where hysock.h would take NULL for "none": an object that is empty
/// becomes one that every function refuses.
template <class H> auto given(const H &handle) noexcept {
    using pointer = decltype(handle.get());
    return handle ? handle.get() : reinterpret_cast<pointer>(std::uintptr_t{1}); // NOLINT
}

/// A config that may be left out. One that was moved from is not left out: it is refused.
template <class C> class optional_config {
  public:
    optional_config() noexcept = default;
    optional_config(const C &config) noexcept : raw_(given(config)) {} // NOLINT(*-explicit-*)
    auto get() const noexcept { return raw_; }

  private:
    decltype(std::declval<const C &>().get()) raw_ = nullptr;
};

/// `H` of what a _new function of hysock.h made, or its error.
template <class H, class T, class F> result<H> made(F &&make) {
    T *raw = nullptr;
    error err;
    if (make(&raw, err.out()) != HYSOCK_OK)
        return err;
    return H(raw);
}

/// The result of a function of hysock.h.
template <class F> result<void> done(F &&call) {
    result<void> r;
    call(r.out());
    return r;
}

/// A struct with its size that a function of hysock.h fills.
template <class S, class F> result<S> sized(F &&fill) {
    S s{};
    error err;
    if (fill(&s, sizeof(S), err.out()) != HYSOCK_OK)
        return err;
    return s;
}

} // namespace detail

} // namespace hysock

#endif
