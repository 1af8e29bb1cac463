/* Bodies of calls piece by piece, both ways, in one delivery, which is the argument; and performed,
 * with no thread of the library. */
#include "stream.h"
#include <fcntl.h>

#define KIB ((uint64_t)1024)
#define MIB (1024 * KIB)
/* What 256 MiB may cost. */
#define MEMORY (8 * MIB)

static enum delivery delivery;
static uint64_t large;  /* bytes of a large body */
static uint64_t middle; /* more than buffers have */

/* ---- the server, in pool delivery: its handlers wait ---- */

/* Takes the body, and answers with its length. */
static void on_count(hysock_exchange *exchange, void *userdata) {
    (void)userdata;
    uint64_t all = 0;
    hysock_str piece;
    for (;;) {
        hysock_status status = hysock_exchange_read(exchange, &piece, DEADLINE_MS, ERR);
        if (status != HYSOCK_OK)
            return; /* the client has left */
        if (piece.ptr == NULL)
            break;
        body_check(piece.ptr, all, piece.len);
        all += piece.len;
    }
    char text[32];
    snprintf(text, sizeof(text), "%llu", (unsigned long long)all);
    hysock_exchange_answer(exchange, 200, "text/plain", text, strlen(text), NULL);
}

/* Gives as many bytes as the header `n` says, in chunks unless it ends with `!`. */
static void on_give(hysock_exchange *exchange, void *userdata) {
    (void)userdata;
    char n[32], piece[50000];
    hysock_str_copy(hysock_exchange_header(exchange, "n"), n, sizeof(n));
    uint64_t all = strtoull(n, NULL, 10), at = 0;
    bool known = strchr(n, '!') != NULL;
    CHECK_OK(hysock_exchange_set_header(exchange, "Trailer", "sum", HYSOCK_NTS));
    CHECK_OK(hysock_exchange_start_answer(exchange, 200, "application/octet-stream",
                                          known ? all : HYSOCK_UNKNOWN, ERR));
    while (at < all) {
        size_t len = all - at < sizeof(piece) ? (size_t)(all - at) : sizeof(piece);
        body_fill(piece, at, len);
        if (hysock_exchange_write(exchange, piece, len, DEADLINE_MS, ERR) != HYSOCK_OK)
            return; /* the client has left */
        at += len;
    }
    if (!known)
        hysock_exchange_add_trailer(exchange, "sum", "right", HYSOCK_NTS, NULL);
    hysock_exchange_finish(exchange, NULL);
}

/* Sends back what comes while it comes. */
static void on_echo(hysock_exchange *exchange, void *userdata) {
    (void)userdata;
    hysock_str piece;
    if (hysock_exchange_start_answer(exchange, 200, NULL, HYSOCK_UNKNOWN, ERR) != HYSOCK_OK)
        return;
    while (hysock_exchange_read(exchange, &piece, DEADLINE_MS, ERR) == HYSOCK_OK) {
        if (piece.ptr == NULL) {
            hysock_exchange_finish(exchange, NULL);
            return;
        }
        if (hysock_exchange_write(exchange, piece.ptr, piece.len, DEADLINE_MS, ERR) != HYSOCK_OK)
            return;
    }
}

static void open_host(host *h) {
    host_open(h, delivery, NULL);
    CHECK_OK(hysock_server_new(h->runtime, NULL, &h->server, ERR));
    CHECK_OK(hysock_server_add_listener(h->server, h->path, HYSOCK_NTS, NULL, ERR));
    CHECK_OK(
        hysock_server_add_streaming_route(h->server, NULL, "/count", on_count, NULL, NULL, ERR));
    CHECK_OK(hysock_server_add_streaming_route(h->server, NULL, "/echo", on_echo, NULL, NULL, ERR));
    CHECK_OK(hysock_server_add_route(h->server, NULL, "/give", on_give, NULL, NULL, ERR));
    CHECK_OK(hysock_server_start(h->server, ERR));
}

/* ---- what the functions of a call do ---- */

typedef struct flow {
    bool started; /* else performed */
    latch drops;
    latch ends;
    hysock_status status;
    uint64_t given, all; /* of a request's body */
    uint64_t taken;      /* of an answer's */
    bool breaks;         /* the body's function gives up at its end */
    bool frees;          /* the call is freed where it ends */
    hysock_str piece;
    uint64_t sent, received; /* as reported */
    long reports;
} flow;

static void flow_init(flow *f, bool started, uint64_t all) {
    memset(f, 0, sizeof(*f));
    f->started = started;
    f->all = all;
    latch_init(&f->drops);
    latch_init(&f->ends);
}

/* A thread that a function may run on. */
static void check_thread(const flow *f) {
    CHECK(f->started ? delivery_here(delivery) : !thread_is("hysock-"));
}

static void flow_drop(void *userdata) {
    flow *f = userdata;
    latch_add(&f->drops, 1);
}

static int64_t give(hysock_call *call, void *buf, size_t size, void *userdata) {
    flow *f = userdata;
    CHECK(call != NULL && size > 0);
    check_thread(f);
    uint64_t left = f->all - f->given;
    size_t len = left < size ? (size_t)left : size;
    if (len == 0 && f->breaks)
        return -1;
    body_fill(buf, f->given, len);
    f->given += len;
    return (int64_t)len;
}

static void report(hysock_call *call, uint64_t sent, uint64_t send_total, uint64_t received,
                   uint64_t receive_total, void *userdata) {
    flow *f = userdata;
    CHECK(call != NULL && receive_total >= received);
    check_thread(f);
    CHECK(sent >= f->sent && received >= f->received && sent <= send_total);
    f->sent = sent;
    f->received = received;
    f->reports++;
}

static void ended(hysock_call *call, hysock_status status, void *userdata) {
    flow *f = userdata;
    check_thread(f);
    f->status = status;
    if (f->frees)
        hysock_call_free(call);
    latch_add(&f->ends, 1);
}

/* Runs the call to the point where it ends. */
static hysock_status run(hysock_call *call, flow *f) {
    if (!f->started)
        return hysock_call_perform(call, ERR);
    CHECK_OK(hysock_call_start(call, ended, f, NULL, ERR));
    LATCH_AWAIT(&f->ends, 1);
    return f->status;
}

/* ---- memory ---- */

static uint64_t memory(void) {
    unsigned long long all, resident;
    FILE *file = fopen("/proc/self/statm", "r");
    CHECK(file != NULL);
    CHECK(fscanf(file, "%llu %llu", &all, &resident) == 2);
    fclose(file);
    return resident * (uint64_t)sysconf(_SC_PAGESIZE);
}

/* Where memory is the library's own. */
static bool memory_counts(void) {
#ifdef __SANITIZE_ADDRESS__
    return false;
#else
    return !check_slow();
#endif
}

static void check_memory(uint64_t before) {
    uint64_t now = memory();
    if (memory_counts() && now > before + MEMORY) {
        dprintf(check_fd, "%llu KiB more\n", (unsigned long long)((now - before) / KIB));
        CHECK(!"it took too much memory");
    }
}

/* ---- up ---- */

static void upload(hysock_client *client, bool started, uint64_t all, uint64_t length) {
    char text[32];
    flow f;
    flow_init(&f, started, all);
    hysock_call *call = new_call(client, "PUT", "/count");
    CHECK_OK(hysock_call_set_body_reader(call, NULL, length, give, &f, flow_drop));
    CHECK_OK(hysock_call_on_progress(call, report, &f, flow_drop, ERR));
    uint64_t before = memory();
    CHECK_OK(run(call, &f));
    check_memory(before);
    snprintf(text, sizeof(text), "%llu", (unsigned long long)all);
    CHECK(hysock_str_equal(hysock_call_body(call), text));
    CHECK(f.given == all && f.sent == all && f.received == strlen(text) && f.reports > 0);
    hysock_call_free(call);
    LATCH_AWAIT(&f.drops, 2);
    CHECK_INT(latch_count(&f.drops), 2);
}

static void gives_up(hysock_client *client, bool started) {
    flow f;
    flow_init(&f, started, 100);
    f.breaks = true;
    hysock_call *call = new_call(client, "PUT", "/count");
    CHECK_OK(hysock_call_set_body_reader(call, NULL, HYSOCK_UNKNOWN, give, &f, flow_drop));
    CHECK_STATUS(hysock_call_set_body_stream(call, NULL, 5), HYSOCK_E_STATE);
    hysock_call_free(call);
    LATCH_AWAIT(&f.drops, 1);
    call = new_call(client, "PUT", "/count");
    CHECK_OK(hysock_call_set_body_reader(call, NULL, HYSOCK_UNKNOWN, give, &f, flow_drop));
    CHECK_STATUS(run(call, &f), HYSOCK_E_CANCELLED);
    CHECK_STATUS(hysock_call_error(call, ERR), HYSOCK_E_CANCELLED);
    CHECK_ERR(HYSOCK_E_CANCELLED, "-1");
    hysock_call_free(call);
    LATCH_AWAIT(&f.drops, 2);
    CHECK_INT(latch_count(&f.drops), 2);
}

/* ---- down ---- */

static hysock_call *asked(hysock_client *client, uint64_t all, bool known) {
    char n[32];
    hysock_call *call = new_call(client, "GET", "/give");
    snprintf(n, sizeof(n), "%llu%s", (unsigned long long)all, known ? "!" : "");
    CHECK_OK(hysock_call_set_header(call, "n", n, HYSOCK_NTS));
    CHECK_OK(hysock_call_set_header(call, "TE", "trailers", HYSOCK_NTS));
    return call;
}

static void download(hysock_client *client, bool started, uint64_t all, bool known) {
    flow f;
    flow_init(&f, started, 0);
    hysock_call *call = asked(client, all, known);
    CHECK_OK(hysock_call_set_streaming(call));
    hysock_str piece;
    CHECK_STATUS(hysock_call_read(call, &piece, 0, ERR), HYSOCK_E_STATE);
    uint64_t before = memory();
    CHECK_OK(run(call, &f));
    CHECK(hysock_call_content_length(call) == (known ? all : HYSOCK_UNKNOWN));
    CHECK(hysock_call_body(call).ptr == NULL && hysock_call_trailer(call, "sum").ptr == NULL);
    for (;;) {
        CHECK_OK(hysock_call_read(call, &piece, DEADLINE_MS, ERR));
        if (piece.ptr == NULL)
            break;
        CHECK(piece.len > 0);
        body_check(piece.ptr, f.taken, piece.len);
        f.taken += piece.len;
    }
    check_memory(before);
    CHECK(f.taken == all);
    CHECK(known || hysock_str_equal(hysock_call_trailer(call, "SUM"), "right"));
    CHECK_OK(hysock_call_read(call, &piece, 0, ERR));
    CHECK(piece.ptr == NULL);
    CHECK_OK(hysock_call_error(call, ERR));
    hysock_call_free(call);
}

static void take_piece(hysock_call *call, hysock_status status, hysock_str piece, void *userdata) {
    flow *f = userdata;
    check_thread(f);
    f->status = status;
    if (status != HYSOCK_OK || piece.ptr == NULL) {
        if (f->frees)
            hysock_call_free(call);
        latch_add(&f->ends, 1);
        return;
    }
    body_check(piece.ptr, f->taken, piece.len);
    f->taken += piece.len;
    latch_add(&f->drops, -1);
    CHECK_OK(hysock_call_read_start(call, take_piece, f, flow_drop, ERR));
    CHECK_STATUS(hysock_call_read(call, &piece, 0, ERR), HYSOCK_E_STATE);
}

static void begin_taking(hysock_call *call, hysock_status status, void *userdata) {
    flow *f = userdata;
    CHECK_OK(status);
    CHECK_INT(hysock_call_http_status(call), 200);
    CHECK_OK(hysock_call_read_start(call, take_piece, f, flow_drop, ERR));
}

/* By callbacks alone; as many drops as registrations. */
static void download_called_back(hysock_client *client, uint64_t all) {
    flow f;
    flow_init(&f, true, 0);
    f.frees = true;
    hysock_call *call = asked(client, all, false);
    CHECK_OK(hysock_call_set_streaming(call));
    CHECK_OK(hysock_call_start(call, begin_taking, &f, NULL, ERR));
    LATCH_AWAIT(&f.ends, 1);
    CHECK_STATUS(f.status, HYSOCK_OK);
    CHECK(f.taken == all);
    LATCH_AWAIT(&f.drops, 1);
    CHECK_INT(latch_count(&f.drops), 1);
}

static void read_performed(hysock_client *client) {
    hysock_call *call = asked(client, 10, true);
    flow f;
    flow_init(&f, true, 0);
    CHECK_OK(hysock_call_set_streaming(call));
    CHECK_OK(hysock_call_perform(call, ERR));
    CHECK_STATUS(hysock_call_read_start(call, take_piece, &f, flow_drop, ERR), HYSOCK_E_STATE);
    CHECK_INT(latch_count(&f.drops), 1);
    hysock_call_free(call); /* unread: its connection closes */
}

/* ---- both ways ---- */

static void write_on(hysock_call *call, void *userdata) {
    flow *f = userdata;
    unsigned char piece[20000];
    check_thread(f);
    while (f->given < f->all) {
        uint64_t left = f->all - f->given;
        size_t len = left < sizeof(piece) ? (size_t)left : sizeof(piece);
        body_fill(piece, f->given, len);
        hysock_status status = hysock_call_write(call, piece, len, 0, ERR);
        if (status == HYSOCK_E_WOULD_BLOCK) {
            CHECK_OK(hysock_call_on_writable(call, write_on, f, NULL, ERR));
            return;
        }
        CHECK_OK(status);
        f->given += len;
    }
    CHECK_OK(hysock_call_finish(call, ERR));
    CHECK_STATUS(hysock_call_write(call, "x", 1, 0, ERR), HYSOCK_E_STATE);
}

static void begin_both(hysock_call *call, hysock_status status, void *userdata) {
    begin_taking(call, status, userdata);
    write_on(call, userdata);
}

static void echo(hysock_client *client, uint64_t all) {
    flow f;
    flow_init(&f, true, all);
    hysock_call *call = new_call(client, "POST", "/echo");
    CHECK_OK(hysock_call_set_body_stream(call, "text/plain", HYSOCK_UNKNOWN));
    CHECK_OK(hysock_call_set_streaming(call));
    CHECK_STATUS(hysock_call_perform(call, ERR), HYSOCK_E_STATE);
    CHECK_OK(hysock_call_start(call, begin_both, &f, NULL, ERR));
    LATCH_AWAIT(&f.ends, 1);
    CHECK_STATUS(f.status, HYSOCK_OK);
    CHECK(f.given == all && f.taken == all);
    hysock_call_free(call);
    LATCH_AWAIT(&f.drops, 1);
}

/* From a file to a file, through the server. */
static void files(hysock_client *client, bool started, size_t all) {
    char from[128], to[128];
    unsigned char *data = malloc(all);
    CHECK(data != NULL);
    body_fill(data, 0, all);
    snprintf(from, sizeof(from), "%s/from", check_dir);
    snprintf(to, sizeof(to), "%s/to", check_dir);
    int in = open(from, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    int out = open(to, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    CHECK(in >= 0 && out >= 0);
    CHECK(write(in, data, all) == (ssize_t)all && lseek(in, 0, SEEK_SET) == 0);
    flow f;
    flow_init(&f, started, 0);
    hysock_call *call = new_call(client, "PUT", "/echo");
    CHECK_OK(hysock_call_set_body_fd(call, NULL, in, HYSOCK_UNKNOWN));
    CHECK_OK(hysock_call_set_output_fd(call, out));
    CHECK_OK(hysock_call_on_progress(call, report, &f, flow_drop, ERR));
    close(in);
    CHECK_OK(run(call, &f));
    CHECK(hysock_call_body(call).ptr == NULL);
    CHECK(f.sent == all && f.received == all);
    CHECK(lseek(out, 0, SEEK_SET) == 0 && read(out, data, all) == (ssize_t)all);
    body_check(data, 0, all);
    CHECK(read(out, data, 1) == 0);
    hysock_call_free(call);
    close(out);
    free(data);
    LATCH_AWAIT(&f.drops, 1);
}

/* ---- ends ---- */

/* Cancelled and freed at every state of a stream: one end each, and nothing is left. */
static void ends(hysock_client *client) {
    for (int kind = 0; kind < 4; kind++) {
        flow f;
        flow_init(&f, true, large);
        hysock_call *call = new_call(client, "POST", "/echo");
        CHECK_OK(hysock_call_set_body_stream(call, NULL, HYSOCK_UNKNOWN));
        CHECK_OK(hysock_call_set_streaming(call));
        CHECK_OK(hysock_call_on_progress(call, report, &f, flow_drop, ERR));
        CHECK_OK(run(call, &f));
        if (kind % 2 == 0)
            CHECK_OK(hysock_call_read_start(call, take_piece, &f, flow_drop, ERR));
        if (kind < 2) {
            CHECK_OK(hysock_call_cancel(call, ERR));
            CHECK_STATUS(hysock_call_write(call, "x", 1, DEADLINE_MS, ERR), HYSOCK_E_CANCELLED);
            LATCH_AWAIT(&f.drops, kind % 2 == 0 ? 2 : 1);
            if (kind == 0)
                CHECK_STATUS(f.status, HYSOCK_E_CANCELLED);
        }
        hysock_call_free(call);
        LATCH_AWAIT(&f.drops, kind % 2 == 0 ? 2 : 1);
        CHECK_INT(latch_count(&f.drops), kind % 2 == 0 ? 2 : 1);
        CHECK_INT(latch_count(&f.ends), kind == 0 ? 2 : 1);
    }
}

static void all_of(hysock_client *client, bool started) {
    upload(client, started, 0, HYSOCK_UNKNOWN);
    upload(client, started, 100000, 100000);
    upload(client, started, large, HYSOCK_UNKNOWN);
    gives_up(client, started);
    download(client, started, 0, true);
    download(client, started, 100000, false);
    download(client, started, large, true);
    files(client, started, (size_t)middle);
}

int main(int argc, char **argv) {
    check_start();
    delivery = delivery_parse(argc, argv);
    middle = check_slow() ? 700 * KIB : 2 * MIB;
    large = !memory_counts() ? middle : delivery == POOL ? 256 * MIB : 16 * MIB;
    host h;
    open_host(&h);
    hysock_client *client = host_client(&h);
    all_of(client, true);
    download_called_back(client, middle);
    echo(client, middle);
    read_performed(client);
    ends(client);
    if (delivery == POOL) {
        /* Without a runtime of its own. */
        hysock_client *plain = NULL;
        CHECK_OK(hysock_client_new(NULL, h.path, HYSOCK_NTS, NULL, &plain, ERR));
        all_of(plain, false);
        read_performed(plain);
        hysock_client_free(plain);
    }
    CHECK_OK(hysock_client_shutdown(client, 5000, ERR));
    WAIT_OK(hysock_client_wait, client);
    hysock_client_free(client);
    host_stop(&h);
    return check_end();
}
