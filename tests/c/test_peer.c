/* Who sends a request, and who may: the snapshot of a peer, and allow rules.
 *
 * As root it also connects as other users; otherwise it says that it could not. */
#include "host.h"

#include <fcntl.h>
#include <grp.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#define GET "GET %s HTTP/1.1\r\nHost: x\r\n\r\n"
#define REFUSED(call) CHECK_STATUS(call, HYSOCK_E_INVALID_ARGUMENT)
enum { OTHER = 54321, GROUP = 54399 }; /* nobody has these ids */

static latch arrived;
static hysock_exchange *kept[4];

/* /kept stays unanswered, all else is answered at once. */
static void handler(hysock_exchange *exchange, void *userdata) {
    (void)userdata;
    if (hysock_str_equal(hysock_exchange_path(exchange), "/kept")) {
        CHECK_OK(hysock_exchange_defer(exchange, ERR));
        kept[latch_count(&arrived)] = exchange;
        latch_add(&arrived, 1);
        return;
    }
    answer_or_closed(exchange, "x", 1);
}

static void end_kept(int i) {
    answer_or_closed(kept[i], "late", 4);
    hysock_exchange_free(kept[i]);
}

static void ask(raw *r, const char *path, const char *target) {
    char request[256];
    snprintf(request, sizeof(request), GET, target);
    raw_open(r, path);
    raw_text(r, request);
}

/* ---- the snapshot ---- */

static void is_me(const hysock_peer *peer) {
    gid_t mine[65536 / 4];
    int count = getgroups(sizeof(mine) / sizeof(mine[0]), mine);
    CHECK_INT(peer->state, HYSOCK_PEER_KNOWN);
    CHECK_INT(peer->uid, geteuid());
    CHECK_INT(peer->gid, getegid());
    CHECK_INT(peer->pid, getpid());
    CHECK_INT(peer->groups_state, HYSOCK_PEER_KNOWN);
    CHECK_INT(peer->group_count, count);
    CHECK((peer->groups == NULL) == (count == 0));
    for (int i = 0; i < count; i++) {
        int found = 0;
        for (uint32_t j = 0; j < peer->group_count; j++)
            found += peer->groups[j] == mine[i];
        CHECK(found > 0);
    }
    if (peer->label_state == HYSOCK_PEER_KNOWN)
        CHECK(peer->label.len > 0);
    else
        CHECK(peer->label_state == HYSOCK_PEER_UNSUPPORTED && peer->label.ptr == NULL);
    CHECK_INT(peer->reserved, 0);
}

/* A pidfd leads to the process, or this kernel has none. */
static void is_pidfd_of(int32_t fd, pid_t pid) {
    char path[64], text[1024], line[32];
    if (fd == HYSOCK_E_UNSUPPORTED) {
        CHECK_ERR(HYSOCK_E_UNSUPPORTED, "6.5");
        return;
    }
    CHECK(fd >= 0);
    CHECK(fcntl(fd, F_GETFD) & FD_CLOEXEC);
    snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", (int)fd);
    int info = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = read(info, text, sizeof(text) - 1);
    CHECK(n > 0);
    text[n] = 0;
    snprintf(line, sizeof(line), "\nPid:\t%d\n", (int)pid);
    CHECK(strstr(text, line) != NULL);
    close(info);
    close(fd);
}

static void sizes(hysock_exchange *exchange) {
    struct {
        hysock_peer peer;
        unsigned char later[24];
    } room;
    memset(&room, 0xff, sizeof(room));
    CHECK_OK(hysock_exchange_peer(exchange, &room.peer, sizeof(room), ERR));
    is_me(&room.peer);
    for (size_t i = 0; i < sizeof(room.later); i++)
        CHECK_INT(room.later[i], 0);
    size_t bad[] = {0, sizeof(hysock_peer) - 1, 4097, SIZE_MAX};
    for (int i = 0; i < 4; i++) {
        REFUSED(hysock_exchange_peer(exchange, &room.peer, bad[i], ERR));
        CHECK_ERR(HYSOCK_E_INVALID_ARGUMENT, "sizeof");
    }
}

/* The peer of a process that has ended, and with it its connection. */
static void gone(host *h) {
    hysock_peer peer;
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        raw r;
        ask(&r, h->path, "/kept");
        pause();
    }
    LATCH_AWAIT(&arrived, 2);
    CHECK(kill(child, SIGKILL) == 0 && waitpid(child, NULL, 0) == child);
    int64_t end = now_ms() + check_ms(DEADLINE_MS);
    while (hysock_exchange_answer(kept[1], 200, NULL, "x", 1, ERR) != HYSOCK_E_CLOSED &&
           check_error.status != HYSOCK_E_STATE)
        CHECK(now_ms() < end);
    CHECK_OK(hysock_exchange_peer(kept[1], &peer, sizeof(peer), ERR));
    CHECK_INT(peer.state, HYSOCK_PEER_KNOWN);
    CHECK_INT(peer.pid, child);
    CHECK(peer.groups_state == HYSOCK_PEER_KNOWN || peer.groups_state == HYSOCK_PEER_GONE);
    int32_t fd = hysock_exchange_peer_pidfd(kept[1], ERR);
    CHECK(fd >= 0 || fd == HYSOCK_E_CLOSED || fd == HYSOCK_E_UNSUPPORTED);
    if (fd >= 0)
        close(fd); /* this kernel keeps the record of a process that has ended */
    hysock_exchange_free(kept[1]);
}

static void snapshot(void) {
    host h;
    raw r;
    hysock_peer peer, again;
    latch_add(&arrived, -latch_count(&arrived));
    host_start(&h, POOL, handler, NULL);
    ask(&r, h.path, "/kept");
    LATCH_AWAIT(&arrived, 1);
    CHECK_OK(hysock_exchange_peer(kept[0], &peer, sizeof(peer), ERR));
    is_me(&peer);
    CHECK_OK(hysock_exchange_peer(kept[0], &again, sizeof(again), ERR));
    CHECK(again.groups == peer.groups); /* the same text, not asked again */
    CHECK(again.label.ptr == peer.label.ptr);
    sizes(kept[0]);
    is_pidfd_of(hysock_exchange_peer_pidfd(kept[0], ERR), getpid());
    gone(&h);
    end_kept(0);
    CHECK_INT(raw_status(&r), 200);
    raw_close(&r);
    CHECK_STATUS(hysock_exchange_peer(kept[0], &peer, sizeof(peer), ERR), HYSOCK_E_BAD_HANDLE);
    CHECK_STATUS(hysock_exchange_peer_pidfd(kept[0], ERR), HYSOCK_E_BAD_HANDLE);
    host_stop(&h);
}

/* ---- rules that cannot be ---- */

typedef hysock_status setter(void *, int32_t, uint32_t);
static hysock_status of_listener(void *config, int32_t rule, uint32_t id) {
    return hysock_listener_config_allow(config, rule, id);
}
static hysock_status of_server(void *config, int32_t rule, uint32_t id) {
    return hysock_server_config_allow(config, rule, id);
}
static hysock_status of_route(void *server, int32_t rule, uint32_t id) {
    return hysock_server_allow_route(server, "GET", "/x", rule, id, ERR);
}

static void refuses_nonsense(setter *set, void *handle) {
    REFUSED(set(handle, 0, 0));
    REFUSED(set(handle, 5, 0));
    REFUSED(set(handle, -1, 0));
    REFUSED(set(handle, HYSOCK_ALLOW_UID, UINT32_MAX));
    REFUSED(set(handle, HYSOCK_ALLOW_GID, UINT32_MAX));
    REFUSED(set(handle, HYSOCK_ALLOW_SELF, 1));
    REFUSED(set(handle, HYSOCK_ALLOW_ROOT, 1));
    CHECK_OK(set(handle, HYSOCK_ALLOW_ROOT, 0)); /* makes up for nothing */
}

/* A rule that was refused lets nobody in: nothing starts without it. */
static void fails_closed(void) {
    host h;
    hysock_server *server = NULL;
    host_open(&h, POOL, NULL);
    hysock_server_config *config = host_server_config(&h);
    refuses_nonsense(of_server, config);
    REFUSED(hysock_server_new(h.runtime, config, &server, ERR));
    CHECK_ERR(HYSOCK_E_INVALID_ARGUMENT, "hysock_server_config_allow: 0 is not");
    hysock_server_config_free(config);

    CHECK_OK(hysock_server_new(h.runtime, NULL, &server, ERR));
    hysock_listener_config *listener = hysock_listener_config_new();
    refuses_nonsense(of_listener, listener);
    REFUSED(hysock_server_add_listener(server, h.path, HYSOCK_NTS, listener, ERR));
    CHECK_ERR(HYSOCK_E_INVALID_ARGUMENT, "hysock_listener_config_allow: 0 is not");
    hysock_listener_config_free(listener);
    CHECK(access(h.path, F_OK) != 0);

    REFUSED(of_route(server, HYSOCK_ALLOW_ROOT, 0));
    CHECK_ERR(HYSOCK_E_INVALID_ARGUMENT, "no route for GET /x");
    CHECK_OK(hysock_server_add_route(server, "GET", "/x", handler, NULL, NULL, ERR));
    refuses_nonsense(of_route, server);
    CHECK_OK(hysock_server_add_listener(server, h.path, HYSOCK_NTS, NULL, ERR));
    REFUSED(hysock_server_start(server, ERR));
    CHECK_ERR(HYSOCK_E_INVALID_ARGUMENT, "no route for GET /x");
    hysock_server_free(server);
    host_stop(&h);
}

/* ---- rules ---- */

typedef struct rule {
    int32_t rule;
    uint32_t id;
} rule;
#define NO_RULE ((rule){0, 0})
#define NOT_ME ((rule){HYSOCK_ALLOW_UID, OTHER})
#define ME ((rule){HYSOCK_ALLOW_SELF, 0})

/* A server with a rule of its listener, of its config, and of GET /admin. */
static void host_rules(host *h, rule listener_rule, rule server_rule, rule route_rule) {
    hysock_server_config *config = host_server_config(h);
    hysock_listener_config *listener = hysock_listener_config_new();
    CHECK_OK(hysock_listener_config_set_mode(listener, 0666));
    if (listener_rule.rule != 0)
        CHECK_OK(hysock_listener_config_allow(listener, listener_rule.rule, listener_rule.id));
    if (server_rule.rule != 0)
        CHECK_OK(hysock_server_config_allow(config, server_rule.rule, server_rule.id));
    CHECK_OK(hysock_server_config_set_max_connections(config, 2));
    CHECK_OK(hysock_server_new(h->runtime, config, &h->server, ERR));
    CHECK_OK(hysock_server_add_route(h->server, NULL, NULL, handler, NULL, NULL, ERR));
    CHECK_OK(hysock_server_add_route(h->server, "GET", "/admin", handler, NULL, NULL, ERR));
    if (route_rule.rule != 0)
        CHECK_OK(hysock_server_allow_route(h->server, "GET", "/admin", route_rule.rule,
                                           route_rule.id, ERR));
    CHECK_OK(hysock_server_add_listener(h->server, h->path, HYSOCK_NTS, listener, ERR));
    hysock_listener_config_free(listener);
    hysock_server_config_free(config);
    CHECK_OK(hysock_server_start(h->server, ERR));
    CHECK_STATUS(hysock_server_allow_route(h->server, "GET", "/admin", HYSOCK_ALLOW_ROOT, 0, ERR),
                 HYSOCK_E_STATE);
}

/* Asks for `target`, as a child with these ids when `uid` is not 0: the status. */
static int ask_as(const host *h, uid_t uid, gid_t gid, gid_t extra, const char *target) {
    int result[2], status = 0;
    if (uid == 0)
        return raw_get(h->path, target);
    CHECK(pipe(result) == 0);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        /* A path from here, since others may not walk through the folders above. */
        CHECK(chdir(check_dir) == 0 && setgroups(1, &extra) == 0);
        CHECK(syscall(SYS_setresgid, gid, gid, gid) == 0);
        CHECK(syscall(SYS_setresuid, uid, uid, uid) == 0);
        status = raw_get("sock", target);
        CHECK(write(result[1], &status, sizeof(status)) == sizeof(status));
        /* Not by an exit: a leak checker would report the threads that stayed behind. */
        kill(getpid(), SIGKILL);
    }
    close(result[1]);
    CHECK(raw_poll(result[0], POLLIN, 2 * check_ms(DEADLINE_MS)) != 0);
    CHECK(read(result[0], &status, sizeof(status)) == sizeof(status));
    close(result[0]);
    CHECK(waitpid(child, NULL, 0) == child);
    return status;
}

static void rules(rule listener, rule server, rule route, int status, int admin) {
    host h;
    host_open(&h, POOL, NULL);
    host_rules(&h, listener, server, route);
    CHECK_INT(raw_get(h.path, "/"), status);
    CHECK_INT(raw_get(h.path, "/admin"), admin);
    host_stop(&h);
}

static void rules_for_me(void) {
    rule my_uid = {HYSOCK_ALLOW_UID, geteuid()}, my_gid = {HYSOCK_ALLOW_GID, getegid()};
    rule root = {HYSOCK_ALLOW_ROOT, 0}, no_group = {HYSOCK_ALLOW_GID, GROUP};
    int as_root = geteuid() == 0 ? 200 : 403;
    rules(NO_RULE, NO_RULE, NO_RULE, 200, 200);
    rules(NOT_ME, NO_RULE, NO_RULE, 403, 403);
    rules(NO_RULE, NOT_ME, NO_RULE, 403, 403);
    rules(NO_RULE, NO_RULE, NOT_ME, 200, 403);
    rules(ME, NO_RULE, NOT_ME, 200, 403);
    rules(ME, NOT_ME, ME, 403, 403);
    rules(NOT_ME, ME, ME, 403, 403);
    rules(my_uid, my_gid, ME, 200, 200);
    rules(no_group, NO_RULE, NO_RULE, 403, 403);
    rules(root, NO_RULE, NO_RULE, as_root, as_root);
    rules(NO_RULE, NO_RULE, root, 200, as_root);
}

/* Other users, for whom the test must be root. */
static void rules_for_others(void) {
    if (geteuid() != 0) {
        dprintf(check_fd, "not root: rules were tried on this test's own user only\n");
        return;
    }
    static const struct {
        rule listener;
        uid_t uid;
        gid_t gid, extra;
        int status;
    } cases[] = {
        {{0, 0}, OTHER, OTHER, OTHER, 200},
        {{HYSOCK_ALLOW_SELF, 0}, OTHER, OTHER, OTHER, 403},
        {{HYSOCK_ALLOW_ROOT, 0}, OTHER, OTHER, OTHER, 403},
        {{HYSOCK_ALLOW_ROOT, 0}, 0, 0, 0, 200},
        {{HYSOCK_ALLOW_UID, OTHER}, OTHER, OTHER, OTHER, 200},
        {{HYSOCK_ALLOW_UID, OTHER}, OTHER + 1, OTHER, OTHER, 403},
        {{HYSOCK_ALLOW_UID, OTHER}, 0, 0, 0, 403}, /* root is nobody special */
        {{HYSOCK_ALLOW_GID, GROUP}, OTHER, GROUP, OTHER, 200},
        {{HYSOCK_ALLOW_GID, GROUP}, OTHER, OTHER, GROUP, 200}, /* supplementary */
        {{HYSOCK_ALLOW_GID, GROUP}, OTHER, OTHER, OTHER, 403},
    };
    CHECK(chmod(check_dir, 0711) == 0);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        host h;
        host_open(&h, POOL, NULL);
        host_rules(&h, cases[i].listener, NO_RULE, NO_RULE);
        int status = ask_as(&h, cases[i].uid, cases[i].gid, cases[i].extra, "/");
        if (status != cases[i].status)
            dprintf(check_fd, "case %zu\n", i);
        CHECK_INT(status, cases[i].status);
        host_stop(&h);
    }
    host h;
    host_open(&h, POOL, NULL);
    host_rules(&h, NO_RULE, NO_RULE, (rule){HYSOCK_ALLOW_GID, GROUP});
    CHECK_INT(ask_as(&h, OTHER, OTHER, OTHER, "/admin"), 403);
    CHECK_INT(ask_as(&h, OTHER, OTHER, OTHER, "/"), 200);
    CHECK_INT(ask_as(&h, OTHER, OTHER, GROUP, "/admin"), 200);
    host_stop(&h);
}

int main(void) {
    check_start();
    latch_init(&arrived);
    snapshot();
    fails_closed();
    rules_for_me();
    rules_for_others();
    return check_end();
}
