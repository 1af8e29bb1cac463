/* Teaches: a client without threads. One client, one call, `perform` on the caller's own thread.
 *
 *   request [-X METHOD] [-H 'Name: value']... [-d DATA | -T FILE] [-i] [-o FILE | -N] [options]
 *           ADDRESS [TARGET]
 *
 *   -T FILE                sends FILE as the body, of any size; `-` is stdin
 *   -o FILE                puts the body of a 2xx there, of any size; on a terminal with a progress
 * bar -N                     prints the body piece by piece as it comes, for answers that go on for
 * ever
 *   --connect-timeout MS   how long a server may leave us waiting in its backlog
 *   --idle-timeout MS      how long it may neither take nor send a byte
 *   --max-time MS          how long all of it may take
 *   --peer-uid UID         whom the server must run as
 *
 * ADDRESS is a path, `@name`, or a URL; one that holds the target, like
 * http+unix://%2Frun%2Fapp.sock/version, needs no TARGET.
 * The body goes to stdout; -i puts status line and headers before it. Exit status: 0 when an answer
 * came, whatever its HTTP status (404 is an answer); 1 when none came; 2 for wrong usage.
 */
#define _POSIX_C_SOURCE 200809L
#include <errno.h>
#include <fcntl.h>
#include <hysock.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

static void usage(void) {
    fprintf(stderr, "usage: request [-X METHOD] [-H 'Name: value']... [-d DATA | -T FILE] [-i] "
                    "[-o FILE | -N] [--connect-timeout MS] [--idle-timeout MS] [--max-time MS] "
                    "[--peer-uid UID] ADDRESS [TARGET]\n");
    exit(2);
}

static void fail(const hysock_error *err) {
    fprintf(stderr, "request: %s\n", err->message);
    exit(1);
}

struct options {
    const char *method, *data, *upload, *output;
    char socket[4096], target[8193];
    char **headers; /* "Name: value" */
    size_t header_count;
    hysock_client_config *config;
    int include, stream;
};

static uint32_t number(const char *option, const char *text, unsigned long min) {
    char *end;
    unsigned long value = strtoul(text, &end, 10);
    if (*text < '0' || *text > '9' || *end != '\0' || value < min || value >= HYSOCK_FOREVER) {
        fprintf(stderr, "request: %s needs a number, not '%s'\n", option, text);
        exit(2);
    }
    return (uint32_t)value;
}

/* The options that have a number; 0 when `option` is none of them. */
static int parse_number(struct options *options, const char *option, const char *text) {
    if (strcmp(option, "--connect-timeout") == 0)
        hysock_client_config_set_connect_timeout(options->config, number(option, text, 1));
    else if (strcmp(option, "--idle-timeout") == 0)
        hysock_client_config_set_idle_timeout(options->config, number(option, text, 1));
    else if (strcmp(option, "--max-time") == 0)
        hysock_client_config_set_timeout(options->config, number(option, text, 1));
    else if (strcmp(option, "--peer-uid") == 0)
        hysock_client_config_allow(options->config, HYSOCK_ALLOW_UID, number(option, text, 0));
    else
        return 0;
    return 1;
}

/* Socket and target, which one address may hold together. */
static void parse_address(struct options *options, const char *address, const char *target) {
    hysock_error err;
    if (hysock_address_parse(address, HYSOCK_NTS, options->socket, sizeof options->socket,
                             options->target, sizeof options->target, &err) != HYSOCK_OK)
        fail(&err);
    if (target == NULL && options->target[0] == '\0')
        usage();
    if (target == NULL)
        return;
    if (options->target[0] != '\0' && strcmp(options->target, "/") != 0) {
        fprintf(stderr, "request: the address holds a target already: %s\n", options->target);
        exit(2);
    }
    if (strlen(target) >= sizeof options->target) {
        fprintf(stderr, "request: the target is too long\n");
        exit(2);
    }
    strcpy(options->target, target);
}

static void parse(int argc, char **argv, struct options *options) {
    int i;
    memset(options, 0, sizeof *options);
    options->headers = calloc((size_t)argc, sizeof *options->headers);
    if (options->headers == NULL) {
        perror("request");
        exit(1);
    }
    options->config = hysock_client_config_new();
    for (i = 1; i < argc && argv[i][0] == '-'; i++) {
        if (strcmp(argv[i], "-i") == 0)
            options->include = 1;
        else if (strcmp(argv[i], "-N") == 0)
            options->stream = 1;
        else if (i + 1 == argc)
            usage(); /* all the others need a value */
        else if (strcmp(argv[i], "-X") == 0)
            options->method = argv[++i];
        else if (strcmp(argv[i], "-H") == 0)
            options->headers[options->header_count++] = argv[++i];
        else if (strcmp(argv[i], "-d") == 0)
            options->data = argv[++i];
        else if (strcmp(argv[i], "-T") == 0)
            options->upload = argv[++i];
        else if (strcmp(argv[i], "-o") == 0)
            options->output = argv[++i];
        else if (parse_number(options, argv[i], argv[i + 1]))
            i++;
        else
            usage();
    }
    if ((argc - i != 1 && argc - i != 2) || (options->data != NULL && options->upload != NULL) ||
        (options->stream && options->output != NULL))
        usage();
    parse_address(options, argv[i], argv[i + 1]); /* argv ends with a NULL */
    if (options->method == NULL)
        options->method = options->upload != NULL ? "PUT" : options->data != NULL ? "POST" : "GET";
}

static void add_header(hysock_call *call, char *line) {
    char *value = strchr(line, ':');
    if (value == NULL) {
        fprintf(stderr, "request: a header is 'Name: value', not '%s'\n", line);
        exit(2);
    }
    *value++ = '\0'; /* ends the name */
    value += strspn(value, " \t");
    /* `set` replaces the type that the body came with, `add` lets a name occur twice. */
    if (strcasecmp(line, "content-type") == 0)
        hysock_call_set_header(call, line, value, HYSOCK_NTS);
    else
        hysock_call_add_header(call, line, value, HYSOCK_NTS);
}

static void fail_file(const char *name) {
    fprintf(stderr, "request: %s: %s\n", name, strerror(errno));
    exit(1);
}

/* The library copies the descriptor, so ours is closed at once. */
static void send_file(hysock_call *call, const char *name) {
    int fd = strcmp(name, "-") == 0 ? STDIN_FILENO : open(name, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        fail_file(name);
    hysock_call_set_body_fd(call, NULL, fd, HYSOCK_UNKNOWN);
    if (fd != STDIN_FILENO)
        close(fd);
}

/* Both ways in one bar: what is up, or what is down once the answer comes. */
static void show_progress(hysock_call *call, uint64_t sent, uint64_t send_total, uint64_t received,
                          uint64_t receive_total, void *userdata) {
    uint64_t done = received > 0 ? received : sent;
    uint64_t total = received > 0 ? receive_total : send_total;
    char bar[41];
    (void)call;
    (void)userdata;
    if (total == HYSOCK_UNKNOWN || total == 0) {
        fprintf(stderr, "\r%llu KiB", (unsigned long long)(done / 1024));
        return;
    }
    memset(bar, ' ', 40);
    memset(bar, '#', (size_t)(done * 40 / total));
    bar[40] = '\0';
    fprintf(stderr, "\r[%s] %3d %%", bar, (int)(done * 100 / total));
}

static void save_answer(hysock_call *call, const char *name) {
    int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (fd < 0)
        fail_file(name);
    hysock_call_set_output_fd(call, fd);
    close(fd);
    if (isatty(STDERR_FILENO))
        hysock_call_on_progress(call, show_progress, NULL, NULL, NULL);
}

static void print_all(hysock_str text) {
    if (text.len > 0)
        fwrite(text.ptr, 1, text.len, stdout); /* bytes, not text: they may hold NUL */
    if (fflush(stdout) != 0 || ferror(stdout)) {
        perror("request: stdout");
        exit(1);
    }
}

static void print_answer(const hysock_call *call, int include) {
    hysock_str name, value;
    int status = hysock_call_http_status(call);

    if (include) {
        size_t i;
        printf("HTTP/%s %d\n", hysock_call_version(call) == 10 ? "1.0" : "1.1", status);
        for (i = 0; hysock_call_header_at(call, i, &name, &value) == HYSOCK_OK; i++)
            printf("%.*s: %.*s\n", HYSOCK_PRI(name), HYSOCK_PRI(value));
        putchar('\n');
    } else if (status >= 400) {
        fprintf(stderr, "request: HTTP status %d\n", status);
    }
    print_all(hysock_call_body(call)); /* empty when it goes elsewhere */
}

/* The head is there; the body comes as the server makes it. */
static void print_stream(hysock_call *call) {
    hysock_error err;
    hysock_str piece;
    for (;;) {
        if (hysock_call_read(call, &piece, HYSOCK_FOREVER, &err) != HYSOCK_OK)
            fail(&err);
        if (piece.ptr == NULL)
            return; /* the end */
        print_all(piece);
    }
}

int main(int argc, char **argv) {
    struct options options;
    hysock_error err;
    hysock_client *client;
    hysock_call *call;
    size_t i;

    parse(argc, argv, &options);

    /* No runtime: such a client can only `perform`, and starts no thread. */
    if (hysock_client_new(NULL, options.socket, HYSOCK_NTS, options.config, &client, &err) !=
        HYSOCK_OK)
        fail(&err);
    if (hysock_call_new(client, options.method, options.target, HYSOCK_NTS, &call, &err) !=
        HYSOCK_OK)
        fail(&err);

    /* The setters need no check: the first that was refused, say for a newline in a header, makes
     * perform fail with its message, and nothing is sent. */
    if (options.data != NULL)
        hysock_call_set_body(call, "application/x-www-form-urlencoded", options.data,
                             strlen(options.data));
    if (options.upload != NULL)
        send_file(call, options.upload);
    if (options.output != NULL)
        save_answer(call, options.output);
    if (options.stream)
        hysock_call_set_streaming(call);
    for (i = 0; i < options.header_count; i++)
        add_header(call, options.headers[i]);

    if (hysock_call_perform(call, &err) != HYSOCK_OK)
        fail(&err);
    if (options.output != NULL && isatty(STDERR_FILENO))
        fputc('\n', stderr); /* ends the bar */
    print_answer(call, options.include);
    if (options.stream)
        print_stream(call);

    hysock_call_free(call);
    hysock_client_free(client);
    hysock_client_config_free(options.config);
    free(options.headers);
    return 0;
}
