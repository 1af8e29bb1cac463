/* Teaches: a handler that needs another daemon for its answer. It defers, starts a call as a child
 * of its exchange, and answers when the call has completed. No thread waits meanwhile.
 *
 *   proxy SOCKET UPSTREAM        every request on SOCKET goes to UPSTREAM, its answer comes back
 *
 * The parent joins the two: when the client leaves, its call upstream is cancelled.
 */
#define _POSIX_C_SOURCE 200809L
#include <hysock.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static hysock_server *server; /* set before the signal handler that reads it is installed */

static void fail(const char *what, const hysock_error *err) {
    fprintf(stderr, "proxy: %s: %s\n", what, err->message);
    exit(1);
}

/* Headers that speak about one connection, not about the message: never passed on. Length and
 * framing are among them, hysock sets them for what it sends. */
static int is_hop_by_hop(const char *name) {
    static const char *const names[] = {"connection",
                                        "content-length",
                                        "expect",
                                        "keep-alive",
                                        "proxy-authenticate",
                                        "te",
                                        "proxy-connection",
                                        "trailer",
                                        "transfer-encoding",
                                        "upgrade",
                                        "proxy-authorization"};
    size_t i;
    for (i = 0; i < sizeof names / sizeof *names; i++)
        if (strcasecmp(name, names[i]) == 0)
            return 1;
    return 0;
}

/* `Connection: close, X-Token` makes X-Token hop-by-hop as well. */
static int is_listed(hysock_str list, const char *name) {
    size_t len = strlen(name), at = 0;
    while (at < list.len) {
        size_t end;
        while (at < list.len &&
               (list.ptr[at] == ',' || list.ptr[at] == ' ' || list.ptr[at] == '\t'))
            at++;
        end = at;
        while (end < list.len && list.ptr[end] != ',' && list.ptr[end] != ' ')
            end++;
        if (end - at == len && strncasecmp(list.ptr + at, name, len) == 0)
            return 1;
        at = end;
    }
    return 0;
}

/* Names go in as C strings and come out with a length, so each is copied once. */
static int passes(hysock_str name, hysock_str connection, char *copy, size_t size) {
    return hysock_str_copy(name, copy, size) < size && !is_hop_by_hop(copy) &&
           !is_listed(connection, copy);
}

static void answer_text(hysock_exchange *exchange, int status, const char *text) {
    hysock_exchange_answer(exchange, status, "text/plain", text, strlen(text), NULL);
}

/* The call has completed, in whatever way: answer, and give both handles back. A client that has
 * left meanwhile makes `answer` return CLOSED; there is nobody to tell. */
static void on_answer(hysock_call *call, hysock_status status, void *userdata) {
    hysock_exchange *exchange = userdata;
    int32_t http_status = hysock_call_http_status(call);
    if (status == HYSOCK_OK && http_status <= 599) {
        char copy[256];
        size_t i;
        hysock_str name, value, body = hysock_call_body(call);
        hysock_str connection = hysock_call_header(call, "connection");
        for (i = 0; hysock_call_header_at(call, i, &name, &value) == HYSOCK_OK; i++)
            if (passes(name, connection, copy, sizeof copy))
                hysock_exchange_add_header(exchange, copy, value.ptr, value.len);
        hysock_exchange_answer(exchange, http_status, NULL, body.ptr, body.len, NULL);
    } else if (status == HYSOCK_OK) {
        answer_text(exchange, 502, "502: the server behind gave a status that does not exist\n");
    } else if (status == HYSOCK_E_TIMED_OUT) {
        answer_text(exchange, 504, "504: the server behind is too slow\n");
    } else if (status != HYSOCK_E_CANCELLED) { /* cancelled: our own client has left */
        hysock_error err;
        hysock_call_error(call, &err);
        fprintf(stderr, "proxy: %s\n", err.message);
        answer_text(exchange, 502, "502: the server behind does not answer\n");
    }
    hysock_call_free(call);
    hysock_exchange_free(exchange);
}

/* Makes the same request for the other side. What its setters refuse comes out of `start`. */
static hysock_call *same_request(hysock_client *client, hysock_exchange *exchange,
                                 hysock_error *err) {
    char copy[256];
    size_t i;
    hysock_call *call;
    hysock_str name, value, body = hysock_exchange_body(exchange);
    hysock_str connection = hysock_exchange_header(exchange, "connection");
    hysock_str target = hysock_exchange_target(exchange);

    hysock_str_copy(hysock_exchange_method(exchange), copy, sizeof copy);
    if (hysock_call_new(client, copy, target.ptr, target.len, &call, err) != HYSOCK_OK)
        return NULL;
    for (i = 0; hysock_exchange_header_at(exchange, i, &name, &value) == HYSOCK_OK; i++)
        if (passes(name, connection, copy, sizeof copy))
            hysock_call_add_header(call, copy, value.ptr, value.len);
    /* An empty body is not the same as none: POST with length 0 keeps its length. */
    if (body.len > 0 || hysock_exchange_header(exchange, "content-length").ptr != NULL)
        hysock_call_set_body(call, NULL, body.ptr, body.len);
    return call;
}

static void on_request(hysock_exchange *exchange, void *userdata) {
    hysock_client *client = userdata;
    hysock_error err;
    hysock_call *call;

    if (hysock_exchange_defer(exchange, &err) != HYSOCK_OK) {
        fprintf(stderr, "proxy: defer: %s\n", err.message);
        return;
    }
    call = same_request(client, exchange, &err);
    if (call != NULL)
        hysock_call_set_parent(call, exchange);
    /* After a start that failed on_answer will not run, so all the work of it is ours. After one
     * that succeeded neither handle is touched here any more: on_answer frees both. */
    if (call == NULL || hysock_call_start(call, on_answer, exchange, NULL, &err) != HYSOCK_OK) {
        fprintf(stderr, "proxy: call: %s\n", err.message);
        answer_text(exchange, 502, "502: this request cannot be passed on\n");
        hysock_call_free(call);
        hysock_exchange_free(exchange);
    }
}

static void on_signal(int number) {
    (void)number;
    hysock_server_shutdown_signal(server);
}

static void end_on(int number) {
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = on_signal;
    sigemptyset(&action.sa_mask);
    action.sa_flags = SA_RESTART;
    if (sigaction(number, &action, NULL) != 0) {
        perror("proxy: sigaction");
        exit(1);
    }
}

int main(int argc, char **argv) {
    hysock_error err;
    hysock_runtime *runtime;
    hysock_client *client;
    hysock_client_config *config;

    if (argc != 3) {
        fprintf(stderr, "usage: proxy SOCKET UPSTREAM\n");
        return 2;
    }
    if (hysock_runtime_new(NULL, &runtime, &err) != HYSOCK_OK)
        fail("runtime", &err);

    config = hysock_client_config_new();
    hysock_client_config_set_timeout(config, 30 * 1000);
    if (hysock_client_new(runtime, argv[2], HYSOCK_NTS, config, &client, &err) != HYSOCK_OK)
        fail("client", &err);
    hysock_client_config_free(config);

    if (hysock_server_serve(runtime, argv[1], HYSOCK_NTS, NULL, on_request, client, NULL, &server,
                            &err) != HYSOCK_OK)
        fail("serve", &err);
    end_on(SIGTERM);
    end_on(SIGINT);
    printf("listening on %s\n", argv[1]);
    fflush(stdout);

    if (hysock_server_wait(server, HYSOCK_FOREVER, &err) != HYSOCK_OK)
        fail("wait", &err);

    /* Behind the runtime's barrier no on_answer runs any more; only then the client may go. */
    if (hysock_runtime_shutdown(runtime, 0, &err) != HYSOCK_OK ||
        hysock_runtime_wait(runtime, HYSOCK_FOREVER, &err) != HYSOCK_OK)
        fail("end", &err);
    hysock_client_free(client);
    hysock_server_free(server);
    hysock_runtime_free(runtime);
    return 0;
}
