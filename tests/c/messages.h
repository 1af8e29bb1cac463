/* What the tests of messages share: a receiver that is pulled, a producer, and the ends of both. */
#ifndef MESSAGES_H
#define MESSAGES_H

#include "host.h"

#define SOON ((uint32_t)check_ms(DEADLINE_MS))

static inline hysock_receiver *receive_by(host *h, hysock_receiver_config *config,
                                          hysock_batch_fn fn, void *userdata, hysock_drop_fn drop) {
    hysock_receiver *receiver;
    CHECK_OK(hysock_receiver_serve(h->runtime, h->path, HYSOCK_NTS, config, fn, userdata, drop,
                                   &receiver, ERR));
    hysock_receiver_config_free(config);
    return receiver;
}

/* A receiver without a callback. */
static inline hysock_receiver *pulled(host *h, hysock_receiver_config *config) {
    return receive_by(h, config, NULL, NULL, NULL);
}

static inline hysock_producer *produce(host *h, hysock_producer_config *config) {
    hysock_producer *producer;
    CHECK_OK(hysock_producer_new(h->runtime, h->path, HYSOCK_NTS, config, &producer, ERR));
    hysock_producer_config_free(config);
    return producer;
}

static inline void say(hysock_producer *producer, const char *text) {
    CHECK_OK(hysock_producer_send(producer, text, strlen(text), SOON, ERR));
}

/* Ends the producer; everything was read. */
static inline void finish(hysock_producer *producer, uint64_t delivered) {
    hysock_producer_report report;
    CHECK_OK(hysock_producer_shutdown(producer, SOON, &report, sizeof(report), ERR));
    CHECK_INT(report.delivered, delivered);
    CHECK_INT(report.in_doubt + report.unsent + report.dropped, 0);
    CHECK_STATUS(hysock_producer_send(producer, "x", 1, 0, ERR), HYSOCK_E_SHUT_DOWN);
    CHECK_OK(hysock_producer_flush(producer, HYSOCK_FLUSH_READ, 0, ERR));
    hysock_producer_free(producer);
}

static inline void stop(hysock_receiver *receiver, uint32_t drain_ms) {
    CHECK_OK(hysock_receiver_shutdown(receiver, drain_ms, ERR));
    WAIT_OK(hysock_receiver_wait, receiver);
    hysock_receiver_free(receiver);
}

static inline hysock_receiver_counts counts_of(hysock_receiver *receiver) {
    hysock_receiver_counts counts;
    CHECK_OK(hysock_receiver_stats(receiver, &counts, sizeof(counts), ERR));
    return counts;
}

/* Until nothing is held any more. */
static inline void await_released(hysock_receiver *receiver) {
    for (int64_t end = now_ms() + SOON; counts_of(receiver).held != 0; take_ms(1))
        CHECK(now_ms() < end);
}

/* The next message, whole. */
static inline hysock_batch *next_message(hysock_receiver *receiver,
                                         const hysock_message **message) {
    hysock_batch *batch;
    size_t count;
    CHECK_OK(hysock_receiver_recv(receiver, 1, SOON, &batch, ERR));
    *message = hysock_batch_messages(batch, &count);
    CHECK_INT(count, 1);
    return batch;
}

#endif
