/* Messages by callback: batches in every delivery, batches that are kept, and ends under load. */
#include "messages.h"

#define LOAD 4

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
    return receive_by(h, config, on_batch, s, dropped);
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

int main(int argc, char **argv) {
    host h;
    delivery = delivery_parse(argc, argv);
    check_start();
    host_open(&h, delivery, NULL);
    batches(&h);
    keeping(&h);
    free_in_its_own_callback(&h);
    shutdown_under_load(&h);
    host_stop(&h);
    return check_end();
}
