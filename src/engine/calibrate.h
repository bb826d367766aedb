/*
 * Calibration: from labelled embeddings to thresholds one can defend.
 *
 *     folder or collection ─ embeddings ─ comparisons (calibrate_scores.h) ─┬─ rates and thresholds, with
 * intervals ├─ threshold table (threshold_table.h) └─ a recommendation
 *
 * Intervals are 95 %, from samples of people drawn with replacement (bootstrap): comparisons that share a
 * person depend on each other, people hardly. A threshold with fewer than 10 false matches behind it is read
 * from the fitted tail and marked as extrapolated; one beyond FRT_CALIBRATE_REACH times the last supported rate
 * is refused.
 *
 * Memory and time are bounded by FRT_CALIBRATE_PHOTOS photos, FRT_CALIBRATE_PERSON of one person; beyond,
 * people and photos are drawn. Everything drawn comes from one seed. Threading: as eval_embed.h; the rest is
 * pure.
 */
#ifndef FRT_ENGINE_CALIBRATE_H
#define FRT_ENGINE_CALIBRATE_H

#include "engine/calibrate_scores.h"
#include "engine/eval_embed.h"
#include "engine/threshold_table.h"
#include "frt/gallery.h"

enum {
    FRT_CALIBRATE_PHOTOS = 12000, /* used at most */
    FRT_CALIBRATE_PERSON = 32,    /* of one person */
    FRT_CALIBRATE_PEOPLE = 20,    /* fewer tell nothing of strangers */
    FRT_CALIBRATE_SAMPLES = 300,  /* of people, for intervals; default */
    FRT_CALIBRATE_ERRORS = 10,    /* false matches behind a threshold that is not extrapolated */
    FRT_CALIBRATE_REACH = 1000,   /* how much smaller a rate may be than the last supported one */
    FRT_CALIBRATE_SIZES = 8,
    FRT_CALIBRATE_TARGETS = 2,
    FRT_CALIBRATE_HALVES = 24
};

struct frt_calibrate_options {
    uint64_t seed;
    uint32_t samples;    /* 20..10000; 0 = FRT_CALIBRATE_SAMPLES */
    uint64_t max_photos; /* 0 = FRT_CALIBRATE_PHOTOS */
    double fmr;          /* recommend a threshold for two photos; 0 = none */
    double fpir;         /* recommend one for a search; 0 = none */
    uint64_t people;     /* of the gallery searched; 0 = those there are */
    double enrolled;     /* photos a person there; 0 = 1 for a folder, the mean of a collection */
    bool halves;         /* also find thresholds on half of the people and see what they do among the others */
    bool (*cancelled)(void *arg);
    void *cancelled_arg;
};

/** What a threshold does in a gallery of a size. */
struct frt_gallery_row {
    uint64_t people;
    double fpir; /* asked for */
    float threshold, low, high;
    double errors, effective;
    bool extrapolated, refused; /* refused: too far from the data; threshold is NaN */
    double measured_fpir;       /* in galleries of these people at that threshold; NaN when they are too few */
    double measured_low, measured_high;
    double fnir, fnir_low, fnir_high;
};

/** A threshold found on one half of the people, and what it does among the other half. */
struct frt_half_row {
    uint64_t people; /* of the gallery; 0 = two photos are compared */
    double target;
    float threshold, low, high;
    double found;                       /* rate among the others */
    float other, other_low, other_high; /* the threshold that they would have given */
    bool agree;                         /* the two intervals overlap */
};

struct frt_calibration {
    struct frt_threshold_table table;
    uint64_t photos, people, several_people; /* given; used are table.photos and table.people */
    uint64_t same, different;                /* pairs */
    uint64_t same_histogram[FRT_SCORE_BINS], different_histogram[FRT_SCORE_BINS];
    uint32_t enrolled; /* photos a template in `gallery` */
    struct frt_gallery_row
        gallery[FRT_CALIBRATE_SIZES * FRT_CALIBRATE_TARGETS]; /* by people, then fpir falling */
    size_t n_gallery;
    struct frt_table_row for_fmr; /* fmr 0 = none asked for; threshold NaN = refused */
    struct frt_gallery_row for_fpir;
    struct frt_half_row halves[FRT_CALIBRATE_HALVES];
    size_t n_halves;
    struct frt_eval_failure *failures; /* of a folder's photos; owned */
    size_t n_failures;
    uint64_t seed;
    uint32_t samples;
    char collection[129];
    double wall_ms;
};
void frt_calibration_deinit(struct frt_calibration *calibration);

/**
 * Calibrate from embeddings that stand already.
 *
 * labelled  people ascending from 0; borrowed.
 * out       its table's texts and dim are read and kept; the rest is written.
 * Errors: FRT_EINVAL (options), FRT_EBAD_REQUEST (too few people), FRT_ENOMEM, FRT_ECANCELLED.
 */
FRT_NODISCARD enum frt_status frt_calibrate_embedded(const struct frt_labelled *labelled,
                                                     const struct frt_calibrate_options *options,
                                                     struct frt_calibration *out, struct frt_error *err);
/** Split the people at random (options->seed) and fill out->halves. Errors: as frt_calibrate_embedded. */
FRT_NODISCARD enum frt_status frt_calibrate_halves(const struct frt_labelled *labelled,
                                                   const struct frt_calibrate_options *options,
                                                   struct frt_calibration *out, struct frt_error *err);
/** From a folder <folder>/<person>/<photos>. embed: its folder, threads and callbacks are read. Errors: those
 * of frt_eval_embed, too. */
FRT_NODISCARD enum frt_status frt_calibrate_folder(const struct frt_context *context,
                                                   const struct frt_pack *pack,
                                                   const struct frt_eval_embed_options *embed,
                                                   const struct frt_calibrate_options *options,
                                                   struct frt_calibration *out, struct frt_error *err);
/** From the subjects of a collection. Errors: those of frt_face_list, too. */
FRT_NODISCARD enum frt_status frt_calibrate_collection(struct frt_gallery *gallery, const char *collection,
                                                       const struct frt_calibrate_options *options,
                                                       struct frt_calibration *out, struct frt_error *err);

/** The report as JSON (docs/thresholds.md names every field). Failures stick to the buffer. */
void frt_calibration_json(const struct frt_calibration *calibration, struct frt_buf *out);
/** FNMR over FMR, both axes logarithmic; and the scores of both kinds. */
void frt_calibration_det_svg(const struct frt_calibration *calibration, struct frt_buf *out);
void frt_calibration_scores_svg(const struct frt_calibration *calibration, struct frt_buf *out);
/** For people. plots: draw in braille, `columns` wide. */
void frt_calibration_text(const struct frt_calibration *calibration, bool plots, unsigned columns,
                          struct frt_buf *out);

#endif
