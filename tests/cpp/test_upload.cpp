// Bodies that go out piece by piece, descriptors, progress; what throws on the way of a call.
#include "check.hpp"

#include <algorithm>
#include <cstring>
#include <fcntl.h>
#include <stdexcept>

namespace {

using check::latch;
using check::life;

const std::string large(300'000, 'x');

void echo(hysock::exchange &e) {
    // The first piece is asked for before the answer begins: it says 100 to those who wait for it.
    auto piece = e.read();
    e.set_header("trailer", "x-got");
    if (!piece || !e.start_answer(200, "text/plain"))
        return; // a client that has given up, here as below
    while (piece->data() != nullptr) {
        if (!e.write(*piece))
            return;
        piece = e.read();
        if (!piece)
            return;
    }
    OK(e.add_trailer("x-got", e.trailer("x-sum").value_or("none")));
    OK(e.finish());
}

struct world {
    check::folder folder;
    std::string path = folder / "s";
    hysock::runtime runtime = OK(hysock::runtime::make());
    hysock::server server = OK(hysock::server::make(runtime));
    hysock::client bare = OK(hysock::client::make(path));
    hysock::client client = OK(hysock::client::make(runtime, path));

    world() {
        OK(server.add_streaming_route("POST", "/", echo));
        OK(server.add_listener(path));
        OK(server.start());
    }
    world(const world &) = delete;
    world &operator=(const world &) = delete;
    ~world() {
        OK(server.shutdown(1s));
        OK(server.wait(deadline));
        OK(client.shutdown());
        OK(client.wait(deadline));
        server.free();
        client.free();
        bare.free();
        check::end(std::move(runtime));
    }
    hysock::call post(const hysock::client &from) const {
        auto call = OK(hysock::call::make(from, "POST", "/"));
        OK(call.set_header("te", "trailers"));
        return call;
    }
};

/// Gives `large`, in pieces.
struct reader {
    life ends;
    std::size_t at = 0;
    std::int64_t operator()(hysock::call &, char *buf, std::size_t size) {
        ends.use();
        const std::size_t n = large.copy(buf, size, at);
        at += n;
        return static_cast<std::int64_t>(n);
    }
};

void readers() {
    latch ends;
    world w;
    for (const auto *client : {&w.bare, &w.client}) {
        auto call = w.post(*client);
        OK(call.set_body_reader("text/plain", hysock::unknown, reader{life(ends)}));
        CHECK_STATUS(call.set_body_reader("text/plain", 1, reader{life(ends)}), state);
        CHECK_EQ(ends.count(), client == &w.bare ? 1 : 3);
        // What was refused is remembered, so this call has its say and no more.
        CHECK_STATUS(call.perform(), state);
        call.free();
        CHECK_EQ(ends.count(), client == &w.bare ? 2 : 4);
    }
    std::uint64_t last = 0;
    int informed = 0;
    auto call = w.post(w.bare);
    OK(call.set_body_reader("text/plain", large.size(), reader{life(ends)}));
    OK(call.set_expect_continue(deadline));
    OK(call.on_progress([&](hysock::call &on, const hysock::progress &p) {
        CHECK_EQ(on.get(), call.get());
        CHECK_EQ(p.send_total, large.size());
        CHECK(p.received <= p.sent && p.receive_total == hysock::unknown);
        last = p.received;
    }));
    OK(call.on_informational([&](hysock::call &, int http_status) {
        CHECK_EQ(http_status, 100);
        informed++;
    }));
    OK(call.perform());
    CHECK(call.body() == large);
    CHECK_EQ(last, large.size());
    CHECK_EQ(informed, 1);
}

void descriptors() {
    const world w;
    const std::string from = w.folder / "from";
    const std::string to = w.folder / "to";
    const hysock::unique_fd in(::open(from.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
    const hysock::unique_fd out(::open(to.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
    CHECK(::pwrite(in.get(), "content", 7, 0) == 7);
    auto call = w.post(w.bare);
    OK(call.set_body_fd("text/plain", in.get()));
    OK(call.set_output_fd(out.get()));
    OK(call.perform());
    char buf[16];
    CHECK(::pread(out.get(), buf, sizeof(buf), 0) == 7);
    CHECK(std::memcmp(buf, "content", 7) == 0);
}

void written() {
    latch ended;
    latch room;
    const world w;
    auto call = w.post(w.client);
    CHECK_STATUS(call.write("early"), state);
    auto stream = w.post(w.client);
    OK(stream.set_body_stream("text/plain"));
    OK(stream.set_header("trailer", "x-sum"));
    std::string got;
    OK(stream.start([&](hysock::call &done, hysock::status s) {
        OK(s);
        got = done.body();
        CHECK(done.trailer("x-got") == "7");
        ended.add();
    }));
    for (std::size_t at = 0; at < large.size(); at += 100'000)
        OK(stream.write(std::string_view(large).substr(at, 100'000), deadline));
    OK(stream.on_writable([&](hysock::call &on) {
        CHECK_EQ(on.get(), stream.get());
        room.add();
    }));
    CHECK(room.reaches(1));
    OK(stream.add_trailer("x-sum", "7"));
    OK(stream.finish());
    CHECK(ended.reaches(1));
    CHECK(got == large);
}

#if HYSOCK_EXCEPTIONS

/// What throws inside perform() is its error, with the exception's words.
void thrown() {
    latch ends;
    {
        world w;
        auto call = w.post(w.bare);
        OK(call.set_body_reader(nullptr, hysock::unknown,
                                [l = life(ends)](hysock::call &, char *, std::size_t) -> int {
                                    throw std::runtime_error("no more paper");
                                }));
        const auto failed = call.perform();
        CHECK_STATUS(failed, threw);
        CHECK_EQ(failed.error().operation(), hysock::operation::callback);
        CHECK_EQ(std::string(failed.error().message()), "no more paper");
        CHECK_STATUS(call.error(), cancelled); // the library's side of it
        call.free();
        CHECK_EQ(ends.count(), 1);

        auto told = w.post(w.bare);
        OK(told.set_body("text/plain", large));
        OK(told.on_progress([l = life(ends)](hysock::call &, const hysock::progress &) {
            throw std::runtime_error("progress");
        }));
        CHECK_STATUS(told.perform(), threw);
        told.free();
        CHECK_EQ(ends.count(), 2);

        // On a library thread the call ends the same way; its own function hears of it.
        latch ended;
        auto started = w.post(w.client);
        OK(started.set_body_reader(nullptr, hysock::unknown,
                                   [l = life(ends)](hysock::call &, char *, std::size_t) -> int {
                                       throw std::runtime_error("on its way");
                                   }));
        OK(started.start([&](hysock::call &, hysock::status s) {
            CHECK_STATUS(s, cancelled);
            ended.add();
        }));
        CHECK(ended.reaches(1));
        OK(w.post(w.bare).perform()); // and the next one is well
    }
    CHECK_EQ(ends.count(), 3);
}

#endif

} // namespace

int main() {
    std::signal(SIGPIPE, SIG_DFL);
    readers();
    descriptors();
    written();
#if HYSOCK_EXCEPTIONS
    thrown();
#endif
    return check::nothing_left();
}
