/* Many producers, numbered messages with checksums, and a receiver that stops in the middle.
 *
 *   flood receive ADDRESS FILE PRODUCERS COUNT PAUSE_MS [SLOW_NS]
 *   flood send ADDRESS PRODUCERS COUNT SIZE        PRODUCERS processes, COUNT messages each
 *   flood storm ADDRESS PRODUCERS                  PRODUCERS processes, for ever, until killed
 *
 * The receiver counts each message in FILE, one byte for each, which outlives a kill -9. After the
 * first message it takes nothing for PAUSE_MS. At SIGTERM it prints what it has seen in all of its
 * lives. A message is wrong when its checksum is, or when an older one of its producer came after
 * it. In a storm FILE has eight bytes for each producer: how many came of it.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <hysock.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define BATCH 64

typedef struct head {
    uint32_t producer, sum;
    uint64_t number;
} head;

static hysock_error err;
static volatile sig_atomic_t over;

static void must(hysock_status status, const char *what) {
    if (status != HYSOCK_OK) {
        fprintf(stderr, "flood: %s: %s\n", what, err.message);
        exit(1);
    }
}

static void end(int number) {
    (void)number;
    over = 1;
}

/* FNV-1a of all but the sum itself. */
static uint32_t checksum(const unsigned char *bytes, size_t len) {
    uint32_t sum = 2166136261u;
    for (size_t i = 0; i < len; i++)
        if (i < 4 || i >= 8)
            sum = (sum ^ bytes[i]) * 16777619u;
    return sum;
}

static void *map(const char *path, size_t size) {
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    void *at = MAP_FAILED;
    if (fd >= 0 && ftruncate(fd, (off_t)size) == 0)
        at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (at == MAP_FAILED) {
        perror(path);
        exit(1);
    }
    return at;
}

static void nap(uint64_t ns) {
    struct timespec t = {(time_t)(ns / 1000000000u), (long)(ns % 1000000000u)};
    while (nanosleep(&t, &t) != 0 && !over) {
    }
}

typedef struct tally {
    unsigned char *file;
    uint64_t *next;
    uint64_t producers, count, wrong, most_held;
} tally;

static void look(tally *t, const hysock_message *message) {
    head h;
    if (message->len < sizeof h) {
        t->wrong++;
        return;
    }
    memcpy(&h, message->data, sizeof h);
    if (h.sum != checksum(message->data, message->len) || h.producer >= t->producers) {
        t->wrong++;
    } else if (t->count == 0) {
        ((uint64_t *)(void *)t->file)[h.producer]++;
    } else if (h.number >= t->count || h.number < t->next[h.producer]) {
        t->wrong++;
    } else {
        t->next[h.producer] = h.number + 1;
        t->file[h.producer * t->count + h.number]++;
    }
}

/* What all lives have seen. */
static void say(const tally *t) {
    uint64_t missing = 0, twice = 0;
    for (uint64_t i = 0; i < t->producers * t->count; i++) {
        missing += t->file[i] == 0;
        twice += t->file[i] > 1;
    }
    printf("missing %" PRIu64 ", twice %" PRIu64 ", wrong %" PRIu64 ", most held %" PRIu64 "\n",
           missing, twice, t->wrong, t->most_held);
}

static int receive(char **argv, uint64_t slow_ns) {
    hysock_runtime *runtime;
    hysock_receiver *receiver;
    hysock_batch *batch;
    tally t = {0};
    uint64_t pause = strtoull(argv[6], NULL, 10) * 1000000u;
    t.producers = strtoull(argv[4], NULL, 10);
    t.count = strtoull(argv[5], NULL, 10);
    t.file = map(argv[3], t.count == 0 ? t.producers * 8 : t.producers * t.count);
    t.next = calloc(t.producers, sizeof *t.next);
    signal(SIGTERM, end);
    must(hysock_runtime_new(NULL, &runtime, &err), "runtime");
    hysock_receiver_config *config = hysock_receiver_config_new();
    /* In a storm it is the budget that shares out, so it is soon full. */
    if (t.count == 0)
        hysock_receiver_config_set_max_bytes(config, 1 << 20);
    must(hysock_receiver_serve(runtime, argv[2], HYSOCK_NTS, config, NULL, NULL, NULL, &receiver,
                               &err),
         "listen");
    hysock_receiver_config_free(config);
    printf("listening\n");
    fflush(stdout);
    for (bool ending = false;;) {
        hysock_receiver_counts counts;
        size_t n;
        if (over && !ending) {
            ending = true;
            must(hysock_receiver_shutdown(receiver, 10000, &err), "shutdown");
        }
        hysock_status status = hysock_receiver_recv(receiver, 1024, 20, &batch, &err);
        if (status == HYSOCK_E_TIMED_OUT)
            continue;
        if (status == HYSOCK_E_SHUT_DOWN)
            break;
        must(status, "recv");
        must(hysock_receiver_stats(receiver, &counts, sizeof counts, &err), "stats");
        if (counts.held > t.most_held)
            t.most_held = counts.held;
        const hysock_message *messages = hysock_batch_messages(batch, &n);
        for (size_t i = 0; i < n; i++)
            look(&t, &messages[i]);
        hysock_batch_free(batch);
        nap(pause + n * slow_ns);
        pause = 0;
    }
    say(&t);
    return 0;
}

static void fill(char *at, size_t size, uint32_t producer, uint64_t number) {
    head h = {producer, 0, number};
    memset(at, (int)(number % 251), size);
    memcpy(at, &h, sizeof h);
    h.sum = checksum((unsigned char *)at, size);
    memcpy(at, &h, sizeof h);
}

/* One producer; `batch` messages at once. Without a count for ever. */
static void produce(const char *address, uint32_t id, uint64_t count, size_t size, size_t batch,
                    int report) {
    hysock_runtime *runtime;
    hysock_producer *producer;
    hysock_producer_report became;
    hysock_slice slices[BATCH];
    char *space = malloc(BATCH * size);
    if (space == NULL || size < sizeof(head))
        exit(1);
    must(hysock_runtime_new(NULL, &runtime, &err), "runtime");
    must(hysock_producer_new(runtime, address, HYSOCK_NTS, NULL, &producer, &err), "producer");
    for (uint64_t next = 0; count == 0 || next < count;) {
        size_t n = 0, sent;
        for (; n < batch && (count == 0 || next < count); n++, next++) {
            fill(space + n * size, size, id, next);
            slices[n].data = space + n * size;
            slices[n].len = size;
        }
        must(hysock_producer_send_batch(producer, slices, n, HYSOCK_FOREVER, &sent, &err), "send");
    }
    must(hysock_producer_shutdown(producer, 60000, &became, sizeof became, &err), "shutdown");
    if (write(report, &became, sizeof became) != sizeof became)
        exit(1);
    _exit(0);
}

static int all_produce(char **argv, uint64_t count, size_t size, bool storm) {
    hysock_producer_report sum = {0}, one;
    int report[2], failed = 0, status;
    uint32_t producers = (uint32_t)strtoul(argv[3], NULL, 10);
    if (pipe(report) != 0)
        return 1;
    for (uint32_t id = 0; id < producers; id++) {
        pid_t child = fork();
        if (child == 0) {
            /* In a storm the first is greedy, the others send message by message. */
            produce(argv[2], id, count, size, storm && id > 0 ? 1 : BATCH, report[1]);
        }
        failed += child < 0;
    }
    close(report[1]);
    while (read(report[0], &one, sizeof one) == (ssize_t)sizeof one) {
        sum.delivered += one.delivered;
        sum.in_doubt += one.in_doubt;
        sum.unsent += one.unsent;
        sum.dropped += one.dropped;
    }
    while (wait(&status) > 0)
        failed += status != 0;
    printf("%" PRIu64 " delivered, %" PRIu64 " in doubt, %" PRIu64 " unsent, %" PRIu64 " dropped\n",
           sum.delivered, sum.in_doubt, sum.unsent, sum.dropped);
    return failed == 0 ? 0 : 1;
}

int main(int argc, char **argv) {
    if (argc >= 7 && strcmp(argv[1], "receive") == 0)
        return receive(argv, argc > 7 ? strtoull(argv[7], NULL, 10) : 0);
    if (argc == 6 && strcmp(argv[1], "send") == 0)
        return all_produce(argv, strtoull(argv[4], NULL, 10), strtoull(argv[5], NULL, 10), false);
    if (argc == 4 && strcmp(argv[1], "storm") == 0)
        return all_produce(argv, 0, 1000, true);
    fprintf(stderr, "flood: see the top of flood.c\n");
    return 2;
}
