/* Rates of identification from the outcomes of searches. */
#include <math.h>
#include <stdlib.h>

#include "engine/eval_identify.h"

double frt_eval_rank1(const struct frt_eval_search *mated, size_t n)
{
    size_t right = 0;
    for (size_t i = 0; i < n; i++)
        right += mated[i].right;
    return n > 0 ? (double)right / (double)n : (double)NAN;
}

double frt_eval_fpir(const struct frt_eval_search *non_mated, size_t n, float threshold)
{
    size_t named = 0;
    for (size_t i = 0; i < n; i++)
        named += non_mated[i].score >= threshold;
    return n > 0 ? (double)named / (double)n : (double)NAN;
}

double frt_eval_fnir(const struct frt_eval_search *mated, size_t n, float threshold)
{
    size_t found = 0;
    for (size_t i = 0; i < n; i++)
        found += mated[i].right && mated[i].score >= threshold;
    return n > 0 ? 1 - (double)found / (double)n : (double)NAN;
}

static int descending(const void *a, const void *b)
{
    const float x = ((const struct frt_eval_search *)a)->score, y = ((const struct frt_eval_search *)b)->score;
    return (x < y) - (x > y);
}

/* Standard deviation of the splits' FNIR. Searches of a split stand together. */
static double spread(const struct frt_eval_search *mated, size_t n, uint32_t n_splits, float threshold)
{
    double sum = 0, squares = 0;
    size_t splits = 0;
    for (size_t i = 0, end; i < n; i = end) {
        for (end = i + 1; end < n && mated[end].split == mated[i].split; end++)
            ;
        const double fnir = frt_eval_fnir(mated + i, end - i, threshold);
        sum += fnir;
        squares += fnir * fnir;
        splits++;
    }
    if (n_splits < 2 || splits < 2)
        return (double)NAN;
    const double mean = sum / (double)splits;
    return sqrt(fmax(0, (squares / (double)splits - mean * mean) * (double)splits / (double)(splits - 1)));
}

struct frt_eval_identify_point frt_eval_fnir_at(const struct frt_eval_search *mated, size_t n_mated,
                                                struct frt_eval_search *non_mated, size_t n_non_mated,
                                                uint32_t n_splits, double fpir)
{
    struct frt_eval_identify_point point = {.fpir = fpir, .threshold = -1};
    const size_t allowed = (size_t)(fpir * (double)n_non_mated + 1e-9);
    if (n_non_mated > 1)
        qsort(non_mated, n_non_mated, sizeof *non_mated, descending);
    /* the best that may no longer pass: just above its score */
    if (allowed < n_non_mated)
        point.threshold = nextafterf(non_mated[allowed].score, INFINITY);
    point.fpir_found = frt_eval_fpir(non_mated, n_non_mated, point.threshold);
    point.fnir = frt_eval_fnir(mated, n_mated, point.threshold);
    point.fnir_spread = spread(mated, n_mated, n_splits, point.threshold);
    return point;
}
