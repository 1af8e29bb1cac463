// Messages from both sides, every function of receiver, batch and producer.
//
//   test_messages pool|inline|queue
#include "check.hpp"

#include <atomic>
#include <fcntl.h>
#include <thread>
#include <vector>

namespace {

using check::latch;
using check::life;

std::string how;

struct world {
    check::folder folder;
    std::string path = folder / "r";
    hysock::runtime runtime = OK(hysock::runtime::make());
    hysock::queue queue = OK(hysock::queue::make(runtime));
    std::atomic<bool> over{false};
    std::thread dispatcher{[this] {
        while (!over)
            OK(queue.dispatch(UINT32_MAX, 100ms));
    }};

    hysock::receiver_config receiver_config() const {
        hysock::receiver_config config;
        if (how == "inline")
            OK(config.set_delivery(hysock::delivery::in_line));
        else if (how == "queue")
            OK(config.set_queue(queue));
        OK(config.set_framing(hysock::framing::u32be));
        OK(config.set_max_message(1 << 16));
        OK(config.set_max_bytes(1 << 20));
        OK(config.set_max_bytes_per_producer(1 << 19));
        OK(config.set_overflow(hysock::overflow_policy::block));
        OK(config.set_max_connections(10));
        OK(config.set_max_connections_per_uid(10));
        OK(config.set_max_batch(3));
        OK(config.set_frame_timeout(30s));
        OK(config.set_truncated(true));
        OK(config.set_memfd(false));
        OK(config.set_events(true));
        OK(config.set_fds(true));
        return config;
    }
    static hysock::producer_config producer_config() {
        hysock::producer_config config;
        OK(config.set_framing(hysock::framing::u32be));
        OK(config.set_max_message(1 << 16));
        OK(config.set_max_queue(1 << 16));
        OK(config.set_memfd(hysock::unlimited));
        OK(config.set_overflow(hysock::overflow_policy::block));
        OK(config.set_fds(true));
        return config;
    }
    ~world() {
        over = true;
        OK(queue.wake());
        dispatcher.join();
        queue.free();
        check::end(std::move(runtime));
    }
};

void send_all(const world &w) {
    auto producer = OK(hysock::producer::make(w.runtime, w.path, world::producer_config()));
    OK(producer.send("one"));
    const std::string two = "two";
    const std::vector<hysock::slice> more{hysock::bytes(two), hysock::bytes("three")};
    std::size_t sent = 7;
    OK(producer.send_batch(more, sent));
    CHECK_EQ(sent, 2U);
    const hysock::slice pieces[] = {hysock::bytes("fo"), hysock::bytes("ur")};
    OK(producer.sendv(pieces));
    const hysock::unique_fd file(::open("/dev/null", O_RDONLY | O_CLOEXEC));
    const std::int32_t fds[] = {file.get()};
    OK(producer.send_fds("five", fds));
    CHECK_STATUS(producer.send(std::string(1 << 17, 'x')), too_large);
    OK(producer.flush(hysock::flush_level::written, deadline));
    OK(producer.flush(hysock::flush_level::read, deadline));
    CHECK_EQ(OK(producer.stats()).written, 5U);
    const auto report = OK(producer.shutdown(deadline));
    CHECK_EQ(report.delivered, 5U);
    CHECK_EQ(report.unsent + report.in_doubt + report.dropped, 0U);
    CHECK_STATUS(producer.send("late"), shut_down);
}

/// What the receivers below make of it.
struct heard {
    std::vector<std::string> texts;
    latch count;

    void take(hysock::batch &batch) {
        const auto messages = batch.messages();
        for (std::size_t i = 0; i < messages.size(); i++) {
            const hysock::message &m = messages[i];
            if ((m.flags & hysock::message_connected) != 0) {
                texts.emplace_back("+");
            } else if ((m.flags & hysock::message_disconnected) != 0) {
                CHECK_EQ(static_cast<hysock::gone_reason>(m.sequence), hysock::gone_reason::closed);
                texts.emplace_back("-");
            } else {
                texts.emplace_back(hysock::payload(m));
                CHECK(OK(batch.peer(i)).pid == ::getpid());
            }
            if ((m.flags & hysock::message_fds) != 0)
                CHECK(OK(batch.take_fd(i)));
            CHECK_STATUS(batch.take_fd(i), would_block);
            count.add();
        }
        CHECK_STATUS(batch.peer(messages.size()), invalid_argument);
    }
    void whole() const {
        CHECK_EQ(texts,
                 (std::vector<std::string>{"+", "one", "two", "three", "four", "five", "-"}));
    }
};

void by_callback() {
    latch ends;
    heard all;
    latch kept;
    {
        world w;
        std::vector<hysock::batch> mine;
        auto receiver = OK(hysock::receiver::make(w.runtime, w.receiver_config()));
        OK(receiver.on_batch([&, l = life(ends)](hysock::batch &batch) {
            l.use();
            all.take(batch);
            mine.push_back(OK(batch.keep()));
            CHECK(mine.back().owned() && !batch.owned());
            CHECK_STATUS(batch.keep(), state);
            kept.add();
        }));
        CHECK_STATUS(receiver.on_batch([l = life(ends)](hysock::batch &) {}), state);
        CHECK_EQ(ends.count(), 1);
        hysock::listener_config listener;
        OK(listener.set_mode(0600));
        OK(receiver.add_listener(w.path, listener));
        OK(receiver.start());
        CHECK_STATUS(receiver.start(), state);
        send_all(w);
        CHECK(all.count.reaches(7));
        const auto counts = OK(receiver.stats());
        CHECK_EQ(counts.received, 5U);
        CHECK(OK(receiver.metrics()).find("hysock_receiver_") != std::string::npos);
        OK(receiver.shutdown(deadline));
        OK(receiver.wait(deadline));
        CHECK_EQ(ends.count(), 2);
        CHECK_EQ(OK(hysock::handles_live(hysock::handle_kind::batch)), kept.count());
        mine.clear();
        CHECK_EQ(OK(hysock::handles_live(hysock::handle_kind::batch)), 0);
    }
    all.whole();
}

void by_hand() {
    heard all;
    world w;
    auto receiver = OK(hysock::receiver::make(w.runtime, w.receiver_config()));
    CHECK_STATUS(receiver.add_listener_fd(hysock::unique_fd(), hysock::adopt::own),
                 invalid_argument);
    CHECK_EQ(OK(receiver.add_activated()), 0U);
    OK(receiver.add_listener(w.path));
    OK(receiver.start());
    CHECK(OK(receiver.fd()) >= 0);
    CHECK_STATUS(receiver.recv(10, hysock::no_wait), would_block);
    std::thread sender([&] { send_all(w); });
    while (all.texts.size() < 7) {
        auto batch = OK(receiver.recv(10, deadline));
        CHECK(batch.owned());
        all.take(batch);
    }
    sender.join();
    all.whole();
    OK(receiver.shutdown());
    OK(receiver.wait(deadline));
    CHECK_STATUS(receiver.recv(10), shut_down);
}

void bang() {
#if HYSOCK_EXCEPTIONS
    throw 1;
#endif
}

/// One that throws gets the next batch all the same.
void shorthand() {
    latch ends;
    latch lines;
    {
        world w;
        hysock::receiver_config config = w.receiver_config();
        OK(config.set_delimiter('\n'));
        OK(config.set_fds(false));
        OK(config.set_events(false));
        auto receiver = OK(hysock::receiver::serve(
            w.runtime, w.path, config, [&lines, l = life(ends)](hysock::batch &batch) {
                l.use();
                for (const auto &m : batch.messages())
                    lines.add(m.flags == hysock::message_partial ? 100 : 1);
                bang();
            }));
        CHECK(check::raw(w.path, "a\n").empty());
        CHECK(lines.reaches(1));
        CHECK(check::raw(w.path, "b\nrest").empty());
        CHECK(lines.reaches(102));
        CHECK_STATUS(hysock::receiver::serve(w.runtime, w.path, config,
                                             [l = life(ends)](hysock::batch &) {}),
                     in_use);
        CHECK_EQ(ends.count(), 1);
        auto pulled = OK(hysock::receiver::serve(w.runtime, w.folder / "p"));
        OK(OK(hysock::producer::make(w.runtime, w.folder / "p")).send("x"));
        pulled.free();
        receiver.free();
        CHECK(ends.reaches(2));
    }
    CHECK_EQ(ends.count(), 2);
}

} // namespace

int main(int argc, char **argv) {
    CHECK(argc == 2);
    how = argv[1];
    std::signal(SIGPIPE, SIG_DFL);
    by_callback();
    by_hand();
    shorthand();
    return check::nothing_left();
}
