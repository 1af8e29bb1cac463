/* How long each call of a blocking client took, when its last argument is `latency`. */
#ifndef LAPS_H
#define LAPS_H

#include "../clock.h"
#include "../histogram.h"

static histogram laps;

static inline int laps_wanted(int argc, char **argv) {
    return argc > 3 && !strcmp(argv[argc - 1], "latency");
}

static inline void laps_print(void) {
    if (laps.n > 0)
        printf("latency %.2f %.2f %.2f\n", (double)histogram_quantile(&laps, 0.5) / 1e3,
               (double)histogram_quantile(&laps, 0.99) / 1e3,
               (double)histogram_quantile(&laps, 0.999) / 1e3);
}

#endif
