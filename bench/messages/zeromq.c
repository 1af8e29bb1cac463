/* ZeroMQ, PUSH and PULL over ipc: recv stream ADDR TOTAL HELLOS LATENCY; send stream ADDR COUNT
 * BATCH GAP_NS */
#include "common.h"
#include <zmq.h>
int main(int argc, char **argv) {
    char url[256];
    if (argc < 7)
        return 2;
    snprintf(url, sizeof url, "ipc://%s", argv[3]);
    void *ctx = zmq_ctx_new();
    if (!strcmp(argv[1], "recv")) {
        count_init(strtoull(argv[4], 0, 10), strtoull(argv[5], 0, 10), atoi(argv[6]));
        void *s = zmq_socket(ctx, ZMQ_PULL);
        if (zmq_bind(s, url))
            return perror("bind"), 1;
        printf("listening\n"), fflush(stdout);
        zmq_msg_t m;
        zmq_msg_init(&m);
        for (;;) {
            if (zmq_msg_recv(&m, s, 0) < 0)
                return 1;
            if (count(zmq_msg_data(&m), zmq_msg_size(&m)))
                report();
        }
    }
    void *s = zmq_socket(ctx, ZMQ_PUSH);
    if (zmq_connect(s, url))
        return perror("connect"), 1;
    uint64_t n = strtoull(argv[4], 0, 10), gap = strtoull(argv[6], 0, 10), next = 0;
    char m[SIZE];
    fill(m);
    zmq_send(s, m, SIZE, 0);
    await_start();
    while (n--) {
        if (gap)
            pace(&next, gap), stamp(m);
        if (zmq_send(s, m, SIZE, 0) < 0)
            return 1;
    }
    zmq_close(s);
    zmq_ctx_term(ctx);
    return 0;
}
