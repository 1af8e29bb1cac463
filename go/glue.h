/* What Go calls in one go. Only memory without pointers comes from Go, and nothing is kept of it.
 */
#ifndef HYSOCK_GO_GLUE_H
#define HYSOCK_GO_GLUE_H

#include <hysock.h>
#include <stdlib.h>
#include <string.h>

#define GLUE_HEADERS 512

/* What came in: texts one after another in a buffer, and their lengths. */
typedef struct glue_head {
    int32_t http_status; /* of an answer */
    int32_t version;
    uint64_t content_length;
    int32_t count; /* headers; their names and values are texts after method and target */
    uint32_t method_len;
    uint32_t target_len;
    int32_t peer_known;
    uint32_t uid;
    uint32_t gid;
    int32_t pid;
    size_t need; /* bytes of text */
    uint32_t lens[2 * GLUE_HEADERS];
} glue_head;

/* A piece of text for the buffer; counts what does not fit. */
static inline uint32_t glue_add(glue_head *head, char *buf, size_t size, hysock_str s) {
    if (head->need + s.len <= size && s.len > 0)
        memcpy(buf + head->need, s.ptr, s.len);
    head->need += s.len;
    return (uint32_t)s.len;
}

static inline void glue_headers(glue_head *head, char *buf, size_t size,
                                const hysock_header *headers, int32_t n) {
    head->count = n > GLUE_HEADERS ? GLUE_HEADERS : n;
    for (int32_t i = 0; i < head->count; i++) {
        head->lens[2 * i] = glue_add(head, buf, size, headers[i].name);
        head->lens[2 * i + 1] = glue_add(head, buf, size, headers[i].value);
    }
}

static inline void glue_exchange_head(hysock_exchange *exchange, glue_head *head, char *buf,
                                      size_t size) {
    hysock_header headers[GLUE_HEADERS];
    hysock_peer peer;
    head->need = 0;
    head->method_len = glue_add(head, buf, size, hysock_exchange_method(exchange));
    head->target_len = glue_add(head, buf, size, hysock_exchange_target(exchange));
    head->version = hysock_exchange_version(exchange);
    head->content_length = hysock_exchange_content_length(exchange);
    head->peer_known = 0;
    if (hysock_exchange_peer(exchange, &peer, sizeof peer, NULL) == HYSOCK_OK &&
        peer.state == HYSOCK_PEER_KNOWN) {
        head->peer_known = 1;
        head->uid = peer.uid;
        head->gid = peer.gid;
        head->pid = peer.pid;
    }
    glue_headers(head, buf, size, headers,
                 hysock_exchange_headers(exchange, headers, GLUE_HEADERS));
}

static inline void glue_exchange_trailers(hysock_exchange *exchange, glue_head *head, char *buf,
                                          size_t size) {
    hysock_header headers[GLUE_HEADERS];
    head->need = 0;
    glue_headers(head, buf, size, headers,
                 hysock_exchange_trailers(exchange, headers, GLUE_HEADERS));
}

static inline void glue_call_head(hysock_call *call, glue_head *head, char *buf, size_t size) {
    hysock_header headers[GLUE_HEADERS];
    head->need = 0;
    head->http_status = hysock_call_http_status(call);
    head->version = hysock_call_version(call);
    head->content_length = hysock_call_content_length(call);
    glue_headers(head, buf, size, headers, hysock_call_headers(call, headers, GLUE_HEADERS));
}

static inline void glue_call_trailers(hysock_call *call, glue_head *head, char *buf, size_t size) {
    hysock_header headers[GLUE_HEADERS];
    head->need = 0;
    glue_headers(head, buf, size, headers, hysock_call_trailers(call, headers, GLUE_HEADERS));
}

/* Headers that go out: names and values one after another, and their lengths. */
static inline hysock_header *glue_pairs(hysock_header *few, size_t room, const char *text,
                                        const uint32_t *lens, size_t n) {
    hysock_header *headers = n <= room ? few : malloc(n * sizeof *headers);
    for (size_t i = 0; headers != NULL && i < n; i++) {
        headers[i].name.ptr = text;
        headers[i].name.len = lens[2 * i];
        text += lens[2 * i];
        headers[i].value.ptr = text;
        headers[i].value.len = lens[2 * i + 1];
        text += lens[2 * i + 1];
    }
    return headers;
}

static inline hysock_status glue_add_headers(hysock_exchange *exchange, const char *text,
                                             const uint32_t *lens, size_t n) {
    hysock_header few[64];
    hysock_header *headers = glue_pairs(few, 64, text, lens, n);
    if (headers == NULL)
        return HYSOCK_E_LIMIT;
    hysock_status status = hysock_exchange_add_headers(exchange, headers, n);
    if (headers != few)
        free(headers);
    return status;
}

/* A whole answer. What add_headers refuses makes the answer fail with its words. */
static inline hysock_status glue_answer(hysock_exchange *exchange, int32_t http_status,
                                        const char *text, const uint32_t *lens, size_t n,
                                        const char *body, size_t body_len, hysock_error *err) {
    (void)glue_add_headers(exchange, text, lens, n);
    return hysock_exchange_answer(exchange, http_status, NULL, body, body_len, err);
}

static inline hysock_status glue_start_answer(hysock_exchange *exchange, int32_t http_status,
                                              const char *text, const uint32_t *lens, size_t n,
                                              uint64_t content_length, hysock_error *err) {
    (void)glue_add_headers(exchange, text, lens, n);
    return hysock_exchange_start_answer(exchange, http_status, NULL, content_length, err);
}

/* Bytes are `char` here: of a `void *` cgo looks at all of the object that it points into. */
static inline hysock_status glue_exchange_write(hysock_exchange *exchange, const char *piece,
                                                size_t len, hysock_error *err) {
    return hysock_exchange_write(exchange, piece, len, 0, err);
}

static inline hysock_status glue_call_write(hysock_call *call, const char *piece, size_t len,
                                            hysock_error *err) {
    return hysock_call_write(call, piece, len, 0, err);
}

enum glue_body { GLUE_NO_BODY, GLUE_STREAMED };

typedef struct glue_request {
    size_t method_len;
    size_t target_len;
    size_t upgrade_len;
    size_t count;
    int32_t body;
    uint64_t content_length;
} glue_request;

static inline const char *glue_z(char *buf, size_t size, const char *text, size_t len) {
    if (len >= size || memchr(text, 0, len) != NULL)
        return NULL;
    memcpy(buf, text, len);
    buf[len] = 0;
    return buf;
}

/* A call made and begun. `text` is method, target, upgrade, then the headers. */
static inline hysock_status glue_call_start(hysock_client *client, const glue_request *request,
                                            const char *text, const uint32_t *lens, uintptr_t id,
                                            hysock_call **call, hysock_error *err) {
    char method[64], upgrade[256];
    hysock_header few[64];
    hysock_status status =
        hysock_call_new(client, glue_z(method, sizeof method, text, request->method_len),
                        text + request->method_len, request->target_len, call, err);
    if (status != HYSOCK_OK)
        return status;
    text += request->method_len + request->target_len;
    hysock_call_set_streaming(*call);
    if (request->upgrade_len > 0)
        hysock_call_set_upgrade(*call, glue_z(upgrade, sizeof upgrade, text, request->upgrade_len));
    text += request->upgrade_len;
    hysock_header *headers = glue_pairs(few, 64, text, lens, request->count);
    hysock_call_add_headers(*call, headers, headers == NULL ? 0 : request->count);
    if (headers != few)
        free(headers);
    if (request->body == GLUE_STREAMED)
        hysock_call_set_body_stream(*call, NULL, request->content_length);
    status = hysock_call_start(*call, NULL, (void *)id, NULL, err);
    if (status != HYSOCK_OK) {
        hysock_call_free(*call);
        *call = NULL;
    }
    return status;
}

static inline hysock_status glue_on_gone(hysock_exchange *exchange, uintptr_t id) {
    return hysock_exchange_on_gone(exchange, NULL, (void *)id, NULL, NULL);
}

static inline hysock_status glue_exchange_read_start(hysock_exchange *exchange, uintptr_t id,
                                                     hysock_error *err) {
    return hysock_exchange_read_start(exchange, NULL, (void *)id, NULL, err);
}

static inline hysock_status glue_exchange_on_writable(hysock_exchange *exchange, uintptr_t id,
                                                      hysock_error *err) {
    return hysock_exchange_on_writable(exchange, NULL, (void *)id, NULL, err);
}

static inline hysock_status glue_exchange_upgrade(hysock_exchange *exchange, const char *protocol,
                                                  const char *text, const uint32_t *lens, size_t n,
                                                  uintptr_t id, hysock_error *err) {
    (void)glue_add_headers(exchange, text, lens, n);
    return hysock_exchange_upgrade(exchange, protocol, NULL, (void *)id, NULL, err);
}

static inline hysock_status glue_call_read_start(hysock_call *call, uintptr_t id,
                                                 hysock_error *err) {
    return hysock_call_read_start(call, NULL, (void *)id, NULL, err);
}

static inline hysock_status glue_call_on_writable(hysock_call *call, uintptr_t id,
                                                  hysock_error *err) {
    return hysock_call_on_writable(call, NULL, (void *)id, NULL, err);
}

static inline hysock_status glue_add_route(hysock_server *server, uintptr_t id, hysock_error *err) {
    hysock_status status =
        hysock_server_add_streaming_route(server, NULL, NULL, NULL, (void *)id, NULL, err);
    if (status != HYSOCK_OK)
        return status;
    return hysock_server_on_closed(server, NULL, (void *)id, NULL, err);
}

/* What stands beside a message's bytes. */
typedef struct glue_message {
    uint64_t producer;
    uint64_t sequence;
    size_t len;
    uint32_t flags;
    int32_t peer_known;
    uint32_t uid;
    uint32_t gid;
    int32_t pid;
} glue_message;

/* Calls of the userdata's drop come as an event in its place. */
static inline void glue_ended(void *userdata) { (void)userdata; }

static inline hysock_status glue_on_batch(hysock_receiver *receiver, uintptr_t id,
                                          hysock_error *err) {
    return hysock_receiver_on_batch(receiver, NULL, (void *)id, glue_ended, err);
}

/* How many messages a batch has, and bytes in all of them. */
static inline size_t glue_batch_size(const hysock_batch *batch, size_t *bytes) {
    size_t count;
    const hysock_message *messages = hysock_batch_messages(batch, &count);
    *bytes = 0;
    for (size_t i = 0; i < count; i++)
        *bytes += messages[i].len;
    return count;
}

/* All of a batch: the bytes one after another. Who sent a message is asked when it is another one.
 */
static inline void glue_batch_copy(const hysock_batch *batch, char *bytes, glue_message *out) {
    size_t count;
    hysock_peer peer = {.state = HYSOCK_PEER_GONE};
    const hysock_message *messages = hysock_batch_messages(batch, &count);
    for (size_t i = 0; i < count; i++) {
        const hysock_message *m = &messages[i];
        if ((i == 0 || m->producer != messages[i - 1].producer) &&
            hysock_batch_peer(batch, i, &peer, sizeof peer, NULL) != HYSOCK_OK)
            peer.state = HYSOCK_PEER_GONE;
        if (m->len > 0)
            memcpy(bytes, m->data, m->len);
        bytes += m->len;
        out[i] = (glue_message){
            m->producer, m->sequence, m->len,   m->flags, peer.state == HYSOCK_PEER_KNOWN,
            peer.uid,    peer.gid,    peer.pid,
        };
    }
}

static inline hysock_status glue_send(hysock_producer *producer, const char *message, size_t len,
                                      uint32_t timeout_ms, hysock_error *err) {
    return hysock_producer_send(producer, message, len, timeout_ms, err);
}

static inline hysock_status glue_send_fds(hysock_producer *producer, const char *message,
                                          size_t len, const int32_t *fds, size_t fd_count,
                                          uint32_t timeout_ms, hysock_error *err) {
    return hysock_producer_send_fds(producer, message, len, fds, fd_count, timeout_ms, err);
}

/* Messages that stand one after another; `*sent` is how many were sent. */
static inline hysock_status glue_send_batch(hysock_producer *producer, const char *text,
                                            const size_t *lens, size_t count, uint32_t timeout_ms,
                                            size_t *sent, hysock_error *err) {
    hysock_slice slices[64];
    hysock_status status = HYSOCK_OK;
    size_t done = 0;
    while (done < count && status == HYSOCK_OK) {
        size_t n = count - done < 64 ? count - done : 64, some = 0;
        for (size_t i = 0; i < n; i++) {
            slices[i].data = text;
            slices[i].len = lens[done + i];
            text += lens[done + i];
        }
        status = hysock_producer_send_batch(producer, slices, n, timeout_ms, &some, err);
        done += some;
    }
    *sent = done;
    return status;
}

/* An event as Go reads it: numbers stay numbers. */
typedef struct glue_event {
    int32_t kind;
    int32_t status;
    uintptr_t userdata;
    void *handle;
    hysock_batch *batch;
    const char *data;
    size_t len;
    int32_t fd;
} glue_event;

#define GLUE_BATCH 64

typedef struct glue_events {
    hysock_event raw[GLUE_BATCH];
    glue_event events[GLUE_BATCH];
} glue_events;

static inline int32_t glue_take(hysock_queue *queue, glue_events *e) {
    int32_t n = hysock_queue_take(queue, e->raw, GLUE_BATCH, sizeof e->raw[0], 0);
    for (int32_t i = 0; i < n; i++) {
        e->events[i].kind = e->raw[i].kind;
        e->events[i].status = e->raw[i].status;
        e->events[i].userdata = (uintptr_t)e->raw[i].userdata;
        e->events[i].handle = e->raw[i].handle;
        e->events[i].batch = e->raw[i].batch;
        e->events[i].data = e->raw[i].data.ptr;
        e->events[i].len = e->raw[i].data.len;
        e->events[i].fd = e->raw[i].fd;
    }
    return n;
}

#endif
