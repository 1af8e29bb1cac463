/* The client whose system calls test_syscalls.py counts.
 *
 *   warm_perform SOCKET N [runtime]      N times GET / on a connection that is warm
 *
 * Without "runtime" the client has no thread of the library at all. With it a runtime with all of
 * its threads exists, and the client hangs on it; when they have come to rest the N calls begin.
 * Writes to descriptor -1 mark the sections in the trace: they fail and touch nothing.
 */
#define _POSIX_C_SOURCE 200809L
#include <dirent.h>
#include <hysock.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

#define WARM_UP 50
#define DEADLINE_S 20

static void mark(const char *name) {
    if (write(-1, name, strlen(name)) != -1)
        abort();
}

static void fail(const char *what, const hysock_error *err) {
    fprintf(stderr, "warm_perform: %s: %s\n", what, err->message);
    exit(1);
}

static void perform(hysock_client *client) {
    hysock_error err;
    hysock_call *call;
    if (hysock_call_new(client, "GET", "/", HYSOCK_NTS, &call, &err) != HYSOCK_OK ||
        hysock_call_perform(call, &err) != HYSOCK_OK)
        fail("call", &err);
    if (hysock_call_http_status(call) != 200 ||
        !hysock_str_equal(hysock_call_body(call), "Hello, world!")) {
        fprintf(stderr, "warm_perform: odd answer\n");
        exit(1);
    }
    hysock_call_free(call);
}

/* The voluntary context switches of all threads but this one (the first): how often they went to
 * sleep, and so how often they woke. -1: one of them was not asleep. */
static long switches(void) {
    char path[300], line[256];
    long total = 0;
    struct dirent *entry;
    DIR *tasks = opendir("/proc/self/task");
    if (tasks == NULL) {
        perror("/proc/self/task");
        exit(1);
    }
    while ((entry = readdir(tasks)) != NULL) {
        FILE *file;
        long own = atol(entry->d_name), n;
        if (own == 0 || own == (long)getpid())
            continue;
        snprintf(path, sizeof path, "/proc/self/task/%s/status", entry->d_name);
        file = fopen(path, "r");
        if (file == NULL)
            continue; /* it has ended */
        while (fgets(line, sizeof line, file) != NULL) {
            if (strncmp(line, "State:\t", 7) == 0 && line[7] != 'S')
                total = -1;
            if (total >= 0 && sscanf(line, "voluntary_ctxt_switches: %ld", &n) == 1)
                total += n;
        }
        fclose(file);
        if (total < 0)
            break;
    }
    closedir(tasks);
    return total;
}

/* Waits until all other threads sleep and have not stirred for 50 ms. */
static void come_to_rest(void) {
    const struct timespec pause = {0, 50 * 1000 * 1000};
    time_t end = time(NULL) + DEADLINE_S;
    long before, after = switches();
    do {
        before = after;
        nanosleep(&pause, NULL);
        after = switches();
        if (time(NULL) > end) {
            fprintf(stderr, "warm_perform: the library's threads do not come to rest\n");
            exit(1);
        }
    } while (before < 0 || before != after);
}

int main(int argc, char **argv) {
    hysock_error err;
    hysock_runtime *runtime = NULL;
    hysock_client *client;
    long i, n, before, after;

    if (argc < 3 || argc > 4)
        return 2;
    n = atol(argv[2]);

    mark("library begins");
    if (argc == 4 && hysock_runtime_new(NULL, &runtime, &err) != HYSOCK_OK)
        fail("runtime", &err);
    if (hysock_client_new(runtime, argv[1], HYSOCK_NTS, NULL, &client, &err) != HYSOCK_OK)
        fail("client", &err);
    for (i = 0; i < WARM_UP; i++)
        perform(client);
    mark("library rests");
    if (runtime != NULL)
        come_to_rest();
    before = switches();

    mark("calls begin");
    for (i = 0; i < n; i++)
        perform(client);
    mark("calls end");

    after = switches();
    mark("library goes on");
    hysock_client_free(client);
    if (runtime != NULL) {
        if (hysock_runtime_shutdown(runtime, 0, &err) != HYSOCK_OK ||
            hysock_runtime_wait(runtime, HYSOCK_FOREVER, &err) != HYSOCK_OK)
            fail("end", &err);
        hysock_runtime_free(runtime);
    }
    mark("library ends");

    if (before < 0 || before != after) {
        fprintf(stderr, "warm_perform: other threads woke: %ld -> %ld\n", before, after);
        return 1;
    }
    printf("%ld answers\n", n);
    return 0;
}
