/* Crops and one-crop nets over canned answers. */
#include "canned_net.h"

#include <math.h>
#include <stdio.h>

#include "vision/face_crop.h"
#include "vision/face_net.h"

#define WIDTH 80
#define HEIGHT 60
#define INPUT 16

static uint8_t pixels[WIDTH * HEIGHT * 3];

/* Red says the column, green the row; the frame is the photo at half size. */
static struct frt_frame ramp(void)
{
    for (size_t y = 0; y < HEIGHT; y++) {
        for (size_t x = 0; x < WIDTH; x++) {
            pixels[(y * WIDTH + x) * 3] = (uint8_t)(x + 100);
            pixels[(y * WIDTH + x) * 3 + 1] = (uint8_t)(y + 100);
            pixels[(y * WIDTH + x) * 3 + 2] = 200;
        }
    }
    return (struct frt_frame){.pixels = pixels,
                              .width_px = WIDTH,
                              .height_px = HEIGHT,
                              .stride_bytes = (size_t)WIDTH * 3,
                              .scale_x = 2,
                              .scale_y = 2,
                              .borrowed = true};
}

static void the_box_is_centred_between_bars(void **state)
{
    (void)state;
    struct frt_face_crop crop;
    const struct frt_frame frame = ramp();
    /* photo (20, 20, 16, 32) = frame (10, 10, 8, 16) */
    const struct frt_box tall = {20, 20, 16, 32};
    assert_int_equal(frt_face_crop_plan(FRT_CROP_BOX, &frame, &tall, 1, INPUT, INPUT, &crop, NULL), FRT_OK);
    assert_float_equal(crop.src_x, 10, 1e-9);
    assert_float_equal(crop.src_h, 16, 1e-9);
    assert_int_equal(crop.dst_w, 8);
    assert_int_equal(crop.dst_h, 16);
    assert_int_equal(crop.dst_x, 4);
    assert_int_equal(crop.dst_y, 0);

    float data[3 * INPUT * INPUT];
    const struct frt_model_input input = {INPUT, INPUT, FRT_COLOR_RGB, {0}, {1, 1, 1}};
    frt_face_crop_fill(&crop, &frame, &input, data);
    assert_float_equal(data[0], 0, 1e-6); /* bar */
    assert_float_equal(data[3], 0, 1e-6);
    assert_float_equal(data[4], 110, 0.6); /* column 10 of the frame */
    assert_float_equal(data[11], 117, 0.6);
    assert_float_equal(data[12], 0, 1e-6);
    assert_float_equal(data[INPUT * INPUT + 4], 110, 0.6); /* row 10 */
    assert_float_equal(data[2 * INPUT * INPUT + 4], 200, 0.6);

    /* clipped at the photo's edge: only frame (0, 10, 4, 16) is there */
    const struct frt_box over = {-8, 20, 16, 32};
    assert_int_equal(frt_face_crop_plan(FRT_CROP_BOX, &frame, &over, 1, INPUT, INPUT, &crop, NULL), FRT_OK);
    assert_float_equal(crop.src_x, 0, 1e-9);
    assert_float_equal(crop.src_w, 4, 1e-9);
    assert_int_equal(crop.dst_w, 4);
}

static void the_square_keeps_its_centre(void **state)
{
    (void)state;
    struct frt_face_crop crop;
    const struct frt_frame frame = ramp();
    const struct frt_box box = {0, 20, 16, 32}; /* centre (4, 18) of the frame, longer side 16 */
    assert_int_equal(frt_face_crop_plan(FRT_CROP_SQUARE, &frame, &box, 1.5, INPUT, INPUT, &crop, NULL), FRT_OK);
    assert_float_equal(crop.src_w, 24, 1e-9);
    assert_float_equal(crop.src_h, 24, 1e-9);
    assert_float_equal(crop.src_x, 4 - 12, 1e-9);
    assert_float_equal(crop.src_y, 18 - 12, 1e-9);
    float data[3 * INPUT * INPUT];
    const struct frt_model_input input = {INPUT, INPUT, FRT_COLOR_BGR, {0}, {1, 1, 1}};
    frt_face_crop_fill(&crop, &frame, &input, data);
    assert_float_equal(data[0], 0, 1e-6);                              /* left of the photo: black */
    assert_float_equal(data[INPUT - 1], 200, 0.6);                     /* blue first */
    assert_float_equal(data[2 * INPUT * INPUT + INPUT - 1], 115, 1.1); /* red last: column 15.25 */
}

/* The arithmetic of Silent-Face's _get_new_box, on frame pixels. */
static void the_large_crop_is_moved_inside(void **state)
{
    (void)state;
    static const struct {
        struct frt_box box;       /* photo */
        double scale, x, y, w, h; /* frame */
    } cases[] = {
        {{60, 40, 20, 20}, 2.7, 35 - 13.5, 25 - 13.5, 27, 27},
        {{0, 0, 20, 20}, 2.7, 0, 0, 27, 27},
        {{140, 100, 20, 20}, 2.7, 80 - 27, 60 - 27, 27, 27},
        {{60, 40, 40, 40}, 4, 40 - 30, 0, 60, 60}, /* 80 does not fit: 60 does */
        {{60, 20, 20, 60}, 4, 35 - 10, 0, 20, 60},
    };
    const struct frt_frame frame = ramp();
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct frt_face_crop crop;
        assert_int_equal(frt_face_crop_plan(FRT_CROP_SHIFTED, &frame, &cases[i].box, cases[i].scale, INPUT,
                                            INPUT, &crop, NULL),
                         FRT_OK);
        assert_float_equal(crop.src_x, cases[i].x, 1e-5);
        assert_float_equal(crop.src_y, cases[i].y, 1e-5);
        assert_float_equal(crop.src_w, cases[i].w, 1e-5);
        assert_float_equal(crop.src_h, cases[i].h, 1e-5);
        assert_int_equal(crop.dst_w, INPUT);
        assert_int_equal(crop.dst_h, INPUT);
    }
}

static void boxes_that_show_nothing_are_refused(void **state)
{
    (void)state;
    static const struct frt_box bad[] = {
        {NAN, 0, 1, 1},   {0, 0, 0, 1},     {0, 0, 1, -1},  {0, 0, INFINITY, 1},
        {500, 0, 10, 10}, {-20, 0, 10, 10}, {0, 300, 5, 5},
    };
    const struct frt_frame frame = ramp();
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct frt_face_crop crop;
        struct frt_error err = {0};
        for (int kind = FRT_CROP_BOX; kind <= FRT_CROP_SHIFTED; kind++)
            assert_int_equal(
                frt_face_crop_plan((enum frt_crop_kind)kind, &frame, &bad[i], 1, INPUT, INPUT, &crop, &err),
                FRT_EINVAL);
        assert_true(strlen(err.text) > 10);
    }
}

/* ------------------------------------------------------------------ nets */

struct net_case {
    struct canned_net canned;
    struct frt_model_spec spec;
    struct frt_face_net *net;
    struct frt_face face;
};

static void begin(struct net_case *c, enum frt_model_role role, const char *family)
{
    memset(c, 0, sizeof *c);
    canned_init(&c->canned, INPUT, INPUT);
    c->spec.role = role;
    c->spec.input = (struct frt_model_input){INPUT, INPUT, FRT_COLOR_RGB, {0}, {1, 1, 1}};
    (void)snprintf(c->spec.name, sizeof c->spec.name, "canned");
    (void)snprintf(c->spec.family, sizeof c->spec.family, "%s", family);
    c->face.box = (struct frt_box){40, 40, 40, 40};
}

static enum frt_status run(struct net_case *c, struct frt_error *err)
{
    const struct frt_frame frame = ramp();
    double ms = 0;
    canned_open(&c->canned);
    enum frt_status status = frt_face_net_new(&c->spec, c->canned.session, &c->net, err);
    if (status == FRT_OK) {
        assert_int_equal(frt_face_net_role(c->net), c->spec.role);
        status = frt_face_net_run(c->net, &frame, &c->face, &ms, err);
    }
    frt_face_net_free(c->net);
    canned_close(&c->canned);
    return status;
}

static void run_well(struct net_case *c)
{
    struct frt_error err = {0};
    if (run(c, &err) != FRT_OK)
        fail_msg("%s", err.text);
}

static void liveness_families(void **state)
{
    (void)state;
    struct net_case c;
    float *out;

    begin(&c, FRT_ROLE_LIVENESS, "minifasnet"); /* logits; class 1 = real */
    out = canned_output(&c.canned, false, 1, 3);
    out[0] = 1;
    out[1] = 3;
    out[2] = -1;
    run_well(&c);
    assert_float_equal(c.face.liveness.spoof_confidence, 1 - expf(2) / (1 + expf(2) + expf(-2)), 1e-5);
    assert_true(c.face.liveness.real);
    assert_int_equal(c.face.attributes, FRT_ATTRIBUTE_LIVENESS);

    begin(&c, FRT_ROLE_LIVENESS, "minifasnet"); /* probabilities already; a label moves "real" */
    c.spec.n_labels = 3;
    (void)snprintf(c.spec.labels[2], sizeof c.spec.labels[2], "real");
    out = canned_output(&c.canned, false, 1, 3);
    out[0] = 0.1f;
    out[1] = 0.7f;
    out[2] = 0.2f;
    run_well(&c);
    assert_float_equal(c.face.liveness.spoof_confidence, 0.8, 1e-5);
    assert_false(c.face.liveness.real);

    begin(&c, FRT_ROLE_LIVENESS, "antispoof");
    out = canned_output(&c.canned, false, 1, 1);
    out[0] = 0.75f;
    run_well(&c);
    assert_float_equal(c.face.liveness.spoof_confidence, 0.25, 1e-6);
    assert_true(c.face.liveness.real);

    begin(&c, FRT_ROLE_LIVENESS, "liveness");
    out = canned_output(&c.canned, false, 1, 2);
    out[0] = 0.125f;
    out[1] = 0.875f;
    run_well(&c);
    assert_float_equal(c.face.liveness.spoof_confidence, 0.875, 1e-6);
    assert_false(c.face.liveness.real);
}

static void age_and_gender(void **state)
{
    (void)state;
    for (int variant = 0; variant < 2; variant++) {
        struct net_case c;
        begin(&c, FRT_ROLE_AGE_GENDER, "age_gender");
        /* either order of outputs; labels may swap the classes */
        float *first = canned_output(&c.canned, false, 1, variant == 0 ? 1 : 2);
        float *second = canned_output(&c.canned, false, 1, variant == 0 ? 2 : 1);
        float *age = variant == 0 ? first : second, *gender = variant == 0 ? second : first;
        age[0] = 41.5f;
        gender[0] = 0.25f;
        gender[1] = 0.75f;
        if (variant == 1) {
            c.spec.n_labels = 2;
            (void)snprintf(c.spec.labels[0], sizeof c.spec.labels[0], "female");
            (void)snprintf(c.spec.labels[1], sizeof c.spec.labels[1], "male");
        }
        run_well(&c);
        assert_float_equal(c.face.age, 41.5, 1e-6);
        assert_int_equal(c.face.gender, variant == 0 ? FRT_GENDER_FEMALE : FRT_GENDER_MALE);
        assert_float_equal(c.face.gender_probability, 0.75, 1e-6);
        assert_int_equal(c.face.attributes, FRT_ATTRIBUTE_AGE | FRT_ATTRIBUTE_GENDER);
    }
}

static void expressions_follow_their_labels(void **state)
{
    (void)state;
    struct net_case c;
    struct frt_error err = {0};
    begin(&c, FRT_ROLE_EXPRESSION, "expression");
    canned_output(&c.canned, false, 1, 7)[3] = 10;
    run_well(&c);
    assert_int_equal(c.face.expression, FRT_EXPRESSION_ANGRY);
    assert_true(c.face.expression_probability > 0.99f);

    begin(&c, FRT_ROLE_EXPRESSION, "expression");
    c.spec.n_labels = 7;
    for (int i = 0; i < 7; i++) /* backwards */
        (void)snprintf(c.spec.labels[i], sizeof c.spec.labels[i], "%s",
                       frt_expression_name((enum frt_expression)(6 - i)));
    canned_output(&c.canned, false, 1, 7)[0] = 10;
    run_well(&c);
    assert_int_equal(c.face.expression, FRT_EXPRESSION_SURPRISED);

    begin(&c, FRT_ROLE_EXPRESSION, "expression");
    c.spec.n_labels = 7;
    for (int i = 0; i < 7; i++)
        (void)snprintf(c.spec.labels[i], sizeof c.spec.labels[i], "bored");
    (void)canned_output(&c.canned, false, 1, 7);
    assert_int_equal(run(&c, &err), FRT_EBAD_MODEL);
    assert_non_null(strstr(err.text, "disgusted"));
}

/* The template's points of a 16 px chip, at column 20 and row 10 of the frame: the chip is that part of it. */
static void quality_is_read_from_an_aligned_face(void **state)
{
    (void)state;
    static const float template[FRT_LANDMARK_COUNT][2] = {{38.2946f, 51.6963f},
                                                          {73.5318f, 51.5014f},
                                                          {56.0252f, 71.7366f},
                                                          {41.5493f, 92.3655f},
                                                          {70.7299f, 92.2041f}};
    static const float answers[][2] = {{0.625f, 0.625f}, {1.5f, 1}, {-0.25f, 0}};
    for (size_t i = 0; i < sizeof answers / sizeof *answers; i++) {
        const struct frt_frame frame = ramp();
        struct frt_error err = {0};
        struct net_case c;
        begin(&c, FRT_ROLE_QUALITY, "lightqnet");
        c.spec.input =
            (struct frt_model_input){INPUT, INPUT, FRT_COLOR_BGR, {128, 128, 128}, {0.5f, 0.5f, 0.5f}};
        canned_output(&c.canned, false, 1, 1)[0] = answers[i][0];
        for (size_t k = 0; k < FRT_LANDMARK_COUNT; k++)
            c.face.landmarks[k] = (struct frt_point){2 * (20 + template[k][0] * INPUT / 112),
                                                     2 * (10 + template[k][1] * INPUT / 112)};
        c.face.quality.sharpness = 0.25f;
        canned_open(&c.canned);
        if (frt_face_net_new(&c.spec, c.canned.session, &c.net, &err) != FRT_OK ||
            frt_face_net_run(c.net, &frame, &c.face, NULL, &err) != FRT_OK)
            fail_msg("%s", err.text);
        for (size_t y = 0; y < INPUT; y++) {
            for (size_t x = 0; x < INPUT; x++) {
                const float *at = c.canned.seen + y * INPUT + x;
                assert_float_equal(at[0], (200 - 128) * 0.5, 0.5);
                assert_float_equal(at[(size_t)INPUT * INPUT], ((float)y + 10 + 100 - 128) / 2, 0.5f);
                assert_float_equal(at[(size_t)2 * INPUT * INPUT], ((float)x + 20 + 100 - 128) / 2, 0.5f);
            }
        }
        assert_float_equal(c.face.quality.score, answers[i][1], 1e-6);
        assert_float_equal(c.face.quality.sharpness, 0.25, 1e-6); /* measured elsewhere, and left alone */
        assert_int_equal(c.face.attributes, FRT_ATTRIBUTE_QUALITY);

        /* points that make no face, and an answer that is no number */
        memset(c.face.landmarks, 0, sizeof c.face.landmarks);
        assert_int_equal(frt_face_net_run(c.net, &frame, &c.face, NULL, &err), FRT_EINVAL);
        frt_face_net_free(c.net);
        canned_close(&c.canned);
    }
    struct net_case c;
    struct frt_error err = {0};
    begin(&c, FRT_ROLE_QUALITY, "lightqnet");
    (void)canned_output(&c.canned, false, 1, 2);
    assert_int_equal(run(&c, &err), FRT_EBAD_MODEL);
    assert_non_null(strstr(err.text, "[1,1]"));
    begin(&c, FRT_ROLE_QUALITY, "lightqnet");
    canned_output(&c.canned, false, 1, 1)[0] = NAN;
    c.face.landmarks[0] = (struct frt_point){40, 40};
    c.face.landmarks[1] = (struct frt_point){60, 40};
    c.face.landmarks[2] = (struct frt_point){50, 50};
    c.face.landmarks[3] = (struct frt_point){42, 60};
    c.face.landmarks[4] = (struct frt_point){58, 60};
    assert_int_equal(run(&c, &err), FRT_ERUNTIME);
    assert_int_equal(c.face.attributes, 0);
}

static void what_does_not_fit_is_refused(void **state)
{
    (void)state;
    struct net_case c;
    struct frt_error err = {0};

    begin(&c, FRT_ROLE_LIVENESS, "expression"); /* a family of another role */
    (void)canned_output(&c.canned, false, 1, 7);
    assert_int_equal(run(&c, &err), FRT_EBAD_MODEL);
    assert_non_null(strstr(err.text, "minifasnet, antispoof, liveness"));

    begin(&c, FRT_ROLE_LIVENESS, "minifasnet");
    (void)canned_output(&c.canned, false, 1, 4);
    assert_int_equal(run(&c, &err), FRT_EBAD_MODEL);
    assert_non_null(strstr(err.text, "[1,4]"));
    assert_non_null(strstr(err.text, "[1,3]"));

    begin(&c, FRT_ROLE_LIVENESS, "minifasnet");
    c.spec.real_index = 3;
    (void)canned_output(&c.canned, false, 1, 3);
    assert_int_equal(run(&c, &err), FRT_EBAD_MODEL);
    assert_non_null(strstr(err.text, "real_index is 3; 0 to 2 fit"));

    begin(&c, FRT_ROLE_LIVENESS, "minifasnet");
    c.spec.input.width_px = 32;
    (void)canned_output(&c.canned, false, 1, 3);
    assert_int_equal(run(&c, &err), FRT_EBAD_MODEL);
    assert_non_null(strstr(err.text, "32x16"));

    begin(&c, FRT_ROLE_EXPRESSION, "expression");
    canned_output(&c.canned, false, 1, 7)[2] = NAN;
    assert_int_equal(run(&c, &err), FRT_ERUNTIME);
    assert_int_equal(c.face.attributes, 0);
}

static void step_and_margin_tell_what_the_net_looks_at(void **state)
{
    (void)state;
    struct net_case c;
    begin(&c, FRT_ROLE_LIVENESS, "minifasnet");
    c.spec.crop_scale = 4;
    (void)canned_output(&c.canned, false, 1, 3);
    canned_open(&c.canned);
    assert_int_equal(frt_face_net_new(&c.spec, c.canned.session, &c.net, NULL), FRT_OK);
    assert_float_equal(frt_face_net_margin(c.net), 4, 1e-6);
    assert_float_equal(frt_face_net_step(c.net, &(struct frt_box){0, 0, 40, 60}), 60 * 4 / 16.0, 1e-6);
    frt_face_net_free(c.net);
    canned_close(&c.canned);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_box_is_centred_between_bars),
        cmocka_unit_test(the_square_keeps_its_centre),
        cmocka_unit_test(the_large_crop_is_moved_inside),
        cmocka_unit_test(boxes_that_show_nothing_are_refused),
        cmocka_unit_test(liveness_families),
        cmocka_unit_test(age_and_gender),
        cmocka_unit_test(expressions_follow_their_labels),
        cmocka_unit_test(quality_is_read_from_an_aligned_face),
        cmocka_unit_test(what_does_not_fit_is_refused),
        cmocka_unit_test(step_and_margin_tell_what_the_net_looks_at),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
