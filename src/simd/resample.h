/*
 * Resampling kernels: pixels in, tensors or aligned chips out.
 *
 * Source pixels are u8 RGB, interleaved, [height][stride_bytes]. Coordinates are continuous: pixel i
 * covers [i, i+1), centre i + 0.5. Kernels have a scalar version and, by run-time dispatch
 * (simd/cpu.h), versions for wider instruction sets that agree with it within one unit of u8 or 1/255
 * of the value range (tests/simd).
 *
 * Threading: pure functions.
 */
#ifndef FRT_SIMD_RESAMPLE_H
#define FRT_SIMD_RESAMPLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct frt_pixels {
    const uint8_t *data; /* borrowed */
    uint32_t width_px, height_px;
    size_t stride_bytes;
};

/** Planar float target: value = (pixel - mean[c]) * scale[c], planes in RGB or, with bgr, BGR order;
 *  mean and scale are indexed by plane. */
struct frt_plane_target {
    float *data; /* f32[3][height_px][width_px], owned by the caller */
    uint32_t width_px, height_px;
    bool bgr;
    float mean[3];
    float scale[3];
};

/**
 * Stretch a rectangle of the source over a rectangle of the target.
 *
 * src_x, src_y, src_w, src_h  in source pixels, continuous; may reach outside the source: what lies
 *                             outside is `pad` (a pixel value 0..255, all channels). An empty or
 *                             non-finite rectangle is padding throughout.
 * dst_x, dst_y, dst_w, dst_h  in target pixels, inside the target. The rest of the target is left
 *                             alone; fill it first with frt_planes_fill.
 * Filter: bilinear (pixel centres at half), and, along each axis where the source is more than twice as
 *         fine as the target, area averaging, so that shrinking does not alias. A bilinear sample with its
 *         centre inside the source does not mix with the padding: a whole image has no dark rim.
 * Cost:   allocates nothing; 640×480 → 512×384 about 0.2 ms (AVX2).
 */
void frt_resample_to_planes(const struct frt_pixels *src, double src_x, double src_y, double src_w,
                            double src_h, const struct frt_plane_target *dst, uint32_t dst_x, uint32_t dst_y,
                            uint32_t dst_w, uint32_t dst_h, uint8_t pad);

/** Set the whole target to pixel value `pad`. */
void frt_planes_fill(const struct frt_plane_target *dst, uint8_t pad);

/**
 * Similarity or affine warp into a u8 RGB chip: chip pixel centre (u + 0.5, v + 0.5) is sampled at
 * m · (u + 0.5, v + 0.5, 1) of the source; outside the source is black.
 *
 * m     f64[6], row-major 2×3, chip → source; where it is not finite or leads outside, the chip is black.
 * chip  u8[height][width][3], owned by the caller.
 * Filter: bilinear; along an axis where a chip step is more than 1.5 source pixels, several samples (at
 *         most 8) are averaged, so that large faces do not alias.
 */
void frt_warp_to_chip(const struct frt_pixels *src, const double m[6], uint8_t *chip, uint32_t width_px,
                      uint32_t height_px);

/** Interleaved u8 RGB chip → planar float, size for size. */
void frt_chip_to_planes(const uint8_t *chip, const struct frt_plane_target *dst);

#endif
