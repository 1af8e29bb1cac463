/* httpd: GET /upgrade with `Upgrade: echo`: after the 101 the connection is a plain stream, on
 * which every byte comes back until the client half-closes.
 */
#define _POSIX_C_SOURCE 200809L
#include "httpd.h"
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

struct session {
    hysock_exchange *exchange;
    int fd;
    hysock_str early; /* what the client sent right behind its request: good as long as exchange */
};

/* MSG_NOSIGNAL: a client that leaves must not end us with SIGPIPE. */
static bool send_all(int fd, const char *data, size_t len) {
    while (len > 0) {
        ssize_t sent = send(fd, data, len, MSG_NOSIGNAL);
        if (sent < 0 && errno != EINTR)
            return false;
        if (sent > 0) {
            data += sent;
            len -= (size_t)sent;
        }
    }
    return true;
}

/* The descriptor blocks: a session is as simple as that, on a thread of its own. When the server's
 * drain is over it shuts the connection down, which ends the recv. */
static void *echo_session(void *start) {
    struct session *session = start;
    char buffer[16384];
    ssize_t got = 0;
    if (send_all(session->fd, session->early.ptr, session->early.len)) {
        do {
            got = recv(session->fd, buffer, sizeof buffer, 0);
        } while ((got < 0 && errno == EINTR) ||
                 (got > 0 && send_all(session->fd, buffer, (size_t)got)));
    }
    close(session->fd);
    hysock_exchange_free(session->exchange); /* the session is over: a drain may go on */
    free(session);
    return NULL;
}

/* Runs when the 101 was sent. Descriptor and exchange are ours; fd is -1 when the client left
 * first. */
static void on_upgraded(hysock_exchange *exchange, int32_t fd, hysock_str early, void *userdata) {
    struct session *session = fd < 0 ? NULL : malloc(sizeof *session);
    pthread_t thread;
    (void)userdata;
    if (session != NULL) {
        session->exchange = exchange;
        session->fd = fd;
        session->early = early;
        if (pthread_create(&thread, NULL, echo_session, session) == 0) {
            pthread_detach(thread);
            return;
        }
        free(session);
    }
    if (fd >= 0)
        close(fd);
    hysock_exchange_free(exchange);
}

void get_upgrade(hysock_exchange *exchange, void *userdata) {
    hysock_error err;
    (void)userdata;
    if (hysock_exchange_upgrade(exchange, "echo", on_upgraded, NULL, NULL, &err) == HYSOCK_OK)
        return;
    /* It did not ask for it. 426 says what to ask for. */
    hysock_exchange_set_header(exchange, "Upgrade", "echo", HYSOCK_NTS);
    hysock_exchange_add_header(exchange, "Connection", "upgrade", HYSOCK_NTS);
    answer_text(exchange, 426, "%s\n", err.message);
}
