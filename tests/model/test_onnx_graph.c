/* The graph builder: shape rules, failures that stick, the same bytes each time, lack of memory; and,
 * with the runtime, one graph of every operation against arithmetic done here. */
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
#include "model/onnx_ops.h"
#include "model_test_util.h"

#define SHAPE4(a, b, c, d) (&(struct frt_onnx_shape){.n_dims = 4, .dims = {a, b, c, d}})

static struct frt_onnx_graph *graph_new(void)
{
    struct frt_error err;
    struct frt_onnx_graph *graph = NULL;
    assert_int_equal(frt_onnx_new("test", &graph, &err), FRT_OK);
    return graph;
}

static void assert_shape(const struct frt_onnx_graph *graph, int value, uint32_t n, const int64_t *dims)
{
    struct frt_error err = {0};
    if (frt_onnx_status(graph, &err) != FRT_OK)
        fail_msg("%s", err.text);
    struct frt_onnx_shape shape = frt_onnx_shape_of(graph, value);
    assert_int_equal(shape.n_dims, n);
    for (uint32_t i = 0; i < n; i++)
        assert_int_equal(shape.dims[i], dims[i]);
}
#define ASSERT_SHAPE(graph, value, ...)                                                                        \
    assert_shape(graph, value, sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t), (int64_t[]){__VA_ARGS__})

static int weights_of(struct frt_onnx_graph *graph, const char *name, uint32_t n_dims, const int64_t *dims)
{
    struct frt_onnx_shape shape = {.n_dims = n_dims};
    memcpy(shape.dims, dims, n_dims * sizeof *dims);
    int value = FRT_ONNX_NONE;
    float *to = frt_onnx_const_space(graph, name, &shape, &value);
    for (int64_t i = 0; to != NULL && i < frt_onnx_shape_size(&shape); i++)
        to[i] = (float)((i * 7 + 3) % 11 - 5) / 8;
    return value;
}
#define WEIGHTS(graph, name, ...)                                                                              \
    weights_of(graph, name, sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t), (int64_t[]){__VA_ARGS__})

static void shapes_follow_tensorflow(void **state)
{
    (void)state;
    struct frt_onnx_graph *g = graph_new();
    int x = frt_onnx_input(g, "image", SHAPE4(-1, 3, 150, 149));
    int w = WEIGHTS(g, "w", 8, 3, 7, 7);
    ASSERT_SHAPE(g, frt_op_conv(g, x, w, FRT_ONNX_NO_BIAS, 1, &(struct frt_onnx_window){.stride = {2, 2}}), -1,
                 8, 72, 72);
    int same = frt_op_conv(g, x, w, FRT_ONNX_NO_BIAS, 1,
                           &(struct frt_onnx_window){.stride = {2, 2}, .padding = FRT_ONNX_SAME});
    ASSERT_SHAPE(g, same, -1, 8, 75, 75);
    struct frt_onnx_window window = {.kernel = {3, 3}, .stride = {2, 2}, .padding = FRT_ONNX_SAME};
    ASSERT_SHAPE(g, frt_op_max_pool(g, same, &window), -1, 8, 38, 38);
    ASSERT_SHAPE(g, frt_op_global_average(g, same), -1, 8, 1, 1);
    ASSERT_SHAPE(g, frt_op_transpose(g, same, 4, (int64_t[]){0, 2, 3, 1}), -1, 75, 75, 8);
    ASSERT_SHAPE(g, frt_op_reshape(g, same, 3, (int64_t[]){0, -1, 4}), -1, 11250, 4);
    ASSERT_SHAPE(g, frt_op_slice(g, same, 1, 2, 5), -1, 3, 75, 75);
    ASSERT_SHAPE(g, frt_op_pad_end(g, same, (int64_t[]){0, 1, 2, 3}), -1, 9, 77, 78);
    ASSERT_SHAPE(g, frt_op_concat(g, (int[]){same, same, same}, 3, 1), -1, 24, 75, 75);
    ASSERT_SHAPE(g, frt_op_binary(g, "Add", same, WEIGHTS(g, "c", 1, 8, 1, 1)), -1, 8, 75, 75);
    frt_onnx_free(g);

    g = graph_new(); /* dynamic height and width */
    x = frt_onnx_input(g, "image", SHAPE4(-1, 3, -1, -1));
    ASSERT_SHAPE(g, frt_op_max_pool(g, x, &(struct frt_onnx_window){.kernel = {2, 2}, .stride = {2, 2}}), -1, 3,
                 -1, -1);
    frt_onnx_free(g);
}

/* Each misuse fails the graph with a text that names what was found; later calls do nothing. */
static int misuse(struct frt_onnx_graph *g, int which)
{
    int x = frt_onnx_input(g, "image", SHAPE4(-1, 3, 8, 8));
    struct frt_onnx_window valid = {0};
    switch (which) {
    case 0:
        return frt_op_conv(g, x, WEIGHTS(g, "w", 8, 4, 3, 3), FRT_ONNX_NO_BIAS, 1, &valid);
    case 1:
        return frt_op_conv(g, x, WEIGHTS(g, "w", 8, 3, 9, 9), FRT_ONNX_NO_BIAS, 1, &valid);
    case 2:
        return frt_op_conv(g, x, WEIGHTS(g, "w", 8, 3, 3, 3), WEIGHTS(g, "b", 7), 1, &valid);
    case 3:
        return frt_op_binary(g, "Add", x, WEIGHTS(g, "w", 5));
    case 4:
        return frt_op_dense(g, x, WEIGHTS(g, "w", 8, 2), FRT_ONNX_NO_BIAS);
    case 5:
        return frt_op_reshape(g, x, 2, (int64_t[]){0, 191});
    case 6:
        return frt_op_reshape(g, x, 3, (int64_t[]){-1, -1, 3});
    case 7:
        return frt_op_slice(g, x, 1, 2, 4);
    case 8:
        return frt_op_transpose(g, x, 4, (int64_t[]){0, 1, 1, 2});
    case 9:
        return frt_op_concat(g, (int[]){x, WEIGHTS(g, "w", 1, 3, 8, 7)}, 2, 1);
    case 10:
        return frt_op_softmax(g, x, 4);
    case 11:
        return frt_op_pad_end(g, x, (int64_t[]){1, 0, 0, 0});
    case 12:
        return frt_onnx_input(g, "image", SHAPE4(-1, 3, 8, 8));
    case 13:
        frt_onnx_output(g, x, "out");
        return FRT_ONNX_NONE;
    case 14:
        return frt_op_max_pool(g, frt_onnx_input(g, "dynamic", SHAPE4(-1, 3, -1, -1)),
                               &(struct frt_onnx_window){.kernel = {2, 2}, .padding = FRT_ONNX_SAME});
    case 15: {
        float one = 1, two = 2;
        struct frt_onnx_shape row = {.n_dims = 1, .dims = {1}};
        (void)frt_onnx_const_f32(g, "same name", &row, &one);
        return frt_onnx_const_f32(g, "same name", &row, &two);
    }
    case 16:
        return frt_op_global_average(g, WEIGHTS(g, "w", 8, 2));
    default:
        return -2;
    }
}

static void misuse_fails_the_graph(void **state)
{
    (void)state;
    static const char *const says[] = {"Conv of [?,3,8,8] and [8,4,3,3]: the input has other channels",
                                       "the filter does not fit into the input",
                                       "Conv bias of [8,3,3,3] and [7]",
                                       "Add of [?,3,8,8] and [5]: the shapes do not broadcast",
                                       "[N,K] and [K,M] would fit",
                                       "another number of elements",
                                       "is no size",
                                       "the slice is not inside",
                                       "names a dimension twice",
                                       "equal but for the axis",
                                       "no such axis",
                                       "only known dimensions grow",
                                       "two values are named image",
                                       "not the result of a node",
                                       "the window does not fit",
                                       "two different weights are named same name",
                                       "four dimensions would fit"};
    for (int i = 0; i < (int)(sizeof says / sizeof *says); i++) {
        struct frt_onnx_graph *g = graph_new();
        struct frt_error err = {0};
        uint8_t *bytes = NULL;
        size_t size;
        assert_int_equal(misuse(g, i), FRT_ONNX_NONE);
        assert_int_equal(frt_onnx_status(g, &err), FRT_EBAD_MODEL);
        if (strstr(err.text, says[i]) == NULL)
            fail_msg("misuse %d: \"%s\"; \"%s\" expected", i, err.text, says[i]);
        assert_int_equal(frt_onnx_input(g, "more", SHAPE4(1, 1, 1, 1)), FRT_ONNX_NONE);
        assert_int_equal(frt_op_relu6(g, FRT_ONNX_NONE), FRT_ONNX_NONE);
        assert_int_equal(frt_onnx_serialise(g, &bytes, &size, &err), FRT_EBAD_MODEL);
        assert_non_null(strstr(err.text, says[i])); /* the first failure, not a later one */
        assert_null(bytes);
        frt_onnx_free(g);
    }
}

/* Every operation there is, in one graph: [N,2,5,5] → "out" [N,3]. */
static void build_all(struct frt_onnx_graph *g)
{
    int x = frt_onnx_input(g, "image", SHAPE4(-1, 2, 5, 5));
    x = frt_op_conv(g, x, WEIGHTS(g, "w0", 4, 2, 2, 2), WEIGHTS(g, "b0", 4), 1,
                    &(struct frt_onnx_window){.stride = {2, 2}, .padding = FRT_ONNX_SAME}); /* 3 × 3 */
    x = frt_op_leaky_relu(g, x, 0.5F);
    x = frt_op_conv(g, x, WEIGHTS(g, "w1", 4, 1, 3, 3), FRT_ONNX_NO_BIAS, 4,
                    &(struct frt_onnx_window){.padding = FRT_ONNX_EXPLICIT, .pads = {1, 1, 1, 1}});
    x = frt_op_relu6(g, frt_op_binary(g, "Mul", x, frt_op_scalar(g, 3)));
    int a = frt_op_average_pool(g, x, &(struct frt_onnx_window){.kernel = {2, 2}, .padding = FRT_ONNX_SAME});
    int m = frt_op_max_pool(g, x, &(struct frt_onnx_window){.kernel = {2, 2}, .padding = FRT_ONNX_SAME});
    x = frt_op_concat(g, (int[]){a, m}, 2, 1);                                   /* 8 × 3 × 3 */
    x = frt_op_slice(g, frt_op_pad_end(g, x, (int64_t[]){0, 0, 1, 1}), 1, 1, 7); /* 6 × 4 × 4 */
    x = frt_op_reshape(g, frt_op_transpose(g, x, 4, (int64_t[]){0, 2, 3, 1}), 2, (int64_t[]){0, 96});
    x = frt_op_dense(g, x, WEIGHTS(g, "w2", 96, 3), WEIGHTS(g, "b2", 3));
    x = frt_op_binary(g, "Sub", frt_op_unary(g, "Sigmoid", x), WEIGHTS(g, "c2", 3));
    frt_onnx_output(g, frt_op_softmax(g, frt_op_unary(g, "Exp", x), 1), "out");
}

static void serialise(uint8_t **bytes, size_t *size)
{
    struct frt_error err;
    struct frt_onnx_graph *g = graph_new();
    build_all(g);
    if (frt_onnx_serialise(g, bytes, size, &err) != FRT_OK)
        fail_msg("%s", err.text);
    frt_onnx_free(g);
}

static void the_same_calls_give_the_same_bytes(void **state)
{
    (void)state;
    uint8_t *a = NULL, *b = NULL;
    size_t a_size, b_size;
    serialise(&a, &a_size);
    void *shift = malloc(12345); /* addresses differ between the two */
    serialise(&b, &b_size);
    assert_int_equal(a_size, b_size);
    assert_memory_equal(a, b, a_size);
    free(shift);
    frt_free(a);
    frt_free(b);
}

static void every_allocation_may_fail(void **state)
{
    (void)state;
    for (int64_t n = 0;; n++) {
        struct frt_onnx_graph *g = NULL;
        struct frt_error err = {0};
        uint8_t *bytes = NULL;
        size_t size = 0;
        frt_mem_fail_after(n);
        enum frt_status status = frt_onnx_new("test", &g, &err);
        if (status == FRT_OK) {
            build_all(g);
            status = frt_onnx_serialise(g, &bytes, &size, &err);
        }
        bool reached = frt_mem_asked() > n;
        frt_mem_fail_after(-1);
        frt_free(bytes);
        frt_onnx_free(g);
        if (!reached) {
            assert_int_equal(status, FRT_OK);
            assert_true(n > 100);
            break;
        }
        assert_int_equal(status, FRT_ENOMEM);
    }
}

/* ------------------------------------------- the same arithmetic, written out */

static double weight(int64_t i)
{
    return (double)((i * 7 + 3) % 11 - 5) / 8;
}

static double at(const double *x, int side, int c, int row, int column)
{
    return row < 0 || column < 0 || row >= side || column >= side ? 0 : x[(c * side + row) * side + column];
}

static void expect(const float *image, double out[3])
{
    double in[50], one[36], two[36], both[72], logits[3] = {0}, sum = 0;
    for (int i = 0; i < 50; i++)
        in[i] = (double)image[i];
    for (int o = 0; o < 4; o++) {
        for (int r = 0; r < 3; r++) {
            for (int c = 0; c < 3; c++) { /* same: 5 → 3 misses one pixel, at the far side */
                double v = weight(o);
                for (int i = 0; i < 2; i++)
                    for (int k = 0; k < 4; k++)
                        v += weight((o * 2 + i) * 4 + k) * at(in, 5, i, 2 * r + k / 2, 2 * c + k % 2);
                one[(o * 3 + r) * 3 + c] = v < 0 ? v / 2 : v;
            }
        }
    }
    for (int o = 0; o < 4; o++) {
        for (int r = 0; r < 3; r++) {
            for (int c = 0; c < 3; c++) {
                double v = 0;
                for (int k = 0; k < 9; k++)
                    v += weight(o * 9 + k) * at(one, 3, o, r + k / 3 - 1, c + k % 3 - 1);
                two[(o * 3 + r) * 3 + c] = fmin(fmax(3 * v, 0), 6);
            }
        }
    }
    for (int o = 0; o < 4; o++) {
        for (int r = 0; r < 3; r++) {
            for (int c = 0; c < 3; c++) { /* windows cut at the far edge count what is there */
                double total = 0, most = -1, n = 0;
                for (int k = 0; k < 4; k++) {
                    if (r + k / 2 > 2 || c + k % 2 > 2)
                        continue;
                    double v = at(two, 3, o, r + k / 2, c + k % 2);
                    total += v;
                    most = fmax(most, v);
                    n++;
                }
                both[(o * 3 + r) * 3 + c] = total / n;
                both[((4 + o) * 3 + r) * 3 + c] = most;
            }
        }
    }
    for (int j = 0; j < 3; j++) {
        double v = weight(j);
        for (int i = 0; i < 96; i++) /* row, column, channel; zeros in the last row and column */
            v += weight(i * 3 + j) * at(both, 3, 1 + i % 6, i / 24, i / 6 % 4);
        logits[j] = exp(1 / (1 + exp(-v)) - weight(j));
    }
    for (int j = 0; j < 3; j++)
        sum += exp(logits[j]);
    for (int j = 0; j < 3; j++)
        out[j] = exp(logits[j]) / sum;
}

static void the_runtime_computes_what_is_meant(void **state)
{
    const char *folder = *state;
    struct frt_error err;
    struct frt_backend *backend = NULL;
    if (frt_backend_onnxruntime_new(NULL, &backend, &err) != FRT_OK) {
        print_message("SKIP: %s\n", err.text);
        skip();
    }
    uint8_t *bytes = NULL;
    size_t size;
    char path[8192];
    serialise(&bytes, &size);
    model_test_write_file(folder, "all.onnx", bytes, size);
    frt_free(bytes);
    (void)snprintf(path, sizeof path, "%s/all.onnx", folder);

    struct frt_session *session = NULL;
    struct frt_outputs outputs;
    if (frt_session_open(backend, path, &session, &err) != FRT_OK)
        fail_msg("%s", err.text);
    assert_string_equal(session->info.inputs[0].name, "image");
    assert_int_equal(session->info.inputs[0].dims[0], -1);
    assert_string_equal(session->info.outputs[0].name, "out");
    float images[2 * 50];
    for (int i = 0; i < 100; i++)
        images[i] = (float)((i * 13 + 5) % 17 - 8) / 4;
    struct frt_tensor input = {.data = images, .dims = {2, 2, 5, 5}, .n_dims = 4};
    if (frt_session_run(session, &input, 1, &outputs, &err) != FRT_OK)
        fail_msg("%s", err.text);
    for (int b = 0; b < 2; b++) {
        double wanted[3];
        expect(images + (ptrdiff_t)50 * b, wanted);
        for (int j = 0; j < 3; j++)
            assert_float_equal(outputs.tensors[0].data[3 * b + j], wanted[j], 1e-5);
    }
    frt_outputs_release(&outputs);
    frt_session_free(session);
    frt_backend_free(backend);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shapes_follow_tensorflow),
        cmocka_unit_test(misuse_fails_the_graph),
        cmocka_unit_test(the_same_calls_give_the_same_bytes),
        cmocka_unit_test(every_allocation_may_fail),
        cmocka_unit_test_setup_teardown(the_runtime_computes_what_is_meant, model_test_folder_make,
                                        model_test_folder_remove),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
