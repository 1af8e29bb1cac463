/* libcurl's multi interface in its fastest form (curl_multi_socket_action and epoll): calls SOCKET
 * N C. */
#define _GNU_SOURCE
#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

static int poller;
static long timeout_ms = -1;

static size_t take(char *data, size_t size, size_t n, void *userdata) {
    (void)data;
    *(size_t *)userdata += size * n;
    return size * n;
}

static int on_socket(CURL *easy, curl_socket_t fd, int what, void *userdata, void *known) {
    (void)easy;
    struct epoll_event e = {.data.fd = fd};
    if (what == CURL_POLL_REMOVE) {
        epoll_ctl(poller, EPOLL_CTL_DEL, fd, NULL);
        return 0;
    }
    if (what & CURL_POLL_IN)
        e.events |= EPOLLIN;
    if (what & CURL_POLL_OUT)
        e.events |= EPOLLOUT;
    epoll_ctl(poller, known ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, fd, &e);
    curl_multi_assign(userdata, fd, userdata);
    return 0;
}

static int on_timer(CURLM *multi, long ms, void *userdata) {
    (void)multi, (void)userdata;
    timeout_ms = ms;
    return 0;
}

int main(int argc, char **argv) {
    if (argc < 4)
        return 2;
    long n = atol(argv[2]), c = atol(argv[3]), begun = 0, done = 0, errors = 0;
    int running;
    poller = epoll_create1(EPOLL_CLOEXEC);
    size_t *bodies = calloc((size_t)c, sizeof *bodies);
    CURLM *multi = curl_multi_init();
    curl_multi_setopt(multi, CURLMOPT_SOCKETFUNCTION, on_socket);
    curl_multi_setopt(multi, CURLMOPT_SOCKETDATA, multi);
    curl_multi_setopt(multi, CURLMOPT_TIMERFUNCTION, on_timer);
    curl_multi_setopt(multi, CURLMOPT_MAXCONNECTS, c);
    for (; begun < c && begun < n; begun++) {
        CURL *curl = curl_easy_init();
        curl_easy_setopt(curl, CURLOPT_UNIX_SOCKET_PATH, argv[1]);
        curl_easy_setopt(curl, CURLOPT_URL, "http://localhost/");
        curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
        curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take);
        curl_easy_setopt(curl, CURLOPT_WRITEDATA, &bodies[begun]);
        curl_easy_setopt(curl, CURLOPT_PRIVATE, (char *)&bodies[begun]);
        curl_multi_add_handle(multi, curl);
    }
    curl_multi_socket_action(multi, CURL_SOCKET_TIMEOUT, 0, &running);
    while (done < n) {
        struct epoll_event events[256];
        int got = epoll_wait(poller, events, 256,
                             timeout_ms < 0 || timeout_ms > 1000 ? 1000 : (int)timeout_ms);
        if (got == 0)
            curl_multi_socket_action(multi, CURL_SOCKET_TIMEOUT, 0, &running);
        for (int i = 0; i < got; i++) {
            int bits = (events[i].events & EPOLLIN ? CURL_CSELECT_IN : 0) |
                       (events[i].events & EPOLLOUT ? CURL_CSELECT_OUT : 0) |
                       (events[i].events & (EPOLLERR | EPOLLHUP) ? CURL_CSELECT_ERR : 0);
            curl_multi_socket_action(multi, events[i].data.fd, bits, &running);
        }
        CURLMsg *message;
        int left;
        while ((message = curl_multi_info_read(multi, &left))) {
            if (message->msg != CURLMSG_DONE)
                continue;
            CURL *curl = message->easy_handle;
            CURLcode code = message->data.result;
            long status = 0;
            char *body;
            curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
            curl_easy_getinfo(curl, CURLINFO_PRIVATE, &body);
            if (code != CURLE_OK || status != 200 || *(size_t *)(void *)body != 13)
                errors++;
            *(size_t *)(void *)body = 0;
            done++;
            curl_multi_remove_handle(multi, curl);
            if (begun < n) {
                begun++;
                curl_multi_add_handle(multi, curl);
            } else {
                curl_easy_cleanup(curl);
            }
        }
    }
    curl_multi_cleanup(multi);
    printf("%ld answers, %ld errors\n", n - errors, errors);
    return errors > 0;
}
