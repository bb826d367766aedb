/*
 * Detections without what follows them: for those who measure the detector alone.
 * Threading: as frt_detect.
 */
#ifndef FRT_ENGINE_DETECT_BOXES_H
#define FRT_ENGINE_DETECT_BOXES_H

#include "core/status.h"
#include "vision/detector.h"

enum { FRT_MAX_DETECTIONS = 4096 };

/**
 * As frt_detect looks, in a frame of the same size, but no landmarks are sought and no cache is asked.
 *
 * options  min_confidence, min_size_px, deadline and cancellation count; NULL = the defaults.
 * found    array[FRT_MAX_DETECTIONS], filled with *n detections, largest first.
 * timing   out: this photo's.
 * Errors:  as frt_detect.
 */
FRT_NODISCARD enum frt_status frt_detect_boxes(const struct frt_pack *pack, const struct frt_image *image,
                                               const struct frt_detect_options *options,
                                               struct frt_detection *found, size_t *n,
                                               struct frt_timing *timing, struct frt_error *err);

#endif
