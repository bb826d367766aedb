/*
 * Comparisons of different people, and of the same, from the embeddings of labelled photos.
 *
 *     photos ─┬─ pairs of photos              two of one person; two of different people
 *             └─ searches: each photo against the templates of all other people, k photos each
 *
 * Of the comparisons of different people all are counted (histogram), and the highest kept with whose they are
 * (`top`), since only those tell of false matches. Two comparisons that share a person depend on each other:
 * every uncertainty is therefore drawn over people, not over comparisons.
 *
 * Resampling people: a sample gives person p the weight w_p (how often it was drawn), and a comparison of a and
 * b the weight w_a · w_b. Where comparisons hardly depend on each other, which is so at high scores, such
 * samples spread wider than repeated studies would, by up to √3 (Owen 2007). `spread` is the factor that takes
 * that back: the root of the variance for data in pairs (Fafchamps and Gubert 2007) over that of the samples.
 *
 * Memory: at most 2 · FRT_TOP_MAX comparisons of 16 bytes, 4 bytes a photo and template. Time: photos² / 2 dot
 * products and photos × templates for each k.
 * Threading: pure functions.
 */
#ifndef FRT_ENGINE_CALIBRATE_SCORES_H
#define FRT_ENGINE_CALIBRATE_SCORES_H

#include "core/status.h"

enum { FRT_TOP_MAX = 200000, FRT_SCORE_BINS = 400 };

/** Labelled embeddings. Borrowed. */
struct frt_labelled {
    const float *vectors;   /* f32[n][dim], of length 1 */
    const uint32_t *person; /* [n], ascending from 0 without gaps */
    size_t n;
    uint32_t dim;
    bool (*cancelled)(void *arg);
    void *cancelled_arg;
};

struct frt_comparison {
    float score;
    uint32_t a, b;  /* people; of a search: the probe's, the template's */
    uint32_t probe; /* of a search: which photo */
};

struct frt_comparisons {
    struct frt_comparison *top; /* descending; owned */
    size_t n_top;
    uint64_t n;                         /* all of them, those that are not in top included */
    uint64_t histogram[FRT_SCORE_BINS]; /* of all; bin i holds scores from -1 + 2 i / FRT_SCORE_BINS on */
    /* Person a meets person b in left[a] · right[b] comparisons, counted twice when `pairs`. Owned. */
    uint32_t *left, *right;
    size_t n_people;
    bool pairs;
};
void frt_comparisons_deinit(struct frt_comparisons *comparisons);

/** One photo of somebody who is known. */
struct frt_mated {
    float score;     /* against that person's others */
    uint32_t person; /* */
    uint32_t above;  /* of a search: how many templates of other people score as high */
};
struct frt_mates {
    struct frt_mated *list; /* ascending by score; owned */
    size_t n;
    uint64_t histogram[FRT_SCORE_BINS];
};
void frt_mates_deinit(struct frt_mates *mates);

/** All pairs of photos. Errors: FRT_ENOMEM, FRT_ECANCELLED. */
FRT_NODISCARD enum frt_status frt_compare_pairs(const struct frt_labelled *labelled,
                                                struct frt_comparisons *different, struct frt_mates *same,
                                                struct frt_error *err);
/**
 * Each photo against the templates of people with k photos or more: of all other people, and for `same` against
 * one of k other photos of the same person. Which k photos is drawn from *state. Errors: FRT_EBAD_REQUEST
 * (fewer than 2 people have k photos), FRT_ENOMEM, FRT_ECANCELLED.
 */
FRT_NODISCARD enum frt_status frt_compare_searches(const struct frt_labelled *labelled, uint32_t k,
                                                   uint64_t *state, struct frt_comparisons *different,
                                                   struct frt_mates *same, struct frt_error *err);

/* ------------------------------------------------------- what they estimate */

/** Comparisons that the sample of people stands for. weight: [n_people], or NULL = all 1. */
double frt_comparisons_total(const struct frt_comparisons *c, const double *weight);
/** Share of comparisons at or above a score; NaN below the lowest one that was kept when some were not. */
double frt_false_match_rate(const struct frt_comparisons *c, float threshold);
/** The lowest threshold that at most this share reaches, halfway to the next score; NaN when the comparisons
 * that were kept do not reach so far, or fewer than one is behind it. */
float frt_threshold_for_rate(const struct frt_comparisons *c, double rate);
/** The same in a sample of people, for n rates, descending. out: [n]. */
void frt_thresholds_for_rates(const struct frt_comparisons *c, const double *weight, const double *rates,
                              size_t n, double *out);

/** Score that this share of all comparisons reaches, from the histogram: for shares too large for the top. */
float frt_score_for_rate(const struct frt_comparisons *c, double rate);

struct frt_dependence {
    uint64_t errors;  /* comparisons at or above the threshold */
    double effective; /* as many independent ones would be as sure */
    double spread;    /* by which samples of people are to be drawn together; 0.577 .. 1 */
};
/** Errors: FRT_ENOMEM. */
FRT_NODISCARD enum frt_status frt_dependence_at(const struct frt_comparisons *c, float threshold,
                                                struct frt_dependence *out, struct frt_error *err);

/**
 * Share of strangers whose search in a gallery of `people` returns anybody, at each of n thresholds,
 * descending: the mean over all galleries of that size that these people can form. weight  as above. people: at
 * most those with a template, without the stranger. out: [n]. Errors: FRT_ENOMEM.
 */
FRT_NODISCARD enum frt_status frt_open_set_rates(const struct frt_comparisons *searches, const double *weight,
                                                 size_t people, const float *thresholds, size_t n, double *out,
                                                 struct frt_error *err);
/** Share of searches of people of the gallery that do not return them first and at the threshold, in a gallery
 * of `people` (templates: how many were compared with). weight: as above. */
double frt_miss_rate(const struct frt_mates *mates, const double *weight, float threshold, double people,
                     double templates);
/** Share of same-person scores below each of n thresholds, ascending. weight: as above. out: [n], NaN without
 * scores. */
void frt_non_match_rates(const struct frt_mates *mates, const double *weight, const double *thresholds,
                         size_t n, double *out);

#endif
