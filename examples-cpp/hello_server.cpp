// Teaches: a whole server in C++. Routes as lambdas, errors, a clean end.
//
//   hello_server SOCKET [--delivery pool|inline|queue]
//   curl --unix-socket SOCKET http://localhost/hello/you
//
// Handlers run in parallel on the library's threads (pool, the default), on the I/O thread (inline:
// they must never block), or on the thread that dispatches a queue, here the main one.
#include <hysock.hpp>

#include <atomic>
#include <csignal>
#include <cstdio>
#include <exception>
#include <stdexcept>
#include <string>

namespace {

std::atomic<hysock::server *> running{nullptr};

extern "C" void on_signal(int) {
    if (hysock::server *server = running.load())
        server->shutdown_signal(); // one of the two functions that a signal handler may call
}

void serve(const std::string &path, const std::string &delivery) {
    // value() throws what went wrong, in words; `if (result)` is the way without exceptions.
    auto runtime = hysock::runtime::make().value();
    hysock::queue queue;
    hysock::server_config config;
    if (delivery == "inline") {
        config.set_delivery(hysock::delivery::in_line);
    } else if (delivery == "queue") {
        queue = hysock::queue::make(runtime).value();
        config.set_queue(queue);
    } else if (delivery != "pool") {
        throw std::invalid_argument("--delivery is pool, inline or queue");
    }

    // A lambda is moved in, with what it captures, and destroyed after its last call.
    auto server = hysock::server::make(runtime, config).value();
    std::atomic<unsigned> visits{0};
    server
        .add_route("GET", "/hello/{name}",
                   [&visits](hysock::exchange &exchange) {
                       const auto name = exchange.param("name").value_or("");
                       ++visits;
                       exchange.answer(200, "text/plain", "Hello, " + std::string(name) + "!\n");
                   })
        .value();
    server
        .add_route("GET", "/visits",
                   [&visits](hysock::exchange &exchange) {
                       exchange.answer(200, "text/plain", std::to_string(visits) + "\n");
                   })
        .value();
    // What a handler throws ends in it: its client gets a 500, and all others do not notice.
    server
        .add_route("GET", "/number",
                   [](hysock::exchange &exchange) {
                       const std::string text(exchange.query_value("n").value_or(""));
                       const int number = std::stoi(text); // throws std::invalid_argument
                       exchange.answer(200, "text/plain", std::to_string(number + 1) + "\n");
                   })
        .value();
    hysock::on_throw([](const char *what) noexcept {
        std::fprintf(stderr, "hello_server: a handler threw: %s\n", what);
    });

    server.add_listener(path).value();
    server.start().value();
    running = &server;
    std::signal(SIGTERM, on_signal);
    std::signal(SIGINT, on_signal);
    std::printf("listening on %s\n", path.c_str());
    std::fflush(stdout);

    // Until the signal. With a queue this dispatches it: handlers run here.
    server.wait().value();
    running = nullptr;
    server.free();
    queue.free();
    runtime.shutdown();
    runtime.wait().value();
}

} // namespace

int main(int argc, char **argv) {
    if (argc != 2 && !(argc == 4 && std::string(argv[2]) == "--delivery")) {
        std::fprintf(stderr, "usage: hello_server SOCKET [--delivery pool|inline|queue]\n");
        return 2;
    }
    try {
        serve(argv[1], argc == 4 ? argv[3] : "pool");
    } catch (const std::exception &e) {
        std::fprintf(stderr, "hello_server: %s\n", e.what());
        return 1;
    }
    return 0;
}
