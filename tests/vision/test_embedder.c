/*
 * Embedder on a fake net: the answer is the mean of each plane plus a few corner pixels, so that size,
 * colour order, mean, scale, batching, mirroring and maps can be told from the embedding.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/mem.h"
#include "infer/infer_fake.h"
#include "vision/align.h"
#include "vision/embedder.h"

enum { DIM = 4 };

struct fake {
    int runs;
    int64_t largest_batch;
    float poison; /* added to the answers; NaN and the like */
    bool zero;
};

static enum frt_status run_fake(void *arg, const struct frt_tensor *inputs, uint32_t n_inputs,
                                struct frt_fake_output *outputs, struct frt_error *err)
{
    struct fake *fake = arg;
    assert_int_equal(n_inputs, 1);
    const int64_t n = inputs[0].dims[0];
    const size_t plane = (size_t)(inputs[0].dims[2] * inputs[0].dims[3]);
    float *out = frt_fake_output_alloc(outputs, (const int64_t[]){n, DIM}, 2);
    if (out == NULL)
        return frt_fail_nomem(err, "fake");
    fake->runs++;
    fake->largest_batch = n > fake->largest_batch ? n : fake->largest_batch;
    for (int64_t i = 0; i < n; i++) {
        const float *face = inputs[0].data + (size_t)i * 3 * plane;
        for (size_t c = 0; c < 3; c++) {
            double sum = 0;
            for (size_t k = 0; k < plane; k++)
                sum += (double)face[c * plane + k];
            out[i * DIM + (int64_t)c] = fake->zero ? 0 : (float)(sum / (double)plane) + fake->poison;
        }
        out[i * DIM + 3] = fake->zero ? 0 : face[0]; /* top left pixel of the first plane */
    }
    return FRT_OK;
}

static struct frt_session_info graph(int64_t batch, int64_t side, int64_t dim)
{
    return (struct frt_session_info){
        .n_inputs = 1,
        .n_outputs = 1,
        .inputs[0] = {.name = "in", .dims = {batch, 3, side, side}, .n_dims = 4, .is_float = true},
        .outputs[0] = {.name = "out", .dims = {batch, dim}, .n_dims = 2, .is_float = true}};
}

static struct frt_model_spec arcface(void)
{
    return (struct frt_model_spec){.role = FRT_ROLE_EMBEDDER,
                                   .name = "net",
                                   .family = "arcface",
                                   .dim = DIM,
                                   .input = {.scale = {1, 1, 1}}};
}

struct bench {
    struct frt_backend *backend;
    struct frt_session *session;
    struct fake fake;
    struct frt_fake_model model;
};

static void open_bench(struct bench *b, struct frt_session_info info)
{
    *b = (struct bench){0};
    b->model = (struct frt_fake_model){.file = "net.onnx", .info = info, .run = run_fake, .arg = &b->fake};
    assert_int_equal(frt_backend_fake_new(&b->model, 1, &b->backend, NULL), FRT_OK);
    assert_int_equal(frt_session_open(b->backend, "net.onnx", &b->session, NULL), FRT_OK);
}

static void close_bench(struct bench *b)
{
    frt_session_free(b->session);
    frt_backend_free(b->backend);
}

static uint8_t *make_chips(size_t n, size_t side)
{
    uint8_t *chips = frt_alloc(n * side * side * 3);
    assert_non_null(chips);
    for (size_t i = 0; i < n; i++) {
        uint8_t *chip = chips + i * side * side * 3;
        for (size_t k = 0; k < side * side; k++) {
            chip[3 * k] = (uint8_t)(100 + i);
            chip[3 * k + 1] = 50;
            chip[3 * k + 2] = 20;
        }
        chip[0] = 200; /* top left, red */
    }
    return chips;
}

static void assert_direction(const float *row, double a, double b, double c, double d)
{
    const double want[DIM] = {a, b, c, d}, norm = sqrt(a * a + b * b + c * c + d * d);
    for (int i = 0; i < DIM; i++) {
        if (!(fabs((double)row[i] - want[i] / norm) < 1e-4))
            fail_msg("value %d is %g, want %g", i, (double)row[i], want[i] / norm);
    }
}

static const double red = 100 + 100.0 / (112 * 112); /* mean of the red plane of chip 0 */

static void values_order_and_batches(void **state)
{
    (void)state;
    struct bench b;
    struct frt_embedder *e = NULL;
    uint8_t *chips = make_chips(20, 112);
    float out[20 * DIM];
    double ms = 0;
    struct frt_model_spec spec = arcface();

    open_bench(&b, graph(-1, 112, DIM)); /* free batch */
    assert_int_equal(frt_embedder_new(&spec, b.session, &e, NULL), FRT_OK);
    assert_int_equal(frt_embedder_dim(e), DIM);
    assert_int_equal(frt_embedder_chip_bytes(e), 112 * 112 * 3);
    assert_int_equal(frt_embedder_run(e, chips, 20, out, &ms, NULL), FRT_OK);
    assert_direction(out, red, 50, 20, 200);
    assert_direction(out + 19 * DIM, red + 19 - 19.0 / (112 * 112), 50, 20, 200);
    assert_true(b.fake.largest_batch > 1 && b.fake.largest_batch <= 8);
    frt_embedder_free(e);
    close_bench(&b);

    open_bench(&b, graph(1, 112, DIM)); /* one at a time */
    spec.input.color = FRT_COLOR_BGR;
    for (int c = 0; c < 3; c++) {
        spec.input.mean[c] = 10;
        spec.input.scale[c] = 0.5f;
    }
    assert_int_equal(frt_embedder_new(&spec, b.session, &e, NULL), FRT_OK);
    assert_int_equal(frt_embedder_run(e, chips, 20, out, &ms, NULL), FRT_OK);
    assert_int_equal(b.fake.runs, 20);
    assert_int_equal(b.fake.largest_batch, 1);
    assert_direction(out, 5, 20, (red - 10) / 2, 5);
    frt_embedder_free(e);
    close_bench(&b);
    frt_free(chips);
}

static void flip_average_adds_the_mirror_image(void **state)
{
    (void)state;
    struct bench b;
    struct frt_embedder *e = NULL;
    uint8_t *chips = make_chips(3, 112);
    float out[3 * DIM];
    double ms = 0;
    struct frt_model_spec spec = arcface();
    spec.flip_average = true;
    open_bench(&b, graph(-1, 112, DIM));
    assert_int_equal(frt_embedder_new(&spec, b.session, &e, NULL), FRT_OK);
    assert_int_equal(frt_embedder_run(e, chips, 3, out, &ms, NULL), FRT_OK);
    assert_int_equal(b.fake.runs, 2);
    assert_direction(out, red, 50, 20, (200 + 100) / 2.0); /* the mirrored chip has 100 top left */
    frt_embedder_free(e);
    close_bench(&b);
    frt_free(chips);
}

static void the_centre_is_subtracted(void **state)
{
    (void)state;
    for (int flip = 0; flip < 2; flip++) {
        struct bench b;
        struct frt_embedder *e = NULL;
        uint8_t *chips = make_chips(1, 112);
        float out[DIM], centre[DIM] = {60, 60, 60, 160};
        double ms = 0;
        struct frt_model_spec spec = arcface();
        spec.map = FRT_MAP_CENTER_L2;
        spec.centre = centre;
        spec.flip_average = flip != 0;
        open_bench(&b, graph(-1, 112, DIM));
        assert_int_equal(frt_embedder_new(&spec, b.session, &e, NULL), FRT_OK);
        memset(centre, 0, sizeof centre); /* the embedder keeps its own */
        assert_int_equal(frt_embedder_run(e, chips, 1, out, &ms, NULL), FRT_OK);
        assert_direction(out, red - 60, -10, -40, flip ? -10 : 40);
        frt_embedder_free(e);
        close_bench(&b);
        frt_free(chips);
    }
}

/* Points of a narrow cap come apart, keep the order of their distances, and stay on the unit sphere. */
static void the_cap_is_spread(void **state)
{
    (void)state;
    struct bench b;
    struct frt_embedder *e = NULL;
    uint8_t *chips = make_chips(1, 112);
    float out[DIM];
    double ms = 0;
    /* unit vector u = (.5 .5 .5 .5), radius 8 */
    float centre[DIM] = {4, 4, 4, 4};
    struct frt_model_spec spec = arcface();
    spec.map = FRT_MAP_CAP;
    spec.centre = centre;
    open_bench(&b, graph(-1, 112, DIM));
    assert_int_equal(frt_embedder_new(&spec, b.session, &e, NULL), FRT_OK);
    assert_int_equal(frt_embedder_run(e, chips, 1, out, &ms, NULL), FRT_OK);
    const double x[DIM] = {red, 50, 20, 200}, norm = sqrt(red * red + 50 * 50 + 20 * 20 + 200 * 200);
    double t[DIM], along = 0, across = 0;
    for (int i = 0; i < DIM; i++)
        along += 0.5 * x[i] / sqrt(norm);
    for (int i = 0; i < DIM; i++) {
        t[i] = x[i] / sqrt(norm) - 0.5 * along;
        across += t[i] * t[i];
    }
    assert_true(across > 64); /* beyond the rim: only the direction counts */
    assert_direction(out, t[0], t[1], t[2], t[3]);
    frt_embedder_free(e);

    for (int i = 0; i < DIM; i++)
        centre[i] = 10; /* radius 20: inside the rim */
    assert_int_equal(frt_embedder_new(&spec, b.session, &e, NULL), FRT_OK);
    assert_int_equal(frt_embedder_run(e, chips, 1, out, &ms, NULL), FRT_OK);
    const double height = sqrt(400 - across);
    assert_true(across < 400);
    assert_direction(out, t[0] + height / 2, t[1] + height / 2, t[2] + height / 2, t[3] + height / 2);
    double length = 0;
    for (int i = 0; i < DIM; i++)
        length += (double)out[i] * (double)out[i];
    assert_true(fabs(length - 1) < 1e-5);
    frt_embedder_free(e);
    close_bench(&b);
    frt_free(chips);
}

static void bad_answers_are_refused(void **state)
{
    (void)state;
    struct bench b;
    struct frt_embedder *e = NULL;
    uint8_t *chips = make_chips(2, 112);
    float out[2 * DIM] = {7, 7, 7, 7, 7, 7, 7, 7};
    double ms = 0;
    struct frt_error err;
    struct frt_model_spec spec = arcface();
    open_bench(&b, graph(-1, 112, DIM));
    assert_int_equal(frt_embedder_new(&spec, b.session, &e, NULL), FRT_OK);
    static const float poisons[] = {NAN, INFINITY, -INFINITY};
    for (size_t i = 0; i < 3; i++) {
        b.fake.poison = poisons[i];
        assert_int_equal(frt_embedder_run(e, chips, 2, out, &ms, &err), FRT_ERUNTIME);
        assert_non_null(strstr(err.text, "not finite"));
    }
    b.fake.zero = true;
    assert_int_equal(frt_embedder_run(e, chips, 2, out, &ms, &err), FRT_ERUNTIME);
    assert_non_null(strstr(err.text, "zero"));
    for (int i = 0; i < 2 * DIM; i++)
        assert_true(out[i] == 7);
    frt_embedder_free(e);
    close_bench(&b);
    frt_free(chips);
}

static void expect_refusal(struct frt_model_spec spec, struct frt_session_info info, const char *said)
{
    struct bench b;
    struct frt_embedder *e = NULL;
    struct frt_error err = {0};
    open_bench(&b, info);
    const enum frt_status status = frt_embedder_new(&spec, b.session, &e, &err);
    if (status != FRT_EBAD_MODEL || strstr(err.text, said) == NULL)
        fail_msg("status %d, text \"%s\"; wanted \"%s\"", status, err.text, said);
    assert_null(e);
    close_bench(&b);
}

static void graphs_that_do_not_fit_are_refused(void **state)
{
    (void)state;
    struct frt_model_spec spec = arcface();
    expect_refusal(spec, graph(-1, 160, DIM), "[?,3,160,160]");
    expect_refusal(spec, graph(-1, 112, 512), "out [?,512]");
    expect_refusal(spec, graph(4, 112, DIM), "[4,3,112,112]");
    struct frt_session_info info = graph(1, 112, DIM);
    info.inputs[0].is_float = false;
    expect_refusal(spec, info, "not f32");
    info = graph(1, 112, DIM);
    info.inputs[0].dims[1] = 112;
    info.inputs[0].dims[3] = 3;
    expect_refusal(spec, info, "[1,112,112,3]");
    info = graph(1, 112, DIM);
    info.n_inputs = 2;
    expect_refusal(spec, info, "2 inputs");
    (void)strcpy(spec.family, "arcfac");
    expect_refusal(spec, graph(1, 112, DIM), "arcface, sface, facenet, dlib_resnet");
    spec = arcface();
    (void)strcpy(spec.template_name, "nose");
    expect_refusal(spec, graph(1, 112, DIM), "arcface112");
    (void)strcpy(spec.template_name, "dlib150");
    expect_refusal(spec, graph(1, 112, DIM), "150×150");
    spec = arcface();
    spec.input.width_px = 96;
    expect_refusal(spec, graph(1, 112, DIM), "96");
    spec = arcface();
    spec.map = FRT_MAP_CENTER_L2;
    expect_refusal(spec, graph(1, 112, DIM), "centre");
    float centre[DIM] = {0, NAN, 0, 0};
    spec.centre = centre;
    expect_refusal(spec, graph(1, 112, DIM), "not finite");
    centre[1] = 0;
    spec.map = FRT_MAP_CAP;
    expect_refusal(spec, graph(1, 112, DIM), "zero");
    spec = arcface();
    spec.dim = 0;
    expect_refusal(spec, graph(1, 112, 1), "[N,dim]");
}

static void outputs_are_found_by_shape(void **state)
{
    (void)state;
    static const int64_t shapes[][4] = {{1, DIM, -2, -2}, {-1, DIM, -2, -2}, {1, DIM, 1, 1}, {-1, -1, -2, -2}};
    for (size_t i = 0; i < 4; i++) {
        struct frt_session_info info = graph(shapes[i][0], 112, DIM);
        info.n_outputs = 2; /* AdaFace-like: the norm comes along, in front */
        info.outputs[0] =
            (struct frt_tensor_info){.name = "norm", .dims = {shapes[i][0], 1}, .n_dims = 2, .is_float = true};
        info.outputs[1] =
            (struct frt_tensor_info){.name = "feature", .n_dims = shapes[i][2] == -2 ? 2 : 4, .is_float = true};
        memcpy(info.outputs[1].dims, shapes[i], sizeof shapes[i]);
        struct bench b;
        struct frt_embedder *e = NULL;
        struct frt_model_spec spec = arcface();
        open_bench(&b, info);
        assert_int_equal(frt_embedder_new(&spec, b.session, &e, NULL), FRT_OK);
        assert_int_equal(frt_embedder_dim(e), DIM);
        frt_embedder_free(e);
        if (i < 3) { /* the size may be left to the graph */
            spec.dim = 0;
            e = NULL;
            assert_int_equal(frt_embedder_new(&spec, b.session, &e, NULL), FRT_OK);
            assert_int_equal(frt_embedder_dim(e), DIM);
            frt_embedder_free(e);
        }
        close_bench(&b);
    }
}

static void align_region_and_step(void **state)
{
    (void)state;
    struct bench b;
    struct frt_embedder *e = NULL;
    struct frt_model_spec spec = arcface();
    open_bench(&b, graph(1, 112, DIM));
    assert_int_equal(frt_embedder_new(&spec, b.session, &e, NULL), FRT_OK);

    /* a face three times the chip's size, its chip's corner at (30, 60) of the full-size image */
    struct frt_point landmarks[FRT_LANDMARK_COUNT];
    const struct frt_align_template *t = frt_align_template_find("arcface112");
    for (int k = 0; k < FRT_LANDMARK_COUNT; k++)
        landmarks[k] = (struct frt_point){30 + 3 * t->points[k].x, 60 + 3 * t->points[k].y};
    double step = 0;
    struct frt_box region = {0};
    assert_int_equal(frt_embedder_step(e, landmarks, &step, NULL), FRT_OK);
    assert_true(fabs(step - 3) < 1e-4);
    assert_int_equal(frt_embedder_region(e, landmarks, &region, NULL), FRT_OK);
    assert_true(fabs((double)region.x - 30) < 0.01 && fabs((double)region.y - 60) < 0.01);
    assert_true(fabs((double)region.width - 336) < 0.01 && fabs((double)region.height - 336) < 0.01);

    /* a frame decoded at a third of the size: its pixels from (10, 20) on are the chip */
    enum { SIDE = 140 };
    uint8_t *pixels = frt_alloc((size_t)SIDE * SIDE * 3), *chip = frt_alloc(112 * 112 * 3);
    assert_non_null(pixels);
    assert_non_null(chip);
    for (size_t i = 0; i < (size_t)SIDE * SIDE * 3; i++)
        pixels[i] = (uint8_t)((i * 2654435761u) >> 7);
    const struct frt_frame frame = {.pixels = pixels,
                                    .width_px = SIDE,
                                    .height_px = SIDE,
                                    .stride_bytes = (size_t)SIDE * 3,
                                    .scale_x = 3,
                                    .scale_y = 3};
    assert_int_equal(frt_embedder_align(e, &frame, landmarks, chip, NULL), FRT_OK);
    for (size_t v = 0; v < 112; v++) {
        for (size_t u = 0; u < 112 * 3; u++)
            assert_true(abs(chip[v * 336 + u] - pixels[(v + 20) * SIDE * 3 + 30 + u]) <= 1);
    }

    const struct frt_point nowhere[FRT_LANDMARK_COUNT] = {{5, 5}, {5, 5}, {5, 5}, {5, 5}, {5, 5}};
    assert_int_equal(frt_embedder_align(e, &frame, nowhere, chip, NULL), FRT_EINVAL);
    assert_int_equal(frt_embedder_step(e, nowhere, &step, NULL), FRT_EINVAL);
    assert_int_equal(frt_embedder_region(e, nowhere, &region, NULL), FRT_EINVAL);
    frt_free(pixels);
    frt_free(chip);
    frt_embedder_free(e);
    close_bench(&b);
}

static void failed_allocations_leave_nothing(void **state)
{
    (void)state;
    struct bench b;
    struct frt_model_spec spec = arcface();
    float centre[DIM] = {1, 2, 3, 4};
    spec.map = FRT_MAP_CENTER_L2;
    spec.centre = centre;
    open_bench(&b, graph(-1, 112, DIM));
    uint8_t *chips = make_chips(2, 112);
    enum frt_status status = FRT_ENOMEM;
    int tries = 0;
    for (; status != FRT_OK; tries++) {
        struct frt_embedder *e = NULL;
        float out[2 * DIM];
        double ms = 0;
        assert_true(tries < 50);
        frt_mem_fail_after(tries);
        status = frt_embedder_new(&spec, b.session, &e, NULL);
        if (status == FRT_OK)
            status = frt_embedder_run(e, chips, 2, out, &ms, NULL);
        frt_mem_fail_after(-1);
        assert_true(status == FRT_OK || status == FRT_ENOMEM);
        frt_embedder_free(e);
    }
    assert_true(tries > 4);
    frt_free(chips);
    close_bench(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_order_and_batches),
        cmocka_unit_test(flip_average_adds_the_mirror_image),
        cmocka_unit_test(the_centre_is_subtracted),
        cmocka_unit_test(the_cap_is_spread),
        cmocka_unit_test(bad_answers_are_refused),
        cmocka_unit_test(graphs_that_do_not_fit_are_refused),
        cmocka_unit_test(outputs_are_found_by_shape),
        cmocka_unit_test(align_region_and_step),
        cmocka_unit_test(failed_allocations_leave_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
