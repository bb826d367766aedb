/* What is held comes out again, but for the unwanted lines; a closed standard error stays closed. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "infer/stderr_filter.h"

static void say(const char *text)
{
    assert_int_equal(write(STDERR_FILENO, text, strlen(text)), (ssize_t)strlen(text));
}

/* Runs with standard error on a pipe; what came through goes to `out`. */
static void through(const char *const *texts, const char *unwanted, char *out, size_t size)
{
    int ends[2], before = dup(STDERR_FILENO);
    struct frt_stderr_filter filter;
    assert_int_equal(pipe(ends), 0);
    assert_int_equal(dup2(ends[1], STDERR_FILENO), STDERR_FILENO);
    (void)close(ends[1]);
    frt_stderr_hold(&filter);
    for (; *texts != NULL; texts++)
        say(*texts);
    assert_int_equal(fcntl(ends[0], F_SETFL, O_NONBLOCK), 0);
    assert_int_equal(read(ends[0], out, size), -1); /* nothing yet */
    frt_stderr_release(&filter, unwanted);
    (void)dup2(before, STDERR_FILENO); /* closes the pipe's other end */
    (void)close(before);
    size_t n = 0;
    for (ssize_t got = 1; got > 0 && n + 1 < size; n += (size_t)(got > 0 ? got : 0))
        got = read(ends[0], out + n, size - 1 - n);
    out[n] = '\0';
    (void)close(ends[0]);
}

static void unwanted_lines_stay_away(void **state)
{
    static const char *const texts[] = {"one\n",
                                        "Noise: a\n\n",
                                        "two\n\nthree",
                                        " and more\nNoise: b\n",
                                        "\n\nnot Noise: c\n",
                                        "Noise without an end",
                                        NULL};
    static const char *const nothing[] = {NULL};
    char out[1000];
    (void)state;
    through(texts, "Noise", out, sizeof out);
    assert_string_equal(out, "one\ntwo\n\nthree and more\nnot Noise: c\n");
    through(nothing, "Noise", out, sizeof out);
    assert_string_equal(out, "");
}

static void a_closed_standard_error(void **state)
{
    int before = dup(STDERR_FILENO);
    struct frt_stderr_filter filter;
    (void)state;
    (void)close(STDERR_FILENO);
    frt_stderr_hold(&filter);
    int held = filter.held;
    frt_stderr_release(&filter, "Noise");
    int open_now = fcntl(STDERR_FILENO, F_GETFD);
    (void)dup2(before, STDERR_FILENO);
    (void)close(before);
    assert_int_equal(held, -1);
    assert_int_equal(open_now, -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(unwanted_lines_stay_away),
        cmocka_unit_test(a_closed_standard_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
