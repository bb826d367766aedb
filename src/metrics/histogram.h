/*
 * Latency histogram: log-linear, lock-free to record.
 *
 * A value in microseconds falls into one of 32 equal buckets of its power of two, so that a reported
 * percentile is within 1/32 (3.2 %) of the recorded value; below 32 µs it is exact. 0 to 2^31 µs
 * (36 min); larger values count as the largest.
 *
 * A sliding window is a ring of histograms, one a slot of time; reading adds the live ones up. The slot
 * that comes into use is cleared by the first recorder that enters it; a record that races with the
 * clearing may be lost, at most one a thread and slot.
 *
 * Threading: internally synchronised (atomics).
 */
#ifndef FRT_METRICS_HISTOGRAM_H
#define FRT_METRICS_HISTOGRAM_H

#include <stdatomic.h>
#include <stdint.h>

#include "core/clock.h"

enum {
    FRT_HISTOGRAM_BUCKETS = 32 * 27 + 32, /* exact 0..31, then 32 for each of 2^5 .. 2^31 */
    FRT_WINDOW_SLOTS = 6,
    FRT_WINDOW_SLOT_SECONDS = 10
};

struct frt_histogram {
    atomic_uint counts[FRT_HISTOGRAM_BUCKETS];
    atomic_uint_fast64_t count, sum_us, max_us;
};

struct frt_summary {
    uint64_t count;
    double avg_ms, p50_ms, p95_ms, p99_ms, max_ms;
};

struct frt_window {
    const struct frt_clock *clock;
    struct frt_histogram slots[FRT_WINDOW_SLOTS];
    atomic_int_fast64_t slot_number[FRT_WINDOW_SLOTS]; /* which slot of time each holds */
    struct frt_histogram all;                          /* since start; for Prometheus */
};

void frt_window_init(struct frt_window *window, const struct frt_clock *clock);
void frt_window_record(struct frt_window *window, double ms);
/** Summary of the last minute. */
struct frt_summary frt_window_summary(const struct frt_window *window);
/** Records at or below `ms` since start, for cumulative buckets. */
uint64_t frt_histogram_count_below(const struct frt_histogram *histogram, double ms);

#endif
