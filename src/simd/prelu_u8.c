#include "simd/prelu_u8.h"

#include <math.h>

#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

enum { STEPS = 1 << 12, ROUND = 1 << 11, SHIFT = 12 };

bool frt_prelu_u8_multiplier(float ratio, int16_t *out)
{
    if (!(fabsf(ratio) <= FRT_PRELU_U8_MAX_RATIO))
        return false;
    *out = (int16_t)lrintf(ratio * STEPS);
    return true;
}

static uint8_t one(uint8_t x, int16_t below, const struct frt_prelu_u8 *op)
{
    const int d = x - op->x_zero;
    const int y = ((d * (d > 0 ? op->above : below) + ROUND) >> SHIFT) + op->y_zero;
    return (uint8_t)(y < 0 ? 0 : y > UINT8_MAX ? UINT8_MAX : y);
}

static void prelu_u8_scalar(const uint8_t *x, uint8_t *y, size_t pixels, size_t channels,
                            const struct frt_prelu_u8 *op)
{
    for (size_t p = 0; p < pixels; p++, x += channels, y += channels)
        for (size_t c = 0; c < channels; c++)
            y[c] = one(x[c], op->below[c], op);
}

#if defined(__x86_64__)
/* mulhrs gives (a·b + 2^14) >> 15: with a = 8·d that is the rounded product in steps of 2^-12. */
__attribute__((target("avx2"))) static void prelu_u8_avx2(const uint8_t *x, uint8_t *y, size_t pixels,
                                                          size_t channels, const struct frt_prelu_u8 *op)
{
    const __m256i x_zero = _mm256_set1_epi16(op->x_zero), y_zero = _mm256_set1_epi16(op->y_zero),
                  above = _mm256_set1_epi16(op->above), none = _mm256_setzero_si256();
    for (size_t p = 0; p < pixels; p++, x += channels, y += channels) {
        size_t c = 0;
        for (; c + 16 <= channels; c += 16) {
            const __m256i d = _mm256_sub_epi16(
                _mm256_cvtepu8_epi16(_mm_loadu_si128((const __m128i *)(const void *)(x + c))), x_zero);
            const __m256i by =
                _mm256_blendv_epi8(_mm256_loadu_si256((const __m256i *)(const void *)(op->below + c)), above,
                                   _mm256_cmpgt_epi16(d, none));
            const __m256i v = _mm256_add_epi16(_mm256_mulhrs_epi16(_mm256_slli_epi16(d, 3), by), y_zero);
            const __m256i bytes = _mm256_permute4x64_epi64(_mm256_packus_epi16(v, v), 0x08);
            _mm_storeu_si128((__m128i *)(void *)(y + c), _mm256_castsi256_si128(bytes));
        }
        for (; c < channels; c++)
            y[c] = one(x[c], op->below[c], op);
    }
}

__attribute__((target("avx512f,avx512bw,avx512vl"))) static void prelu_u8_avx512(const uint8_t *x, uint8_t *y,
                                                                                 size_t pixels, size_t channels,
                                                                                 const struct frt_prelu_u8 *op)
{
    const __m512i x_zero = _mm512_set1_epi16(op->x_zero), y_zero = _mm512_set1_epi16(op->y_zero),
                  above = _mm512_set1_epi16(op->above), none = _mm512_setzero_si512();
    for (size_t p = 0; p < pixels; p++, x += channels, y += channels) {
        for (size_t c = 0; c < channels; c += 32) {
            const size_t left = channels - c;
            const __mmask32 in = left >= 32 ? 0xffffffffU : (1U << left) - 1;
            const __m512i d =
                _mm512_sub_epi16(_mm512_cvtepu8_epi16(_mm256_maskz_loadu_epi8(in, x + c)), x_zero);
            const __m512i by = _mm512_mask_blend_epi16(_mm512_cmpgt_epi16_mask(d, none),
                                                       _mm512_maskz_loadu_epi16(in, op->below + c), above);
            const __m512i v = _mm512_add_epi16(_mm512_mulhrs_epi16(_mm512_slli_epi16(d, 3), by), y_zero);
            _mm256_mask_storeu_epi8(y + c, in, _mm512_cvtusepi16_epi8(_mm512_max_epi16(v, none)));
        }
    }
}
#elif defined(__aarch64__)
/* SQRDMULH gives (2·a·b + 2^15) >> 16: as mulhrs above. */
static inline __attribute__((always_inline)) uint8x8_t eight(uint8x8_t x, int16x8_t below,
                                                             const struct frt_prelu_u8 *op)
{
    const int16x8_t d = vreinterpretq_s16_u16(vsubl_u8(x, vdup_n_u8(op->x_zero)));
    const int16x8_t by = vbslq_s16(vcgtzq_s16(d), vdupq_n_s16(op->above), below);
    return vqmovun_s16(vaddq_s16(vqrdmulhq_s16(vshlq_n_s16(d, 3), by), vdupq_n_s16(op->y_zero)));
}

static void prelu_u8_neon(const uint8_t *x, uint8_t *y, size_t pixels, size_t channels,
                          const struct frt_prelu_u8 *op)
{
    for (size_t p = 0; p < pixels; p++, x += channels, y += channels) {
        size_t c = 0;
        for (; c + 16 <= channels; c += 16) {
            const uint8x16_t v = vld1q_u8(x + c);
            vst1q_u8(y + c, vcombine_u8(eight(vget_low_u8(v), vld1q_s16(op->below + c), op),
                                        eight(vget_high_u8(v), vld1q_s16(op->below + c + 8), op)));
        }
        for (; c < channels; c++)
            y[c] = one(x[c], op->below[c], op);
    }
}
#endif

frt_prelu_u8_fn *frt_prelu_u8_get(enum frt_simd_tier tier)
{
#if defined(__x86_64__)
    if (tier == FRT_SIMD_AVX512 || tier == FRT_SIMD_AVX512VNNI)
        return prelu_u8_avx512;
    if (tier == FRT_SIMD_AVX2)
        return prelu_u8_avx2;
#elif defined(__aarch64__)
    if (tier == FRT_SIMD_NEON || tier == FRT_SIMD_NEONDOT)
        return prelu_u8_neon;
#endif
    (void)tier;
    return prelu_u8_scalar;
}
