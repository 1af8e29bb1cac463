/* What the loop_* examples share: everything but the loop. A server, a client that calls it, and
 * the count of callbacks that ran on a thread other than the loop's, of which there must be none.
 *
 * A loop watches hysock_queue_fd(p.queue) for reading, calls loop_dispatch() when it is readable,
 * and ends when that says so. A signal is the loop's own business: it calls loop_shutdown().
 */
#ifndef LOOP_H
#define LOOP_H

#include <hysock.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct loop {
    const char *name;
    const char *path;
    pthread_t thread; /* the loop's */
    hysock_runtime *runtime;
    hysock_queue *queue;
    hysock_server *server;
    hysock_client *client;
    unsigned long served;
    unsigned long callbacks;
    unsigned long elsewhere; /* callbacks on another thread */
    int closed;
};

static inline void loop_fail(const struct loop *l, const char *what, const char *why) {
    fprintf(stderr, "%s: %s: %s\n", l->name, what, why);
    exit(1);
}

/* At the begin of every callback. They all run in loop_dispatch(): what they change needs no lock.
 */
static inline void loop_count(struct loop *l) {
    l->callbacks++;
    if (!pthread_equal(pthread_self(), l->thread))
        l->elsewhere++;
}

static inline void loop_on_request(hysock_exchange *exchange, void *userdata) {
    struct loop *l = userdata;
    char text[64];
    loop_count(l);
    int len = snprintf(text, sizeof text, "request number %lu\n", ++l->served);
    hysock_exchange_answer(exchange, 200, "text/plain", text, (size_t)len, NULL);
}

/* The server has ended: every request that it had taken is answered. */
static inline void loop_on_closed(hysock_server *server, hysock_status reason, uint64_t aborted,
                                  void *userdata) {
    struct loop *l = userdata;
    (void)server;
    loop_count(l);
    if (reason != HYSOCK_OK)
        fprintf(stderr, "%s: %lu requests cut short\n", l->name, (unsigned long)aborted);
    l->closed = 1;
}

static inline void loop_on_answer(hysock_call *call, hysock_status status, void *userdata) {
    struct loop *l = userdata;
    loop_count(l);
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

/* A server and a client whose callbacks come through one queue. Not one of them runs yet. */
static inline void loop_open(struct loop *l, const char *name, int argc, char **argv) {
    hysock_error err;
    hysock_call *call;
    hysock_server_config *server_config = hysock_server_config_new();
    hysock_client_config *client_config = hysock_client_config_new();

    memset(l, 0, sizeof *l);
    l->name = name;
    l->thread = pthread_self();
    if (argc != 2) {
        fprintf(stderr, "usage: %s SOCKET\n", name);
        exit(2);
    }
    l->path = argv[1];
    if (hysock_runtime_new(NULL, &l->runtime, &err) != HYSOCK_OK ||
        hysock_queue_new(l->runtime, &l->queue, &err) != HYSOCK_OK)
        loop_fail(l, "start", err.message);
    hysock_server_config_set_queue(server_config, l->queue);
    hysock_client_config_set_queue(client_config, l->queue);
    if (hysock_server_serve(l->runtime, l->path, HYSOCK_NTS, server_config, loop_on_request, l,
                            NULL, &l->server, &err) != HYSOCK_OK ||
        hysock_server_on_closed(l->server, loop_on_closed, l, NULL, &err) != HYSOCK_OK)
        loop_fail(l, "serve", err.message);
    if (hysock_client_new(l->runtime, l->path, HYSOCK_NTS, client_config, &l->client, &err) !=
            HYSOCK_OK ||
        hysock_call_new(l->client, "GET", "/", HYSOCK_NTS, &call, &err) != HYSOCK_OK ||
        hysock_call_start(call, loop_on_answer, l, NULL, &err) != HYSOCK_OK)
        loop_fail(l, "call", err.message);
    hysock_server_config_free(server_config);
    hysock_client_config_free(client_config);
}

/* The loop is ready for its signals. */
static inline void loop_ready(const struct loop *l) {
    printf("listening on %s\n", l->path);
    fflush(stdout);
}

/* Begins the end; loop_on_closed() tells when it is there. */
static inline void loop_shutdown(struct loop *l) { hysock_server_shutdown(l->server, 5000, NULL); }

/* The queue is readable. 64 callbacks at most, so that others in the loop get their turn; it stays
 * readable when there are more. 0: never wait here. Returns 1 when the loop is to end. */
static inline int loop_dispatch(struct loop *l) {
    int32_t ran = hysock_queue_dispatch(l->queue, 64, 0);
    if (ran < 0)
        loop_fail(l, "dispatch", hysock_status_message(ran));
    return l->closed;
}

/* After the loop. The server is closed; a call of ours may still want its callback: `wait`
 * dispatches the queue on this thread. Returns the exit status. */
static inline int loop_close(struct loop *l) {
    hysock_error err;
    if (hysock_client_shutdown(l->client, 1000, &err) != HYSOCK_OK ||
        hysock_client_wait(l->client, HYSOCK_FOREVER, &err) != HYSOCK_OK)
        loop_fail(l, "client", err.message);
    hysock_client_free(l->client);
    hysock_server_free(l->server);
    if (hysock_runtime_shutdown(l->runtime, 0, &err) != HYSOCK_OK ||
        hysock_runtime_wait(l->runtime, HYSOCK_FOREVER, &err) != HYSOCK_OK)
        loop_fail(l, "end", err.message);
    hysock_queue_free(l->queue);
    hysock_runtime_free(l->runtime);
    printf("%lu callbacks, %lu of them not on the loop's thread\n", l->callbacks, l->elsewhere);
    return l->elsewhere == 0 ? 0 : 1;
}

#endif
