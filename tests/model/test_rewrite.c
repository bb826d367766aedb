/*
 * Rewriting graphs: each pass on its own, and all of them, against the graph as it was, run by the runtime on
 * random inputs; what a pass must leave alone; damaged and hostile files; lack of memory. Real embedders where
 * FRT_TEST_ASSETS (default ../shared/assets) has them.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/mem.h"
#include "infer/infer.h"
#include "model/model_file.h"
#include "model/pass_fixtures.h"
#include "model/rewrite.h"

enum { SKIPPED = 77 };

/* 3 → CHANNELS by 3 × 3, then PReLU. */
static struct fixture_file_bytes prelu_file(struct frt_onnx_shape slopes, float scale)
{
    int x;
    struct frt_onnx_graph *g = fixture_graph(&x);
    int w = fixture_weights(g, "w", SHAPE(CHANNELS, 3, 3, 3), 0.5F);
    int c = fixture_conv(g, x, w, CHANNELS, 1, 1);
    int a = fixture_weights(g, "a", slopes, scale);
    return fixture_file(g, fixture_prelu(g, c, a));
}

/* Slopes that would let a PReLU be folded, but somebody else reads what the convolution gives. */
static struct fixture_file_bytes shared_file(void)
{
    int x;
    struct frt_onnx_graph *g = fixture_graph(&x);
    int w = fixture_weights(g, "w", SHAPE(CHANNELS, 3, 3, 3), 0.5F);
    int c = fixture_conv(g, x, w, CHANNELS, 1, 1);
    int a = fixture_weights(g, "a", SHAPE(CHANNELS, 1, 1), 0.9F);
    int p = fixture_prelu(g, c, a);
    const struct frt_onnx_node sum = {
        .op = "Add", .n_inputs = 2, .inputs = {c, p}, .outputs = {frt_onnx_shape_of(g, c)}};
    return fixture_file(g, frt_onnx_node_add(g, &sum));
}

/* A normalisation between convolution and PReLU. */
static struct fixture_file_bytes normalised_file(void)
{
    int x;
    struct frt_onnx_graph *g = fixture_graph(&x);
    int w = fixture_weights(g, "w", SHAPE(CHANNELS, 3, 3, 3), 0.5F);
    int c = fixture_conv(g, x, w, CHANNELS, 1, 1);
    int scale = fixture_weights(g, "scale", SHAPE(CHANNELS), 1),
        shift = fixture_weights(g, "shift", SHAPE(CHANNELS), 1);
    int mean = fixture_weights(g, "mean", SHAPE(CHANNELS), 1), variance = FRT_ONNX_NONE;
    float *to = frt_onnx_const_space(g, "variance", &SHAPE(CHANNELS), &variance);
    for (int i = 0; to != NULL && i < CHANNELS; i++)
        to[i] = 0.5F + (float)i / CHANNELS;
    const struct frt_onnx_node node = {.op = "BatchNormalization",
                                       .n_inputs = 5,
                                       .inputs = {c, scale, shift, mean, variance},
                                       .outputs = {frt_onnx_shape_of(g, c)}};
    int n = frt_onnx_node_add(g, &node);
    int a = fixture_weights(g, "a", SHAPE(CHANNELS, 1, 1), 0.9F);
    return fixture_file(g, fixture_prelu(g, n, a));
}

/* ------------------------------------------------------------------ passes */

static uint32_t count_op(const struct frt_onnx_model *model, const char *op)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < frt_onnx_model_nodes(model); i++)
        n += strcmp(frt_onnx_model_op(model, i), op) == 0;
    return n;
}

/* How often the pass did something, and LeakyRelu nodes afterwards. */
static uint32_t pass(const struct fixture_file_bytes *file, frt_pass_fn *change, uint32_t *leaky)
{
    uint32_t changed = 0, again = 0;
    struct frt_onnx_model *model = NULL;
    uint8_t *out = NULL;
    size_t size = 0;
    assert_int_equal(frt_onnx_model_parse(file->bytes, file->size, &model, NULL), FRT_OK);
    assert_int_equal(change(model, &changed, NULL), FRT_OK);
    assert_int_equal(frt_onnx_model_pack(model, &out, &size, NULL), FRT_OK);
    if (leaky != NULL)
        *leaky = count_op(model, "LeakyRelu");
    frt_onnx_model_free(model);
    fixture_assert_same(file, out, size, SIDE);
    /* nothing is left to do for the same pass */
    assert_int_equal(frt_onnx_model_parse(out, size, &model, NULL), FRT_OK);
    assert_int_equal(change(model, &again, NULL), FRT_OK);
    assert_int_equal(again, 0);
    frt_onnx_model_free(model);
    frt_free(out);
    return changed;
}

static void prelus_become_convolutions(void **state)
{
    (void)state;
    /* slopes from -3 to 3: negative ones, and ones over 1, are as exact as the usual ones, which are folded */
    const struct frt_onnx_shape shapes[] = {SHAPE(CHANNELS, 1, 1), SHAPE(1, CHANNELS, 1, 1)};
    for (size_t i = 0; i < 6; i++) {
        struct fixture_file_bytes file = i < 4    ? prelu_file(shapes[i % 2], i < 2 ? 3.0F : 0.9F)
                                         : i == 4 ? shared_file()
                                                  : normalised_file();
        assert_true(frt_rewrite_pays(file.bytes, file.size));
        uint32_t leaky = 0;
        assert_int_equal(pass(&file, frt_pass_prelu, &leaky), 1);
        assert_int_equal(leaky, 0);
        frt_free(file.bytes);
    }
}

static void one_slope_becomes_leaky(void **state)
{
    (void)state;
    struct fixture_file_bytes file = prelu_file(SHAPE(1), 0.3F);
    uint32_t leaky = 0;
    assert_int_equal(pass(&file, frt_pass_prelu, &leaky), 1);
    assert_int_equal(leaky, 1);
    frt_free(file.bytes);
}

static void narrow_groups_become_wide(void **state)
{
    (void)state;
    const int64_t per_group[] = {2, 4, 8, 2};
    for (size_t i = 0; i < 4; i++) {
        int x;
        struct frt_onnx_graph *g = fixture_graph(&x);
        int w = fixture_weights(g, "w", SHAPE(CHANNELS, 3, 3, 3), 0.5F);
        int c = fixture_conv(g, x, w, CHANNELS, 1, 1);
        const int64_t outputs = i == 3 ? 2 * CHANNELS : CHANNELS; /* two in, four out: no pairs */
        int v = fixture_weights(g, "v", SHAPE(outputs, per_group[i], 3, 3), 0.5F);
        struct fixture_file_bytes file =
            fixture_file(g, fixture_conv(g, c, v, outputs, CHANNELS / per_group[i], 1));
        assert_int_equal(pass(&file, frt_pass_groups, NULL), 1);
        frt_free(file.bytes);
    }
}

static void what_does_not_fit_stays(void **state)
{
    (void)state;
    struct frt_onnx_shape per_pixel = SHAPE(CHANNELS, SIDE, SIDE);
    struct fixture_file_bytes file = prelu_file(per_pixel, 0.3F);
    assert_int_equal(pass(&file, frt_pass_prelu, NULL), 0);
    frt_free(file.bytes);

    int x; /* what the PReLU follows is not known to have channels */
    struct frt_onnx_graph *g = fixture_graph(&x);
    int a = fixture_weights(g, "a", SHAPE(3, 1, 1), 0.3F);
    file = fixture_file(g, fixture_prelu(g, x, a));
    assert_int_equal(pass(&file, frt_pass_prelu, NULL), 0);
    frt_free(file.bytes);

    g = fixture_graph(&x); /* depthwise, and dense: neither is narrow */
    int w = fixture_weights(g, "w", SHAPE(CHANNELS, 3, 3, 3), 0.5F), c = fixture_conv(g, x, w, CHANNELS, 1, 1);
    int v = fixture_weights(g, "v", SHAPE(CHANNELS, 1, 3, 3), 0.5F);
    file = fixture_file(g, fixture_conv(g, c, v, CHANNELS, CHANNELS, 1));
    assert_int_equal(pass(&file, frt_pass_groups, NULL), 0);
    assert_false(frt_rewrite_pays(file.bytes, file.size));
    uint8_t *out = NULL;
    size_t size = 0;
    assert_int_equal(frt_rewrite_for_runtime(file.bytes, file.size, &out, &size, NULL, NULL), FRT_OK);
    assert_null(out);
    frt_free(file.bytes);
}

/* ----------------------------------------------------------------- hostile */

static void damaged_files_are_refused_or_survived(void **state)
{
    (void)state;
    struct fixture_file_bytes file = prelu_file(SHAPE(CHANNELS, 1, 1), 0.3F);
    struct frt_error err = {0};
    for (size_t cut = 0; cut < file.size; cut += 7) {
        uint8_t *out = NULL;
        size_t size = 0;
        if (frt_rewrite_for_runtime(file.bytes, cut, &out, &size, NULL, &err) == FRT_OK)
            frt_free(out);
        else
            assert_int_equal(err.status, FRT_EBAD_MODEL);
    }
    for (size_t at = 0; at < file.size; at++) {
        uint8_t *out = NULL;
        size_t size = 0;
        file.bytes[at] ^= 0x5A;
        if (frt_rewrite_for_runtime(file.bytes, file.size, &out, &size, NULL, &err) == FRT_OK)
            frt_free(out);
        file.bytes[at] ^= 0x5A;
    }
    frt_free(file.bytes);
}

/* A million empty nodes are two bytes each in the file and a hundred in memory. */
static void a_bomb_is_refused(void **state)
{
    (void)state;
    enum { NODES = 1 << 20, BODY = 2 * NODES };
    uint8_t *bomb = frt_alloc(BODY + 8);
    struct frt_onnx_model *model = NULL;
    struct frt_error err = {0};
    size_t at = 0;
    bomb[at++] = 0x3A; /* graph, length-delimited */
    for (uint32_t n = BODY; n > 0; n >>= 7)
        bomb[at++] = (uint8_t)((n & 0x7F) | (n > 0x7F ? 0x80 : 0));
    for (size_t i = 0; i < NODES; i++, at += 2)
        memcpy(bomb + at, "\x0A\x00", 2);
    assert_int_equal(frt_onnx_model_parse(bomb, at, &model, &err), FRT_EBAD_MODEL);
    assert_non_null(strstr(err.text, "times its size"));
    frt_free(bomb);
}

static void lack_of_memory(void **state)
{
    (void)state;
    struct fixture_file_bytes file = prelu_file(SHAPE(CHANNELS, 1, 1), 0.3F);
    for (int64_t n = 0;; n++) {
        uint8_t *out = NULL;
        size_t size = 0;
        struct frt_error err = {0};
        frt_mem_fail_after(n);
        enum frt_status status = frt_rewrite_for_runtime(file.bytes, file.size, &out, &size, NULL, &err);
        const bool all = frt_mem_asked() <= n;
        frt_mem_fail_after(-1);
        if (status == FRT_OK) {
            assert_true(all);
            assert_non_null(out);
            frt_free(out);
            break;
        }
        /* protobuf-c does not tell lack of memory from damage */
        assert_true(status == FRT_ENOMEM || status == FRT_EBAD_MODEL);
        assert_null(out);
    }
    frt_free(file.bytes);
}

/* -------------------------------------------------------------- real models */

static void real_embedders_give_the_same(void **state)
{
    static const struct {
        const char *file;
        uint32_t prelus, groups;
    } models[] = {{"w600k_mbf_dequant_fp32.onnx", 34, 1}, {"insightface_y1.converted.onnx", 33, 0}};
    const char *assets = getenv("FRT_TEST_ASSETS");
    (void)state;
    if (fixture_backend == NULL)
        skip();
    for (size_t i = 0; i < sizeof models / sizeof *models; i++) {
        char path[1024];
        const void *bytes = NULL;
        size_t size = 0, out_size = 0;
        uint8_t *out = NULL;
        struct frt_pass_counts report = {0};
        (void)snprintf(path, sizeof path, "%s/models/recognize/%s",
                       assets != NULL ? assets : "../shared/assets", models[i].file);
        if (frt_model_file_map(path, 1U << 30, &bytes, &size, NULL) != FRT_OK) {
            print_message("SKIP: %s is not there (FRT_TEST_ASSETS)\n", path);
            skip();
        }
        assert_true(frt_rewrite_pays(bytes, size));
        assert_int_equal(frt_rewrite_for_runtime(bytes, size, &out, &out_size, &report, NULL), FRT_OK);
        assert_int_equal(frt_pass_count_of(&report, "prelu"), models[i].prelus);
        assert_int_equal(frt_pass_count_of(&report, "groups"), models[i].groups);
        uint8_t *copy = frt_alloc(size);
        memcpy(copy, bytes, size);
        const struct fixture_file_bytes before = {copy, size};
        static float a[MAX_OUT], b[MAX_OUT];
        const size_t n = fixture_run(before.bytes, before.size, 1, 112, a);
        assert_int_equal(fixture_run(out, out_size, 1, 112, b), n);
        double ab = 0, aa = 0, bb = 0;
        for (size_t k = 0; k < n; k++) {
            ab += (double)a[k] * (double)b[k];
            aa += (double)a[k] * (double)a[k];
            bb += (double)b[k] * (double)b[k];
        }
        assert_true(ab / sqrt(aa * bb) > 0.99999);
        frt_free(copy);
        frt_free(out);
        frt_model_file_unmap(bytes, size);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(prelus_become_convolutions),
        cmocka_unit_test(one_slope_becomes_leaky),
        cmocka_unit_test(narrow_groups_become_wide),
        cmocka_unit_test(what_does_not_fit_stays),
        cmocka_unit_test(damaged_files_are_refused_or_survived),
        cmocka_unit_test(a_bomb_is_refused),
        cmocka_unit_test(lack_of_memory),
        cmocka_unit_test(real_embedders_give_the_same),
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
