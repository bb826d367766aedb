/*
 * Each pass of passes.h on a small graph of its own: the graph as text before and after, results on random
 * inputs equal to 1e-4 of the largest, nothing left to do the second time, and what it must leave alone. (PReLU
 * and groups: test_rewrite.c.)
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "core/mem.h"
#include "model/compile.h"
#include "model/pass_batch.h"
#include "model/pass_fixtures.h"
#include "model/pass_half.h"
#include "model/passes.h"

enum { SKIPPED = 77, MAX_DUMP = 1 << 16 };

/* ---------------------------------------------------------- building graphs */

static struct frt_onnx_shape feature(int64_t channels)
{
    return SHAPE(-1, channels, SIDE, SIDE);
}

static int node(struct frt_onnx_graph *g, const char *op, int a, int b, struct frt_onnx_shape shape)
{
    const struct frt_onnx_node n = {
        .op = op, .n_inputs = b == FRT_ONNX_NONE ? 1 : 2, .inputs = {a, b}, .outputs = {shape}};
    return frt_onnx_node_add(g, &n);
}

static int conv_of(struct frt_onnx_graph *g, int x, const char *name, int64_t in, int64_t out, int64_t pad)
{
    int w = fixture_weights(g, name, SHAPE(out, in, 3, 3), 0.5F);
    return fixture_conv(g, x, w, out, 1, pad);
}

static int positive(struct frt_onnx_graph *g, const char *name, int64_t n)
{
    int value = FRT_ONNX_NONE;
    const struct frt_onnx_shape shape = SHAPE(n);
    float *to = frt_onnx_const_space(g, name, &shape, &value);
    for (int64_t i = 0; to != NULL && i < n; i++)
        to[i] = 0.5F + (float)i / (float)n;
    return value;
}

/* `shift`: 0 takes the mean away too, so that nothing is added. */
static int batchnorm(struct frt_onnx_graph *g, int x, int64_t n, float shift, struct frt_onnx_shape shape)
{
    int scale = positive(g, "scale", n);
    int beta = fixture_weights(g, "beta", SHAPE(n), shift);
    int mean = fixture_weights(g, "mean", SHAPE(n), shift);
    int variance = positive(g, "variance", n);
    const struct frt_onnx_node bn = {.op = "BatchNormalization",
                                     .n_inputs = 5,
                                     .inputs = {x, scale, beta, mean, variance},
                                     .outputs = {shape}};
    return frt_onnx_node_add(g, &bn);
}

static int number(struct frt_onnx_graph *g, const char *name, float value)
{
    const struct frt_onnx_shape one = SHAPE(1);
    return frt_onnx_const_f32(g, name, &one, &value);
}

/* ------------------------------------------------------------- the harness */

static char *dump_of(const void *bytes, size_t size)
{
    struct frt_onnx_model *model = NULL;
    struct frt_buf out;
    size_t n = 0;
    frt_buf_init(&out, MAX_DUMP);
    assert_int_equal(frt_onnx_model_parse(bytes, size, &model, NULL), FRT_OK);
    assert_int_equal(frt_onnx_model_dump(model, &out), FRT_OK);
    frt_buf_append_char(&out, '\0');
    frt_onnx_model_free(model);
    return frt_buf_take(&out, &n);
}

struct rewritten {
    uint8_t *bytes;
    size_t size;
    uint32_t changed;
};

static struct rewritten apply(const void *bytes, size_t size, frt_pass_fn *pass)
{
    struct rewritten r = {0};
    struct frt_onnx_model *model = NULL;
    assert_int_equal(frt_onnx_model_parse(bytes, size, &model, NULL), FRT_OK);
    assert_int_equal(pass(model, &r.changed, NULL), FRT_OK);
    assert_int_equal(frt_onnx_model_pack(model, &r.bytes, &r.size, NULL), FRT_OK);
    frt_onnx_model_free(model);
    return r;
}

/* How often the pass did something; the graph as text before and after is compared where it is given. */
static uint32_t check(struct fixture_file_bytes file, frt_pass_fn *pass, const char *before, const char *after)
{
    struct rewritten r = apply(file.bytes, file.size, pass);
    char *was = dump_of(file.bytes, file.size), *is = dump_of(r.bytes, r.size);
    if (before != NULL)
        assert_string_equal(was, before);
    if (after != NULL)
        assert_string_equal(is, after);
    if (r.changed == 0)
        assert_string_equal(was, is);
    fixture_assert_same(&file, r.bytes, r.size, SIDE);
    struct rewritten again = apply(r.bytes, r.size, pass);
    assert_int_equal(again.changed, 0);
    const uint32_t changed = r.changed;
    frt_free(was);
    frt_free(is);
    frt_free(again.bytes);
    frt_free(r.bytes);
    frt_free(file.bytes);
    return changed;
}

/* ------------------------------------------------------------------- passes */

static void batchnorm_after_a_convolution(void **state)
{
    (void)state;
    int x;
    struct frt_onnx_graph *g = fixture_graph(&x);
    int c = conv_of(g, x, "w", 3, 8, 1);
    assert_int_equal(
        check(fixture_file(g, batchnorm(g, c, 8, 1, feature(8))), frt_pass_batchnorm,
              "input x:f32[?,3,12,12]\n"
              "v2 = Conv(x, w:f32[8,3,3,3]) group=1 pads=[1,1,1,1]\n"
              "y = BatchNormalization(v2, scale:f32[8], beta:f32[8], mean:f32[8], variance:f32[8])\n"
              "output y:f32[?,8,12,12]\n",
              "input x:f32[?,3,12,12]\n"
              "y = Conv(x, v2/frt_w1:f32[8,3,3,3], v2/frt_b1:f32[8]) group=1 pads=[1,1,1,1]\n"
              "output y:f32[?,8,12,12]\n"),
        1);
}

/* Before a convolution: exact without padding, or where nothing is added; else it stays. */
static void batchnorm_before_a_convolution(void **state)
{
    (void)state;
    for (int i = 0; i < 3; i++) {
        int x;
        struct frt_onnx_graph *g = fixture_graph(&x);
        int n = batchnorm(g, x, 3, i == 1 ? 0.0F : 1.0F, feature(3));
        const uint32_t changed =
            check(fixture_file(g, conv_of(g, n, "w", 3, 8, i == 0 ? 0 : 1)), frt_pass_batchnorm, NULL, NULL);
        assert_int_equal(changed, i == 2 ? 0 : 1);
    }
}

/* Somebody else reads what is normalised: nothing may be folded. */
static void batchnorm_that_is_shared_stays(void **state)
{
    (void)state;
    int x;
    struct frt_onnx_graph *g = fixture_graph(&x);
    int c = conv_of(g, x, "w", 3, 8, 1);
    int n = batchnorm(g, c, 8, 1, feature(8));
    assert_int_equal(check(fixture_file(g, node(g, "Add", c, n, feature(8))), frt_pass_batchnorm, NULL, NULL),
                     0);
}

static void factors_beside_convolutions(void **state)
{
    (void)state;
    static const char *const ops[] = {"Mul", "Div", "Add", "Sub"};
    for (int i = 0; i < 16; i++) {
        const bool before = (i & 4) != 0, padded = (i & 8) != 0, sum = (i & 3) > 1;
        int x;
        struct frt_onnx_graph *g = fixture_graph(&x);
        int factor = i % 2 == 0 ? fixture_weights(g, "f", before ? SHAPE(3, 1, 1) : SHAPE(1, 8, 1, 1), 3)
                                : number(g, "f", 0.3F);
        int y = before ? conv_of(g, node(g, ops[i & 3], x, factor, feature(3)), "w", 3, 8, padded)
                       : node(g, ops[i & 3], conv_of(g, x, "w", 3, 8, padded), factor, feature(8));
        assert_int_equal(check(fixture_file(g, y), frt_pass_scale, NULL, NULL),
                         before && padded && sum ? 0 : 1);
    }
}

/* What a constant would spread over channels or pixels is not one number a channel. */
static void other_factors_stay(void **state)
{
    (void)state;
    const struct frt_onnx_shape shapes[] = {SHAPE(SIDE), SHAPE(SIDE, 1), SHAPE(3, SIDE, SIDE)};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        int x;
        struct frt_onnx_graph *g = fixture_graph(&x);
        int scaled = node(g, "Mul", x, fixture_weights(g, "f", shapes[i], 3), feature(3));
        assert_int_equal(check(fixture_file(g, conv_of(g, scaled, "w", 3, 8, 0)), frt_pass_scale, NULL, NULL),
                         0);
    }
}

static void normalisation_at_the_start(void **state)
{
    (void)state;
    int x;
    struct frt_onnx_graph *g = fixture_graph(&x);
    int centred = node(g, "Sub", x, number(g, "mean", 0.4F), feature(3));
    int scaled = node(g, "Mul", centred, number(g, "scale", 2.5F), feature(3));
    assert_int_equal(check(fixture_file(g, conv_of(g, scaled, "w", 3, 8, 1)), frt_pass_scale,
                           "input x:f32[?,3,12,12]\n"
                           "v2 = Sub(x, mean:f32[1])\n"
                           "v4 = Mul(v2, scale:f32[1])\n"
                           "y = Conv(v4, w:f32[8,3,3,3]) group=1 pads=[1,1,1,1]\n"
                           "output y:f32[?,8,12,12]\n",
                           "input x:f32[?,3,12,12]\n" /* the product goes; the sum would change the borders */
                           "v2 = Sub(x, mean:f32[1])\n"
                           "y = Conv(v2, y/frt_w1:f32[8,3,3,3], y/frt_b1:f32[8]) group=1 pads=[1,1,1,1]\n"
                           "output y:f32[?,8,12,12]\n"),
                     1);
    g = fixture_graph(&x);
    centred = node(g, "Sub", x, number(g, "mean", 0.4F), feature(3));
    scaled = node(g, "Mul", centred, number(g, "scale", 2.5F), feature(3));
    assert_int_equal(check(fixture_file(g, conv_of(g, scaled, "w", 3, 8, 0)), frt_pass_scale, NULL,
                           "input x:f32[?,3,12,12]\n"
                           "y = Conv(x, y/frt_w2:f32[8,3,3,3], y/frt_b2:f32[8]) group=1 pads=[0,0,0,0]\n"
                           "output y:f32[?,8,12,12]\n"),
                     2);
}

static void min_and_max_become_clip(void **state)
{
    (void)state;
    int x;
    struct frt_onnx_graph *g = fixture_graph(&x);
    int c = conv_of(g, x, "w", 3, 8, 1);
    int low = node(g, "Max", c, number(g, "low", 0), feature(8));
    assert_int_equal(check(fixture_file(g, node(g, "Min", low, number(g, "high", 1), feature(8))),
                           frt_pass_clip,
                           "input x:f32[?,3,12,12]\n"
                           "v2 = Conv(x, w:f32[8,3,3,3]) group=1 pads=[1,1,1,1]\n"
                           "v4 = Max(v2, low:f32[1])\n"
                           "y = Min(v4, high:f32[1])\n"
                           "output y:f32[?,8,12,12]\n",
                           "input x:f32[?,3,12,12]\n"
                           "v2 = Conv(x, w:f32[8,3,3,3]) group=1 pads=[1,1,1,1]\n"
                           "y = Clip(v2, y/frt_low1:f32[], y/frt_high1:f32[])\n"
                           "output y:f32[?,8,12,12]\n"),
                     1);
    g = fixture_graph(&x); /* one alone */
    c = conv_of(g, x, "w", 3, 8, 1);
    assert_int_equal(check(fixture_file(g, node(g, "Max", number(g, "low", 0), c, feature(8))), frt_pass_clip,
                           NULL,
                           "input x:f32[?,3,12,12]\n"
                           "v2 = Conv(x, w:f32[8,3,3,3]) group=1 pads=[1,1,1,1]\n"
                           "y = Relu(v2)\n"
                           "output y:f32[?,8,12,12]\n"),
                     1);
    g = fixture_graph(&x); /* of two values */
    c = conv_of(g, x, "w", 3, 8, 1);
    int d = conv_of(g, x, "v", 3, 8, 1);
    assert_int_equal(check(fixture_file(g, node(g, "Max", c, d, feature(8))), frt_pass_clip, NULL, NULL), 0);
}

static void identity_goes(void **state)
{
    (void)state;
    int x;
    struct frt_onnx_graph *g = fixture_graph(&x);
    int c = node(g, "Identity", conv_of(g, x, "w", 3, 8, 1), FRT_ONNX_NONE, feature(8));
    int r = node(g, "Relu", c, FRT_ONNX_NONE, feature(8));
    assert_int_equal(check(fixture_file(g, node(g, "Dropout", r, FRT_ONNX_NONE, feature(8))), frt_pass_identity,
                           "input x:f32[?,3,12,12]\n"
                           "v2 = Conv(x, w:f32[8,3,3,3]) group=1 pads=[1,1,1,1]\n"
                           "v3 = Identity(v2)\n"
                           "v4 = Relu(v3)\n"
                           "y = Dropout(v4)\n"
                           "output y:f32[?,8,12,12]\n",
                           "input x:f32[?,3,12,12]\n"
                           "v2 = Conv(x, w:f32[8,3,3,3]) group=1 pads=[1,1,1,1]\n"
                           "y = Relu(v2)\n"
                           "output y:f32[?,8,12,12]\n"),
                     2);
    g = fixture_graph(&x); /* an input that is an output needs its node */
    assert_int_equal(check(fixture_file(g, node(g, "Identity", x, FRT_ONNX_NONE, feature(3))),
                           frt_pass_identity, NULL, NULL),
                     0);
}

static void dead_nodes_go(void **state)
{
    (void)state;
    int x;
    struct frt_onnx_graph *g = fixture_graph(&x);
    int c = conv_of(g, x, "w", 3, 8, 1);
    (void)node(g, "Relu", node(g, "Neg", c, FRT_ONNX_NONE, feature(8)), FRT_ONNX_NONE, feature(8));
    (void)number(g, "unread", 1);
    assert_int_equal(check(fixture_file(g, node(g, "Relu", c, FRT_ONNX_NONE, feature(8))), frt_pass_dead, NULL,
                           "input x:f32[?,3,12,12]\n"
                           "v2 = Conv(x, w:f32[8,3,3,3]) group=1 pads=[1,1,1,1]\n"
                           "y = Relu(v2)\n"
                           "output y:f32[?,8,12,12]\n"),
                     3);
}

/* Sizes that do not depend on the batch, and arithmetic over weights. */
static void constants_are_computed(void **state)
{
    (void)state;
    int x;
    struct frt_onnx_graph *g = fixture_graph(&x);
    int a = fixture_weights(g, "a", SHAPE(8, 27), 1), b = fixture_weights(g, "b", SHAPE(8, 1), 1);
    int w = node(g, "Mul", a, node(g, "Neg", b, FRT_ONNX_NONE, SHAPE(8, 1)), SHAPE(8, 27));
    static const int64_t sizes[] = {8, 3, 3, 3}, where[] = {1, 2};
    int four = node(g, "Reshape", w, frt_onnx_const_i64(g, "sizes", 4, sizes), SHAPE(8, 3, 3, 3));
    int c = fixture_conv(g, x, four, 8, 1, 1);
    int shape = node(g, "Shape", c, FRT_ONNX_NONE, SHAPE(4));
    int picked = node(g, "Gather", shape, frt_onnx_const_i64(g, "where", 2, where), SHAPE(2)); /* 8, SIDE */
    static const int64_t any[] = {-1};
    const struct frt_onnx_node together = {.op = "Concat",
                                           .n_inputs = 2,
                                           .inputs = {frt_onnx_const_i64(g, "any", 1, any), picked},
                                           .outputs = {SHAPE(3)},
                                           .n_attributes = 1,
                                           .attributes = {{.name = "axis", .kind = FRT_ONNX_INT, .i = 0}}};
    int to = frt_onnx_node_add(g, &together);
    assert_int_equal(check(fixture_file(g, node(g, "Reshape", c, to, SHAPE(-1, 8, SIDE))), frt_pass_constants,
                           NULL,
                           "input x:f32[?,3,12,12]\n"
                           "v7 = Conv(x, v6:f32[8,3,3,3]) group=1 pads=[1,1,1,1]\n"
                           "v8 = Shape(v7)\n" /* the batch is not known, so it stays; nobody reads it */
                           "y = Reshape(v7, v12:i64[3])\n"
                           "output y:f32[?,8,12]\n"),
                     5);
}

static void matmul_becomes_gemm(void **state)
{
    (void)state;
    int x;
    struct frt_onnx_graph *g = fixture_graph(&x);
    const struct frt_onnx_node flat = {.op = "Flatten",
                                       .n_inputs = 1,
                                       .inputs = {x},
                                       .outputs = {SHAPE(-1, 3 * SIDE * SIDE)},
                                       .n_attributes = 1,
                                       .attributes = {{.name = "axis", .kind = FRT_ONNX_INT, .i = 1}}};
    int f = frt_onnx_node_add(g, &flat);
    int w = fixture_weights(g, "w", SHAPE(3 * SIDE * SIDE, 16), 0.5F),
        b = fixture_weights(g, "b", SHAPE(16), 1);
    int m = node(g, "MatMul", f, w, SHAPE(-1, 16));
    assert_int_equal(check(fixture_file(g, node(g, "Add", m, b, SHAPE(-1, 16))), frt_pass_gemm,
                           "input x:f32[?,3,12,12]\n"
                           "v1 = Flatten(x) axis=1\n"
                           "v4 = MatMul(v1, w:f32[432,16])\n"
                           "y = Add(v4, b:f32[16])\n"
                           "output y:f32[?,16]\n",
                           "input x:f32[?,3,12,12]\n"
                           "v1 = Flatten(x) axis=1\n"
                           "y = Gemm(v1, w:f32[432,16], b:f32[16])\n"
                           "output y:f32[?,16]\n"),
                     1);
    /* and then a normalisation is folded into it */
    g = fixture_graph(&x);
    const struct frt_onnx_node flat_again = {.op = "Flatten",
                                             .n_inputs = 1,
                                             .inputs = {x},
                                             .outputs = {SHAPE(-1, 3 * SIDE * SIDE)},
                                             .n_attributes = 1,
                                             .attributes = {{.name = "axis", .kind = FRT_ONNX_INT, .i = 1}}};
    f = frt_onnx_node_add(g, &flat_again);
    w = fixture_weights(g, "w", SHAPE(3 * SIDE * SIDE, 16), 0.5F);
    const struct frt_onnx_node gemm = {
        .op = "Gemm", .n_inputs = 2, .inputs = {f, w}, .outputs = {SHAPE(-1, 16)}};
    int product = frt_onnx_node_add(g, &gemm);
    assert_int_equal(
        check(fixture_file(g, batchnorm(g, product, 16, 1, SHAPE(-1, 16))), frt_pass_batchnorm, NULL, NULL), 1);
}

/* 3 → 13 by 3 × 3, PReLU, depthwise, PReLU, 13 → 8. `shared`: somebody else reads what is between. */
static struct fixture_file_bytes narrow_file(bool shared)
{
    int x;
    struct frt_onnx_graph *g = fixture_graph(&x);
    int c = conv_of(g, x, "w", 3, 13, 1);
    int p = fixture_prelu(g, c, fixture_weights(g, "a", SHAPE(13, 1, 1), 0.9F));
    int d = fixture_conv(g, p, fixture_weights(g, "d", SHAPE(13, 1, 3, 3), 0.5F), 13, 13, 1);
    int q = fixture_prelu(g, d, fixture_weights(g, "b", SHAPE(1, 13, 1, 1), 0.9F));
    if (shared)
        q = node(g, "Add", q, p, feature(13));
    return fixture_file(g, fixture_conv(g, q, fixture_weights(g, "e", SHAPE(8, 13, 1, 1), 0.5F), 8, 1, 0));
}

static void channels_become_whole_blocks(void **state)
{
    (void)state;
    assert_int_equal(check(narrow_file(false), frt_pass_channels, NULL,
                           "input x:f32[?,3,12,12]\n"
                           "v2 = Conv(x, v2/frt_p1:f32[16,3,3,3]) group=1 pads=[1,1,1,1]\n"
                           "v4 = PRelu(v2, v4/frt_p1:f32[16,1,1])\n"
                           "v6 = Conv(v4, v6/frt_p1:f32[16,1,3,3]) group=16 pads=[1,1,1,1]\n"
                           "v8 = PRelu(v6, v8/frt_p1:f32[1,16,1,1])\n"
                           "y = Conv(v8, y/frt_p1:f32[8,16,1,1]) group=1 pads=[0,0,0,0]\n"
                           "output y:f32[?,8,12,12]\n"),
                     1);
    assert_int_equal(check(narrow_file(true), frt_pass_channels, NULL, NULL), 0);
    int x; /* two layers, nothing between them that would gain */
    struct frt_onnx_graph *g = fixture_graph(&x);
    int c = node(g, "Relu", conv_of(g, x, "w", 3, 13, 1), FRT_ONNX_NONE, feature(13));
    assert_int_equal(check(fixture_file(g, conv_of(g, c, "v", 13, 8, 1)), frt_pass_channels, NULL, NULL), 0);
}

/* ---------------------------------------------------------- weights in half */

static void halves_are_rounded_to_nearest(void **state)
{
    (void)state;
    static const struct {
        float value;
        uint16_t half;
    } known[] = {{0, 0},
                 {-0.0F, 0x8000},
                 {1, 0x3C00},
                 {-2, 0xC000},
                 {65504, 0x7BFF},
                 {65520, 0x7C00},
                 {1e9F, 0x7C00},
                 {0x1p-14F, 0x0400},
                 {0x1p-24F, 1},
                 {0x1p-25F, 0},
                 {0x1.8p-24F, 2},
                 {1.0F / 3, 0x3555},
                 {1 + 0x1p-11F, 0x3C00},
                 {1 + 0x3p-11F, 0x3C02}};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        assert_int_equal(frt_f16_of(known[i].value), known[i].half);
}

static void halved_weights_shrink_the_file(void **state)
{
    (void)state;
    int x;
    struct frt_onnx_graph *g = fixture_graph(&x);
    struct fixture_file_bytes file = fixture_file(g, conv_of(g, x, "w", 3, 64, 1));
    struct frt_compile_options options = {.precision = FRT_PRECISION_FP16_STORAGE};
    struct frt_compile_report report;
    uint8_t *out = NULL;
    size_t size = 0;
    assert_int_equal(frt_compile_model(file.bytes, file.size, &options, &out, &size, &report, NULL), FRT_OK);
    assert_int_equal(report.halved, 1);
    assert_true(size < file.size * 6 / 10);
    char *dump = dump_of(out, size);
    assert_string_equal(dump, "input x:f32[?,3,12,12]\n"
                              "w = Cast(w/frt_f16:f16[64,3,3,3]) to=1\n"
                              "y = Conv(x, w) group=1 pads=[1,1,1,1]\n"
                              "output y:f32[?,64,12,12]\n");
    static float a[MAX_OUT], b[MAX_OUT];
    if (fixture_backend != NULL) {
        const size_t n = fixture_run(file.bytes, file.size, 2, SIDE, a);
        assert_int_equal(fixture_run(out, size, 2, SIDE, b), n);
        double largest = 0, apart = 0;
        for (size_t i = 0; i < n; i++) {
            const double difference = (double)a[i] - (double)b[i], value = (double)a[i];
            apart = difference > apart ? difference : -difference > apart ? -difference : apart;
            largest = value > largest ? value : -value > largest ? -value : largest;
        }
        assert_true(apart <= 1e-3 * largest);
        assert_true(apart > 0); /* weights were rounded, or nothing was tested */
    }
    /* the way back: what is compiled again, computes the wide ones from the halves, and equals to the bit */
    options.precision = FRT_PRECISION_FP32;
    uint8_t *wide = NULL;
    size_t wide_size = 0;
    assert_int_equal(frt_compile_model(out, size, &options, &wide, &wide_size, &report, NULL), FRT_OK);
    assert_int_equal(frt_pass_count_of(&report.passes, "constants"), 1);
    const struct fixture_file_bytes halved = {out, size};
    fixture_assert_same(&halved, wide, wide_size, SIDE);
    frt_free(dump);
    frt_free(wide);
    frt_free(out);
    frt_free(file.bytes);
}

/* -------------------------------------------------------------------- batch */

static struct fixture_file_bytes one_only(void)
{
    struct frt_onnx_graph *g = NULL;
    const struct frt_onnx_shape shape = SHAPE(1, 3, SIDE, SIDE);
    static const int64_t flat[] = {1, -1};
    assert_int_equal(frt_onnx_new("test", &g, NULL), FRT_OK);
    int x = frt_onnx_input(g, "x", &shape);
    int to = frt_onnx_const_i64(g, "flat", 2, flat);
    return fixture_file(g, node(g, "Reshape", x, to, SHAPE(1, 3 * SIDE * SIDE)));
}

static void the_batch_is_what_is_asked_for(void **state)
{
    (void)state;
    struct fixture_file_bytes file = one_only();
    static const struct {
        int64_t batch;
        const char *dump;
    } cases[] = {{-1, "input x:f32[?,3,12,12]\ny = Reshape(x, y/frt_batch:i64[2])\noutput y:f32[?,432]\n"},
                 {4, "input x:f32[4,3,12,12]\ny = Reshape(x, y/frt_batch:i64[2])\noutput y:f32[4,432]\n"},
                 {1, "input x:f32[1,3,12,12]\ny = Reshape(x, flat:i64[2])\noutput y:f32[1,432]\n"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct frt_compile_options options = {.batch = cases[i].batch};
        struct frt_compile_report report;
        uint8_t *out = NULL;
        size_t size = 0;
        static float a[MAX_OUT];
        assert_int_equal(frt_compile_model(file.bytes, file.size, &options, &out, &size, &report, NULL),
                         FRT_OK);
        char *dump = dump_of(out, size);
        assert_string_equal(dump, cases[i].dump);
        assert_int_equal(report.batch_changed, cases[i].batch != 1);
        if (fixture_backend != NULL) {
            const int64_t n = cases[i].batch < 0 ? 2 : cases[i].batch;
            assert_int_equal(fixture_run(out, size, n, SIDE, a), n * 3 * SIDE * SIDE);
        }
        frt_free(dump);
        frt_free(out);
    }
    frt_free(file.bytes);
}

/* ---------------------------------------------------------------- the table */

static void the_table_is_whole(void **state)
{
    (void)state;
    struct frt_pass_counts counts = {0};
    char text[FRT_PASS_SUMMARY_MAX];
    uint32_t n = 0;
    for (const struct frt_pass *p; (p = frt_pass_get(n)) != NULL; n++) {
        assert_true(p->says[0] != '\0' && p->run != NULL && p->kind != 0);
        for (uint32_t k = 0; k < n; k++)
            assert_string_not_equal(p->name, frt_pass_get(k)->name);
        counts.changed[n] = n + 1;
        assert_int_equal(frt_pass_count_of(&counts, p->name), n + 1);
    }
    frt_pass_counts_text(&counts, text);
    assert_ptr_equal(strstr(text, "constants 1, identity 2"), text);
    assert_int_equal(frt_pass_counts_sum(&counts), n * (n + 1) / 2);
    assert_int_equal(frt_pass_count_of(&counts, "none"), 0);
}

static void lack_of_memory(void **state)
{
    (void)state;
    int x;
    struct frt_onnx_graph *g = fixture_graph(&x);
    int c = node(g, "Identity", conv_of(g, x, "w", 3, 8, 1), FRT_ONNX_NONE, feature(8));
    int n = batchnorm(g, c, 8, 1, feature(8));
    int m =
        node(g, "Max", node(g, "Mul", n, number(g, "two", 2), feature(8)), number(g, "zero", 0), feature(8));
    struct fixture_file_bytes file = fixture_file(g, m);
    for (int64_t k = 0;; k++) {
        struct frt_compile_options options = {.precision = FRT_PRECISION_FP16_STORAGE, .batch = 2};
        struct frt_compile_report report;
        struct frt_error err = {0};
        uint8_t *out = NULL;
        size_t size = 0;
        frt_mem_fail_after(k);
        enum frt_status status = frt_compile_model(file.bytes, file.size, &options, &out, &size, &report, &err);
        const bool all = frt_mem_asked() <= k;
        frt_mem_fail_after(-1);
        if (status == FRT_OK) {
            assert_true(all);
            assert_int_equal(frt_pass_counts_sum(&report.passes) >= 4, 1);
            frt_free(out);
            break;
        }
        assert_true(status == FRT_ENOMEM ||
                    status == FRT_EBAD_MODEL); /* protobuf-c does not tell the two apart */
        assert_null(out);
    }
    frt_free(file.bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(batchnorm_after_a_convolution),
        cmocka_unit_test(batchnorm_before_a_convolution),
        cmocka_unit_test(batchnorm_that_is_shared_stays),
        cmocka_unit_test(factors_beside_convolutions),
        cmocka_unit_test(other_factors_stay),
        cmocka_unit_test(normalisation_at_the_start),
        cmocka_unit_test(min_and_max_become_clip),
        cmocka_unit_test(identity_goes),
        cmocka_unit_test(dead_nodes_go),
        cmocka_unit_test(constants_are_computed),
        cmocka_unit_test(matmul_becomes_gemm),
        cmocka_unit_test(channels_become_whole_blocks),
        cmocka_unit_test(halves_are_rounded_to_nearest),
        cmocka_unit_test(halved_weights_shrink_the_file),
        cmocka_unit_test(the_batch_is_what_is_asked_for),
        cmocka_unit_test(the_table_is_whole),
        cmocka_unit_test(lack_of_memory),
    };
    struct frt_error err = {0};
    if (frt_backend_onnxruntime_new(&(struct frt_onnxruntime_options){.threads = 1}, &fixture_backend, &err) !=
        FRT_OK)
        print_message("without the runtime results are not compared: %s\n", err.text);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    if (fixture_backend == NULL)
        return failed != 0 ? failed : SKIPPED; /* what matters most was not looked at */
    frt_backend_free(fixture_backend);
    return failed;
}
