/*
 * A detector over photos with labelled boxes: how many faces does it find, and what else?
 *
 *     label files ─ photos ─ detections down to a low confidence ─ matching (eval_ap.h) ─ AP, curve, lists
 *
 * AP is over all detections of the set. Its interval is a bootstrap's over the photos. The lists of misses and
 * false alarms are those at one confidence, at an overlap of 0.5.
 *
 * A photo that cannot be decoded is listed; its faces are missed. One that is not there at all is refused.
 *
 * Memory: one small record a detection; photos are decoded one a thread.
 * Threading: as eval_embed.h.
 */
#ifndef FRT_ENGINE_EVAL_DETECT_H
#define FRT_ENGINE_EVAL_DETECT_H

#include "core/buf.h"
#include "engine/eval_ap.h"
#include "engine/eval_embed.h"
#include "engine/eval_interval.h"

enum { FRT_EVAL_DETECT_OVERLAPS = 10 }; /* IoU 0.50, 0.55 … 0.95 */

struct frt_eval_detect_options {
    const char *folder;        /* photos; required */
    const char *const *labels; /* [n_labels] label files */
    size_t n_labels;
    float min_confidence; /* of the lists; 0 = the pack's default */
    float min_size_px;    /* labelled faces whose shorter side is less are ignored; 0 = none */
    uint64_t seed;        /* of the bootstrap */
    uint32_t threads;     /* 0 = one */
    void (*progress)(void *arg, size_t done, size_t total);
    void *progress_arg;
    bool (*cancelled)(void *arg);
    void *cancelled_arg;
};

/* A face that was missed or a false alarm. */
struct frt_eval_box_error {
    uint32_t photo; /* of labels */
    struct frt_box box;
    float score; /* of a false alarm */
    float iou;   /* of a false alarm, with the face it overlaps most; of a miss, with the detection that does */
};

struct frt_eval_detect_report {
    struct frt_labels labels; /* owned */
    size_t n_faces, n_ignored;
    size_t n_detections; /* down to floor_confidence */
    float floor_confidence;

    double ap[FRT_EVAL_DETECT_OVERLAPS]; /* all points */
    double ap_mean;                      /* of those */
    double ap_11;                        /* 11 points, at IoU 0.5 */
    struct frt_interval ap_interval;     /* of ap[0] */
    struct frt_pr_point *curve;          /* at IoU 0.5, at most 400 points; owned */
    size_t n_curve;

    float confidence; /* of what follows */
    size_t n_hits;
    struct frt_eval_box_error *misses, *false_alarms; /* by photo; owned */
    size_t n_misses, n_false_alarms;
    double precision, recall;
    struct frt_interval precision_interval, recall_interval;
    double mean_iou; /* of the hits; NaN without any */

    struct frt_eval_failure *failures; /* owned */
    size_t n_failures;
    struct frt_timing mean; /* over the photos that were decoded */
    double wall_ms;
    uint32_t threads;
    char pack[64], pack_id[65], detector[64];
};

/**
 * Run the detector of a pack over labelled photos.
 *
 * out  owned by the caller: frt_eval_detect_report_deinit.
 * Errors: FRT_EINVAL (options), FRT_ENOTFOUND (folder, label file, photos: how many, and the first),
 *         FRT_EBAD_REQUEST (label file), FRT_EIO, FRT_ENOMEM, FRT_ERUNTIME, FRT_ECANCELLED.
 */
FRT_NODISCARD enum frt_status frt_eval_detect(const struct frt_context *context, const struct frt_pack *pack,
                                              const struct frt_eval_detect_options *options,
                                              struct frt_eval_detect_report *out, struct frt_error *err);
void frt_eval_detect_report_deinit(struct frt_eval_detect_report *report);

/** As the reports of eval_pairs.h: JSON (docs/eval.md), precision over recall as SVG, lines for people. */
void frt_eval_detect_report_json(const struct frt_eval_detect_report *report, struct frt_buf *out);
void frt_eval_detect_report_svg(const struct frt_eval_detect_report *report, struct frt_buf *out);
void frt_eval_detect_report_text(const struct frt_eval_detect_report *report, struct frt_buf *out);

#endif
