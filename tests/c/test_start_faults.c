/*
 * A runtime that cannot start says so: HYSOCK_E_SYSTEM with the errno, and nothing is left behind.
 *
 *   test_start_faults          without descriptors, without threads
 *   test_start_faults ERRNO    some of its system calls fail with ERRNO (test_c.py injects that)
 */
#include "host.h"

#include <dirent.h>
#include <sys/resource.h>
#include <sys/wait.h>

static int entries(const char *path) {
    DIR *directory = opendir(path);
    CHECK(directory != NULL);
    int count = 0;
    for (struct dirent *entry; (entry = readdir(directory)) != NULL;)
        count += entry->d_name[0] != '.';
    closedir(directory);
    return count;
}

/* Descriptors and threads are as many as before, and no handle is left. */
static void nothing_left(int descriptors) {
    CHECK_INT(entries("/proc/self/fd"), descriptors);
    /* A joined thread may be listed for a moment longer. */
    for (int64_t end = now_ms() + check_ms(DEADLINE_MS); entries("/proc/self/task") > 1; take_ms(1))
        CHECK(now_ms() < end);
    CHECK_INT(hysock_handles_live(HYSOCK_KIND_ANY), 0);
}

static void handler(hysock_exchange *exchange, void *userdata) {
    (void)userdata;
    answer_text(exchange, 200, "x");
}

static void works(void) {
    host h;
    host_start(&h, POOL, handler, NULL);
    CHECK_INT(raw_get(h.path, "/"), 200);
    host_stop(&h);
}

/* One attempt; whether it failed, which it may do with `os_error` only. */
static bool start_fails(int os_error) {
    hysock_runtime *runtime = NULL;
    hysock_status status = hysock_runtime_new(NULL, &runtime, ERR);
    if (status == HYSOCK_OK) {
        CHECK(runtime != NULL);
        CHECK_OK(hysock_runtime_shutdown(runtime, 0, ERR));
        WAIT_OK(hysock_runtime_wait, runtime);
        hysock_runtime_free(runtime);
        return false;
    }
    CHECK_STATUS(status, HYSOCK_E_SYSTEM);
    CHECK_ERR(HYSOCK_E_SYSTEM, "");
    CHECK(check_error.message[0] != 0);
    CHECK_INT(check_error.os_error, os_error);
    CHECK_INT(check_error.operation, HYSOCK_OPERATION_START);
    CHECK(runtime == NULL);
    return true;
}

/* Fewer and fewer descriptors: each lack of one is an error, up to where there are enough. */
static void no_descriptors(void) {
    struct rlimit before, limit;
    int descriptors = entries("/proc/self/fd");
    CHECK(getrlimit(RLIMIT_NOFILE, &before) == 0);
    int failures = 0, highest = dup(0);
    CHECK(highest >= 0);
    close(highest);
    for (int more = 0; more < 64; more++) {
        limit = before;
        limit.rlim_cur = (rlim_t)(highest + more);
        CHECK(setrlimit(RLIMIT_NOFILE, &limit) == 0);
        bool failed = start_fails(EMFILE);
        CHECK(setrlimit(RLIMIT_NOFILE, &before) == 0);
        nothing_left(descriptors);
        if (!failed)
            break;
        failures++;
    }
    CHECK(failures >= 2); /* at least epoll and its wake-up */
    CHECK(failures < 64);
    works();
}

/* In a child: a limit on processes does not bind root, and cannot be lifted again by others. */
static void no_threads(void) {
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        int descriptors = entries("/proc/self/fd");
        struct rlimit limit = {0, 0};
        if (geteuid() == 0)
            CHECK(setresgid(65534, 65534, 65534) == 0 && setresuid(65534, 65534, 65534) == 0);
        CHECK(setrlimit(RLIMIT_NPROC, &limit) == 0);
        for (int i = 0; i < 3; i++) {
            CHECK(start_fails(EAGAIN));
            nothing_left(descriptors);
        }
        _exit(0);
    }
    int status;
    CHECK(waitpid(child, &status, 0) == child);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

/* Under fault injection, which counts calls for each thread: some of many attempts fail. */
static void injected(int os_error) {
    int descriptors = entries("/proc/self/fd"), failures = 0;
    for (int i = 0; i < 8; i++) {
        failures += start_fails(os_error);
        nothing_left(descriptors);
    }
    CHECK(failures > 0);
}

int main(int argc, char **argv) {
    check_start();
    if (argc == 2) {
        injected(atoi(argv[1]));
        return check_end();
    }
    no_threads(); /* first: the child of a process that has never had a runtime */
    no_descriptors();
    return check_end();
}
