// HTTP from both sides, every function of server, exchange, client and call.
//
//   test_http pool|inline|queue
#include "check.hpp"

#include <algorithm>

#include <atomic>
#include <fcntl.h>
#include <functional>
#include <thread>
#include <vector>

namespace {

using check::latch;

std::string how;
bool may_block() { return how != "inline"; }

struct world {
    check::folder folder;
    std::string path = folder / "s";
    hysock::runtime runtime = OK(hysock::runtime::make(runtime_config()));
    hysock::queue queue = OK(hysock::queue::make(runtime));
    hysock::server server = OK(hysock::server::make(runtime, server_config()));
    hysock::client client = OK(hysock::client::make(path, client_config()));
    std::vector<hysock::exchange> forgotten; // never answered
    std::atomic<bool> over{false};
    std::thread dispatcher{[this] {
        while (!over)
            OK(queue.dispatch(UINT32_MAX, 100ms));
    }};

    static hysock::runtime_config runtime_config() {
        hysock::runtime_config config;
        OK(config.set_io_threads(1));
        OK(config.set_callback_threads(2));
        OK(config.set_stack_size(1 << 20));
        OK(config.set_thread_name("check"));
        return config;
    }
    hysock::server_config server_config() const {
        hysock::server_config config;
        if (how == "inline")
            OK(config.set_delivery(hysock::delivery::in_line));
        else if (how == "queue")
            OK(config.set_queue(queue));
        OK(config.set_max_body(1 << 20));
        OK(config.set_max_head(16 << 10));
        OK(config.set_max_headers(50));
        OK(config.set_max_connections(100));
        OK(config.set_max_requests(hysock::unlimited));
        OK(config.set_max_queue(100));
        OK(config.set_max_connections_per_uid(100));
        OK(config.set_max_requests_per_uid(100));
        OK(config.set_head_timeout(10s));
        OK(config.set_idle_timeout(1min));
        OK(config.set_progress_timeout(30s));
        OK(config.set_progress_floor(256));
        OK(config.set_handler_timeout(hysock::forever));
        OK(config.set_exit_idle(hysock::forever));
        OK(config.set_drain(10s));
        OK(config.set_strict_host(true));
        OK(config.allow(hysock::rule::self));
        return config;
    }
    static hysock::client_config client_config() {
        hysock::client_config config;
        OK(config.set_max_body(1 << 20));
        OK(config.set_max_head(64 << 10));
        OK(config.allow(hysock::rule::uid, ::geteuid()));
        OK(config.set_connect_timeout(10s));
        OK(config.set_first_byte_timeout(20s));
        OK(config.set_idle_timeout(20s));
        OK(config.set_timeout(20s));
        OK(config.set_max_redirects(2));
        OK(config.set_max_connections(4));
        OK(config.set_max_idle(2));
        OK(config.set_idle_age(1min));
        OK(config.set_wait_absent(1s));
        return config;
    }
    hysock::call call(const char *method, std::string_view target) const {
        return OK(hysock::call::make(client, method, target));
    }
    ~world() {
        OK(server.shutdown(1s));
        OK(server.wait(deadline));
        over = true;
        OK(queue.wake());
        dispatcher.join();
        forgotten.clear();
        server.free();
        client.free();
        queue.free();
        check::end(std::move(runtime));
    }
};

std::vector<std::string>
fields(hysock::result<std::size_t> count,
       const std::function<hysock::result<hysock::field>(std::size_t)> &at) {
    std::vector<std::string> all;
    for (std::size_t i = 0; i < OK(count); i++) {
        const auto f = OK(at(i));
        all.push_back(std::string(f.name) + "=" + std::string(f.value));
    }
    CHECK_STATUS(at(all.size()), invalid_argument);
    return all;
}

void request_and_answer(world &w) {
    OK(w.server.add_route("POST", "/items/{id}", [](hysock::exchange &e) {
        CHECK_EQ(e.method(), "POST");
        CHECK_EQ(e.path(), "/items/a%2Fb");
        CHECK_EQ(e.target(), "/items/a%2Fb?n=1&m=a+b");
        CHECK(e.query() == "n=1&m=a+b");
        CHECK_EQ(e.version(), 11);
        CHECK(e.param("id") == "a/b" && !e.param("no"));
        CHECK(e.pattern() == "/items/{id}");
        CHECK(e.query_value("m") == "a b" && !e.query_value("no"));
        const auto query = fields(e.query_count(), [&](std::size_t i) { return e.query_at(i); });
        CHECK_EQ(query, (std::vector<std::string>{"n=1", "m=a b"}));
        CHECK(e.header("Content-Type") == "text/plain" && !e.header("no"));
        CHECK(e.header_value_at("x-a", 1) == "2" && !e.header_value_at("x-a", 2));
        const auto headers =
            fields(e.header_count(), [&](std::size_t i) { return e.header_at(i); });
        CHECK(std::find(headers.begin(), headers.end(), "x-a=2") != headers.end());
        const auto same = OK(e.headers());
        CHECK_EQ(same.size(), headers.size());
        CHECK_EQ(std::string(same[0].name) + "=" + std::string(same[0].value), headers[0]);
        CHECK(OK(e.trailers()).empty());
        const std::vector<hysock::field> more{{"x-d", "4"}, {"x-e", ""}};
        OK(e.add_headers(more));
        CHECK_EQ(e.body(), "body");
        CHECK_EQ(e.content_length(), 4U);
        const auto peer = OK(e.peer());
        CHECK(peer.known() && peer.uid == ::geteuid() && peer.pid == ::getpid());
        CHECK(peer.all_groups().size() == peer.group_count);
        (void)peer.security_label();
        const auto pidfd = e.peer_pidfd();
        CHECK(pidfd || pidfd.status() == hysock::status::unsupported);
        OK(e.set_header("x-b", "1"));
        OK(e.add_header("x-b", "2"));
        OK(e.set_header("x-c", "3"));
        OK(e.remove_header("x-c"));
        OK(e.answer(201, "text/plain", "made"));
        CHECK_STATUS(e.answer(200), state);
    }));
    OK(w.server.add_route("GET", "/old", [](hysock::exchange &e) {
        OK(e.set_header("location", "/new"));
        e.answer(302);
    }));
    OK(w.server.add_route("GET", "/new", [](hysock::exchange &e) {
        CHECK(e.body().data() == nullptr);
        e.answer(200, nullptr, "new");
    }));
    OK(w.server.add_route("GET", "/root", [](hysock::exchange &e) { e.answer(200); }));
    OK(w.server.allow_route("GET", "/root", hysock::rule::uid, ::geteuid() + 1));
}

void ask(const world &w) {
    auto call = w.call("POST", "/items/a%2Fb?n=1&m=a+b");
    OK(call.set_body("text/plain", "body"));
    OK(call.set_header("x-a", "1"));
    const std::vector<hysock::field> more{{"x-a", "2"}, {"x-z", "26"}};
    OK(call.add_headers(more));
    OK(call.set_timeout(20s));
    OK(call.set_first_byte_timeout(20s));
    OK(call.set_idle_timeout(20s));
    CHECK_STATUS(call.error(), would_block);
    OK(call.perform());
    OK(call.error());
    CHECK_EQ(call.http_status(), 201);
    CHECK_EQ(call.version(), 11);
    CHECK_EQ(call.body(), "made");
    CHECK(call.header("X-B") == "1" && !call.header("x-c"));
    const auto headers =
        fields(call.header_count(), [&](std::size_t i) { return call.header_at(i); });
    CHECK(std::find(headers.begin(), headers.end(), "x-b=2") != headers.end());
    CHECK_EQ(OK(call.headers()).size(), headers.size());
    CHECK(call.header("x-d") == "4" && call.header("x-e") == "");
    CHECK(OK(call.peer()).pid == ::getpid());
    const auto pidfd = call.peer_pidfd();
    CHECK(pidfd || pidfd.status() == hysock::status::unsupported);

    auto moved = w.call("GET", "/old");
    OK(moved.perform());
    CHECK_EQ(moved.body(), "new");
    auto forbidden = w.call("GET", "/root");
    OK(forbidden.perform());
    CHECK_EQ(forbidden.http_status(), 403);
    auto cancelled = w.call("GET", "/new");
    OK(cancelled.cancel());
    CHECK_STATUS(cancelled.perform(), cancelled);
    CHECK_EQ(OK(hysock::get("http+unix://" +
                            [&] {
                                std::string host;
                                for (const char c : w.path)
                                    host += c == '/' ? std::string("%2F") : std::string(1, c);
                                return host;
                            }() +
                            "/new"))
                 .body(),
             "new");
}

/// Reads its body to the end and echoes it, in whichever way may be waited in this delivery.
struct echo {
    std::shared_ptr<hysock::exchange> own;
    void operator()(hysock::exchange &e, hysock::status s, std::string_view piece) const {
        CHECK_EQ(s, hysock::status::ok);
        CHECK_EQ(e.get(), own->get());
        if (piece.data() == nullptr) {
            CHECK(e.trailer("x-sum") == "7" && !e.trailer("no"));
            OK(e.add_trailer("x-out", "8"));
            OK(e.finish());
            return;
        }
        OK(e.write_nocopy(std::string(piece), hysock::no_wait));
        OK(e.on_writable(
            [own = own](hysock::exchange &again) { OK(again.read_start(echo{own})); }));
    }
};

void streams(world &w) {
    OK(w.server.add_streaming_route("POST", "/echo", [](hysock::exchange &e) {
        CHECK_EQ(e.content_length(), hysock::unknown);
        OK(e.set_header("trailer", "x-out"));
        OK(e.start_answer(200, "text/plain"));
        if (!may_block()) {
            const auto own = std::make_shared<hysock::exchange>(OK(e.defer()));
            OK(own->read_start(echo{own}));
            return;
        }
        for (;;) {
            const auto piece = OK(e.read());
            if (piece.data() == nullptr)
                break;
            OK(e.write(piece));
        }
        OK(e.add_trailer("x-out", "8"));
        OK(e.finish());
    }));
    OK(w.server.add_route("GET", "/echo-later", [](hysock::exchange &e) {
        OK(e.start_answer(200, "text/plain"));
        const auto own = std::make_shared<hysock::exchange>(OK(e.defer()));
        OK(own->read_start([own](hysock::exchange &e, hysock::status s, std::string_view piece) {
            CHECK(s == hysock::status::ok && piece.data() == nullptr);
            OK(e.write("later", hysock::no_wait));
            OK(e.finish());
        }));
    }));
    OK(w.server.add_route("GET", "/events", [](hysock::exchange &e) {
        OK(e.start_events());
        OK(e.write_event("tick", "1", "a\nb", hysock::no_wait));
        OK(e.write_event(nullptr, nullptr, {}, hysock::no_wait));
        OK(e.finish());
    }));
    OK(w.server.add_route("GET", "/file", [&w](hysock::exchange &e) {
        const hysock::unique_fd file(::open((w.folder / "file").c_str(), O_RDONLY | O_CLOEXEC));
        OK(e.send_file(file.get(), "text/plain"));
    }));
    const hysock::unique_fd file(
        ::open((w.folder / "file").c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
    CHECK(::write(file.get(), "content", 7) == 7);
}

/// Collects a streamed answer.
struct collect {
    std::string *all;
    latch *ended;
    void operator()(hysock::call &call, hysock::status s, std::string_view piece) const {
        OK(s);
        if (piece.data() == nullptr) {
            ended->add();
            return;
        }
        *all += piece;
        OK(call.read_start(collect(*this)));
    }
};

void stream(const world &w) {
    const auto answer = check::raw(w.path, "POST /echo HTTP/1.1\r\nHost: x\r\nTE: trailers\r\n"
                                           "Transfer-Encoding: chunked\r\nConnection: close\r\n"
                                           "\r\n3\r\nabc\r\n0\r\nx-sum: 7\r\n\r\n");
    CHECK(answer.find("3\r\nabc\r\n0\r\n") != std::string::npos);
    CHECK(answer.find("x-out: 8") != std::string::npos);
    // The same from the library's own client, in pieces both ways.
    auto pieces = w.call("GET", "/echo-later");
    OK(pieces.set_streaming());
    OK(pieces.perform());
    CHECK(pieces.body().data() == nullptr);
    CHECK_EQ(pieces.content_length(), hysock::unknown);
    std::string all;
    for (auto piece = OK(pieces.read()); piece.data() != nullptr; piece = OK(pieces.read()))
        all += piece;
    CHECK_EQ(all, "later");
    CHECK(!pieces.trailer("x-no"));
    auto client = OK(hysock::client::make(w.runtime, w.path));
    auto started = OK(hysock::call::make(client, "GET", "/echo-later"));
    OK(started.set_streaming());
    latch ended;
    all.clear();
    OK(started.start([&](hysock::call &call, hysock::status s) {
        OK(s);
        OK(call.read_start(collect{&all, &ended}));
    }));
    CHECK(ended.reaches(1));
    CHECK_EQ(all, "later");
    auto later = w.call("GET", "/echo-later");
    OK(later.perform());
    CHECK_EQ(later.body(), "later");
    auto events = w.call("GET", "/events");
    OK(events.perform());
    CHECK(events.body().find("event: tick") != std::string_view::npos);
    CHECK(events.body().find("data: b") != std::string_view::npos);
    auto part = w.call("GET", "/file");
    OK(part.set_header("range", "bytes=3-"));
    OK(part.perform());
    CHECK_EQ(part.http_status(), 206);
    CHECK_EQ(part.body(), "tent");
}

/// Clients that leave, and a call that ends with its exchange.
void leaving(world &w, latch &gone) {
    OK(w.server.add_route("GET", "/leave", [&](hysock::exchange &e) {
        const auto own = std::make_shared<hysock::exchange>(OK(e.defer()));
        auto client = std::make_shared<hysock::client>(OK(hysock::client::make(w.runtime, w.path)));
        auto call = OK(hysock::call::make(*client, "GET", "/left"));
        OK(call.set_parent(*own));
        OK(std::move(call).start([&gone, own, client](hysock::call &, hysock::status s) {
            CHECK_EQ(s, hysock::status::cancelled); // its exchange has ended
            gone.add();
        }));
        OK(own->on_gone([&gone, own](hysock::exchange &left) {
            CHECK_STATUS(left.answer(200), closed);
            gone.add();
        }));
    }));
    OK(w.server.add_route("GET", "/left", [&](hysock::exchange &e) {
        w.forgotten.push_back(OK(e.defer()));
        gone.add();
    }));
}

void leave(const world &w, latch &gone) {
    for (int i = 1; i <= 2; i++) {
        hysock::call call = w.call("GET", "/leave");
        std::thread other([&] {
            CHECK(gone.reaches(3 * i - 2));
            OK(call.cancel());
        });
        CHECK_STATUS(call.perform(), cancelled);
        other.join();
        CHECK(gone.reaches(3 * i));
    }
}

void upgrades(world &w) {
    OK(w.server.add_route("GET", "/upgrade", [](hysock::exchange &e) {
        CHECK_STATUS(e.upgrade("other", [](hysock::exchange, hysock::unique_fd,
                                           std::string_view) { CHECK(false); }),
                     state);
        CHECK(e); // still ours to answer
        OK(e.upgrade("echo",
                     [](hysock::exchange session, hysock::unique_fd fd, std::string_view early) {
                         CHECK(session.owned() && fd);
                         CHECK(::send(fd.get(), early.data(), early.size(), MSG_NOSIGNAL) ==
                               static_cast<ssize_t>(early.size()));
                     }));
        CHECK(!e);
    }));
}

void upgrade(const world &w) {
    const auto answer =
        check::raw(w.path, "GET /upgrade HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\n"
                           "Upgrade: echo\r\n\r\nearly");
    CHECK(answer.find(" 101 ") != std::string::npos);
    CHECK(answer.find("\r\n\r\nearly") != std::string::npos);
    auto call = w.call("GET", "/upgrade");
    OK(call.set_upgrade("echo"));
    OK(call.perform());
    CHECK_EQ(call.http_status(), 101);
    const auto connection = OK(call.take_fd());
    CHECK(connection.fd && connection.early.empty());
    char byte;
    CHECK(::recv(connection.fd.get(), &byte, 1, 0) == 0); // the session is over
    CHECK_STATUS(call.take_fd(), state);
}

/// Sockets from elsewhere, and what can be asked of a server.
void listeners() {
    world w;
    OK(w.server.add_route(nullptr, nullptr, [](hysock::exchange &e) { e.answer(204); }));
    hysock::listener_config config;
    OK(config.set_mode(0660));
    OK(config.set_backlog(8));
    OK(config.set_stale(hysock::stale_policy::replace));
    OK(config.set_owner(std::to_string(::geteuid())));
    OK(config.set_group(std::to_string(::getegid())));
    OK(config.set_parent_check(false));
    OK(config.allow(hysock::rule::gid, ::getegid()));
    OK(w.server.add_listener_fd(OK(hysock::listener_open(w.path, config)), hysock::adopt::own,
                                config));
    CHECK_EQ(OK(w.server.add_activated()), 0U);
    OK(w.server.start());
    int pair[2];
    CHECK(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
    OK(w.server.add_connection(hysock::unique_fd(pair[0])));
    {
        auto client = OK(hysock::client::make_fd(w.runtime, hysock::unique_fd(pair[1])));
        auto call = OK(hysock::call::make(client, "GET", "/"));
        OK(call.perform());
        CHECK_EQ(call.http_status(), 204);
        OK(client.shutdown());
        OK(client.wait(deadline));
    }
    CHECK_EQ(OK(w.server.listener_address(0)), w.path);
    CHECK_STATUS(w.server.listener_address(9), invalid_argument);
    OK(w.server.reload_listener(0));
    OK(w.server.reload(w.server_config()));
    OK(w.server.reload());
    const auto counts = OK(w.server.stats());
    CHECK_EQ(counts.requests_total, 1U);
    CHECK(OK(w.server.metrics()).find("hysock_server_requests") != std::string::npos);
    // A successor takes the socket over.
    auto next = OK(hysock::server::serve(w.runtime, w.folder / "next", w.server_config(),
                                         [](hysock::exchange &e) { e.answer(200); }));
    const auto taken = OK(w.server.take_listener(0));
    CHECK(taken);
    CHECK_STATUS(w.server.take_listener(0), state);
    OK(next.shutdown_signal());
    OK(next.wait(deadline));
    CHECK(std::filesystem::exists(w.path)); // the file goes with the descriptor
}

void logs() {
    latch lines;
    latch later;
    world w;
    OK(w.runtime.on_log(hysock::log_level::debug, w.queue,
                        [&](hysock::log_level level, std::string_view line) {
                            CHECK(level >= hysock::log_level::error && !line.empty());
                            lines.add();
                        }));
    OK(w.runtime.set_log_level(hysock::log_level::warn));
    OK(w.server.add_route("GET", "/", [](hysock::exchange &) {})); // which is a line
    OK(w.server.add_listener(w.path));
    OK(w.server.start());
    OK(w.call("GET", "/").perform());
    CHECK(lines.reaches(1));
    OK(w.runtime.on_log(hysock::log_level::info,
                        [&](hysock::log_level, std::string_view) { later.add(); }));
    OK(w.call("GET", "/").perform());
    CHECK(later.reaches(1));
    // Without a callback the lambdas of hooks still end.
    latch ends;
    latch started;
    {
        hysock::runtime_config config;
        OK(config.set_thread_hooks([&started] { started.add(); },
                                   [life = check::life(ends)] { life.use(); }));
        auto runtime = OK(hysock::runtime::make(config));
        CHECK(started.reaches(1));
        check::end(std::move(runtime));
    }
    CHECK(ends.reaches(1));
}

} // namespace

int main(int argc, char **argv) {
    CHECK(argc == 2);
    how = argv[1];
    std::signal(SIGPIPE, SIG_DFL);
    {
        latch gone;
        world w;
        request_and_answer(w);
        streams(w);
        leaving(w, gone);
        upgrades(w);
        OK(w.server.add_listener(w.path));
        OK(w.server.start());
        ask(w);
        stream(w);
        leave(w, gone);
        upgrade(w);
    }
    listeners();
    logs();
    return check::nothing_left();
}
