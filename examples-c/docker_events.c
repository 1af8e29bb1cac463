/* Teaches: a stream in a program of one thread. The pieces come by callback, in a queue that the
 * main thread dispatches, so that nothing needs a lock.
 *
 *   docker_events SOCKET [N]
 *
 * Prints one line of JSON for each thing that happens in the daemon, until it ends or N were
 * printed. Exit status: 0 then, 1 when it failed, 2 for wrong usage.
 */
#define _POSIX_C_SOURCE 200809L
#include <hysock.h>
#include <stdio.h>
#include <stdlib.h>

struct events {
    unsigned long left;
    int ended;
};

static void fail(const char *what, const hysock_error *err) {
    fprintf(stderr, "docker_events: %s: %s\n", what, err->message);
    exit(1);
}

static void on_piece(hysock_call *call, hysock_status status, hysock_str piece, void *userdata) {
    struct events *events = userdata;
    hysock_error err;
    size_t i;

    if (status != HYSOCK_OK) {
        hysock_call_error(call, &err);
        fail("the events broke off", &err);
    }
    for (i = 0; i < piece.len && events->left > 0; i++) {
        putchar(piece.ptr[i]);
        if (piece.ptr[i] == '\n')
            events->left--;
    }
    fflush(stdout); /* somebody may be waiting for it */
    events->ended = piece.ptr == NULL || events->left == 0;
    /* Not before this one was used: the daemon waits for us as long. */
    if (!events->ended && hysock_call_read_start(call, on_piece, events, NULL, &err) != HYSOCK_OK)
        fail("the events broke off", &err);
}

static void on_head(hysock_call *call, hysock_status status, void *userdata) {
    hysock_error err;
    if (status != HYSOCK_OK) {
        hysock_call_error(call, &err);
        fail("no answer", &err);
    }
    if (hysock_call_http_status(call) != 200) {
        fprintf(stderr, "docker_events: HTTP status %d\n", (int)hysock_call_http_status(call));
        exit(1);
    }
    fprintf(stderr, "docker_events: listening\n");
    if (hysock_call_read_start(call, on_piece, userdata, NULL, &err) != HYSOCK_OK)
        fail("the events broke off", &err);
}

int main(int argc, char **argv) {
    struct events events = {argc == 3 ? strtoul(argv[2], NULL, 10) : (unsigned long)-1, 0};
    hysock_error err;
    hysock_runtime *runtime = NULL;
    hysock_queue *queue = NULL;
    hysock_client_config *config = hysock_client_config_new();
    hysock_client *client = NULL;
    hysock_call *call = NULL;

    if ((argc != 2 && argc != 3) || events.left == 0) {
        fprintf(stderr, "usage: docker_events SOCKET [N]\n");
        return 2;
    }
    if (hysock_runtime_new(NULL, &runtime, &err) != HYSOCK_OK ||
        hysock_queue_new(runtime, &queue, &err) != HYSOCK_OK)
        fail("cannot begin", &err);
    hysock_client_config_set_queue(config, queue);
    if (hysock_client_new(runtime, argv[1], HYSOCK_NTS, config, &client, &err) != HYSOCK_OK ||
        hysock_call_new(client, "GET", "/events", HYSOCK_NTS, &call, &err) != HYSOCK_OK)
        fail("cannot begin", &err);
    hysock_client_config_free(config);
    hysock_call_set_streaming(call);
    if (hysock_call_start(call, on_head, &events, NULL, &err) != HYSOCK_OK)
        fail("cannot begin", &err);

    while (!events.ended)
        hysock_queue_dispatch(queue, 16, HYSOCK_FOREVER);

    hysock_call_free(call); /* ends the stream, which the daemon would go on with for ever */
    hysock_client_free(client);
    hysock_runtime_shutdown(runtime, 1000, NULL);
    hysock_runtime_wait(runtime, 1000, NULL);
    hysock_queue_free(queue);
    hysock_runtime_free(runtime);
    return 0;
}
