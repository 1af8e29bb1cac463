/* The process's signals are the host's: dispositions and masks untouched, library threads take
 * none. */
#include "host.h"

#include <ctype.h>
#include <dirent.h>
#include <sys/syscall.h>

static const int synchronous[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL};

static bool is_synchronous(int number) {
    for (size_t i = 0; i < sizeof(synchronous) / sizeof(synchronous[0]); i++)
        if (number == synchronous[i])
            return true;
    return false;
}

/* Kinds of signal that nobody has to block: not possible, glibc's own, or raised by the thread
 * itself. */
static bool is_free(int number) {
    return number == SIGKILL || number == SIGSTOP || number == 32 || number == 33 ||
           number == SIGTRAP || number == SIGABRT || number == SIGSYS;
}

static void check_mask(uint64_t blocked, const char *who) {
    for (int number = 1; number <= 64; number++) {
        if (is_free(number))
            continue;
        bool is_blocked = blocked >> (number - 1) & 1;
        if (is_blocked == is_synchronous(number))
            dprintf(check_fd, "%s: signal %d is %sblocked\n", who, number,
                    is_blocked ? "" : "not ");
        CHECK(is_blocked != is_synchronous(number));
    }
}

static uint64_t my_mask(void) {
    sigset_t set;
    uint64_t bits = 0;
    CHECK(pthread_sigmask(SIG_SETMASK, NULL, &set) == 0);
    for (int number = 1; number <= 64; number++)
        if (sigismember(&set, number) == 1)
            bits |= (uint64_t)1 << (number - 1);
    return bits;
}

static latch ran;

static void handler(hysock_exchange *exchange, void *userdata) {
    (void)userdata;
    check_mask(my_mask(), "a callback");
    answer_text(exchange, 200, "x");
    latch_add(&ran, 1);
}

/* The threads but this one, by their names; with `masks` also what each of them blocks in the
 * kernel. */
static int read_threads(const char *prefix, bool masks, int *io, int *callback) {
    DIR *tasks = opendir("/proc/self/task");
    CHECK(tasks != NULL);
    int count = 0;
    char io_name[32], callback_name[32];
    snprintf(io_name, sizeof(io_name), "%s-io-", prefix);
    snprintf(callback_name, sizeof(callback_name), "%s-cb-", prefix);
    *io = *callback = 0;
    for (struct dirent *entry; (entry = readdir(tasks)) != NULL;) {
        char path[300], line[256], name[64] = "";
        uint64_t blocked = 0;
        if (!isdigit((unsigned char)entry->d_name[0]) || atol(entry->d_name) == (long)getpid())
            continue;
        snprintf(path, sizeof(path), "/proc/self/task/%s/status", entry->d_name);
        FILE *status = fopen(path, "r");
        CHECK(status != NULL);
        while (fgets(line, sizeof(line), status) != NULL) {
            if (strncmp(line, "Name:", 5) == 0)
                sscanf(line, "Name: %63s", name);
            if (strncmp(line, "SigBlk:", 7) == 0)
                blocked = strtoull(line + 7, NULL, 16);
        }
        fclose(status);
        *io += strncmp(name, io_name, strlen(io_name)) == 0;
        *callback += strncmp(name, callback_name, strlen(callback_name)) == 0;
        if (masks)
            check_mask(blocked, name);
        count++;
    }
    closedir(tasks);
    return count;
}

/* Two I/O threads and three callback threads, and no others. */
static void check_threads(const char *prefix) {
    int io, callback, count;
    int64_t end = now_ms() + check_ms(DEADLINE_MS);
    do { /* a thread gives itself its name */
        count = read_threads(prefix, false, &io, &callback);
        CHECK(now_ms() < end);
    } while (io + callback < 5);
    /* Valgrind has masks of its own in the kernel; the callbacks look from the inside. */
    count = read_threads(prefix, !check_slow(), &io, &callback);
    CHECK_INT(io, 2);
    CHECK_INT(callback, 3);
    CHECK_INT(count, 5);
}

static struct sigaction before[65];
static int known[65];

static void read_dispositions(struct sigaction *all, int *valid) {
    for (int number = 1; number <= 64; number++) {
        memset(&all[number], 0, sizeof(all[number]));
        valid[number] = sigaction(number, NULL, &all[number]) == 0;
    }
}

/* glibc leaves the rest of sa_mask as it finds it, and adds a flag of its own to what it sets. */
#define GLIBC_RESTORER 0x04000000

static bool same_disposition(const struct sigaction *a, const struct sigaction *b) {
    bool same =
        ((a->sa_flags ^ b->sa_flags) & ~GLIBC_RESTORER) == 0 && a->sa_handler == b->sa_handler;
    for (int number = 1; number <= 64; number++)
        same = same && sigismember(&a->sa_mask, number) == sigismember(&b->sa_mask, number);
    return same;
}

static void check_dispositions(void) {
    static struct sigaction after[65];
    static int valid[65];
    read_dispositions(after, valid);
    for (int number = 1; number <= 64; number++) {
        CHECK_INT(valid[number], known[number]);
        if (!valid[number])
            continue;
        if (!same_disposition(&after[number], &before[number]))
            dprintf(check_fd, "the disposition of signal %d was changed\n", number);
        CHECK(same_disposition(&after[number], &before[number]));
    }
}

static volatile sig_atomic_t caught, astray;

static void on_signal(int number) {
    (void)number;
    if (syscall(SYS_gettid) != getpid())
        astray++;
    caught++;
}

/* The host's signals run on the host's thread, whatever the library does meanwhile. */
static void delivered_to_the_host(const char *path) {
    struct sigaction action, old;
    memset(&action, 0, sizeof(action));
    action.sa_handler = on_signal;
    action.sa_flags = SA_RESTART;
    CHECK(sigaction(SIGUSR2, &action, &old) == 0);
    for (int i = 0; i < 200; i++) {
        int seen = caught;
        CHECK(kill(getpid(), SIGUSR2) == 0);
        for (int64_t end = now_ms() + check_ms(DEADLINE_MS); caught == seen;)
            CHECK(now_ms() < end);
        if (i % 10 == 0)
            CHECK_INT(raw_get(path, "/"), 200);
    }
    CHECK_INT(astray, 0);
    CHECK(sigaction(SIGUSR2, &old, NULL) == 0);
}

static void hook(void *userdata) {
    (void)userdata;
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    CHECK(pthread_sigmask(SIG_UNBLOCK, &set, NULL) == 0);
}

static void unmasked(hysock_exchange *exchange, void *userdata) {
    (void)userdata;
    CHECK(!(my_mask() >> (SIGUSR1 - 1) & 1));
    CHECK(my_mask() >> (SIGUSR2 - 1) & 1);
    answer_text(exchange, 200, "x");
}

/* A start hook may open a signal again. */
static void hooks_decide(void) {
    host h;
    hysock_runtime_config *config = hysock_runtime_config_new();
    CHECK_OK(hysock_runtime_config_set_thread_hooks(config, hook, NULL, NULL, NULL));
    host_open(&h, POOL, config);
    hysock_runtime_config_free(config);
    host_serve(&h, NULL, unmasked, NULL, NULL);
    CHECK_INT(raw_get(h.path, "/"), 200);
    host_stop(&h);
}

int main(void) {
    check_start();
    latch_init(&ran);
    read_dispositions(before, known);
    uint64_t mask = my_mask();
    for (enum delivery delivery = POOL; delivery <= INLINE; delivery++) {
        host h;
        char prefix[] = "tests";
        hysock_runtime_config *config = hysock_runtime_config_new();
        CHECK_OK(hysock_runtime_config_set_io_threads(config, 2));
        CHECK_OK(hysock_runtime_config_set_callback_threads(config, 3));
        if (delivery == INLINE)
            CHECK_OK(hysock_runtime_config_set_thread_name(config, prefix));
        host_open(&h, delivery, config);
        hysock_runtime_config_free(config);
        host_serve(&h, NULL, handler, NULL, NULL);
        CHECK_INT(raw_get(h.path, "/"), 200);
        hysock_client *client = host_client(&h);
        hysock_call *call = new_call(client, "GET", "/");
        CHECK_OK(hysock_call_perform(call, ERR));
        hysock_call_free(call);
        hysock_client_free(client);
        check_threads(delivery == INLINE ? prefix : "hysock");
        check_dispositions();
        delivered_to_the_host(h.path);
        host_stop(&h);
        check_dispositions();
        CHECK(my_mask() == mask);
    }
    CHECK(latch_count(&ran) > 40);
    hooks_decide();
    check_dispositions();
    CHECK(my_mask() == mask);
    return check_end();
}
