#include "model/ranges.h"

#include <math.h>
#include <string.h>

enum { MIDDLE = FRT_RANGE_BINS / 2, LEVELS = 256, CUTS = 96 };

static const char *const names[FRT_RANGE_METHODS] = {"min-max", "percentile", "entropy", "mse"};

const char *frt_range_method_name(enum frt_range_method method)
{
    return (unsigned)method < FRT_RANGE_METHODS ? names[method] : "unknown";
}

/* --------------------------------------------------------------- histogram */

/* Two bins become one, from the middle outwards. */
static void double_half(struct frt_range_stats *s)
{
    for (size_t i = 0; i < MIDDLE; i++) {
        const bool inside = i < MIDDLE / 2;
        s->bins[MIDDLE + i] = inside ? s->bins[MIDDLE + 2 * i] + s->bins[MIDDLE + 2 * i + 1] : 0;
        s->bins[MIDDLE - 1 - i] = inside ? s->bins[MIDDLE - 1 - 2 * i] + s->bins[MIDDLE - 1 - (2 * i + 1)] : 0;
    }
    s->half *= 2;
}

static void make_room(struct frt_range_stats *s, float largest)
{
    if (s->half == 0)
        s->half = exp2(ceil(log2((double)largest)));
    while (s->half < (double)largest)
        double_half(s);
}

void frt_range_add(struct frt_range_stats *s, const float *values, size_t n)
{
    float lo = 0, hi = 0;
    for (size_t i = 0; i < n; i++) {
        if (!isfinite(values[i]))
            continue;
        lo = values[i] < lo ? values[i] : lo;
        hi = values[i] > hi ? values[i] : hi;
    }
    s->lo = lo < s->lo ? lo : s->lo;
    s->hi = hi > s->hi ? hi : s->hi;
    if (-lo > 0 || hi > 0)
        make_room(s, -lo > hi ? -lo : hi);
    const double by = s->half > 0 ? MIDDLE / s->half : 0;
    for (size_t i = 0; i < n; i++) {
        if (!isfinite(values[i])) {
            s->not_finite++;
            continue;
        }
        s->n++;
        if (values[i] == 0) {
            s->zeros++;
            continue;
        }
        const double v = (double)values[i];
        long bin = (long)floor(v * by) + MIDDLE;
        bin = bin < 0 ? 0 : bin >= FRT_RANGE_BINS ? FRT_RANGE_BINS - 1 : bin;
        s->bins[bin]++;
        s->squares += v * v;
    }
}

static double bin_middle(const struct frt_range_stats *s, size_t bin)
{
    return ((double)bin - MIDDLE + 0.5) * s->half / MIDDLE;
}

/* ----------------------------------------------------------------- choices */

void frt_range_quantum(struct frt_range range, float *scale, uint8_t *zero)
{
    const float span = range.hi - range.lo;
    if (!(span > 0) || !isfinite(span)) {
        *scale = 1;
        *zero = 0;
        return;
    }
    *scale = span / (LEVELS - 1);
    *zero = (uint8_t)lrintf(fminf(fmaxf(-range.lo / *scale, 0), LEVELS - 1));
}

double frt_range_error(const struct frt_range_stats *s, struct frt_range range)
{
    const double step = ((double)range.hi - (double)range.lo) / (LEVELS - 1);
    double sum = 0;
    if (!(s->squares > 0))
        return 0;
    for (size_t i = 0; i < FRT_RANGE_BINS; i++) {
        if (s->bins[i] == 0)
            continue;
        const double v = bin_middle(s, i), out = v > (double)range.hi   ? v - (double)range.hi
                                                 : v < (double)range.lo ? (double)range.lo - v
                                                                        : 0;
        sum += (double)s->bins[i] * (out > 0 ? out * out : step * step / 12);
    }
    return sum / s->squares;
}

/* All that was seen within [-limit, limit]. */
static struct frt_range cut_at(const struct frt_range_stats *s, double limit)
{
    return (struct frt_range){.lo = fmaxf(s->lo, (float)-limit), .hi = fminf(s->hi, (float)limit)};
}

static struct frt_range percentile(const struct frt_range_stats *s)
{
    const double tail = FRT_RANGE_TAIL * (double)s->n;
    double below = 0, above = 0;
    size_t first = 0, last = FRT_RANGE_BINS;
    while (first < MIDDLE && below + (double)s->bins[first] <= tail)
        below += (double)s->bins[first++];
    while (last > MIDDLE && above + (double)s->bins[last - 1] <= tail)
        above += (double)s->bins[--last];
    const double bin = s->half / MIDDLE;
    return (struct frt_range){.lo = fmaxf(s->lo, (float)(((double)first - MIDDLE) * bin)),
                              .hi = fminf(s->hi, (float)(((double)last - MIDDLE) * bin))};
}

/* Which of the levels a bin falls into. */
static size_t level_of(const struct frt_range_stats *s, size_t bin, struct frt_range range, double step)
{
    const double level = floor((bin_middle(s, bin) - (double)range.lo) / step);
    return level <= 0 ? 0 : level >= LEVELS - 1 ? LEVELS - 1 : (size_t)level;
}

/* Σ p·log(p/q): p the histogram with what is cut off put into its outermost bins, q the same through the levels
 * and spread over the bins of each that are not empty. */
static double divergence(const struct frt_range_stats *s, struct frt_range range)
{
    double mass[LEVELS] = {0}, total = 0, inside = 0, below = 0, above = 0, sum = 0;
    uint32_t used[LEVELS] = {0};
    const double step = ((double)range.hi - (double)range.lo) / LEVELS;
    size_t first = FRT_RANGE_BINS, last = 0;
    for (size_t i = 0; i < FRT_RANGE_BINS; i++) {
        const double v = bin_middle(s, i), n = (double)s->bins[i];
        total += n;
        if (v < (double)range.lo)
            below += n;
        else if (v > (double)range.hi)
            above += n;
        else if (n > 0) {
            const size_t level = level_of(s, i, range, step);
            mass[level] += n;
            used[level]++;
            inside += n;
            first = i < first ? i : first;
            last = i;
        }
    }
    if (!(inside > 0))
        return INFINITY;
    for (size_t i = first; i <= last; i++) {
        if (s->bins[i] == 0)
            continue;
        const size_t level = level_of(s, i, range, step);
        const double p = ((double)s->bins[i] + (i == first ? below : 0) + (i == last ? above : 0)) / total,
                     q = mass[level] / used[level] / inside;
        sum += p * log(p / q);
    }
    return sum;
}

/* The best of the cuts from an eighth of the largest value, or what 256 levels of one bin each cover, up to
 * all. */
static struct frt_range best_cut(const struct frt_range_stats *s, bool entropy)
{
    const double all = fmax((double)-s->lo, (double)s->hi), least = LEVELS * s->half / MIDDLE;
    struct frt_range best = cut_at(s, all);
    double best_cost = entropy ? divergence(s, best) : frt_range_error(s, best);
    for (int i = 1; i < CUTS; i++) {
        const double limit = all * (0.125 + 0.875 * i / CUTS);
        const struct frt_range range = cut_at(s, limit);
        if (entropy && (double)range.hi - (double)range.lo < least)
            continue;
        const double cost = entropy ? divergence(s, range) : frt_range_error(s, range);
        if (cost < best_cost) {
            best_cost = cost;
            best = range;
        }
    }
    return best;
}

struct frt_range frt_range_choose(const struct frt_range_stats *s, enum frt_range_method method)
{
    if (s->half == 0)
        return (struct frt_range){0};
    switch (method) {
    case FRT_RANGE_PERCENTILE:
        return percentile(s);
    case FRT_RANGE_ENTROPY:
        return best_cut(s, true);
    case FRT_RANGE_MSE:
        return best_cut(s, false);
    case FRT_RANGE_MIN_MAX:
    case FRT_RANGE_METHODS:
        break;
    }
    return (struct frt_range){s->lo, s->hi};
}
