/* What the writer writes: exact text of small documents, numbers that read back, hostile strings. */
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
#include "core/json_write.h"
#include "core/mem.h"
#include "core/utf8.h"

static struct frt_buf buf;
static struct frt_json_writer writer;

static struct frt_json_writer *fresh(bool pretty)
{
    frt_buf_deinit(&buf);
    frt_buf_init(&buf, 1 << 20);
    frt_json_writer_init(&writer, &buf, pretty);
    return &writer;
}

static const char *written(void)
{
    assert_int_equal(frt_buf_status(&buf), FRT_OK);
    return buf.data;
}

static void nesting_and_commas(void **state)
{
    (void)state;
    struct frt_json_writer *w = fresh(false);
    frt_json_object(w);
    frt_json_key(w, "a");
    frt_json_array(w);
    frt_json_int(w, 1);
    frt_json_object(w);
    frt_json_end(w);
    frt_json_array(w);
    frt_json_end(w);
    frt_json_null(w);
    frt_json_end(w);
    frt_json_key(w, "b");
    frt_json_bool(w, true);
    frt_json_key(w, "c");
    frt_json_string(w, NULL);
    frt_json_key(w, "d");
    frt_json_raw(w, "[0]", 3);
    frt_json_end(w);
    assert_string_equal(written(), "{\"a\":[1,{},[],null],\"b\":true,\"c\":null,\"d\":[0]}");
}

static void pretty_form(void **state)
{
    (void)state;
    struct frt_json_writer *w = fresh(true);
    frt_json_object(w);
    frt_json_key(w, "a");
    frt_json_array(w);
    frt_json_int(w, 1);
    frt_json_int(w, 2);
    frt_json_end(w);
    frt_json_key(w, "e");
    frt_json_object(w);
    frt_json_end(w);
    frt_json_end(w);
    assert_string_equal(written(), "{\n  \"a\": [\n    1,\n    2\n  ],\n  \"e\": {}\n}\n");
}

static void escapes(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *json;
    } cases[] = {
        {"", "\"\""},
        {"a\"b\\c", "\"a\\\"b\\\\c\""},
        {"\n\t\x01\x1F\x7F", "\"\\n\\u0009\\u0001\\u001f\\u007f\""},
        {"</script>", "\"</script>\""},
        {"\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80", "\"\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80\""},
        {"a\xFF"
         "b\xC3",
         "\"a\xEF\xBF\xBD"
         "b\xEF\xBF\xBD\""},
        {"\xED\xA0\x80", "\"\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        frt_json_string(fresh(false), cases[i].text);
        assert_string_equal(written(), cases[i].json);
    }
    frt_json_string_n(fresh(false), "a\0b", 3);
    assert_string_equal(written(), "\"a\\u0000b\"");
}

static void any_bytes_give_valid_json(void **state)
{
    (void)state;
    uint32_t seed = 7;
    for (int round = 0; round < 5000; round++) {
        char text[16];
        for (size_t i = 0; i < sizeof text; i++) {
            seed = seed * 1664525U + 1013904223U;
            text[i] = (char)(seed >> 24);
            if (text[i] == '\0')
                text[i] = 'n'; /* the reader refuses U+0000 */
        }
        frt_json_string_n(fresh(false), text, sizeof text);
        struct frt_json *json = NULL;
        struct frt_error err = {0};
        if (frt_json_parse(written(), buf.size, &json, &err) != FRT_OK)
            fail_msg("%s: %s", written(), err.text);
        if (frt_utf8_valid(text, sizeof text))
            assert_memory_equal(frt_json_text(frt_json_root(json)), text, sizeof text);
        frt_json_free(json);
    }
}

static double random_double(uint64_t *seed)
{
    double value;
    do {
        *seed = *seed * 6364136223846793005U + 1442695040888963407U;
        uint64_t bits = *seed ^ *seed >> 29;
        memcpy(&value, &bits, sizeof value);
    } while (!isfinite(value));
    return value;
}

static void doubles_read_back(void **state)
{
    (void)state;
    static const double special[] = {0.0, 0.1, 1.0 / 3, 5e-324, 1.7976931348623157e308, 123456789012345678.0,
                                     -2.5};
    uint64_t seed = 3;
    for (int i = 0; i < 20000; i++) {
        double value = (size_t)i < sizeof special / sizeof *special ? special[i] : random_double(&seed);
        frt_json_number(fresh(false), value);
        assert_true(strtod(written(), NULL) == value);
        struct frt_json *json = NULL;
        assert_int_equal(frt_json_parse(written(), buf.size, &json, NULL), FRT_OK);
        assert_true(frt_json_double(frt_json_root(json), NAN) == value);
        frt_json_free(json);
    }
    frt_json_number(fresh(false), 0.1);
    assert_string_equal(written(), "0.1");
    frt_json_number(fresh(false), 41);
    assert_string_equal(written(), "41");
}

static void floats_read_back(void **state)
{
    (void)state;
    uint32_t seed = 5;
    for (int i = 0; i < 20000; i++) {
        float value;
        do {
            seed = seed * 1664525U + 1013904223U;
            uint32_t bits = seed ^ seed >> 15;
            memcpy(&value, &bits, sizeof value);
        } while (!isfinite(value));
        frt_json_float(fresh(false), value);
        assert_true(strtof(written(), NULL) == value);
    }
    frt_json_float(fresh(false), 0.1F);
    assert_string_equal(written(), "0.1");
}

static void numbers_that_json_lacks_become_null(void **state)
{
    (void)state;
    frt_json_number(fresh(false), NAN);
    assert_string_equal(written(), "null");
    frt_json_float(fresh(false), INFINITY);
    assert_string_equal(written(), "null");
    frt_json_fixed(fresh(false), -INFINITY, 2);
    assert_string_equal(written(), "null");
}

static void fixed_decimals(void **state)
{
    (void)state;
    static const struct {
        double value;
        int decimals;
        const char *text;
    } cases[] = {
        {1.5, 3, "1.5"},   {2.0, 3, "2"},        {0.0004, 3, "0"},   {-0.0004, 3, "0"},
        {100.0, 0, "100"}, {12.345, 2, "12.35"}, {-0.05, 1, "-0.1"}, {1e20, 2, "1e+20"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        frt_json_fixed(fresh(false), cases[i].value, cases[i].decimals);
        if (i == 5) /* 12.345 is not exactly a double: either neighbour is right */
            assert_true(strcmp(written(), "12.35") == 0 || strcmp(written(), "12.34") == 0);
        else
            assert_string_equal(written(), cases[i].text);
    }
}

static void extreme_integers(void **state)
{
    (void)state;
    frt_json_int(fresh(false), INT64_MIN);
    assert_string_equal(written(), "-9223372036854775808");
    frt_json_int(fresh(false), INT64_MAX);
    assert_string_equal(written(), "9223372036854775807");
}

static void a_full_buffer_is_said_at_the_end(void **state)
{
    (void)state;
    struct frt_buf small;
    struct frt_json_writer w;
    frt_buf_init(&small, 10);
    frt_json_writer_init(&w, &small, false);
    frt_json_array(&w);
    for (int i = 0; i < 100; i++)
        frt_json_int(&w, i);
    frt_json_end(&w);
    assert_int_equal(frt_buf_status(&small), FRT_EBODY_TOO_LARGE);
    assert_true(small.size <= 10);
    frt_buf_deinit(&small);
}

static int release(void **state)
{
    (void)state;
    frt_buf_deinit(&buf);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nesting_and_commas),
        cmocka_unit_test(pretty_form),
        cmocka_unit_test(escapes),
        cmocka_unit_test(any_bytes_give_valid_json),
        cmocka_unit_test(doubles_read_back),
        cmocka_unit_test(floats_read_back),
        cmocka_unit_test(numbers_that_json_lacks_become_null),
        cmocka_unit_test(fixed_decimals),
        cmocka_unit_test(extreme_integers),
        cmocka_unit_test(a_full_buffer_is_said_at_the_end),
    };
    return cmocka_run_group_tests(tests, NULL, release);
}
