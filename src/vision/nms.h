/*
 * Candidates of a detector and greedy non-maximum suppression.
 *
 * The list is bounded: at FRT_NMS_MAX candidates it keeps the best scores (a heap with the worst on
 * top), so that an image or a model that answers with 10^5 boxes costs O(n log n) and fixed memory.
 *
 * Threading: one owner.
 */
#ifndef FRT_VISION_NMS_H
#define FRT_VISION_NMS_H

#include "core/status.h"
#include "vision/detector.h"

#define FRT_NMS_MAX 8192
/* Boxes with a coordinate beyond this are noise; it also keeps areas finite in float. */
#define FRT_NMS_MAX_COORDINATE 1e6f

struct frt_candidates {
    struct frt_detection *items;
    size_t n, capacity;
    bool heap;      /* full: items form a min-heap by score */
    bool no_memory; /* sticks; frt_nms reports it */
};

void frt_candidates_init(struct frt_candidates *list);
void frt_candidates_deinit(struct frt_candidates *list);

/** Add one. Boxes that are not finite, empty or absurdly far away are dropped; the score is clamped to
 *  0..1 (NaN drops the candidate). */
void frt_candidates_add(struct frt_candidates *list, const struct frt_detection *detection);

/**
 * Greedy suppression: best score first, a candidate goes when it overlaps a kept one by more than `iou`.
 *
 * list      its order is lost.
 * out       array[capacity], best first; *n filled. Stops when it is full.
 * Errors:   FRT_ENOMEM (also for an earlier frt_candidates_add).
 * Cost:     O(c log c + c · kept) for c <= FRT_NMS_MAX candidates.
 */
FRT_NODISCARD enum frt_status frt_nms(struct frt_candidates *list, float iou, struct frt_detection *out,
                                      size_t capacity, size_t *n, struct frt_error *err);

/** Intersection over union; 0 for boxes without area. */
float frt_box_iou(const struct frt_box *a, const struct frt_box *b);

#endif
