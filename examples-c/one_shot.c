/* Teaches: the shortest client there is. One GET, its answer, the end.
 *
 *   one_shot URL         for example http+unix://%2Frun%2Fapp.sock/version
 *
 * The body goes to stdout. Exit status 1 when no answer came or its HTTP status is an error.
 */
#include <hysock.h>
#include <stdio.h>

int main(int argc, char **argv) {
    hysock_error err;
    hysock_call *call = NULL;
    hysock_str body;
    int32_t status;

    if (argc != 2)
        return fprintf(stderr, "usage: one_shot URL\n"), 2;
    if (hysock_get(argv[1], HYSOCK_NTS, &call, &err) != HYSOCK_OK)
        return fprintf(stderr, "one_shot: %s\n", err.message), 1;

    body = hysock_call_body(call);
    fwrite(body.ptr, 1, body.len, stdout);
    status = hysock_call_http_status(call);
    if (status >= 400)
        fprintf(stderr, "one_shot: HTTP status %d\n", (int)status);
    hysock_call_free(call);
    return status >= 400;
}
