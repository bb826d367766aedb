/*
 * Average precision of boxes against labelled ones, from numbers alone.
 *
 * Matching, at an overlap IoU >= t: detections come in the order of their scores; each takes the labelled box
 * that it overlaps most among those of its photo that none has taken, if they overlap by t or more. One that
 * takes none and has an ignored box over it (IoU >= t, or half of the detection inside) does not count; any
 * other is a false alarm. A face that is found twice is one hit and one false alarm.
 *
 * Precision and recall hold for the detections down to a score; equal scores stand or fall together.
 *   all points   area under the curve whose precision is the best at that recall or beyond (PASCAL VOC since
 * 2010) 11 points    mean of that precision at recall 0, 0.1 … 1 (PASCAL VOC 2007)
 *
 * Threading: pure functions.
 * Source: Everingham et al. 2010, "The PASCAL Visual Object Classes (VOC) Challenge"; the range of overlaps is
 * that of COCO.
 */
#ifndef FRT_ENGINE_EVAL_AP_H
#define FRT_ENGINE_EVAL_AP_H

#include "engine/eval_labels.h"

struct frt_scored_box {
    struct frt_box box;
    float score;
    uint32_t photo; /* of the labels */
};

enum frt_box_outcome { FRT_BOX_FALSE_ALARM = 0, FRT_BOX_HIT, FRT_BOX_IGNORED };

struct frt_box_match {
    enum frt_box_outcome outcome;
    uint32_t label; /* the box that a hit took; UINT32_MAX otherwise */
    float iou;      /* with that; otherwise with the labelled box it overlaps most, taken or not */
};

struct frt_pr_point {
    float score; /* of all detections with at least this */
    double recall, precision;
};

/** By score, best first; then by photo and place, so that the order is the same every time. */
void frt_boxes_sort(struct frt_scored_box *boxes, size_t n);

/**
 * Match detections with labels.
 * boxes    sorted by frt_boxes_sort.
 * matches  out: [n].
 * Errors: FRT_ENOMEM.
 */
FRT_NODISCARD enum frt_status frt_boxes_match(const struct frt_labels *labels,
                                              const struct frt_scored_box *boxes, size_t n, double iou,
                                              struct frt_box_match *matches, struct frt_error *err);

/**
 * The curve: one point for each score that occurs among hits and false alarms, from the highest.
 *
 * weights  how often each photo counts; NULL = once (a bootstrap draws photos so).
 * n_faces  labelled boxes that are not ignored, weighted; at least 1.
 * curve    out: [n] at most.
 * Returns the number of points.
 */
size_t frt_pr_curve(const struct frt_scored_box *boxes, const struct frt_box_match *matches, size_t n,
                    const uint32_t *weights, size_t n_faces, struct frt_pr_point *curve);
double frt_ap_all_points(const struct frt_pr_point *curve, size_t n);
double frt_ap_11_points(const struct frt_pr_point *curve, size_t n);

#endif
