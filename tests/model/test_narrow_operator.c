/*
 * Narrow convolutions as an operator of the runtime's graphs: beside QLinearConv over the same bytes, in wide
 * and in narrow sessions, equal to a step; what does not fit is refused by the session or by the run.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <math.h>
#include <string.h>

#include "core/mem.h"
#include "infer/infer.h"
#include "model/onnx_model.h"

#define SHAPE(...)                                                                                             \
    ((struct frt_onnx_shape){.n_dims = sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t),                     \
                             .dims = {__VA_ARGS__}})
enum { MOST = 70, SKIPPED = 77, MOST_VALUES = 2 * 48 * 48 * MOST };
#define Y_SCALE 0.05F

static struct frt_backend *backend;
static float input[MOST_VALUES];
static uint32_t seed;

static uint32_t draw(void)
{
    seed = seed * 1664525U + 1013904223U;
    return seed >> 8;
}

/* What a graph of the operator is made of; a test spoils one part. */
struct parts {
    struct frt_onnx_shape x, w;
    int64_t n_scales, n_offsets, n_slopes, n_x_scales, groups;
    int64_t strides[2], pads[4];
    uint32_t n_pads, n_strides;
    float x_scale, y_scale, slope;
    enum frt_onnx_type w_type;
    bool computed_scale, beside; /* with QLinearConv as the second output */
};

static struct parts parts_new(int64_t channels, int64_t group, int64_t height, int64_t width)
{
    return (struct parts){.x = SHAPE(2, height, width, channels),
                          .w = SHAPE(channels, group, 3, 3),
                          .n_scales = channels,
                          .n_offsets = channels,
                          .n_slopes = 1,
                          .n_x_scales = 1,
                          .groups = channels / group,
                          .strides = {1, 1},
                          .pads = {1, 1, 1, 1},
                          .n_pads = 4,
                          .n_strides = 2,
                          .x_scale = 0.02F,
                          .y_scale = Y_SCALE,
                          .slope = 1,
                          .w_type = FRT_ONNX_I8};
}

static void add(struct frt_onnx_model *model, const char *name, enum frt_onnx_type type,
                struct frt_onnx_shape shape, const void *data)
{
    const struct frt_onnx_tensor tensor = {.type = type,
                                           .shape = shape,
                                           .data = data,
                                           .bytes =
                                               (size_t)frt_onnx_shape_size(&shape) * frt_onnx_type_bytes(type)};
    assert_int_equal(frt_onnx_model_add_tensor(model, name, &tensor, NULL), FRT_OK);
}

static void add_all(struct frt_onnx_model *model, const struct parts *p)
{
    static int8_t w[4 * MOST * 25], w_zeros[MOST + 1];
    static const uint8_t x_zero = 120, y_zero = 100;
    float scales[MOST + 1], slopes[MOST + 1], x_scales[2] = {p->x_scale, p->x_scale};
    int32_t offsets[MOST + 1];
    for (size_t i = 0; i < sizeof w; i++)
        w[i] = (int8_t)(draw() % 255 - 127);
    for (int c = 0; c <= MOST; c++) {
        scales[c] = 0.002F + (float)(draw() % 100) * 1e-4F;
        offsets[c] = (int32_t)(draw() % 4000) - 2000;
        slopes[c] = p->slope;
    }
    add(model, "w", p->w_type, p->w, w);
    add(model, "ws", FRT_ONNX_F32, SHAPE(p->n_scales), scales);
    add(model, "wz", FRT_ONNX_I8, SHAPE(p->n_scales), w_zeros);
    add(model, "b", FRT_ONNX_I32, SHAPE(p->n_offsets), offsets);
    add(model, "a", FRT_ONNX_F32, SHAPE(p->n_slopes), slopes);
    add(model, "xs", FRT_ONNX_F32, (struct frt_onnx_shape){0}, x_scales);
    add(model, "xss", FRT_ONNX_F32, SHAPE(p->n_x_scales), x_scales);
    add(model, "ys", FRT_ONNX_F32, (struct frt_onnx_shape){0}, &p->y_scale);
    add(model, "ds", FRT_ONNX_F32, (struct frt_onnx_shape){0}, &(const float){Y_SCALE});
    add(model, "xz", FRT_ONNX_U8, (struct frt_onnx_shape){0}, &x_zero);
    add(model, "yz", FRT_ONNX_U8, (struct frt_onnx_shape){0}, &y_zero);
}

static struct frt_onnx_attribute ints(const char *name, const int64_t *values, uint32_t n)
{
    struct frt_onnx_attribute a = {.name = name, .kind = FRT_ONNX_INTS, .n_ints = n};
    memcpy(a.ints, values, n * sizeof *values);
    return a;
}

/* x ─ quantise ─┬─ QLinearNarrowConv ─ dequantise ─ y
 *               └─ QLinearConv ─ dequantise ─ z */
static void make(const struct parts *p, uint8_t **bytes, size_t *size)
{
    struct frt_onnx_graph *g = NULL;
    struct frt_onnx_model *model = NULL;
    const char *scale = p->computed_scale ? "largest" : p->n_x_scales == 1 ? "xs" : "xss";
    assert_int_equal(frt_onnx_new("test", &g, NULL), FRT_OK);
    const int x = frt_onnx_input(g, "x", &p->x);
    for (int i = 0; i < (p->beside ? 2 : 1); i++) {
        const struct frt_onnx_node identity = {
            .op = "Identity", .n_inputs = 1, .inputs = {x}, .outputs = {p->x}};
        frt_onnx_output(g, frt_onnx_node_add(g, &identity), i == 0 ? "y" : "z");
    }
    assert_int_equal(frt_onnx_serialise(g, bytes, size, NULL), FRT_OK);
    frt_onnx_free(g);
    assert_int_equal(frt_onnx_model_parse(*bytes, *size, &model, NULL), FRT_OK);
    frt_free(*bytes);
    while (frt_onnx_model_nodes(model) > 0)
        frt_onnx_model_remove(model, 0);
    add_all(model, p);
    const struct frt_onnx_insert nodes[] = {
        {.op = "QuantizeLinear", .n_inputs = 3, .n_outputs = 1, .inputs = {"x", "xs", "xz"}, .outputs = {"xq"}},
        {.op = "ReduceMax",
         .n_inputs = 1,
         .n_outputs = 1,
         .inputs = {"x"},
         .outputs = {"largest"},
         .n_attributes = 1,
         .attributes = {{.name = "keepdims", .kind = FRT_ONNX_INT, .i = 0}}},
        {.op = "QLinearNarrowConv",
         .domain = "frt",
         .n_inputs = 9,
         .n_outputs = 1,
         .inputs = {"xq", scale, "xz", "w", "ws", "ys", "yz", "b", "a"},
         .outputs = {"yq"},
         .n_attributes = p->n_pads > 0 ? 2 : 1,
         .attributes = {ints("strides", p->strides, p->n_strides), ints("pads", p->pads, p->n_pads)}},
        {.op = "DequantizeLinear",
         .n_inputs = 3,
         .n_outputs = 1,
         .inputs = {"yq", "ds", "yz"},
         .outputs = {"y"}},
        {.op = "QLinearConv",
         .domain = "com.microsoft",
         .n_inputs = 9,
         .n_outputs = 1,
         .inputs = {"xq", "xs", "xz", "w", "ws", "wz", "ys", "yz", "b"},
         .outputs = {"zq"},
         .n_attributes = 4,
         .attributes = {ints("strides", p->strides, 2),
                        ints("pads", p->pads, 4),
                        {.name = "group", .kind = FRT_ONNX_INT, .i = p->groups},
                        {.name = "channels_last", .kind = FRT_ONNX_INT, .i = 1}}},
        {.op = "DequantizeLinear",
         .n_inputs = 3,
         .n_outputs = 1,
         .inputs = {"zq", "ds", "yz"},
         .outputs = {"z"}}};
    for (uint32_t i = 0; i < (p->beside ? 6U : 4U); i++)
        assert_int_equal(frt_onnx_model_insert(model, i, &nodes[i], NULL), FRT_OK);
    assert_int_equal(frt_onnx_model_use_domain(model, "frt", 1, NULL), FRT_OK);
    assert_int_equal(frt_onnx_model_use_domain(model, "com.microsoft", 1, NULL), FRT_OK);
    frt_onnx_model_forget_shapes(model);
    assert_int_equal(frt_onnx_model_pack(model, bytes, size, NULL), FRT_OK);
    frt_onnx_model_free(model);
}

static struct frt_tensor tensor_of(const struct parts *p)
{
    struct frt_tensor in = {.data = input, .n_dims = p->x.n_dims};
    memcpy(in.dims, p->x.dims, p->x.n_dims * sizeof *in.dims);
    assert_true(frt_tensor_size(&in) <= MOST_VALUES);
    return in;
}

static void assert_equal_to_the_runtimes(const struct parts *p)
{
    const struct frt_tensor in = tensor_of(p);
    struct frt_session *session = NULL;
    struct frt_error err = {0};
    uint8_t *bytes = NULL;
    size_t size = 0;
    make(p, &bytes, &size);
    if (frt_session_open_bytes(backend, bytes, size, &session, &err) != FRT_OK)
        fail_msg("%s", err.text);
    for (int width = FRT_INFER_WIDE; width <= FRT_INFER_NARROW; width++) {
        struct frt_outputs out;
        size_t inside = 0;
        frt_infer_width_set((enum frt_infer_width)width);
        if (frt_session_run(session, &in, 1, &out, &err) != FRT_OK)
            fail_msg("%s", err.text);
        const struct frt_tensor *y = &out.tensors[0], *z = &out.tensors[1];
        assert_int_equal(y->n_dims, 4);
        assert_memory_equal(y->dims, z->dims, 4 * sizeof *y->dims);
        for (size_t i = 0; i < frt_tensor_size(y); i++) {
            if (!(fabsf(y->data[i] - z->data[i]) < 1.01F * Y_SCALE))
                fail_msg("%zu: %g, not %g", i, (double)y->data[i], (double)z->data[i]);
            inside += fabsf(y->data[i]) < 90 * Y_SCALE;
        }
        assert_true(inside > frt_tensor_size(y) / 4); /* not all at the ends */
        frt_outputs_release(&out);
    }
    frt_infer_width_set(FRT_INFER_WIDE);
    frt_session_free(session);
    frt_free(bytes);
}

static void as_the_runtime_does(void **state)
{
    static const int64_t channels[] = {2, 16, 64, 70};
    (void)state;
    if (backend == NULL)
        skip();
    seed = 7;
    for (size_t i = 0; i < MOST_VALUES; i++)
        input[i] = (float)(draw() % 4000) * 1e-3F - 2;
    for (int64_t i = 0; i < 4 * 2 * 2 * 2; i++) {
        struct parts p =
            parts_new(channels[i % 4], 1 + i / 4 % 2, i / 8 % 2 == 0 ? 7 : 48, 11 + i / 8 % 2 * 37);
        p.beside = true;
        p.strides[0] = p.strides[1] = 1 + i / 16;
        p.pads[2] = i % 2;
        assert_equal_to_the_runtimes(&p);
    }
}

/* The session does not open, or the run fails and says who. */
static void assert_refused(const struct parts *p, int which)
{
    const struct frt_tensor in = tensor_of(p);
    struct frt_session *session = NULL;
    struct frt_outputs out;
    struct frt_error err = {0};
    uint8_t *bytes = NULL;
    size_t size = 0;
    make(p, &bytes, &size);
    if (frt_session_open_bytes(backend, bytes, size, &session, &err) == FRT_OK) {
        if (frt_session_run(session, &in, 1, &out, &err) != FRT_ERUNTIME)
            fail_msg("%d was not refused", which);
        frt_session_free(session);
    }
    if (strstr(err.text, "QLinearNarrowConv") == NULL)
        fail_msg("%d: %s", which, err.text);
    frt_free(bytes);
}

static void spoil_weights(struct parts *p, int which)
{
    switch (which) {
    case 0:
        p->w = SHAPE(16, 3, 3, 3);
        break;
    case 1:
        p->w = SHAPE(16, 1, 5, 5);
        break;
    case 2:
        p->w = SHAPE(16, 9);
        break;
    case 3:
        p->w = SHAPE(16, 2, 3, 3), p->x = SHAPE(1, 7, 7, 32);
        break;
    case 4:
        p->w = SHAPE(15, 1, 3, 3);
        break;
    case 5:
        p->w = SHAPE(15, 2, 3, 3), p->n_scales = p->n_offsets = 15;
        break; /* an odd one */
    case 6:
        p->n_scales = 1;
        break;
    case 7:
        p->n_offsets = 15;
        break;
    case 8:
        p->n_slopes = 2;
        break;
    case 9:
        p->n_x_scales = 2;
        break;
    case 10:
        p->w_type = FRT_ONNX_U8;
        break;
    case 11:
        p->computed_scale = true;
        break;
    default:
        fail();
    }
}

static void spoil_geometry(struct parts *p, int which)
{
    static const float nan = NAN;
    switch (which) {
    case 0:
        p->x = SHAPE(7, 7, 16);
        break;
    case 1:
        p->x = SHAPE(1, 1, 7, 7, 16);
        break;
    case 2:
        p->x = SHAPE(1, 7, 7, 15);
        break;
    case 3:
        p->x = SHAPE(1, 7, 7, 17);
        break;
    case 4:
        p->n_pads = 3;
        break;
    case 5:
        p->n_pads = 0;
        break;
    case 6:
        p->pads[0] = -1;
        break;
    case 7:
        p->pads[3] = 3;
        break;
    case 8:
        p->pads[1] = INT64_MAX;
        break;
    case 9:
        p->strides[0] = 0;
        break;
    case 10:
        p->strides[1] = 3;
        break;
    case 11:
        p->strides[0] = INT64_MIN;
        break;
    case 12:
        p->n_strides = 1;
        break;
    case 13:
        p->x = SHAPE(1, 1, 1, 16), memset(p->pads, 0, sizeof p->pads);
        break;
    case 14:
        p->y_scale = 0;
        break;
    case 15:
        p->x_scale = nan;
        break;
    case 16:
        p->slope = INFINITY;
        break;
    default:
        fail();
    }
}

static void what_does_not_fit(void **state)
{
    (void)state;
    if (backend == NULL)
        skip();
    for (int i = 0; i < 12 + 17; i++) {
        struct parts p = parts_new(16, 1, 7, 7);
        if (i < 12)
            spoil_weights(&p, i);
        else
            spoil_geometry(&p, i - 12);
        assert_refused(&p, i);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(as_the_runtime_does),
        cmocka_unit_test(what_does_not_fit),
    };
    struct frt_error err = {0};
    const struct frt_onnxruntime_options options = {.threads = 2, .narrow_too = true};
    if (frt_backend_onnxruntime_new(&options, &backend, &err) != FRT_OK)
        print_message("SKIP: %s\n", err.text);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    if (backend == NULL)
        return failed != 0 ? failed : SKIPPED;
    frt_backend_free(backend);
    return failed;
}
