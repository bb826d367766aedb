/*
 * What a pack's detectors find in photos, before and after: boxes paired by overlap.
 *
 * Threading: one owner.
 */
#ifndef FRT_ENGINE_DETECTION_DRIFT_H
#define FRT_ENGINE_DETECTION_DRIFT_H

#include "core/status.h"

struct frt_box_drift {
    uint32_t boxes, apart; /* paired; found by one side only */
    double min_iou, sum_iou;
};

/** Pairs boxes of two answers for the same photo, the best overlap first, of at least 0.5, and adds up. */
FRT_NODISCARD enum frt_status frt_box_drift_add(const struct frt_faces *before, const struct frt_faces *after,
                                                struct frt_box_drift *drift, struct frt_error *err);

#endif
