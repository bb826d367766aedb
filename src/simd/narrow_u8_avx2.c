/* 16 channels at a time, products in pairs of 16 bits: depthwise two columns of a channel, in groups of two
 * both inputs of a column. */
#include "simd/narrow_u8_kernels.h"

#if defined(__x86_64__)
#include <immintrin.h>

#define TARGET __attribute__((target("avx2")))
#define INLINE TARGET static inline __attribute__((always_inline))

static uint32_t avx2_channel_at(uint32_t group, uint32_t lane)
{
    const uint32_t vector = lane / 8, j = lane % 8;
    return group == 1 ? j / 4 * 8 + vector * 4 + j % 4 : j * 2 + vector;
}

INLINE __m256i load16(const uint8_t *from)
{
    return _mm256_cvtepu8_epi16(_mm_loadu_si128((const __m128i *)(const void *)from));
}

INLINE __m256i dot(__m256i sum, __m256i x, const int16_t *w)
{
    return _mm256_add_epi32(sum, _mm256_madd_epi16(x, _mm256_loadu_si256((const __m256i *)(const void *)w)));
}

INLINE __m256i requantise(const struct frt_narrow_u8 *op, __m256i sum, size_t lane)
{
    __m256 by = _mm256_loadu_ps(op->lane_above + lane);
    if (op->sloped)
        by = _mm256_blendv_ps(_mm256_loadu_ps(op->lane_below + lane), by,
                              _mm256_castsi256_ps(_mm256_cmpgt_epi32(sum, _mm256_setzero_si256())));
    /* too large would turn into the least of numbers; too small does, too, and that is right */
    return _mm256_cvtps_epi32(_mm256_min_ps(_mm256_mul_ps(_mm256_cvtepi32_ps(sum), by), _mm256_set1_ps(65536)));
}

INLINE void store(const struct frt_narrow_u8 *op, const __m256i sum[2], size_t lane, bool pairs, uint8_t *y)
{
    const __m256i zero = _mm256_set1_epi16(op->y_zero),
                  both = _mm256_adds_epi16(
                      _mm256_packs_epi32(requantise(op, sum[0], lane), requantise(op, sum[1], lane + 8)), zero);
    const __m256i bytes = _mm256_permute4x64_epi64(_mm256_packus_epi16(both, both), 0x08);
    __m128i out = _mm256_castsi256_si128(bytes);
    if (pairs) /* four even ones, four odd ones, and again */
        out = _mm_shuffle_epi8(out, _mm_setr_epi8(0, 4, 1, 5, 2, 6, 3, 7, 8, 12, 9, 13, 10, 14, 11, 15));
    _mm_storeu_si128((__m128i *)(void *)y, out);
}

enum { CHUNK = 2 * 16 };

INLINE void depthwise(const struct frt_narrow_u8 *op, const uint8_t *const taps[3][4], size_t c, uint32_t n,
                      __m256i sums[2][2])
{
    const int16_t *w = (const int16_t *)op->packed + c / 16 * op->block_weights;
    FRT_NARROW_UNROLL
    for (size_t half = 0; half < 6; half++, w += CHUNK) {
        const uint8_t *const *from = taps[half / 2] + half % 2 * 2;
        const __m256i a = load16(from[0] + c), b = load16(from[1] + c);
        const __m256i x[2] = {_mm256_unpacklo_epi16(a, b), _mm256_unpackhi_epi16(a, b)};
        FRT_NARROW_UNROLL
        for (size_t q = 0; q < 2; q++) {
            sums[0][q] = dot(sums[0][q], x[q], w + q * 16);
            if (n == 2)
                sums[1][q] = dot(sums[1][q], x[q], w + 6 * CHUNK + q * 16);
        }
    }
}

INLINE void twos(const struct frt_narrow_u8 *op, const uint8_t *const taps[3][4], size_t c, uint32_t n,
                 __m256i sums[2][2])
{
    const int16_t *w = (const int16_t *)op->packed + c / 16 * op->block_weights;
    FRT_NARROW_UNROLL
    for (size_t column = 0; column < 12; column++, w += CHUNK) {
        if (n == 1 && column % 4 == 3)
            continue;
        const __m256i x = load16(taps[column / 4][column % 4] + c);
        FRT_NARROW_UNROLL
        for (size_t q = 0; q < 2; q++) {
            sums[0][q] = dot(sums[0][q], x, w + q * 16);
            if (n == 2)
                sums[1][q] = dot(sums[1][q], x, w + 12 * CHUNK + q * 16);
        }
    }
}

INLINE void avx2_blocks(const struct frt_narrow_u8 *op, const uint8_t *const taps[3][4], uint8_t *y, bool pairs,
                        uint32_t n)
{
    size_t c = 0;
    for (; c + 16 <= op->channels; c += 16) {
        __m256i sums[2][2];
        FRT_NARROW_UNROLL
        for (size_t q = 0; q < 2; q++)
            sums[0][q] = sums[1][q] =
                _mm256_loadu_si256((const __m256i *)(const void *)(op->lane_offsets + c + q * 8));
        if (pairs)
            twos(op, taps, c, n, sums);
        else
            depthwise(op, taps, c, n, sums);
        store(op, sums[0], c, pairs, y + c);
        if (n == 2)
            store(op, sums[1], c, pairs, y + op->channels + c);
    }
    for (uint32_t i = 0; i < n && c < op->channels; i++)
        frt_narrow_u8_channels(op, taps, (uint32_t)c, i, y + (size_t)i * op->channels);
}

TARGET static void avx2_pixels(const struct frt_narrow_u8 *op, const uint8_t *const taps[3][4], uint8_t *y,
                               uint32_t n)
{
    if (op->group == 1 && n == 2)
        avx2_blocks(op, taps, y, false, 2);
    else if (op->group == 1)
        avx2_blocks(op, taps, y, false, 1);
    else if (n == 2)
        avx2_blocks(op, taps, y, true, 2);
    else
        avx2_blocks(op, taps, y, true, 1);
}

const struct frt_narrow_u8_kernel frt_narrow_u8_avx2 = {
    .block = 16, .depth = 2, .wide = true, .channel_at = avx2_channel_at, .pixels = avx2_pixels};
#endif
