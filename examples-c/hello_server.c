/* Teaches: a whole server. Routes, a listener, the threads on which handlers run, a clean end.
 *
 *   hello_server SOCKET [--delivery pool|inline|queue]
 *   curl --unix-socket SOCKET http://localhost/
 *
 * Delivery is the one choice to make about threads:
 *   pool    handlers run in parallel on the library's callback threads and may block (default);
 *   inline  handlers run on the I/O thread and must never block: the fastest path;
 *   queue   handlers run on whichever thread of yours dispatches the queue: no locks needed.
 */
#define _POSIX_C_SOURCE 200809L
#include <hysock.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static hysock_server *server; /* set before the signal handler that reads it is installed */

static void fail(const char *what, const hysock_error *err) {
    fprintf(stderr, "hello_server: %s: %s\n", what, err->message);
    exit(1);
}

static void usage(void) {
    fprintf(stderr, "usage: hello_server SOCKET [--delivery pool|inline|queue]\n");
    exit(2);
}

/* A handler is lent its exchange and answers it before it returns. The status that `answer`
 * returns is ignored on purpose: a client that has hung up meanwhile is an ordinary event. */
static void hello(hysock_exchange *exchange, void *userdata) {
    static const char text[] = "Hello, world!";
    (void)userdata;
    hysock_exchange_answer(exchange, 200, "text/plain", text, strlen(text), NULL);
}

static void not_found(hysock_exchange *exchange, void *userdata) {
    static const char text[] = "Nothing here. Try GET /\n";
    (void)userdata;
    hysock_exchange_answer(exchange, 404, "text/plain", text, strlen(text), NULL);
}

/* One of the two functions of hysock that a signal handler may call. It can only fail for a server
 * that is no more, and then there is nothing left to do. */
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
        perror("hello_server: sigaction");
        exit(1);
    }
}

int main(int argc, char **argv) {
    hysock_error err;
    hysock_runtime *runtime;
    hysock_queue *queue = NULL;
    hysock_server_config *config;
    const char *delivery = "pool";

    if (argc == 4 && strcmp(argv[2], "--delivery") == 0)
        delivery = argv[3];
    else if (argc != 2)
        usage();

    if (hysock_runtime_new(NULL, &runtime, &err) != HYSOCK_OK)
        fail("runtime", &err);

    /* Setters need no check one by one: the first that was refused makes server_new fail. */
    config = hysock_server_config_new();
    if (strcmp(delivery, "inline") == 0) {
        hysock_server_config_set_delivery(config, HYSOCK_DELIVERY_INLINE);
    } else if (strcmp(delivery, "queue") == 0) {
        if (hysock_queue_new(runtime, &queue, &err) != HYSOCK_OK)
            fail("queue", &err);
        hysock_server_config_set_queue(config, queue);
    } else if (strcmp(delivery, "pool") != 0) {
        usage();
    }

    /* new, add_route, add_listener, start: hysock_server_serve is these in one for one handler. */
    if (hysock_server_new(runtime, config, &server, &err) != HYSOCK_OK)
        fail("server", &err);
    hysock_server_config_free(config); /* it was read; the server keeps nothing of it */
    if (hysock_server_add_route(server, "GET", "/", hello, NULL, NULL, &err) != HYSOCK_OK)
        fail("GET /", &err);
    /* Without this route another method of / would get a 405 with an Allow header. */
    if (hysock_server_add_route(server, NULL, "/", not_found, NULL, NULL, &err) != HYSOCK_OK)
        fail("other methods", &err);
    if (hysock_server_add_route(server, NULL, NULL, not_found, NULL, NULL, &err) != HYSOCK_OK)
        fail("other paths", &err);
    if (hysock_server_add_listener(server, argv[1], HYSOCK_NTS, NULL, &err) != HYSOCK_OK ||
        hysock_server_start(server, &err) != HYSOCK_OK)
        fail("listen", &err);

    end_on(SIGTERM);
    end_on(SIGINT);
    printf("listening on %s\n", argv[1]);
    fflush(stdout);

    /* Until the signal; requests that are under way are still answered. With queue delivery this
     * call dispatches the queue: handlers run here, on this thread. */
    if (hysock_server_wait(server, HYSOCK_FOREVER, &err) != HYSOCK_OK)
        fail("wait", &err);

    /* The runtime's wait is the barrier behind which no thread of the library runs. */
    hysock_server_free(server);
    hysock_queue_free(queue);
    if (hysock_runtime_shutdown(runtime, 0, &err) != HYSOCK_OK ||
        hysock_runtime_wait(runtime, HYSOCK_FOREVER, &err) != HYSOCK_OK)
        fail("end", &err);
    hysock_runtime_free(runtime);
    return 0;
}
