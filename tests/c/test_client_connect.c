/* To whom a client talks: who the server must be, who it was, a server that is not up yet, a
 * connection that is there already, redirects. Argument: the delivery. */
#include "host.h"

#include <fcntl.h>

static enum delivery delivery;
static latch seen; /* requests that a handler has got */

static void redirect(hysock_exchange *exchange, int32_t status, const char *to) {
    CHECK_OK(hysock_exchange_set_header(exchange, "Location", to, HYSOCK_NTS));
    CHECK_OK(hysock_exchange_answer(exchange, status, NULL, "moved", 5, ERR));
}

static void handler(hysock_exchange *exchange, void *userdata) {
    hysock_str path = hysock_exchange_path(exchange), to = hysock_exchange_query(exchange);
    hysock_str method = hysock_exchange_method(exchange), body = hysock_exchange_body(exchange);
    char text[600], location[512];
    (void)userdata;
    latch_add(&seen, 1);
    hysock_str_copy(to, location, sizeof(location));
    snprintf(text, sizeof(text), "%.*s %.*s %zu", HYSOCK_PRI(method), HYSOCK_PRI(path), body.len);
    if (path.len == 4 && path.ptr[1] == '3')
        redirect(exchange, atoi(path.ptr + 1), location);
    else if (hysock_str_equal(path, "/loop"))
        redirect(exchange, 302, "loop");
    else if (hysock_str_equal(path, "/nowhere"))
        CHECK_OK(hysock_exchange_answer(exchange, 302, NULL, "", 0, ERR));
    else
        answer_text(exchange, 200, text);
}

static void body_is(const hysock_call *call, const char *expected) {
    if (!hysock_str_equal(hysock_call_body(call), expected)) {
        dprintf(check_fd, "body \"%.*s\", expected \"%s\"\n", HYSOCK_PRI(hysock_call_body(call)),
                expected);
        CHECK(!"the right body");
    }
}

static hysock_client_config *config_of(const host *h) {
    hysock_client_config *config = hysock_client_config_new();
    if (h->delivery == QUEUE)
        CHECK_OK(hysock_client_config_set_queue(config, h->queue));
    else
        CHECK_OK(hysock_client_config_set_delivery(
            config, h->delivery == POOL ? HYSOCK_DELIVERY_POOL : HYSOCK_DELIVERY_INLINE));
    return config;
}

/* One call of the client, performed or started: it ends with `status`. */
static hysock_call *run(hysock_client *client, hysock_call *call, bool start,
                        hysock_status status) {
    (void)client;
    if (start) {
        completion c;
        completion_new(&c, client, delivery, "/unused");
        hysock_call_free(c.call);
        c.call = call;
        completion_start(&c);
        completion_await(&c, status);
    } else {
        CHECK_STATUS(hysock_call_perform(call, ERR), status);
    }
    CHECK_STATUS(hysock_call_error(call, ERR), status);
    return call;
}

static hysock_call *ask(hysock_client *client, const char *method, const char *target, bool start,
                        hysock_status status) {
    return run(client, new_call(client, method, target), start, status);
}

/* ---- the peer ---- */

static void rules(host *h) {
    static const struct {
        int32_t rule;
        bool own;
    } all[] = {{HYSOCK_ALLOW_UID, true},
               {HYSOCK_ALLOW_UID, false},
               {HYSOCK_ALLOW_GID, true},
               {HYSOCK_ALLOW_GID, false},
               {HYSOCK_ALLOW_SELF, true}};
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        hysock_client *client = NULL;
        hysock_client_config *config = config_of(h);
        uint32_t id = all[i].rule == HYSOCK_ALLOW_GID ? getegid() : geteuid();
        id = all[i].rule == HYSOCK_ALLOW_SELF ? 0 : id + (all[i].own ? 0 : 54321);
        CHECK_OK(hysock_client_config_allow(config, all[i].rule, id));
        CHECK_OK(hysock_client_new(h->runtime, h->path, HYSOCK_NTS, config, &client, ERR));
        hysock_client_config_free(config);
        for (int start = 0; start < 2; start++) {
            char who[64];
            long before = latch_count(&seen);
            hysock_call *call =
                ask(client, "GET", "/", start, all[i].own ? HYSOCK_OK : HYSOCK_E_FORBIDDEN);
            if (!all[i].own) {
                snprintf(who, sizeof(who), "uid %u (gid %u, pid %d)", geteuid(), getegid(),
                         (int)getpid());
                CHECK_ERR(HYSOCK_E_FORBIDDEN, who);
                CHECK_ERR(HYSOCK_E_FORBIDDEN, h->path);
                CHECK_INT(latch_count(&seen), before);
            }
            hysock_call_free(call);
        }
        hysock_client_free(client);
    }
    hysock_client *client = NULL;
    hysock_client_config *config = hysock_client_config_new();
    CHECK_STATUS(hysock_client_config_allow(config, 99, 0), HYSOCK_E_INVALID_ARGUMENT);
    CHECK_STATUS(hysock_client_new(NULL, h->path, HYSOCK_NTS, config, &client, ERR),
                 HYSOCK_E_INVALID_ARGUMENT); /* it fails closed */
    CHECK_ERR(HYSOCK_E_INVALID_ARGUMENT, "hysock_client_config_allow");
    hysock_client_config_free(config);
}

static void peer_is_me(const hysock_call *call) {
    hysock_peer peer;
    CHECK_OK(hysock_call_peer(call, &peer, sizeof(peer), ERR));
    CHECK_INT(peer.state, HYSOCK_PEER_KNOWN);
    CHECK_INT(peer.uid, geteuid());
    CHECK_INT(peer.gid, getegid());
    CHECK_INT(peer.pid, getpid());
    CHECK_STATUS(hysock_call_peer(call, &peer, 3, ERR), HYSOCK_E_INVALID_ARGUMENT);
}

static void peers(host *h) {
    hysock_peer peer;
    hysock_client *client = host_client(h);
    for (int start = 0; start < 2; start++) {
        hysock_call *call = new_call(client, "GET", "/");
        CHECK_STATUS(hysock_call_peer(call, &peer, sizeof(peer), ERR), HYSOCK_E_STATE);
        CHECK_INT(hysock_call_peer_pidfd(call, ERR), HYSOCK_E_STATE);
        run(client, call, start, HYSOCK_OK);
        peer_is_me(call);
        CHECK_OK(hysock_call_peer(call, &peer, sizeof(peer), ERR));
        CHECK_INT(peer.groups_state, HYSOCK_PEER_KNOWN);
        int32_t pidfd = hysock_call_peer_pidfd(call, ERR);
        CHECK(pidfd >= 0 || pidfd == HYSOCK_E_UNSUPPORTED);
        if (pidfd >= 0)
            close(pidfd);
        hysock_call_free(call);
    }
    hysock_client_free(client);
    client = NULL;
    CHECK_OK(hysock_client_new(NULL, "/nowhere/at/all", HYSOCK_NTS, NULL, &client, ERR));
    hysock_call *call = ask(client, "GET", "/", false, HYSOCK_E_ABSENT);
    CHECK_STATUS(hysock_call_peer(call, &peer, sizeof(peer), ERR), HYSOCK_E_STATE);
    hysock_call_free(call);
    hysock_client_free(client);
    /* The one shot has closed its connection: who it was is still known. */
    CHECK_OK(hysock_get(h->path, HYSOCK_NTS, &call, ERR));
    peer_is_me(call);
    CHECK_INT(hysock_call_peer_pidfd(call, ERR), HYSOCK_E_CLOSED);
    hysock_call_free(call);
}

/* ---- a server that is not up yet ---- */

static void *come_up(void *argument) {
    host *h = argument;
    take_ms(150);
    host_serve(h, NULL, handler, NULL, NULL);
    return NULL;
}

static void absent(void) {
    for (int start = 0; start < 2; start++) {
        host h;
        hysock_client *client = NULL;
        host_open(&h, delivery, NULL);
        hysock_client_config *config = config_of(&h);
        CHECK_OK(hysock_client_config_set_wait_absent(config, 100));
        CHECK_OK(hysock_client_new(h.runtime, h.path, HYSOCK_NTS, config, &client, ERR));
        int64_t began = now_ms();
        hysock_call_free(ask(client, "GET", "/", start, HYSOCK_E_ABSENT));
        CHECK_ERR(HYSOCK_E_ABSENT, "tried for");
        CHECK(now_ms() - began >= 100 && now_ms() - began < check_ms(400));
        hysock_client_free(client);

        CHECK_OK(hysock_client_config_set_wait_absent(config, HYSOCK_FOREVER));
        CHECK_OK(hysock_client_new(h.runtime, h.path, HYSOCK_NTS, config, &client, ERR));
        hysock_client_config_free(config);
        hysock_call *call = new_call(client, "GET", "/");
        CHECK_OK(hysock_call_set_timeout(call, 120));
        hysock_call_free(run(client, call, start, HYSOCK_E_TIMED_OUT));
        /* A cancel ends the wait. */
        completion c;
        completion_new(&c, client, delivery, "/");
        completion_start(&c);
        CHECK_OK(hysock_call_cancel(c.call, ERR));
        completion_await(&c, HYSOCK_E_CANCELLED);
        hysock_call_free(c.call);

        pthread_t thread = thread_start(come_up, &h);
        call = ask(client, "GET", "/up", start, HYSOCK_OK);
        body_is(call, "GET /up 0");
        hysock_call_free(call);
        thread_join(thread);
        hysock_client_free(client);
        host_stop(&h);
    }
}

/* ---- a connection that is there already ---- */

static void *answer_all(void *argument) {
    raw r;
    raw_adopt(&r, *(int *)argument);
    for (size_t head; (head = raw_head(&r)) != 0;) {
        bool last = memmem(r.data, head, "/last", 5) != NULL;
        bool unread = memmem(r.data, head, "/more", 5) != NULL;
        raw_take(&r, head);
        /* In one piece: what comes later a blocking client sees only when it looks again. */
        raw_text(&r, unread ? "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
                              "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nbad"
                            : "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        if (last)
            break;
    }
    raw_close(&r);
    return NULL;
}

static hysock_client *given(host *h, int ends[2]) {
    hysock_client *client = NULL;
    hysock_client_config *config = config_of(h);
    CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) == 0);
    CHECK_OK(hysock_client_new_fd(h->runtime, ends[0], config, &client, ERR));
    hysock_client_config_free(config);
    return client;
}

static void one_connection(host *h) {
    int ends[2];
    hysock_client *client = given(h, ends);
    pthread_t server = thread_start(answer_all, &ends[1]);
    completion many[20];
    for (int i = 0; i < 20; i++) {
        completion_new(&many[i], client, delivery, "/many");
        completion_start(&many[i]);
        if (i % 4 == 0)
            hysock_call_free(ask(client, "GET", "/between", false, HYSOCK_OK));
    }
    for (int i = 0; i < 20; i++) {
        completion_await(&many[i], HYSOCK_OK);
        body_is(many[i].call, "ok");
        hysock_call_free(many[i].call);
    }
    hysock_call *call = ask(client, "GET", "/last", true, HYSOCK_OK);
    peer_is_me(call);
    hysock_call_free(call);
    thread_join(server);
    for (int i = 0; i < 4; i++)
        hysock_call_free(ask(client, "GET", "/after", i % 2, HYSOCK_E_CLOSED));
    hysock_client_free(client);

    client = given(h, ends);
    server = thread_start(answer_all, &ends[1]);
    hysock_call_free(ask(client, "GET", "/more", false, HYSOCK_OK));
    call = new_call(client, "GET", "/x");
    hysock_status status = hysock_call_perform(call, ERR);
    CHECK(status == HYSOCK_E_PROTOCOL || status == HYSOCK_E_CLOSED); /* never the other's answer */
    hysock_call_free(call);
    hysock_client_free(client);
    thread_join(server);
}

static void bad_descriptors(host *h) {
    int ends[2], pipes[2];
    hysock_client *client = NULL;
    CHECK_STATUS(hysock_client_new_fd(NULL, -1, NULL, &client, ERR), HYSOCK_E_INVALID_ARGUMENT);
    CHECK(pipe(pipes) == 0);
    CHECK_STATUS(hysock_client_new_fd(NULL, pipes[0], NULL, &client, ERR), HYSOCK_E_WRONG_TYPE);
    CHECK(fcntl(pipes[0], F_GETFD) < 0); /* consumed */
    close(pipes[1]);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK_STATUS(hysock_client_new_fd(h->runtime, fd, NULL, &client, ERR),
                 HYSOCK_E_INVALID_ARGUMENT);
    CHECK_ERR(HYSOCK_E_INVALID_ARGUMENT, "not connected");
    CHECK(fcntl(fd, F_GETFD) < 0);
    hysock_client_config *config = hysock_client_config_new();
    CHECK_OK(hysock_client_config_allow(config, HYSOCK_ALLOW_UID, geteuid() + 1));
    CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
    CHECK_STATUS(hysock_client_new_fd(h->runtime, ends[0], config, &client, ERR),
                 HYSOCK_E_FORBIDDEN);
    CHECK(client == NULL);
    CHECK(fcntl(ends[0], F_GETFD) < 0);
    hysock_client_config_free(config);
    close(ends[1]);
    CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
    CHECK_STATUS(hysock_client_new_fd(h->runtime, ends[0], NULL, NULL, ERR),
                 HYSOCK_E_INVALID_ARGUMENT);
    CHECK(fcntl(ends[0], F_GETFD) < 0);
    close(ends[1]);
    /* A client that ends closes its connection. */
    CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
    CHECK_OK(hysock_client_new_fd(h->runtime, ends[0], NULL, &client, ERR));
    hysock_client_free(client);
    raw r;
    raw_adopt(&r, ends[1]);
    CHECK(raw_closes(&r, check_ms(DEADLINE_MS)));
    raw_close(&r);
}

/* ---- redirects ---- */

static void redirects(host *h) {
    hysock_client *client = NULL, *plain = host_client(h);
    hysock_client_config *config = config_of(h);
    CHECK_OK(hysock_client_config_set_max_redirects(config, 5));
    CHECK_OK(hysock_client_new(h->runtime, h->path, HYSOCK_NTS, config, &client, ERR));
    CHECK_STATUS(hysock_client_config_set_max_redirects(config, 51), HYSOCK_E_INVALID_ARGUMENT);
    hysock_client_config_free(config);
    static const struct {
        const char *method, *target, *body;
    } followed[] = {
        {"GET", "/301?/b", "GET /b 0"},
        {"GET", "/302?c/../d", "GET /d 0"},
        {"GET", "/302?http://localhost/e?x", "GET /e 0"},
        {"POST", "/301?/b", "GET /b 0"},
        {"POST", "/302?/b", "GET /b 0"},
        {"PUT", "/302?/b", "PUT /b 3"},
        {"PUT", "/303?/b", "GET /b 0"},
        {"POST", "/307?/b", "POST /b 3"},
        {"POST", "/308?/b", "POST /b 3"},
        {"GET", "/301?/302?/303?/307?/308?/b", "GET /b 0"},
        {"GET", "/300?/b", "moved"},
        {"GET", "/nowhere", ""},
    };
    for (int start = 0; start < 2; start++) {
        for (size_t i = 0; i < sizeof(followed) / sizeof(followed[0]); i++) {
            hysock_call *call = new_call(client, followed[i].method, followed[i].target);
            if (followed[i].method[0] == 'P')
                CHECK_OK(hysock_call_set_body(call, "x/y", "abc", 3));
            run(client, call, start, HYSOCK_OK);
            body_is(call, followed[i].body);
            hysock_call_free(call);
        }
        hysock_call_free(ask(client, "GET", "/loop", start, HYSOCK_E_TOO_LARGE));
        CHECK_ERR(HYSOCK_E_TOO_LARGE, "set_max_redirects");
        hysock_call_free(ask(client, "GET", "/302?http://example.org/x", start, HYSOCK_E_PROTOCOL));
        CHECK_ERR(HYSOCK_E_PROTOCOL, "http://example.org/x");
        hysock_call_free(ask(client, "GET", "/302?ftp://localhost/", start, HYSOCK_E_PROTOCOL));
        /* Off by default. */
        hysock_call *call = ask(plain, "GET", "/302?/b", start, HYSOCK_OK);
        CHECK_INT(hysock_call_http_status(call), 302);
        hysock_call_free(call);
    }
    hysock_client_free(client);
    hysock_client_free(plain);
}

/* ---- long heads ---- */

static void *long_heads(void *argument) {
    char *value = malloc(70000);
    CHECK(value != NULL);
    for (int i = 0; i < 6; i++) {
        raw r;
        size_t len = i % 3 == 0 ? 7000 : i % 3 == 1 ? 60000 : 69000;
        raw_accept(&r, *(int *)argument);
        CHECK(raw_head(&r) > 0);
        memset(value, 'x', len);
        raw_text(&r, "HTTP/1.1 204 No\r\nConnection: close\r\nX: ");
        raw_send_some(&r, value, len, false);
        raw_send_some(&r, "\r\n\r\n", 4, false);
        raw_close(&r);
    }
    free(value);
    return NULL;
}

static void heads(void) {
    host h;
    host_open(&h, delivery, NULL);
    int listener = raw_listen(h.path);
    pthread_t server = thread_start(long_heads, &listener);
    static const hysock_status expected[] = {HYSOCK_OK, HYSOCK_OK,          HYSOCK_E_TOO_LARGE,
                                             HYSOCK_OK, HYSOCK_E_TOO_LARGE, HYSOCK_E_TOO_LARGE};
    for (int i = 0; i < 6; i++) {
        hysock_client *client = NULL;
        hysock_client_config *config = config_of(&h);
        if (i >= 3)
            CHECK_OK(hysock_client_config_set_max_head(config, 8192));
        CHECK_OK(hysock_client_new(h.runtime, h.path, HYSOCK_NTS, config, &client, ERR));
        hysock_client_config_free(config);
        hysock_call_free(ask(client, "GET", "/", i % 2, expected[i]));
        if (expected[i] != HYSOCK_OK)
            CHECK_ERR(HYSOCK_E_TOO_LARGE, "set_max_head");
        hysock_client_free(client);
    }
    thread_join(server);
    close(listener);
    host_stop(&h);
}

int main(int argc, char **argv) {
    check_start();
    delivery = delivery_parse(argc, argv);
    latch_init(&seen);
    host h;
    host_start(&h, delivery, handler, NULL);
    rules(&h);
    peers(&h);
    one_connection(&h);
    bad_descriptors(&h);
    redirects(&h);
    host_stop(&h);
    absent();
    heads();
    return check_end();
}
