/* Sizes that overflow give NULL, zero gives NULL, and the failure counter fails exactly one allocation. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/mem.h"

static void sizes_that_overflow_give_nothing(void **state)
{
    (void)state;
    assert_null(frt_alloc_array(SIZE_MAX / 2 + 1, 2));
    assert_null(frt_alloc_array(SIZE_MAX, SIZE_MAX));
    assert_null(frt_alloc_zero(SIZE_MAX / 4 + 1, 4));
    assert_null(frt_strndup("x", SIZE_MAX));
}

static void zero_gives_nothing(void **state)
{
    (void)state;
    assert_null(frt_alloc(0));
    assert_null(frt_alloc_array(0, 8));
    assert_null(frt_alloc_array(8, 0));
    assert_null(frt_alloc_zero(0, 8));
    assert_null(frt_alloc_zero(8, 0));
    assert_null(frt_alloc_aligned(64, 0));
    assert_null(frt_strdup(NULL));
    frt_free(NULL);
}

static void blocks_are_what_they_claim(void **state)
{
    (void)state;
    unsigned char *zero = frt_alloc_zero(100, 10);
    assert_non_null(zero);
    for (int i = 0; i < 1000; i++)
        assert_int_equal(zero[i], 0);
    zero = frt_realloc(zero, 2000);
    assert_non_null(zero);
    assert_int_equal(zero[999], 0);
    frt_free(zero);
    for (size_t alignment = sizeof(void *); alignment <= 4096; alignment *= 2) {
        void *block = frt_alloc_aligned(alignment, 3);
        assert_non_null(block);
        assert_int_equal((uintptr_t)block % alignment, 0);
        frt_free(block);
    }
    char *copy = frt_strndup("abcdef", 3);
    assert_string_equal(copy, "abc");
    frt_free(copy);
    copy = frt_strdup("");
    assert_string_equal(copy, "");
    frt_free(copy);
}

static void the_counter_fails_exactly_one(void **state)
{
    (void)state;
    frt_mem_fail_after(2);
    void *a = frt_alloc(1), *b = frt_alloc_zero(1, 1), *c = frt_alloc(1), *d = frt_alloc_array(1, 1);
    assert_int_equal(frt_mem_asked(), 4);
    frt_mem_fail_after(-1);
    assert_non_null(a);
    assert_non_null(b);
    assert_null(c);
    assert_non_null(d);
    frt_mem_fail_after(0);
    assert_null(frt_realloc(a, 100)); /* the old block stays */
    frt_mem_fail_after(-1);
    frt_free(a);
    frt_free(b);
    frt_free(d);
}

static void size_arithmetic(void **state)
{
    (void)state;
    size_t out = 7;
    assert_false(frt_add_size(SIZE_MAX, 1, &out));
    assert_false(frt_mul_size(SIZE_MAX / 2, 3, &out));
    assert_int_equal(out, 7);
    assert_true(frt_add_size(SIZE_MAX - 1, 1, &out));
    assert_true(out == SIZE_MAX);
    assert_true(frt_mul_size(6, 7, &out));
    assert_int_equal(out, 42);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sizes_that_overflow_give_nothing),
        cmocka_unit_test(zero_gives_nothing),
        cmocka_unit_test(blocks_are_what_they_claim),
        cmocka_unit_test(the_counter_fails_exactly_one),
        cmocka_unit_test(size_arithmetic),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
