#include "engine/eval_metrics.h"

#include <math.h>
#include <stdlib.h>

static int by_score(const void *left, const void *right)
{
    const struct frt_scored_pair *a = left, *b = right;
    if (a->score != b->score)
        return a->score < b->score ? -1 : 1;
    return (int)a->same - (int)b->same;
}

void frt_eval_sort(struct frt_scored_pair *pairs, size_t n)
{
    if (n > 1)
        qsort(pairs, n, sizeof *pairs, by_score);
}

static void count(const struct frt_scored_pair *pairs, size_t n, size_t *same, size_t *different)
{
    *same = 0;
    for (size_t i = 0; i < n; i++)
        *same += pairs[i].same;
    *different = n - *same;
}

float frt_eval_best_threshold(const struct frt_scored_pair *pairs, size_t n, uint32_t but)
{
    size_t right = 0;
    for (size_t i = 0; i < n; i++)
        right += pairs[i].fold != but && pairs[i].same;
    size_t best = 0;
    float low = -1, threshold = 0, widest = -1;
    /* thresholds in ascending order: before each group of equal scores, and after the last */
    for (size_t i = 0; i <= n;) {
        while (i < n && pairs[i].fold == but)
            i++;
        const float high = i < n ? pairs[i].score : fmaxf(low, 1);
        if (right > best || (right == best && high - low > widest)) {
            best = right;
            widest = high - low;
            /* halfway between neighbouring floats may be the lower one, which would accept its pairs */
            threshold = fmaxf(low + (high - low) / 2, nextafterf(low, 2));
        }
        if (i == n)
            break;
        for (low = high; i < n && pairs[i].score == low; i++) {
            if (pairs[i].fold == but)
                continue;
            if (pairs[i].same)
                right--;
            else
                right++;
        }
    }
    return threshold;
}

double frt_eval_accuracy(const struct frt_scored_pair *pairs, size_t n, uint32_t fold, float threshold)
{
    size_t right = 0, total = 0;
    for (size_t i = 0; i < n; i++) {
        if (fold != UINT32_MAX && pairs[i].fold != fold)
            continue;
        total++;
        right += (pairs[i].score >= threshold) == pairs[i].same;
    }
    return total > 0 ? (double)right / (double)total : NAN;
}

struct frt_eval_point frt_eval_tar_at(const struct frt_scored_pair *pairs, size_t n, double far)
{
    size_t same, different, accepted_same = 0, accepted_different = 0, at = n;
    count(pairs, n, &same, &different);
    const double allowed = floor(far * (double)different + 1e-9);
    while (at > 0) { /* one group of equal scores after another, from the best down */
        size_t begin = at, more_same = 0, more_different = 0;
        for (; begin > 0 && pairs[begin - 1].score == pairs[at - 1].score; begin--) {
            if (pairs[begin - 1].same)
                more_same++;
            else
                more_different++;
        }
        if ((double)(accepted_different + more_different) > allowed)
            break;
        accepted_same += more_same;
        accepted_different += more_different;
        at = begin;
    }
    struct frt_eval_point point = {.far = far, .far_found = NAN, .tar = NAN};
    if (different > 0)
        point.far_found = (double)accepted_different / (double)different;
    if (same > 0)
        point.tar = (double)accepted_same / (double)same;
    const float low = at > 0 ? pairs[at - 1].score : -1, high = at < n ? pairs[at].score : fmaxf(low, 1);
    point.threshold = fmaxf(low + (high - low) / 2, nextafterf(low, 2));
    return point;
}

double frt_eval_eer(const struct frt_scored_pair *pairs, size_t n)
{
    size_t same, different, missed, wrong = 0;
    count(pairs, n, &same, &different);
    if (same == 0 || different == 0)
        return NAN;
    missed = same;
    double far = 0, frr = 1;
    for (size_t at = n; at > 0;) {
        const float score = pairs[at - 1].score;
        for (; at > 0 && pairs[at - 1].score == score; at--) {
            if (pairs[at - 1].same)
                missed--;
            else
                wrong++;
        }
        const double next_far = (double)wrong / (double)different, next_frr = (double)missed / (double)same;
        if (next_far >= next_frr) {
            const double part = (frr - far) / ((frr - far) + (next_far - next_frr));
            return far + part * (next_far - far);
        }
        far = next_far;
        frr = next_frr;
    }
    return far; /* not reached: everything accepted has FAR 1 and no miss */
}

double frt_eval_auc(const struct frt_scored_pair *pairs, size_t n)
{
    size_t same, different, below = 0;
    double area = 0;
    count(pairs, n, &same, &different);
    if (same == 0 || different == 0)
        return NAN;
    for (size_t at = 0; at < n;) {
        const float score = pairs[at].score;
        size_t tied_same = 0, tied_different = 0;
        for (; at < n && pairs[at].score == score; at++) {
            if (pairs[at].same)
                tied_same++;
            else
                tied_different++;
        }
        area += (double)tied_same * ((double)below + (double)tied_different / 2);
        below += tied_different;
    }
    return area / ((double)same * (double)different);
}
