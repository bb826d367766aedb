/*
 * Narrow convolutions over bytes: every tier gives the scalar tier's bytes, at every number of channels up to
 * two blocks and more, with each stride, each padding and images of a pixel; the scalar tier gives what the
 * formula gives; extremes neither saturate nor wrap; what is no such operator is refused, lack of memory
 * survived.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/mem.h"
#include "simd/narrow_u8.h"

enum { MOST = 144, SIDE = 9, IMAGES = 2, GUARD = 0xA5 };

static uint32_t seed;
static uint32_t draw(void)
{
    seed = seed * 1664525U + 1013904223U;
    return seed >> 8;
}

static int8_t weights[MOST * 2 * 9];
static float ratios[MOST], slopes[MOST];
static int32_t offsets[MOST];

static struct frt_narrow_u8_spec spec_new(uint32_t channels, uint32_t group)
{
    for (size_t i = 0; i < sizeof weights; i++)
        weights[i] = (int8_t)(draw() % 256 - 128);
    for (int c = 0; c < MOST; c++) {
        ratios[c] = (float)(draw() % 1000 + 1) * 1e-5F;
        slopes[c] = (float)(draw() % 1000) * 2e-3F - 1;
        offsets[c] = (int32_t)(draw() % 60000) - 30000;
    }
    return (struct frt_narrow_u8_spec){.channels = channels,
                                       .group = group,
                                       .stride = {1, 1},
                                       .pads = {1, 1, 1, 1},
                                       .weights = weights,
                                       .ratios = ratios,
                                       .slopes = slopes,
                                       .offsets = offsets,
                                       .x_zero = 120,
                                       .y_zero = 60};
}

/* Of heap blocks of just the size, so that a byte read outside shows with ASan, one written outside here. */
static uint8_t *run(enum frt_simd_tier tier, const struct frt_narrow_u8_spec *spec, const uint8_t *x,
                    size_t height, size_t width, size_t *size)
{
    struct frt_narrow_u8_image image = {.x = x, .height = height, .width = width};
    bool bad = true;
    struct frt_narrow_u8 *op = frt_narrow_u8_new(tier, spec, &bad);
    assert_non_null(op);
    assert_false(bad);
    if (!frt_narrow_u8_out_sides(op, height, width, &image.out_height, &image.out_width)) {
        frt_narrow_u8_free(op);
        return NULL;
    }
    *size = IMAGES * image.out_height * image.out_width * spec->channels;
    uint8_t *y = malloc(*size + 1);
    assert_non_null(y);
    memset(y, GUARD, *size + 1);
    image.y = y;
    const size_t rows = IMAGES * image.out_height, part = rows / 3; /* in parts, as threads would */
    frt_narrow_u8_rows(op, &image, part, rows);
    frt_narrow_u8_rows(op, &image, 0, part);
    assert_int_equal(y[*size], GUARD);
    frt_narrow_u8_free(op);
    return y;
}

static void assert_formula(const struct frt_narrow_u8_spec *s, const uint8_t *x, int height, int width,
                           const uint8_t *y)
{
    const int out_height = (height + (int)(s->pads[0] + s->pads[2]) - 3) / (int)s->stride[0] + 1,
              out_width = (width + (int)(s->pads[1] + s->pads[3]) - 3) / (int)s->stride[1] + 1,
              channels = (int)s->channels, group = (int)s->group;
    for (int at = 0; at < IMAGES * out_height * out_width * channels; at++) {
        const int c = at % channels, column = at / channels % out_width,
                  row = at / channels / out_width % out_height, image = at / channels / out_width / out_height;
        double sum = s->offsets != NULL ? s->offsets[c] : 0;
        for (int i = 0; i < group * 9; i++) {
            const int r = row * (int)s->stride[0] + i % 9 / 3 - (int)s->pads[0],
                      q = column * (int)s->stride[1] + i % 3 - (int)s->pads[1];
            if (r >= 0 && q >= 0 && r < height && q < width)
                sum +=
                    (double)s->weights[c * group * 9 + i] *
                    (x[((image * height + r) * width + q) * channels + c / group * group + i / 9] - s->x_zero);
        }
        const double slope = sum > 0 || s->slopes == NULL ? 1 : (double)s->slopes[c],
                     v = fmin(fmax(s->y_zero + sum * (double)s->ratios[c] * slope, 0), 255);
        if (fabs(v - y[at]) > 0.51)
            fail_msg("%d: %g, not %u", at, v, y[at]);
    }
}

static void assert_tiers_agree(const struct frt_narrow_u8_spec *spec, size_t height, size_t width)
{
    const size_t n = IMAGES * height * width * spec->channels;
    size_t size = 0, other_size = 0;
    uint8_t *x = malloc(n);
    assert_non_null(x);
    for (size_t i = 0; i < n; i++)
        x[i] = (uint8_t)draw();
    uint8_t *y = run(FRT_SIMD_SCALAR, spec, x, height, width, &size);
    if (y != NULL)
        assert_formula(spec, x, (int)height, (int)width, y);
    for (int tier = FRT_SIMD_SSE2; tier < FRT_SIMD_TIER_COUNT && y != NULL; tier++) {
        if (!frt_simd_tier_runs((enum frt_simd_tier)tier))
            continue;
        uint8_t *other = run((enum frt_simd_tier)tier, spec, x, height, width, &other_size);
        assert_int_equal(size, other_size);
        if (memcmp(other, y, size) != 0)
            fail_msg("tier %s, %u channels in groups of %u, %zu x %zu, strides %u %u",
                     frt_simd_tier_name((enum frt_simd_tier)tier), spec->channels, spec->group, height, width,
                     spec->stride[0], spec->stride[1]);
        free(other);
    }
    free(y);
    free(x);
}

static void any_number_of_channels(void **state)
{
    (void)state;
    seed = 3;
    for (uint32_t group = 1; group <= 2; group++) {
        for (uint32_t channels = group; channels <= MOST; channels += group) {
            struct frt_narrow_u8_spec spec = spec_new(channels, group);
            assert_tiers_agree(&spec, 4, 5);
            spec.stride[0] = spec.stride[1] = 2;
            spec.slopes = NULL;
            spec.offsets = NULL;
            assert_tiers_agree(&spec, 5, 4);
        }
    }
}

static void any_geometry(void **state)
{
    (void)state;
    seed = 4;
    for (uint32_t i = 0; i < 4 * 81 * 2; i++) {
        struct frt_narrow_u8_spec spec = spec_new(i % 2 == 0 ? 20 : 66, 1 + i / 2 % 2);
        spec.stride[0] = 1 + i / 4 % 2;
        spec.stride[1] = 1 + i / 8 % 2;
        for (uint32_t k = 0; k < 4; k++)
            spec.pads[k] = draw() % 3;
        assert_tiers_agree(&spec, 1 + draw() % SIDE, 1 + draw() % SIDE);
    }
}

/* The largest products of either sign, all alike; offsets and ratios that leave every range. */
static void extremes(void **state)
{
    static const uint8_t zeros[] = {0, 1, 128, 255};
    (void)state;
    seed = 5;
    for (uint32_t i = 0; i < 4 * 4 * 2; i++) {
        struct frt_narrow_u8_spec spec = spec_new(66, 1 + i % 2);
        memset(weights, i / 2 % 2 == 0 ? -128 : 127, sizeof weights);
        spec.x_zero = zeros[i / 4 % 4];
        spec.y_zero = zeros[i / 16 % 4];
        for (int c = 0; c < MOST; c++)
            ratios[c] = c % 3 == 0 ? 4e-4F : c % 3 == 1 ? 1e30F : -3e4F;
        assert_tiers_agree(&spec, 5, 6);
        for (int c = 0; c < MOST; c++)
            offsets[c] = c % 2 == 0 ? 1 << 30 : -(1 << 30);
        assert_tiers_agree(&spec, 3, 3);
    }
}

static void what_does_not_fit(void **state)
{
    size_t height, width;
    bool bad = false;
    (void)state;
    for (int i = 0; i < 12; i++) {
        struct frt_narrow_u8_spec spec = spec_new(20, 2);
        switch (i) {
        case 0:
            spec.channels = 0;
            break;
        case 1:
            spec.channels = FRT_NARROW_U8_MAX_CHANNELS + 2;
            break;
        case 2:
            spec.channels = 19;
            break;
        case 3:
            spec.group = 0;
            break;
        case 4:
            spec.group = 4;
            break;
        case 5:
            spec.stride[0] = 0;
            break;
        case 6:
            spec.stride[1] = 3;
            break;
        case 7:
            spec.pads[3] = FRT_NARROW_U8_MAX_PAD + 1;
            break;
        case 8:
            spec.pads[0] = UINT32_MAX;
            break;
        case 9:
            ratios[19] = NAN;
            break;
        case 10:
            ratios[19] = INFINITY;
            break;
        default:
            slopes[0] = NAN;
            break;
        }
        bad = false;
        assert_null(frt_narrow_u8_new(FRT_SIMD_SCALAR, &spec, &bad));
        assert_true(bad);
    }
    struct frt_narrow_u8_spec spec = spec_new(20, 2);
    spec.pads[0] = spec.pads[2] = 0;
    struct frt_narrow_u8 *op = frt_narrow_u8_new(FRT_SIMD_SCALAR, &spec, &bad);
    assert_non_null(op);
    assert_false(frt_narrow_u8_out_sides(op, 2, 5, &height, &width));
    assert_false(frt_narrow_u8_out_sides(op, 0, 5, &height, &width));
    assert_false(frt_narrow_u8_out_sides(op, 5, 0, &height, &width));
    assert_false(frt_narrow_u8_out_sides(op, 5, (size_t)FRT_NARROW_U8_MAX_SIDE + 1, &height, &width));
    assert_false(frt_narrow_u8_out_sides(op, SIZE_MAX, 5, &height, &width));
    assert_true(frt_narrow_u8_out_sides(op, 3, 1, &height, &width));
    assert_int_equal(height, 1);
    assert_int_equal(width, 1);
    frt_narrow_u8_free(op);
}

static void lack_of_memory(void **state)
{
    bool bad = true;
    (void)state;
    for (int64_t n = 0;; n++) {
        struct frt_narrow_u8_spec spec = spec_new(20, 2);
        frt_mem_fail_after(n);
        struct frt_narrow_u8 *op = frt_narrow_u8_new(frt_simd_tier_detected(), &spec, &bad);
        frt_mem_fail_after(-1);
        assert_false(bad);
        if (op != NULL) {
            assert_true(n >= 6);
            frt_narrow_u8_free(op);
            break;
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_number_of_channels), cmocka_unit_test(any_geometry),   cmocka_unit_test(extremes),
        cmocka_unit_test(what_does_not_fit),      cmocka_unit_test(lack_of_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
