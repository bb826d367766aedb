/* Code scans for AArch64. CNT counts bits in bytes; the bytes are widened once a word. */
#include "simd/codes.h"

#if defined(__aarch64__)
#include <arm_neon.h>

static size_t keep(float32x4_t estimate, float cut, uint32_t number, uint32_t *out)
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

/* Four vectors at a time: two registers of two 64-bit words. */
static size_t bits_scan_neon(const struct frt_bits_query *query, const uint64_t *codes, const float *factors,
                             size_t n_blocks, uint32_t first, float cut, uint32_t *out)
{
    size_t kept = 0;
    for (size_t b = 0; b < n_blocks; b++) {
        const uint64_t *block = codes + b * query->words * FRT_CODE_BLOCK;
        for (uint32_t quarter = 0; quarter < 4; quarter++) {
            uint32x4_t differ[2] = {vdupq_n_u32(0), vdupq_n_u32(0)};
            uint32x4_t differ_big[2] = {vdupq_n_u32(0), vdupq_n_u32(0)};
            for (uint32_t w = 0; w < query->words; w++) {
                const uint64x2_t sign = vdupq_n_u64(query->sign[w]), big = vdupq_n_u64(query->big[w]);
                for (int i = 0; i < 2; i++) {
                    const uint64x2_t t =
                        veorq_u64(vld1q_u64(block + w * FRT_CODE_BLOCK + quarter * 4 + (uint32_t)i * 2), sign);
                    differ[i] = vpadalq_u16(differ[i], vpaddlq_u8(vcntq_u8(vreinterpretq_u8_u64(t))));
                    differ_big[i] = vpadalq_u16(differ_big[i],
                                                vpaddlq_u8(vcntq_u8(vreinterpretq_u8_u64(vandq_u64(t, big)))));
                }
            }
            /* two halves of a 64-bit word stand side by side: add neighbours, four vectors in order */
            const uint32x4_t wrong = vaddq_u32(vpaddq_u32(differ[0], differ[1]),
                                               vshlq_n_u32(vpaddq_u32(differ_big[0], differ_big[1]), 1));
            const float32x4_t e = vfmsq_n_f32(vdupq_n_f32(query->sum), vcvtq_f32_u32(wrong), query->unit);
            const uint32_t number = (uint32_t)(b * FRT_CODE_BLOCK) + quarter * 4;
            kept += keep(vmulq_f32(e, vld1q_f32(factors + number)), cut, first + number, out + kept);
        }
    }
    return kept;
}

/* Four vectors at a time: their 16 bytes of a group. */
static size_t nibbles_scan_neon(const struct frt_nibbles_query *query, const uint32_t *codes,
                                const float *factors, size_t n_blocks, uint32_t first, float cut, uint32_t *out)
{
    const uint8x16_t low = vdupq_n_u8(15);
    size_t kept = 0;
    for (size_t b = 0; b < n_blocks; b++) {
        const uint32_t *block = codes + b * query->groups * FRT_CODE_BLOCK;
        for (uint32_t quarter = 0; quarter < 4; quarter++) {
            int32x4_t sum = vdupq_n_s32(0);
            for (uint32_t g = 0; g < query->groups; g++) {
                int32_t q[2];
                __builtin_memcpy(q, query->q8 + 8 * g, 8);
                const int8x16_t q0 = vreinterpretq_s8_s32(vdupq_n_s32(q[0]));
                const int8x16_t q1 = vreinterpretq_s8_s32(vdupq_n_s32(q[1]));
                const uint8x16_t v = vreinterpretq_u8_u32(vld1q_u32(block + g * FRT_CODE_BLOCK + quarter * 4));
                const int8x16_t a = vreinterpretq_s8_u8(vandq_u8(v, low));
                const int8x16_t c = vreinterpretq_s8_u8(vshrq_n_u8(v, 4));
                /* products of 15 · 127 at most, two of them: 3,810 fits 16 bits */
                int16x8_t first_half = vmull_s8(vget_low_s8(a), vget_low_s8(q0));
                int16x8_t second_half = vmull_s8(vget_high_s8(a), vget_high_s8(q0));
                first_half = vmlal_s8(first_half, vget_low_s8(c), vget_low_s8(q1));
                second_half = vmlal_s8(second_half, vget_high_s8(c), vget_high_s8(q1));
                sum = vaddq_s32(sum, vpaddq_s32(vpaddlq_s16(first_half), vpaddlq_s16(second_half)));
            }
            const uint32_t number = (uint32_t)(b * FRT_CODE_BLOCK) + quarter * 4;
            float32x4_t e = vsubq_f32(vmulq_n_f32(vcvtq_f32_s32(sum), query->step), vdupq_n_f32(query->offset));
            kept += keep(vmulq_f32(e, vld1q_f32(factors + number)), cut, first + number, out + kept);
        }
    }
    return kept;
}

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
            sum = vpadalq_s16(sum, vmull_s8(vget_high_s8(q), vget_high_s8(v)));
        }
        out[r] = vaddvq_s32(sum);
    }
}

const struct frt_code_kernels frt_code_kernels_neon = {bits_scan_neon, nibbles_scan_neon, dot_f32_i8_neon,
                                                       dots_i8_neon};
#endif
