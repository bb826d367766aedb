/*
 * The fast reader of JPEG scans against libjpeg: at 1/8, grey and 4:4:4 must be equal to the bit. Elsewhere the
 * filters differ (libjpeg takes more cosines at 1/4, and other resolutions of chroma): luma, by little on
 * average.
 *
 * That the fast reader took the file is asked of it directly; the whole path is met through frt_image_decode.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jpeglib.h>

#include "core/mem.h"
#include "image/image.h"
#include "image/jpeg_scan.h"

struct kind {
    int components, h, v; /* sampling of luma */
    unsigned restart;     /* MCUs */
    int quality;
    boolean optimized, force_baseline;
};

struct file {
    unsigned char *data;
    unsigned long size;
};

struct frame {
    uint8_t *pixels;
    uint32_t width, height;
};

static uint32_t random_next(uint32_t *seed)
{
    *seed = *seed * 1664525U + 1013904223U;
    return *seed >> 24;
}

/* Soft shapes with grain; `noisy` makes the coefficients large. */
static struct file encode(const struct kind *kind, uint32_t width, uint32_t height, int noisy)
{
    struct jpeg_compress_struct jpeg;
    struct jpeg_error_mgr errors;
    struct file file = {0};
    uint32_t seed = 7;
    uint8_t *row = malloc((size_t)width * 3);
    assert_non_null(row);
    jpeg.err = jpeg_std_error(&errors); /* exits on error */
    jpeg_create_compress(&jpeg);
    jpeg_mem_dest(&jpeg, &file.data, &file.size);
    jpeg.image_width = width;
    jpeg.image_height = height;
    jpeg.input_components = kind->components;
    jpeg.in_color_space = kind->components == 1 ? JCS_GRAYSCALE : JCS_RGB;
    jpeg_set_defaults(&jpeg);
    jpeg_set_quality(&jpeg, kind->quality, kind->force_baseline);
    jpeg.comp_info[0].h_samp_factor = kind->h;
    jpeg.comp_info[0].v_samp_factor = kind->v;
    jpeg.restart_interval = kind->restart;
    jpeg.optimize_coding = kind->optimized;
    jpeg_start_compress(&jpeg, TRUE);
    for (uint32_t y = 0; y < height; y++) {
        for (uint32_t i = 0; i < width * (uint32_t)kind->components; i++) {
            uint32_t x = i / (uint32_t)kind->components, c = i % (uint32_t)kind->components;
            uint32_t soft = (x * (2 + c) + y * (3 - c) + (x / 40 + y / 30) % 2 * 90) % 512;
            soft = soft < 256 ? soft : 511 - soft;
            uint32_t grain = random_next(&seed);
            row[i] = (uint8_t)(noisy ? grain : (soft * 15 + grain) / 16);
        }
        (void)jpeg_write_scanlines(&jpeg, &row, 1);
    }
    jpeg_finish_compress(&jpeg);
    jpeg_destroy_compress(&jpeg);
    free(row);
    return file;
}

/* libjpeg's own decode at per_block/8. */
static struct frame reference(const struct file *file, unsigned per_block)
{
    struct jpeg_decompress_struct jpeg;
    struct jpeg_error_mgr errors;
    jpeg.err = jpeg_std_error(&errors);
    jpeg_create_decompress(&jpeg);
    jpeg_mem_src(&jpeg, file->data, file->size);
    (void)jpeg_read_header(&jpeg, TRUE);
    jpeg.scale_num = per_block;
    jpeg.scale_denom = 8;
    jpeg.out_color_space = JCS_RGB;
    jpeg.do_fancy_upsampling = FALSE;
    (void)jpeg_start_decompress(&jpeg);
    struct frame f = {.width = jpeg.output_width, .height = jpeg.output_height};
    f.pixels = malloc((size_t)f.width * f.height * 3);
    assert_non_null(f.pixels);
    for (uint32_t y = 0; y < f.height; y++) {
        JSAMPROW row = f.pixels + (size_t)y * f.width * 3;
        (void)jpeg_read_scanlines(&jpeg, &row, 1);
    }
    (void)jpeg_finish_decompress(&jpeg);
    jpeg_destroy_decompress(&jpeg);
    return f;
}

/* The fast reader alone, on tables that libjpeg parsed. */
static bool read_fast(const struct file *file, unsigned per_block, const struct jpeg_part *part,
                      uint8_t *pixels)
{
    struct jpeg_decompress_struct jpeg;
    struct jpeg_error_mgr errors;
    struct jpeg_scan scan;
    jpeg.err = jpeg_std_error(&errors);
    jpeg_create_decompress(&jpeg);
    jpeg_mem_src(&jpeg, file->data, file->size);
    (void)jpeg_read_header(&jpeg, TRUE);
    scan = (struct jpeg_scan){.data = jpeg.src->next_input_byte,
                              .size = jpeg.src->bytes_in_buffer,
                              .width_px = jpeg.image_width,
                              .height_px = jpeg.image_height,
                              .restart_interval = jpeg.restart_interval,
                              .n_components = (uint8_t)jpeg.num_components};
    for (int i = 0; i < jpeg.num_components; i++) {
        const jpeg_component_info *c = &jpeg.comp_info[i];
        scan.component[i] = (struct jpeg_component){(uint8_t)c->h_samp_factor,
                                                    (uint8_t)c->v_samp_factor,
                                                    jpeg.quant_tbl_ptrs[c->quant_tbl_no]->quantval,
                                                    jpeg.dc_huff_tbl_ptrs[c->dc_tbl_no]->bits,
                                                    jpeg.dc_huff_tbl_ptrs[c->dc_tbl_no]->huffval,
                                                    jpeg.ac_huff_tbl_ptrs[c->ac_tbl_no]->bits,
                                                    jpeg.ac_huff_tbl_ptrs[c->ac_tbl_no]->huffval};
    }
    bool ok = frt_jpeg_scan_decode(&scan, per_block, part, pixels);
    jpeg_destroy_decompress(&jpeg);
    return ok;
}

static double luma_of(const uint8_t *rgb)
{
    return 0.299 * rgb[0] + 0.587 * rgb[1] + 0.114 * rgb[2];
}

static const struct kind kinds[] = {
    {1, 1, 1, 0, 90, FALSE, TRUE}, {3, 1, 1, 0, 90, FALSE, TRUE},  {3, 2, 1, 0, 75, FALSE, TRUE},
    {3, 1, 2, 0, 85, TRUE, TRUE},  {3, 2, 2, 0, 95, FALSE, TRUE},  {3, 2, 2, 3, 95, FALSE, TRUE},
    {1, 1, 1, 1, 50, TRUE, TRUE},  {3, 2, 2, 17, 100, TRUE, TRUE}, {3, 2, 2, 0, 1, FALSE, FALSE}};
enum { KINDS = sizeof kinds / sizeof *kinds };

static void test_equals_libjpeg(void **state)
{
    static const uint32_t sizes[][2] = {{1, 1}, {7, 9}, {8, 8}, {16, 17}, {33, 31}, {203, 117}, {640, 400}};
    (void)state;
    for (size_t k = 0; k < KINDS; k++)
        for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++)
            for (unsigned per_block = 1; per_block <= 2; per_block++) {
                struct file file = encode(&kinds[k], sizes[s][0], sizes[s][1], 0);
                struct frame f = reference(&file, per_block);
                size_t n = (size_t)f.width * f.height * 3;
                const struct jpeg_part whole = {0, 0, f.width, f.height};
                uint8_t *pixels = malloc(n);
                assert_non_null(pixels);
                assert_true(read_fast(&file, per_block, &whole, pixels));
                bool exact = per_block == 1 && kinds[k].h == 1 && kinds[k].v == 1;
                double sum = 0;
                for (size_t i = 0; i < n; i += 3)
                    sum += fabs(luma_of(pixels + i) - luma_of(f.pixels + i));
                if (exact)
                    assert_memory_equal(pixels, f.pixels, n);
                /* the means of halves lack the higher cosines; at quality 1 there is little else */
                assert_true(sum / (double)(n / 3) < (kinds[k].quality == 1 ? 6 : 3));
                free(pixels);
                free(f.pixels);
                free(file.data);
            }
}

/* Noise makes every block long, so that the buffer is refilled often, amid stuffed bytes and restarts. */
static void test_long_scans(void **state)
{
    (void)state;
    for (size_t k = 0; k < KINDS; k++) {
        struct file file = encode(&kinds[k], 900, 700, 1);
        struct frame f = reference(&file, 1);
        const struct jpeg_part whole = {0, 0, f.width, f.height};
        uint8_t *pixels = malloc((size_t)f.width * f.height * 3);
        assert_non_null(pixels);
        assert_true(read_fast(&file, 1, &whole, pixels));
        if (kinds[k].h == 1 && kinds[k].v == 1)
            assert_memory_equal(pixels, f.pixels, (size_t)f.width * f.height * 3);
        free(pixels);
        free(f.pixels);
        free(file.data);
    }
}

static void test_part_is_part_of_the_whole(void **state)
{
    (void)state;
    for (size_t k = 0; k < KINDS; k++) {
        struct file file = encode(&kinds[k], 333, 222, 0);
        uint8_t all[84 * 56 * 3], some[84 * 56 * 3];
        const struct jpeg_part whole = {0, 0, 84, 56}, part = {11, 9, 40, 31};
        assert_true(read_fast(&file, 2, &whole, all));
        assert_true(read_fast(&file, 2, &part, some));
        for (uint32_t y = 0; y < part.height; y++)
            assert_memory_equal(some + (size_t)y * part.width * 3,
                                all + ((size_t)(y + part.y) * whole.width + part.x) * 3, part.width * 3);
        free(file.data);
    }
}

/* Cut at many places, it declines; with any bit flipped it may do as it likes within its memory. */
static void test_damage(void **state)
{
    (void)state;
    for (size_t k = 0; k < KINDS; k++) {
        struct file file = encode(&kinds[k], 61, 45, 1);
        uint8_t pixels[16 * 12 * 3];
        const struct jpeg_part whole = {0, 0, 16, 12};
        size_t head = file.size;
        for (size_t i = 0; i + 1 < file.size; i++)
            if (file.data[i] == 0xFF && file.data[i + 1] == 0xDA)
                head = i + 14; /* behind SOS */
        for (size_t size = head; size + 3 < file.size; size += 1 + file.size / 150) {
            struct file cut = {malloc(size), size}; /* exact, so that a sanitizer sees a read past the end */
            assert_non_null(cut.data);
            memcpy(cut.data, file.data, size);
            assert_false(read_fast(&cut, 2, &whole, pixels));
            free(cut.data);
        }
        for (size_t i = head; i < file.size; i += 1 + file.size / 100) {
            uint8_t was = file.data[i];
            for (int bit = 0; bit < 8; bit += 3) {
                file.data[i] ^= (uint8_t)(1U << bit);
                (void)read_fast(&file, 1, &(struct jpeg_part){0, 0, 8, 6}, pixels);
                (void)read_fast(&file, 2, &whole, pixels);
                file.data[i] = was;
            }
        }
        free(file.data);
    }
}

/* Short of memory it declines, and leaks nothing; then libjpeg does the work, or says that memory is short. */
static void test_short_memory(void **state)
{
    (void)state;
    struct file file = encode(&kinds[4], 640, 480, 0);
    for (int64_t n = 0;; n++) {
        struct frt_image *image = NULL;
        struct frt_frame frame = {0};
        struct frt_error err;
        const struct frt_decode_request request = {.want_side_px = 80};
        assert_int_equal(frt_image_open(NULL, file.data, file.size, &image, &err), FRT_OK);
        frt_mem_fail_after(n);
        enum frt_status status = frt_image_decode(image, &request, &frame, &err);
        bool all = frt_mem_asked() <= n;
        frt_mem_fail_after(-1);
        assert_true(status == FRT_OK || status == FRT_ENOMEM);
        if (status == FRT_OK)
            frt_frame_deinit(&frame);
        frt_image_free(image);
        if (all) {
            assert_int_equal(status, FRT_OK);
            break;
        }
    }
    free(file.data);
}

/* What it does not speak reaches libjpeg: the frame is as large as it would be. */
static void test_declined_files_are_read(void **state)
{
    const struct kind odd = {3, 4, 1, 0, 90, FALSE, TRUE};
    (void)state;
    struct file file = encode(&odd, 640, 480, 0);
    struct frt_image *image = NULL;
    struct frt_frame frame = {0};
    struct frt_error err;
    uint8_t pixels[80 * 60 * 3];
    const struct frt_decode_request request = {.want_side_px = 80};
    assert_false(read_fast(&file, 1, &(struct jpeg_part){0, 0, 80, 60}, pixels));
    assert_int_equal(frt_image_open(NULL, file.data, file.size, &image, &err), FRT_OK);
    assert_int_equal(frt_image_decode(image, &request, &frame, &err), FRT_OK);
    assert_int_equal(frame.width_px, 80);
    assert_int_equal(frame.height_px, 60);
    frt_frame_deinit(&frame);
    frt_image_free(image);
    free(file.data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_equals_libjpeg),
        cmocka_unit_test(test_long_scans),
        cmocka_unit_test(test_part_is_part_of_the_whole),
        cmocka_unit_test(test_damage),
        cmocka_unit_test(test_short_memory),
        cmocka_unit_test(test_declined_files_are_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
