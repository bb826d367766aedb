/*
 * Quality: pose from a head of known geometry turned by known angles; sharpness and brightness on a drawn
 * face and on a real photo, which must fall as the face is blurred, shrunk and darkened.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/mem.h"
#include "image/image.h"
#include "vision/quality.h"

enum { SIDE = 300 };

static struct frt_frame make_frame(uint32_t width, uint32_t height)
{
    struct frt_frame f = {
        .width_px = width, .height_px = height, .stride_bytes = (size_t)width * 3, .scale_x = 1, .scale_y = 1};
    f.pixels = frt_alloc_zero((size_t)width * height, 3);
    assert_non_null(f.pixels);
    return f;
}

/* A picture with detail at every scale. */
static struct frt_frame draw(void)
{
    struct frt_frame f = make_frame(SIDE, SIDE);
    for (int y = 0; y < SIDE; y++) {
        for (int x = 0; x < SIDE; x++) {
            const double v = 128 + 40 * sin(x * 0.05) * cos(y * 0.04) + 30 * sin(x * 0.4 + y * 0.2) +
                             25 * sin(y * 1.1) * sin(x * 1.3);
            for (int c = 0; c < 3; c++)
                f.pixels[3 * (SIDE * y + x) + c] = (uint8_t)v;
        }
    }
    return f;
}

/* head in half eye distances: eyes (±1, 0, 0), mouth (±0.83, 2.3), nose before the plane by `depth` */
static struct frt_face pose(double yaw, double pitch, double roll, double size)
{
    static const double head[5][3] = {
        {-1, 0, 0}, {1, 0, 0}, {0, 0.56 * 2.3, 0.9}, {-0.83, 2.3, 0}, {0.83, 2.3, 0}};
    const double d = 3.14159265358979323846 / 180;
    struct frt_face face = {.box = {60, 60, 180, 180}};
    for (int i = 0; i < 5; i++) {
        const double x = head[i][0] * cos(yaw * d) + head[i][2] * sin(yaw * d);
        const double z = head[i][2] * cos(yaw * d) - head[i][0] * sin(yaw * d);
        const double y = head[i][1] * cos(pitch * d) - z * sin(pitch * d);
        face.landmarks[i].x = (float)(150 + size * (x * cos(roll * d) - (y - 1) * sin(roll * d)));
        face.landmarks[i].y = (float)(150 + size * (x * sin(roll * d) + (y - 1) * cos(roll * d)));
    }
    return face;
}

static void pose_is_found(void **state)
{
    (void)state;
    struct frt_frame f = draw();
    for (int a = -50; a <= 50; a += 10) {
        struct frt_face face = pose(a, 0, 0, 30);
        struct frt_quality q = frt_quality_measure(&f, &face);
        assert_true(fabs((double)q.yaw - a) < 0.5 && fabs((double)q.pitch) < 0.5 && fabs((double)q.roll) < 0.5);
        face = pose(0, a, 0, 30);
        q = frt_quality_measure(&f, &face);
        assert_true(fabs((double)q.pitch - a) < 2.5 && fabs((double)q.yaw) < 0.5 && fabs((double)q.roll) < 0.5);
        face = pose(0, 0, 3 * a, 30);
        q = frt_quality_measure(&f, &face);
        assert_true(fabs((double)q.roll - 3 * a) < 0.5 && fabs((double)q.yaw) < 0.5 &&
                    fabs((double)q.pitch) < 0.5);
        face = pose(25, 0, a, 30); /* tilting the head does not change its turn */
        q = frt_quality_measure(&f, &face);
        assert_true(fabs((double)q.yaw - 25) < 0.5 && fabs((double)q.roll - a) < 0.5);
    }
    frt_frame_deinit(&f);
}

static void turning_away_lowers_the_score(void **state)
{
    (void)state;
    /* the same pixels whatever the pose: only the pose factor moves, as the product says */
    struct frt_frame f = draw();
    double last_yaw = 2, last_pitch = 2;
    for (int a = 0; a <= 60; a += 15) {
        const struct frt_face turned = pose(a, 0, 0, 30), nodding = pose(0, -a, 0, 30);
        const struct frt_quality y = frt_quality_measure(&f, &turned), p = frt_quality_measure(&f, &nodding);
        const double yaw = (double)(y.score / y.sharpness), pitch = (double)(p.score / p.sharpness);
        assert_true(yaw < last_yaw && pitch < last_pitch);
        last_yaw = yaw;
        last_pitch = pitch;
    }
    frt_frame_deinit(&f);
}

static struct frt_frame blurred(const struct frt_frame *f, int radius)
{
    struct frt_frame out = make_frame(f->width_px, f->height_px);
    for (int y = 0; y < (int)f->height_px; y++) {
        for (int x = 0; x < (int)f->width_px; x++) {
            for (int c = 0; c < 3; c++) {
                int sum = 0, n = 0;
                for (int j = -radius; j <= radius; j++) {
                    for (int i = -radius; i <= radius; i++) {
                        if (y + j < 0 || x + i < 0 || y + j >= (int)f->height_px || x + i >= (int)f->width_px)
                            continue;
                        sum += f->pixels[(size_t)(y + j) * f->stride_bytes + 3 * (size_t)(x + i) + (size_t)c];
                        n++;
                    }
                }
                out.pixels[(size_t)y * out.stride_bytes + 3 * (size_t)x + (size_t)c] = (uint8_t)(sum / n);
            }
        }
    }
    return out;
}

static struct frt_frame scaled_light(const struct frt_frame *f, double gain)
{
    struct frt_frame out = make_frame(f->width_px, f->height_px);
    for (uint32_t y = 0; y < f->height_px; y++) {
        for (uint32_t x = 0; x < 3 * f->width_px; x++)
            out.pixels[y * out.stride_bytes + x] =
                (uint8_t)fmin(255, gain * f->pixels[y * f->stride_bytes + x]);
    }
    return out;
}

static void check_monotone(const struct frt_frame *f, const struct frt_face *face, double left_at_most)
{
    const struct frt_quality first = frt_quality_measure(f, face);
    double last = (double)first.sharpness, last_score = (double)first.score;
    assert_true(last > 0.3);
    for (int radius = 1; radius <= 4; radius++) {
        struct frt_frame b = blurred(f, radius);
        const struct frt_quality q = frt_quality_measure(&b, face);
        assert_true((double)q.sharpness < last && (double)q.score < last_score);
        assert_true(fabs((double)(q.brightness - first.brightness)) < 0.02); /* blur leaves the light */
        last = (double)q.sharpness;
        last_score = (double)q.score;
        frt_frame_deinit(&b);
    }
    assert_true(last < left_at_most * (double)first.sharpness);
    double light = (double)first.brightness;
    last_score = 1;
    for (int i = 1; i <= 4; i++) {
        struct frt_frame d = scaled_light(f, 0.6 / pow(2, i));
        const struct frt_quality q = frt_quality_measure(&d, face);
        assert_true((double)q.brightness < light && (double)q.score <= last_score);
        if (i < 3) /* darkness is not blur */
            assert_true(fabs((double)(q.sharpness - first.sharpness)) < 0.12);
        light = (double)q.brightness;
        last_score = (double)q.score;
        frt_frame_deinit(&d);
    }
    assert_true(last_score < 0.1);
}

static void a_drawn_face(void **state)
{
    (void)state;
    struct frt_frame f = draw();
    const struct frt_face face = pose(0, 0, 0, 28);
    check_monotone(&f, &face, 0.8);
    frt_frame_deinit(&f);
}

static void a_real_face(void **state)
{
    (void)state;
    const char *assets = getenv("FRT_TEST_ASSETS");
    char path[4096];
    struct frt_image *image = NULL;
    struct frt_frame f = {0};
    const struct frt_image_limits limits = {0};
    (void)snprintf(path, sizeof path, "%s/faces/lfw-dev/Al_Gore/Al_Gore_0002.jpg",
                   assets != NULL ? assets : "../shared/assets");
    if (frt_image_map(&limits, path, &image, NULL) != FRT_OK) {
        print_message("no %s\n", path);
        skip();
    }
    assert_int_equal(frt_image_decode(image, &(struct frt_decode_request){0}, &f, NULL), FRT_OK);
    const struct frt_face face = {
        .landmarks = {{96.1f, 110.2f}, {139.4f, 112.0f}, {112.8f, 138.3f}, {97.3f, 158.0f}, {136.1f, 159.4f}}};
    check_monotone(&f, &face, 0.5);
    const struct frt_quality q = frt_quality_measure(&f, &face);
    assert_true(fabs((double)q.yaw) < 25 && fabs((double)q.pitch) < 25 && fabs((double)q.roll) < 10);
    frt_frame_deinit(&f);
    frt_image_free(image);
}

static void size_and_place_do_not_matter(void **state)
{
    (void)state;
    /* the frame of a region, decoded at a third, against the whole of that coarse picture */
    struct frt_frame f = draw();
    struct frt_face face = pose(10, 5, 8, 28);
    const struct frt_quality q = frt_quality_measure(&f, &face);
    f.scale_x = f.scale_y = 3;
    f.origin_x = 500;
    f.origin_y = 700;
    for (int i = 0; i < 5; i++)
        face.landmarks[i] = (struct frt_point){500 + 3 * face.landmarks[i].x, 700 + 3 * face.landmarks[i].y};
    const struct frt_quality r = frt_quality_measure(&f, &face);
    assert_true(fabs((double)(q.sharpness - r.sharpness)) < 1e-3 && fabs((double)(q.yaw - r.yaw)) < 1e-2);
    assert_true(fabs((double)(q.brightness - r.brightness)) < 1e-3);
    frt_frame_deinit(&f);
}

static void nonsense_is_worth_nothing(void **state)
{
    (void)state;
    struct frt_frame f = draw();
    struct frt_face face = {0}; /* all points at one place */
    assert_true(frt_quality_measure(&f, &face).score == 0);
    face = pose(0, 0, 0, 28);
    face.landmarks[2].x = NAN;
    assert_true(frt_quality_measure(&f, &face).score == 0);
    face = pose(0, 0, 0, 28);
    for (int i = 0; i < 5; i++)
        face.landmarks[i].x += 10000; /* nothing to see there */
    assert_true(frt_quality_measure(&f, &face).score == 0);
    memset(f.pixels, 128, (size_t)SIDE * SIDE * 3); /* flat grey */
    face = pose(0, 0, 0, 28);
    assert_true(frt_quality_measure(&f, &face).sharpness < 0.01f);
    frt_frame_deinit(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pose_is_found),
        cmocka_unit_test(turning_away_lowers_the_score),
        cmocka_unit_test(a_drawn_face),
        cmocka_unit_test(a_real_face),
        cmocka_unit_test(size_and_place_do_not_matter),
        cmocka_unit_test(nonsense_is_worth_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
