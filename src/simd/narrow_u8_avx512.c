/* 64 channels at a time. A lane holds four bytes for vpdpbusd: depthwise four columns of a channel, in groups
 * of two two columns of both inputs. Unpacking mixes within 128 bits, as packing the results does: they come
 * out in order. */
#include "simd/narrow_u8_kernels.h"

#if defined(__x86_64__)
#include <immintrin.h>

#define TARGET __attribute__((target("avx512f,avx512bw,avx512vl,avx512vnni")))
#define INLINE TARGET static inline __attribute__((always_inline))

static uint32_t vnni_channel_at(uint32_t group, uint32_t lane)
{
    const uint32_t vector = lane / 16, j = lane % 16;
    return group == 1 ? j / 4 * 16 + vector * 4 + j % 4
                      : j / 4 * 16 + (vector / 2 * 4 + j % 4) * 2 + vector % 2; /* low even, low odd, high … */
}

INLINE __m512i requantise(const struct frt_narrow_u8 *op, __m512i sum, size_t lane)
{
    __m512 by = _mm512_loadu_ps(op->lane_above + lane);
    if (op->sloped)
        by = _mm512_mask_loadu_ps(by, _mm512_cmple_epi32_mask(sum, _mm512_setzero_si512()),
                                  op->lane_below + lane);
    /* too large would turn into the least of numbers; too small does, too, and that is right */
    return _mm512_cvtps_epi32(_mm512_min_ps(_mm512_mul_ps(_mm512_cvtepi32_ps(sum), by), _mm512_set1_ps(65536)));
}

INLINE void store(const struct frt_narrow_u8 *op, const __m512i sum[4], size_t lane, bool pairs, uint8_t *y,
                  __mmask64 in)
{
    const __m512i zero = _mm512_set1_epi16(op->y_zero), none = _mm512_setzero_si512();
    __m512i v[4], bytes;
    FRT_NARROW_UNROLL
    for (size_t q = 0; q < 4; q++)
        v[q] = requantise(op, sum[q], lane + q * 16);
    if (pairs) {
        const __m512i most = _mm512_set1_epi16(UINT8_MAX);
        const __m512i even = _mm512_adds_epi16(_mm512_packs_epi32(v[0], v[2]), zero),
                      odd = _mm512_adds_epi16(_mm512_packs_epi32(v[1], v[3]), zero);
        bytes = _mm512_or_si512(_mm512_min_epi16(_mm512_max_epi16(even, none), most),
                                _mm512_slli_epi16(_mm512_min_epi16(_mm512_max_epi16(odd, none), most), 8));
    } else
        bytes = _mm512_packus_epi16(_mm512_adds_epi16(_mm512_packs_epi32(v[0], v[1]), zero),
                                    _mm512_adds_epi16(_mm512_packs_epi32(v[2], v[3]), zero));
    _mm512_mask_storeu_epi8(y, in, bytes);
}

INLINE __m512i dot(__m512i sum, __m512i x, const int8_t *w)
{
    return _mm512_dpbusd_epi32(sum, x, _mm512_loadu_si512(w));
}

enum { CHUNK = 4 * 64 };

INLINE void depthwise(const struct frt_narrow_u8 *op, const uint8_t *const taps[3][4], size_t c, __mmask64 in,
                      uint32_t n, __m512i sums[2][4])
{
    const int8_t *w = (const int8_t *)op->packed + c / 64 * op->block_weights;
    FRT_NARROW_UNROLL
    for (size_t row = 0; row < 3; row++, w += CHUNK) {
        const __m512i p0 = _mm512_maskz_loadu_epi8(in, taps[row][0] + c),
                      p1 = _mm512_maskz_loadu_epi8(in, taps[row][1] + c),
                      p2 = _mm512_maskz_loadu_epi8(in, taps[row][2] + c),
                      p3 = n == 2 ? _mm512_maskz_loadu_epi8(in, taps[row][3] + c) : _mm512_setzero_si512();
        const __m512i low = _mm512_unpacklo_epi8(p0, p1), high = _mm512_unpackhi_epi8(p0, p1),
                      low2 = _mm512_unpacklo_epi8(p2, p3), high2 = _mm512_unpackhi_epi8(p2, p3);
        const __m512i x[4] = {_mm512_unpacklo_epi16(low, low2), _mm512_unpackhi_epi16(low, low2),
                              _mm512_unpacklo_epi16(high, high2), _mm512_unpackhi_epi16(high, high2)};
        FRT_NARROW_UNROLL
        for (size_t q = 0; q < 4; q++) {
            sums[0][q] = dot(sums[0][q], x[q], w + q * 64);
            if (n == 2)
                sums[1][q] = dot(sums[1][q], x[q], w + 3 * CHUNK + q * 64);
        }
    }
}

INLINE void twos(const struct frt_narrow_u8 *op, const uint8_t *const taps[3][4], size_t c, __mmask64 in,
                 uint32_t n, __m512i sums[2][4])
{
    const int8_t *w = (const int8_t *)op->packed + c / 64 * op->block_weights;
    FRT_NARROW_UNROLL
    for (size_t half = 0; half < 6; half++, w += CHUNK) {
        const uint8_t *const *from = taps[half / 2] + half % 2 * 2;
        const __m512i a = _mm512_maskz_loadu_epi8(in, from[0] + c),
                      b = _mm512_maskz_loadu_epi8(in, from[1] + c);
        const __m512i x[2] = {_mm512_unpacklo_epi16(a, b), _mm512_unpackhi_epi16(a, b)};
        FRT_NARROW_UNROLL
        for (size_t q = 0; q < 4; q++) {
            sums[0][q] = dot(sums[0][q], x[q / 2], w + q * 64);
            if (n == 2)
                sums[1][q] = dot(sums[1][q], x[q / 2], w + 6 * CHUNK + q * 64);
        }
    }
}

INLINE void vnni_blocks(const struct frt_narrow_u8 *op, const uint8_t *const taps[3][4], uint8_t *y, bool pairs,
                        uint32_t n)
{
    for (size_t c = 0; c < op->channels; c += 64) {
        const size_t left = op->channels - c;
        const __mmask64 in = left >= 64 ? ~(__mmask64)0 : ((__mmask64)1 << left) - 1;
        __m512i sums[2][4];
        FRT_NARROW_UNROLL
        for (size_t q = 0; q < 4; q++)
            sums[0][q] = sums[1][q] = _mm512_loadu_si512(op->lane_offsets + c + q * 16);
        if (pairs)
            twos(op, taps, c, in, n, sums);
        else
            depthwise(op, taps, c, in, n, sums);
        store(op, sums[0], c, pairs, y + c, in);
        if (n == 2)
            store(op, sums[1], c, pairs, y + op->channels + c, in);
    }
}

TARGET static void vnni_pixels(const struct frt_narrow_u8 *op, const uint8_t *const taps[3][4], uint8_t *y,
                               uint32_t n)
{
    if (op->group == 1 && n == 2)
        vnni_blocks(op, taps, y, false, 2);
    else if (op->group == 1)
        vnni_blocks(op, taps, y, false, 1);
    else if (n == 2)
        vnni_blocks(op, taps, y, true, 2);
    else
        vnni_blocks(op, taps, y, true, 1);
}

const struct frt_narrow_u8_kernel frt_narrow_u8_avx512vnni = {
    .block = 64, .depth = 4, .channel_at = vnni_channel_at, .pixels = vnni_pixels};
#endif
