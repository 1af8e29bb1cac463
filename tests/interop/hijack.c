/* hijack SOCKET METHOD TARGET [PROTOCOL]: a call that takes its connection. Prints the answer's
 * HTTP status on stderr; stdin goes to the connection, its end as the end of our half; what comes
 * goes to stdout until the other half has ended. Without PROTOCOL no upgrade is asked for by name.
 */
#define _POSIX_C_SOURCE 200809L
#include <hysock.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

static void fail(const hysock_error *err) {
    fprintf(stderr, "%s\n", err->message);
    exit(1);
}

static void put(int fd, const char *data, size_t len) {
    while (len > 0) {
        ssize_t n = write(fd, data, len);
        if (n <= 0)
            exit(1);
        data += n;
        len -= (size_t)n;
    }
}

static void *send_input(void *argument) {
    const int *fd = argument;
    char data[65536];
    ssize_t n;
    while ((n = read(STDIN_FILENO, data, sizeof data)) > 0)
        put(*fd, data, (size_t)n);
    shutdown(*fd, SHUT_WR);
    return NULL;
}

int main(int argc, char **argv) {
    static char data[65536];
    hysock_error err;
    hysock_client *client;
    hysock_call *call;
    hysock_str early;
    pthread_t thread;
    int32_t fd;
    ssize_t n;

    if (argc < 4 || argc > 5)
        return 2;
    if (hysock_client_new(NULL, argv[1], HYSOCK_NTS, NULL, &client, &err) != HYSOCK_OK ||
        hysock_call_new(client, argv[2], argv[3], HYSOCK_NTS, &call, &err) != HYSOCK_OK)
        fail(&err);
    hysock_call_set_upgrade(call, argv[4]);
    if (hysock_call_perform(call, &err) != HYSOCK_OK ||
        hysock_call_take_fd(call, &fd, &early, &err) != HYSOCK_OK)
        fail(&err);
    fprintf(stderr, "%d\n", (int)hysock_call_http_status(call));
    put(STDOUT_FILENO, early.ptr, early.len);
    if (pthread_create(&thread, NULL, send_input, &fd) != 0)
        return 1;
    while ((n = read(fd, data, sizeof data)) > 0)
        put(STDOUT_FILENO, data, (size_t)n);
    /* The connection is over; stdin may be open still. */
    hysock_call_free(call);
    hysock_client_free(client);
    return n < 0;
}
