/* A thousand times two processes start on the same path at the same moment: one wins, the other is
 * told that it is in use, and whoever won is found under the path. */
#include "raw.h"

#include <sys/wait.h>

/* A starter: waits for `go`, opens, says how it went, lives until `stop`. */
static void starter(const char *path, int go, int said, int stop) {
    char byte = 0;
    int32_t fd;
    CHECK(read(go, &byte, 1) == 0);
    hysock_status status = hysock_listener_open(path, HYSOCK_NTS, NULL, &fd, ERR);
    if (status != HYSOCK_OK) {
        CHECK_STATUS(status, HYSOCK_E_IN_USE);
        CHECK_ERR(HYSOCK_E_IN_USE, path);
    }
    byte = status == HYSOCK_OK ? 'w' : 'l';
    CHECK(write(said, &byte, 1) == 1);
    CHECK(read(stop, &byte, 1) == 0);
    _exit(0);
}

static void race(const char *path) {
    int go[2], said[2], stop[2], status;
    char words[2] = "";
    pid_t children[2];
    CHECK(pipe(go) == 0 && pipe(said) == 0 && pipe(stop) == 0);
    for (int i = 0; i < 2; i++) {
        children[i] = fork();
        CHECK(children[i] >= 0);
        if (children[i] == 0) {
            close(go[1]);
            close(stop[1]);
            starter(path, go[0], said[1], stop[0]);
        }
    }
    close(said[1]);
    close(go[1]);
    for (int i = 0; i < 2; i++) {
        CHECK(raw_poll(said[0], POLLIN, check_ms(DEADLINE_MS)) != 0);
        CHECK(read(said[0], &words[i], 1) == 1);
    }
    CHECK_INT((words[0] == 'w') + (words[1] == 'w'), 1);
    raw r; /* whoever won is found under the path */
    raw_open(&r, path);
    raw_close(&r);
    close(stop[1]);
    for (int i = 0; i < 2; i++) {
        CHECK(waitpid(children[i], &status, 0) == children[i]);
        CHECK_INT(status, 0);
    }
    close(go[0]);
    close(said[0]);
    close(stop[0]);
}

/* Half of the rounds begin with a dead file, half without one. */
int main(void) {
    char path[108];
    check_start();
    temp_path(path, "race");
    int rounds = check_rounds(1000, 30);
    for (int i = 0; i < rounds; i++) {
        race(path);
        if (i % 2 == 0)
            CHECK(unlink(path) == 0);
    }
    return check_end();
}
