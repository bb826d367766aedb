/*
 * Dense landmarks: a face's box in, 68 points (iBUG 300-W order) out, and the five that alignment
 * needs. Used for detectors that give boxes only, and for pose.
 * Threading: immutable after creation.
 */
#ifndef FRT_VISION_LANDMARKS_H
#define FRT_VISION_LANDMARKS_H

#include "image/image.h"
#include "infer/infer.h"
#include "infer/model_spec.h"

#define FRT_LANDMARKS_DENSE 68

struct frt_landmarker;

/** spec (role landmarks, family "landmarks68") and session are borrowed; must outlive it. */
FRT_NODISCARD enum frt_status frt_landmarker_new(const struct frt_model_spec *spec,
                                                 const struct frt_session *session, struct frt_landmarker **out,
                                                 struct frt_error *err);
void frt_landmarker_free(struct frt_landmarker *landmarker);

/** Points in upright full-size coordinates. `box` likewise. */
FRT_NODISCARD enum frt_status frt_landmarker_run(const struct frt_landmarker *landmarker,
                                                 const struct frt_frame *frame, const struct frt_box *box,
                                                 struct frt_point points[FRT_LANDMARKS_DENSE],
                                                 double *inference_ms, struct frt_error *err);

/** The five alignment points from the 68. The choice is explained in docs/design/alignment.md. */
void frt_landmarks_reduce(const struct frt_point dense[FRT_LANDMARKS_DENSE],
                          struct frt_point five[FRT_LANDMARK_COUNT]);

#endif
