/* Teaches: hysock inside an event loop that exists already. One thread, poll(2), and a queue whose
 * descriptor is readable exactly while a callback waits to be run. No locks anywhere.
 *
 *   loop_poll SOCKET        serves on SOCKET, and calls itself once through it
 *
 * The same works with epoll, libevent, libuv, GLib or sd-event: watch the descriptor for reading,
 * level-triggered, and call hysock_queue_dispatch when it is.
 */
#define _POSIX_C_SOURCE 200809L
#include <errno.h>
#include <hysock.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static hysock_server *server; /* set before the signal handler that reads it is installed */

/* What the callbacks change. They all run in `dispatch`, on the one thread. */
struct state {
    unsigned long served;
    int closed;
};

static void fail(const char *what, const hysock_error *err) {
    fprintf(stderr, "loop_poll: %s: %s\n", what, err->message);
    exit(1);
}

static void on_request(hysock_exchange *exchange, void *userdata) {
    struct state *state = userdata;
    char text[64];
    int len = snprintf(text, sizeof text, "request number %lu\n", ++state->served);
    hysock_exchange_answer(exchange, 200, "text/plain", text, (size_t)len, NULL);
}

/* The server has ended: every request that it had taken is answered. */
static void on_closed(hysock_server *closed, hysock_status reason, uint64_t aborted,
                      void *userdata) {
    struct state *state = userdata;
    (void)closed;
    if (reason != HYSOCK_OK)
        fprintf(stderr, "loop_poll: %lu requests cut short\n", (unsigned long)aborted);
    state->closed = 1;
}

static void on_answer(hysock_call *call, hysock_status status, void *userdata) {
    (void)userdata;
    if (status == HYSOCK_OK) {
        hysock_str body = hysock_call_body(call);
        printf("my own answer: %d %.*s", (int)hysock_call_http_status(call), HYSOCK_PRI(body));
    } else {
        hysock_error err;
        hysock_call_error(call, &err); /* returns `status` again */
        printf("no answer: %s\n", err.message);
    }
    fflush(stdout);
    hysock_call_free(call);
}

static void call_myself(hysock_client *client) {
    hysock_error err;
    hysock_call *call;
    if (hysock_call_new(client, "GET", "/", HYSOCK_NTS, &call, &err) != HYSOCK_OK ||
        hysock_call_start(call, on_answer, NULL, NULL, &err) != HYSOCK_OK)
        fail("call", &err);
}

static void on_signal(int number) {
    (void)number;
    hysock_server_shutdown_signal(server); /* its end comes as a callback, on_closed */
}

static void end_on(int number) {
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = on_signal;
    sigemptyset(&action.sa_mask);
    if (sigaction(number, &action, NULL) != 0) {
        perror("loop_poll: sigaction");
        exit(1);
    }
}

static void loop(hysock_queue *queue, const struct state *state) {
    struct pollfd fds[1]; /* the other descriptors of your program come beside it */
    fds[0].fd = hysock_queue_fd(queue);
    fds[0].events = POLLIN;
    while (!state->closed) {
        if (poll(fds, 1, -1) < 0) {
            if (errno == EINTR)
                continue; /* the signal; on_closed will make the queue readable */
            perror("loop_poll: poll");
            exit(1);
        }
        /* 64 callbacks at most, so that other descriptors get their turn; 0: never wait here. */
        if (fds[0].revents != 0 && hysock_queue_dispatch(queue, 64, 0) < 0) {
            fprintf(stderr, "loop_poll: the queue has failed\n");
            exit(1);
        }
    }
}

int main(int argc, char **argv) {
    struct state state = {0, 0};
    hysock_error err;
    hysock_runtime *runtime;
    hysock_queue *queue = NULL;
    hysock_client *client;
    hysock_server_config *server_config = hysock_server_config_new();
    hysock_client_config *client_config = hysock_client_config_new();

    if (argc != 2) {
        fprintf(stderr, "usage: loop_poll SOCKET\n");
        return 2;
    }
    if (hysock_runtime_new(NULL, &runtime, &err) != HYSOCK_OK ||
        hysock_queue_new(runtime, &queue, &err) != HYSOCK_OK)
        fail("start", &err);
    hysock_server_config_set_queue(server_config, queue);
    hysock_client_config_set_queue(client_config, queue);

    if (hysock_server_serve(runtime, argv[1], HYSOCK_NTS, server_config, on_request, &state, NULL,
                            &server, &err) != HYSOCK_OK ||
        hysock_server_on_closed(server, on_closed, &state, NULL, &err) != HYSOCK_OK)
        fail("serve", &err);
    if (hysock_client_new(runtime, argv[1], HYSOCK_NTS, client_config, &client, &err) != HYSOCK_OK)
        fail("client", &err);
    hysock_server_config_free(server_config);
    hysock_client_config_free(client_config);

    end_on(SIGTERM);
    end_on(SIGINT);
    printf("listening on %s\n", argv[1]);
    fflush(stdout);

    call_myself(client);
    loop(queue, &state);

    /* The server is closed; our own call may still want its callback. `wait` dispatches the queue
     * on this thread until nothing of the client is left, then the same for all the rest. */
    if (hysock_client_shutdown(client, 1000, &err) != HYSOCK_OK ||
        hysock_client_wait(client, HYSOCK_FOREVER, &err) != HYSOCK_OK)
        fail("client", &err);
    hysock_client_free(client);
    hysock_server_free(server);
    if (hysock_runtime_shutdown(runtime, 0, &err) != HYSOCK_OK ||
        hysock_runtime_wait(runtime, HYSOCK_FOREVER, &err) != HYSOCK_OK)
        fail("end", &err);
    hysock_queue_free(queue);
    hysock_runtime_free(runtime);
    return 0;
}
