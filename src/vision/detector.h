/*
 * Face detectors: a frame in, boxes and perhaps five landmarks out. A family is a decoder: it knows
 * how to feed a graph and read its outputs; everything else about a model is in its spec.
 *
 * Adding a family: one file detector_<family>.c with a struct frt_detector_family, one line in the
 * table of detector.c.
 *
 * Threading: a detector is immutable after creation; run it from several threads.
 */
#ifndef FRT_VISION_DETECTOR_H
#define FRT_VISION_DETECTOR_H

#include "image/image.h"
#include "infer/infer.h"
#include "infer/model_spec.h"

struct frt_detector;

struct frt_detection {
    struct frt_box box; /* upright full-size coordinates */
    float score;        /* 0..1 */
    bool has_landmarks;
    struct frt_point landmarks[FRT_LANDMARK_COUNT];
};

struct frt_detector_params {
    float min_confidence; /* 0 = the spec's */
    float nms_iou;        /* 0 = the spec's */
};

/**
 * Make a detector of the family that the spec names, after checking that the graph's inputs and
 * outputs fit it.
 *
 * spec, session  borrowed; must outlive the detector.
 * Errors: FRT_EBAD_MODEL: unknown family (the text lists those there are) or shapes that do not fit
 *         (the text says what was found and what would fit), FRT_ENOMEM.
 */
FRT_NODISCARD enum frt_status frt_detector_new(const struct frt_model_spec *spec,
                                               const struct frt_session *session, struct frt_detector **out,
                                               struct frt_error *err);
void frt_detector_free(struct frt_detector *detector);

/** Longer side, in pixels, that a frame should have at least: the want_side_px of its decode. */
uint32_t frt_detector_want_side_px(const struct frt_detector *detector);

/** The score threshold that counts when a run's parameters name none. */
float frt_detector_min_confidence(const struct frt_detector *detector);

/**
 * Find faces: after score threshold and non-maximum suppression, best score first.
 *
 * out           array[capacity], filled with *n detections.
 * inference_ms  time inside the runtime is added to it.
 */
FRT_NODISCARD enum frt_status frt_detector_run(const struct frt_detector *detector,
                                               const struct frt_frame *frame,
                                               const struct frt_detector_params *params,
                                               struct frt_detection *out, size_t capacity, size_t *n,
                                               double *inference_ms, struct frt_error *err);

#endif
