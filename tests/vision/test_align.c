/* Alignment: exact similarities are recovered, noise is fitted as the closed form of Umeyama says, and
 * degenerate points are refused. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "vision/align.h"

static struct frt_point apply(const double m[6], struct frt_point p)
{
    return (struct frt_point){(float)(m[0] * (double)p.x + m[1] * (double)p.y + m[2]),
                              (float)(m[3] * (double)p.x + m[4] * (double)p.y + m[5])};
}

static void an_exact_similarity_is_recovered(void **state)
{
    (void)state;
    const struct frt_align_template *t = frt_align_template_find("arcface112");
    assert_non_null(t);
    for (int i = 0; i < 36; i++) {
        const double angle = i * 0.1745, scale = 0.2 + i * 0.3;
        const double want[6] = {scale * cos(angle), -scale * sin(angle), 300.0 - i * 40,
                                scale * sin(angle), scale * cos(angle),  20.0 + i * 25};
        struct frt_point there[FRT_LANDMARK_COUNT];
        for (int k = 0; k < FRT_LANDMARK_COUNT; k++)
            there[k] = apply(want, t->points[k]);
        double m[6], back[6];
        assert_int_equal(frt_align_fit(t->points, there, FRT_LANDMARK_COUNT, m, NULL), FRT_OK);
        for (int k = 0; k < 6; k++)
            assert_true(fabs(m[k] - want[k]) < (k % 3 == 2 ? 2e-3 : 2e-5));
        assert_int_equal(frt_align_invert(m, back, NULL), FRT_OK);
        for (int k = 0; k < FRT_LANDMARK_COUNT; k++) {
            const struct frt_point p = apply(back, there[k]);
            assert_true(fabs((double)(p.x - t->points[k].x)) < 1e-3 &&
                        fabs((double)(p.y - t->points[k].y)) < 1e-3);
        }
    }
}

static void noise_is_fitted_by_least_squares(void **state)
{
    (void)state;
    const struct frt_point from[3] = {{0, 0}, {2, 0}, {0, 2}}, to[3] = {{0, 0}, {2, 0}, {0, 4}};
    double m[6];
    assert_int_equal(frt_align_fit(from, to, 3, m, NULL), FRT_OK);
    double best = 0;
    for (int k = 0; k < 3; k++) {
        const struct frt_point p = apply(m, from[k]);
        best += pow((double)(p.x - to[k].x), 2) + pow((double)(p.y - to[k].y), 2);
    }
    /* no similarity near it does better */
    for (int i = 0; i < 8; i++) {
        double other[6];
        memcpy(other, m, sizeof m);
        const double d = i & 1 ? 0.02 : -0.02;
        switch (i / 2) {
        case 0:
            other[0] += d;
            other[4] += d;
            break;
        case 1:
            other[1] -= d;
            other[3] += d;
            break;
        case 2:
            other[2] += d;
            break;
        default:
            other[5] += d;
        }
        double sum = 0;
        for (int k = 0; k < 3; k++) {
            const struct frt_point p = apply(other, from[k]);
            sum += pow((double)(p.x - to[k].x), 2) + pow((double)(p.y - to[k].y), 2);
        }
        assert_true(sum > best);
    }
    assert_true(fabs(m[0] - m[4]) < 1e-12 && fabs(m[1] + m[3]) < 1e-12); /* a similarity, no shear */
}

static void a_mirrored_face_is_not_mirrored_back(void **state)
{
    (void)state;
    const struct frt_align_template *t = frt_align_template_find("dlib150");
    struct frt_point mirrored[FRT_LANDMARK_COUNT];
    for (int k = 0; k < FRT_LANDMARK_COUNT; k++)
        mirrored[k] = (struct frt_point){150 - t->points[k].x, t->points[k].y};
    double m[6];
    assert_int_equal(frt_align_fit(t->points, mirrored, FRT_LANDMARK_COUNT, m, NULL), FRT_OK);
    assert_true(m[0] * m[4] - m[1] * m[3] > 0);
}

static void degenerate_points_are_refused(void **state)
{
    (void)state;
    const struct frt_point good[3] = {{1, 1}, {5, 1}, {3, 7}};
    struct frt_point bad[3] = {{4, 4}, {4, 4}, {4, 4}};
    double m[6] = {7, 7, 7, 7, 7, 7};
    struct frt_error err;
    assert_int_equal(frt_align_fit(bad, good, 3, m, &err), FRT_EINVAL);
    assert_int_equal(frt_align_fit(good, bad, 3, m, &err), FRT_EINVAL);
    assert_int_equal(frt_align_fit(good, good, 1, m, &err), FRT_EINVAL);
    bad[1].x = NAN;
    assert_int_equal(frt_align_fit(bad, good, 3, m, &err), FRT_EINVAL);
    bad[1].x = INFINITY;
    assert_int_equal(frt_align_fit(good, bad, 3, m, &err), FRT_EINVAL);
    const double flat[6] = {1, 2, 0, 2, 4, 0}, nan[6] = {NAN, 0, 0, 0, 1, 0};
    assert_int_equal(frt_align_invert(flat, m, &err), FRT_EINVAL);
    assert_int_equal(frt_align_invert(nan, m, &err), FRT_EINVAL);
    for (int k = 0; k < 6; k++)
        assert_true(m[k] == 7); /* outputs untouched */
}

static void templates_are_found_by_name(void **state)
{
    (void)state;
    assert_null(frt_align_template_find("arcface"));
    assert_null(frt_align_template_find(""));
    assert_null(frt_align_template_find(NULL));
    const struct frt_align_template *t = frt_align_template_find("dlib150");
    assert_non_null(t);
    assert_int_equal(t->width_px, 150);
    /* (0.25 + v) / 1.5 × 150 of the mean shape */
    static const double mean[5][2] = {
        {0.2255, 0.2160}, {0.7548, 0.2160}, {0.4901, 0.5156}, {0.2541, 0.7802}, {0.7261, 0.7802}};
    for (int k = 0; k < 5; k++) {
        assert_true(fabs((double)t->points[k].x - (0.25 + mean[k][0]) / 1.5 * 150) < 0.01);
        assert_true(fabs((double)t->points[k].y - (0.25 + mean[k][1]) / 1.5 * 150) < 0.01);
    }
    assert_non_null(strstr(frt_align_template_names(), "arcface112"));
    assert_non_null(strstr(frt_align_template_names(), "dlib150"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_exact_similarity_is_recovered),
        cmocka_unit_test(noise_is_fitted_by_least_squares),
        cmocka_unit_test(a_mirrored_face_is_not_mirrored_back),
        cmocka_unit_test(degenerate_points_are_refused),
        cmocka_unit_test(templates_are_found_by_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
