// Teaches: calls in C++, without exceptions: a result is asked before it is used.
//
//   hello_client SOCKET [TARGET]...
//
// One client keeps its connection for all targets. This program is built with -fno-exceptions and
// -fno-rtti, as many daemons are.
#include <hysock.hpp>

#include <chrono>
#include <cstdio>

using namespace std::chrono_literals;

namespace {

void say(const hysock::error &e) { std::fprintf(stderr, "hello_client: %s\n", e.message()); }

bool get(const hysock::client &client, const char *target) {
    auto call = hysock::call::make(client, "GET", target);
    if (!call) {
        say(call.error());
        return false;
    }
    // Setters need no check: what is refused makes perform() fail, with its words.
    call->set_header("accept", "text/plain");
    call->set_timeout(10s);
    if (const auto done = call->perform(); !done) {
        say(done.error());
        return false;
    }
    // A 404 is an answer like any other.
    const auto body = call->body(); // good as long as the call
    std::printf("%d %.*s", call->http_status(), static_cast<int>(body.size()), body.data());
    return true;
}

} // namespace

int main(int argc, char **argv) {
    if (argc < 2) {
        std::fprintf(stderr, "usage: hello_client SOCKET [TARGET]...\n");
        return 2;
    }
    // Without a runtime calls run on this thread alone.
    const auto client = hysock::client::make(argv[1]);
    if (!client) {
        say(client.error());
        return 1;
    }
    bool good = true;
    if (argc == 2)
        good = get(*client, "/hello/world");
    for (int i = 2; i < argc; i++)
        good = get(*client, argv[i]) && good;
    return good ? 0 : 1;
}
