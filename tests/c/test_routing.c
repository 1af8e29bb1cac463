/* Which handler a request goes to, and what it is told of path, query and headers. Argument: the
 * delivery. */
#include "host.h"

#define GET(target) "GET " target " HTTP/1.1\r\nHost: x\r\n\r\n"

static enum delivery delivery;

/* Adds `NAME=VALUE|` to a text; an absent value is `-`, other bytes than printable ones are hex. */
static void put(char *text, size_t size, const char *name, hysock_str value) {
    size_t n = strlen(text);
    n += (size_t)snprintf(text + n, size - n, "%s=%s", name, value.ptr == NULL ? "-" : "");
    for (size_t i = 0; i < value.len && n + 8 < size; i++) {
        unsigned char c = (unsigned char)value.ptr[i];
        n += (size_t)snprintf(text + n, size - n, c > 32 && c < 127 ? "%c" : "<%02x>", c);
    }
    snprintf(text + n, size - n, "|");
}

/* Answers what it knows: the handler's name (userdata), the pattern, three parameters. */
static void on_path(hysock_exchange *exchange, void *userdata) {
    char text[2048] = "";
    CHECK(delivery_here(delivery));
    snprintf(text, sizeof(text), "%s: ", (const char *)userdata);
    put(text, sizeof(text), "pattern", hysock_exchange_pattern(exchange));
    put(text, sizeof(text), "id", hysock_exchange_param(exchange, "id"));
    put(text, sizeof(text), "part", hysock_exchange_param(exchange, "part"));
    put(text, sizeof(text), "rest", hysock_exchange_param(exchange, "rest"));
    CHECK(hysock_exchange_param(exchange, "").ptr == NULL);
    CHECK(hysock_exchange_param(exchange, "ID").ptr == NULL);
    answer_text(exchange, 200, text);
}

/* Answers the values of `a`, and all that the query has. */
static void on_query(hysock_exchange *exchange, void *userdata) {
    char text[2048] = "";
    hysock_str name, value;
    (void)userdata;
    put(text, sizeof(text), "a", hysock_exchange_query_value(exchange, "a"));
    int32_t count = hysock_exchange_query_count(exchange);
    for (int32_t i = 0; i < count; i++) {
        CHECK_OK(hysock_exchange_query_at(exchange, (size_t)i, &name, &value));
        CHECK(name.ptr != NULL && value.ptr != NULL);
        put(text, sizeof(text), "name", name);
        put(text, sizeof(text), "value", value);
    }
    CHECK_STATUS(hysock_exchange_query_at(exchange, (size_t)count, &name, &value),
                 HYSOCK_E_INVALID_ARGUMENT);
    CHECK_STATUS(hysock_exchange_query_at(exchange, SIZE_MAX, &name, &value),
                 HYSOCK_E_INVALID_ARGUMENT);
    answer_text(exchange, 200, text);
}

/* Answers the values of the request's header x-a; the answer's headers are set, added, removed. */
static void on_headers(hysock_exchange *exchange, void *userdata) {
    char text[1024] = "";
    (void)userdata;
    for (size_t i = 0;; i++) {
        hysock_str value = hysock_exchange_header_value_at(exchange, "X-A", i);
        put(text, sizeof(text), "x-a", value);
        if (value.ptr == NULL)
            break;
    }
    CHECK(hysock_exchange_header_value_at(exchange, "x-a", SIZE_MAX).ptr == NULL);
    CHECK(hysock_exchange_header_value_at(exchange, "no\nname", 0).ptr == NULL);
    CHECK_OK(hysock_exchange_add_header(exchange, "x-gone", "1", 1));
    CHECK_OK(hysock_exchange_add_header(exchange, "x-gone", "2", 1));
    CHECK_OK(hysock_exchange_remove_header(exchange, "X-Gone"));
    CHECK_OK(hysock_exchange_remove_header(exchange, "x-never"));
    CHECK_OK(hysock_exchange_set_header(exchange, "x-again", "old", 3));
    CHECK_OK(hysock_exchange_remove_header(exchange, "x-again"));
    CHECK_OK(hysock_exchange_add_header(exchange, "x-again", "new", 3));
    /* A refused one is remembered, once. */
    CHECK_STATUS(hysock_exchange_remove_header(exchange, "a b"), HYSOCK_E_INVALID_ARGUMENT);
    CHECK_STATUS(hysock_exchange_answer(exchange, 200, NULL, "x", 1, ERR),
                 HYSOCK_E_INVALID_ARGUMENT);
    CHECK_ERR(HYSOCK_E_INVALID_ARGUMENT, "a b");
    CHECK_STATUS(hysock_exchange_remove_header(exchange, "Content-Length"),
                 HYSOCK_E_INVALID_ARGUMENT);
    CHECK_STATUS(hysock_exchange_answer(exchange, 200, NULL, "x", 1, ERR),
                 HYSOCK_E_INVALID_ARGUMENT);
    answer_text(exchange, 200, text);
    CHECK_STATUS(hysock_exchange_remove_header(exchange, "x-again"), HYSOCK_E_STATE);
}

/* Texts that were decoded live as long as the exchange, and are the same each time. */
static struct {
    hysock_exchange *exchange;
    hysock_str id, value;
    latch arrived;
} kept;

static void on_kept(hysock_exchange *exchange, void *userdata) {
    (void)userdata;
    kept.exchange = exchange;
    kept.id = hysock_exchange_param(exchange, "id");
    kept.value = hysock_exchange_query_value(exchange, "q");
    CHECK_OK(hysock_exchange_defer(exchange, ERR));
    latch_add(&kept.arrived, 1);
}

static void lifetime(const char *path) {
    raw r;
    raw_open(&r, path);
    raw_text(&r, GET("/kept/a%20b?q=c+d"));
    LATCH_AWAIT(&kept.arrived, 1);
    /* The thread has other requests meanwhile. */
    for (int i = 0; i < 20; i++)
        CHECK_INT(raw_get(path, "/items/x%20y?q=1+2"), 200);
    CHECK(hysock_exchange_param(kept.exchange, "id").ptr == kept.id.ptr);
    answer_text(kept.exchange, 200, "kept");
    CHECK_INT(raw_status(&r), 200);
    raw_close(&r);
    CHECK(hysock_str_equal(kept.id, "a b"));
    CHECK(hysock_str_equal(kept.value, "c d"));
    CHECK(hysock_str_equal(hysock_exchange_pattern(kept.exchange), "/kept/{id}"));
    hysock_exchange_free(kept.exchange);
}

static void expect(const char *path, const char *request, int status, const char *body) {
    answer a;
    raw r;
    raw_open(&r, path);
    raw_text(&r, request);
    CHECK_INT(raw_answer(&r, &a, false), status);
    if (body != NULL && strcmp(a.body, body) != 0) {
        dprintf(check_fd, "%s: \"%s\"\nnot: \"%s\"\n", request, a.body, body);
        CHECK(!"the right body");
    }
    answer_free(&a);
    raw_close(&r);
}

static void paths(const char *path) {
    expect(path, GET("/items/7"), 200, "item: pattern=/items/{id}|id=7|part=-|rest=-|");
    expect(path, GET("/items/new"), 200, "new: pattern=/items/new|id=-|part=-|rest=-|");
    expect(path, GET("/items/a%2Fb%20%C3%A4%00+c"), 200,
           "item: pattern=/items/{id}|id=a/b<20><c3><a4><00>+c|part=-|rest=-|");
    expect(path, GET("/items/%zz%4"), 200, "item: pattern=/items/{id}|id=%zz%4|part=-|rest=-|");
    expect(path, GET("/items/7?id=8"), 200, "item: pattern=/items/{id}|id=7|part=-|rest=-|");
    expect(path, GET("/items/7/parts/p%2f1"), 200,
           "part: pattern=/items/{id}/parts/{part}|id=7|part=p/1|rest=-|");
    expect(path, GET("/files/a/../b%2F//c"), 200,
           "file: pattern=/files/{*rest}|id=-|part=-|rest=a/../b///c|");
    expect(path, GET("/img-7.png"), 200, "image: pattern=/img-{id}.png|id=7|part=-|rest=-|");
    expect(path, GET("/{literal}"), 200, "literal: pattern=/{{literal}}|id=-|part=-|rest=-|");
    expect(path, "GET http://host/items/7 HTTP/1.1\r\nHost: host\r\n\r\n", 200,
           "item: pattern=/items/{id}|id=7|part=-|rest=-|");
    expect(path, GET("/items/"), 404, NULL);
    expect(path, GET("/items"), 404, NULL);
    expect(path, GET("/items/7/parts"), 404, NULL);
    expect(path, GET("/files/"), 404, NULL);
    expect(path, GET("/i%74ems/7"), 404, NULL);
}

static void queries(const char *path) {
    expect(path, GET("/query"), 200, "a=-|");
    expect(path, GET("/query?"), 200, "a=-|");
    expect(path, GET("/query?a"), 200, "a=|name=a|value=|");
    expect(path, GET("/query?b=1&a=x+y%2Bz&a=2"), 200,
           "a=x<20>y+z|name=b|value=1|name=a|value=x<20>y+z|name=a|value=2|");
    expect(path, GET("/query?%61=%C3%A4%zz&&=&c=d=e"), 200,
           "a=<c3><a4>%zz|name=a|value=<c3><a4>%zz|name=|value=|name=c|value=d=e|");
}

static void headers(const char *path) {
    answer a;
    raw r;
    raw_open(&r, path);
    raw_text(&r,
             "GET /headers HTTP/1.1\r\nHost: x\r\nX-A: 1, 2\r\nX-B: 3\r\nx-a:\r\nX-A: 4\r\n\r\n");
    CHECK_INT(raw_answer(&r, &a, false), 200);
    CHECK(strcmp(a.body, "x-a=1,<20>2|x-a=|x-a=4|x-a=-|") == 0);
    CHECK(answer_header_is(&a, "x-again", "new"));
    CHECK(strstr(a.head, "x-gone") == NULL && strstr(a.head, "old") == NULL);
    answer_free(&a);
    raw_close(&r);
}

/* One request, its status, its Allow, and no more on the connection than that. */
static void allowed(raw *r, const char *request, int status, const char *allow) {
    answer a;
    raw_text(r, request);
    CHECK_INT(raw_answer(r, &a, false), status);
    char value[256] = "";
    answer_header(&a, "allow", value, sizeof(value));
    if (strcmp(value, allow) != 0) {
        dprintf(check_fd, "%s: Allow: \"%s\", not \"%s\"\n", request, value, allow);
        CHECK(!"the right methods");
    }
    if (status == 204)
        CHECK_INT(a.body_len, 0);
    answer_free(&a);
}

static void methods(const char *path) {
    answer a;
    raw r;
    raw_open(&r, path);
    allowed(&r, "DELETE /items/new HTTP/1.1\r\nHost: x\r\n\r\n", 405, "GET, HEAD, OPTIONS");
    allowed(&r, "PATCH /items/7 HTTP/1.1\r\nHost: x\r\n\r\n", 405, "DELETE, GET, HEAD, OPTIONS");
    allowed(&r, "OPTIONS /items/7 HTTP/1.1\r\nHost: x\r\n\r\n", 204, "DELETE, GET, HEAD, OPTIONS");
    allowed(&r, "OPTIONS /items/new HTTP/1.1\r\nHost: x\r\n\r\n", 204, "GET, HEAD, OPTIONS");
    allowed(&r, "OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n", 204, "");
    allowed(&r, "GET * HTTP/1.1\r\nHost: x\r\n\r\n", 404, "");
    allowed(&r, "OPTIONS /nowhere HTTP/1.1\r\nHost: x\r\n\r\n", 404, "");
    /* A route of its own, and one for any method, take OPTIONS themselves. */
    allowed(&r, "OPTIONS /own HTTP/1.1\r\nHost: x\r\n\r\n", 200, "");
    allowed(&r, "OPTIONS /files/x HTTP/1.1\r\nHost: x\r\n\r\n", 200, "");
    allowed(&r, "DELETE /items/7 HTTP/1.1\r\nHost: x\r\n\r\n", 200, "");
    raw_text(&r, "HEAD /items/7 HTTP/1.1\r\nHost: x\r\n\r\n");
    CHECK_INT(raw_answer(&r, &a, true), 200);
    CHECK(answer_header_is(&a, "content-length", "45"));
    answer_free(&a);
    allowed(&r, GET("/items/new"), 200, "");
    raw_close(&r);
}

static void add(hysock_server *server, const char *method, const char *pattern,
                hysock_exchange_fn fn, const char *name) {
    CHECK_OK(
        hysock_server_add_route(server, method, pattern, fn, (void *)(intptr_t)name, NULL, ERR));
}

static latch drops;

/* A route that is refused, with a message that has both words. */
static void refuse(hysock_server *server, const char *method, const char *pattern, const char *word,
                   const char *other) {
    long before = latch_count(&drops);
    CHECK_STATUS(hysock_server_add_route(server, method, pattern, on_path, &drops, count_drop, ERR),
                 HYSOCK_E_INVALID_ARGUMENT);
    CHECK_ERR(HYSOCK_E_INVALID_ARGUMENT, word);
    CHECK_ERR(HYSOCK_E_INVALID_ARGUMENT, other);
    CHECK_INT(latch_count(&drops), before + 1);
}

static void conflicts(hysock_server *server) {
    refuse(server, "GET", "/items/{id}", "GET", "/items/{id}");
    refuse(server, "PUT", "/items/{name}", "/items/{id}", "/items/{name}");
    refuse(server, "PUT", "/items/{*rest}", "/items/{id}", "/items/{*rest}");
    refuse(server, NULL, "/files/{name}", "/files/{*rest}", "/files/{name}");
    refuse(server, "GET", "/{{literal}}", "GET", "/{{literal}}");
    refuse(server, "GET", "/a/{x", "/a/{x", "}");
    refuse(server, "GET", "/a/x}", "/a/x}", "}");
    refuse(server, "GET", "/a/{}", "/a/{}", "letters");
    refuse(server, "GET", "/a/{x}/{x}", "/a/{x}/{x}", "one name");
    refuse(server, "GET", "/a/{*x}/b", "/a/{*x}/b", "end");
    refuse(server, "GET", "a/{x}", "a/{x}", "start with /");
    refuse(server, "GET", "/a/{x}?b", "/a/{x}?b", "?");
}

static void add_routes(hysock_server *server) {
    add(server, "GET", "/items/{id}", on_path, "item");
    add(server, "DELETE", "/items/{id}", on_path, "item");
    add(server, "GET", "/items/new", on_path, "new");
    add(server, "GET", "/items/{id}/parts/{part}", on_path, "part");
    add(server, NULL, "/files/{*rest}", on_path, "file");
    add(server, "GET", "/img-{id}.png", on_path, "image");
    add(server, "GET", "/{{literal}}", on_path, "literal");
    add(server, "OPTIONS", "/own", on_path, "own");
    add(server, "GET", "/query", on_query, NULL);
    add(server, "GET", "/headers", on_headers, NULL);
    add(server, "GET", "/kept/{id}", on_kept, NULL);
}

static void serve(host *h) {
    hysock_server_config *config = host_server_config(h);
    CHECK_OK(hysock_server_new(h->runtime, config, &h->server, ERR));
    hysock_server_config_free(config);
    CHECK_OK(hysock_server_add_listener(h->server, h->path, HYSOCK_NTS, NULL, ERR));
}

/* The route without a path takes what fits nowhere, `OPTIONS *` included. */
static void fallback(void) {
    host h;
    host_open(&h, delivery, NULL);
    serve(&h);
    add(h.server, "GET", "/items/{id}", on_path, "item");
    add(h.server, NULL, NULL, on_path, "fallback");
    CHECK_OK(hysock_server_start(h.server, ERR));
    expect(h.path, GET("/items/7"), 200, "item: pattern=/items/{id}|id=7|part=-|rest=-|");
    expect(h.path, GET("/items"), 200, "fallback: pattern=-|id=-|part=-|rest=-|");
    expect(h.path, "OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n", 200,
           "fallback: pattern=-|id=-|part=-|rest=-|");
    expect(h.path, "PUT /items/7 HTTP/1.1\r\nHost: x\r\n\r\n", 405, NULL);
    host_stop(&h);
}

int main(int argc, char **argv) {
    host h;
    check_start();
    delivery = delivery_parse(argc, argv);
    latch_init(&drops);
    latch_init(&kept.arrived);
    host_open(&h, delivery, NULL);
    serve(&h);
    add_routes(h.server);
    conflicts(h.server);
    CHECK_OK(hysock_server_start(h.server, ERR));
    paths(h.path);
    queries(h.path);
    headers(h.path);
    methods(h.path);
    lifetime(h.path);
    host_stop(&h);
    fallback();
    return check_end();
}
