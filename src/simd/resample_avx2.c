/*
 * AVX2 + FMA kernels. A pixel is handled as one vector of four floats (R, G, B and a neighbour's byte
 * that is dropped), which needs no gather: four such pixels are transposed into three planes at a time.
 */
#include "simd/resample_kernels.h"

#if defined(__x86_64__)
#include <immintrin.h>
#include <string.h>

#define AVX2 __attribute__((target("avx2,fma")))

AVX2 static inline __m256 bytes_to_floats(const uint8_t *p)
{
    return _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)(const void *)p)));
}

AVX2 static void row_blend(float *acc, const uint8_t *a, const uint8_t *b, float wa, float wb, float bias,
                           size_t n)
{
    const __m256 va = _mm256_set1_ps(wa), vb = _mm256_set1_ps(wb), v0 = _mm256_set1_ps(bias);
    size_t i = 0;
    for (; i + 8 <= n; i += 8) {
        const __m256 sum = _mm256_fmadd_ps(bytes_to_floats(a + i), va, v0);
        _mm256_storeu_ps(acc + i, _mm256_fmadd_ps(bytes_to_floats(b + i), vb, sum));
    }
    for (; i < n; i++)
        acc[i] = (float)a[i] * wa + (float)b[i] * wb + bias;
}

AVX2 static void row_add(float *acc, const uint8_t *a, float w, size_t n)
{
    const __m256 vw = _mm256_set1_ps(w);
    size_t i = 0;
    for (; i + 8 <= n; i += 8)
        _mm256_storeu_ps(acc + i, _mm256_fmadd_ps(bytes_to_floats(a + i), vw, _mm256_loadu_ps(acc + i)));
    for (; i < n; i++)
        acc[i] += (float)a[i] * w;
}

AVX2 static inline __m128 gather_one(const float *acc, int32_t base, const struct frt_axis_tap *t, bool two,
                                     __m128 pad)
{
    const float *p = acc + 3 * (ptrdiff_t)(t->first - base);
    const float *end = acc + 3 * (ptrdiff_t)(t->last - base);
    __m128 v = _mm_mul_ps(pad, _mm_set1_ps(t->pad_weight));
    v = _mm_fmadd_ps(_mm_loadu_ps(p), _mm_set1_ps(t->first_weight), v);
    v = _mm_fmadd_ps(_mm_loadu_ps(end), _mm_set1_ps(t->last_weight), v);
    if (!two) {
        const __m128 middle = _mm_set1_ps(t->middle_weight);
        for (p += 3; p < end; p += 3)
            v = _mm_fmadd_ps(_mm_loadu_ps(p), middle, v);
    }
    return v;
}

AVX2 static void row_gather(const float *acc, int32_t base, const struct frt_axis_tap *taps, size_t n, bool two,
                            float pad, float *const planes[3], const float mean[3], const float scale[3])
{
    const __m128 padding = _mm_set1_ps(pad);
    __m128 m[3], s[3];
    for (int c = 0; c < 3; c++) {
        m[c] = _mm_set1_ps(mean[c]);
        s[c] = _mm_set1_ps(scale[c]);
    }
    size_t i = 0;
    for (; i + 4 <= n; i += 4) {
        __m128 v0 = gather_one(acc, base, taps + i, two, padding);
        __m128 v1 = gather_one(acc, base, taps + i + 1, two, padding);
        __m128 v2 = gather_one(acc, base, taps + i + 2, two, padding);
        __m128 v3 = gather_one(acc, base, taps + i + 3, two, padding);
        _MM_TRANSPOSE4_PS(v0, v1, v2, v3);
        _mm_storeu_ps(planes[0] + i, _mm_mul_ps(_mm_sub_ps(v0, m[0]), s[0]));
        _mm_storeu_ps(planes[1] + i, _mm_mul_ps(_mm_sub_ps(v1, m[1]), s[1]));
        _mm_storeu_ps(planes[2] + i, _mm_mul_ps(_mm_sub_ps(v2, m[2]), s[2]));
    }
    for (; i < n; i++) {
        float v[4];
        _mm_storeu_ps(v, gather_one(acc, base, taps + i, two, padding));
        for (int c = 0; c < 3; c++)
            planes[c][i] = (v[c] - mean[c]) * scale[c];
    }
}

AVX2 static inline __m128 load_pixel(const uint8_t *p)
{
    int32_t word;
    memcpy(&word, p, sizeof word);
    return _mm_cvtepi32_ps(_mm_cvtepu8_epi32(_mm_cvtsi32_si128(word)));
}

AVX2 static void warp_add(const struct frt_pixels *src, double x, double y, double dx, double dy, size_t n,
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
        const __m128 fx = _mm_set1_ps((float)(sx - (double)x0)), fy = _mm_set1_ps((float)(sy - (double)y0));
        const uint8_t *p = src->data + y0 * src->stride_bytes + 3 * x0;
        const uint8_t *q = p + src->stride_bytes;
        const __m128 p0 = load_pixel(p), q0 = load_pixel(q);
        const __m128 top = _mm_fmadd_ps(_mm_sub_ps(load_pixel(p + 3), p0), fx, p0);
        const __m128 low = _mm_fmadd_ps(_mm_sub_ps(load_pixel(q + 3), q0), fx, q0);
        const __m128 v = _mm_fmadd_ps(_mm_sub_ps(low, top), fy, top);
        _mm_storeu_ps(acc + 4 * i, _mm_add_ps(_mm_loadu_ps(acc + 4 * i), v));
    }
}

AVX2 static void warp_store(const float *acc, float scale, size_t n, uint8_t *out)
{
    const __m128 s = _mm_set1_ps(scale), half = _mm_set1_ps(0.5f);
    const __m128i pick = _mm_setr_epi8(0, 4, 8, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1);
    for (size_t i = 0; i < n; i++) {
        __m128i v = _mm_cvttps_epi32(_mm_fmadd_ps(_mm_loadu_ps(acc + 4 * i), s, half));
        v = _mm_min_epi32(v, _mm_set1_epi32(255));
        const int32_t word = _mm_cvtsi128_si32(_mm_shuffle_epi8(v, pick));
        memcpy(out + 3 * i, &word, 3);
    }
}

AVX2 static void split(const uint8_t *pixels, size_t n, float *const planes[3], const float mean[3],
                       const float scale[3])
{
    /* 16 bytes hold five pixels; four are used. pick[c] spreads channel c of them over four words. */
    const __m128i pick[3] = {
        _mm_setr_epi8(0, -1, -1, -1, 3, -1, -1, -1, 6, -1, -1, -1, 9, -1, -1, -1),
        _mm_setr_epi8(1, -1, -1, -1, 4, -1, -1, -1, 7, -1, -1, -1, 10, -1, -1, -1),
        _mm_setr_epi8(2, -1, -1, -1, 5, -1, -1, -1, 8, -1, -1, -1, 11, -1, -1, -1),
    };
    size_t i = 0;
    for (; 3 * (i + 4) + 4 <= 3 * n; i += 4) {
        const __m128i bytes = _mm_loadu_si128((const __m128i *)(const void *)(pixels + 3 * i));
        for (int c = 0; c < 3; c++) {
            const __m128 v = _mm_cvtepi32_ps(_mm_shuffle_epi8(bytes, pick[c]));
            _mm_storeu_ps(planes[c] + i,
                          _mm_mul_ps(_mm_sub_ps(v, _mm_set1_ps(mean[c])), _mm_set1_ps(scale[c])));
        }
    }
    for (; i < n; i++) {
        for (size_t c = 0; c < 3; c++)
            planes[c][i] = ((float)pixels[3 * i + c] - mean[c]) * scale[c];
    }
}

const struct frt_resample_kernels frt_resample_kernels_avx2 = {row_blend, row_add,    row_gather,
                                                               warp_add,  warp_store, split};
#else
typedef int frt_no_avx2_here; /* a translation unit must declare something */
#endif
