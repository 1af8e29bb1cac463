/* Teaches: the whole pattern in one program. Five producers, one receiver, one queue that this
 * thread dispatches: no locks, although messages come from five threads.
 *
 *   funnel ADDRESS
 */
#define _POSIX_C_SOURCE 200809L
#include <hysock.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PRODUCERS 5
#define MESSAGES 1000

static hysock_runtime *runtime;
static const char *address;

static void fail(const char *what, const hysock_error *err) {
    fprintf(stderr, "funnel: %s: %s\n", what, err->message);
    exit(1);
}

/* Each producer would be a program of its own; here it is a thread. */
static void *produce(void *userdata) {
    hysock_error err;
    hysock_producer *producer;
    hysock_producer_report report;
    int number = *(int *)userdata, i;
    char text[32];
    if (hysock_producer_new(runtime, address, HYSOCK_NTS, NULL, &producer, &err) != HYSOCK_OK)
        fail("producer", &err);
    for (i = 0; i < MESSAGES; i++) {
        int len = snprintf(text, sizeof text, "%d:%d", number, i);
        if (hysock_producer_send(producer, text, (size_t)len, HYSOCK_FOREVER, &err) != HYSOCK_OK)
            fail("send", &err);
    }
    if (hysock_producer_shutdown(producer, 10000, &report, sizeof report, &err) != HYSOCK_OK)
        fail("end", &err);
    if (report.delivered != MESSAGES)
        fprintf(stderr, "funnel: %d: %d of %d delivered\n", number, (int)report.delivered,
                MESSAGES);
    hysock_producer_free(producer);
    return NULL;
}

struct totals {
    int messages, next[PRODUCERS], in_order;
};

static void on_batch(hysock_receiver *receiver, hysock_batch *batch, void *userdata) {
    struct totals *totals = userdata;
    size_t count, i;
    const hysock_message *messages = hysock_batch_messages(batch, &count);
    (void)receiver;
    for (i = 0; i < count; i++) {
        char text[32] = "";
        int number, sequence;
        memcpy(text, messages[i].data, messages[i].len < 31 ? messages[i].len : 31);
        if (sscanf(text, "%d:%d", &number, &sequence) == 2 && number >= 0 && number < PRODUCERS &&
            totals->next[number]++ == sequence)
            totals->in_order++;
        totals->messages++;
    }
}

int main(int argc, char **argv) {
    hysock_error err;
    hysock_queue *queue;
    hysock_receiver *receiver;
    hysock_receiver_config *config = hysock_receiver_config_new();
    struct totals totals;
    pthread_t threads[PRODUCERS];
    int numbers[PRODUCERS], i;

    if (argc != 2) {
        fprintf(stderr, "usage: funnel ADDRESS\n");
        return 2;
    }
    address = argv[1];
    memset(&totals, 0, sizeof totals);
    if (hysock_runtime_new(NULL, &runtime, &err) != HYSOCK_OK ||
        hysock_queue_new(runtime, &queue, &err) != HYSOCK_OK)
        fail("runtime", &err);
    hysock_receiver_config_set_queue(config, queue);
    if (hysock_receiver_serve(runtime, address, HYSOCK_NTS, config, on_batch, &totals, NULL,
                              &receiver, &err) != HYSOCK_OK)
        fail("listen", &err);
    hysock_receiver_config_free(config);

    for (i = 0; i < PRODUCERS; i++) {
        numbers[i] = i;
        if (pthread_create(&threads[i], NULL, produce, &numbers[i]) != 0)
            return 1;
    }
    while (totals.messages < PRODUCERS * MESSAGES)
        if (hysock_queue_dispatch(queue, UINT32_MAX, 20000) <= 0) {
            fprintf(stderr, "funnel: no message in 20 seconds\n");
            return 1;
        }
    for (i = 0; i < PRODUCERS; i++)
        pthread_join(threads[i], NULL);

    if (hysock_receiver_shutdown(receiver, 1000, &err) != HYSOCK_OK ||
        hysock_receiver_wait(receiver, HYSOCK_FOREVER, &err) != HYSOCK_OK)
        fail("end", &err);
    printf("%d messages of %d producers, %d in order\n", totals.messages, PRODUCERS,
           totals.in_order);
    hysock_receiver_free(receiver);
    hysock_queue_free(queue);
    if (hysock_runtime_shutdown(runtime, 0, &err) != HYSOCK_OK ||
        hysock_runtime_wait(runtime, HYSOCK_FOREVER, &err) != HYSOCK_OK)
        fail("end", &err);
    hysock_runtime_free(runtime);
    return totals.in_order == PRODUCERS * MESSAGES ? 0 : 1;
}
