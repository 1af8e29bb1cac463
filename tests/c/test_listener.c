/* Listening sockets that come from elsewhere or go elsewhere: opened before a fork, adopted, passed
 * by a service manager, handed over; single connections; what the file of a listener goes through.
 */
#include "host.h"

#include <fcntl.h>
#include <sys/wait.h>

static void hello(hysock_exchange *exchange, void *userdata) {
    (void)userdata;
    answer_text(exchange, 200, "x");
}

static bool is_open(int fd) { return fcntl(fd, F_GETFD) >= 0; }
static bool exists(const char *path) { return access(path, F_OK) == 0; }

static int open_listener(const char *path, const hysock_listener_config *config) {
    int32_t fd = -1;
    CHECK_OK(hysock_listener_open(path, HYSOCK_NTS, config, &fd, ERR));
    CHECK(fcntl(fd, F_GETFD) == FD_CLOEXEC);
    return fd;
}

/* A server on `h`'s runtime with one handler, not started. */
static hysock_server *fresh_server(host *h) {
    hysock_server *server = NULL;
    hysock_server_config *config = host_server_config(h);
    CHECK_OK(hysock_server_new(h->runtime, config, &server, ERR));
    hysock_server_config_free(config);
    CHECK_OK(hysock_server_add_route(server, NULL, NULL, hello, NULL, NULL, ERR));
    return server;
}

static void end_server(hysock_server *server) {
    CHECK_OK(hysock_server_shutdown(server, 5000, ERR));
    WAIT_OK(hysock_server_wait, server);
    hysock_server_free(server);
}

/* ---- the config ---- */

static void configs(void) {
    char path[108];
    int32_t fd = 7;
    hysock_listener_config *config = hysock_listener_config_new();
    CHECK_OK(hysock_listener_config_set_owner(config, "root"));
    CHECK_OK(hysock_listener_config_set_group(config, "4711"));
    CHECK_OK(hysock_listener_config_set_parent_check(config, false));
    CHECK_OK(hysock_listener_config_set_stale(config, HYSOCK_STALE_TAKE_OVER));
    CHECK_STATUS(hysock_listener_config_set_stale(config, 4), HYSOCK_E_INVALID_ARGUMENT);
    hysock_listener_config_free(config);

    static const char *const nobodies[] = {"", "no such name", "-1", "4294967295"};
    for (size_t i = 0; i < sizeof(nobodies) / sizeof(nobodies[0]); i++) {
        config = hysock_listener_config_new();
        CHECK_STATUS(hysock_listener_config_set_group(config, nobodies[i]),
                     HYSOCK_E_INVALID_ARGUMENT);
        CHECK_OK(hysock_listener_config_set_group(config, "0"));
        temp_path(path, "refused");
        CHECK_STATUS(hysock_listener_open(path, HYSOCK_NTS, config, &fd, ERR),
                     HYSOCK_E_INVALID_ARGUMENT);
        CHECK_ERR(HYSOCK_E_INVALID_ARGUMENT, "hysock_listener_config_set_group");
        CHECK_ERR(HYSOCK_E_INVALID_ARGUMENT, nobodies[i]);
        CHECK_INT(fd, -1);
        CHECK(!exists(path));
        hysock_listener_config_free(config);
    }
}

/* ---- opened, then a daemon ---- */

/* What a daemon does: bind while errors can be seen, fork, begin threads in the child. */
static void daemonized(enum delivery delivery) {
    char path[108];
    int verdict[2], end[2], status;
    char word = 0;
    CHECK(pipe(verdict) == 0 && pipe(end) == 0);
    int fd = open_listener(temp_path(path, "daemon"), NULL);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        host h;
        close(end[1]);
        host_open(&h, delivery, NULL);
        h.server = fresh_server(&h);
        CHECK_OK(hysock_server_add_listener_fd(h.server, fd, HYSOCK_ADOPT_OWN, NULL, ERR));
        CHECK_OK(hysock_server_start(h.server, ERR));
        CHECK(write(verdict[1], "k", 1) == 1);
        CHECK(read(end[0], &word, 1) == 0);
        host_stop(&h);
        _exit(check_end());
    }
    close(fd); /* the parent's; the file is the child's now */
    close(verdict[1]);
    CHECK(raw_poll(verdict[0], POLLIN, check_ms(DEADLINE_MS)) != 0);
    CHECK(read(verdict[0], &word, 1) == 1);
    CHECK_INT(raw_get(path, "/"), 200);
    close(end[1]);
    CHECK(waitpid(child, &status, 0) == child);
    CHECK_INT(status, 0);
    CHECK(!exists(path));
    close(verdict[0]);
    close(end[0]);
}

/* ---- passed by a service manager ---- */

static int put_at(int fd, int number) {
    CHECK(dup2(fd, number) == number);
    close(fd);
    return number;
}

static void address_is(hysock_server *server, size_t index, const char *expected) {
    char text[200], cut[6];
    int32_t len = (int32_t)strlen(expected);
    CHECK_INT(hysock_server_listener_address(server, index, text, sizeof(text), ERR), len);
    CHECK(strcmp(text, expected) == 0);
    CHECK_INT(hysock_server_listener_address(server, index, cut, sizeof(cut), ERR), len);
    CHECK(strlen(cut) == sizeof(cut) - 1 && memcmp(cut, expected, strlen(cut)) == 0);
    CHECK_INT(hysock_server_listener_address(server, index, NULL, 0, ERR), len);
}

static void passed_to(pid_t pid, const char *count, const char *names) {
    char text[16];
    snprintf(text, sizeof(text), "%d", (int)pid);
    CHECK(setenv("LISTEN_PID", text, 1) == 0 && setenv("LISTEN_FDS", count, 1) == 0);
    CHECK(setenv("LISTEN_FDNAMES", names, 1) == 0);
}

/* In a child: the numbers from 3 on are its own. */
static void activated(enum delivery delivery) {
    char one[108], two[108], bad[108];
    host h;
    /* Out of the way of 3 to 6. */
    int first = fcntl(raw_listen(temp_path(one, "one")), F_DUPFD, 20);
    int second = fcntl(raw_listen(temp_path(two, "two")), F_DUPFD, 20);
    int datagram = socket(AF_UNIX, SOCK_DGRAM, 0);
    datagram = fcntl(datagram, F_DUPFD, 20);
    put_at(first, 3);
    put_at(second, 4);
    put_at(datagram, 5);
    host_open(&h, delivery, NULL);
    h.server = fresh_server(&h);
    passed_to(getpid() + 1, "3", "web:admin:log");
    CHECK_INT(hysock_server_add_activated(h.server, NULL, NULL, ERR), 0);
    passed_to(getpid(), "3", "web:admin");
    CHECK_STATUS(hysock_server_add_activated(h.server, NULL, NULL, ERR), HYSOCK_E_INVALID_ARGUMENT);
    CHECK_ERR(HYSOCK_E_INVALID_ARGUMENT, "LISTEN_FDNAMES");
    passed_to(getpid(), "3", "web:admin:web");
    CHECK_STATUS(hysock_server_add_activated(h.server, "web", NULL, ERR), HYSOCK_E_WRONG_TYPE);
    CHECK(is_open(3) && is_open(5));
    passed_to(getpid(), "3", "web:admin:log");
    CHECK_INT(hysock_server_add_activated(h.server, "nothing", NULL, ERR), 0);
    CHECK_INT(hysock_server_add_activated(h.server, "admin", NULL, ERR), 1);
    CHECK(fcntl(4, F_GETFD) == FD_CLOEXEC && fcntl(3, F_GETFD) == 0);
    CHECK_INT(hysock_server_add_activated(h.server, NULL, NULL, ERR), 1);
    CHECK_INT(hysock_server_add_activated(h.server, NULL, NULL, ERR), 0);
    CHECK(strcmp(getenv("LISTEN_FDS"), "3") == 0 && getenv("LISTEN_PID") != NULL);
    CHECK_OK(hysock_server_start(h.server, ERR));
    address_is(h.server, 0, two); /* it was asked for first */
    address_is(h.server, 1, one);
    CHECK_INT(raw_get(one, "/"), 200);
    CHECK_INT(raw_get(two, "/"), 200);
    host_stop(&h);
    CHECK(exists(one) && exists(two) && is_open(5)); /* the service manager's */
    CHECK(!is_open(3) && !is_open(4));
    /* Whatever has these numbers now is no socket of the service manager. */
    put_at(fcntl(raw_listen(temp_path(bad, "bad")), F_DUPFD, 20), 3);
    host_open(&h, delivery, NULL);
    h.server = fresh_server(&h);
    CHECK_INT(hysock_server_add_activated(h.server, NULL, NULL, ERR), 0);
    CHECK(is_open(3));
    host_stop(&h);
    _exit(check_end());
}

static void in_child(void (*f)(enum delivery), enum delivery delivery) {
    int status;
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0)
        f(delivery);
    CHECK(waitpid(child, &status, 0) == child);
    CHECK_INT(status, 0);
}

/* ---- descriptors are consumed ---- */

static void consumed(host *h) {
    char path[108];
    int pair[2];
    hysock_server *server = fresh_server(h);
    hysock_listener_config *spoilt = hysock_listener_config_new();
    CHECK_STATUS(hysock_listener_config_set_mode(spoilt, 0), HYSOCK_E_INVALID_ARGUMENT);
    const struct {
        hysock_server *server;
        int32_t adopt;
        hysock_listener_config *config;
        hysock_status status;
    } tries[] = {
        {NULL, HYSOCK_ADOPT_OWN, NULL, HYSOCK_E_INVALID_ARGUMENT},
        {(hysock_server *)spoilt, HYSOCK_ADOPT_OWN, NULL, HYSOCK_E_BAD_HANDLE},
        {server, 0, NULL, HYSOCK_E_INVALID_ARGUMENT},
        {server, 3, NULL, HYSOCK_E_INVALID_ARGUMENT},
        {server, HYSOCK_ADOPT_OWN, spoilt, HYSOCK_E_INVALID_ARGUMENT},
    };
    for (size_t i = 0; i < sizeof(tries) / sizeof(tries[0]); i++) {
        int fd = open_listener(temp_path(path, "consumed"), NULL);
        CHECK_STATUS(hysock_server_add_listener_fd(tries[i].server, fd, tries[i].adopt,
                                                   tries[i].config, ERR),
                     tries[i].status);
        CHECK(!is_open(fd));
    }
    int fd = open("/dev/null", O_RDONLY);
    CHECK_STATUS(hysock_server_add_listener_fd(server, fd, HYSOCK_ADOPT_OWN, NULL, ERR),
                 HYSOCK_E_WRONG_TYPE);
    CHECK(!is_open(fd));
    CHECK(socketpair(AF_UNIX, SOCK_DGRAM, 0, pair) == 0);
    CHECK_STATUS(hysock_server_add_connection(server, pair[0], ERR), HYSOCK_E_WRONG_TYPE);
    CHECK_STATUS(hysock_server_add_connection(NULL, pair[1], ERR), HYSOCK_E_INVALID_ARGUMENT);
    CHECK(!is_open(pair[0]) && !is_open(pair[1]));
    fd = open_listener(temp_path(path, "consumed"), NULL);
    CHECK_STATUS(hysock_server_add_connection(server, fd, ERR), HYSOCK_E_INVALID_ARGUMENT);
    CHECK_ERR(HYSOCK_E_INVALID_ARGUMENT, "not connected");
    CHECK(!is_open(fd));
    CHECK_STATUS(hysock_server_add_connection(server, fd, ERR), HYSOCK_E_INVALID_ARGUMENT);
    CHECK_OK(hysock_server_shutdown(server, 0, ERR));
    CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
    CHECK_STATUS(hysock_server_add_connection(server, pair[0], ERR), HYSOCK_E_SHUT_DOWN);
    CHECK(!is_open(pair[0]));
    close(pair[1]);
    hysock_listener_config_free(spoilt);
    hysock_server_free(server);
    CHECK(unlink(path) == 0);
}

/* ---- single connections ---- */

static void ask(raw *r) {
    raw_text(r, "GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    CHECK_INT(raw_status(r), 200);
}

static void connections(host *h) {
    raw ends[3];
    int pair[2];
    hysock_server *server = NULL;
    hysock_server_config *config = host_server_config(h);
    CHECK_OK(hysock_server_config_set_max_connections(config, 3));
    CHECK_OK(hysock_server_new(h->runtime, config, &server, ERR));
    hysock_server_config_free(config);
    CHECK_OK(hysock_server_add_route(server, NULL, NULL, hello, NULL, NULL, ERR));
    CHECK_STATUS(hysock_server_start(server, ERR), HYSOCK_E_STATE);
    for (int i = 0; i < 3; i++) {
        CHECK(socketpair(AF_UNIX, SOCK_STREAM | (i == 1 ? SOCK_NONBLOCK : 0), 0, pair) == 0);
        raw_adopt(&ends[i], pair[1]);
        if (i == 2) /* two come before the start, one after it */
            CHECK_OK(hysock_server_start(server, ERR));
        CHECK_OK(hysock_server_add_connection(server, pair[0], ERR));
        CHECK_INT(fcntl(pair[0], F_GETFD), FD_CLOEXEC);
        CHECK_INT(fcntl(pair[0], F_GETFL) & O_NONBLOCK, 0);
    }
    for (int i = 0; i < 6; i++)
        ask(&ends[i % 3]);
    CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
    CHECK_STATUS(hysock_server_add_connection(server, pair[0], ERR), HYSOCK_E_LIMIT);
    CHECK(!is_open(pair[0]));
    close(pair[1]);
    end_server(server);
    for (int i = 0; i < 3; i++) {
        CHECK(raw_closes(&ends[i], check_ms(DEADLINE_MS)));
        raw_close(&ends[i]);
    }
    /* One that was never started closes what it was given. */
    server = fresh_server(h);
    CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
    raw_adopt(&ends[0], pair[1]);
    CHECK_OK(hysock_server_add_connection(server, pair[0], ERR));
    hysock_server_free(server);
    CHECK(raw_closes(&ends[0], check_ms(DEADLINE_MS)));
    raw_close(&ends[0]);
}

/* ---- where they listen ---- */

static void addresses(host *h) {
    enum { LONG = 150 }; /* too long for sockaddr_un */
    char path[108], name[64], folder[LONG + 1], far[LONG + 3];
    temp_path(path, "here");
    snprintf(name, sizeof(name), "@hysock-test-%d", (int)getpid());
    memset(folder, 'd', LONG);
    memcpy(folder, check_dir, strlen(check_dir));
    folder[strlen(check_dir)] = '/';
    folder[LONG] = 0;
    CHECK(mkdir(folder, 0700) == 0);
    snprintf(far, sizeof(far), "%s/s", folder);
    hysock_server *server = fresh_server(h);
    CHECK_OK(hysock_server_add_listener(server, path, HYSOCK_NTS, NULL, ERR));
    CHECK_OK(hysock_server_add_listener(server, name, HYSOCK_NTS, NULL, ERR));
    CHECK_OK(hysock_server_add_listener(server, far, HYSOCK_NTS, NULL, ERR));
    for (int round = 0; round < 2; round++) {
        address_is(server, 0, path);
        address_is(server, 1, name);
        address_is(server, 2, far);
        CHECK_STATUS(hysock_server_listener_address(server, 3, NULL, 0, ERR),
                     HYSOCK_E_INVALID_ARGUMENT);
        CHECK_ERR(HYSOCK_E_INVALID_ARGUMENT, "no listener 3");
        if (round == 0)
            CHECK_OK(hysock_server_start(server, ERR));
    }
    CHECK_INT(raw_get(path, "/"), 200);
    CHECK_OK(hysock_server_shutdown(server, 1000, ERR));
    CHECK_STATUS(hysock_server_listener_address(server, 0, NULL, 0, ERR), HYSOCK_E_SHUT_DOWN);
    end_server(server);
}

/* ---- handed over ---- */

static void handed_over(host *h, bool started) {
    char kept[108], given[108];
    int32_t fd;
    raw before;
    hysock_server *old = fresh_server(h), *new = fresh_server(h);
    CHECK_OK(hysock_server_add_listener(old, temp_path(kept, "kept"), HYSOCK_NTS, NULL, ERR));
    CHECK_OK(hysock_server_add_listener(old, temp_path(given, "given"), HYSOCK_NTS, NULL, ERR));
    if (started)
        CHECK_OK(hysock_server_start(old, ERR));
    raw_open(&before, given);
    if (started)
        ask(&before); /* it is the old one's for good */
    CHECK_OK(hysock_server_take_listener(old, 1, &fd, ERR));
    CHECK(fcntl(fd, F_GETFD) == FD_CLOEXEC);
    int32_t again = 7;
    CHECK_STATUS(hysock_server_take_listener(old, 1, &again, ERR), HYSOCK_E_STATE);
    CHECK_INT(again, -1);
    CHECK_STATUS(hysock_server_take_listener(old, 2, &again, ERR), HYSOCK_E_INVALID_ARGUMENT);
    raw waiting;
    raw_open(&waiting, given); /* in the backlog */
    raw_text(&waiting, "GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    if (started) {
        ask(&before);
        CHECK_INT(raw_get(kept, "/"), 200);
    }
    end_server(old);
    CHECK(!exists(kept) && exists(given));
    CHECK_STATUS(hysock_server_take_listener(old, 0, &again, ERR), HYSOCK_E_BAD_HANDLE);
    CHECK_OK(hysock_server_add_listener_fd(new, fd, HYSOCK_ADOPT_OWN, NULL, ERR));
    CHECK_OK(hysock_server_start(new, ERR));
    CHECK_INT(raw_status(&waiting), 200);
    CHECK_INT(raw_get(given, "/"), 200);
    raw_close(&waiting);
    raw_close(&before);
    end_server(new);
    CHECK(!exists(given));
}

/* ---- lost files ---- */

typedef struct lines {
    latch count;
    char last[512];
} lines;

static void on_line(int32_t level, hysock_str line, void *userdata) {
    lines *seen = userdata;
    if (level != HYSOCK_LOG_WARN || memmem(line.ptr, line.len, "socket file", 11) == NULL)
        return;
    hysock_str_copy(line, seen->last, sizeof(seen->last));
    latch_add(&seen->count, 1);
}

static uint64_t listeners_lost(hysock_server *server) {
    hysock_server_counts counts;
    CHECK_OK(hysock_server_stats(server, &counts, sizeof(counts), ERR));
    return counts.listeners_lost;
}

/* Removed or replaced while serving: said once, within two seconds; connections go on. */
static void lost(host *h) {
    char removed[108], replaced[108], safe[108], aside[108];
    raw open_one;
    lines seen = {.last = ""};
    latch_init(&seen.count);
    CHECK_OK(hysock_runtime_on_log(h->runtime, HYSOCK_LOG_WARN, NULL, on_line, &seen, NULL, ERR));
    hysock_server *server = fresh_server(h);
    CHECK_OK(
        hysock_server_add_listener(server, temp_path(removed, "removed"), HYSOCK_NTS, NULL, ERR));
    CHECK_OK(
        hysock_server_add_listener(server, temp_path(replaced, "replaced"), HYSOCK_NTS, NULL, ERR));
    CHECK_OK(hysock_server_add_listener(server, temp_path(safe, "safe"), HYSOCK_NTS, NULL, ERR));
    CHECK_OK(hysock_server_start(server, ERR));
    raw_open(&open_one, removed);
    ask(&open_one);
    CHECK_INT(listeners_lost(server), 0);
    CHECK(unlink(removed) == 0);
    CHECK(latch_reaches(&seen.count, 1, check_ms(2000)));
    CHECK(strstr(seen.last, removed) != NULL && strstr(seen.last, "removed") != NULL);
    CHECK_INT(listeners_lost(server), 1);
    ask(&open_one);
    hysock_listener_config *config = hysock_listener_config_new();
    CHECK_OK(hysock_listener_config_set_stale(config, HYSOCK_STALE_TAKE_OVER));
    int other = open_listener(replaced, config);
    hysock_listener_config_free(config);
    CHECK(latch_reaches(&seen.count, 2, check_ms(2000)));
    CHECK(strstr(seen.last, replaced) != NULL && strstr(seen.last, "was replaced") != NULL);
    CHECK_INT(listeners_lost(server), 2);
    CHECK_INT(raw_get(safe, "/"), 200);
    /* Both looks of a third loss: the first two are not said again. */
    CHECK(rename(safe, temp_path(aside, "aside")) == 0);
    CHECK(latch_reaches(&seen.count, 3, check_ms(2000)));
    CHECK_INT(listeners_lost(server), 3);
    end_server(server);
    CHECK_INT(latch_count(&seen.count), 3);
    CHECK(exists(replaced)); /* the other's */
    raw_close(&open_one);
    close(other);
    CHECK(unlink(replaced) == 0 && unlink(aside) == 0);
}

int main(int argc, char **argv) {
    host h;
    enum delivery delivery = delivery_parse(argc, argv);
    check_start();
    configs();
    daemonized(delivery);
    in_child(activated, delivery);
    host_open(&h, delivery, NULL);
    consumed(&h);
    connections(&h);
    addresses(&h);
    handed_over(&h, true);
    handed_over(&h, false);
    lost(&h);
    host_stop(&h);
    return check_end();
}
