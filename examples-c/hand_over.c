/* Teaches: a server is replaced by its successor, and no request is lost.
 *
 *   hand_over SOCKET
 *   kill -USR2 PID        as after an update: starts the program anew and hands the socket over
 *   kill -TERM PID        ends it
 *
 * The socket never closes. The old process takes it out of its server, starts the new one with it
 * and ends; requests under way are answered by the old one. Who connects in between waits in the
 * backlog until the new one accepts.
 */
#define _POSIX_C_SOURCE 200809L
#include <fcntl.h>
#include <hysock.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

extern char **environ;

static void fail(const char *what, const hysock_error *err) {
    fprintf(stderr, "hand_over: %s: %s\n", what, err->message);
    exit(1);
}

static void fail_system(const char *what) {
    perror(what);
    exit(1);
}

static void hello(hysock_exchange *exchange, void *userdata) {
    char text[64];
    (void)userdata;
    snprintf(text, sizeof text, "Hello from %ld\n", (long)getpid());
    hysock_exchange_answer(exchange, 200, "text/plain", text, strlen(text), NULL);
}

/* The successor is this program with two more arguments: the socket, and a pipe on which it says
 * that it serves. Whether it does. */
static int start_successor(const char *program, const char *socket, int listener) {
    int ready[2];
    char numbers[2][16], byte;
    char *arguments[5];
    pid_t child;
    int serves = 0;

    if (pipe(ready) != 0 || fcntl(ready[0], F_SETFD, FD_CLOEXEC) != 0 ||
        fcntl(listener, F_SETFD, 0) != 0) /* hysock's descriptors do not survive an exec */
        fail_system("hand_over: descriptors");
    snprintf(numbers[0], sizeof numbers[0], "%d", listener);
    snprintf(numbers[1], sizeof numbers[1], "%d", ready[1]);
    arguments[0] = (char *)program;
    arguments[1] = (char *)socket;
    arguments[2] = numbers[0];
    arguments[3] = numbers[1];
    arguments[4] = NULL;
    if (posix_spawn(&child, program, NULL, NULL, arguments, environ) == 0) {
        close(ready[1]);
        serves = read(ready[0], &byte, 1) == 1; /* 0: it ended without a word */
    }
    close(ready[0]);
    return serves;
}

/* Whether somebody else serves now. The server accepts no more and keeps its connections. */
static int hand_over(hysock_server *server, char **argv) {
    hysock_error err;
    int32_t listener;
    if (hysock_server_take_listener(server, 0, &listener, &err) != HYSOCK_OK)
        fail("take", &err);
    return start_successor(argv[0], argv[1], listener);
}

static hysock_server *start(hysock_runtime *runtime, int argc, char **argv) {
    hysock_error err;
    hysock_server *server;
    hysock_status status;
    if (hysock_server_new(runtime, NULL, &server, &err) != HYSOCK_OK ||
        hysock_server_add_route(server, "GET", "/", hello, NULL, NULL, &err) != HYSOCK_OK)
        fail("server", &err);
    /* HYSOCK_ADOPT_OWN: the socket's file is ours now, to be removed at the end. */
    status = argc == 4 ? hysock_server_add_listener_fd(server, atoi(argv[2]), HYSOCK_ADOPT_OWN,
                                                       NULL, &err)
                       : hysock_server_add_listener(server, argv[1], HYSOCK_NTS, NULL, &err);
    if (status != HYSOCK_OK || hysock_server_start(server, &err) != HYSOCK_OK)
        fail("listen", &err);
    if (argc == 4 && (write(atoi(argv[3]), "k", 1) != 1 || close(atoi(argv[3])) != 0))
        fail_system("hand_over: predecessor");
    printf("%ld listening on %s\n", (long)getpid(), argv[1]);
    fflush(stdout);
    return server;
}

int main(int argc, char **argv) {
    hysock_error err;
    hysock_runtime *runtime;
    hysock_server *server;
    sigset_t signals;
    int number, status = 0;

    if (argc != 2 && argc != 4) {
        fprintf(stderr, "usage: hand_over SOCKET\n");
        return 2;
    }
    /* This thread waits for them; hysock's threads block all signals anyway. */
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGUSR2);
    sigprocmask(SIG_BLOCK, &signals, NULL);

    if (hysock_runtime_new(NULL, &runtime, &err) != HYSOCK_OK)
        fail("runtime", &err);
    server = start(runtime, argc, argv);

    if (sigwait(&signals, &number) == 0 && number == SIGUSR2 && !hand_over(server, argv)) {
        fprintf(stderr, "hand_over: the successor did not start\n");
        status = 1;
    }

    /* Requests under way are answered, with "Connection: close". */
    if (hysock_server_shutdown(server, 10000, &err) != HYSOCK_OK ||
        hysock_server_wait(server, HYSOCK_FOREVER, &err) != HYSOCK_OK)
        fail("shutdown", &err);
    hysock_server_free(server);
    if (hysock_runtime_shutdown(runtime, 0, &err) != HYSOCK_OK ||
        hysock_runtime_wait(runtime, HYSOCK_FOREVER, &err) != HYSOCK_OK)
        fail("end", &err);
    hysock_runtime_free(runtime);
    return status;
}
