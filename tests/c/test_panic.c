/* A panic inside the library is an error code: nothing is printed, nothing dies, it goes on
 * serving. */
#include "host.h"

#include <fcntl.h>

/* Exported for tests, in no header. 1: in this function, 2: on an I/O thread, 3: on a callback
 * thread. */
extern hysock_status hysock_test_panic(hysock_runtime *runtime, int32_t where);

static void handler(hysock_exchange *exchange, void *userdata) {
    (void)userdata;
    answer_text(exchange, 200, "x");
}

int main(void) {
    host h;
    raw before;
    char path[108];
    struct stat st;
    check_start();
    /* stdout and stderr go to files; failures of this test to the real stderr. */
    check_fd = dup(2);
    int out = open(temp_path(path, "output"), O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    CHECK(check_fd >= 0 && out >= 0);
    CHECK(dup2(out, 1) == 1 && dup2(out, 2) == 2);

    host_start(&h, POOL, handler, NULL);
    hysock_client *client = host_client(&h);
    raw_open(&before, h.path);
    for (int32_t where = 1; where <= 3; where++) {
        for (int i = 0; i < 20; i++) {
            CHECK_STATUS(hysock_test_panic(h.runtime, where), HYSOCK_E_PANIC);
            /* An old connection, a new one, and a call. */
            raw_text(&before, "GET / HTTP/1.1\r\nHost: x\r\n\r\n");
            CHECK_INT(raw_status(&before), 200);
            CHECK_INT(raw_get(h.path, "/"), 200);
            hysock_call *call = new_call(client, "GET", "/");
            CHECK_OK(hysock_call_perform(call, ERR));
            hysock_call_free(call);
        }
    }
    CHECK_STATUS(hysock_test_panic(NULL, 2), HYSOCK_E_INVALID_ARGUMENT);
    raw_close(&before);
    hysock_client_free(client);
    host_stop(&h);

    CHECK(fstat(out, &st) == 0);
    CHECK_INT(st.st_size, 0);
    CHECK(dup2(check_fd, 2) == 2);
    close(out);
    return check_end();
}
