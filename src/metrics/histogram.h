/*
 * Latency histogram: log-linear, lock-free to record.
 *
 * A value in microseconds falls into one of 32 equal buckets of its power of two, so that a reported
 * percentile is at most 1/32 (3.2 %) above the recorded value; below 32 µs it is exact. 0 to 2^31 µs
 * (36 min); larger values count as the largest.
 *
 * A window keeps everything since the start, and a ring of histograms, one a slot of time; reading adds the
 * live ones up. The slot that comes into use is cleared by the first recorder that enters it; a record that
 * races with the clearing may be missing from the ring, at most one a thread and slot.
 *
 * All this stands FRT_METRICS_SHARDS times: a thread records into its own, and reading adds them up. With one,
 * two threads passed its cache lines to and fro, and a record took twice as long (docs/design/metrics.md).
 * Memory that nobody recorded into is never touched.
 *
 * Threading: internally synchronised (atomics).
 */
#ifndef FRT_METRICS_HISTOGRAM_H
#define FRT_METRICS_HISTOGRAM_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "core/clock.h"

enum {
    FRT_METRICS_SHARDS = 4,
    FRT_HISTOGRAM_BUCKETS = 32 * 27 + 32, /* exact 0..31, then 32 for each of 2^5 .. 2^31 */
    FRT_WINDOW_SLOTS = 6,
    FRT_WINDOW_SLOT_SECONDS = 10
};

struct frt_window_slot {
    atomic_int_fast64_t number; /* of the slot of time, and 1; 0 = never used */
    atomic_uint_fast64_t sum_us, max_us;
    atomic_uint counts[FRT_HISTOGRAM_BUCKETS];
};

struct frt_window_shard {
    _Alignas(64) atomic_uint_fast64_t sum_us;
    atomic_uint_fast64_t max_us;
    atomic_uint_fast64_t counts[FRT_HISTOGRAM_BUCKETS]; /* since start */
    struct frt_window_slot slots[FRT_WINDOW_SLOTS];
};

struct frt_window {
    const struct frt_clock *clock;
    struct frt_window_shard shards[FRT_METRICS_SHARDS];
};

/** What a window held at some time, to be added up, compared and summarised. One owner. */
struct frt_totals {
    uint64_t counts[FRT_HISTOGRAM_BUCKETS];
    uint64_t count, sum_us, max_us;
};

struct frt_summary {
    uint64_t count;
    double avg_ms, p50_ms, p95_ms, p99_ms, max_ms;
};

/** window  zeroed. */
void frt_window_init(struct frt_window *window, const struct frt_clock *clock);
void frt_window_record(struct frt_window *window, double ms);

/** Add what was recorded in the last minute, or since start, to `totals`. */
void frt_window_add_recent(const struct frt_window *window, struct frt_totals *totals);
void frt_window_add_all(const struct frt_window *window, struct frt_totals *totals);
/** before  an earlier reading of the same, whose records do not count; NULL = none. Its maximum is then that
 *          of a bucket. */
struct frt_summary frt_totals_summary(const struct frt_totals *totals, const struct frt_totals *before);
/** Records at or below `ms` (to the bucket), for cumulative buckets. */
uint64_t frt_totals_below(const struct frt_totals *totals, double ms);

/** Summary of the last minute. */
struct frt_summary frt_window_summary(const struct frt_window *window);

/** Which shard is this thread's: 0 to FRT_METRICS_SHARDS - 1, in turn. */
unsigned frt_metrics_shard(void);

#endif
