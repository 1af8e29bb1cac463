// hysock/closure.hpp: lambdas as callbacks. Nothing in here is for programs but on_throw().
#ifndef HYSOCK_CLOSURE_HPP
#define HYSOCK_CLOSURE_HPP

#include "text.hpp"

#include <atomic>
#include <memory>

namespace hysock {

/// Told what a callback threw: the exception's what(). std::current_exception() is the exception.
using threw_fn = void (*)(const char *what) noexcept;

namespace detail {

inline std::atomic<threw_fn> threw_hook{nullptr};

/// The error of a blocking call that runs callbacks on its own thread, on that thread's stack.
inline thread_local error *threw_into = nullptr;

/// An exception has left a callback: here is where it ends.
inline void threw(const char *what) noexcept {
    if (threw_into != nullptr && !*threw_into)
        *threw_into = error(status::threw, what, operation::callback);
    if (const threw_fn hook = threw_hook.load(std::memory_order_acquire))
        hook(what);
}

/// Runs `f`; what it throws ends here. False when it threw.
template <class F> bool guarded(F &&f) noexcept {
#if HYSOCK_EXCEPTIONS
    try {
        f();
        return true;
    } catch (const std::exception &e) {
        threw(e.what());
    } catch (...) {
        threw("an exception that is no std::exception");
    }
    return false;
#else
    f();
    return true;
#endif
}

/// As long as it lives, what callbacks on this thread throw becomes the error of this call.
class throws_into_me {
  public:
    throws_into_me() noexcept : outer_(std::exchange(threw_into, &error_)) {}
    ~throws_into_me() { threw_into = outer_; }
    throws_into_me(const throws_into_me &) = delete;
    throws_into_me &operator=(const throws_into_me &) = delete;
    /// The call's own result, unless a callback threw.
    result<void> instead_of(const result<void> &own) const noexcept {
        return error_ ? result<void>(error_) : own;
    }

  private:
    error error_;
    error *outer_;
};

/// A callable on the heap, as the userdata of a registration. Made before it, it is the library's
/// from then on: it calls drop() once, also when the registration fails.
template <class F> struct box {
    F fn;

    template <class G> static void *make(G &&fn) { return new box{std::forward<G>(fn)}; }
    static F &of(void *userdata) noexcept { return static_cast<box *>(userdata)->fn; }
    static void drop(void *userdata) noexcept { delete static_cast<box *>(userdata); }
};

/// Something on the heap that a drop function deletes: the owner of bytes that are not copied.
template <class T> void drop_owner(void *userdata) noexcept { delete static_cast<T *>(userdata); }

/// Settles who acts when a registration ends without a call of its function: the drop that ends
/// it, or whoever registers, since a drop may come before the registration has returned.
class fate {
  public:
    /// The registration went well. True when it was dropped meanwhile: then the caller acts.
    bool registered() noexcept {
        int seen = pending;
        return !state_.compare_exchange_strong(seen, kept) && seen == dropped;
    }
    /// Its function runs now. False when nobody waits for it any more.
    bool called() noexcept { return state_.exchange(over) != left; }
    /// It ends. True when it was never called, and the caller is to act.
    bool ended() noexcept {
        int seen = pending;
        if (state_.compare_exchange_strong(seen, dropped))
            return false;
        return seen == kept && state_.compare_exchange_strong(seen, over);
    }
    /// Nobody waits for it any more.
    void leave() noexcept { state_.store(left); }

  private:
    enum : int { pending, kept, dropped, over, left };
    std::atomic<int> state_{pending};
};

/// A function that runs once, and `otherwise` in its place when it is dropped without a call.
template <class F, class O> class once {
  public:
    once(F fn, O otherwise, std::shared_ptr<fate> fate)
        : fn_(std::move(fn)), otherwise_(std::move(otherwise)), fate_(std::move(fate)) {}
    once(once &&other) noexcept
        : fn_(std::move(other.fn_)), otherwise_(std::move(other.otherwise_)),
          fate_(std::move(other.fate_)) {}
    once(const once &) = delete;
    once &operator=(const once &) = delete;
    once &operator=(once &&) = delete;
    ~once() {
        if (fate_ && fate_->ended())
            guarded(otherwise_);
    }
    template <class... A> void operator()(A &&...arguments) {
        if (fate_->called())
            fn_(std::forward<A>(arguments)...);
    }

  private:
    F fn_;
    O otherwise_;
    std::shared_ptr<fate> fate_;
};

} // namespace detail

/// Sets what hears of exceptions that leave callbacks, and returns what did before; nullptr is
/// nobody, as in the beginning. For the whole program, like std::set_terminate().
///
/// No exception ever enters the library. A handler that throws gets its client a 500; a callback
/// that runs inside call::perform() makes that fail with status::threw; elsewhere this hook is the
/// only one who is told.
inline threw_fn on_throw(threw_fn fn) noexcept {
    return detail::threw_hook.exchange(fn, std::memory_order_acq_rel);
}

} // namespace hysock

#endif
