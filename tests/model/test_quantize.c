/*
 * INT8: small nets, quantised on random inputs, against themselves in floats, run by the runtime; weights,
 * looked at one by one; layers given back when the bound is close; graphs that do not fit, left byte for byte;
 * lack of memory. A real embedder where FRT_TEST_ASSETS (default ../shared/assets) has it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/mem.h"
#include "infer/infer.h"
#include "model/model_file.h"
#include "model/onnx_ops.h"
#include "model/quantize.h"
#include "model/quantize_emit.h"

#define SHAPE(...)                                                                                             \
    ((struct frt_onnx_shape){.n_dims = sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t),                     \
                             .dims = {__VA_ARGS__}})
enum { SIDE = 16, CHANNELS = 32, DIM = 24, INPUTS = 10, SKIPPED = 77, REAL_SIDE = 112 };

static struct frt_backend *backend; /* NULL: no runtime */

static uint32_t seed = 1;
static float draw(void)
{
    seed = seed * 1664525U + 1013904223U;
    return (float)(seed >> 8) / (float)(1 << 23) - 1.0F;
}

/* ------------------------------------------------------------------- nets */

static int weights(struct frt_onnx_graph *g, const char *name, struct frt_onnx_shape shape, float by)
{
    int value = FRT_ONNX_NONE;
    float *to = frt_onnx_const_space(g, name, &shape, &value);
    for (int64_t i = 0; to != NULL && i < frt_onnx_shape_size(&shape); i++)
        to[i] = draw() * by;
    return value;
}

static int conv(struct frt_onnx_graph *g, int x, const char *name, int64_t out, int64_t groups, int64_t kernel)
{
    const struct frt_onnx_shape in = frt_onnx_shape_of(g, x);
    const struct frt_onnx_window window = {.padding = FRT_ONNX_EXPLICIT,
                                           .pads = {kernel / 2, kernel / 2, kernel / 2, kernel / 2}};
    char offset[32];
    (void)snprintf(offset, sizeof offset, "%s_offset", name);
    const float fan = (float)(in.dims[1] / groups * kernel * kernel);
    const int w = weights(g, name, SHAPE(out, in.dims[1] / groups, kernel, kernel), 2.4F / sqrtf(fan));
    const int b = weights(g, offset, SHAPE(out), 0.1F);
    return frt_op_conv(g, x, w, b, groups, &window);
}

static int prelu(struct frt_onnx_graph *g, int x, const char *name)
{
    const struct frt_onnx_shape shape = frt_onnx_shape_of(g, x);
    const int slopes = weights(g, name, SHAPE(shape.dims[1], 1, 1), 0.5F);
    const struct frt_onnx_node node = {.op = "PRelu", .n_inputs = 2, .inputs = {x, slopes}, .outputs = {shape}};
    return frt_onnx_node_add(g, &node);
}

static int norm(struct frt_onnx_graph *g, int x)
{
    const struct frt_onnx_shape shape = frt_onnx_shape_of(g, x);
    const int64_t n = shape.dims[1];
    const int gain = weights(g, "gain", SHAPE(n), 1), shift = weights(g, "shift", SHAPE(n), 0.3F),
              mean = weights(g, "mean", SHAPE(n), 0.3F);
    int spread = FRT_ONNX_NONE;
    float *to = frt_onnx_const_space(g, "spread", &SHAPE(n), &spread);
    for (int64_t i = 0; to != NULL && i < n; i++)
        to[i] = 0.5F + (float)i / (float)n;
    const struct frt_onnx_node node = {.op = "BatchNormalization",
                                       .n_inputs = 5,
                                       .inputs = {x, gain, shift, mean, spread},
                                       .outputs = {shape}};
    return frt_onnx_node_add(g, &node);
}

static int dense(struct frt_onnx_graph *g, int x)
{
    const struct frt_onnx_shape in = frt_onnx_shape_of(g, x);
    const int64_t n = in.dims[1] * in.dims[2] * in.dims[3];
    const struct frt_onnx_node flatten = {
        .op = "Flatten", .n_inputs = 1, .inputs = {x}, .outputs = {SHAPE(1, n)}};
    x = frt_onnx_node_add(g, &flatten);
    const int w = weights(g, "dense", SHAPE(n, DIM), 0.05F), b = weights(g, "dense_offset", SHAPE(DIM), 0.1F);
    return frt_op_dense(g, x, w, b);
}

static struct frt_onnx_model *model_of(struct frt_onnx_graph *g, int y)
{
    struct frt_onnx_model *model = NULL;
    struct frt_error err = {0};
    uint8_t *bytes = NULL;
    size_t size = 0;
    frt_onnx_output(g, y, "y");
    if (frt_onnx_serialise(g, &bytes, &size, &err) != FRT_OK)
        fail_msg("%s", err.text);
    frt_onnx_free(g);
    assert_int_equal(frt_onnx_model_parse(bytes, size, &model, NULL), FRT_OK);
    frt_free(bytes);
    return model;
}

static struct frt_onnx_graph *graph_new(int *x)
{
    struct frt_onnx_graph *g = NULL;
    assert_int_equal(frt_onnx_new("test", &g, NULL), FRT_OK);
    *x = frt_onnx_input(g, "x", &SHAPE(1, 3, SIDE, SIDE));
    seed = 5;
    return g;
}

/* Everything that can be quantised, in a net like a small embedder. */
static struct frt_onnx_model *embedder(void)
{
    const struct frt_onnx_window half = {.kernel = {2, 2}, .stride = {2, 2}};
    int x;
    struct frt_onnx_graph *g = graph_new(&x);
    x = prelu(g, conv(g, x, "first", CHANNELS, 1, 3), "a1");
    int y = frt_op_unary(g, "Relu", conv(g, x, "depthwise", CHANNELS, CHANNELS, 3));
    y = norm(g, frt_op_binary(g, "Add", x, conv(g, y, "point", CHANNELS, 1, 1)));
    x = frt_op_relu6(g, conv(g, y, "after_norm", CHANNELS, 1, 3));
    x = frt_op_max_pool(g, x, &half);
    x = frt_op_leaky_relu(g, conv(g, x, "leaky", CHANNELS, 1, 1), 0.1F);
    x = frt_op_average_pool(g, x, &half);
    return model_of(g, dense(g, x));
}

/* --------------------------------------------------------------- quantising */

static float *photos;
static struct frt_tensor photo[INPUTS];

static void make_photos(int64_t side)
{
    const size_t each = (size_t)(3 * side * side);
    frt_free(photos);
    photos = frt_alloc_array(INPUTS * each, sizeof *photos);
    assert_non_null(photos);
    seed = 99;
    for (size_t i = 0; i < INPUTS * each; i++)
        photos[i] = draw();
    for (size_t i = 0; i < INPUTS; i++)
        photo[i] = (struct frt_tensor){.data = photos + i * each, .n_dims = 4, .dims = {1, 3, side, side}};
}

static const struct frt_model_spec spec = {.role = FRT_ROLE_EMBEDDER, .dim = DIM};

static enum frt_status quantise(struct frt_onnx_model *model, const struct frt_q_options *options,
                                double mean_cosine, struct frt_quantise_report *report, struct frt_error *err)
{
    const struct frt_compile_inputs inputs = {photo, INPUTS};
    const struct frt_quantise_task task = {
        .backend = backend, .spec = &spec, .inputs = &inputs, .bounds = {.mean_cosine = mean_cosine}};
    *report = (struct frt_quantise_report){0};
    return frt_quantise_with(model, &task, options, report, err);
}

static size_t run(struct frt_onnx_model *model, const struct frt_tensor *in, float *out, size_t room)
{
    struct frt_session *session = NULL;
    struct frt_error err = {0};
    struct frt_outputs outputs;
    uint8_t *bytes = NULL;
    size_t size = 0;
    assert_int_equal(frt_onnx_model_pack(model, &bytes, &size, NULL), FRT_OK);
    if (frt_session_open_bytes(backend, bytes, size, &session, &err) != FRT_OK)
        fail_msg("%s", err.text);
    if (frt_session_run(session, in, 1, &outputs, &err) != FRT_OK)
        fail_msg("%s", err.text);
    const size_t n = frt_tensor_size(&outputs.tensors[0]);
    assert_in_range(n, 1, room);
    memcpy(out, outputs.tensors[0].data, n * sizeof *out);
    frt_outputs_release(&outputs);
    frt_session_free(session);
    frt_free(bytes);
    return n;
}

static double cosine(const float *a, const float *b, size_t n)
{
    double ab = 0, aa = 0, bb = 0;
    for (size_t i = 0; i < n; i++) {
        ab += (double)a[i] * (double)b[i];
        aa += (double)a[i] * (double)a[i];
        bb += (double)b[i] * (double)b[i];
    }
    return ab / sqrt(aa * bb);
}

static uint32_t count(const struct frt_onnx_model *model, const char *op)
{
    struct frt_buf text;
    uint32_t n = 0;
    frt_buf_init(&text, 1 << 20);
    assert_int_equal(frt_onnx_model_dump(model, &text), FRT_OK);
    for (const char *at = text.data; (at = strstr(at, op)) != NULL; at++)
        n++;
    frt_buf_deinit(&text);
    return n;
}

static void a_net_in_eight_bits(void **state)
{
    float a[DIM], b[DIM];
    struct frt_quantise_report report;
    struct frt_error err = {0};
    (void)state;
    if (backend == NULL)
        skip();
    make_photos(SIDE);
    for (unsigned bits = 7; bits <= 8; bits++) {
        struct frt_onnx_model *before = embedder(), *after = embedder();
        const struct frt_q_options options = {.weight_bits = bits, .method = -1, .any_speed = true};
        if (quantise(after, &options, 0.9, &report, &err) != FRT_OK)
            fail_msg("%s", err.text);
        print_message("%s\n", report.text);
        assert_int_equal(report.quantised,
                         7); /* five convolutions, the normalisation as a sixth, the dense layer */
        assert_int_equal(report.kept, 0);
        const uint32_t narrow = count(after, "QLinearNarrowConv("); /* where there are kernels for it */
        assert_in_range(narrow, 0, 1);
        assert_int_equal(count(after, "QLinearConv("), 6 - narrow);
        assert_int_equal(count(after, "QLinearPRelu("), 2);
        assert_int_equal(count(after, "QLinearAdd("), 1);
        assert_int_equal(count(after, "NhwcMaxPool("), 1);
        assert_int_equal(count(after, "QLinearAveragePool("), 1);
        assert_int_equal(count(after, "QGemm("), 1);
        assert_int_equal(count(after, "= QuantizeLinear("), 1); /* bytes all the way */
        assert_int_equal(count(after, "= Relu(") + count(after, "= Clip("), 0);
        for (size_t i = 0; i < INPUTS; i++) {
            assert_int_equal(run(before, &photo[i], a, DIM), DIM);
            assert_int_equal(run(after, &photo[i], b, DIM), DIM);
            if (cosine(a, b, DIM) < (bits == 8 ? 0.998 : 0.995))
                fail_msg("cosine %g with %u bits", cosine(a, b, DIM), bits);
        }
        frt_onnx_model_free(before);
        frt_onnx_model_free(after);
    }
}

/* Narrow groups, with a PReLU that goes into them, one that two read and a relu; where there are no kernels for
 * them, groups of two stay in floats. */
static void narrow_groups(void **state)
{
    float a[DIM], b[DIM];
    struct frt_quantise_report report;
    struct frt_error err = {0};
    struct frt_onnx_model *models[2] = {NULL, NULL};
    const struct frt_q_options options = {.weight_bits = 7, .method = FRT_RANGE_MSE, .any_speed = true};
    (void)state;
    if (backend == NULL)
        skip();
    make_photos(SIDE);
    for (int i = 0; i < 2; i++) {
        const struct frt_onnx_window half = {
            .kernel = {3, 3}, .stride = {2, 2}, .padding = FRT_ONNX_EXPLICIT, .pads = {1, 1, 1, 1}};
        int x;
        struct frt_onnx_graph *g = graph_new(&x);
        x = prelu(g, conv(g, x, "first", CHANNELS, 1, 3), "a1");
        x = prelu(g, conv(g, x, "twos", CHANNELS, CHANNELS / 2, 3), "a2");
        int y = conv(g, x, "depthwise", CHANNELS, CHANNELS, 3);
        y = frt_op_binary(g, "Add", y, prelu(g, y, "a3")); /* read by both */
        x = frt_op_binary(g, "Add", x, y);
        const int w = weights(g, "halving", SHAPE(CHANNELS, 1, 3, 3), 0.6F);
        x = frt_op_leaky_relu(g, frt_op_conv(g, x, w, FRT_ONNX_NO_BIAS, CHANNELS, &half), 0.2F);
        x = frt_op_unary(g, "Relu", conv(g, x, "last", CHANNELS, CHANNELS, 3));
        models[i] = model_of(g, dense(g, x));
    }
    const bool kernels = frt_q_is_narrow(models[1], 2);
    assert_false(frt_q_is_narrow(models[1], 0));
    if (quantise(models[1], &options, 0.9, &report, &err) != FRT_OK)
        fail_msg("%s", err.text);
    print_message("%s\n", report.text);
    assert_int_equal(count(models[1], "QLinearNarrowConv("), kernels ? 4 : 0);
    assert_int_equal(count(models[1], "QLinearConv("), kernels ? 1 : 4);
    assert_int_equal(count(models[1], "QLinearPRelu("), kernels ? 2 : 3);
    for (size_t i = 0; i < INPUTS; i++) {
        assert_int_equal(run(models[0], &photo[i], a, DIM), DIM);
        assert_int_equal(run(models[1], &photo[i], b, DIM), DIM);
        if (cosine(a, b, DIM) < 0.998)
            fail_msg("cosine %g", cosine(a, b, DIM));
    }
    frt_onnx_model_free(models[0]);
    frt_onnx_model_free(models[1]);
}

/* A bound that eight bits cannot hold everywhere: layers come back, and what is left holds it. */
static void layers_come_back(void **state)
{
    float a[DIM], b[DIM];
    struct frt_quantise_report all, some;
    struct frt_error err = {0};
    const struct frt_q_options options = {.method = FRT_RANGE_MSE, .any_speed = true};
    double sum = 0;
    (void)state;
    if (backend == NULL)
        skip();
    make_photos(SIDE);
    struct frt_onnx_model *before = embedder(), *after = embedder();
    if (quantise(after, &options, 0.9, &all, &err) != FRT_OK)
        fail_msg("%s", err.text);
    for (size_t i = 0; i < INPUTS; i++) {
        (void)run(before, &photo[i], a, DIM);
        (void)run(after, &photo[i], b, DIM);
        sum += (1 - cosine(a, b, DIM)) / INPUTS;
    }
    frt_onnx_model_free(after);
    after = embedder();
    const double allowed = sum / 2;
    if (quantise(after, &options, 1 - allowed, &some, &err) != FRT_OK)
        fail_msg("%s", err.text);
    print_message("%s\n", some.text);
    assert_in_range(some.quantised, 1, all.quantised - 1);
    assert_int_equal(some.quantised + some.kept, all.quantised + all.kept);
    double mean = 0;
    for (size_t i = 0; i < INPUTS; i++) {
        (void)run(before, &photo[i], a, DIM);
        (void)run(after, &photo[i], b, DIM);
        mean += (1 - cosine(a, b, DIM)) / INPUTS;
    }
    assert_true(mean <= allowed);
    frt_onnx_model_free(after);
    /* one that nothing holds but floats */
    after = embedder();
    if (quantise(after, &options, 1 - 1e-9, &some, &err) != FRT_OK)
        fail_msg("%s", err.text);
    assert_int_equal(some.quantised, 0);
    assert_int_equal(count(after, "QLinear"), 0);
    frt_onnx_model_free(after);
    frt_onnx_model_free(before);
}

/* Each channel's weights to half a step of its own, whatever the others' size. */
static void weights_have_a_scale_a_channel(void **state)
{
    static const int most[] = {63, 127};
    struct frt_quantise_report report;
    struct frt_error err = {0};
    (void)state;
    if (backend == NULL)
        skip();
    make_photos(SIDE);
    for (unsigned bits = 7; bits <= 8; bits++) {
        int x, value = FRT_ONNX_NONE;
        float kept[CHANNELS * 3];
        struct frt_onnx_graph *g = graph_new(&x);
        float *w = frt_onnx_const_space(g, "w", &SHAPE(CHANNELS, 3, 1, 1), &value);
        for (int i = 0; i < CHANNELS * 3; i++)
            kept[i] = w[i] = draw() * exp2f((float)(i / 3) - 16); /* 2^-16 to 2^15 */
        const struct frt_onnx_window window = {0};
        struct frt_onnx_model *model = model_of(g, frt_op_conv(g, x, value, FRT_ONNX_NO_BIAS, 1, &window));
        const struct frt_q_options options = {
            .weight_bits = bits, .method = FRT_RANGE_MIN_MAX, .any_speed = true};
        if (quantise(model, &options, 0.5, &report, &err) != FRT_OK)
            fail_msg("%s", err.text);
        assert_int_equal(report.quantised, 1);
        struct frt_onnx_tensor q, scale;
        assert_true(frt_onnx_model_tensor(model, "y/frt_w", &q) && q.type == FRT_ONNX_I8);
        assert_true(frt_onnx_model_tensor(model, "y/frt_ws", &scale) && scale.type == FRT_ONNX_F32);
        assert_int_equal(frt_onnx_tensor_count(&scale), CHANNELS);
        for (int c = 0; c < CHANNELS; c++) {
            const float step = ((const float *)scale.data)[c];
            int largest = 0;
            for (int i = c * 3; i < c * 3 + 3; i++) {
                const int8_t byte = ((const int8_t *)q.data)[i];
                largest = abs(byte) > largest ? abs(byte) : largest;
                assert_true(fabsf((float)byte * step - kept[i]) <= 0.501F * step);
            }
            assert_int_equal(largest, most[bits - 7]);
        }
        frt_onnx_model_free(model);
    }
}

/* ------------------------------------------------------------ left alone */

static void assert_left_alone(struct frt_onnx_model *model)
{
    struct frt_quantise_report report;
    struct frt_error err = {0};
    const struct frt_q_options options = {.method = FRT_RANGE_MSE, .any_speed = true};
    uint8_t *bytes[2] = {NULL, NULL};
    size_t size[2];
    assert_int_equal(frt_onnx_model_pack(model, &bytes[0], &size[0], NULL), FRT_OK);
    if (quantise(model, &options, 0.5, &report, &err) != FRT_OK)
        fail_msg("%s", err.text);
    assert_int_equal(report.quantised, 0);
    assert_non_null(strstr(report.text, "not quantised"));
    assert_int_equal(frt_onnx_model_pack(model, &bytes[1], &size[1], NULL), FRT_OK);
    assert_int_equal(size[0], size[1]);
    assert_memory_equal(bytes[0], bytes[1], size[0]);
    frt_free(bytes[0]);
    frt_free(bytes[1]);
    frt_onnx_model_free(model);
}

static void odd_graphs_stay(void **state)
{
    int x;
    (void)state;
    if (backend == NULL)
        skip();
    make_photos(SIDE);
    struct frt_onnx_model *old = embedder(); /* operators from before there were bytes */
    assert_true(frt_onnx_model_set_opset(old, 9));
    assert_left_alone(old);

    struct frt_onnx_graph *g = graph_new(&x); /* a second input */
    const int other = frt_onnx_input(g, "z", &SHAPE(1, CHANNELS, SIDE, SIDE));
    assert_left_alone(model_of(g, frt_op_binary(g, "Add", conv(g, x, "w", CHANNELS, 1, 3), other)));

    g = graph_new(&x); /* groups of one in, two out */
    assert_left_alone(model_of(g, conv(g, x, "w", 6, 3, 3)));

    g = graph_new(&x); /* weights that are computed */
    const int w = frt_op_unary(g, "Exp", weights(g, "w", SHAPE(8, 3, 1, 1), 1));
    const struct frt_onnx_window window = {0};
    assert_left_alone(model_of(g, frt_op_conv(g, x, w, FRT_ONNX_NO_BIAS, 1, &window)));

    g = graph_new(&x); /* values that are no numbers: what they do is not known */
    const float bad = NAN;
    const int nan = frt_onnx_const_f32(g, "nan", &SHAPE(1, 1, 1, 1), &bad);
    assert_left_alone(model_of(g, conv(g, frt_op_binary(g, "Add", x, nan), "w", CHANNELS, 1, 3)));

    g = graph_new(&x); /* nothing to quantise */
    assert_left_alone(model_of(g, frt_op_unary(g, "Sigmoid", x)));
}

static bool at_once(void *arg)
{
    (void)arg;
    return true;
}

static void it_can_be_stopped(void **state)
{
    struct frt_quantise_report report = {0};
    struct frt_error err = {0};
    (void)state;
    if (backend == NULL)
        skip();
    make_photos(SIDE);
    const struct frt_compile_inputs inputs = {photo, INPUTS}, none = {photo, 0};
    struct frt_quantise_task task = {
        .backend = backend, .spec = &spec, .inputs = &inputs, .cancelled = at_once};
    struct frt_onnx_model *model = embedder();
    assert_int_equal(frt_quantise(model, &task, &report, &err), FRT_ECANCELLED);
    task.inputs = &none;
    assert_int_equal(frt_quantise(model, &task, &report, &err), FRT_EINVAL);
    frt_onnx_model_free(model);
}

/* Plan and emission alone, without the runtime: every allocation may fail. */
static void lack_of_memory(void **state)
{
    struct frt_onnx_model *from = embedder();
    uint8_t *bytes = NULL;
    size_t size = 0;
    (void)state;
    assert_int_equal(frt_onnx_model_pack(from, &bytes, &size, NULL), FRT_OK);
    frt_onnx_model_free(from);
    for (int64_t n = 0;; n++) {
        struct frt_onnx_model *model = NULL;
        struct frt_q_plan *plan = NULL;
        assert_int_equal(frt_onnx_model_parse(bytes, size, &model, NULL), FRT_OK);
        frt_mem_fail_after(n);
        enum frt_status status = frt_q_plan_new(model, &plan, NULL);
        if (status == FRT_OK) {
            for (uint32_t i = 0; i < plan->n_values; i++) {
                plan->values[i].scale = 0.05F;
                plan->values[i].shape = SHAPE(1, CHANNELS, SIDE, SIDE);
            }
            frt_q_plan_settle(plan);
            status = frt_q_emit(model, plan, 8, NULL);
        }
        const bool all = frt_mem_asked() <= n;
        frt_mem_fail_after(-1);
        frt_q_plan_free(plan);
        frt_onnx_model_free(model);
        if (status == FRT_OK) {
            assert_true(all);
            break;
        }
        assert_true(status == FRT_ENOMEM || status == FRT_EBAD_MODEL);
    }
    frt_free(bytes);
}

/* -------------------------------------------------------------- real model */

static void a_real_embedder(void **state)
{
    static float a[512], b[512];
    static const struct frt_model_spec real = {.role = FRT_ROLE_EMBEDDER, .dim = 512};
    const char *assets = getenv("FRT_TEST_ASSETS");
    char path[1024];
    const void *bytes = NULL;
    size_t size = 0;
    struct frt_onnx_model *before = NULL, *after = NULL;
    struct frt_pass_counts counts = {0};
    struct frt_quantise_report report = {0};
    struct frt_error err = {0};
    (void)state;
    if (backend == NULL)
        skip();
    (void)snprintf(path, sizeof path, "%s/models/recognize/w600k_mbf_dequant_fp32.onnx",
                   assets != NULL ? assets : "../shared/assets");
    if (frt_model_file_map(path, 1U << 30, &bytes, &size, NULL) != FRT_OK) {
        print_message("SKIP: %s is not there (FRT_TEST_ASSETS)\n", path);
        skip();
    }
    make_photos(REAL_SIDE);
    const struct frt_compile_inputs inputs = {photo, 4};
    const struct frt_quantise_task task = {
        .backend = backend, .spec = &real, .inputs = &inputs, .bounds = {.mean_cosine = 0.9}};
    const struct frt_q_options options = {.method = FRT_RANGE_MSE, .any_speed = true, .weight_bits = 7};
    assert_int_equal(frt_onnx_model_parse(bytes, size, &before, NULL), FRT_OK);
    assert_int_equal(frt_onnx_model_parse(bytes, size, &after, NULL), FRT_OK);
    assert_int_equal(frt_passes_run(after, FRT_PASS_PLAIN, &counts, NULL), FRT_OK);
    if (frt_quantise_with(after, &task, &options, &report, &err) != FRT_OK)
        fail_msg("%s", err.text);
    print_message("%s\n", report.text);
    assert_in_range(report.quantised, 40, 50);
    for (size_t i = 0; i < 4; i++) { /* noise, not faces: what faces give is in the design's tables */
        assert_int_equal(run(before, &photo[i], a, 512), 512);
        assert_int_equal(run(after, &photo[i], b, 512), 512);
        assert_true(cosine(a, b, 512) > 0.9);
    }
    frt_onnx_model_free(before);
    frt_onnx_model_free(after);
    frt_model_file_unmap(bytes, size);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_net_in_eight_bits), cmocka_unit_test(narrow_groups),
        cmocka_unit_test(layers_come_back),    cmocka_unit_test(weights_have_a_scale_a_channel),
        cmocka_unit_test(odd_graphs_stay),     cmocka_unit_test(it_can_be_stopped),
        cmocka_unit_test(lack_of_memory),      cmocka_unit_test(a_real_embedder),
    };
    struct frt_error err = {0};
    if (frt_backend_onnxruntime_new(&(struct frt_onnxruntime_options){.threads = 1}, &backend, &err) != FRT_OK)
        print_message("SKIP: %s\n", err.text);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    frt_free(photos);
    if (backend == NULL)
        return failed != 0 ? failed : SKIPPED;
    frt_backend_free(backend);
    return failed;
}
