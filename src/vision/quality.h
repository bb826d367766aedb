/*
 * Face quality from pixels and landmarks alone: sharpness, brightness, head pose, one score.
 * Threading: pure function.
 */
#ifndef FRT_VISION_QUALITY_H
#define FRT_VISION_QUALITY_H

#include "image/image.h"

/** Measure a face. Frame and face in upright full-size coordinates; the frame holds the face's box.
 *  Source: docs/design/quality.md (formulas and how the constants were chosen). */
struct frt_quality frt_quality_measure(const struct frt_frame *frame, const struct frt_face *face);

#endif
