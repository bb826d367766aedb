#include "metrics/histogram.h"

#include <stddef.h>

#define MAX_US ((UINT64_C(1) << 31) - 1)

unsigned frt_metrics_shard(void)
{
    static atomic_uint threads;
    static _Thread_local unsigned mine; /* and 1 */
    if (mine == 0)                      /* relaxed: any number serves */
        mine = 1 + atomic_fetch_add_explicit(&threads, 1, memory_order_relaxed) % FRT_METRICS_SHARDS;
    return mine - 1;
}

static unsigned bucket_of(uint64_t us)
{
    if (us < 32)
        return (unsigned)us;
    unsigned power = 63U - (unsigned)__builtin_clzll(us); /* >= 5 */
    return 32 + (power - 5) * 32 + (unsigned)((us >> (power - 5)) & 31);
}

/* Largest value of a bucket. */
static uint64_t bucket_top(unsigned bucket)
{
    if (bucket < 32)
        return bucket;
    unsigned power = 5 + (bucket - 32) / 32, step = (bucket - 32) % 32;
    return ((UINT64_C(32) + step + 1) << (power - 5)) - 1;
}

/* ------------------------------------------------------------------ recording */

/* relaxed throughout: the counters are statistics; none orders anything else */

static void raise(atomic_uint_fast64_t *max_us, uint64_t us)
{
    uint_fast64_t max = atomic_load_explicit(max_us, memory_order_relaxed);
    while (us > max &&
           !atomic_compare_exchange_weak_explicit(max_us, &max, us, memory_order_relaxed, memory_order_relaxed))
        ;
}

static void clear(struct frt_window_slot *slot)
{
    for (unsigned i = 0; i < FRT_HISTOGRAM_BUCKETS; i++)
        atomic_store_explicit(&slot->counts[i], 0, memory_order_relaxed);
    atomic_store_explicit(&slot->sum_us, 0, memory_order_relaxed);
    atomic_store_explicit(&slot->max_us, 0, memory_order_relaxed);
}

static int64_t slot_now(const struct frt_window *window)
{
    return 1 + window->clock->monotonic_ns(window->clock) / 1000000000 / FRT_WINDOW_SLOT_SECONDS;
}

void frt_window_init(struct frt_window *window, const struct frt_clock *clock)
{
    window->clock = clock;
}

void frt_window_record(struct frt_window *window, double ms)
{
    double given = ms * 1000.0;
    uint64_t us = !(given > 0) ? 0 : given >= (double)MAX_US ? MAX_US : (uint64_t)given;
    unsigned bucket = bucket_of(us);
    struct frt_window_shard *shard = &window->shards[frt_metrics_shard()];
    int64_t now = slot_now(window);
    struct frt_window_slot *slot = &shard->slots[now % FRT_WINDOW_SLOTS];
    int_fast64_t held = atomic_load_explicit(&slot->number, memory_order_relaxed);
    if (held != now &&
        atomic_compare_exchange_strong_explicit(&slot->number, &held, now, memory_order_relaxed,
                                                memory_order_relaxed) &&
        held != 0)
        clear(slot);
    (void)atomic_fetch_add_explicit(&slot->counts[bucket], 1, memory_order_relaxed);
    (void)atomic_fetch_add_explicit(&slot->sum_us, us, memory_order_relaxed);
    raise(&slot->max_us, us);
    (void)atomic_fetch_add_explicit(&shard->counts[bucket], 1, memory_order_relaxed);
    (void)atomic_fetch_add_explicit(&shard->sum_us, us, memory_order_relaxed);
    raise(&shard->max_us, us);
}

/* -------------------------------------------------------------------- reading */

static void add_sums(struct frt_totals *totals, const atomic_uint_fast64_t *sum_us,
                     const atomic_uint_fast64_t *max_us)
{
    uint64_t max = atomic_load_explicit(max_us, memory_order_relaxed);
    totals->sum_us += atomic_load_explicit(sum_us, memory_order_relaxed);
    totals->max_us = max > totals->max_us ? max : totals->max_us;
}

void frt_window_add_recent(const struct frt_window *window, struct frt_totals *totals)
{
    int64_t now = slot_now(window);
    for (int k = 0; k < FRT_METRICS_SHARDS * FRT_WINDOW_SLOTS; k++) {
        const struct frt_window_slot *slot = &window->shards[k / FRT_WINDOW_SLOTS].slots[k % FRT_WINDOW_SLOTS];
        int64_t held = atomic_load_explicit(&slot->number, memory_order_relaxed);
        if (held == 0 || now - held >= FRT_WINDOW_SLOTS)
            continue;
        for (unsigned b = 0; b < FRT_HISTOGRAM_BUCKETS; b++) {
            uint64_t n = atomic_load_explicit(&slot->counts[b], memory_order_relaxed);
            totals->counts[b] += n;
            totals->count += n;
        }
        add_sums(totals, &slot->sum_us, &slot->max_us);
    }
}

void frt_window_add_all(const struct frt_window *window, struct frt_totals *totals)
{
    for (int k = 0; k < FRT_METRICS_SHARDS; k++) {
        const struct frt_window_shard *shard = &window->shards[k];
        for (unsigned b = 0; b < FRT_HISTOGRAM_BUCKETS; b++) {
            uint64_t n = atomic_load_explicit(&shard->counts[b], memory_order_relaxed);
            totals->counts[b] += n;
            totals->count += n;
        }
        add_sums(totals, &shard->sum_us, &shard->max_us);
    }
}

struct frt_summary frt_totals_summary(const struct frt_totals *totals, const struct frt_totals *before)
{
    const double shares[] = {0.50, 0.95, 0.99};
    struct frt_summary s = {.count = totals->count - (before != NULL ? before->count : 0)};
    double *outs[] = {&s.p50_ms, &s.p95_ms, &s.p99_ms};
    uint64_t seen = 0, max = 0;
    int p = 0;
    if (s.count == 0)
        return s;
    s.avg_ms = (double)(totals->sum_us - (before != NULL ? before->sum_us : 0)) / (double)s.count / 1000.0;
    for (unsigned b = 0; b < FRT_HISTOGRAM_BUCKETS; b++) {
        uint64_t n = totals->counts[b] - (before != NULL ? before->counts[b] : 0);
        seen += n;
        if (n == 0)
            continue;
        max = bucket_top(b) < totals->max_us ? bucket_top(b) : totals->max_us;
        for (; p < 3 && seen >= (uint64_t)(shares[p] * (double)s.count + 0.999999); p++)
            *outs[p] = (double)max / 1000.0;
    }
    s.max_ms = (double)(before != NULL ? max : totals->max_us) / 1000.0;
    for (; p < 3; p++)
        *outs[p] = s.max_ms;
    return s;
}

uint64_t frt_totals_below(const struct frt_totals *totals, double ms)
{
    uint64_t n = 0, limit = (uint64_t)(ms * 1000.0);
    for (unsigned b = 0; b < FRT_HISTOGRAM_BUCKETS && bucket_top(b) <= limit; b++)
        n += totals->counts[b];
    return n;
}

struct frt_summary frt_window_summary(const struct frt_window *window)
{
    struct frt_totals totals = {0};
    frt_window_add_recent(window, &totals);
    return frt_totals_summary(&totals, NULL);
}
