/* Log lines: one valid line an event whatever the values hold, in logfmt and in JSON. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <unistd.h>

#include "core/json_read.h"
#include "core/log.h"
#include "core/mem.h"

static int pipe_fds[2];
static char line[65536];

/* What was written since the last call. */
static size_t logged(void)
{
    ssize_t n = read(pipe_fds[0], line, sizeof line - 1);
    assert_true(n > 0);
    line[n] = '\0';
    return (size_t)n;
}

static int open_pipe(void **state)
{
    (void)state;
    return pipe(pipe_fds);
}

static void logfmt_quotes_what_needs_it(void **state)
{
    (void)state;
    frt_log_configure(FRT_LOG_INFO, false, pipe_fds[1]);
    frt_log(FRT_LOG_WARN, "request", FRT_LOG_STR("plain", "/v1/detect"), FRT_LOG_STR("spaced", "a b"),
            FRT_LOG_STR("quote", "a\"b"), FRT_LOG_STR("forged", "x\ntime=0 level=error"),
            FRT_LOG_STR("empty", ""), FRT_LOG_STR("none", NULL), FRT_LOG_INT("n", -5), FRT_LOG_NUM("ms", 1.25),
            FRT_LOG_NUM("nan", NAN), FRT_LOG_END);
    size_t n = logged();
    assert_memory_equal(line, "time=20", 7);
    assert_int_equal(strchr(line, '\n') - line, (ptrdiff_t)n - 1); /* one line */
    char *rest = strstr(line, " level=");
    assert_non_null(rest);
    assert_string_equal(rest, " level=warn event=request plain=/v1/detect spaced=\"a b\" quote=\"a\\\"b\" "
                              "forged=\"x\\ntime=0 level=error\" empty=\"\" none=null n=-5 ms=1.25 nan=null\n");
}

static void json_lines_parse(void **state)
{
    (void)state;
    frt_log_configure(FRT_LOG_INFO, true, pipe_fds[1]);
    frt_log(FRT_LOG_ERROR, "odd \"event\"", FRT_LOG_STR("text", "a\n\x01\xFF"), FRT_LOG_INT("n", INT64_MIN),
            FRT_LOG_NUM("inf", INFINITY), FRT_LOG_END);
    size_t n = logged();
    struct frt_json *json = NULL;
    assert_int_equal(line[n - 1], '\n');
    assert_int_equal(frt_json_parse(line, n, &json, NULL), FRT_OK);
    const struct frt_json_value *root = frt_json_root(json);
    assert_string_equal(frt_json_text(frt_json_get(root, "level")), "error");
    assert_string_equal(frt_json_text(frt_json_get(root, "event")), "odd \"event\"");
    assert_string_equal(frt_json_text(frt_json_get(root, "text")), "a\n\x01\xEF\xBF\xBD");
    assert_true(frt_json_is_null(frt_json_get(root, "inf")));
    assert_int_equal(strlen(frt_json_text(frt_json_get(root, "time"))), strlen("2026-01-01T00:00:00.000Z"));
    frt_json_free(json);
}

static void long_lines_are_cut_and_stay_valid(void **state)
{
    (void)state;
    /* control characters grow sixfold; two-byte characters must not be cut in half */
    static char bells[9000], accents[9000];
    memset(bells, '\a', sizeof bells - 1);
    for (size_t i = 0; i + 2 < sizeof accents; i += 2)
        memcpy(accents + i, "\xC3\xA9", 2);
    for (int as_json = 0; as_json < 2; as_json++) {
        frt_log_configure(FRT_LOG_INFO, as_json == 1, pipe_fds[1]);
        for (int shift = 0; shift < 2; shift++) {
            frt_log(FRT_LOG_INFO, "long", FRT_LOG_STR("accents", accents + 2 * shift),
                    FRT_LOG_STR("bells", bells + shift), FRT_LOG_STR("bells2", bells),
                    FRT_LOG_STR("last", "small"), FRT_LOG_END);
            size_t n = logged();
            assert_true(n <= 8192);
            assert_int_equal(strchr(line, '\n') - line, (ptrdiff_t)n - 1);
            assert_non_null(strstr(line, as_json == 1 ? "\"cut\":1}\n" : " cut=1\n"));
            if (as_json == 1) {
                struct frt_json *json = NULL;
                struct frt_error err = {0};
                if (frt_json_parse(line, n, &json, &err) != FRT_OK)
                    fail_msg("%s", err.text);
                assert_int_equal(strlen(frt_json_text(frt_json_get(frt_json_root(json), "accents"))), 2048);
                frt_json_free(json);
            }
        }
        /* even the event may be absurd */
        frt_log(FRT_LOG_INFO, bells, FRT_LOG_STR("k", bells), FRT_LOG_END);
        size_t n = logged();
        assert_true(n <= 8192 && line[n - 1] == '\n');
    }
}

static void a_line_without_memory_is_said_to_be_lost(void **state)
{
    (void)state;
    for (int as_json = 0; as_json < 2; as_json++) {
        frt_log_configure(FRT_LOG_INFO, as_json == 1, pipe_fds[1]);
        frt_mem_fail_after(0);
        frt_log(FRT_LOG_INFO, "event", FRT_LOG_STR("k", "v"), FRT_LOG_END);
        frt_mem_fail_after(-1);
        size_t n = logged();
        assert_non_null(strstr(line, "log_line_lost"));
        assert_int_equal(line[n - 1], '\n');
    }
}

static void levels(void **state)
{
    (void)state;
    enum frt_log_level level = FRT_LOG_OFF;
    assert_true(frt_log_level_parse("debug", &level));
    assert_int_equal(level, FRT_LOG_DEBUG);
    assert_false(frt_log_level_parse("DEBUG", &level));
    assert_false(frt_log_level_parse("", &level));
    frt_log_configure(FRT_LOG_WARN, false, pipe_fds[1]);
    assert_false(frt_log_enabled(FRT_LOG_INFO));
    assert_true(frt_log_enabled(FRT_LOG_ERROR));
    frt_log(FRT_LOG_INFO, "silent", FRT_LOG_END);
    frt_log(FRT_LOG_ERROR, "loud", FRT_LOG_END);
    (void)logged();
    assert_null(strstr(line, "silent"));
    assert_non_null(strstr(line, "event=loud\n"));
    frt_log_configure(FRT_LOG_OFF, false, pipe_fds[1]);
    frt_log(FRT_LOG_ERROR, "off", FRT_LOG_END);
    frt_log_configure(FRT_LOG_INFO, false, pipe_fds[1]);
    frt_log(FRT_LOG_INFO, "on", FRT_LOG_END);
    (void)logged();
    assert_null(strstr(line, "event=off"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(logfmt_quotes_what_needs_it),
        cmocka_unit_test(json_lines_parse),
        cmocka_unit_test(long_lines_are_cut_and_stay_valid),
        cmocka_unit_test(a_line_without_memory_is_said_to_be_lost),
        cmocka_unit_test(levels),
    };
    return cmocka_run_group_tests(tests, open_pipe, NULL);
}
