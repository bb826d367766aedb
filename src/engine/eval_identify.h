/*
 * Open-set identification over a folder of people: how often is the right name given, and how often a name to
 * somebody who is not enrolled?
 *
 *     folder of people ─ embeddings (eval_embed.h) ─ splits ─ searches, best and fused ─ metrics ─ report
 *
 * A split, for k enrolled photos a person, drawn by a seeded generator:
 *
 *     people with more than k photos   k random photos are enrolled; up to 5 others are mated probes
 *     all other people                 a random half: up to k random photos enrolled, distractors of the
 * gallery; the other half: up to 5 random photos, non-mated probes
 *
 * Every probe is looked for among all people of the gallery, exactly. A person scores as the most similar of
 * its faces (best) or as the normalised mean of its embeddings (fused). The searches of all splits are pooled.
 *
 * A photo without a face stays in its role: not enrolled, a miss as a mated probe, and no false positive as a
 * non-mated one, as a system in use behaves.
 *
 * Memory: one embedding a photo and 16 bytes a search. Threading: as eval_embed.h.
 * Source: ISO/IEC 19795-1 (FPIR, FNIR), NIST FRVT 1:N (NISTIR 8271), with candidate lists of length 1.
 */
#ifndef FRT_ENGINE_EVAL_IDENTIFY_H
#define FRT_ENGINE_EVAL_IDENTIFY_H

#include "core/buf.h"
#include "engine/eval_embed.h"

enum {
    FRT_EVAL_IDENTIFY_POINTS = 2,   /* FPIR 0.01 and 0.001 */
    FRT_EVAL_IDENTIFY_RESULTS = 8,  /* 1, 2, 3, 5 enrolled, best and fused */
    FRT_EVAL_IDENTIFY_PROBES = 5,   /* most of one person in one split */
    FRT_EVAL_IDENTIFY_MIN_MATED = 5 /* people; with fewer a k is left out */
};

/* --------------------------------------------------------------- metrics */

/** The outcome of one probe's search. */
struct frt_eval_search {
    float score;    /* of the first candidate; -1 when the probe has no face */
    bool right;     /* it is the probe's person (mated probes only) */
    uint32_t split; /* 0.. */
};

struct frt_eval_identify_point {
    double fpir;       /* asked for */
    double fpir_found; /* of these searches: at most `fpir` */
    double fnir;
    double fnir_spread; /* standard deviation over the splits, at this one threshold; NaN with one split */
    float threshold;    /* the lowest that keeps to it */
};

/** Share of mated searches whose first candidate is the right person, at any score; NaN without any. */
double frt_eval_rank1(const struct frt_eval_search *mated, size_t n);
/** Share of non-mated searches that return anybody at this threshold; NaN without any. */
double frt_eval_fpir(const struct frt_eval_search *non_mated, size_t n, float threshold);
/** Share of mated searches in which the right person is not first, or not at the threshold; NaN without any. */
double frt_eval_fnir(const struct frt_eval_search *mated, size_t n, float threshold);
/** non_mated is sorted by score, descending, on return. With fewer than 1 / fpir non-mated searches no false
 *  positive is allowed. */
struct frt_eval_identify_point frt_eval_fnir_at(const struct frt_eval_search *mated, size_t n_mated,
                                                struct frt_eval_search *non_mated, size_t n_non_mated,
                                                uint32_t n_splits, double fpir);

/* ------------------------------------------------------------------- run */

struct frt_eval_identify_options {
    const char *folder; /* <folder>/<person>/<photos>: .jpg, .jpeg, .png, .webp; required */
    uint32_t splits;    /* 1..1000; 0 = 20 */
    uint64_t seed;      /* of the splits */
    uint32_t threads;   /* of eval_embed.h, as what follows */
    enum frt_eval_face face;
    float min_confidence;
    void (*progress)(void *arg, size_t done, size_t total);
    void *progress_arg;
    bool (*cancelled)(void *arg);
    void *cancelled_arg;
};

struct frt_eval_identify_curve_point {
    float threshold;
    double fpir, fnir;
};

struct frt_eval_identify_result {
    uint32_t enrolled; /* k: photos of each mated person */
    bool fused;
    size_t mated_people, n_mated, n_non_mated;      /* the searches are those of all splits */
    double mean_gallery_people, mean_gallery_faces; /* of a split */
    double rank1;
    struct frt_eval_identify_point points[FRT_EVAL_IDENTIFY_POINTS];
    double fpir_at_default, fnir_at_default;
    struct frt_eval_identify_curve_point *curve; /* from low FPIR to high; owned */
    size_t n_curve;
};

struct frt_eval_identify_report {
    struct frt_eval_identify_result results[FRT_EVAL_IDENTIFY_RESULTS]; /* k ascending, best before fused */
    size_t n_results;
    size_t n_photos, n_people, n_several_people; /* n_several_people: with two photos or more */
    struct frt_eval_failure *failures;           /* owned */
    size_t n_failures, n_several_faces;
    uint32_t splits, threads;
    uint64_t seed;
    struct frt_timing mean;
    double wall_ms;
    float default_threshold;
    uint32_t dim;
    char pack[64], pack_id[65], embedder[64];
};

/**
 * Run the protocol.
 *
 * context, pack, options  borrowed for the call.
 * out  owned by the caller: frt_eval_identify_report_deinit.
 * Errors: FRT_EINVAL (options), FRT_ENOTFOUND (no folder), FRT_EBAD_REQUEST (too few people), those of
 *         frt_eval_embed.
 */
FRT_NODISCARD enum frt_status frt_eval_identify(const struct frt_context *context, const struct frt_pack *pack,
                                                const struct frt_eval_identify_options *options,
                                                struct frt_eval_identify_report *out, struct frt_error *err);
/**
 * The same from embeddings that stand already: the splits, searches and metrics.
 *
 * vectors  f32[n][dim]; seen[n]; person[n], ascending from 0: whose photo. Borrowed.
 * report   its default_threshold, dim, splits and seed are read; results, n_photos and the counts of people are
 *          written.
 */
FRT_NODISCARD enum frt_status frt_eval_identify_embedded(const float *vectors, const bool *seen,
                                                         const uint32_t *person, size_t n,
                                                         bool (*cancelled)(void *arg), void *cancelled_arg,
                                                         struct frt_eval_identify_report *report,
                                                         struct frt_error *err);
void frt_eval_identify_report_deinit(struct frt_eval_identify_report *report);

/** The report as JSON (docs/eval.md names every field). Failures stick to the buffer. */
void frt_eval_identify_report_json(const struct frt_eval_identify_report *report, struct frt_buf *out);
/** FNIR over FPIR as SVG, FPIR logarithmic: a curve for each k and way. */
void frt_eval_identify_report_svg(const struct frt_eval_identify_report *report, struct frt_buf *out);
/** A few lines for people. */
void frt_eval_identify_report_text(const struct frt_eval_identify_report *report, struct frt_buf *out);

#endif
