/* The buffer keeps its limit, stays NUL-terminated, and its first failure sticks. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/buf.h"
#include "core/mem.h"

static void grows_to_its_limit_and_no_further(void **state)
{
    (void)state;
    for (size_t max = 0; max < 300; max++) {
        struct frt_buf buf;
        frt_buf_init(&buf, max);
        for (size_t i = 0; i < max; i++) {
            frt_buf_append_char(&buf, 'x');
            assert_int_equal(frt_buf_status(&buf), FRT_OK);
            assert_int_equal(buf.data[buf.size], '\0');
        }
        assert_int_equal(buf.size, max);
        frt_buf_append_char(&buf, 'y');
        assert_int_equal(frt_buf_status(&buf), FRT_EBODY_TOO_LARGE);
        assert_int_equal(buf.size, max);
        frt_buf_deinit(&buf);
    }
}

static void the_first_failure_sticks(void **state)
{
    (void)state;
    struct frt_buf buf;
    frt_buf_init(&buf, 4);
    frt_buf_append_text(&buf, "ab");
    frt_buf_append_text(&buf, "cde"); /* too long: nothing of it is kept */
    frt_buf_append_text(&buf, "f");   /* would fit */
    frt_buf_printf(&buf, "%d", 1);
    assert_int_equal(frt_buf_status(&buf), FRT_EBODY_TOO_LARGE);
    assert_int_equal(frt_buf_reserve(&buf, 1), FRT_EBODY_TOO_LARGE);
    assert_string_equal(buf.data, "ab");
    frt_buf_clear(&buf);
    assert_int_equal(frt_buf_status(&buf), FRT_OK);
    assert_string_equal(buf.data, "");
    frt_buf_append_text(&buf, "wxyz");
    assert_int_equal(frt_buf_status(&buf), FRT_OK);
    assert_string_equal(buf.data, "wxyz");
    frt_buf_deinit(&buf);
}

static void sizes_that_overflow_are_refused(void **state)
{
    (void)state;
    struct frt_buf buf;
    frt_buf_init(&buf, SIZE_MAX);
    frt_buf_append_text(&buf, "a");
    assert_int_equal(frt_buf_reserve(&buf, SIZE_MAX), FRT_EBODY_TOO_LARGE);
    frt_buf_clear(&buf);
    frt_buf_append_text(&buf, "a");
    assert_int_equal(frt_buf_reserve(&buf, SIZE_MAX - 1), FRT_EBODY_TOO_LARGE);
    frt_buf_deinit(&buf);
}

static void lost_memory_is_said_and_sticks(void **state)
{
    (void)state;
    struct frt_buf buf;
    frt_buf_init(&buf, 1000);
    frt_buf_append_text(&buf, "kept");
    char big[500];
    memset(big, 'x', sizeof big);
    frt_mem_fail_after(0);
    frt_buf_append(&buf, big, sizeof big);
    frt_mem_fail_after(-1);
    assert_int_equal(frt_buf_status(&buf), FRT_ENOMEM);
    frt_buf_append_text(&buf, "more");
    assert_string_equal(buf.data, "kept");
    frt_buf_deinit(&buf);
}

static void printf_of_every_length(void **state)
{
    (void)state;
    char big[1200];
    memset(big, 'p', sizeof big);
    for (int n = 0; n < 1200; n++) {
        struct frt_buf buf;
        frt_buf_init(&buf, 2000);
        frt_buf_printf(&buf, "<%.*s>", n, big);
        assert_int_equal(frt_buf_status(&buf), FRT_OK);
        assert_int_equal(buf.size, (size_t)n + 2);
        assert_int_equal(buf.data[buf.size - 1], '>');
        assert_int_equal(buf.data[buf.size], '\0');
        frt_buf_deinit(&buf);
    }
    struct frt_buf small;
    frt_buf_init(&small, 300);
    frt_buf_printf(&small, "%.*s", 301, big);
    assert_int_equal(frt_buf_status(&small), FRT_EBODY_TOO_LARGE);
    assert_int_equal(small.size, 0);
    frt_buf_deinit(&small);
}

static void taking_hands_the_bytes_over(void **state)
{
    (void)state;
    struct frt_buf buf;
    size_t size = 9;
    frt_buf_init(&buf, 100);
    assert_null(frt_buf_take(&buf, &size));
    assert_int_equal(size, 0);
    frt_buf_append(&buf, "a\0b", 3);
    char *bytes = frt_buf_take(&buf, &size);
    assert_int_equal(size, 3);
    assert_memory_equal(bytes, "a\0b", 4);
    assert_null(buf.data);
    frt_buf_append_text(&buf, "again");
    assert_string_equal(buf.data, "again");
    frt_free(bytes);
    frt_buf_deinit(&buf);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(grows_to_its_limit_and_no_further),
        cmocka_unit_test(the_first_failure_sticks),
        cmocka_unit_test(sizes_that_overflow_are_refused),
        cmocka_unit_test(lost_memory_is_said_and_sticks),
        cmocka_unit_test(printf_of_every_length),
        cmocka_unit_test(taking_hands_the_bytes_over),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
