/*
 * Contract of the resampling kernels: known answers, then every tier against an independent slow
 * reference (point by point, in double) on random sizes, strides, rectangles and matrices.
 *
 * Source blocks are allocated to size: the last row has no bytes after its last pixel, so that the
 * address sanitizer sees a read beyond it.
 */
#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/mem.h"
#include "simd/resample_kernels.h"

static uint64_t seed = 0x9e3779b97f4a7c15u;

static uint32_t random_below(uint32_t n)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return (uint32_t)(seed >> 33) % n;
}

static double random_between(double low, double high)
{
    return low + (high - low) * random_below(1000001) / 1e6;
}

struct source {
    uint8_t *block;
    struct frt_pixels pixels;
};

static struct source make_source(uint32_t width, uint32_t height, uint32_t gap)
{
    struct source s = {0};
    const size_t stride = 3 * (size_t)width + gap, size = stride * (height - 1) + 3 * (size_t)width;
    s.block = frt_alloc(size);
    assert_non_null(s.block);
    for (size_t i = 0; i < size; i++)
        s.block[i] = (uint8_t)random_below(256);
    s.pixels =
        (struct frt_pixels){.data = s.block, .width_px = width, .height_px = height, .stride_bytes = stride};
    return s;
}

static struct frt_plane_target make_target(uint32_t width, uint32_t height, bool bgr)
{
    struct frt_plane_target t = {
        .width_px = width, .height_px = height, .bgr = bgr, .mean = {10, 20, 30}, .scale = {1, 0.5f, 0.25f}};
    t.data = frt_alloc_array((size_t)width * height * 3, sizeof *t.data);
    assert_non_null(t.data);
    for (size_t i = 0; i < (size_t)width * height * 3; i++)
        t.data[i] = -12345;
    return t;
}

/* pixel value back from the plane that holds channel c */
static double value_at(const struct frt_plane_target *t, uint32_t x, uint32_t y, int c)
{
    const int plane = t->bgr ? 2 - c : c;
    const float v = t->data[((size_t)plane * t->height_px + y) * t->width_px + x];
    return (double)v / (double)t->scale[plane] + (double)t->mean[plane];
}

static double source_at(const struct frt_pixels *p, int64_t x, int64_t y, int c)
{
    return p->data[(size_t)y * p->stride_bytes + 3 * (size_t)x + (size_t)c];
}

/* ---- reference: weights of every source pixel, one axis at a time */

static double axis_weights(double origin, double step, uint32_t i, uint32_t size, double *weights)
{
    double inside = 0;
    memset(weights, 0, size * sizeof *weights);
    if (step > 2) {
        const double a = origin + i * step, b = a + step;
        for (uint32_t k = 0; k < size; k++) {
            const double cover = fmin(b, k + 1.0) - fmax(a, k);
            weights[k] = cover > 0 ? cover / step : 0;
            inside += weights[k];
        }
        return 1 - inside;
    }
    const double centre = origin + (i + 0.5) * step;
    if (centre < 0 || centre >= size)
        return 1;
    const double at = fmin(fmax(centre - 0.5, 0), size - 1.0), part = at - floor(at);
    const uint32_t low = (uint32_t)at;
    weights[low] += 1 - part;
    if (low + 1 < size)
        weights[low + 1] += part;
    return 0;
}

static void check_stretch(const struct frt_resample_kernels *kernels, const struct source *s, double x,
                          double y, double w, double h, struct frt_plane_target *t, uint32_t dx, uint32_t dy,
                          uint32_t dw, uint32_t dh, uint8_t pad)
{
    double *wx = frt_alloc_array(s->pixels.width_px, sizeof *wx),
           *wy = frt_alloc_array(s->pixels.height_px, sizeof *wy);
    assert_non_null(wx);
    assert_non_null(wy);
    frt_resample_to_planes_by(kernels, &s->pixels, x, y, w, h, t, dx, dy, dw, dh, pad);
    for (uint32_t v = 0; v < t->height_px; v++) {
        for (uint32_t u = 0; u < t->width_px; u++) {
            if (u < dx || u >= dx + dw || v < dy || v >= dy + dh) { /* left alone */
                for (size_t c = 0; c < 3; c++)
                    assert_true(t->data[(c * t->height_px + v) * t->width_px + u] == -12345.0f);
                continue;
            }
            const double px = axis_weights(x, w / dw, u - dx, s->pixels.width_px, wx);
            const double py = axis_weights(y, h / dh, v - dy, s->pixels.height_px, wy);
            for (int c = 0; c < 3; c++) {
                double want = (px + py - px * py) * pad;
                for (uint32_t j = 0; j < s->pixels.height_px; j++) {
                    for (uint32_t i = 0; wy[j] != 0 && i < s->pixels.width_px; i++)
                        want += wx[i] * wy[j] * source_at(&s->pixels, i, j, c);
                }
                const double got = value_at(t, u, v, c);
                if (!(fabs(got - want) < 0.02))
                    fail_msg("%ux%u rect %g,%g %gx%g -> %ux%u: at %u,%u channel %d got %g, want %g",
                             s->pixels.width_px, s->pixels.height_px, x, y, w, h, dw, dh, u, v, c, got, want);
            }
        }
    }
    frt_free(wx);
    frt_free(wy);
}

static void for_each_tier(void (*run)(const struct frt_resample_kernels *kernels))
{
    for (int t = 0; t < FRT_SIMD_TIER_COUNT; t++) {
        if (frt_simd_tier_runs((enum frt_simd_tier)t))
            run(frt_resample_kernels_get((enum frt_simd_tier)t));
    }
}

static void stretch_random(const struct frt_resample_kernels *kernels)
{
    for (int round = 0; round < 300; round++) {
        struct source s = make_source(1 + random_below(60), 1 + random_below(40), random_below(9));
        struct frt_plane_target t = make_target(1 + random_below(40), 1 + random_below(30), random_below(2));
        const uint32_t dx = random_below(t.width_px), dy = random_below(t.height_px);
        const double w = s.pixels.width_px, h = s.pixels.height_px;
        const bool whole = round % 3 == 0;
        check_stretch(kernels, &s, whole ? 0 : random_between(-w, w), whole ? 0 : random_between(-h, h),
                      whole ? w : random_between(0.1, 3 * w), whole ? h : random_between(0.1, 3 * h), &t, dx,
                      dy, 1 + random_below(t.width_px - dx), 1 + random_below(t.height_px - dy),
                      (uint8_t)random_below(256));
        frt_free(t.data);
        frt_free(s.block);
    }
}

static void stretch_agrees_with_the_reference(void **state)
{
    (void)state;
    for_each_tier(stretch_random);
}

static void stretch_wide(const struct frt_resample_kernels *kernels)
{
    /* blocks of columns, strips of source columns, and one target pixel wider than a strip */
    static const uint32_t widths[][2] = {{700, 300}, {5000, 7}, {5000, 2}, {5000, 1}, {4300, 600}, {30, 900}};
    for (size_t i = 0; i < sizeof widths / sizeof *widths; i++) {
        struct source s = make_source(widths[i][0], 3, 1);
        struct frt_plane_target t = make_target(widths[i][1], 2, false);
        check_stretch(kernels, &s, 0, 0, widths[i][0], 3, &t, 0, 0, widths[i][1], 2, 0);
        frt_free(t.data);
        t = make_target(widths[i][1], 2, false);
        check_stretch(kernels, &s, -0.3 * widths[i][0], -1, 1.5 * widths[i][0], 5, &t, 0, 0, widths[i][1], 2,
                      77);
        frt_free(t.data);
        frt_free(s.block);
    }
}

static void stretch_handles_wide_sources(void **state)
{
    (void)state;
    for_each_tier(stretch_wide);
}

static void stretch_odd(const struct frt_resample_kernels *kernels)
{
    static const double odd[] = {NAN, INFINITY, -INFINITY, 1e300, -1e300, 1e18, 3e9, -3e9, 0, -5, 1e-300};
    const size_t n = sizeof odd / sizeof *odd;
    struct source s = make_source(17, 11, 2);
    struct frt_plane_target t = make_target(9, 7, false);
    for (size_t i = 0; i < n * n; i++) {
        const double a = odd[i % n], b = odd[i / n];
        frt_resample_to_planes_by(kernels, &s.pixels, a, 0, b, 11, &t, 0, 0, 9, 7, 200);
        frt_resample_to_planes_by(kernels, &s.pixels, 0, a, 17, b, &t, 0, 0, 9, 7, 200);
        for (uint32_t p = 0; p < 9 * 7; p++) {
            for (int c = 0; c < 3; c++) {
                const double v = value_at(&t, p % 9, p / 9, c);
                assert_true(v > -0.1 && v < 255.1);
            }
        }
    }
    /* NaN or an empty rectangle is padding throughout */
    frt_resample_to_planes_by(kernels, &s.pixels, NAN, 0, 17, 11, &t, 0, 0, 9, 7, 200);
    assert_true(fabs(value_at(&t, 4, 4, 1) - 200) < 1e-3);
    frt_resample_to_planes_by(kernels, &s.pixels, 0, 0, -1, 11, &t, 0, 0, 9, 7, 99);
    assert_true(fabs(value_at(&t, 4, 4, 1) - 99) < 1e-3);
    /* a target rectangle that leaves the target writes only the part inside */
    frt_resample_to_planes_by(kernels, &s.pixels, 0, 0, 17, 11, &t, 5, 5, 100, 100, 0);
    frt_resample_to_planes_by(kernels, &s.pixels, 0, 0, 17, 11, &t, 9, 0, 1, 1, 0);
    frt_free(t.data);
    frt_free(s.block);
}

static void stretch_survives_degenerate_rectangles(void **state)
{
    (void)state;
    for_each_tier(stretch_odd);
}

static void fill_sets_every_plane(void **state)
{
    (void)state;
    struct frt_plane_target t = make_target(5, 3, true);
    frt_planes_fill(&t, 128);
    for (uint32_t p = 0; p < 15; p++) {
        for (int c = 0; c < 3; c++)
            assert_true(fabs(value_at(&t, p % 5, p / 5, c) - 128) < 1e-4);
    }
    frt_free(t.data);
}

/* ---- warp */

static double sample(const struct frt_pixels *p, double x, double y, int c)
{
    double sum = 0;
    const double x0 = floor(x), y0 = floor(y);
    for (int j = 0; j < 2; j++) {
        for (int i = 0; i < 2; i++) {
            const double px = x0 + i, py = y0 + j;
            if (!(px >= 0 && py >= 0 && px < p->width_px && py < p->height_px))
                continue;
            sum += (i ? x - x0 : 1 - (x - x0)) * (j ? y - y0 : 1 - (y - y0)) *
                   source_at(p, (int64_t)px, (int64_t)py, c);
        }
    }
    return sum;
}

static void check_warp(const struct frt_resample_kernels *kernels, const struct source *s, const double m[6],
                       uint32_t width, uint32_t height)
{
    uint8_t *chip = frt_alloc((size_t)width * height * 3);
    assert_non_null(chip);
    frt_warp_to_chip_by(kernels, &s->pixels, m, chip, width, height);
    const double su = hypot(m[0], m[3]), sv = hypot(m[1], m[4]);
    const int nu = su > 1.5 ? (int)fmin(ceil(su - 0.5), 8) : 1,
              nv = sv > 1.5 ? (int)fmin(ceil(sv - 0.5), 8) : 1;
    for (uint32_t v = 0; v < height; v++) {
        for (uint32_t u = 0; u < width; u++) {
            for (int c = 0; c < 3; c++) {
                double want = 0;
                for (int k = 0; k < nu * nv; k++) {
                    const double pu = u + (k % nu + 0.5) / nu, pv = v + (k / nu + 0.5) / nv;
                    want += sample(&s->pixels, m[0] * pu + m[1] * pv + m[2] - 0.5,
                                   m[3] * pu + m[4] * pv + m[5] - 0.5, c);
                }
                want /= nu * nv;
                const double got = chip[3 * ((size_t)v * width + u) + (size_t)c];
                if (!(fabs(got - want) < 0.52))
                    fail_msg("warp at %u,%u channel %d: got %g, want %g", u, v, c, got, want);
            }
        }
    }
    frt_free(chip);
}

static void warp_random(const struct frt_resample_kernels *kernels)
{
    for (int round = 0; round < 200; round++) {
        struct source s = make_source(1 + random_below(50), 1 + random_below(50), random_below(7));
        const double angle = random_between(0, 6.3), scale = exp(random_between(-2, 2));
        const double m[6] = {scale * cos(angle), -scale * sin(angle), random_between(-20, 60),
                             scale * sin(angle), scale * cos(angle),  random_between(-20, 60)};
        check_warp(kernels, &s, m, 1 + random_below(33), 1 + random_below(20));
        frt_free(s.block);
    }
    struct source s = make_source(40, 30, 0);
    static const double wide[6] = {0.1, 0, 0, 0, 1, 0};
    check_warp(kernels, &s, wide, 600, 3);
    frt_free(s.block);
}

static void warp_agrees_with_the_reference(void **state)
{
    (void)state;
    for_each_tier(warp_random);
}

static void warp_odd(const struct frt_resample_kernels *kernels)
{
    static const double odd[] = {NAN, INFINITY, -INFINITY, 1e300, -1e300, 1e10, -1e10, 0, DBL_MIN};
    struct source s = make_source(13, 9, 1);
    uint8_t chip[8 * 8 * 3];
    for (size_t i = 0; i < sizeof odd / sizeof *odd; i++) {
        for (int at = 0; at < 6; at++) {
            double m[6] = {1, 0, 0, 0, 1, 0};
            m[at] = odd[i];
            frt_warp_to_chip_by(kernels, &s.pixels, m, chip, 8, 8);
        }
    }
    static const double nowhere[6] = {NAN, NAN, NAN, NAN, NAN, NAN};
    memset(chip, 77, sizeof chip);
    frt_warp_to_chip_by(kernels, &s.pixels, nowhere, chip, 8, 8);
    for (size_t i = 0; i < sizeof chip; i++)
        assert_int_equal(chip[i], 0);
    frt_free(s.block);
}

static void warp_survives_degenerate_matrices(void **state)
{
    (void)state;
    for_each_tier(warp_odd);
}

static void warp_identity(const struct frt_resample_kernels *kernels)
{
    struct source s = make_source(31, 9, 0);
    uint8_t chip[31 * 9 * 3];
    static const double identity[6] = {1, 0, 0, 0, 1, 0}, quarter_turn[6] = {0, -1, 9, 1, 0, 0};
    frt_warp_to_chip_by(kernels, &s.pixels, identity, chip, 31, 9);
    assert_memory_equal(chip, s.block, sizeof chip);
    struct source tall = make_source(9, 31, 0);
    frt_warp_to_chip_by(kernels, &tall.pixels, quarter_turn, chip, 31, 9);
    for (uint32_t v = 0; v < 9; v++) {
        for (uint32_t u = 0; u < 31; u++)
            assert_int_equal(chip[3 * (v * 31 + u)], tall.block[3 * (u * 9 + 8 - v)]);
    }
    frt_free(tall.block);
    frt_free(s.block);
}

static void warp_by_whole_steps_is_exact(void **state)
{
    (void)state;
    for_each_tier(warp_identity);
}

/* ---- chip to planes */

static void split_random(const struct frt_resample_kernels *kernels)
{
    for (uint32_t width = 1; width < 40; width++) {
        struct source s = make_source(width, 3, 0);
        struct frt_plane_target t = make_target(width, 3, width % 2);
        frt_chip_to_planes_by(kernels, s.block, &t);
        for (uint32_t p = 0; p < width * 3; p++) {
            for (int c = 0; c < 3; c++)
                assert_true(fabs(value_at(&t, p % width, p / width, c) - s.block[3 * p + (uint32_t)c]) < 1e-3);
        }
        frt_free(t.data);
        frt_free(s.block);
    }
}

static void chips_become_planes(void **state)
{
    (void)state;
    for_each_tier(split_random);
}

/* ---- and where no address sanitizer runs (emulated processors) */

/* An image that ends at a page that nobody may read, and one that begins behind such a page. */
static void pages(const struct frt_resample_kernels *kernels)
{
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    uint8_t *block = mmap(NULL, 3 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_true(block != MAP_FAILED);
    memset(block + page, 77, page);
    assert_int_equal(mprotect(block, page, PROT_NONE), 0);
    assert_int_equal(mprotect(block + 2 * page, page, PROT_NONE), 0);
    for (uint32_t width = 1; width < 24; width++) {
        for (int at_end = 0; at_end < 2; at_end++) {
            const uint32_t height = 5;
            const size_t size = (size_t)width * height * 3;
            const struct frt_pixels image = {.data = at_end ? block + 2 * page - size : block + page,
                                             .width_px = width,
                                             .height_px = height,
                                             .stride_bytes = width * 3};
            struct frt_plane_target t = make_target(width, height, false);
            uint8_t chip[24 * 5 * 3];
            for (int step = 0; step < 20; step++) { /* by tenths of a pixel over every edge */
                const double m[6] = {1, 0, step / 10.0 - 1, 0, 1, step / 10.0 - 1};
                frt_warp_to_chip_by(kernels, &image, m, chip, width, height);
            }
            frt_resample_to_planes_by(kernels, &image, -1, -1, width + 2.5, height + 2.5, &t, 0, 0, width,
                                      height, 0);
            frt_resample_to_planes_by(kernels, &image, 0, 0, width, height, &t, 0, 0, (width + 3) / 4, 2, 0);
            frt_chip_to_planes_by(kernels, image.data, &t);
            assert_true(fabs(value_at(&t, width - 1, height - 1, 2) - 77) < 1e-3);
            frt_free(t.data);
        }
    }
    assert_int_equal(munmap(block, 3 * page), 0);
}

static void nothing_beside_an_image_is_read(void **state)
{
    (void)state;
    for_each_tier(pages);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_beside_an_image_is_read),
        cmocka_unit_test(stretch_agrees_with_the_reference),
        cmocka_unit_test(stretch_handles_wide_sources),
        cmocka_unit_test(stretch_survives_degenerate_rectangles),
        cmocka_unit_test(fill_sets_every_plane),
        cmocka_unit_test(warp_agrees_with_the_reference),
        cmocka_unit_test(warp_survives_degenerate_matrices),
        cmocka_unit_test(warp_by_whole_steps_is_exact),
        cmocka_unit_test(chips_become_planes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
