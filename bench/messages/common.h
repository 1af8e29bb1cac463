/* What the message programs share: the first message of each producer is a greeting, then all wait
   for the start, then the receiver takes the time from the first to the last of TOTAL messages of
   SIZE bytes. */
#define _GNU_SOURCE
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#define SIZE 100

static uint64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* The receiver's side: the first `skip` messages are greetings, then the clock starts. */
static uint64_t seen, total, skip, began;
static struct rusage at_start;
static uint64_t *laps; /* latency mode */
static uint64_t nlaps, bytes;

static void count_init(uint64_t n, uint64_t hellos, int latency) {
    total = n;
    skip = hellos;
    if (latency)
        laps = malloc(n * sizeof *laps);
}

static int cmp(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

/* One message was received; 1 when it was the last. */
static inline int count(const void *data, size_t len) {
    if (len != SIZE) {
        fprintf(stderr, "a message of %zu bytes\n", len);
        exit(1);
    }
    bytes += ((const unsigned char *)data)[len - 1]; /* look at it */
    if (seen++ < skip)
        return 0;
    if (began == 0) {
        getrusage(RUSAGE_SELF, &at_start);
        began = now_ns();
    }
    if (laps) {
        uint64_t sent;
        memcpy(&sent, data, 8);
        laps[nlaps++] = now_ns() - sent;
    }
    return seen - skip == total;
}

static double seconds(struct timeval a, struct timeval b) {
    return (double)(b.tv_sec - a.tv_sec) + (double)(b.tv_usec - a.tv_usec) / 1e6;
}

/* Not getrusage: its peak has the program's that started this one. */
static long peak_kb(void) {
    char line[256];
    long kb = 0;
    FILE *file = fopen("/proc/self/status", "r");
    while (file && fgets(line, sizeof line, file))
        if (sscanf(line, "VmHWM: %ld", &kb) == 1)
            break;
    if (file)
        fclose(file);
    return kb;
}

/* Seconds by the clock, of CPU in user and kernel, peak KiB; in latency mode also the median and
   two percentiles, in us. */
static void report(void) {
    uint64_t end = now_ns();
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    printf("%.6f %.6f %.6f %ld", (double)(end - began) / 1e9,
           seconds(at_start.ru_utime, u.ru_utime), seconds(at_start.ru_stime, u.ru_stime),
           peak_kb());
    if (laps) {
        qsort(laps, nlaps, sizeof *laps, cmp);
        printf(" %.1f %.1f %.1f", (double)laps[nlaps / 2] / 1e3,
               (double)laps[nlaps * 99 / 100] / 1e3, (double)laps[nlaps * 999 / 1000] / 1e3);
    }
    printf("\n");
    fflush(stdout);
    _exit(0);
}

/* The producer's side: greet, then wait for the start. */
static void await_start(void) {
    char c;
    printf("ready\n");
    fflush(stdout);
    if (read(0, &c, 1) != 1)
        exit(1);
}

static void fill(char *message) {
    memset(message, 'x', SIZE);
    message[SIZE - 1] = 1;
}

/* Latency mode: one message each `gap` ns. */
static void pace(uint64_t *next, uint64_t gap) {
    if (*next == 0)
        *next = now_ns();
    *next += gap;
    struct timespec t = {(time_t)(*next / 1000000000u), (long)(*next % 1000000000u)};
    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL);
}

static void stamp(char *message) {
    uint64_t t = now_ns();
    memcpy(message, &t, 8);
}
