// Callbacks: what throws is contained, answered and told; every lambda is destroyed exactly once.
//
//   test_callbacks pool|inline|queue
#include "check.hpp"

#include <atomic>
#include <cstring>
#include <stdexcept>
#include <thread>

namespace {

using check::latch;
using check::life;

std::string how; // the delivery

/// A runtime with a server and a client whose callbacks run as the test's argument says; with a
/// queue on a thread of its own.
struct world {
    check::folder folder;
    std::string path = folder / "s";
    hysock::runtime runtime = OK(hysock::runtime::make());
    hysock::queue queue = OK(hysock::queue::make(runtime));
    hysock::server server = OK(hysock::server::make(runtime, config<hysock::server_config>()));
    hysock::client client =
        OK(hysock::client::make(runtime, path, config<hysock::client_config>()));
    std::atomic<bool> over{false};
    std::thread dispatcher{[this] {
        while (!over)
            OK(queue.dispatch(UINT32_MAX, 100ms));
    }};

    template <class C> C config() {
        C config;
        if (how == "inline")
            OK(config.set_delivery(hysock::delivery::in_line));
        else if (how == "queue")
            OK(config.set_queue(queue));
        return config;
    }
    void start() {
        OK(server.add_listener(path));
        OK(server.start());
    }
    int get(const char *target) {
        auto call = OK(hysock::call::make(client, "GET", target));
        OK(call.perform());
        return call.http_status();
    }
    ~world() {
        OK(server.shutdown());
        OK(server.wait(deadline));
        OK(client.shutdown());
        OK(client.wait(deadline));
        server.free();
        client.free();
        over = true;
        OK(queue.wake());
        dispatcher.join();
        queue.free();
        check::end(std::move(runtime));
    }
};

/// All a lambda's life: used, moved, and over once its registration is.
void lambdas_end_once() {
    latch ends;
    latch ran;
    {
        world w;
        // Each of these lambdas is move-only.
        OK(w.server.add_route("GET", "/", [l = life(ends)](hysock::exchange &exchange) {
            l.use();
            exchange.answer(200);
        }));
        OK(w.server.add_route("GET", "/gone", [l = life(ends)](hysock::exchange &) { l.use(); }));
        OK(w.server.on_request([l = life(ends)](hysock::exchange &) { l.use(); }));
        OK(w.server.on_answer([l = life(ends)](hysock::exchange &exchange, int http_status) {
            l.use();
            CHECK(http_status == 200 || http_status == 500);
            exchange.set_header("x-seen", "yes");
        }));
        OK(w.server.on_access([l = life(ends), &ran](const hysock::access &entry) {
            l.use();
            CHECK(entry.http_status == 200 || entry.http_status == 500);
            ran.add();
        }));
        OK(w.server.on_closed([l = life(ends), &ran](hysock::status reason, std::uint64_t aborted) {
            l.use();
            CHECK_EQ(reason, hysock::status::ok);
            CHECK_EQ(aborted, 0U);
            ran.add();
        }));
        w.start();
        // Registrations that fail have ended when they return.
        CHECK_STATUS(w.server.add_route("GET", "/late", [l = life(ends)](hysock::exchange &) {}),
                     state);
        CHECK_EQ(ends.count(), 1);
        CHECK_STATUS(w.server.on_closed([l = life(ends)](hysock::status, std::uint64_t) {}), state);
        CHECK_EQ(ends.count(), 2);
        CHECK_STATUS(
            hysock::server::serve(w.runtime, w.path, [l = life(ends)](hysock::exchange &) {}),
            in_use);
        CHECK_EQ(ends.count(), 3);
        CHECK_STATUS(w.runtime.after(hysock::forever, [l = life(ends)] {}), invalid_argument);
        CHECK_EQ(ends.count(), 4);

        CHECK_EQ(w.get("/"), 200);
        CHECK_EQ(w.get("/gone"), 500); // neither answered nor deferred
        // A timer that runs, one that is called off, one without a handle.
        auto runs = OK(w.runtime.after(1ms, [l = life(ends), &ran] { ran.add(); }));
        OK(w.runtime.after_forget(1ms, w.queue, [l = life(ends), &ran] { ran.add(); }));
        OK(w.runtime.after(1h, [l = life(ends)] { CHECK(false); }));
        CHECK(ends.reaches(7));
    }
    CHECK_EQ(ran.count(), 5);
    CHECK_EQ(ends.count(), 13);
}

/// Calls: one that is kept, one that nobody keeps, one that is freed on its way.
void calls_end_once() {
    latch ends;
    latch ran;
    latch asked;
    hysock::exchange held;
    world w;
    OK(w.server.add_route("GET", "/", [](hysock::exchange &exchange) { exchange.answer(200); }));
    OK(w.server.add_route("GET", "/never", [&](hysock::exchange &exchange) {
        held = OK(exchange.defer());
        asked.add();
    }));
    w.start();
    auto kept = OK(hysock::call::make(w.client, "GET", "/"));
    OK(kept.start([&, l = life(ends)](hysock::call &call, hysock::status s) {
        l.use();
        CHECK_EQ(s, hysock::status::ok);
        CHECK_EQ(call.get(), kept.get());
        CHECK(!call.owned());
        CHECK_EQ(call.http_status(), 200);
        ran.add();
    }));
    auto sent = OK(hysock::call::make(w.client, "GET", "/"));
    OK(std::move(sent).start([&, l = life(ends)](hysock::call &call, hysock::status s) {
        l.use();
        CHECK_EQ(s, hysock::status::ok);
        CHECK_EQ(call.http_status(), 200);
        ran.add();
    }));
    CHECK(!sent);
    CHECK(ends.reaches(2));
    CHECK_EQ(ran.count(), 2);
    // A second start fails, and so does the start of a call that is given away: then it is gone.
    CHECK_STATUS(kept.start([l = life(ends)](hysock::call &, hysock::status) {}), state);
    CHECK_EQ(ends.count(), 3);
    CHECK_STATUS(std::move(kept).start([l = life(ends)](hysock::call &, hysock::status) {}), state);
    CHECK_EQ(ends.count(), 4);
    CHECK(!kept);
    {
        auto flying = OK(hysock::call::make(w.client, "GET", "/never"));
        OK(flying.start([l = life(ends)](hysock::call &, hysock::status) { CHECK(false); }));
        CHECK(asked.reaches(1));
    }
    CHECK(ends.reaches(5));
    held.free();
    OK(w.client.shutdown());
    OK(w.client.wait(deadline));
    CHECK_EQ(OK(hysock::handles_live(hysock::handle_kind::call)), 0);
    CHECK_EQ(ends.count(), 5);
}

/// Bodies and userdata that are handed over end once, too.
void owners_end_once() {
    struct text : std::string {
        life ends;
        text(const char *from, latch &ends) : std::string(from), ends(ends) {}
    };
    latch ends;
    {
        world w;
        OK(w.server.add_route("GET", "/", [&](hysock::exchange &exchange) {
            OK(exchange.set_userdata(life(ends)));
            OK(exchange.set_userdata(text("kept", ends)));
            CHECK(exchange.userdata<life>() == nullptr);
            CHECK_EQ(*exchange.userdata<text>(), "kept");
            if (exchange.connection_userdata<int>() == nullptr)
                OK(exchange.set_connection_userdata(41));
            ++*exchange.connection_userdata<int>();
            OK(exchange.answer_nocopy(200, "text/plain", text("body", ends)));
            CHECK_STATUS(exchange.answer_nocopy(200, nullptr, text("late", ends)), state);
        }));
        w.start();
        auto call = OK(hysock::call::make(w.client, "GET", "/"));
        OK(call.perform());
        CHECK_EQ(call.body(), "body");
    }
    CHECK_EQ(ends.count(), 4);
}

#if HYSOCK_EXCEPTIONS

latch told;
std::string last_words; // read after `told` says that they are there

void hear(const char *what) noexcept {
    CHECK(std::current_exception() != nullptr);
    last_words = what;
    told.add();
}

/// A handler that throws is a 500 for its client, and everything goes on.
void handlers_may_throw() {
    CHECK(hysock::on_throw(hear) == nullptr);
    latch ends;
    latch ran;
    world w;
    OK(w.server.add_route("GET", "/", [](hysock::exchange &exchange) { exchange.answer(200); }));
    OK(w.server.add_route("GET", "/throw", [l = life(ends)](hysock::exchange &exchange) {
        if (exchange.query() == "int")
            throw 42;
        throw std::runtime_error("out of luck");
    }));
    OK(w.server.add_route("GET", "/answered", [](hysock::exchange &exchange) {
        exchange.answer(204);
        throw std::runtime_error("too late");
    }));
    OK(w.server.add_route("GET", "/deferred", [](hysock::exchange &exchange) {
        const auto mine = OK(exchange.defer());
        throw std::runtime_error("deferred");
    }));
    OK(w.server.add_route("GET", "/value", [](hysock::exchange &exchange) {
        exchange.defer().value();
        exchange.defer().value(); // the first has ended, and the exchange with it
    }));
    OK(w.server.add_streaming_route("POST", "/read", [](hysock::exchange &exchange) {
        auto mine = std::make_shared<hysock::exchange>(OK(exchange.defer()));
        OK(mine->read_start([mine](hysock::exchange &, hysock::status, std::string_view) {
            throw std::runtime_error("while reading");
        }));
    }));
    OK(w.server.on_request([](hysock::exchange &exchange) {
        if (exchange.query() == "gate")
            throw std::runtime_error("not in here");
    }));
    OK(w.server.on_answer([](hysock::exchange &exchange, int http_status) {
        if (exchange.query() == "answer" && http_status == 200)
            throw std::runtime_error("no header");
    }));
    w.start();
    const struct {
        const char *target;
        int http_status;
        const char *words;
    } cases[] = {
        {"/throw", 500, "out of luck"},
        {"/throw?int", 500, "an exception that is no std::exception"},
        {"/answered", 204, "too late"},
        {"/deferred", 500, "deferred"},
        {"/value", 500, "freed before"}, // the library's own words
        {"/?gate", 500, "not in here"},
        {"/?answer", 500, "no header"},
    };
    int count = 0;
    for (const auto &c : cases) {
        CHECK_EQ(w.get(c.target), c.http_status);
        CHECK(told.reaches(++count)); // which may be after the answer
        CHECK(last_words.find(c.words) != std::string::npos);
        CHECK_EQ(w.get("/"), 200);
    }
    auto post = OK(hysock::call::make(w.client, "POST", "/read"));
    OK(post.set_body(nullptr, "body"));
    OK(post.perform());
    CHECK_EQ(post.http_status(), 500);
    CHECK_EQ(w.get("/"), 200);
    CHECK_EQ(ends.count(), 0);
    // Others that throw harm nobody.
    OK(w.runtime.after_forget(0ms, [&] {
        ran.add();
        throw std::runtime_error("timer");
    }));
    auto call = OK(hysock::call::make(w.client, "GET", "/"));
    OK(call.start([&](hysock::call &, hysock::status) {
        ran.add();
        throw std::runtime_error("completion");
    }));
    CHECK(ran.reaches(2));
    CHECK_EQ(w.get("/"), 200);
}

#endif

} // namespace

int main(int argc, char **argv) {
    CHECK(argc == 2);
    how = argv[1];
    std::signal(SIGPIPE, SIG_DFL);
    lambdas_end_once();
    calls_end_once();
    owners_end_once();
#if HYSOCK_EXCEPTIONS
    handlers_may_throw();
    CHECK(hysock::on_throw(nullptr) == hear);
#endif
    return check::nothing_left();
}
