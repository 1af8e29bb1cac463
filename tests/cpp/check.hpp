// What the C++ tests share: checks that name file and line, a directory of their own, a latch with
// a deadline, an object that counts its life, a raw client. Include it first.
#ifndef CHECK_HPP
#define CHECK_HPP

#include <hysock.hpp>

#include <chrono>
#include <condition_variable>
#include <csignal>
#include <cstdio>
#include <filesystem>
#include <mutex>
#include <string>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

using namespace std::chrono_literals;

inline constexpr auto deadline = 20s;

#define CHECK(condition)                                                                           \
    ((condition) ? void() : check::fail(__FILE__, __LINE__, "failed: " #condition))
#define CHECK_EQ(actual, expected)                                                                 \
    check::equal(__FILE__, __LINE__, #actual " == " #expected, (actual), (expected))
/* The value of a result, or the end of the test with the error's words. */
#define OK(call) check::ok(__FILE__, __LINE__, #call, (call))
#define CHECK_STATUS(call, expected)                                                               \
    check::status_is(__FILE__, __LINE__, #call, (call), hysock::status::expected)

namespace check {

[[noreturn]] inline void fail(const char *file, int line, const char *what) {
    std::fprintf(stderr, "%s:%d: %s\n", file, line, what);
    std::_Exit(1);
}

template <class A, class B>
void equal(const char *file, int line, const char *what, const A &actual, const B &expected) {
    if (!(actual == expected))
        fail(file, line, what);
}

inline void words(const char *what, const hysock::error &e) {
    std::fprintf(stderr, "%s\n  gave %d: %s\n", what, static_cast<int>(e.status()), e.message());
}

template <class T> T ok(const char *file, int line, const char *what, hysock::result<T> r) {
    if (!r) {
        words(what, r.error());
        fail(file, line, "failed");
    }
    if constexpr (!std::is_void_v<T>)
        return *std::move(r);
}
inline void ok(const char *file, int line, const char *what, hysock::status s) {
    ok(file, line, what, hysock::result<void>(hysock::error(s)));
}

template <class T>
void status_is(const char *file, int line, const char *what, const hysock::result<T> &r,
               hysock::status expected) {
    if (r.status() == expected)
        return;
    words(what, r.error());
    fail(file, line, "failed");
}
inline void status_is(const char *file, int line, const char *what, hysock::status actual,
                      hysock::status expected) {
    status_is(file, line, what, hysock::result<void>(hysock::error(actual)), expected);
}

/// A counter that can be waited for.
class latch {
  public:
    void add(long n = 1) {
        const std::lock_guard<std::mutex> lock(mutex_);
        count_ += n;
        changed_.notify_all();
    }
    long count() {
        const std::lock_guard<std::mutex> lock(mutex_);
        return count_;
    }
    bool reaches(long n) {
        std::unique_lock<std::mutex> lock(mutex_);
        return changed_.wait_for(lock, deadline, [&] { return count_ >= n; });
    }

  private:
    std::mutex mutex_;
    std::condition_variable changed_;
    long count_ = 0;
};

/// Something for a lambda to capture: move-only, and counts its end, once however often it moved.
class life {
  public:
    explicit life(latch &ends) : ends_(&ends) {}
    life(life &&other) noexcept : ends_(std::exchange(other.ends_, nullptr)) {}
    life(const life &) = delete;
    life &operator=(const life &) = delete;
    life &operator=(life &&) = delete;
    ~life() {
        if (ends_ != nullptr)
            ends_->add();
    }
    /// To be called in the lambda: it must be alive there.
    void use() const { CHECK(ends_ != nullptr); }

  private:
    latch *ends_;
};

/// A directory of the test's own, gone at its end.
class folder {
  public:
    folder() {
        const char *base = std::getenv("TMPDIR");
        std::string name = std::string(base != nullptr ? base : "/tmp") + "/hysock-XXXXXX";
        CHECK(::mkdtemp(name.data()) != nullptr);
        path_ = name;
    }
    folder(const folder &) = delete;
    folder &operator=(const folder &) = delete;
    ~folder() { std::filesystem::remove_all(path_); }
    std::string operator/(const char *name) const { return path_ + "/" + name; }

  private:
    std::string path_;
};

/// What comes back when `request` is sent and nothing more.
inline std::string raw(const std::string &path, const std::string &request) {
    const hysock::unique_fd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_un to{};
    to.sun_family = AF_UNIX;
    CHECK(path.size() < sizeof(to.sun_path));
    path.copy(to.sun_path, path.size());
    CHECK(::connect(fd.get(), reinterpret_cast<sockaddr *>(&to), sizeof(to)) == 0);
    const timeval patience{20, 0};
    CHECK(::setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)) == 0);
    CHECK(::send(fd.get(), request.data(), request.size(), MSG_NOSIGNAL) ==
          static_cast<ssize_t>(request.size()));
    CHECK(::shutdown(fd.get(), SHUT_WR) == 0);
    std::string answer;
    char piece[4096];
    for (;;) {
        const ssize_t n = ::recv(fd.get(), piece, sizeof(piece), 0);
        CHECK(n >= 0);
        if (n == 0)
            return answer;
        answer.append(piece, static_cast<std::size_t>(n));
    }
}

/// The end of a runtime, and the last look: nothing is left. Handles of the test must be gone.
inline void end(hysock::runtime runtime) {
    OK(runtime.shutdown());
    OK(runtime.wait(deadline));
}

inline int nothing_left() {
    CHECK_EQ(OK(hysock::handles_live()), 0);
    return 0;
}

} // namespace check

#endif
