// Teaches: messages in C++. Several producers, one receiver, and a count of what became of them.
//
//   messages SOCKET [PRODUCERS [MESSAGES]]
//
// The lambda that gets the batches owns the table that it fills: no lock, since a receiver never
// runs two callbacks at once.
#include <hysock.hpp>

#include <chrono>
#include <cstdio>
#include <exception>
#include <future>
#include <map>
#include <string>
#include <thread>
#include <vector>

using namespace std::chrono_literals;

namespace {

using table = std::map<std::string, unsigned>;

/// Sends `count` messages and says how many were read to their end.
unsigned long produce(hysock::runtime &runtime, const std::string &path, unsigned id,
                      unsigned count) {
    auto producer = hysock::producer::make(runtime, path).value();
    const std::string text = "producer " + std::to_string(id);
    const std::vector<hysock::slice> batch(10, hysock::bytes(text));
    unsigned left = count;
    while (left > 0) {
        const std::size_t n = left < batch.size() ? left : batch.size();
        std::size_t sent = 0;
        producer.send_batch({batch.data(), n}, sent).value(); // waits while the receiver is busy
        left -= static_cast<unsigned>(sent);
    }
    return producer.shutdown(10s).value().delivered;
}

void run(const std::string &path, unsigned producers, unsigned messages) {
    auto runtime = hysock::runtime::make().value();
    std::promise<table> filled;
    auto result = filled.get_future();
    auto receiver = hysock::receiver::make(runtime).value();
    unsigned long total = 0;
    receiver
        .on_batch([filled = std::move(filled), seen = table(), all = producers * messages,
                   &total](hysock::batch &batch) mutable {
            for (const hysock::message &message : batch.messages())
                ++seen[std::string(hysock::payload(message))];
            total += batch.messages().size();
            if (total == all)
                filled.set_value(std::move(seen));
        })
        .value();
    receiver.add_listener(path).value();
    receiver.start().value();

    std::vector<std::future<unsigned long>> work;
    for (unsigned id = 0; id < producers; id++)
        work.push_back(
            std::async(std::launch::async, produce, std::ref(runtime), path, id, messages));
    unsigned long delivered = 0;
    for (auto &one : work)
        delivered += one.get();
    for (const auto &[text, count] : result.get())
        std::printf("%s: %u\n", text.c_str(), count);

    receiver.shutdown();
    receiver.wait().value();
    std::printf("%lu sent and read, %lu received\n", delivered, total);
    receiver.free();
    runtime.shutdown();
    runtime.wait().value();
}

} // namespace

int main(int argc, char **argv) {
    if (argc < 2 || argc > 4) {
        std::fprintf(stderr, "usage: messages SOCKET [PRODUCERS [MESSAGES]]\n");
        return 2;
    }
    try {
        run(argv[1], argc > 2 ? static_cast<unsigned>(std::stoul(argv[2])) : 3,
            argc > 3 ? static_cast<unsigned>(std::stoul(argv[3])) : 100);
    } catch (const std::exception &e) {
        std::fprintf(stderr, "messages: %s\n", e.what());
        return 1;
    }
    return 0;
}
