/* upload SOCKET perform|pool|inline LENGTH known|chunked expect|plain
 *
 * Sends a body of LENGTH bytes that a function gives; prints the informational answers, the answer,
 * and its trailer X-End. */
#include <hysock.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint64_t at, all;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static int ended;
static hysock_status outcome;

static int64_t give(hysock_call *call, void *buf, size_t size, void *userdata) {
    unsigned char *bytes = buf;
    size_t n = 0;
    (void)call;
    (void)userdata;
    while (n < size && at < all)
        bytes[n++] = (unsigned char)(at++ % 251);
    return (int64_t)n;
}

static void heard(hysock_call *call, int32_t http_status, void *userdata) {
    (void)call;
    (void)userdata;
    printf("%d\n", (int)http_status);
}

static void done(hysock_call *call, hysock_status status, void *userdata) {
    (void)call;
    (void)userdata;
    pthread_mutex_lock(&mutex);
    outcome = status;
    ended = 1;
    pthread_cond_signal(&changed);
    pthread_mutex_unlock(&mutex);
}

static void check(hysock_status status, const hysock_error *err) {
    if (status != HYSOCK_OK) {
        fprintf(stderr, "upload: %s\n", err->message);
        exit(1);
    }
}

int main(int argc, char **argv) {
    hysock_error err;
    hysock_runtime *runtime = NULL;
    hysock_client *client;
    hysock_call *call;
    hysock_client_config *config = hysock_client_config_new();
    if (argc != 6)
        return 2;
    int performs = strcmp(argv[2], "perform") == 0;
    int chunked = strcmp(argv[4], "chunked") == 0;
    all = strtoull(argv[3], NULL, 10);
    if (!performs)
        check(hysock_runtime_new(NULL, &runtime, &err), &err);
    hysock_client_config_set_delivery(
        config, strcmp(argv[2], "inline") == 0 ? HYSOCK_DELIVERY_INLINE : HYSOCK_DELIVERY_POOL);
    check(hysock_client_new(runtime, argv[1], HYSOCK_NTS, config, &client, &err), &err);
    check(hysock_call_new(client, "PUT", "/", HYSOCK_NTS, &call, &err), &err);
    hysock_call_set_header(call, "TE", "trailers", HYSOCK_NTS);
    hysock_call_set_body_reader(call, "text/plain", chunked ? HYSOCK_UNKNOWN : all, give, NULL,
                                NULL);
    if (chunked)
        hysock_call_add_trailer(call, "X-Sum", "7", HYSOCK_NTS);
    if (strcmp(argv[5], "expect") == 0)
        hysock_call_set_expect_continue(call, HYSOCK_FOREVER);
    check(hysock_call_on_informational(call, heard, NULL, NULL, &err), &err);
    if (performs) {
        check(hysock_call_perform(call, &err), &err);
    } else {
        check(hysock_call_start(call, done, NULL, NULL, &err), &err);
        pthread_mutex_lock(&mutex);
        while (!ended)
            pthread_cond_wait(&changed, &mutex);
        pthread_mutex_unlock(&mutex);
        check(hysock_call_error(call, &err), &err);
    }
    printf("%d %.*s\n", hysock_call_http_status(call), HYSOCK_PRI(hysock_call_body(call)));
    printf("%.*s\n", HYSOCK_PRI(hysock_call_trailer(call, "x-end")));
    hysock_call_free(call);
    hysock_client_free(client);
    hysock_client_config_free(config);
    if (runtime != NULL) {
        check(hysock_runtime_shutdown(runtime, 1000, &err), &err);
        check(hysock_runtime_wait(runtime, 10000, &err), &err);
        hysock_runtime_free(runtime);
    }
    return outcome == HYSOCK_OK ? 0 : 1;
}
