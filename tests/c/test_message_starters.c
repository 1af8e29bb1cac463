/* A thousand times two receivers start on the same path at the same moment: one wins, the other is
 * told that it is in use, and whoever won is found under the path. */
#include "host.h"
#include "raw.h"

typedef struct starter {
    host *h;
    pthread_barrier_t *go;
    hysock_receiver *receiver;
} starter;

static void *start(void *argument) {
    starter *s = argument;
    hysock_error err;
    int got = pthread_barrier_wait(s->go);
    CHECK(got == 0 || got == PTHREAD_BARRIER_SERIAL_THREAD);
    hysock_status status = hysock_receiver_serve(s->h->runtime, s->h->path, HYSOCK_NTS, NULL, NULL,
                                                 NULL, NULL, &s->receiver, &err);
    if (status != HYSOCK_OK) {
        CHECK_INT(status, HYSOCK_E_IN_USE);
        CHECK(strstr(err.message, "in use") != NULL);
        CHECK(s->receiver == NULL);
    }
    return NULL;
}

static void race(host *h, pthread_barrier_t *go) {
    starter both[2] = {{h, go, NULL}, {h, go, NULL}};
    pthread_t threads[2];
    hysock_batch *batch;
    size_t count;
    for (int i = 0; i < 2; i++)
        threads[i] = thread_start(start, &both[i]);
    for (int i = 0; i < 2; i++)
        CHECK_INT(pthread_join(threads[i], NULL), 0);
    CHECK_INT((both[0].receiver != NULL) + (both[1].receiver != NULL), 1);
    hysock_receiver *winner = both[0].receiver != NULL ? both[0].receiver : both[1].receiver;
    raw r;
    raw_open(&r, h->path);
    raw_send(&r, "\0\0\0\2hi", 6);
    raw_close(&r);
    CHECK_OK(hysock_receiver_recv(winner, 1, (uint32_t)check_ms(DEADLINE_MS), &batch, ERR));
    CHECK(hysock_batch_messages(batch, &count)->len == 2);
    hysock_batch_free(batch);
    CHECK_OK(hysock_receiver_shutdown(winner, 0, ERR));
    WAIT_OK(hysock_receiver_wait, winner);
    hysock_receiver_free(winner);
}

int main(void) {
    host h;
    pthread_barrier_t go;
    check_start();
    host_open(&h, POOL, NULL);
    CHECK_INT(pthread_barrier_init(&go, NULL, 2), 0);
    for (int i = 0; i < check_rounds(1000, 30); i++)
        race(&h, &go);
    CHECK_INT(pthread_barrier_destroy(&go), 0);
    host_stop(&h);
    return check_end();
}
