/* A client's connections: who waits for one gets it in turn, idle ones go when they are too old or
 * too many, and a request is sent again only when that cannot do anything twice. */
#include "host.h"

enum { WAITING = 12, AGE_MS = 300 };
#define OK "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

static hysock_runtime *runtime;
static char path[108];
static int listener;

static hysock_client *pool_client(bool bare, uint64_t connections, uint64_t idle, uint32_t age_ms) {
    hysock_client *client = NULL;
    hysock_client_config *config = hysock_client_config_new();
    CHECK_OK(hysock_client_config_set_max_connections(config, connections));
    CHECK_OK(hysock_client_config_set_max_idle(config, idle));
    CHECK_OK(hysock_client_config_set_idle_age(config, age_ms));
    CHECK_OK(hysock_client_new(bare ? NULL : runtime, path, HYSOCK_NTS, config, &client, ERR));
    hysock_client_config_free(config);
    return client;
}

/* A call that is performed on a thread of its own, or started. */
typedef struct one {
    bool started;
    completion c;
    pthread_t thread;
    hysock_status status;
} one;

static void *perform(void *argument) {
    one *o = argument;
    o->status = hysock_call_perform(o->c.call, ERR);
    return NULL;
}

static void begin(one *o, hysock_client *client, bool started, const char *method,
                  const char *target) {
    memset(o, 0, sizeof(*o));
    o->started = started;
    completion_new(&o->c, client, POOL, target);
    hysock_call_free(o->c.call);
    o->c.call = new_call(client, method, target);
    if (started)
        completion_start(&o->c);
    else
        o->thread = thread_start(perform, o);
}

static void end(one *o, hysock_status expected) {
    if (o->started) {
        completion_await(&o->c, expected);
    } else {
        thread_join(o->thread);
        CHECK_STATUS(o->status, expected);
    }
    hysock_call_free(o->c.call);
    latch_free(&o->c.calls);
    latch_free(&o->c.drops);
}

/* Reads one request, whose target is `target`, and answers it. */
static void serve_one(raw *r, const char *target) {
    char line[64];
    size_t head = raw_head(r);
    CHECK(head > 0);
    snprintf(line, sizeof(line), " %s HTTP/1.1\r\n", target);
    CHECK(strstr(r->data, line) != NULL);
    raw_take(r, head);
    raw_text(r, OK);
}

static void in_turn(void) {
    char target[16];
    one all[WAITING];
    raw r;
    hysock_client *client = pool_client(false, 1, 8, 60000);
    for (int i = 0; i < WAITING; i++) {
        snprintf(target, sizeof(target), "/%d", i);
        begin(&all[i], client, true, "GET", target);
    }
    raw_accept(&r, listener);
    for (int i = 0; i < WAITING; i++) {
        snprintf(target, sizeof(target), "/%d", i);
        serve_one(&r, target);
        end(&all[i], HYSOCK_OK);
    }
    CHECK_INT(raw_poll(listener, POLLIN, 0), 0); /* nobody has opened another one */
    hysock_client_free(client);
    raw_close(&r);
}

/* `count` calls at once, each on a connection of its own. */
static void at_once(hysock_client *client, bool started, raw *servers, int count) {
    one all[4];
    for (int i = 0; i < count; i++) {
        begin(&all[i], client, started, "GET", "/");
        raw_accept(&servers[i], listener);
        CHECK(raw_head(&servers[i]) > 0);
        raw_take(&servers[i], servers[i].len);
    }
    for (int i = 0; i < count; i++)
        raw_text(&servers[i], OK);
    for (int i = 0; i < count; i++)
        end(&all[i], HYSOCK_OK);
}

static int closed(raw *servers, int count) {
    int n = 0;
    for (int i = 0; i < count; i++)
        n += raw_fill(&servers[i], 0) == 0;
    return n;
}

/* Idle connections beyond the limit are closed soon, and those that are too old; of performed calls
 * with the next call, since no thread looks after them. */
static void too_many_or_too_old(bool started) {
    raw servers[5];
    one next;
    hysock_client *client = pool_client(!started, 8, 1, AGE_MS);
    int64_t limit = now_ms() + check_ms(DEADLINE_MS);
    at_once(client, started, servers, 4);
    while (started && closed(servers, 4) < 4) { /* too many, then too old */
        CHECK(now_ms() < limit);
        take_ms(10);
    }
    if (!started)
        take_ms(AGE_MS + 50); /* time passes: that is what is tested */
    begin(&next, client, started, "GET", "/");
    raw_accept(&servers[4], listener);
    serve_one(&servers[4], "/");
    end(&next, HYSOCK_OK);
    CHECK_INT(closed(servers, 4), 4);
    CHECK(raw_fill(&servers[4], 0) != 0); /* the new one is kept */
    hysock_client_free(client);
    for (int i = 0; i < 5; i++)
        raw_close(&servers[i]);
}

/* A kept connection ends with a request on it that was read: done once, or not at all? */
static void sent_again(bool started, const char *method, bool again) {
    raw r, second;
    one o;
    hysock_client *client = pool_client(!started, 8, 8, 60000);
    begin(&o, client, started, "GET", "/first");
    raw_accept(&r, listener);
    serve_one(&r, "/first");
    end(&o, HYSOCK_OK);
    begin(&o, client, started, method, "/second");
    CHECK(raw_head(&r) > 0);
    raw_close(&r);
    if (again) {
        raw_accept(&second, listener);
        serve_one(&second, "/second");
        raw_close(&second);
        end(&o, HYSOCK_OK);
    } else {
        end(&o, HYSOCK_E_CLOSED);
        CHECK_INT(raw_poll(listener, POLLIN, 20), 0);
    }
    hysock_client_free(client);
}

int main(void) {
    check_start();
    listener = raw_listen(temp_path(path, "pool"));
    CHECK_OK(hysock_runtime_new(NULL, &runtime, ERR));
    in_turn();
    for (int started = 0; started <= 1; started++) {
        too_many_or_too_old(started);
        sent_again(started, "GET", true);
        sent_again(started, "PUT", true);
        sent_again(started, "DELETE", true);
        sent_again(started, "POST", false);
        sent_again(started, "PATCH", false);
    }
    close(listener);
    CHECK_OK(hysock_runtime_shutdown(runtime, 1000, ERR));
    WAIT_OK(hysock_runtime_wait, runtime);
    hysock_runtime_free(runtime);
    return check_end();
}
