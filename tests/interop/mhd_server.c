/* libmicrohttpd on the socket argv[1]: what test_foreign_matrix.py asks of every server. */
#define _POSIX_C_SOURCE 200809L
#include <microhttpd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

struct body {
    char *data;
    size_t len;
};

static ssize_t give(void *userdata, uint64_t at, char *buf, size_t max) {
    const struct body *b = userdata;
    if (at >= b->len)
        return MHD_CONTENT_READER_END_OF_STREAM;
    size_t left = b->len - (size_t)at;
    if (left > max)
        left = max;
    memcpy(buf, b->data + at, left);
    return (ssize_t)left;
}

static void forget(void *userdata) {
    struct body *b = userdata;
    free(b->data);
    free(b);
}

static void numbers(struct body *b) {
    b->data = malloc(8192);
    b->len = 0;
    for (int n = 0; n < 1000; n++)
        b->len += (size_t)sprintf(b->data + b->len, "%d\n", n);
}

static enum MHD_Result handle(void *closure, struct MHD_Connection *connection, const char *url,
                              const char *method, const char *version, const char *upload,
                              size_t *upload_size, void **state) {
    struct body *b = *state;
    struct MHD_Response *response;
    unsigned int status = 200;
    (void)closure;
    (void)method;
    (void)version;
    if (b == NULL) {
        *state = calloc(1, sizeof(*b));
        return *state != NULL ? MHD_YES : MHD_NO;
    }
    if (*upload_size > 0) {
        b->data = realloc(b->data, b->len + *upload_size);
        memcpy(b->data + b->len, upload, *upload_size);
        b->len += *upload_size;
        *upload_size = 0;
        return MHD_YES;
    }
    *state = NULL;
    if (strcmp(url, "/chunked") == 0 || strcmp(url, "/close") == 0)
        numbers(b);
    if (strcmp(url, "/echo-chunked") == 0 || strcmp(url, "/chunked") == 0 ||
        strcmp(url, "/close") == 0) {
        response = MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, 4096, give, b, forget);
        if (strcmp(url, "/close") == 0)
            MHD_set_response_options(response, MHD_RF_HTTP_VERSION_1_0_ONLY, MHD_RO_END);
    } else if (strcmp(url, "/echo") == 0) {
        response = MHD_create_response_from_callback(b->len, 65536, give, b, forget);
    } else {
        const char *text = "";
        if (strcmp(url, "/204") == 0 || strcmp(url, "/304") == 0)
            status = (unsigned int)atoi(url + 1);
        else if (strcmp(url, "/hello") == 0)
            text = "Hello, world!";
        else
            status = 404, text = "no";
        forget(b);
        response =
            MHD_create_response_from_buffer(strlen(text), (void *)text, MHD_RESPMEM_MUST_COPY);
    }
    enum MHD_Result queued = MHD_queue_response(connection, status, response);
    MHD_destroy_response(response);
    return queued;
}

int main(int argc, char **argv) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    sigset_t ends;
    int number, fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (argc != 2 || fd < 0)
        return 2;
    strncpy(address.sun_path, argv[1], sizeof(address.sun_path) - 1);
    sigemptyset(&ends);
    sigaddset(&ends, SIGTERM);
    sigprocmask(SIG_BLOCK, &ends, NULL);
    if (bind(fd, (struct sockaddr *)&address, sizeof(address)) != 0 || listen(fd, 16) != 0)
        return 1;
    struct MHD_Daemon *daemon =
        MHD_start_daemon(MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_EPOLL, 0, NULL, NULL, handle,
                         NULL, MHD_OPTION_LISTEN_SOCKET, fd, MHD_OPTION_END);
    if (daemon == NULL)
        return 1;
    sigwait(&ends, &number);
    MHD_stop_daemon(daemon);
    return 0;
}
