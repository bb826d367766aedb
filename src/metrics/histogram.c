#include "metrics/histogram.h"

#include <string.h>

#define MAX_US ((UINT64_C(1) << 31) - 1)

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

/* relaxed throughout: the counters are statistics; none orders anything else */
static void record(struct frt_histogram *h, uint64_t us)
{
    (void)atomic_fetch_add_explicit(&h->counts[bucket_of(us)], 1, memory_order_relaxed);
    (void)atomic_fetch_add_explicit(&h->count, 1, memory_order_relaxed);
    (void)atomic_fetch_add_explicit(&h->sum_us, us, memory_order_relaxed);
    uint_fast64_t max = atomic_load_explicit(&h->max_us, memory_order_relaxed);
    while (us > max && !atomic_compare_exchange_weak_explicit(&h->max_us, &max, us, memory_order_relaxed,
                                                              memory_order_relaxed))
        ;
}

static void clear(struct frt_histogram *h)
{
    for (unsigned i = 0; i < FRT_HISTOGRAM_BUCKETS; i++)
        atomic_store_explicit(&h->counts[i], 0, memory_order_relaxed);
    atomic_store_explicit(&h->count, 0, memory_order_relaxed);
    atomic_store_explicit(&h->sum_us, 0, memory_order_relaxed);
    atomic_store_explicit(&h->max_us, 0, memory_order_relaxed);
}

static int64_t slot_now(const struct frt_window *window)
{
    return window->clock->monotonic_ns(window->clock) / 1000000000 / FRT_WINDOW_SLOT_SECONDS;
}

void frt_window_init(struct frt_window *window, const struct frt_clock *clock)
{
    window->clock = clock;
    for (int i = 0; i < FRT_WINDOW_SLOTS; i++) {
        clear(&window->slots[i]);
        atomic_store(&window->slot_number[i], -1);
    }
    clear(&window->all);
}

void frt_window_record(struct frt_window *window, double ms)
{
    double us = ms * 1000.0;
    uint64_t value = !(us > 0) ? 0 : us >= (double)MAX_US ? MAX_US : (uint64_t)us;
    int64_t now = slot_now(window);
    int i = (int)(now % FRT_WINDOW_SLOTS);
    int_fast64_t held = atomic_load(&window->slot_number[i]);
    if (held != now && atomic_compare_exchange_strong(&window->slot_number[i], &held, now))
        clear(&window->slots[i]);
    record(&window->slots[i], value);
    record(&window->all, value);
}

struct frt_summary frt_window_summary(const struct frt_window *window)
{
    uint64_t counts[FRT_HISTOGRAM_BUCKETS] = {0}, count = 0, sum = 0, max = 0, seen = 0;
    int64_t now = slot_now(window);
    for (int i = 0; i < FRT_WINDOW_SLOTS; i++) {
        int64_t held = atomic_load(&window->slot_number[i]);
        if (held < 0 || now - held >= FRT_WINDOW_SLOTS)
            continue;
        const struct frt_histogram *h = &window->slots[i];
        for (unsigned b = 0; b < FRT_HISTOGRAM_BUCKETS; b++) {
            uint64_t c = atomic_load_explicit(&h->counts[b], memory_order_relaxed);
            counts[b] += c;
            count += c;
        }
        sum += atomic_load_explicit(&h->sum_us, memory_order_relaxed);
        uint64_t m = atomic_load_explicit(&h->max_us, memory_order_relaxed);
        max = m > max ? m : max;
    }
    struct frt_summary s = {.count = count, .max_ms = (double)max / 1000.0};
    if (count == 0)
        return s;
    s.avg_ms = (double)sum / (double)count / 1000.0;
    const double shares[] = {0.50, 0.95, 0.99};
    double *outs[] = {&s.p50_ms, &s.p95_ms, &s.p99_ms};
    unsigned b = 0;
    for (int p = 0; p < 3; p++) {
        uint64_t rank = (uint64_t)(shares[p] * (double)count + 0.999999);
        while (b < FRT_HISTOGRAM_BUCKETS - 1 && seen + counts[b] < rank)
            seen += counts[b++];
        uint64_t top = bucket_top(b);
        *outs[p] = (double)(top < max ? top : max) / 1000.0;
    }
    return s;
}

uint64_t frt_histogram_count_below(const struct frt_histogram *histogram, double ms)
{
    uint64_t n = 0, limit = (uint64_t)(ms * 1000.0);
    for (unsigned b = 0; b < FRT_HISTOGRAM_BUCKETS && bucket_top(b) <= limit; b++)
        n += atomic_load_explicit(&histogram->counts[b], memory_order_relaxed);
    return n;
}
