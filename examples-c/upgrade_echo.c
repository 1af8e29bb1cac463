/* Teaches: leaving HTTP. A client asks for another protocol, and both sides have a plain
 * connection.
 *
 *   upgrade_echo SOCKET
 *   printf 'GET / HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\nhello' |
 *       nc -UN SOCKET        a 101, then what was sent comes back
 *
 * After the 101 the library gives the descriptor away: blocking, for a thread of its own here, or
 * for an event loop that makes it non-blocking. The exchange stands for the session: as long as it
 * is not freed, the server's end waits for it.
 */
#define _POSIX_C_SOURCE 200809L
#include <hysock.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static hysock_server *server; /* set before the signal handler that reads it is installed */

struct session {
    hysock_exchange *exchange;
    int fd;
};

static void fail(const char *what, const hysock_error *err) {
    fprintf(stderr, "upgrade_echo: %s: %s\n", what, err->message);
    exit(1);
}

/* MSG_NOSIGNAL: a client that has left is an error here, and no SIGPIPE for the whole program. */
static int send_all(int fd, const char *data, size_t len) {
    while (len > 0) {
        ssize_t n = send(fd, data, len, MSG_NOSIGNAL);
        if (n < 0)
            return -1;
        data += n;
        len -= (size_t)n;
    }
    return 0;
}

static void *echo(void *argument) {
    struct session *s = argument;
    char data[16384];
    ssize_t n;

    /* Until the client ends its side, or the server's drain is over: then this gives 0 too. */
    while ((n = read(s->fd, data, sizeof data)) > 0)
        if (send_all(s->fd, data, (size_t)n) < 0)
            break;
    /* The client may still read: its half of the connection ends here. */
    send_all(s->fd, "bye\n", 4);
    close(s->fd);
    hysock_exchange_free(s->exchange); /* the session is over */
    free(s);
    return NULL;
}

/* The connection is ours: `fd` to close, the exchange to free. -1: the client has left before. */
static void on_upgrade(hysock_exchange *exchange, int32_t fd, hysock_str early, void *userdata) {
    struct session *s = malloc(sizeof *s);
    pthread_t thread;
    (void)userdata;

    /* What the client has sent behind its request has been read already, and comes first. */
    if (fd >= 0 && s != NULL && send_all(fd, early.ptr, early.len) == 0) {
        s->exchange = exchange;
        s->fd = fd;
        if (pthread_create(&thread, NULL, echo, s) == 0) {
            pthread_detach(thread);
            return;
        }
    }
    if (fd >= 0)
        close(fd);
    hysock_exchange_free(exchange);
    free(s);
}

static void handler(hysock_exchange *exchange, void *userdata) {
    static const char text[] = "this daemon speaks echo: Connection: upgrade, Upgrade: echo\n";
    hysock_error err;
    (void)userdata;
    if (hysock_exchange_upgrade(exchange, "echo", on_upgrade, NULL, NULL, &err) == HYSOCK_OK)
        return;
    /* Refused, so nothing was sent: an ordinary answer. 426 says what to ask for. */
    hysock_exchange_set_header(exchange, "upgrade", "echo", HYSOCK_NTS);
    hysock_exchange_set_header(exchange, "connection", "upgrade", HYSOCK_NTS);
    hysock_exchange_answer(exchange, 426, "text/plain", text, strlen(text), NULL);
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
        perror("upgrade_echo: sigaction");
        exit(1);
    }
}

int main(int argc, char **argv) {
    hysock_error err;
    hysock_runtime *runtime;

    if (argc != 2) {
        fprintf(stderr, "usage: upgrade_echo SOCKET\n");
        return 2;
    }
    if (hysock_runtime_new(NULL, &runtime, &err) != HYSOCK_OK ||
        hysock_server_serve(runtime, argv[1], HYSOCK_NTS, NULL, handler, NULL, NULL, &server,
                            &err) != HYSOCK_OK)
        fail("serve", &err);
    end_on(SIGTERM);
    end_on(SIGINT);
    printf("listening on %s\n", argv[1]);
    fflush(stdout);

    /* Sessions are waited for, up to the config's drain time; then their connections are ended. */
    if (hysock_server_wait(server, HYSOCK_FOREVER, &err) != HYSOCK_OK)
        fail("wait", &err);
    hysock_server_free(server);
    if (hysock_runtime_shutdown(runtime, 0, &err) != HYSOCK_OK ||
        hysock_runtime_wait(runtime, HYSOCK_FOREVER, &err) != HYSOCK_OK)
        fail("end", &err);
    hysock_runtime_free(runtime);
    return 0;
}
