/* What the docker_* programs share: calls of the daemon, and the output of containers. */
#ifndef DOCKER_H
#define DOCKER_H

#include <hysock.h>
#include <stdio.h>

struct docker {
    const char *program; /* in front of messages */
    int failure;         /* exit status after one */
    hysock_client *client;
};

/* Each of these ends the program with one line when it fails. */
void docker_open(struct docker *docker, const char *program, int failure, const char *socket);
void docker_fail(const struct docker *docker, const char *what, const hysock_error *err);
hysock_call *docker_new(const struct docker *docker, const char *method, const char *target);
void docker_set_json(const struct docker *docker, hysock_call *call, const char *json);
/* Sends it; any HTTP status but `status` and 101 is a failure. `call` may be streaming. */
void docker_perform(const struct docker *docker, hysock_call *call, int status);
/* `format` with the name of a container, which must be one. */
const char *docker_target(const struct docker *docker, const char *format, const char *container);
/* Whether the container has a terminal: then its output is one stream, as it is. */
int docker_has_terminal(const struct docker *docker, const char *container);

/* The value of "key" in a JSON text, as it stands there, up to `,` or `}`; quotes are taken off.
 * Enough for what the daemon says about itself; programs that want more want a JSON library. */
const char *docker_value(hysock_str json, const char *key, char *value, size_t size);

/* What a container writes comes in frames: one byte that says where to (1 stdout, 2 stderr), three
 * of nothing, four of length, then so many bytes. Frames begin and end anywhere in what was read.
 */
struct docker_output {
    int terminal; /* no frames */
    unsigned char head[8];
    size_t have;        /* of the head */
    unsigned long left; /* of the frame */
};

void docker_output(const struct docker *docker, struct docker_output *output, const char *data,
                   size_t len);

#endif
