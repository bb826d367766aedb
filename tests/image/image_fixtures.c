#include "image_fixtures.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jpeglib.h>
#include <spng.h>
#include <webp/encode.h>

/* A TIFF block with one entry; big-endian for even orientations, so that both orders are met. */
static size_t tiff(uint8_t orientation, uint8_t out[26])
{
    static const uint8_t little[26] = {'I', 'I', 42, 0, 8, 0, 0, 0, 1, 0, 0x12, 1, 3, 0, 1};
    static const uint8_t big[26] = {'M', 'M', 0, 42, 0, 0, 0, 8, 0, 1, 1, 0x12, 0, 3, 0, 0, 0, 1};
    memcpy(out, orientation % 2 == 0 ? big : little, 26);
    out[orientation % 2 == 0 ? 19 : 18] = orientation;
    return 26;
}

static struct fixture finish_png(spng_ctx *png, const void *samples, size_t bytes)
{
    struct fixture f = {0};
    int code = spng_encode_image(png, samples, bytes, SPNG_FMT_PNG, SPNG_ENCODE_FINALIZE);
    if (code == 0)
        f.data = spng_get_png_buffer(png, &f.size, &code);
    spng_ctx_free(png);
    if (code != 0)
        abort();
    return f;
}

struct fixture fixture_png(const void *samples, size_t bytes, uint32_t width, uint32_t height,
                           uint8_t color_type, uint8_t bit_depth, int interlaced, uint8_t orientation)
{
    uint8_t block[26];
    spng_ctx *png = spng_ctx_new(SPNG_CTX_ENCODER);
    struct spng_ihdr header = {.width = width,
                               .height = height,
                               .bit_depth = bit_depth,
                               .color_type = color_type,
                               .interlace_method = interlaced ? 1 : 0};
    struct spng_exif exif = {.length = tiff(orientation, block), .data = (char *)block};
    if (spng_set_option(png, SPNG_ENCODE_TO_BUFFER, 1) != 0 || spng_set_ihdr(png, &header) != 0 ||
        (orientation != 0 && spng_set_exif(png, &exif) != 0))
        abort();
    return finish_png(png, samples, bytes);
}

struct fixture fixture_png_palette(const uint8_t *indexes, uint32_t width, uint32_t height,
                                   int transparent_zero)
{
    spng_ctx *png = spng_ctx_new(SPNG_CTX_ENCODER);
    struct spng_ihdr header = {.width = width, .height = height, .bit_depth = 8, .color_type = 3};
    struct spng_plte palette = {.n_entries = 256};
    struct spng_trns trns = {.n_type3_entries = 1};
    for (unsigned i = 0; i < 256; i++)
        palette.entries[i] = (struct spng_plte_entry){(uint8_t)i, (uint8_t)(255 - i), (uint8_t)(2 * i), 255};
    if (spng_set_option(png, SPNG_ENCODE_TO_BUFFER, 1) != 0 || spng_set_ihdr(png, &header) != 0 ||
        spng_set_plte(png, &palette) != 0 || (transparent_zero && spng_set_trns(png, &trns) != 0))
        abort();
    return finish_png(png, indexes, (size_t)width * height);
}

struct fixture fixture_jpeg(const uint8_t *samples, uint32_t width, uint32_t height, int components,
                            int quality, int subsampled, int progressive, uint8_t orientation)
{
    struct jpeg_compress_struct jpeg;
    struct jpeg_error_mgr errors;
    unsigned char *data = NULL;
    unsigned long size = 0;
    uint8_t app1[32] = "Exif\0";
    jpeg.err = jpeg_std_error(&errors); /* exits on error: a fixture cannot fail */
    jpeg_create_compress(&jpeg);
    jpeg_mem_dest(&jpeg, &data, &size);
    jpeg.image_width = width;
    jpeg.image_height = height;
    jpeg.input_components = components;
    jpeg.in_color_space = components == 1 ? JCS_GRAYSCALE : components == 3 ? JCS_RGB : JCS_CMYK;
    jpeg_set_defaults(&jpeg);
    jpeg_set_quality(&jpeg, quality, TRUE);
    if (components == 4)
        jpeg.write_Adobe_marker = TRUE;
    if (components == 3 && !subsampled)
        jpeg.comp_info[0].h_samp_factor = jpeg.comp_info[0].v_samp_factor = 1;
    if (progressive)
        jpeg_simple_progression(&jpeg);
    jpeg_start_compress(&jpeg, TRUE);
    if (orientation != 0) {
        (void)tiff(orientation, app1 + 6);
        jpeg_write_marker(&jpeg, JPEG_APP0 + 1, app1, sizeof app1);
    }
    for (uint32_t y = 0; y < height; y++) {
        JSAMPROW row = (JSAMPROW)(uintptr_t)(samples + (size_t)y * width * (size_t)components);
        (void)jpeg_write_scanlines(&jpeg, &row, 1);
    }
    jpeg_finish_compress(&jpeg);
    jpeg_destroy_compress(&jpeg);
    return (struct fixture){data, size};
}

static uint8_t *put_le(uint8_t *to, uint32_t value, int bytes)
{
    for (int i = 0; i < bytes; i++, value >>= 8)
        *to++ = (uint8_t)value;
    return to;
}

struct fixture fixture_webp(const uint8_t *rgb, uint32_t width, uint32_t height, float quality,
                            uint8_t orientation)
{
    uint8_t *plain = NULL, *out, *p;
    int stride = (int)width * 3;
    size_t size = quality > 0 ? WebPEncodeRGB(rgb, (int)width, (int)height, stride, quality, &plain)
                              : WebPEncodeLosslessRGB(rgb, (int)width, (int)height, stride, &plain);
    if (size == 0)
        abort();
    /* plain = RIFF header of 12 bytes, one image chunk; extended = the same with VP8X before, EXIF after */
    size_t total = orientation != 0 ? size + 18 + 8 + 26 : size;
    out = malloc(total);
    if (out == NULL)
        abort();
    memcpy(out, plain, size);
    if (orientation != 0) {
        memcpy(out + 30, plain + 12, size - 12);
        p = put_le(out + 4, (uint32_t)(total - 8), 4);
        memcpy(p, "WEBPVP8X", 8);
        p = put_le(p + 8, 10, 4);
        p = put_le(p, 0x08, 4); /* EXIF present */
        p = put_le(p, width - 1, 3);
        (void)put_le(p, height - 1, 3);
        p = out + 18 + size;
        memcpy(p, "EXIF", 4);
        (void)tiff(orientation, put_le(p + 4, 26, 4));
    }
    WebPFree(plain);
    return (struct fixture){out, total};
}
