// Coroutines: they go on in the right thread, once, with a value or an error, whatever ends.
#include "check.hpp"

#include <hysock/coro.hpp>

#include <stdexcept>
#include <vector>

namespace {

using check::latch;
using check::life;
using hysock::status;

// The main thread dispatches the queue. pthread_self() is "const" for compilers: in a coroutine
// they keep its value over a co_await, though that may go on in another thread.
bool here() { return ::gettid() == ::getpid(); }

struct world {
    check::folder folder;
    std::string path = folder / "s";
    hysock::runtime runtime = OK(hysock::runtime::make());
    hysock::queue queue = OK(hysock::queue::make(runtime));
    hysock::server server = OK(hysock::server::make(runtime, in_queue<hysock::server_config>()));
    hysock::client client =
        OK(hysock::client::make(runtime, path, in_queue<hysock::client_config>()));

    template <class C> C in_queue() const {
        C config;
        OK(config.set_queue(queue));
        return config;
    }
    void start() {
        OK(server.add_listener(path));
        OK(server.start());
    }
    /// Dispatches until `done` has been reached.
    void run(latch &done, long n = 1) const {
        const auto end = std::chrono::steady_clock::now() + deadline;
        while (done.count() < n) {
            CHECK(std::chrono::steady_clock::now() < end);
            OK(const_cast<hysock::queue &>(queue).dispatch(1, 100ms));
        }
    }
    ~world() {
        if (server) {
            OK(server.shutdown());
            OK(server.wait(deadline));
        }
        server.free();
        client.free();
        queue.free();
        check::end(std::move(runtime));
    }
};

hysock::task<std::string> get(world &w, const char *target) {
    auto call = OK(hysock::call::make(w.client, "GET", target));
    OK(co_await hysock::start(call));
    CHECK(here());
    co_return std::to_string(call.http_status()) + " " + std::string(call.body());
}

hysock::task<> visit(world &w, latch &done) {
    CHECK(here());
    CHECK_EQ(co_await get(w, "/"), "200 hello");
    CHECK_EQ(co_await get(w, "/later?x"), "200 later x");
    CHECK_EQ(co_await get(w, "/nothing"), "500 500 internal server error\n");
#if HYSOCK_EXCEPTIONS
    CHECK_EQ(co_await get(w, "/throw"), "500 500 internal server error\n");
    CHECK_EQ(co_await get(w, "/throw-late"), "500 500 internal server error\n");
#endif
    auto upload = OK(hysock::call::make(w.client, "POST", "/echo"));
    OK(upload.set_body("text/plain", std::string(300'000, 'x')));
    OK(co_await hysock::start(upload));
    CHECK_EQ(upload.body(), std::string(300'000, 'x'));

    OK(co_await hysock::sleep(w.runtime, 1ms));
    CHECK(!here());
    OK(co_await hysock::schedule(w.runtime, w.queue));
    CHECK(here());
    OK(co_await hysock::sleep(w.runtime, w.queue, 1ms));
    CHECK(here());

    // What cannot begin says so at once.
    CHECK_STATUS(co_await hysock::start(upload), state);
    hysock::call none;
    CHECK_STATUS(co_await hysock::start(none), invalid_argument);
    auto absent = OK(
        hysock::client::make(w.runtime, w.folder / "absent", w.in_queue<hysock::client_config>()));
    auto lost = OK(hysock::call::make(absent, "GET", "/"));
    const auto error = co_await hysock::start(lost);
    CHECK_STATUS(error, absent);
    CHECK(std::string(error.error().message()).find("absent") != std::string::npos);
    done.add();
}

hysock::task<> echo(hysock::exchange e) {
    OK(e.start_answer(200, "text/plain"));
    for (;;) {
        const auto piece = OK(co_await hysock::read(e));
        CHECK(here());
        if (piece.data() == nullptr)
            break;
        // A piece is good until the next read.
        while (e.write(piece, hysock::no_wait).status() == status::would_block)
            OK(co_await hysock::writable(e));
    }
    OK(e.finish());
}

void everyday() {
    latch done;
    latch ends;
    {
        world w;
        OK(w.server.add_route("GET", "/",
                              [](hysock::exchange &e) { e.answer(200, nullptr, "hello"); }));
        OK(w.server.add_route(
            "GET", "/later",
            hysock::coroutine([&w, l = life(ends)](hysock::exchange e) -> hysock::task<> {
                OK(co_await hysock::sleep(w.runtime, w.queue, 1ms));
                l.use();
                e.answer(200, nullptr, "later " + std::string(*e.query()));
            })));
        OK(w.server.add_route(
            "GET", "/nothing",
            hysock::coroutine([](hysock::exchange) -> hysock::task<> { co_return; })));
        OK(w.server.add_streaming_route("POST", "/echo", hysock::coroutine(echo)));
#if HYSOCK_EXCEPTIONS
        OK(w.server.add_route("GET", "/throw",
                              hysock::coroutine([](hysock::exchange) -> hysock::task<> {
                                  throw std::runtime_error("at once");
                                  co_return;
                              })));
        OK(w.server.add_route("GET", "/throw-late",
                              hysock::coroutine([&w](hysock::exchange) -> hysock::task<> {
                                  OK(co_await hysock::schedule(w.runtime, w.queue));
                                  throw std::runtime_error("late");
                              })));
#endif
        w.start();
        hysock::spawn(visit(w, done));
        w.run(done);
    }
    CHECK_EQ(ends.count(), 1);
}

/// Each that waits when something ends goes on with an error.
hysock::task<> wait_for_call(world &w, latch &done) {
    auto call = OK(hysock::call::make(w.client, "GET", "/never"));
    CHECK_STATUS(co_await hysock::start(call), cancelled);
    done.add();
}
hysock::task<> wait_for_time(world &w, latch &done) {
    CHECK_STATUS(co_await hysock::sleep(w.runtime, w.queue, 1h), cancelled);
    done.add();
}
hysock::task<> forgotten(world &w, life l) {
    auto call = OK(hysock::call::make(w.client, "GET", "/never"));
    (void)co_await hysock::start(call);
    l.use();
    CHECK(false);
}

/// Runs a task until its first wait, and keeps it.
struct keeper {
    struct promise_type {
        keeper get_return_object() {
            return {std::coroutine_handle<promise_type>::from_promise(*this)};
        }
        std::suspend_never initial_suspend() noexcept { return {}; }
        std::suspend_always final_suspend() noexcept { return {}; }
        void return_void() noexcept {}
        void unhandled_exception() noexcept { std::abort(); }
    };
    std::coroutine_handle<promise_type> self;
};
keeper keep(hysock::task<> task) { co_await task; }

void endings() {
    latch done;
    latch ends;
    latch asked;
    {
        world w;
        std::vector<hysock::exchange> held;
        OK(w.server.add_route("GET", "/never", [&](hysock::exchange &e) {
            held.push_back(OK(e.defer()));
            asked.add();
        }));
        w.start();
        hysock::spawn(wait_for_call(w, done));
        hysock::spawn(wait_for_time(w, done));
        // A coroutine that is destroyed while it waits does not go on, and its call ends.
        const keeper kept = keep(forgotten(w, life(ends)));
        w.run(asked, 2);
        CHECK_EQ(OK(hysock::handles_live(hysock::handle_kind::call)), 2);
        kept.self.destroy();
        CHECK_EQ(ends.count(), 1);
        CHECK_EQ(OK(hysock::handles_live(hysock::handle_kind::call)), 1);
        // A client that is freed withdraws its calls: their coroutines hear of it.
        w.client.free();
        w.run(done);
        CHECK_EQ(done.count(), 1);
        held.clear();
        // The runtime's end drops what waits for a time.
    }
    CHECK_EQ(done.count(), 2);
    CHECK_EQ(ends.count(), 1);
}

/// Many at once on callback threads, which go on before the one that started them has returned.
hysock::task<> many(hysock::runtime &runtime, hysock::client &client, latch &done) {
    for (int i = 0; i < 50; i++) {
        auto call = OK(hysock::call::make(client, "GET", "/"));
        OK(co_await hysock::start(call));
        CHECK_EQ(call.http_status(), 200);
        OK(co_await hysock::sleep(runtime, hysock::no_wait));
    }
    done.add();
}

void in_parallel() {
    check::folder folder;
    latch done;
    auto runtime = OK(hysock::runtime::make());
    {
        auto server = OK(hysock::server::serve(runtime, folder / "s",
                                               [](hysock::exchange &e) { e.answer(200); }));
        auto client = OK(hysock::client::make(runtime, folder / "s"));
        for (int i = 0; i < 20; i++)
            hysock::spawn(many(runtime, client, done));
        CHECK(done.reaches(20));
        OK(server.shutdown());
        OK(server.wait(deadline));
    }
    check::end(std::move(runtime));
}

} // namespace

int main() {
    std::signal(SIGPIPE, SIG_DFL);
    everyday();
    endings();
    in_parallel();
    return check::nothing_left();
}
