/* Graph models of TensorFlow.js: each op against arithmetic done here (with the runtime), each refusal,
 * order and depth of nodes, lack of memory. The models of the default pack are compared in tests/golden. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/buf.h"
#include "core/mem.h"
#include "infer/infer.h"
#include "model/tfjs_graph.h"
#include "model_test_util.h"

/* Attributes as the converter writes them: bytes in base64. */
#define SAME "\"padding\":{\"s\":\"U0FNRQ==\"}"
#define VALID "\"padding\":{\"s\":\"VkFMSUQ=\"}"
#define NHWC "\"data_format\":{\"s\":\"TkhXQw==\"}"
#define INTS(name, a, b, c, d) "\"" name "\":{\"list\":{\"i\":[\"" #a "\",\"" #b "\",\"" #c "\",\"" #d "\"]}}"
#define FUSED(...) "\"fused_ops\":{\"list\":{\"s\":[" __VA_ARGS__ "]}}"
#define BIAS "\"Qmlhc0FkZA==\""
#define RELU "\"UmVsdQ==\""
#define RELU6 "\"UmVsdTY=\""
#define NODE(name, op, inputs, attr)                                                                           \
    "{\"name\":\"" name "\",\"op\":\"" op "\",\"input\":[" inputs "],\"attr\":{" attr "}}"
#define CONST(name) NODE(name, "Const", "", "")
#define INPUT                                                                                                  \
    NODE("x", "Placeholder", "",                                                                               \
         "\"shape\":{\"shape\":{\"dim\":[{\"size\":\"-1\"},{\"size\":\"3\"},{\"size\":\"3\"},{\"size\":\"2\"}" \
         "]}}")
#define SIGNATURE(out) "\"signature\":{\"outputs\":{\"o\":{\"name\":\"" out "\"}}}"
#define MODEL(out, nodes)                                                                                      \
    "{\"format\":\"graph-model\"," SIGNATURE(out) ",\"modelTopology\":{\"node\":[" nodes "]}}"

/* Weights every test model may use. */
static const char groups[] = "[{\"paths\":[],\"weights\":["
                             "{\"name\":\"filter\",\"shape\":[2,2,2,2],\"dtype\":\"float32\"},"
                             "{\"name\":\"bias\",\"shape\":[2],\"dtype\":\"float32\"},"
                             "{\"name\":\"one\",\"shape\":[],\"dtype\":\"float32\"},"
                             "{\"name\":\"matrix\",\"shape\":[18,3],\"dtype\":\"float32\"},"
                             "{\"name\":\"row\",\"shape\":[3],\"dtype\":\"float32\"},"
                             "{\"name\":\"flat\",\"shape\":[2],\"dtype\":\"int32\"},"
                             "{\"name\":\"wrong\",\"shape\":[2],\"dtype\":\"int32\"}]}]";
enum { FILTER = 0, BIAS_AT = 16, ONE_AT = 18, MATRIX = 19, ROW = 73, N_FLOATS = 76 };

static float stored(int i)
{
    return (float)((i * 5 + 2) % 13 - 6) / 8;
}

static struct frt_tfjs_weights *weights_new(void)
{
    struct frt_error err;
    struct frt_json *json = NULL;
    struct frt_tfjs_weights *weights = NULL;
    unsigned char bytes[N_FLOATS * 4 + 16];
    const int flat[4] = {-1, 18, -1, 17};
    for (int i = 0; i < N_FLOATS; i++) {
        float value = stored(i);
        memcpy(bytes + (ptrdiff_t)4 * i, &value, 4);
    }
    memcpy(bytes + (ptrdiff_t)4 * N_FLOATS, flat, sizeof flat);
    assert_int_equal(frt_json_parse(groups, strlen(groups), &json, &err), FRT_OK);
    if (frt_tfjs_weights_parse(frt_json_root(json), bytes, sizeof bytes, &weights, &err) != FRT_OK)
        fail_msg("%s", err.text);
    frt_json_free(json);
    return weights;
}

/* The ONNX bytes of a model's JSON. */
static enum frt_status convert(const char *text, const struct frt_tfjs_weights *weights, uint8_t **bytes,
                               size_t *size, struct frt_error *err)
{
    struct frt_json *json = NULL;
    struct frt_onnx_graph *graph = NULL;
    enum frt_status status = frt_json_parse(text, strlen(text), &json, err);
    if (status == FRT_OK)
        status = frt_onnx_new("test", &graph, err);
    if (status == FRT_OK) {
        frt_tfjs_graph_convert(frt_json_root(json), weights, "out", graph);
        status = frt_onnx_serialise(graph, bytes, size, err);
    }
    frt_onnx_free(graph);
    frt_json_free(json);
    return status;
}

/* ----------------------------------------------------------- what is read */

/* fused convolution "same" with bias and ReLU6; per-channel multiply, subtract, a scalar added; mean pool
 * "valid" 1 × 1 (the identity) and "same" max pool; flatten; dense layer with bias and ReLU; softmax */
static const char everything[] = MODEL(
    "out:0",
    NODE("out", "Identity", "\"soft\"", "") "," NODE("soft", "Softmax", "\"dense\"", "") "," NODE(
        "dense", "_FusedMatMul", "\"reshaped\",\"matrix\",\"row\"",
        FUSED(BIAS "," RELU)) "," NODE("reshaped", "Reshape", "\"pooled\",\"flat\"",
                                       "") "," NODE("pooled", "MaxPool", "\"mean\"",
                                                    INTS("ksize", 1, 2, 2, 1) "," INTS(
                                                        "strides", 1, 1, 1,
                                                        1) "," SAME "," NHWC) "," NODE("mean", "AvgPool", "\"plus\"", INTS("ksize", 1, 1, 1, 1) "," INTS("strides", 1, 1, 1, 1) "," VALID) "," NODE("plus", "AddV2", "\"one\",\"less\"", "") "," NODE("less", "Sub", "\"times\",\"bias\"", "") "," NODE("times",
                                                                                                                                                                                                                                                                                                        "Mul",
                                                                                                                                                                                                                                                                                                        "\"conv\",\"bias\"", "") "," NODE("conv",
                                                                                                                                                                                                                                                                                                                                          "_FusedConv2D", "\"x\",\"filter\",\"bias\",\"^late\"",
                                                                                                                                                                                                                                                                                                                                          INTS("strides", 1, 1, 1, 1) "," INTS(
                                                                                                                                                                                                                                                                                                                                              "dilations",
                                                                                                                                                                                                                                                                                                                                              1,
                                                                                                                                                                                                                                                                                                                                              1, 1, 1) "," SAME
                                                                                                                                                                                                                                                                                                                                                       "," NHWC
                                                                                                                                                                                                                                                                                                                                                       "," FUSED(BIAS
                                                                                                                                                                                                                                                                                                                                                                 "," RELU6)) "," CONST("filter") "," CONST("bias") "," CONST("one") "," CONST("matrix") "," CONST("row") "," CONST("flat") "," NODE("unused", "MadeUpOp", "",
                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                    "") "," INPUT);

/* the same net written with single ops */
static const char unfused[] =
    MODEL(
        "soft",
        INPUT "," CONST("filter") "," CONST("bias") "," CONST("one") "," CONST("matrix") "," CONST(
            "row") "," CONST("fla"
                             "t") "," NODE("conv0", "Conv2D", "\"x:0\",\"filter\"", INTS("strides", 1, 1, 1, 1) "," SAME) "," NODE("conv1", "BiasAdd", "\"conv0\",\"bias\"", "") "," NODE("conv", "Relu6", "\"conv1\"", "") "," NODE("times", "Mul", "\"bias\",\"conv\"", "") "," NODE("less", "Sub", "\"times\",\"bias\"", "") "," NODE("plus",
                                                                                                                                                                                                                                                                                                                                         "Add",
                                                                                                                                                                                                                                                                                                                                         "\"less\",\"one\"", "") "," NODE("pooled",
                                                                                                                                                                                                                                                                                                                                                                          "MaxPool",
                                                                                                                                                                                                                                                                                                                                                                          "\"plus\"",
                                                                                                                                                                                                                                                                                                                                                                          INTS("ksize", 1, 2, 2, 1) "," INTS("strides",
                                                                                                                                                                                                                                                                                                                                                                                                             1,
                                                                                                                                                                                                                                                                                                                                                                                                             1,
                                                                                                                                                                                                                                                                                                                                                                                                             1,
                                                                                                                                                                                                                                                                                                                                                                                                             1) "," SAME) "," NODE("reshaped",
                                                                                                                                                                                                                                                                                                                                                                                                                                   "Reshape",
                                                                                                                                                                                                                                                                                                                                                                                                                                   "\"pooled\","
                                                                                                                                                                                                                                                                                                                                                                                                                                   "\"flat\"",
                                                                                                                                                                                                                                                                                                                                                                                                                                   "") "," NODE("dense0", "MatMul", "\"reshaped\",\"matrix\"", "\"transpose_a\":{\"b\":false}") "," NODE("dense1",
                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                         "BiasAdd",
                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                         "\"dense0\",\"row\"",
                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                         "") "," NODE("dense", "Relu", "\"dense1\"", "") "," NODE("soft",
                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                  "Softmax",
                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                  "\"dense\"",
                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                  ""));

/* image [2][3][3] in NCHW → 3 probabilities */
static void expect(const float *image, double out[3])
{
    double y[18], pooled[18], sum = 0;
    for (int r = 0; r < 3; r++) {
        for (int c = 0; c < 3; c++) {
            for (int o = 0; o < 2; o++) {
                double v = (double)stored(BIAS_AT + o);
                for (int k = 0; k < 4; k++) { /* 2 × 2, the padding at the far side */
                    int row = r + k / 2, column = c + k % 2;
                    for (int i = 0; i < 2 && row < 3 && column < 3; i++)
                        v += (double)stored(FILTER + (k * 2 + i) * 2 + o) *
                             (double)image[i * 9 + row * 3 + column];
                }
                v = fmin(fmax(v, 0), 6);
                double b = (double)stored(BIAS_AT + o);
                y[(r * 3 + c) * 2 + o] = v * b - b + (double)stored(ONE_AT);
            }
        }
    }
    for (int r = 0; r < 3; r++) {
        for (int c = 0; c < 3; c++) {
            for (int o = 0; o < 2; o++) {
                double most = -1e9;
                for (int k = 0; k < 4; k++) {
                    if (r + k / 2 < 3 && c + k % 2 < 3)
                        most = fmax(most, y[((r + k / 2) * 3 + c + k % 2) * 2 + o]);
                }
                pooled[(r * 3 + c) * 2 + o] = most;
            }
        }
    }
    for (int j = 0; j < 3; j++) {
        double v = (double)stored(ROW + j);
        for (int i = 0; i < 18; i++)
            v += pooled[i] * (double)stored(MATRIX + i * 3 + j);
        out[j] = exp(fmax(v, 0));
        sum += out[j];
    }
    for (int j = 0; j < 3; j++)
        out[j] /= sum;
}

static void run_and_compare(struct frt_backend *backend, const char *folder, const char *model)
{
    struct frt_error err;
    struct frt_session *session = NULL;
    struct frt_outputs outputs;
    struct frt_tfjs_weights *weights = weights_new();
    uint8_t *bytes = NULL;
    size_t size;
    char path[8192];
    if (convert(model, weights, &bytes, &size, &err) != FRT_OK)
        fail_msg("%s", err.text);
    model_test_write_file(folder, "model.onnx", bytes, size);
    (void)snprintf(path, sizeof path, "%s/model.onnx", folder);
    if (frt_session_open(backend, path, &session, &err) != FRT_OK)
        fail_msg("%s", err.text);
    assert_string_equal(session->info.inputs[0].name, "image");
    assert_string_equal(session->info.outputs[0].name, "out");
    assert_int_equal(session->info.inputs[0].dims[1], 2); /* NCHW */

    float images[2 * 18];
    for (int i = 0; i < 36; i++)
        images[i] = (float)((i * 7 + 1) % 9 - 3) / 2;
    struct frt_tensor input = {.data = images, .dims = {2, 2, 3, 3}, .n_dims = 4};
    if (frt_session_run(session, &input, 1, &outputs, &err) != FRT_OK)
        fail_msg("%s", err.text);
    for (int b = 0; b < 2; b++) {
        double wanted[3];
        expect(images + (ptrdiff_t)18 * b, wanted);
        for (int j = 0; j < 3; j++)
            assert_float_equal(outputs.tensors[0].data[3 * b + j], wanted[j], 1e-5);
    }
    frt_outputs_release(&outputs);
    frt_session_free(session);
    frt_free(bytes);
    frt_tfjs_weights_free(weights);
}

static void the_runtime_computes_what_is_meant(void **state)
{
    struct frt_error err;
    struct frt_backend *backend = NULL;
    if (frt_backend_onnxruntime_new(NULL, &backend, &err) != FRT_OK) {
        print_message("SKIP: %s\n", err.text);
        skip();
    }
    run_and_compare(backend, *state, everything);
    run_and_compare(backend, *state, unfused);
    frt_backend_free(backend);
}

/* -------------------------------------------------------- what is refused */

#define AFTER(nodes)                                                                                           \
    MODEL("y", INPUT "," CONST("filter") "," CONST("bias") "," CONST("row") "," CONST("matrix") "," CONST(     \
                   "flat") "," CONST("wrong") "," nodes)
#define CONV_RAW(attr) AFTER(NODE("y", "_FusedConv2D", "\"x\",\"filter\",\"bias\"", attr))
#define CONV(attr) CONV_RAW(FUSED(BIAS) "," attr)
#define STRIDES INTS("strides", 1, 1, 1, 1)

static const struct {
    const char *model, *says;
} refusals[] = {
    {"{}", "format \"\"; \"graph-model\" would be right"},
    {"{\"format\":\"layers-model\"}", "format \"layers-model\""},
    {"{\"format\":\"graph-model\"}", "modelTopology.node has 0 nodes"},
    {"{\"format\":\"graph-model\",\"modelTopology\":{\"node\":[3]}}", "no name and op of its own"},
    {MODEL("y", NODE("y", "Relu", "", "") "," NODE("y", "Relu", "", "")),
     "node 1 has no name and op of its own"},
    {MODEL("z", INPUT), "signature.outputs names 1 outputs; one that is a node"},
    {"{\"format\":\"graph-model\",\"modelTopology\":{\"node\":[" INPUT "]}}",
     "signature.outputs names 0 outputs"},
    {MODEL("x", INPUT), "output out is not the result of a node"},
    {AFTER(NODE("y", "LeakyRelu", "\"x\"", "")), "node y (LeakyRelu): this operation is not read"},
    {AFTER(NODE("y", "Relu", "\"nowhere\"", "")), "node y (Relu): operand 0 (nowhere) is not there"},
    {AFTER(NODE("y", "Relu", "\"x:1\"", "")), "operand 0 (x:1) is not there"},
    {AFTER(NODE("y", "Relu", "3", "")), "operand 0 (no text) is not there"},
    {AFTER(NODE("y", "Relu", "", "")), "node y (Relu): 0 operands; 1 would be right"},
    {AFTER(NODE("y", "Relu", "\"filter\"", "")), "operand 0 is a constant"},
    {AFTER(NODE("y", "Relu", "\"z\"", "") "," NODE("z", "Relu", "\"y\"", "")), "depends on its own result"},
    {MODEL("y", INPUT "," CONST("nothing") "," NODE("y", "Mul", "\"x\",\"nothing\"", "")),
     "node nothing (Const): the weights have no tensor"},
    {MODEL("y", NODE("x", "Placeholder", "", "") "," NODE("y", "Relu", "\"x\"", "")),
     "node x (Placeholder): its shape is not [batch, height, width, channels]"},
    {MODEL("y", INPUT "," NODE("x2", "Placeholder", "",
                               "\"shape\":{\"shape\":{\"dim\":[{\"size\":1},{\"size\":1},{\"size\":1},{"
                               "\"size\":1}]}}") "," NODE("y", "Add", "\"x\",\"x2\"", "")),
     "node x2 (Placeholder): a second input"},
    {CONV(SAME), "node y (_FusedConv2D): attribute strides is not [1, height, width, 1]"},
    {CONV(INTS("strides", 2, 1, 1, 1) "," SAME), "attribute strides is not"},
    {CONV(INTS("strides", 1, 0, 1, 1) "," SAME), "attribute strides is not"},
    {CONV(INTS("strides", 1, x, 1, 1) "," SAME), "attribute strides is not"},
    {CONV(STRIDES), "padding \"\"; SAME and VALID are read"},
    {CONV(STRIDES ",\"padding\":{\"s\":\"RVhQTElDSVQ=\"}"), "padding \"EXPLICIT\""},
    {CONV(STRIDES ",\"padding\":{\"s\":\"!!!!\"}"), "padding \"\""},
    {CONV(STRIDES "," SAME ",\"data_format\":{\"s\":\"TkNIVw==\"}"), "data format NCHW; NHWC is read"},
    {CONV(STRIDES "," SAME "," INTS("dilations", 1, 2, 2, 1)), "dilated filters"},
    {CONV_RAW(STRIDES "," SAME), "3 operands; 2 would be right"},
    {CONV_RAW(STRIDES "," SAME "," FUSED(RELU)), "fused operation 0 is \"Relu\""},
    {CONV_RAW(STRIDES "," SAME "," FUSED(BIAS ",\"UHJlbHU=\"")), "fused operation 1 is \"Prelu\""},
    {AFTER(NODE("y", "Conv2D", "\"x\",\"bias\"", STRIDES "," SAME)),
     "operand 1 is not a float constant of 4 dimensions"},
    {AFTER(NODE("y", "MaxPool", "\"x\"", STRIDES "," INTS("ksize", 1, 4, 4, 1) "," VALID)),
     "MaxPool of [?,2,3,3]"},
    {AFTER(NODE("y", "MatMul", "\"x\",\"matrix\"", "")), "MatMul of [?,2,3,3] and [18,3]"},
    {AFTER(NODE("y", "MatMul", "\"x\",\"matrix\"", "\"transpose_b\":{\"b\":true}")), "transposed operands"},
    {AFTER(NODE("y", "Mul", "\"x\",\"row\"", "")), "neither one number nor one per channel"},
    {AFTER(NODE("y", "Mul", "\"flat\",\"x\"", "")), "its constant is not float32"},
    {AFTER(NODE("y", "Mul", "\"row\",\"bias\"", "")), "both operands are constants"},
    {AFTER(NODE("p", "MaxPool", "\"x\"",
                STRIDES "," INTS("ksize", 1, 2, 2, 1) "," VALID) "," NODE("y", "Add", "\"x\",\"p\"", "")),
     "operands of different shapes"},
    {AFTER(NODE("y", "Reshape", "\"x\",\"row\"", "")), "its shape is not [-1, elements]"},
    {AFTER(NODE("y", "Reshape", "\"x\",\"wrong\"", "")), "another number of elements"},
};

static void each_refusal_names_op_and_node(void **state)
{
    (void)state;
    struct frt_tfjs_weights *weights = weights_new();
    for (size_t i = 0; i < sizeof refusals / sizeof *refusals; i++) {
        struct frt_error err = {0};
        uint8_t *bytes = NULL;
        size_t size;
        enum frt_status status = convert(refusals[i].model, weights, &bytes, &size, &err);
        if (status != FRT_EBAD_MODEL || strstr(err.text, refusals[i].says) == NULL)
            fail_msg("%s: status %d, \"%s\"; \"%s\" expected", refusals[i].model, status, err.text,
                     refusals[i].says);
        assert_null(bytes);
    }
    frt_tfjs_weights_free(weights);
}

/* 1,500 nodes in a row, the last first, are no recursion of ours; 3,000 nodes are too many. */
static void depth_is_no_danger(void **state)
{
    (void)state;
    static const int lengths[2] = {1500, 3000};
    struct frt_tfjs_weights *weights = weights_new();
    for (int t = 0; t < 2; t++) {
        struct frt_buf text;
        struct frt_error err = {0};
        uint8_t *bytes = NULL;
        size_t size;
        frt_buf_init(&text, (size_t)1 << 20);
        frt_buf_append_text(&text,
                            "{\"format\":\"graph-model\"," SIGNATURE("n0") ",\"modelTopology\":{\"node\":[");
        for (int i = 0; i < lengths[t]; i++)
            frt_buf_printf(&text, "{\"name\":\"n%d\",\"op\":\"Relu\",\"input\":[\"n%d\"]},", i, i + 1);
        frt_buf_printf(&text, "{\"name\":\"n%d\",\"op\":\"Relu\",\"input\":[\"x\"]}," INPUT "]}}", lengths[t]);
        assert_int_equal(frt_buf_status(&text), FRT_OK);
        enum frt_status status = convert(text.data, weights, &bytes, &size, &err);
        if (status != (t == 0 ? FRT_OK : FRT_EBAD_MODEL))
            fail_msg("%d nodes: %s", lengths[t], err.text);
        frt_free(bytes);
        frt_buf_deinit(&text);
    }
    frt_tfjs_weights_free(weights);
}

static void every_allocation_may_fail(void **state)
{
    (void)state;
    struct frt_tfjs_weights *weights = weights_new();
    for (int64_t n = 0;; n++) {
        struct frt_error err = {0};
        uint8_t *bytes = NULL;
        size_t size;
        frt_mem_fail_after(n);
        enum frt_status status = convert(everything, weights, &bytes, &size, &err);
        bool reached = frt_mem_asked() > n;
        frt_mem_fail_after(-1);
        frt_free(bytes);
        if (!reached) {
            assert_int_equal(status, FRT_OK);
            assert_true(n > 100);
            break;
        }
        assert_int_not_equal(status, FRT_OK);
    }
    frt_tfjs_weights_free(weights);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_runtime_computes_what_is_meant, model_test_folder_make,
                                        model_test_folder_remove),
        cmocka_unit_test(each_refusal_names_op_and_node),
        cmocka_unit_test(depth_is_no_danger),
        cmocka_unit_test(every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
