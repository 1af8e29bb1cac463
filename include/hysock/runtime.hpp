// hysock/runtime.hpp: threads, queues, timers.
#ifndef HYSOCK_RUNTIME_HPP
#define HYSOCK_RUNTIME_HPP

#include "handle.hpp"

namespace hysock {

/// How grave a log line is.
enum class log_level : std::int32_t {
    error = HYSOCK_LOG_ERROR,
    warn = HYSOCK_LOG_WARN,
    info = HYSOCK_LOG_INFO,
    debug = HYSOCK_LOG_DEBUG,
};

/// What a runtime is made with.
class runtime_config : public detail::handle<hysock_runtime_config, hysock_runtime_config_free> {
  public:
    /// hysock_runtime_config_new(): make a config that holds the defaults.
    runtime_config() noexcept : handle(hysock_runtime_config_new()) {}
    /// hysock_runtime_config_set_io_threads(): set how many threads do the I/O: 1 to 64, 1 by
    /// default.
    status set_io_threads(std::uint32_t threads) noexcept {
        return detail::to_status(hysock_runtime_config_set_io_threads(get(), threads));
    }
    /// hysock_runtime_config_set_callback_threads(): set how many threads run callbacks in pool
    /// delivery: 1 to 1024, 4 by default.
    status set_callback_threads(std::uint32_t threads) noexcept {
        return detail::to_status(hysock_runtime_config_set_callback_threads(get(), threads));
    }
    /// hysock_runtime_config_set_stack_size(): set the stack size of the library's threads, in
    /// bytes: 64 KiB to 1 GiB, 2 MiB by default.
    status set_stack_size(std::size_t size) noexcept {
        return detail::to_status(hysock_runtime_config_set_stack_size(get(), size));
    }
    /// hysock_runtime_config_set_thread_name(): set what the names of the library's threads begin
    /// with, as ps(1) and debuggers show them: 1 to 8 bytes, "hysock" by default, which gives
    /// hysock-io-0 and hysock-cb-0.
    status set_thread_name(zstring prefix) noexcept {
        return detail::to_status(hysock_runtime_config_set_thread_name(get(), prefix.c_str()));
    }
    /// hysock_runtime_config_set_thread_hooks(): set functions that run on each library thread:
    /// `start` before anything else, `stop` as the last.
    /// Both are `fn()` and may run on several threads at once.
    template <class F, class G> status set_thread_hooks(F start, G stop) {
        struct hooks {
            F start;
            G stop;
        };
        using box = detail::box<hooks>;
        return detail::to_status(hysock_runtime_config_set_thread_hooks(
            get(), [](void *u) noexcept { detail::guarded(box::of(u).start); },
            [](void *u) noexcept { detail::guarded(box::of(u).stop); },
            box::make(hooks{std::move(start), std::move(stop)}), box::drop));
    }
};

class runtime;

/// A function that runs once, later.
/// Its end calls it off: keep it, or use runtime::after_forget().
using timer = detail::handle<hysock_timer, hysock_timer_free>;

/// Callbacks that wait for the thread that dispatches them.
class queue : public detail::handle<hysock_queue, hysock_queue_free> {
  public:
    using handle::handle;

    /// hysock_queue_new(): make a queue, to be given to servers, clients and the log of the same
    /// runtime.
    static result<queue> make(const runtime &runtime);
    /// hysock_queue_dispatch(): run callbacks that wait, at most `max` of them, on this thread;
    /// returns how many ran.
    /// What a callback throws does not come out here: see on_throw().
    result<unsigned> dispatch(std::uint32_t max = UINT32_MAX, timeout time = no_wait) {
        return detail::counted<unsigned>(hysock_queue_dispatch(get(), max, time.ms()));
    }
    /// hysock_queue_fd(): the descriptor to watch: readable exactly while something waits, or a
    /// wake.
    result<int> fd() const { return detail::counted(hysock_queue_fd(get())); }
    /// hysock_queue_wake(): make a dispatch that waits return, or the next one that would wait.
    status wake() noexcept { return detail::to_status(hysock_queue_wake(get())); }
};

/// The library's threads: explicit, started here, joined by a wait.
class runtime : public detail::handle<hysock_runtime, hysock_runtime_free> {
  public:
    using handle::handle;

    /// hysock_runtime_new(): start the library's threads.
    static result<runtime> make(detail::optional_config<runtime_config> config = {}) {
        return detail::made<runtime, hysock_runtime>([&](hysock_runtime **raw, hysock_error *err) {
            return hysock_runtime_new(config.get(), raw, err);
        });
    }
    /// hysock_runtime_shutdown(): begin the end of everything on the runtime: no new connections
    /// and requests, answers in flight may finish for `drain_ms` milliseconds (0: none,
    /// HYSOCK_FOREVER: all), then connections are closed.
    result<void> shutdown(timeout drain = no_wait) {
        return detail::done(
            [&](hysock_error *err) { hysock_runtime_shutdown(get(), drain.ms(), err); });
    }
    /// hysock_runtime_wait(): wait until the runtime has ended: no callback of anything on it runs
    /// or will run, all drops have run, every thread is joined.
    [[nodiscard]] result<void> wait(timeout time = forever) {
        return detail::done([&](hysock_error *err) { hysock_runtime_wait(get(), time.ms(), err); });
    }
    /// hysock_runtime_on_log(): send log lines of `level` and graver ones to `fn`; a later call
    /// replaces an earlier one.
    /// On a callback thread; `fn(log_level, std::string_view line)`.
    template <class F> [[nodiscard]] result<void> on_log(log_level level, F fn) {
        return on_log_in(level, nullptr, std::move(fn));
    }
    /// The same, on whoever dispatches `queue`.
    template <class F> [[nodiscard]] result<void> on_log(log_level level, queue &queue, F fn) {
        return on_log_in(level, detail::given(queue), std::move(fn));
    }
    /// hysock_runtime_set_log_level(): send other lines to the log function from now on: those of
    /// `level` and graver ones.
    [[nodiscard]] result<void> set_log_level(log_level level) {
        return detail::done([&](hysock_error *err) {
            hysock_runtime_set_log_level(get(), static_cast<std::int32_t>(level), err);
        });
    }
    /// hysock_runtime_after(): run `fn` once in `ms` milliseconds: not earlier, and about a
    /// millisecond later when nothing else is in the way.
    /// On a callback thread; `fn()`. The end of the timer calls it off.
    template <class F> result<timer> after(timeout time, F fn) {
        return after_in(time, nullptr, std::move(fn));
    }
    /// The same, on whoever dispatches `queue`.
    template <class F> result<timer> after(timeout time, queue &queue, F fn) {
        return after_in(time, detail::given(queue), std::move(fn));
    }
    /// after() for a function that nobody will call off.
    template <class F> [[nodiscard]] result<void> after_forget(timeout time, F fn) {
        return after_none(time, nullptr, std::move(fn));
    }
    /// The same, on whoever dispatches `queue`.
    template <class F> [[nodiscard]] result<void> after_forget(timeout time, queue &queue, F fn) {
        return after_none(time, detail::given(queue), std::move(fn));
    }

  private:
    template <class F> result<void> on_log_in(log_level level, hysock_queue *queue, F fn) {
        static_assert(std::is_invocable_v<F &, log_level, std::string_view>);
        using box = detail::box<F>;
        const auto call = [](std::int32_t grade, hysock_str line, void *u) noexcept {
            detail::guarded(
                [&] { box::of(u)(static_cast<log_level>(grade), detail::to_view(line)); });
        };
        return detail::done([&](hysock_error *err) {
            hysock_runtime_on_log(get(), static_cast<std::int32_t>(level), queue, call,
                                  box::make(std::move(fn)), box::drop, err);
        });
    }
    template <class F>
    hysock_status after_raw(timeout time, hysock_queue *queue, F fn, hysock_timer **place,
                            hysock_error *err) {
        static_assert(std::is_invocable_v<F &>);
        using box = detail::box<F>;
        const auto call = [](hysock_timer *, void *u) noexcept { detail::guarded(box::of(u)); };
        return hysock_runtime_after(get(), time.ms(), queue, call, box::make(std::move(fn)),
                                    box::drop, place, err);
    }
    template <class F> result<timer> after_in(timeout time, hysock_queue *queue, F fn) {
        return detail::made<timer, hysock_timer>([&](hysock_timer **raw, hysock_error *err) {
            return after_raw(time, queue, std::move(fn), raw, err);
        });
    }
    template <class F> result<void> after_none(timeout time, hysock_queue *queue, F fn) {
        return detail::done(
            [&](hysock_error *err) { after_raw(time, queue, std::move(fn), nullptr, err); });
    }
};

inline result<queue> queue::make(const runtime &runtime) {
    return detail::made<queue, hysock_queue>([&](hysock_queue **raw, hysock_error *err) {
        return hysock_queue_new(runtime.get(), raw, err);
    });
}

} // namespace hysock

#endif
