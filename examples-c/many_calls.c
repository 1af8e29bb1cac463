/* Teaches: many calls at once with few threads. Each completion starts the next call, so C of them
 * are under way all the time; the program itself only waits.
 *
 *   many_calls SOCKET N [C]        N times GET /, C (default 64) in flight
 *
 * Prints `N answers, M errors, T s`. An error is no answer, or an answer other than 200; its first
 * one is explained on stderr. Exit status 1 on any error.
 */
#define _POSIX_C_SOURCE 200809L
#include <hysock.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

/* One of the C chains of calls. Its calls follow one another, so it needs no lock. */
struct lane {
    hysock_client *client;
    unsigned long left, answers, errors;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t news = PTHREAD_COND_INITIALIZER;
static unsigned long lanes_running; /* guarded by lock */
static int explained;               /* guarded by lock */

static void fail(const char *what, const hysock_error *err) {
    fprintf(stderr, "many_calls: %s: %s\n", what, err->message);
    exit(1);
}

static void explain(const char *why) {
    pthread_mutex_lock(&lock);
    if (!explained)
        fprintf(stderr, "many_calls: first error: %s\n", why);
    explained = 1;
    pthread_mutex_unlock(&lock);
}

static void on_answer(hysock_call *call, hysock_status status, void *userdata);

/* Starts the lane's next call. A start that fails never calls back, so it counts right here and
 * the one after it is tried. */
static void next(struct lane *lane) {
    hysock_error err;
    while (lane->left > 0) {
        hysock_call *call = NULL;
        lane->left--;
        if (hysock_call_new(lane->client, "GET", "/", HYSOCK_NTS, &call, &err) == HYSOCK_OK &&
            hysock_call_start(call, on_answer, lane, NULL, &err) == HYSOCK_OK)
            return;
        hysock_call_free(call);
        lane->errors++;
        explain(err.message);
    }
    pthread_mutex_lock(&lock);
    if (--lanes_running == 0)
        pthread_cond_signal(&news);
    pthread_mutex_unlock(&lock);
}

/* Inline delivery: this runs on the library's I/O thread and must not wait for anything. The locks
 * above are held for a few instructions only. */
static void on_answer(hysock_call *call, hysock_status status, void *userdata) {
    struct lane *lane = userdata;
    if (status == HYSOCK_OK && hysock_call_http_status(call) == 200) {
        lane->answers++;
    } else {
        lane->errors++;
        if (status == HYSOCK_OK) {
            explain("an HTTP status other than 200");
        } else {
            hysock_error err;
            hysock_call_error(call, &err);
            explain(err.message);
        }
    }
    hysock_call_free(call);
    next(lane);
}

static unsigned long number(const char *text, unsigned long max) {
    char *end;
    unsigned long value = strtoul(text, &end, 10);
    if (*text < '0' || *text > '9' || *end != '\0' || value == 0 || value > max) {
        fprintf(stderr, "many_calls: a number from 1 to %lu, not '%s'\n", max, text);
        exit(2);
    }
    return value;
}

static double seconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now); /* cannot fail: POSIX has this clock */
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static hysock_client *new_client(hysock_runtime *runtime, const char *address, unsigned long c) {
    hysock_error err;
    hysock_client *client;
    hysock_client_config *config = hysock_client_config_new();
    hysock_client_config_set_delivery(config, HYSOCK_DELIVERY_INLINE);
    /* A call needs a connection to itself while it runs; the default limit is 64, and 8 are kept
     * when idle. */
    hysock_client_config_set_max_connections(config, c);
    hysock_client_config_set_max_idle(config, c);
    if (hysock_client_new(runtime, address, HYSOCK_NTS, config, &client, &err) != HYSOCK_OK)
        fail("client", &err);
    hysock_client_config_free(config);
    return client;
}

int main(int argc, char **argv) {
    hysock_error err;
    hysock_runtime *runtime;
    hysock_client *client;
    struct lane *lanes;
    unsigned long n, c, i, answers = 0, errors = 0;
    double start, end;

    if (argc != 3 && argc != 4) {
        fprintf(stderr, "usage: many_calls SOCKET N [C]\n");
        return 2;
    }
    n = number(argv[2], 1000000000);
    c = argc == 4 ? number(argv[3], 10000) : 64;
    if (c > n)
        c = n;
    lanes = calloc(c, sizeof *lanes);
    if (lanes == NULL) {
        perror("many_calls");
        return 1;
    }
    if (hysock_runtime_new(NULL, &runtime, &err) != HYSOCK_OK)
        fail("runtime", &err);
    client = new_client(runtime, argv[1], c);

    start = seconds();
    lanes_running = c; /* no other thread knows of it yet */
    for (i = 0; i < c; i++) {
        lanes[i].client = client;
        lanes[i].left = n / c + (i < n % c ? 1 : 0);
        next(&lanes[i]);
    }
    pthread_mutex_lock(&lock);
    while (lanes_running > 0)
        pthread_cond_wait(&news, &lock);
    pthread_mutex_unlock(&lock);
    end = seconds();

    /* Behind this barrier no callback runs any more, so the lanes may be read and freed. */
    if (hysock_runtime_shutdown(runtime, 0, &err) != HYSOCK_OK ||
        hysock_runtime_wait(runtime, HYSOCK_FOREVER, &err) != HYSOCK_OK)
        fail("end", &err);
    hysock_client_free(client);
    hysock_runtime_free(runtime);

    for (i = 0; i < c; i++) {
        answers += lanes[i].answers;
        errors += lanes[i].errors;
    }
    free(lanes);
    printf("%lu answers, %lu errors, %.3f s\n", answers, errors, end - start);
    return errors == 0 ? 0 : 1;
}
