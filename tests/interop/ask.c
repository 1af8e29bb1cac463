/* ask [-H 'Name: value']... [-t TYPE [-l LENGTH]] [-e] [-n TIMES] SOCKET METHOD TARGET
 *
 * One streamed call, or TIMES of them over one client. With -t the body is what stdin gives, of
 * that type; chunked unless its LENGTH is given; -e waits for a 100 before it is sent.
 * Informational answers, status and headers go to stderr, a line each; the body goes to stdout as
 * it comes. */
#define _POSIX_C_SOURCE 200809L
#include <hysock.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void fail(const hysock_error *err) {
    fprintf(stderr, "error %d: %s\n", (int)err->status, err->message);
    exit(1);
}

static void informational(hysock_call *call, int32_t http_status, void *userdata) {
    (void)call;
    (void)userdata;
    fprintf(stderr, "informational %d\n", (int)http_status);
}

static void put(hysock_str piece) {
    while (piece.len > 0) {
        ssize_t n = write(STDOUT_FILENO, piece.ptr, piece.len);
        if (n <= 0)
            exit(1);
        piece.ptr += n;
        piece.len -= (size_t)n;
    }
}

static void head(const hysock_call *call) {
    hysock_str name, value;
    fprintf(stderr, "status %d\n", (int)hysock_call_http_status(call));
    for (int32_t i = 0; i < hysock_call_header_count(call); i++)
        if (hysock_call_header_at(call, (size_t)i, &name, &value) == HYSOCK_OK)
            fprintf(stderr, "%.*s: %.*s\n", HYSOCK_PRI(name), HYSOCK_PRI(value));
}

int main(int argc, char **argv) {
    const char *headers[16], *type = NULL;
    size_t count = 0;
    uint64_t length = HYSOCK_UNKNOWN;
    int option, expect = 0, times = 1;
    hysock_error err;
    hysock_client *client;

    while ((option = getopt(argc, argv, "H:t:l:en:")) != -1) {
        if (option == 'H' && count < 16)
            headers[count++] = optarg;
        else if (option == 't')
            type = optarg;
        else if (option == 'l')
            length = strtoull(optarg, NULL, 10);
        else if (option == 'n')
            times = atoi(optarg);
        else if (option == 'e')
            expect = 1;
        else
            return 2;
    }
    if (argc - optind != 3)
        return 2;
    argv += optind;
    if (hysock_client_new(NULL, argv[0], HYSOCK_NTS, NULL, &client, &err) != HYSOCK_OK)
        fail(&err);
    for (int i = 0; i < times; i++) {
        hysock_call *call;
        hysock_str piece;
        if (hysock_call_new(client, argv[1], argv[2], HYSOCK_NTS, &call, &err) != HYSOCK_OK)
            fail(&err);
        for (size_t k = 0; k < count; k++) {
            char name[64];
            const char *colon = strchr(headers[k], ':');
            snprintf(name, sizeof name, "%.*s", (int)(colon - headers[k]), headers[k]);
            hysock_call_set_header(call, name, colon + 1 + (colon[1] == ' '), HYSOCK_NTS);
        }
        if (type != NULL)
            hysock_call_set_body_fd(call, type, STDIN_FILENO, length);
        if (expect)
            hysock_call_set_expect_continue(call, 5000);
        hysock_call_set_streaming(call);
        hysock_call_on_informational(call, informational, NULL, NULL, NULL);
        if (hysock_call_perform(call, &err) != HYSOCK_OK)
            fail(&err);
        head(call);
        for (;;) {
            if (hysock_call_read(call, &piece, HYSOCK_FOREVER, &err) != HYSOCK_OK)
                fail(&err);
            if (piece.ptr == NULL)
                break;
            put(piece);
        }
        hysock_call_free(call);
    }
    hysock_client_free(client);
    return 0;
}
