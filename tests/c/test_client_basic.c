/* Calls that are answered, blocking and by callback, against a hysock server in this process.
 * Argument: the delivery. */
#include "host.h"

static enum delivery delivery;

static void answer_size(hysock_exchange *exchange, hysock_str query) {
    char number[32];
    hysock_str_copy(query, number, sizeof(number));
    size_t size = (size_t)strtoull(number, NULL, 10);
    char *data = malloc(size + 1);
    CHECK(data != NULL);
    memset(data, 'b', size);
    CHECK_OK(hysock_exchange_answer(exchange, 200, NULL, data, size, ERR));
    free(data);
}

static void answer_heads(hysock_exchange *exchange) {
    char text[256];
    hysock_str method = hysock_exchange_method(exchange);
    hysock_str host = hysock_exchange_header(exchange, "host");
    hysock_str one = hysock_exchange_header(exchange, "x-one");
    int n = snprintf(text, sizeof(text), "%.*s|%.*s|%.*s", HYSOCK_PRI(method), HYSOCK_PRI(host),
                     HYSOCK_PRI(one));
    CHECK_OK(hysock_exchange_add_header(exchange, "X-Answer", "1", HYSOCK_NTS));
    CHECK_OK(hysock_exchange_add_header(exchange, "x-answer", "2", HYSOCK_NTS));
    CHECK_OK(hysock_exchange_answer(exchange, 200, NULL, text, (size_t)n, ERR));
}

/* The peer: echoes, gives bodies of a size, or says what it was sent. */
static void peer(hysock_exchange *exchange, void *userdata) {
    (void)userdata;
    hysock_str path = hysock_exchange_path(exchange);
    hysock_str body = hysock_exchange_body(exchange);
    hysock_str type = hysock_exchange_header(exchange, "content-type");
    char copy[64] = "";
    if (hysock_str_equal(path, "/size")) {
        answer_size(exchange, hysock_exchange_query(exchange));
    } else if (hysock_str_equal(path, "/echo")) {
        hysock_str_copy(type, copy, sizeof(copy));
        CHECK_OK(
            hysock_exchange_answer(exchange, 200, type.ptr ? copy : NULL, body.ptr, body.len, ERR));
    } else if (hysock_str_equal(path, "/heads")) {
        answer_heads(exchange);
    } else {
        answer_text(exchange, 404, "no such thing");
    }
}

static void check_body(const hysock_call *call, const char *expected) {
    hysock_str body = hysock_call_body(call);
    CHECK(body.ptr != NULL);
    CHECK_INT(body.ptr[body.len], 0); /* an uncounted NUL */
    if (!hysock_str_equal(body, expected)) {
        dprintf(check_fd, "body \"%.*s\", expected \"%s\"\n", HYSOCK_PRI(body), expected);
        CHECK(!"the right body");
    }
}

/* ---- blocking ---- */

static void heads(hysock_client *client) {
    hysock_str name, value;
    hysock_call *call = new_call(client, "GET", "/heads");
    CHECK_INT(hysock_call_http_status(call), 0);
    CHECK_INT(hysock_call_version(call), 0);
    CHECK(hysock_call_body(call).ptr == NULL);
    CHECK(hysock_call_header(call, "x-answer").ptr == NULL);
    CHECK_OK(hysock_call_set_header(call, "X-One", "old", HYSOCK_NTS));
    CHECK_OK(hysock_call_set_header(call, "x-one", "new!", 3));
    CHECK_OK(hysock_call_perform(call, ERR));
    CHECK_OK(hysock_call_error(call, ERR));
    CHECK_INT(check_error.status, HYSOCK_OK);
    CHECK_INT(hysock_call_http_status(call), 200);
    CHECK_INT(hysock_call_version(call), 11);
    check_body(call, "GET|localhost|new");
    int answers = 0;
    int32_t count = hysock_call_header_count(call);
    for (int32_t i = 0; i < count; i++) {
        CHECK_OK(hysock_call_header_at(call, (size_t)i, &name, &value));
        answers += hysock_str_equal(name, "x-answer");
    }
    CHECK_INT(answers, 2);
    CHECK_STATUS(hysock_call_header_at(call, (size_t)count, &name, &value),
                 HYSOCK_E_INVALID_ARGUMENT);
    CHECK(hysock_str_equal(hysock_call_header(call, "X-ANSWER"), "1"));
    CHECK(hysock_call_header(call, "x-absent").ptr == NULL);
    CHECK_STATUS(hysock_call_perform(call, ERR), HYSOCK_E_STATE);
    check_body(call, "GET|localhost|new"); /* the refusal has changed nothing */
    hysock_call_free(call);

    call = new_call(client, "GET", "/heads");
    CHECK_OK(hysock_call_set_header(call, "Host", "other", HYSOCK_NTS));
    CHECK_OK(hysock_call_perform(call, ERR));
    check_body(call, "GET|other|");
    hysock_call_free(call);
}

static void bodies(hysock_client *client) {
    hysock_call *call = new_call(client, "POST", "/echo");
    char body[] = "text of mine";
    CHECK_OK(hysock_call_set_body(call, "x/mine", body, 4));
    memset(body, '#', sizeof(body)); /* it was copied */
    CHECK_OK(hysock_call_perform(call, ERR));
    check_body(call, "text");
    CHECK(hysock_str_equal(hysock_call_header(call, "content-type"), "x/mine"));
    hysock_call_free(call);

    call = new_call(client, "POST", "/echo");
    CHECK_OK(hysock_call_perform(call, ERR)); /* no body at all */
    check_body(call, "");
    hysock_call_free(call);

    call = new_call(client, "HEAD", "/size?100");
    CHECK_OK(hysock_call_perform(call, ERR));
    CHECK_INT(hysock_call_http_status(call), 200);
    CHECK_INT(hysock_call_body(call).len, 0);
    CHECK(hysock_str_equal(hysock_call_header(call, "content-length"), "100"));
    hysock_call_free(call);

    /* Larger than any socket buffer, both ways. */
    size_t size = 900000;
    char *data = malloc(size);
    CHECK(data != NULL);
    for (size_t i = 0; i < size; i++)
        data[i] = (char)(i * 7);
    call = new_call(client, "POST", "/echo");
    CHECK_OK(hysock_call_set_body(call, NULL, data, size));
    CHECK_OK(hysock_call_perform(call, ERR));
    CHECK_INT(hysock_call_body(call).len, size);
    CHECK(memcmp(hysock_call_body(call).ptr, data, size) == 0);
    hysock_call_free(call);
    free(data);
}

static void perform(hysock_client *client) {
    heads(client);
    bodies(client);
    /* An HTTP error is a success of the transport. */
    hysock_call *call = new_call(client, "DELETE", "/x");
    CHECK_OK(hysock_call_perform(call, ERR));
    CHECK_INT(hysock_call_http_status(call), 404);
    check_body(call, "no such thing");
    hysock_call_free(call);
    for (int i = 0; i < 100; i++) {
        call = new_call(client, "GET", "/size?1");
        CHECK_OK(hysock_call_perform(call, ERR));
        check_body(call, "b");
        hysock_call_free(call);
    }
}

/* ---- by callback ---- */

static void started(hysock_client *client) {
    static completion many[128];
    completion one;
    completion_new(&one, client, delivery, "/heads");
    CHECK_OK(hysock_call_set_header(one.call, "x-one", "1", HYSOCK_NTS));
    completion_start(&one);
    completion_await(&one, HYSOCK_OK);
    CHECK_INT(hysock_call_http_status(one.call), 200);
    CHECK_INT(hysock_call_version(one.call), 11);
    check_body(one.call, "GET|localhost|1");
    CHECK_STATUS(hysock_call_perform(one.call, ERR), HYSOCK_E_STATE);
    hysock_call_free(one.call);
    /* More calls than connections, each freed in its own completion: fire and forget. */
    for (int i = 0; i < 128; i++) {
        completion_new(&many[i], client, delivery, "/size?1");
        many[i].free_here = true;
        completion_start(&many[i]);
    }
    for (int i = 0; i < 128; i++)
        completion_await(&many[i], HYSOCK_OK);
    CHECK_INT(hysock_handles_live(HYSOCK_KIND_CALL), 0);
}

/* ---- the limit of a body ---- */

static void limits(host *h) {
    hysock_client *client = NULL;
    hysock_client_config *config = hysock_client_config_new();
    CHECK_OK(hysock_client_config_set_max_body(config, 65536));
    if (delivery == QUEUE)
        CHECK_OK(hysock_client_config_set_queue(config, h->queue));
    if (delivery == INLINE)
        CHECK_OK(hysock_client_config_set_delivery(config, HYSOCK_DELIVERY_INLINE));
    CHECK_OK(hysock_client_new(h->runtime, h->path, HYSOCK_NTS, config, &client, ERR));
    hysock_client_config_free(config);
    static const struct {
        const char *target;
        hysock_status status;
    } rows[] = {
        {"/size?65536", HYSOCK_OK},
        {"/size?65537", HYSOCK_E_TOO_LARGE},
        {"/size?3000000", HYSOCK_E_TOO_LARGE},
        {"/size?65536", HYSOCK_OK},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        completion c;
        hysock_call *call = new_call(client, "GET", rows[i].target);
        CHECK_STATUS(hysock_call_perform(call, ERR), rows[i].status);
        if (rows[i].status != HYSOCK_OK)
            CHECK_ERR(HYSOCK_E_TOO_LARGE, "hysock_client_config_set_max_body");
        else
            CHECK_INT(hysock_call_body(call).len, 65536);
        hysock_call_free(call);
        completion_new(&c, client, delivery, rows[i].target);
        completion_start(&c);
        completion_await(&c, rows[i].status);
        hysock_call_free(c.call);
    }
    hysock_client_free(client);
}

/* ---- many threads on one client ---- */

static void *perform_many(void *argument) {
    hysock_client *client = argument;
    for (int i = 0; i < check_rounds(500, 30); i++) {
        hysock_call *call = new_call(client, "GET", "/size?1");
        CHECK_OK(hysock_call_perform(call, ERR));
        check_body(call, "b");
        hysock_call_free(call);
    }
    return NULL;
}

static void threads(hysock_client *client) {
    pthread_t all[4];
    for (int i = 0; i < 4; i++)
        all[i] = thread_start(perform_many, client);
    for (int i = 0; i < 4; i++)
        thread_join(all[i]);
}

int main(int argc, char **argv) {
    host h;
    hysock_client *bare = NULL;
    check_start();
    delivery = delivery_parse(argc, argv);
    host_open(&h, delivery, NULL);
    hysock_server_config *config = host_server_config(&h);
    CHECK_OK(hysock_server_config_set_max_body(config, HYSOCK_UNLIMITED));
    host_serve(&h, config, peer, NULL, NULL);
    hysock_client *client = host_client(&h);
    perform(client);
    started(client);
    limits(&h);
    threads(client);
    hysock_client_free(client);
    /* Without a runtime: the same, on nobody's threads but ours. */
    CHECK_OK(hysock_client_new(NULL, h.path, HYSOCK_NTS, NULL, &bare, ERR));
    perform(bare);
    threads(bare);
    hysock_client_free(bare);
    host_stop(&h);
    return check_end();
}
