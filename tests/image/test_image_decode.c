/*
 * What comes out of the decoders, against what the fixtures were made from. PNG and lossless WebP must be
 * exact; JPEG within the tolerance stated where it is tested. Then limits, damage and short memory.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/mem.h"
#include "image/image.h"
#include "image_fixtures.h"

enum { W = 70, H = 46 }; /* upright size of most fixtures; neither a multiple of a JPEG block */

static uint8_t noise(uint32_t x, uint32_t y, uint32_t c)
{
    uint32_t v = x * 2654435761U ^ y * 2246822519U ^ c * 3266489917U;
    v ^= v >> 15;
    v *= 2246822519U;
    return (uint8_t)(v >> 20);
}

/* Smooth, so that JPEG keeps it closely; no two corners alike. */
static uint8_t smooth(uint32_t x, uint32_t y, uint32_t c)
{
    return (uint8_t)(c == 0 ? 20 + 3 * x : c == 1 ? 30 + 4 * y : 220 - x - 2 * y);
}

typedef uint8_t pixel_fn(uint32_t x, uint32_t y, uint32_t c);

/* EXIF 2.32, table of the Orientation tag: the visual side of the 0th row and of the 0th column. Written
 * independently of src/image/orient.c. */
static void upright_of(uint8_t orientation, uint32_t row, uint32_t column, uint32_t *x, uint32_t *y)
{
    static const char sides[9][3] = {"", "TL", "TR", "BR", "BL", "LT", "RT", "RB", "LB"};
    const uint32_t at[2] = {row, column};
    for (int i = 0; i < 2; i++) {
        switch (sides[orientation][i]) {
        case 'T':
            *y = at[i];
            break;
        case 'B':
            *y = H - 1 - at[i];
            break;
        case 'L':
            *x = at[i];
            break;
        default:
            *x = W - 1 - at[i];
        }
    }
}

/* Stored RGB samples whose upright image is fn. */
static void make_stored(uint8_t orientation, pixel_fn *fn, uint8_t *rgb, uint32_t *width, uint32_t *height)
{
    *width = orientation >= 5 ? H : W;
    *height = orientation >= 5 ? W : H;
    for (uint32_t row = 0; row < *height; row++)
        for (uint32_t column = 0; column < *width; column++) {
            uint32_t x = 0, y = 0;
            upright_of(orientation, row, column, &x, &y);
            for (uint32_t c = 0; c < 3; c++)
                *rgb++ = fn(x, y, c);
        }
}

static struct frt_frame decode(const struct fixture *f, struct frt_box region, uint32_t side)
{
    struct frt_image *image = NULL;
    struct frt_frame frame = {0};
    struct frt_error err = {0};
    struct frt_decode_request request = {.region = region, .want_side_px = side};
    if (frt_image_open(NULL, f->data, f->size, &image, &err) != FRT_OK ||
        frt_image_decode(image, &request, &frame, &err) != FRT_OK)
        fail_msg("%s", err.text);
    frt_image_free(image);
    return frame;
}

static const struct frt_box WHOLE = {0, 0, 0, 0};

static int worst_against(const struct frt_frame *frame, pixel_fn *fn)
{
    int worst = 0;
    for (uint32_t y = 0; y < frame->height_px; y++)
        for (uint32_t x = 0; x < frame->width_px; x++)
            for (uint32_t c = 0; c < 3; c++) {
                int d = frame->pixels[y * frame->stride_bytes + 3 * x + c] -
                        fn(x + (uint32_t)frame->origin_x, y + (uint32_t)frame->origin_y, c);
                worst = abs(d) > worst ? abs(d) : worst;
            }
    return worst;
}

/* Largest difference between a region's frame and the same place of a frame of the whole. */
static int worst_between(const struct frt_frame *part, const struct frt_frame *whole)
{
    int worst = 0;
    uint32_t dx = (uint32_t)(part->origin_x / part->scale_x + 0.5),
             dy = (uint32_t)(part->origin_y / part->scale_y + 0.5);
    assert_true(part->scale_x == whole->scale_x && part->scale_y == whole->scale_y);
    assert_true(dx + part->width_px <= whole->width_px && dy + part->height_px <= whole->height_px);
    for (uint32_t y = 0; y < part->height_px; y++)
        for (uint32_t i = 0; i < 3 * part->width_px; i++) {
            int d = part->pixels[y * part->stride_bytes + i] -
                    whole->pixels[(y + dy) * whole->stride_bytes + 3 * dx + i];
            worst = abs(d) > worst ? abs(d) : worst;
        }
    return worst;
}

enum kind { PNG, PNG_INTERLACED, WEBP, JPEG, KINDS };

static struct fixture make(enum kind kind, const uint8_t *rgb, uint32_t w, uint32_t h, uint8_t orientation)
{
    if (kind == JPEG)
        return fixture_jpeg(rgb, w, h, 3, 95, 1, orientation % 2, orientation);
    if (kind == WEBP)
        return fixture_webp(rgb, w, h, 0, orientation);
    return fixture_png(rgb, (size_t)w * h * 3, w, h, 2, 8, kind == PNG_INTERLACED, orientation);
}

static void test_eight_orientations(void **state)
{
    uint8_t rgb[W * H * 3];
    (void)state;
    for (int kind = 0; kind < KINDS; kind++)
        for (uint8_t o = 1; o <= 8; o++) {
            uint32_t w, h;
            pixel_fn *fn = kind == JPEG ? smooth : noise;
            make_stored(o, fn, rgb, &w, &h);
            struct fixture f = make((enum kind)kind, rgb, w, h, o);
            struct frt_image *image = NULL;
            assert_int_equal(frt_image_open(NULL, f.data, f.size, &image, NULL), FRT_OK);
            struct frt_image_info info = frt_image_info_get(image);
            assert_int_equal(info.orientation, o);
            assert_int_equal(info.width_px, W);
            assert_int_equal(info.height_px, H);
            frt_image_free(image);

            /* quality 95 with halved chroma: rounding twice and the chroma filter at the image's edge */
            int tolerance = kind == JPEG ? 8 : 0;
            struct frt_frame whole = decode(&f, WHOLE, 0);
            assert_int_equal(whole.width_px, W);
            assert_int_equal(whole.height_px, H);
            assert_in_range(worst_against(&whole, fn), 0, (uintmax_t)tolerance);
            struct frt_frame part = decode(&f, (struct frt_box){9, 5, 30, 20}, 0);
            assert_true(part.origin_x == 9 && part.origin_y == 5);
            assert_int_equal(part.width_px, 30);
            assert_int_equal(part.height_px, 20);
            assert_int_equal(worst_between(&part, &whole), 0);
            frt_frame_deinit(&part);
            frt_frame_deinit(&whole);
            free(f.data);
        }
}

static void test_png_kinds(void **state)
{
    enum { SIDE = 16 };
    static const struct {
        uint8_t type, depth, channels;
    } kinds[] = {{0, 1, 1},  {0, 2, 1}, {0, 4, 1},  {0, 8, 1}, {0, 16, 1}, {2, 8, 3},
                 {2, 16, 3}, {4, 8, 2}, {4, 16, 2}, {6, 8, 4}, {6, 16, 4}};
    (void)state;
    for (uint32_t k = 0; k < sizeof kinds / sizeof *kinds; k++) {
        uint8_t samples[SIDE * SIDE * 8] = {0};
        unsigned n = kinds[k].channels, depth = kinds[k].depth;
        size_t bytes = (size_t)SIDE * SIDE * n * depth / 8;
        for (uint32_t i = 0; i < SIDE * SIDE * n; i++) {
            uint16_t v = (uint16_t)(noise(i, k, 0) << 8 | noise(i, k, 1));
            if (depth == 16)
                memcpy(samples + (size_t)i * 2, &v, 2);
            else
                samples[i * depth / 8] |= (uint8_t)((v >> (16 - depth)) << (8 - depth - i * depth % 8));
        }
        struct fixture f = fixture_png(samples, bytes, SIDE, SIDE, kinds[k].type, (uint8_t)depth, 0, 0);
        struct frt_frame frame = decode(&f, WHOLE, 0);
        for (uint32_t i = 0; i < SIDE * SIDE; i++) {
            double v[4];
            for (uint32_t c = 0; c < n; c++)
                v[c] = (double)((noise(i * n + c, k, 0) << 8 | noise(i * n + c, k, 1)) >> (16 - depth)) /
                       ((1 << depth) - 1) * 255;
            double alpha = n % 2 == 0 ? v[n - 1] / 255 : 1;
            for (uint32_t c = 0; c < 3; c++) /* 16 bits lose up to 1 in colour and in alpha */
                assert_true(abs((int)(frame.pixels[3 * i + c] - (v[n < 3 ? 0 : c] * alpha +
                                                                 255 * (1 - alpha)))) <= (depth == 16 ? 2 : 1));
        }
        frt_frame_deinit(&frame);
        free(f.data);
    }
}

static void test_png_palette_with_transparency(void **state)
{
    uint8_t indexes[256];
    (void)state;
    for (unsigned i = 0; i < 256; i++)
        indexes[i] = (uint8_t)i;
    struct fixture f = fixture_png_palette(indexes, 16, 16, 1);
    struct frt_frame frame = decode(&f, WHOLE, 0);
    for (unsigned i = 0; i < 256; i++) {
        assert_int_equal(frame.pixels[3 * i], i == 0 ? 255 : i); /* entry 0 is transparent: white */
        assert_int_equal(frame.pixels[3 * i + 1], 255 - i);
        assert_int_equal(frame.pixels[3 * i + 2], i == 0 ? 255 : (uint8_t)(2 * i));
    }
    frt_frame_deinit(&frame);
    free(f.data);
}

static void test_jpeg_grey_and_cmyk(void **state)
{
    uint8_t samples[W * H * 4];
    (void)state;
    for (uint32_t i = 0; i < W * H; i++)
        samples[i] = smooth(i % W, i / W, 0);
    struct fixture f = fixture_jpeg(samples, W, H, 1, 95, 0, 0, 0);
    struct frt_frame frame = decode(&f, WHOLE, 0);
    for (uint32_t i = 0; i < W * H; i++)
        for (uint32_t c = 0; c < 3; c++)
            assert_true(abs(frame.pixels[3 * i + c] - smooth(i % W, i / W, 0)) <= 4);
    frt_frame_deinit(&frame);
    free(f.data);
    /* Adobe stores 255 - ink: with no black, the sample is the colour itself */
    for (uint32_t i = 0; i < W * H; i++)
        for (uint32_t c = 0; c < 4; c++)
            samples[4 * i + c] = c == 3 ? 128 : smooth(i % W, i / W, c);
    f = fixture_jpeg(samples, W, H, 4, 95, 0, 0, 0);
    frame = decode(&f, WHOLE, 0);
    for (uint32_t i = 0; i < W * H; i++)
        for (uint32_t c = 0; c < 3; c++)
            assert_true(abs(frame.pixels[3 * i + c] - smooth(i % W, i / W, c) * 128 / 255) <= 4);
    frt_frame_deinit(&frame);
    free(f.data);
}

/* Regions at many places and sizes, noise, 4:2:0: equal to the whole at full size and when scaled. */
static void test_regions_equal_the_whole(void **state)
{
    enum { BW = 203, BH = 151 };
    uint8_t *rgb = malloc((size_t)BW * BH * 3);
    (void)state;
    assert_non_null(rgb);
    for (uint32_t i = 0; i < BW * BH * 3; i++)
        rgb[i] = noise(i, 1, 2);
    struct fixture kinds[] = {fixture_jpeg(rgb, BW, BH, 3, 85, 1, 0, 0),
                              fixture_jpeg(rgb, BW, BH, 3, 85, 1, 1, 0),
                              fixture_jpeg(rgb, BW, BH, 3, 85, 0, 0, 0), fixture_webp(rgb, BW, BH, 80, 0)};
    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++) {
        struct frt_frame whole = decode(&kinds[k], WHOLE, 0);
        for (uint32_t i = 0; i < 60; i++) {
            struct frt_box r = {(float)(noise(i, 3, 0) % 200), (float)(noise(i, 3, 1) % 150),
                                (float)(1 + noise(i, 3, 2) % 90), (float)(1 + noise(i, 3, 3) % 90)};
            struct frt_frame part = decode(&kinds[k], r, 0);
            assert_true(part.origin_x == (double)r.x && part.origin_y == (double)r.y);
            assert_int_equal(worst_between(&part, &whole), 0);
            frt_frame_deinit(&part);
        }
        frt_frame_deinit(&whole);
    }
    for (size_t k = 0; k < 3; k++) { /* JPEG at 1/4: pixel for pixel the same transform */
        struct frt_frame whole = decode(&kinds[k], WHOLE, 50);
        assert_true(whole.scale_x == 4);
        struct frt_frame part = decode(&kinds[k], (struct frt_box){60, 40, 100, 80}, 25);
        assert_int_equal(worst_between(&part, &whole), 0);
        frt_frame_deinit(&part);
        frt_frame_deinit(&whole);
    }
    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++)
        free(kinds[k].data);
    free(rgb);
}

static void test_scaled_is_the_average(void **state)
{
    uint8_t rgb[W * H * 3];
    uint32_t w, h;
    (void)state;
    make_stored(1, smooth, rgb, &w, &h);
    for (int kind = 0; kind < KINDS; kind++) {
        struct fixture f = make((enum kind)kind, rgb, w, h, 1);
        struct frt_frame whole = decode(&f, WHOLE, 0), small = decode(&f, WHOLE, 17);
        assert_true(small.width_px >= 17 && small.width_px <= 35);
        assert_true(small.scale_x * small.width_px >= W && small.scale_x * (small.width_px - 1) < W);
        for (uint32_t y = 0; y + 1 < small.height_px; y++)
            for (uint32_t x = 0; x + 1 < small.width_px; x++)
                for (uint32_t c = 0; c < 3; c++) {
                    double sum = 0, n = 0;
                    for (uint32_t j = (uint32_t)(y * small.scale_y); j < (uint32_t)((y + 1) * small.scale_y);
                         j++)
                        for (uint32_t i = (uint32_t)(x * small.scale_x);
                             i < (uint32_t)((x + 1) * small.scale_x); i++, n++)
                            sum += whole.pixels[j * whole.stride_bytes + 3 * i + c];
                    /* WebP's and JPEG's scales need not be whole numbers: half a step of the gradient */
                    assert_true(abs((int)(small.pixels[y * small.stride_bytes + 3 * x + c] - sum / n)) <=
                                (kind == PNG || kind == PNG_INTERLACED ? 1 : 6));
                }
        frt_frame_deinit(&small);
        frt_frame_deinit(&whole);
        free(f.data);
    }
}

static void test_headers_meet_limits_first(void **state)
{
    uint8_t rgb[W * H * 3] = {0};
    struct frt_error err;
    struct frt_image *image = NULL;
    (void)state;
    struct fixture png = make(PNG, rgb, W, H, 0), jpeg = make(JPEG, rgb, W, H, 0);
    png.data[18] = 0xEA, png.data[19] = 0x60, png.data[22] = 0xEA, png.data[23] = 0x60;
    /* IHDR's checksum, bitwise. Source: PNG, annex D */
    uint32_t crc = ~0U;
    for (int i = 12; i < 29; i++)
        for (int bit = (crc ^= png.data[i], 0); bit < 8; bit++)
            crc = crc & 1 ? crc >> 1 ^ 0xEDB88320U : crc >> 1;
    for (int i = 0; i < 4; i++)
        png.data[29 + i] = (uint8_t)(~crc >> (24 - 8 * i));
    for (size_t i = 0; i + 9 < jpeg.size; i++)
        if (jpeg.data[i] == 0xFF && jpeg.data[i + 1] == 0xC0) {
            jpeg.data[i + 5] = jpeg.data[i + 7] = 0xEA, jpeg.data[i + 6] = jpeg.data[i + 8] = 0x60;
            break;
        }
    assert_int_equal(frt_image_open(NULL, png.data, 100, &image, &err), FRT_EIMAGE_TOO_LARGE);
    assert_non_null(strstr(err.text, "60000 x 60000"));
    frt_mem_fail_after(INT64_MAX);
    assert_int_equal(frt_image_open(NULL, jpeg.data, jpeg.size, &image, &err), FRT_EIMAGE_TOO_LARGE);
    assert_int_equal(frt_mem_asked(), 0);
    frt_mem_fail_after(-1);
    struct frt_image_limits limits = {.max_pixels = W * H - 1};
    struct fixture f = make(WEBP, rgb, W, H, 0);
    assert_int_equal(frt_image_open(&limits, f.data, f.size, &image, &err), FRT_EIMAGE_TOO_LARGE);
    limits = (struct frt_image_limits){.max_side_px = W - 1};
    assert_int_equal(frt_image_open(&limits, f.data, f.size, &image, &err), FRT_EIMAGE_TOO_LARGE);
    limits.max_side_px = W;
    assert_int_equal(frt_image_open(&limits, f.data, f.size, &image, &err), FRT_OK);
    frt_image_free(image);
    free(png.data);
    free(jpeg.data);
    free(f.data);
}

/* Open and decode in three ways; never a crash, and only the documented errors. */
static enum frt_status try_all(const uint8_t *data, size_t size)
{
    static const struct frt_decode_request requests[] = {
        {{0, 0, 0, 0}, 0}, {{0, 0, 0, 0}, 16}, {{7, 5, 20, 20}, 0}};
    struct frt_image_limits limits = {.max_pixels = 1 << 20};
    struct frt_image *image = NULL;
    enum frt_status status = frt_image_open(&limits, data, size, &image, NULL), first = status;
    for (size_t i = 0; status == FRT_OK && i < 3; i++) {
        struct frt_frame frame = {0};
        enum frt_status s = frt_image_decode(image, &requests[i], &frame, NULL);
        if (i == 0)
            first = s;
        if (s == FRT_OK)
            frt_frame_deinit(&frame);
        assert_true(s == FRT_OK || s == FRT_EBAD_IMAGE || s == FRT_EINVAL || s == FRT_EUNSUPPORTED_IMAGE ||
                    s == FRT_EIMAGE_TOO_LARGE || s == FRT_ENOMEM);
    }
    assert_true(status == FRT_OK || status == FRT_EBAD_IMAGE || status == FRT_EUNSUPPORTED_IMAGE ||
                status == FRT_EIMAGE_TOO_LARGE || status == FRT_ENOMEM);
    frt_image_free(image);
    return first;
}

static void test_damage(void **state)
{
    uint8_t rgb[W * H * 3];
    uint32_t w, h;
    (void)state;
    make_stored(1, noise, rgb, &w, &h);
    for (int kind = 0; kind < KINDS; kind++)
        for (uint8_t o = 0; o < 2; o++) {
            struct fixture f = make((enum kind)kind, rgb, w, h, o); /* JPEG: baseline, then progressive */
            assert_int_equal(try_all(f.data, f.size), FRT_OK);
            for (size_t size = 0; size < f.size; size += 1 + f.size / 1500) {
                uint8_t *copy = malloc(size + 1); /* exact, so that a sanitizer sees a read past the end */
                assert_non_null(copy);
                memcpy(copy, f.data, size);
                enum frt_status status = try_all(copy, size);
                if (size < f.size * 9 / 10)
                    assert_int_not_equal(status, FRT_OK);
                free(copy);
            }
            for (uint32_t i = 0; i < 1500; i++) {
                size_t at = (noise(i, 8, 0) * 256U + noise(i, 8, 1)) % (i % 2 == 0 ? f.size : 200);
                uint8_t was = f.data[at];
                f.data[at] ^= (uint8_t)(1U << i % 8);
                (void)try_all(f.data, f.size);
                f.data[at] = was;
            }
            free(f.data);
        }
}

static void test_jpeg_without_end_marker_is_read(void **state)
{
    uint8_t rgb[W * H * 3];
    uint32_t w, h;
    (void)state;
    make_stored(1, smooth, rgb, &w, &h);
    struct fixture f = make(JPEG, rgb, w, h, 0);
    assert_int_equal(try_all(f.data, f.size - 2), FRT_OK);
    free(f.data);
    f = make(JPEG, rgb, w, h, 1); /* progressive */
    assert_int_equal(try_all(f.data, f.size - 2), FRT_EBAD_IMAGE);
    free(f.data);
}

static void test_not_an_image(void **state)
{
    static const char *const texts[] = {
        "", "GIF89a..........", "%PDF-1.7", "<svg xmlns=\"http\">", "RIFF....WAVEfmt ", "\xFF\xD8"};
    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        assert_int_equal(try_all((const uint8_t *)texts[i], strlen(texts[i])), FRT_EUNSUPPORTED_IMAGE);
}

static void test_files(void **state)
{
    char folder[] = "/tmp/frt_image_XXXXXX", path[64];
    struct frt_image *image = NULL;
    (void)state;
    assert_non_null(mkdtemp(folder));
    (void)snprintf(path, sizeof path, "%s/x", folder);
    assert_int_equal(frt_image_map(NULL, path, &image, NULL), FRT_ENOTFOUND);
    assert_int_equal(frt_image_map(NULL, folder, &image, NULL), FRT_EUNSUPPORTED_IMAGE);
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_int_equal(frt_image_map(NULL, path, &image, NULL), FRT_EUNSUPPORTED_IMAGE);
    assert_int_equal(unlink(path), 0);
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    (void)fclose(file);
    assert_int_equal(frt_image_map(NULL, path, &image, NULL), FRT_EUNSUPPORTED_IMAGE);
    assert_null(image);
    (void)unlink(path);
    (void)rmdir(folder);
}

static void test_raw_pixels(void **state)
{
    uint8_t rgb[W * H * 3];
    uint32_t w, h;
    struct frt_image *image = NULL;
    struct frt_frame frame = {0};
    struct frt_decode_request request = {.region = {3, 2, 10, 8}};
    (void)state;
    make_stored(1, noise, rgb, &w, &h);
    assert_int_equal(frt_image_wrap(NULL, NULL, W, H, W * 3, &image, NULL), FRT_EINVAL);
    assert_int_equal(frt_image_wrap(NULL, rgb, W, H, W * 3 - 1, &image, NULL), FRT_EINVAL);
    assert_int_equal(frt_image_wrap(NULL, rgb, W, H, W * 3, &image, NULL), FRT_OK);
    assert_int_equal(frt_image_decode(image, &request, &frame, NULL), FRT_OK);
    assert_int_equal(worst_against(&frame, noise), 0);
    frt_frame_deinit(&frame);
    request.region = (struct frt_box){W, 0, 5, 5};
    assert_int_equal(frt_image_decode(image, &request, &frame, NULL), FRT_EINVAL);
    frt_image_free(image);
}

static void test_short_memory(void **state)
{
    uint8_t rgb[W * H * 3];
    uint32_t w, h;
    (void)state;
    make_stored(6, smooth, rgb, &w, &h);
    for (int kind = 0; kind < KINDS; kind++) {
        struct fixture f = make((enum kind)kind, rgb, w, h, 6);
        frt_mem_fail_after(INT64_MAX);
        assert_int_equal(try_all(f.data, f.size), FRT_OK);
        int64_t asked = frt_mem_asked();
        assert_true(asked >= 4);
        for (int64_t n = 0; n < asked; n++) {
            frt_mem_fail_after(n);
            (void)try_all(f.data, f.size);
        }
        frt_mem_fail_after(0);
        assert_int_not_equal(try_all(f.data, f.size), FRT_OK);
        frt_mem_fail_after(-1);
        free(f.data);
    }
}

/* The sample photos of the npm package, when installed: a region is the crop of the whole. */
static void test_real_photos(void **state)
{
    int seen = 0;
    (void)state;
    for (int i = 1; i <= 3; i++) {
        char path[80];
        struct frt_image *image = NULL;
        struct frt_frame whole = {0}, part = {0};
        (void)snprintf(path, sizeof path, "node_modules/@vladmandic/face-api/demo/sample%d.jpg", i);
        if (access(path, R_OK) != 0)
            continue;
        assert_int_equal(frt_image_map(NULL, path, &image, NULL), FRT_OK);
        struct frt_image_info info = frt_image_info_get(image);
        struct frt_decode_request request = {0};
        assert_int_equal(frt_image_decode(image, &request, &whole, NULL), FRT_OK);
        request.region = (struct frt_box){(float)(info.width_px / 3), (float)(info.height_px / 5), 161, 143};
        assert_int_equal(frt_image_decode(image, &request, &part, NULL), FRT_OK);
        assert_int_equal(worst_between(&part, &whole), 0);
        frt_frame_deinit(&part);
        frt_frame_deinit(&whole);
        frt_image_free(image);
        seen++;
    }
    if (seen == 0) {
        print_message("no sample photos under node_modules; run npm ci\n");
        skip();
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_eight_orientations),
        cmocka_unit_test(test_png_kinds),
        cmocka_unit_test(test_png_palette_with_transparency),
        cmocka_unit_test(test_jpeg_grey_and_cmyk),
        cmocka_unit_test(test_regions_equal_the_whole),
        cmocka_unit_test(test_scaled_is_the_average),
        cmocka_unit_test(test_headers_meet_limits_first),
        cmocka_unit_test(test_damage),
        cmocka_unit_test(test_jpeg_without_end_marker_is_read),
        cmocka_unit_test(test_not_an_image),
        cmocka_unit_test(test_files),
        cmocka_unit_test(test_raw_pixels),
        cmocka_unit_test(test_short_memory),
        cmocka_unit_test(test_real_photos),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
