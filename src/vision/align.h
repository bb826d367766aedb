/*
 * Alignment: five landmarks → the chip an embedder was trained on.
 *
 * Templates give the five points in chip pixels. The fit is the least-squares similarity (Umeyama
 * 1991, "Least-squares estimation of transformation parameters between two point patterns").
 * Threading: pure functions; templates are constant.
 */
#ifndef FRT_VISION_ALIGN_H
#define FRT_VISION_ALIGN_H

#include "core/status.h"

struct frt_align_template {
    const char *name; /* "arcface112", "dlib150", … */
    uint32_t width_px, height_px;
    struct frt_point points[FRT_LANDMARK_COUNT];
};

/** Template by name, NULL when there is none. Static storage. */
const struct frt_align_template *frt_align_template_find(const char *name);
/** Names of all templates, comma-separated, for error texts. Static storage. */
const char *frt_align_template_names(void);

/**
 * Least-squares similarity that takes `from` to `to`.
 * m  f64[6], row-major 2×3.
 * Errors: FRT_EINVAL (fewer than 2 points, coincident or non-finite points).
 */
FRT_NODISCARD enum frt_status frt_align_fit(const struct frt_point *from, const struct frt_point *to, size_t n,
                                            double m[6], struct frt_error *err);

/** Inverse of a 2×3 affine map. Errors: FRT_EINVAL (singular). */
FRT_NODISCARD enum frt_status frt_align_invert(const double m[6], double inverse[6], struct frt_error *err);

#endif
