/* Teaches: what goes wrong, and how hysock says so. Provokes each error that a beginner meets and
 * prints one line for it: what was done, the name of the status, the message.
 *
 *   errors
 *
 * Nothing here crashes: a wrong argument, a handle that was freed, a call at the wrong moment are
 * statuses like "no such socket". Exit status 1 when one of them is not the expected one.
 */
#define _POSIX_C_SOURCE 200809L
#include <dirent.h>
#include <fcntl.h>
#include <hysock.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

static char folder[] = "/tmp/hysock-errors-XXXXXX"; /* mkdtemp fills in the end */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int surprises; /* guarded by lock, as stdout is */

/* ---- what this program itself needs ---- */

static const char *name_of(int32_t status) {
    static const struct {
        int32_t status;
        const char *name;
    } names[] = {
        {HYSOCK_OK, "OK"},
        {HYSOCK_E_INVALID_ARGUMENT, "INVALID_ARGUMENT"},
        {HYSOCK_E_BAD_HANDLE, "BAD_HANDLE"},
        {HYSOCK_E_STATE, "STATE"},
        {HYSOCK_E_WOULD_DEADLOCK, "WOULD_DEADLOCK"},
        {HYSOCK_E_FORKED, "FORKED"},
        {HYSOCK_E_WOULD_BLOCK, "WOULD_BLOCK"},
        {HYSOCK_E_TIMED_OUT, "TIMED_OUT"},
        {HYSOCK_E_CANCELLED, "CANCELLED"},
        {HYSOCK_E_CLOSED, "CLOSED"},
        {HYSOCK_E_SHUT_DOWN, "SHUT_DOWN"},
        {HYSOCK_E_ABSENT, "ABSENT"},
        {HYSOCK_E_REFUSED, "REFUSED"},
        {HYSOCK_E_BUSY, "BUSY"},
        {HYSOCK_E_FORBIDDEN, "FORBIDDEN"},
        {HYSOCK_E_WRONG_TYPE, "WRONG_TYPE"},
        {HYSOCK_E_IN_USE, "IN_USE"},
        {HYSOCK_E_PROTOCOL, "PROTOCOL"},
        {HYSOCK_E_TRUNCATED, "TRUNCATED"},
        {HYSOCK_E_TOO_LARGE, "TOO_LARGE"},
        {HYSOCK_E_LIMIT, "LIMIT"},
        {HYSOCK_E_SYSTEM, "SYSTEM"},
        {HYSOCK_E_UNSUPPORTED, "UNSUPPORTED"},
        {HYSOCK_E_PANIC, "PANIC"},
    };
    size_t i;
    for (i = 0; i < sizeof names / sizeof *names; i++)
        if (names[i].status == status)
            return names[i].name;
    return "?";
}

/* err NULL: the function has none (setters, counts); the status has a sentence of its own. */
static void expect(const char *what, int32_t wanted, int32_t status, const hysock_error *err) {
    const char *message = err != NULL ? err->message : hysock_status_message(status);
    int right = status == wanted && (err == NULL || (err->status == status && *message != '\0'));
    pthread_mutex_lock(&lock);
    printf("%-32s %-16s %s\n", what, name_of(status), message);
    if (!right) {
        printf("    UNEXPECTED: %s was wanted, with a message\n", name_of(wanted));
        surprises++;
    }
    fflush(stdout);
    pthread_mutex_unlock(&lock);
}

static void expect_number(const char *what, int32_t wanted, int32_t number) {
    pthread_mutex_lock(&lock);
    printf("%-32s %d\n", what, (int)number);
    if (number != wanted) {
        printf("    UNEXPECTED: %d was wanted\n", (int)wanted);
        surprises++;
    }
    fflush(stdout);
    pthread_mutex_unlock(&lock);
}

/* For what is no lesson here: it must work. */
static void need(int worked, const char *what) {
    if (!worked) {
        perror(what);
        exit(1);
    }
}

static void need_ok(hysock_status status, const hysock_error *err) {
    if (status != HYSOCK_OK) {
        fprintf(stderr, "errors: %s\n", err->message);
        exit(1);
    }
}

/* FOLDER/name, good until the eighth call after this one. */
static const char *in_folder(const char *name) {
    static char paths[8][96];
    static unsigned turn;
    char *path = paths[turn++ % 8];
    need(snprintf(path, sizeof paths[0], "%s/%s", folder, name) < (int)sizeof paths[0], name);
    return path;
}

/* What is left: `.NAME.lock` beside each socket that was served; they stay in place on purpose. */
static void clear_folder(void) {
    struct dirent *entry;
    DIR *dir = opendir(folder);
    need(dir != NULL, folder);
    while ((entry = readdir(dir)) != NULL)
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            unlinkat(dirfd(dir), entry->d_name, 0); /* what resists makes rmdir fail */
    closedir(dir);
    need(rmdir(folder) == 0, folder);
}

/* A plain socket without hysock. backlog < 0: bound, but nobody listens. */
static int plain_socket(const char *path, int type, int backlog) {
    struct sockaddr_un address;
    int fd = socket(AF_UNIX, type, 0);
    need(fd >= 0, "socket");
    memset(&address, 0, sizeof address);
    address.sun_family = AF_UNIX;
    strcpy(address.sun_path, path); /* shorter than 96 bytes, see in_folder */
    need(bind(fd, (struct sockaddr *)&address, sizeof address) == 0, "bind");
    need(backlog < 0 || listen(fd, backlog) == 0, "listen");
    return fd;
}

/* ---- addresses that cannot be called ---- */

static void get(const char *what, int32_t wanted, const char *address, size_t len,
                const hysock_client_config *config) {
    hysock_error err;
    hysock_client *client = NULL;
    hysock_call *call = NULL;
    hysock_status status = hysock_client_new(NULL, address, len, config, &client, &err);
    if (status == HYSOCK_OK)
        status = hysock_call_new(client, "GET", "/", HYSOCK_NTS, &call, &err);
    if (status == HYSOCK_OK)
        status = hysock_call_perform(call, &err);
    expect(what, wanted, status, &err);
    hysock_call_free(call); /* NULL is fine */
    hysock_client_free(client);
}

static void addresses(void) {
    const char *dead = in_folder("dead"), *file = in_folder("file"), *datagram = in_folder("dgram");
    int fd;

    get("a socket that is not there", HYSOCK_E_ABSENT, in_folder("nobody"), HYSOCK_NTS, NULL);

    close(plain_socket(dead, SOCK_STREAM, 1)); /* a daemon that died: its file is still there */
    get("a socket nobody listens on", HYSOCK_E_REFUSED, dead, HYSOCK_NTS, NULL);

    fd = open(file, O_CREAT | O_WRONLY, 0600);
    need(fd >= 0 && close(fd) == 0, file);
    get("a file that is no socket", HYSOCK_E_WRONG_TYPE, file, HYSOCK_NTS, NULL);
    get("a folder", HYSOCK_E_WRONG_TYPE, folder, HYSOCK_NTS, NULL);

    fd = plain_socket(datagram, SOCK_DGRAM, -1);
    get("a datagram socket", HYSOCK_E_WRONG_TYPE, datagram, HYSOCK_NTS, NULL);
    close(fd);

    if (geteuid() != 0) { /* root may connect to everything */
        const char *locked = in_folder("locked");
        fd = plain_socket(locked, SOCK_STREAM, 1);
        need(chmod(locked, 0) == 0, "chmod");
        get("a socket of somebody else", HYSOCK_E_FORBIDDEN, locked, HYSOCK_NTS, NULL);
        close(fd);
        unlink(locked);
    }

    get("an empty address", HYSOCK_E_INVALID_ARGUMENT, "", HYSOCK_NTS, NULL);
    get("an address with a NUL inside", HYSOCK_E_INVALID_ARGUMENT, "/tmp/a\0b", 8, NULL);
    unlink(dead);
    unlink(file);
    unlink(datagram);
}

/* ---- servers that do not behave ---- */

struct peer {
    int fd;             /* listens */
    const char *answer; /* what it says to any request, before it closes the connection */
};

static void *be_peer(void *argument) {
    struct peer *peer = argument;
    struct pollfd ready;
    char request[1024];
    int fd;
    ready.fd = peer->fd;
    ready.events = POLLIN;
    if (poll(&ready, 1, 10 * 1000) != 1)
        return NULL; /* nobody came: the line that is printed will say why */
    fd = accept(peer->fd, NULL, NULL);
    need(fd >= 0, "accept");
    need(recv(fd, request, sizeof request, 0) > 0, "recv"); /* small: it comes in one piece */
    need(send(fd, peer->answer, strlen(peer->answer), MSG_NOSIGNAL) >= 0, "send");
    close(fd);
    return NULL;
}

static void get_from_peer(const char *what, int32_t wanted, const char *answer,
                          const hysock_client_config *config) {
    const char *path = in_folder("peer");
    struct peer peer;
    pthread_t thread;
    peer.fd = plain_socket(path, SOCK_STREAM, 4);
    peer.answer = answer;
    need(pthread_create(&thread, NULL, be_peer, &peer) == 0, "pthread_create");
    get(what, wanted, path, HYSOCK_NTS, config);
    need(pthread_join(thread, NULL) == 0, "pthread_join");
    close(peer.fd);
    unlink(path);
}

/* A backlog of 0 holds one connection; after it the next one must wait. */
static void get_from_busy(const char *path, const hysock_client_config *config) {
    struct sockaddr_un address;
    int listener = plain_socket(path, SOCK_STREAM, 0), fds[16], count = 0, full = 0;
    memset(&address, 0, sizeof address);
    address.sun_family = AF_UNIX;
    strcpy(address.sun_path, path);
    while (count < 16 && !full) {
        int fd = socket(AF_UNIX, SOCK_STREAM, 0);
        need(fd >= 0 && fcntl(fd, F_SETFL, O_NONBLOCK) == 0, "socket");
        full = connect(fd, (struct sockaddr *)&address, sizeof address) != 0;
        fds[count++] = fd;
    }
    get("a daemon that accepts nobody", HYSOCK_E_BUSY, path, HYSOCK_NTS, config);
    while (count > 0)
        close(fds[--count]);
    close(listener);
    unlink(path);
}

static void peers(void) {
    const char *silent = in_folder("silent");
    hysock_client_config *config = hysock_client_config_new();
    int fd = plain_socket(silent, SOCK_STREAM, 4);

    get_from_peer("closes without an answer", HYSOCK_E_CLOSED, "", NULL);
    get_from_peer("speaks another protocol", HYSOCK_E_PROTOCOL, "220 mail ready\r\n\r\n", NULL);
    get_from_peer("stops in the middle", HYSOCK_E_TRUNCATED,
                  "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf", NULL);

    hysock_client_config_set_max_body(config, 4);
    get_from_peer("answers more than allowed", HYSOCK_E_TOO_LARGE,
                  "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n12345", config);

    hysock_client_config_set_timeout(config, 50);
    get("never answers", HYSOCK_E_TIMED_OUT, silent, HYSOCK_NTS, config);
    hysock_client_config_free(config);

    config = hysock_client_config_new();
    hysock_client_config_set_connect_timeout(config, 50);
    get_from_busy(in_folder("busy"), config);
    hysock_client_config_free(config);
    close(fd);
    unlink(silent);
}

/* ---- requests that are refused before anything is sent ---- */

static void requests(void) {
    hysock_error err;
    hysock_client *client;
    hysock_call *call = NULL;
    hysock_status status;

    /* Nobody is called here, so the address may be of any kind. */
    need_ok(hysock_client_new(NULL, in_folder("nobody"), HYSOCK_NTS, NULL, &client, &err), &err);

    status = hysock_call_new(client, "GET", "index.html", HYSOCK_NTS, &call, &err);
    expect("a target without a slash", HYSOCK_E_INVALID_ARGUMENT, status, &err);
    status = hysock_call_new(client, "GET", "/a b", HYSOCK_NTS, &call, &err);
    expect("a target with a space", HYSOCK_E_INVALID_ARGUMENT, status, &err);
    status = hysock_call_new(client, "GE T", "/", HYSOCK_NTS, &call, &err);
    expect("a method with a space", HYSOCK_E_INVALID_ARGUMENT, status, &err);

    /* A refused setter is remembered: `perform` fails with it, so nobody has to check each. */
    need_ok(hysock_call_new(client, "POST", "/", HYSOCK_NTS, &call, &err), &err);
    status = hysock_call_set_header(call, "x-note", "one\r\nx-evil: two", HYSOCK_NTS);
    expect("a header with a newline", HYSOCK_E_INVALID_ARGUMENT, status, NULL);
    status = hysock_call_set_body(call, NULL, "text", HYSOCK_NTS);
    expect("a body without a length", HYSOCK_E_INVALID_ARGUMENT, status, NULL);
    status = hysock_call_perform(call, &err);
    expect("performing it all the same", HYSOCK_E_INVALID_ARGUMENT, status, &err);
    hysock_call_free(call);

    need_ok(hysock_call_new(client, "GET", "/", HYSOCK_NTS, &call, &err), &err);
    status = hysock_call_perform(call, &err);
    expect("a call that fails", HYSOCK_E_ABSENT, status, &err);
    status = hysock_call_perform(call, &err);
    expect("performing it a second time", HYSOCK_E_STATE, status, &err);
    hysock_call_free(call);
    hysock_client_free(client);
}

/* ---- handles: checked tokens, so misuse is a status and not a crash ---- */

static void handles(void) {
    int mine = 0;
    hysock_error err;
    hysock_client *client, *none;
    hysock_call *call = NULL;
    hysock_status status;

    need_ok(hysock_client_new(NULL, in_folder("nobody"), HYSOCK_NTS, NULL, &client, &err), &err);
    need_ok(hysock_call_new(client, "GET", "/", HYSOCK_NTS, &call, &err), &err);
    expect_number("calls alive", 1, hysock_handles_live(HYSOCK_KIND_CALL));
    hysock_call_free(call);
    expect_number("calls alive after free", 0, hysock_handles_live(HYSOCK_KIND_CALL));
    status = hysock_call_perform(call, &err);
    expect("a call that was freed", HYSOCK_E_BAD_HANDLE, status, &err);
    expect_number("its HTTP status", 0, hysock_call_http_status(call)); /* getters: 0 or empty */
    hysock_call_free(call);                                             /* nothing happens */
    expect_number("calls alive after both", 0, hysock_handles_live(HYSOCK_KIND_CALL));

    status = hysock_call_perform((hysock_call *)(void *)client, &err);
    expect("a client in place of a call", HYSOCK_E_BAD_HANDLE, status, &err);
    status = hysock_call_perform((hysock_call *)(void *)&mine, &err);
    expect("any other pointer", HYSOCK_E_BAD_HANDLE, status, &err);
    status = hysock_call_perform(NULL, &err);
    expect("NULL for a handle", HYSOCK_E_INVALID_ARGUMENT, status, &err);
    status = hysock_client_new(NULL, NULL, 0, NULL, &none, &err);
    expect("NULL for an address", HYSOCK_E_INVALID_ARGUMENT, status, &err);
    status = hysock_runtime_new(NULL, NULL, NULL); /* and no place for a message either */
    expect("NULL for a result", HYSOCK_E_INVALID_ARGUMENT, status, NULL);
    hysock_client_free(client);
}

/* ---- servers that cannot start ---- */

static void not_called(hysock_exchange *exchange, void *userdata) {
    (void)exchange;
    (void)userdata;
}

static void serve(const char *what, int32_t wanted, hysock_runtime *runtime, const char *path,
                  const hysock_server_config *config) {
    hysock_error err;
    hysock_server *server = NULL;
    hysock_status status = hysock_server_serve(runtime, path, HYSOCK_NTS, config, not_called, NULL,
                                               NULL, &server, &err);
    expect(what, wanted, status, &err);
    hysock_server_free(server);
}

static void servers(hysock_runtime *runtime) {
    const char *path = in_folder("server"), *file = in_folder("file");
    hysock_error err;
    hysock_server *server;
    hysock_server_config *config = hysock_server_config_new();
    int fd = open(file, O_CREAT | O_WRONLY, 0600);

    need(fd >= 0 && close(fd) == 0, file);
    need_ok(
        hysock_server_serve(runtime, path, HYSOCK_NTS, NULL, not_called, NULL, NULL, &server, &err),
        &err);
    serve("serving where one serves", HYSOCK_E_IN_USE, runtime, path, NULL);
    expect("starting a second time", HYSOCK_E_STATE, hysock_server_start(server, &err), &err);
    serve("serving over another file", HYSOCK_E_WRONG_TYPE, runtime, file, NULL);
    need(access(file, F_OK) == 0, file); /* such a file is never touched */
    serve("serving in no folder", HYSOCK_E_ABSENT, runtime, in_folder("no/socket"), NULL);

    expect("a setter out of range", HYSOCK_E_INVALID_ARGUMENT,
           hysock_server_config_set_max_head(config, 1), NULL);
    serve("serving with that config", HYSOCK_E_INVALID_ARGUMENT, runtime, in_folder("other"),
          config);
    hysock_server_config_free(config);

    need_ok(hysock_server_shutdown(server, 0, &err), &err);
    need_ok(hysock_server_wait(server, HYSOCK_FOREVER, &err), &err);
    hysock_server_free(server);
    unlink(file);
}

/* ---- inside a handler ---- */

struct lesson {
    hysock_server *server;
    hysock_client *client;
    hysock_exchange *lent; /* kept beyond its callback, which is the mistake */
};

/* Delivered inline: this is the I/O thread, and it must not wait. */
static void careless(hysock_exchange *exchange, void *userdata) {
    struct lesson *lesson = userdata;
    hysock_error err;
    hysock_call *call = NULL;
    hysock_status status;

    status = hysock_server_wait(lesson->server, HYSOCK_FOREVER, &err);
    expect("waiting inside a handler", HYSOCK_E_WOULD_DEADLOCK, status, &err);
    need_ok(hysock_call_new(lesson->client, "GET", "/", HYSOCK_NTS, &call, &err), &err);
    status = hysock_call_perform(call, &err);
    expect("calling inside an inline one", HYSOCK_E_WOULD_DEADLOCK, status, &err);
    hysock_call_free(call);

    /* A refused answer has sent nothing and may be repeated. A header that was refused refuses the
     * next answer too, so that none goes out without it unnoticed. */
    status = hysock_exchange_answer(exchange, 99, NULL, NULL, 0, &err);
    expect("answering with status 99", HYSOCK_E_INVALID_ARGUMENT, status, &err);
    status = hysock_exchange_answer(exchange, 1000, NULL, NULL, 0, &err);
    expect("answering with status 1000", HYSOCK_E_INVALID_ARGUMENT, status, &err);
    status = hysock_exchange_set_header(exchange, "x note", "text", HYSOCK_NTS);
    expect("a header name with a space", HYSOCK_E_INVALID_ARGUMENT, status, NULL);
    status = hysock_exchange_answer(exchange, 200, "text/plain", "fine\n", 5, &err);
    expect("answering without that header", HYSOCK_E_INVALID_ARGUMENT, status, &err);

    need_ok(hysock_exchange_answer(exchange, 200, "text/plain", "fine\n", 5, &err), &err);
    status = hysock_exchange_answer(exchange, 200, "text/plain", "again\n", 6, &err);
    expect("answering a second time", HYSOCK_E_STATE, status, &err);
    lesson->lent = exchange;
}

static void handlers(hysock_runtime *runtime) {
    const char *path = in_folder("handler");
    struct lesson lesson;
    hysock_error err;
    hysock_call *call;
    hysock_status status;
    hysock_server_config *config = hysock_server_config_new();

    hysock_server_config_set_delivery(config, HYSOCK_DELIVERY_INLINE);
    lesson.lent = NULL;
    need_ok(hysock_client_new(NULL, path, HYSOCK_NTS, NULL, &lesson.client, &err), &err);
    need_ok(hysock_server_new(runtime, config, &lesson.server, &err), &err);
    hysock_server_config_free(config);
    need_ok(hysock_server_add_route(lesson.server, NULL, NULL, careless, &lesson, NULL, &err),
            &err);
    need_ok(hysock_server_add_listener(lesson.server, path, HYSOCK_NTS, NULL, &err), &err);
    need_ok(hysock_server_start(lesson.server, &err), &err);

    need_ok(hysock_call_new(lesson.client, "GET", "/", HYSOCK_NTS, &call, &err), &err);
    need_ok(hysock_call_perform(call, &err), &err);
    expect_number("and its client got", 200, hysock_call_http_status(call));
    hysock_call_free(call);

    need_ok(hysock_server_shutdown(lesson.server, HYSOCK_FOREVER, &err), &err);
    need_ok(hysock_server_wait(lesson.server, HYSOCK_FOREVER, &err), &err);
    status = hysock_exchange_answer(lesson.lent, 200, NULL, NULL, 0, &err);
    expect("an exchange after its callback", HYSOCK_E_BAD_HANDLE, status, &err);
    hysock_server_free(lesson.server);
    hysock_client_free(lesson.client);
}

/* ---- calls that are not waited for, and the end ---- */

static void remember(hysock_call *call, hysock_status status, void *userdata) {
    expect("the callback of that call", HYSOCK_E_CANCELLED, status, NULL);
    *(hysock_status *)userdata = hysock_call_error(call, NULL);
}

static void ends(hysock_runtime *runtime) {
    const char *path = in_folder("silent");
    hysock_error err;
    hysock_client *client;
    hysock_call *call;
    hysock_status status, seen = HYSOCK_OK;
    int fd = plain_socket(path, SOCK_STREAM, 4); /* connects, and then says nothing */

    need_ok(hysock_client_new(NULL, path, HYSOCK_NTS, NULL, &client, &err), &err);
    need_ok(hysock_call_new(client, "GET", "/", HYSOCK_NTS, &call, &err), &err);
    status = hysock_call_start(call, remember, &seen, NULL, &err);
    expect("start without a runtime", HYSOCK_E_STATE, status, &err);
    hysock_call_free(call);
    hysock_client_free(client);

    need_ok(hysock_client_new(runtime, path, HYSOCK_NTS, NULL, &client, &err), &err);
    need_ok(hysock_call_new(client, "GET", "/", HYSOCK_NTS, &call, &err), &err);
    need_ok(hysock_call_start(call, remember, &seen, NULL, &err), &err);
    status = hysock_call_error(call, NULL);
    expect("a call that is under way", HYSOCK_E_WOULD_BLOCK, status, NULL);
    need_ok(hysock_call_cancel(call, &err), &err);
    need_ok(hysock_client_shutdown(client, HYSOCK_FOREVER, &err), &err);
    need_ok(hysock_client_wait(client, HYSOCK_FOREVER, &err), &err); /* `remember` has run */
    expect("a call that was cancelled", HYSOCK_E_CANCELLED, hysock_call_error(call, &err), &err);
    need(seen == HYSOCK_E_CANCELLED, "the callback did not run");
    hysock_call_free(call);
    hysock_client_free(client);
    close(fd);
    unlink(path);
}

/* Threads do not survive fork(2): make the runtime in the child, after daemonizing. */
static void forked(hysock_runtime *runtime) {
    int status;
    pid_t child;
    fflush(stdout);
    child = fork();
    need(child >= 0, "fork");
    if (child == 0) {
        hysock_error err;
        hysock_queue *queue = NULL;
        hysock_status result = hysock_queue_new(runtime, &queue, &err);
        surprises = 0;
        expect("the parent's runtime in a child", HYSOCK_E_FORKED, result, &err);
        _exit(surprises == 0 ? 0 : 1);
    }
    need(waitpid(child, &status, 0) == child, "waitpid");
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        surprises++;
}

int main(void) {
    hysock_error err;
    hysock_runtime *runtime;

    need(mkdtemp(folder) != NULL, "mkdtemp");
    addresses();
    peers();
    requests();
    handles();

    need_ok(hysock_runtime_new(NULL, &runtime, &err), &err);
    servers(runtime);
    handlers(runtime);
    ends(runtime);
    forked(runtime);
    need_ok(hysock_runtime_shutdown(runtime, 0, &err), &err);
    need_ok(hysock_runtime_wait(runtime, HYSOCK_FOREVER, &err), &err);
    serve("serving after the end", HYSOCK_E_SHUT_DOWN, runtime, in_folder("late"), NULL);
    hysock_runtime_free(runtime);

    clear_folder();
    if (surprises > 0)
        printf("%d surprises\n", surprises);
    return surprises == 0 ? 0 : 1;
}
