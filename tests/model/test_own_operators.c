/*
 * Operators of our own within a graph that the runtime runs: a quantised PReLU between bytes, in wide and in
 * narrow sessions, against floats; operands that do not fit are refused by the run, not survived by luck.
 * Outputs of a graph's inside, asked for.
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

enum { PIXELS = 9, CHANNELS = 5, VALUES = PIXELS * CHANNELS, SKIPPED = 77 };
#define X_SCALE 0.02F
#define Y_SCALE 0.015F

static struct frt_backend *backend;

static void add(struct frt_onnx_model *model, const char *name, enum frt_onnx_type type, uint32_t n_dims,
                int64_t n, const void *data)
{
    const struct frt_onnx_tensor tensor = {.type = type,
                                           .shape = {.n_dims = n_dims, .dims = {n}},
                                           .data = data,
                                           .bytes = (size_t)n * frt_onnx_type_bytes(type)};
    assert_int_equal(frt_onnx_model_add_tensor(model, name, &tensor, NULL), FRT_OK);
}

/* x ─ quantise ─ QLinearPRelu ─ dequantise ─ y */
static void make(const float *slopes, int64_t n_slopes, uint8_t **bytes, size_t *size)
{
    const struct frt_onnx_shape shape = {.n_dims = 4, .dims = {1, 3, 3, CHANNELS}};
    const float x_scale = X_SCALE, y_scale = Y_SCALE;
    const uint8_t x_zero = 120, y_zero = 50;
    struct frt_onnx_graph *g = NULL;
    struct frt_onnx_model *model = NULL;
    assert_int_equal(frt_onnx_new("test", &g, NULL), FRT_OK);
    const int x = frt_onnx_input(g, "x", &shape);
    const struct frt_onnx_node identity = {.op = "Identity", .n_inputs = 1, .inputs = {x}, .outputs = {shape}};
    frt_onnx_output(g, frt_onnx_node_add(g, &identity), "y");
    assert_int_equal(frt_onnx_serialise(g, bytes, size, NULL), FRT_OK);
    frt_onnx_free(g);
    assert_int_equal(frt_onnx_model_parse(*bytes, *size, &model, NULL), FRT_OK);
    frt_free(*bytes);
    add(model, "xs", FRT_ONNX_F32, 0, 1, &x_scale);
    add(model, "xz", FRT_ONNX_U8, 0, 1, &x_zero);
    add(model, "ys", FRT_ONNX_F32, 0, 1, &y_scale);
    add(model, "yz", FRT_ONNX_U8, 0, 1, &y_zero);
    add(model, "slopes", FRT_ONNX_F32, 1, n_slopes, slopes);
    frt_onnx_model_remove(model, 0);
    const struct frt_onnx_insert nodes[] = {
        {.op = "QuantizeLinear", .n_inputs = 3, .n_outputs = 1, .inputs = {"x", "xs", "xz"}, .outputs = {"xq"}},
        {.op = "QLinearPRelu",
         .domain = "frt",
         .n_inputs = 6,
         .n_outputs = 1,
         .inputs = {"xq", "xs", "xz", "slopes", "ys", "yz"},
         .outputs = {"yq"}},
        {.op = "DequantizeLinear",
         .n_inputs = 3,
         .n_outputs = 1,
         .inputs = {"yq", "ys", "yz"},
         .outputs = {"y"}}};
    for (uint32_t i = 0; i < 3; i++)
        assert_int_equal(frt_onnx_model_insert(model, i, &nodes[i], NULL), FRT_OK);
    for (int i = 0; i < 2; i++)
        assert_int_equal(frt_onnx_model_use_domain(model, "frt", 1, NULL), FRT_OK);
    assert_int_equal(frt_onnx_model_pack(model, bytes, size, NULL), FRT_OK);
    frt_onnx_model_free(model);
}

static void a_prelu_between_bytes(void **state)
{
    const float slopes[CHANNELS] = {0.25F, -0.5F, 0, 1.5F, 0.1F};
    float x[VALUES];
    uint8_t *bytes = NULL;
    size_t size = 0;
    struct frt_session *session = NULL;
    struct frt_error err = {0};
    (void)state;
    if (backend == NULL)
        skip();
    for (int i = 0; i < VALUES; i++)
        x[i] = (float)((i * 37) % VALUES - VALUES / 2) * 0.09F;
    make(slopes, CHANNELS, &bytes, &size);
    if (frt_session_open_bytes(backend, bytes, size, &session, &err) != FRT_OK)
        fail_msg("%s", err.text);
    for (int width = FRT_INFER_WIDE; width <= FRT_INFER_NARROW; width++) {
        const struct frt_tensor in = {.data = x, .n_dims = 4, .dims = {1, 3, 3, CHANNELS}};
        struct frt_outputs out;
        frt_infer_width_set((enum frt_infer_width)width);
        if (frt_session_run(session, &in, 1, &out, &err) != FRT_OK)
            fail_msg("%s", err.text);
        assert_int_equal(frt_tensor_size(&out.tensors[0]), VALUES);
        for (int i = 0; i < VALUES; i++) {
            const float q = fminf(fmaxf(x[i], -120 * X_SCALE), 135 * X_SCALE),
                        y = q > 0 ? q : q * slopes[i % CHANNELS],
                        kept = fminf(fmaxf(y, -50 * Y_SCALE), 205 * Y_SCALE);
            /* half a step of x, steepened, and half a step of y */
            if (fabsf(out.tensors[0].data[i] - kept) > 0.75F * X_SCALE + 0.55F * Y_SCALE)
                fail_msg("%g: %g, not %g", (double)x[i], (double)out.tensors[0].data[i], (double)kept);
        }
        frt_outputs_release(&out);
    }
    frt_infer_width_set(FRT_INFER_WIDE);
    frt_session_free(session);
    frt_free(bytes);
}

static void operands_that_do_not_fit(void **state)
{
    const float slopes[CHANNELS + 1] = {0.25F, 100, NAN, 0, 0, 0};
    float x[VALUES] = {0};
    (void)state;
    if (backend == NULL)
        skip();
    for (int64_t n = CHANNELS; n <= CHANNELS + 1; n++) { /* slopes too steep; one too many */
        uint8_t *bytes = NULL;
        size_t size = 0;
        struct frt_session *session = NULL;
        struct frt_outputs out;
        struct frt_error err = {0};
        const struct frt_tensor in = {.data = x, .n_dims = 4, .dims = {1, 3, 3, CHANNELS}};
        make(slopes, n, &bytes, &size);
        assert_int_equal(frt_session_open_bytes(backend, bytes, size, &session, NULL), FRT_OK);
        assert_int_equal(frt_session_run(session, &in, 1, &out, &err), FRT_ERUNTIME);
        assert_non_null(strstr(err.text, "QLinearPRelu"));
        frt_session_free(session);
        frt_free(bytes);
    }
}

static void insides_may_be_asked_for(void **state)
{
    const float slopes[CHANNELS] = {0};
    uint8_t *bytes = NULL, *other = NULL;
    size_t size = 0, other_size = 0;
    struct frt_onnx_model *model = NULL;
    struct frt_onnx_value value;
    char name[FRT_ONNX_MODEL_MAX_NAME + 1];
    (void)state;
    make(slopes, CHANNELS, &bytes, &size);
    assert_int_equal(frt_onnx_model_parse(bytes, size, &model, NULL), FRT_OK);
    frt_onnx_model_drop_outputs(model);
    assert_false(frt_onnx_model_graph_output(model, 0, &value));
    memset(name, 'n', sizeof name);
    name[sizeof name - 1] = '\0';
    assert_int_equal(frt_onnx_model_add_output(model, name, FRT_ONNX_F32, NULL), FRT_EBAD_MODEL);
    assert_int_equal(frt_onnx_model_add_output(model, "yq", FRT_ONNX_U8, NULL), FRT_OK);
    assert_int_equal(frt_onnx_model_pack(model, &other, &other_size, NULL), FRT_OK);
    frt_onnx_model_free(model);
    assert_int_equal(frt_onnx_model_parse(other, other_size, &model, NULL), FRT_OK);
    assert_true(frt_onnx_model_graph_output(model, 0, &value));
    assert_string_equal(value.name, "yq");
    assert_int_equal(value.type, FRT_ONNX_U8);
    assert_false(value.has_shape);
    assert_false(frt_onnx_model_graph_output(model, 1, &value));
    frt_onnx_model_free(model);
    frt_free(bytes);
    frt_free(other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_prelu_between_bytes),
        cmocka_unit_test(operands_that_do_not_fit),
        cmocka_unit_test(insides_may_be_asked_for),
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
