/* Calls that are made, one after another, in the completion of the last one: the library makes them
 * out of the memory of those that were freed, and nothing of those may show. Argument: the
 * delivery.
 */
#include "host.h"

enum { CALLS = 200 };

static enum delivery delivery;

typedef struct chain {
    hysock_client *client;
    int number;
    latch done;
    latch drops;
} chain;

/* Says what it was sent: method, target, X-One, body. */
static void peer(hysock_exchange *exchange, void *userdata) {
    (void)userdata;
    char text[512];
    hysock_str method = hysock_exchange_method(exchange);
    hysock_str path = hysock_exchange_path(exchange);
    hysock_str query = hysock_exchange_query(exchange);
    hysock_str one = hysock_exchange_header(exchange, "x-one");
    hysock_str body = hysock_exchange_body(exchange);
    int n = snprintf(text, sizeof(text), "%.*s %.*s?%.*s %.*s %.*s", HYSOCK_PRI(method),
                     HYSOCK_PRI(path), HYSOCK_PRI(query), HYSOCK_PRI(one), HYSOCK_PRI(body));
    int status = query.len % 2 == 0 ? 200 : 404;
    /* A call that was cancelled may be gone already; one that waits for this hears if it failed. */
    if (status == 404)
        (void)hysock_exchange_add_header(exchange, "X-Odd", "yes", HYSOCK_NTS);
    (void)hysock_exchange_answer(exchange, status, NULL, text, (size_t)n, NULL);
}

/* One call has a header, the next a body, the third neither; method and target change every fourth
 * time, so that the same is asked with and without. */
static const char *method_of(int i) { return i / 4 % 2 == 1 ? "POST" : "PUT"; }

static void target_of(int i, char *text, size_t size) {
    snprintf(text, size, "/t%d?%.*s", i / 4, i / 4 % 3, "xy");
}

static void expected_of(int i, char *text, size_t size) {
    char target[64];
    target_of(i, target, sizeof(target));
    snprintf(text, size, "%s %s %s %s", method_of(i), target, i % 3 == 0 ? "one" : "",
             i % 3 == 1 ? "body" : "");
}

static void check_fresh(const hysock_call *call) {
    CHECK_INT(hysock_call_http_status(call), 0);
    CHECK_INT(hysock_call_version(call), 0);
    CHECK_INT(hysock_call_header_count(call), 0);
    CHECK(hysock_call_body(call).ptr == NULL);
    CHECK(hysock_call_header(call, "content-length").ptr == NULL);
    CHECK_STATUS(hysock_call_error(call, ERR), HYSOCK_E_WOULD_BLOCK);
}

static void on_drop(void *userdata) {
    chain *c = userdata;
    latch_add(&c->drops, 1);
}

static void on_never(hysock_call *call, hysock_status status, void *userdata) {
    (void)call;
    (void)status;
    (void)userdata;
    CHECK(!"a call that did not start completes");
}

/* Calls that never start leave nothing behind either. */
static void spoil(chain *c, int i) {
    hysock_call *call = new_call(c->client, "PUT", "/spoilt");
    check_fresh(call);
    CHECK_OK(hysock_call_set_body(call, "text/plain", "spoilt", 6));
    if (i % 5 == 0) {
        CHECK_OK(hysock_call_cancel(call, ERR));
        CHECK_STATUS(hysock_call_start(call, on_never, c, on_drop, ERR), HYSOCK_E_CANCELLED);
    } else {
        CHECK_STATUS(hysock_call_set_header(call, "a b", "c", HYSOCK_NTS),
                     HYSOCK_E_INVALID_ARGUMENT);
        CHECK_STATUS(hysock_call_start(call, on_never, c, on_drop, ERR), HYSOCK_E_INVALID_ARGUMENT);
    }
    hysock_call_free(call);
    CHECK_STATUS(hysock_call_new(c->client, "GET", "no slash", HYSOCK_NTS, &call, ERR),
                 HYSOCK_E_INVALID_ARGUMENT);
}

static void next(chain *c);

static void on_answer(hysock_call *call, hysock_status status, void *userdata) {
    chain *c = userdata;
    int i = c->number++;
    char expected[128];
    expected_of(i, expected, sizeof(expected));
    /* Cancelled at once; in another thread the answer may be faster all the same. */
    if (i % 7 == 6 && (delivery == INLINE || status != HYSOCK_OK)) {
        CHECK_STATUS(status, HYSOCK_E_CANCELLED);
        CHECK_INT(hysock_call_http_status(call), 0);
    } else {
        CHECK_STATUS(status, HYSOCK_OK);
        bool odd = i / 4 % 3 == 1;
        CHECK_INT(hysock_call_http_status(call), odd ? 404 : 200);
        CHECK((hysock_call_header(call, "x-odd").ptr != NULL) == odd);
        CHECK(hysock_str_equal(hysock_call_body(call), expected));
        CHECK_INT(hysock_call_body(call).ptr[strlen(expected)], 0);
    }
    hysock_call_free(call);
    next(c);
    /* The handle is wrong, whoever has its memory now. */
    CHECK_INT(hysock_call_http_status(call), 0);
    CHECK_STATUS(hysock_call_error(call, ERR), HYSOCK_E_BAD_HANDLE);
    CHECK_STATUS(hysock_call_cancel(call, ERR), HYSOCK_E_BAD_HANDLE);
}

static void next(chain *c) {
    int i = c->number;
    if (i == CALLS) {
        latch_add(&c->done, 1);
        return;
    }
    char target[64];
    target_of(i, target, sizeof(target));
    if (i % 4 == 3)
        spoil(c, i);
    hysock_call *call = new_call(c->client, method_of(i), target);
    check_fresh(call);
    if (i % 3 == 1)
        CHECK_OK(hysock_call_set_body(call, NULL, "body", 4));
    if (i % 3 == 0)
        CHECK_OK(hysock_call_set_header(call, "X-One", "one", HYSOCK_NTS));
    CHECK_OK(hysock_call_start(call, on_answer, c, on_drop, ERR));
    if (i % 7 == 6) {
        /* In another thread it may have ended and been freed by now. */
        hysock_status status = hysock_call_cancel(call, NULL);
        CHECK(status == HYSOCK_OK || (delivery != INLINE && status == HYSOCK_E_BAD_HANDLE));
    }
}

int main(int argc, char **argv) {
    check_start();
    host h;
    chain c;
    delivery = delivery_parse(argc, argv);
    host_start(&h, delivery, peer, NULL);
    c.client = host_client(&h);
    c.number = 0;
    latch_init(&c.done);
    latch_init(&c.drops);
    next(&c);
    LATCH_AWAIT(&c.done, 1);
    LATCH_AWAIT(&c.drops, CALLS + CALLS / 4);
    CHECK_INT(c.number, CALLS);
    hysock_client_free(c.client);
    host_stop(&h);
    latch_free(&c.done);
    latch_free(&c.drops);
    return check_end();
}
