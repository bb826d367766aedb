/* The 68-point net over canned answers: points come back to where the net saw them. */
#include "canned_net.h"

#include <math.h>
#include <stdio.h>

#include "vision/landmarks.h"

#define INPUT 112
#define SIDE 200

static uint8_t pixels[SIDE * SIDE * 3];

struct fixture {
    struct canned_net net;
    struct frt_model_spec spec;
    struct frt_landmarker *landmarker;
    float *values;
};

static void begin(struct fixture *f)
{
    memset(f, 0, sizeof *f);
    canned_init(&f->net, INPUT, INPUT);
    f->values = canned_output(&f->net, false, 1, 136);
    f->spec = (struct frt_model_spec){.role = FRT_ROLE_LANDMARKS, .name = "canned", .family = "landmarks68"};
    f->spec.input = (struct frt_model_input){INPUT, INPUT, FRT_COLOR_RGB, {0}, {1, 1, 1}};
}

static void open_landmarker(struct fixture *f)
{
    struct frt_error err = {0};
    canned_open(&f->net);
    if (frt_landmarker_new(&f->spec, f->net.session, &f->landmarker, &err) != FRT_OK)
        fail_msg("%s", err.text);
}

static void finish(struct fixture *f)
{
    frt_landmarker_free(f->landmarker);
    canned_close(&f->net);
}

static struct frt_frame part_of_a_photo(void)
{
    return (struct frt_frame){.pixels = pixels,
                              .width_px = SIDE,
                              .height_px = SIDE,
                              .stride_bytes = (size_t)SIDE * 3,
                              .origin_x = 100,
                              .origin_y = 50,
                              .scale_x = 3,
                              .scale_y = 3,
                              .borrowed = true};
}

/* A net that sees one white dot and says where: crop and way back must cancel, whatever the box. */
static void point_at_the_brightest(struct canned_net *net, const struct frt_tensor *input)
{
    double sum = 0, x = 0, y = 0;
    for (size_t i = 0; i < (size_t)INPUT * INPUT; i++) {
        double v = (double)input->data[i];
        sum += v;
        x += v * ((double)(i % INPUT) + 0.5);
        y += v * ((double)(i / INPUT) + 0.5);
    }
    for (int i = 0; i < 68; i++) {
        net->answers[0].values[2 * i] = (float)(x / sum / INPUT);
        net->answers[0].values[2 * i + 1] = (float)(y / sum / INPUT);
    }
}

static void points_come_back_to_where_they_were_seen(void **state)
{
    (void)state;
    static const struct frt_box boxes[] = {
        {250, 200, 240, 240}, /* square */
        {280, 200, 150, 301}, /* tall, odd: bars left and right */
        {200, 260, 333, 100}, /* wide */
        {90, 40, 400, 400},   /* over the frame's corner */
    };
    struct fixture f;
    const struct frt_frame frame = part_of_a_photo();
    begin(&f);
    f.net.before = point_at_the_brightest;
    open_landmarker(&f);
    memset(pixels, 0, sizeof pixels);
    for (size_t y = 82; y < 85; y++) /* frame (80, 82) to (83, 85): photo centre (344.5, 300.5) */
        memset(pixels + (y * SIDE + 80) * 3, 255, 9);
    for (size_t i = 0; i < sizeof boxes / sizeof boxes[0]; i++) {
        struct frt_point points[FRT_LANDMARKS_DENSE];
        double ms = 0;
        assert_int_equal(frt_landmarker_run(f.landmarker, &frame, &boxes[i], points, &ms, NULL), FRT_OK);
        assert_true(ms > 0);
        /* a frame pixel is 3 px of the photo; sampling may shift the dot's centre by a fraction of it */
        assert_float_equal(points[0].x, 344.5, 1.0);
        assert_float_equal(points[0].y, 300.5, 1.0);
        assert_float_equal(points[67].x, 344.5, 1.0);
    }
    finish(&f);
}

static void the_bars_are_taken_off_again(void **state)
{
    (void)state;
    struct fixture f;
    const struct frt_frame frame = part_of_a_photo();
    struct frt_point points[FRT_LANDMARKS_DENSE];
    begin(&f);
    f.values[0] = 0.25f; /* the left edge of a crop that is half as wide as high: bars of 28 px */
    f.values[1] = 0;
    f.values[2] = 0.75f;
    f.values[3] = 1;
    open_landmarker(&f);
    const struct frt_box box = {160, 80, 168, 336}; /* frame (20, 10, 56, 112) */
    assert_int_equal(frt_landmarker_run(f.landmarker, &frame, &box, points, NULL, NULL), FRT_OK);
    assert_float_equal(points[0].x, 160, 1e-3);
    assert_float_equal(points[0].y, 80, 1e-3);
    assert_float_equal(points[1].x, 328, 1e-3);
    assert_float_equal(points[1].y, 416, 1e-3);
    finish(&f);
}

static void bad_answers_and_models_are_refused(void **state)
{
    (void)state;
    struct fixture f;
    struct frt_error err = {0};
    struct frt_point points[FRT_LANDMARKS_DENSE];
    const struct frt_frame frame = part_of_a_photo();
    const struct frt_box box = {160, 80, 168, 336}, outside = {0, 0, 50, 50};
    begin(&f);
    f.values[77] = NAN;
    open_landmarker(&f);
    assert_int_equal(frt_landmarker_run(f.landmarker, &frame, &box, points, NULL, &err), FRT_ERUNTIME);
    assert_int_equal(frt_landmarker_run(f.landmarker, &frame, &outside, points, NULL, &err), FRT_EINVAL);
    finish(&f);

    begin(&f);
    f.net.model.info.outputs[0].dims[1] = 10;
    canned_open(&f.net);
    assert_int_equal(frt_landmarker_new(&f.spec, f.net.session, &f.landmarker, &err), FRT_EBAD_MODEL);
    assert_non_null(strstr(err.text, "[1,10]"));
    assert_non_null(strstr(err.text, "[1,136]"));
    (void)snprintf(f.spec.family, sizeof f.spec.family, "pfld");
    assert_int_equal(frt_landmarker_new(&f.spec, f.net.session, &f.landmarker, &err), FRT_EBAD_MODEL);
    assert_non_null(strstr(err.text, "landmarks68"));
    assert_null(f.landmarker);
    finish(&f);
}

static void five_points_of_a_symmetric_face(void **state)
{
    (void)state;
    struct frt_point dense[FRT_LANDMARKS_DENSE] = {{0, 0}};
    struct frt_point five[FRT_LANDMARK_COUNT];
    for (int i = 0; i < 6; i++) {
        float angle = (float)i * 1.0471976f;
        dense[36 + i] = (struct frt_point){30 + 5 * cosf(angle), 40 + 3 * sinf(angle)};
        dense[42 + i] = (struct frt_point){70 + 5 * cosf(angle), 40 + 3 * sinf(angle)};
    }
    for (int i = 27; i < 36; i++)
        dense[i] = (struct frt_point){50, 60};
    for (int i = 48; i < 68; i++)
        dense[i] = (struct frt_point){50, 80};
    dense[48].x = 35;
    dense[54].x = 65;
    frt_landmarks_reduce(dense, five);
    assert_float_equal(five[FRT_LANDMARK_LEFT_EYE].x, 30, 1e-3);
    assert_float_equal(five[FRT_LANDMARK_RIGHT_EYE].x, 70, 1e-3);
    assert_float_equal(five[FRT_LANDMARK_LEFT_EYE].y, 40, 1e-3);
    assert_float_equal(five[FRT_LANDMARK_NOSE].x, 50, 1e-3);
    assert_true(five[FRT_LANDMARK_MOUTH_LEFT].x < five[FRT_LANDMARK_MOUTH_RIGHT].x);
    assert_true(five[FRT_LANDMARK_MOUTH_LEFT].y > five[FRT_LANDMARK_NOSE].y);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(points_come_back_to_where_they_were_seen),
        cmocka_unit_test(the_bars_are_taken_off_again),
        cmocka_unit_test(bad_answers_and_models_are_refused),
        cmocka_unit_test(five_points_of_a_symmetric_face),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
