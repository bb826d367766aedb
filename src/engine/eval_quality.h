/*
 * Does rejecting the photos of worst quality help? Errors over discarded photos.
 *
 *     FOLDER/person/photos ─ faces, embeddings, quality ─ all pairs ─ FNMR without the worst 0, 1 … 20 %
 *
 * The threshold is the one at which all photos together have the asked false match rate; it stays while photos
 * are discarded, as it does in service. What a threshold for the same rate among those that remain would give
 * stands beside it: a measure must not look good because it discards faces that look like others'.
 *
 * Photos are discarded by each measure alone, too: the score's parts, and the detector's confidence.
 *
 * Intervals are a bootstrap's over people: pairs that share a person are no independent trials.
 *
 * Threading: as eval_embed.h.
 * Source: ISO/IEC 29794-1, error versus discard characteristic; Grother & Tabassi 2007.
 */
#ifndef FRT_ENGINE_EVAL_QUALITY_H
#define FRT_ENGINE_EVAL_QUALITY_H

#include "core/buf.h"
#include "engine/eval_embed.h"
#include "engine/eval_interval.h"

enum {
    FRT_EVAL_QUALITY_MEASURES = 5, /* score, sharpness, light, pose, confidence */
    FRT_EVAL_QUALITY_POINTS = 6,   /* 0, 1, 2, 5, 10, 20 % discarded */
    FRT_EVAL_QUALITY_CURVE = 21,   /* 0, 1 … 20 % */
    FRT_EVAL_QUALITY_MAX_PHOTOS = 20000
};

struct frt_eval_quality_options {
    const char *folder; /* as frt_eval_people_list */
    double fmr;         /* 0 = 1e-3 */
    uint32_t half;      /* 1, 2: every second person only, from the first or the second on; 0 = all */
    uint64_t seed;      /* of the bootstrap */
    uint32_t threads;
    void (*progress)(void *arg, size_t done, size_t total);
    void *progress_arg;
    bool (*cancelled)(void *arg);
    void *cancelled_arg;
};

struct frt_eval_quality_point {
    double discarded; /* share of the photos */
    size_t photos, pairs, misses;
    double fnmr; /* at the one threshold; NaN without pairs */
    struct frt_interval interval;
    double change; /* of fnmr, against nothing discarded */
    struct frt_interval change_interval;
    double fnmr_same_fmr; /* at the threshold that has the asked rate among the photos that remain */
};

struct frt_eval_quality_measure {
    const char *name;
    struct frt_eval_quality_point points[FRT_EVAL_QUALITY_POINTS];
    double curve[FRT_EVAL_QUALITY_CURVE]; /* fnmr */
};

struct frt_eval_quality_report {
    struct frt_eval_quality_measure measures[FRT_EVAL_QUALITY_MEASURES];
    size_t n_photos, n_people, n_several_people; /* with a face; n_several_people: with two photos or more */
    uint64_t n_same, n_different;
    double fmr, fmr_found;
    float threshold;
    float score_quantiles[5]; /* of the quality scores: 1, 5, 25, 50, 95 % */
    uint32_t half;
    struct frt_eval_failure *failures; /* owned */
    size_t n_failures;
    struct frt_timing mean;
    double wall_ms;
    uint32_t threads;
    char pack[64], pack_id[65], embedder[64];
};

/** Errors: FRT_EINVAL (options), FRT_ENOTFOUND, FRT_EBAD_REQUEST (no photos, too many, or no two photos of one
 *  person and of two), FRT_EBAD_MODEL, FRT_EIO, FRT_ENOMEM, FRT_ERUNTIME, FRT_ECANCELLED. `out` is owned. */
FRT_NODISCARD enum frt_status frt_eval_quality(const struct frt_context *context, const struct frt_pack *pack,
                                               const struct frt_eval_quality_options *options,
                                               struct frt_eval_quality_report *out, struct frt_error *err);
void frt_eval_quality_report_deinit(struct frt_eval_quality_report *report);

/** What frt_eval_quality does once there are embeddings: fills the report's numbers.
 *  vectors  f32[n][dim], L2-normalised; measured: f32[FRT_EVAL_QUALITY_MEASURES][n], the higher the better;
 *  person   [n]: whose, ascending without gaps. report: fmr is set. Errors: FRT_EBAD_REQUEST, FRT_ENOMEM. */
FRT_NODISCARD enum frt_status frt_eval_quality_embedded(const float *vectors, size_t n, uint32_t dim,
                                                        const float *measured, const uint32_t *person,
                                                        uint64_t seed, struct frt_eval_quality_report *report,
                                                        struct frt_error *err);

/** As the reports of eval_pairs.h: JSON (docs/eval.md), FNMR over discarded photos as SVG, lines for people. */
void frt_eval_quality_report_json(const struct frt_eval_quality_report *report, struct frt_buf *out);
void frt_eval_quality_report_svg(const struct frt_eval_quality_report *report, struct frt_buf *out);
void frt_eval_quality_report_text(const struct frt_eval_quality_report *report, struct frt_buf *out);

#endif
