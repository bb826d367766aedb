#include "load/load_histogram.h"

enum { PER_POWER = 1 << LOAD_HISTOGRAM_BITS };

static uint32_t bucket_of(uint64_t ns)
{
    if (ns < PER_POWER)
        return (uint32_t)ns;
    if (ns >> LOAD_HISTOGRAM_TOP != 0)
        return LOAD_HISTOGRAM_BUCKETS - 1;
    uint32_t shift = 63 - (uint32_t)__builtin_clzll(ns) - LOAD_HISTOGRAM_BITS;
    return (shift << LOAD_HISTOGRAM_BITS) + (uint32_t)(ns >> shift);
}

static double middle_of(uint32_t bucket)
{
    if (bucket < PER_POWER)
        return bucket;
    uint32_t shift = (bucket >> LOAD_HISTOGRAM_BITS) - 1;
    uint64_t low = (uint64_t)(bucket - (shift << LOAD_HISTOGRAM_BITS)) << shift;
    return (double)low + (double)((1ULL << shift) - 1) / 2;
}

void load_histogram_add(struct load_histogram *histogram, int64_t ns)
{
    if (ns < 0)
        ns = 0;
    histogram->counts[bucket_of((uint64_t)ns)]++;
    histogram->count++;
    histogram->sum_ns += (double)ns;
    if (ns > histogram->max_ns)
        histogram->max_ns = ns;
}

double load_histogram_percentile_ms(const struct load_histogram *histogram, double share)
{
    double wanted = share * (double)histogram->count;
    uint64_t seen = 0;
    if (histogram->count == 0)
        return 0;
    for (uint32_t i = 0; i < LOAD_HISTOGRAM_BUCKETS; i++) {
        seen += histogram->counts[i];
        if (histogram->counts[i] > 0 && (double)seen >= wanted - 1e-6) /* 0.07 × 100 is a little over 7 */ {
            double ns = middle_of(i);
            return (ns < (double)histogram->max_ns ? ns : (double)histogram->max_ns) / 1e6;
        }
    }
    return (double)histogram->max_ns / 1e6;
}
