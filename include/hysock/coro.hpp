// hysock/coro.hpp: coroutines that wait for calls, queues, timers and bodies. C++20; by itself, not
// part of hysock.hpp.
//
//     hysock::task<std::string> version(hysock::client &client) {
//         auto call = hysock::call::make(client, "GET", "/version").value();
//         (co_await hysock::start(call)).value();
//         co_return std::string(call.body());
//     }
//
// A coroutine goes on where the callback that it waits for runs: on the thread that dispatches the
// client's or the server's queue, or without one on a callback thread. Each co_await ends exactly
// once: when nothing will come any more, because its client, server, queue or runtime has ended,
// with status::cancelled. A coroutine that waits may be destroyed on the thread on which it would
// go on, or when that thread has ended.
#ifndef HYSOCK_CORO_HPP
#define HYSOCK_CORO_HPP

#include "../hysock.hpp"

#include <coroutine>

namespace hysock {

namespace detail {

/// What the coroutine that awaits a task finds when it goes on.
template <class T> struct task_value {
    std::optional<T> value;
    template <class U> void return_value(U &&from) { value.emplace(std::forward<U>(from)); }
    T take() { return std::move(*value); }
};
template <> struct task_value<void> {
    void return_void() noexcept {}
    void take() noexcept {}
};

} // namespace detail

/// A coroutine that begins when it is awaited or spawned, and gives a T.
template <class T = void> class [[nodiscard]] task {
  public:
    struct promise_type : detail::task_value<T> {
        std::coroutine_handle<> awaiting = std::noop_coroutine();
#if HYSOCK_EXCEPTIONS
        std::exception_ptr thrown;
        void unhandled_exception() noexcept { thrown = std::current_exception(); }
#else
        void unhandled_exception() noexcept { std::abort(); }
#endif
        task get_return_object() noexcept {
            return task(std::coroutine_handle<promise_type>::from_promise(*this));
        }
        std::suspend_always initial_suspend() noexcept { return {}; }
        struct last {
            bool await_ready() noexcept { return false; }
            std::coroutine_handle<>
            await_suspend(std::coroutine_handle<promise_type> self) noexcept {
                return self.promise().awaiting;
            }
            void await_resume() noexcept {}
        };
        last final_suspend() noexcept { return {}; }
    };

    task(task &&other) noexcept : self_(std::exchange(other.self_, nullptr)) {}
    task &operator=(task &&other) noexcept {
        if (this != &other) {
            end();
            self_ = std::exchange(other.self_, nullptr);
        }
        return *this;
    }
    task(const task &) = delete;
    task &operator=(const task &) = delete;
    ~task() { end(); }

    bool await_ready() const noexcept { return false; }
    std::coroutine_handle<> await_suspend(std::coroutine_handle<> awaiting) noexcept {
        self_.promise().awaiting = awaiting;
        return self_;
    }
    T await_resume() {
#if HYSOCK_EXCEPTIONS
        if (self_.promise().thrown)
            std::rethrow_exception(std::move(self_.promise().thrown));
#endif
        return self_.promise().take();
    }

  private:
    explicit task(std::coroutine_handle<promise_type> self) noexcept : self_(self) {}
    void end() noexcept {
        if (self_)
            self_.destroy();
    }
    std::coroutine_handle<promise_type> self_;
};

namespace detail {

/// A coroutine that begins at once and that nobody waits for.
struct detached {
    struct promise_type {
        detached get_return_object() noexcept { return {}; }
        std::suspend_never initial_suspend() noexcept { return {}; }
        std::suspend_never final_suspend() noexcept { return {}; }
        void return_void() noexcept {}
        void unhandled_exception() noexcept {
#if HYSOCK_EXCEPTIONS
            guarded([] { throw; });
#endif
        }
    };
};

template <class T> detached run(task<T> task) { co_await task; }

/// The function stays until its coroutine has ended: that may use what it has captured.
template <class F> detached run_with(std::shared_ptr<F> fn, exchange exchange) {
    co_await (*fn)(std::move(exchange)); // NOLINT(bugprone-use-after-move)
}

/// Waits for one callback, of which it makes a result<T>. `begin` registers it.
template <class T, class Begin> class waiter {
  public:
    explicit waiter(Begin begin) noexcept : begin_(std::move(begin)) {}
    waiter(const waiter &) = delete;
    waiter &operator=(const waiter &) = delete;
    ~waiter() {
        if (fate_)
            fate_->leave();
    }

    bool await_ready() const noexcept { return false; }
    // Not inlined: the coroutine may have gone on, on another thread, before this returns, so
    // nothing of this function may stand in the coroutine's frame.
    [[gnu::noinline]] bool await_suspend(std::coroutine_handle<> self) {
        auto fate = std::make_shared<detail::fate>();
        fate_ = fate;
        auto go_on = [this, self](result<T> got) {
            got_ = std::move(got);
            self.resume();
        };
        auto give_up = [go_on]() mutable { go_on(error(status::cancelled)); };
        using once = detail::once<decltype(go_on), decltype(give_up)>;
        const result<void> begun = begin_(once(std::move(go_on), std::move(give_up), fate));
        if (!begun)
            got_ = result<T>(begun.error());
        else if (fate->registered())
            got_ = result<T>(error(status::cancelled));
        else
            return true;
        return false;
    }
    result<T> await_resume() noexcept { return std::move(*got_); }

  private:
    Begin begin_;
    std::shared_ptr<detail::fate> fate_;
    std::optional<result<T>> got_;
};

template <class T, class Begin> waiter<T, Begin> wait_for(Begin begin) {
    return waiter<T, Begin>(std::move(begin));
}

} // namespace detail

/// Begins a task that nobody waits for. What it throws, on_throw() tells.
template <class T> void spawn(task<T> task) { detail::run(std::move(task)); }

/// A handler that is a coroutine: `fn(exchange) -> task<>`. Its exchange is deferred; when the
/// coroutine ends or throws without an answer, the client gets a 500.
///
///     server.add_route("GET", "/", hysock::coroutine([](hysock::exchange exchange) -> ... ));
template <class F> auto coroutine(F fn) {
    return [fn = std::make_shared<F>(std::move(fn))](exchange &lent) {
        if (result<exchange> mine = lent.defer())
            detail::run_with(fn, std::move(*mine));
    };
}

/// Starts a call and waits for its answer: a result<void>. The call must stay where it is.
[[nodiscard]] inline auto start(call &call) {
    return detail::wait_for<void>([&call](auto then) {
        return call.start([then = std::move(then)](hysock::call &ended, status s) mutable {
            then(s == status::ok ? result<void>() : ended.error());
        });
    });
}

/// Goes on where `queue` is dispatched, after all that waits there: a result<void>.
[[nodiscard]] inline auto schedule(runtime &runtime, queue &queue) {
    return detail::wait_for<void>([&runtime, &queue](auto then) {
        return runtime.after_forget(no_wait, queue,
                                    [then = std::move(then)]() mutable { then(result<void>()); });
    });
}

/// Goes on after a while, on a callback thread: a result<void>.
[[nodiscard]] inline auto sleep(runtime &runtime, timeout time) {
    return detail::wait_for<void>([&runtime, time](auto then) {
        return runtime.after_forget(time,
                                    [then = std::move(then)]() mutable { then(result<void>()); });
    });
}

/// Goes on after a while, where `queue` is dispatched: a result<void>.
[[nodiscard]] inline auto sleep(runtime &runtime, queue &queue, timeout time) {
    return detail::wait_for<void>([&runtime, &queue, time](auto then) {
        return runtime.after_forget(time, queue,
                                    [then = std::move(then)]() mutable { then(result<void>()); });
    });
}

/// Waits for the next piece of a request's body: a result<std::string_view>, with a data() of
/// nullptr at the end. For an exchange that was deferred.
[[nodiscard]] inline auto read(exchange &exchange) {
    return detail::wait_for<std::string_view>([&exchange](auto then) {
        return exchange.read_start(
            [then = std::move(then)](hysock::exchange &, status s, std::string_view piece) mutable {
                if (s == status::ok)
                    then(result<std::string_view>(piece));
                else
                    then(result<std::string_view>(error(s)));
            });
    });
}

/// Waits for the next piece of a streamed answer's body: a result<std::string_view>, with a data()
/// of nullptr at the end. For a call that was started.
[[nodiscard]] inline auto read(call &call) {
    return detail::wait_for<std::string_view>([&call](auto then) {
        return call.read_start(
            [then = std::move(then)](hysock::call &, status s, std::string_view piece) mutable {
                if (s == status::ok)
                    then(result<std::string_view>(piece));
                else
                    then(result<std::string_view>(error(s)));
            });
    });
}

/// Waits until there is room for a piece of an answer: a result<void>. When the client has left it
/// is well, too, and the next write says so. For an exchange that was deferred.
[[nodiscard]] inline auto writable(exchange &exchange) {
    return detail::wait_for<void>([&exchange](auto then) {
        return exchange.on_writable(
            [then = std::move(then)](hysock::exchange &) mutable { then(result<void>()); });
    });
}

/// Waits until there is room for a piece of a request's body: a result<void>. For a call with
/// call::set_body_stream() that was started.
[[nodiscard]] inline auto writable(call &call) {
    return detail::wait_for<void>([&call](auto then) {
        return call.on_writable(
            [then = std::move(then)](hysock::call &) mutable { then(result<void>()); });
    });
}

} // namespace hysock

#endif
