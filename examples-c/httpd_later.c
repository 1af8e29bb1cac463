/* httpd: answers that come by the clock. No thread sleeps for them. */
#define _POSIX_C_SOURCE 200809L
#include "httpd.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { HOUR_MS = 3600 * 1000 };

/* The client has left: nothing is left to do for it. A timer may still hold the exchange; handles
 * are checked, so what it tries with one that is freed gives an error and nothing worse. */
static void forget(hysock_exchange *exchange, void *userdata) {
    (void)userdata;
    hysock_exchange_free(exchange);
}

/* From here on the exchange is ours, until hysock_exchange_free(). */
static bool keep(hysock_exchange *exchange) {
    hysock_error err;
    if (hysock_exchange_defer(exchange, &err) != HYSOCK_OK) {
        answer_text(exchange, 500, "defer: %s\n", err.message);
        return false;
    }
    hysock_exchange_on_gone(exchange, forget, NULL, NULL, NULL);
    return true;
}

/* GET /slow/{ms}: answered later, from the main thread. */
static void answer_slow(hysock_timer *timer, void *userdata) {
    (void)timer;
    answer_text(userdata, 200, "Sorry to have kept you waiting.\n");
}

/* A drop runs whatever happens: after answer_slow, instead of it, and when there is no timer. So
 * the exchange is freed in one place; unanswered, its client gets a 500. */
static void drop_exchange(void *userdata) { hysock_exchange_free(userdata); }

void get_slow(hysock_exchange *exchange, void *userdata) {
    const struct httpd *httpd = userdata;
    uint64_t ms;
    if (!parse_number(hysock_exchange_param(exchange, "ms"), HOUR_MS, &ms))
        answer_text(exchange, 400, "/slow/{ms}: a number from 0 to %d\n", HOUR_MS);
    else if (keep(exchange))
        hysock_runtime_after(httpd->runtime, (uint32_t)ms, httpd->main_queue, answer_slow, exchange,
                             drop_exchange, NULL, NULL);
}

/* GET /events/{count}?interval_ms=M: server-sent events. What is known of a feed goes from timer to
 * timer, and the last one's drop ends it. */
struct feed {
    const struct httpd *httpd;
    hysock_exchange *exchange; /* NULL: the next timer has it */
    uint64_t next, count;
    uint32_t interval_ms;
};

static void drop_feed(void *userdata) {
    struct feed *feed = userdata;
    hysock_exchange_free(feed->exchange); /* unfinished: the client sees that something broke */
    free(feed);
}

static void tick(hysock_timer *timer, void *userdata);

static void hand_on(struct feed *feed) {
    struct feed *next = malloc(sizeof *next);
    if (next == NULL)
        return;
    *next = *feed;
    feed->exchange = NULL;
    hysock_runtime_after(feed->httpd->runtime, feed->interval_ms, NULL, tick, next, drop_feed, NULL,
                         NULL);
}

static void tick(hysock_timer *timer, void *userdata) {
    struct feed *feed = userdata;
    char id[24], data[48];
    hysock_status status;
    (void)timer;
    snprintf(id, sizeof id, "%" PRIu64, feed->next);
    snprintf(data, sizeof data, "{\"n\":%" PRIu64 "}", feed->next);
    status = hysock_exchange_write_event(feed->exchange, "tick", id, data, strlen(data), 0, NULL);
    if (status == HYSOCK_OK)
        feed->next++;
    else if (status != HYSOCK_E_WOULD_BLOCK) /* of a slow reader: it gets this event a tick later */
        return;                              /* CLOSED, or freed by forget() */
    if (feed->next < feed->count)
        hand_on(feed);
    else
        hysock_exchange_finish(feed->exchange, NULL);
}

void get_events(hysock_exchange *exchange, void *userdata) {
    hysock_str interval = hysock_exchange_query_value(exchange, "interval_ms");
    struct feed feed = {userdata, exchange, 0, 0, 1000};
    uint64_t ms = feed.interval_ms;
    if (!parse_number(hysock_exchange_param(exchange, "count"), UINT64_MAX, &feed.count)) {
        answer_text(exchange, 400, "/events/{count}: a number\n");
        return;
    }
    if (interval.ptr != NULL && (!parse_number(interval, HOUR_MS, &ms) || ms == 0)) {
        answer_text(exchange, 400, "interval_ms: a number from 1 to %d\n", HOUR_MS);
        return;
    }
    feed.interval_ms = (uint32_t)ms;
    if (!keep(exchange))
        return;
    if (hysock_exchange_start_events(exchange, NULL) == HYSOCK_OK) {
        if (feed.count > 0)
            hand_on(&feed);
        else
            hysock_exchange_finish(exchange, NULL);
    }
    hysock_exchange_free(feed.exchange);
}
