/* Fork before there are threads: a daemon that opens its socket first, and servers in several
 * processes that share one listening descriptor. */
#include "host.h"

#include <sys/wait.h>

#define CHILDREN 3

static hysock_server *ends_by_signal;

static void on_term(int number) {
    (void)number;
    hysock_server_shutdown_signal(ends_by_signal);
}

/* A SIGTERM that comes before a child can handle it waits. */
static void hold_back(int how) {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    CHECK(sigprocmask(how, &set, NULL) == 0);
}

static void answer_pid(hysock_exchange *exchange, void *userdata) {
    char text[16];
    (void)userdata;
    CHECK(snprintf(text, sizeof(text), "%d", (int)getpid()) < (int)sizeof(text));
    answer_text(exchange, 200, text);
}

/* What a child is: a runtime and a server of its own on the descriptor, until SIGTERM. */
static void serve(int fd, int32_t adopt) {
    hysock_runtime *runtime;
    alarm(120); /* a child that hangs ends, and the test with it */
    CHECK_OK(hysock_runtime_new(NULL, &runtime, ERR));
    CHECK_OK(hysock_server_new(runtime, NULL, &ends_by_signal, ERR));
    CHECK_OK(hysock_server_add_route(ends_by_signal, "GET", "/", answer_pid, NULL, NULL, ERR));
    CHECK_OK(hysock_server_add_listener_fd(ends_by_signal, fd, adopt, NULL, ERR));
    CHECK(signal(SIGTERM, on_term) != SIG_ERR);
    CHECK_OK(hysock_server_start(ends_by_signal, ERR));
    hold_back(SIG_UNBLOCK);
    CHECK_OK(hysock_server_wait(ends_by_signal, HYSOCK_FOREVER, ERR));
    hysock_server_free(ends_by_signal);
    CHECK_OK(hysock_runtime_shutdown(runtime, 0, ERR));
    CHECK_OK(hysock_runtime_wait(runtime, (uint32_t)check_ms(DEADLINE_MS), ERR));
    hysock_runtime_free(runtime);
    CHECK_INT(hysock_handles_live(HYSOCK_KIND_ANY), 0);
}

static pid_t fork_server(int fd, int32_t adopt) {
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        serve(fd, adopt);
        _exit(0);
    }
    return child;
}

static void end_server(pid_t child) {
    int status;
    CHECK(kill(child, SIGTERM) == 0);
    CHECK(waitpid(child, &status, 0) == child);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

/* The pid of who answers, on a connection of its own. */
static pid_t ask(const char *path) {
    hysock_client *client;
    CHECK_OK(hysock_client_new(NULL, path, HYSOCK_NTS, NULL, &client, ERR));
    hysock_call *call = new_call(client, "GET", "/");
    CHECK_OK(hysock_call_set_timeout(call, (uint32_t)check_ms(DEADLINE_MS)));
    CHECK_OK(hysock_call_perform(call, ERR));
    CHECK_INT(hysock_call_http_status(call), 200);
    pid_t pid = (pid_t)atoi(hysock_call_body(call).ptr);
    hysock_call_free(call);
    hysock_client_free(client);
    return pid;
}

static void daemonize_first(void) {
    char path[108];
    int32_t fd;
    temp_path(path, "daemon");
    CHECK_OK(hysock_listener_open(path, HYSOCK_NTS, NULL, &fd, ERR));
    pid_t daemon = fork_server(fd, HYSOCK_ADOPT_OWN);
    CHECK(close(fd) == 0);
    CHECK_INT(ask(path), daemon); /* which may not even have begun */
    hysock_client *client;
    CHECK_OK(hysock_client_new(NULL, path, HYSOCK_NTS, NULL, &client, ERR));
    hysock_call *call = new_call(client, "GET", "/");
    hysock_peer peer;
    CHECK_OK(hysock_call_perform(call, ERR));
    CHECK_OK(hysock_call_peer(call, &peer, sizeof(peer), ERR));
    CHECK_INT(peer.pid, daemon); /* not this process, which has opened the socket */
    hysock_call_free(call);
    hysock_client_free(client);
    end_server(daemon);
    CHECK(access(path, F_OK) != 0);
}

static void prefork(void) {
    char path[108];
    int32_t fd;
    pid_t children[CHILDREN + 1];
    temp_path(path, "prefork");
    CHECK_OK(hysock_listener_open(path, HYSOCK_NTS, NULL, &fd, ERR));
    for (int i = 0; i < CHILDREN; i++)
        children[i] = fork_server(fd, HYSOCK_ADOPT_KEEP);
    for (int i = 0; i < 20; i++) {
        pid_t pid = ask(path);
        CHECK(pid == children[0] || pid == children[1] || pid == children[2]);
    }
    /* One ends in peace, one does not; the rest serve on, and a new one joins them. */
    end_server(children[0]);
    int status;
    CHECK(kill(children[1], SIGKILL) == 0 && waitpid(children[1], &status, 0) == children[1]);
    CHECK_INT(ask(path), children[2]);
    children[3] = fork_server(fd, HYSOCK_ADOPT_KEEP);
    end_server(children[2]);
    CHECK_INT(ask(path), children[3]);
    end_server(children[3]);
    /* Without a server clients wait in the backlog; the file is the parent's. */
    CHECK(access(path, F_OK) == 0);
    CHECK(close(fd) == 0 && unlink(path) == 0);
}

int main(void) {
    check_start();
    hold_back(SIG_BLOCK);
    daemonize_first();
    prefork();
    /* This process has made no runtime until now, and still may. */
    host h;
    host_start(&h, POOL, answer_pid, NULL);
    CHECK_INT(ask(h.path), getpid());
    host_stop(&h);
    return check_end();
}
