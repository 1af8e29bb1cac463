// The objects themselves: moved from, empty, taken over; results, errors, times, texts.
#include "check.hpp"

#include <array>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <vector>

namespace {

using hysock::status;

static_assert(!std::is_copy_constructible_v<hysock::server>);
static_assert(!std::is_copy_assignable_v<hysock::exchange>);
static_assert(std::is_nothrow_move_constructible_v<hysock::call>);
static_assert(std::is_nothrow_move_assignable_v<hysock::runtime>);
static_assert(!std::is_convertible_v<int, hysock::timeout>);

/// An object that was moved from is empty: an error from every function, nothing from every getter.
void moved_from() {
    check::folder folder;
    auto runtime = OK(hysock::runtime::make());
    auto server = OK(hysock::server::make(runtime));
    auto *const raw = server.get();
    hysock::server other(std::move(server));
    CHECK(!server); // NOLINT(bugprone-use-after-move): that is the question here
    CHECK_EQ(other.get(), raw);
    CHECK_STATUS(server.start(), invalid_argument);
    CHECK_STATUS(server.wait(hysock::no_wait), invalid_argument);
    CHECK_STATUS(server.shutdown_signal(), invalid_argument);
    CHECK_STATUS(server.stats(), invalid_argument);
    CHECK_STATUS(server.metrics(), invalid_argument);
    server.free();

    // What is assigned to ends before.
    auto second = OK(hysock::server::make(runtime));
    CHECK_EQ(OK(hysock::handles_live(hysock::handle_kind::server)), 2);
    second = std::move(other);
    CHECK_EQ(OK(hysock::handles_live(hysock::handle_kind::server)), 1);
    CHECK_EQ(second.get(), raw);
    auto &self = second;
    second = std::move(self);
    CHECK_EQ(second.get(), raw);

    // To the C functions and back.
    hysock::server back(second.release());
    CHECK(!second); // NOLINT(bugprone-use-after-move)
    back.free();
    CHECK(!back);
    CHECK_EQ(OK(hysock::handles_live(hysock::handle_kind::server)), 0);

    hysock::exchange none;
    CHECK(!none && !none.owned());
    CHECK(none.method().data() == nullptr);
    CHECK(none.body().data() == nullptr);
    CHECK(!none.header("host"));
    CHECK_EQ(none.version(), 0);
    CHECK_STATUS(none.answer(200), invalid_argument);
    CHECK_STATUS(none.defer(), invalid_argument);
    CHECK_STATUS(none.header_at(0), invalid_argument);
    CHECK_STATUS(none.read(hysock::no_wait), invalid_argument);
    CHECK_STATUS(none.peer(), invalid_argument);
    CHECK_STATUS(none.peer_pidfd(), invalid_argument);
    CHECK(none.userdata<int>() == nullptr);
    none.free();

    hysock::call call;
    CHECK_STATUS(call.perform(), invalid_argument);
    CHECK_STATUS(call.set_timeout(1s), invalid_argument);
    CHECK_STATUS(call.error(), invalid_argument);
    CHECK_EQ(call.http_status(), 0);

    const hysock::queue queue;
    CHECK_STATUS(queue.fd(), invalid_argument);
    // Where hysock.h takes NULL for "none", an empty object is still an error.
    const hysock::runtime no_runtime;
    CHECK_STATUS(hysock::client::make(no_runtime, folder / "s"), bad_handle);
    CHECK_STATUS(runtime.after(1ms, const_cast<hysock::queue &>(queue), [] {}), bad_handle);
    hysock::server_config config;
    CHECK_STATUS(config.set_queue(queue), bad_handle);
    const hysock::server_config taken(std::move(config));
    CHECK_STATUS(hysock::server::make(runtime, config), bad_handle); // NOLINT(*-use-after-move)
    CHECK_STATUS(hysock::server::make(runtime, taken), bad_handle);  // a setter was refused
    check::end(std::move(runtime));
}

void results() {
    const hysock::result<int> good(7);
    CHECK(good && good.has_value() && good.value() == 7 && *good == 7 && good.value_or(1) == 7);
    CHECK_EQ(good.status(), status::ok);
    CHECK(!good.error());
    const hysock::result<int> bad = hysock::error(status::absent);
    CHECK(!bad && bad.value_or(1) == 1);
    CHECK_EQ(bad.status(), status::absent);
    CHECK(std::strcmp(bad.error().message(), hysock::status_message(status::absent)) == 0);

    const hysock::error e(status::in_use, "who is there", hysock::operation::bind);
    hysock::error copy;
    CHECK(!copy);
    copy = e;
    CHECK(copy && copy.status() == status::in_use && copy.operation() == hysock::operation::bind);
    CHECK_EQ(std::string(copy.message()), "who is there");
    CHECK_EQ(copy.os_error(), 0);
    const std::string longer(1000, 'x');
    CHECK_EQ(std::strlen(hysock::error(status::limit, longer.c_str()).message()),
             sizeof(hysock_error::message) - 1);
    CHECK(std::strcmp(hysock::status_message(static_cast<status>(-999)), "unknown status") == 0);

    auto owned = hysock::result<std::unique_ptr<int>>(std::make_unique<int>(3));
    CHECK_EQ(**owned, 3);
    const std::unique_ptr<int> out = std::move(owned).value();
    CHECK_EQ(*out, 3);

    const auto parsed = OK(hysock::address_parse("http+unix://%2Frun%2Fx.sock/a?b=c"));
    CHECK_EQ(parsed.socket, "/run/x.sock");
    CHECK_EQ(parsed.target, "/a?b=c");
    CHECK_STATUS(hysock::address_parse("tcp://x"), invalid_argument);
    CHECK_STATUS(hysock::address_parse({}), invalid_argument);
    CHECK_EQ(OK(hysock::address_parse("x.sock")).socket,
             std::filesystem::current_path().string() + "/x.sock");
    CHECK_EQ(hysock::version(), HYSOCK_VERSION);
    CHECK_EQ(hysock::version_number(), static_cast<std::uint32_t>(HYSOCK_VERSION_NUMBER));
    CHECK_STATUS(hysock::handles_live(static_cast<hysock::handle_kind>(999)), invalid_argument);

    const auto absent = hysock::get("/nowhere/at/all.sock");
    CHECK_STATUS(absent, absent);
    CHECK_EQ(absent.error().operation(), hysock::operation::connect);
    CHECK_EQ(absent.error().os_error(), ENOENT);
    CHECK(std::strstr(absent.error().message(), "/nowhere/at/all.sock") != nullptr);
#if HYSOCK_EXCEPTIONS
    try {
        (void)absent.value();
        CHECK(false);
    } catch (const std::exception &thrown) {
        CHECK(std::strstr(thrown.what(), "/nowhere/at/all.sock") != nullptr);
    }
    try {
        hysock::result<void>(e).value();
        CHECK(false);
    } catch (const hysock::exception &thrown) {
        CHECK_EQ(thrown.status(), status::in_use);
        CHECK_EQ(thrown.error().operation(), hysock::operation::bind);
    }
#endif
}

void times() {
    using hysock::timeout;
    static_assert(timeout(1500ms).ms() == 1500);
    static_assert(timeout(2h).ms() == 7'200'000);
    static_assert(timeout(1us).ms() == 1 && timeout(1001us).ms() == 2 && timeout(2000us).ms() == 2);
    static_assert(timeout(0ns).ms() == 0 && timeout(-5s).ms() == 0);
    static_assert(timeout(std::chrono::hours::max()).ms() == HYSOCK_FOREVER - 1);
    static_assert(timeout(std::chrono::duration<double>(0.25)).ms() == 250);
    static_assert(hysock::forever.ms() == HYSOCK_FOREVER && hysock::no_wait.ms() == 0);
}

void texts() {
    const std::string text = "text";
    const std::vector<unsigned char> octets{1, 2, 3};
    const std::array<std::byte, 2> pair{};
    const auto size = [](hysock::bytes b) { return b.size(); };
    CHECK_EQ(size("literal"), 7U);
    CHECK_EQ(size(text), 4U);
    CHECK_EQ(size(std::string_view(text).substr(1)), 3U);
    CHECK_EQ(size(octets), 3U);
    CHECK_EQ(size(pair), 2U);
    CHECK_EQ(size({}), 0U);
    CHECK_EQ(hysock::bytes(octets).data(), octets.data());
    static_assert(!std::is_constructible_v<hysock::bytes, std::vector<int>>);
    const int numbers[] = {4, 5};
    int sum = 0;
    for (const int n : hysock::view<int>(numbers))
        sum += n;
    CHECK_EQ(sum, 9);
    CHECK(hysock::view<int>().empty());
#if __cplusplus >= 202002L
    const std::span<const int> span = hysock::view<int>(numbers);
    CHECK_EQ(span[1], 5);
    CHECK_EQ(size(std::span(pair)), 2U);
    CHECK_EQ(hysock::as_bytes(text)[0], std::byte{'t'});
#endif

    // A name with a NUL inside is no shorter name.
    auto client = OK(hysock::client::make("/nowhere/at/all.sock"));
    auto call = OK(hysock::call::make(client, std::string("GET"), "/"));
    OK(call.set_header(std::string("x-a"), "1"));
    CHECK_STATUS(call.set_header(std::string("x\0a", 3), "1"), invalid_argument);
    CHECK_STATUS(call.perform(), invalid_argument); // it is remembered
    CHECK_STATUS(hysock::call::make(client, std::string("GET\0", 4), "/"), invalid_argument);
    CHECK_STATUS(hysock::call::make(client, nullptr, "/"), invalid_argument);
    CHECK_STATUS(hysock::call::make(client, "GET", std::string_view("/\0", 2)), invalid_argument);
    OK(OK(hysock::call::make(client, "GET", "/")).set_header("x-empty", {}));
}

void descriptors() {
    int ends[2];
    CHECK(::pipe(ends) == 0);
    hysock::unique_fd in(ends[0]);
    const hysock::unique_fd out(ends[1]);
    hysock::unique_fd moved(std::move(in));
    CHECK(!in && moved); // NOLINT(bugprone-use-after-move)
    moved.reset();
    CHECK(!moved);
    CHECK(::write(ends[0], "x", 1) == -1 && errno == EBADF);
    // A function that takes one has consumed it, also when it fails.
    auto client = hysock::client::make_fd(hysock::unique_fd(::dup(out.get())));
    CHECK_STATUS(client, wrong_type);
    CHECK(::fcntl(out.get(), F_GETFD) >= 0);
}

} // namespace

int main() {
    moved_from();
    results();
    times();
    texts();
    descriptors();
    return check::nothing_left();
}
