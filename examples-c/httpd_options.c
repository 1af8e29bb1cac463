/* httpd: its options, from the command line and from the file that SIGHUP reads again. */
#define _POSIX_C_SOURCE 200809L
#include "httpd.h"
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char usage[] =
    "usage: httpd SOCKET [OPTION]...\n"
    "  --mode OCTAL             permissions of the socket file (0600)\n"
    "  --group NAME             its group, by name or number\n"
    "  --activation             take the sockets that the service manager passed, if it did\n"
    "  --takeover               take the place of a server that runs at SOCKET\n"
    "  --delivery pool|inline|queue\n"
    "                           handlers run on four threads (pool), on the I/O thread, on the "
    "main one\n"
    "  --root DIR               the folder of /files; without it there is no /files\n"
    "  --drain MS               how long answers may take after SIGTERM or SIGINT (10000)\n"
    "  --access-log FILE        a line for each request\n"
    "  --settings FILE          the options below, `NAME VALUE` in a line; read again on SIGHUP\n"
    "  --max-connections N  --max-body BYTES  --exit-on-idle MS  --allow-uid UID (repeatable)\n"
    "  --head-timeout MS  --idle-timeout MS  --progress-timeout MS\n";

static bool number(const char *text, uint64_t least, uint64_t most, uint64_t *value) {
    hysock_str digits = {text, strlen(text)};
    return parse_number(digits, most, value) && *value >= least;
}

static bool octal(const char *text, uint64_t *value) {
    *value = 0;
    for (; *text >= '0' && *text <= '7' && *value <= 0777; text++)
        *value = *value * 8 + (uint64_t)(*text - '0');
    return *text == '\0' && *value >= 1 && *value <= 0777;
}

static bool allow(struct options *options, const char *text) {
    return options->allowed_count < MAX_ALLOWED &&
           number(text, 0, UINT32_MAX - 1, &options->allowed[options->allowed_count++]);
}

enum outcome { TAKEN, BAD_VALUE, NO_SUCH_OPTION };

/* What can change while the server runs. */
static enum outcome set_changeable(struct options *options, const char *name, const char *value) {
    bool good;
    if (strcmp(name, "max-connections") == 0)
        good = number(value, 1, UINT32_MAX, &options->max_connections);
    else if (strcmp(name, "max-body") == 0)
        good = number(value, 1, UINT64_MAX, &options->max_body);
    else if (strcmp(name, "exit-on-idle") == 0)
        good = number(value, 1, UINT32_MAX, &options->exit_idle_ms);
    else if (strcmp(name, "head-timeout") == 0)
        good = number(value, 1, UINT32_MAX, &options->head_timeout_ms);
    else if (strcmp(name, "idle-timeout") == 0)
        good = number(value, 1, UINT32_MAX, &options->idle_timeout_ms);
    else if (strcmp(name, "progress-timeout") == 0)
        good = number(value, 1, UINT32_MAX, &options->progress_timeout_ms);
    else if (strcmp(name, "allow-uid") == 0)
        good = allow(options, value);
    else
        return NO_SUCH_OPTION;
    return good ? TAKEN : BAD_VALUE;
}

static enum outcome set(struct options *options, const char *name, const char *value) {
    bool good = true;
    if (strcmp(name, "mode") == 0)
        good = octal(value, &options->mode);
    else if (strcmp(name, "group") == 0)
        options->group = value;
    else if (strcmp(name, "root") == 0)
        options->root = value;
    else if (strcmp(name, "settings") == 0)
        options->settings = value;
    else if (strcmp(name, "access-log") == 0)
        options->access_log = value;
    else if (strcmp(name, "drain") == 0)
        good = number(value, 0, UINT32_MAX, &options->drain_ms);
    else if (strcmp(name, "delivery") == 0) {
        options->delivery = value;
        good = strcmp(value, "inline") == 0 || strcmp(value, "pool") == 0 ||
               strcmp(value, "queue") == 0;
    } else
        return set_changeable(options, name, value);
    return good ? TAKEN : BAD_VALUE;
}

static void refuse(const char *format, ...) __attribute__((format(printf, 1, 2)));

static void refuse(const char *format, ...) {
    va_list arguments;
    fputs("httpd: ", stderr);
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fprintf(stderr, "\n%s", usage);
    exit(2);
}

/* Ends the program with status 2 when the command line is not right. */
void options_parse(struct options *options, int argc, char **argv) {
    int i;
    memset(options, 0, sizeof *options);
    options->delivery = "pool";
    options->drain_ms = 10000;
    for (i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--help") == 0) {
            fputs(usage, stdout);
            exit(0);
        } else if (strcmp(argv[i], "--activation") == 0) {
            options->activation = true;
        } else if (strcmp(argv[i], "--takeover") == 0) {
            options->takeover = true;
        } else if (strncmp(argv[i], "--", 2) == 0) {
            const char *value = i + 1 < argc ? argv[i + 1] : "";
            enum outcome outcome = set(options, argv[i] + 2, value);
            if (outcome == NO_SUCH_OPTION)
                refuse("there is no option %s", argv[i]);
            if (i + 1 >= argc)
                refuse("%s wants a value", argv[i]);
            if (outcome == BAD_VALUE)
                refuse("%s does not take \"%s\"", argv[i], value);
            i++;
        } else if (options->socket == NULL) {
            options->socket = argv[i];
        } else {
            refuse("one socket is enough, what is %s?", argv[i]);
        }
    }
    if (options->socket == NULL)
        refuse("SOCKET is missing");
}

/* Adds what --settings FILE says; false after a complaint. */
bool options_read(struct options *options) {
    char line[256], name[64], value[64], more[2];
    FILE *file = fopen(options->settings, "re");
    int at;
    bool good = true;
    if (file == NULL) {
        fprintf(stderr, "httpd: %s: %s\n", options->settings, strerror(errno));
        return false;
    }
    for (at = 1; good && fgets(line, sizeof line, file) != NULL; at++) {
        int words;
        line[strcspn(line, "#\n")] = '\0';
        words = sscanf(line, "%63s %63s %1s", name, value, more);
        good = words < 1 || (words == 2 && set_changeable(options, name, value) == TAKEN);
        if (!good)
            fprintf(stderr, "httpd: %s, line %d: not a setting: %s\n", options->settings, at, line);
    }
    fclose(file);
    return good;
}
