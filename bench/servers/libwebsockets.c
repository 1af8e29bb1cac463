/* libwebsockets: server SOCKET. Its own poll loop, one thread, keep-alive, the answer in one write:
   what its examples of dynamic HTTP answers do. */
#include <libwebsockets.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

static struct lws_context *context;

/* The head and the body go out in one lws_write: LWS_PRE is room that the library may use. */
static int answer(struct lws *wsi) {
    unsigned char space[LWS_PRE + 1024], *start = space + LWS_PRE, *at = start,
                                         *end = space + sizeof space - 1;
    if (lws_add_http_common_headers(wsi, HTTP_STATUS_OK, "text/plain", 13, &at, end) ||
        lws_finalize_http_header(wsi, &at, end))
        return -1;
    memcpy(at, "Hello, world!", 13);
    at += 13;
    size_t len = (size_t)(at - start);
    if (lws_write(wsi, start, len, LWS_WRITE_HTTP_HEADERS) != (int)len)
        return -1;
    return lws_http_transaction_completed(wsi) ? -1 : 0;
}

static int hello(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in,
                 size_t len) {
    switch (reason) {
    case LWS_CALLBACK_HTTP:
        /* A request with a body is answered when that has come. */
        if (lws_hdr_total_length(wsi, WSI_TOKEN_POST_URI) > 0)
            return 0;
        return answer(wsi);
    case LWS_CALLBACK_HTTP_BODY:
        return 0;
    case LWS_CALLBACK_HTTP_BODY_COMPLETION:
        return answer(wsi);
    default:
        return lws_callback_http_dummy(wsi, reason, user, in, len);
    }
}

static void on_signal(int number) {
    (void)number;
    _exit(0);
}

int main(int argc, char **argv) {
    static const struct lws_protocols protocols[] = {{"http", hello, 0, 0, 0, NULL, 0},
                                                     {NULL, NULL, 0, 0, 0, NULL, 0}};
    if (argc < 2)
        return 2;
    lws_set_log_level(LLL_ERR, NULL);
    struct lws_context_creation_info info;
    memset(&info, 0, sizeof info);
    info.iface = argv[1];
    info.options = LWS_SERVER_OPTION_UNIX_SOCK | LWS_SERVER_OPTION_DISABLE_IPV6;
    info.protocols = protocols;
    info.keepalive_timeout = 600;
    info.max_http_header_pool = 1024;
    if (!(context = lws_create_context(&info)))
        return 1;
    signal(SIGTERM, on_signal);
    while (lws_service(context, 0) >= 0) {
    }
    lws_context_destroy(context);
    return 0;
}
