/*
 * Inner loops of resample.c, one table a tier. All geometry (which pixels, which weights) is computed
 * once, in resample.c, in double; a tier only adds up rows and pixels, so tiers differ by float
 * rounding alone.
 *
 * No loop reads outside the rows it is given; `warp_add` checks every coordinate itself, NaN included.
 * Threading: pure functions; tables are constant.
 */
#ifndef FRT_SIMD_RESAMPLE_KERNELS_H
#define FRT_SIMD_RESAMPLE_KERNELS_H

#include "simd/cpu.h"
#include "simd/resample.h"

/** One target pixel along one axis: a weighted sum of source pixels first..last, plus padding.
 *  Sum of all weights = 1. One pixel: last == first, last_weight == 0. */
struct frt_axis_tap {
    int32_t first, last;
    float first_weight, middle_weight, last_weight, pad_weight;
};

/** Floats that a row accumulator must have after its last pixel: kernels load and store four at once. */
#define FRT_ROW_SLACK 4

struct frt_resample_kernels {
    /** acc[i] = a[i] · wa + b[i] · wb + bias */
    void (*row_blend)(float *acc, const uint8_t *a, const uint8_t *b, float wa, float wb, float bias, size_t n);
    /** acc[i] += a[i] · w */
    void (*row_add)(float *acc, const uint8_t *a, float w, size_t n);
    /** Sum acc (interleaved RGB; pixel 0 is source column `base`) by taps into planes[0..2][0..n):
     *  (value - mean[c]) · scale[c]. `two` promises last <= first + 1 for all taps. */
    void (*row_gather)(const float *acc, int32_t base, const struct frt_axis_tap *taps, size_t n, bool two,
                       float pad, float *const planes[3], const float mean[3], const float scale[3]);
    /** acc[4·i + c] += bilinear sample at (x + i·dx, y + i·dy), in pixel-index coordinates (centre of
     *  pixel 0 is 0.0); outside is 0. */
    void (*warp_add)(const struct frt_pixels *src, double x, double y, double dx, double dy, size_t n,
                     float *acc);
    /** out[3·i + c] = round(acc[4·i + c] · scale) */
    void (*warp_store)(const float *acc, float scale, size_t n, uint8_t *out);
    /** planes[c][i] = (pixels[3·i + c] - mean[c]) · scale[c] */
    void (*split)(const uint8_t *pixels, size_t n, float *const planes[3], const float mean[3],
                  const float scale[3]);
};

/** Kernels of the widest tier not above `tier` that has some. The tier must run on this machine. */
const struct frt_resample_kernels *frt_resample_kernels_get(enum frt_simd_tier tier);

extern const struct frt_resample_kernels frt_resample_kernels_scalar;
#if defined(__x86_64__)
extern const struct frt_resample_kernels frt_resample_kernels_avx2;
#elif defined(__aarch64__)
extern const struct frt_resample_kernels frt_resample_kernels_neon;
#endif

/* The public functions with the kernels given: for tests that compare tiers. */
void frt_resample_to_planes_by(const struct frt_resample_kernels *kernels, const struct frt_pixels *src,
                               double src_x, double src_y, double src_w, double src_h,
                               const struct frt_plane_target *dst, uint32_t dst_x, uint32_t dst_y,
                               uint32_t dst_w, uint32_t dst_h, uint8_t pad);
void frt_warp_to_chip_by(const struct frt_resample_kernels *kernels, const struct frt_pixels *src,
                         const double m[6], uint8_t *chip, uint32_t width_px, uint32_t height_px);
void frt_chip_to_planes_by(const struct frt_resample_kernels *kernels, const uint8_t *chip,
                           const struct frt_plane_target *dst);

#endif
