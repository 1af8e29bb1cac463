// Fork: daemonize first; prefork servers that share a descriptor; what a child may do.
#include "check.hpp"

#include <algorithm>
#include <list>
#include <set>
#include <sys/wait.h>
#include <utility>

namespace {

using hysock::status;

/// The child of a fork, which ends by itself or by SIGTERM, with status 0, in time.
class child {
  public:
    template <class F> explicit child(F &&body) {
        std::fflush(nullptr);
        pid_ = ::fork();
        CHECK(pid_ >= 0);
        if (pid_ == 0) {
            ::alarm(60); // a child that hangs ends, and the test with it
            body();
            std::_Exit(0);
        }
    }
    child(child &&other) noexcept : pid_(std::exchange(other.pid_, -1)) {}
    child(const child &) = delete;
    child &operator=(const child &) = delete;
    child &operator=(child &&) = delete;
    ~child() { CHECK(pid_ < 0); }
    pid_t pid() const { return pid_; }
    void terminate() const { CHECK(::kill(pid_, SIGTERM) == 0); }
    void reap() {
        int how = 0;
        CHECK(::waitpid(pid_, &how, 0) == pid_);
        pid_ = -1;
        CHECK(WIFEXITED(how) && WEXITSTATUS(how) == 0);
    }

  private:
    pid_t pid_ = -1;
};

void answer_pid(hysock::exchange &exchange) {
    exchange.answer(200, "text/plain", std::to_string(::getpid()));
}

std::string get(const hysock::client &client) {
    auto call = OK(hysock::call::make(client, "GET", "/"));
    OK(call.perform());
    return std::string(call.body());
}

/// A SIGTERM that comes before a child can handle it waits.
void hold_back(int how) {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    CHECK(::sigprocmask(how, &set, nullptr) == 0);
}

hysock::server *ends_by_signal = nullptr;

/// What a daemon does once it is one: runtime, server, until SIGTERM.
void serve(int listener, hysock::adopt adopt) {
    auto runtime = OK(hysock::runtime::make());
    auto server = OK(hysock::server::make(runtime));
    OK(server.add_route("GET", "/", answer_pid));
    OK(server.add_listener_fd(hysock::unique_fd(listener), adopt));
    ends_by_signal = &server;
    CHECK(std::signal(SIGTERM, [](int) { ends_by_signal->shutdown_signal(); }) != SIG_ERR);
    OK(server.start());
    hold_back(SIG_UNBLOCK);
    OK(server.wait(hysock::forever));
    server.free();
    check::end(std::move(runtime));
}

/// The socket is open before the fork: when the parent returns to the shell, clients may connect.
void daemonize_first() {
    const check::folder folder;
    const std::string path = folder / "s";
    auto listener = OK(hysock::listener_open(path));
    child daemon([&] { serve(listener.release(), hysock::adopt::own); });
    listener.reset(); // the daemon's alone now
    {
        const auto client = OK(hysock::client::make(path));
        CHECK_EQ(get(client), std::to_string(daemon.pid()));
    }
    daemon.terminate();
    daemon.reap();
    CHECK(!std::filesystem::exists(path)); // the daemon's to remove
}

/// Several processes accept from one descriptor; the parent keeps it, and the file.
void prefork() {
    const check::folder folder;
    const std::string path = folder / "s";
    const auto listener = OK(hysock::listener_open(path));
    std::list<child> children;
    for (int i = 0; i < 3; i++)
        children.emplace_back([&] { serve(::dup(listener.get()), hysock::adopt::keep); });
    const auto answered_by = [&](std::size_t calls) {
        std::set<std::string> pids;
        for (std::size_t i = 0; i < calls; i++)
            pids.insert(get(OK(hysock::client::make(path)))); // a connection of its own
        return pids;
    };
    const auto pids = answered_by(50);
    for (const auto &pid : pids)
        CHECK(std::any_of(children.begin(), children.end(),
                          [&](const child &c) { return std::to_string(c.pid()) == pid; }));
    // One ends, the others serve on; a new one joins.
    children.front().terminate();
    children.front().reap();
    const auto rest = answered_by(20);
    CHECK(!rest.empty());
    children.emplace_back([&] { serve(::dup(listener.get()), hysock::adopt::keep); });
    children.pop_front();
    for (auto &c : children) {
        CHECK(std::filesystem::exists(path));
        c.terminate();
        c.reap();
    }
    CHECK(std::filesystem::exists(path)); // of the parent, which has opened it
    CHECK(::unlink(path.c_str()) == 0);
}

/// A fork in the middle of it all: the child is refused what is the parent's, harms nothing, and
/// begins anew.
void in_the_middle() {
    const check::folder folder;
    const std::string path = folder / "s";
    auto runtime = OK(hysock::runtime::make());
    {
        auto server = OK(hysock::server::serve(runtime, path, answer_pid));
        auto queue = OK(hysock::queue::make(runtime));
        auto client = OK(hysock::client::make(runtime, path));
        auto bare = OK(hysock::client::make(path));
        auto call = OK(hysock::call::make(client, "GET", "/"));
        const std::string parent = std::to_string(::getpid());
        CHECK_EQ(get(client), parent);
        CHECK_EQ(get(bare), parent); // and keeps a connection, which the child must not use
        check::latch ends;
        child refused([&] {
            CHECK_STATUS(
                server.add_route("GET", "/x", [l = check::life(ends)](hysock::exchange &) {}),
                forked);
            CHECK_EQ(ends.count(), 1);
            CHECK_STATUS(server.shutdown(), forked);
            CHECK_STATUS(server.wait(), forked);
            CHECK_STATUS(queue.dispatch(1, hysock::forever), forked);
            CHECK_STATUS(call.perform(), forked);
            CHECK_STATUS(hysock::queue::make(runtime), forked);
            CHECK_STATUS(runtime.wait(), forked);
            CHECK_STATUS(runtime.after_forget(1ms, [l = check::life(ends)] {}), forked);
            CHECK_EQ(ends.count(), 2);
            // A client without a runtime goes on, and its own connections are its own.
            CHECK_EQ(get(bare), parent);
            CHECK_EQ(get(bare), parent);
            // Destructors run in the child as anywhere, and leave the parent's things alone.
            const auto gone = std::move(call);
            client.free();
            queue.free();
            server.free();
            runtime.free();
            CHECK(std::filesystem::exists(path));
        });
        refused.reap();
        child anew([&] {
            auto own = OK(hysock::runtime::make());
            {
                auto second = OK(hysock::server::serve(own, folder / "c", answer_pid));
                CHECK_EQ(get(OK(hysock::client::make(own, folder / "c"))),
                         std::to_string(::getpid()));
                CHECK_EQ(get(OK(hysock::client::make(own, path))), parent);
                CHECK_STATUS(hysock::server::make(runtime), forked); // beside it
                OK(second.shutdown());
                OK(second.wait(deadline));
            }
            check::end(std::move(own));
        });
        anew.reap();
        CHECK_EQ(get(client), parent);
        OK(call.perform());
        CHECK_EQ(call.body(), parent);
        OK(server.shutdown());
        OK(server.wait(deadline));
    }
    check::end(std::move(runtime));
}

} // namespace

int main() {
    std::signal(SIGPIPE, SIG_DFL);
    hold_back(SIG_BLOCK);
    daemonize_first(); // before this process has ever had a runtime
    prefork();
    in_the_middle();
    return check::nothing_left();
}
