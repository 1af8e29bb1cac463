/*
 * hysock 0.1.0
 *
 * HTTP/1.1 over Unix domain sockets. https://www.rfc-editor.org/rfc/rfc9112, unix(7).
 *
 * The twelve functions of a server:
 *
 *     hysock_runtime_new          start the library's threads
 *     hysock_server_serve         listen on a socket and hand every request to a function of yours
 *     hysock_exchange_method      what was asked: GET, POST, ...
 *     hysock_exchange_path        for what
 *     hysock_exchange_header      with which headers
 *     hysock_exchange_body        and with which body
 *     hysock_exchange_set_header  a header of the answer
 *     hysock_exchange_answer      the answer
 *     hysock_server_shutdown      begin the end
 *     hysock_server_wait          until no callback runs any more
 *     hysock_server_free
 *     hysock_runtime_free
 *
 * The eight of a client:
 *
 *     hysock_client_new           one socket to talk to
 *     hysock_call_new             one request
 *     hysock_call_set_body        its body
 *     hysock_call_perform         send it and wait for the answer
 *     hysock_call_http_status     the answer's status: 200, 404, ...
 *     hysock_call_body            the answer's body
 *     hysock_call_free
 *     hysock_client_free
 *
 * All else is options. What holds for every function:
 *
 * Results. A function that can fail returns a `hysock_status`: HYSOCK_OK is 0, failures are
 * negative. It is never an HTTP status: a 404 is a success here. Where the last parameter is a
 * `hysock_error`, it may be NULL; otherwise it is overwritten by each call and says in words what
 * went wrong and what to do. Counts and descriptors are returned as int32_t, negative = a status.
 * Getters never fail: they give an empty result. When a function fails, the place for its result
 * holds NULL.
 *
 * Handles. The pointers to the types below are no addresses but checked numbers. One that is
 * freed, freed twice, of the wrong kind or made up gives HYSOCK_E_BAD_HANDLE from any function and
 * on any thread, never a crash. Equal pointers are the same object. Free functions take NULL,
 * never block, and may be called anywhere, in any order, also inside callbacks.
 *
 * Text. `const char *` is NUL-terminated; where a length follows, HYSOCK_NTS says that it is. All
 * input is copied before a function returns. A `hysock_str` that comes out is not NUL-terminated
 * (print it with HYSOCK_PRI) and is good as long as its handle; bodies are followed by an
 * uncounted NUL. Times are milliseconds; 0 is "do not wait", HYSOCK_FOREVER is no limit.
 *
 * Configs hold values. A NULL config is all defaults; a config is read once and may be freed at
 * once. It remembers the first setter that was refused, and whoever reads it fails with that
 * message: checking each setter is allowed, never needed. Setters of a call and headers of an answer
 * are remembered in the same way, until it is begun or answered. 0 is refused; HYSOCK_FOREVER and
 * HYSOCK_UNLIMITED turn a limit off where that is possible.
 *
 * Callbacks are a function, a `userdata` that it gets, and a `drop` that is called with `userdata`
 * once, after the last call of the function; when the registration fails, before it returns.
 * `drop` may be NULL. No handle ever has two callbacks at once. A C++ exception must not leave a
 * callback.
 *
 * Threads. Every function may be called on any thread. The library's threads block all signals but
 * the synchronous ones, and it changes no signal disposition, prints nothing, and keeps `errno` as
 * it was. Async-signal-safe are hysock_queue_wake() and hysock_server_shutdown_signal(), nothing
 * else. A call that would wait for itself is refused with HYSOCK_E_WOULD_DEADLOCK.
 *
 * The end. A shutdown begins it, a wait is the barrier: when it returns HYSOCK_OK, no callback of
 * that handle runs or will run, and its drops have run.
 *
 * Descriptors. The library needs its own: a program that closes every descriptor it finds must do so
 * before hysock_runtime_new(), or calls fail with HYSOCK_E_SYSTEM or HYSOCK_E_PANIC and waits do not
 * end.
 *
 * Fork. Threads do not survive fork(2): daemonize first. In a child, a runtime and what hangs on
 * it give HYSOCK_E_FORKED, and freeing them leaves the parent's sockets alone. Configs, and
 * clients without a runtime, go on working.
 */

/* Generated from src/ffi by `make header`: do not edit. */
#ifndef HYSOCK_H
#define HYSOCK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#if UINTPTR_MAX != UINT64_MAX
#error "hysock is for 64-bit systems only"
#endif

/** The version of this header. `hysock_version()` gives the library's. */
#define HYSOCK_VERSION "0.1.0"
#define HYSOCK_VERSION_MAJOR 0
#define HYSOCK_VERSION_MINOR 1
#define HYSOCK_VERSION_PATCH 0

/**
 * `(major << 16) | (minor << 8) | patch`, for `#if`: `hysock_version_number()` gives the library's.
 */
#define HYSOCK_VERSION_NUMBER 0x000100

/**
 * As a length: the text ends with a NUL, measure it. For text only (address, target, header
 * value); for bodies and data it is refused, since it equals a failed `read()`.
 */
#define HYSOCK_NTS SIZE_MAX

/** As a time in milliseconds: no limit. */
#define HYSOCK_FOREVER UINT32_MAX

/** As a size or a count: no limit. */
#define HYSOCK_UNLIMITED UINT64_MAX

/** As the length of a body: not announced. */
#define HYSOCK_UNKNOWN UINT64_MAX

/**
 * A `hysock_str` as the two arguments of `%.*s`:
 * `printf("%.*s\n", HYSOCK_PRI(name));`
 * For texts of less than 2 GiB: C takes the length as an int.
 */
#define HYSOCK_PRI(s) ((int)(s).len), ((s).ptr)

#ifdef __cplusplus
extern "C" {
#endif

/*
 * ===============================================================================================
 * Handles
 * ===============================================================================================
 */

/** Threads, and the servers and clients on them. */
typedef struct hysock_runtime hysock_runtime;

/** What a runtime is made with. */
typedef struct hysock_runtime_config hysock_runtime_config;

/** Callbacks that wait for the thread that dispatches them. */
typedef struct hysock_queue hysock_queue;

/** A function that runs once, later. */
typedef struct hysock_timer hysock_timer;

/** How a socket file is made. */
typedef struct hysock_listener_config hysock_listener_config;

/** What a server keeps to. */
typedef struct hysock_server_config hysock_server_config;

/** Routes, and the sockets that they are served on. */
typedef struct hysock_server hysock_server;

/** One request received, and the answer to it. */
typedef struct hysock_exchange hysock_exchange;

/** What a client keeps to. */
typedef struct hysock_client_config hysock_client_config;

/** One address to talk to, with its connections. */
typedef struct hysock_client hysock_client;

/** One request sent, and the answer received. */
typedef struct hysock_call hysock_call;

/** What a receiver keeps to. */
typedef struct hysock_receiver_config hysock_receiver_config;

/** A socket that many producers write to. */
typedef struct hysock_receiver hysock_receiver;

/** Messages that were received together. */
typedef struct hysock_batch hysock_batch;

/** What a producer keeps to. */
typedef struct hysock_producer_config hysock_producer_config;

/** Messages to one receiver. */
typedef struct hysock_producer hysock_producer;

/*
 * ===============================================================================================
 * status
 * ===============================================================================================
 *
 * How a call went. The values are fixed for ever and never reused. INVALID_ARGUMENT, BAD_HANDLE,
 * STATE and WOULD_DEADLOCK are mistakes in the program; the others are days like any other.
 */

/** HYSOCK_OK or a negative HYSOCK_E_ value. Never an HTTP status. */
typedef int32_t hysock_status;

/** It worked. */
#define HYSOCK_OK 0

/** NULL, a bad length, a value out of range, an illegal byte. The message names the argument. */
#define HYSOCK_E_INVALID_ARGUMENT (-1)

/** The handle was freed, is of another kind, or is none. */
#define HYSOCK_E_BAD_HANDLE (-2)

/** The right call at the wrong moment: a second answer, a second start. */
#define HYSOCK_E_STATE (-3)

/** A blocking call on a thread that must not block, or inside a callback that it would wait for. */
#define HYSOCK_E_WOULD_DEADLOCK (-4)

/** The runtime, or what hangs on it, belongs to the parent of this forked process. */
#define HYSOCK_E_FORKED (-5)

/** Nothing now. */
#define HYSOCK_E_WOULD_BLOCK (-6)

/** The caller's deadline came first. */
#define HYSOCK_E_TIMED_OUT (-7)

/** The caller cancelled it. */
#define HYSOCK_E_CANCELLED (-8)

/** The peer is gone. */
#define HYSOCK_E_CLOSED (-9)

/** The server, the client, the queue or the runtime has ended. */
#define HYSOCK_E_SHUT_DOWN (-10)

/** There is no such socket. */
#define HYSOCK_E_ABSENT (-11)

/** There is a socket file, and nobody listens on it. */
#define HYSOCK_E_REFUSED (-12)

/** Somebody listens, and took no connection until the deadline: the backlog stayed full. */
#define HYSOCK_E_BUSY (-13)

/** Not permitted. */
#define HYSOCK_E_FORBIDDEN (-14)

/** Not a socket, or one of another type. */
#define HYSOCK_E_WRONG_TYPE (-15)

/** A living listener holds the address. */
#define HYSOCK_E_IN_USE (-16)

/** The peer broke HTTP. */
#define HYSOCK_E_PROTOCOL (-17)

/** The peer ended in the middle of a message. */
#define HYSOCK_E_TRUNCATED (-18)

/** More than a configured limit, which the message names with its setter. */
#define HYSOCK_E_TOO_LARGE (-19)

/** A limit on how many is reached. */
#define HYSOCK_E_LIMIT (-20)

/** A system call failed: `os_error` of the `hysock_error` has its errno. */
#define HYSOCK_E_SYSTEM (-21)

/** This kernel cannot do it. */
#define HYSOCK_E_UNSUPPORTED (-22)

/** A bug in hysock, contained. Please report it. */
#define HYSOCK_E_PANIC (-23)

/**
 * A few words for a status: the text for a log when there is no `hysock_error` at hand.
 *
 * Any value is allowed; an unknown one gives "unknown status". The text is static and
 * NUL-terminated.
 *
 * Thread: any.
 * Errors: none.
 * Since: 0.1
 */
const char *hysock_status_message(int32_t status);

/*
 * ===============================================================================================
 * error
 * ===============================================================================================
 *
 * What went wrong, in words: a struct of the caller's own, on its stack, that is never freed.
 *
 *     hysock_error err;
 *     if (hysock_runtime_new(NULL, &runtime, &err) != HYSOCK_OK)
 *         fprintf(stderr, "%s\n", err.message);
 *
 * Each call that is given one overwrites it; after a success its status is 0 and its message
 * empty.
 */

/** No particular step. */
#define HYSOCK_OPERATION_NONE 0

/** Looking at the arguments. */
#define HYSOCK_OPERATION_ARGUMENT 1

/** Starting threads, opening descriptors. */
#define HYSOCK_OPERATION_START 2

/** Making the socket file and listening on it. */
#define HYSOCK_OPERATION_BIND 3

/** Connecting to a socket. */
#define HYSOCK_OPERATION_CONNECT 4

/** Sending a request or an answer. */
#define HYSOCK_OPERATION_SEND 5

/** Receiving a request or an answer. */
#define HYSOCK_OPERATION_RECEIVE 6

/** Waiting for something to end. */
#define HYSOCK_OPERATION_WAIT 7

/** Running a callback. */
#define HYSOCK_OPERATION_CALLBACK 8

/** One failure. 512 bytes, frozen. */
typedef struct hysock_error {
    /** HYSOCK_OK or the HYSOCK_E_ value that the function returned. */
    int32_t status;
    /** The errno behind it; 0 when no system call failed. */
    int32_t os_error;
    /** The step that failed, a HYSOCK_OPERATION_ value. */
    int32_t operation;
    /** 0. */
    int32_t reserved;
    /** NUL-terminated UTF-8: what failed, on what, and what to do. Empty after a success. */
    char message[496];
} hysock_error;

/*
 * ===============================================================================================
 * text
 * ===============================================================================================
 *
 * Text and data. What comes out is a `hysock_str`, pointer and length, not NUL-terminated, and
 * good as long as its handle (in a callback that did not defer: until the callback returns).
 * Absent is `ptr` NULL; empty is not NULL with `len` 0.
 *
 *     hysock_str type = hysock_exchange_header(exchange, "content-type");
 *     printf("%.*s\n", HYSOCK_PRI(type));
 */

/** A piece of text or data that belongs to a handle. */
typedef struct hysock_str {
    /** The first byte; NULL when there is no such text. */
    const char *ptr;
    /** How many bytes. */
    size_t len;
} hysock_str;

/** Called with the `userdata` of a callback, once, after the callback's last call. May be NULL. */
typedef void (*hysock_drop_fn)(void *userdata);

/**
 * Whether a text is exactly `text`, byte by byte.
 *
 * An absent text equals NULL only, not "".
 *
 * Thread: any.
 * Errors: none; a `text` of NULL gives false when `s` is there.
 * Since: 0.1
 */
bool hysock_str_equal(hysock_str s, const char *text);

/**
 * Copies a text into `buf`, with a NUL after it, as much as fits; returns the length of the whole
 * text, so a result of `size` or more says that it was cut.
 *
 * `size` counts the NUL. With `size` 0 nothing is written and `buf` may be NULL. An absent text is
 * copied as an empty one.
 *
 * Thread: any.
 * Errors: none; a `buf` of NULL is treated as `size` 0.
 * Since: 0.1
 */
size_t hysock_str_copy(hysock_str s, char *buf, size_t size);

/*
 * ===============================================================================================
 * version
 * ===============================================================================================
 *
 * Which hysock this is. The macros HYSOCK_VERSION, HYSOCK_VERSION_NUMBER and their parts say what
 * a program was compiled against, the functions what it runs with.
 */

/**
 * The library's version as text, like "0.1.0".
 *
 * The text is static and NUL-terminated.
 *
 * Thread: any.
 * Errors: none.
 * Since: 0.1
 */
const char *hysock_version(void);

/**
 * The library's version as a number, `(major << 16) | (minor << 8) | patch`: compare it with
 * HYSOCK_VERSION_NUMBER to notice that a program runs with another library than it was compiled
 * for.
 *
 * Thread: any.
 * Errors: none.
 * Since: 0.1
 */
uint32_t hysock_version_number(void);

/*
 * ===============================================================================================
 * handle
 * ===============================================================================================
 *
 * Handles: how they are counted, and nothing else to know. Each kind that a program can hold has a
 * number here; hysock_handles_live() lets a test assert that nothing was forgotten, which leak
 * checkers cannot see.
 */

/** Every kind. */
#define HYSOCK_KIND_ANY 0

/** hysock_runtime_config */
#define HYSOCK_KIND_RUNTIME_CONFIG 1

/** hysock_runtime */
#define HYSOCK_KIND_RUNTIME 2

/** hysock_queue */
#define HYSOCK_KIND_QUEUE 3

/** hysock_listener_config */
#define HYSOCK_KIND_LISTENER_CONFIG 4

/** hysock_server_config */
#define HYSOCK_KIND_SERVER_CONFIG 5

/** hysock_server */
#define HYSOCK_KIND_SERVER 6

/** hysock_exchange, those that are lent to a callback included */
#define HYSOCK_KIND_EXCHANGE 7

/** hysock_client_config */
#define HYSOCK_KIND_CLIENT_CONFIG 8

/** hysock_client */
#define HYSOCK_KIND_CLIENT 9

/** hysock_call */
#define HYSOCK_KIND_CALL 10

/** hysock_timer */
#define HYSOCK_KIND_TIMER 11

/** hysock_receiver_config */
#define HYSOCK_KIND_RECEIVER_CONFIG 12

/** hysock_receiver */
#define HYSOCK_KIND_RECEIVER 13

/** hysock_batch, those that are lent to a callback included */
#define HYSOCK_KIND_BATCH 14

/** hysock_producer_config */
#define HYSOCK_KIND_PRODUCER_CONFIG 15

/** hysock_producer */
#define HYSOCK_KIND_PRODUCER 16

/**
 * How many handles of a kind (HYSOCK_KIND_ANY: of all kinds) were made and not freed.
 *
 * Meant for tests and for a last look before a program ends: it walks a table and is not fast.
 *
 * Thread: any.
 * Errors: negative: HYSOCK_E_INVALID_ARGUMENT for a number that is no kind.
 * Since: 0.1
 */
int32_t hysock_handles_live(int32_t kind);

/*
 * ===============================================================================================
 * address
 * ===============================================================================================
 *
 * Addresses, as people write them. Every function that takes an address takes any of these:
 *
 *     /run/app.sock, app.sock                a path; a relative one is of the current directory
 *     unix:/run/app.sock, unix:///run/app.sock       what DOCKER_HOST and its like hold
 *     @name                                  an abstract name, also unix:@name, unix://@name
 *     http+unix://%2Frun%2Fapp.sock/target   the path percent-encoded as the host
 *     unix://2f72756e2f61:0/target           the path in hexadecimal digits as the host
 *
 * A path is bytes and may be up to 4,095 long. The last two forms can hold the target of a request
 * as well: hysock_get() uses it, hysock_address_parse() splits it off, and where only a socket is
 * meant anything but "/" is refused. Every other scheme is refused: there is no way to TCP here.
 */

/**
 * Split an address into the socket, in the plain form that every function takes (an absolute path,
 * or `@` and the abstract name), and the target of a request.
 *
 * `address_len` may be HYSOCK_NTS. Both results end with a NUL; `target` is "" when the address
 * holds none. 4096 bytes are enough for any socket. What is not wanted may be NULL with size 0.
 *
 * Thread: any.
 * Errors: HYSOCK_E_INVALID_ARGUMENT for what is no address or of another scheme, and for an
 * abstract name with a NUL in it, which has no plain form; HYSOCK_E_TOO_LARGE when a result does
 * not fit, with the size that it needs: then neither is written.
 * Since: 0.1
 */
hysock_status hysock_address_parse(const char *address,
                                   size_t address_len,
                                   char *socket,
                                   size_t socket_size,
                                   char *target,
                                   size_t target_size,
                                   hysock_error *err);

/*
 * ===============================================================================================
 * runtime
 * ===============================================================================================
 *
 * The library's threads: explicit, started here, joined by a wait, and nothing hidden beside them.
 * I/O threads own connections for life; callback threads run callbacks in pool delivery.
 *
 * Needed: hysock_runtime_new(), and at the end hysock_runtime_shutdown(), hysock_runtime_wait(),
 * hysock_runtime_free(). One runtime serves any number of servers and clients. The functions of
 * hysock_runtime_config, and hysock_runtime_on_log(), are options.
 */

/** Only what went wrong. */
#define HYSOCK_LOG_ERROR 1

/** And what deserves a look. */
#define HYSOCK_LOG_WARN 2

/** And what happens. */
#define HYSOCK_LOG_INFO 3

/** And everything else. */
#define HYSOCK_LOG_DEBUG 4

/** Gets one log line, without a line feed. `line` is good until the function returns. */
typedef void (*hysock_log_fn)(int32_t level, hysock_str line, void *userdata);

/** Runs at the start or at the end of each library thread, on that thread. */
typedef void (*hysock_thread_fn)(void *userdata);

/**
 * Start the library's threads.
 *
 * `config` may be NULL for one I/O thread and four callback threads, and may be freed as soon as
 * this returns. Daemonize first: threads do not survive fork(2). When no thread or descriptor is
 * to be had, that is an error here, and nothing is left behind.
 *
 * Thread: any.
 * Owns: free `*runtime` with hysock_runtime_free().
 * Errors: HYSOCK_E_INVALID_ARGUMENT, also for what a setter of `config` had refused;
 * HYSOCK_E_BAD_HANDLE, HYSOCK_E_LIMIT, HYSOCK_E_SYSTEM.
 * Since: 0.1
 */
hysock_status hysock_runtime_new(const hysock_runtime_config *config,
                                 hysock_runtime **runtime,
                                 hysock_error *err);

/**
 * Begin the end of everything on the runtime: no new connections and requests, answers in flight
 * may finish for `drain_ms` milliseconds (0: none, HYSOCK_FOREVER: all), then connections are
 * closed.
 *
 * Returns at once; hysock_runtime_wait() is the barrier.
 *
 * Thread: any, also inside callbacks.
 * Errors: HYSOCK_E_INVALID_ARGUMENT, HYSOCK_E_BAD_HANDLE, HYSOCK_E_FORKED.
 * Since: 0.1
 */
hysock_status hysock_runtime_shutdown(hysock_runtime *runtime,
                                      uint32_t drain_ms,
                                      hysock_error *err);

/**
 * Wait until the runtime has ended: no callback of anything on it runs or will run, all drops have
 * run, every thread is joined.
 *
 * It begins nothing: call hysock_runtime_shutdown() first, as long as servers or clients run it does
 * not end. Queues of servers and clients that have
 * not ended yet are dispatched on the calling thread meanwhile. `timeout_ms` 0 only asks;
 * HYSOCK_FOREVER waits for as long as it takes.
 *
 * Thread: any but the library's own.
 * Errors: HYSOCK_E_TIMED_OUT, whose message says what still runs; HYSOCK_E_WOULD_DEADLOCK inside a
 * callback; HYSOCK_E_INVALID_ARGUMENT, HYSOCK_E_BAD_HANDLE, HYSOCK_E_FORKED.
 * Since: 0.1
 */
hysock_status hysock_runtime_wait(hysock_runtime *runtime,
                                  uint32_t timeout_ms,
                                  hysock_error *err);

/**
 * Free a runtime. One that still runs is ended at once: connections are closed and callbacks that
 * have not begun are withdrawn. Never waits; to know that all has ended, wait first.
 *
 * In a forked child the parent's threads and sockets are left alone.
 *
 * Thread: any, also inside callbacks.
 * Errors: none; NULL and handles that were freed before are passed over.
 * Since: 0.1
 */
void hysock_runtime_free(hysock_runtime *runtime);

/**
 * Send log lines of `level` and graver ones to `fn`; a later call replaces an earlier one.
 *
 * `queue` NULL means that lines come on a callback thread; else on whoever dispatches that queue.
 * Lines wait in a bounded buffer; when `fn` is too slow the rest is counted, and the count is a
 * line. Without this function nothing is logged anywhere.
 *
 * Thread: any.
 * Owns: `userdata` until `drop` is called with it, which also happens when this fails.
 * Errors: HYSOCK_E_INVALID_ARGUMENT for a level that is none and a `fn` of NULL;
 * HYSOCK_E_BAD_HANDLE, HYSOCK_E_SHUT_DOWN, HYSOCK_E_FORKED.
 * Since: 0.1
 */
hysock_status hysock_runtime_on_log(hysock_runtime *runtime,
                                    int32_t level,
                                    hysock_queue *queue,
                                    hysock_log_fn fn,
                                    void *userdata,
                                    hysock_drop_fn drop,
                                    hysock_error *err);

/**
 * Send other lines to the log function from now on: those of `level` and graver ones.
 *
 * Thread: any.
 * Errors: HYSOCK_E_STATE when there is no log function, see hysock_runtime_on_log();
 * HYSOCK_E_INVALID_ARGUMENT for a level that is none; HYSOCK_E_BAD_HANDLE, HYSOCK_E_SHUT_DOWN,
 * HYSOCK_E_FORKED.
 * Since: 0.1
 */
hysock_status hysock_runtime_set_log_level(hysock_runtime *runtime,
                                           int32_t level,
                                           hysock_error *err);

/**
 * Make a config that holds the defaults.
 *
 * Never NULL: when no memory for handles is left, the result is a handle that hysock_runtime_new()
 * refuses with HYSOCK_E_LIMIT.
 *
 * Thread: any.
 * Owns: free the result with hysock_runtime_config_free().
 * Errors: none.
 * Since: 0.1
 */
hysock_runtime_config *hysock_runtime_config_new(void);

/**
 * Set how many threads do the I/O: 1 to 64, 1 by default.
 *
 * One is right for most: it carries some 200,000 small requests a second. More spread connections
 * over cores; each connection stays on its thread.
 *
 * Thread: any.
 * Errors: HYSOCK_E_INVALID_ARGUMENT, HYSOCK_E_BAD_HANDLE.
 * Since: 0.1
 */
hysock_status hysock_runtime_config_set_io_threads(hysock_runtime_config *config, uint32_t threads);

/**
 * Set how many threads run callbacks in pool delivery: 1 to 1024, 4 by default. With 1 no two
 * callbacks ever run at the same time.
 *
 * Thread: any.
 * Errors: HYSOCK_E_INVALID_ARGUMENT, HYSOCK_E_BAD_HANDLE.
 * Since: 0.1
 */
hysock_status hysock_runtime_config_set_callback_threads(hysock_runtime_config *config,
                                                         uint32_t threads);

/**
 * Set the stack size of the library's threads, in bytes: 64 KiB to 1 GiB, 2 MiB by default.
 *
 * Callbacks run on these stacks.
 *
 * Thread: any.
 * Errors: HYSOCK_E_INVALID_ARGUMENT, HYSOCK_E_BAD_HANDLE.
 * Since: 0.1
 */
hysock_status hysock_runtime_config_set_stack_size(hysock_runtime_config *config, size_t bytes);

/**
 * Set what the names of the library's threads begin with, as ps(1) and debuggers show them: 1 to 8
 * bytes, "hysock" by default, which gives hysock-io-0 and hysock-cb-0.
 *
 * Thread: any.
 * Errors: HYSOCK_E_INVALID_ARGUMENT, HYSOCK_E_BAD_HANDLE.
 * Since: 0.1
 */
hysock_status hysock_runtime_config_set_thread_name(hysock_runtime_config *config,
                                                    const char *prefix);

/**
 * Set functions that run on each library thread: `start` before anything else, `stop` as the last.
 *
 * For what a host needs on each thread that runs its callbacks: attaching to an interpreter,
 * unblocking a signal, naming a thread. Either may be NULL. They may run on several threads at
 * once. `drop` is called when the config and every runtime made with it are done with them.
 *
 * Thread: any.
 * Owns: `userdata` until `drop` is called with it, which also happens when this fails.
 * Errors: HYSOCK_E_INVALID_ARGUMENT, HYSOCK_E_BAD_HANDLE.
 * Since: 0.1
 */
hysock_status hysock_runtime_config_set_thread_hooks(hysock_runtime_config *config,
                                                     hysock_thread_fn start,
                                                     hysock_thread_fn stop,
                                                     void *userdata,
                                                     hysock_drop_fn drop);

/**
 * Free a config. What was made with it keeps its values.
 *
 * Thread: any.
 * Errors: none; NULL and handles that were freed before are passed over.
 * Since: 0.1
 */
void hysock_runtime_config_free(hysock_runtime_config *config);

/*
 * ===============================================================================================
 * queue
 * ===============================================================================================
 *
 * Where callbacks run. By default on the runtime's callback threads (pool delivery: they may
 * block, and handlers run in parallel). With HYSOCK_DELIVERY_INLINE on the I/O thread itself: the
 * fastest, but a callback must never block. With a queue on the thread that dispatches it, one
 * after another, so that a program with an event loop of its own needs no locks.
 *
 * A queue has one descriptor for poll, epoll or any loop. It is readable exactly while something
 * waits:
 *
 *     hysock_queue_new(runtime, &queue, &err);
 *     hysock_server_config_set_queue(config, queue);
 *     ... watch hysock_queue_fd(queue) for reading; when it is:
 *     hysock_queue_dispatch(queue, UINT32_MAX, 0);
 *
 * Needed: hysock_queue_new(), hysock_queue_dispatch(), hysock_queue_free().
 */

/** Callbacks run on the runtime's callback threads. The default. */
#define HYSOCK_DELIVERY_POOL 1

/**
 * Callbacks run on the I/O thread and must never block: blocking functions refuse with
 * HYSOCK_E_WOULD_DEADLOCK there.
 */
#define HYSOCK_DELIVERY_INLINE 2

/**
 * Make a queue, to be given to servers, clients and the log of the same runtime.
 *
 * Thread: any.
 * Owns: free `*queue` with hysock_queue_free().
 * Errors: HYSOCK_E_INVALID_ARGUMENT, HYSOCK_E_BAD_HANDLE, HYSOCK_E_SHUT_DOWN, HYSOCK_E_FORKED,
 * HYSOCK_E_LIMIT, HYSOCK_E_SYSTEM.
 * Since: 0.1
 */
hysock_status hysock_queue_new(hysock_runtime *runtime, hysock_queue **queue, hysock_error *err);

/**
 * Run callbacks that wait, at most `max` of them, on this thread; returns how many ran.
 *
 * When nothing waits, it waits up to `timeout_ms` milliseconds (0: not at all, HYSOCK_FOREVER:
 * until something comes) for the first one. hysock_queue_wake() ends the waiting with 0. Several
 * threads may dispatch one queue; no handle ever has two callbacks at once. Callbacks may call
 * this for another queue, but not wait in it.
 *
 * Thread: any but I/O threads.
 * Errors: negative: HYSOCK_E_SHUT_DOWN when the queue was freed or its runtime has ended;
 * HYSOCK_E_WOULD_DEADLOCK, HYSOCK_E_INVALID_ARGUMENT, HYSOCK_E_BAD_HANDLE, HYSOCK_E_FORKED,
 * HYSOCK_E_SYSTEM.
 * Since: 0.1
 */
int32_t hysock_queue_dispatch(hysock_queue *queue, uint32_t max, uint32_t timeout_ms);

/**
 * Free a queue. What waits in it is withdrawn: those callbacks do not run, exchanges among them
 * are answered with a 500, and drops run.
 *
 * Thread: any, also inside its own callbacks.
 * Errors: none; NULL and handles that were freed before are passed over.
 * Since: 0.1
 */
void hysock_queue_free(hysock_queue *queue);

/**
 * The descriptor to watch: readable exactly while something waits, or a wake. It stays the
 * queue's: do not read, write or close it. Level-triggered; with an edge-triggered epoll dispatch
 * until 0 comes back.
 *
 * Thread: any.
 * Errors: negative: HYSOCK_E_INVALID_ARGUMENT, HYSOCK_E_BAD_HANDLE, HYSOCK_E_FORKED.
 * Since: 0.1
 */
int32_t hysock_queue_fd(const hysock_queue *queue);

/**
 * Make a dispatch that waits return, or the next one that would wait.
 *
 * Thread: any; async-signal-safe.
 * Errors: HYSOCK_E_INVALID_ARGUMENT, HYSOCK_E_BAD_HANDLE, HYSOCK_E_FORKED.
 * Since: 0.1
 */
hysock_status hysock_queue_wake(hysock_queue *queue);

/*
 * ===============================================================================================
 * timer
 * ===============================================================================================
 *
 * Timers: a function that runs once, later: an answer after a while, the next event of a stream,
 * another try. Nothing of it blocks a thread meanwhile.
 *
 * Needed: hysock_runtime_after(). hysock_timer_free() calls one off; a timer that nobody wants to call
 * off needs no handle.
 */

/** Runs when the time has come. `timer` is its handle, NULL when none was asked for. */
typedef void (*hysock_timer_fn)(hysock_timer *timer, void *userdata);

/**
 * Run `fn` once in `ms` milliseconds: not earlier, and about a millisecond later when nothing else
 * is in the way. Those that are due at the same time run in the order in which they were made.
 *
 * `queue` NULL means on a callback thread, where two timers may run at once; else on whoever
 * dispatches that queue. `timer` NULL means that nobody will call it off: then there is no handle to
 * free. A timer keeps no runtime alive: once hysock_runtime_shutdown() was called and the servers and
 * clients have ended, what still waits does not run and is dropped.
 *
 * Thread: any, also inside callbacks.
 * Owns: free `*timer` with hysock_timer_free(), also after it has run; `userdata` is ours until
 * `drop` is called with it, after `fn` has returned or instead of it, and also when this fails.
 * Errors: HYSOCK_E_INVALID_ARGUMENT, also for HYSOCK_FOREVER and for a queue of another runtime;
 * HYSOCK_E_BAD_HANDLE, HYSOCK_E_SHUT_DOWN, HYSOCK_E_FORKED, HYSOCK_E_LIMIT.
 * Since: 0.1
 */
hysock_status hysock_runtime_after(hysock_runtime *runtime,
                                   uint32_t ms,
                                   hysock_queue *queue,
                                   hysock_timer_fn fn,
                                   void *userdata,
                                   hysock_drop_fn drop,
                                   hysock_timer **timer,
                                   hysock_error *err);

/**
 * Free a timer. One that still waits is called off: its function does not run, its drop does, in its
 * delivery. An invocation that has begun runs to its end; on the thread that dispatches the timer's
 * queue none begins afterwards.
 *
 * Thread: any, also inside callbacks, its own included.
 * Errors: none; NULL and handles that were freed before are passed over.
 * Since: 0.1
 */
void hysock_timer_free(hysock_timer *timer);

/*
 * ===============================================================================================
 * listener config
 * ===============================================================================================
 *
 * How a socket file is made: its mode, its owner, its backlog, and what happens to a file that is there
 * already. Given to hysock_server_add_listener(); all of it is options, NULL is the defaults.
 *
 * A listener does not take the place of a living one unless it is told to (HYSOCK_E_IN_USE, the message
 * says whose it is) and never touches a file that is no socket (HYSOCK_E_WRONG_TYPE). Its file is
 * born with the right mode, whatever the umask, and is removed at the end if it is still ours.
 * Beside it stays a small lock file, `.NAME.lock`, on purpose.
 *
 * When somebody else removes or replaces the file of a listener that serves, that is noticed within two
 * seconds, logged once (HYSOCK_LOG_WARN) and counted.
 */

/** A file that nobody listens on is an error. */
#define HYSOCK_STALE_REFUSE 1

/** A file that nobody listens on is replaced. The default. */
#define HYSOCK_STALE_REPLACE 2

/**
 * Whatever socket is there is replaced, a living one too: the new socket is made beside it and renamed,
 * so clients reach the one or the other and the path is never absent. The old server goes on with its
 * connections and with what waits in its backlog; ending it is up to you. Its end leaves the new file
 * alone. The new socket's own name, as getsockname(2) and `ss` show it, is `.NAME.new`.
 */
#define HYSOCK_STALE_TAKE_OVER 3

/**
 * Make a config that holds the defaults.
 *
 * Never NULL: when no memory for handles is left, the result is a handle that every use refuses
 * with HYSOCK_E_LIMIT.
 *
 * Thread: any.
 * Owns: free the result with hysock_listener_config_free().
 * Errors: none.
 * Since: 0.1
 */
hysock_listener_config *hysock_listener_config_new(void);

/**
 * Set the permission bits of the socket file: 0001 to 0777, 0600 by default. Who may write to the
 * file may connect. The umask does not touch them.
 *
 * Thread: any.
 * Errors: HYSOCK_E_INVALID_ARGUMENT, HYSOCK_E_BAD_HANDLE.
 * Since: 0.1
 */
hysock_status hysock_listener_config_set_mode(hysock_listener_config *config, uint32_t mode);

/**
 * Set how many connections may wait to be accepted: 1 to 2147483647. By default as many as the
 * system allows (/proc/sys/net/core/somaxconn), which is also the most that it ever gives.
 *
 * Thread: any.
 * Errors: HYSOCK_E_INVALID_ARGUMENT, HYSOCK_E_BAD_HANDLE.
 * Since: 0.1
 */
hysock_status hysock_listener_config_set_backlog(hysock_listener_config *config, uint32_t backlog);

/**
 * Set what happens to a socket file that is there already: HYSOCK_STALE_REPLACE, the default,
 * HYSOCK_STALE_REFUSE or HYSOCK_STALE_TAKE_OVER. An abstract name has no file: one that is in use
 * cannot be taken over.
 *
 * Thread: any.
 * Errors: HYSOCK_E_INVALID_ARGUMENT, HYSOCK_E_BAD_HANDLE.
 * Since: 0.1
 */
hysock_status hysock_listener_config_set_stale(hysock_listener_config *config, int32_t policy);

/**
 * Set who owns the socket file: a user's name, or a number. By default who makes it. Only root can give
 * files away. A name is looked up here, once.
 *
 * Thread: any.
 * Errors: HYSOCK_E_INVALID_ARGUMENT, also for a name that nobody has; HYSOCK_E_BAD_HANDLE,
 * HYSOCK_E_SYSTEM.
 * Since: 0.1
 */
hysock_status hysock_listener_config_set_owner(hysock_listener_config *config,
                                               const char *user);

/**
 * Set the group of the socket file: a group's name, or a number. By default that of who makes it, or
 * the directory's. Other users than root can give it to groups that they are in. With mode 0660 the
 * group's members may connect.
 *
 * Thread: any.
 * Errors: HYSOCK_E_INVALID_ARGUMENT, also for a name that no group has; HYSOCK_E_BAD_HANDLE,
 * HYSOCK_E_SYSTEM.
 * Since: 0.1
 */
hysock_status hysock_listener_config_set_group(hysock_listener_config *config,
                                               const char *group);

/**
 * Set whether root may make a socket in a directory where everybody can replace files (world-writable and
 * not sticky): by default it is refused with HYSOCK_E_FORBIDDEN. For other users nothing is
 * checked.
 *
 * Thread: any.
 * Errors: HYSOCK_E_INVALID_ARGUMENT, HYSOCK_E_BAD_HANDLE.
 * Since: 0.1
 */
hysock_status hysock_listener_config_set_parent_check(hysock_listener_config *config,
                                                      bool on);

/**
 * Let in only those whom a rule names: this one, or another rule of the same config. `rule` is one
 * of HYSOCK_ALLOW_*, `id` the uid or gid, 0 where there is none. Without any rule everybody may
 * connect who may write to the file.
 *
 * It is the server that looks: for a socket of hysock_listener_open() give the rules to
 * hysock_server_add_listener_fd().
 *
 * Thread: any.
 * Errors: HYSOCK_E_INVALID_ARGUMENT, HYSOCK_E_BAD_HANDLE.
 * Since: 0.1
 */
hysock_status hysock_listener_config_allow(hysock_listener_config *config,
                                           int32_t rule,
                                           uint32_t id);

/**
 * Free a config. What was made with it keeps its values.
 *
 * Thread: any.
 * Errors: none; NULL and handles that were freed before are passed over.
 * Since: 0.1
 */
void hysock_listener_config_free(hysock_listener_config *config);

/*
 * ===============================================================================================
 * server config
 * ===============================================================================================
 *
 * What a server keeps to: where its handlers run, how much it takes, how long it waits. All of it
 * is options; NULL is the defaults, which suit a daemon's control socket.
 *
 * What goes beyond a limit gets an answer where HTTP has one (413, 414, 431, 503), then the
 * connection is closed where nothing can follow; other connections do not notice. Without a setter: a
 * target of 8 KiB (414). After an answer to a request that was not read to its end the connection
 * closes when the client has read it, after 64 MiB more of its data, or after 2 seconds.
 */

/**
 * Make a config that holds the defaults.
 *
 * Never NULL: when no memory for handles is left, the result is a handle that every use refuses
 * with HYSOCK_E_LIMIT.
 *
 * Thread: any.
 * Owns: free the result with hysock_server_config_free().
 * Errors: none.
 * Since: 0.1
 */
hysock_server_config *hysock_server_config_new(void);

/**
 * Set where callbacks run: HYSOCK_DELIVERY_POOL, the default, or HYSOCK_DELIVERY_INLINE.
 *
 * This and hysock_server_config_set_queue() replace each other: the last one counts.
 *
 * Thread: any.
 * Errors: HYSOCK_E_INVALID_ARGUMENT, HYSOCK_E_BAD_HANDLE.
 * Since: 0.1
 */
hysock_status hysock_server_config_set_delivery(hysock_server_config *config, int32_t delivery);

/**
 * Run callbacks on whoever dispatches this queue, which must be of the server's runtime.
 *
 * This and hysock_server_config_set_delivery() replace each other: the last one counts.
 *
 * Thread: any.
 * Errors: HYSOCK_E_INVALID_ARGUMENT, HYSOCK_E_BAD_HANDLE, HYSOCK_E_FORKED.
 * Since: 0.1
 */
hysock_status hysock_server_config_set_queue(hysock_server_config *config, hysock_queue *queue);

/**
 * Set the largest request body, in bytes: 1 or more or HYSOCK_UNLIMITED, 1 MiB by default. A
 * larger one gets a 413 and no handler.
 *
 * Thread: any.
 * Errors: HYSOCK_E_INVALID_ARGUMENT, HYSOCK_E_BAD_HANDLE.
 * Since: 0.1
 */
hysock_status hysock_server_config_set_max_body(hysock_server_config *config, uint64_t bytes);

/**
 * Set the largest request head (request line and headers), in bytes: 8 KiB to 1 MiB, 64 KiB by
 * default. A larger one gets a 431.
 *
 * Thread: any.
 * Errors: HYSOCK_E_INVALID_ARGUMENT, HYSOCK_E_BAD_HANDLE.
 * Since: 0.1
 */
hysock_status hysock_server_config_set_max_head(hysock_server_config *config, uint64_t bytes);

/**
 * Set how many connections there may be at once: 1 to 4294967295 or HYSOCK_UNLIMITED, 4096 by
 * default. Further ones wait in the backlog.
 *
 * When the process runs out of descriptors first, further ones wait too, and get a 503 with
 * Retry-After if that lasts for more than a moment: the server keeps a descriptor for this.
 *
 * Thread: any.
 * Errors: HYSOCK_E_INVALID_ARGUMENT, HYSOCK_E_BAD_HANDLE.
 * Since: 0.1
 */
hysock_status hysock_server_config_set_max_connections(hysock_server_config *config, uint64_t n);

/**
 * Set how many requests may be without an answer at once: 1 to 4294967295 or HYSOCK_UNLIMITED,
 * 4096 by default. Further ones get a 503 with Retry-After.
 *
 * A request whose client has left, or that got the 503 of the handler timeout, counts until its handler
 * has returned or, when that deferred it, until the exchange is freed: hanging up makes no room.
 *
 * Thread: any.
 * Errors: HYSOCK_E_INVALID_ARGUMENT, HYSOCK_E_BAD_HANDLE.
 * Since: 0.1
 */
hysock_status hysock_server_config_set_max_requests(hysock_server_config *config,
                                                    uint64_t n);

/**
 * Set how many header lines a request may have: 1 to 100, 100 by default. One with more gets a 431
 * and no handler.
 *
 * Thread: any.
 * Errors: HYSOCK_E_INVALID_ARGUMENT, HYSOCK_E_BAD_HANDLE.
 * Since: 0.1
 */
hysock_status hysock_server_config_set_max_headers(hysock_server_config *config, uint32_t n);

/**
 * Set how many requests may wait for callback threads or in a queue: 1 to 4294967295 or
 * HYSOCK_UNLIMITED, 1024 by default. Further ones get a 503 with Retry-After. What else waits in that
 * queue counts too. In inline delivery nothing waits.
 *
 * Thread: any.
 * Errors: HYSOCK_E_INVALID_ARGUMENT, HYSOCK_E_BAD_HANDLE.
 * Since: 0.1
 */
hysock_status hysock_server_config_set_max_queue(hysock_server_config *config,
                                                 uint64_t n);

/**
 * Set how long a client may take to send a request head, in milliseconds: 1 or more or
 * HYSOCK_FOREVER, 10 seconds by default. Measured to a quarter of a second. A connection that has sent
 * nothing yet waits for its first head and is under this limit too.
 *
 * Thread: any.
 * Errors: HYSOCK_E_INVALID_ARGUMENT, HYSOCK_E_BAD_HANDLE.
 * Since: 0.1
 */
hysock_status hysock_server_config_set_head_timeout(hysock_server_config *config,
                                                    uint32_t timeout_ms);

/**
 * Set how long a connection may lie idle between two requests, in milliseconds: 1 or more or
 * HYSOCK_FOREVER, 75 seconds by default. Measured to a quarter of a second.
 *
 * Thread: any.
 * Errors: HYSOCK_E_INVALID_ARGUMENT, HYSOCK_E_BAD_HANDLE.
 * Since: 0.1
 */
hysock_status hysock_server_config_set_idle_timeout(hysock_server_config *config,
                                                    uint32_t timeout_ms);

/**
 * Set in which time a client that owes us bytes must move hysock_server_config_set_progress_floor() of
 * them, in milliseconds: 1 or more or HYSOCK_FOREVER, 30 seconds by default. One that moves fewer is cut
 * off. Measured to half a second.
 *
 * A client owes the rest of a body while we wait for it, and the reading of an answer that no longer
 * fits into the kernel's buffer; while a handler is the slow side nothing is owed. What a client has read
 * is seen in steps of up to 40 KiB: one that reads less than that in the timeout may count as having read
 * nothing.
 *
 * Thread: any.
 * Errors: HYSOCK_E_INVALID_ARGUMENT, HYSOCK_E_BAD_HANDLE.
 * Since: 0.1
 */
hysock_status hysock_server_config_set_progress_timeout(hysock_server_config *config,
                                                        uint32_t timeout_ms);

/**
 * Set how many bytes a client must move in hysock_server_config_set_progress_timeout(): 1 to
 * 4294967295, 256 by default.
 *
 * Thread: any.
 * Errors: HYSOCK_E_INVALID_ARGUMENT, HYSOCK_E_BAD_HANDLE.
 * Since: 0.1
 */
hysock_status hysock_server_config_set_progress_floor(hysock_server_config *config, uint64_t bytes);

/**
 * Set how long a request that was read to its end may wait for its answer, in milliseconds: 1 or more or
 * HYSOCK_FOREVER, the default. Measured to a quarter of a second.
 *
 * Then its client gets a 503, a later answer fails with HYSOCK_E_CLOSED, and what
 * hysock_exchange_on_gone() and hysock_call_set_parent() promise for a client that left happens. A
 * handler that runs goes on running, one that still waited for a thread does not run.
 *
 * Thread: any.
 * Errors: HYSOCK_E_INVALID_ARGUMENT, HYSOCK_E_BAD_HANDLE.
 * Since: 0.1
 */
hysock_status hysock_server_config_set_handler_timeout(hysock_server_config *config,
                                                       uint32_t timeout_ms);

/**
 * Set after how long without a connection the server shuts itself down, in milliseconds: 1 or more
 * or HYSOCK_FOREVER, the default. For daemons that a service manager starts when a client comes.
 *
 * Then hysock_server_wait() returns and hysock_server_on_closed() is told, as after
 * hysock_server_shutdown(). What waits in the backlog of a socket that was adopted with
 * HYSOCK_ADOPT_KEEP or hysock_server_add_activated() stays there for the next instance: nobody is
 * turned away. A socket that the server itself bound is closed and its file removed.
 *
 * Thread: any.
 * Errors: HYSOCK_E_INVALID_ARGUMENT, HYSOCK_E_BAD_HANDLE.
 * Since: 0.1
 */
hysock_status hysock_server_config_set_exit_idle(hysock_server_config *config, uint32_t time_ms);

/**
 * Set how long answers in flight may take after hysock_server_shutdown_signal(), in milliseconds:
 * 1 or more or HYSOCK_FOREVER, 10 seconds by default. hysock_server_shutdown() takes its own time.
 *
 * Thread: any.
 * Errors: HYSOCK_E_INVALID_ARGUMENT, HYSOCK_E_BAD_HANDLE.
 * Since: 0.1
 */
hysock_status hysock_server_config_set_drain(hysock_server_config *config, uint32_t drain_ms);

/**
 * Set whether Host must be a proper host name: off by default, since clients on Unix sockets send
 * empty and odd ones. Missing, doubled and dangerous values get a 400 either way.
 *
 * Thread: any.
 * Errors: HYSOCK_E_INVALID_ARGUMENT, HYSOCK_E_BAD_HANDLE.
 * Since: 0.1
 */
hysock_status hysock_server_config_set_strict_host(hysock_server_config *config, bool strict);

/**
 * Let in only those whom a rule names: this one, or another rule of the same config; on every
 * listener, beside the listener's own rules. `rule` is one of HYSOCK_ALLOW_*, `id` the uid or gid,
 * 0 where there is none.
 *
 * Thread: any.
 * Errors: HYSOCK_E_INVALID_ARGUMENT, HYSOCK_E_BAD_HANDLE.
 * Since: 0.1
 */
hysock_status hysock_server_config_allow(hysock_server_config *config, int32_t rule, uint32_t id);

/**
 * Set how many connections one user may have at once: 1 to 4294967295 or HYSOCK_UNLIMITED, 1024 by
 * default. Further ones get a 503 with Retry-After and are closed; other users do not notice.
 *
 * Thread: any.
 * Errors: HYSOCK_E_INVALID_ARGUMENT, HYSOCK_E_BAD_HANDLE.
 * Since: 0.1
 */
hysock_status hysock_server_config_set_max_connections_per_uid(hysock_server_config *config,
                                                               uint64_t n);

/**
 * Set how many requests of one user may be without an answer at once: 1 to 4294967295 or
 * HYSOCK_UNLIMITED, which is the default. Further ones get a 503 with Retry-After. They are counted as
 * for hysock_server_config_set_max_requests().
 *
 * Thread: any.
 * Errors: HYSOCK_E_INVALID_ARGUMENT, HYSOCK_E_BAD_HANDLE.
 * Since: 0.1
 */
hysock_status hysock_server_config_set_max_requests_per_uid(hysock_server_config *config,
                                                            uint64_t n);

/**
 * Free a config. What was made with it keeps its values.
 *
 * Thread: any.
 * Errors: none; NULL and handles that were freed before are passed over.
 * Since: 0.1
 */
void hysock_server_config_free(hysock_server_config *config);

/*
 * ===============================================================================================
 * server
 * ===============================================================================================
 *
 * A server: routes, and the sockets that they are served on.
 *
 * Needed: hysock_server_serve(), which is hysock_server_new(), hysock_server_add_listener(),
 * hysock_server_add_route() and hysock_server_start() in one; then hysock_server_shutdown() (or
 * hysock_server_shutdown_signal() in a signal handler), hysock_server_wait(),
 * hysock_server_free(). The four single steps are for several routes or sockets;
 * hysock_server_on_closed() and configs are options.
 *
 * Handlers run in parallel on the callback threads unless the config says otherwise. An exchange
 * is lent to its handler: see there. One path decides: a route's that is equal to the request's,
 * else the closest pattern. There a route with the request's method wins over one for every method;
 * with other methods only the answer is a 405 that lists them, and to OPTIONS a 204 that does. A
 * request that fits nowhere gets a 404, `OPTIONS *` a 204. All these without a handler; a route
 * without a path takes what fits nowhere.
 */

/** Handles one request. The exchange is lent: see hysock_exchange_defer(). */
typedef void (*hysock_exchange_fn)(hysock_exchange *exchange, void *userdata);

/**
 * Runs once when the server has ended, after its last handler: `reason` is HYSOCK_OK when all
 * answers were sent, HYSOCK_E_TIMED_OUT when the drain's deadline cut `aborted` of them short.
 */
typedef void (*hysock_server_closed_fn)(hysock_server *server,
                                        hysock_status reason,
                                        uint64_t aborted,
                                        void *userdata);

/**
 * Listen at `address` and hand every request to `fn`: new, add_listener, add_route and start in
 * one.
 *
 * `address` is a path, or `@name` for an abstract socket, or a URL such as `unix:///run/x.sock`;
 * `address_len` may be HYSOCK_NTS. A relative path becomes absolute here. `config` may be NULL for
 * the defaults and may be freed as soon as this returns. The file is made with mode 0600; for
 * another one use the single steps with a hysock_listener_config. `*server` is set before the
 * first request arrives.
 *
 * Thread: any.
 * Owns: free `*server` with hysock_server_free(); `userdata` is ours until `drop` is called with
 * it, which also happens when this fails.
 * Errors: HYSOCK_E_IN_USE, HYSOCK_E_FORBIDDEN, HYSOCK_E_ABSENT for a directory that is not there,
 * HYSOCK_E_WRONG_TYPE; HYSOCK_E_INVALID_ARGUMENT, HYSOCK_E_BAD_HANDLE, HYSOCK_E_SHUT_DOWN,
 * HYSOCK_E_FORKED, HYSOCK_E_LIMIT, HYSOCK_E_SYSTEM.
 * Since: 0.1
 */
hysock_status hysock_server_serve(hysock_runtime *runtime,
                                  const char *address,
                                  size_t address_len,
                                  const hysock_server_config *config,
                                  hysock_exchange_fn fn,
                                  void *userdata,
                                  hysock_drop_fn drop,
                                  hysock_server **server,
                                  hysock_error *err);

/**
 * Begin the end: no new connections, idle ones are closed, answers in flight may finish for
 * `drain_ms` milliseconds (0: none, HYSOCK_FOREVER: all), then connections are closed. The socket
 * file is removed at once.
 *
 * No request is lost: who has connected is served, one that has just connected has a second for its
 * first request, and a client that keeps its connection either gets an answer to its next request or
 * cannot send a byte of it (EPIPE): then nothing has happened and it may go elsewhere.
 *
 * Returns at once; hysock_server_wait() is the barrier. Another call can shorten a drain, not lengthen
 * it. A handler that ends its own server best shuts down first and answers then: its client reads
 * `Connection: close`.
 *
 * Thread: any, also inside callbacks.
 * Errors: HYSOCK_E_INVALID_ARGUMENT, HYSOCK_E_BAD_HANDLE, HYSOCK_E_FORKED.
 * Since: 0.1
 */
hysock_status hysock_server_shutdown(hysock_server *server,
                                     uint32_t drain_ms,
                                     hysock_error *err);

/**
 * Begin the end like hysock_server_shutdown(), from a signal handler; answers in flight get the
 * config's drain time, 10 seconds by default.
 *
 * Thread: any; async-signal-safe.
 * Errors: HYSOCK_E_INVALID_ARGUMENT, HYSOCK_E_BAD_HANDLE, HYSOCK_E_FORKED.
 * Since: 0.1
 */
hysock_status hysock_server_shutdown_signal(hysock_server *server);

/**
 * Wait until the server has ended: no callback of it runs or will run, its drops have run.
 *
 * It begins nothing: a program may wait here for its life, until a signal handler begins the end.
 * In queue delivery the queue is dispatched on the calling thread meanwhile. `timeout_ms` 0 only
 * asks; HYSOCK_FOREVER waits for as long as it takes.
 *
 * Thread: any but the library's own.
 * Errors: HYSOCK_E_TIMED_OUT; HYSOCK_E_WOULD_DEADLOCK inside a callback;
 * HYSOCK_E_INVALID_ARGUMENT, HYSOCK_E_BAD_HANDLE, HYSOCK_E_FORKED, HYSOCK_E_SYSTEM.
 * Since: 0.1
 */
hysock_status hysock_server_wait(hysock_server *server, uint32_t timeout_ms, hysock_error *err);

/**
 * Free a server. One that still runs is ended at once: connections are closed, callbacks that have
 * not begun are withdrawn, exchanges that were deferred stay yours. Never waits; the drops run a
 * little later.
 *
 * In a forked child the parent's socket file and connections are left alone.
 *
 * Thread: any, also inside callbacks.
 * Errors: none; NULL and handles that were freed before are passed over.
 * Since: 0.1
 */
void hysock_server_free(hysock_server *server);

/**
 * Make a server without routes and sockets: it does nothing until it has both and is started.
 *
 * `config` may be NULL for the defaults and may be freed as soon as this returns.
 *
 * Thread: any.
 * Owns: free `*server` with hysock_server_free().
 * Errors: HYSOCK_E_INVALID_ARGUMENT, also for what a setter of `config` had refused;
 * HYSOCK_E_BAD_HANDLE, HYSOCK_E_SHUT_DOWN, HYSOCK_E_FORKED, HYSOCK_E_LIMIT, HYSOCK_E_SYSTEM.
 * Since: 0.1
 */
hysock_status hysock_server_new(hysock_runtime *runtime,
                                const hysock_server_config *config,
                                hysock_server **server,
                                hysock_error *err);

/**
 * Hand requests with this method and path to `fn`; before the start only.
 *
 * Methods are case-sensitive, as in HTTP. `method` NULL is every method; "GET" includes HEAD, whose
 * answer is sent without its body. `pattern` is compared byte by byte with the request's path,
 * undecoded and without the query; NULL is every path that no other route has, and goes with a
 * `method` of NULL only.
 *
 * Parameters: in `/items/{id}` the braces stand for any text up to the next slash, also beside
 * other text (`/img-{n}.png`), one between two slashes; at the end `{*rest}` stands for all that
 * follows, slashes included. Neither is ever empty. Names are of letters, digits, `_` and `-`; `{{`
 * and `}}` are braces. hysock_exchange_param() gives the values. Of several patterns that fit, text
 * wins over `{id}`, and `{id}` over `{*rest}`. Two that nothing tells apart are refused: one place
 * has one parameter name in all patterns, and `{id}` never stands beside `{*rest}`.
 *
 * Thread: any.
 * Owns: `userdata` until `drop` is called with it, which also happens when this fails.
 * Errors: HYSOCK_E_INVALID_ARGUMENT, also for a second route with the same method and pattern and
 * for patterns that collide; HYSOCK_E_STATE after the start; HYSOCK_E_BAD_HANDLE, HYSOCK_E_SHUT_DOWN, HYSOCK_E_FORKED.
 * Since: 0.1
 */
hysock_status hysock_server_add_route(hysock_server *server,
                                      const char *method,
                                      const char *pattern,
                                      hysock_exchange_fn fn,
                                      void *userdata,
                                      hysock_drop_fn drop,
                                      hysock_error *err);

/**
 * Make a socket at `address` and listen on it; before the start only. Clients may connect from now
 * on; they are served from the start on.
 *
 * `address` is as for hysock_server_serve(). `config` may be NULL for the defaults and may be
 * freed as soon as this returns.
 *
 * Thread: any.
 * Errors: HYSOCK_E_IN_USE, HYSOCK_E_FORBIDDEN, HYSOCK_E_ABSENT for a directory that is not there,
 * HYSOCK_E_WRONG_TYPE; HYSOCK_E_STATE after the start; HYSOCK_E_INVALID_ARGUMENT,
 * HYSOCK_E_BAD_HANDLE, HYSOCK_E_SHUT_DOWN, HYSOCK_E_FORKED, HYSOCK_E_SYSTEM.
 * Since: 0.1
 */
hysock_status hysock_server_add_listener(hysock_server *server,
                                         const char *address,
                                         size_t address_len,
                                         const hysock_listener_config *config,
                                         hysock_error *err);

/**
 * Accept connections from now on, on every socket that was added.
 *
 * Thread: any.
 * Errors: HYSOCK_E_STATE when it was started before, or has no socket or no route;
 * HYSOCK_E_INVALID_ARGUMENT, HYSOCK_E_BAD_HANDLE, HYSOCK_E_SHUT_DOWN, HYSOCK_E_FORKED.
 * Since: 0.1
 */
hysock_status hysock_server_start(hysock_server *server, hysock_error *err);

/**
 * Keep to another config from now on: for a daemon that reads its settings again. It covers the limits
 * and allow rules of this config. Those of a listener are changed by hysock_server_reload_listener(), the
 * log's level by hysock_runtime_set_log_level(); routes and their rules stay as they were at the start.
 *
 * Nobody is cut off because a limit is lower now. Timeouts hold for what is under way too, the largest
 * head for connections that begin, or begin again after an idle second. What says where callbacks run
 * (hysock_server_config_set_delivery() and hysock_server_config_set_queue()) is ignored: it was
 * settled by hysock_server_new(). Every setting counts, those that were not set are the defaults
 * again: begin with the same setters as before. `config` NULL is all defaults.
 *
 * Thread: any, also inside callbacks; of two calls the last one holds.
 * Errors: HYSOCK_E_INVALID_ARGUMENT for what a setter of `config` had refused: then nothing has
 * changed; HYSOCK_E_BAD_HANDLE, HYSOCK_E_SHUT_DOWN, HYSOCK_E_FORKED.
 * Since: 0.1
 */
hysock_status hysock_server_reload(hysock_server *server,
                                   const hysock_server_config *config,
                                   hysock_error *err);

/**
 * Run `fn` once when the server has ended. A server that was freed before that does not run it.
 *
 * Thread: any.
 * Owns: `userdata` until `drop` is called with it, which also happens when this fails.
 * Errors: HYSOCK_E_STATE when there is one already; HYSOCK_E_INVALID_ARGUMENT,
 * HYSOCK_E_BAD_HANDLE, HYSOCK_E_SHUT_DOWN, HYSOCK_E_FORKED.
 * Since: 0.1
 */
hysock_status hysock_server_on_closed(hysock_server *server,
                                      hysock_server_closed_fn fn,
                                      void *userdata,
                                      hysock_drop_fn drop,
                                      hysock_error *err);

/*
 * ===============================================================================================
 * server hooks
 * ===============================================================================================
 *
 * One function before every handler and one for every answer: what all routes have in common.
 *
 * Both are options. They see what handlers see: a request that the library answers by itself (a 404
 * without a handler, a 405, a limit, a refused peer) comes to neither. A route without a path brings
 * them what fits nowhere.
 */

/** Sees an answer before it is sent, with its `http_status`; it may set, add and remove headers. */
typedef void (*hysock_answer_fn)(hysock_exchange *exchange, int32_t http_status, void *userdata);

/**
 * Run `fn` before every handler, on the same thread and in the same turn: own authorisation, a request
 * id, common headers. Before the start only, one per server.
 *
 * When `fn` answers, defers or frees the exchange, the handler does not run; otherwise the handler gets
 * the same exchange, with the headers and the userdata that were set.
 *
 * Thread: any.
 * Owns: `userdata` until `drop` is called with it, which also happens when this fails.
 * Errors: HYSOCK_E_STATE when there is one already, and after the start;
 * HYSOCK_E_INVALID_ARGUMENT, HYSOCK_E_BAD_HANDLE, HYSOCK_E_SHUT_DOWN, HYSOCK_E_FORKED.
 * Since: 0.1
 */
hysock_status hysock_server_on_request(hysock_server *server,
                                       hysock_exchange_fn fn,
                                       void *userdata,
                                       hysock_drop_fn drop,
                                       hysock_error *err);

/**
 * Run `fn` for every answer before it is sent, the 500 of a handler that gave none included: common
 * headers, cookies. Not for what the library answers by itself: 404, 405, 413, the 503 of a limit or of
 * the handler timeout. Before the start only, one per server.
 *
 * It runs inside hysock_exchange_answer() and what else begins or gives an answer, on the thread that
 * calls it; several at once when answers are given in parallel. Its headers go over those of the
 * answer, Content-Type included. One that is refused makes the answer fail, as if the handler had set
 * it; a 500 is sent without it. Nothing but headers can be changed: the exchange is being answered.
 *
 * Thread: any.
 * Owns: `userdata` until `drop` is called with it, which also happens when this fails.
 * Errors: HYSOCK_E_STATE when there is one already, and after the start;
 * HYSOCK_E_INVALID_ARGUMENT, HYSOCK_E_BAD_HANDLE, HYSOCK_E_SHUT_DOWN, HYSOCK_E_FORKED.
 * Since: 0.1
 */
hysock_status hysock_server_on_answer(hysock_server *server,
                                      hysock_answer_fn fn,
                                      void *userdata,
                                      hysock_drop_fn drop,
                                      hysock_error *err);

/*
 * ===============================================================================================
 * server stats
 * ===============================================================================================
 *
 * What a server has done: numbers for a program and for Prometheus, and an access log.
 *
 * All of it is options. The numbers are always counted, and asking for them stops nobody. The access
 * log costs nothing as long as there is none.
 */

/** What a server has counted since it was made. Later versions add numbers at the end. */
typedef struct hysock_server_counts {
    /** Connections that are open now. */
    uint64_t connections_open;
    /** Connections that were served. */
    uint64_t connections_total;
    /** Connections that were refused: by an allow rule or a limit of their uid. */
    uint64_t connections_refused;
    /** Requests whose head has come. Each is answered, unanswered, or still at work. */
    uint64_t requests_total;
    /**
     * Requests that are at work now: their body is still coming, or their answer is not there yet.
     */
    uint64_t requests_in_flight;
    /** Heads that were no HTTP: their connection got a 400 or 431 and was closed. No requests. */
    uint64_t requests_malformed;
    /** Requests that got no answer: their client left, or their connection was closed. */
    uint64_t requests_unanswered;
    /** Of these: handlers that the drain's deadline cut short. */
    uint64_t requests_aborted;
    /** Requests that an allow rule refused with a 403. */
    uint64_t requests_forbidden;
    /** Requests that a limit refused with a 503. */
    uint64_t overloads;
    /** Answers with a status of 100 to 199, as an upgrade has. */
    uint64_t answers_1xx;
    /** Answers with a status of 200 to 299; what the library answers by itself counts too. */
    uint64_t answers_2xx;
    /** 300 to 399. */
    uint64_t answers_3xx;
    /** 400 to 499. */
    uint64_t answers_4xx;
    /** 500 to 599. */
    uint64_t answers_5xx;
    /** Bytes that were read from sockets, heads included. */
    uint64_t bytes_received;
    /** Bytes that were written to sockets, heads included. */
    uint64_t bytes_sent;
    /** Connections closed because a head took too long. */
    uint64_t timeouts_head;
    /** Connections closed because they were idle for too long. */
    uint64_t timeouts_idle;
    /** Connections closed because a body, or the reading of an answer, made no progress. */
    uint64_t timeouts_progress;
    /** Requests that got a 503 because their handler took too long. */
    uint64_t timeouts_handler;
    /** How often accept(2) failed, for lack of descriptors above all. */
    uint64_t accept_errors;
    /** Listeners whose socket file was removed or replaced while they served. */
    uint64_t listeners_lost;
    /** Log lines of the runtime that found no room; see hysock_runtime_on_log(). */
    uint64_t log_dropped;
    /** Entries of the access log that found no room; see hysock_server_on_access(). */
    uint64_t access_dropped;
    /** Milliseconds since the server was made. */
    uint64_t uptime_ms;
} hysock_server_counts;

/**
 * One request of the access log. Everything in it is good until the callback returns. Later versions
 * add fields at the end.
 */
typedef struct hysock_access {
    /** From the end of the request's head to the last byte of its answer in the socket. */
    uint64_t microseconds;
    /** Bytes of the request, its head included. */
    uint64_t bytes_received;
    /** Bytes of the answer, its head included, that were sent. */
    uint64_t bytes_sent;
    /**
     * The answer's status; 0 when there was none, because the client left or the connection was
     * closed.
     */
    int32_t http_status;
    /** One of HYSOCK_PEER_*, about the next three. */
    int32_t peer_state;
    /** Who connected; UINT32_MAX when not known. */
    uint32_t uid;
    /** UINT32_MAX when not known. */
    uint32_t gid;
    /** 0 when not known, or not visible from here. */
    int32_t pid;
    /** 0. */
    uint32_t reserved;
    /** As hysock_exchange_method(). */
    hysock_str method;
    /** As hysock_exchange_target(). */
    hysock_str target;
    /**
     * The pattern of its route, as given to hysock_server_add_route(); absent for the fallback and
     * for requests that no route took.
     */
    hysock_str pattern;
} hysock_access;

/** Gets one request, after its answer has left. */
typedef void (*hysock_access_fn)(const hysock_access *entry, void *userdata);

/**
 * Fill `*counts` with what the server has counted so far; also after its end, until it is freed.
 *
 * `size` is `sizeof *counts`: a program that was built with an older header gets what that header
 * knows, one with a newer header gets zeros for what this library does not count. The numbers are
 * read one by one while the server goes on; after the answer to a request has come, the request is
 * in them, and the answer's last bytes a moment later.
 *
 * Thread: any, also inside callbacks; it never waits.
 * Errors: HYSOCK_E_INVALID_ARGUMENT for a NULL and for a size that no version of the struct had;
 * HYSOCK_E_BAD_HANDLE, HYSOCK_E_FORKED.
 * Since: 0.1
 */
hysock_status hysock_server_stats(hysock_server *server,
                                  hysock_server_counts *counts,
                                  size_t size,
                                  hysock_error *err);

/**
 * Run `fn` once for each request: after its answer has left (of an upgrade: the 101), or when its
 * client has. Before the start only.
 *
 * What the library answers by itself (404, 413, 503) is in it too; heads that are no HTTP are not, they
 * are only counted. It runs in the server's delivery, one call at a time, while the server goes on:
 * entries wait in a bounded buffer, and those that find no room are counted (`access_dropped`). All
 * that have come in have run before hysock_server_on_closed(); when the server is freed before its end
 * the rest is dropped. Bytes of pipelined requests are counted with the request that they came with.
 *
 * Thread: any.
 * Owns: `userdata` until `drop` is called with it, which also happens when this fails.
 * Errors: HYSOCK_E_STATE after the start, and when there is one already; HYSOCK_E_INVALID_ARGUMENT,
 * HYSOCK_E_BAD_HANDLE, HYSOCK_E_SHUT_DOWN, HYSOCK_E_FORKED.
 * Since: 0.1
 */
hysock_status hysock_server_on_access(hysock_server *server,
                                      hysock_access_fn fn,
                                      void *userdata,
                                      hysock_drop_fn drop,
                                      hysock_error *err);

/**
 * Write the same numbers into `buf` as text for Prometheus (exposition format 0.0.4, content type
 * `text/plain; version=0.0.4`), with a NUL after it, as much as fits; returns the length of the
 * whole text, so a result of `size` or more says that it was cut.
 *
 * 8192 bytes are always enough. With `size` 0 nothing is written and `buf` may be NULL; the numbers
 * may be longer in the next call. All names begin with `hysock_server_`.
 *
 * Thread: any, also inside callbacks; it never waits.
 * Errors: as a negative result: HYSOCK_E_INVALID_ARGUMENT for a `buf` of NULL with a size,
 * HYSOCK_E_BAD_HANDLE, HYSOCK_E_FORKED.
 * Since: 0.1
 */
int32_t hysock_server_metrics(hysock_server *server, char *buf, size_t size, hysock_error *err);

/*
 * ===============================================================================================
 * listener
 * ===============================================================================================
 *
 * Listening beyond a path: sockets opened before a program becomes a daemon, passed by a service
 * manager or by a predecessor, handed over to a successor, and single connections. All of it is
 * options.
 *
 * A hand-over without a lost request: the old process takes its listener out of its server
 * (hysock_server_take_listener()), passes it on (SCM_RIGHTS, or a fork and exec), and shuts down:
 * requests under way are answered. The new one adopts it (hysock_server_add_listener_fd() with
 * HYSOCK_ADOPT_OWN). Who connects in between waits in the backlog. Where the two cannot talk,
 * HYSOCK_STALE_TAKE_OVER does it through the path.
 */

/** The socket's file is the server's: removed at the end if it is still the same. */
#define HYSOCK_ADOPT_OWN 1

/**
 * The socket's file is somebody else's, as of a socket that a service manager passed, and so is what
 * waits in the backlog when the server ends.
 */
#define HYSOCK_ADOPT_KEEP 2

/**
 * Make a socket at `address` and listen on it, without a runtime and without threads: for a program that
 * does so before it forks to become a daemon, or before it gives up its rights. Later
 * hysock_server_add_listener_fd() adopts it, with HYSOCK_ADOPT_OWN.
 *
 * `address` is as for hysock_server_serve(). `config` may be NULL for the defaults and may be freed
 * as soon as this returns. Clients may connect from now on. The descriptor is closed on exec. Where
 * it is closed and never adopted, its file stays and is dead.
 *
 * Thread: any.
 * Owns: `*fd` is yours; -1 on failure.
 * Errors: HYSOCK_E_IN_USE, HYSOCK_E_FORBIDDEN, HYSOCK_E_ABSENT for a directory that is not there,
 * HYSOCK_E_WRONG_TYPE; HYSOCK_E_INVALID_ARGUMENT, also for what a setter of `config` had refused;
 * HYSOCK_E_BAD_HANDLE, HYSOCK_E_SYSTEM.
 * Since: 0.1
 */
hysock_status hysock_listener_open(const char *address,
                                   size_t address_len,
                                   const hysock_listener_config *config,
                                   int32_t *fd,
                                   hysock_error *err);

/**
 * Listen on a socket that is there already: opened by hysock_listener_open(), inherited, or passed.
 * Before the start only.
 *
 * It must be a Unix stream socket that listens. `adopt` says whose its file is: HYSOCK_ADOPT_OWN or
 * HYSOCK_ADOPT_KEEP. With HYSOCK_ADOPT_OWN clients see this process as their peer from now on, and the
 * file, if it still belongs to this socket, is removed at the end; that works across a fork. Of
 * `config` the backlog and allow rules count, the rest is for making files; NULL is the defaults. The
 * descriptor becomes non-blocking and closed on exec.
 *
 * Thread: any.
 * Owns: `fd` is consumed, also when this fails.
 * Errors: HYSOCK_E_WRONG_TYPE for what is no Unix stream socket; HYSOCK_E_INVALID_ARGUMENT, also for
 * one that does not listen, and with HYSOCK_ADOPT_OWN for one whose whole path is not known (a
 * relative path, or one over 107 bytes that another process opened); HYSOCK_E_STATE after the
 * start; HYSOCK_E_BAD_HANDLE, HYSOCK_E_SHUT_DOWN, HYSOCK_E_FORKED, HYSOCK_E_SYSTEM.
 * Since: 0.1
 */
hysock_status hysock_server_add_listener_fd(hysock_server *server,
                                            int32_t fd,
                                            int32_t adopt,
                                            const hysock_listener_config *config,
                                            hysock_error *err);

/**
 * Listen on the sockets that the service manager has passed (systemd's socket activation,
 * sd_listen_fds(3)); returns how many: 0 says that the program was started without, and binds its own.
 * Before the start only.
 *
 * `name` chooses those with this name (`FileDescriptorName=`), NULL all that are listening Unix
 * stream sockets. Each is adopted once in a process's life, with HYSOCK_ADOPT_KEEP. `config` is as
 * for hysock_server_add_listener_fd(). The environment (LISTEN_PID, LISTEN_FDS, LISTEN_FDNAMES) is
 * read and left as it is.
 *
 * Thread: any that does not run while another one changes the environment.
 * Errors: negative: HYSOCK_E_WRONG_TYPE or HYSOCK_E_INVALID_ARGUMENT for one with that name that
 * cannot be served on, which then leaves all of them as they were; HYSOCK_E_INVALID_ARGUMENT for an
 * environment that makes no sense; HYSOCK_E_STATE after the start; HYSOCK_E_BAD_HANDLE,
 * HYSOCK_E_SHUT_DOWN, HYSOCK_E_FORKED, HYSOCK_E_SYSTEM.
 * Since: 0.1
 */
int32_t hysock_server_add_activated(hysock_server *server,
                                    const char *name,
                                    const hysock_listener_config *config,
                                    hysock_error *err);

/**
 * Write the address of a listener into `buf`, with a NUL after it, as much as fits; returns the length of
 * the whole address, so a result of `size` or more says that it was cut. It is the path, or `@` and the
 * abstract name: what a client is given to connect. With `size` 0 nothing is written and `buf` may be NULL.
 *
 * For a log line, above all about sockets that were passed. `index` is as for
 * hysock_server_take_listener(). Of an adopted socket it is what the system says; where the whole path is
 * not known, what is known of it.
 *
 * Thread: any, also inside callbacks.
 * Errors: as a negative result: HYSOCK_E_INVALID_ARGUMENT for an index without a listener, a `buf` of NULL
 * with a size, and an abstract name with a NUL in it; HYSOCK_E_BAD_HANDLE, HYSOCK_E_SHUT_DOWN,
 * HYSOCK_E_FORKED.
 * Since: 0.1
 */
int32_t hysock_server_listener_address(hysock_server *server,
                                       size_t index,
                                       char *buf,
                                       size_t size,
                                       hysock_error *err);

/**
 * Keep to the allow rules of another listener config from now on, at one listener; what hysock_server_reload()
 * is for the rest. Where `config` has no rule, or is NULL, everybody may connect again.
 *
 * Nobody is cut off: a connection that the rules no longer admit gets a 403 for its next request, and is
 * closed. Nothing but the rules counts: mode, owner and backlog are for making files. `index` is as for
 * hysock_server_take_listener().
 *
 * Thread: any, also inside callbacks.
 * Errors: HYSOCK_E_INVALID_ARGUMENT for an index without a listener, and for what a setter of `config` had
 * refused: then nothing has changed; HYSOCK_E_BAD_HANDLE, HYSOCK_E_SHUT_DOWN, HYSOCK_E_FORKED.
 * Since: 0.1
 */
hysock_status hysock_server_reload_listener(hysock_server *server,
                                            size_t index,
                                            const hysock_listener_config *config,
                                            hysock_error *err);

/**
 * Serve one connection that is there already: an end of a socketpair(2), or what a superserver such as
 * inetd passes. Before or after the start; a server may have only connections, no socket to listen on.
 *
 * It must be a connected Unix stream socket; the server's limits and allow rules hold for it. The
 * descriptor becomes blocking and closed on exec.
 *
 * Thread: any.
 * Owns: `fd` is consumed, also when this fails.
 * Errors: HYSOCK_E_WRONG_TYPE for what is no Unix stream socket; HYSOCK_E_INVALID_ARGUMENT, also for one
 * that is not connected; HYSOCK_E_LIMIT when the server has as many connections as it may;
 * HYSOCK_E_BAD_HANDLE, HYSOCK_E_SHUT_DOWN, HYSOCK_E_FORKED, HYSOCK_E_SYSTEM.
 * Since: 0.1
 */
hysock_status hysock_server_add_connection(hysock_server *server,
                                           int32_t fd,
                                           hysock_error *err);

/**
 * Take a listening socket out of a server, for a successor: this server accepts no more from it and
 * leaves its file alone; its connections go on. What waits in the backlog, and whoever connects, is
 * for whoever gets the descriptor. Then shut the server down: it answers what it has.
 *
 * `index` counts the listeners from 0 in the order in which they were added; taking one does not
 * change the others' numbers. A connection that is being accepted at this moment is still this
 * server's.
 *
 * Thread: any, also inside callbacks.
 * Owns: `*fd` is yours, closed on exec; -1 on failure.
 * Errors: HYSOCK_E_INVALID_ARGUMENT, also for an index without a listener; HYSOCK_E_STATE for one that
 * was taken before; HYSOCK_E_BAD_HANDLE, HYSOCK_E_SHUT_DOWN, HYSOCK_E_FORKED, HYSOCK_E_SYSTEM.
 * Since: 0.1
 */
hysock_status hysock_server_take_listener(hysock_server *server,
                                          size_t index,
                                          int32_t *fd,
                                          hysock_error *err);

/*
 * ===============================================================================================
 * exchange
 * ===============================================================================================
 *
 * An exchange: one request received, and the answer to it.
 *
 * It is lent to the handler: answer it before returning, and all of it ends with the return. To
 * answer later, from any thread, call hysock_exchange_defer() first; then it is yours until
 * hysock_exchange_free(). A handler that returns with neither answer nor defer gets its client a
 * 500.
 *
 * Needed: hysock_exchange_method(), hysock_exchange_path(), hysock_exchange_header(),
 * hysock_exchange_body(), hysock_exchange_answer(). An exchange may be used on one thread at a
 * time; its texts are good until the handler returns, or with a defer until the free.
 */

/** Told that the client of an exchange has left before its answer. */
typedef void (*hysock_gone_fn)(hysock_exchange *exchange, void *userdata);

/**
 * The request's method, such as GET.
 *
 * Thread: any, one at a time.
 * Errors: none; absent for a handle that cannot be used.
 * Since: 0.1
 */
hysock_str hysock_exchange_method(const hysock_exchange *exchange);

/**
 * The path of the request, as it was sent: not decoded, without the query.
 *
 * Thread: any, one at a time.
 * Errors: none; absent for a handle that cannot be used.
 * Since: 0.1
 */
hysock_str hysock_exchange_path(const hysock_exchange *exchange);

/**
 * A header of the request; `name` in any case. Of several with that name the first:
 * hysock_exchange_header_at() shows all.
 *
 * Thread: any, one at a time.
 * Errors: none; absent when there is none, for a `name` of NULL and a handle that cannot be used.
 * Since: 0.1
 */
hysock_str hysock_exchange_header(const hysock_exchange *exchange, const char *name);

/**
 * The request's body, all of it; a NUL that does not count follows it. Absent when the request has
 * none, empty when it has one of no bytes.
 *
 * Thread: any, one at a time.
 * Errors: none; absent for a handle that cannot be used.
 * Since: 0.1
 */
hysock_str hysock_exchange_body(const hysock_exchange *exchange);

/**
 * Set a header of the answer, in the place of any with that name.
 *
 * `value_len` may be HYSOCK_NTS. Names and values that would break the message (CR, LF, NUL) are
 * refused, as are Content-Length and Transfer-Encoding, which follow from the body. A refusal is
 * remembered: the next hysock_exchange_answer() fails with it, once.
 *
 * Thread: any, one at a time.
 * Errors: HYSOCK_E_STATE when it was answered; HYSOCK_E_CLOSED, HYSOCK_E_SHUT_DOWN when nobody
 * waits for the answer any more; HYSOCK_E_INVALID_ARGUMENT, HYSOCK_E_BAD_HANDLE, HYSOCK_E_FORKED.
 * Since: 0.1
 */
hysock_status hysock_exchange_set_header(hysock_exchange *exchange,
                                         const char *name,
                                         const char *value,
                                         size_t value_len);

/**
 * Answer with this status, the headers that were set, and this body.
 *
 * `http_status` is 200 to 599; 204 and 304 have no body. `content_type` NULL sets none. `body_len`
 * is a number of bytes, HYSOCK_NTS is refused; `body` may be NULL when it is 0. All of it is
 * copied. One answer only; one that was refused has sent nothing and may be repeated. The answer
 * to a HEAD is given like that to a GET: its body is not sent.
 *
 * Thread: any, one at a time.
 * Errors: HYSOCK_E_STATE when it was answered; HYSOCK_E_CLOSED when the client has left;
 * HYSOCK_E_SHUT_DOWN when the server has ended; HYSOCK_E_INVALID_ARGUMENT, also for a header that
 * was refused; HYSOCK_E_BAD_HANDLE, HYSOCK_E_FORKED.
 * Since: 0.1
 */
hysock_status hysock_exchange_answer(hysock_exchange *exchange,
                                     int32_t http_status,
                                     const char *content_type,
                                     const void *body,
                                     size_t body_len,
                                     hysock_error *err);

/**
 * Keep the exchange beyond the handler's return: from now on it is yours, to be answered on any
 * thread, until hysock_exchange_free(). Only inside the handler, once.
 *
 * It outlives its server; an answer then gives HYSOCK_E_SHUT_DOWN. An exchange that was answered
 * already may be kept too, to go on reading the request.
 * One whose client has left counts among the requests at work until it is freed
 * (hysock_server_config_set_max_requests()): hysock_exchange_on_gone() says when.
 *
 * Thread: the handler's.
 * Owns: free it with hysock_exchange_free().
 * Errors: HYSOCK_E_STATE for a second time; HYSOCK_E_INVALID_ARGUMENT, HYSOCK_E_BAD_HANDLE,
 * HYSOCK_E_FORKED.
 * Since: 0.1
 */
hysock_status hysock_exchange_defer(hysock_exchange *exchange, hysock_error *err);

/**
 * Free an exchange that was deferred. Its texts end here. Unanswered, the client gets a 500.
 *
 * Not needed for one that was not deferred; inside its handler it ends it early.
 *
 * Thread: any, also inside callbacks.
 * Errors: none; NULL and handles that were freed before are passed over.
 * Since: 0.1
 */
void hysock_exchange_free(hysock_exchange *exchange);

/**
 * What was asked for, as it was sent: path and query. Of a request that names a whole URL, as proxies
 * are sent them, this is the part from the path on.
 *
 * Thread: any, one at a time.
 * Errors: none; absent for a handle that cannot be used.
 * Since: 0.1
 */
hysock_str hysock_exchange_target(const hysock_exchange *exchange);

/**
 * What follows the first `?` of the target, as it was sent; absent when there is none.
 *
 * Thread: any, one at a time.
 * Errors: none; absent for a handle that cannot be used.
 * Since: 0.1
 */
hysock_str hysock_exchange_query(const hysock_exchange *exchange);

/**
 * The HTTP version of the request: 10 or 11.
 *
 * Thread: any, one at a time.
 * Errors: none; 0 for a handle that cannot be used.
 * Since: 0.1
 */
int32_t hysock_exchange_version(const hysock_exchange *exchange);

/**
 * How many headers the request has, each of several with the same name counted.
 *
 * Thread: any, one at a time.
 * Errors: negative: HYSOCK_E_INVALID_ARGUMENT, HYSOCK_E_BAD_HANDLE.
 * Since: 0.1
 */
int32_t hysock_exchange_header_count(const hysock_exchange *exchange);

/**
 * Name and value of header number `index`, from 0. Names are in lower case; several with the same
 * name stand together, in the order in which they were sent.
 *
 * Thread: any, one at a time.
 * Errors: HYSOCK_E_INVALID_ARGUMENT, also for an index beyond the last; HYSOCK_E_BAD_HANDLE.
 * Since: 0.1
 */
hysock_status hysock_exchange_header_at(const hysock_exchange *exchange,
                                        size_t index,
                                        hysock_str *name,
                                        hysock_str *value);

/**
 * Add a header to the answer, after any with that name.
 *
 * What hysock_exchange_set_header() says holds here as well.
 *
 * Thread: any, one at a time.
 * Errors: as hysock_exchange_set_header().
 * Since: 0.1
 */
hysock_status hysock_exchange_add_header(hysock_exchange *exchange,
                                         const char *name,
                                         const char *value,
                                         size_t value_len);

/**
 * Run `fn` once when the client has left before its answer was given as a whole, or finished: nobody
 * reads it any more. For an exchange that was deferred; the exchange stays yours. After that, and
 * after the free, `fn` does not run.
 *
 * Never while another callback of this exchange runs, and in the server's delivery. Whoever frees the
 * exchange, `fn` or the thread that was to answer, is free to choose: a second free is passed over.
 *
 * Thread: any, one at a time.
 * Owns: `userdata` until `drop` is called with it, which also happens when this fails.
 * Errors: HYSOCK_E_STATE when there is one already; HYSOCK_E_INVALID_ARGUMENT,
 * HYSOCK_E_BAD_HANDLE, HYSOCK_E_SHUT_DOWN, HYSOCK_E_FORKED.
 * Since: 0.1
 */
hysock_status hysock_exchange_on_gone(hysock_exchange *exchange,
                                      hysock_gone_fn fn,
                                      void *userdata,
                                      hysock_drop_fn drop,
                                      hysock_error *err);

/*
 * ===============================================================================================
 * exchange route
 * ===============================================================================================
 *
 * What a route and a query know of a request, and more about headers.
 *
 * All of these are options. Parameters and query values are decoded and may hold any byte, NUL
 * included; method, path, target and query as a whole are as they were sent. A `%` that does not
 * begin an escape stays as it is. The texts are good as long as the exchange's others.
 */

/**
 * What stands in the path where the route's pattern has this parameter, decoded: of `{id}` in
 * `/items/{id}` the name is `id`, of `{*rest}` in `/files/{*rest}` it is `rest`.
 *
 * A `%2F` in the path is a slash here, and never divides the path.
 *
 * Thread: any, one at a time.
 * Errors: none; absent when the pattern has none of that name, for a `name` of NULL and a handle
 * that cannot be used.
 * Since: 0.1
 */
hysock_str hysock_exchange_param(const hysock_exchange *exchange, const char *name);

/**
 * The path of the route that took the request, as it was given to hysock_server_add_route(): what
 * to group requests by in logs and metrics. Absent for the route without a path.
 *
 * Thread: any, one at a time.
 * Errors: none; absent for a handle that cannot be used.
 * Since: 0.1
 */
hysock_str hysock_exchange_pattern(const hysock_exchange *exchange);

/**
 * The first value of a name in the query, decoded as HTML forms encode it: `+` is a space.
 * A name without `=` has an empty value.
 *
 * Thread: any, one at a time.
 * Errors: none; absent when there is none, for a `name` of NULL and a handle that cannot be used.
 * Since: 0.1
 */
hysock_str hysock_exchange_query_value(const hysock_exchange *exchange, const char *name);

/**
 * How many names with values the query has, each of several with the same name counted.
 *
 * Thread: any, one at a time.
 * Errors: negative: HYSOCK_E_INVALID_ARGUMENT, HYSOCK_E_BAD_HANDLE.
 * Since: 0.1
 */
int32_t hysock_exchange_query_count(const hysock_exchange *exchange);

/**
 * Name and value number `index` of the query, from 0, in the order in which they were sent, decoded
 * as by hysock_exchange_query_value().
 *
 * Thread: any, one at a time.
 * Errors: HYSOCK_E_INVALID_ARGUMENT, also for an index beyond the last; HYSOCK_E_BAD_HANDLE.
 * Since: 0.1
 */
hysock_status hysock_exchange_query_at(const hysock_exchange *exchange,
                                       size_t index,
                                       hysock_str *name,
                                       hysock_str *value);

/**
 * Value number `index`, from 0, of the request's headers with this name, in the order in which they
 * were sent. Each header counts once: a value with commas in it is one.
 *
 * Thread: any, one at a time.
 * Errors: none; absent beyond the last, for a `name` of NULL and a handle that cannot be used.
 * Since: 0.1
 */
hysock_str hysock_exchange_header_value_at(const hysock_exchange *exchange,
                                           const char *name,
                                           size_t index);

/**
 * Remove what was set or added to the answer under this name; nothing of that name is fine too.
 *
 * A `name` that is refused is remembered like those of hysock_exchange_set_header().
 *
 * Thread: any, one at a time.
 * Errors: as hysock_exchange_set_header().
 * Since: 0.1
 */
hysock_status hysock_exchange_remove_header(hysock_exchange *exchange, const char *name);

/*
 * ===============================================================================================
 * peer
 * ===============================================================================================
 *
 * Who sent a request, by the kernel's word, and who may; and who answers a call.
 *
 * A Unix socket knows its peer: the user, the groups and the process that connected. It is who
 * connected, not who writes now: a connection that is handed on or inherited keeps its first name.
 *
 * Rules say who may come in, in three places: at one listener (hysock_listener_config_allow()),
 * at all of a server (hysock_server_config_allow()), and at one route
 * (hysock_server_allow_route()). Where there is no rule everybody may; with the first one, only
 * whom a rule names. A request must pass all three. Who may not gets a 403 and no handler; on the
 * connection of somebody who may not connect it is the answer to the first request, after which
 * the connection is closed; it may take 2 seconds to send that, and where more than 64 such
 * connections wait, the others get the answer at once. A peer whom the kernel does not know is
 * refused by every rule. A user whom this user namespace cannot name appears as the overflow uid,
 * 65534 on most systems: no rule should let that one in.
 *
 * A client can be as careful: hysock_client_config_allow() says who its server must be, and
 * hysock_call_peer() who it was.
 *
 * How much one user may have at once is limited by
 * hysock_server_config_set_max_connections_per_uid() and
 * hysock_server_config_set_max_requests_per_uid(): beyond it a 503. The log has a line about both
 * kinds of refusals, at most one in 10 seconds, and hysock_server_stats() counts them.
 */

/** It is known. */
#define HYSOCK_PEER_KNOWN 1

/** It went with the connection before anybody asked, or there never was a peer. */
#define HYSOCK_PEER_GONE 2

/** This system has no such record. */
#define HYSOCK_PEER_UNSUPPORTED 3

/** Whoever has this uid. */
#define HYSOCK_ALLOW_UID 1

/** Whoever has this gid, as primary group or as a supplementary one. */
#define HYSOCK_ALLOW_GID 2

/** Whoever has the effective uid that this process has at that moment; the id is 0. */
#define HYSOCK_ALLOW_SELF 3

/** Root; the id is 0. */
#define HYSOCK_ALLOW_ROOT 4

/**
 * Who connected, as it was at that moment. Decide by it only where its state is HYSOCK_PEER_KNOWN.
 */
typedef struct hysock_peer {
    /** One of HYSOCK_PEER_*, about the next three. */
    int32_t state;
    /** Effective user; (uid_t)-1 when not known. */
    uint32_t uid;
    /** Effective group; (gid_t)-1 when not known. */
    uint32_t gid;
    /**
     * Process, 0 when it cannot be seen from here (another pid namespace). It may have ended, and
     * its number may be another's: see hysock_exchange_peer_pidfd().
     */
    int32_t pid;
    /** One of HYSOCK_PEER_*, about the supplementary groups. */
    int32_t groups_state;
    /** How many. */
    uint32_t group_count;
    /**
     * Their gids, good as long as the exchange, the call or the batch; NULL when there are none.
     */
    const uint32_t *groups;
    /** One of HYSOCK_PEER_*, about the label. */
    int32_t label_state;
    /** 0. */
    uint32_t reserved;
    /**
     * The label of the system's security module, such as "unconfined" or an SELinux context; good
     * as long as the exchange, the call or the batch.
     */
    hysock_str label;
} hysock_peer;

/**
 * Fill `*peer` with who sent the request. `size` is `sizeof *peer`: a program that was built with
 * another version of the header gets what both know, and zeros for the rest.
 *
 * The kernel is asked when this is called for the first time on a connection; later calls cost
 * nothing. HYSOCK_OK says that it could be asked: look at the states.
 *
 * Thread: any, one at a time; it never waits.
 * Errors: HYSOCK_E_INVALID_ARGUMENT for a NULL and for a size that no version of the struct had;
 * HYSOCK_E_BAD_HANDLE, HYSOCK_E_FORKED, HYSOCK_E_SYSTEM.
 * Since: 0.1
 */
hysock_status hysock_exchange_peer(const hysock_exchange *exchange,
                                   hysock_peer *peer,
                                   size_t size,
                                   hysock_error *err);

/**
 * Open a pidfd of the process that connected: unlike its pid, it can never mean another process.
 * Poll it to hear of the process's end, or give it to pidfd_send_signal(2) and waitid(2).
 *
 * It is the kernel's own record of the connection (Linux 6.5). There is no way around it for older
 * ones: between a look at the pid and a pidfd_open(2) the pid may have become another's.
 *
 * Thread: any, one at a time; it never waits.
 * Owns: the result is yours: close(2) it. It is closed on exec.
 * Errors: as a negative result: HYSOCK_E_CLOSED when the process or the connection has gone;
 * HYSOCK_E_UNSUPPORTED; HYSOCK_E_INVALID_ARGUMENT, HYSOCK_E_BAD_HANDLE, HYSOCK_E_FORKED,
 * HYSOCK_E_SYSTEM.
 * Since: 0.1
 */
int32_t hysock_exchange_peer_pidfd(const hysock_exchange *exchange, hysock_error *err);

/**
 * Fill `*peer` with who has answered the call: the process that called listen(2), at that moment.
 * `size` is `sizeof *peer`, as for hysock_exchange_peer().
 *
 * User, group and process are known of each connection. Groups and label are asked for when this is
 * called for the first time on a connection, and are gone when it has ended before.
 *
 * Thread: any, one at a time; it never waits.
 * Errors: HYSOCK_E_STATE as long as there is neither an answer nor an end, and for a call that
 * reached nobody; HYSOCK_E_INVALID_ARGUMENT for a NULL and for a size that no version of the struct
 * had; HYSOCK_E_BAD_HANDLE, HYSOCK_E_FORKED, HYSOCK_E_SYSTEM.
 * Since: 0.1
 */
hysock_status hysock_call_peer(const hysock_call *call,
                               hysock_peer *peer,
                               size_t size,
                               hysock_error *err);

/**
 * Open a pidfd of the process that has answered the call, see hysock_exchange_peer_pidfd(). Only as
 * long as the connection is there: the client keeps it unless the server has said that it closes it.
 *
 * Thread: any, one at a time; it never waits.
 * Owns: the result is yours: close(2) it. It is closed on exec.
 * Errors: as a negative result: HYSOCK_E_STATE as for hysock_call_peer(); HYSOCK_E_CLOSED when the
 * process or the connection has gone; HYSOCK_E_UNSUPPORTED; HYSOCK_E_INVALID_ARGUMENT,
 * HYSOCK_E_BAD_HANDLE, HYSOCK_E_FORKED, HYSOCK_E_SYSTEM.
 * Since: 0.1
 */
int32_t hysock_call_peer_pidfd(const hysock_call *call,
                               hysock_error *err);

/**
 * Let only those use a route whom a rule names: this one, or another rule of the same route.
 * Before the start only.
 *
 * `method` and `pattern` are those of a hysock_server_add_route() before this call. `rule` is one
 * of HYSOCK_ALLOW_*, `id` the uid or gid, 0 where there is none. Who may not gets a 403; the
 * connection goes on. A rule that is refused keeps the server from starting: the route would be
 * open to all.
 *
 * Thread: any.
 * Errors: HYSOCK_E_INVALID_ARGUMENT, also when there is no such route; HYSOCK_E_STATE after the
 * start; HYSOCK_E_BAD_HANDLE, HYSOCK_E_SHUT_DOWN, HYSOCK_E_FORKED.
 * Since: 0.1
 */
hysock_status hysock_server_allow_route(hysock_server *server,
                                        const char *method,
                                        const char *pattern,
                                        int32_t rule,
                                        uint32_t id,
                                        hysock_error *err);

/*
 * ===============================================================================================
 * exchange userdata
 * ===============================================================================================
 *
 * What a program keeps with an exchange, and with its connection.
 *
 * All of these are options: one pointer each, with a `drop` that ends it. So a function that runs
 * before handlers can leave something for them, and handlers something for the next request of the
 * same client.
 */

/**
 * Keep `userdata` with the exchange, in the place of what was kept before. NULL without a `drop`
 * keeps nothing.
 *
 * It ends with the exchange: after its last callback, and when it was deferred after
 * hysock_exchange_free(); what was replaced ends a little later. `drop` runs in the server's delivery.
 *
 * Thread: any, one at a time.
 * Owns: `userdata` until `drop` is called with it, which also happens when this fails.
 * Errors: HYSOCK_E_INVALID_ARGUMENT, HYSOCK_E_BAD_HANDLE, HYSOCK_E_STATE when it was freed at the same
 * time, HYSOCK_E_FORKED.
 * Since: 0.1
 */
hysock_status hysock_exchange_set_userdata(hysock_exchange *exchange,
                                           void *userdata,
                                           hysock_drop_fn drop,
                                           hysock_error *err);

/**
 * What was kept with the exchange; NULL for nothing.
 *
 * Thread: any, one at a time.
 * Errors: none; NULL for a handle that cannot be used.
 * Since: 0.1
 */
void *hysock_exchange_userdata(const hysock_exchange *exchange);

/**
 * Keep `userdata` with the exchange's connection, in the place of what was kept before: the next
 * requests on it find it. Before the answer only. NULL without a `drop` keeps nothing.
 *
 * It ends when the connection and all exchanges of it have ended, those that were deferred included.
 * What was replaced ends a little later. `drop` runs in the server's delivery. The exchanges of one
 * connection come one after the other, but one that was deferred and answered may still be in use
 * when the next one comes.
 *
 * Thread: any, one at a time.
 * Owns: `userdata` until `drop` is called with it, which also happens when this fails.
 * Errors: HYSOCK_E_STATE when it was answered; HYSOCK_E_CLOSED when the client has left;
 * HYSOCK_E_SHUT_DOWN when the server has ended; HYSOCK_E_INVALID_ARGUMENT, HYSOCK_E_BAD_HANDLE,
 * HYSOCK_E_FORKED.
 * Since: 0.1
 */
hysock_status hysock_exchange_set_connection_userdata(hysock_exchange *exchange,
                                                      void *userdata,
                                                      hysock_drop_fn drop,
                                                      hysock_error *err);

/**
 * What was kept with the exchange's connection; NULL for nothing.
 *
 * Thread: any, one at a time.
 * Errors: none; NULL for a handle that cannot be used.
 * Since: 0.1
 */
void *hysock_exchange_connection_userdata(const hysock_exchange *exchange);

/*
 * ===============================================================================================
 * exchange read
 * ===============================================================================================
 *
 * The request's body, read piece by piece.
 *
 * A handler of hysock_server_add_streaming_route() runs when the head of its request is there, and
 * reads the body itself: hysock_exchange_read() waits on a callback thread or a queue's,
 * hysock_exchange_read_start() calls back. Nothing is taken from the client before it is asked for,
 * apart from one piece, so a slow handler slows its client and nobody else, and a body of any size
 * needs the memory of a piece. A client that asks with `Expect: 100-continue` hears the answer at
 * the first read.
 *
 * Bodies of other routes are there as a whole when their handlers run; reading them gives one piece
 * and then the end.
 */

/**
 * Runs once with what a read gives: HYSOCK_OK and a piece, HYSOCK_OK and an absent piece at the end
 * of the body, or what kept the rest from coming. The piece is good until the next read of the
 * exchange, or its free.
 */
typedef void (*hysock_read_fn)(hysock_exchange *exchange,
                               hysock_status status,
                               hysock_str piece,
                               void *userdata);

/**
 * Hand requests with this method and path to `fn` as soon as their heads are there: it reads the
 * body itself. Before the start only.
 *
 * `method` and `path` are as for hysock_server_add_route(). hysock_server_config_set_max_body() does
 * not bound these bodies: the handler decides how much it reads. One that answers without reading to
 * the end ends the connection with that answer.
 *
 * Thread: any.
 * Owns: `userdata` until `drop` is called with it, which also happens when this fails.
 * Errors: as hysock_server_add_route().
 * Since: 0.1
 */
hysock_status hysock_server_add_streaming_route(hysock_server *server,
                                                const char *method,
                                                const char *path,
                                                hysock_exchange_fn fn,
                                                void *userdata,
                                                hysock_drop_fn drop,
                                                hysock_error *err);

/**
 * Read the next piece of the request's body; wait for it up to `timeout_ms`.
 *
 * `*piece` is good until the next read of the exchange, or its free. At the end it is absent, and
 * stays so; an empty piece never comes. `timeout_ms` 0 gives HYSOCK_E_WOULD_BLOCK when nothing is
 * here yet, and asks for it. One read at a time.
 *
 * Thread: any, one at a time; on an I/O thread (inline delivery) only with `timeout_ms` 0.
 * Errors: HYSOCK_E_WOULD_BLOCK, HYSOCK_E_TIMED_OUT; HYSOCK_E_TRUNCATED when the client left or the
 * connection ended before the body did, HYSOCK_E_PROTOCOL for a malformed one;
 * HYSOCK_E_SHUT_DOWN; HYSOCK_E_STATE while another read of the exchange waits;
 * HYSOCK_E_WOULD_DEADLOCK, HYSOCK_E_INVALID_ARGUMENT, HYSOCK_E_BAD_HANDLE, HYSOCK_E_FORKED.
 * Since: 0.1
 */
hysock_status hysock_exchange_read(hysock_exchange *exchange,
                                   hysock_str *piece,
                                   uint32_t timeout_ms,
                                   hysock_error *err);

/**
 * Ask for the next piece of the request's body: `fn` runs once with it, in the server's delivery,
 * never while another callback of the exchange runs. Call it again, also in `fn`, for the next one.
 *
 * For an exchange that was deferred. It runs exactly once, also when the client leaves or the server
 * ends; not when the exchange or the server was freed before. One read at a time.
 *
 * Thread: any, one at a time.
 * Owns: `userdata` until `drop` is called with it, which also happens when this fails.
 * Errors: HYSOCK_E_STATE while another read of the exchange waits; HYSOCK_E_SHUT_DOWN;
 * HYSOCK_E_INVALID_ARGUMENT, HYSOCK_E_BAD_HANDLE, HYSOCK_E_FORKED.
 * Since: 0.1
 */
hysock_status hysock_exchange_read_start(hysock_exchange *exchange,
                                         hysock_read_fn fn,
                                         void *userdata,
                                         hysock_drop_fn drop,
                                         hysock_error *err);

/**
 * How many bytes the request's body has, as its head says: 0 without a body, HYSOCK_UNKNOWN when it
 * is not said (chunked).
 *
 * Thread: any, one at a time.
 * Errors: none; HYSOCK_UNKNOWN for a handle that cannot be used.
 * Since: 0.1
 */
uint64_t hysock_exchange_content_length(const hysock_exchange *exchange);

/**
 * A trailer of the request: a header field that came behind a chunked body, known once that was read to
 * its end. `name` in any case; of several with that name the first.
 *
 * Thread: any, one at a time.
 * Errors: none; absent when there is none, for a `name` of NULL and a handle that cannot be used.
 * Since: 0.1
 */
hysock_str hysock_exchange_trailer(const hysock_exchange *exchange,
                                   const char *name);

/*
 * ===============================================================================================
 * exchange write
 * ===============================================================================================
 *
 * The answer, written piece by piece.
 *
 * hysock_exchange_start_answer() sends the head, hysock_exchange_write() pieces of the body,
 * hysock_exchange_finish() its end. A small buffer stands between the program and the client; when
 * it is full, a write waits, or says HYSOCK_E_WOULD_BLOCK, and hysock_exchange_on_writable() tells
 * when to go on: what the program makes never piles up for a client that reads slowly.
 *
 * An exchange that is freed, or a handler that returns without defer, before the answer was
 * finished cuts the connection: the client must not take the half for the whole.
 */

/**
 * Begin an answer with this status and the headers that were set; its body is written piece by
 * piece.
 *
 * `http_status` and `content_type` are as for hysock_exchange_answer(). `content_length` is the
 * length of the whole body, or HYSOCK_UNKNOWN: then it is sent in chunks, to an HTTP/1.0 client
 * until the end of the connection. The answer to a HEAD is given like that to a GET: what is written
 * is not sent. Ask for the first piece of the request's body before, when it is wanted: a client with
 * `Expect: 100-continue` keeps its body back when the answer begins first.
 *
 * Thread: any, one at a time.
 * Errors: as hysock_exchange_answer().
 * Since: 0.1
 */
hysock_status hysock_exchange_start_answer(hysock_exchange *exchange,
                                           int32_t http_status,
                                           const char *content_type,
                                           uint64_t content_length,
                                           hysock_error *err);

/**
 * Write a piece of the answer's body: all of it or, when this fails, nothing.
 *
 * It is copied to a buffer of 64 KiB, and a longer piece is taken when that is empty. Without room
 * this waits up to `timeout_ms` until the client has read enough; 0 gives HYSOCK_E_WOULD_BLOCK at
 * once. Writing is not arriving: what the client has really read is its own secret.
 *
 * Thread: any, one at a time; on an I/O thread (inline delivery) only with `timeout_ms` 0.
 * Errors: HYSOCK_E_WOULD_BLOCK, HYSOCK_E_TIMED_OUT; HYSOCK_E_CLOSED when the client has left;
 * HYSOCK_E_SHUT_DOWN; HYSOCK_E_STATE when no answer was started or it was finished;
 * HYSOCK_E_INVALID_ARGUMENT, also for more than the announced length; HYSOCK_E_WOULD_DEADLOCK,
 * HYSOCK_E_BAD_HANDLE, HYSOCK_E_FORKED.
 * Since: 0.1
 */
hysock_status hysock_exchange_write(hysock_exchange *exchange,
                                    const void *piece,
                                    size_t piece_len,
                                    uint32_t timeout_ms,
                                    hysock_error *err);

/**
 * Run `fn` once when there is room for a piece of any size, or when there will never be: the client
 * has left and the next write says so. In the server's delivery, never while another callback of the
 * exchange runs.
 *
 * For an exchange that was deferred. It runs exactly once, also when the client leaves or the server
 * ends; not when the exchange or the server was freed before.
 *
 * Thread: any, one at a time.
 * Owns: `userdata` until `drop` is called with it, which also happens when this fails.
 * Errors: HYSOCK_E_STATE when there is one already, when no answer was started or it was finished;
 * HYSOCK_E_SHUT_DOWN; HYSOCK_E_CLOSED when the client left before an answer was started;
 * HYSOCK_E_INVALID_ARGUMENT, HYSOCK_E_BAD_HANDLE, HYSOCK_E_FORKED.
 * Since: 0.1
 */
hysock_status hysock_exchange_on_writable(hysock_exchange *exchange,
                                          hysock_exchange_fn fn,
                                          void *userdata,
                                          hysock_drop_fn drop,
                                          hysock_error *err);

/**
 * End the answer that was started. The exchange stays as it is: free it if it was deferred.
 *
 * Thread: any, one at a time.
 * Errors: HYSOCK_E_STATE when no answer was started, when it was finished, or when less was written
 * than was announced; HYSOCK_E_CLOSED when the client has left; HYSOCK_E_SHUT_DOWN;
 * HYSOCK_E_INVALID_ARGUMENT, HYSOCK_E_BAD_HANDLE, HYSOCK_E_FORKED.
 * Since: 0.1
 */
hysock_status hysock_exchange_finish(hysock_exchange *exchange, hysock_error *err);

/**
 * Like hysock_exchange_write() without a copy: the piece stays where it is, and must stay as it is,
 * until `drop` is called with `userdata`: once, in the server's delivery, when its bytes are no longer
 * needed. When this fails, before it returns.
 *
 * Thread: as hysock_exchange_write().
 * Owns: the piece until `drop` is called.
 * Errors: as hysock_exchange_write().
 * Since: 0.1
 */
hysock_status hysock_exchange_write_nocopy(hysock_exchange *exchange,
                                           const void *piece,
                                           size_t piece_len,
                                           uint32_t timeout_ms,
                                           void *userdata,
                                           hysock_drop_fn drop,
                                           hysock_error *err);

/**
 * Like hysock_exchange_answer() without a copy: the body stays where it is, and must stay as it is,
 * until `drop` is called with `userdata`: once, in the server's delivery, when its bytes are no longer
 * needed. When this fails, before it returns.
 *
 * Thread: any, one at a time.
 * Owns: the body until `drop` is called.
 * Errors: as hysock_exchange_answer().
 * Since: 0.1
 */
hysock_status hysock_exchange_answer_nocopy(hysock_exchange *exchange,
                                            int32_t http_status,
                                            const char *content_type,
                                            const void *body,
                                            size_t body_len,
                                            void *userdata,
                                            hysock_drop_fn drop,
                                            hysock_error *err);

/**
 * Add a trailer: a header field behind the body of an answer in chunks, before hysock_exchange_finish().
 *
 * It must have been announced: set the header `Trailer` to its name, or to several with commas between
 * them, before the answer starts. It is sent to clients that asked for trailers (`TE: trailers`), as
 * HTTP wants it. `value_len` may be HYSOCK_NTS.
 *
 * Thread: any, one at a time.
 * Errors: HYSOCK_E_STATE when no answer was started or it was finished, when its length was announced,
 * and for HTTP/1.0; HYSOCK_E_INVALID_ARGUMENT, also for one that was not announced, and for fields that
 * must be known before the body; HYSOCK_E_CLOSED, HYSOCK_E_SHUT_DOWN, HYSOCK_E_BAD_HANDLE,
 * HYSOCK_E_FORKED.
 * Since: 0.1
 */
hysock_status hysock_exchange_add_trailer(hysock_exchange *exchange,
                                          const char *name,
                                          const char *value,
                                          size_t value_len,
                                          hysock_error *err);

/*
 * ===============================================================================================
 * exchange events
 * ===============================================================================================
 *
 * Server-sent events: an answer that goes on, an event at a time.
 *
 * What browsers call an EventSource: hysock_exchange_start_events() begins the answer,
 * hysock_exchange_write_event() writes one event. hysock_exchange_on_gone() tells when the client has
 * left; hysock_runtime_after() is a clock for events that come in intervals.
 */

/**
 * Begin an answer of events: status 200, `text/event-stream`, `Cache-Control: no-store`.
 *
 * What hysock_exchange_start_answer() says holds here as well; hysock_exchange_finish() ends it.
 *
 * Thread: any, one at a time.
 * Errors: as hysock_exchange_answer().
 * Since: 0.1
 */
hysock_status hysock_exchange_start_events(hysock_exchange *exchange, hysock_error *err);

/**
 * Write one event, all of it or nothing, as hysock_exchange_write() does.
 *
 * `event` is its name and `id` its id; NULL leaves them out. `data` may have several lines; `data_len`
 * may be HYSOCK_NTS, and `data` NULL when it is 0. With nothing at all this writes a comment, which clients pass over:
 * it keeps the connection busy.
 *
 * Thread: any, one at a time; on an I/O thread (inline delivery) only with `timeout_ms` 0.
 * Errors: as hysock_exchange_write(); HYSOCK_E_INVALID_ARGUMENT also for a line end in `event` or `id`.
 * Since: 0.1
 */
hysock_status hysock_exchange_write_event(hysock_exchange *exchange,
                                          const char *event,
                                          const char *id,
                                          const char *data,
                                          size_t data_len,
                                          uint32_t timeout_ms,
                                          hysock_error *err);

/*
 * ===============================================================================================
 * exchange file
 * ===============================================================================================
 *
 * An answer out of a file.
 */

/**
 * Answer with the content of a regular file: 200, or what the request asks for.
 *
 * That is a part of it (206, one range of bytes; of several ranges all is sent), or nothing when the
 * client has it already (304) or it is not what the client wants to have (412, 416). So it goes for GET and
 * HEAD; other methods get all of it. The answer has `ETag`, of the file's inode, size and time, and
 * `Last-Modified`, unless they were set before, and `Accept-Ranges`; `content_type` NULL sets no type.
 *
 * All of the file is sent from its first byte, wherever the descriptor stands; it is read as the client
 * reads, on an I/O thread: best from a disk. `fd` stays yours and may be closed at once. A file that
 * becomes shorter meanwhile cuts the answer short.
 *
 * Thread: any, one at a time.
 * Errors: as hysock_exchange_answer(); HYSOCK_E_INVALID_ARGUMENT also for what is no regular file or not
 * open for reading; HYSOCK_E_SYSTEM.
 * Since: 0.1
 */
hysock_status hysock_exchange_send_file(hysock_exchange *exchange,
                                        int32_t fd,
                                        const char *content_type,
                                        hysock_error *err);

/*
 * ===============================================================================================
 * exchange upgrade
 * ===============================================================================================
 *
 * Another protocol on the connection of a request.
 *
 * hysock_exchange_upgrade() answers 101, and then the program has the connection to itself: a descriptor
 * to read from and write to, until either side closes it.
 */

/**
 * Runs once with the connection, which speaks the other protocol from here on.
 *
 * `fd` is yours to close: a blocking descriptor with FD_CLOEXEC, or -1 when the connection was lost
 * before. `early` is what the client has sent behind its request already, good as long as the exchange.
 */
typedef void (*hysock_upgrade_fn)(hysock_exchange *exchange,
                                  int32_t fd,
                                  hysock_str early,
                                  void *userdata);

/**
 * Switch to another protocol, which the request has asked for with `Upgrade` and `Connection: upgrade`:
 * the client gets a 101 with these two and the headers that were set, then `fn` runs once with the
 * connection, in the server's delivery.
 *
 * The exchange is deferred by that if it was not before. hysock_exchange_free() says that the session is
 * over; until then the server's end waits for it, and limits count it. The connection ends when `fd` is
 * closed and the exchange freed. When the server cannot wait any longer it ends the connection with
 * shutdown(2): reads on `fd` give its end; hysock_exchange_on_gone() tells the same.
 *
 * Thread: any, one at a time.
 * Owns: `userdata` until `drop` is called with it, which also happens when this fails.
 * Errors: HYSOCK_E_STATE when the request does not ask for `protocol`, when its body was not read to its
 * end, and when it was answered; the others of hysock_exchange_answer().
 * Since: 0.1
 */
hysock_status hysock_exchange_upgrade(hysock_exchange *exchange,
                                      const char *protocol,
                                      hysock_upgrade_fn fn,
                                      void *userdata,
                                      hysock_drop_fn drop,
                                      hysock_error *err);

/*
 * ===============================================================================================
 * client config
 * ===============================================================================================
 *
 * What a client keeps to: where completions run, how long it waits, how many connections it holds.
 * All of it is options; NULL is the defaults.
 */

/**
 * Make a config that holds the defaults.
 *
 * Never NULL: when no memory for handles is left, the result is a handle that every use refuses
 * with HYSOCK_E_LIMIT.
 *
 * Thread: any.
 * Owns: free the result with hysock_client_config_free().
 * Errors: none.
 * Since: 0.1
 */
hysock_client_config *hysock_client_config_new(void);

/**
 * Set where callbacks run: HYSOCK_DELIVERY_POOL, the default, or HYSOCK_DELIVERY_INLINE.
 *
 * This and hysock_client_config_set_queue() replace each other: the last one counts.
 *
 * Thread: any.
 * Errors: HYSOCK_E_INVALID_ARGUMENT, HYSOCK_E_BAD_HANDLE.
 * Since: 0.1
 */
hysock_status hysock_client_config_set_delivery(hysock_client_config *config, int32_t delivery);

/**
 * Run callbacks on whoever dispatches this queue, which must be of the client's runtime.
 *
 * This and hysock_client_config_set_delivery() replace each other: the last one counts.
 *
 * Thread: any.
 * Errors: HYSOCK_E_INVALID_ARGUMENT, HYSOCK_E_BAD_HANDLE, HYSOCK_E_FORKED.
 * Since: 0.1
 */
hysock_status hysock_client_config_set_queue(hysock_client_config *config, hysock_queue *queue);

/**
 * Set the largest body of an answer, in bytes: 1 or more or HYSOCK_UNLIMITED, 16 MiB by default. A
 * larger one ends the call with HYSOCK_E_TOO_LARGE.
 *
 * Thread: any.
 * Errors: HYSOCK_E_INVALID_ARGUMENT, HYSOCK_E_BAD_HANDLE.
 * Since: 0.1
 */
hysock_status hysock_client_config_set_max_body(hysock_client_config *config, uint64_t bytes);

/**
 * Set the longest head of an answer, in bytes: 8192 to 1048576, 64 KiB by default. A longer one, like
 * one with more than 100 headers, ends the call with HYSOCK_E_TOO_LARGE.
 *
 * Thread: any.
 * Errors: HYSOCK_E_INVALID_ARGUMENT, HYSOCK_E_BAD_HANDLE.
 * Since: 0.1
 */
hysock_status hysock_client_config_set_max_head(hysock_client_config *config,
                                                uint64_t bytes);

/**
 * Let calls go only to a server whom a rule names: this one, or another rule of the same config.
 * `rule` is one of HYSOCK_ALLOW_*, `id` the uid or gid, 0 where there is none. Without any rule
 * whoever listens will do.
 *
 * It is asked on each new connection, before the first byte is sent; somebody else is
 * HYSOCK_E_FORBIDDEN, with who it was. The server is who called listen(2): for a socket that a
 * service manager has made that is the manager, as a rule root.
 *
 * Thread: any.
 * Errors: HYSOCK_E_INVALID_ARGUMENT, HYSOCK_E_BAD_HANDLE.
 * Since: 0.1
 */
hysock_status hysock_client_config_allow(hysock_client_config *config, int32_t rule, uint32_t id);

/**
 * Set how long connecting may take, in milliseconds: 1 or more or HYSOCK_FOREVER, 10 seconds by
 * default. It takes time only when the server's backlog is full; then HYSOCK_E_BUSY.
 *
 * Thread: any.
 * Errors: HYSOCK_E_INVALID_ARGUMENT, HYSOCK_E_BAD_HANDLE.
 * Since: 0.1
 */
hysock_status hysock_client_config_set_connect_timeout(hysock_client_config *config,
                                                       uint32_t timeout_ms);

/**
 * Set how long to wait for a server that is not up, in milliseconds: 1 or more or HYSOCK_FOREVER. By
 * default not at all: HYSOCK_E_ABSENT and HYSOCK_E_REFUSED come at once.
 *
 * Connecting is tried again every 10 to 250 milliseconds, for so long and within the time that the
 * call has in all.
 *
 * Thread: any.
 * Errors: HYSOCK_E_INVALID_ARGUMENT, HYSOCK_E_BAD_HANDLE.
 * Since: 0.1
 */
hysock_status hysock_client_config_set_wait_absent(hysock_client_config *config,
                                                   uint32_t wait_ms);

/**
 * Set how long an answer may take to begin, in milliseconds: 1 or more or HYSOCK_FOREVER, the
 * default. It counts from the last byte of the request that was sent to the first one of the
 * answer; then HYSOCK_E_TIMED_OUT. hysock_call_set_first_byte_timeout() is the same for one call.
 *
 * Thread: any.
 * Errors: HYSOCK_E_INVALID_ARGUMENT, HYSOCK_E_BAD_HANDLE.
 * Since: 0.1
 */
hysock_status hysock_client_config_set_first_byte_timeout(hysock_client_config *config,
                                                          uint32_t timeout_ms);

/**
 * Set how long a call waits for a server that neither takes nor sends a byte, in milliseconds: 1 or
 * more or HYSOCK_FOREVER, the default. Then HYSOCK_E_TIMED_OUT. hysock_call_set_idle_timeout() is the
 * same for one call.
 *
 * Thread: any.
 * Errors: HYSOCK_E_INVALID_ARGUMENT, HYSOCK_E_BAD_HANDLE.
 * Since: 0.1
 */
hysock_status hysock_client_config_set_idle_timeout(hysock_client_config *config,
                                                    uint32_t timeout_ms);

/**
 * Follow redirects, up to so many for one call: 1 to 50. By default none is: a 301 is an answer like
 * any other.
 *
 * Followed are 301, 302, 303, 307 and 308 with a Location on the same socket: a path, or a URL of
 * this socket, of localhost or of the Host that the call has set. Another one ends the call with
 * HYSOCK_E_PROTOCOL, one too many with HYSOCK_E_TOO_LARGE. A 303, and a 301 or 302 to a POST, make
 * the request a GET without a body; else method, headers and body are sent again as they were.
 *
 * Thread: any.
 * Errors: HYSOCK_E_INVALID_ARGUMENT, HYSOCK_E_BAD_HANDLE.
 * Since: 0.1
 */
hysock_status hysock_client_config_set_max_redirects(hysock_client_config *config,
                                                     uint64_t n);

/**
 * Set how long a call may take in all, in milliseconds: 1 or more or HYSOCK_FOREVER, the default.
 * hysock_call_set_timeout() is the same for one call.
 *
 * Thread: any.
 * Errors: HYSOCK_E_INVALID_ARGUMENT, HYSOCK_E_BAD_HANDLE.
 * Since: 0.1
 */
hysock_status hysock_client_config_set_timeout(hysock_client_config *config, uint32_t timeout_ms);

/**
 * Set how many connections the client may hold: 1 to 4294967295 or HYSOCK_UNLIMITED, 64 by
 * default. Further calls wait for one to become free.
 *
 * Thread: any.
 * Errors: HYSOCK_E_INVALID_ARGUMENT, HYSOCK_E_BAD_HANDLE.
 * Since: 0.1
 */
hysock_status hysock_client_config_set_max_connections(hysock_client_config *config, uint64_t n);

/**
 * Set how many idle connections are kept for later calls: 1 to 4294967295 or HYSOCK_UNLIMITED, 8
 * by default.
 *
 * Thread: any.
 * Errors: HYSOCK_E_INVALID_ARGUMENT, HYSOCK_E_BAD_HANDLE.
 * Since: 0.1
 */
hysock_status hysock_client_config_set_max_idle(hysock_client_config *config, uint64_t n);

/**
 * Set how long an idle connection is kept, in milliseconds: 1 or more or HYSOCK_FOREVER, 60
 * seconds by default.
 *
 * Thread: any.
 * Errors: HYSOCK_E_INVALID_ARGUMENT, HYSOCK_E_BAD_HANDLE.
 * Since: 0.1
 */
hysock_status hysock_client_config_set_idle_age(hysock_client_config *config, uint32_t age_ms);

/**
 * Free a config. What was made with it keeps its values.
 *
 * Thread: any.
 * Errors: none; NULL and handles that were freed before are passed over.
 * Since: 0.1
 */
void hysock_client_config_free(hysock_client_config *config);

/*
 * ===============================================================================================
 * client
 * ===============================================================================================
 *
 * A client: one address to talk to, with its connections. Calls are made from it; see there.
 *
 * Needed: hysock_client_new(), hysock_client_free(). Connections are made when a call needs one
 * and kept for later ones. A client may be used by any number of threads at once. Without a
 * runtime its calls can be performed but not started; such a client survives fork(2): the child
 * makes its own connections.
 *
 * Redirects are followed only when hysock_client_config_set_max_redirects() says so, and only on
 * the same socket. There are no cookies and no proxies.
 */

/**
 * Make a client for the socket at `address`. Nothing is connected yet: the socket may be absent.
 *
 * `runtime` may be NULL: then calls can be performed, not started. `address` is a path, or `@name`
 * for an abstract socket, or any other form of an address; `address_len` may be HYSOCK_NTS. A
 * target in it is refused, unless it is "/": hysock_address_parse() splits it off. A relative path
 * becomes absolute here. `config` may be NULL for the defaults and may be freed as
 * soon as this returns.
 *
 * Thread: any.
 * Owns: free `*client` with hysock_client_free().
 * Errors: HYSOCK_E_INVALID_ARGUMENT, also for what a setter of `config` had refused;
 * HYSOCK_E_BAD_HANDLE, HYSOCK_E_SHUT_DOWN, HYSOCK_E_FORKED, HYSOCK_E_LIMIT, HYSOCK_E_SYSTEM.
 * Since: 0.1
 */
hysock_status hysock_client_new(hysock_runtime *runtime,
                                const char *address,
                                size_t address_len,
                                const hysock_client_config *config,
                                hysock_client **client,
                                hysock_error *err);

/**
 * Make a client for one connection that is there already: an end of a socketpair(2), or a descriptor
 * that somebody has passed.
 *
 * Calls go over it one after another, performed and started ones alike. It is never opened again:
 * after its end, which is also that of a call that was cancelled or timed out on it, calls fail
 * with HYSOCK_E_CLOSED. It must be a connected Unix stream socket; it becomes blocking and closed on
 * exec. `runtime` and `config` are as for hysock_client_new(); the allow rules of `config` are
 * looked at here.
 *
 * Thread: any.
 * Owns: `fd` is consumed, also when this fails; free `*client` with hysock_client_free().
 * Errors: HYSOCK_E_WRONG_TYPE for what is no Unix stream socket; HYSOCK_E_FORBIDDEN when no rule names
 * who is at the other end; HYSOCK_E_INVALID_ARGUMENT, also for one that is not connected and for
 * what a setter of `config` had refused; HYSOCK_E_BAD_HANDLE, HYSOCK_E_SHUT_DOWN, HYSOCK_E_FORKED,
 * HYSOCK_E_LIMIT, HYSOCK_E_SYSTEM.
 * Since: 0.1
 */
hysock_status hysock_client_new_fd(hysock_runtime *runtime,
                                   int32_t fd,
                                   const hysock_client_config *config,
                                   hysock_client **client,
                                   hysock_error *err);

/**
 * One GET of a URL that holds both socket and target, such as
 * "http+unix://%2Frun%2Fapp.sock/version": sends it and waits for the whole answer, on this
 * thread.
 *
 * `url_len` may be HYSOCK_NTS. Any address will do; one without a target asks for "/". What holds
 * is what the defaults of a client config say, so it waits for as long as the server does.
 * HYSOCK_OK means that an answer is there, whatever its HTTP status: ask the call for it, see
 * hysock_call_http_status(). For several requests a client of your own is cheaper: it keeps its
 * connection.
 *
 * Thread: any but I/O threads; so not in callbacks of inline delivery.
 * Owns: free `*call` with hysock_call_free().
 * Errors: HYSOCK_E_INVALID_ARGUMENT for what is no address or of another scheme; those of
 * hysock_call_perform().
 * Since: 0.1
 */
hysock_status hysock_get(const char *url, size_t url_len, hysock_call **call, hysock_error *err);

/**
 * Free a client. Calls of it that were started are cancelled and their completions withdrawn;
 * calls stay yours. Never waits.
 *
 * In a forked child the parent's connections are left alone.
 *
 * Thread: any, also inside callbacks.
 * Errors: none; NULL and handles that were freed before are passed over.
 * Since: 0.1
 */
void hysock_client_free(hysock_client *client);

/**
 * Begin the end: no new calls, those that run have `drain_ms` milliseconds (0: none,
 * HYSOCK_FOREVER: all the time), then they are cancelled; each started one still completes.
 *
 * Returns at once; hysock_client_wait() is the barrier.
 *
 * Thread: any, also inside callbacks.
 * Errors: HYSOCK_E_INVALID_ARGUMENT, HYSOCK_E_BAD_HANDLE, HYSOCK_E_FORKED.
 * Since: 0.1
 */
hysock_status hysock_client_shutdown(hysock_client *client, uint32_t drain_ms, hysock_error *err);

/**
 * Wait until the client has ended: no completion of it runs or will run, its drops have run.
 *
 * It begins nothing: call hysock_client_shutdown() first. In queue delivery the queue is
 * dispatched on the calling thread meanwhile. `timeout_ms` 0 only asks; HYSOCK_FOREVER waits for
 * as long as it takes.
 *
 * Thread: any but the library's own.
 * Errors: HYSOCK_E_TIMED_OUT; HYSOCK_E_WOULD_DEADLOCK inside a callback;
 * HYSOCK_E_INVALID_ARGUMENT, HYSOCK_E_BAD_HANDLE, HYSOCK_E_FORKED, HYSOCK_E_SYSTEM.
 * Since: 0.1
 */
hysock_status hysock_client_wait(hysock_client *client, uint32_t timeout_ms, hysock_error *err);

/*
 * ===============================================================================================
 * call
 * ===============================================================================================
 *
 * A call: one request sent, and the answer received.
 *
 * Needed: hysock_call_new(), hysock_call_set_body() where there is one, then
 * hysock_call_perform(), which sends and waits on the calling thread, or hysock_call_start(),
 * which returns at once and calls back; then hysock_call_http_status() and hysock_call_body();
 * hysock_call_free(). A call is for one request.
 *
 * An HTTP error status is a success of the call: only what kept the answer from coming is an
 * error. Setters remember: the first one that was refused makes perform and start fail with its
 * message. A call may be used on one thread at a time, except that hysock_call_cancel() and
 * hysock_call_free() may come from any thread. Texts of the answer are good until the free.
 */

/**
 * Runs once when a started call has ended: `status` is HYSOCK_OK when the answer is there, else
 * what kept it from coming; hysock_call_error() has the words.
 */
typedef void (*hysock_call_fn)(hysock_call *call, hysock_status status, void *userdata);

/**
 * Make a call; nothing is sent yet.
 *
 * `target` is path and query as they go on the wire, like "/info?all=1": encoded already,
 * `target_len` may be HYSOCK_NTS. Host is "localhost" unless it is set.
 *
 * Thread: any.
 * Owns: free `*call` with hysock_call_free().
 * Errors: HYSOCK_E_INVALID_ARGUMENT, HYSOCK_E_BAD_HANDLE, HYSOCK_E_FORKED, HYSOCK_E_LIMIT.
 * Since: 0.1
 */
hysock_status hysock_call_new(hysock_client *client,
                              const char *method,
                              const char *target,
                              size_t target_len,
                              hysock_call **call,
                              hysock_error *err);

/**
 * Set the request's body, all of it; Content-Length follows from it.
 *
 * `content_type` NULL sets none. `body_len` is a number of bytes, HYSOCK_NTS is refused; `body`
 * may be NULL when it is 0. All of it is copied.
 *
 * Thread: any, one at a time.
 * Errors: HYSOCK_E_STATE when the call has begun; HYSOCK_E_INVALID_ARGUMENT, HYSOCK_E_BAD_HANDLE,
 * HYSOCK_E_FORKED.
 * Since: 0.1
 */
hysock_status hysock_call_set_body(hysock_call *call,
                                   const char *content_type,
                                   const void *body,
                                   size_t body_len);

/**
 * Send the request and wait for the whole answer, on this thread: no other thread of the library
 * takes part.
 *
 * HYSOCK_OK means that an answer is there, whatever its HTTP status. The time that this may take
 * is that of hysock_call_set_timeout(), hysock_call_set_first_byte_timeout() and
 * hysock_call_set_idle_timeout(), else the client's; the message says which one it was. Without any
 * it waits for as long as the server does. hysock_call_cancel() from another thread ends it. On a kept connection that the
 * server had closed, a request that cannot have been acted on is sent once more on a new one.
 *
 * Thread: any but I/O threads; so not in callbacks of inline delivery.
 * Errors: HYSOCK_E_ABSENT, HYSOCK_E_REFUSED, HYSOCK_E_BUSY, HYSOCK_E_FORBIDDEN,
 * HYSOCK_E_WRONG_TYPE when there is nobody to talk to; HYSOCK_E_TIMED_OUT, HYSOCK_E_CANCELLED,
 * HYSOCK_E_CLOSED, HYSOCK_E_PROTOCOL, HYSOCK_E_TRUNCATED, HYSOCK_E_TOO_LARGE on the way;
 * HYSOCK_E_STATE for a second time; HYSOCK_E_WOULD_DEADLOCK, HYSOCK_E_INVALID_ARGUMENT, also for
 * what a setter had refused, HYSOCK_E_BAD_HANDLE, HYSOCK_E_SHUT_DOWN, HYSOCK_E_FORKED,
 * HYSOCK_E_SYSTEM.
 * Since: 0.1
 */
hysock_status hysock_call_perform(hysock_call *call,
                                  hysock_error *err);

/**
 * Send the request and return; `fn` runs once, in the client's delivery, when the call has ended.
 *
 * For a client with a runtime. A start that fails never calls back. The call stays yours: fire and
 * forget is to free it inside `fn`. The other errors of hysock_call_perform() come as the `status`
 * of `fn`.
 *
 * Thread: any.
 * Owns: `userdata` until `drop` is called with it, which also happens when this fails.
 * Errors: HYSOCK_E_STATE for a second time and for a client without a runtime;
 * HYSOCK_E_INVALID_ARGUMENT, also for what a setter had refused; HYSOCK_E_CANCELLED when it was
 * cancelled before; HYSOCK_E_BAD_HANDLE, HYSOCK_E_SHUT_DOWN, HYSOCK_E_FORKED.
 * Since: 0.1
 */
hysock_status hysock_call_start(hysock_call *call,
                                hysock_call_fn fn,
                                void *userdata,
                                hysock_drop_fn drop,
                                hysock_error *err);

/**
 * The HTTP status of the answer, such as 200 or 404.
 *
 * Thread: any, one at a time.
 * Errors: none; 0 as long as there is no answer, and for a handle that cannot be used.
 * Since: 0.1
 */
int32_t hysock_call_http_status(const hysock_call *call);

/**
 * The answer's body, all of it; a NUL that does not count follows it. Empty when the answer has
 * none.
 *
 * Thread: any, one at a time.
 * Errors: none; absent as long as there is no answer, and for a handle that cannot be used.
 * Since: 0.1
 */
hysock_str hysock_call_body(const hysock_call *call);

/**
 * Free a call. One that runs is cancelled and its `fn` withdrawn: at most an invocation that was
 * picked up already still runs, none in queue delivery on the dispatching thread. Never waits.
 *
 * Thread: any, also inside callbacks, its own included.
 * Errors: none; NULL and handles that were freed before are passed over.
 * Since: 0.1
 */
void hysock_call_free(hysock_call *call);

/**
 * End a call early: it ends with HYSOCK_E_CANCELLED, now or in a moment. One that has ended stays
 * as it is; one that has not begun cannot begin any more.
 *
 * Thread: any, at any time.
 * Errors: HYSOCK_E_INVALID_ARGUMENT, HYSOCK_E_BAD_HANDLE, HYSOCK_E_FORKED.
 * Since: 0.1
 */
hysock_status hysock_call_cancel(hysock_call *call, hysock_error *err);

/**
 * How the call went: HYSOCK_OK when its answer is there, else the status and the words for what
 * kept it from coming.
 *
 * Thread: any, one at a time.
 * Errors: HYSOCK_E_WOULD_BLOCK as long as it has not ended; what hysock_call_perform() gives;
 * HYSOCK_E_INVALID_ARGUMENT, HYSOCK_E_BAD_HANDLE, HYSOCK_E_FORKED.
 * Since: 0.1
 */
hysock_status hysock_call_error(const hysock_call *call, hysock_error *err);

/*
 * ===============================================================================================
 * call request
 * ===============================================================================================
 *
 * What a call's request says beside its body, and how long it may take.
 */

/**
 * Set a header of the request, in the place of any with that name.
 *
 * `value_len` may be HYSOCK_NTS. Names and values that would break the message (CR, LF, NUL) are
 * refused, as are Content-Length and Transfer-Encoding, which follow from the body.
 *
 * Thread: any, one at a time.
 * Errors: HYSOCK_E_STATE when the call has begun; HYSOCK_E_INVALID_ARGUMENT, HYSOCK_E_BAD_HANDLE,
 * HYSOCK_E_FORKED.
 * Since: 0.1
 */
hysock_status hysock_call_set_header(hysock_call *call,
                                     const char *name,
                                     const char *value,
                                     size_t value_len);

/**
 * Add a header to the request, after any with that name.
 *
 * What hysock_call_set_header() says holds here as well.
 *
 * Thread: any, one at a time.
 * Errors: as hysock_call_set_header().
 * Since: 0.1
 */
hysock_status hysock_call_add_header(hysock_call *call,
                                     const char *name,
                                     const char *value,
                                     size_t value_len);

/**
 * Set how long the call may take in all, from perform or start on, in milliseconds: 1 or more or
 * HYSOCK_FOREVER; by default the client's.
 *
 * Thread: any, one at a time.
 * Errors: HYSOCK_E_STATE when the call has begun; HYSOCK_E_INVALID_ARGUMENT, HYSOCK_E_BAD_HANDLE,
 * HYSOCK_E_FORKED.
 * Since: 0.1
 */
hysock_status hysock_call_set_timeout(hysock_call *call, uint32_t timeout_ms);

/**
 * Set how long the answer may take to begin: from the last byte of the request that was sent to the
 * first one of the answer. In milliseconds: 1 or more or HYSOCK_FOREVER; by default the client's.
 *
 * Thread: any, one at a time.
 * Errors: HYSOCK_E_STATE when the call has begun; HYSOCK_E_INVALID_ARGUMENT, HYSOCK_E_BAD_HANDLE,
 * HYSOCK_E_FORKED.
 * Since: 0.1
 */
hysock_status hysock_call_set_first_byte_timeout(hysock_call *call, uint32_t timeout_ms);

/**
 * Set how long the call waits for a server that neither takes nor sends a byte. In milliseconds: 1 or
 * more or HYSOCK_FOREVER; by default the client's. A stream that goes on for ever needs this one, and
 * no limit on everything.
 *
 * Thread: any, one at a time.
 * Errors: HYSOCK_E_STATE when the call has begun; HYSOCK_E_INVALID_ARGUMENT, HYSOCK_E_BAD_HANDLE,
 * HYSOCK_E_FORKED.
 * Since: 0.1
 */
hysock_status hysock_call_set_idle_timeout(hysock_call *call,
                                           uint32_t timeout_ms);

/**
 * Hang the call on an exchange: it is made in order to answer that one.
 *
 * It is cancelled when the exchange ends, also because its client has left, and its `fn` never
 * runs while a callback of the exchange does: the two need no locks between them. Defer the
 * exchange first; its server and the call's client must be of one runtime.
 *
 * Thread: any, one at a time.
 * Errors: HYSOCK_E_STATE when the call has begun, has a parent, or the exchange was answered;
 * HYSOCK_E_CLOSED, HYSOCK_E_SHUT_DOWN when the exchange has ended; HYSOCK_E_INVALID_ARGUMENT,
 * HYSOCK_E_BAD_HANDLE, HYSOCK_E_FORKED.
 * Since: 0.1
 */
hysock_status hysock_call_set_parent(hysock_call *call, hysock_exchange *exchange);

/*
 * ===============================================================================================
 * call answer
 * ===============================================================================================
 *
 * The headers of a call's answer.
 */

/**
 * The HTTP version of the answer: 10 or 11.
 *
 * Thread: any, one at a time.
 * Errors: none; 0 as long as there is no answer, and for a handle that cannot be used.
 * Since: 0.1
 */
int32_t hysock_call_version(const hysock_call *call);

/**
 * A header of the answer; `name` in any case. Of several with that name the first:
 * hysock_call_header_at() shows all.
 *
 * Thread: any, one at a time.
 * Errors: none; absent when there is none, as long as there is no answer, for a `name` of NULL and
 * a handle that cannot be used.
 * Since: 0.1
 */
hysock_str hysock_call_header(const hysock_call *call, const char *name);

/**
 * How many headers the answer has, each of several with the same name counted; 0 as long as there
 * is no answer.
 *
 * Thread: any, one at a time.
 * Errors: negative: HYSOCK_E_INVALID_ARGUMENT, HYSOCK_E_BAD_HANDLE.
 * Since: 0.1
 */
int32_t hysock_call_header_count(const hysock_call *call);

/**
 * Name and value of the answer's header number `index`, from 0. Names are in lower case; several
 * with the same name stand together, in the order in which they were sent.
 *
 * Thread: any, one at a time.
 * Errors: HYSOCK_E_INVALID_ARGUMENT, also for an index beyond the last; HYSOCK_E_STATE as long as
 * there is no answer; HYSOCK_E_BAD_HANDLE.
 * Since: 0.1
 */
hysock_status hysock_call_header_at(const hysock_call *call,
                                    size_t index,
                                    hysock_str *name,
                                    hysock_str *value);

/*
 * ===============================================================================================
 * call read
 * ===============================================================================================
 *
 * A call's answer, read piece by piece.
 *
 * After hysock_call_set_streaming() a call ends with the head of its answer: hysock_call_perform()
 * returns, or `fn` of hysock_call_start() runs. hysock_call_read() then waits for a piece of the
 * body, hysock_call_read_start() calls back with one. Nothing is taken from the server before it is
 * asked for, apart from one piece, so an answer of any size needs the memory of a piece, and a
 * program that rests slows its server and nobody else.
 *
 * The connection is the call's until its end was read: then another call gets it. A call that is
 * freed or cancelled before closes it. The time limits of the call go on: that on everything until
 * the end was read, that of hysock_call_set_idle_timeout() while a read waits for the server.
 */

/**
 * Runs once with what a read gives: HYSOCK_OK and a piece, HYSOCK_OK and an absent piece at the end
 * of the body, or what kept the rest from coming. The piece is good until the next read of the call,
 * or its free.
 */
typedef void (*hysock_call_read_fn)(hysock_call *call,
                                    hysock_status status,
                                    hysock_str piece,
                                    void *userdata);

/**
 * Give the answer as soon as its head is there; its body is read by hysock_call_read() or
 * hysock_call_read_start(). hysock_call_body() stays absent, and hysock_client_config_set_max_body()
 * does not bound the body.
 *
 * A redirect that is followed is not given; its body is passed over.
 *
 * Thread: any, one at a time.
 * Errors: HYSOCK_E_STATE when the call has begun; HYSOCK_E_INVALID_ARGUMENT, HYSOCK_E_BAD_HANDLE,
 * HYSOCK_E_FORKED.
 * Since: 0.1
 */
hysock_status hysock_call_set_streaming(hysock_call *call);

/**
 * Read the next piece of a streamed answer's body; wait for it up to `timeout_ms`.
 *
 * `*piece` is good until the next read of the call, or its free. At the end it is absent, and stays
 * so; an empty piece never comes. `timeout_ms` 0 gives HYSOCK_E_WOULD_BLOCK when nothing is here yet,
 * and asks for it. HYSOCK_E_TIMED_OUT ends only this read, unless a limit of the call was reached:
 * then every read says so. One read at a time.
 *
 * Thread: any, one at a time; on an I/O thread (inline delivery) only with `timeout_ms` 0.
 * Errors: HYSOCK_E_WOULD_BLOCK, HYSOCK_E_TIMED_OUT; HYSOCK_E_TRUNCATED when the connection ended
 * before the body did, HYSOCK_E_PROTOCOL for a malformed one; HYSOCK_E_CANCELLED,
 * HYSOCK_E_SHUT_DOWN; HYSOCK_E_STATE when there is no answer yet, when it is not streamed, and while
 * another read of the call waits; HYSOCK_E_WOULD_DEADLOCK, HYSOCK_E_INVALID_ARGUMENT,
 * HYSOCK_E_BAD_HANDLE, HYSOCK_E_FORKED.
 * Since: 0.1
 */
hysock_status hysock_call_read(hysock_call *call,
                               hysock_str *piece,
                               uint32_t timeout_ms,
                               hysock_error *err);

/**
 * Ask for the next piece of a streamed answer's body: `fn` runs once with it, in the client's
 * delivery, never while another callback of the call runs. Call it again, also in `fn`, for the next
 * one.
 *
 * For a call that was started; one that was performed is read by hysock_call_read(). `fn` runs
 * exactly once, also when the connection ends or the call is cancelled; not when the call or the
 * client was freed before. One read at a time.
 *
 * Thread: any, one at a time.
 * Owns: `userdata` until `drop` is called with it, which also happens when this fails.
 * Errors: HYSOCK_E_STATE when there is no answer yet, when it is not streamed, when the call was
 * performed, and while another read of the call waits; HYSOCK_E_SHUT_DOWN;
 * HYSOCK_E_INVALID_ARGUMENT, HYSOCK_E_BAD_HANDLE, HYSOCK_E_FORKED.
 * Since: 0.1
 */
hysock_status hysock_call_read_start(hysock_call *call,
                                     hysock_call_read_fn fn,
                                     void *userdata,
                                     hysock_drop_fn drop,
                                     hysock_error *err);

/**
 * How many bytes the answer's body has, as its head says: 0 when it has none, HYSOCK_UNKNOWN when it
 * is not said (chunked, or until the end of the connection).
 *
 * Thread: any, one at a time.
 * Errors: none; HYSOCK_UNKNOWN as long as there is no answer, and for a handle that cannot be used.
 * Since: 0.1
 */
uint64_t hysock_call_content_length(const hysock_call *call);

/**
 * A trailer of the answer: a header field that came behind a chunked body, known once that was read
 * to its end. `name` in any case; of several with that name the first. Servers send trailers to those
 * who ask for them: set the header `TE` to "trailers".
 *
 * Thread: any, one at a time.
 * Errors: none; absent when there is none, for a `name` of NULL and a handle that cannot be used.
 * Since: 0.1
 */
hysock_str hysock_call_trailer(const hysock_call *call,
                               const char *name);

/*
 * ===============================================================================================
 * call upgrade
 * ===============================================================================================
 *
 * A call's connection, for another protocol.
 *
 * hysock_call_set_upgrade() asks for it; when the call has ended with 101, or with what Docker's API
 * gives instead, hysock_call_take_fd() hands the connection over: a descriptor to read from and
 * write to, until either side closes it.
 */

/**
 * Ask the server to switch the connection to `protocol`: sends `Connection: Upgrade` and `Upgrade:
 * protocol`.
 *
 * The server may agree in two ways, and hysock_call_take_fd() then gives the connection: by HTTP
 * status 101; or, as Docker and Podman do for attach and exec, by a 2xx without Content-Length and
 * chunks, behind which the connection is used both ways. With `protocol` NULL nothing is sent and
 * only the second is meant. Any other answer is as without this, and a 101 to a call without it is
 * HYSOCK_E_PROTOCOL.
 *
 * Thread: any, one at a time.
 * Errors: HYSOCK_E_STATE when the call has begun; HYSOCK_E_INVALID_ARGUMENT for an empty `protocol`
 * or one that would break the message, HYSOCK_E_BAD_HANDLE, HYSOCK_E_FORKED.
 * Since: 0.1
 */
hysock_status hysock_call_set_upgrade(hysock_call *call, const char *protocol);

/**
 * Take the connection of a call whose server has switched, once.
 *
 * `*fd` is yours to close: a blocking descriptor with FD_CLOEXEC, without timeouts. `*early` is what
 * the server has sent behind its head already, to be read before what comes from `*fd`; it is empty
 * when that is nothing, and good as long as the call. shutdown(2) with SHUT_WR says that you will
 * send no more, and the other direction goes on. The connection counts for no limit of the client,
 * no timeout ends it, and the client's end leaves it alone; when the call is freed before, it is
 * closed.
 *
 * Thread: any, one at a time; also in the call's `fn`.
 * Owns: close `*fd`.
 * Errors: HYSOCK_E_STATE when hysock_call_set_upgrade() was not called, when there is no answer, or
 * one that goes on with HTTP, such as a 404, and for a second time; HYSOCK_E_INVALID_ARGUMENT,
 * HYSOCK_E_BAD_HANDLE, HYSOCK_E_FORKED, HYSOCK_E_SYSTEM.
 * Since: 0.1
 */
hysock_status hysock_call_take_fd(hysock_call *call,
                                  int32_t *fd,
                                  hysock_str *early,
                                  hysock_error *err);

/*
 * ===============================================================================================
 * call write
 * ===============================================================================================
 *
 * A call's request with a body of any size.
 *
 * It comes from a function that is asked for the next piece (hysock_call_set_body_reader()), from a
 * descriptor (hysock_call_set_body_fd()), or it is written while the call runs
 * (hysock_call_set_body_stream(), then hysock_call_write(), hysock_call_on_writable(),
 * hysock_call_finish()). No more than a piece of it waits in memory for the server to take it.
 *
 * A server may answer before it has all. An answer that is no success (2xx), or one that is whole,
 * ends the body: no more of it is sent, the call ends with that answer, and its connection closes. A
 * body that is given only once is not sent again: neither on a new connection nor after a redirect,
 * which is an answer like any other then.
 */

/**
 * Gives the next piece of a body: puts at most `size` bytes into `buf` and returns how many; 0 is the
 * end, a negative number ends the call with HYSOCK_E_CANCELLED.
 */
typedef int64_t (*hysock_body_fn)(hysock_call *call, void *buf, size_t size, void *userdata);

/** Runs once when there is room for more of the body. */
typedef void (*hysock_call_writable_fn)(hysock_call *call, void *userdata);

/**
 * Let `fn` give the request's body, piece by piece.
 *
 * `content_length` is the length of all of it, or HYSOCK_UNKNOWN: then it is sent in chunks. `fn`
 * runs in the client's delivery, never while another callback of the call runs; for a call that is
 * performed on its thread. It may wait, but in inline delivery: then the call waits with it. A body
 * that ends before its announced length ends the call with HYSOCK_E_INVALID_ARGUMENT.
 *
 * Thread: any, one at a time.
 * Owns: `userdata` until `drop` is called with it, which also happens when this fails.
 * Errors: HYSOCK_E_STATE when the call has begun or has a body; HYSOCK_E_INVALID_ARGUMENT,
 * HYSOCK_E_BAD_HANDLE, HYSOCK_E_FORKED.
 * Since: 0.1
 */
hysock_status hysock_call_set_body_reader(hysock_call *call,
                                          const char *content_type,
                                          uint64_t content_length,
                                          hysock_body_fn fn,
                                          void *userdata,
                                          hysock_drop_fn drop);

/**
 * Send what is read from `fd` as the request's body.
 *
 * A file is read from where it stands, which stays as it is; a pipe, a socket or a terminal as it
 * comes. `length` is how much of it is the body, HYSOCK_UNKNOWN all until its end. The descriptor
 * is copied: yours may be closed at once. An end before the length ends the call with
 * HYSOCK_E_INVALID_ARGUMENT, an error of the descriptor with HYSOCK_E_SYSTEM.
 *
 * Thread: any, one at a time.
 * Errors: HYSOCK_E_STATE when the call has begun or has a body; HYSOCK_E_INVALID_ARGUMENT, also for
 * what cannot be read and for a file that is too short; HYSOCK_E_BAD_HANDLE, HYSOCK_E_FORKED.
 * Since: 0.1
 */
hysock_status hysock_call_set_body_fd(hysock_call *call,
                                      const char *content_type,
                                      int32_t fd,
                                      uint64_t length);

/**
 * The request's body is written while the call runs: by hysock_call_write() after hysock_call_start(),
 * until hysock_call_finish().
 *
 * `content_length` is as for hysock_call_set_body_reader(). Such a call cannot be performed.
 *
 * Thread: any, one at a time.
 * Errors: HYSOCK_E_STATE when the call has begun or has a body; HYSOCK_E_INVALID_ARGUMENT,
 * HYSOCK_E_BAD_HANDLE, HYSOCK_E_FORKED.
 * Since: 0.1
 */
hysock_status hysock_call_set_body_stream(hysock_call *call,
                                          const char *content_type,
                                          uint64_t content_length);

/**
 * Write a piece of the request's body: all of it or, when this fails, nothing.
 *
 * It is copied to a buffer of 64 KiB, and a longer piece is taken when that is empty. Without room
 * this waits up to `timeout_ms` until the server has read enough; 0 gives HYSOCK_E_WOULD_BLOCK at
 * once.
 *
 * Thread: any, one at a time; on an I/O thread (inline delivery) only with `timeout_ms` 0.
 * Errors: HYSOCK_E_WOULD_BLOCK, HYSOCK_E_TIMED_OUT; HYSOCK_E_CLOSED when the answer came before the
 * body's end; what has ended the call; HYSOCK_E_STATE before the start, after the finish, and for
 * another kind of body; HYSOCK_E_INVALID_ARGUMENT, also for more than the announced length;
 * HYSOCK_E_WOULD_DEADLOCK, HYSOCK_E_BAD_HANDLE, HYSOCK_E_FORKED.
 * Since: 0.1
 */
hysock_status hysock_call_write(hysock_call *call,
                                const void *piece,
                                size_t piece_len,
                                uint32_t timeout_ms,
                                hysock_error *err);

/**
 * Run `fn` once when there is room for a piece of any size, or when there will never be: the next
 * write says why. In the client's delivery, never while another callback of the call runs.
 *
 * Thread: any, one at a time.
 * Owns: `userdata` until `drop` is called with it, which also happens when this fails.
 * Errors: HYSOCK_E_STATE also while another one waits; else as hysock_call_write() with `timeout_ms`
 * 0, HYSOCK_E_WOULD_BLOCK apart.
 * Since: 0.1
 */
hysock_status hysock_call_on_writable(hysock_call *call,
                                      hysock_call_writable_fn fn,
                                      void *userdata,
                                      hysock_drop_fn drop,
                                      hysock_error *err);

/**
 * End the body that is written. The answer comes to `fn` of hysock_call_start().
 *
 * Thread: any, one at a time.
 * Errors: HYSOCK_E_STATE also when less was written than was announced; else as
 * hysock_call_on_writable().
 * Since: 0.1
 */
hysock_status hysock_call_finish(hysock_call *call, hysock_error *err);

/**
 * Add a trailer to a request with a body of unknown length: a header field behind it. Before the
 * body's end.
 *
 * One that is added before the call begins is announced by itself; for those that come later set the
 * header `Trailer` to their names. `value_len` may be HYSOCK_NTS.
 *
 * Thread: any, one at a time.
 * Errors: HYSOCK_E_STATE when there is no such body, or it is over; HYSOCK_E_INVALID_ARGUMENT, also
 * for one that was not announced, and for fields that must be known before the body;
 * HYSOCK_E_BAD_HANDLE, HYSOCK_E_FORKED.
 * Since: 0.1
 */
hysock_status hysock_call_add_trailer(hysock_call *call,
                                      const char *name,
                                      const char *value,
                                      size_t value_len);

/**
 * Hold the body back until the server has said that it wants it: `Expect: 100-continue` is sent, and
 * the body after the 100, or after `wait_ms` without any answer. 1 or more, or HYSOCK_FOREVER. When
 * the server answers at once instead, nothing of the body is sent.
 *
 * Thread: any, one at a time.
 * Errors: HYSOCK_E_STATE when the call has begun; HYSOCK_E_INVALID_ARGUMENT, HYSOCK_E_BAD_HANDLE,
 * HYSOCK_E_FORKED.
 * Since: 0.1
 */
hysock_status hysock_call_set_expect_continue(hysock_call *call,
                                              uint32_t wait_ms);

/*
 * ===============================================================================================
 * call news
 * ===============================================================================================
 *
 * How a call goes on: an answer that goes to a descriptor, reports of how far it is, and what the
 * server says before its answer.
 */

/**
 * How far a call is: bytes of the request's body and of the answer's, and of how many; HYSOCK_UNKNOWN
 * when that is not known.
 */
typedef void (*hysock_progress_fn)(hysock_call *call,
                                   uint64_t sent,
                                   uint64_t send_total,
                                   uint64_t received,
                                   uint64_t receive_total,
                                   void *userdata);

/** An informational answer has come: its HTTP status, 100 to 199 but not 101. */
typedef void (*hysock_informational_fn)(hysock_call *call, int32_t http_status, void *userdata);

/**
 * Send the answer's body to `fd`: a file, a pipe, a socket. The call ends when all of it is there.
 *
 * So it is for a 2xx; the body of another answer is collected as usual. The descriptor is copied:
 * yours may be closed at once. It is written no faster than it takes it, whether it blocks or not; a
 * file from where it stands. An error of the descriptor ends the call with HYSOCK_E_SYSTEM. Not
 * together with hysock_call_set_streaming().
 *
 * Thread: any, one at a time.
 * Errors: HYSOCK_E_STATE when the call has begun or is streamed; HYSOCK_E_INVALID_ARGUMENT, also for
 * what cannot be written; HYSOCK_E_BAD_HANDLE, HYSOCK_E_FORKED.
 * Since: 0.1
 */
hysock_status hysock_call_set_output_fd(hysock_call *call,
                                        int32_t fd);

/**
 * Hear how far the call is: `fn` runs when bytes of a body have moved, at most every 100 ms, and once
 * at the end, before the call's `fn`. In the client's delivery, never while another callback of the
 * call runs; for a call that is performed on its thread.
 *
 * Thread: any, one at a time.
 * Owns: `userdata` until `drop` is called with it, which also happens when this fails.
 * Errors: HYSOCK_E_STATE when the call has begun or has one; HYSOCK_E_INVALID_ARGUMENT,
 * HYSOCK_E_BAD_HANDLE, HYSOCK_E_FORKED.
 * Since: 0.1
 */
hysock_status hysock_call_on_progress(hysock_call *call,
                                      hysock_progress_fn fn,
                                      void *userdata,
                                      hysock_drop_fn drop,
                                      hysock_error *err);

/**
 * Hear of informational answers: 100, 102, 103 and others that come before the answer; 101 is an
 * answer. In the client's delivery, never while another callback of the call runs; for a call that is
 * performed on its thread. Of a flood the first ones are heard of.
 *
 * Thread: any, one at a time.
 * Owns: `userdata` until `drop` is called with it, which also happens when this fails.
 * Errors: as hysock_call_on_progress().
 * Since: 0.1
 */
hysock_status hysock_call_on_informational(hysock_call *call,
                                           hysock_informational_fn fn,
                                           void *userdata,
                                           hysock_drop_fn drop,
                                           hysock_error *err);

/*
 * ===============================================================================================
 * receiver config
 * ===============================================================================================
 *
 * What a receiver keeps to: how messages stand on the wire, how much is held, how long it waits. All
 * of it is options; NULL is the defaults. Receiver and producer must agree on the framing.
 */

/** The payload's length before it, four bytes, most significant first. Stream. The default. */
#define HYSOCK_FRAMING_U32BE 1

/** The same, least significant first, as DogStatsD's stream mode has it. Stream. */
#define HYSOCK_FRAMING_U32LE 2

/** A byte behind each message: see the setter of the delimiter. Stream. */
#define HYSOCK_FRAMING_DELIMITER 3

/** No boundaries: each read gives a chunk. Stream. */
#define HYSOCK_FRAMING_RAW 4

/** The socket keeps messages apart: a SEQPACKET socket, whose messages have at least one byte. */
#define HYSOCK_FRAMING_SEQPACKET 5

/** The socket keeps messages apart: a datagram socket. */
#define HYSOCK_FRAMING_DATAGRAM 6

/**
 * Messages for which there is no room wait in their socket, and so their producers wait. The default.
 */
#define HYSOCK_OVERFLOW_BLOCK 1

/** The new message is dropped, and counted. */
#define HYSOCK_OVERFLOW_DROP_NEWEST 2

/** The oldest message that waits is dropped, and counted. */
#define HYSOCK_OVERFLOW_DROP_OLDEST 3

/** The send fails with HYSOCK_E_LIMIT. Producers only. */
#define HYSOCK_OVERFLOW_FAIL 4

/**
 * Make a config that holds the defaults.
 *
 * Never NULL: when no memory for handles is left, the result is a handle that every use refuses
 * with HYSOCK_E_LIMIT.
 *
 * Thread: any.
 * Owns: free the result with hysock_receiver_config_free().
 * Errors: none.
 * Since: 0.1
 */
hysock_receiver_config *hysock_receiver_config_new(void);

/**
 * Set how messages stand on the wire: one of HYSOCK_FRAMING_*, HYSOCK_FRAMING_U32BE by default. It also
 * decides the type of the socket.
 *
 * Thread: any.
 * Errors: HYSOCK_E_INVALID_ARGUMENT, HYSOCK_E_BAD_HANDLE.
 * Since: 0.1
 */
hysock_status hysock_receiver_config_set_framing(hysock_receiver_config *config,
                                                 int32_t framing);

/**
 * Set the byte that ends each message: any, `'\\n'` and 0 are usual. This is HYSOCK_FRAMING_DELIMITER.
 * It is not part of the message; what follows the last one at the end of a stream comes out flagged
 * HYSOCK_MESSAGE_PARTIAL.
 *
 * Thread: any.
 * Errors: HYSOCK_E_INVALID_ARGUMENT, HYSOCK_E_BAD_HANDLE.
 * Since: 0.1
 */
hysock_status hysock_receiver_config_set_delimiter(hysock_receiver_config *config,
                                                   uint8_t delimiter);

/**
 * Set where the batch callback runs: HYSOCK_DELIVERY_POOL, the default, or HYSOCK_DELIVERY_INLINE.
 *
 * This and hysock_receiver_config_set_queue() replace each other: the last one counts. One receiver
 * never runs two callbacks at once.
 *
 * Thread: any.
 * Errors: HYSOCK_E_INVALID_ARGUMENT, HYSOCK_E_BAD_HANDLE.
 * Since: 0.1
 */
hysock_status hysock_receiver_config_set_delivery(hysock_receiver_config *config, int32_t delivery);

/**
 * Run the batch callback on whoever dispatches this queue, which must be of the receiver's runtime.
 *
 * Thread: any.
 * Errors: HYSOCK_E_INVALID_ARGUMENT, HYSOCK_E_BAD_HANDLE, HYSOCK_E_FORKED.
 * Since: 0.1
 */
hysock_status hysock_receiver_config_set_queue(hysock_receiver_config *config, hysock_queue *queue);

/**
 * Set the longest message, in bytes: 1 to 1 GiB, 1 MiB by default. A producer that announces a longer
 * one is disconnected; a longer line or datagram is passed over. Both are counted.
 *
 * Thread: any.
 * Errors: HYSOCK_E_INVALID_ARGUMENT, HYSOCK_E_BAD_HANDLE.
 * Since: 0.1
 */
hysock_status hysock_receiver_config_set_max_message(hysock_receiver_config *config,
                                                     uint64_t bytes);

/**
 * Set how many bytes of messages may be held, 48 for each message included: those that wait, and those
 * in batches that were not freed. 64 KiB or more, 16 MiB by default. Beyond it sockets are not read,
 * unless hysock_receiver_config_set_overflow() says otherwise.
 *
 * Thread: any.
 * Errors: HYSOCK_E_INVALID_ARGUMENT, HYSOCK_E_BAD_HANDLE.
 * Since: 0.1
 */
hysock_status hysock_receiver_config_set_max_bytes(hysock_receiver_config *config,
                                                   uint64_t bytes);

/**
 * Set how many of these bytes one producer may hold: 64 KiB or more, 4 MiB by default. Not for
 * datagrams, which share one socket.
 *
 * Thread: any.
 * Errors: HYSOCK_E_INVALID_ARGUMENT, HYSOCK_E_BAD_HANDLE.
 * Since: 0.1
 */
hysock_status hysock_receiver_config_set_max_bytes_per_producer(hysock_receiver_config *config,
                                                                uint64_t bytes);

/**
 * Set what happens to messages for which there is no room: HYSOCK_OVERFLOW_BLOCK, the default,
 * HYSOCK_OVERFLOW_DROP_NEWEST or HYSOCK_OVERFLOW_DROP_OLDEST.
 *
 * Thread: any.
 * Errors: HYSOCK_E_INVALID_ARGUMENT, HYSOCK_E_BAD_HANDLE.
 * Since: 0.1
 */
hysock_status hysock_receiver_config_set_overflow(hysock_receiver_config *config, int32_t policy);

/**
 * Set how many producers may be connected: 1 to 4294967295 or HYSOCK_UNLIMITED, 4096 by default. Further
 * ones wait in the backlog.
 *
 * Thread: any.
 * Errors: HYSOCK_E_INVALID_ARGUMENT, HYSOCK_E_BAD_HANDLE.
 * Since: 0.1
 */
hysock_status hysock_receiver_config_set_max_connections(hysock_receiver_config *config,
                                                         uint64_t n);

/**
 * Set how many of these one user may have: 1 to 4294967295 or HYSOCK_UNLIMITED, 1024 by default. Further
 * ones are disconnected at once, and counted.
 *
 * Thread: any.
 * Errors: HYSOCK_E_INVALID_ARGUMENT, HYSOCK_E_BAD_HANDLE.
 * Since: 0.1
 */
hysock_status hysock_receiver_config_set_max_connections_per_uid(hysock_receiver_config *config,
                                                                 uint64_t n);

/**
 * Set how many messages one callback gets at most: 1 to 4294967295, 1024 by default.
 *
 * Thread: any.
 * Errors: HYSOCK_E_INVALID_ARGUMENT, HYSOCK_E_BAD_HANDLE.
 * Since: 0.1
 */
hysock_status hysock_receiver_config_set_max_batch(hysock_receiver_config *config, uint64_t n);

/**
 * Set how long a message under way may stand still, in milliseconds: 30 seconds by default, or
 * HYSOCK_FOREVER. Then its producer is disconnected. A producer between two messages may be silent for
 * ever.
 *
 * Thread: any.
 * Errors: HYSOCK_E_INVALID_ARGUMENT, HYSOCK_E_BAD_HANDLE.
 * Since: 0.1
 */
hysock_status hysock_receiver_config_set_frame_timeout(hysock_receiver_config *config,
                                                       uint32_t ms);

/**
 * Set whether connects and disconnects of producers come out among the messages, flagged
 * HYSOCK_MESSAGE_CONNECTED and HYSOCK_MESSAGE_DISCONNECTED, or not, the default. Not for datagrams.
 *
 * Thread: any.
 * Errors: HYSOCK_E_INVALID_ARGUMENT, HYSOCK_E_BAD_HANDLE.
 * Since: 0.1
 */
hysock_status hysock_receiver_config_set_events(hysock_receiver_config *config, bool on);

/**
 * Set whether messages may carry descriptors or not, the default: they are closed and counted.
 *
 * In U32BE and U32LE framing both sides must be set alike: the length is followed by one byte, the
 * number of descriptors that belong to the message. At most 253 with one message.
 *
 * Thread: any.
 * Errors: HYSOCK_E_INVALID_ARGUMENT, HYSOCK_E_BAD_HANDLE.
 * Since: 0.1
 */
hysock_status hysock_receiver_config_set_fds(hysock_receiver_config *config, bool on);

/**
 * Set whether messages may come as sealed memory (memfd_create(2)) or not, the default. Each is one
 * descriptor, which is mapped for reading and not copied; it is flagged HYSOCK_MESSAGE_MAPPED, counts in the
 * budgets with its length, and is unmapped with its batch.
 *
 * The memory must be sealed against writing, growing and shrinking, and hold 1 byte to the longest message.
 * In U32BE and U32LE framing the length is followed by one byte as with descriptors, here 255, and by no
 * payload; both sides must be set alike, and a producer whose memory is not as it must be is disconnected.
 * SEQPACKET and datagrams have an empty message with the one descriptor, as systemd-journald takes it; one
 * that is not as it must be is passed over and counted.
 *
 * Thread: any.
 * Errors: HYSOCK_E_INVALID_ARGUMENT, HYSOCK_E_BAD_HANDLE.
 * Since: 0.1
 */
hysock_status hysock_receiver_config_set_memfd(hysock_receiver_config *config,
                                               bool on);

/**
 * Set what becomes of datagrams and packets that are longer than the longest message: passed over, the
 * default, or their beginning is handed over, flagged HYSOCK_MESSAGE_TRUNCATED. Both are counted.
 *
 * Thread: any.
 * Errors: HYSOCK_E_INVALID_ARGUMENT, HYSOCK_E_BAD_HANDLE.
 * Since: 0.1
 */
hysock_status hysock_receiver_config_set_truncated(hysock_receiver_config *config,
                                                   bool on);

/**
 * Free a config. What was made with it keeps its values.
 *
 * Thread: any.
 * Errors: none; NULL and handles that were freed before are passed over.
 * Since: 0.1
 */
void hysock_receiver_config_free(hysock_receiver_config *config);

/*
 * ===============================================================================================
 * receiver
 * ===============================================================================================
 *
 * A receiver: a socket that many producers write messages to, and one place where they come out.
 *
 * Needed: hysock_receiver_serve(), which is hysock_receiver_new(), hysock_receiver_add_listener(),
 * hysock_receiver_on_batch() and hysock_receiver_start() in one; then hysock_receiver_shutdown(),
 * hysock_receiver_wait(), hysock_receiver_free(). A receiver without a callback is pulled instead:
 * hysock_receiver_recv(), with hysock_receiver_fd() for an event loop.
 *
 * What is promised:
 *
 * 1. Messages of one producer arrive in the order in which it sent them. Between producers there is no
 *    order.
 * 2. A message arrives whole or not at all; exceptions are flagged, and HYSOCK_FRAMING_RAW has chunks,
 *    not messages.
 * 3. By default nothing is dropped: when the budget of bytes is used up (see
 *    hysock_receiver_config_set_max_bytes()), sockets are not read, and producers wait. Policies that
 *    drop count what they drop: sent = received + dropped.
 * 4. A message arrives once at most.
 *
 * Any program can be a producer: `printf 'hello\n' | nc -U -N PATH` for HYSOCK_FRAMING_DELIMITER,
 * `logger -u PATH` for HYSOCK_FRAMING_DATAGRAM. A connection that ends without a byte is
 * no error: only events, where they are on, tell of it.
 */

/** Gets one batch of messages. It is lent: see hysock_batch_keep(). */
typedef void (*hysock_batch_fn)(hysock_receiver *receiver, hysock_batch *batch, void *userdata);

/**
 * Listen at `address` and give every batch of messages to `fn`: new, add_listener, on_batch and start
 * in one.
 *
 * `address` is as in hysock_server_serve(). `config` may be NULL for the defaults and may be freed as
 * soon as this returns. With `fn` NULL the receiver is pulled: hysock_receiver_recv(). The file is made
 * with mode 0600; for another one use the single steps with a hysock_listener_config. `*receiver` is
 * set before the first batch arrives.
 *
 * Thread: any.
 * Owns: free `*receiver` with hysock_receiver_free(); `userdata` is ours until `drop` is called with
 * it, which also happens when this fails.
 * Errors: as hysock_server_serve().
 * Since: 0.1
 */
hysock_status hysock_receiver_serve(hysock_runtime *runtime,
                                    const char *address,
                                    size_t address_len,
                                    const hysock_receiver_config *config,
                                    hysock_batch_fn fn,
                                    void *userdata,
                                    hysock_drop_fn drop,
                                    hysock_receiver **receiver,
                                    hysock_error *err);

/**
 * Begin the end: no new producers, the socket file is removed. What producers have sent is read and
 * handed over: of those that are silent at once, of those that go on sending for up to `drain_ms`
 * milliseconds; then their sends fail. Nothing that was sent before is lost as long as the drain lasts.
 *
 * Returns at once; hysock_receiver_wait() is the barrier.
 *
 * Thread: any, also inside callbacks.
 * Errors: HYSOCK_E_INVALID_ARGUMENT, HYSOCK_E_BAD_HANDLE, HYSOCK_E_FORKED.
 * Since: 0.1
 */
hysock_status hysock_receiver_shutdown(hysock_receiver *receiver,
                                       uint32_t drain_ms,
                                       hysock_error *err);

/**
 * Wait until the receiver has ended: all was handed over, no callback of it runs or will run, and its
 * drop has run. With queue delivery this dispatches the queue meanwhile. What a receiver without a
 * callback still holds can be taken after it.
 *
 * Thread: any but callbacks'.
 * Errors: HYSOCK_E_TIMED_OUT; HYSOCK_E_WOULD_DEADLOCK inside callbacks; HYSOCK_E_INVALID_ARGUMENT,
 * HYSOCK_E_BAD_HANDLE, HYSOCK_E_FORKED, HYSOCK_E_SYSTEM.
 * Since: 0.1
 */
hysock_status hysock_receiver_wait(hysock_receiver *receiver,
                                   uint32_t timeout_ms,
                                   hysock_error *err);

/**
 * Free a receiver. One that runs ends at once; its callback is withdrawn. Batches that you keep stay
 * yours. Never waits.
 *
 * Thread: any, also inside callbacks.
 * Errors: none; NULL and handles that were freed before are passed over.
 * Since: 0.1
 */
void hysock_receiver_free(hysock_receiver *receiver);

/**
 * Take up to `max_messages` messages of a receiver without a callback; wait up to `timeout_ms` for the
 * first. One batch may hold fewer than wait.
 *
 * Thread: any but the I/O threads, which may only call it with a timeout of 0.
 * Owns: free `*batch` with hysock_batch_free().
 * Errors: HYSOCK_E_WOULD_BLOCK when nothing waits and `timeout_ms` is 0; HYSOCK_E_TIMED_OUT;
 * HYSOCK_E_SHUT_DOWN when the receiver has ended and all is taken; HYSOCK_E_STATE when it has a
 * callback; HYSOCK_E_WOULD_DEADLOCK, HYSOCK_E_INVALID_ARGUMENT, HYSOCK_E_BAD_HANDLE, HYSOCK_E_FORKED,
 * HYSOCK_E_LIMIT, HYSOCK_E_SYSTEM.
 * Since: 0.1
 */
hysock_status hysock_receiver_recv(hysock_receiver *receiver,
                                   size_t max_messages,
                                   uint32_t timeout_ms,
                                   hysock_batch **batch,
                                   hysock_error *err);

/**
 * A descriptor for poll, epoll or any loop: readable exactly while something waits for
 * hysock_receiver_recv(), and for ever once the receiver has ended. It stays the receiver's.
 *
 * Thread: any.
 * Errors: negative: HYSOCK_E_INVALID_ARGUMENT, HYSOCK_E_BAD_HANDLE, HYSOCK_E_FORKED.
 * Since: 0.1
 */
int32_t hysock_receiver_fd(const hysock_receiver *receiver);

/**
 * Make a receiver that listens nowhere yet.
 *
 * `config` may be NULL for the defaults and may be freed as soon as this returns.
 *
 * Thread: any.
 * Owns: free `*receiver` with hysock_receiver_free().
 * Errors: HYSOCK_E_INVALID_ARGUMENT, also for what a setter of `config` had refused;
 * HYSOCK_E_BAD_HANDLE, HYSOCK_E_SHUT_DOWN, HYSOCK_E_FORKED, HYSOCK_E_LIMIT, HYSOCK_E_SYSTEM.
 * Since: 0.1
 */
hysock_status hysock_receiver_new(hysock_runtime *runtime,
                                  const hysock_receiver_config *config,
                                  hysock_receiver **receiver,
                                  hysock_error *err);

/**
 * Bind a socket for producers; several are possible. Its type follows from the receiver's framing.
 *
 * `address` is as in hysock_server_serve(). `config` NULL is all defaults.
 *
 * Thread: any.
 * Errors: HYSOCK_E_IN_USE, HYSOCK_E_FORBIDDEN, HYSOCK_E_ABSENT, HYSOCK_E_WRONG_TYPE; HYSOCK_E_STATE
 * after the start; HYSOCK_E_INVALID_ARGUMENT, HYSOCK_E_BAD_HANDLE, HYSOCK_E_SHUT_DOWN,
 * HYSOCK_E_FORKED, HYSOCK_E_SYSTEM.
 * Since: 0.1
 */
hysock_status hysock_receiver_add_listener(hysock_receiver *receiver,
                                           const char *address,
                                           size_t address_len,
                                           const hysock_listener_config *config,
                                           hysock_error *err);

/**
 * Give every batch of messages to `fn`, in the receiver's delivery, one call at a time. Once, before the
 * start.
 *
 * Thread: any.
 * Owns: `userdata` until `drop` is called with it, which also happens when this fails.
 * Errors: HYSOCK_E_STATE after the start, and when there is one already; HYSOCK_E_INVALID_ARGUMENT,
 * HYSOCK_E_BAD_HANDLE, HYSOCK_E_SHUT_DOWN, HYSOCK_E_FORKED.
 * Since: 0.1
 */
hysock_status hysock_receiver_on_batch(hysock_receiver *receiver,
                                       hysock_batch_fn fn,
                                       void *userdata,
                                       hysock_drop_fn drop,
                                       hysock_error *err);

/**
 * Accept producers from now on.
 *
 * Thread: any.
 * Errors: HYSOCK_E_STATE without a listener and for a second time; HYSOCK_E_INVALID_ARGUMENT,
 * HYSOCK_E_BAD_HANDLE, HYSOCK_E_SHUT_DOWN, HYSOCK_E_FORKED.
 * Since: 0.1
 */
hysock_status hysock_receiver_start(hysock_receiver *receiver, hysock_error *err);

/*
 * ===============================================================================================
 * receiver listener
 * ===============================================================================================
 *
 * Receiving from sockets that somebody else made. All of it is options.
 */

/**
 * Receive from a socket that is there already: inherited, or passed. Before the start only.
 *
 * It must be a bound Unix socket of the type that the receiver's framing needs, and listen if that type
 * does. The rest is as in hysock_server_add_listener_fd().
 *
 * To scale over more threads, give copies (dup(2)) of one listening socket to several receivers: each connection
 * goes to one of them, and their callbacks run in parallel.
 *
 * Thread: any.
 * Owns: `fd` is consumed, also when this fails.
 * Errors: as hysock_server_add_listener_fd().
 * Since: 0.1
 */
hysock_status hysock_receiver_add_listener_fd(hysock_receiver *receiver,
                                              int32_t fd,
                                              int32_t adopt,
                                              const hysock_listener_config *config,
                                              hysock_error *err);

/**
 * Receive from the sockets that the service manager has passed, as hysock_server_add_activated() does;
 * returns how many. `name` NULL chooses all of the type that the receiver's framing needs, so a server
 * and receivers of several types can share what was passed. Before the start only.
 *
 * At the end of the receiver such a socket stays as it is, with what waits in it.
 *
 * Thread: any that does not run while another one changes the environment.
 * Errors: as hysock_server_add_activated().
 * Since: 0.1
 */
int32_t hysock_receiver_add_activated(hysock_receiver *receiver,
                                      const char *name,
                                      const hysock_listener_config *config,
                                      hysock_error *err);

/*
 * ===============================================================================================
 * batch
 * ===============================================================================================
 *
 * A batch: messages that were received together. Its messages are an array, read without a call for
 * each:
 *
 *     size_t count;
 *     const hysock_message *messages = hysock_batch_messages(batch, &count);
 *     for (size_t i = 0; i < count; i++)
 *         handle(messages[i].data, messages[i].len);
 *
 * In a callback it is lent, and ends with the callback's return unless hysock_batch_keep() was called;
 * from hysock_receiver_recv() it is yours. Its end gives its bytes back to the receiver's budget.
 */

/** The last line of a stream, without its delimiter. */
#define HYSOCK_MESSAGE_PARTIAL 1

/**
 * A datagram or packet that was longer than the limit: its beginning. See
 * hysock_receiver_config_set_truncated().
 */
#define HYSOCK_MESSAGE_TRUNCATED 2

/** It came with descriptors: hysock_batch_take_fd(). */
#define HYSOCK_MESSAGE_FDS 4

/** It came as sealed memory: see hysock_receiver_config_set_memfd(). */
#define HYSOCK_MESSAGE_MAPPED 8

/** No message: a producer has connected. See hysock_receiver_config_set_events(). */
#define HYSOCK_MESSAGE_CONNECTED 256

/**
 * No message: a producer is gone; `sequence` is one of HYSOCK_GONE_*. After HYSOCK_GONE_OVERSIZE the
 * data are up to 16 bytes of what it had sent.
 */
#define HYSOCK_MESSAGE_DISCONNECTED 512

/** The producer has ended its stream between two messages. */
#define HYSOCK_GONE_CLOSED 1

/** In the middle of a message. */
#define HYSOCK_GONE_TRUNCATED 2

/** It announced a message beyond the limit. */
#define HYSOCK_GONE_OVERSIZE 3

/** A message under way stood still for too long. */
#define HYSOCK_GONE_TIMED_OUT 4

/** The receiver was shut down. */
#define HYSOCK_GONE_SHUT_DOWN 5

/** The connection failed. */
#define HYSOCK_GONE_ERROR 6

/**
 * An allow rule, or the share of its user, did not let it in: it was never connected. Only told as long as the
 * budget is not used up; counted always.
 */
#define HYSOCK_GONE_REJECTED 7

/** One message. Its data are good until its batch ends. */
typedef struct hysock_message {
    /** Never NULL. */
    const void *data;
    size_t len;
    /** Who sent it: a number that no other producer of this receiver gets. */
    uint64_t producer;
    /**
     * The message's number among its producer's, from 0. A gap shows messages that were dropped or
     * passed over.
     */
    uint64_t sequence;
    /** Any of HYSOCK_MESSAGE_*. */
    uint32_t flags;
    /** 0. */
    uint32_t reserved;
} hysock_message;

/**
 * The messages of a batch: `*count` of them, in the order of their arrival. Good until the batch ends.
 *
 * Thread: any.
 * Errors: none; NULL with a count of 0 for a handle that cannot be used.
 * Since: 0.1
 */
const hysock_message *hysock_batch_messages(const hysock_batch *batch,
                                            size_t *count);

/**
 * Keep a batch beyond the callback that it is lent to: it is yours until hysock_batch_free(). Its bytes
 * count as held until then.
 *
 * Thread: the callback's.
 * Owns: free it with hysock_batch_free().
 * Errors: HYSOCK_E_STATE for one that is yours already; HYSOCK_E_INVALID_ARGUMENT, HYSOCK_E_BAD_HANDLE.
 * Since: 0.1
 */
hysock_status hysock_batch_keep(hysock_batch *batch,
                                hysock_error *err);

/**
 * Free a batch: its messages end here, and their bytes are free for new ones. Descriptors that nobody
 * took are closed. Not needed for one that was lent and not kept; inside its callback it ends it early.
 *
 * Thread: any.
 * Errors: none; NULL and handles that were freed before are passed over.
 * Since: 0.1
 */
void hysock_batch_free(hysock_batch *batch);

/**
 * Take the next descriptor that came with message number `index` of the batch.
 *
 * Thread: any, one at a time.
 * Owns: close the descriptor; it is closed on exec.
 * Errors: negative: HYSOCK_E_WOULD_BLOCK when the message has no further one;
 * HYSOCK_E_INVALID_ARGUMENT for an index beyond the last, HYSOCK_E_BAD_HANDLE.
 * Since: 0.1
 */
int32_t hysock_batch_take_fd(hysock_batch *batch, size_t index);

/**
 * Fill `*peer` with who sent message number `index` of the batch; `size` is `sizeof *peer`. As
 * hysock_exchange_peer(): of a connection it is who connected, of a datagram the kernel's word on who
 * sent it, which knows neither groups nor label. Groups and label of a connection that is gone by now
 * are gone too, unless somebody had asked before.
 *
 * Thread: any; it never waits.
 * Errors: HYSOCK_E_INVALID_ARGUMENT, also for an index beyond the last; HYSOCK_E_BAD_HANDLE,
 * HYSOCK_E_SYSTEM.
 * Since: 0.1
 */
hysock_status hysock_batch_peer(const hysock_batch *batch,
                                size_t index,
                                hysock_peer *peer,
                                size_t size,
                                hysock_error *err);

/*
 * ===============================================================================================
 * receiver stats
 * ===============================================================================================
 *
 * What a receiver has counted, as a struct and as text.
 */

/** What a receiver has counted since it was made. Later versions add numbers at the end. */
typedef struct hysock_receiver_counts {
    /** Messages that were handed over, to the callback or by hysock_receiver_recv(). */
    uint64_t received;
    /** Their bytes. */
    uint64_t received_bytes;
    /** Messages that the overflow policy dropped. */
    uint64_t dropped;
    /** Bytes of the budget that are held now. */
    uint64_t held;
    /** Producers that are connected now. */
    uint64_t producers;
    /** Producers that there were: connections, or senders of datagrams. */
    uint64_t producers_total;
    /** Messages that ended too early. */
    uint64_t truncated;
    /** Producers that were disconnected because they announced a message beyond the limit. */
    uint64_t oversize;
    /** Lines and datagrams beyond the limit, passed over. */
    uint64_t skipped;
    /** Messages that came with descriptors which nobody wanted. */
    uint64_t fds_refused;
    /** Producers that were disconnected because a message under way stood still. */
    uint64_t timed_out;
    /** Messages that waited when the receiver was freed, or for which there was no handle. */
    uint64_t abandoned;
    /** Producers that no allow rule of the listener admits: they were disconnected. */
    uint64_t forbidden;
    /** Producers beyond the share of their user: they were disconnected. */
    uint64_t overload;
    /** Socket files that somebody removed or replaced: new producers do not get here any more. */
    uint64_t listeners_lost;
} hysock_receiver_counts;

/**
 * Fill `*counts` with what the receiver has counted so far; also after its end, until it is freed.
 *
 * `size` is `sizeof *counts`: see hysock_server_stats().
 *
 * Thread: any, also inside callbacks.
 * Errors: HYSOCK_E_INVALID_ARGUMENT, HYSOCK_E_BAD_HANDLE, HYSOCK_E_FORKED.
 * Since: 0.1
 */
hysock_status hysock_receiver_stats(hysock_receiver *receiver,
                                    hysock_receiver_counts *counts,
                                    size_t size,
                                    hysock_error *err);

/**
 * Write the same numbers into `buf` as text for Prometheus, as hysock_server_metrics() does; returns the
 * length of the whole text. 4096 bytes are always enough. All names begin with `hysock_receiver_`.
 *
 * Thread: any, also inside callbacks; it never waits.
 * Errors: as a negative result: HYSOCK_E_INVALID_ARGUMENT for a `buf` of NULL with a size,
 * HYSOCK_E_BAD_HANDLE, HYSOCK_E_FORKED.
 * Since: 0.1
 */
int32_t hysock_receiver_metrics(hysock_receiver *receiver,
                                char *buf,
                                size_t size,
                                hysock_error *err);

/*
 * ===============================================================================================
 * producer config
 * ===============================================================================================
 *
 * What a producer keeps to: how messages stand on the wire, and how many wait while the receiver is
 * busy or away. All of it is options; NULL is the defaults.
 */

/**
 * Make a config that holds the defaults.
 *
 * Never NULL: when no memory for handles is left, the result is a handle that every use refuses
 * with HYSOCK_E_LIMIT.
 *
 * Thread: any.
 * Owns: free the result with hysock_producer_config_free().
 * Errors: none.
 * Since: 0.1
 */
hysock_producer_config *hysock_producer_config_new(void);

/**
 * Set how messages stand on the wire: one of HYSOCK_FRAMING_*, HYSOCK_FRAMING_U32BE by default, as the
 * receiver has it.
 *
 * Thread: any.
 * Errors: HYSOCK_E_INVALID_ARGUMENT, HYSOCK_E_BAD_HANDLE.
 * Since: 0.1
 */
hysock_status hysock_producer_config_set_framing(hysock_producer_config *config,
                                                 int32_t framing);

/**
 * Set the byte that ends each message. This is HYSOCK_FRAMING_DELIMITER; a message that contains the byte
 * is refused.
 *
 * Thread: any.
 * Errors: HYSOCK_E_INVALID_ARGUMENT, HYSOCK_E_BAD_HANDLE.
 * Since: 0.1
 */
hysock_status hysock_producer_config_set_delimiter(hysock_producer_config *config,
                                                   uint8_t delimiter);

/**
 * Set the longest message, in bytes: 1 to 1 GiB, 1 MiB by default. Of SEQPACKET and datagram sockets the
 * kernel's limit counts too, the send buffer (/proc/sys/net/core/wmem_default) less some overhead.
 *
 * Thread: any.
 * Errors: HYSOCK_E_INVALID_ARGUMENT, HYSOCK_E_BAD_HANDLE.
 * Since: 0.1
 */
hysock_status hysock_producer_config_set_max_message(hysock_producer_config *config,
                                                     uint64_t bytes);

/**
 * Set how many bytes may wait while the receiver is busy or away, 48 for each message included: 1 or
 * more, 1 MiB by default. One message always may, and up to 64 KiB of hysock_producer_send_batch() that a
 * connected receiver did not take at once.
 *
 * Thread: any.
 * Errors: HYSOCK_E_INVALID_ARGUMENT, HYSOCK_E_BAD_HANDLE.
 * Since: 0.1
 */
hysock_status hysock_producer_config_set_max_queue(hysock_producer_config *config,
                                                   uint64_t bytes);

/**
 * Set what a send does when the queue is full: HYSOCK_OVERFLOW_BLOCK (wait for room up to its timeout, the
 * default), HYSOCK_OVERFLOW_FAIL, HYSOCK_OVERFLOW_DROP_OLDEST or HYSOCK_OVERFLOW_DROP_NEWEST.
 *
 * Thread: any.
 * Errors: HYSOCK_E_INVALID_ARGUMENT, HYSOCK_E_BAD_HANDLE.
 * Since: 0.1
 */
hysock_status hysock_producer_config_set_overflow(hysock_producer_config *config,
                                                  int32_t policy);

/**
 * Set whether messages may carry descriptors or not, the default, as the receiver has it.
 *
 * Thread: any.
 * Errors: HYSOCK_E_INVALID_ARGUMENT, HYSOCK_E_BAD_HANDLE.
 * Since: 0.1
 */
hysock_status hysock_producer_config_set_fds(hysock_producer_config *config, bool on);

/**
 * Set from how many bytes on a message goes as sealed memory, of which the receiver needs no copy: 1 to
 * 1 GiB, or HYSOCK_UNLIMITED, the default, for none. It pays from some 100 KiB on, and it lets messages
 * through SEQPACKET and datagram sockets that are longer than those take. The receiver must have it on:
 * hysock_receiver_config_set_memfd(). A message with descriptors of its own never goes so, nor one for which
 * no memory or descriptor is to be had.
 *
 * Thread: any.
 * Errors: HYSOCK_E_INVALID_ARGUMENT, HYSOCK_E_BAD_HANDLE.
 * Since: 0.1
 */
hysock_status hysock_producer_config_set_memfd(hysock_producer_config *config,
                                               uint64_t from_bytes);

/**
 * Free a config. What was made with it keeps its values.
 *
 * Thread: any.
 * Errors: none; NULL and handles that were freed before are passed over.
 * Since: 0.1
 */
void hysock_producer_config_free(hysock_producer_config *config);

/*
 * ===============================================================================================
 * producer
 * ===============================================================================================
 *
 * A producer: messages to one receiver, across its restarts.
 *
 * Needed: hysock_producer_new(), hysock_producer_send(), hysock_producer_shutdown(),
 * hysock_producer_free().
 *
 * It connects with the first message. As long as nothing waits, a message goes out on the caller's own
 * thread; otherwise it waits in a bounded queue, and a library thread sends it, many with one system
 * call. When the receiver is absent or its backlog is full, that thread tries again after 10 ms, then
 * after longer and longer pauses up to 1 s. After a reconnect only messages that were not fully written
 * are sent again: a message arrives once at most.
 *
 * "Sent" is not "received": what was written and not read when a connection broke is *in doubt*, and
 * counted. hysock_producer_flush() says how far messages have come, hysock_producer_shutdown() what
 * became of all of them. No framing of the library's own is on the wire: any program can receive.
 */

/** Until the kernel has taken all of it. */
#define HYSOCK_FLUSH_WRITTEN 1

/**
 * Until the receiving process has read all of it. Of datagrams: until none waits in the receiver's
 * queue.
 */
#define HYSOCK_FLUSH_READ 2

/** What became of the messages of a producer that was shut down. */
typedef struct hysock_producer_report {
    /** Read by the receiving process. */
    uint64_t delivered;
    /** Written to a connection that broke, or was not read to its end in time: nobody can know. */
    uint64_t in_doubt;
    /** Never written. */
    uint64_t unsent;
    /** Dropped by the overflow policy, or refused by the socket. */
    uint64_t dropped;
} hysock_producer_report;

/** What a producer has counted since it was made. Later versions add numbers at the end. */
typedef struct hysock_producer_counts {
    /** Messages that the kernel took. */
    uint64_t written;
    /** Messages that wait now. */
    uint64_t queued;
    /** Of the written ones: those that may have been lost with a connection. */
    uint64_t in_doubt;
    uint64_t dropped_oldest;
    uint64_t dropped_newest;
    /** Messages that waited, and that the socket then refused. */
    uint64_t refused;
    /** Connections that were made. */
    uint64_t connections;
} hysock_producer_counts;

/**
 * Make a producer for the receiver at `address`. Nothing is connected yet: the receiver may be absent.
 *
 * `address` is as in hysock_client_new(). `config` may be NULL for the defaults and may be freed as soon
 * as this returns.
 *
 * Thread: any.
 * Owns: free `*producer` with hysock_producer_free().
 * Errors: HYSOCK_E_INVALID_ARGUMENT, also for what a setter of `config` had refused;
 * HYSOCK_E_BAD_HANDLE, HYSOCK_E_SHUT_DOWN, HYSOCK_E_FORKED, HYSOCK_E_LIMIT.
 * Since: 0.1
 */
hysock_status hysock_producer_new(hysock_runtime *runtime,
                                  const char *address,
                                  size_t address_len,
                                  const hysock_producer_config *config,
                                  hysock_producer **producer,
                                  hysock_error *err);

/**
 * Send one message. It is copied: written at once, or put into the queue.
 *
 * `timeout_ms` is for room in the queue: 0 tries, HYSOCK_FOREVER waits for as long as it takes. A
 * message that failed was not sent and is not in the queue.
 *
 * Thread: any, several at once; with a timeout not on I/O threads.
 * Errors: HYSOCK_E_TIMED_OUT when there was no room in time, HYSOCK_E_WOULD_BLOCK when there is none and
 * `timeout_ms` is 0; HYSOCK_E_LIMIT when the queue is full and the overflow policy is to fail; HYSOCK_E_TOO_LARGE; HYSOCK_E_FORBIDDEN and
 * HYSOCK_E_WRONG_TYPE when there can be no connection (that the receiver is absent is no error);
 * HYSOCK_E_SHUT_DOWN; HYSOCK_E_WOULD_DEADLOCK, HYSOCK_E_INVALID_ARGUMENT, HYSOCK_E_BAD_HANDLE,
 * HYSOCK_E_FORKED, HYSOCK_E_SYSTEM.
 * Since: 0.1
 */
hysock_status hysock_producer_send(hysock_producer *producer,
                                   const void *message,
                                   size_t message_len,
                                   uint32_t timeout_ms,
                                   hysock_error *err);

/**
 * Take no more messages, give those that wait up to `drain_ms` milliseconds to be written and read, end
 * the connection, and say what became of all messages since the producer was made.
 *
 * The connection is half-closed and the receiver's own end of it waited for: it comes when it has read
 * everything. `report` may be NULL, and `report_size` is `sizeof *report`.
 *
 * Thread: any but callbacks'.
 * Errors: HYSOCK_E_WOULD_DEADLOCK inside callbacks; HYSOCK_E_INVALID_ARGUMENT, HYSOCK_E_BAD_HANDLE,
 * HYSOCK_E_FORKED.
 * Since: 0.1
 */
hysock_status hysock_producer_shutdown(hysock_producer *producer,
                                       uint32_t drain_ms,
                                       hysock_producer_report *report,
                                       size_t report_size,
                                       hysock_error *err);

/**
 * Free a producer. One that was not shut down ends at once: what waits is lost. Never waits.
 *
 * Thread: any, also inside callbacks.
 * Errors: none; NULL and handles that were freed before are passed over.
 * Since: 0.1
 */
void hysock_producer_free(hysock_producer *producer);

/**
 * Wait until every message that was sent before has come that far: HYSOCK_FLUSH_WRITTEN or
 * HYSOCK_FLUSH_READ.
 *
 * Thread: any but the I/O threads, which may only call it with a timeout of 0.
 * Errors: HYSOCK_E_TIMED_OUT, HYSOCK_E_WOULD_BLOCK when `timeout_ms` is 0; HYSOCK_E_CLOSED when a
 * connection broke since the last flush and messages are in doubt; HYSOCK_E_SHUT_DOWN when the producer
 * has ended before; HYSOCK_E_WOULD_DEADLOCK, HYSOCK_E_INVALID_ARGUMENT, HYSOCK_E_BAD_HANDLE, HYSOCK_E_FORKED.
 * Since: 0.1
 */
hysock_status hysock_producer_flush(hysock_producer *producer,
                                    int32_t how,
                                    uint32_t timeout_ms,
                                    hysock_error *err);

/**
 * Fill `*counts` with what the producer has counted so far; also after its end, until it is freed.
 *
 * `size` is `sizeof *counts`: see hysock_server_stats().
 *
 * Thread: any, also inside callbacks.
 * Errors: HYSOCK_E_INVALID_ARGUMENT, HYSOCK_E_BAD_HANDLE, HYSOCK_E_FORKED.
 * Since: 0.1
 */
hysock_status hysock_producer_stats(hysock_producer *producer,
                                    hysock_producer_counts *counts,
                                    size_t size,
                                    hysock_error *err);

/*
 * ===============================================================================================
 * producer send
 * ===============================================================================================
 *
 * Sending several messages at once, in pieces, and with descriptors. All of it is options.
 */

/** One message of a batch that is sent. */
typedef struct hysock_slice {
    /** May be NULL when `len` is 0. */
    const void *data;
    size_t len;
} hysock_slice;

/**
 * Send `count` messages in order, many with one system call. `*sent` says how many were sent or wait in
 * the queue: all of them, or those before the one that the error is about.
 *
 * Thread: any, several at once; with a timeout not on I/O threads.
 * Errors: as hysock_producer_send().
 * Since: 0.1
 */
hysock_status hysock_producer_send_batch(hysock_producer *producer,
                                         const hysock_slice *messages,
                                         size_t count,
                                         uint32_t timeout_ms,
                                         size_t *sent,
                                         hysock_error *err);

/**
 * Send one message that is made of `count` pieces.
 *
 * Thread: any, several at once; with a timeout not on I/O threads.
 * Errors: as hysock_producer_send().
 * Since: 0.1
 */
hysock_status hysock_producer_sendv(hysock_producer *producer,
                                    const hysock_slice *pieces,
                                    size_t count,
                                    uint32_t timeout_ms,
                                    hysock_error *err);

/**
 * Send one message with `fd_count` open descriptors, 1 to 253. They are duplicated: yours stay yours.
 * See hysock_producer_config_set_fds().
 *
 * Thread: any, several at once; with a timeout not on I/O threads.
 * Errors: as hysock_producer_send(), HYSOCK_E_FORBIDDEN also when the receiver refuses descriptors, and
 * HYSOCK_E_STATE when they are off.
 * Since: 0.1
 */
hysock_status hysock_producer_send_fds(hysock_producer *producer,
                                       const void *message,
                                       size_t message_len,
                                       const int32_t *fds,
                                       size_t fd_count,
                                       uint32_t timeout_ms,
                                       hysock_error *err);

/*
 * ===============================================================================================
 * headers
 * ===============================================================================================
 *
 * Headers in one go: all that came in, or all that are to go out, by one call. For wrappers in other
 * languages, which pay for each call; hysock_exchange_header() and its like are the short way in C.
 */

/** One header: of several with the same name each is one. */
typedef struct hysock_header {
    /** What comes out is in lower case. */
    hysock_str name;
    hysock_str value;
} hysock_header;

/**
 * All headers of the request: as many as there are up to `n` are written to `headers`, in the order in
 * which hysock_exchange_header_at() shows them. Returns how many there are.
 *
 * Thread: any, one at a time.
 * Errors: negative: HYSOCK_E_INVALID_ARGUMENT, HYSOCK_E_BAD_HANDLE.
 * Since: 0.1
 */
int32_t hysock_exchange_headers(const hysock_exchange *exchange,
                                hysock_header *headers,
                                size_t n);

/**
 * All trailers of the request, once its body was read to the end: as hysock_exchange_headers().
 *
 * Thread: any, one at a time.
 * Errors: negative: HYSOCK_E_INVALID_ARGUMENT, HYSOCK_E_BAD_HANDLE.
 * Since: 0.1
 */
int32_t hysock_exchange_trailers(const hysock_exchange *exchange,
                                 hysock_header *trailers,
                                 size_t n);

/**
 * Add `n` headers to the answer, as if by hysock_exchange_add_header() one after another, up to the
 * first that is refused.
 *
 * Thread: any, one at a time.
 * Errors: as hysock_exchange_set_header().
 * Since: 0.1
 */
hysock_status hysock_exchange_add_headers(hysock_exchange *exchange,
                                          const hysock_header *headers,
                                          size_t n);

/**
 * All headers of the answer: as hysock_exchange_headers(). None as long as there is no answer.
 *
 * Thread: any, one at a time.
 * Errors: negative: HYSOCK_E_INVALID_ARGUMENT, HYSOCK_E_BAD_HANDLE.
 * Since: 0.1
 */
int32_t hysock_call_headers(const hysock_call *call, hysock_header *headers, size_t n);

/**
 * All trailers of the answer, once its body was read to the end: as hysock_exchange_headers().
 *
 * Thread: any, one at a time.
 * Errors: negative: HYSOCK_E_INVALID_ARGUMENT, HYSOCK_E_BAD_HANDLE.
 * Since: 0.1
 */
int32_t hysock_call_trailers(const hysock_call *call, hysock_header *trailers, size_t n);

/**
 * Add `n` headers to the request, as if by hysock_call_add_header() one after another, up to the first
 * that is refused.
 *
 * Thread: any, one at a time.
 * Errors: as hysock_call_set_header().
 * Since: 0.1
 */
hysock_status hysock_call_add_headers(hysock_call *call,
                                      const hysock_header *headers,
                                      size_t n);

/*
 * ===============================================================================================
 * queue take
 * ===============================================================================================
 *
 * The form of a queue without callbacks: what would run a function comes out as data instead. For
 * languages in which a call from C is dear, and for programs that like to decide themselves:
 *
 *     hysock_event events[64];
 *     int32_t n = hysock_queue_take(queue, events, 64, sizeof events[0], HYSOCK_FOREVER);
 *     for (int32_t i = 0; i < n; i++)
 *         handle(&events[i]);
 *
 * A queue is either dispatched or taken. Where callbacks would run on one that is taken, `fn` may be
 * NULL; one that is given never runs, and nobody may dispatch the queue. What must have run before
 * something goes on is called as ever: hysock_server_on_request(), hysock_server_on_answer(),
 * hysock_call_set_body_reader(), hysock_call_on_progress(), hysock_call_on_informational().
 *
 * The waits of what is delivered by it, hysock_server_wait() and so on, cannot take: another thread does
 * so meanwhile, or the same one between waits that do not last. They end when all was given back.
 */

/**
 * A registration has ended: `userdata` is not used any more. In the place of a call of its `drop`; there
 * is none without a `drop`.
 */
#define HYSOCK_EVENT_DROP 1

/**
 * A request, `handle` is its hysock_exchange. It counts as deferred: yours until hysock_exchange_free().
 */
#define HYSOCK_EVENT_REQUEST 2

/** hysock_exchange_on_gone(): the client has left. */
#define HYSOCK_EVENT_GONE 3

/** hysock_exchange_read_start(): `status`, and the piece in `data`. */
#define HYSOCK_EVENT_READ 4

/** hysock_exchange_on_writable(): there is room again. */
#define HYSOCK_EVENT_WRITABLE 5

/** hysock_exchange_upgrade(): the connection in `fd`, early bytes in `data`. */
#define HYSOCK_EVENT_UPGRADED 6

/** hysock_call_start(): the hysock_call in `handle` has ended, with `status`. */
#define HYSOCK_EVENT_CALL 7

/**
 * hysock_server_on_closed(): the hysock_server in `handle` has ended, `status` and `aborted` say how.
 */
#define HYSOCK_EVENT_CLOSED 8

/** hysock_server_on_access(): `access`; `handle` is the hysock_server. */
#define HYSOCK_EVENT_ACCESS 9

/**
 * Messages in `batch` for the hysock_receiver in `handle`. The batch is yours until
 * hysock_batch_free(), as if it had been kept.
 */
#define HYSOCK_EVENT_BATCH 10

/**
 * hysock_runtime_after(): the time has come. `handle` is the hysock_timer, NULL when none was asked for.
 */
#define HYSOCK_EVENT_TIMER 11

/** hysock_runtime_on_log(): a line in `data`, and its `level`. */
#define HYSOCK_EVENT_LOG 12

/** hysock_call_read_start(): as HYSOCK_EVENT_READ, for the hysock_call in `handle`. */
#define HYSOCK_EVENT_CALL_READ 13

/** hysock_call_on_writable(): as HYSOCK_EVENT_WRITABLE, for the hysock_call in `handle`. */
#define HYSOCK_EVENT_CALL_WRITABLE 14

/** What would have been a call of a function. What a kind does not use is 0. */
typedef struct hysock_event {
    /** One of HYSOCK_EVENT_*; skip what you do not know. */
    int32_t kind;
    hysock_status status;
    /** What was given with the registration. */
    void *userdata;
    /** Whose event it is; its type follows from `kind`. */
    void *handle;
    hysock_batch *batch;
    /** Good as long as its handle, a log line until the next take. */
    hysock_str data;
    /** Good until the next take. */
    const hysock_access *access;
    /** Answers that were cut short. */
    uint64_t aborted;
    int32_t fd;
    /** One of HYSOCK_LOG_*. */
    int32_t level;
} hysock_event;

/**
 * Take up to `n` events that wait, in their order; returns how many.
 *
 * `size` is `sizeof(hysock_event)`. When nothing waits, it waits up to `timeout_ms` milliseconds (0: not
 * at all, HYSOCK_FOREVER: until something comes) for the first one; hysock_queue_wake() ends the waiting
 * with 0.
 *
 * What was taken belongs to the thread that took it, until that thread takes again, or anybody into the
 * same array: that gives it back. Until then no other event of the same handle comes out, and the end of
 * a registration never comes in one array with an event that uses it. While
 * something waits only for that, the descriptor is readable. Take once more with an `n` of 0, which only
 * gives back, before a thread goes on to something else.
 *
 * Thread: any but I/O threads; not in functions that a take runs.
 * Owns: exchanges and batches that come out are to be freed; other handles are whose they were.
 * Errors: negative: HYSOCK_E_SHUT_DOWN when the queue was freed or its runtime has ended;
 * HYSOCK_E_WOULD_DEADLOCK, HYSOCK_E_INVALID_ARGUMENT, HYSOCK_E_BAD_HANDLE, HYSOCK_E_FORKED,
 * HYSOCK_E_SYSTEM.
 * Since: 0.1
 */
int32_t hysock_queue_take(hysock_queue *queue,
                          hysock_event *events,
                          size_t n,
                          size_t size,
                          uint32_t timeout_ms);

#ifdef __cplusplus
} /* extern "C" */
#endif

#endif /* HYSOCK_H */
