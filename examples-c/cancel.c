/* Teaches: giving up a call. One thread waits in perform, another one cancels it: on Ctrl-C the
 * request ends at once, and the program goes on.
 *
 *   cancel SOCKET [TARGET]
 *
 * Prints `HTTP status N, M bytes`, or `cancelled after T ms`. Exit status: 0 after an answer, 3
 * after a cancel, 1 when it failed otherwise, 2 for wrong usage.
 */
#define _POSIX_C_SOURCE 200809L
#include <hysock.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <time.h>

static sigset_t interrupt;

static double now_ms(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec * 1e3 + (double)time.tv_nsec / 1e6;
}

/* A signal handler may not call hysock_call_cancel(); a thread that waits for the signal may. */
static void *cancel_on_interrupt(void *argument) {
    int number;
    if (sigwait(&interrupt, &number) == 0)
        hysock_call_cancel(argument, NULL);
    return NULL;
}

static int report(const hysock_call *call, hysock_status status, double ms,
                  const hysock_error *err) {
    hysock_str body = hysock_call_body(call);
    if (status == HYSOCK_OK) {
        printf("HTTP status %d, %zu bytes\n", (int)hysock_call_http_status(call), body.len);
        return 0;
    }
    if (status == HYSOCK_E_CANCELLED) {
        printf("cancelled after %.0f ms\n", ms);
        return 3;
    }
    fprintf(stderr, "cancel: %s\n", err->message);
    return 1;
}

int main(int argc, char **argv) {
    hysock_error err;
    hysock_client *client = NULL;
    hysock_call *call = NULL;
    hysock_status status;
    pthread_t thread;
    double start;
    int result;

    if (argc != 2 && argc != 3)
        return fprintf(stderr, "usage: cancel SOCKET [TARGET]\n"), 2;
    sigemptyset(&interrupt);
    sigaddset(&interrupt, SIGINT);
    pthread_sigmask(SIG_BLOCK, &interrupt, NULL); /* the new thread inherits that */

    if (hysock_client_new(NULL, argv[1], HYSOCK_NTS, NULL, &client, &err) != HYSOCK_OK ||
        hysock_call_new(client, "GET", argc == 3 ? argv[2] : "/", HYSOCK_NTS, &call, &err) !=
            HYSOCK_OK)
        return fprintf(stderr, "cancel: %s\n", err.message), 1;
    if (pthread_create(&thread, NULL, cancel_on_interrupt, call) != 0)
        return fprintf(stderr, "cancel: no thread\n"), 1;

    start = now_ms();
    status = hysock_call_perform(call, &err);
    result = report(call, status, now_ms() - start, &err);

    /* A cancel of a call that has ended changes nothing, so it does not matter who came first. */
    pthread_kill(thread, SIGINT);
    pthread_join(thread, NULL);
    hysock_call_free(call);
    hysock_client_free(client);
    return result;
}
