/* Calls that switch to another protocol, with one delivery: the argument. */
#include "host.h"

#include <fcntl.h>

enum how { BARE, PERFORMED, STARTED };

static enum delivery delivery;
static hysock_client *client; /* of the raw server below, with few connections */
static hysock_client *bare;   /* the same without a runtime */
static int listener;

/* One call, whose server is the test itself. */
typedef struct talk {
    enum how how;
    hysock_call *call;
    completion c;
    pthread_t thread;
    hysock_status status;
    raw server;
} talk;

static void *talk_perform(void *argument) {
    talk *t = argument;
    t->status = hysock_call_perform(t->call, ERR);
    return NULL;
}

static void talk_new(talk *t, enum how how) {
    memset(t, 0, sizeof(*t));
    t->how = how;
    completion_new(&t->c, how == BARE ? bare : client, delivery, "/");
    t->call = t->c.call;
}

/* Sends the request; afterwards the server's side has it. */
static void talk_begin(talk *t) {
    if (t->how == STARTED)
        completion_start(&t->c);
    else
        t->thread = thread_start(talk_perform, t);
    raw_accept(&t->server, listener);
    CHECK(raw_head(&t->server) > 0);
}

static void talk_end(talk *t, hysock_status expected) {
    if (t->how == STARTED) {
        completion_await(&t->c, expected);
    } else {
        thread_join(t->thread);
        CHECK_STATUS(t->status, expected);
    }
    CHECK_STATUS(hysock_call_error(t->call, ERR), expected);
}

static void talk_free(talk *t) {
    hysock_call_free(t->call);
    latch_free(&t->c.calls);
    latch_free(&t->c.drops);
    if (t->server.fd >= 0)
        raw_close(&t->server);
}

static void read_all(int fd, const char *expected) {
    char buf[64];
    for (size_t at = 0; at < strlen(expected);) {
        CHECK(raw_poll(fd, POLLIN, check_ms(DEADLINE_MS)) != 0);
        ssize_t n = recv(fd, buf, sizeof(buf), MSG_DONTWAIT);
        CHECK(n > 0 && strncmp(expected + at, buf, (size_t)n) == 0);
        at += (size_t)n;
    }
}

static void read_end(int fd) {
    char byte;
    CHECK(raw_poll(fd, POLLIN, check_ms(DEADLINE_MS)) != 0);
    CHECK_INT(recv(fd, &byte, 1, MSG_DONTWAIT), 0);
}

static void write_all(int fd, const char *text) {
    CHECK_INT(send(fd, text, strlen(text), MSG_NOSIGNAL | MSG_DONTWAIT), strlen(text));
}

static int take(hysock_call *call, const char *early_expected) {
    hysock_str early;
    int fd;
    CHECK_OK(hysock_call_take_fd(call, &fd, &early, ERR));
    CHECK(early.ptr != NULL && hysock_str_equal(early, early_expected));
    int again = 0;
    CHECK_STATUS(hysock_call_take_fd(call, &again, &early, ERR), HYSOCK_E_STATE);
    CHECK_ERR(HYSOCK_E_STATE, "taken already");
    CHECK_INT(again, -1);
    return fd;
}

/* An ordinary descriptor, with nothing of ours on it. */
static void check_plain(int fd) {
    struct timeval limit = {1, 1};
    socklen_t size = sizeof(limit);
    CHECK(fd >= 0);
    CHECK((fcntl(fd, F_GETFL) & O_NONBLOCK) == 0);
    CHECK((fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0);
    CHECK(getsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, &size) == 0);
    CHECK(limit.tv_sec == 0 && limit.tv_usec == 0);
}

/* Both directions, and each of them ends alone. `server_first`: whose end comes first. */
static void converse(int fd, raw *server, bool server_first) {
    check_plain(fd);
    write_all(fd, "ping");
    read_all(server->fd, "ping");
    write_all(server->fd, "pong");
    read_all(fd, "pong");
    int first = server_first ? server->fd : fd, second = server_first ? fd : server->fd;
    CHECK(shutdown(first, SHUT_WR) == 0);
    read_end(second);
    write_all(second, "more");
    read_all(first, "more");
    CHECK(shutdown(second, SHUT_WR) == 0);
    read_end(first);
}

#define SWITCH "HTTP/1.1 101 Switching\r\nConnection: Upgrade\r\nUpgrade: other\r\n\r\n"
#define HIJACK "HTTP/1.1 200 OK\r\nContent-Type: application/vnd.docker.raw-stream\r\n\r\n"

static void switches(enum how how, const char *protocol, const char *answer, const char *early,
                     bool streams) {
    char text[256];
    talk t;
    talk_new(&t, how);
    CHECK_OK(hysock_call_set_upgrade(t.call, protocol));
    /* Too late for what comes behind the head. */
    CHECK_OK(hysock_call_set_timeout(t.call, (uint32_t)check_ms(DEADLINE_MS)));
    if (streams)
        CHECK_OK(hysock_call_set_streaming(t.call));
    talk_begin(&t);
    bool asks = strstr(t.server.data, "upgrade: other\r\n") != NULL &&
                strstr(t.server.data, "connection: Upgrade\r\n") != NULL;
    CHECK(asks == (protocol != NULL));
    snprintf(text, sizeof(text), "%s%s", answer, early);
    raw_text(&t.server, text);
    talk_end(&t, HYSOCK_OK);
    CHECK_INT(hysock_call_http_status(t.call), strcmp(answer, SWITCH) == 0 ? 101 : 200);
    CHECK(hysock_call_header(t.call, "connection").ptr != NULL ||
          hysock_call_header(t.call, "content-type").ptr != NULL);
    int fd = take(t.call, early);
    if (streams) {
        hysock_str piece;
        CHECK_STATUS(hysock_call_read(t.call, &piece, 0, ERR), HYSOCK_E_STATE);
        CHECK_ERR(HYSOCK_E_STATE, "take_fd");
    }
    CHECK_OK(hysock_call_cancel(t.call, ERR)); /* it has ended: nothing happens */
    converse(fd, &t.server, streams);
    close(fd);
    talk_free(&t);
}

/* The server was quick: its end has come with its head. */
static void ended_already(enum how how, const char *answer) {
    talk t;
    talk_new(&t, how);
    CHECK_OK(hysock_call_set_upgrade(t.call, "other"));
    talk_begin(&t);
    raw_text(&t.server, answer);
    CHECK(shutdown(t.server.fd, SHUT_WR) == 0);
    talk_end(&t, HYSOCK_OK);
    int fd = take(t.call, "");
    read_end(fd);
    write_all(fd, "last");
    t.server.len = 0;
    read_all(t.server.fd, "last");
    close(fd);
    read_end(t.server.fd);
    talk_free(&t);
}

static void not_taken(enum how how) {
    talk t;
    talk_new(&t, how);
    CHECK_OK(hysock_call_set_upgrade(t.call, "other"));
    talk_begin(&t);
    raw_text(&t.server, SWITCH "early");
    talk_end(&t, HYSOCK_OK);
    hysock_call_free(t.call);
    read_end(t.server.fd);
    t.call = NULL;
    talk_free(&t);
}

/* What goes on with HTTP is an answer like any other, and its connection serves the next call. */
static void refusals(enum how how) {
    static const struct {
        const char *answer;
        int status;
        const char *body;
    } rows[] = {
        {"HTTP/1.1 404 No\r\nContent-Length: 2\r\n\r\nno", 404, "no"},
        {"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", 200, "ok"},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", 200, "ok"},
        {"HTTP/1.1 204 OK\r\n\r\n", 204, ""},
    };
    hysock_str early;
    int fd;
    talk t;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        talk_new(&t, how);
        CHECK_OK(hysock_call_set_upgrade(t.call, "other"));
        talk_begin(&t);
        CHECK_STATUS(hysock_call_take_fd(t.call, &fd, &early, ERR), HYSOCK_E_STATE);
        raw_text(&t.server, rows[i].answer);
        talk_end(&t, HYSOCK_OK);
        CHECK_INT(hysock_call_http_status(t.call), rows[i].status);
        CHECK(hysock_str_equal(hysock_call_body(t.call), rows[i].body));
        CHECK_STATUS(hysock_call_take_fd(t.call, &fd, &early, ERR), HYSOCK_E_STATE);
        CHECK_ERR(HYSOCK_E_STATE, "goes on with HTTP");
        /* Not kept open for the next round, which accepts. */
        talk_free(&t);
    }
    talk_new(&t, how); /* until the end of the connection, and no 2xx */
    CHECK_OK(hysock_call_set_upgrade(t.call, NULL));
    talk_begin(&t);
    raw_text(&t.server, "HTTP/1.1 500 No\r\n\r\nwords");
    raw_close(&t.server);
    talk_end(&t, HYSOCK_OK);
    CHECK(hysock_str_equal(hysock_call_body(t.call), "words"));
    talk_free(&t);
}

/* A 101 that was not asked for, or only in another way. */
static void unasked(enum how how, bool hijack) {
    hysock_str early;
    int fd;
    talk t;
    talk_new(&t, how);
    if (hijack)
        CHECK_OK(hysock_call_set_upgrade(t.call, NULL));
    talk_begin(&t);
    raw_text(&t.server, SWITCH);
    talk_end(&t, HYSOCK_E_PROTOCOL);
    CHECK_ERR(HYSOCK_E_PROTOCOL, "101");
    CHECK_STATUS(hysock_call_take_fd(t.call, &fd, &early, ERR), HYSOCK_E_STATE);
    CHECK_ERR(HYSOCK_E_STATE, hijack ? "without an answer" : "set_upgrade");
    CHECK_STATUS(hysock_call_set_upgrade(t.call, "late"), HYSOCK_E_STATE);
    read_end(t.server.fd);
    talk_free(&t);
}

static void setter_is_remembered(void) {
    static const char *const bad[] = {"", "a\nb", "a\rb"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        hysock_call *call = new_call(bare, "GET", "/");
        CHECK_STATUS(hysock_call_set_upgrade(call, bad[i]), HYSOCK_E_INVALID_ARGUMENT);
        CHECK_STATUS(hysock_call_perform(call, ERR), HYSOCK_E_INVALID_ARGUMENT);
        hysock_call_free(call);
    }
}

/* ---- our own server ---- */

static latch sessions;

static void session(hysock_exchange *exchange, int32_t fd, hysock_str early, void *userdata) {
    (void)userdata;
    char buf[4096];
    ssize_t n;
    CHECK(fd >= 0);
    CHECK_INT(early.len, 0);
    struct timeval limit = {check_ms(DEADLINE_MS) / 1000, 0};
    CHECK(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)) == 0);
    while ((n = recv(fd, buf, sizeof(buf), 0)) > 0)
        CHECK_INT(send(fd, buf, (size_t)n, MSG_NOSIGNAL), n);
    CHECK_INT(n, 0);
    write_all(fd, "bye");
    close(fd);
    hysock_exchange_free(exchange);
    latch_add(&sessions, 1);
}

static void echo(hysock_exchange *exchange, void *userdata) {
    (void)userdata;
    CHECK_OK(hysock_exchange_upgrade(exchange, "echo", session, NULL, NULL, ERR));
}

/* Against our own server, and beyond the ends of call, client and, for started calls, runtime. */
static void own_server(host *h, enum how how) {
    char path[108];
    hysock_server *server = NULL;
    hysock_client *one = NULL;
    completion c;
    CHECK_OK(hysock_server_serve(h->runtime, temp_path(path, "echo"), HYSOCK_NTS, NULL, echo, NULL,
                                 NULL, &server, ERR));
    if (how == STARTED) {
        host there = *h;
        memcpy(there.path, path, sizeof(path));
        one = host_client(&there);
    } else {
        CHECK_OK(
            hysock_client_new(how == BARE ? NULL : h->runtime, path, HYSOCK_NTS, NULL, &one, ERR));
    }
    completion_new(&c, one, delivery, "/");
    CHECK_OK(hysock_call_set_upgrade(c.call, "echo"));
    if (how == STARTED) {
        completion_start(&c);
        completion_await(&c, HYSOCK_OK);
    } else {
        CHECK_OK(hysock_call_perform(c.call, ERR));
    }
    CHECK_INT(hysock_call_http_status(c.call), 101);
    CHECK(hysock_str_equal(hysock_call_header(c.call, "upgrade"), "echo"));
    int fd = take(c.call, "");
    long before = latch_count(&sessions);
    hysock_call_free(c.call);
    CHECK_OK(hysock_client_shutdown(one, 0, ERR));
    WAIT_OK(hysock_client_wait, one);
    hysock_client_free(one);
    for (int i = 0; i < 20; i++) {
        write_all(fd, "there and back");
        read_all(fd, "there and back");
    }
    CHECK(shutdown(fd, SHUT_WR) == 0);
    read_all(fd, "bye");
    read_end(fd);
    close(fd);
    LATCH_AWAIT(&sessions, before + 1);
    CHECK_OK(hysock_server_shutdown(server, 1000, ERR));
    WAIT_OK(hysock_server_wait, server);
    hysock_server_free(server);
}

/* Taken in the completion itself. */
static int taken;

static void take_in_fn(hysock_call *call, hysock_status status, void *userdata) {
    CHECK_STATUS(status, HYSOCK_OK);
    taken = take(call, "early");
    hysock_call_free(call);
    latch_add(userdata, 1);
}

static void in_completion(void) {
    raw server;
    latch ended;
    latch_init(&ended);
    for (int i = 0; i < 3; i++) { /* calls are used again */
        hysock_call *call = new_call(client, "POST", "/");
        CHECK_OK(hysock_call_set_upgrade(call, "other"));
        CHECK_OK(hysock_call_set_body(call, "text/plain", "body", 4));
        CHECK_OK(hysock_call_start(call, take_in_fn, &ended, NULL, ERR));
        raw_accept(&server, listener);
        while (server.len < 4 || strcmp(server.data + server.len - 4, "body") != 0)
            CHECK(raw_fill(&server, check_ms(DEADLINE_MS)) > 0);
        raw_text(&server, SWITCH "early");
        LATCH_AWAIT(&ended, i + 1);
        converse(taken, &server, false);
        close(taken);
        raw_close(&server);
    }
    latch_free(&ended);
}

int main(int argc, char **argv) {
    host h;
    char path[108];
    check_start();
    delivery = delivery_parse(argc, argv);
    latch_init(&sessions);
    host_open(&h, delivery, NULL);
    listener = raw_listen(temp_path(path, "raw"));
    memcpy(h.path, path, sizeof(path));
    /* One connection: a switched one must not count. */
    hysock_client_config *config = hysock_client_config_new();
    CHECK_OK(hysock_client_config_set_max_connections(config, 1));
    CHECK_OK(hysock_client_new(NULL, path, HYSOCK_NTS, config, &bare, ERR));
    if (delivery == QUEUE)
        CHECK_OK(hysock_client_config_set_queue(config, h.queue));
    else
        CHECK_OK(hysock_client_config_set_delivery(
            config, delivery == POOL ? HYSOCK_DELIVERY_POOL : HYSOCK_DELIVERY_INLINE));
    CHECK_OK(hysock_client_new(h.runtime, path, HYSOCK_NTS, config, &client, ERR));
    hysock_client_config_free(config);
    for (enum how how = BARE; how <= STARTED; how++) {
        switches(how, "other", SWITCH, "", false);
        switches(how, "other", SWITCH, "early bytes", true);
        switches(how, "other", HIJACK, "early bytes", false);
        switches(how, NULL, HIJACK, "", false);
        switches(how, NULL, HIJACK, "early bytes", true);
        ended_already(how, SWITCH);
        ended_already(how, HIJACK);
        not_taken(how);
        refusals(how);
        unasked(how, false);
        unasked(how, true);
        own_server(&h, how);
    }
    in_completion();
    setter_is_remembered();
    hysock_client_free(client);
    hysock_client_free(bare);
    close(listener);
    host_stop(&h);
    return check_end();
}
