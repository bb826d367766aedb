/*
 * Kinds of files that the house's own encoders do not make: HEIC and AVIF (fixtures made with heif-enc from
 * four flat quadrants: red, green, blue, white), animated WebP (img2webp, the same), YCCK and many-scan
 * JPEG.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jpeglib.h>

#include "image/image.h"

enum { W = 64, H = 48 };

static const uint8_t quadrants[4][3] = {{255, 0, 0}, {0, 255, 0}, {0, 0, 255}, {255, 255, 255}};

static struct frt_image *open_fixture(const char *name)
{
    char path[128];
    struct frt_image *image = NULL;
    struct frt_error err = {0};
    (void)snprintf(path, sizeof path, "tests/image/fixtures/%s", name);
    if (frt_image_map(NULL, path, &image, &err) != FRT_OK)
        fail_msg("%s", err.text);
    return image;
}

/* Compares the middle of each quadrant; `paper` where the photo is transparent. */
static void check_quadrants(const struct frt_frame *f, bool right_is_paper)
{
    for (uint32_t q = 0; q < 4; q++) {
        uint32_t x = (uint32_t)((W * (1 + 2 * (q % 2)) / 4.0 - f->origin_x) / f->scale_x);
        uint32_t y = (uint32_t)((H * (1 + 2 * (q / 2)) / 4.0 - f->origin_y) / f->scale_y);
        if (x >= f->width_px || y >= f->height_px)
            continue;
        for (uint32_t c = 0; c < 3; c++) {
            int expected = right_is_paper && q % 2 == 1 ? 255 : quadrants[q][c];
            assert_in_range(f->pixels[y * f->stride_bytes + 3 * x + c] + 4, expected, expected + 8);
        }
    }
}

static void heic_and_avif(void **state)
{
    static const struct {
        const char *file;
        enum frt_image_format format;
        bool alpha;
    } files[] = {{"quadrants.heic", FRT_IMAGE_HEIC, false},
                 {"quadrants.avif", FRT_IMAGE_AVIF, false},
                 {"right_half_transparent.avif", FRT_IMAGE_AVIF, true}};
    static const struct frt_decode_request requests[] = {
        {{0, 0, 0, 0}, 0}, {{0, 0, 0, 0}, 16}, {{8, 8, 30, 33}, 0}};
    (void)state;
#ifndef FRT_HAVE_HEIF
    skip();
#endif
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        struct frt_image *image = open_fixture(files[i].file);
        struct frt_image_info info = frt_image_info_get(image);
        assert_int_equal(info.format, files[i].format);
        assert_int_equal(info.width_px, W);
        assert_int_equal(info.height_px, H);
        assert_int_equal(info.channels, files[i].alpha ? 4 : 3);
        for (size_t k = 0; k < sizeof requests / sizeof *requests; k++) {
            struct frt_frame frame = {0};
            assert_int_equal(frt_image_decode(image, &requests[k], &frame, NULL), FRT_OK);
            check_quadrants(&frame, files[i].alpha);
            frt_frame_deinit(&frame);
        }
        frt_image_free(image);
    }
}

static void animations_are_refused(void **state)
{
    struct frt_image *image = NULL;
    struct frt_error err = {0};
    (void)state;
    assert_int_equal(frt_image_map(NULL, "tests/image/fixtures/animated.webp", &image, &err),
                     FRT_EUNSUPPORTED_IMAGE);
    assert_non_null(strstr(err.text, "animat"));
    assert_null(image);
}

struct jpeg_file {
    unsigned char *data;
    unsigned long size;
};

static struct jpeg_file encode(J_COLOR_SPACE space, const jpeg_scan_info *scans, int n_scans)
{
    struct jpeg_compress_struct jpeg;
    struct jpeg_error_mgr errors;
    struct jpeg_file file = {0};
    int components = space == JCS_YCCK ? 4 : 3;
    jpeg.err = jpeg_std_error(&errors); /* exits on error */
    jpeg_create_compress(&jpeg);
    jpeg_mem_dest(&jpeg, &file.data, &file.size);
    jpeg.image_width = W;
    jpeg.image_height = H;
    jpeg.input_components = components;
    jpeg.in_color_space = components == 4 ? JCS_CMYK : JCS_RGB;
    jpeg_set_defaults(&jpeg);
    jpeg_set_colorspace(&jpeg, space);
    jpeg_set_quality(&jpeg, 95, TRUE);
    jpeg.scan_info = scans;
    jpeg.num_scans = n_scans;
    jpeg_start_compress(&jpeg, TRUE);
    for (uint32_t y = 0; y < H; y++) {
        uint8_t row[W * 4];
        JSAMPROW rows = row;
        for (uint32_t x = 0; x < W; x++)
            for (int c = 0; c < components; c++) {
                const uint8_t *rgb = quadrants[(x >= W / 2) + 2 * (y >= H / 2)];
                row[(int)x * components + c] = c == 3 ? 255 : rgb[c]; /* Adobe's inks are inverted */
            }
        (void)jpeg_write_scanlines(&jpeg, &rows, 1);
    }
    jpeg_finish_compress(&jpeg);
    jpeg_destroy_compress(&jpeg);
    return file;
}

static void ycck_shows_its_colours(void **state)
{
    (void)state;
    struct jpeg_file file = encode(JCS_YCCK, NULL, 0);
    for (uint32_t side = 0; side <= 16; side += 8) {
        struct frt_image *image = NULL;
        struct frt_frame frame = {0};
        const struct frt_decode_request request = {.want_side_px = side};
        assert_int_equal(frt_image_open(NULL, file.data, file.size, &image, NULL), FRT_OK);
        assert_int_equal(frt_image_decode(image, &request, &frame, NULL), FRT_OK);
        check_quadrants(&frame, false);
        frt_frame_deinit(&frame);
        frt_image_free(image);
    }
    free(file.data);
}

/* Each scan costs a walk over the whole image, and a file of a few kilobytes can have very many. */
static void a_hundred_scans_are_enough(void **state)
{
    jpeg_scan_info scans[1 + 2 * 63] = {{3, {0, 1, 2, 0}, 0, 0, 0, 0}};
    (void)state;
    for (int i = 0; i < 2 * 63; i++)
        scans[1 + i] = (jpeg_scan_info){1, {i / 63, 0, 0, 0}, 1 + i % 63, 1 + i % 63, 0, 0};
    static const struct {
        int scans;
        enum frt_status expected;
    } tries[] = {{60, FRT_OK}, {100, FRT_OK}, {127, FRT_EBAD_IMAGE}};
    for (size_t i = 0; i < sizeof tries / sizeof *tries; i++) {
        struct jpeg_file file = encode(JCS_YCbCr, scans, tries[i].scans);
        struct frt_image *image = NULL;
        struct frt_frame frame = {0};
        struct frt_error err = {0};
        const struct frt_decode_request request = {0};
        assert_int_equal(frt_image_open(NULL, file.data, file.size, &image, &err), FRT_OK);
        assert_int_equal(frt_image_decode(image, &request, &frame, &err), tries[i].expected);
        if (tries[i].expected == FRT_OK)
            frt_frame_deinit(&frame);
        else
            assert_non_null(strstr(err.text, "scans"));
        frt_image_free(image);
        free(file.data);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(heic_and_avif),
        cmocka_unit_test(animations_are_refused),
        cmocka_unit_test(ycck_shows_its_colours),
        cmocka_unit_test(a_hundred_scans_are_enough),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
