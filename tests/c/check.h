/*
 * What every C test shares: checks that name file and line, a temporary directory that goes away,
 * latches with a deadline, threads that are joined with a deadline. Include it first.
 *
 * CHECK_SLOW in the environment (set under valgrind) makes deadlines longer and loops shorter.
 */
#ifndef CHECK_H
#define CHECK_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include <errno.h>
#include <ftw.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <hysock.h>

/* How long a test waits for what must happen; check_ms() stretches it where everything is slow. */
#define DEADLINE_MS 20000

static int check_fd = 2; /* where failures are printed */
static pid_t check_pid;  /* the test itself, not its forked children */
static char check_dir[64];
static __thread hysock_error check_error; /* handed over as ERR, printed when a check fails */
#define ERR (&check_error)

/* Kinds of handles are numbered from 1. */
#define LAST_KIND HYSOCK_KIND_PRODUCER

#define CHECK(condition)                                                                           \
    ((condition) ? (void)0 : check_fail(__FILE__, __LINE__, "failed: " #condition))
#define CHECK_INT(actual, expected)                                                                \
    check_int(__FILE__, __LINE__, #actual, (long long)(actual), (long long)(expected))
#define CHECK_STATUS(call, expected) check_status(__FILE__, __LINE__, #call, (call), (expected))
#define CHECK_OK(call) CHECK_STATUS(call, HYSOCK_OK)
/* ERR holds `expected`, a terminated message, and that message mentions `word`. */
#define CHECK_ERR(expected, word) check_err(__FILE__, __LINE__, (expected), (word))

static inline void check_fail(const char *file, int line, const char *what) {
    dprintf(check_fd, "%s:%d: %s\n", file, line, what);
    if (getpid() == check_pid)
        exit(1);
    _exit(1);
}

static inline void check_int(const char *file, int line, const char *what, long long actual,
                             long long expected) {
    if (actual == expected)
        return;
    dprintf(check_fd, "%s is %lld, expected %lld\n", what, actual, expected);
    check_fail(file, line, "failed");
}

static inline void check_status(const char *file, int line, const char *what, hysock_status actual,
                                hysock_status expected) {
    if (actual == expected)
        return;
    dprintf(check_fd, "%s\n  gave %d (%s)\n  not  %d (%s)\n", what, (int)actual,
            hysock_status_message(actual), (int)expected, hysock_status_message(expected));
    if (check_error.status == actual)
        dprintf(check_fd, "  message: %.495s\n", check_error.message);
    check_fail(file, line, "failed");
}

static inline void check_err(const char *file, int line, hysock_status expected, const char *word) {
    check_int(file, line, "err.status", check_error.status, expected);
    if (memchr(check_error.message, 0, sizeof(check_error.message)) == NULL)
        check_fail(file, line, "err.message has no NUL");
    if (strstr(check_error.message, word) != NULL && check_error.message[0] != 0)
        return;
    dprintf(check_fd, "no \"%s\" in \"%s\"\n", word, check_error.message);
    check_fail(file, line, "failed");
}

/* ---- time ---- */

static inline bool check_slow(void) { return getenv("CHECK_SLOW") != NULL; }
static inline int check_ms(int ms) { return check_slow() ? ms * 6 : ms; }
/* `n` rounds, or `few` where everything is slow. */
static inline int check_rounds(int n, int few) { return check_slow() ? few : n; }

static inline int64_t now_ms(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* Work that takes time, or the step of a poll where nothing can be waited for. */
static inline void take_ms(int ms) {
    struct timespec t = {ms / 1000, (long)(ms % 1000) * 1000000};
    while (nanosleep(&t, &t) != 0 && errno == EINTR) {
    }
}

/* ---- latch: a counter that can be waited for ---- */

typedef struct latch {
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    long count;
} latch;

static inline void latch_init(latch *l) {
    pthread_condattr_t attr;
    CHECK(pthread_condattr_init(&attr) == 0);
    CHECK(pthread_condattr_setclock(&attr, CLOCK_MONOTONIC) == 0);
    CHECK(pthread_mutex_init(&l->mutex, NULL) == 0);
    CHECK(pthread_cond_init(&l->changed, &attr) == 0);
    pthread_condattr_destroy(&attr);
    l->count = 0;
}

static inline void latch_free(latch *l) {
    pthread_cond_destroy(&l->changed);
    pthread_mutex_destroy(&l->mutex);
}

/* Adds `n` and returns the count after it. */
static inline long latch_add(latch *l, long n) {
    pthread_mutex_lock(&l->mutex);
    long count = l->count += n;
    pthread_cond_broadcast(&l->changed);
    pthread_mutex_unlock(&l->mutex);
    return count;
}

static inline long latch_count(latch *l) { return latch_add(l, 0); }

/* Whether the count reached `n` within `ms`. */
static inline bool latch_reaches(latch *l, long n, int ms) {
    struct timespec end;
    clock_gettime(CLOCK_MONOTONIC, &end);
    end.tv_sec += ms / 1000;
    end.tv_nsec += (long)(ms % 1000) * 1000000;
    if (end.tv_nsec >= 1000000000) {
        end.tv_sec++;
        end.tv_nsec -= 1000000000;
    }
    pthread_mutex_lock(&l->mutex);
    int timeout = 0;
    while (l->count < n && timeout == 0)
        timeout = pthread_cond_timedwait(&l->changed, &l->mutex, &end);
    bool reached = l->count >= n;
    pthread_mutex_unlock(&l->mutex);
    return reached;
}

#define LATCH_AWAIT(l, n) CHECK(latch_reaches((l), (n), check_ms(DEADLINE_MS)))

/* A drop function: counts on the latch that is its userdata. */
static inline void count_drop(void *userdata) { latch_add((latch *)userdata, 1); }

/* ---- threads ---- */

static inline pthread_t thread_start(void *(*fn)(void *), void *argument) {
    pthread_t thread;
    CHECK_INT(pthread_create(&thread, NULL, fn, argument), 0);
    return thread;
}

static inline void thread_join(pthread_t thread) {
    struct timespec end;
    clock_gettime(CLOCK_REALTIME, &end);
    end.tv_sec += 3 * check_ms(DEADLINE_MS) / 1000;
    CHECK_INT(pthread_timedjoin_np(thread, NULL, &end), 0);
}

/* Whether the calling thread's name starts with `prefix`. */
static inline bool thread_is(const char *prefix) {
    char name[16] = "";
    pthread_getname_np(pthread_self(), name, sizeof(name));
    return strncmp(name, prefix, strlen(prefix)) == 0;
}

static inline uint64_t next_random(uint64_t *state) {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

/* ---- start and end ---- */

static inline int check_remove(const char *path, const struct stat *st, int type, struct FTW *ftw) {
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

static inline void check_cleanup(void) {
    if (getpid() == check_pid)
        nftw(check_dir, check_remove, 8, FTW_DEPTH | FTW_PHYS);
}

static inline void check_start(void) {
    const char *base = getenv("TMPDIR");
    check_pid = getpid();
    /* A C host's default: a library that lets a SIGPIPE out kills the test. */
    signal(SIGPIPE, SIG_DFL);
    CHECK(snprintf(check_dir, sizeof(check_dir), "%s/hysock-XXXXXX", base ? base : "/tmp") <
          (int)sizeof(check_dir));
    CHECK(mkdtemp(check_dir) != NULL);
    CHECK(atexit(check_cleanup) == 0);
}

/* The path of `name` in this test's own directory. */
static inline const char *temp_path(char path[108], const char *name) {
    CHECK(snprintf(path, 108, "%s/%s", check_dir, name) < 108);
    return path;
}

/* No handle is left behind. The test's exit status. */
static inline int check_end(void) {
    for (int32_t kind = HYSOCK_KIND_ANY; kind <= LAST_KIND; kind++) {
        int32_t live = hysock_handles_live(kind);
        if (live != 0)
            dprintf(check_fd, "kind %d: %d handles live\n", (int)kind, (int)live);
        CHECK_INT(live, 0);
    }
    return 0;
}

#endif
