/* Tier detection and the $FRT_SIMD override. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "simd/cpu.h"

static void words_and_tiers_agree(void **state)
{
    (void)state;
    for (int i = 0; i < FRT_SIMD_TIER_COUNT; i++) {
        enum frt_simd_tier back = FRT_SIMD_TIER_COUNT;
        assert_true(frt_simd_tier_parse(frt_simd_tier_name((enum frt_simd_tier)i), &back));
        assert_int_equal(back, i);
    }
    enum frt_simd_tier untouched = FRT_SIMD_NEON;
    assert_false(frt_simd_tier_parse("avx", &untouched));
    assert_false(frt_simd_tier_parse("", &untouched));
    assert_false(frt_simd_tier_parse(NULL, &untouched));
    assert_int_equal(untouched, FRT_SIMD_NEON);
    assert_string_equal(frt_simd_tier_name(FRT_SIMD_TIER_COUNT), "unknown");
}

static void the_detected_tier_runs(void **state)
{
    (void)state;
    assert_true(frt_simd_tier_runs(FRT_SIMD_SCALAR));
    assert_true(frt_simd_tier_runs(frt_simd_tier_detected()));
    for (int i = (int)frt_simd_tier_detected() + 1; i < FRT_SIMD_TIER_COUNT; i++)
        assert_false(frt_simd_tier_runs((enum frt_simd_tier)i));
}

static void the_override_is_read_once_and_obeyed(void **state)
{
    (void)state;
    assert_int_equal(setenv("FRT_SIMD", "scalar", 1), 0);
    assert_int_equal(frt_simd_tier_active(), FRT_SIMD_SCALAR);
    assert_int_equal(unsetenv("FRT_SIMD"), 0);
    assert_int_equal(frt_simd_tier_active(), FRT_SIMD_SCALAR);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(words_and_tiers_agree),
        cmocka_unit_test(the_detected_tier_runs),
        cmocka_unit_test(the_override_is_read_once_and_obeyed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
