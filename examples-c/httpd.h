/* What the files of httpd share. httpd.c says what the program is. */
#ifndef HTTPD_H
#define HTTPD_H

#include <hysock.h>
#include <stdbool.h>

/* What handlers need to know: the userdata of every route. Set before the start, then only read. */
struct httpd {
    hysock_runtime *runtime;
    hysock_server *server;
    hysock_queue *main_queue; /* whatever goes through it runs on the main thread */
    int root;                 /* the folder of /files; -1: none */
};

/* httpd_options.c: the command line and the file that SIGHUP reads again. Where 0 is no value of an
 * option, it means that hysock's default is to be kept. */
enum { MAX_ALLOWED = 64 };

struct options {
    const char *socket, *group, *root, *settings, *access_log, *delivery;
    bool activation, takeover;
    uint64_t mode, drain_ms, exit_idle_ms;
    uint64_t max_connections, max_body;
    uint64_t head_timeout_ms, idle_timeout_ms, progress_timeout_ms;
    uint64_t allowed[MAX_ALLOWED];
    int allowed_count;
};

void options_parse(struct options *options, int argc, char **argv);
bool options_read(struct options *options);

/* httpd_text.c: small answers, and text that grows. */
struct text {
    char *data; /* NULL when memory ran out: then nothing more is added */
    size_t len, size;
};

void answer_text(hysock_exchange *exchange, int32_t http_status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
bool parse_number(hysock_str digits, uint64_t most, uint64_t *number);
void text_new(struct text *text);
void text_add(struct text *text, const char *data, size_t len);
void text_format(struct text *text, const char *format, ...) __attribute__((format(printf, 2, 3)));
void text_json(struct text *text, hysock_str value);
void text_answer(struct text *text, hysock_exchange *exchange, const char *content_type);

/* httpd_simple.c: handlers that answer before they return. */
void get_hello(hysock_exchange *exchange, void *userdata);
void get_item(hysock_exchange *exchange, void *userdata);
void get_headers(hysock_exchange *exchange, void *userdata);
void get_peer(hysock_exchange *exchange, void *userdata);
void get_metrics(hysock_exchange *exchange, void *userdata);
void get_admin(hysock_exchange *exchange, void *userdata);
void not_found(hysock_exchange *exchange, void *userdata);

/* httpd_files.c */
void get_file(hysock_exchange *exchange, void *userdata);

/* httpd_later.c: handlers whose answers come by the clock. */
void get_slow(hysock_exchange *exchange, void *userdata);
void get_events(hysock_exchange *exchange, void *userdata);

/* httpd_streams.c: bodies of any length, piece by piece. */
void streams_prepare(void); /* before the start */
void any_echo(hysock_exchange *exchange, void *userdata);
void post_digest(hysock_exchange *exchange, void *userdata);
void get_bytes(hysock_exchange *exchange, void *userdata);

/* httpd_upgrade.c */
void get_upgrade(hysock_exchange *exchange, void *userdata);

#endif
