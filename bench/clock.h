/* Clocks, and what a process has used. */
#ifndef CLOCK_H
#define CLOCK_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

static inline void die(const char *what) {
    perror(what);
    exit(1);
}

static inline uint64_t clock_ns(clockid_t clock) {
    struct timespec t;
    if (clock_gettime(clock, &t))
        die("clock_gettime");
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static inline uint64_t now_ns(void) { return clock_ns(CLOCK_MONOTONIC); }

/* What a process has used so far: nanoseconds of CPU in all, and the kernel's share in clock ticks.
 */
typedef struct {
    uint64_t cpu_ns, wall_ns;
    unsigned long user_ticks, system_ticks;
} usage;

static inline usage usage_of(pid_t pid) {
    usage u = {0};
    u.wall_ns = now_ns();
    if (pid == 0)
        return u;
    clockid_t clock;
    if (clock_getcpuclockid(pid, &clock))
        die("clock_getcpuclockid");
    u.cpu_ns = clock_ns(clock);
    char path[64], text[1024];
    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    FILE *file = fopen(path, "r");
    if (!file || !fgets(text, sizeof text, file))
        die(path);
    fclose(file);
    /* utime and stime are fields 14 and 15; the name in field 2 may hold anything but ends with
     * ')'. */
    char *rest = strrchr(text, ')');
    if (!rest || sscanf(rest + 2, "%*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu",
                        &u.user_ticks, &u.system_ticks) != 2) {
        fprintf(stderr, "odd %s\n", path);
        exit(1);
    }
    return u;
}

/* Kilobytes of a line in /proc/PID/status, such as "VmHWM:". */
static inline long memory_kb(pid_t pid, const char *line) {
    char path[64], text[256];
    long kb = -1;
    if (pid == 0)
        return 0;
    snprintf(path, sizeof path, "/proc/%d/status", (int)pid);
    FILE *file = fopen(path, "r");
    if (!file)
        die(path);
    while (fgets(text, sizeof text, file))
        if (!strncmp(text, line, strlen(line)))
            kb = atol(text + strlen(line));
    fclose(file);
    return kb;
}

#endif
