/* Teaches: sending messages, and knowing what became of them.
 *
 *   producer ADDRESS [--framing u32be|u32le|lines|raw|seqpacket|dgram] [--count N] [--size B]
 *            [--id K] [--drain-ms D] [TEXT]...
 *   producer /tmp/r hello world
 *   producer /tmp/r --count 1000000 --size 100 --id 7
 *
 * Sends the texts, then N generated messages "K:seq:" padded to B bytes. The receiver may be absent
 * at first, or restart meanwhile. The report at the end says how many were read, how many are in
 * doubt, and how many were never sent.
 */
#include <hysock.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Messages given to the library at once: it sends many with one system call. */
#define BATCH 256

static const struct {
    const char *name;
    int32_t framing;
} framings[] = {
    {"u32be", HYSOCK_FRAMING_U32BE},         {"u32le", HYSOCK_FRAMING_U32LE},
    {"lines", HYSOCK_FRAMING_DELIMITER},     {"raw", HYSOCK_FRAMING_RAW},
    {"seqpacket", HYSOCK_FRAMING_SEQPACKET}, {"dgram", HYSOCK_FRAMING_DATAGRAM},
};

static void usage(void) {
    fprintf(stderr, "usage: producer ADDRESS [--framing u32be|u32le|lines|raw|seqpacket|dgram] "
                    "[--count N] [--size B] [--id K] [--drain-ms D] [TEXT]...\n");
    exit(2);
}

static void fail(const char *what, const hysock_error *err) {
    fprintf(stderr, "producer: %s: %s\n", what, err->message);
    exit(1);
}

static void generate(hysock_producer *producer, uint64_t count, size_t size, unsigned long id) {
    hysock_error err;
    hysock_slice slices[BATCH];
    size_t room = size < 64 ? 64 : size;
    char *buffer = malloc(BATCH * room);
    uint64_t next = 0;
    if (buffer == NULL) {
        perror("producer");
        exit(1);
    }
    while (next < count) {
        size_t n, sent;
        for (n = 0; n < BATCH && next < count; n++, next++) {
            char *message = buffer + n * room;
            int len = snprintf(message, room, "%lu:%" PRIu64 ":", id, next);
            if ((size_t)len < size)
                memset(message + len, '.', size - (size_t)len);
            slices[n].data = message;
            slices[n].len = (size_t)len < size ? size : (size_t)len;
        }
        if (hysock_producer_send_batch(producer, slices, n, HYSOCK_FOREVER, &sent, &err) !=
            HYSOCK_OK)
            fail("send", &err);
    }
    free(buffer);
}

int main(int argc, char **argv) {
    hysock_error err;
    hysock_runtime *runtime;
    hysock_producer *producer;
    hysock_producer_config *config = hysock_producer_config_new();
    hysock_producer_report report;
    uint64_t count = 0;
    size_t size = 0, f;
    unsigned long id = 0;
    uint32_t drain_ms = 10000;
    int i;

    if (argc < 2 || argv[1][0] == '-')
        usage();
    for (i = 2; i < argc && strncmp(argv[i], "--", 2) == 0; i += 2) {
        if (i + 1 == argc)
            usage();
        if (strcmp(argv[i], "--count") == 0) {
            count = strtoull(argv[i + 1], NULL, 10);
        } else if (strcmp(argv[i], "--size") == 0) {
            size = strtoul(argv[i + 1], NULL, 10);
        } else if (strcmp(argv[i], "--drain-ms") == 0) {
            drain_ms = (uint32_t)strtoul(argv[i + 1], NULL, 10);
        } else if (strcmp(argv[i], "--id") == 0) {
            id = strtoul(argv[i + 1], NULL, 10);
        } else if (strcmp(argv[i], "--framing") == 0) {
            for (f = 0; f < sizeof framings / sizeof *framings; f++)
                if (strcmp(argv[i + 1], framings[f].name) == 0)
                    break;
            if (f == sizeof framings / sizeof *framings)
                usage();
            hysock_producer_config_set_framing(config, framings[f].framing);
        } else {
            usage();
        }
    }

    if (hysock_runtime_new(NULL, &runtime, &err) != HYSOCK_OK ||
        hysock_producer_new(runtime, argv[1], HYSOCK_NTS, config, &producer, &err) != HYSOCK_OK)
        fail("start", &err);
    hysock_producer_config_free(config);

    for (; i < argc; i++)
        if (hysock_producer_send(producer, argv[i], strlen(argv[i]), HYSOCK_FOREVER, &err) !=
            HYSOCK_OK)
            fail(argv[i], &err);
    generate(producer, count, size, id);

    /* Ends the connection once all of it was read, or when that takes too long. */
    if (hysock_producer_shutdown(producer, drain_ms, &report, sizeof report, &err) != HYSOCK_OK)
        fail("end", &err);
    printf("%" PRIu64 " delivered, %" PRIu64 " in doubt, %" PRIu64 " unsent, %" PRIu64 " dropped\n",
           report.delivered, report.in_doubt, report.unsent, report.dropped);
    hysock_producer_free(producer);
    if (hysock_runtime_shutdown(runtime, 0, &err) != HYSOCK_OK ||
        hysock_runtime_wait(runtime, HYSOCK_FOREVER, &err) != HYSOCK_OK)
        fail("end", &err);
    hysock_runtime_free(runtime);
    return report.in_doubt + report.unsent == 0 ? 0 : 1;
}
