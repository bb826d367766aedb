#include "engine/score_statistics.h"

#include <math.h>
#include <stdlib.h>

enum { LEAST_TAIL = 20, BETA_STEPS = 300 };
static const double most_shape = 0.5;

/* ------------------------------------------------------------------ chance */

uint64_t frt_seeded_next(uint64_t *state)
{
    uint64_t z = (*state += 0x9E3779B97F4A7C15u);
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
}

size_t frt_seeded_below(uint64_t *state, size_t n)
{
    return (size_t)(frt_seeded_next(state) % n);
}

void frt_seeded_shuffle(size_t *list, size_t n, uint64_t *state)
{
    for (size_t i = n; i > 1; i--) {
        const size_t k = frt_seeded_below(state, i), swapped = list[i - 1];
        list[i - 1] = list[k];
        list[k] = swapped;
    }
}

/* ------------------------------------------------------------------- rates */

/* The continued fraction of the incomplete beta function (Numerical Recipes 6.4, by Lentz). */
static double beta_fraction(double a, double b, double x)
{
    static const double tiny = 1e-300;
    double c = 1, d = 1 - (a + b) * x / (a + 1);
    d = 1 / (fabs(d) < tiny ? tiny : d);
    double h = d;
    for (int m = 1; m <= BETA_STEPS; m++) {
        const double even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m));
        const double odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1));
        const double terms[2] = {even, odd};
        double factor = 1;
        for (int i = 0; i < 2; i++) {
            d = 1 + terms[i] * d;
            d = 1 / (fabs(d) < tiny ? tiny : d);
            c = 1 + terms[i] / c;
            c = fabs(c) < tiny ? tiny : c;
            factor = c * d;
            h *= factor;
        }
        if (fabs(factor - 1) < 1e-12)
            break;
    }
    return h;
}

/* Share of the beta distribution below x. */
static double beta_below(double a, double b, double x)
{
    if (x <= 0 || x >= 1)
        return x <= 0 ? 0 : 1;
    const double front = exp(lgamma(a + b) - lgamma(a) - lgamma(b) + a * log(x) + b * log1p(-x));
    return x < (a + 1) / (a + b + 2) ? front * beta_fraction(a, b, x) / a
                                     : 1 - front * beta_fraction(b, a, 1 - x) / b;
}

static double beta_quantile(double a, double b, double share)
{
    double low = 0, high = 1;
    for (int i = 0; i < 100; i++) {
        /* small rates are told apart by their logarithm */
        const double middle =
            low > 0 && high / low > 4 ? sqrt(low * high) : low + (high - low) / (low > 0 ? 2 : 16);
        if (beta_below(a, b, middle) < share)
            low = middle;
        else
            high = middle;
    }
    return high;
}

struct frt_range95 frt_rate_interval(double errors, double n)
{
    struct frt_range95 out = {0, 1};
    if (!(n > 0) || !(errors >= 0) || errors > n)
        return out;
    if (errors > 0)
        out.low = beta_quantile(errors, n - errors + 1, 0.025);
    if (errors < n)
        out.high = beta_quantile(errors + 1, n - errors, 0.975);
    return out;
}

static int ascending(const void *left, const void *right)
{
    const double a = *(const double *)left, b = *(const double *)right;
    return (a > b) - (a < b);
}

static double sorted_percentile(const double *values, size_t n, double share)
{
    if (n == 0)
        return (double)NAN;
    const double at = share * (double)(n - 1);
    const size_t i = (size_t)at;
    return i + 1 < n ? values[i] + (at - (double)i) * (values[i + 1] - values[i]) : values[n - 1];
}

double frt_percentile(double *values, size_t n, double share)
{
    if (n > 1)
        qsort(values, n, sizeof *values, ascending);
    return sorted_percentile(values, n, share);
}

struct frt_range95 frt_middle(double *values, size_t n)
{
    const double low = frt_percentile(values, n, 0.025);
    return (struct frt_range95){low, sorted_percentile(values, n, 0.975)};
}

/* -------------------------------------------------------------------- tail */

bool frt_tail_fit(const float *scores, const double *weights, size_t n, double share, struct frt_tail *out)
{
    double total = 0, mean = 0, moment = 0, seen = 0;
    if (n < LEAST_TAIL || !(share > 0 && share <= 1))
        return false;
    const double above = (double)scores[n - 1];
    for (size_t i = 0; i < n; i++)
        total += weights != NULL ? weights[i] : 1;
    if (!(total >= LEAST_TAIL))
        return false;
    for (size_t i = 0; i < n; i++) { /* from the highest: the share above is that seen so far */
        const double weight = weights != NULL ? weights[i] : 1, excess = (double)scores[i] - above;
        mean += weight * excess;
        moment += weight * excess * (seen + weight / 2) / total;
        seen += weight;
    }
    mean /= total;
    moment /= total;
    if (!(mean > 0) || !(mean > 2 * moment))
        return false;
    /* Twice the standard error that the estimate has where the shape is 0. */
    const double doubt = 2 * sqrt(4.0 / 3 / (double)n), found = 2 - mean / (mean - 2 * moment);
    const double shape = found > doubt ? fmin(found, most_shape) : 0;
    *out = (struct frt_tail){.above = above, .share = share, .scale = mean * (1 - shape), .shape = shape};
    return true;
}

double frt_tail_share(const struct frt_tail *tail, double score)
{
    const double x = fmax(0, (score - tail->above) / tail->scale);
    return tail->share * (tail->shape > 1e-9 ? pow(1 + tail->shape * x, -1 / tail->shape) : exp(-x));
}

double frt_tail_score(const struct frt_tail *tail, double share)
{
    const double ratio = tail->share / share;
    const double x = tail->shape > 1e-9 ? (pow(ratio, tail->shape) - 1) / tail->shape : log(ratio);
    return tail->above + tail->scale * fmax(0, x);
}
