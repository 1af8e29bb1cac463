/* See docker.h. */
#define _POSIX_C_SOURCE 200809L
#include "docker.h"

#include <stdlib.h>
#include <string.h>

void docker_fail(const struct docker *docker, const char *what, const hysock_error *err) {
    fprintf(stderr, "%s: %s: %s\n", docker->program, what, err->message);
    exit(docker->failure);
}

void docker_open(struct docker *docker, const char *program, int failure, const char *socket) {
    hysock_error err;
    docker->program = program;
    docker->failure = failure;
    if (hysock_client_new(NULL, socket, HYSOCK_NTS, NULL, &docker->client, &err) != HYSOCK_OK)
        docker_fail(docker, socket, &err);
}

hysock_call *docker_new(const struct docker *docker, const char *method, const char *target) {
    hysock_error err;
    hysock_call *call;
    if (hysock_call_new(docker->client, method, target, HYSOCK_NTS, &call, &err) != HYSOCK_OK)
        docker_fail(docker, target, &err);
    return call;
}

void docker_set_json(const struct docker *docker, hysock_call *call, const char *json) {
    (void)docker; /* a refused body makes the call fail */
    hysock_call_set_body(call, "application/json", json, strlen(json));
}

/* Why not: {"message": "..."} is what the daemon answers then. */
static void refused(const struct docker *docker, hysock_call *call) {
    char text[512];
    hysock_str piece = hysock_call_body(call);
    if (piece.ptr == NULL) /* a streaming call's body is read */
        hysock_call_read(call, &piece, 1000, NULL);
    fprintf(stderr, "%s: HTTP status %d: %s\n", docker->program, (int)hysock_call_http_status(call),
            docker_value(piece, "message", text, sizeof text));
    exit(docker->failure);
}

void docker_perform(const struct docker *docker, hysock_call *call, int status) {
    hysock_error err;
    int got;
    if (hysock_call_perform(call, &err) != HYSOCK_OK)
        docker_fail(docker, "no answer", &err);
    got = hysock_call_http_status(call);
    if (got != status && got != 101)
        refused(docker, call);
}

const char *docker_target(const struct docker *docker, const char *format, const char *container) {
    static char target[512];
    static const char legal[] = "abcdefghijklmnopqrstuvwxyz"
                                "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-";
    size_t len = strlen(container);
    if (len == 0 || len > 255 || strspn(container, legal) != len) {
        fprintf(stderr, "%s: '%s' is no name of a container\n", docker->program, container);
        exit(docker->failure);
    }
    snprintf(target, sizeof target, format, container);
    return target;
}

int docker_has_terminal(const struct docker *docker, const char *container) {
    char value[16];
    hysock_call *call =
        docker_new(docker, "GET", docker_target(docker, "/containers/%s/json", container));
    docker_perform(docker, call, 200);
    docker_value(hysock_call_body(call), "Tty", value, sizeof value);
    hysock_call_free(call);
    return strcmp(value, "true") == 0;
}

const char *docker_value(hysock_str json, const char *key, char *value, size_t size) {
    char quoted[64], *end = value;
    const char *at, *stop = json.ptr + json.len;
    size_t len = (size_t)snprintf(quoted, sizeof quoted, "\"%s\":", key);

    for (at = json.ptr; at != NULL && (size_t)(stop - at) > len; at++)
        if (memcmp(at, quoted, len) == 0)
            break;
    if (at != NULL && (size_t)(stop - at) > len) {
        int text = at[len] == '"';
        for (at += len + (size_t)text; at < stop && end < value + size - 1; at++) {
            if (text ? *at == '"' : *at == ',' || *at == '}')
                break;
            if (*at == '\\' && at + 1 < stop)
                at++;
            *end++ = *at;
        }
    }
    *end = '\0';
    return value;
}

static void print(const struct docker *docker, int where, const char *data, size_t len) {
    FILE *to = where == 2 ? stderr : stdout;
    if (fwrite(data, 1, len, to) != len || fflush(to) != 0) {
        fprintf(stderr, "%s: cannot write the output\n", docker->program);
        exit(docker->failure);
    }
}

void docker_output(const struct docker *docker, struct docker_output *output, const char *data,
                   size_t len) {
    const unsigned char *head = output->head;
    if (output->terminal) {
        print(docker, 1, data, len);
        return;
    }
    while (len > 0) {
        size_t some;
        if (output->left == 0) {
            output->head[output->have++] = (unsigned char)*data++;
            len--;
            if (output->have == sizeof output->head) {
                output->left = (unsigned long)head[4] << 24 | (unsigned long)head[5] << 16 |
                               (unsigned long)head[6] << 8 | head[7];
                output->have = 0;
            }
            continue;
        }
        some = len < output->left ? len : (size_t)output->left;
        print(docker, head[0], data, some);
        data += some;
        len -= some;
        output->left -= some;
    }
}
