/* "did you mean": what is near enough, what is not, and which of two wins. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "core/suggest.h"

static const char *const words[] = {"detect", "embed", "verify", "max_body_bytes", "queue", "doctor"};
enum { N_WORDS = sizeof words / sizeof *words };

static const char *near(const char *given)
{
    return frt_suggest(given, words, N_WORDS);
}

static void one_slip_is_forgiven(void **state)
{
    (void)state;
    static const struct {
        const char *given, *meant;
    } slips[] = {
        {"detct", "detect"},                  /* a letter missing */
        {"dettect", "detect"},                /* one too many */
        {"detecd", "detect"},                 /* another one */
        {"edtect", "detect"},                 /* neighbours swapped, at the start */
        {"deetct", "detect"},                 /* in the middle */
        {"detetc", "detect"},                 /* at the end */
        {"DETECT", "detect"},                 /* capitals */
        {"max-body-bytes", "max_body_bytes"}, /* - for _ */
        {"maxbodybytes", "max_body_bytes"},   /* both left out */
        {"queu", "queue"},
        {"doktor", "doctor"},
        {"detect", "detect"},
    };
    for (size_t i = 0; i < sizeof slips / sizeof *slips; i++) {
        const char *found = near(slips[i].given);
        assert_non_null(found);
        assert_string_equal(found, slips[i].meant);
    }
}

static void what_is_far_is_not_offered(void **state)
{
    (void)state;
    static const char *const far[] = {"", "x", "zzzzzz", "verification", "eueuq", "emb", "qqueuee?"};
    for (size_t i = 0; i < sizeof far / sizeof *far; i++)
        if (near(far[i]) != NULL)
            fail_msg("'%s' was taken for '%s'", far[i], near(far[i]));
    assert_null(frt_suggest("detect", words, 0));
}

static void a_third_of_the_letters_is_the_limit(void **state)
{
    (void)state;
    const char *six[] = {"abcdef"};
    assert_non_null(frt_suggest("abcdxx", six, 1)); /* 2 of 6 */
    assert_null(frt_suggest("abcxxx", six, 1));     /* 3 of 6 */
    const char *five[] = {"abcde"};
    assert_non_null(frt_suggest("abcdx", five, 1)); /* 1 of 5 */
    assert_null(frt_suggest("abcxx", five, 1));     /* 2 of 5 */
    const char *two[] = {"ab"};
    assert_null(frt_suggest("ax", two, 1)); /* of two letters none may differ */
    assert_non_null(frt_suggest("AB", two, 1));
}

static void the_nearest_wins_and_of_equals_the_first(void **state)
{
    (void)state;
    const char *list[] = {"threads", "thresholds", "threshold"};
    assert_string_equal(frt_suggest("treshold", list, 3), "threshold");
    const char *equal[] = {"abcx", "abcy"};
    assert_string_equal(frt_suggest("abcz", equal, 2), "abcx");
}

static void long_words_are_never_near(void **state)
{
    (void)state;
    char longest[64], longer[65], given[65];
    memset(longest, 'a', 63);
    longest[63] = '\0';
    memset(longer, 'a', 64);
    longer[64] = '\0';
    const char *list[] = {longer, longest};
    memcpy(given, longest, sizeof longest);
    assert_ptr_equal(frt_suggest(given, list, 2), longest);
    memcpy(given, longer, sizeof longer);
    assert_null(frt_suggest(given, list, 2));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_slip_is_forgiven),
        cmocka_unit_test(what_is_far_is_not_offered),
        cmocka_unit_test(a_third_of_the_letters_is_the_limit),
        cmocka_unit_test(the_nearest_wins_and_of_equals_the_first),
        cmocka_unit_test(long_words_are_never_near),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
