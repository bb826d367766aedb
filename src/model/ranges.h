/*
 * The range of values that a tensor takes, and which of it eight bits should cover.
 *
 *     values ─ frt_range_add ─> histogram ─ frt_range_choose ─> [lo, hi] ─ frt_range_quantum ─> scale, zero
 *
 * Histogram: FRT_RANGE_BINS bins over [-half, half]; half is a power of two that doubles as larger values come,
 * two bins becoming one. Zeros are counted apart: behind a relu they are most of what there is, they cost
 * nothing, and would hide the rest from every method that counts.
 *
 * Methods:
 *   min-max     all that was seen: nothing is clipped, one outlier makes every step larger
 *   percentile  FRT_RANGE_TAIL of the values are cut off at either end
 *   entropy     the cut whose quantised histogram differs least from the real one (Kullback-Leibler); as
 * TensorRT's calibrator: Migacz, "8-bit inference with TensorRT", 2017 mse         the cut with the smallest
 * mean square error, of rounding inside and of clipping outside
 *
 * A chosen range always contains 0, which quantises exactly: paddings and relus rely on it.
 *
 * Threading: one owner.
 */
#ifndef FRT_MODEL_RANGES_H
#define FRT_MODEL_RANGES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FRT_RANGE_TAIL 1e-4

enum { FRT_RANGE_BINS = 4096 };

enum frt_range_method {
    FRT_RANGE_MIN_MAX = 0,
    FRT_RANGE_PERCENTILE,
    FRT_RANGE_ENTROPY,
    FRT_RANGE_MSE,
    FRT_RANGE_METHODS
};

/** "min-max", "percentile", "entropy", "mse". Static storage. */
const char *frt_range_method_name(enum frt_range_method method);

struct frt_range {
    float lo, hi; /* lo <= 0 <= hi */
};

/** Zero is the start. */
struct frt_range_stats {
    float lo, hi;        /* seen, 0 included */
    double half;         /* 0: nothing but zeros yet */
    double squares;      /* sum of v² */
    uint64_t n, zeros;   /* finite values; how many of them are 0 */
    uint64_t not_finite; /* left out of all else */
    uint64_t bins[FRT_RANGE_BINS];
};

void frt_range_add(struct frt_range_stats *stats, const float *values, size_t n);
struct frt_range frt_range_choose(const struct frt_range_stats *stats, enum frt_range_method method);

/** Scale and zero of 8 unsigned bits over a range. A range of nothing: scale 1, zero 0. */
void frt_range_quantum(struct frt_range range, float *scale, uint8_t *zero);
/** Mean square error of eight bits over this range, relative to the mean square of the values; 0 with none. */
double frt_range_error(const struct frt_range_stats *stats, struct frt_range range);

#endif
