/* Addresses of servers and clients: good, bad and taken ones, and what becomes of the file. */
#include "host.h"

#include <fcntl.h>

static hysock_runtime *runtime;

static void handler(hysock_exchange *exchange, void *userdata) {
    (void)userdata;
    answer_text(exchange, 200, "x");
}

/* Serving at `address` fails; the status. */
static hysock_status serve_fails(const char *address, size_t len) {
    latch drops;
    hysock_server *server = NULL;
    latch_init(&drops);
    hysock_status status =
        hysock_server_serve(runtime, address, len, NULL, handler, &drops, count_drop, &server, ERR);
    CHECK(status < 0 && server == NULL);
    CHECK_INT(latch_count(&drops), 1);
    CHECK_ERR(status, "");
    CHECK(check_error.message[0] != 0);
    return status;
}

static hysock_status perform_fails(const char *address, size_t len) {
    hysock_client *client = NULL;
    hysock_client_config *config = hysock_client_config_new();
    CHECK_OK(hysock_client_config_set_connect_timeout(config, 200));
    hysock_status status = hysock_client_new(NULL, address, len, config, &client, ERR);
    hysock_client_config_free(config);
    if (status == HYSOCK_OK) {
        hysock_call *call = new_call(client, "GET", "/");
        status = hysock_call_perform(call, ERR);
        hysock_call_free(call);
        hysock_client_free(client);
    }
    CHECK(status < 0);
    CHECK_ERR(status, "");
    CHECK(check_error.message[0] != 0);
    return status;
}

static hysock_server *serve(const char *address, size_t len) {
    hysock_server *server = NULL;
    CHECK_OK(hysock_server_serve(runtime, address, len, NULL, handler, NULL, NULL, &server, ERR));
    return server;
}

static void end(hysock_server *server) {
    CHECK_OK(hysock_server_shutdown(server, 1000, ERR));
    WAIT_OK(hysock_server_wait, server);
    hysock_server_free(server);
}

static void perform(const char *address, size_t len) {
    hysock_client *client = NULL;
    CHECK_OK(hysock_client_new(NULL, address, len, NULL, &client, ERR));
    hysock_call *call = new_call(client, "GET", "/");
    CHECK_OK(hysock_call_perform(call, ERR));
    CHECK_INT(hysock_call_http_status(call), 200);
    hysock_call_free(call);
    hysock_client_free(client);
}

static bool is_socket(const char *path) {
    struct stat st;
    return lstat(path, &st) == 0 && S_ISSOCK(st.st_mode);
}

static void bad_text(void) {
    static const char nul[] = "/tmp/a\0b";
    char component[600] = "/";
    memset(component + 1, 'n', 300);
    CHECK_STATUS(serve_fails("", HYSOCK_NTS), HYSOCK_E_INVALID_ARGUMENT);
    CHECK_STATUS(serve_fails("x", 0), HYSOCK_E_INVALID_ARGUMENT);
    CHECK_STATUS(serve_fails(nul, sizeof(nul) - 1), HYSOCK_E_INVALID_ARGUMENT);
    CHECK_STATUS(serve_fails("/tmp/x", PTRDIFF_MAX + (size_t)1), HYSOCK_E_INVALID_ARGUMENT);
    CHECK_STATUS(perform_fails("", HYSOCK_NTS), HYSOCK_E_INVALID_ARGUMENT);
    CHECK_STATUS(perform_fails(nul, sizeof(nul) - 1), HYSOCK_E_INVALID_ARGUMENT);
    CHECK_STATUS(perform_fails("/tmp/x", PTRDIFF_MAX + (size_t)1), HYSOCK_E_INVALID_ARGUMENT);
    /* No file can have such a name. */
    hysock_status status = serve_fails(component, HYSOCK_NTS);
    CHECK(status == HYSOCK_E_INVALID_ARGUMENT || status == HYSOCK_E_SYSTEM);
    status = perform_fails(component, HYSOCK_NTS);
    CHECK(status == HYSOCK_E_INVALID_ARGUMENT || status == HYSOCK_E_SYSTEM);
}

/* What is not there, and what is there and no live socket: never touched. */
static void bad_files(void) {
    char file[108], directory[108], absent[108], below[108], dead[108], datagram[108];
    struct sockaddr_un address;
    int fd = open(temp_path(file, "file"), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    CHECK(fd >= 0 && write(fd, "mine", 4) == 4 && close(fd) == 0);
    CHECK(mkdir(temp_path(directory, "dir"), 0700) == 0);
    temp_path(absent, "absent");
    temp_path(below, "absent/sock");
    CHECK_STATUS(serve_fails(file, HYSOCK_NTS), HYSOCK_E_WRONG_TYPE);
    CHECK_ERR(HYSOCK_E_WRONG_TYPE, file);
    CHECK_STATUS(serve_fails(directory, HYSOCK_NTS), HYSOCK_E_WRONG_TYPE);
    CHECK_STATUS(perform_fails(file, HYSOCK_NTS), HYSOCK_E_WRONG_TYPE);
    CHECK_ERR(HYSOCK_E_WRONG_TYPE, file);
    CHECK_STATUS(perform_fails(directory, HYSOCK_NTS), HYSOCK_E_WRONG_TYPE);
    CHECK_STATUS(perform_fails(absent, HYSOCK_NTS), HYSOCK_E_ABSENT);
    CHECK_ERR(HYSOCK_E_ABSENT, absent);
    CHECK_INT(check_error.operation, HYSOCK_OPERATION_CONNECT);
    CHECK_STATUS(perform_fails(below, HYSOCK_NTS), HYSOCK_E_ABSENT);
    hysock_status status = serve_fails(below, HYSOCK_NTS);
    CHECK(status == HYSOCK_E_ABSENT || status == HYSOCK_E_SYSTEM);
    CHECK_INT(check_error.os_error, ENOENT);
    struct stat st;
    CHECK(stat(file, &st) == 0 && S_ISREG(st.st_mode) && st.st_size == 4);

    /* A socket of somebody dead: nobody listens, and a server takes its place. */
    close(raw_listen(temp_path(dead, "dead")));
    CHECK(is_socket(dead));
    CHECK_STATUS(perform_fails(dead, HYSOCK_NTS), HYSOCK_E_REFUSED);
    CHECK_ERR(HYSOCK_E_REFUSED, dead);
    hysock_server *server = serve(dead, HYSOCK_NTS);
    perform(dead, HYSOCK_NTS);
    end(server);
    CHECK(!is_socket(dead));
    /* ... unless that is forbidden. */
    close(raw_listen(dead));
    hysock_listener_config *config = hysock_listener_config_new();
    CHECK_OK(hysock_listener_config_set_stale(config, HYSOCK_STALE_REFUSE));
    CHECK_OK(hysock_server_new(runtime, NULL, &server, ERR));
    CHECK(hysock_server_add_listener(server, dead, HYSOCK_NTS, config, ERR) < 0);
    CHECK(strstr(check_error.message, dead) != NULL);
    hysock_listener_config_free(config);
    hysock_server_free(server);
    CHECK(is_socket(dead));

    /* A socket of another type. */
    fd = raw_socket(temp_path(datagram, "datagram"), &address);
    close(fd);
    fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    CHECK(fd >= 0 && bind(fd, (struct sockaddr *)&address, sizeof(address)) == 0);
    CHECK_STATUS(perform_fails(datagram, HYSOCK_NTS), HYSOCK_E_WRONG_TYPE);
    close(fd);
}

/* One path, two servers. */
static void taken(void) {
    char path[108], pid[32];
    hysock_server *first = serve(temp_path(path, "taken"), HYSOCK_NTS);
    CHECK_STATUS(serve_fails(path, HYSOCK_NTS), HYSOCK_E_IN_USE);
    CHECK_ERR(HYSOCK_E_IN_USE, path);
    snprintf(pid, sizeof(pid), "%d", (int)getpid());
    CHECK_ERR(HYSOCK_E_IN_USE, pid);
    perform(path, HYSOCK_NTS); /* the first was not disturbed */
    /* Somebody removes the file and serves there: the end of the first leaves the second's file
     * alone. */
    CHECK(unlink(path) == 0);
    hysock_server *second = serve(path, HYSOCK_NTS);
    end(first);
    CHECK(is_socket(path));
    perform(path, HYSOCK_NTS);
    end(second);
    CHECK(!is_socket(path));
}

/* The mode is there when the file is, whatever the umask, which stays as it is. */
static void mode(void) {
    char path[108];
    struct stat st;
    static const uint32_t modes[] = {0600, 0660, 0666, 0640};
    mode_t before = umask(0077);
    for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
        hysock_server *server = NULL;
        hysock_listener_config *config = hysock_listener_config_new();
        CHECK_OK(hysock_listener_config_set_mode(config, modes[i]));
        CHECK_OK(hysock_server_new(runtime, NULL, &server, ERR));
        CHECK_OK(hysock_server_add_route(server, NULL, NULL, handler, NULL, NULL, ERR));
        CHECK_OK(hysock_server_add_listener(server, temp_path(path, "mode"), HYSOCK_NTS,
                                            i == 0 ? NULL : config, ERR));
        hysock_listener_config_free(config);
        CHECK(stat(path, &st) == 0);
        CHECK_INT(st.st_mode & 0777, modes[i]);
        CHECK_OK(hysock_server_start(server, ERR));
        CHECK_INT(raw_get(path, "/"), 200);
        end(server);
    }
    CHECK_INT(umask(before), 0077);
}

/* Good ones: with a length, relative, longer than sockaddr_un, abstract, spelt as a URL. */
static void good(void) {
    char path[108], url[200], deep[512], here[256];
    hysock_server *server;
    temp_path(path, "good");
    snprintf(url, sizeof(url), "%s-and-more", path);
    server = serve(url, strlen(path));
    CHECK(is_socket(path) && !is_socket(url));
    perform(path, HYSOCK_NTS);
    snprintf(url, sizeof(url), "unix:%s", path);
    perform(url, HYSOCK_NTS);
    snprintf(url, sizeof(url), "unix://%s", path);
    perform(url, HYSOCK_NTS);
    end(server);

    size_t n = (size_t)snprintf(deep, sizeof(deep), "%s", check_dir);
    for (int i = 0; i < 3; i++) {
        n += (size_t)snprintf(deep + n, sizeof(deep) - n, "/%060d", i);
        CHECK(mkdir(deep, 0700) == 0);
    }
    snprintf(deep + n, sizeof(deep) - n, "/sock");
    server = serve(deep, HYSOCK_NTS);
    CHECK(is_socket(deep));
    perform(deep, HYSOCK_NTS);
    end(server);
    CHECK(!is_socket(deep));

    /* Relative to where the handle was made. */
    CHECK(getcwd(here, sizeof(here)) != NULL);
    CHECK(chdir(check_dir) == 0);
    server = serve("relative", HYSOCK_NTS);
    CHECK(chdir("/") == 0);
    temp_path(path, "relative");
    CHECK(is_socket(path));
    perform(path, HYSOCK_NTS);
    end(server);
    CHECK(!is_socket(path));
    CHECK(chdir(here) == 0);

    /* A name without a file, both ways of writing it. */
    char name[64] = "", text[64];
    n = 1 + (size_t)snprintf(name + 1, sizeof(name) - 1, "hysock-test-%d", (int)getpid());
    snprintf(text, sizeof(text), "@%s", name + 1);
    server = serve(name, n);
    perform(text, HYSOCK_NTS);
    perform(name, n);
    CHECK_STATUS(serve_fails(text, HYSOCK_NTS), HYSOCK_E_IN_USE);
    end(server);
    CHECK_STATUS(perform_fails(text, HYSOCK_NTS), HYSOCK_E_REFUSED);
}

/* A full backlog is "busy" once the deadline has come, never "refused". */
static void busy(void) {
    char path[108];
    struct sockaddr_un address;
    int fd = raw_socket(temp_path(path, "busy"), &address), waiting[8];
    CHECK(bind(fd, (struct sockaddr *)&address, sizeof(address)) == 0);
    CHECK(listen(fd, 1) == 0);
    int count = 0;
    for (; count < 8; count++) {
        waiting[count] = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (connect(waiting[count], (struct sockaddr *)&address, sizeof(address)) != 0) {
            CHECK_INT(errno, EAGAIN);
            close(waiting[count]);
            break;
        }
    }
    CHECK(count < 8);
    int64_t began = now_ms();
    CHECK_STATUS(perform_fails(path, HYSOCK_NTS), HYSOCK_E_BUSY);
    CHECK(now_ms() - began >= 190);
    CHECK_ERR(HYSOCK_E_BUSY, path);
    while (count > 0)
        close(waiting[--count]);
    close(fd);
}

int main(void) {
    check_start();
    CHECK_OK(hysock_runtime_new(NULL, &runtime, ERR));
    bad_text();
    bad_files();
    taken();
    mode();
    good();
    busy();
    CHECK_OK(hysock_runtime_shutdown(runtime, 1000, ERR));
    WAIT_OK(hysock_runtime_wait, runtime);
    hysock_runtime_free(runtime);
    return check_end();
}
