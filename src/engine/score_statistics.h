/*
 * Statistics of comparison scores: seeded chance, rates with intervals, percentiles, the tail beyond the data.
 *
 *     rate      95 % interval of Clopper and Pearson; counts may be effective ones, that is, fewer than were
 *               counted when they depend on each other
 *     tail      what lies above a high score, as a generalised Pareto distribution: the share at or above t is
 *                   share · (1 + shape · (t - above) / scale) ^ (-1 / shape)
 *               or share · exp(-(t - above) / scale) for shape 0. Fitted by probability-weighted moments
 * (Hosking and Wallis 1987). A shape within
 *               twice its standard error of 0 is taken as 0: so small a sample tells nothing of it, and four
 * powers of ten on it would be everything. A negative one would promise that nobody ever passes some
 * similarity; it is taken as 0, too, which errs on the side of a higher threshold.
 *
 * Threading: pure functions.
 */
#ifndef FRT_ENGINE_SCORE_STATISTICS_H
#define FRT_ENGINE_SCORE_STATISTICS_H

#include "core/status.h"

/** SplitMix64 (Steele et al. 2014): small, seedable, the same everywhere. */
uint64_t frt_seeded_next(uint64_t *state);
/** 0 .. n - 1; n > 0. The bias of the remainder is below n / 2^64. */
size_t frt_seeded_below(uint64_t *state, size_t n);
void frt_seeded_shuffle(size_t *list, size_t n, uint64_t *state);

struct frt_range95 {
    double low, high;
};

/** 95 % interval of the share that `errors` of `n` estimate; both may be fractions. {0, 1} when n is 0. */
struct frt_range95 frt_rate_interval(double errors, double n);
/** The value below which the share lies, interpolated; sorts. NaN without values. */
double frt_percentile(double *values, size_t n, double share);
/** The middle 95 %; sorts. */
struct frt_range95 frt_middle(double *values, size_t n);

struct frt_tail {
    double above;        /* score where the tail begins */
    double share;        /* of all comparisons at or above it; 0 = there is no tail */
    double scale, shape; /* shape 0 .. 0.5 */
};

/**
 * Fit a tail to the highest scores.
 * scores   [n], descending; weights: of each, or NULL = 1.
 * share    that they are of all.
 * False when there are fewer than 20 scores or they do not differ; `out` is untouched then.
 */
bool frt_tail_fit(const float *scores, const double *weights, size_t n, double share, struct frt_tail *out);
/** Share of comparisons at or above a score in the tail. */
double frt_tail_share(const struct frt_tail *tail, double score);
/** Score that this share reaches; share <= tail->share. */
double frt_tail_score(const struct frt_tail *tail, double share);

#endif
