/* Latencies in buckets of about 0.8 % width, from 1 ns to 2^63 ns, in 64 KiB: what HdrHistogram
 * does. */
#ifndef HISTOGRAM_H
#define HISTOGRAM_H

#include <stdint.h>

#define STEPS 128 /* buckets to each power of two */

typedef struct {
    uint64_t counts[64 * STEPS];
    uint64_t n;
    uint64_t max;
} histogram;

static inline unsigned histogram_bucket(uint64_t ns) {
    if (ns < STEPS)
        return (unsigned)ns;
    unsigned top = 63u - (unsigned)__builtin_clzll(ns);
    return (top - 6) * STEPS + (unsigned)((ns >> (top - 7)) - STEPS);
}

static inline uint64_t histogram_value(unsigned bucket) {
    if (bucket < STEPS)
        return bucket;
    unsigned top = bucket / STEPS + 6;
    return ((uint64_t)(bucket % STEPS) + STEPS) << (top - 7);
}

static inline void histogram_add(histogram *h, uint64_t ns) {
    h->counts[histogram_bucket(ns)]++;
    h->n++;
    if (ns > h->max)
        h->max = ns;
}

/* The value that so great a part of all is not above; 0 when there is none. */
static inline uint64_t histogram_quantile(const histogram *h, double part) {
    uint64_t wanted = (uint64_t)(part * (double)h->n + 0.5), seen = 0;
    if (h->n == 0)
        return 0;
    if (wanted == 0)
        wanted = 1;
    for (unsigned i = 0; i < 64 * STEPS; i++) {
        seen += h->counts[i];
        if (seen >= wanted)
            return histogram_value(i) < h->max ? histogram_value(i) : h->max;
    }
    return h->max;
}

#endif
