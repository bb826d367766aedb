/*
 * Graphs that compute in f16 (pass_compute_half.h): which nodes do, where Casts stand, what is left alone, and
 * that the runtime takes them and answers next to what f32 does.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/mem.h"
#include "model/pass_compute_half.h"
#include "model/pass_fixtures.h"

enum { MAX_DUMP = 1 << 16 };

static int node(struct frt_onnx_graph *g, const char *op, int a, int b, struct frt_onnx_shape shape)
{
    const struct frt_onnx_node n = {
        .op = op, .n_inputs = b == FRT_ONNX_NONE ? 1 : 2, .inputs = {a, b}, .outputs = {shape}};
    return frt_onnx_node_add(g, &n);
}

static int conv(struct frt_onnx_graph *g, int x, const char *name, int64_t in, int64_t out)
{
    return fixture_conv(g, x, fixture_weights(g, name, SHAPE(out, in, 3, 3), 0.3F), out, 1, 1);
}

/* `halved` as the text of a graph. Owned. */
static char *dump_of(const void *bytes, size_t size)
{
    struct frt_onnx_model *model = NULL;
    struct frt_buf text;
    assert_int_equal(frt_onnx_model_parse(bytes, size, &model, NULL), FRT_OK);
    frt_buf_init(&text, MAX_DUMP);
    assert_int_equal(frt_onnx_model_dump(model, &text), FRT_OK);
    frt_onnx_model_free(model);
    char *copy = frt_strdup(text.data);
    assert_non_null(copy);
    frt_buf_deinit(&text);
    return copy;
}

static double cosine(const float *a, const float *b, size_t n)
{
    double aa = 0, bb = 0, ab = 0;
    for (size_t i = 0; i < n; i++) {
        aa += (double)a[i] * (double)a[i];
        bb += (double)b[i] * (double)b[i];
        ab += (double)a[i] * (double)b[i];
    }
    return ab / sqrt(aa * bb);
}

/* CONSUMES file. */
static void expect(struct fixture_file_bytes file, uint32_t nodes, const char *wanted)
{
    static float before[MAX_OUT], after[MAX_OUT];
    uint8_t *out = NULL, *again = NULL;
    size_t size = 0, again_size = 0;
    uint32_t halved = 0, twice = 0;
    assert_int_equal(frt_rewrite_in_half(file.bytes, file.size, &out, &size, &halved, NULL), FRT_OK);
    assert_int_equal(halved, nodes);
    assert_true((out != NULL) == (nodes > 0));
    if (out != NULL) {
        char *dump = dump_of(out, size);
        assert_string_equal(dump, wanted);
        frt_free(dump);
        assert_int_equal(frt_rewrite_in_half(out, size, &again, &again_size, &twice, NULL), FRT_OK);
        assert_int_equal(twice, 0); /* nothing left to do */
        assert_null(again);
    }
    if (out != NULL && fixture_backend != NULL) {
        const size_t n = fixture_run(file.bytes, file.size, 2, SIDE, before);
        double apart = 0;
        assert_int_equal(fixture_run(out, size, 2, SIDE, after), n);
        for (size_t i = 0; i < n; i++)
            apart = fmax(apart, fabs((double)before[i] - (double)after[i]));
        assert_true(cosine(before, after, n) > 0.99999);
        assert_true(apart > 0); /* or nothing was tested */
    }
    frt_free(out);
    frt_free(file.bytes);
}

static void layers_and_what_is_between_them(void **state)
{
    (void)state;
    int x;
    struct frt_onnx_graph *g = fixture_graph(&x);
    const struct frt_onnx_shape wide = SHAPE(-1, 8, SIDE, SIDE);
    int a = node(g, "Relu", conv(g, x, "w", 3, 8), FRT_ONNX_NONE, wide);
    int b = conv(g, a, "v", 8, 8);
    expect(fixture_file(g, node(g, "Sigmoid", node(g, "Add", a, b, wide), FRT_ONNX_NONE, wide)), 3,
           "input x:f32[?,3,12,12]\n"
           "x/frt_half = Cast(x) to=10\n"
           "v2/frt_half = Conv(x/frt_half, w/frt_half:f16[8,3,3,3]) group=1 pads=[1,1,1,1]\n"
           "v3/frt_half = Relu(v2/frt_half)\n"
           "v3 = Cast(v3/frt_half) to=1\n"
           "v5/frt_half = Conv(v3/frt_half, v/frt_half:f16[8,8,3,3]) group=1 pads=[1,1,1,1]\n"
           "v5 = Cast(v5/frt_half) to=1\n"
           "v6 = Add(v3, v5)\n" /* behind the last layer: in f32 */
           "y = Sigmoid(v6)\n"
           "output y:f32[?,8,12,12]\n");
}

static void operators_that_are_not_in_the_table(void **state)
{
    (void)state;
    int x;
    struct frt_onnx_graph *g = fixture_graph(&x);
    int a = node(g, "Exp", conv(g, x, "w", 3, 4), FRT_ONNX_NONE, SHAPE(-1, 4, SIDE, SIDE));
    expect(fixture_file(g, conv(g, a, "v", 4, 4)), 2,
           "input x:f32[?,3,12,12]\n"
           "x/frt_half = Cast(x) to=10\n"
           "v2/frt_half = Conv(x/frt_half, w/frt_half:f16[4,3,3,3]) group=1 pads=[1,1,1,1]\n"
           "v2 = Cast(v2/frt_half) to=1\n"
           "v3 = Exp(v2)\n"
           "v3/frt_half = Cast(v3) to=10\n"
           "y/frt_half = Conv(v3/frt_half, v/frt_half:f16[4,4,3,3]) group=1 pads=[1,1,1,1]\n"
           "y = Cast(y/frt_half) to=1\n"
           "output y:f32[?,4,12,12]\n");
}

static void shapes_are_no_halves(void **state)
{
    (void)state;
    int x;
    static const int64_t to[] = {0, 4 * SIDE * SIDE};
    struct frt_onnx_graph *g = fixture_graph(&x);
    int c = conv(g, x, "w", 3, 4);
    int flat = node(g, "Reshape", c, frt_onnx_const_i64(g, "to", 2, to), SHAPE(-1, (int64_t)4 * SIDE * SIDE));
    int m = fixture_weights(g, "m", SHAPE((int64_t)4 * SIDE * SIDE, 5), 0.1F);
    expect(fixture_file(g, node(g, "MatMul", flat, m, SHAPE(-1, 5))), 3,
           "input x:f32[?,3,12,12]\n"
           "x/frt_half = Cast(x) to=10\n"
           "v2/frt_half = Conv(x/frt_half, w/frt_half:f16[4,3,3,3]) group=1 pads=[1,1,1,1]\n"
           "v4/frt_half = Reshape(v2/frt_half, to:i64[2])\n"
           "y/frt_half = MatMul(v4/frt_half, m/frt_half:f16[576,5])\n"
           "y = Cast(y/frt_half) to=1\n"
           "output y:f32[?,5]\n");
}

static void weights_that_do_not_fit_keep_their_layer(void **state)
{
    (void)state;
    int x, w = FRT_ONNX_NONE;
    struct frt_onnx_graph *g = fixture_graph(&x);
    const struct frt_onnx_shape shape = SHAPE(4, 3, 3, 3);
    float *to = frt_onnx_const_space(g, "w", &shape, &w);
    assert_non_null(to);
    for (int i = 0; i < 4 * 3 * 9; i++)
        to[i] = i == 7 ? 65536.0F : 0.1F;
    expect(fixture_file(g, fixture_conv(g, x, w, 4, 1, 1)), 0, NULL);
    g = fixture_graph(&x); /* no layer at all */
    expect(fixture_file(g, node(g, "Relu", x, FRT_ONNX_NONE, SHAPE(-1, 3, SIDE, SIDE))), 0, NULL);
}

static void memory_that_runs_out_leaves_nothing_behind(void **state)
{
    (void)state;
    int x;
    struct frt_onnx_graph *g = fixture_graph(&x);
    struct fixture_file_bytes file = fixture_file(g, conv(g, x, "w", 3, 8));
    enum frt_status status = FRT_ENOMEM;
    for (long i = 0; status != FRT_OK; i++) {
        uint8_t *out = NULL;
        size_t size = 0;
        uint32_t halved = 0;
        frt_mem_fail_after(i);
        status = frt_rewrite_in_half(file.bytes, file.size, &out, &size, &halved, NULL);
        frt_mem_fail_after(-1);
        /* protobuf-c does not say why it could not parse */
        assert_true(status == FRT_OK || status == FRT_ENOMEM || status == FRT_EBAD_MODEL);
        assert_true((out != NULL) == (status == FRT_OK));
        frt_free(out);
    }
    frt_free(file.bytes);
    assert_int_equal(frt_rewrite_in_half("none", 4, &file.bytes, &file.size, &(uint32_t){0}, NULL),
                     FRT_EBAD_MODEL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(layers_and_what_is_between_them),
        cmocka_unit_test(operators_that_are_not_in_the_table),
        cmocka_unit_test(shapes_are_no_halves),
        cmocka_unit_test(weights_that_do_not_fit_keep_their_layer),
        cmocka_unit_test(memory_that_runs_out_leaves_nothing_behind),
    };
    struct frt_error err = {0};
    /* without a runtime only the graphs are compared */
    if (frt_backend_onnxruntime_new(&(struct frt_onnxruntime_options){.threads = 1}, &fixture_backend, &err) !=
        FRT_OK)
        print_message("no runtime: %s\n", err.text);
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    frt_backend_free(fixture_backend);
    return failed;
}
