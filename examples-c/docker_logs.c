/* Teaches: an answer without an end. The call is over with the head; the body is read as it comes,
 * and a program that rests slows the daemon and nobody else.
 *
 *   docker_logs [-f] SOCKET CONTAINER
 *
 * Prints what the container has written, each line where it went: stdout or stderr. With -f it goes
 * on until the container ends. Exit status: 0 at the end, 1 when it failed, 2 for wrong usage.
 */
#define _POSIX_C_SOURCE 200809L
#include "docker.h"

#include <string.h>

int main(int argc, char **argv) {
    int follow = argc > 1 && strcmp(argv[1], "-f") == 0;
    struct docker docker;
    struct docker_output output = {0};
    hysock_error err;
    hysock_call *call;
    hysock_str piece;

    if (argc != 3 + follow) {
        fprintf(stderr, "usage: docker_logs [-f] SOCKET CONTAINER\n");
        return 2;
    }
    docker_open(&docker, "docker_logs", 1, argv[1 + follow]);
    output.terminal = docker_has_terminal(&docker, argv[2 + follow]);
    call = docker_new(&docker, "GET",
                      docker_target(&docker,
                                    follow ? "/containers/%s/logs?stdout=1&stderr=1&follow=1"
                                           : "/containers/%s/logs?stdout=1&stderr=1",
                                    argv[2 + follow]));
    hysock_call_set_streaming(call);
    docker_perform(&docker, call, 200);
    for (;;) {
        if (hysock_call_read(call, &piece, HYSOCK_FOREVER, &err) != HYSOCK_OK)
            docker_fail(&docker, "the logs broke off", &err);
        if (piece.ptr == NULL) /* the end */
            break;
        docker_output(&docker, &output, piece.ptr, piece.len);
    }
    hysock_call_free(call);
    hysock_client_free(docker.client);
    return 0;
}
