/* load: HTTP/1.1 requests over a Unix socket, by raw system calls.

   load SOCKET [--connections C] [--requests N] [--target T] [--method M] [--header 'name:
   value']...
        [--body BYTES] [--rate R] [--fresh] [--spin] [--idle N] [--settle MS] [--pid PID]

   Closed loop (default): each connection sends a request, reads the answer to its end, sends the
   next. Open loop (--rate R): R requests a second are due at even times, whether or not answers
   have come; one that finds no free connection waits, and its latency counts from when it was due
   (so a stall is not hidden by the requests that were not sent meanwhile).

   A tenth of the requests comes first and is not counted. --pid: the process whose CPU time,
   between the first and the last counted answer, is divided by the requests. --fresh: a new
   connection for each request. --spin: never sleeps; then the server pays for no wake of a sleeping
   peer, which on a virtual machine costs more than the answer and comes or goes with the pace of
   both. --idle N: so many further connections, which have had one answer each and say nothing more.
   --settle: waits so long before it looks at the server's memory.

   Prints one line of JSON. Any answer but a whole 200 of the first one's length ends it with
   status 1. */
#define _GNU_SOURCE
#include "clock.h"
#include "histogram.h"
#include <errno.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>

typedef struct {
    int fd;
    size_t sent, got, want; /* want: 0 until the answer's head is whole */
    uint64_t due;
    int busy;
    size_t head_len;
    char head[4096];
} connection;

static struct {
    const char *socket, *target, *method;
    char headers[4096];
    int connections, fresh, spin, idle, settle_ms;
    long requests;
    size_t body;
    double rate;
    pid_t pid;
} o = {.target = "/", .method = "GET", .connections = 64, .requests = 100000};

static char *request;
static size_t request_len; /* of the head */
static size_t held_len;    /* of the head and the part of the body behind it */
static size_t answer_len;
static connection *connections;
static int poller;
static histogram latencies;
static char space[1 << 18];

#define BLOCK (1 << 20)

static void fail(const char *why) {
    fprintf(stderr, "load: %s\n", why);
    exit(1);
}

static int open_socket(void) {
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    if (strlen(o.socket) >= sizeof a.sun_path)
        fail("the socket's path is too long");
    strcpy(a.sun_path, o.socket);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, (struct sockaddr *)&a, sizeof a))
        die(o.socket);
    return fd;
}

static void watch(connection *c) {
    /* Only small requests are sent without looking: they fit. */
    struct epoll_event e = {.events = EPOLLIN | EPOLLET, .data.ptr = c};
    if (o.body > 65536)
        e.events |= EPOLLOUT;
    if (epoll_ctl(poller, EPOLL_CTL_ADD, c->fd, &e))
        die("epoll_ctl");
}

static void send_more(connection *c) {
    size_t whole = request_len + o.body;
    while (c->sent < whole) {
        /* The head and the first part of the body lie together, the rest of the body is that part
         * again. */
        size_t at = c->sent < held_len ? c->sent : request_len;
        size_t len = held_len - at < whole - c->sent ? held_len - at : whole - c->sent;
        ssize_t n = send(c->fd, request + at, len, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0 && errno == EAGAIN)
            return;
        if (n < 0)
            die("send");
        c->sent += (size_t)n;
    }
}

static void begin(connection *c, uint64_t due) {
    if (o.fresh) {
        c->fd = open_socket();
        watch(c);
    }
    c->busy = 1;
    c->due = due;
    c->sent = c->got = c->want = c->head_len = 0;
    send_more(c);
}

/* The answer's length from its head, once that is there. */
static void read_head(connection *c, const char *data, size_t n) {
    size_t room = sizeof c->head - 1 - c->head_len;
    size_t len = n < room ? n : room;
    memcpy(c->head + c->head_len, data, len);
    c->head_len += len;
    c->head[c->head_len] = 0;
    char *end = strstr(c->head, "\r\n\r\n");
    if (!end) {
        if (c->head_len == sizeof c->head - 1)
            fail("the answer's head is too long");
        return;
    }
    if (strncmp(c->head, "HTTP/1.1 200", 12))
        fail(c->head);
    char *length = strcasestr(c->head, "\r\ncontent-length:");
    if (!length || length > end)
        fail("no content-length");
    c->want = (size_t)(end + 4 - c->head) + strtoull(length + 17, NULL, 10);
    if (answer_len == 0)
        answer_len = c->want;
    if (c->want != answer_len) {
        /* Lengths of dates and numbers may differ between answers, but not by much. */
        if (c->want > answer_len + 16 || c->want + 16 < answer_len)
            fail("answers of different lengths");
    }
}

/* 1 when the answer has come to its end. */
static int receive(connection *c) {
    for (;;) {
        ssize_t n = recv(c->fd, space, sizeof space, MSG_DONTWAIT);
        if (n < 0 && errno == EAGAIN)
            return 0;
        if (n < 0)
            die("recv");
        if (n == 0)
            fail("the server closed the connection");
        if (!c->want)
            read_head(c, space, (size_t)n);
        c->got += (size_t)n;
        if (c->want && c->got >= c->want) {
            if (c->got > c->want)
                fail("the answer is too long");
            return 1;
        }
        /* Less than there was room for: there is no more now, an edge will say when. */
        if ((size_t)n < sizeof space)
            return 0;
    }
}

/* Runs so many requests; `count`: their latencies count. */
static void run(long requests, int count) {
    struct epoll_event events[256];
    long started = 0, done = 0, free_count = 0;
    connection **free_list = malloc(sizeof *free_list * (size_t)o.connections);
    if (!free_list)
        die("malloc");
    for (int i = o.connections; i-- > 0;)
        free_list[free_count++] = &connections[i];
    uint64_t start = now_ns(), heard = start;
    double gap = o.rate > 0 ? 1e9 / o.rate : 0;
    while (done < requests) {
        uint64_t now = now_ns();
        while (free_count > 0 && started < requests) {
            uint64_t due = o.rate > 0 ? start + (uint64_t)(gap * (double)started) : now;
            if (due > now)
                break;
            started++;
            begin(free_list[--free_count], due);
        }
        int wait = o.spin || o.rate > 0 ? 0 : 10000;
        int n = epoll_wait(poller, events, 256, wait);
        if (n < 0 && errno != EINTR)
            die("epoll_wait");
        now = now_ns();
        if (n > 0)
            heard = now;
        else if (now - heard > 10000000000u)
            fail("10 s without an answer");
        for (int i = 0; i < n; i++) {
            connection *c = events[i].data.ptr;
            if (!c->busy)
                continue;
            if (c->sent < request_len + o.body)
                send_more(c);
            if (!receive(c))
                continue;
            now = now_ns();
            if (count)
                histogram_add(&latencies, now - c->due);
            done++;
            c->busy = 0;
            if (o.fresh)
                close(c->fd);
            if (o.rate > 0 || started >= requests) {
                free_list[free_count++] = c;
            } else {
                started++;
                begin(c, now);
            }
        }
    }
    free(free_list);
}

/* Connections that have had an answer each and rest from then on. */
static void open_idle(void) {
    for (int i = 0; i < o.idle; i++) {
        connection c = {.fd = open_socket(), .busy = 1};
        struct timeval patience = {.tv_sec = 10};
        setsockopt(c.fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
        if (send(c.fd, request, request_len, MSG_NOSIGNAL) != (ssize_t)request_len)
            die("send");
        while (!c.want || c.got < c.want) {
            ssize_t n = recv(c.fd, space, sizeof space, 0);
            if (n <= 0)
                fail("no answer on an idle connection");
            if (!c.want)
                read_head(&c, space, (size_t)n);
            c.got += (size_t)n;
        }
        /* Stays open until the end of the program. */
    }
}

static void make_request(void) {
    size_t room = strlen(o.method) + strlen(o.target) + strlen(o.headers) + 128;
    size_t part = o.body < BLOCK ? o.body : BLOCK;
    request = malloc(room + part);
    if (!request)
        die("malloc");
    int n = snprintf(request, room, "%s %s HTTP/1.1\r\nhost: localhost\r\n%s", o.method, o.target,
                     o.headers);
    if (o.body)
        n += snprintf(request + n, room - (size_t)n, "content-length: %zu\r\n", o.body);
    if (o.fresh)
        n += snprintf(request + n, room - (size_t)n, "connection: close\r\n");
    n += snprintf(request + n, room - (size_t)n, "\r\n");
    memset(request + n, 'x', part);
    request_len = (size_t)n;
    held_len = request_len + part;
}

static void options(int argc, char **argv) {
    if (argc < 2)
        fail("load SOCKET [option]...: see the top of load.c");
    o.socket = argv[1];
    for (int i = 2; i < argc; i++) {
        const char *name = argv[i];
        if (!strcmp(name, "--fresh"))
            o.fresh = 1;
        else if (!strcmp(name, "--spin"))
            o.spin = 1;
        else if (++i == argc)
            fail(name);
        else if (!strcmp(name, "--connections"))
            o.connections = atoi(argv[i]);
        else if (!strcmp(name, "--requests"))
            o.requests = atol(argv[i]);
        else if (!strcmp(name, "--target"))
            o.target = argv[i];
        else if (!strcmp(name, "--method"))
            o.method = argv[i];
        else if (!strcmp(name, "--body"))
            o.body = (size_t)atoll(argv[i]);
        else if (!strcmp(name, "--rate"))
            o.rate = atof(argv[i]);
        else if (!strcmp(name, "--idle"))
            o.idle = atoi(argv[i]);
        else if (!strcmp(name, "--settle"))
            o.settle_ms = atoi(argv[i]);
        else if (!strcmp(name, "--pid"))
            o.pid = atoi(argv[i]);
        else if (!strcmp(name, "--header")) {
            size_t len = strlen(o.headers);
            snprintf(o.headers + len, sizeof o.headers - len, "%s\r\n", argv[i]);
        } else
            fail(name);
    }
    if (o.connections < 1 || o.requests < 1)
        fail("--connections and --requests are at least 1");
}

int main(int argc, char **argv) {
    options(argc, argv);
    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    make_request();
    long before_kb = memory_kb(o.pid, "VmRSS:");
    open_idle();
    connections = calloc((size_t)o.connections, sizeof *connections);
    poller = epoll_create1(EPOLL_CLOEXEC);
    if (!connections || poller < 0)
        die("load");
    for (int i = 0; i < o.connections && !o.fresh; i++) {
        connections[i].fd = open_socket();
        watch(&connections[i]);
    }
    run(o.requests / 10 + o.connections, 0);
    usage a = usage_of(o.pid);
    uint64_t own = clock_ns(CLOCK_PROCESS_CPUTIME_ID);
    run(o.requests, 1);
    usage b = usage_of(o.pid);
    own = clock_ns(CLOCK_PROCESS_CPUTIME_ID) - own;
    usleep((useconds_t)o.settle_ms * 1000);
    double n = (double)o.requests, cpu = (double)(b.cpu_ns - a.cpu_ns) / n / 1e3;
    double user = (double)(b.user_ticks - a.user_ticks),
           system = (double)(b.system_ticks - a.system_ticks);
    double user_part = user + system > 0 ? user / (user + system) : 0;
    printf("{\"cpu_us\": %.4f, \"user_us\": %.4f, \"system_us\": %.4f, \"per_s\": %.3f, "
           "\"load_us\": %.4f, "
           "\"p50_us\": %.2f, \"p99_us\": %.2f, \"p999_us\": %.2f, \"max_us\": %.2f, "
           "\"answer_bytes\": %zu, "
           "\"rss_kb\": %ld, \"grown_kb\": %ld, \"peak_kb\": %ld}\n",
           cpu, cpu * user_part, cpu * (1 - user_part), n * 1e9 / (double)(b.wall_ns - a.wall_ns),
           (double)own / n / 1e3, (double)histogram_quantile(&latencies, 0.5) / 1e3,
           (double)histogram_quantile(&latencies, 0.99) / 1e3,
           (double)histogram_quantile(&latencies, 0.999) / 1e3, (double)latencies.max / 1e3,
           answer_len, memory_kb(o.pid, "VmRSS:"), memory_kb(o.pid, "VmRSS:") - before_kb,
           memory_kb(o.pid, "VmHWM:"));
    return 0;
}
