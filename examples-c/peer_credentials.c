/* Teaches: who is calling, by the kernel's word, and a route that only some may use.
 *
 *   peer_credentials SOCKET
 *   curl --unix-socket SOCKET http://localhost/         who you are, for everybody
 *   curl --unix-socket SOCKET http://localhost/admin    for root and the daemon's own user only
 *
 * The socket file lets every user connect (mode 0666), and rules decide what each may ask for.
 * Nobody can lie about it: the kernel noted user, groups and process when the client connected.
 */
#define _POSIX_C_SOURCE 200809L
#include <hysock.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static hysock_server *server; /* set before the signal handler that reads it is installed */

static void fail(const char *what, const hysock_error *err) {
    fprintf(stderr, "peer_credentials: %s: %s\n", what, err->message);
    exit(1);
}

static void answer(hysock_exchange *exchange, int32_t status, const char *text, size_t len) {
    hysock_error err;
    if (hysock_exchange_answer(exchange, status, "text/plain", text, len, &err) != HYSOCK_OK &&
        err.status != HYSOCK_E_CLOSED)
        fprintf(stderr, "peer_credentials: answer: %s\n", err.message);
}

/* Appends a word and a number to `text`, which has `size` bytes and stays as it is without room. */
static void append(char *text, size_t size, const char *word, uint32_t number) {
    size_t len = strlen(text);
    if (snprintf(text + len, size - len, "%s %u", word, number) >= (int)(size - len))
        text[len] = 0;
}

/* GET /: "uid 1000 gid 1000 pid 4711 groups 4 27", the groups being the supplementary ones. */
static void who(hysock_exchange *exchange, void *userdata) {
    static const char unknown[] = "the kernel does not know you\n";
    char text[1024] = "";
    hysock_error err;
    hysock_peer peer;
    uint32_t i;
    size_t len;
    (void)userdata;

    if (hysock_exchange_peer(exchange, &peer, sizeof peer, &err) != HYSOCK_OK) {
        fprintf(stderr, "peer_credentials: peer: %s\n", err.message);
        return; /* unanswered: the client gets a 500 */
    }
    /* OK says that the kernel was asked. Whoever decides by the answer looks at the state first. */
    if (peer.state != HYSOCK_PEER_KNOWN) {
        answer(exchange, 403, unknown, strlen(unknown));
        return;
    }
    append(text, sizeof text, "uid", peer.uid);
    append(text, sizeof text, " gid", peer.gid);
    append(text, sizeof text, " pid", (uint32_t)peer.pid); /* 0: not visible from here */
    for (i = 0; i < peer.group_count; i++)                 /* 0 as well when not known */
        append(text, sizeof text, i == 0 ? " groups" : "", peer.groups[i]);
    len = strlen(text);
    text[len++] = '\n'; /* in the place of the NUL: an answer has a length instead */
    answer(exchange, 200, text, len);
}

/* GET /admin: whoever gets here may. For all others the library answers 403. */
static void admin(hysock_exchange *exchange, void *userdata) {
    static const char text[] = "at your service\n";
    (void)userdata;
    answer(exchange, 200, text, strlen(text));
}

static void on_signal(int number) {
    (void)number;
    hysock_server_shutdown_signal(server);
}

static void end_on(int number) {
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = on_signal;
    sigemptyset(&action.sa_mask);
    action.sa_flags = SA_RESTART;
    if (sigaction(number, &action, NULL) != 0) {
        perror("peer_credentials: sigaction");
        exit(1);
    }
}

int main(int argc, char **argv) {
    hysock_error err;
    hysock_runtime *runtime;
    hysock_listener_config *listener;

    if (argc != 2) {
        fprintf(stderr, "usage: peer_credentials SOCKET\n");
        return 2;
    }
    if (hysock_runtime_new(NULL, &runtime, &err) != HYSOCK_OK ||
        hysock_server_new(runtime, NULL, &server, &err) != HYSOCK_OK)
        fail("server", &err);

    /* A route without rules is open to all; with the first rule, only to those whom one names. */
    if (hysock_server_add_route(server, "GET", "/", who, NULL, NULL, &err) != HYSOCK_OK ||
        hysock_server_add_route(server, "GET", "/admin", admin, NULL, NULL, &err) != HYSOCK_OK ||
        hysock_server_allow_route(server, "GET", "/admin", HYSOCK_ALLOW_SELF, 0, &err) !=
            HYSOCK_OK ||
        hysock_server_allow_route(server, "GET", "/admin", HYSOCK_ALLOW_ROOT, 0, &err) != HYSOCK_OK)
        fail("routes", &err);

    /* hysock_listener_config_allow would keep others from connecting at all, in the same way. */
    listener = hysock_listener_config_new();
    hysock_listener_config_set_mode(listener, 0666);
    if (hysock_server_add_listener(server, argv[1], HYSOCK_NTS, listener, &err) != HYSOCK_OK ||
        hysock_server_start(server, &err) != HYSOCK_OK)
        fail("listen", &err);
    hysock_listener_config_free(listener);

    end_on(SIGTERM);
    end_on(SIGINT);
    printf("listening on %s\n", argv[1]);
    fflush(stdout);

    if (hysock_server_wait(server, HYSOCK_FOREVER, &err) != HYSOCK_OK)
        fail("wait", &err);
    hysock_server_free(server);
    if (hysock_runtime_shutdown(runtime, 0, &err) != HYSOCK_OK ||
        hysock_runtime_wait(runtime, HYSOCK_FOREVER, &err) != HYSOCK_OK)
        fail("end", &err);
    hysock_runtime_free(runtime);
    return 0;
}
