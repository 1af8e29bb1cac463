/* Teaches: pulling messages in an event loop of your own, by a descriptor that poll(2) understands.
 *
 *   statsd_sink ADDRESS
 *
 * Speaks DogStatsD's stream mode (unixstream://ADDRESS): a length of four bytes, least significant
 * first, then lines such as "requests:1|c|#route:home". Counters are added up, of gauges the last
 * value counts, of everything else how often it came. Prints all of it at the end (SIGTERM,
 * SIGINT).
 */
#define _POSIX_C_SOURCE 200809L
#include <hysock.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define NAMES 256

static struct metric {
    char name[64];
    double value;
} metrics[NAMES];
static size_t metric_count;
static int signals[2];

static void fail(const char *what, const hysock_error *err) {
    fprintf(stderr, "statsd_sink: %s: %s\n", what, err->message);
    exit(1);
}

static void on_signal(int number) {
    ssize_t written = write(signals[1], "", 1);
    (void)number;
    (void)written;
}

static struct metric *find(const char *name, size_t len) {
    size_t i;
    if (len == 0 || len >= sizeof metrics[0].name)
        return NULL;
    for (i = 0; i < metric_count; i++)
        if (strlen(metrics[i].name) == len && memcmp(metrics[i].name, name, len) == 0)
            return &metrics[i];
    if (metric_count == NAMES)
        return NULL;
    memcpy(metrics[metric_count].name, name, len);
    return &metrics[metric_count++];
}

/* One line: NAME:VALUE|TYPE, and whatever follows. */
static void count(const char *line, size_t len) {
    char copy[256];
    char *value, *type;
    struct metric *metric;
    if (len >= sizeof copy)
        return;
    memcpy(copy, line, len);
    copy[len] = 0;
    value = strchr(copy, ':');
    type = value == NULL ? NULL : strchr(value, '|');
    if (type == NULL || (metric = find(copy, (size_t)(value - copy))) == NULL)
        return;
    if (type[1] == 'c')
        metric->value += strtod(value + 1, NULL);
    else if (type[1] == 'g')
        metric->value = strtod(value + 1, NULL);
    else
        metric->value += 1;
}

static void take(hysock_batch *batch) {
    size_t n, i;
    const hysock_message *messages = hysock_batch_messages(batch, &n);
    for (i = 0; i < n; i++) {
        const char *at = messages[i].data, *end = at + messages[i].len;
        while (at < end) {
            const char *newline = memchr(at, '\n', (size_t)(end - at));
            const char *stop = newline == NULL ? end : newline;
            count(at, (size_t)(stop - at));
            at = stop + 1;
        }
    }
}

/* Everything that is there; SHUT_DOWN says that nothing comes any more. */
static void pull(hysock_receiver *receiver) {
    hysock_batch *batch;
    while (hysock_receiver_recv(receiver, 1024, 0, &batch, NULL) == HYSOCK_OK) {
        take(batch);
        hysock_batch_free(batch);
    }
}

int main(int argc, char **argv) {
    hysock_error err;
    hysock_runtime *runtime;
    hysock_receiver *receiver;
    hysock_receiver_config *config = hysock_receiver_config_new();
    struct sigaction action;
    struct pollfd polled[2];
    size_t i;

    if (argc != 2) {
        fprintf(stderr, "usage: statsd_sink ADDRESS\n");
        return 2;
    }
    if (pipe(signals) != 0) {
        perror("pipe");
        return 1;
    }
    memset(&action, 0, sizeof action);
    action.sa_handler = on_signal;
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);

    hysock_receiver_config_set_framing(config, HYSOCK_FRAMING_U32LE);
    hysock_receiver_config_set_max_message(config, 64 * 1024);
    /* Numbers from a busy program must not slow it down: what is too much is dropped and counted.
     */
    hysock_receiver_config_set_overflow(config, HYSOCK_OVERFLOW_DROP_OLDEST);
    if (hysock_runtime_new(NULL, &runtime, &err) != HYSOCK_OK)
        fail("runtime", &err);
    if (hysock_receiver_serve(runtime, argv[1], HYSOCK_NTS, config, NULL, NULL, NULL, &receiver,
                              &err) != HYSOCK_OK)
        fail("listen", &err);
    hysock_receiver_config_free(config);
    printf("listening on %s\n", argv[1]);
    fflush(stdout);

    polled[0].fd = hysock_receiver_fd(receiver);
    polled[1].fd = signals[0];
    polled[0].events = polled[1].events = POLLIN;
    polled[1].revents = 0;
    while (!(polled[1].revents & POLLIN))
        if (poll(polled, 2, -1) > 0 && polled[0].revents & POLLIN)
            pull(receiver);

    /* What has been sent by now is read into memory first, and taken then. */
    if (hysock_receiver_shutdown(receiver, 5000, &err) != HYSOCK_OK ||
        hysock_receiver_wait(receiver, HYSOCK_FOREVER, &err) != HYSOCK_OK)
        fail("end", &err);
    pull(receiver);
    for (i = 0; i < metric_count; i++)
        printf("%s %g\n", metrics[i].name, metrics[i].value);
    hysock_receiver_free(receiver);
    if (hysock_runtime_shutdown(runtime, 0, &err) != HYSOCK_OK ||
        hysock_runtime_wait(runtime, HYSOCK_FOREVER, &err) != HYSOCK_OK)
        fail("end", &err);
    hysock_runtime_free(runtime);
    return 0;
}
