/* Messages: batches in every delivery, batches that are kept, pulling, ends, descriptors, and a
 * fork. */
#include "host.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/wait.h>

#define LOAD 4
#define SOON ((uint32_t)check_ms(DEADLINE_MS))

static enum delivery delivery;

/* What one receiver of a test has seen. */
typedef struct seen {
    latch messages, events, drops;
    int inside, order;
    uint64_t producer, next;
    char last[64];
    hysock_batch *kept;
    bool frees_batch, frees_receiver, keeps;
} seen;

static void seen_init(seen *s) {
    memset(s, 0, sizeof(*s));
    latch_init(&s->messages);
    latch_init(&s->events);
    latch_init(&s->drops);
}

static void seen_free(seen *s) {
    latch_free(&s->messages);
    latch_free(&s->events);
    latch_free(&s->drops);
}

static void dropped(void *userdata) { latch_add(&((seen *)userdata)->drops, 1); }

static void on_batch(hysock_receiver *receiver, hysock_batch *batch, void *userdata) {
    seen *s = userdata;
    size_t count, messages = 0, events = 0;
    const hysock_message *all = hysock_batch_messages(batch, &count);
    CHECK(delivery_here(delivery));
    CHECK_INT(__sync_add_and_fetch(&s->inside, 1), 1);
    CHECK(count > 0);
    CHECK_STATUS(hysock_receiver_wait(receiver, 0, ERR), HYSOCK_E_WOULD_DEADLOCK);
    for (size_t i = 0; i < count; i++) {
        CHECK(all[i].data != NULL && all[i].reserved == 0);
        if (all[i].flags & (HYSOCK_MESSAGE_CONNECTED | HYSOCK_MESSAGE_DISCONNECTED)) {
            /* Connected, its messages, disconnected: in this order. */
            CHECK_INT(s->order, all[i].flags & HYSOCK_MESSAGE_CONNECTED ? 0 : 1);
            s->order = !s->order;
            s->producer = all[i].producer;
            s->next = 0;
            events++;
            continue;
        }
        CHECK(all[i].len < sizeof(s->last));
        memset(s->last, 0, sizeof(s->last));
        memcpy(s->last, all[i].data, all[i].len);
        if (s->order == 1) {
            CHECK(all[i].producer == s->producer);
            CHECK_INT(all[i].sequence, s->next++);
        }
        messages++;
    }
    if (s->keeps) {
        CHECK_OK(hysock_batch_keep(batch, ERR));
        CHECK_STATUS(hysock_batch_keep(batch, ERR), HYSOCK_E_STATE);
        s->kept = batch;
        s->keeps = false;
    }
    if (s->frees_batch)
        hysock_batch_free(batch);
    if (s->frees_receiver)
        hysock_receiver_free(receiver);
    __sync_sub_and_fetch(&s->inside, 1);
    latch_add(&s->events, (long)events);
    latch_add(&s->messages, (long)messages);
}

static hysock_receiver_config *configured(host *h) {
    hysock_receiver_config *config = hysock_receiver_config_new();
    if (h->delivery == QUEUE)
        CHECK_OK(hysock_receiver_config_set_queue(config, h->queue));
    else
        CHECK_OK(hysock_receiver_config_set_delivery(
            config, h->delivery == POOL ? HYSOCK_DELIVERY_POOL : HYSOCK_DELIVERY_INLINE));
    return config;
}

static hysock_receiver *receive(host *h, hysock_receiver_config *config, seen *s) {
    hysock_receiver *receiver;
    CHECK_OK(hysock_receiver_serve(h->runtime, h->path, HYSOCK_NTS, config,
                                   s == NULL ? NULL : on_batch, s, s == NULL ? NULL : dropped,
                                   &receiver, ERR));
    hysock_receiver_config_free(config);
    return receiver;
}

static hysock_producer *produce(host *h, hysock_producer_config *config) {
    hysock_producer *producer;
    CHECK_OK(hysock_producer_new(h->runtime, h->path, HYSOCK_NTS, config, &producer, ERR));
    hysock_producer_config_free(config);
    return producer;
}

static void say(hysock_producer *producer, const char *text) {
    CHECK_OK(hysock_producer_send(producer, text, strlen(text), SOON, ERR));
}

/* Ends the producer; everything was read. */
static void finish(hysock_producer *producer, uint64_t delivered) {
    hysock_producer_report report;
    CHECK_OK(hysock_producer_shutdown(producer, SOON, &report, sizeof(report), ERR));
    CHECK_INT(report.delivered, delivered);
    CHECK_INT(report.in_doubt + report.unsent + report.dropped, 0);
    CHECK_STATUS(hysock_producer_send(producer, "x", 1, 0, ERR), HYSOCK_E_SHUT_DOWN);
    CHECK_OK(hysock_producer_flush(producer, HYSOCK_FLUSH_READ, 0, ERR));
    hysock_producer_free(producer);
}

static void stop(hysock_receiver *receiver, uint32_t drain_ms) {
    CHECK_OK(hysock_receiver_shutdown(receiver, drain_ms, ERR));
    WAIT_OK(hysock_receiver_wait, receiver);
    hysock_receiver_free(receiver);
}

static hysock_receiver_counts counts_of(hysock_receiver *receiver) {
    hysock_receiver_counts counts;
    CHECK_OK(hysock_receiver_stats(receiver, &counts, sizeof(counts), ERR));
    return counts;
}

/* Until nothing is held any more. */
static void await_released(hysock_receiver *receiver) {
    for (int64_t end = now_ms() + SOON; counts_of(receiver).held != 0; take_ms(1))
        CHECK(now_ms() < end);
}

static void batches(host *h) {
    seen s;
    seen_init(&s);
    hysock_receiver_config *config = configured(h);
    CHECK_OK(hysock_receiver_config_set_events(config, true));
    CHECK_OK(hysock_receiver_config_set_max_batch(config, 7));
    hysock_receiver *receiver = receive(h, config, &s);
    hysock_producer *producer = produce(h, NULL);
    hysock_slice slices[50];
    size_t sent;
    for (int i = 0; i < 50; i++) {
        slices[i].data = "many";
        slices[i].len = (size_t)(i % 5);
    }
    say(producer, "one");
    CHECK_OK(hysock_producer_send_batch(producer, slices, 50, SOON, &sent, ERR));
    CHECK_INT(sent, 50);
    CHECK_OK(hysock_producer_sendv(producer, (hysock_slice[]){{"in ", 3}, {NULL, 0}, {"pieces", 6}},
                                   3, SOON, ERR));
    CHECK_OK(hysock_producer_flush(producer, HYSOCK_FLUSH_WRITTEN, SOON, ERR));
    LATCH_AWAIT(&s.messages, 52);
    CHECK(strcmp(s.last, "in pieces") == 0);
    finish(producer, 52);
    LATCH_AWAIT(&s.events, 2);
    CHECK_INT(counts_of(receiver).received, 52);
    char text[4096];
    CHECK(hysock_receiver_metrics(receiver, text, sizeof(text), ERR) < (int32_t)sizeof(text));
    CHECK(strstr(text, "\nhysock_receiver_messages_total 52\n") != NULL);
    await_released(receiver);
    /* Freed in its own callback. */
    s.frees_batch = true;
    producer = produce(h, NULL);
    say(producer, "more");
    LATCH_AWAIT(&s.messages, 53);
    finish(producer, 1);
    await_released(receiver);
    stop(receiver, 1000);
    CHECK_INT(latch_count(&s.drops), 1);
    CHECK_INT(hysock_handles_live(HYSOCK_KIND_BATCH), 0);
    seen_free(&s);
}

static void keeping(host *h) {
    seen s;
    seen_init(&s);
    s.keeps = true;
    hysock_receiver *receiver = receive(h, configured(h), &s);
    hysock_producer *producer = produce(h, NULL);
    size_t count;
    say(producer, "kept");
    LATCH_AWAIT(&s.messages, 1);
    say(producer, "not kept");
    LATCH_AWAIT(&s.messages, 2);
    CHECK(counts_of(receiver).held > 0);
    finish(producer, 2);
    stop(receiver, 1000);
    /* It outlives its receiver. */
    const hysock_message *messages = hysock_batch_messages(s.kept, &count);
    CHECK_INT(count, 1);
    CHECK(messages->len == 4 && memcmp(messages->data, "kept", 4) == 0);
    CHECK_STATUS(hysock_batch_take_fd(s.kept, 0), HYSOCK_E_WOULD_BLOCK);
    CHECK_STATUS(hysock_batch_take_fd(s.kept, 1), HYSOCK_E_INVALID_ARGUMENT);
    hysock_peer peer;
    CHECK_OK(hysock_batch_peer(s.kept, 0, &peer, sizeof(peer), ERR));
    CHECK_INT(peer.state, HYSOCK_PEER_KNOWN);
    CHECK(peer.uid == geteuid() && peer.gid == getegid() && peer.pid == getpid());
    CHECK_STATUS(hysock_batch_peer(s.kept, 1, &peer, sizeof(peer), ERR), HYSOCK_E_INVALID_ARGUMENT);
    hysock_batch_free(s.kept);
    CHECK_STATUS(hysock_batch_keep(s.kept, ERR), HYSOCK_E_BAD_HANDLE);
    CHECK_INT(latch_count(&s.drops), 1);
    seen_free(&s);
}

static void free_in_its_own_callback(host *h) {
    seen s;
    seen_init(&s);
    s.frees_receiver = true;
    receive(h, configured(h), &s);
    hysock_producer *producer = produce(h, NULL);
    say(producer, "the last one");
    LATCH_AWAIT(&s.drops, 1);
    CHECK_INT(latch_count(&s.messages), 1);
    hysock_producer_free(producer);
    seen_free(&s);
}

/* Readable, as poll says at once. */
static bool readable(hysock_receiver *receiver) {
    int fd = hysock_receiver_fd(receiver);
    CHECK(fd >= 0);
    return raw_poll(fd, POLLIN, 0) != 0;
}

static void pulling(host *h) {
    hysock_batch *batch;
    size_t count;
    hysock_receiver *receiver = receive(h, hysock_receiver_config_new(), NULL);
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

static void *send_until_the_end(void *argument) {
    host *h = argument;
    hysock_producer *producer = produce(h, NULL);
    hysock_producer_report *report = malloc(sizeof(*report));
    CHECK(report != NULL);
    for (int i = 0; i < check_rounds(20000, 1000); i++)
        if (hysock_producer_send(producer, "load", 4, SOON, ERR) != HYSOCK_OK)
            break;
    CHECK_OK(hysock_producer_shutdown(producer, 100, report, sizeof(*report), ERR));
    hysock_producer_free(producer);
    return report;
}

/* Every message that a producer knows to be delivered was handed over, whenever the end came. */
static void shutdown_under_load(host *h) {
    seen s;
    pthread_t threads[LOAD];
    uint64_t delivered = 0, unsure = 0;
    seen_init(&s);
    hysock_receiver *receiver = receive(h, configured(h), &s);
    for (int i = 0; i < LOAD; i++)
        threads[i] = thread_start(send_until_the_end, h);
    LATCH_AWAIT(&s.messages, 100);
    CHECK_OK(hysock_receiver_shutdown(receiver, 200, ERR));
    WAIT_OK(hysock_receiver_wait, receiver);
    CHECK_INT(latch_count(&s.drops), 1);
    uint64_t got = counts_of(receiver).received;
    CHECK_INT(latch_count(&s.messages), got);
    CHECK_INT(counts_of(receiver).abandoned + counts_of(receiver).dropped, 0);
    hysock_receiver_free(receiver);
    for (int i = 0; i < LOAD; i++) {
        void *result;
        CHECK_INT(pthread_join(threads[i], &result), 0);
        delivered += ((hysock_producer_report *)result)->delivered;
        unsure += ((hysock_producer_report *)result)->in_doubt;
        free(result);
    }
    CHECK(delivered <= got && got <= delivered + unsure);
    seen_free(&s);
}

static void descriptors(host *h, int32_t framing) {
    hysock_batch *batch;
    size_t count;
    int ends[2];
    char word[8] = "";
    hysock_receiver_config *rc = hysock_receiver_config_new();
    CHECK_OK(hysock_receiver_config_set_framing(rc, framing));
    CHECK_OK(hysock_receiver_config_set_fds(rc, true));
    hysock_receiver *receiver = receive(h, rc, NULL);
    hysock_producer_config *pc = hysock_producer_config_new();
    CHECK_OK(hysock_producer_config_set_framing(pc, framing));
    CHECK_OK(hysock_producer_config_set_fds(pc, true));
    hysock_producer *producer = produce(h, pc);
    CHECK(pipe(ends) == 0);
    CHECK_OK(
        hysock_producer_send_fds(producer, "pipe", 4, (int32_t[]){ends[1], ends[1]}, 2, SOON, ERR));
    close(ends[1]);
    CHECK_OK(hysock_receiver_recv(receiver, 1, SOON, &batch, ERR));
    CHECK_INT(hysock_batch_messages(batch, &count)->flags, HYSOCK_MESSAGE_FDS);
    int fd = hysock_batch_take_fd(batch, 0);
    CHECK(fd >= 0);
    CHECK(fcntl(fd, F_GETFD) & FD_CLOEXEC);
    CHECK(write(fd, "through", 7) == 7);
    close(fd);
    CHECK(read(ends[0], word, 7) == 7 && strcmp(word, "through") == 0);
    /* The second one, which nobody took, is closed with its batch. */
    CHECK(raw_poll(ends[0], POLLIN, 0) == 0);
    hysock_batch_free(batch);
    CHECK(raw_poll(ends[0], POLLIN, check_ms(DEADLINE_MS)) & POLLHUP);
    close(ends[0]);
    hysock_producer_free(producer);
    stop(receiver, 0);
}

/* Who does not want descriptors gets none: the kernel tells the sender, or they are closed and
 * counted. */
static void unwanted_descriptors(host *h) {
    hysock_batch *batch;
    raw r;
    int ends[2];
    hysock_receiver_config *config = hysock_receiver_config_new();
    CHECK_OK(hysock_receiver_config_set_framing(config, HYSOCK_FRAMING_DELIMITER));
    hysock_receiver *receiver = receive(h, config, NULL);
    raw_open(&r, h->path);
    CHECK(pipe(ends) == 0);
    union {
        struct cmsghdr header;
        char room[CMSG_SPACE(sizeof(int))];
    } control = {0};
    struct iovec piece = {"first\n", 6};
    struct msghdr message = {0};
    message.msg_iov = &piece;
    message.msg_iovlen = 1;
    message.msg_control = control.room;
    message.msg_controllen = sizeof(control.room);
    control.header.cmsg_level = SOL_SOCKET;
    control.header.cmsg_type = SCM_RIGHTS;
    control.header.cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(&control.header), &ends[1], sizeof(int));
    bool refused = sendmsg(r.fd, &message, MSG_NOSIGNAL) < 0;
    CHECK(!refused || errno == EPERM);
    if (refused)
        raw_text(&r, "first\n");
    close(ends[1]);
    raw_text(&r, "second\n");
    for (uint64_t got = 0; got < 2; got = counts_of(receiver).received) {
        CHECK_OK(hysock_receiver_recv(receiver, 10, SOON, &batch, ERR));
        hysock_batch_free(batch);
    }
    CHECK_INT(counts_of(receiver).fds_refused, refused ? 0 : 1);
    CHECK(raw_poll(ends[0], POLLIN, check_ms(DEADLINE_MS)) & POLLHUP);
    close(ends[0]);
    raw_close(&r);
    stop(receiver, 1000);
}

/* The next message, whole. */
static hysock_batch *next_message(hysock_receiver *receiver, const hysock_message **message) {
    hysock_batch *batch;
    size_t count;
    CHECK_OK(hysock_receiver_recv(receiver, 1, SOON, &batch, ERR));
    *message = hysock_batch_messages(batch, &count);
    CHECK_INT(count, 1);
    return batch;
}

/* Large messages as sealed memory: no copy, whatever the socket takes, in order with the others. */
static void sealed(host *h, int32_t framing) {
    enum { LARGE = 600000 };
    const hysock_message *message;
    hysock_receiver_config *rc = hysock_receiver_config_new();
    CHECK_OK(hysock_receiver_config_set_framing(rc, framing));
    CHECK_OK(hysock_receiver_config_set_memfd(rc, true));
    hysock_receiver *receiver = receive(h, rc, NULL);
    hysock_producer_config *pc = hysock_producer_config_new();
    CHECK_OK(hysock_producer_config_set_framing(pc, framing));
    CHECK_STATUS(hysock_producer_config_set_memfd(pc, 0), HYSOCK_E_INVALID_ARGUMENT);
    hysock_producer_config_free(pc);
    pc = hysock_producer_config_new();
    CHECK_OK(hysock_producer_config_set_framing(pc, framing));
    CHECK_OK(hysock_producer_config_set_memfd(pc, 1000));
    hysock_producer *producer = produce(h, pc);
    char *large = malloc(LARGE);
    CHECK(large != NULL);
    memset(large, 'l', LARGE);
    hysock_slice slices[4] = {{"small", 5}, {large, LARGE}, {large, 999}, {large, 1000}};
    size_t sent;
    CHECK_OK(hysock_producer_send_batch(producer, slices, 4, SOON, &sent, ERR));
    CHECK_INT(sent, 4);
    for (size_t i = 0; i < 4; i++) {
        hysock_batch *batch = next_message(receiver, &message);
        CHECK_INT(message->sequence, i);
        CHECK_INT(message->len, slices[i].len);
        CHECK(memcmp(message->data, slices[i].data, slices[i].len) == 0);
        CHECK_INT(message->flags, slices[i].len >= 1000 ? HYSOCK_MESSAGE_MAPPED : 0);
        CHECK(counts_of(receiver).held >= slices[i].len);
        CHECK_STATUS(hysock_batch_take_fd(batch, 0), HYSOCK_E_WOULD_BLOCK);
        hysock_batch_free(batch);
    }
    finish(producer, 4);
    CHECK_INT(counts_of(receiver).held, 0);
    stop(receiver, 1000);
    free(large);
}

/* A datagram beyond the limit is passed over, or its beginning is handed over: counted either way.
 */
static void truncated(host *h, bool wanted) {
    const hysock_message *message;
    hysock_receiver_config *rc = hysock_receiver_config_new();
    CHECK_OK(hysock_receiver_config_set_framing(rc, HYSOCK_FRAMING_DATAGRAM));
    CHECK_OK(hysock_receiver_config_set_max_message(rc, 8));
    CHECK_OK(hysock_receiver_config_set_truncated(rc, wanted));
    hysock_receiver *receiver = receive(h, rc, NULL);
    hysock_producer_config *pc = hysock_producer_config_new();
    CHECK_OK(hysock_producer_config_set_framing(pc, HYSOCK_FRAMING_DATAGRAM));
    hysock_producer *producer = produce(h, pc);
    say(producer, "too long by far");
    say(producer, "not long");
    if (wanted) {
        hysock_batch *first = next_message(receiver, &message);
        CHECK(message->len == 8 && memcmp(message->data, "too long", 8) == 0);
        CHECK_INT(message->flags, HYSOCK_MESSAGE_TRUNCATED);
        hysock_batch_free(first);
    }
    hysock_batch *second = next_message(receiver, &message);
    CHECK(message->len == 8 && memcmp(message->data, "not long", 8) == 0);
    CHECK_INT(message->flags, 0);
    CHECK_INT(message->sequence, 1);
    hysock_batch_free(second);
    CHECK_INT(counts_of(receiver).skipped, wanted ? 0 : 1);
    CHECK_INT(counts_of(receiver).truncated, wanted ? 1 : 0);
    finish(producer, 2);
    stop(receiver, 1000);
}

/* A message under way that stands still ends its producer, and only that one: silence between two
 * messages does not. */
static void stall_inside_a_frame(host *h) {
    const hysock_message *message;
    raw stalled, silent;
    hysock_receiver_config *rc = hysock_receiver_config_new();
    CHECK_OK(hysock_receiver_config_set_frame_timeout(rc, 50));
    CHECK_OK(hysock_receiver_config_set_events(rc, true));
    hysock_receiver *receiver = receive(h, rc, NULL);
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
    hysock_receiver *receiver = receive(h, hysock_receiver_config_new(), NULL);
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

int main(int argc, char **argv) {
    host h;
    delivery = delivery_parse(argc, argv);
    check_start();
    host_open(&h, delivery, NULL);
    batches(&h);
    keeping(&h);
    free_in_its_own_callback(&h);
    shutdown_under_load(&h);
    pulling(&h);
    refusals(&h);
    descriptors(&h, HYSOCK_FRAMING_U32BE);
    descriptors(&h, HYSOCK_FRAMING_SEQPACKET);
    descriptors(&h, HYSOCK_FRAMING_DATAGRAM);
    unwanted_descriptors(&h);
    sealed(&h, HYSOCK_FRAMING_U32BE);
    sealed(&h, HYSOCK_FRAMING_U32LE);
    sealed(&h, HYSOCK_FRAMING_SEQPACKET);
    sealed(&h, HYSOCK_FRAMING_DATAGRAM);
    truncated(&h, false);
    truncated(&h, true);
    stall_inside_a_frame(&h);
    forking(&h);
    host_stop(&h);
    return check_end();
}
