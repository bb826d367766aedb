/*
 * Ranges of tensors: the histogram while it grows, each method on distributions whose answer is known, and what
 * is collected from a model that the runtime runs, in more than one slice.
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
#include "model/onnx_ops.h"
#include "model/ranges_collect.h"

enum { MANY = 200000, SKIPPED = 77 };

static struct frt_backend *backend;

static uint32_t seed = 1;
static double draw(void) /* 0..1 */
{
    seed = seed * 1664525U + 1013904223U;
    return (double)(seed >> 8) / (double)(1 << 24);
}
static float gauss(void)
{
    return (float)(sqrt(-2 * log(draw() + 1e-9)) * cos(6.283185307 * draw()));
}

static uint64_t in_bins(const struct frt_range_stats *s)
{
    uint64_t n = 0;
    for (size_t i = 0; i < FRT_RANGE_BINS; i++)
        n += s->bins[i];
    return n;
}

static void histograms_grow(void **state)
{
    static struct frt_range_stats at_once, bit_by_bit;
    static float values[MANY];
    (void)state;
    memset(&at_once, 0, sizeof at_once);
    memset(&bit_by_bit, 0, sizeof bit_by_bit);
    for (size_t i = 0; i < MANY; i++) /* larger and larger, so that the bins double again and again */
        values[i] = gauss() * exp2f((float)i * 12 / MANY - 6);
    values[5] = 0;
    values[6] = NAN;
    values[7] = INFINITY;
    frt_range_add(&at_once, values, MANY);
    for (size_t i = 0; i < MANY; i += 1000)
        frt_range_add(&bit_by_bit, values + i, 1000);
    assert_int_equal(at_once.n, MANY - 2);
    assert_int_equal(at_once.not_finite, 2);
    assert_int_equal(at_once.zeros, 1);
    assert_int_equal(in_bins(&at_once), MANY - 3);
    assert_memory_equal(at_once.bins, bit_by_bit.bins, sizeof at_once.bins);
    assert_true(at_once.half == bit_by_bit.half && at_once.lo == bit_by_bit.lo && at_once.hi == bit_by_bit.hi);
}

static void nothing_and_zeros(void **state)
{
    static struct frt_range_stats s;
    const float zeros[4] = {0};
    (void)state;
    memset(&s, 0, sizeof s);
    for (int i = 0; i < 2; i++) {
        for (int m = 0; m < FRT_RANGE_METHODS; m++) {
            struct frt_range r = frt_range_choose(&s, (enum frt_range_method)m);
            float scale;
            uint8_t zero;
            assert_true(r.lo == 0 && r.hi == 0);
            frt_range_quantum(r, &scale, &zero);
            assert_true(scale == 1 && zero == 0);
            assert_true(frt_range_error(&s, r) == 0);
        }
        frt_range_add(&s, zeros, 4);
    }
}

static void quanta_hold_zero_exactly(void **state)
{
    static const struct frt_range ranges[] = {{0, 6}, {-1, 1}, {-3, 0}, {-0.1F, 8}, {-1e-6F, 1e-6F}};
    (void)state;
    for (size_t i = 0; i < sizeof ranges / sizeof *ranges; i++) {
        float scale;
        uint8_t zero;
        frt_range_quantum(ranges[i], &scale, &zero);
        assert_true(fabsf((255.0F - zero) * scale - ranges[i].hi) <= 0.501F * scale);
        assert_true(fabsf((0.0F - zero) * scale - ranges[i].lo) <= 0.501F * scale);
    }
}

/* A bell with one value in twenty thousand a hundred times as far out. */
static void outliers_are_cut(void **state)
{
    static struct frt_range_stats s;
    (void)state;
    memset(&s, 0, sizeof s);
    for (size_t i = 0; i < MANY; i++) {
        const float v = i % 20000 == 0 ? 100.0F : gauss();
        frt_range_add(&s, &v, 1);
    }
    const struct frt_range all = frt_range_choose(&s, FRT_RANGE_MIN_MAX),
                           tail = frt_range_choose(&s, FRT_RANGE_PERCENTILE),
                           entropy = frt_range_choose(&s, FRT_RANGE_ENTROPY),
                           mse = frt_range_choose(&s, FRT_RANGE_MSE);
    assert_true(all.hi == 100.0F && all.lo < -3.5F && all.lo > -7);
    /* a normal variable is beyond 3.7 once in 10,000 */
    assert_true(tail.hi > 3.3F && tail.hi < 5 && tail.lo < -3.3F && tail.lo > -5);
    assert_true(entropy.hi < 30 && entropy.hi > 2);
    assert_true(mse.hi <= all.hi && frt_range_error(&s, mse) <= frt_range_error(&s, all) &&
                frt_range_error(&s, mse) <= frt_range_error(&s, tail));
}

/* Evenly spread: there is nothing to gain by cutting. */
static void an_even_spread_is_kept(void **state)
{
    static struct frt_range_stats s;
    (void)state;
    memset(&s, 0, sizeof s);
    for (size_t i = 0; i < MANY; i++) {
        const float v = (float)(draw() * 3);
        frt_range_add(&s, &v, 1);
    }
    for (int m = 0; m < FRT_RANGE_METHODS; m++) {
        const struct frt_range r = frt_range_choose(&s, (enum frt_range_method)m);
        assert_true(r.lo == 0 && r.hi > 2.9F && r.hi <= 3);
    }
    /* rounding of an even variable on [0, 3]: step²/12 over a mean square of 3 */
    const double step = 3.0 / 255, error = frt_range_error(&s, (struct frt_range){0, 3});
    assert_true(fabs(error / (step * step / 12 / 3) - 1) < 0.02);
}

/* y_k = x + k, more of them than a slice has. */
static void a_model_is_watched(void **state)
{
    enum { N = FRT_RANGES_SLICE + 3 };
    static struct frt_range_stats stats[N + 1];
    static const float x[2][3] = {{-1, 0, 2}, {5, 0.5F, 0}};
    struct frt_ranges_tensor tensors[N + 1] = {{.name = "x", .stats = &stats[N]}};
    const struct frt_onnx_shape shape = {.n_dims = 2, .dims = {1, 3}}, one = {.n_dims = 1, .dims = {1}};
    char names[N][24];
    struct frt_onnx_graph *g = NULL;
    struct frt_onnx_model *model = NULL;
    uint8_t *bytes = NULL;
    size_t size = 0;
    struct frt_error err = {0};
    (void)state;
    if (backend == NULL)
        skip();
    memset(stats, 0, sizeof stats);
    assert_int_equal(frt_onnx_new("test", &g, NULL), FRT_OK);
    int v = frt_onnx_input(g, "x", &shape);
    const float step = 1;
    const int c = frt_onnx_const_f32(g, "one", &one, &step);
    for (int i = 0; i < N; i++)
        v = frt_op_binary(g, "Add", v, c);
    frt_onnx_output(g, v, "y");
    assert_int_equal(frt_onnx_serialise(g, &bytes, &size, NULL), FRT_OK);
    frt_onnx_free(g);
    assert_int_equal(frt_onnx_model_parse(bytes, size, &model, NULL), FRT_OK);
    for (uint32_t i = 0; i < N; i++) {
        (void)snprintf(names[i], sizeof names[i], "%s", frt_onnx_model_output(model, i, 0));
        tensors[i + 1] = (struct frt_ranges_tensor){.name = names[i], .stats = &stats[i]};
    }
    frt_onnx_model_free(model);
    const struct frt_tensor in[2] = {{.data = x[0], .n_dims = 2, .dims = {1, 3}},
                                     {.data = x[1], .n_dims = 2, .dims = {1, 3}}};
    const struct frt_compile_inputs inputs = {in, 2};
    const struct frt_quantise_task task = {.backend = backend, .inputs = &inputs};
    if (frt_ranges_collect(bytes, size, tensors, N + 1, &task, &err) != FRT_OK)
        fail_msg("%s", err.text);
    for (int i = 0; i < N; i++) {
        assert_int_equal(stats[i].n, 6);
        assert_true(stats[i].hi == (float)(6 + i) && stats[i].lo == 0);
        assert_int_equal(tensors[i + 1].shape.n_dims, 2);
        assert_int_equal(tensors[i + 1].shape.dims[1], 3);
    }
    assert_int_equal(stats[N].n, 6);
    assert_int_equal(stats[N].zeros, 2);
    assert_true(stats[N].lo == -1 && stats[N].hi == 5);
    frt_free(bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(histograms_grow),          cmocka_unit_test(nothing_and_zeros),
        cmocka_unit_test(quanta_hold_zero_exactly), cmocka_unit_test(outliers_are_cut),
        cmocka_unit_test(an_even_spread_is_kept),   cmocka_unit_test(a_model_is_watched),
    };
    struct frt_error err = {0};
    if (frt_backend_onnxruntime_new(&(struct frt_onnxruntime_options){.threads = 1}, &backend, &err) != FRT_OK)
        print_message("SKIP: %s\n", err.text);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    if (backend == NULL)
        return failed != 0 ? failed : SKIPPED;
    frt_backend_free(backend);
    return failed;
}
