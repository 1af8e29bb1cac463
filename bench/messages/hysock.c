/* hysock: recv KIND ADDR TOTAL HELLOS LATENCY; send KIND ADDR COUNT BATCH GAP_NS
 * KIND: stream dgram seqpacket, with -inline or -pool for a callback instead of a receive call. */
#include "common.h"
#include <hysock.h>

static hysock_error err;
#define OK(x)                                                                                      \
    do {                                                                                           \
        if ((x) != HYSOCK_OK) {                                                                    \
            fprintf(stderr, "%s: %s\n", #x, err.message);                                          \
            exit(1);                                                                               \
        }                                                                                          \
    } while (0)

static int32_t framing(const char *k) {
    return !strncmp(k, "stream", 6)  ? HYSOCK_FRAMING_U32BE
           : !strncmp(k, "dgram", 5) ? HYSOCK_FRAMING_DATAGRAM
                                     : HYSOCK_FRAMING_SEQPACKET;
}

static int eat(hysock_batch *b) {
    size_t n;
    const hysock_message *m = hysock_batch_messages(b, &n);
    for (size_t i = 0; i < n; i++)
        if (count(m[i].data, m[i].len))
            return 1;
    return 0;
}

static void on_batch(hysock_receiver *r, hysock_batch *b, void *u) {
    (void)r, (void)u;
    if (eat(b))
        report();
}

int main(int argc, char **argv) {
    hysock_runtime *rt;
    if (argc < 7)
        return 2;
    OK(hysock_runtime_new(NULL, &rt, &err));
    if (!strcmp(argv[1], "recv")) {
        hysock_receiver *r;
        hysock_batch *b;
        count_init(strtoull(argv[4], 0, 10), strtoull(argv[5], 0, 10), atoi(argv[6]));
        hysock_receiver_config *c = hysock_receiver_config_new();
        hysock_receiver_config_set_framing(c, framing(argv[2]));
        int call = strchr(argv[2], '-') != NULL;
        if (call)
            hysock_receiver_config_set_delivery(
                c, strstr(argv[2], "inline") ? HYSOCK_DELIVERY_INLINE : HYSOCK_DELIVERY_POOL);
        OK(hysock_receiver_serve(rt, argv[3], HYSOCK_NTS, c, call ? on_batch : NULL, NULL, NULL, &r,
                                 &err));
        printf("listening\n"), fflush(stdout);
        if (call)
            for (;;)
                pause();
        for (;;) {
            OK(hysock_receiver_recv(r, 4096, HYSOCK_FOREVER, &b, &err));
            if (eat(b))
                report();
            hysock_batch_free(b);
        }
    }
    hysock_producer *p;
    hysock_producer_config *c = hysock_producer_config_new();
    hysock_producer_config_set_framing(c, framing(argv[2]));
    OK(hysock_producer_new(rt, argv[3], HYSOCK_NTS, c, &p, &err));
    uint64_t n = strtoull(argv[4], 0, 10), gap = strtoull(argv[6], 0, 10), next = 0;
    int batch = atoi(argv[5]);
    static char messages[256][SIZE];
    hysock_slice s[256];
    for (int i = 0; i < 256; i++) {
        fill(messages[i]);
        s[i].data = messages[i], s[i].len = SIZE;
    }
    OK(hysock_producer_send(p, messages[0], SIZE, HYSOCK_FOREVER, &err));
    await_start();
    while (n > 0) {
        if (gap)
            pace(&next, gap), stamp(messages[0]);
        if (batch == 1) {
            OK(hysock_producer_send(p, messages[0], SIZE, HYSOCK_FOREVER, &err));
            n--;
        } else {
            size_t k = n < (uint64_t)batch ? n : (size_t)batch, sent;
            OK(hysock_producer_send_batch(p, s, k, HYSOCK_FOREVER, &sent, &err));
            n -= k;
        }
    }
    OK(hysock_producer_flush(p, HYSOCK_FLUSH_WRITTEN, HYSOCK_FOREVER, &err));
    return 0;
}
