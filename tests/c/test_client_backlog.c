/* A server that accepts one connection every 10 ms from a tiny backlog, and 200 calls at once: all
 * are answered; with a short connect timeout the rest are told that it is busy, and nobody that it
 * is not there. Argument: the delivery. */
#include "host.h"

#define CALLS 200
#define PERFORMED 20

static enum delivery delivery;
static latch ending;

/* Answers each connection's one request, and closes it. */
static void *serve(void *argument) {
    int listener = *(int *)argument;
    while (latch_count(&ending) == 0) {
        raw r;
        if (raw_poll(listener, POLLIN, 20) == 0)
            continue;
        raw_accept(&r, listener);
        if (raw_head(&r) != 0)
            raw_text(&r, "HTTP/1.1 204 No\r\nConnection: close\r\n\r\n");
        raw_close(&r);
        take_ms(10);
    }
    return NULL;
}

typedef struct outcomes {
    hysock_client *client;
    latch answered, busy;
} outcomes;

static void count(outcomes *o, const hysock_call *call, hysock_status status) {
    if (status == HYSOCK_OK) {
        CHECK_INT(hysock_call_http_status(call), 204);
        latch_add(&o->answered, 1);
        return;
    }
    CHECK_STATUS(hysock_call_error(call, ERR), HYSOCK_E_BUSY);
    CHECK_ERR(HYSOCK_E_BUSY, "stayed full");
    latch_add(&o->busy, 1);
}

static void on_end(hysock_call *call, hysock_status status, void *userdata) {
    count(userdata, call, status);
    hysock_call_free(call);
}

static void *perform(void *argument) {
    outcomes *o = argument;
    hysock_call *call = new_call(o->client, "GET", "/");
    count(o, call, hysock_call_perform(call, ERR));
    hysock_call_free(call);
    return NULL;
}

/* Started and performed calls, each on a connection of its own. */
static void all_at_once(host *h, uint32_t timeout, outcomes *o) {
    pthread_t threads[PERFORMED];
    hysock_client_config *config = hysock_client_config_new();
    if (h->delivery == QUEUE)
        CHECK_OK(hysock_client_config_set_queue(config, h->queue));
    else
        CHECK_OK(hysock_client_config_set_delivery(
            config, h->delivery == POOL ? HYSOCK_DELIVERY_POOL : HYSOCK_DELIVERY_INLINE));
    CHECK_OK(hysock_client_config_set_max_connections(config, HYSOCK_UNLIMITED));
    CHECK_OK(hysock_client_config_set_connect_timeout(config, timeout));
    CHECK_OK(hysock_client_new(h->runtime, h->path, HYSOCK_NTS, config, &o->client, ERR));
    hysock_client_config_free(config);
    latch_init(&o->answered);
    latch_init(&o->busy);
    for (int i = 0; i < CALLS - PERFORMED; i++) {
        hysock_call *call = new_call(o->client, "GET", "/");
        CHECK_OK(hysock_call_start(call, on_end, o, NULL, ERR));
    }
    for (int i = 0; i < PERFORMED; i++)
        threads[i] = thread_start(perform, o);
    for (int i = 0; i < PERFORMED; i++)
        thread_join(threads[i]);
    CHECK_OK(hysock_client_shutdown(o->client, HYSOCK_FOREVER, ERR));
    CHECK_OK(hysock_client_wait(o->client, (uint32_t)check_ms(DEADLINE_MS), ERR));
    hysock_client_free(o->client);
    CHECK_INT(latch_count(&o->answered) + latch_count(&o->busy), CALLS);
}

int main(int argc, char **argv) {
    check_start();
    delivery = delivery_parse(argc, argv);
    host h;
    outcomes o;
    host_open(&h, delivery, NULL);
    int listener = raw_listen(h.path);
    CHECK(listen(listener, 2) == 0);
    latch_init(&ending);
    pthread_t server = thread_start(serve, &listener);
    all_at_once(&h, HYSOCK_FOREVER, &o);
    CHECK_INT(latch_count(&o.answered), CALLS);
    all_at_once(&h, 100, &o);
    CHECK(latch_count(&o.busy) > 0);
    CHECK(latch_count(&o.answered) > 0);
    latch_add(&ending, 1);
    thread_join(server);
    close(listener);
    host_stop(&h);
    return check_end();
}
