/* The status table is whole and its rows are distinct; error texts are cut, joined and made clean. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/status.h"
#include "core/utf8.h"

static void every_status_has_a_row_of_its_own(void **state)
{
    (void)state;
    for (int i = 0; i < FRT_STATUS_COUNT; i++) {
        enum frt_status a = (enum frt_status)i;
        const char *code = frt_status_code(a);
        assert_non_null(code);
        assert_non_null(frt_status_title(a));
        assert_true(frt_status_title(a)[0] != '\0');
        /* machine-readable: lower case, digits and underscores */
        assert_int_equal(strspn(code, "abcdefghijklmnopqrstuvwxyz0123456789_"), strlen(code));
        assert_in_range(frt_status_http(a), 200, 599);
        assert_int_equal(frt_status_http(a) == 200, a == FRT_OK);
        assert_int_equal(frt_status_exit(a) == FRT_EXIT_OK, a == FRT_OK);
        for (int j = 0; j < i; j++)
            assert_string_not_equal(code, frt_status_code((enum frt_status)j));
    }
}

static void codes_that_clients_rely_on(void **state)
{
    (void)state;
    assert_string_equal(frt_status_code(FRT_ENO_FACE), "no_face");
    assert_string_equal(frt_status_code(FRT_EIMAGE_TOO_LARGE), "image_too_large");
    assert_string_equal(frt_status_code(FRT_EUNSUPPORTED_IMAGE), "unsupported_image");
    assert_string_equal(frt_status_code(FRT_EOVERLOADED), "overloaded");
    assert_int_equal(frt_status_http(FRT_ENO_FACE), 422);
    assert_int_equal(frt_status_http(FRT_EBODY_TOO_LARGE), 413);
    assert_int_equal(frt_status_exit(FRT_ENO_FACE), FRT_EXIT_NO_FACE);
}

static void a_status_from_nowhere_counts_as_internal(void **state)
{
    (void)state;
    assert_string_equal(frt_status_code((enum frt_status)FRT_STATUS_COUNT), "internal");
    assert_string_equal(frt_status_code((enum frt_status) - 1), "internal");
    assert_int_equal(frt_status_http((enum frt_status)1000), 500);
}

static void failing_fills_the_error(void **state)
{
    (void)state;
    struct frt_error err = {0};
    assert_int_equal(frt_fail(&err, FRT_EINVAL, "k is %d; %s fits", 7, "1"), FRT_EINVAL);
    assert_int_equal(err.status, FRT_EINVAL);
    assert_string_equal(err.text, "k is 7; 1 fits");
    assert_int_equal(frt_fail_within(&err, FRT_EBAD_MODEL, "model %s", "x"), FRT_EBAD_MODEL);
    assert_int_equal(err.status, FRT_EBAD_MODEL);
    assert_string_equal(err.text, "model x: k is 7; 1 fits");
    assert_int_equal(frt_fail_nomem(&err, "a pixel"), FRT_ENOMEM);
    assert_non_null(strstr(err.text, "a pixel"));
    assert_int_equal(frt_fail(NULL, FRT_EIO, "nobody listens"), FRT_EIO);
    assert_int_equal(frt_fail_within(NULL, FRT_EIO, "nobody listens"), FRT_EIO);
}

static void error_texts_are_cut_and_clean(void **state)
{
    (void)state;
    char long_text[2 * FRT_ERROR_TEXT_MAX];
    struct frt_error err = {0};
    /* two-byte characters: one falls onto the cut */
    for (size_t i = 0; i + 1 < sizeof long_text; i += 2)
        memcpy(long_text + i, "\xC3\xA9", 2);
    long_text[sizeof long_text - 1] = '\0';
    for (int shift = 0; shift < 2; shift++) {
        assert_int_equal(frt_fail(&err, FRT_EINVAL, "%s%s", shift ? "x" : "", long_text), FRT_EINVAL);
        assert_true(strlen(err.text) < sizeof err.text);
        assert_true(frt_utf8_valid(err.text, strlen(err.text)));
        assert_int_equal(frt_fail_within(&err, FRT_EINVAL, "%s", long_text), FRT_EINVAL);
        assert_true(frt_utf8_valid(err.text, strlen(err.text)));
    }
    assert_int_equal(frt_fail(&err, FRT_EINVAL, "a\nb\x1B[31m\xFF"), FRT_EINVAL);
    assert_string_equal(err.text, "a?b?[31m?");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_status_has_a_row_of_its_own),
        cmocka_unit_test(codes_that_clients_rely_on),
        cmocka_unit_test(a_status_from_nowhere_counts_as_internal),
        cmocka_unit_test(failing_fills_the_error),
        cmocka_unit_test(error_texts_are_cut_and_clean),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
