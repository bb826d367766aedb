/*
 * PNG through spng. Rows are decoded one by one into RGBA, composited onto white and averaged into the
 * frame, so that memory is a row and the frame. An interlaced file has no rows until its last pass:
 * it is decoded whole first (4 bytes a pixel, bounded by the pixel limit).
 * Threading: pure functions.
 */
#include <spng.h>
#include <string.h>

#include "core/mem.h"
#include "image/alpha.h"
#include "image/exif.h"
#include "image/image_internal.h"
#include "image/shrink.h"

enum {
    MAX_CHUNK_BYTES = 8 << 20, /* of a chunk other than pixels */
    MAX_CHUNK_CACHE_BYTES = 16 << 20
};

static enum frt_status fail(struct frt_error *err, int code)
{
    if (code == SPNG_EMEM)
        return frt_fail_nomem(err, "a PNG frame");
    return frt_fail(err, FRT_EBAD_IMAGE, "PNG: %s", spng_strerror(code));
}

static int open_context(const uint8_t *data, size_t size, spng_ctx **out, struct spng_ihdr *header)
{
    struct spng_alloc hooks = {frt_alloc, frt_realloc, frt_alloc_zero, frt_free};
    spng_ctx *png = spng_ctx_new2(&hooks, 0);
    if (png == NULL)
        return SPNG_EMEM;
    int code = spng_set_chunk_limits(png, MAX_CHUNK_BYTES, MAX_CHUNK_CACHE_BYTES);
    if (code == 0)
        code = spng_set_crc_action(png, SPNG_CRC_ERROR, SPNG_CRC_DISCARD);
    if (code == 0)
        code = spng_set_png_buffer(png, data, size);
    if (code == 0)
        code = spng_get_ihdr(png, header);
    if (code != 0) {
        spng_ctx_free(png);
        return code;
    }
    *out = png;
    return 0;
}

/* Orientation from the eXIf chunk, which may stand before or after the pixels: chunks are skipped by
 * their lengths. Source: PNG, third edition, 5.3 and 11.3.4.5. */
static uint8_t orientation_of(const uint8_t *data, size_t size)
{
    size_t at = 8;
    while (at <= size && size - at >= 12) {
        const uint8_t *p = data + at;
        size_t length = (size_t)p[0] << 24 | (size_t)p[1] << 16 | (size_t)p[2] << 8 | (size_t)p[3];
        if (length > size - at - 12)
            break;
        if (memcmp(p + 4, "eXIf", 4) == 0)
            return frt_exif_orientation(p + 8, length);
        at += 12 + length;
    }
    return 1;
}

static enum frt_status read_header(const uint8_t *data, size_t size, struct image_header *out,
                                   struct frt_error *err)
{
    static const uint8_t channels[7] = {[0] = 1, [2] = 3, [3] = 3, [4] = 2, [6] = 4};
    struct spng_ihdr header;
    spng_ctx *png = NULL;
    int code = open_context(data, size, &png, &header);
    if (code != 0)
        return fail(err, code);
    struct image_header h = {.width_px = header.width,
                             .height_px = header.height,
                             .channels = header.color_type < 7 ? channels[header.color_type] : 0,
                             .bit_depth = header.bit_depth,
                             .orientation = orientation_of(data, size)};
    spng_ctx_free(png);
    *out = h;
    return FRT_OK;
}

static int decode_rows(spng_ctx *png, const struct image_header *h, struct frt_shrink *shrink, uint8_t *rgba,
                       uint8_t *rgb)
{
    int code = spng_decode_image(png, NULL, 0, SPNG_FMT_RGBA8, SPNG_DECODE_TRNS | SPNG_DECODE_PROGRESSIVE);
    uint32_t last = shrink->y + shrink->height;
    for (uint32_t y = 0; code == 0 && y < last; y++) {
        code = spng_decode_row(png, rgba, (size_t)h->width_px * 4);
        if (code == SPNG_EOI && y == h->height_px - 1)
            code = 0;
        if (code == 0 && y >= shrink->y) {
            frt_rgba_onto_white(rgba, rgb, h->width_px);
            frt_shrink_row(shrink, y, rgb);
        }
    }
    return code;
}

static int decode_whole(spng_ctx *png, const struct image_header *h, struct frt_shrink *shrink, uint8_t *rgb)
{
    size_t stride = (size_t)h->width_px * 4, size = stride * h->height_px;
    uint8_t *all = frt_alloc(size);
    if (all == NULL)
        return SPNG_EMEM;
    int code = spng_decode_image(png, all, size, SPNG_FMT_RGBA8, SPNG_DECODE_TRNS);
    for (uint32_t y = 0; code == 0 && y < h->height_px; y++) {
        frt_rgba_onto_white(all + y * stride, rgb, h->width_px);
        frt_shrink_row(shrink, y, rgb);
    }
    frt_free(all);
    return code;
}

static enum frt_status decode(const struct frt_image *image, const struct stored_request *q,
                              struct frt_frame *out, struct frt_error *err)
{
    const struct image_header *h = &image->header;
    struct spng_ihdr header;
    struct frt_shrink shrink = {0};
    spng_ctx *png = NULL;
    uint8_t *rgba = NULL, *rgb = NULL;
    enum frt_status status;

    int code = open_context(image->data, image->size, &png, &header);
    if (code != 0)
        return fail(err, code);
    rgba = frt_alloc_array(h->width_px, 4);
    rgb = frt_alloc_array(h->width_px, 3);
    if (rgba == NULL || rgb == NULL) {
        status = frt_fail_nomem(err, "a PNG row");
        goto done;
    }
    status = frt_shrink_init(&shrink, q->x, q->y, q->width, q->height, q->shrink, err);
    if (status != FRT_OK)
        goto done;
    code = header.interlace_method == 0 ? decode_rows(png, h, &shrink, rgba, rgb)
                                        : decode_whole(png, h, &shrink, rgb);
    status = code == 0 ? FRT_OK : fail(err, code);
    if (status == FRT_OK)
        frt_shrink_take(&shrink, out);
done:
    frt_shrink_deinit(&shrink);
    frt_free(rgba);
    frt_free(rgb);
    spng_ctx_free(png);
    return status;
}

const struct image_decoder image_decoder_png = {read_header, decode};
