/* Teaches: leaving HTTP, as a client. The daemon gives the connection to a command inside of a
 * container: what we write is its stdin, what we read is its output.
 *
 *   docker_exec [-i] SOCKET CONTAINER COMMAND [ARG]...
 *
 * With -i our stdin is the command's. Its end is passed on by ending our half of the connection:
 * the command sees the end of its input, and we still read what it says to that. Exit status: that
 * of the command; 125 when it failed before.
 */
#define _POSIX_C_SOURCE 200809L
#include "docker.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* What came from our stdin and has not gone to the command. */
struct input {
    char data[16384];
    size_t begin, end;
    int open;
};

static int usage(void) {
    fprintf(stderr, "usage: docker_exec [-i] SOCKET CONTAINER COMMAND [ARG]...\n");
    return 125;
}

/* {"Cmd":["...","..."],...} in memory of its own. */
static char *exec_json(char **command, int input) {
    size_t size = 256;
    char *json, *at;
    for (char **word = command; *word != NULL; word++)
        size += 6 * strlen(*word) + 3;
    json = at = malloc(size);
    if (json == NULL)
        exit(125);
    at += sprintf(at, "{\"AttachStdin\":%s,\"AttachStdout\":true,\"AttachStderr\":true,\"Cmd\":[",
                  input ? "true" : "false");
    for (char **word = command; *word != NULL; word++) {
        *at++ = '"';
        for (const char *c = *word; *c != '\0'; c++) {
            if ((unsigned char)*c < 0x20 || *c == '"' || *c == '\\')
                at += sprintf(at, "\\u%04x", (unsigned char)*c);
            else
                *at++ = *c;
        }
        *at++ = '"';
        *at++ = word[1] != NULL ? ',' : ']';
    }
    *at++ = '}';
    *at = '\0';
    return json;
}

static void send_input(const struct docker *docker, int fd, struct input *input, int readable) {
    ssize_t n;
    if (readable) {
        n = read(STDIN_FILENO, input->data, sizeof input->data);
        if (n < 0 && errno == EINTR)
            return;
        input->begin = 0;
        input->end = n > 0 ? (size_t)n : 0;
        if (n <= 0) {
            input->open = 0;
            shutdown(fd, SHUT_WR); /* only this direction */
        }
    }
    if (input->begin == input->end)
        return;
    n = send(fd, input->data + input->begin, input->end - input->begin,
             MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n >= 0) {
        input->begin += (size_t)n;
    } else if (errno == EPIPE || errno == ECONNRESET) {
        input->open = 0; /* the command reads no more; what it writes still comes */
        input->begin = input->end;
    } else if (errno != EAGAIN && errno != EINTR) {
        fprintf(stderr, "%s: %s\n", docker->program, strerror(errno));
        exit(docker->failure);
    }
}

/* Both directions at once, until the command's output ends. Neither waits for the other: a command
 * that writes much before it reads would never end. */
static void pass_on(const struct docker *docker, int fd, hysock_str early, int with_input) {
    struct docker_output output = {0};
    struct input input = {.open = with_input};
    char data[16384];

    docker_output(docker, &output, early.ptr, early.len); /* it came first */
    if (!with_input)
        shutdown(fd, SHUT_WR);
    for (;;) {
        int waits = input.begin < input.end;
        struct pollfd fds[2] = {
            {.fd = fd, .events = (short)(POLLIN | (waits ? POLLOUT : 0))},
            {.fd = input.open && !waits ? STDIN_FILENO : -1, .events = POLLIN},
        };
        ssize_t n;
        if (poll(fds, 2, -1) < 0) {
            if (errno == EINTR)
                continue;
            break;
        }
        if (fds[1].revents != 0 || (fds[0].revents & POLLOUT) != 0)
            send_input(docker, fd, &input, fds[1].revents != 0);
        if ((fds[0].revents & ~POLLOUT) == 0)
            continue;
        n = read(fd, data, sizeof data);
        if (n > 0)
            docker_output(docker, &output, data, (size_t)n);
        else if (n == 0 || errno != EINTR)
            break;
    }
}

int main(int argc, char **argv) {
    int with_input = argc > 1 && strcmp(argv[1], "-i") == 0;
    char id[128], target[256], value[16];
    struct docker docker;
    hysock_error err;
    hysock_call *call;
    hysock_str early;
    int32_t fd;
    char *json;

    argv += with_input;
    if (argc - with_input < 4)
        return usage();
    docker_open(&docker, "docker_exec", 125, argv[1]);

    call = docker_new(&docker, "POST", docker_target(&docker, "/containers/%s/exec", argv[2]));
    json = exec_json(argv + 3, with_input);
    docker_set_json(&docker, call, json);
    free(json);
    docker_perform(&docker, call, 201);
    docker_value(hysock_call_body(call), "Id", id, sizeof id);
    hysock_call_free(call);

    snprintf(target, sizeof target, "/exec/%s/start", id);
    call = docker_new(&docker, "POST", target);
    docker_set_json(&docker, call, "{\"Detach\":false,\"Tty\":false}");
    hysock_call_set_upgrade(call, "tcp"); /* 101 from daemons that know it, else 200 */
    docker_perform(&docker, call, 200);
    if (hysock_call_take_fd(call, &fd, &early, &err) != HYSOCK_OK)
        docker_fail(&docker, "no connection", &err);
    pass_on(&docker, fd, early, with_input);
    close(fd);
    hysock_call_free(call); /* `early` was its text */

    snprintf(target, sizeof target, "/exec/%s/json", id);
    call = docker_new(&docker, "GET", target);
    docker_perform(&docker, call, 200);
    docker_value(hysock_call_body(call), "ExitCode", value, sizeof value);
    hysock_call_free(call);
    hysock_client_free(docker.client);
    return (int)strtol(value, NULL, 10);
}
