/*
 * Code scans for AArch64: the baseline (ARMv8.0), and with the dot products of bytes that are optional from
 * ARMv8.2 on (SDOT: Cortex-A55 and A75 2018, Neoverse N1 2019, Apple A11).
 *
 * Bits: CNT counts in bytes; up to 31 words' counts fit a byte (248) before they are widened. The signs of the
 * query alone, half of the work, rule most blocks out; blocks in which some vector reaches the cut less the
 * slack are counted in full.
 */
#include "simd/codes.h"

#if defined(__aarch64__)
#include <arm_neon.h>

#define INLINE static inline __attribute__((always_inline))
#define DOTPROD __attribute__((target("arch=armv8.2-a+dotprod")))
/* Sums stay in registers only when the loops over them are unrolled; -O2 does not do it on its own. */
#if defined(__clang__)
#define UNROLL _Pragma("unroll")
#else
#define UNROLL _Pragma("GCC unroll 8")
#endif

enum { QUARTERS = 4, WORDS_A_BYTE = 31 };

INLINE size_t keep(float32x4_t estimate, float cut, uint32_t number, uint32_t *out)
{
    const uint32x4_t good = vcgeq_f32(estimate, vdupq_n_f32(cut));
    if (vmaxvq_u32(good) == 0)
        return 0;
    uint32_t lanes[4];
    size_t kept = 0;
    vst1q_u32(lanes, good);
    for (uint32_t i = 0; i < 4; i++)
        if (lanes[i] != 0)
            out[kept++] = number + i;
    return kept;
}

/* -------------------------------------------------------------------- bits */

/* Of a block's 16 vectors: Σ |code ^ sign|, of the bits in `mask` only where there is one. */
INLINE void count(const uint64_t *block, const uint64_t *sign, const uint64_t *mask, uint32_t words,
                  uint32x4_t out[QUARTERS])
{
    uint32x4_t total[8];
    UNROLL
    for (int i = 0; i < 8; i++)
        total[i] = vdupq_n_u32(0);
    for (uint32_t from = 0; from < words; from += WORDS_A_BYTE) {
        const uint32_t to = words - from < WORDS_A_BYTE ? words : from + WORDS_A_BYTE;
        uint8x16_t bytes[8];
        UNROLL
        for (int i = 0; i < 8; i++)
            bytes[i] = vdupq_n_u8(0);
        for (uint32_t w = from; w < to; w++) {
            const uint64x2_t s = vdupq_n_u64(sign[w]), m = vdupq_n_u64(mask == NULL ? 0 : mask[w]);
            UNROLL
            for (int i = 0; i < 8; i++) {
                uint64x2_t t = veorq_u64(vld1q_u64(block + w * FRT_CODE_BLOCK + 2 * i), s);
                if (mask != NULL)
                    t = vandq_u64(t, m);
                bytes[i] = vaddq_u8(bytes[i], vcntq_u8(vreinterpretq_u8_u64(t)));
            }
        }
        UNROLL
        for (int i = 0; i < 8; i++)
            total[i] = vpadalq_u16(total[i], vpaddlq_u8(bytes[i]));
    }
    /* two halves of a 64-bit word stand side by side: add neighbours, four vectors in order */
    UNROLL
    for (int i = 0; i < QUARTERS; i++)
        out[i] = vpaddq_u32(total[2 * i], total[2 * i + 1]);
}

static size_t bits_scan_neon(const struct frt_bits_query *query, const uint64_t *codes, const float *factors,
                             size_t n_blocks, uint32_t first, float cut, uint32_t *out)
{
    const float32x4_t sign_cut = vdupq_n_f32(cut - query->sign_slack);
    size_t kept = 0;
    for (size_t b = 0; b < n_blocks; b++) {
        const uint64_t *block = codes + b * query->words * FRT_CODE_BLOCK;
        const float *f = factors + b * FRT_CODE_BLOCK;
        uint32x4_t differ[QUARTERS], differ_big[QUARTERS], hopeful = vdupq_n_u32(0);
        count(block, query->sign, NULL, query->words, differ);
        UNROLL
        for (int i = 0; i < QUARTERS; i++) {
            const float32x4_t by_sign =
                vfmsq_n_f32(vdupq_n_f32(query->sign_sum), vcvtq_f32_u32(differ[i]), query->sign_unit);
            hopeful = vorrq_u32(hopeful, vcgeq_f32(vmulq_f32(by_sign, vld1q_f32(f + 4 * i)), sign_cut));
        }
        if (vmaxvq_u32(hopeful) == 0)
            continue;
        count(block, query->sign, query->big, query->words, differ_big);
        const uint32_t number = first + (uint32_t)(b * FRT_CODE_BLOCK);
        for (uint32_t i = 0; i < QUARTERS; i++) {
            const uint32x4_t wrong = vaddq_u32(differ[i], vshlq_n_u32(differ_big[i], 1));
            const float32x4_t e = vfmsq_n_f32(vdupq_n_f32(query->sum), vcvtq_f32_u32(wrong), query->unit);
            kept += keep(vmulq_f32(e, vld1q_f32(f + 4 * i)), cut, number + 4 * i, out + kept);
        }
    }
    return kept;
}

/* ----------------------------------------------------------------- nibbles */

INLINE size_t keep_nibbles(const struct frt_nibbles_query *query, const int32x4_t sum[QUARTERS],
                           const float *factors, float cut, uint32_t number, uint32_t *out)
{
    size_t kept = 0;
    UNROLL
    for (uint32_t i = 0; i < QUARTERS; i++) {
        const float32x4_t e =
            vsubq_f32(vmulq_n_f32(vcvtq_f32_s32(sum[i]), query->step), vdupq_n_f32(query->offset));
        kept += keep(vmulq_f32(e, vld1q_f32(factors + 4 * i)), cut, number + 4 * i, out + kept);
    }
    return kept;
}

static size_t nibbles_scan_neon(const struct frt_nibbles_query *query, const uint32_t *codes,
                                const float *factors, size_t n_blocks, uint32_t first, float cut, uint32_t *out)
{
    const uint8x16_t low = vdupq_n_u8(15);
    size_t kept = 0;
    for (size_t b = 0; b < n_blocks; b++) {
        const uint32_t *block = codes + b * query->groups * FRT_CODE_BLOCK;
        int32x4_t sum[QUARTERS] = {vdupq_n_s32(0), vdupq_n_s32(0), vdupq_n_s32(0), vdupq_n_s32(0)};
        for (uint32_t g = 0; g < query->groups; g++, block += FRT_CODE_BLOCK) {
            const int32x2_t q = vreinterpret_s32_s8(vld1_s8(query->q8 + 8 * g));
            const int8x8_t q0 = vreinterpret_s8_s32(vdup_lane_s32(q, 0)),
                           q1 = vreinterpret_s8_s32(vdup_lane_s32(q, 1));
            UNROLL
            for (int i = 0; i < QUARTERS; i++) {
                const uint8x16_t v = vreinterpretq_u8_u32(vld1q_u32(block + 4 * i));
                const int8x16_t a = vreinterpretq_s8_u8(vandq_u8(v, low));
                const int8x16_t c = vreinterpretq_s8_u8(vshrq_n_u8(v, 4));
                /* products of 15 · 127 at most, two of them: 3,810 fits 16 bits */
                const int16x8_t front = vmlal_s8(vmull_s8(vget_low_s8(a), q0), vget_low_s8(c), q1);
                const int16x8_t back = vmlal_s8(vmull_s8(vget_high_s8(a), q0), vget_high_s8(c), q1);
                sum[i] = vaddq_s32(sum[i], vpaddq_s32(vpaddlq_s16(front), vpaddlq_s16(back)));
            }
        }
        kept += keep_nibbles(query, sum, factors + b * FRT_CODE_BLOCK, cut,
                             first + (uint32_t)(b * FRT_CODE_BLOCK), out + kept);
    }
    return kept;
}

/* The four bytes of a vector's half group are what SDOT adds up in a lane. */
DOTPROD static size_t nibbles_scan_neondot(const struct frt_nibbles_query *query, const uint32_t *codes,
                                           const float *factors, size_t n_blocks, uint32_t first, float cut,
                                           uint32_t *out)
{
    const uint8x16_t low = vdupq_n_u8(15);
    size_t kept = 0;
    for (size_t b = 0; b < n_blocks; b++) {
        const uint32_t *block = codes + b * query->groups * FRT_CODE_BLOCK;
        int32x4_t sum[QUARTERS] = {vdupq_n_s32(0), vdupq_n_s32(0), vdupq_n_s32(0), vdupq_n_s32(0)};
        for (uint32_t g = 0; g < query->groups; g++, block += FRT_CODE_BLOCK) {
            const int8x8_t q = vld1_s8(query->q8 + 8 * g);
            UNROLL
            for (int i = 0; i < QUARTERS; i++) {
                const uint8x16_t v = vreinterpretq_u8_u32(vld1q_u32(block + 4 * i));
                sum[i] = vdotq_lane_s32(sum[i], vreinterpretq_s8_u8(vandq_u8(v, low)), q, 0);
                sum[i] = vdotq_lane_s32(sum[i], vreinterpretq_s8_u8(vshrq_n_u8(v, 4)), q, 1);
            }
        }
        kept += keep_nibbles(query, sum, factors + b * FRT_CODE_BLOCK, cut,
                             first + (uint32_t)(b * FRT_CODE_BLOCK), out + kept);
    }
    return kept;
}

/* --------------------------------------------------------------------- dots */

static float dot_f32_i8_neon(const float *a, const int8_t *b, size_t n)
{
    float32x4_t sum[4] = {vdupq_n_f32(0), vdupq_n_f32(0), vdupq_n_f32(0), vdupq_n_f32(0)};
    for (size_t i = 0; i < n; i += 16) {
        const int8x16_t v = vld1q_s8(b + i);
        const int16x8_t low = vmovl_s8(vget_low_s8(v)), high = vmovl_s8(vget_high_s8(v));
        sum[0] = vfmaq_f32(sum[0], vld1q_f32(a + i), vcvtq_f32_s32(vmovl_s16(vget_low_s16(low))));
        sum[1] = vfmaq_f32(sum[1], vld1q_f32(a + i + 4), vcvtq_f32_s32(vmovl_s16(vget_high_s16(low))));
        sum[2] = vfmaq_f32(sum[2], vld1q_f32(a + i + 8), vcvtq_f32_s32(vmovl_s16(vget_low_s16(high))));
        sum[3] = vfmaq_f32(sum[3], vld1q_f32(a + i + 12), vcvtq_f32_s32(vmovl_s16(vget_high_s16(high))));
    }
    return vaddvq_f32(vaddq_f32(vaddq_f32(sum[0], sum[1]), vaddq_f32(sum[2], sum[3])));
}

static void dots_i8_neon(const int8_t *query, const int8_t *rows, size_t bytes, size_t n, int32_t *out)
{
    for (size_t r = 0; r < n; r++) {
        int32x4_t sum = vdupq_n_s32(0);
        for (size_t i = 0; i < bytes; i += 16) {
            const int8x16_t q = vld1q_s8(query + i), v = vld1q_s8(rows + r * bytes + i);
            sum = vpadalq_s16(sum, vmull_s8(vget_low_s8(q), vget_low_s8(v)));
            sum = vpadalq_s16(sum, vmull_high_s8(q, v));
        }
        out[r] = vaddvq_s32(sum);
    }
}

/* Four rows at a time: they share the loads of the query, and hide the latency of SDOT. */
DOTPROD static void dots_i8_neondot(const int8_t *query, const int8_t *rows, size_t bytes, size_t n,
                                    int32_t *out)
{
    size_t r = 0;
    for (; r + 4 <= n; r += 4, rows += 4 * bytes) {
        int32x4_t sum[4] = {vdupq_n_s32(0), vdupq_n_s32(0), vdupq_n_s32(0), vdupq_n_s32(0)};
        for (size_t i = 0; i < bytes; i += 16) {
            const int8x16_t q = vld1q_s8(query + i);
            UNROLL
            for (size_t k = 0; k < 4; k++)
                sum[k] = vdotq_s32(sum[k], q, vld1q_s8(rows + k * bytes + i));
        }
        vst1q_s32(out + r, vpaddq_s32(vpaddq_s32(sum[0], sum[1]), vpaddq_s32(sum[2], sum[3])));
    }
    for (; r < n; r++, rows += bytes) {
        int32x4_t sum = vdupq_n_s32(0);
        for (size_t i = 0; i < bytes; i += 16)
            sum = vdotq_s32(sum, vld1q_s8(query + i), vld1q_s8(rows + i));
        out[r] = vaddvq_s32(sum);
    }
}

const struct frt_code_kernels frt_code_kernels_neon = {bits_scan_neon, nibbles_scan_neon, dot_f32_i8_neon,
                                                       dots_i8_neon};
const struct frt_code_kernels frt_code_kernels_neondot = {bits_scan_neon, nibbles_scan_neondot, dot_f32_i8_neon,
                                                          dots_i8_neondot};
#endif
