/*
 * A verification protocol over a folder of photos: how well does a pack see?
 *
 *     pairs file ─ parse ─ photos (each once) ─ embeddings (eval_embed.h) ─ scores ─ metrics ─ report
 *
 * Folder: LFW layout, <folder>/<person>/<person>_0001.jpg (or .jpeg, .png, .webp). Pairs file: LFW's,
 *
 *     10  300            folds, pairs of each kind a fold    | 300    one split | no such line: one split
 *     Name  1  2         the same person, photos 1 and 2
 *     Name  1  Other  3  different people
 *
 * fields parted by tabs or blanks; each fold its same pairs first. Without a first line the pairs may
 * come in any order.
 *
 * Which face: the one whose middle is nearest the photo's middle (LFW's photos are centred on the person
 * named), or the largest. A photo without a face, or one that cannot be decoded, is listed, and its pairs
 * score -1: different pairs come out right, same pairs wrong.
 *
 * Memory: one embedding a photo and one score a pair; photos are decoded one a thread.
 * Threading: one call at a time per report; the pack is shared between the threads it starts.
 */
#ifndef FRT_ENGINE_EVAL_PAIRS_H
#define FRT_ENGINE_EVAL_PAIRS_H

#include "core/buf.h"
#include "engine/eval_embed.h"
#include "engine/eval_metrics.h"

#define FRT_EVAL_MAX_PAIRS 1000000u
#define FRT_EVAL_MAX_POINTS 4u
#define FRT_EVAL_MAX_ALL 20000u

/* ----------------------------------------------------------------- pairs */

struct frt_eval_photo {
    char *name;      /* of the person, owned */
    uint32_t number; /* 1.. */
};

struct frt_eval_pair {
    uint32_t photo[2]; /* indices into photos */
    uint32_t fold;
    bool same;
};

struct frt_eval_protocol {
    struct frt_eval_photo *photos; /* each once; sorted by name, then number */
    size_t n_photos;
    struct frt_eval_pair *pairs;
    size_t n_pairs;
    uint32_t n_folds; /* 1 = one split */
};

/**
 * Parse the text of a pairs file.
 * Errors: FRT_EBAD_REQUEST (the line, what stands there, what would be right), FRT_ENOMEM. Owned by the
 * caller: frt_eval_protocol_deinit.
 */
FRT_NODISCARD enum frt_status frt_eval_protocol_parse(const char *text, size_t size,
                                                      struct frt_eval_protocol *out, struct frt_error *err);
void frt_eval_protocol_deinit(struct frt_eval_protocol *protocol);

/* ------------------------------------------------------------------- run */

struct frt_eval_options {
    const char *folder; /* photos, LFW layout; required */
    const char *pairs;  /* pairs file; NULL = <folder>/pairs.txt */
    uint32_t threads;   /* photos worked on at once; 0 = one. The context decides how many cores each
                           inference takes: for throughput give it one, and as many threads here as cores */
    enum frt_eval_face face;
    float min_confidence;                                   /* of a face; 0 = the pack's default */
    void (*progress)(void *arg, size_t done, size_t total); /* after each photo, one call at a time */
    void *progress_arg;
    bool (*cancelled)(void *arg); /* asked before each photo, from any thread; NULL = never */
    void *cancelled_arg;
};

struct frt_eval_roc_point {
    float threshold;
    double far, tar;
};

struct frt_eval_report {
    struct frt_scored_pair *scores; /* sorted; owned */
    size_t n_pairs, n_same, n_different;
    size_t n_photos, n_people;
    struct frt_eval_failure *failures; /* owned, in order of file name */
    size_t n_failures;
    size_t n_failed_pairs;  /* pairs with such a photo */
    size_t n_several_faces; /* photos with more than one face */

    uint32_t n_folds;
    struct frt_eval_fold folds[FRT_EVAL_MAX_FOLDS];
    double accuracy, accuracy_std_error; /* mean over the folds; NaN with one fold */
    double accuracy_at_default;          /* at the pack's default threshold */
    double far_at_default, tar_at_default;
    struct frt_eval_point points[2]; /* FAR 1e-2 and 1e-3 over the listed pairs */
    double eer, auc;

    /* every photo against every other: far more different pairs than a protocol lists. Left out, with
     * counts of 0, above FRT_EVAL_MAX_ALL photos. Scores are counted in steps of 1e-4. */
    uint64_t all_same, all_different;
    struct frt_eval_point all_points[FRT_EVAL_MAX_POINTS]; /* FAR 1e-2, 1e-3, 1e-4, 1e-5 */
    uint32_t n_all_points;                                 /* only those with 10 or more false accepts */
    double all_far_at_default, all_tar_at_default;
    struct frt_eval_roc_point *all_roc; /* from low FAR to high; owned; NULL when not computed */
    size_t n_all_roc;

    struct frt_timing mean; /* over the photos that were decoded, milliseconds each */
    double wall_ms;
    uint32_t threads;
    float default_threshold;
    uint32_t dim;
    char pack[64], pack_id[65], embedder[64];
};

/**
 * Run a protocol.
 *
 * context, pack, options  borrowed for the call.
 * out  owned by the caller: frt_eval_report_deinit.
 * Errors: FRT_EINVAL (options), FRT_ENOTFOUND (folder, pairs file, or photos that it names: how many, and
 *         the first), FRT_EBAD_REQUEST (pairs file), FRT_EIO, FRT_ENOMEM, FRT_ERUNTIME, FRT_ECANCELLED.
 */
FRT_NODISCARD enum frt_status frt_eval_pairs(const struct frt_context *context, const struct frt_pack *pack,
                                             const struct frt_eval_options *options,
                                             struct frt_eval_report *out, struct frt_error *err);
void frt_eval_report_deinit(struct frt_eval_report *report);

/** The report as JSON (docs/eval.md names every field). Failures stick to the buffer. */
void frt_eval_report_json(const struct frt_eval_report *report, struct frt_buf *out);
/** ROC curve as SVG: true accept rate over false accept rate, logarithmic. */
void frt_eval_report_svg(const struct frt_eval_report *report, struct frt_buf *out);
/** A few lines for people. */
void frt_eval_report_text(const struct frt_eval_report *report, struct frt_buf *out);

#endif
