/* Contract: every tier's dot product is within its stated error of the exact sum, and reads nothing but
 * its n floats (blocks are allocated to size, so that the address sanitizer sees one too many). */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "core/mem.h"
#include "simd/dot.h"

static uint64_t seed = 88172645463325252u;

static float random_float(void)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return (float)(int32_t)(seed >> 32) / 2147483648.0f;
}

static void every_tier_keeps_its_bound(void **state)
{
    (void)state;
    static const size_t sizes[] = {1,  2,  3,  7,   8,   9,   15,  16,  17,   31,  32,
                                   33, 63, 64, 100, 127, 128, 129, 512, 1000, 4096};
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
        const size_t n = sizes[s];
        float *a = frt_alloc_array(n, sizeof *a), *b = frt_alloc_array(n, sizeof *b);
        assert_non_null(a);
        assert_non_null(b);
        double exact = 0, aa = 0, bb = 0;
        for (size_t i = 0; i < n; i++) {
            a[i] = random_float();
            b[i] = random_float();
            exact += (double)a[i] * (double)b[i];
            aa += (double)a[i] * (double)a[i];
            bb += (double)b[i] * (double)b[i];
        }
        const double bound = 2e-7 * sqrt((double)n) * sqrt(aa * bb);
        for (int t = 0; t < FRT_SIMD_TIER_COUNT; t++) {
            if (!frt_simd_tier_runs((enum frt_simd_tier)t))
                continue;
            const double got = (double)frt_dot_f32_get((enum frt_simd_tier)t)(a, b, n);
            if (fabs(got - exact) > bound)
                fail_msg("%s, n=%zu: %.9g, exact %.9g", frt_simd_tier_name((enum frt_simd_tier)t), n, got,
                         exact);
        }
        frt_free(a);
        frt_free(b);
    }
}

static void whole_numbers_are_exact(void **state)
{
    (void)state;
    float a[67], b[67], sum = 0;
    for (int i = 0; i < 67; i++) {
        a[i] = (float)(i - 30);
        b[i] = (float)(2 * i + 1);
        sum += a[i] * b[i];
    }
    for (int t = 0; t < FRT_SIMD_TIER_COUNT; t++) {
        if (frt_simd_tier_runs((enum frt_simd_tier)t))
            assert_true(frt_dot_f32_get((enum frt_simd_tier)t)(a, b, 67) == sum);
    }
    assert_true(frt_dot_f32(a, b, 67) == sum);
    assert_true(frt_dot_f32(a, b, 0) == 0.0f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_tier_keeps_its_bound),
        cmocka_unit_test(whole_numbers_are_exact),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
