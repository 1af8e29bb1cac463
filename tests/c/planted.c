/* Bugs on purpose: test_c.py shows that the sanitizers and valgrind report each of them.
 * Argument: none, overflow, freed, text, leak or overflow-int. */
#include "host.h"

typedef struct context {
    const char *bug;
    char *freed;
    volatile size_t sink;
} context;

/* A copy without the NUL, used as if it had one. */
static void overflow(context *c, hysock_str path) {
    char *copy = malloc(path.len);
    CHECK(copy != NULL);
    memcpy(copy, path.ptr, path.len);
    c->sink = strlen(copy);
    free(copy);
}

static void handler(hysock_exchange *exchange, void *userdata) {
    context *c = userdata;
    if (strcmp(c->bug, "overflow") == 0)
        overflow(c, hysock_exchange_path(exchange));
    if (strcmp(c->bug, "freed") == 0)
        c->sink = (size_t)c->freed[0];
    answer_text(exchange, 200, "a body that is read after its end");
}

/* Text of a call, read after the call was freed. */
static void freed_text(context *c, const char *path) {
    hysock_client *client = NULL;
    CHECK_OK(hysock_client_new(NULL, path, HYSOCK_NTS, NULL, &client, ERR));
    hysock_call *call = new_call(client, "GET", "/");
    CHECK_OK(hysock_call_perform(call, ERR));
    hysock_str body = hysock_call_body(call);
    hysock_call_free(call);
    hysock_client_free(client);
    if (strcmp(c->bug, "text") == 0)
        c->sink = (size_t)body.ptr[0];
}

int main(int argc, char **argv) {
    host h;
    context c = {0};
    check_start();
    CHECK(argc == 2);
    c.bug = argv[1];
    c.freed = malloc(16);
    CHECK(c.freed != NULL);
    memset(c.freed, 'x', 16);
    if (strcmp(c.bug, "freed") == 0)
        free(c.freed);
    host_start(&h, POOL, handler, &c);
    CHECK_INT(raw_get(h.path, "/sixteen-bytes-x"), 200);
    freed_text(&c, h.path);
    host_stop(&h);
    if (strcmp(c.bug, "leak") == 0)
        c.freed = NULL;
    else if (strcmp(c.bug, "freed") != 0)
        free(c.freed);
    if (strcmp(c.bug, "overflow-int") == 0) {
        volatile int most = INT32_MAX;
        c.sink = (size_t)(most + argc);
    }
    return check_end();
}
