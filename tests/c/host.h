/* A host program in small: a runtime, a server on a socket in the test's directory, one delivery.
 */
#ifndef HOST_H
#define HOST_H

#include "check.h"
#include "raw.h"

enum delivery { POOL, INLINE, QUEUE };

typedef struct host {
    enum delivery delivery;
    char path[108];
    hysock_runtime *runtime;
    hysock_queue *queue;
    hysock_server *server;
    latch dispatch_end;
    pthread_t dispatcher;
} host;

static inline enum delivery delivery_parse(int argc, char **argv) {
    CHECK(argc == 2);
    if (strcmp(argv[1], "pool") == 0)
        return POOL;
    if (strcmp(argv[1], "inline") == 0)
        return INLINE;
    CHECK(strcmp(argv[1], "queue") == 0);
    return QUEUE;
}

/* Whether the calling thread is one that `delivery` calls back on. */
static inline bool delivery_here(enum delivery delivery) {
    if (delivery == QUEUE)
        return !thread_is("hysock-");
    return thread_is(delivery == INLINE ? "hysock-io-" : "hysock-cb-");
}

/* Dispatches until host_stop(). */
static inline void *host_dispatch(void *argument) {
    host *h = argument;
    while (latch_count(&h->dispatch_end) == 0)
        if (hysock_queue_dispatch(h->queue, 64, HYSOCK_FOREVER) < 0)
            break;
    return NULL;
}

/* A runtime; for queue delivery also a queue and a thread that dispatches it. */
static inline void host_open(host *h, enum delivery delivery, const hysock_runtime_config *config) {
    memset(h, 0, sizeof(*h));
    h->delivery = delivery;
    temp_path(h->path, "sock");
    CHECK_OK(hysock_runtime_new(config, &h->runtime, ERR));
    latch_init(&h->dispatch_end);
    if (delivery == QUEUE) {
        CHECK_OK(hysock_queue_new(h->runtime, &h->queue, ERR));
        h->dispatcher = thread_start(host_dispatch, h);
    }
}

/* A new server configuration with this host's delivery. */
static inline hysock_server_config *host_server_config(const host *h) {
    hysock_server_config *config = hysock_server_config_new();
    CHECK(config != NULL);
    if (h->delivery == QUEUE)
        CHECK_OK(hysock_server_config_set_queue(config, h->queue));
    else
        CHECK_OK(hysock_server_config_set_delivery(
            config, h->delivery == POOL ? HYSOCK_DELIVERY_POOL : HYSOCK_DELIVERY_INLINE));
    return config;
}

/* Serves on the host's path. Frees `config`; NULL takes the host's own. */
static inline void host_serve(host *h, hysock_server_config *config, hysock_exchange_fn fn,
                              void *userdata, hysock_drop_fn drop) {
    if (config == NULL)
        config = host_server_config(h);
    CHECK_OK(hysock_server_serve(h->runtime, h->path, HYSOCK_NTS, config, fn, userdata, drop,
                                 &h->server, ERR));
    hysock_server_config_free(config);
}

static inline void host_start(host *h, enum delivery delivery, hysock_exchange_fn fn,
                              void *userdata) {
    host_open(h, delivery, NULL);
    host_serve(h, NULL, fn, userdata, NULL);
}

/* wait for what ends at once: OK, and well before the deadline. */
#define WAIT_OK(wait, handle)                                                                      \
    do {                                                                                           \
        int64_t began_ = now_ms();                                                                 \
        CHECK_OK(wait((handle), (uint32_t)check_ms(DEADLINE_MS), ERR));                            \
        CHECK(now_ms() - began_ < check_ms(DEADLINE_MS) / 2);                                      \
    } while (0)

/* Drains the server and waits for its end. */
static inline void host_stop_server(host *h) {
    if (h->server == NULL)
        return;
    CHECK_OK(hysock_server_shutdown(h->server, 5000, ERR));
    WAIT_OK(hysock_server_wait, h->server);
    hysock_server_free(h->server);
    h->server = NULL;
}

/* Ends everything: afterwards no thread and no handle of the host is left. */
static inline void host_stop(host *h) {
    host_stop_server(h);
    if (h->delivery == QUEUE) {
        latch_add(&h->dispatch_end, 1);
        CHECK_OK(hysock_queue_wake(h->queue));
        thread_join(h->dispatcher);
    }
    CHECK_OK(hysock_runtime_shutdown(h->runtime, 5000, ERR));
    WAIT_OK(hysock_runtime_wait, h->runtime);
    hysock_queue_free(h->queue);
    hysock_runtime_free(h->runtime);
    latch_free(&h->dispatch_end);
}

/* A client of the host's path, on its runtime, with its delivery. */
static inline hysock_client *host_client(host *h) {
    hysock_client *client = NULL;
    hysock_client_config *config = hysock_client_config_new();
    if (h->delivery == QUEUE)
        CHECK_OK(hysock_client_config_set_queue(config, h->queue));
    else
        CHECK_OK(hysock_client_config_set_delivery(
            config, h->delivery == POOL ? HYSOCK_DELIVERY_POOL : HYSOCK_DELIVERY_INLINE));
    CHECK_OK(hysock_client_new(h->runtime, h->path, HYSOCK_NTS, config, &client, ERR));
    hysock_client_config_free(config);
    return client;
}

static inline hysock_call *new_call(hysock_client *client, const char *method, const char *target) {
    hysock_call *call = NULL;
    CHECK_OK(hysock_call_new(client, method, target, HYSOCK_NTS, &call, ERR));
    return call;
}

/* What becomes of a call: completion_fn, userdata and completion_drop of hysock_call_start(). */
typedef struct completion {
    latch calls;
    latch drops;
    enum delivery delivery;
    hysock_call *call;
    hysock_status status;
    bool free_here; /* the completion frees its own call */
} completion;

static inline void completion_fn(hysock_call *call, hysock_status status, void *userdata) {
    completion *c = userdata;
    CHECK(delivery_here(c->delivery));
    CHECK_INT(latch_count(&c->drops), 0);
    CHECK(call == c->call);
    CHECK_STATUS(hysock_call_error(call, ERR), status);
    CHECK_INT(check_error.status, status);
    c->status = status;
    if (c->free_here) {
        hysock_call_free(call);
        CHECK_STATUS(hysock_call_error(call, ERR), HYSOCK_E_BAD_HANDLE);
    }
    latch_add(&c->calls, 1);
}

static inline void completion_drop(void *userdata) {
    completion *c = userdata;
    latch_add(&c->drops, 1);
}

/* GET `target`, for completion_start(). */
static inline void completion_new(completion *c, hysock_client *client, enum delivery delivery,
                                  const char *target) {
    memset(c, 0, sizeof(*c));
    latch_init(&c->calls);
    latch_init(&c->drops);
    c->delivery = delivery;
    c->call = new_call(client, "GET", target);
}

static inline void completion_start(completion *c) {
    CHECK_OK(hysock_call_start(c->call, completion_fn, c, completion_drop, ERR));
}

/* Completed exactly once, with `status`, and dropped after it. */
static inline void completion_await(completion *c, hysock_status status) {
    LATCH_AWAIT(&c->drops, 1);
    CHECK_INT(latch_count(&c->calls), 1);
    CHECK_INT(latch_count(&c->drops), 1);
    CHECK_STATUS(c->status, status);
}

/* A whole answer from a callback. */
static inline void answer_text(hysock_exchange *exchange, int32_t status, const char *text) {
    CHECK_OK(hysock_exchange_answer(exchange, status, "text/plain", text, strlen(text), ERR));
}

/* The same, when the client may have left meanwhile. */
static inline void answer_or_closed(hysock_exchange *exchange, const void *body, size_t len) {
    hysock_status status = hysock_exchange_answer(exchange, 200, "text/plain", body, len, ERR);
    if (status != HYSOCK_E_CLOSED)
        CHECK_OK(status);
}

#endif
