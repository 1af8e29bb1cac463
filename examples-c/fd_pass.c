/* Teaches: open files that travel with a message. The receiver reads what it could not open.
 *
 *   fd_pass receive ADDRESS
 *   fd_pass send ADDRESS FILE...
 *
 * The receiver prints each file's name and contents, until SIGTERM or SIGINT.
 */
#define _POSIX_C_SOURCE 200809L
#include <fcntl.h>
#include <hysock.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void fail(const char *what, const hysock_error *err) {
    fprintf(stderr, "fd_pass: %s: %s\n", what, err->message);
    exit(1);
}

static void on_batch(hysock_receiver *receiver, hysock_batch *batch, void *userdata) {
    size_t count, i;
    const hysock_message *messages = hysock_batch_messages(batch, &count);
    (void)receiver;
    (void)userdata;
    for (i = 0; i < count; i++) {
        char buffer[4096];
        ssize_t n;
        /* Yours from here on. One that is not taken is closed with the batch. */
        int32_t fd = hysock_batch_take_fd(batch, i);
        printf("%.*s:\n", (int)messages[i].len, (const char *)messages[i].data);
        if (fd < 0)
            continue;
        while ((n = read(fd, buffer, sizeof buffer)) > 0)
            fwrite(buffer, 1, (size_t)n, stdout);
        close(fd);
    }
    fflush(stdout);
}

static void receive(hysock_runtime *runtime, const char *address) {
    hysock_error err;
    hysock_receiver *receiver;
    hysock_receiver_config *config = hysock_receiver_config_new();
    sigset_t ends;
    int number;
    hysock_receiver_config_set_framing(config, HYSOCK_FRAMING_SEQPACKET);
    /* Off by default: whoever may connect could fill this process's table of descriptors. */
    hysock_receiver_config_set_fds(config, true);
    if (hysock_receiver_serve(runtime, address, HYSOCK_NTS, config, on_batch, NULL, NULL, &receiver,
                              &err) != HYSOCK_OK)
        fail("listen", &err);
    hysock_receiver_config_free(config);
    printf("listening on %s\n", address);
    fflush(stdout);
    sigemptyset(&ends);
    sigaddset(&ends, SIGTERM);
    sigaddset(&ends, SIGINT);
    sigwait(&ends, &number);
    if (hysock_receiver_shutdown(receiver, 5000, &err) != HYSOCK_OK ||
        hysock_receiver_wait(receiver, HYSOCK_FOREVER, &err) != HYSOCK_OK)
        fail("end", &err);
    hysock_receiver_free(receiver);
}

static void send_files(hysock_runtime *runtime, const char *address, char **names) {
    hysock_error err;
    hysock_producer *producer;
    hysock_producer_config *config = hysock_producer_config_new();
    hysock_producer_report report;
    hysock_producer_config_set_framing(config, HYSOCK_FRAMING_SEQPACKET);
    hysock_producer_config_set_fds(config, true);
    if (hysock_producer_new(runtime, address, HYSOCK_NTS, config, &producer, &err) != HYSOCK_OK)
        fail("start", &err);
    hysock_producer_config_free(config);
    for (; *names != NULL; names++) {
        int32_t fd = open(*names, O_RDONLY | O_CLOEXEC);
        if (fd < 0) {
            perror(*names);
            exit(1);
        }
        /* It is duplicated: ours may be closed at once. */
        if (hysock_producer_send_fds(producer, *names, strlen(*names), &fd, 1, 10000, &err) !=
            HYSOCK_OK)
            fail(*names, &err);
        close(fd);
    }
    if (hysock_producer_shutdown(producer, 10000, &report, sizeof report, &err) != HYSOCK_OK)
        fail("end", &err);
    printf("%d delivered\n", (int)report.delivered);
    hysock_producer_free(producer);
}

int main(int argc, char **argv) {
    hysock_error err;
    hysock_runtime *runtime;
    sigset_t ends;
    int receives = argc == 3 && strcmp(argv[1], "receive") == 0;
    if (!receives && !(argc > 3 && strcmp(argv[1], "send") == 0)) {
        fprintf(stderr, "usage: fd_pass receive ADDRESS\n       fd_pass send ADDRESS FILE...\n");
        return 2;
    }
    /* Blocked before any thread is made: receive() waits for them. */
    sigemptyset(&ends);
    sigaddset(&ends, SIGTERM);
    sigaddset(&ends, SIGINT);
    if (receives)
        pthread_sigmask(SIG_BLOCK, &ends, NULL);
    if (hysock_runtime_new(NULL, &runtime, &err) != HYSOCK_OK)
        fail("runtime", &err);
    if (receives)
        receive(runtime, argv[2]);
    else
        send_files(runtime, argv[2], argv + 3);
    if (hysock_runtime_shutdown(runtime, 0, &err) != HYSOCK_OK ||
        hysock_runtime_wait(runtime, HYSOCK_FOREVER, &err) != HYSOCK_OK)
        fail("end", &err);
    hysock_runtime_free(runtime);
    return 0;
}
