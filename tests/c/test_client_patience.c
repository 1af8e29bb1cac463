/* The limits on a server's pauses: each ends the call in its time and says which one it was, for
 * calls that are performed and for those that are started. Argument: the delivery. */
#include "host.h"

#define LIMIT 150
#define LARGE ((size_t)4 << 20)

static enum delivery delivery;
static latch close_now; /* the server may close what it has */

/* The server does one of these with each connection. */
static void on_slow(raw *r) {
    const char *piece = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 6\r\n\r\nabcdef";
    size_t at, step = 9, len = strlen(piece);
    for (at = 0; at < len; at += step) {
        take_ms(LIMIT / 3);
        raw_send(r, piece + at, len - at < step ? len - at : step);
    }
}

static void *serve(void *argument) {
    int listener = *(int *)argument;
    long unread = 0;
    for (;;) {
        raw r;
        raw_accept(&r, listener);
        size_t head = raw_head(&r);
        bool last = head > 0 && memmem(r.data, head, "/end", 4) != NULL;
        if (last)
            raw_text(&r, "HTTP/1.1 204 No\r\n\r\n");
        else if (memmem(r.data, head, "/half", 5) != NULL)
            raw_text(&r, "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nabc");
        else if (memmem(r.data, head, "/slow", 5) != NULL)
            on_slow(&r);
        else if (memmem(r.data, head, "/interim", 8) != NULL)
            raw_text(&r, "HTTP/1.1 102 Wait\r\n\r\n");
        /* The client leaves; or its body fills the buffers, of which nothing is read. */
        if (!last && memmem(r.data, head, "/full", 5) == NULL)
            CHECK(raw_fill(&r, check_ms(DEADLINE_MS)) == 0);
        else if (!last)
            LATCH_AWAIT(&close_now, ++unread);
        raw_close(&r);
        if (last)
            return NULL;
    }
}

typedef struct expectation {
    const char *method, *target;
    uint32_t total, first_byte, idle;
    hysock_status status;
    const char *word;
    int ms; /* when, 0 = any time */
} expectation;

static hysock_call *prepare(hysock_client *client, const expectation *e) {
    hysock_call *call = new_call(client, e->method, e->target);
    if (e->total != 0)
        CHECK_OK(hysock_call_set_timeout(call, e->total));
    if (e->first_byte != 0)
        CHECK_OK(hysock_call_set_first_byte_timeout(call, e->first_byte));
    if (e->idle != 0)
        CHECK_OK(hysock_call_set_idle_timeout(call, e->idle));
    if (strcmp(e->method, "POST") == 0) {
        char *body = calloc(1, LARGE);
        CHECK(body != NULL);
        CHECK_OK(hysock_call_set_body(call, NULL, body, LARGE));
        free(body);
    }
    return call;
}

static void ended(const expectation *e, hysock_call *call, int64_t began) {
    int64_t took = now_ms() - began;
    CHECK_STATUS(hysock_call_error(call, ERR), e->status);
    if (e->status != HYSOCK_OK)
        CHECK_ERR(e->status, e->word);
    if (e->ms != 0) {
        CHECK(took >= e->ms);
        CHECK(took < e->ms + check_ms(400)); /* a loaded machine, not our imprecision */
    }
    CHECK_STATUS(hysock_call_set_idle_timeout(call, 1), HYSOCK_E_STATE);
    CHECK_STATUS(hysock_call_set_first_byte_timeout(call, 1), HYSOCK_E_STATE);
}

static void expect(hysock_client *client, const expectation *e) {
    hysock_call *call = prepare(client, e);
    int64_t began = now_ms();
    CHECK_STATUS(hysock_call_perform(call, ERR), e->status);
    ended(e, call, began);
    hysock_call_free(call);
    latch_add(&close_now, strcmp(e->target, "/full") == 0);

    completion c;
    completion_new(&c, client, delivery, "/unused");
    hysock_call_free(c.call);
    c.call = prepare(client, e);
    began = now_ms();
    completion_start(&c);
    completion_await(&c, e->status);
    ended(e, c.call, began);
    hysock_call_free(c.call);
    latch_add(&close_now, strcmp(e->target, "/full") == 0);
}

static void each_limit(hysock_client *client) {
    const expectation all[] = {
        {"GET", "/silent", LIMIT, 0, 0, HYSOCK_E_TIMED_OUT, "no whole answer within 150", LIMIT},
        {"GET", "/silent", 300, 0, 0, HYSOCK_E_TIMED_OUT, "no whole answer within 300", 300},
        {"GET", "/silent", 900, 0, 0, HYSOCK_E_TIMED_OUT, "no whole answer within 900", 900},
        {"GET", "/silent", 0, LIMIT, 0, HYSOCK_E_TIMED_OUT, "answer within 150 ms", LIMIT},
        {"GET", "/silent", 0, 0, LIMIT, HYSOCK_E_TIMED_OUT, "either way, for 150 ms", LIMIT},
        {"GET", "/silent", 9000, LIMIT, 5000, HYSOCK_E_TIMED_OUT, "of an answer", LIMIT},
        {"GET", "/silent", 9000, 5000, LIMIT, HYSOCK_E_TIMED_OUT, "either way", LIMIT},
        {"GET", "/silent", LIMIT, 5000, 5000, HYSOCK_E_TIMED_OUT, "no whole answer", LIMIT},
        /* The answer has begun: the first byte is no matter any more. */
        {"GET", "/half", 0, LIMIT / 3, 3 * LIMIT, HYSOCK_E_TIMED_OUT, "either way", 3 * LIMIT},
        {"GET", "/interim", 0, LIMIT / 3, 2 * LIMIT, HYSOCK_E_TIMED_OUT, "either way", 2 * LIMIT},
        {"GET", "/half", 2 * LIMIT, LIMIT, 0, HYSOCK_E_TIMED_OUT, "no whole answer", 2 * LIMIT},
        /* The request was not sent to its end, so nobody can be blamed for not answering. */
        {"POST", "/full", 0, LIMIT / 3, 2 * LIMIT, HYSOCK_E_TIMED_OUT, "either way", 2 * LIMIT},
    };
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
        expect(client, &all[i]);
}

/* A byte now and then is enough for as long as it takes. */
static void slow_is_not_idle(hysock_client *client) {
    uint32_t limit = (uint32_t)check_ms(LIMIT);
    const expectation slow = {"GET", "/slow", 0, limit, limit, HYSOCK_OK, NULL, 0};
    expect(client, &slow);
}

/* What the client's config says holds for its calls, and a call may say otherwise. */
static void from_config(const char *path) {
    hysock_client *client = NULL;
    hysock_client_config *config = hysock_client_config_new();
    CHECK_OK(hysock_client_config_set_first_byte_timeout(config, 40));
    CHECK_OK(hysock_client_config_set_idle_timeout(config, 60000));
    CHECK_OK(hysock_client_new(NULL, path, HYSOCK_NTS, config, &client, ERR));
    hysock_call *call = new_call(client, "GET", "/silent");
    CHECK_STATUS(hysock_call_perform(call, ERR), HYSOCK_E_TIMED_OUT);
    CHECK_ERR(HYSOCK_E_TIMED_OUT, "answer within 40 ms");
    hysock_call_free(call);
    call = new_call(client, "GET", "/silent");
    CHECK_OK(hysock_call_set_first_byte_timeout(call, HYSOCK_FOREVER));
    CHECK_OK(hysock_call_set_idle_timeout(call, 70));
    CHECK_STATUS(hysock_call_perform(call, ERR), HYSOCK_E_TIMED_OUT);
    CHECK_ERR(HYSOCK_E_TIMED_OUT, "either way, for 70 ms");
    hysock_call_free(call);
    hysock_client_free(client);
    CHECK_STATUS(hysock_client_config_set_first_byte_timeout(config, 0), HYSOCK_E_INVALID_ARGUMENT);
    CHECK_STATUS(hysock_client_new(NULL, path, HYSOCK_NTS, config, &client, ERR),
                 HYSOCK_E_INVALID_ARGUMENT);
    CHECK_ERR(HYSOCK_E_INVALID_ARGUMENT, "set_first_byte_timeout");
    hysock_client_config_free(config);
}

int main(int argc, char **argv) {
    check_start();
    delivery = delivery_parse(argc, argv);
    latch_init(&close_now);
    host h;
    host_open(&h, delivery, NULL);
    int listener = raw_listen(h.path);
    pthread_t server = thread_start(serve, &listener);
    hysock_client *client = host_client(&h);
    each_limit(client);
    slow_is_not_idle(client);
    from_config(h.path);
    hysock_call *call = new_call(client, "GET", "/end");
    CHECK_OK(hysock_call_perform(call, ERR));
    hysock_call_free(call);
    thread_join(server);
    close(listener);
    hysock_client_free(client);
    host_stop(&h);
    return check_end();
}
