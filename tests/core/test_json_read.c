/* What the reader takes and refuses, its limits, and that no failed allocation leaks or crashes. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/json_read.h"
#include "core/mem.h"

static enum frt_status parse(const char *text, struct frt_json **out, struct frt_error *err)
{
    /* an exact heap copy without a NUL: reading beyond it shows under the sanitizer */
    size_t size = strlen(text);
    char *copy = malloc(size > 0 ? size : 1);
    assert_non_null(copy);
    memcpy(copy, text, size);
    enum frt_status status = frt_json_parse(copy, size, out, err);
    free(copy);
    return status;
}

static void values_of_every_type(void **state)
{
    (void)state;
    struct frt_json *json = NULL;
    assert_int_equal(parse(" {\"n\": -1.5e2, \"s\":\"a\\u00e9\\n\", \"t\":true, \"f\":false, \"z\":null,"
                           " \"a\":[1,2,3], \"o\":{\"N\":1}, \"n\":2} \n",
                           &json, NULL),
                     FRT_OK);
    const struct frt_json_value *root = frt_json_root(json);
    assert_true(frt_json_is_object(root));
    assert_int_equal(frt_json_count(root), 8);
    assert_true(frt_json_double(frt_json_get(root, "n"), 0) == -150.0); /* the first of two */
    assert_string_equal(frt_json_text(frt_json_get(root, "s")), "a\xC3\xA9\n");
    assert_true(frt_json_truth(frt_json_get(root, "t"), false));
    assert_false(frt_json_truth(frt_json_get(root, "f"), true));
    assert_true(frt_json_is_null(frt_json_get(root, "z")));
    assert_int_equal(frt_json_count(frt_json_get(root, "a")), 3);
    assert_null(frt_json_get(frt_json_get(root, "o"), "n")); /* exact case */
    assert_string_equal(frt_json_key_of(frt_json_first(root)), "n");
    double sum = 0;
    for (const struct frt_json_value *v = frt_json_first(frt_json_get(root, "a")); v != NULL;
         v = frt_json_next(v))
        sum += frt_json_double(v, 100);
    assert_true(sum == 6);
    frt_json_free(json);
}

static void getters_answer_for_what_is_absent(void **state)
{
    (void)state;
    assert_false(frt_json_is_object(NULL) || frt_json_is_array(NULL) || frt_json_is_string(NULL) ||
                 frt_json_is_number(NULL) || frt_json_is_bool(NULL) || frt_json_is_null(NULL));
    assert_null(frt_json_get(NULL, "x"));
    assert_null(frt_json_first(NULL));
    assert_null(frt_json_next(NULL));
    assert_null(frt_json_text(NULL));
    assert_null(frt_json_key_of(NULL));
    assert_int_equal(frt_json_count(NULL), 0);
    assert_true(frt_json_double(NULL, 4) == 4);
    assert_true(frt_json_truth(NULL, true));
    frt_json_free(NULL);
}

static void malformed_texts_are_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",
        " ",
        "{",
        "[1,]",
        "{\"a\":}",
        "{\"a\" 1}",
        "[1 2]",
        "nul",
        "tru",
        "{a:1}",
        "'a'",
        "[1]x",
        "{} {}",
        "\"abc",
        "01",
        "-",
        "+1",
        "1.",
        ".5",
        "1e",
        "[1,2",
        "NaN",
        "Infinity",
        "\"\\x\"",
        "\"\\ud800\"",
        "\"a\nb\"",
        "\"\\u12\"",
        "]",
        "{\"a\"}",
        "[-]",
        "[1.2.3]",
        "1e999",
        "[1,-1e400]",
        "\"\\u0000\"",
        "/*c*/1",
        "\"\xFF\"",
        "\"\xED\xA0\x80\"",
        "[\"a\\u0000\"]",
        "--1",
        "0x10",
        "1e+",
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct frt_json *json = (struct frt_json *)(void *)&json;
        struct frt_json *before = json;
        struct frt_error err = {0};
        if (parse(bad[i], &json, &err) != FRT_EBAD_REQUEST)
            fail_msg("'%s' was taken", bad[i]);
        assert_ptr_equal(json, before); /* untouched */
        assert_memory_equal(err.text, "JSON: ", 6);
    }
    struct frt_json *json = NULL;
    assert_int_equal(frt_json_parse("[1]\0", 4, &json, NULL), FRT_EBAD_REQUEST);
}

static void fine_texts_are_taken(void **state)
{
    (void)state;
    static const char *const good[] = {
        "0",         "-0",     "-0.0e-0", "1E+2",          "\"\"",
        "[]",        "{}",     "[[]]",    "\"\\\\u0000\"", "\"\\ud83d\\ude00\"",
        "\t[ ]\r\n", "1e-400", /* rounds to zero */
    };
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        struct frt_json *json = NULL;
        struct frt_error err = {0};
        if (parse(good[i], &json, &err) != FRT_OK)
            fail_msg("'%s': %s", good[i], err.text);
        frt_json_free(json);
    }
}

/* open × n, then close × n */
static char *nested(size_t n, const char *open, const char *close)
{
    size_t a = strlen(open), b = strlen(close);
    char *text = calloc(n * (a + b) + 1, 1);
    assert_non_null(text);
    for (size_t i = 0; i < n; i++) {
        memcpy(text + i * a, open, a);
        memcpy(text + n * a + i * b, close, b);
    }
    return text;
}

static void depth_is_limited(void **state)
{
    (void)state;
    struct frt_json *json = NULL;
    struct frt_error err = {0};
    char *fits = nested(64, "[", "]"), *deep = nested(65, "[", "]"), *hostile = nested(1000000, "[", "");
    assert_int_equal(parse(fits, &json, &err), FRT_OK);
    frt_json_free(json);
    assert_int_equal(parse(deep, &json, &err), FRT_EBAD_REQUEST);
    assert_non_null(strstr(err.text, "nested deeper than 64"));
    assert_int_equal(parse(hostile, &json, &err), FRT_EBAD_REQUEST);
    free(fits);
    free(deep);
    free(hostile);
}

static void the_number_of_values_is_limited_before_memory_is_taken(void **state)
{
    (void)state;
    size_t n = 262144;
    char *text = malloc(2 * n + 3);
    assert_non_null(text);
    text[0] = '[';
    for (size_t i = 0; i < n; i++)
        memcpy(text + 1 + 2 * i, "1,", 2);
    memcpy(text + 2 * n, "]", 2); /* n ones: with the array one value too many */
    struct frt_json *json = NULL;
    struct frt_error err = {0};
    frt_mem_fail_after(INT64_MAX);
    assert_int_equal(frt_json_parse(text, strlen(text), &json, &err), FRT_EBAD_REQUEST);
    assert_int_equal(frt_mem_asked(), 0);
    frt_mem_fail_after(-1);
    assert_non_null(strstr(err.text, "more than 262144 values"));
    memcpy(text + 2 * n - 2, "]", 2);
    assert_int_equal(frt_json_parse(text, strlen(text), &json, &err), FRT_OK);
    assert_int_equal(frt_json_count(frt_json_root(json)), n - 1);
    frt_json_free(json);
    free(text);
}

static void offsets_point_at_the_trouble(void **state)
{
    (void)state;
    struct frt_json *json = NULL;
    struct frt_error err = {0};
    assert_int_equal(parse("{\"a\": 012}", &json, &err), FRT_EBAD_REQUEST);
    assert_string_equal(err.text, "JSON: not a number at offset 6");
    assert_int_equal(parse("[1] x", &json, &err), FRT_EBAD_REQUEST);
    assert_string_equal(err.text, "JSON: text after the document at offset 4");
    assert_int_equal(parse("[1,?]", &json, &err), FRT_EBAD_REQUEST);
    assert_string_equal(err.text, "JSON: malformed at offset 3");
}

/* Fail allocation N for each N: an error, no leak (the sanitizer build looks), no crash. */
static void every_allocation_may_fail(void **state)
{
    (void)state;
    static const char text[] = "{\"a\":[1,\"two\",{\"three\":null}],\"b\":\"text\",\"c\":true}";
    int64_t n = 0;
    for (;; n++) {
        struct frt_json *json = NULL;
        struct frt_error err = {0};
        frt_mem_fail_after(n);
        enum frt_status status = frt_json_parse(text, sizeof text - 1, &json, &err);
        bool reached = frt_mem_asked() > n;
        frt_mem_fail_after(-1);
        if (!reached) {
            assert_int_equal(status, FRT_OK);
            frt_json_free(json);
            break;
        }
        assert_int_not_equal(status, FRT_OK);
        assert_null(json);
    }
    assert_true(n > 8); /* the counter saw the parser's allocations */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_of_every_type),
        cmocka_unit_test(getters_answer_for_what_is_absent),
        cmocka_unit_test(malformed_texts_are_refused),
        cmocka_unit_test(fine_texts_are_taken),
        cmocka_unit_test(depth_is_limited),
        cmocka_unit_test(the_number_of_values_is_limited_before_memory_is_taken),
        cmocka_unit_test(offsets_point_at_the_trouble),
        cmocka_unit_test(every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
