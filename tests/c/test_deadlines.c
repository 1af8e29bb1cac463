/* A silent or slow peer is cut off by its deadline and a second, never before; the others are
 * served. */
#include "host.h"

#define TIMEOUT 400

static latch arrived;
static hysock_exchange *kept;

static void handler(hysock_exchange *exchange, void *userdata) {
    (void)userdata;
    if (hysock_str_equal(hysock_exchange_path(exchange), "/keep")) {
        CHECK_OK(hysock_exchange_defer(exchange, ERR));
        kept = exchange;
        latch_add(&arrived, 1);
    } else {
        answer_text(exchange, 200, "x");
    }
}

static const char *path;
static raw beside;

static void undisturbed(void) {
    raw_text(&beside, "GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    CHECK_INT(raw_status(&beside), 200);
}

/* Watches `r` until the peer closes it. `drip` is sent, a byte every 50 ms, meanwhile; the normal
 * client goes on being served. An answer (408) before the end is allowed. */
static void closes_in_time(raw *r, const char *drip) {
    int64_t began = now_ms();
    size_t len = strlen(drip), sent = 0;
    while (!r->eof) {
        CHECK(now_ms() - began < TIMEOUT + check_ms(1000));
        undisturbed();
        if (raw_fill(r, 50) < 0 && sent < len)
            sent += raw_send_some(r, drip + sent, 1, false);
    }
    CHECK(now_ms() - began >= TIMEOUT - 50);
    if (r->len > 0) {
        int status;
        CHECK(sscanf(r->data, "HTTP/1.1 %d", &status) == 1);
        CHECK_INT(status, 408);
    }
    raw_close(r);
}

int main(void) {
    host h;
    raw r, owed;
    answer a;
    check_start();
    latch_init(&arrived);
    host_open(&h, POOL, NULL);
    hysock_server_config *config = host_server_config(&h);
    CHECK_OK(hysock_server_config_set_head_timeout(config, TIMEOUT));
    CHECK_OK(hysock_server_config_set_idle_timeout(config, TIMEOUT));
    host_serve(&h, config, handler, NULL, NULL);
    path = h.path;
    raw_open(&beside, path);
    undisturbed();

    /* While an answer is owed no deadline of the client's runs: it waits through all of this. */
    raw_open(&owed, path);
    raw_text(&owed, "GET /keep HTTP/1.1\r\nHost: x\r\n\r\n");
    LATCH_AWAIT(&arrived, 1);

    raw_open(&r, path); /* says nothing at all */
    closes_in_time(&r, "");
    raw_open(&r, path); /* stops in the middle of its head */
    raw_text(&r, "GET / HTTP/1.1\r\nHo");
    closes_in_time(&r, "");
    raw_open(&r, path); /* dribbles its head: the deadline is for the whole of it */
    closes_in_time(
        &r,
        "GET / HTTP/1.1\r\nHost: x\r\nA: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa");
    raw_open(&r, path); /* idles after an answer */
    raw_text(&r, "GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    CHECK_INT(raw_status(&r), 200);
    closes_in_time(&r, "");
    raw_open(&r, path); /* idles after half of a second request */
    raw_text(&r, "GET / HTTP/1.1\r\nHost: x\r\n\r\nGET");
    CHECK_INT(raw_status(&r), 200);
    closes_in_time(&r, "");

    answer_text(kept, 200, "late");
    hysock_exchange_free(kept);
    CHECK_INT(raw_answer(&owed, &a, false), 200);
    CHECK(strcmp(a.body, "late") == 0);
    answer_free(&a);
    raw_close(&owed);
    undisturbed();
    raw_close(&beside);
    host_stop(&h);
    return check_end();
}
