/* The form of a queue without callbacks: events as data, one holder for each handle, ends in order.
 */
#include "host.h"

#define ROOM 64
#define GET_ROOT "GET / HTTP/1.1\r\nHost: x\r\nX-Two: a\r\nX-Two: b\r\n\r\n"

typedef struct loop {
    host h;
    hysock_event events[ROOM];
    int32_t n;
    long seen[HYSOCK_EVENT_CALL_READ + 1];
    bool answers;
} loop;

static void never(void *userdata) {
    (void)userdata;
    check_fail(__FILE__, __LINE__, "a drop ran where its event was to come");
}

static void loop_open(loop *l) {
    memset(l, 0, sizeof(*l));
    l->answers = true;
    host_open(&l->h, POOL, NULL);
    CHECK_OK(hysock_queue_new(l->h.runtime, &l->h.queue, ERR));
}

/* The host's server, all of whose events are taken. */
static void loop_serve(loop *l, void *userdata, hysock_drop_fn drop) {
    hysock_server_config *config = hysock_server_config_new();
    CHECK_OK(hysock_server_config_set_queue(config, l->h.queue));
    host_serve(&l->h, config, NULL, userdata, drop);
}

static bool readable(const loop *l) {
    return raw_poll(hysock_queue_fd(l->h.queue), POLLIN, 0) != 0;
}

static void await_readable(const loop *l) {
    CHECK(raw_poll(hysock_queue_fd(l->h.queue), POLLIN, check_ms(DEADLINE_MS)) & POLLIN);
}

/* No end of a registration beside an event that uses it; no handle twice. */
static void check_array(const hysock_event *events, int32_t n) {
    for (int32_t i = 0; i < n; i++)
        for (int32_t j = 0; j < n; j++) {
            if (i == j)
                continue;
            if (events[i].kind == HYSOCK_EVENT_DROP)
                CHECK(events[i].userdata != events[j].userdata);
            else if (events[i].kind != HYSOCK_EVENT_LOG && events[i].kind != HYSOCK_EVENT_ACCESS)
                CHECK(events[i].handle == NULL || events[i].handle != events[j].handle ||
                      events[i].kind != events[j].kind);
        }
}

static void act(loop *l, const hysock_event *event) {
    CHECK(event->kind >= HYSOCK_EVENT_DROP && event->kind <= HYSOCK_EVENT_CALL_READ);
    l->seen[event->kind]++;
    switch (event->kind) {
    case HYSOCK_EVENT_REQUEST:
        if (!l->answers)
            break;
        answer_text(event->handle, 200, "taken");
        hysock_exchange_free(event->handle);
        break;
    case HYSOCK_EVENT_CALL:
        CHECK_STATUS(event->status, HYSOCK_OK);
        CHECK_INT(hysock_call_http_status(event->handle), 200);
        if (l->answers)
            hysock_call_free(event->handle);
        break;
    case HYSOCK_EVENT_BATCH: {
        size_t count;
        const hysock_message *messages = hysock_batch_messages(event->batch, &count);
        CHECK(count > 0 && messages[0].len == 5 && memcmp(messages[0].data, "hello", 5) == 0);
        CHECK_STATUS(hysock_batch_keep(event->batch, ERR), HYSOCK_E_STATE);
        hysock_batch_free(event->batch);
        break;
    }
    case HYSOCK_EVENT_ACCESS:
        CHECK(hysock_str_equal(event->access->method, "GET"));
        CHECK(hysock_str_equal(event->access->target, "/"));
        CHECK_INT(event->access->http_status, 200);
        break;
    case HYSOCK_EVENT_LOG:
        CHECK(event->data.len > 0 && event->level >= HYSOCK_LOG_ERROR);
        break;
    default:
        break;
    }
}

/* One take, and what it gives. */
static int32_t take(loop *l, size_t room, uint32_t timeout_ms) {
    l->n = hysock_queue_take(l->h.queue, l->events, room, sizeof(l->events[0]), timeout_ms);
    CHECK(l->n >= 0 && (size_t)l->n <= room);
    check_array(l->events, l->n);
    for (int32_t i = 0; i < l->n; i++)
        act(l, &l->events[i]);
    return l->n;
}

static void take_until(loop *l, int32_t kind, long count) {
    for (int64_t end = now_ms() + check_ms(DEADLINE_MS); l->seen[kind] < count;) {
        CHECK(now_ms() < end);
        await_readable(l);
        take(l, ROOM, 0);
    }
}

/* Ends it all by events and by waits that do not last. */
static void loop_stop(loop *l) {
    if (l->h.server != NULL) {
        CHECK_OK(hysock_server_shutdown(l->h.server, 5000, ERR));
        int64_t end = now_ms() + check_ms(DEADLINE_MS);
        while (hysock_server_wait(l->h.server, 0, ERR) == HYSOCK_E_TIMED_OUT) {
            CHECK(now_ms() < end);
            take(l, ROOM, 10);
        }
        CHECK_OK(hysock_server_wait(l->h.server, 0, ERR));
        hysock_server_free(l->h.server);
        l->h.server = NULL;
    }
    CHECK_OK(hysock_runtime_shutdown(l->h.runtime, 5000, ERR));
    int64_t end = now_ms() + check_ms(DEADLINE_MS);
    while (hysock_runtime_wait(l->h.runtime, 0, ERR) == HYSOCK_E_TIMED_OUT) {
        CHECK(now_ms() < end);
        int32_t n = hysock_queue_take(l->h.queue, l->events, ROOM, sizeof(l->events[0]), 10);
        for (int32_t i = 0; i < n; i++)
            act(l, &l->events[i]);
        CHECK(n >= 0 || n == HYSOCK_E_SHUT_DOWN);
    }
    WAIT_OK(hysock_runtime_wait, l->h.runtime);
    CHECK_INT(hysock_queue_take(l->h.queue, l->events, 1, sizeof(l->events[0]), 0),
              HYSOCK_E_SHUT_DOWN);
    hysock_queue_free(l->h.queue);
    hysock_runtime_free(l->h.runtime);
    latch_free(&l->h.dispatch_end);
}

/* ---- everything that has callbacks, in one queue ---- */

static void all_at_once(void) {
    loop l;
    char path[108];
    hysock_receiver *receiver;
    hysock_producer *producer;
    hysock_client *client;
    hysock_timer *timer;
    loop_open(&l);
    hysock_queue *queue = l.h.queue;
    CHECK_OK(hysock_runtime_on_log(l.h.runtime, HYSOCK_LOG_DEBUG, queue, NULL, &l.n, never, ERR));

    hysock_server_config *config = hysock_server_config_new();
    CHECK_OK(hysock_server_config_set_queue(config, queue));
    CHECK_OK(hysock_server_new(l.h.runtime, config, &l.h.server, ERR));
    hysock_server_config_free(config);
    CHECK_OK(hysock_server_add_route(l.h.server, "GET", "/", NULL, &l, never, ERR));
    CHECK_OK(hysock_server_on_access(l.h.server, NULL, &l.answers, never, ERR));
    CHECK_OK(hysock_server_on_closed(l.h.server, NULL, &l.seen, never, ERR));
    CHECK_OK(hysock_server_add_listener(l.h.server, l.h.path, HYSOCK_NTS, NULL, ERR));
    CHECK_OK(hysock_server_start(l.h.server, ERR));

    hysock_receiver_config *rc = hysock_receiver_config_new();
    CHECK_OK(hysock_receiver_config_set_queue(rc, queue));
    CHECK_OK(hysock_receiver_new(l.h.runtime, rc, &receiver, ERR));
    hysock_receiver_config_free(rc);
    temp_path(path, "msg");
    CHECK_OK(hysock_receiver_add_listener(receiver, path, HYSOCK_NTS, NULL, ERR));
    CHECK_OK(hysock_receiver_on_batch(receiver, NULL, path, never, ERR));
    CHECK_OK(hysock_receiver_start(receiver, ERR));
    CHECK_OK(hysock_producer_new(l.h.runtime, path, HYSOCK_NTS, NULL, &producer, ERR));

    l.h.delivery = QUEUE; /* for the client alone */
    client = host_client(&l.h);
    l.h.delivery = POOL;
    CHECK_OK(hysock_runtime_after(l.h.runtime, 1, queue, NULL, &timer, never, &timer, ERR));

    int calls[20];
    for (int i = 0; i < 20; i++) {
        CHECK_OK(hysock_call_start(new_call(client, "GET", "/"), NULL, &calls[i], never, ERR));
        CHECK_OK(hysock_producer_send(producer, "hello", 5, HYSOCK_FOREVER, ERR));
    }
    take_until(&l, HYSOCK_EVENT_CALL, 20);
    take_until(&l, HYSOCK_EVENT_BATCH, 1);
    take_until(&l, HYSOCK_EVENT_TIMER, 1);
    take_until(&l, HYSOCK_EVENT_ACCESS, 20);
    take_until(&l, HYSOCK_EVENT_DROP, 21); /* of the calls and the timer */
    CHECK_INT(l.seen[HYSOCK_EVENT_REQUEST], 20);
    hysock_timer_free(timer);
    hysock_producer_free(producer);
    CHECK_OK(hysock_receiver_shutdown(receiver, 5000, ERR));
    take_until(&l, HYSOCK_EVENT_DROP, 22);
    take(&l, 0, 0); /* gives back, and that is all */
    WAIT_OK(hysock_receiver_wait, receiver);
    hysock_receiver_free(receiver);
    CHECK_OK(hysock_client_shutdown(client, 1000, ERR));
    WAIT_OK(hysock_client_wait, client);
    hysock_client_free(client);
    CHECK_INT(hysock_queue_dispatch(queue, 1, 0), HYSOCK_E_STATE);
    loop_stop(&l);
    CHECK_INT(l.seen[HYSOCK_EVENT_CLOSED], 1);
    CHECK_INT(l.seen[HYSOCK_EVENT_DROP], 22 + 4); /* route, access, closed, log */
}

/* ---- the property, after each of many random steps ---- */

#define CLIENTS 16

static void collect(raw *clients, bool *asked, long answered) {
    while (answered > 0) {
        struct pollfd all[CLIENTS];
        for (int i = 0; i < CLIENTS; i++) {
            all[i].fd = asked[i] ? clients[i].fd : -1;
            all[i].events = POLLIN;
            all[i].revents = 0;
        }
        CHECK(poll(all, CLIENTS, check_ms(DEADLINE_MS)) > 0);
        for (int i = 0; i < CLIENTS; i++) {
            if (all[i].revents == 0)
                continue;
            CHECK_INT(raw_status(&clients[i]), 200);
            asked[i] = false;
            answered--;
        }
    }
}

static void random_steps(void) {
    loop l;
    raw clients[CLIENTS];
    bool asked[CLIENTS] = {false};
    long waiting = 0;
    uint64_t state = 88172645463325252u;
    loop_open(&l);
    loop_serve(&l, NULL, NULL);
    for (int i = 0; i < CLIENTS; i++)
        raw_open(&clients[i], l.h.path);
    int steps = check_rounds(10000, 400);
    for (int step = 0; step < steps; step++) {
        uint64_t chance = next_random(&state);
        if (chance % 8 < 4) {
            int i = (int)((chance >> 8) % CLIENTS);
            if (!asked[i]) {
                raw_text(&clients[i], GET_ROOT);
                asked[i] = true;
                waiting++;
            }
        } else if (chance % 8 < 7) {
            long taken = take(&l, 1 + (size_t)(chance >> 8) % 8, 0);
            waiting -= taken;
            collect(clients, asked, taken);
        } else {
            CHECK_OK(hysock_queue_wake(l.h.queue));
            CHECK(readable(&l));
            for (long taken = 1; taken > 0; waiting -= taken) {
                taken = take(&l, ROOM, 0);
                collect(clients, asked, taken);
            }
        }
        CHECK(waiting >= 0);
        if (waiting > 0)
            await_readable(&l);
        else
            CHECK(!readable(&l));
    }
    for (int i = 0; i < CLIENTS; i++)
        raw_close(&clients[i]);
    loop_stop(&l);
}

/* ---- one holder ---- */

typedef struct other {
    loop *l;
    int32_t got;
} other;

static void *take_elsewhere(void *argument) {
    other *o = argument;
    hysock_event events[4];
    o->got = hysock_queue_take(o->l->h.queue, events, 4, sizeof(events[0]), 50);
    return NULL;
}

/* While a thread deals with a handle's event, no other event of it comes out to anybody. */
static void one_holder(void) {
    loop l;
    other o = {&l, -1};
    raw r;
    int gone;
    loop_open(&l);
    l.answers = false;
    loop_serve(&l, NULL, NULL);
    raw_open(&r, l.h.path);
    raw_text(&r, GET_ROOT);
    CHECK_INT(take(&l, ROOM, (uint32_t)check_ms(DEADLINE_MS)), 1);
    CHECK_INT(l.seen[HYSOCK_EVENT_REQUEST], 1);
    hysock_exchange *exchange = l.events[0].handle;
    CHECK_STATUS(hysock_exchange_defer(exchange, ERR), HYSOCK_E_STATE); /* it is already */
    CHECK(hysock_str_equal(hysock_exchange_path(exchange), "/"));
    CHECK(!readable(&l));
    CHECK_OK(hysock_exchange_on_gone(exchange, NULL, &gone, never, ERR));
    raw_close(&r);
    await_readable(&l); /* something waits: for this thread */
    thread_join(thread_start(take_elsewhere, &o));
    CHECK_INT(o.got, 0);
    take_until(&l, HYSOCK_EVENT_GONE, 1);
    CHECK(l.events[0].handle == (void *)exchange && l.events[0].userdata == &gone);
    take_until(&l, HYSOCK_EVENT_DROP, 1);
    CHECK(l.events[0].userdata == &gone);
    hysock_exchange_free(exchange);
    loop_stop(&l);
}

/* The barrier stands until what was taken was given back. */
static void wait_is_a_barrier(void) {
    loop l;
    int route;
    loop_open(&l);
    loop_serve(&l, &route, never);
    CHECK_OK(hysock_server_shutdown(l.h.server, 0, ERR));
    take_until(&l, HYSOCK_EVENT_DROP, 1);
    CHECK(l.events[0].userdata == &route);
    CHECK_STATUS(hysock_server_wait(l.h.server, 50, ERR), HYSOCK_E_TIMED_OUT);
    take(&l, 0, HYSOCK_FOREVER);
    WAIT_OK(hysock_server_wait, l.h.server);
    loop_stop(&l);
}

/* ---- several takers and several queues of one runtime ---- */

typedef struct crowd {
    host *h;
    hysock_queue *queue;
    latch *stop;
    latch *answered;
} crowd;

static void *take_crowd(void *argument) {
    crowd *c = argument;
    hysock_event events[4];
    while (latch_count(c->stop) == 0) {
        int32_t n = hysock_queue_take(c->queue, events, 4, sizeof(events[0]), 20);
        CHECK(n >= 0);
        check_array(events, n);
        for (int32_t i = 0; i < n; i++) {
            if (events[i].kind != HYSOCK_EVENT_REQUEST)
                continue;
            answer_text(events[i].handle, 200, "x");
            hysock_exchange_free(events[i].handle);
            latch_add(c->answered, 1);
        }
    }
    CHECK_INT(hysock_queue_take(c->queue, NULL, 0, sizeof(events[0]), 0), 0);
    return NULL;
}

static void *ask_many(void *argument) {
    raw r;
    raw_open(&r, argument);
    for (int i = 0; i < check_rounds(250, 20); i++) {
        raw_text(&r, GET_ROOT);
        CHECK_INT(raw_status(&r), 200);
    }
    raw_close(&r);
    return NULL;
}

static void several(void) {
    loop l[2];
    latch stop, answered;
    crowd c[2];
    pthread_t takers[4], clients[4];
    latch_init(&stop);
    latch_init(&answered);
    loop_open(&l[0]);
    l[1] = l[0];
    temp_path(l[1].h.path, "second");
    CHECK_OK(hysock_queue_new(l[0].h.runtime, &l[1].h.queue, ERR));
    for (int i = 0; i < 2; i++) {
        loop_serve(&l[i], NULL, NULL);
        c[i] = (crowd){&l[i].h, l[i].h.queue, &stop, &answered};
    }
    for (int i = 0; i < 4; i++) {
        takers[i] = thread_start(take_crowd, &c[i % 2]);
        clients[i] = thread_start(ask_many, l[i % 2].h.path);
    }
    for (int i = 0; i < 4; i++)
        thread_join(clients[i]);
    latch_add(&stop, 1);
    for (int i = 0; i < 4; i++)
        thread_join(takers[i]);
    CHECK_INT(latch_count(&answered), 4L * check_rounds(250, 20));
    CHECK_OK(hysock_server_shutdown(l[1].h.server, 0, ERR));
    int64_t end = now_ms() + check_ms(DEADLINE_MS);
    while (hysock_server_wait(l[1].h.server, 0, ERR) == HYSOCK_E_TIMED_OUT) {
        CHECK(now_ms() < end);
        take(&l[1], ROOM, 10);
    }
    hysock_server_free(l[1].h.server);
    hysock_queue_free(l[1].h.queue);
    loop_stop(&l[0]);
}

/* ---- ends in the middle ---- */

static void freed_while_taken(void) {
    loop l;
    raw r;
    int gone;
    latch drops;
    latch_init(&drops);
    loop_open(&l);
    l.answers = false;
    loop_serve(&l, &gone, NULL);
    raw_open(&r, l.h.path);
    raw_text(&r, GET_ROOT);
    CHECK_INT(take(&l, ROOM, (uint32_t)check_ms(DEADLINE_MS)), 1);
    hysock_exchange *exchange = l.events[0].handle;
    hysock_queue_free(l.h.queue); /* what was taken counts as given back */
    CHECK_INT(hysock_queue_take(l.h.queue, l.events, 1, sizeof(l.events[0]), 0),
              HYSOCK_E_BAD_HANDLE);
    l.h.queue = NULL;
    answer_text(exchange, 200, "still");
    CHECK_INT(raw_status(&r), 200);
    hysock_exchange_free(exchange);
    raw_close(&r);
    host_stop(&l.h);
}

/* ---- what is refused, and sizes of other versions ---- */

static hysock_queue *nested;

static void take_inside(hysock_exchange *exchange, void *userdata) {
    hysock_event event;
    (void)exchange;
    CHECK_INT(hysock_queue_take(nested, &event, 1, sizeof(event), 0), HYSOCK_E_WOULD_DEADLOCK);
    latch_add(userdata, 1);
}

static void refusals(void) {
    loop l;
    latch inside;
    latch_init(&inside);
    loop_open(&l);
    hysock_queue *queue = l.h.queue;
    CHECK_INT(hysock_queue_take(queue, NULL, 1, sizeof(l.events[0]), 0), HYSOCK_E_INVALID_ARGUMENT);
    CHECK_INT(hysock_queue_take(queue, l.events, 1, 8, 0), HYSOCK_E_INVALID_ARGUMENT);
    int64_t began = now_ms();
    CHECK_INT(hysock_queue_take(queue, l.events, 1, sizeof(l.events[0]), 60), 0);
    CHECK(now_ms() - began >= 55);
    CHECK_OK(hysock_queue_wake(queue));
    CHECK_INT(hysock_queue_take(queue, l.events, 1, sizeof(l.events[0]), HYSOCK_FOREVER), 0);
    CHECK(!readable(&l));
    /* Without a queue nothing can be taken: a function is needed. */
    CHECK_STATUS(hysock_runtime_after(l.h.runtime, 1, NULL, NULL, NULL, NULL, NULL, ERR),
                 HYSOCK_E_INVALID_ARGUMENT);
    CHECK_ERR(HYSOCK_E_INVALID_ARGUMENT, "fn is NULL");
    /* What runs before a request is handed over runs inside the take. */
    hysock_server_config *config = hysock_server_config_new();
    CHECK_OK(hysock_server_config_set_queue(config, queue));
    CHECK_OK(hysock_server_new(l.h.runtime, config, &l.h.server, ERR));
    hysock_server_config_free(config);
    CHECK_STATUS(hysock_server_on_request(l.h.server, NULL, NULL, NULL, ERR),
                 HYSOCK_E_INVALID_ARGUMENT);
    CHECK_OK(hysock_server_on_request(l.h.server, take_inside, &inside, NULL, ERR));
    CHECK_OK(hysock_server_add_route(l.h.server, NULL, NULL, NULL, NULL, NULL, ERR));
    CHECK_OK(hysock_server_add_listener(l.h.server, l.h.path, HYSOCK_NTS, NULL, ERR));
    CHECK_OK(hysock_server_start(l.h.server, ERR));
    nested = queue;
    raw r;
    raw_open(&r, l.h.path);
    raw_text(&r, GET_ROOT);
    take_until(&l, HYSOCK_EVENT_REQUEST, 1);
    CHECK_INT(latch_count(&inside), 1);
    CHECK_INT(raw_status(&r), 200);
    raw_close(&r);
    /* A program with a longer struct gets zeros behind what we know. */
    struct {
        hysock_event event;
        uint64_t more[2];
    } longer[2];
    memset(longer, 0xff, sizeof(longer));
    CHECK_OK(hysock_runtime_after(l.h.runtime, 0, queue, NULL, &l, NULL, NULL, ERR));
    CHECK_OK(hysock_runtime_after(l.h.runtime, 0, queue, NULL, &l.n, NULL, NULL, ERR));
    for (int i = 0; i < 2; i++)
        CHECK_INT(hysock_queue_take(queue, &longer[i].event, 1, sizeof(longer[0]),
                                    (uint32_t)check_ms(DEADLINE_MS)),
                  1);
    for (int i = 0; i < 2; i++) {
        CHECK_INT(longer[i].event.kind, HYSOCK_EVENT_TIMER);
        CHECK(longer[i].event.userdata == (i == 0 ? (void *)&l : (void *)&l.n));
        CHECK(longer[i].more[0] == 0 && longer[i].more[1] == 0);
    }
    loop_stop(&l);
}

/* ---- bodies, piece by piece, both ways ---- */

static void pieces(void) {
    loop l;
    char body[4];
    hysock_call *call;
    loop_open(&l);
    l.answers = false;
    hysock_server_config *config = hysock_server_config_new();
    CHECK_OK(hysock_server_config_set_queue(config, l.h.queue));
    CHECK_OK(hysock_server_new(l.h.runtime, config, &l.h.server, ERR));
    hysock_server_config_free(config);
    CHECK_OK(hysock_server_add_streaming_route(l.h.server, NULL, NULL, NULL, NULL, NULL, ERR));
    CHECK_OK(hysock_server_add_listener(l.h.server, l.h.path, HYSOCK_NTS, NULL, ERR));
    CHECK_OK(hysock_server_start(l.h.server, ERR));
    l.h.delivery = QUEUE;
    hysock_client *client = host_client(&l.h);
    l.h.delivery = POOL;
    call = new_call(client, "POST", "/");
    CHECK_OK(hysock_call_set_body(call, NULL, "here", 4));
    CHECK_OK(hysock_call_set_streaming(call));
    CHECK_OK(hysock_call_start(call, NULL, &call, NULL, ERR));
    take_until(&l, HYSOCK_EVENT_REQUEST, 1);
    hysock_exchange *exchange = l.events[0].handle;
    CHECK_OK(hysock_exchange_read_start(exchange, NULL, body, NULL, ERR));
    take_until(&l, HYSOCK_EVENT_READ, 1);
    CHECK(l.events[0].handle == (void *)exchange && l.events[0].userdata == (void *)body);
    CHECK(l.events[0].status == HYSOCK_OK && hysock_str_equal(l.events[0].data, "here"));
    answer_text(exchange, 200, "there");
    hysock_exchange_free(exchange);
    take_until(&l, HYSOCK_EVENT_CALL, 1);
    CHECK(l.events[0].handle == (void *)call && l.events[0].userdata == (void *)&call);
    CHECK_OK(hysock_call_read_start(call, NULL, body, NULL, ERR));
    take_until(&l, HYSOCK_EVENT_CALL_READ, 1);
    CHECK(l.events[0].handle == (void *)call && l.events[0].userdata == (void *)body);
    CHECK(l.events[0].status == HYSOCK_OK && hysock_str_equal(l.events[0].data, "there"));
    CHECK_OK(hysock_call_read_start(call, NULL, body, NULL, ERR));
    take_until(&l, HYSOCK_EVENT_CALL_READ, 2);
    CHECK(l.events[0].status == HYSOCK_OK && l.events[0].data.ptr == NULL);
    hysock_call_free(call);
    CHECK_OK(hysock_client_shutdown(client, 0, ERR));
    take(&l, 0, 0);
    WAIT_OK(hysock_client_wait, client);
    hysock_client_free(client);
    loop_stop(&l);
}

/* ---- all headers by one call ---- */

static bool has(const hysock_header *headers, int32_t n, const char *name, const char *value) {
    for (int32_t i = 0; i < n; i++)
        if (hysock_str_equal(headers[i].name, name) && hysock_str_equal(headers[i].value, value))
            return true;
    return false;
}

static hysock_header header(const char *name, const char *value) {
    hysock_header h = {{name, strlen(name)}, {value, strlen(value)}};
    return h;
}

static void headers(void) {
    loop l;
    hysock_header in[16], out[3];
    loop_open(&l);
    l.answers = false;
    loop_serve(&l, NULL, NULL);
    l.h.delivery = QUEUE;
    hysock_client *client = host_client(&l.h);
    l.h.delivery = POOL;
    hysock_call *call = new_call(client, "GET", "/");
    out[0] = header("X-Two", "a");
    out[1] = header("X-Two", "b");
    CHECK_OK(hysock_call_add_headers(call, out, 2));
    CHECK_INT(hysock_call_headers(call, in, 16), 0);
    CHECK_OK(hysock_call_start(call, NULL, NULL, NULL, ERR));
    take_until(&l, HYSOCK_EVENT_REQUEST, 1);
    hysock_exchange *exchange = l.events[0].handle;
    int32_t n = hysock_exchange_headers(exchange, in, 16);
    CHECK_INT(n, hysock_exchange_header_count(exchange));
    CHECK(has(in, n, "x-two", "a") && has(in, n, "x-two", "b") && has(in, n, "host", "localhost"));
    memset(in, 0, sizeof(in));
    CHECK_INT(hysock_exchange_headers(exchange, in, 1), n); /* there are more than fit */
    CHECK(in[0].name.ptr != NULL && in[1].name.ptr == NULL);
    CHECK_INT(hysock_exchange_headers(exchange, NULL, 0), n);
    CHECK_INT(hysock_exchange_trailers(exchange, NULL, 0), 0);
    out[2] = header("X-Bad", "line\nfeed");
    CHECK_STATUS(hysock_exchange_add_headers(exchange, out, 3), HYSOCK_E_INVALID_ARGUMENT);
    CHECK_STATUS(hysock_exchange_answer(exchange, 200, NULL, NULL, 0, ERR),
                 HYSOCK_E_INVALID_ARGUMENT);
    CHECK_ERR(HYSOCK_E_INVALID_ARGUMENT, "x-bad");
    out[0] = header("X-Three", "c");
    CHECK_OK(hysock_exchange_add_headers(exchange, out, 1));
    CHECK_OK(hysock_exchange_add_headers(exchange, NULL, 0));
    CHECK_OK(hysock_exchange_answer(exchange, 200, NULL, NULL, 0, ERR));
    hysock_exchange_free(exchange);
    while (hysock_call_error(call, NULL) == HYSOCK_E_WOULD_BLOCK)
        await_readable(&l);
    n = hysock_call_headers(call, in, 16);
    CHECK(has(in, n, "x-two", "a") && has(in, n, "x-two", "b") && has(in, n, "x-three", "c"));
    take_until(&l, HYSOCK_EVENT_CALL, 1);
    hysock_call_free(call);
    CHECK_OK(hysock_client_shutdown(client, 0, ERR));
    take(&l, 0, 0);
    WAIT_OK(hysock_client_wait, client);
    hysock_client_free(client);
    loop_stop(&l);
}

int main(void) {
    check_start();
    all_at_once();
    random_steps();
    one_holder();
    wait_is_a_barrier();
    several();
    freed_while_taken();
    refusals();
    pieces();
    headers();
    return check_end();
}
