// Teaches: coroutines (C++20). A server and its client in one thread, written as if they blocked.
//
//   coroutines SOCKET
//
// All of it runs on the main thread, which dispatches one queue: between two co_awaits nothing
// else runs, so nothing needs a lock.
#include <hysock/coro.hpp>

#include <chrono>
#include <cstdio>
#include <exception>
#include <string>

using namespace std::chrono_literals;

namespace {

struct program {
    hysock::runtime runtime = hysock::runtime::make().value();
    hysock::queue queue = hysock::queue::make(runtime).value();
    hysock::server server;
    hysock::client client;
    bool over = false;

    explicit program(const std::string &path) {
        hysock::server_config server_config;
        server_config.set_queue(queue);
        server = hysock::server::make(runtime, server_config).value();
        hysock::client_config client_config;
        client_config.set_queue(queue);
        client_config.set_timeout(10s);
        client = hysock::client::make(runtime, path, client_config).value();
        // The exchange is the coroutine's: it may answer when it likes.
        server
            .add_route("GET", "/slow/{ms}", hysock::coroutine([this](hysock::exchange exchange) {
                           return slow(std::move(exchange));
                       }))
            .value();
        server.add_listener(path).value();
        server.start().value();
    }

    hysock::task<> slow(hysock::exchange exchange) {
        const std::chrono::milliseconds time(std::stoi(std::string(*exchange.param("ms"))));
        (co_await hysock::sleep(runtime, queue, time)).value();
        exchange.answer(200, "text/plain", std::to_string(time.count()) + " ms");
        // What is thrown here, as by stoi(), is a 500 for the client.
    }

    /// One request and its answer; throws when there is none.
    hysock::task<std::string> get(std::string target) {
        auto call = hysock::call::make(client, "GET", target).value();
        (co_await hysock::start(call)).value();
        co_return std::to_string(call.http_status()) + " " + std::string(call.body());
    }

    /// One after another.
    hysock::task<> visit(const char *name) {
        for (const char *target : {"/slow/20", "/slow/1", "/slow/soon"})
            std::printf("%s: %s\n", name, (co_await get(target)).c_str());
        if (--visitors == 0)
            over = true;
    }
    int visitors = 0;

    void run() {
        for (const char *name : {"first", "second"}) { // both at the same time
            visitors++;
            hysock::spawn(visit(name));
        }
        while (!over)
            queue.dispatch(1, hysock::forever).value();
        server.shutdown();
        server.wait().value();
        client.shutdown();
        client.wait().value();
        server.free();
        client.free();
        queue.free();
        runtime.shutdown();
        runtime.wait().value();
    }
};

} // namespace

int main(int argc, char **argv) {
    if (argc != 2) {
        std::fprintf(stderr, "usage: coroutines SOCKET\n");
        return 2;
    }
    try {
        program(argv[1]).run();
    } catch (const std::exception &e) {
        std::fprintf(stderr, "coroutines: %s\n", e.what());
        return 1;
    }
    return 0;
}
