/*
 * Shape inference against the runtime: for each operator a small graph, whose answer must be of the shape that
 * was inferred, dimensions that are not known aside; and what must stay unknown. Real detectors and embedders
 * where FRT_TEST_ASSETS (default ../shared/assets) has them: every output.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/mem.h"
#include "model/model_file.h"
#include "model/onnx_model.h"
#include "model/pass_fixtures.h"
#include "model/shape_inference.h"

enum { SKIPPED = 77, MAX_ATTRIBUTES = 3 };

#define INTS(key, ...)                                                                                         \
    {                                                                                                          \
        .name = (key), .kind = FRT_ONNX_INTS, .n_ints = sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t),    \
        .ints = {                                                                                              \
            __VA_ARGS__                                                                                        \
        }                                                                                                      \
    }
#define INT(key, value)                                                                                        \
    {                                                                                                          \
        .name = (key), .kind = FRT_ONNX_INT, .i = (value)                                                      \
    }

/* y = op(x, constants…) for x of [?,3,12,12]. */
struct one {
    const char *op;
    struct frt_onnx_attribute attributes[MAX_ATTRIBUTES];
    const char *constants[4]; /* "f" f32[8,3,3,3], "c" f32[3,1,1], "x" x again, else i64 "1,2" */
    const char *shape;        /* of y, as text; "" = must not be known */
};

static const struct one cases[] = {
    {"Relu", {{0}}, {NULL}, "?,3,12,12"},
    {"Add", {{0}}, {"c"}, "?,3,12,12"},
    {"Conv", {{0}}, {"f"}, "?,8,10,10"},
    {"Conv", {INTS("pads", 1, 1, 1, 1), INTS("strides", 2, 2)}, {"f"}, "?,8,6,6"},
    {"Conv", {INTS("dilations", 2, 3), INTS("pads", 0, 1, 2, 3)}, {"f"}, "?,8,10,10"},
    {"MaxPool", {INTS("kernel_shape", 3, 3), INTS("strides", 2, 2)}, {NULL}, "?,3,5,5"},
    {"MaxPool", {INTS("kernel_shape", 3, 3), INTS("strides", 2, 2), INT("ceil_mode", 1)}, {NULL}, "?,3,6,6"},
    {"MaxPool", {INTS("kernel_shape", 2, 2), INTS("strides", 5, 5), INT("ceil_mode", 1)}, {NULL}, "?,3,3,3"},
    {"AveragePool", {INTS("kernel_shape", 2, 4)}, {NULL}, "?,3,11,9"},
    {"GlobalAveragePool", {{0}}, {NULL}, "?,3,1,1"},
    {"Flatten", {INT("axis", 2)}, {NULL}, "?,144"},
    {"Flatten", {INT("axis", -1)}, {NULL}, "?,12"},
    {"Transpose", {INTS("perm", 0, 2, 3, 1)}, {NULL}, "?,12,12,3"},
    {"Transpose", {{0}}, {NULL}, "12,12,3,?"},
    {"Reshape", {{0}}, {"0,-1"}, "?,?"}, /* the batch is not known, so neither is what is left */
    {"Reshape", {{0}}, {"0,36,12"}, "?,36,12"},
    {"Softmax", {INT("axis", 1)}, {NULL}, "?,3,12,12"},
    {"Slice", {{0}}, {"1,-7", "3,100", "1,3"}, "?,2,12,7"},
    {"Slice", {{0}}, {"10,11", "-100,2", "2,3", "-3,-4"}, "?,3,4,3"},
    {"Unsqueeze", {{0}}, {"0,-1"}, "1,?,3,12,12,1"},
    {"Squeeze", {{0}}, {NULL}, ""}, /* the batch may be 1 */
    {"Gather", {INT("axis", 2)}, {"1,5,7"}, "?,3,3,12"},
    {"Shape", {{0}}, {NULL}, "4"},
    {"ReduceMean", {INTS("axes", 2, 3), INT("keepdims", 0)}, {NULL}, "?,3"},
    {"ReduceMean", {INTS("axes", -1)}, {NULL}, "?,3,12,1"},
    {"Pad", {{0}}, {"0,0,1,2,0,0,3,4"}, "?,3,16,18"},
    {"Concat", {INT("axis", 1)}, {"x"}, "?,6,12,12"},
};

/* --------------------------------------------------------------- the graphs */

static uint32_t numbers_in(const char *text, int64_t *out)
{
    uint32_t n = 0;
    for (const char *at = text; *at != '\0';) {
        char *end;
        out[n++] = strtoll(at, &end, 10);
        at = *end == ',' ? end + 1 : end;
    }
    return n;
}

static int constant(struct frt_onnx_graph *g, int x, const char *what, int number)
{
    char name[16];
    int64_t numbers[8];
    (void)snprintf(name, sizeof name, "k%d", number);
    if (strcmp(what, "x") == 0)
        return x;
    if (strcmp(what, "f") == 0)
        return fixture_weights(g, name, SHAPE(8, 3, 3, 3), 1);
    if (strcmp(what, "c") == 0)
        return fixture_weights(g, name, SHAPE(3, 1, 1), 1);
    const uint32_t n = numbers_in(what, numbers);
    return frt_onnx_const_i64(g, name, n, numbers);
}

static struct fixture_file_bytes file_of(const struct one *one)
{
    int x;
    struct frt_onnx_graph *g = fixture_graph(&x);
    struct frt_onnx_node node = {.op = one->op, .n_inputs = 1, .inputs = {x}, .outputs = {SHAPE(-1)}};
    for (int i = 0; i < 4 && one->constants[i] != NULL; i++)
        node.inputs[node.n_inputs++] = constant(g, x, one->constants[i], i);
    for (int i = 0; i < MAX_ATTRIBUTES && one->attributes[i].name != NULL; i++)
        node.attributes[node.n_attributes++] = one->attributes[i];
    int y = frt_onnx_node_add(g, &node);
    return fixture_file(g, y);
}

static bool infer(const void *bytes, size_t size, const char *value, struct frt_onnx_shape *out)
{
    struct frt_onnx_model *model = NULL;
    struct frt_shapes *shapes = NULL;
    assert_int_equal(frt_onnx_model_parse(bytes, size, &model, NULL), FRT_OK);
    assert_int_equal(frt_shapes_infer(model, &shapes, NULL), FRT_OK);
    frt_onnx_model_free(model); /* the shapes borrow nothing of it */
    const bool known = frt_shapes_get(shapes, value, out);
    frt_shapes_free(shapes);
    return known;
}

static void text_of(const struct frt_onnx_shape *shape, char out[128])
{
    size_t at = 0;
    out[0] = '\0';
    for (uint32_t i = 0; i < shape->n_dims; i++)
        at += (size_t)snprintf(out + at, 128 - at, shape->dims[i] < 0 ? "%s?" : "%s%lld", i > 0 ? "," : "",
                               (long long)shape->dims[i]);
}

/* What the runtime answers has that shape. */
static void assert_runs_to(const struct fixture_file_bytes *file, const struct frt_onnx_shape *shape,
                           const char *op)
{
    struct frt_session *session = NULL;
    struct frt_error err = {0};
    struct frt_outputs outputs;
    static float data[2 * 3 * SIDE * SIDE];
    if (frt_session_open_bytes(fixture_backend, file->bytes, file->size, &session, &err) != FRT_OK)
        fail_msg("%s: %s", op, err.text);
    const struct frt_tensor in = {.data = data, .n_dims = 4, .dims = {2, 3, SIDE, SIDE}};
    if (frt_session_run(session, &in, 1, &outputs, &err) != FRT_OK)
        fail_msg("%s: %s", op, err.text);
    const struct frt_tensor *y = &outputs.tensors[0];
    assert_int_equal(y->n_dims, shape->n_dims);
    for (uint32_t i = 0; i < shape->n_dims; i++)
        if (shape->dims[i] >= 0 && y->dims[i] != shape->dims[i])
            fail_msg("%s: dimension %u is %lld, inferred %lld", op, i, (long long)y->dims[i],
                     (long long)shape->dims[i]);
    frt_outputs_release(&outputs);
    frt_session_free(session);
}

static void each_operator(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct fixture_file_bytes file = file_of(&cases[i]);
        struct frt_onnx_shape shape;
        char text[128] = "";
        const bool known = infer(file.bytes, file.size, "y", &shape);
        if (known)
            text_of(&shape, text);
        if (strcmp(text, cases[i].shape) != 0)
            fail_msg("%s (%zu): inferred '%s', not '%s'", cases[i].op, i, text, cases[i].shape);
        if (known && fixture_backend != NULL && strcmp(cases[i].op, "Shape") != 0) /* its answer is i64 */
            assert_runs_to(&file, &shape, cases[i].op);
        frt_free(file.bytes);
    }
}

static void numbers_are_followed(void **state)
{
    (void)state;
    int x;
    struct frt_onnx_graph *g = fixture_graph(&x);
    static const int64_t two[] = {2}, at[] = {0, 2};
    const struct frt_onnx_node shape = {.op = "Shape", .n_inputs = 1, .inputs = {x}, .outputs = {SHAPE(4)}};
    int sizes = frt_onnx_node_add(g, &shape);
    int index = frt_onnx_const_i64(g, "at", 2, at), factor = frt_onnx_const_i64(g, "two", 1, two);
    const struct frt_onnx_node gather = {
        .op = "Gather", .n_inputs = 2, .inputs = {sizes, index}, .outputs = {SHAPE(2)}};
    int picked = frt_onnx_node_add(g, &gather);
    const struct frt_onnx_node times = {
        .op = "Mul", .n_inputs = 2, .inputs = {picked, factor}, .outputs = {SHAPE(2)}};
    struct fixture_file_bytes file = fixture_file(g, frt_onnx_node_add(g, &times));
    struct frt_onnx_model *model = NULL;
    struct frt_shapes *shapes = NULL;
    int64_t numbers[FRT_SHAPES_MAX_VALUES];
    uint32_t n = 0;
    assert_int_equal(frt_onnx_model_parse(file.bytes, file.size, &model, NULL), FRT_OK);
    assert_int_equal(frt_shapes_infer(model, &shapes, NULL), FRT_OK);
    assert_true(frt_shapes_numbers(shapes, "y", numbers, &n));
    assert_int_equal(n, 2);
    assert_true(numbers[0] == FRT_SHAPES_UNKNOWN); /* twice the batch */
    assert_int_equal(numbers[1], 2 * SIDE);
    assert_false(frt_shapes_numbers(shapes, "x", numbers, &n));
    frt_shapes_free(shapes);
    frt_onnx_model_free(model);
    frt_free(file.bytes);
}

static void what_is_not_known_is_not_guessed(void **state)
{
    (void)state;
    int x;
    struct frt_onnx_graph *g = fixture_graph(&x);
    const struct frt_onnx_node strange = {
        .op = "NonZero", .n_inputs = 1, .inputs = {x}, .outputs = {SHAPE(4, -1)}};
    const struct frt_onnx_node after = {
        .op = "Relu", .n_inputs = 1, .inputs = {frt_onnx_node_add(g, &strange)}, .outputs = {SHAPE(4, -1)}};
    struct fixture_file_bytes file = fixture_file(g, frt_onnx_node_add(g, &after));
    struct frt_onnx_shape shape;
    assert_false(infer(file.bytes, file.size, "y", &shape));
    frt_free(file.bytes);
}

/* Outputs of real graphs, as the runtime answers them for an image of their size or of 128 pixels a side. */
static void real_models(void **state)
{
    static const char *const models[] = {"recognize/w600k_mbf_dequant_fp32",
                                         "recognize/insightface_y1.converted",
                                         "recognize/MobileFace_Identification_V2.converted",
                                         "detect/yunet_n_dynamic",
                                         "detect/scrfd_500m_bnkps",
                                         "detect/scrfd_2.5g_bnkps",
                                         "detect/version-RFB-320",
                                         "detect/RetinaFace_mobile320"};
    const char *assets = getenv("FRT_TEST_ASSETS");
    (void)state;
    for (size_t i = 0; i < sizeof models / sizeof *models; i++) {
        char path[1024];
        const void *bytes = NULL;
        size_t size = 0;
        struct frt_session *session = NULL;
        struct frt_outputs outputs;
        (void)snprintf(path, sizeof path, "%s/models/%s.onnx", assets != NULL ? assets : "../shared/assets",
                       models[i]);
        if (fixture_backend == NULL || frt_model_file_map(path, 1U << 30, &bytes, &size, NULL) != FRT_OK) {
            print_message("SKIP: %s is not there (FRT_TEST_ASSETS)\n", path);
            skip();
        }
        assert_int_equal(frt_session_open(fixture_backend, path, &session, NULL), FRT_OK);
        struct frt_tensor in = {.n_dims = 4};
        for (uint32_t k = 0; k < 4; k++) {
            const int64_t dim = session->info.inputs[0].dims[k];
            in.dims[k] = dim > 0 ? dim : k == 0 ? 1 : 128;
        }
        float *data = frt_alloc_zero(frt_tensor_size(&in), sizeof *data);
        in.data = data;
        assert_int_equal(frt_session_run(session, &in, 1, &outputs, NULL), FRT_OK);
        uint32_t known = 0;
        for (uint32_t k = 0; k < outputs.n; k++) {
            struct frt_onnx_shape shape;
            if (!infer(bytes, size, session->info.outputs[k].name, &shape))
                continue;
            known++;
            assert_int_equal(shape.n_dims, outputs.tensors[k].n_dims);
            for (uint32_t d = 0; d < shape.n_dims; d++)
                if (shape.dims[d] >= 0 && shape.dims[d] != outputs.tensors[k].dims[d])
                    fail_msg("%s, output %u: dimension %u is %lld, inferred %lld", models[i], k, d,
                             (long long)outputs.tensors[k].dims[d], (long long)shape.dims[d]);
        }
        assert_true(known > 0);
        frt_outputs_release(&outputs);
        frt_session_free(session);
        frt_free(data);
        frt_model_file_unmap(bytes, size);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_operator),
        cmocka_unit_test(numbers_are_followed),
        cmocka_unit_test(what_is_not_known_is_not_guessed),
        cmocka_unit_test(real_models),
    };
    struct frt_error err = {0};
    if (frt_backend_onnxruntime_new(&(struct frt_onnxruntime_options){.threads = 1}, &fixture_backend, &err) !=
        FRT_OK)
        print_message("without the runtime shapes are not compared: %s\n", err.text);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    if (fixture_backend == NULL)
        return failed != 0 ? failed : SKIPPED;
    frt_backend_free(fixture_backend);
    return failed;
}
