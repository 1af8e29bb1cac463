/* Teaches: many calls one after another on one thread. The client keeps its connection, so each
 * costs one send and one receive, and no other thread has to wake up.
 *
 *   blocking_calls SOCKET N        N times GET /
 *
 * Prints `N answers, M errors, T s`. An error is no answer, or an answer other than 200; its first
 * one is explained on stderr. Exit status 1 on any error.
 */
#define _POSIX_C_SOURCE 200809L
#include <hysock.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

/* One GET: its HTTP status, 0 when none came. */
static int32_t get(hysock_client *client, hysock_error *err) {
    hysock_call *call = NULL;
    int32_t status = 0;
    if (hysock_call_new(client, "GET", "/", HYSOCK_NTS, &call, err) == HYSOCK_OK &&
        hysock_call_perform(call, err) == HYSOCK_OK)
        status = hysock_call_http_status(call);
    hysock_call_free(call);
    return status;
}

int main(int argc, char **argv) {
    hysock_error err;
    hysock_client *client = NULL;
    unsigned long count, i, answers = 0, errors = 0;
    double start;
    char *end;

    if (argc != 3 || argv[2][0] < '0' || argv[2][0] > '9')
        return fprintf(stderr, "usage: blocking_calls SOCKET N\n"), 2;
    count = strtoul(argv[2], &end, 10);
    if (*end != '\0')
        return fprintf(stderr, "blocking_calls: '%s' is no number\n", argv[2]), 2;
    /* No runtime: for blocking calls alone none is needed. */
    if (hysock_client_new(NULL, argv[1], HYSOCK_NTS, NULL, &client, &err) != HYSOCK_OK)
        return fprintf(stderr, "blocking_calls: %s\n", err.message), 1;

    start = now();
    for (i = 0; i < count; i++) {
        int32_t status = get(client, &err);
        if (status == 200) {
            answers++;
        } else if (errors++ == 0) {
            if (status == 0)
                fprintf(stderr, "blocking_calls: first error: %s\n", err.message);
            else
                fprintf(stderr, "blocking_calls: first error: HTTP status %d\n", (int)status);
        }
    }
    printf("%lu answers, %lu errors, %.3f s\n", answers, errors, now() - start);
    hysock_client_free(client);
    return errors > 0;
}
