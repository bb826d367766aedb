/*
 * Verification metrics from scores alone: accuracy by folds, TAR at FAR, EER, AUC, ROC.
 *
 * A pair is accepted when its score is >= the threshold. Thresholds lie midway between neighbouring
 * scores, so that they carry over to other photos.
 *
 * Threading: pure functions.
 * Source: the View 2 protocol of Labeled Faces in the Wild (Huang et al. 2007); FAR and TAR as FMR and
 * 1 - FNMR of ISO/IEC 19795-1, over comparisons.
 */
#ifndef FRT_ENGINE_EVAL_METRICS_H
#define FRT_ENGINE_EVAL_METRICS_H

#include "core/status.h"

#define FRT_EVAL_MAX_FOLDS 100

struct frt_scored_pair {
    float score;
    bool same;     /* the same person, says the protocol */
    uint32_t fold; /* 0.. */
};

/** True accept rate at the lowest threshold whose false accept rate is at most `far`. With fewer than
 *  1 / far different pairs that is the rate at which none is accepted. */
struct frt_eval_point {
    double far;       /* asked for */
    double far_found; /* of these pairs */
    double tar;
    float threshold;
};

struct frt_eval_fold {
    uint32_t n_same, n_different;
    float threshold; /* best on the other folds; with one fold, on itself */
    double accuracy;
};

/** Best threshold for accuracy over the pairs whose fold is not `but` (UINT32_MAX: all pairs); the middle
 *  of the widest range among equals. `pairs` sorted by frt_eval_sort. 0 when there are no pairs. */
float frt_eval_best_threshold(const struct frt_scored_pair *pairs, size_t n, uint32_t but);
/** Share of right decisions over the pairs of `fold` (UINT32_MAX: all); NaN when there are none. */
double frt_eval_accuracy(const struct frt_scored_pair *pairs, size_t n, uint32_t fold, float threshold);
/** Ascending by score; among equal scores different pairs first. Every other function wants this order. */
void frt_eval_sort(struct frt_scored_pair *pairs, size_t n);
struct frt_eval_point frt_eval_tar_at(const struct frt_scored_pair *pairs, size_t n, double far);
/** Equal error rate: where 1 - TAR crosses FAR, interpolated; NaN without pairs of both kinds. */
double frt_eval_eer(const struct frt_scored_pair *pairs, size_t n);
/** Area under the ROC curve: the chance that a same pair outscores a different one, ties count half; NaN
 *  without pairs of both kinds. */
double frt_eval_auc(const struct frt_scored_pair *pairs, size_t n);

#endif
