/* Teaches: messages from many producers, in batches, and an end that loses nothing.
 *
 *   receiver ADDRESS [--framing u32be|u32le|lines|raw|seqpacket|dgram] [--count N] [--quiet]
 *            [--slow-us N]
 *   receiver - ...       on the sockets that systemd, or systemd-socket-activate, has passed
 *   receiver /tmp/r --framing lines &  printf 'hello\nworld\n' | nc -U -N /tmp/r
 *
 * Prints each message on a line, at the end (SIGTERM, SIGINT, or N messages) what there was in all.
 * One receiver never runs two callbacks at once: what they share needs no lock.
 */
#define _POSIX_C_SOURCE 200809L
#include <hysock.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static const struct {
    const char *name;
    int32_t framing;
} framings[] = {
    {"u32be", HYSOCK_FRAMING_U32BE},         {"u32le", HYSOCK_FRAMING_U32LE},
    {"lines", HYSOCK_FRAMING_DELIMITER},     {"raw", HYSOCK_FRAMING_RAW},
    {"seqpacket", HYSOCK_FRAMING_SEQPACKET}, {"dgram", HYSOCK_FRAMING_DATAGRAM},
};

struct state {
    pthread_t main_thread;
    uint64_t seen, count;
    long slow_us;
    int quiet;
};

static void usage(void) {
    fprintf(stderr, "usage: receiver ADDRESS [--framing u32be|u32le|lines|raw|seqpacket|dgram] "
                    "[--count N] [--quiet] [--slow-us N]\n");
    exit(2);
}

static void fail(const char *what, const hysock_error *err) {
    fprintf(stderr, "receiver: %s: %s\n", what, err->message);
    exit(1);
}

static void on_batch(hysock_receiver *receiver, hysock_batch *batch, void *userdata) {
    struct state *state = userdata;
    size_t count, i;
    const hysock_message *messages = hysock_batch_messages(batch, &count);
    (void)receiver;
    for (i = 0; i < count; i++) {
        if (!state->quiet) {
            fwrite(messages[i].data, 1, messages[i].len, stdout);
            putchar('\n');
        }
        if (state->slow_us > 0) {
            struct timespec pause = {state->slow_us / 1000000, state->slow_us % 1000000 * 1000};
            nanosleep(&pause, NULL);
        }
    }
    fflush(stdout);
    /* The batch is lent: with the return its bytes are free for new messages. */
    state->seen += count;
    if (state->count != 0 && state->seen >= state->count) {
        state->count = 0;
        pthread_kill(state->main_thread, SIGTERM);
    }
}

/* Listens at the address, or takes what a service manager listens on. */
static hysock_receiver *start(hysock_runtime *runtime, const char *address,
                              const hysock_receiver_config *config, struct state *state) {
    hysock_error err;
    hysock_receiver *receiver;
    if (strcmp(address, "-") != 0) {
        if (hysock_receiver_serve(runtime, address, HYSOCK_NTS, config, on_batch, state, NULL,
                                  &receiver, &err) != HYSOCK_OK)
            fail("listen", &err);
        return receiver;
    }
    if (hysock_receiver_new(runtime, config, &receiver, &err) != HYSOCK_OK ||
        hysock_receiver_add_activated(receiver, NULL, NULL, &err) < 0 ||
        hysock_receiver_on_batch(receiver, on_batch, state, NULL, &err) != HYSOCK_OK ||
        hysock_receiver_start(receiver, &err) != HYSOCK_OK)
        fail("passed sockets", &err);
    return receiver;
}

int main(int argc, char **argv) {
    hysock_error err;
    hysock_runtime *runtime;
    hysock_receiver *receiver;
    hysock_receiver_config *config = hysock_receiver_config_new();
    hysock_receiver_counts counts;
    struct state state;
    sigset_t ends;
    int number, i;
    size_t f;

    memset(&state, 0, sizeof state);
    state.main_thread = pthread_self();
    if (argc < 2 || (argv[1][0] == '-' && argv[1][1] != '\0'))
        usage();
    for (i = 2; i < argc; i++) {
        if (strcmp(argv[i], "--quiet") == 0) {
            state.quiet = 1;
        } else if (i + 1 == argc) {
            usage();
        } else if (strcmp(argv[i], "--count") == 0) {
            state.count = strtoull(argv[++i], NULL, 10);
        } else if (strcmp(argv[i], "--slow-us") == 0) {
            state.slow_us = strtol(argv[++i], NULL, 10);
        } else if (strcmp(argv[i], "--framing") == 0) {
            i++;
            for (f = 0; f < sizeof framings / sizeof *framings; f++)
                if (strcmp(argv[i], framings[f].name) == 0)
                    break;
            if (f == sizeof framings / sizeof *framings)
                usage();
            hysock_receiver_config_set_framing(config, framings[f].framing);
        } else {
            usage();
        }
    }

    /* Blocked before any thread is made, and waited for below: no handler, nothing to be careful
     * in. */
    sigemptyset(&ends);
    sigaddset(&ends, SIGTERM);
    sigaddset(&ends, SIGINT);
    pthread_sigmask(SIG_BLOCK, &ends, NULL);

    if (hysock_runtime_new(NULL, &runtime, &err) != HYSOCK_OK)
        fail("runtime", &err);
    receiver = start(runtime, argv[1], config, &state);
    hysock_receiver_config_free(config);
    printf("listening on %s\n", argv[1]);
    fflush(stdout);

    sigwait(&ends, &number);

    /* What producers had sent by now is still read and printed. */
    if (hysock_receiver_shutdown(receiver, 10000, &err) != HYSOCK_OK ||
        hysock_receiver_wait(receiver, HYSOCK_FOREVER, &err) != HYSOCK_OK ||
        hysock_receiver_stats(receiver, &counts, sizeof counts, &err) != HYSOCK_OK)
        fail("end", &err);
    printf("received %" PRIu64 " messages, %" PRIu64 " bytes, %" PRIu64 " producers, %" PRIu64
           " dropped\n",
           counts.received, counts.received_bytes, counts.producers_total, counts.dropped);
    hysock_receiver_free(receiver);
    if (hysock_runtime_shutdown(runtime, 0, &err) != HYSOCK_OK ||
        hysock_runtime_wait(runtime, HYSOCK_FOREVER, &err) != HYSOCK_OK)
        fail("end", &err);
    hysock_runtime_free(runtime);
    return 0;
}
