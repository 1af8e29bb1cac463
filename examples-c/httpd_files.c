/* httpd: GET /files/{*path}, the files under --root DIR. */
#define _GNU_SOURCE
#include "httpd.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static const char *content_type(const char *path) {
    static const struct {
        const char *ending, *type;
    } types[] = {
        {".css", "text/css"},        {".gif", "image/gif"},         {".html", "text/html"},
        {".jpg", "image/jpeg"},      {".js", "text/javascript"},    {".json", "application/json"},
        {".pdf", "application/pdf"}, {".png", "image/png"},         {".svg", "image/svg+xml"},
        {".txt", "text/plain"},      {".wasm", "application/wasm"}, {".xml", "application/xml"},
    };
    const char *dot = strrchr(path, '.');
    size_t i;
    for (i = 0; dot != NULL && i < sizeof types / sizeof types[0]; i++)
        if (strcmp(dot, types[i].ending) == 0)
            return types[i].type;
    return "application/octet-stream";
}

/* The kernel itself keeps the path below the root: no "..", absolute path or symbolic link leads
 * out, however it was written. Nothing has to be taken apart or compared here, and there is no
 * moment between a check and its use. O_NONBLOCK: a named pipe must not hold us up. */
static int open_beneath(int root, const char *path) {
    struct open_how how;
    int fd, tries = 0;
    memset(&how, 0, sizeof how);
    how.flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY;
    how.resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS;
    do /* EAGAIN: something was renamed meanwhile, and the kernel could not be sure */
        fd = (int)syscall(SYS_openat2, root, path, &how, sizeof how);
    while (fd < 0 && (errno == EAGAIN || errno == EINTR) && ++tries < 100);
    return fd;
}

static void answer_failure(hysock_exchange *exchange, int number) {
    switch (number) {
    case EACCES:
    case EPERM:
    case EXDEV: /* out of the root */
    case ELOOP:
        answer_text(exchange, 403, "This file is not for you.\n");
        break;
    case ENOENT:
    case ENOTDIR:
    case ENAMETOOLONG:
    case ENXIO: /* a socket */
        answer_text(exchange, 404, "There is no such file.\n");
        break;
    case EMFILE:
    case ENFILE:
    case ENOMEM:
        answer_text(exchange, 503, "Too much at once: %s\n", strerror(number));
        break;
    default:
        answer_text(exchange, 500, "%s\n", strerror(number));
    }
}

void get_file(hysock_exchange *exchange, void *userdata) {
    const struct httpd *httpd = userdata;
    hysock_str name = hysock_exchange_param(exchange, "path");
    char path[4096]; /* PATH_MAX: the kernel takes no longer one */
    struct stat info;
    hysock_error err;
    int fd;

    if (memchr(name.ptr, '\0', name.len) != NULL) { /* %00 */
        answer_text(exchange, 400, "There is a NUL in this path.\n");
        return;
    }
    if (hysock_str_copy(name, path, sizeof path) >= sizeof path) {
        answer_failure(exchange, ENAMETOOLONG);
        return;
    }
    fd = open_beneath(httpd->root, path);
    if (fd < 0) {
        answer_failure(exchange, errno);
        return;
    }
    if (fstat(fd, &info) != 0 || !S_ISREG(info.st_mode))
        answer_failure(exchange, ENOENT);
    /* Ranges, ETag, If-None-Match, HEAD and all that: in here. The descriptor stays ours. */
    else if (hysock_exchange_send_file(exchange, fd, content_type(path), &err) != HYSOCK_OK &&
             err.status == HYSOCK_E_SYSTEM)
        answer_failure(exchange, err.os_error);
    close(fd);
}
