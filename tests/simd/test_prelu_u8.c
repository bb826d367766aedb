/*
 * PReLU over bytes: every tier gives the scalar tier's bytes, and those lie within one step of what floats
 * give.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <math.h>
#include <string.h>

#include "simd/prelu_u8.h"

enum { CHANNELS = 83, PIXELS = 256 };

static void multipliers_have_a_range(void **state)
{
    int16_t m = 7;
    (void)state;
    assert_false(frt_prelu_u8_multiplier(8.0F, &m));
    assert_false(frt_prelu_u8_multiplier(-8.0F, &m));
    assert_false(frt_prelu_u8_multiplier(NAN, &m));
    assert_false(frt_prelu_u8_multiplier(INFINITY, &m));
    assert_int_equal(m, 7);
    assert_true(frt_prelu_u8_multiplier(-0.25F, &m));
    assert_int_equal(m, -1024);
}

/* Each channel sees each of the 256 bytes. */
static void tiers_agree_and_are_near_floats(void **state)
{
    static uint8_t x[PIXELS * CHANNELS], scalar[PIXELS * CHANNELS], other[PIXELS * CHANNELS + 1];
    static const float scales[][2] = {{0.05F, 0.05F}, {0.05F, 0.01F}, {0.01F, 0.06F}};
    static const uint8_t zeros[][2] = {{128, 40}, {0, 0}, {255, 255}, {7, 200}};
    int16_t below[CHANNELS];
    float slope[CHANNELS];
    (void)state;
    for (size_t i = 0; i < sizeof x; i++)
        x[i] = (uint8_t)(i / CHANNELS + i % CHANNELS * 3);
    for (size_t s = 0; s < sizeof scales / sizeof *scales; s++) {
        for (size_t z = 0; z < sizeof zeros / sizeof *zeros; z++) {
            const float ratio = scales[s][0] / scales[s][1];
            struct frt_prelu_u8 op = {.below = below, .x_zero = zeros[z][0], .y_zero = zeros[z][1]};
            assert_true(frt_prelu_u8_multiplier(ratio, &op.above));
            for (int c = 0; c < CHANNELS; c++) {
                slope[c] = (float)(c - 20) / 50.0F;
                assert_true(frt_prelu_u8_multiplier(ratio * slope[c], &below[c]));
            }
            frt_prelu_u8_get(FRT_SIMD_SCALAR)(x, scalar, PIXELS, CHANNELS, &op);
            for (size_t i = 0; i < sizeof x; i++) {
                const double v = x[i] - zeros[z][0],
                             y = zeros[z][1] + (v > 0 ? v : v * (double)slope[i % CHANNELS]) * (double)ratio,
                             clamped = fmin(fmax(y, 0), 255);
                if (fabs(clamped - scalar[i]) > 0.55)
                    fail_msg("%g, not %u", clamped, scalar[i]);
            }
            for (int tier = FRT_SIMD_SSE2; tier < FRT_SIMD_TIER_COUNT; tier++) {
                if (!frt_simd_tier_runs((enum frt_simd_tier)tier))
                    continue;
                other[sizeof x] = 0xA5;
                frt_prelu_u8_get((enum frt_simd_tier)tier)(x, other, PIXELS, CHANNELS, &op);
                assert_memory_equal(other, scalar, sizeof x);
                assert_int_equal(other[sizeof x], 0xA5);
            }
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(multipliers_have_a_range),
        cmocka_unit_test(tiers_agree_and_are_near_floats),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
