/*
 * PReLU over 8-bit quantised activations, channels last: what a runtime that has no such kernel would do in
 * floats, with two changes of layout around it.
 *
 *     d = x − x_zero,  y = clamp(y_zero + round(d · (d > 0 ? above : below[channel])), 0, 255)
 *
 * The multipliers are the ratio of the two scales, times the slope below zero, in steps of 2^-12: an error of
 * under 0.04 of a step of y. All tiers give the same bytes: rounding is ⌊v + ½⌋.
 *
 * Threading: pure functions.
 */
#ifndef FRT_SIMD_PRELU_U8_H
#define FRT_SIMD_PRELU_U8_H

#include <stddef.h>
#include <stdint.h>

#include "simd/cpu.h"

#define FRT_PRELU_U8_MAX_RATIO 7.9F /* of a multiplier, either sign */

struct frt_prelu_u8 {
    const int16_t *below; /* a channel */
    int16_t above;
    uint8_t x_zero, y_zero;
};

/** False: beyond FRT_PRELU_U8_MAX_RATIO, or no number. */
bool frt_prelu_u8_multiplier(float ratio, int16_t *out);

/** x, y: pixels × channels bytes, the channels of a pixel side by side; y may be x. */
typedef void frt_prelu_u8_fn(const uint8_t *x, uint8_t *y, size_t pixels, size_t channels,
                             const struct frt_prelu_u8 *op);
frt_prelu_u8_fn *frt_prelu_u8_get(enum frt_simd_tier tier);

#endif
