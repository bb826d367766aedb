/*
 * WebP through libwebp: it crops and scales by itself. Animations are refused: which frame would be
 * meant? Threading: pure functions.
 */
#include <string.h>
#include <webp/decode.h>

#include "core/mem.h"
#include "image/alpha.h"
#include "image/exif.h"
#include "image/image_internal.h"

/* Orientation from the EXIF chunk of the RIFF container. Source: WebP container specification. */
static uint8_t orientation_of(const uint8_t *data, size_t size)
{
    size_t at = 12;
    while (at <= size && size - at >= 8) {
        const uint8_t *p = data + at;
        size_t length = (size_t)p[4] | (size_t)p[5] << 8 | (size_t)p[6] << 16 | (size_t)p[7] << 24;
        if (length > size - at - 8)
            break;
        if (memcmp(p, "EXIF", 4) == 0)
            return frt_exif_orientation(p + 8, length);
        at += 8 + length + (length & 1);
    }
    return 1;
}

static enum frt_status read_header(const uint8_t *data, size_t size, struct image_header *out,
                                   struct frt_error *err)
{
    WebPBitstreamFeatures f;
    if (WebPGetFeatures(data, size, &f) != VP8_STATUS_OK)
        return frt_fail(err, FRT_EBAD_IMAGE, "WebP: the header is damaged or cut short");
    if (f.has_animation)
        return frt_fail(err, FRT_EUNSUPPORTED_IMAGE, "WebP: animations are not read; send one still image");
    *out = (struct image_header){.width_px = (uint32_t)f.width,
                                 .height_px = (uint32_t)f.height,
                                 .channels = f.has_alpha ? 4 : 3,
                                 .bit_depth = 8,
                                 .orientation = orientation_of(data, size)};
    return FRT_OK;
}

static enum frt_status decode(const struct frt_image *image, const struct stored_request *q,
                              struct frt_frame *out, struct frt_error *err)
{
    WebPDecoderConfig config;
    bool alpha = image->header.channels == 4;
    /* Lossy WebP crops at even coordinates only, and its chroma upsampling has no neighbours outside the
     * crop: at full size two more pixels are decoded on every side, and cut off. */
    uint32_t margin = q->shrink == 1 ? 2 : 0;
    uint32_t x = (q->x - (q->x < margin ? q->x : margin)) & ~1U,
             y = (q->y - (q->y < margin ? q->y : margin)) & ~1U;
    uint32_t x1 = q->x + q->width + margin, y1 = q->y + q->height + margin;
    uint32_t width = (x1 < image->header.width_px ? x1 : image->header.width_px) - x;
    uint32_t height = (y1 < image->header.height_px ? y1 : image->header.height_px) - y;
    uint32_t w = (width + q->shrink - 1) / q->shrink, h = (height + q->shrink - 1) / q->shrink;
    size_t samples = alpha ? 4 : 3;

    if (!WebPInitDecoderConfig(&config))
        return frt_fail(err, FRT_EINTERNAL, "WebP: the library's version does not fit its header");
    uint8_t *pixels = frt_alloc_array(h, (size_t)w * samples);
    if (pixels == NULL)
        return frt_fail_nomem(err, "a WebP frame");
    config.options.use_cropping = 1;
    config.options.crop_left = (int)x;
    config.options.crop_top = (int)y;
    config.options.crop_width = (int)width;
    config.options.crop_height = (int)height;
    config.options.use_scaling = q->shrink > 1;
    config.options.scaled_width = (int)w;
    config.options.scaled_height = (int)h;
    config.output.colorspace = alpha ? MODE_RGBA : MODE_RGB;
    config.output.is_external_memory = 1;
    config.output.u.RGBA.rgba = pixels;
    config.output.u.RGBA.stride = (int)(w * samples);
    config.output.u.RGBA.size = (size_t)h * w * samples;
    VP8StatusCode code = WebPDecode(image->data, image->size, &config);
    WebPFreeDecBuffer(&config.output);
    if (code != VP8_STATUS_OK) {
        frt_free(pixels);
        if (code == VP8_STATUS_OUT_OF_MEMORY)
            return frt_fail_nomem(err, "a WebP frame");
        return frt_fail(err, FRT_EBAD_IMAGE, "WebP: %s",
                        code == VP8_STATUS_NOT_ENOUGH_DATA ? "the file ends before the image does"
                                                           : "the image data is damaged");
    }
    if (alpha)
        frt_rgba_onto_white(pixels, pixels, (size_t)w * h);
    *out = (struct frt_frame){.pixels = pixels,
                              .width_px = w,
                              .height_px = h,
                              .stride_bytes = (size_t)w * 3,
                              .origin_x = x,
                              .origin_y = y,
                              .scale_x = (double)width / w,
                              .scale_y = (double)height / h};
    if (q->shrink == 1 && (w != q->width || h != q->height)) {
        for (uint32_t row = 0; row < q->height; row++)
            memmove(pixels + (size_t)row * q->width * 3,
                    pixels + (row + q->y - y) * out->stride_bytes + (size_t)(q->x - x) * 3,
                    (size_t)q->width * 3);
        *out = (struct frt_frame){.pixels = pixels,
                                  .width_px = q->width,
                                  .height_px = q->height,
                                  .stride_bytes = (size_t)q->width * 3,
                                  .origin_x = q->x,
                                  .origin_y = q->y,
                                  .scale_x = 1,
                                  .scale_y = 1};
    }
    return FRT_OK;
}

const struct image_decoder image_decoder_webp = {read_header, decode};
