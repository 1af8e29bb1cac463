/* Teaches: two receivers in one queue. One thread writes the file, so nothing needs a lock.
 *
 *   log_collector FILE DATAGRAMS LINES
 *   log_collector /tmp/all.log /tmp/log /tmp/lines &
 *   logger -u /tmp/log hello;  echo hello | nc -U -N /tmp/lines
 *
 * DATAGRAMS is a socket such as /dev/log, LINES a stream of lines. Each message becomes a line of
 * FILE, after the uid and the pid of its sender: the kernel's word, not the sender's.
 */
#define _POSIX_C_SOURCE 200809L
#include <hysock.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static hysock_queue *queue;
static volatile sig_atomic_t ends;

static void fail(const char *what, const hysock_error *err) {
    fprintf(stderr, "log_collector: %s: %s\n", what, err->message);
    exit(1);
}

/* One of the two functions that a signal handler may call. */
static void on_signal(int number) {
    (void)number;
    ends = 1;
    hysock_queue_wake(queue);
}

static void on_batch(hysock_receiver *receiver, hysock_batch *batch, void *userdata) {
    FILE *file = userdata;
    size_t count, i, k;
    const hysock_message *messages = hysock_batch_messages(batch, &count);
    (void)receiver;
    for (i = 0; i < count; i++) {
        const char *text = messages[i].data;
        size_t len = messages[i].len;
        hysock_peer peer;
        if (hysock_batch_peer(batch, i, &peer, sizeof peer, NULL) == HYSOCK_OK &&
            peer.state == HYSOCK_PEER_KNOWN)
            fprintf(file, "%lu %ld ", (unsigned long)peer.uid, (long)peer.pid);
        else
            fputs("? ? ", file);
        /* syslog(3) and some others end their datagrams with a newline or a NUL. */
        while (len > 0 && (text[len - 1] == '\n' || text[len - 1] == 0))
            len--;
        /* Nobody may forge a line of his own. */
        for (k = 0; k < len; k++)
            putc((unsigned char)text[k] < ' ' && text[k] != '\t' ? '?' : text[k], file);
        putc('\n', file);
    }
    fflush(file);
}

static hysock_receiver *receive(hysock_runtime *runtime, const char *address, int32_t framing,
                                FILE *file) {
    hysock_error err;
    hysock_receiver *receiver;
    hysock_receiver_config *config = hysock_receiver_config_new();
    hysock_receiver_config_set_framing(config, framing);
    hysock_receiver_config_set_max_message(config, 64 * 1024);
    hysock_receiver_config_set_queue(config, queue);
    if (hysock_receiver_serve(runtime, address, HYSOCK_NTS, config, on_batch, file, NULL, &receiver,
                              &err) != HYSOCK_OK)
        fail("listen", &err);
    hysock_receiver_config_free(config);
    return receiver;
}

/* Reads what was sent before, then ends. wait() dispatches the queue meanwhile. */
static uint64_t finish(hysock_receiver *receiver) {
    hysock_error err;
    hysock_receiver_counts counts;
    if (hysock_receiver_shutdown(receiver, 5000, &err) != HYSOCK_OK ||
        hysock_receiver_wait(receiver, HYSOCK_FOREVER, &err) != HYSOCK_OK ||
        hysock_receiver_stats(receiver, &counts, sizeof counts, &err) != HYSOCK_OK)
        fail("end", &err);
    hysock_receiver_free(receiver);
    return counts.received;
}

int main(int argc, char **argv) {
    hysock_error err;
    hysock_runtime *runtime;
    hysock_receiver *datagrams, *lines;
    struct sigaction action;
    uint64_t received;
    FILE *file;

    if (argc != 4) {
        fprintf(stderr, "usage: log_collector FILE DATAGRAMS LINES\n");
        return 2;
    }
    file = fopen(argv[1], "a");
    if (file == NULL) {
        perror(argv[1]);
        return 1;
    }
    if (hysock_runtime_new(NULL, &runtime, &err) != HYSOCK_OK ||
        hysock_queue_new(runtime, &queue, &err) != HYSOCK_OK)
        fail("runtime", &err);
    memset(&action, 0, sizeof action);
    action.sa_handler = on_signal;
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);

    datagrams = receive(runtime, argv[2], HYSOCK_FRAMING_DATAGRAM, file);
    lines = receive(runtime, argv[3], HYSOCK_FRAMING_DELIMITER, file);
    printf("listening on %s and %s\n", argv[2], argv[3]);
    fflush(stdout);

    while (!ends)
        if (hysock_queue_dispatch(queue, 64, HYSOCK_FOREVER) < 0)
            break;

    received = finish(datagrams);
    received += finish(lines);
    printf("%" PRIu64 " messages\n", received);
    hysock_queue_free(queue);
    if (hysock_runtime_shutdown(runtime, 0, &err) != HYSOCK_OK ||
        hysock_runtime_wait(runtime, HYSOCK_FOREVER, &err) != HYSOCK_OK)
        fail("end", &err);
    hysock_runtime_free(runtime);
    return fclose(file) == 0 ? 0 : 1;
}
