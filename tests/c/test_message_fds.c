/* What comes beside the bytes of messages: descriptors, sealed memory, the beginnings of long ones.
 */
#include "messages.h"

#include <fcntl.h>
#include <sys/socket.h>

static void descriptors(host *h, int32_t framing) {
    hysock_batch *batch;
    size_t count;
    int ends[2];
    char word[8] = "";
    hysock_receiver_config *rc = hysock_receiver_config_new();
    CHECK_OK(hysock_receiver_config_set_framing(rc, framing));
    CHECK_OK(hysock_receiver_config_set_fds(rc, true));
    hysock_receiver *receiver = pulled(h, rc);
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
    hysock_receiver *receiver = pulled(h, config);
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

/* Large messages as sealed memory: no copy, whatever the socket takes, in order with the others. */
static void sealed(host *h, int32_t framing) {
    enum { LARGE = 600000 };
    const hysock_message *message;
    hysock_receiver_config *rc = hysock_receiver_config_new();
    CHECK_OK(hysock_receiver_config_set_framing(rc, framing));
    CHECK_OK(hysock_receiver_config_set_memfd(rc, true));
    hysock_receiver *receiver = pulled(h, rc);
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
    hysock_receiver *receiver = pulled(h, rc);
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

int main(void) {
    host h;
    check_start();
    host_open(&h, POOL, NULL);
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
    host_stop(&h);
    return check_end();
}
