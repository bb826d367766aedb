#include "simd/resample_kernels.h"

static void row_blend(float *acc, const uint8_t *a, const uint8_t *b, float wa, float wb, float bias, size_t n)
{
    for (size_t i = 0; i < n; i++)
        acc[i] = (float)a[i] * wa + (float)b[i] * wb + bias;
}

static void row_add(float *acc, const uint8_t *a, float w, size_t n)
{
    for (size_t i = 0; i < n; i++)
        acc[i] += (float)a[i] * w;
}

static void row_gather(const float *acc, int32_t base, const struct frt_axis_tap *taps, size_t n, bool two,
                       float pad, float *const planes[3], const float mean[3], const float scale[3])
{
    (void)two;
    for (size_t i = 0; i < n; i++) {
        const struct frt_axis_tap *t = &taps[i];
        const float *p = acc + 3 * (ptrdiff_t)(t->first - base);
        const float *end = acc + 3 * (ptrdiff_t)(t->last - base);
        float v[3];
        for (int c = 0; c < 3; c++)
            v[c] = p[c] * t->first_weight + end[c] * t->last_weight + pad * t->pad_weight;
        for (p += 3; p < end; p += 3) {
            for (int c = 0; c < 3; c++)
                v[c] += p[c] * t->middle_weight;
        }
        for (int c = 0; c < 3; c++)
            planes[c][i] = (v[c] - mean[c]) * scale[c];
    }
}

static void warp_add(const struct frt_pixels *src, double x, double y, double dx, double dy, size_t n,
                     float *acc)
{
    const double width = src->width_px, height = src->height_px;
    for (size_t i = 0; i < n; i++) {
        const double sx = x + (double)i * dx, sy = y + (double)i * dy;
        /* written so that NaN fails */
        if (!(sx > -1 && sx < width && sy > -1 && sy < height))
            continue;
        const int64_t x0 = (int64_t)(sx + 1) - 1, y0 = (int64_t)(sy + 1) - 1;
        const float fx = (float)(sx - (double)x0), fy = (float)(sy - (double)y0);
        for (int64_t row = 0; row < 2; row++) {
            if (y0 + row < 0 || y0 + row >= (int64_t)src->height_px)
                continue;
            const float wy = row ? fy : 1 - fy;
            const uint8_t *line = src->data + (size_t)(y0 + row) * src->stride_bytes;
            for (int64_t column = 0; column < 2; column++) {
                if (x0 + column < 0 || x0 + column >= (int64_t)src->width_px)
                    continue;
                const float w = wy * (column ? fx : 1 - fx);
                const uint8_t *p = line + 3 * (size_t)(x0 + column);
                for (int c = 0; c < 3; c++)
                    acc[4 * i + (size_t)c] += w * (float)p[c];
            }
        }
    }
}

static void warp_store(const float *acc, float scale, size_t n, uint8_t *out)
{
    for (size_t i = 0; i < n; i++) {
        for (size_t c = 0; c < 3; c++) {
            const float v = acc[4 * i + c] * scale + 0.5f;
            out[3 * i + c] = v >= 255 ? 255 : (uint8_t)v; /* sums of weighted bytes are never negative */
        }
    }
}

static void split(const uint8_t *pixels, size_t n, float *const planes[3], const float mean[3],
                  const float scale[3])
{
    for (size_t i = 0; i < n; i++) {
        for (size_t c = 0; c < 3; c++)
            planes[c][i] = ((float)pixels[3 * i + c] - mean[c]) * scale[c];
    }
}

const struct frt_resample_kernels frt_resample_kernels_scalar = {row_blend, row_add,    row_gather,
                                                                 warp_add,  warp_store, split};
