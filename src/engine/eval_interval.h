/*
 * Intervals for measured shares. Threading: pure functions.
 */
#ifndef FRT_ENGINE_EVAL_INTERVAL_H
#define FRT_ENGINE_EVAL_INTERVAL_H

#include <stddef.h>

struct frt_interval {
    double low, high;
};

/** 95 % interval of a share of which `hits` in `n` independent trials were seen; 0 to 1 when n is 0.
 *  Source: Wilson 1927. Holds for few trials and for shares of 0 and 1, too. */
struct frt_interval frt_wilson(size_t hits, size_t n);

/** 95 % interval of drawn values (percentiles of a bootstrap); sorts them. NaN when n is 0. */
struct frt_interval frt_percentiles(double *values, size_t n);

#endif
