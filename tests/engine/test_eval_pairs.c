/* Pairs files, well formed and not; metrics on synthetic scores with results worked out by hand; reports. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/mem.h"
#include "engine/eval_pairs.h"

/* ----------------------------------------------------------------- pairs */

static void folds_are_read(void **state)
{
    (void)state;
    static const char text[] = "2\t1\nAnn\t1\t2\nAnn\t1\tBob\t3\r\nBob 3 4\n\nCid 12 Ann 2";
    struct frt_eval_protocol p = {0};
    struct frt_error err;
    assert_int_equal(frt_eval_protocol_parse(text, strlen(text), &p, &err), FRT_OK);
    assert_int_equal(p.n_folds, 2);
    assert_int_equal(p.n_pairs, 4);
    assert_int_equal(p.n_photos, 5);
    static const char *const names[] = {"Ann", "Ann", "Bob", "Bob", "Cid"};
    static const uint32_t numbers[] = {1, 2, 3, 4, 12};
    static const uint32_t first[] = {0, 0, 2, 4}, second[] = {1, 2, 3, 1}, folds[] = {0, 0, 1, 1};
    for (size_t i = 0; i < 5; i++) {
        assert_string_equal(p.photos[i].name, names[i]);
        assert_int_equal(p.photos[i].number, numbers[i]);
    }
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(p.pairs[i].photo[0], first[i]);
        assert_int_equal(p.pairs[i].photo[1], second[i]);
        assert_int_equal(p.pairs[i].fold, folds[i]);
        assert_int_equal(p.pairs[i].same, i % 2 == 0);
    }
    frt_eval_protocol_deinit(&p);
}

static void one_split_with_and_without_a_first_line(void **state)
{
    (void)state;
    static const char *const texts[] = {"1\nAnn 1 2\nAnn 1 Bob 1\n", "Ann 1 Bob 1\nAnn 1 2\n"};
    for (size_t i = 0; i < 2; i++) {
        struct frt_eval_protocol p = {0};
        assert_int_equal(frt_eval_protocol_parse(texts[i], strlen(texts[i]), &p, NULL), FRT_OK);
        assert_int_equal(p.n_folds, 1);
        assert_int_equal(p.n_pairs, 2);
        assert_int_equal(p.n_photos, 3);
        assert_int_equal(p.pairs[0].same, i == 0);
        frt_eval_protocol_deinit(&p);
    }
}

static void malformed_lines_are_refused_with_their_number(void **state)
{
    (void)state;
    static const struct {
        const char *text, *said;
    } cases[] = {
        {"", "no pairs"},
        {"\n \t\r\n", "no pairs"},
        {"10 300\n", "no pairs"},
        {"Ann 1\n", "line 1: 2 fields"},
        {"Ann\n", "line 1: 1 fields"},
        {"Ann 1 2\nAnn 1 Bob 2 3\n", "line 2: 5 or more"},
        {"Ann 1 x\n", "line 1: \"x\" is no photo number"},
        {"Ann 1 -2\n", "\"-2\""},
        {"Ann 0 2\n", "\"0\""},
        {"Ann 1 123456789\n", "123456789"},
        {"Ann 1 2\n../x 1 2\n", "line 2: \"../x\" is no person's name"},
        {"a/b 1 2\n", "a/b"},
        {"a\\b 1 2\n", "is no person's name"},
        {"An\001n 1 2\n", "is no person's name"},
        {"Ann 2 2\n", "paired with itself"},
        {"Ann 1 Ann 2\n", "same name"},
        {"0 5\nAnn 1 2\n", "0 folds"},
        {"101 5\nAnn 1 2\n", "101 folds"},
        {"1 0\nAnn 1 2\n", "2 × 0"},
        {"100 99999999\nAnn 1 2\n", "2 × 99999999"},
        {"1 1\nAnn 1 Bob 2\nAnn 1 2\n", "line 2: a pair of two people"},
        {"1 1\nAnn 1 2\nAnn 1 3\n", "line 3: a pair of one person"},
        {"1 1\nAnn 1 2\nAnn 1 Bob 3\nAnn 1 4\n", "line 4: a pair too many"},
        {"2 1\nAnn 1 2\nAnn 1 Bob 3\n", "has 2 pairs"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct frt_eval_protocol p = {.n_folds = 77};
        struct frt_error err = {0};
        /* a block of the exact size, so that a read beyond the end is seen */
        const size_t size = strlen(cases[i].text);
        char *text = frt_alloc(size > 0 ? size : 1);
        assert_non_null(text);
        memcpy(text, cases[i].text, size);
        const enum frt_status status = frt_eval_protocol_parse(text, size, &p, &err);
        if (status != FRT_EBAD_REQUEST || strstr(err.text, cases[i].said) == NULL)
            fail_msg("case %zu: status %d, text \"%s\"; wanted \"%s\"", i, (int)status, err.text,
                     cases[i].said);
        assert_int_equal(p.n_folds, 77);
        frt_free(text);
    }
}

static void failed_allocations_leave_nothing(void **state)
{
    (void)state;
    static const char text[] = "1 1\nAnn 1 2\nAnn 1 Bob 3\n";
    enum frt_status status = FRT_ENOMEM;
    int tries = 0;
    for (; status != FRT_OK; tries++) {
        struct frt_eval_protocol p = {0};
        assert_true(tries < 30);
        frt_mem_fail_after(tries);
        status = frt_eval_protocol_parse(text, strlen(text), &p, NULL);
        frt_mem_fail_after(-1);
        assert_true(status == FRT_OK || status == FRT_ENOMEM);
        frt_eval_protocol_deinit(&p);
    }
    assert_true(tries > 5);
}

/* --------------------------------------------------------------- metrics */

static bool near(double a, double b)
{
    return fabs(a - b) < 1e-6;
}

/*  score  .1 .2 .3 .4 .5 .6 .7 .8 .9
 *  kind    D  D  D  S  D  S  S  S  S     5 same, 4 different */
static const struct frt_scored_pair nine[] = {
    {0.9f, true, 0}, {0.1f, false, 0}, {0.4f, true, 0}, {0.5f, false, 1}, {0.3f, false, 0},
    {0.6f, true, 1}, {0.2f, false, 1}, {0.7f, true, 1}, {0.8f, true, 0},
};

static void the_order_is_by_score(void **state)
{
    (void)state;
    struct frt_scored_pair p[] = {{0.5f, true, 0}, {0.2f, true, 0}, {0.5f, false, 0}, {-1, false, 0}};
    frt_eval_sort(p, 4);
    assert_true(near((double)p[0].score, -1) && near((double)p[1].score, 0.2));
    assert_true(!p[2].same && p[3].same);
    frt_eval_sort(p, 0);
}

static void accuracy_and_its_threshold(void **state)
{
    (void)state;
    struct frt_scored_pair p[9];
    memcpy(p, nine, sizeof nine);
    frt_eval_sort(p, 9);
    /* 8 of 9 are right between .3 and .4 and between .5 and .6: the first of the equally wide ranges */
    const float t = frt_eval_best_threshold(p, 9, UINT32_MAX);
    assert_true(near((double)t, 0.35) || near((double)t, 0.55));
    assert_true(near(frt_eval_accuracy(p, 9, UINT32_MAX, t), 8.0 / 9));
    /* without fold 1 (.2 .5 .6 .7): .1D .3D .4S .8S .9S, all right between .3 and .4 */
    const float fold = frt_eval_best_threshold(p, 9, 1);
    assert_true(near((double)fold, 0.35));
    assert_true(near(frt_eval_accuracy(p, 9, 1, fold), 0.75)); /* .5D is accepted */
    assert_true(near(frt_eval_accuracy(p, 9, 0, fold), 1));
    /* without fold 0: .2D .5D .6S .7S → .55, where .4S of fold 0 is missed */
    const float other = frt_eval_best_threshold(p, 9, 0);
    assert_true(near((double)other, 0.55));
    assert_true(near(frt_eval_accuracy(p, 9, 0, other), 0.8));
    assert_true(isnan(frt_eval_accuracy(p, 9, 7, 0)));
    /* the widest of equally good ranges */
    struct frt_scored_pair wide[] = {{0.1f, false, 0}, {0.2f, true, 0}, {0.3f, false, 0}, {0.7f, true, 0}};
    assert_true(near((double)frt_eval_best_threshold(wide, 4, UINT32_MAX), 0.5));
    /* neighbouring floats: the threshold must not accept the lower one */
    struct frt_scored_pair close[] = {{0.5f, false, 0}, {0, true, 0}};
    close[1].score = nextafterf(0.5f, 1);
    const float c = frt_eval_best_threshold(close, 2, UINT32_MAX);
    assert_true(near(frt_eval_accuracy(close, 2, UINT32_MAX, c), 1));
    (void)frt_eval_best_threshold(p, 0, UINT32_MAX);
}

static void rates_at_a_given_false_accept_rate(void **state)
{
    (void)state;
    struct frt_scored_pair p[9];
    memcpy(p, nine, sizeof nine);
    frt_eval_sort(p, 9);
    struct frt_eval_point at = frt_eval_tar_at(p, 9, 0.001); /* none of 4 may pass: above .5 */
    assert_true(near(at.tar, 0.8) && near(at.far_found, 0) && near((double)at.threshold, 0.55));
    at = frt_eval_tar_at(p, 9, 0.25); /* one may: down to .3 */
    assert_true(near(at.tar, 1) && near(at.far_found, 0.25) && near((double)at.threshold, 0.35));
    at = frt_eval_tar_at(p, 9, 1);
    assert_true(near(at.tar, 1) && near(at.far_found, 1));
    /* ties are accepted together or not at all */
    struct frt_scored_pair tied[] = {{0.5f, false, 0}, {0.5f, true, 0}, {0.9f, true, 0}};
    frt_eval_sort(tied, 3);
    at = frt_eval_tar_at(tied, 3, 0.1);
    assert_true(near(at.tar, 0.5) && near(at.far_found, 0) && at.threshold > 0.5f && at.threshold <= 0.9f);
    /* the best score is a different pair's: nothing is accepted, not even a score of 1 */
    struct frt_scored_pair bad[] = {{0.5f, true, 0}, {1, false, 0}};
    at = frt_eval_tar_at(bad, 2, 0.01);
    assert_true(near(at.tar, 0) && at.threshold > 1);
}

static void equal_error_rate_and_area(void **state)
{
    (void)state;
    struct frt_scored_pair p[9];
    memcpy(p, nine, sizeof nine);
    frt_eval_sort(p, 9);
    /* 20 same-different comparisons, one in the wrong order (.4S under .5D) */
    assert_true(near(frt_eval_auc(p, 9), 19.0 / 20));
    /* after .6: FAR 0, FRR .2; after .5: FAR .25, FRR .2: crossing at FAR = .2 */
    assert_true(near(frt_eval_eer(p, 9), 0.2));
    const struct frt_scored_pair perfect[] = {{0.1f, false, 0}, {0.9f, true, 0}};
    assert_true(near(frt_eval_eer(perfect, 2), 0) && near(frt_eval_auc(perfect, 2), 1));
    const struct frt_scored_pair tied[] = {{0.5f, false, 0}, {0.5f, true, 0}};
    assert_true(near(frt_eval_eer(tied, 2), 0.5) && near(frt_eval_auc(tied, 2), 0.5));
    const struct frt_scored_pair swapped[] = {{0.1f, true, 0}, {0.9f, false, 0}};
    assert_true(near(frt_eval_eer(swapped, 2), 1) && near(frt_eval_auc(swapped, 2), 0));
    assert_true(isnan(frt_eval_eer(perfect, 1)) && isnan(frt_eval_auc(perfect, 1)));
    assert_true(isnan(frt_eval_eer(NULL, 0)) && isnan(frt_eval_auc(NULL, 0)));
}

/* --------------------------------------------------------------- reports */

static void reports_are_well_formed(void **state)
{
    (void)state;
    struct frt_scored_pair p[9];
    memcpy(p, nine, sizeof nine);
    frt_eval_sort(p, 9);
    char file[] = "A/\"A\"_0001.jpg", cause[] = "No face found";
    struct frt_eval_failure failure = {file, cause};
    struct frt_eval_roc_point roc[] = {{0.9f, 0, 0.5}, {0.5f, 0.01, 0.9}, {0.1f, 1, 1}};
    const struct frt_eval_report r = {.scores = p,
                                      .n_pairs = 9,
                                      .n_same = 5,
                                      .n_different = 4,
                                      .n_photos = 10,
                                      .failures = &failure,
                                      .n_failures = 1,
                                      .n_folds = 2,
                                      .accuracy = 0.875,
                                      .accuracy_std_error = NAN,
                                      .eer = 0.2,
                                      .auc = 0.95,
                                      .all_same = 100,
                                      .all_different = 100000,
                                      .all_roc = roc,
                                      .n_all_roc = 3,
                                      .threads = 1,
                                      .wall_ms = 1000,
                                      .pack = "a<b&c"};
    struct frt_buf out;
    frt_buf_init(&out, 1 << 20);
    frt_eval_report_json(&r, &out);
    assert_int_equal(frt_buf_status(&out), FRT_OK);
    assert_non_null(strstr(out.data, "\"mean\": 0.875"));
    assert_non_null(strstr(out.data, "\"std_error\": null"));
    assert_non_null(strstr(out.data, "\\\"A\\\"_0001.jpg"));
    assert_non_null(strstr(out.data, "\"photos_per_second\": 10"));

    frt_buf_clear(&out);
    frt_eval_report_svg(&r, &out);
    assert_int_equal(frt_buf_status(&out), FRT_OK);
    assert_int_equal(strncmp(out.data, "<svg", 4), 0);
    assert_non_null(strstr(out.data, "a&lt;b&amp;c"));
    assert_non_null(strstr(out.data, "False accept rate"));
    assert_non_null(strstr(out.data, "True accept rate"));
    assert_non_null(strstr(out.data, "</svg>"));
    assert_null(strstr(out.data, "nan"));
    assert_null(strstr(out.data, "inf"));

    frt_buf_clear(&out);
    frt_eval_report_text(&r, &out);
    assert_non_null(strstr(out.data, "accuracy 87.50 %"));
    assert_non_null(strstr(out.data, "No face found"));
    frt_buf_deinit(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(folds_are_read),
        cmocka_unit_test(one_split_with_and_without_a_first_line),
        cmocka_unit_test(malformed_lines_are_refused_with_their_number),
        cmocka_unit_test(failed_allocations_leave_nothing),
        cmocka_unit_test(the_order_is_by_score),
        cmocka_unit_test(accuracy_and_its_threshold),
        cmocka_unit_test(rates_at_a_given_false_accept_rate),
        cmocka_unit_test(equal_error_rate_and_area),
        cmocka_unit_test(reports_are_well_formed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
