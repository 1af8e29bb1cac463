/* nng, push0 and pull0 over ipc: recv stream ADDR TOTAL HELLOS LATENCY; send stream ADDR COUNT
 * BATCH GAP_NS */
#include "common.h"
#include <nng/nng.h>
#include <nng/protocol/pipeline0/pull.h>
#include <nng/protocol/pipeline0/push.h>
int main(int argc, char **argv) {
    char url[256];
    nng_socket s;
    if (argc < 7)
        return 2;
    snprintf(url, sizeof url, "ipc://%s", argv[3]);
    if (!strcmp(argv[1], "recv")) {
        count_init(strtoull(argv[4], 0, 10), strtoull(argv[5], 0, 10), atoi(argv[6]));
        nng_pull0_open(&s);
        nng_socket_set_int(s, NNG_OPT_RECVBUF, 4096);
        if (nng_listen(s, url, NULL, 0))
            return 1;
        printf("listening\n"), fflush(stdout);
        for (;;) {
            nng_msg *m;
            if (nng_recvmsg(s, &m, 0))
                return 1;
            if (count(nng_msg_body(m), nng_msg_len(m)))
                report();
            nng_msg_free(m);
        }
    }
    nng_push0_open(&s);
    nng_socket_set_int(s, NNG_OPT_SENDBUF, 4096);
    if (nng_dial(s, url, NULL, 0))
        return 1;
    uint64_t n = strtoull(argv[4], 0, 10), gap = strtoull(argv[6], 0, 10), next = 0;
    char m[SIZE];
    fill(m);
    nng_send(s, m, SIZE, 0);
    await_start();
    while (n--) {
        if (gap)
            pace(&next, gap), stamp(m);
        if (nng_send(s, m, SIZE, 0))
            return 1;
    }
    sleep(10); /* nng_close drops what waits; the runner ends us */
    return 0;
}
