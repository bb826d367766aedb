/* Timelines as they are drawn; timelines that make no sense; URLs and keys. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "cli/service_call.h"
#include "cli/trace_draw.h"
#include "core/mem.h"

static enum frt_status read_text(const char *text, struct cli_timeline *out)
{
    struct frt_json *json = NULL;
    struct frt_error err = {0};
    assert_int_equal(frt_json_parse(text, strlen(text), &json, NULL), FRT_OK);
    enum frt_status status = cli_timeline_read(frt_json_root(json), out, &err);
    assert_true(status == FRT_OK || err.text[0] != '\0');
    frt_json_free(json);
    return status;
}

static char *drawn(const struct cli_timeline *timeline, const struct cli_draw_style *style)
{
    struct frt_buf out;
    size_t size;
    frt_buf_init(&out, 1 << 20);
    if (style != NULL)
        cli_timeline_text(timeline, style, &out);
    else
        cli_timeline_svg(timeline, &out);
    assert_int_equal(frt_buf_status(&out), FRT_OK);
    return frt_buf_take(&out, &size);
}

static const char good[] =
    "[{\"name\":\"queue\",\"depth\":0,\"start_ms\":0,\"ms\":2.5,\"wait\":true},"
    "{\"name\":\"embedding-cache\",\"depth\":0,\"start_ms\":2.5,\"ms\":7.5,\"note\":\"miss\"},"
    "{\"name\":\"inference\",\"depth\":1,\"start_ms\":5,\"ms\":5}]";

static void rows(void **state)
{
    static const struct cli_draw_style style = {.width = 80, .ascii = true};
    struct cli_timeline t;
    (void)state;
    assert_int_equal(read_text(good, &t), FRT_OK);
    assert_int_equal(t.n, 3);
    assert_float_equal(t.total_ms, 10, 1e-9);
    t.title = "a \033[31mphoto\n";
    char *text = drawn(&t, &style);
    /* 80 - 22 of the longest label - 20 of numbers - 4 = 34 columns for 10 ms */
    static const char expected[] =
        "a ?[31mphoto?, 10.0 ms\n"
        "\n"
        "step                     from ms        ms  0                          10.0 ms\n"
        "queue                       0.00      2.50  /////////\n"
        "embedding-cache (miss)      2.50      7.50          --------------------------\n"
        "  inference                 5.00      5.00                   #################\n"
        "\n"
        "waits 2.5 ms, the rest 7.5 ms, of that in the inference runtime 5.0 ms\n";
    assert_string_equal(text, expected);
    frt_free(text);
    const struct cli_draw_style narrow = {.width = 40, .colours = true};
    text = drawn(&t, &narrow);
    assert_non_null(strstr(text, "\033[33m░░░░\033[0m\n"));
    assert_non_null(strstr(text, "█"));
    frt_free(text);
    cli_timeline_deinit(&t);
}

static void svg(void **state)
{
    struct cli_timeline t;
    (void)state;
    assert_int_equal(read_text(good, &t), FRT_OK);
    t.title = "<script>&\"";
    char *text = drawn(&t, NULL);
    assert_null(strstr(text, "<script"));
    assert_non_null(strstr(text, "&#60;script&#62;&#38;&#34;, 10.0 ms"));
    assert_non_null(strstr(text, "<title>queue: 2.500 ms from 0.000 ms on</title>"));
    assert_non_null(strstr(text, "<title>embedding-cache, miss: 7.500 ms from 2.500 ms on</title>"));
    /* half of the whole: from the middle of the drawing on, in the second row */
    assert_non_null(strstr(text, "<rect x=\"500.00\" y=\"78\" width=\"488.00\""));
    size_t hatched = 0;
    for (const char *p = text; (p = strstr(p, "url(#wait)")) != NULL; p++)
        hatched++;
    assert_int_equal(hatched, 1);
    frt_free(text);
    cli_timeline_deinit(&t);
}

static void what_makes_no_sense(void **state)
{
    static const char *const bad[] = {"null",
                                      "{}",
                                      "[]",
                                      "[1]",
                                      "[{}]",
                                      "[{\"name\":\"a\",\"depth\":0,\"start_ms\":0}]",
                                      "[{\"name\":\"a\",\"depth\":-1,\"start_ms\":0,\"ms\":1}]",
                                      "[{\"name\":\"a\",\"depth\":64,\"start_ms\":0,\"ms\":1}]",
                                      "[{\"name\":\"a\",\"depth\":0,\"start_ms\":-1,\"ms\":1}]",
                                      "[{\"name\":\"a\",\"depth\":0,\"start_ms\":0,\"ms\":1e300}]",
                                      "[{\"name\":\"\",\"depth\":0,\"start_ms\":0,\"ms\":1}]",
                                      "[{\"name\":\"\\u0001\",\"depth\":0,\"start_ms\":0,\"ms\":1}]",
                                      "[{\"name\":5,\"depth\":0,\"start_ms\":0,\"ms\":1}]"};
    struct cli_timeline t = {0};
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (read_text(bad[i], &t) != FRT_EBAD_REQUEST)
            fail_msg("taken: %s", bad[i]);
    /* names are kept short and free of anything that draws by itself */
    assert_int_equal(
        read_text("[{\"name\":\"\\u001b[2J<b>aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\",\"depth\":63,"
                  "\"start_ms\":0,\"ms\":0,\"note\":\"\\n\"}]",
                  &t),
        FRT_OK);
    assert_int_equal(strlen(t.steps[0].name), CLI_TRACE_NAME - 1);
    assert_true(strncmp(t.steps[0].name, "[2Jbaaa", 7) == 0);
    assert_string_equal(t.steps[0].note, "");
    t.title = "";
    static const struct cli_draw_style style = {.width = 40};
    frt_free(drawn(&t, &style)); /* deeper than there is room for, and nothing took any time */
    frt_free(drawn(&t, NULL));
    cli_timeline_deinit(&t);
}

static void urls(void **state)
{
    static const struct {
        const char *url;
        enum frt_status status;
    } cases[] = {{"https://localhost:1", FRT_EINVAL},
                 {"localhost:1", FRT_EINVAL},
                 {"http://", FRT_EINVAL},
                 {"http://:1", FRT_EUNAVAILABLE},
                 {"http://localhost:", FRT_EINVAL},
                 {"http://localhost:x", FRT_EINVAL},
                 {"http://localhost:123456", FRT_EINVAL},
                 {"http://me:pw@localhost:1", FRT_EINVAL},
                 {"http://localhost:1\r\nX: y", FRT_EINVAL},
                 {"http://[::1:1", FRT_EINVAL},
                 {"http://localhost:1/?a", FRT_EINVAL},
                 {"http://127.0.0.1:1/frt/", FRT_EUNAVAILABLE},
                 {"http://[::1]:1", FRT_EUNAVAILABLE}};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const struct cli_service_call call = {.url = cases[i].url,
                                              .path = "/v1/embed",
                                              .headers = "",
                                              .type = "image/jpeg",
                                              .body = "x",
                                              .size = 1};
        struct frt_buf answer;
        struct frt_error err = {0};
        int code = 0;
        frt_buf_init(&answer, 1000);
        enum frt_status status = cli_service_post(&call, &code, &answer, &err);
        if (status != cases[i].status)
            fail_msg("%s: %s", cases[i].url, err.text);
        frt_buf_deinit(&answer);
    }
}

static void keys(void **state)
{
    char path[] = "/tmp/frt-key-XXXXXX", *key = NULL;
    static const char *const bad[] = {"", "\n", " \n", "two words\n", "\x01\n"};
    const int fd = mkstemp(path);
    (void)state;
    assert_true(fd >= 0);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(ftruncate(fd, 0), 0);
        assert_int_equal(pwrite(fd, bad[i], strlen(bad[i]), 0), strlen(bad[i]));
        assert_int_equal(cli_key_read(path, &key, NULL), FRT_EINVAL);
    }
    assert_int_equal(pwrite(fd, "frt_abc.1\r\nmore\n", 16, 0), 16);
    assert_int_equal(cli_key_read(path, &key, NULL), FRT_OK);
    assert_string_equal(key, "frt_abc.1");
    frt_free(key);
    (void)close(fd);
    (void)unlink(path);
    assert_int_equal(cli_key_read(path, &key, NULL), FRT_ENOTFOUND);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows), cmocka_unit_test(svg),  cmocka_unit_test(what_makes_no_sense),
        cmocka_unit_test(urls), cmocka_unit_test(keys),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
