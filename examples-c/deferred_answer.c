/* Teaches: answering later, from a thread of your own, and noticing that nobody waits any more.
 *
 *   deferred_answer SOCKET
 *   curl --unix-socket SOCKET http://localhost/300      answers after 300 ms of "work"
 *
 * A handler that cannot answer at once calls hysock_exchange_defer and returns. From then on the
 * exchange is the program's own until hysock_exchange_free, and any thread may answer it.
 */
#define _POSIX_C_SOURCE 200809L
#include <hysock.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct job {
    hysock_exchange *exchange;
    struct job *next;
};

/* The jobs that wait for the worker, oldest first. `lock` guards all of it. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t news = PTHREAD_COND_INITIALIZER;
static struct job *waiting;
static int ending;

static hysock_server *server; /* set before the signal handler that reads it is installed */

static void fail(const char *what, const hysock_error *err) {
    fprintf(stderr, "deferred_answer: %s: %s\n", what, err->message);
    exit(1);
}

static void say(const char *what, hysock_exchange *exchange) {
    hysock_str target = hysock_exchange_target(exchange);
    printf("%s %.*s\n", what, HYSOCK_PRI(target));
    fflush(stdout);
}

/* Takes the job of this exchange out of the list; NULL: any. Called with the lock held. Two equal
 * pointers are the same exchange, so handles serve as keys. */
static struct job *take(const hysock_exchange *exchange) {
    struct job **link = &waiting, *job;
    while (*link != NULL && exchange != NULL && (*link)->exchange != exchange)
        link = &(*link)->next;
    job = *link;
    if (job != NULL)
        *link = job->next;
    return job;
}

static void append(struct job *job) {
    struct job **link = &waiting;
    pthread_mutex_lock(&lock);
    while (*link != NULL)
        link = &(*link)->next;
    *link = job;
    pthread_cond_signal(&news);
    pthread_mutex_unlock(&lock);
}

/* The client has hung up. A job that still waits is dropped here; one that the worker already
 * holds is not in the list, and its answer will say HYSOCK_E_CLOSED. */
static void on_gone(hysock_exchange *exchange, void *userdata) {
    struct job *job;
    (void)userdata;
    pthread_mutex_lock(&lock);
    job = take(exchange);
    pthread_mutex_unlock(&lock);
    if (job != NULL) {
        say("gone", exchange);
        hysock_exchange_free(exchange);
        free(job);
    }
}

/* The lock is not needed before `append`: an exchange never has two callbacks at once, so on_gone
 * runs after this one has returned, and the worker does not know the exchange yet. */
static void on_request(hysock_exchange *exchange, void *userdata) {
    static const char no_memory[] = "out of memory\n";
    struct job *job = malloc(sizeof *job);
    hysock_error err;
    (void)userdata;

    if (job == NULL) {
        hysock_exchange_answer(exchange, 503, "text/plain", no_memory, strlen(no_memory), NULL);
        return;
    }
    if (hysock_exchange_defer(exchange, &err) != HYSOCK_OK) {
        fprintf(stderr, "deferred_answer: defer: %s\n", err.message);
        free(job); /* the exchange is still only lent: no free */
        return;
    }
    if (hysock_exchange_on_gone(exchange, on_gone, NULL, NULL, &err) != HYSOCK_OK) {
        fprintf(stderr, "deferred_answer: on_gone: %s\n", err.message);
        hysock_exchange_free(exchange); /* ours now; unanswered, so the client gets a 500 */
        free(job);
        return;
    }
    say("waiting", exchange);
    job->exchange = exchange;
    job->next = NULL;
    append(job);
}

/* Stands for something slow: as many milliseconds as the path says, 10 s at most. */
static void work(const hysock_exchange *exchange) {
    char path[16]; /* text from hysock has a length, not a NUL: a copy for strtol */
    struct timespec pause;
    long ms;
    hysock_str_copy(hysock_exchange_path(exchange), path, sizeof path);
    ms = strtol(path + 1, NULL, 10); /* past the slash; no number is 0 */
    if (ms < 0 || ms > 10000)
        ms = 10000;
    pause.tv_sec = ms / 1000;
    pause.tv_nsec = ms % 1000 * 1000000;
    nanosleep(&pause, NULL); /* cut short by a signal: then the work is done sooner */
}

static void *worker(void *unused) {
    static const char text[] = "done\n";
    (void)unused;
    for (;;) {
        struct job *job;
        hysock_status status;

        pthread_mutex_lock(&lock);
        while (waiting == NULL && !ending)
            pthread_cond_wait(&news, &lock);
        job = take(NULL);
        pthread_mutex_unlock(&lock);
        if (job == NULL)
            return NULL; /* ending, and nothing is left */

        work(job->exchange);
        status = hysock_exchange_answer(job->exchange, 200, "text/plain", text, strlen(text), NULL);
        /* Not OK: CLOSED when the client left, SHUT_DOWN when the drain time was over. */
        say(status == HYSOCK_OK ? "answered" : "gone", job->exchange);
        hysock_exchange_free(job->exchange);
        free(job);
    }
}

static void on_signal(int number) {
    (void)number;
    hysock_server_shutdown_signal(server);
}

static void end_on(int number) {
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = on_signal;
    sigemptyset(&action.sa_mask);
    action.sa_flags = SA_RESTART;
    if (sigaction(number, &action, NULL) != 0) {
        perror("deferred_answer: sigaction");
        exit(1);
    }
}

int main(int argc, char **argv) {
    hysock_error err;
    hysock_runtime *runtime;
    pthread_t thread;

    if (argc != 2) {
        fprintf(stderr, "usage: deferred_answer SOCKET\n");
        return 2;
    }
    if (pthread_create(&thread, NULL, worker, NULL) != 0) {
        fprintf(stderr, "deferred_answer: no thread for the worker\n");
        return 1;
    }
    if (hysock_runtime_new(NULL, &runtime, &err) != HYSOCK_OK ||
        hysock_server_serve(runtime, argv[1], HYSOCK_NTS, NULL, on_request, NULL, NULL, &server,
                            &err) != HYSOCK_OK)
        fail("serve", &err);
    end_on(SIGTERM);
    end_on(SIGINT);
    printf("listening on %s\n", argv[1]);
    fflush(stdout);

    /* Draining waits for deferred exchanges too, so the worker must still run meanwhile. */
    if (hysock_server_wait(server, HYSOCK_FOREVER, &err) != HYSOCK_OK)
        fail("wait", &err);

    pthread_mutex_lock(&lock);
    ending = 1;
    pthread_cond_signal(&news);
    pthread_mutex_unlock(&lock);
    pthread_join(thread, NULL); /* fails only for a thread that is not joinable; this one is */

    hysock_server_free(server);
    if (hysock_runtime_shutdown(runtime, 0, &err) != HYSOCK_OK ||
        hysock_runtime_wait(runtime, HYSOCK_FOREVER, &err) != HYSOCK_OK)
        fail("end", &err);
    hysock_runtime_free(runtime);
    return 0;
}
