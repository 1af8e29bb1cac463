/* Messages that are pulled, sends that are refused, a message that stands still, and a fork. */
#include "messages.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/wait.h>

/* Readable, as poll says at once. */
static bool readable(hysock_receiver *receiver) {
    int fd = hysock_receiver_fd(receiver);
    CHECK(fd >= 0);
    return raw_poll(fd, POLLIN, 0) != 0;
}

static void pulling(host *h) {
    hysock_batch *batch;
    size_t count;
    hysock_receiver *receiver = pulled(h, hysock_receiver_config_new());
    hysock_producer *producer = produce(h, NULL);
    CHECK(!readable(receiver));
    CHECK_STATUS(hysock_receiver_recv(receiver, 1, 0, &batch, ERR), HYSOCK_E_WOULD_BLOCK);
    CHECK_STATUS(hysock_receiver_recv(receiver, 1, 10, &batch, ERR), HYSOCK_E_TIMED_OUT);
    for (int i = 0; i < 3; i++)
        say(producer, "x");
    CHECK_OK(hysock_producer_flush(producer, HYSOCK_FLUSH_READ, SOON, ERR));
    for (int i = 0; i < 3; i++) {
        CHECK_OK(hysock_receiver_recv(receiver, 1, SOON, &batch, ERR));
        CHECK(hysock_batch_messages(batch, &count) != NULL);
        CHECK_INT(count, 1);
        CHECK_STATUS(hysock_batch_keep(batch, ERR), HYSOCK_E_STATE);
        hysock_batch_free(batch);
        /* Level-triggered: as long as something waits, whatever was read of it. */
        CHECK(readable(receiver) == (i < 2));
        CHECK(readable(receiver) == (i < 2));
    }
    say(producer, "at the end");
    finish(producer, 4);
    CHECK_OK(hysock_receiver_shutdown(receiver, 1000, ERR));
    WAIT_OK(hysock_receiver_wait, receiver);
    /* What nobody took yet is still there. */
    CHECK_OK(hysock_receiver_recv(receiver, 10, 0, &batch, ERR));
    hysock_batch_free(batch);
    CHECK(readable(receiver));
    CHECK_STATUS(hysock_receiver_recv(receiver, 1, SOON, &batch, ERR), HYSOCK_E_SHUT_DOWN);
    hysock_receiver_free(receiver);
}

static void refusals(host *h) {
    char big[65];
    size_t sent;
    hysock_slice slices[3] = {{"a", 1}, {"b\n", 2}, {"c", 1}};
    memset(big, 'x', sizeof(big));
    hysock_producer_config *config = hysock_producer_config_new();
    CHECK_OK(hysock_producer_config_set_framing(config, HYSOCK_FRAMING_DELIMITER));
    CHECK_OK(hysock_producer_config_set_max_message(config, 64));
    CHECK_OK(hysock_producer_config_set_max_queue(config, 200));
    hysock_producer *producer = produce(h, config);
    CHECK_STATUS(hysock_producer_send(producer, big, 65, SOON, ERR), HYSOCK_E_TOO_LARGE);
    CHECK_ERR(HYSOCK_E_TOO_LARGE, "set_max_message");
    CHECK_STATUS(hysock_producer_send(producer, "a\nb", 3, SOON, ERR), HYSOCK_E_INVALID_ARGUMENT);
    CHECK_STATUS(hysock_producer_send_batch(producer, slices, 3, SOON, &sent, ERR),
                 HYSOCK_E_INVALID_ARGUMENT);
    CHECK_INT(sent, 1);
    CHECK_STATUS(hysock_producer_send_fds(producer, "x", 1, (int32_t[]){0}, 1, 0, ERR),
                 HYSOCK_E_STATE);
    /* Nobody receives: the queue is full after the second one. */
    CHECK_OK(hysock_producer_send(producer, big, 64, 0, ERR));
    CHECK_STATUS(hysock_producer_send(producer, big, 64, 0, ERR), HYSOCK_E_WOULD_BLOCK);
    CHECK_STATUS(hysock_producer_send(producer, big, 64, 5, ERR), HYSOCK_E_TIMED_OUT);
    CHECK_STATUS(hysock_producer_flush(producer, HYSOCK_FLUSH_WRITTEN, 5, ERR), HYSOCK_E_TIMED_OUT);
    hysock_producer_report report;
    CHECK_OK(hysock_producer_shutdown(producer, 5, &report, sizeof(report), ERR));
    CHECK_INT(report.unsent, 2);
    CHECK_INT(report.delivered + report.in_doubt + report.dropped, 0);
    CHECK_STATUS(hysock_producer_flush(producer, HYSOCK_FLUSH_WRITTEN, HYSOCK_FOREVER, ERR),
                 HYSOCK_E_SHUT_DOWN);
    hysock_producer_free(producer);
}

/* A message under way that stands still ends its producer, and only that one: silence between two
 * messages does not. */
static void stall_inside_a_frame(host *h) {
    const hysock_message *message;
    raw stalled, silent;
    hysock_receiver_config *rc = hysock_receiver_config_new();
    CHECK_OK(hysock_receiver_config_set_frame_timeout(rc, 50));
    CHECK_OK(hysock_receiver_config_set_events(rc, true));
    hysock_receiver *receiver = pulled(h, rc);
    raw_open(&silent, h->path);
    hysock_batch *batch = next_message(receiver, &message);
    CHECK_INT(message->flags, HYSOCK_MESSAGE_CONNECTED);
    uint64_t other = message->producer;
    hysock_batch_free(batch);
    raw_open(&stalled, h->path);
    raw_send(&stalled, "\0\0\0\5hal", 7);
    for (;;) {
        batch = next_message(receiver, &message);
        CHECK(message->producer != other);
        uint32_t flags = message->flags;
        uint64_t code = message->sequence;
        hysock_batch_free(batch);
        if (flags == HYSOCK_MESSAGE_DISCONNECTED) {
            CHECK_INT(code, HYSOCK_GONE_TIMED_OUT);
            break;
        }
        CHECK_INT(flags, HYSOCK_MESSAGE_CONNECTED);
    }
    CHECK_INT(counts_of(receiver).timed_out, 1);
    CHECK(raw_poll(stalled.fd, POLLIN, check_ms(DEADLINE_MS)) & POLLHUP);
    raw_close(&stalled);
    raw_send(&silent, "\0\0\0\2ok", 6);
    batch = next_message(receiver, &message);
    CHECK(message->len == 2 && memcmp(message->data, "ok", 2) == 0);
    CHECK(message->producer == other);
    hysock_batch_free(batch);
    raw_close(&silent);
    stop(receiver, 1000);
}

/* In the child everything is refused and may be freed; the parent notices nothing. */
static void forking(host *h) {
    hysock_batch *batch;
    hysock_receiver *receiver = pulled(h, hysock_receiver_config_new());
    hysock_producer *producer = produce(h, NULL);
    say(producer, "before");
    CHECK_OK(hysock_receiver_recv(receiver, 1, SOON, &batch, ERR));
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        hysock_batch *none;
        CHECK_STATUS(hysock_producer_send(producer, "x", 1, 0, ERR), HYSOCK_E_FORKED);
        CHECK_STATUS(hysock_producer_flush(producer, HYSOCK_FLUSH_READ, 0, ERR), HYSOCK_E_FORKED);
        CHECK_STATUS(hysock_producer_shutdown(producer, 0, NULL, 0, ERR), HYSOCK_E_FORKED);
        CHECK_STATUS(hysock_receiver_recv(receiver, 1, 0, &none, ERR), HYSOCK_E_FORKED);
        CHECK_STATUS(hysock_receiver_shutdown(receiver, 0, ERR), HYSOCK_E_FORKED);
        CHECK_STATUS(hysock_receiver_wait(receiver, 0, ERR), HYSOCK_E_FORKED);
        CHECK_STATUS(hysock_receiver_fd(receiver), HYSOCK_E_FORKED);
        hysock_batch_free(batch);
        hysock_producer_free(producer);
        hysock_receiver_free(receiver);
        CHECK(access(h->path, F_OK) == 0);
        kill(getpid(), SIGKILL);
    }
    int status;
    CHECK(waitpid(child, &status, 0) == child);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    hysock_batch_free(batch);
    say(producer, "after");
    CHECK_OK(hysock_receiver_recv(receiver, 1, SOON, &batch, ERR));
    hysock_batch_free(batch);
    finish(producer, 2);
    stop(receiver, 1000);
}

int main(void) {
    host h;
    check_start();
    host_open(&h, POOL, NULL);
    pulling(&h);
    refusals(&h);
    stall_inside_a_frame(&h);
    forking(&h);
    host_stop(&h);
    return check_end();
}
