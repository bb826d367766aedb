/*
 * Latencies of one run: log-linear, 128 equal buckets for each power of two of nanoseconds. A percentile is the
 * middle of its bucket, so at most 0.4 % from the recorded value; below 128 ns it is exact. Values of 2^40 ns
 * (18 min) and more count as the largest; the largest value itself is kept exactly.
 *
 * Threading: one owner.
 */
#ifndef FRT_BENCH_LOAD_HISTOGRAM_H
#define FRT_BENCH_LOAD_HISTOGRAM_H

#include <stdint.h>

enum {
    LOAD_HISTOGRAM_BITS = 7,
    LOAD_HISTOGRAM_TOP = 40,
    LOAD_HISTOGRAM_BUCKETS = (LOAD_HISTOGRAM_TOP - LOAD_HISTOGRAM_BITS + 1) << LOAD_HISTOGRAM_BITS
};

struct load_histogram {
    uint64_t counts[LOAD_HISTOGRAM_BUCKETS];
    uint64_t count;
    int64_t max_ns;
    double sum_ns;
};

/** Negative values count as 0. */
void load_histogram_add(struct load_histogram *histogram, int64_t ns);
/** The value that `share` (0..1) of the records do not exceed, in ms; 0 when there is none. */
double load_histogram_percentile_ms(const struct load_histogram *histogram, double share);

#endif
