/* Teaches: a daemon on a socket that the service manager made.
 *
 *   systemd-socket-activate --listen=/tmp/x.sock ./socket_activation
 *   curl --unix-socket /tmp/x.sock http://localhost/
 *
 *   socket_activation SOCKET      started by hand: makes the socket itself
 *
 * systemd makes the socket (ListenStream=/run/x.sock in x.socket), starts the daemon when the first
 * client connects, and keeps the socket when the daemon ends: a client that comes in between waits.
 * So the file is systemd's, with the mode and group that x.socket says, and the daemon needs no
 * right on its directory.
 */
#define _POSIX_C_SOURCE 200809L
#include <hysock.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static hysock_server *server; /* set before the signal handler that reads it is installed */

static void fail(const char *what, const hysock_error *err) {
    fprintf(stderr, "socket_activation: %s: %s\n", what, err->message);
    exit(1);
}

static void hello(hysock_exchange *exchange, void *userdata) {
    static const char text[] = "Hello, world!";
    (void)userdata;
    hysock_exchange_answer(exchange, 200, "text/plain", text, strlen(text), NULL);
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
        perror("socket_activation: sigaction");
        exit(1);
    }
}

int main(int argc, char **argv) {
    hysock_error err;
    hysock_runtime *runtime;
    int32_t passed;

    if (hysock_runtime_new(NULL, &runtime, &err) != HYSOCK_OK ||
        hysock_server_new(runtime, NULL, &server, &err) != HYSOCK_OK ||
        hysock_server_add_route(server, "GET", "/", hello, NULL, NULL, &err) != HYSOCK_OK)
        fail("server", &err);

    /* All sockets that were passed; a name instead of NULL picks those with FileDescriptorName=. */
    passed = hysock_server_add_activated(server, NULL, NULL, &err);
    if (passed < 0)
        fail("passed sockets", &err);
    if (passed == 0) { /* started without a service manager */
        if (argc != 2) {
            fprintf(stderr,
                    "usage: socket_activation SOCKET, or through systemd-socket-activate\n");
            return 2;
        }
        if (hysock_server_add_listener(server, argv[1], HYSOCK_NTS, NULL, &err) != HYSOCK_OK)
            fail("listen", &err);
    }
    /* Who connected before this line waits in the backlog, and is served now. */
    if (hysock_server_start(server, &err) != HYSOCK_OK)
        fail("start", &err);
    end_on(SIGTERM);
    end_on(SIGINT);
    for (size_t i = 0; i == 0 || i < (size_t)passed; i++) {
        char address[4096]; /* as long as a path may be, its NUL included */
        if (hysock_server_listener_address(server, i, address, sizeof address, &err) < 0)
            fail("address", &err);
        printf("socket %s\n", address);
    }
    printf("listening on %d passed sockets\n", (int)passed);
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
