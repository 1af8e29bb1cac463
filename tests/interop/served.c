/* A server for test_socket_file.py, with every way to get a socket and to give it away.
 *
 *   served SOCKET [OPTION]...
 *
 *   --mode OCTAL, --owner USER, --group GROUP, --refuse, --take-over, --unchecked   for the file
 *   --adopt FD        SOCKET is there already: its descriptor, which is ours from now on
 *   --activated NAME  what a service manager passed under NAME, SOCKET is not used
 *   --inetd           only the connection on descriptor 0; ends with it
 *   --successor PATH  SIGUSR2 sends the descriptor to the socket PATH (SCM_RIGHTS) and ends
 *
 * Answers with its pid. SIGTERM ends it.
 */
#define _GNU_SOURCE
#include <hysock.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

static hysock_error err;

static void fail(const char *what) {
    fprintf(stderr, "served: %s: %s\n", what, err.message);
    exit(1);
}

static void need(hysock_status status, const char *what) {
    if (status < 0)
        fail(what);
}

static void on_request(hysock_exchange *exchange, void *userdata) {
    char text[32];
    (void)userdata;
    snprintf(text, sizeof(text), "%d\n", (int)getpid());
    hysock_exchange_answer(exchange, 200, "text/plain", text, strlen(text), NULL);
}

static void on_line(int32_t level, hysock_str line, void *userdata) {
    (void)level;
    (void)userdata;
    fprintf(stderr, "log: %.*s\n", HYSOCK_PRI(line));
}

static void send_descriptor(const char *path, int fd) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    char control[CMSG_SPACE(sizeof(int))] = "", byte = 'x';
    struct iovec data = {&byte, 1};
    struct msghdr message = {.msg_iov = &data,
                             .msg_iovlen = 1,
                             .msg_control = control,
                             .msg_controllen = sizeof(control)};
    struct cmsghdr *head = CMSG_FIRSTHDR(&message);
    int to = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    head->cmsg_level = SOL_SOCKET;
    head->cmsg_type = SCM_RIGHTS;
    head->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(head), &fd, sizeof(int));
    strncpy(address.sun_path, path, sizeof(address.sun_path) - 1);
    if (connect(to, (struct sockaddr *)&address, sizeof(address)) != 0 ||
        sendmsg(to, &message, MSG_NOSIGNAL) != 1) {
        perror("served: successor");
        exit(1);
    }
    close(to);
    close(fd);
}

typedef struct options {
    hysock_listener_config *config;
    const char *activated;
    const char *successor;
    int adopt;
    int inetd;
} options;

static void parse(options *o, char **argv) {
    o->config = hysock_listener_config_new();
    o->adopt = -1;
    for (char **next = argv; *next != NULL; next++) {
        const char *value = next[1];
        if (strcmp(*next, "--refuse") == 0)
            hysock_listener_config_set_stale(o->config, HYSOCK_STALE_REFUSE);
        else if (strcmp(*next, "--take-over") == 0)
            hysock_listener_config_set_stale(o->config, HYSOCK_STALE_TAKE_OVER);
        else if (strcmp(*next, "--unchecked") == 0)
            hysock_listener_config_set_parent_check(o->config, 0);
        else if (strcmp(*next, "--inetd") == 0)
            o->inetd = 1;
        else if (value == NULL)
            exit(2);
        else if (strcmp(*next, "--mode") == 0)
            hysock_listener_config_set_mode(o->config, (uint32_t)strtoul(*++next, NULL, 8));
        else if (strcmp(*next, "--owner") == 0)
            hysock_listener_config_set_owner(o->config, *++next);
        else if (strcmp(*next, "--group") == 0)
            hysock_listener_config_set_group(o->config, *++next);
        else if (strcmp(*next, "--adopt") == 0)
            o->adopt = atoi(*++next);
        else if (strcmp(*next, "--activated") == 0)
            o->activated = *++next;
        else if (strcmp(*next, "--successor") == 0)
            o->successor = *++next;
        else
            exit(2);
    }
}

static void listen_on(hysock_server *server, const char *path, const options *o) {
    if (o->inetd)
        need(hysock_server_add_connection(server, 0, &err), "connection");
    else if (o->activated != NULL)
        need(hysock_server_add_activated(server, o->activated, o->config, &err), "activated");
    else if (o->adopt >= 0)
        need(hysock_server_add_listener_fd(server, o->adopt, HYSOCK_ADOPT_OWN, o->config, &err),
             "adopt");
    else
        need(hysock_server_add_listener(server, path, HYSOCK_NTS, o->config, &err), "listen");
}

static void connection_has_ended(hysock_server *server) {
    struct timespec pause = {0, 10000000};
    hysock_server_counts counts;
    do {
        nanosleep(&pause, NULL);
        need(hysock_server_stats(server, &counts, sizeof(counts), &err), "stats");
    } while (counts.connections_open > 0 || counts.connections_total == 0);
}

int main(int argc, char **argv) {
    hysock_runtime *runtime;
    hysock_server *server;
    options o = {0};
    sigset_t signals;
    int number = 0;
    if (argc < 2)
        return 2;
    parse(&o, argv + 2);
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGUSR2);
    sigprocmask(SIG_BLOCK, &signals, NULL);
    need(hysock_runtime_new(NULL, &runtime, &err), "runtime");
    need(hysock_runtime_on_log(runtime, HYSOCK_LOG_INFO, NULL, on_line, NULL, NULL, &err), "log");
    need(hysock_server_new(runtime, NULL, &server, &err), "server");
    need(hysock_server_add_route(server, NULL, NULL, on_request, NULL, NULL, &err), "route");
    listen_on(server, argv[1], &o);
    hysock_listener_config_free(o.config);
    need(hysock_server_start(server, &err), "start");
    fprintf(stderr, "%d serves\n", (int)getpid());
    if (o.inetd)
        connection_has_ended(server);
    else
        sigwait(&signals, &number);
    if (number == SIGUSR2) {
        int32_t fd;
        need(hysock_server_take_listener(server, 0, &fd, &err), "take");
        send_descriptor(o.successor, fd);
    }
    need(hysock_server_shutdown(server, 10000, &err), "shutdown");
    need(hysock_server_wait(server, HYSOCK_FOREVER, &err), "wait");
    hysock_server_free(server);
    need(hysock_runtime_shutdown(runtime, 0, &err), "end");
    need(hysock_runtime_wait(runtime, HYSOCK_FOREVER, &err), "end");
    hysock_runtime_free(runtime);
    return 0;
}
