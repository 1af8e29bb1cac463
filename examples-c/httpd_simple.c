/* httpd: handlers that answer before they return. */
#define _POSIX_C_SOURCE 200809L
#include "httpd.h"
#include <string.h>

void get_hello(hysock_exchange *exchange, void *userdata) {
    static const char text[] = "Hello, world!";
    (void)userdata;
    hysock_exchange_answer(exchange, 200, "text/plain", text, strlen(text), NULL);
}

/* GET /items/{id}: a parameter comes decoded, so it may hold any byte; JSON is told so. */
void get_item(hysock_exchange *exchange, void *userdata) {
    struct text text;
    (void)userdata;
    text_new(&text);
    text_format(&text, "{\"id\":");
    text_json(&text, hysock_exchange_param(exchange, "id"));
    text_format(&text, "}\n");
    text_answer(&text, exchange, "application/json");
}

/* GET /headers: all of the request's headers, those with equal names one by one. */
void get_headers(hysock_exchange *exchange, void *userdata) {
    struct text text;
    hysock_str name, value;
    size_t i;
    (void)userdata;
    text_new(&text);
    text_format(&text, "[");
    for (i = 0; hysock_exchange_header_at(exchange, i, &name, &value) == HYSOCK_OK; i++) {
        text_format(&text, i == 0 ? "[" : ",[");
        text_json(&text, name);
        text_format(&text, ",");
        text_json(&text, value);
        text_format(&text, "]");
    }
    text_format(&text, "]\n");
    text_answer(&text, exchange, "application/json");
}

/* GET /peer: who asks, by the kernel's word. What it does not know is null: the process may have
 * ended, and a pid of 0 is one in a namespace that we cannot see into. */
void get_peer(hysock_exchange *exchange, void *userdata) {
    struct text text;
    hysock_peer peer;
    hysock_error err;
    uint32_t i;
    (void)userdata;
    if (hysock_exchange_peer(exchange, &peer, sizeof peer, &err) != HYSOCK_OK) {
        answer_text(exchange, 500, "peer: %s\n", err.message);
        return;
    }
    text_new(&text);
    if (peer.state == HYSOCK_PEER_KNOWN)
        text_format(&text, "{\"uid\":%u,\"gid\":%u,", (unsigned)peer.uid, (unsigned)peer.gid);
    else
        text_format(&text, "{\"uid\":null,\"gid\":null,");
    if (peer.state == HYSOCK_PEER_KNOWN && peer.pid != 0)
        text_format(&text, "\"pid\":%d,", (int)peer.pid);
    else
        text_format(&text, "\"pid\":null,");
    if (peer.groups_state == HYSOCK_PEER_KNOWN) {
        text_format(&text, "\"groups\":[");
        for (i = 0; i < peer.group_count; i++)
            text_format(&text, i == 0 ? "%u" : ",%u", (unsigned)peer.groups[i]);
        text_format(&text, "]}\n");
    } else {
        text_format(&text, "\"groups\":null}\n");
    }
    text_answer(&text, exchange, "application/json");
}

/* GET /metrics: the server's own counters, as Prometheus reads them. */
void get_metrics(hysock_exchange *exchange, void *userdata) {
    const struct httpd *httpd = userdata;
    char text[8192]; /* always enough, says its documentation */
    hysock_error err;
    int32_t len = hysock_server_metrics(httpd->server, text, sizeof text, &err);
    if (len < 0)
        answer_text(exchange, 500, "metrics: %s\n", err.message);
    else
        hysock_exchange_answer(exchange, 200, "text/plain; version=0.0.4", text, (size_t)len, NULL);
}

/* GET /admin: the rules of its route, in httpd.c, have let nobody in but root and ourselves. */
void get_admin(hysock_exchange *exchange, void *userdata) {
    (void)userdata;
    answer_text(exchange, 200, "You are in charge.\n");
}

void not_found(hysock_exchange *exchange, void *userdata) {
    (void)userdata;
    answer_text(exchange, 404, "There is nothing here. GET /hello is there.\n");
}
