/*
 * AArch64 kernels. As in the AVX2 ones a pixel is a vector of four floats (R, G, B and a neighbour's byte that
 * is dropped) where pixels are picked one by one; where they lie side by side, LD3 and ST3 take them apart and
 * put them together.
 */
#include "simd/resample_kernels.h"

#if defined(__aarch64__)
#include <arm_neon.h>
#include <string.h>

struct floats16 {
    float32x4_t v[4];
};

static inline struct floats16 floats_of(uint8x16_t bytes)
{
    const uint16x8_t low = vmovl_u8(vget_low_u8(bytes)), high = vmovl_u8(vget_high_u8(bytes));
    return (struct floats16){
        {vcvtq_f32_u32(vmovl_u16(vget_low_u16(low))), vcvtq_f32_u32(vmovl_u16(vget_high_u16(low))),
         vcvtq_f32_u32(vmovl_u16(vget_low_u16(high))), vcvtq_f32_u32(vmovl_u16(vget_high_u16(high)))}};
}

static void row_blend(float *acc, const uint8_t *a, const uint8_t *b, float wa, float wb, float bias, size_t n)
{
    size_t i = 0;
    for (; i + 16 <= n; i += 16) {
        const struct floats16 fa = floats_of(vld1q_u8(a + i)), fb = floats_of(vld1q_u8(b + i));
        for (size_t k = 0; k < 4; k++)
            vst1q_f32(acc + i + 4 * k, vfmaq_n_f32(vfmaq_n_f32(vdupq_n_f32(bias), fa.v[k], wa), fb.v[k], wb));
    }
    for (; i < n; i++)
        acc[i] = (float)a[i] * wa + (float)b[i] * wb + bias;
}

static void row_add(float *acc, const uint8_t *a, float w, size_t n)
{
    size_t i = 0;
    for (; i + 16 <= n; i += 16) {
        const struct floats16 fa = floats_of(vld1q_u8(a + i));
        for (size_t k = 0; k < 4; k++)
            vst1q_f32(acc + i + 4 * k, vfmaq_n_f32(vld1q_f32(acc + i + 4 * k), fa.v[k], w));
    }
    for (; i < n; i++)
        acc[i] += (float)a[i] * w;
}

static inline float32x4_t gather_one(const float *acc, int32_t base, const struct frt_axis_tap *t, bool two,
                                     float pad)
{
    const float *p = acc + 3 * (ptrdiff_t)(t->first - base);
    const float *end = acc + 3 * (ptrdiff_t)(t->last - base);
    float32x4_t v = vdupq_n_f32(pad * t->pad_weight);
    v = vfmaq_n_f32(v, vld1q_f32(p), t->first_weight);
    v = vfmaq_n_f32(v, vld1q_f32(end), t->last_weight);
    if (!two) {
        for (p += 3; p < end; p += 3)
            v = vfmaq_n_f32(v, vld1q_f32(p), t->middle_weight);
    }
    return v;
}

static inline void store_plane(float *to, float32x4_t v, float mean, float scale)
{
    vst1q_f32(to, vmulq_n_f32(vsubq_f32(v, vdupq_n_f32(mean)), scale));
}

static void row_gather(const float *acc, int32_t base, const struct frt_axis_tap *taps, size_t n, bool two,
                       float pad, float *const planes[3], const float mean[3], const float scale[3])
{
    size_t i = 0;
    for (; i + 4 <= n; i += 4) {
        const float32x4x2_t a =
            vtrnq_f32(gather_one(acc, base, taps + i, two, pad), gather_one(acc, base, taps + i + 1, two, pad));
        const float32x4x2_t b = vtrnq_f32(gather_one(acc, base, taps + i + 2, two, pad),
                                          gather_one(acc, base, taps + i + 3, two, pad));
        store_plane(planes[0] + i, vcombine_f32(vget_low_f32(a.val[0]), vget_low_f32(b.val[0])), mean[0],
                    scale[0]);
        store_plane(planes[1] + i, vcombine_f32(vget_low_f32(a.val[1]), vget_low_f32(b.val[1])), mean[1],
                    scale[1]);
        store_plane(planes[2] + i, vcombine_f32(vget_high_f32(a.val[0]), vget_high_f32(b.val[0])), mean[2],
                    scale[2]);
    }
    for (; i < n; i++) {
        float v[4];
        vst1q_f32(v, gather_one(acc, base, taps + i, two, pad));
        for (int c = 0; c < 3; c++)
            planes[c][i] = (v[c] - mean[c]) * scale[c];
    }
}

static inline float32x4_t load_pixel(const uint8_t *p)
{
    uint32_t word;
    memcpy(&word, p, sizeof word);
    return vcvtq_f32_u32(vmovl_u16(vget_low_u16(vmovl_u8(vcreate_u8(word)))));
}

static void warp_add(const struct frt_pixels *src, double x, double y, double dx, double dy, size_t n,
                     float *acc)
{
    /* inside: both columns and both rows exist, and four bytes from the right column stay within its row */
    const double right = (double)src->width_px - 2, bottom = (double)src->height_px - 1;
    for (size_t i = 0; i < n; i++) {
        const double sx = x + (double)i * dx, sy = y + (double)i * dy;
        if (!(sx >= 0 && sx < right && sy >= 0 && sy < bottom)) {
            frt_resample_kernels_scalar.warp_add(src, sx, sy, 0, 0, 1, acc + 4 * i);
            continue;
        }
        const size_t x0 = (size_t)sx, y0 = (size_t)sy;
        const float fx = (float)(sx - (double)x0), fy = (float)(sy - (double)y0);
        const uint8_t *p = src->data + y0 * src->stride_bytes + 3 * x0;
        const uint8_t *q = p + src->stride_bytes;
        const float32x4_t p0 = load_pixel(p), q0 = load_pixel(q);
        const float32x4_t top = vfmaq_n_f32(p0, vsubq_f32(load_pixel(p + 3), p0), fx);
        const float32x4_t low = vfmaq_n_f32(q0, vsubq_f32(load_pixel(q + 3), q0), fx);
        const float32x4_t v = vfmaq_n_f32(top, vsubq_f32(low, top), fy);
        vst1q_f32(acc + 4 * i, vaddq_f32(vld1q_f32(acc + 4 * i), v));
    }
}

/* Eight values of a channel as bytes: conversion and narrowing saturate. */
static inline uint8x8_t eight_bytes(float32x4_t a, float32x4_t b, float scale)
{
    const float32x4_t half = vdupq_n_f32(0.5f);
    const uint16x4_t low = vqmovn_u32(vcvtq_u32_f32(vfmaq_n_f32(half, a, scale))),
                     high = vqmovn_u32(vcvtq_u32_f32(vfmaq_n_f32(half, b, scale)));
    return vqmovn_u16(vcombine_u16(low, high));
}

static void warp_store(const float *acc, float scale, size_t n, uint8_t *out)
{
    size_t i = 0;
    for (; i + 8 <= n; i += 8) {
        const float32x4x4_t a = vld4q_f32(acc + 4 * i), b = vld4q_f32(acc + 4 * i + 16);
        vst3_u8(out + 3 * i,
                ((uint8x8x3_t){{eight_bytes(a.val[0], b.val[0], scale), eight_bytes(a.val[1], b.val[1], scale),
                                eight_bytes(a.val[2], b.val[2], scale)}}));
    }
    frt_resample_kernels_scalar.warp_store(acc + 4 * i, scale, n - i, out + 3 * i);
}

static void split(const uint8_t *pixels, size_t n, float *const planes[3], const float mean[3],
                  const float scale[3])
{
    size_t i = 0;
    for (; i + 16 <= n; i += 16) {
        const uint8x16x3_t bytes = vld3q_u8(pixels + 3 * i);
        for (int c = 0; c < 3; c++) {
            const struct floats16 f = floats_of(bytes.val[c]);
            for (size_t k = 0; k < 4; k++)
                store_plane(planes[c] + i + 4 * k, f.v[k], mean[c], scale[c]);
        }
    }
    for (; i < n; i++) {
        for (size_t c = 0; c < 3; c++)
            planes[c][i] = ((float)pixels[3 * i + c] - mean[c]) * scale[c];
    }
}

const struct frt_resample_kernels frt_resample_kernels_neon = {row_blend, row_add,    row_gather,
                                                               warp_add,  warp_store, split};
#else
typedef int frt_no_neon_here; /* a translation unit must declare something */
#endif
