/* 16 channels at a time. Inputs and weights are widened to 16 bits, and SMLAL adds four products of a column
 * and input to 32-bit sums; in groups of two each lane sees both of its inputs, the pair's first and then its
 * second. */
#include "simd/narrow_u8_kernels.h"

#if defined(__aarch64__)
#include <arm_neon.h>

#define INLINE static inline __attribute__((always_inline))

enum { BLOCK = 16 };

struct sums {
    int32x4_t v[4];
};

static uint32_t neon_channel_at(uint32_t group, uint32_t lane)
{
    (void)group;
    return lane;
}

INLINE struct sums add_products(struct sums s, uint8x16_t bytes, const int16_t *w)
{
    const int16x8_t low = vreinterpretq_s16_u16(vmovl_u8(vget_low_u8(bytes))),
                    high = vreinterpretq_s16_u16(vmovl_high_u8(bytes));
    const int16x8_t w0 = vld1q_s16(w), w1 = vld1q_s16(w + 8);
    s.v[0] = vmlal_s16(s.v[0], vget_low_s16(low), vget_low_s16(w0));
    s.v[1] = vmlal_high_s16(s.v[1], low, w0);
    s.v[2] = vmlal_s16(s.v[2], vget_low_s16(high), vget_low_s16(w1));
    s.v[3] = vmlal_high_s16(s.v[3], high, w1);
    return s;
}

INLINE int16x4_t requantise(const struct frt_narrow_u8 *op, int32x4_t sum, size_t lane)
{
    float32x4_t by = vld1q_f32(op->lane_above + lane);
    if (op->sloped)
        by = vbslq_f32(vcgtzq_s32(sum), by, vld1q_f32(op->lane_below + lane));
    /* to the nearest, ties to even, as rintf; conversion and narrowing saturate */
    return vqmovn_s32(vcvtnq_s32_f32(vmulq_f32(vcvtq_f32_s32(sum), by)));
}

INLINE void store(const struct frt_narrow_u8 *op, const struct sums *s, size_t lane, uint8_t *y)
{
    const int16x8_t zero = vdupq_n_s16(op->y_zero);
    const int16x8_t low = vcombine_s16(requantise(op, s->v[0], lane), requantise(op, s->v[1], lane + 4));
    const int16x8_t high = vcombine_s16(requantise(op, s->v[2], lane + 8), requantise(op, s->v[3], lane + 12));
    vst1q_u8(y, vcombine_u8(vqmovun_s16(vqaddq_s16(low, zero)), vqmovun_s16(vqaddq_s16(high, zero))));
}

/* Weights of a block: [shift][row][column][input][lane]. */
INLINE void neon_blocks(const struct frt_narrow_u8 *op, const uint8_t *const taps[3][4], uint8_t *y,
                        size_t group, uint32_t n)
{
    size_t c = 0;
    for (; c + BLOCK <= op->channels; c += BLOCK) {
        const int16_t *w = (const int16_t *)op->packed + c / BLOCK * op->block_weights;
        const size_t shifted = 12 * group * BLOCK;
        struct sums sums[2];
        for (size_t q = 0; q < 4; q++)
            sums[0].v[q] = sums[1].v[q] = vld1q_s32(op->lane_offsets + c + 4 * q);
        FRT_NARROW_UNROLL
        for (size_t column = 0; column < 12; column++, w += group * BLOCK) {
            if (n == 1 && column % 4 == 3)
                continue;
            const uint8x16_t x = vld1q_u8(taps[column / 4][column % 4] + c);
            if (group == 1) {
                if (column % 4 != 3)
                    sums[0] = add_products(sums[0], x, w);
                if (n == 2 && column % 4 != 0)
                    sums[1] = add_products(sums[1], x, w + shifted);
            } else {
                const uint8x16_t even = vtrn1q_u8(x, x), odd = vtrn2q_u8(x, x);
                if (column % 4 != 3) {
                    sums[0] = add_products(sums[0], even, w);
                    sums[0] = add_products(sums[0], odd, w + BLOCK);
                }
                if (n == 2 && column % 4 != 0) {
                    sums[1] = add_products(sums[1], even, w + shifted);
                    sums[1] = add_products(sums[1], odd, w + shifted + BLOCK);
                }
            }
        }
        store(op, &sums[0], c, y + c);
        if (n == 2)
            store(op, &sums[1], c, y + op->channels + c);
    }
    for (uint32_t i = 0; i < n && c < op->channels; i++)
        frt_narrow_u8_channels(op, taps, (uint32_t)c, i, y + (size_t)i * op->channels);
}

static void neon_pixels(const struct frt_narrow_u8 *op, const uint8_t *const taps[3][4], uint8_t *y, uint32_t n)
{
    if (op->group == 1 && n == 2)
        neon_blocks(op, taps, y, 1, 2);
    else if (op->group == 1)
        neon_blocks(op, taps, y, 1, 1);
    else if (n == 2)
        neon_blocks(op, taps, y, 2, 2);
    else
        neon_blocks(op, taps, y, 2, 1);
}

const struct frt_narrow_u8_kernel frt_narrow_u8_neon = {
    .block = BLOCK, .depth = 1, .wide = true, .channel_at = neon_channel_at, .pixels = neon_pixels};
#else
typedef int frt_no_neon_narrow_here; /* a translation unit must declare something */
#endif
