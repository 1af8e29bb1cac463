/* hysock, one large answer: download SOCKET TARGET read|fd. The body comes by reads that wait, each
   of which lends a piece, or goes to a descriptor, here /dev/null. */
#include <fcntl.h>
#include <hysock.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static hysock_error err;

static void check(hysock_status status) {
    if (status != HYSOCK_OK) {
        fprintf(stderr, "hysock download: %s\n", err.message);
        exit(1);
    }
}

int main(int argc, char **argv) {
    hysock_client *client;
    hysock_call *call;
    uint64_t bytes = 0;
    if (argc < 4)
        return 2;
    /* No runtime: all happens on this thread. */
    check(hysock_client_new(NULL, argv[1], HYSOCK_NTS, NULL, &client, &err));
    check(hysock_call_new(client, "GET", argv[2], HYSOCK_NTS, &call, &err));
    if (!strcmp(argv[3], "fd")) {
        hysock_call_set_output_fd(call, open("/dev/null", O_WRONLY));
        check(hysock_call_perform(call, &err));
        bytes = hysock_call_content_length(call); /* all of them came, else it would have failed */
    } else {
        hysock_str piece;
        hysock_call_set_streaming(call);
        check(hysock_call_perform(call, &err));
        do {
            check(hysock_call_read(call, &piece, HYSOCK_FOREVER, &err));
            bytes += piece.len;
        } while (piece.ptr);
    }
    int32_t status = hysock_call_http_status(call);
    hysock_call_free(call);
    hysock_client_free(client);
    printf("%llu bytes\n", (unsigned long long)bytes);
    return status != 200;
}
