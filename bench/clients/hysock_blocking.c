/* hysock, one call after the other on the caller's thread: calls SOCKET N [latency]. */
#include "laps.h"
#include <hysock.h>

int main(int argc, char **argv) {
    hysock_error err;
    hysock_client *client;
    if (argc < 3)
        return 2;
    long n = atol(argv[2]), errors = 0;
    int timed = laps_wanted(argc, argv);
    if (hysock_client_new(NULL, argv[1], HYSOCK_NTS, NULL, &client, &err) != HYSOCK_OK) {
        fprintf(stderr, "hysock calls: %s\n", err.message);
        return 1;
    }
    for (long i = 0; i < n; i++) {
        hysock_call *call;
        uint64_t begin = timed ? now_ns() : 0;
        if (hysock_call_new(client, "GET", "/", HYSOCK_NTS, &call, &err) != HYSOCK_OK ||
            hysock_call_perform(call, &err) != HYSOCK_OK || hysock_call_http_status(call) != 200 ||
            hysock_call_body(call).len != 13)
            errors++;
        hysock_call_free(call);
        if (timed)
            histogram_add(&laps, now_ns() - begin);
    }
    hysock_client_free(client);
    printf("%ld answers, %ld errors\n", n - errors, errors);
    laps_print();
    return errors > 0;
}
