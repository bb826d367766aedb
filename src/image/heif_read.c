/*
 * HEIC and AVIF through libheif, when it was there at build time. libheif turns the photo upright by
 * itself (irot, imir), so no orientation is left to apply; it has no scaled decoding: the whole image
 * is decoded and averaged into the frame. Threading: pure functions.
 */
#include "image/image_internal.h"

#ifdef FRT_HAVE_HEIF
#include <libheif/heif.h>

#include "core/mem.h"
#include "image/alpha.h"
#include "image/shrink.h"

struct reader {
    struct heif_context *context;
    struct heif_image_handle *handle;
};

static void reader_deinit(struct reader *r)
{
    if (r->handle != NULL)
        heif_image_handle_release(r->handle);
    if (r->context != NULL)
        heif_context_free(r->context);
}

static enum frt_status reader_init(struct reader *r, const uint8_t *data, size_t size, struct frt_error *err)
{
    *r = (struct reader){.context = heif_context_alloc()};
    if (r->context == NULL)
        return frt_fail_nomem(err, "a HEIF reader");
    heif_context_set_max_decoding_threads(r->context, 0);
    struct heif_error code = heif_context_read_from_memory_without_copy(r->context, data, size, NULL);
    if (code.code == heif_error_Ok)
        code = heif_context_get_primary_image_handle(r->context, &r->handle);
    if (code.code == heif_error_Ok)
        return FRT_OK;
    enum frt_status status = frt_fail(err, FRT_EBAD_IMAGE, "HEIF: %s", code.message);
    reader_deinit(r);
    return status;
}

static enum frt_status read_header(const uint8_t *data, size_t size, struct image_header *out,
                                   struct frt_error *err)
{
    struct reader r;
    enum frt_status status = reader_init(&r, data, size, err);
    if (status != FRT_OK)
        return status;
    int width = heif_image_handle_get_width(r.handle), height = heif_image_handle_get_height(r.handle);
    int bits = heif_image_handle_get_luma_bits_per_pixel(r.handle);
    bool alpha = heif_image_handle_has_alpha_channel(r.handle) != 0;
    reader_deinit(&r);
    if (width <= 0 || height <= 0)
        return frt_fail(err, FRT_EBAD_IMAGE, "HEIF: the image is %d x %d pixels", width, height);
    *out = (struct image_header){.width_px = (uint32_t)width,
                                 .height_px = (uint32_t)height,
                                 .channels = alpha ? 4 : 3,
                                 .bit_depth = (uint8_t)(bits > 0 ? bits : 8),
                                 .orientation = 1};
    return FRT_OK;
}

static enum frt_status decode_plane(const struct heif_image *decoded, const struct image_header *h,
                                    const struct stored_request *q, struct frt_frame *out,
                                    struct frt_error *err)
{
    struct frt_shrink shrink = {0};
    int stride = 0;
    bool alpha = h->channels == 4;
    const uint8_t *plane = heif_image_get_plane_readonly(decoded, heif_channel_interleaved, &stride);
    if (plane == NULL || stride <= 0 ||
        heif_image_get_width(decoded, heif_channel_interleaved) != (int)h->width_px ||
        heif_image_get_height(decoded, heif_channel_interleaved) != (int)h->height_px)
        return frt_fail(err, FRT_EBAD_IMAGE,
                        "HEIF: the decoded image does not have the size its header states");
    uint8_t *rgb = alpha ? frt_alloc_array(h->width_px, 3) : NULL;
    if (alpha && rgb == NULL)
        return frt_fail_nomem(err, "a HEIF row");
    enum frt_status status = frt_shrink_init(&shrink, q->x, q->y, q->width, q->height, q->shrink, err);
    for (uint32_t y = 0; status == FRT_OK && y < h->height_px; y++) {
        const uint8_t *row = plane + (size_t)y * (size_t)stride;
        if (alpha)
            frt_rgba_onto_white(row, rgb, h->width_px);
        frt_shrink_row(&shrink, y, alpha ? rgb : row);
    }
    frt_free(rgb);
    if (status == FRT_OK)
        frt_shrink_take(&shrink, out);
    return status;
}

static enum frt_status decode(const struct frt_image *image, const struct stored_request *q,
                              struct frt_frame *out, struct frt_error *err)
{
    struct reader r;
    struct heif_image *decoded = NULL;
    enum frt_status status = reader_init(&r, image->data, image->size, err);
    if (status != FRT_OK)
        return status;
    struct heif_error code = heif_decode_image(
        r.handle, &decoded, heif_colorspace_RGB,
        image->header.channels == 4 ? heif_chroma_interleaved_RGBA : heif_chroma_interleaved_RGB, NULL);
    if (code.code == heif_error_Ok)
        status = decode_plane(decoded, &image->header, q, out, err);
    else if (code.code == heif_error_Unsupported_feature || code.code == heif_error_Unsupported_filetype)
        status =
            frt_fail(err, FRT_EUNSUPPORTED_IMAGE, "HEIF: %s; is the codec's plug-in installed?", code.message);
    else
        status = frt_fail(err, FRT_EBAD_IMAGE, "HEIF: %s", code.message);
    if (decoded != NULL)
        heif_image_release(decoded);
    reader_deinit(&r);
    return status;
}

#else

static enum frt_status refuse(struct frt_error *err)
{
    return frt_fail(
        err, FRT_EUNSUPPORTED_IMAGE,
        "HEIC and AVIF are not built in; install libheif-dev and build again, or send JPEG, PNG or WebP");
}

static enum frt_status read_header(const uint8_t *data, size_t size, struct image_header *out,
                                   struct frt_error *err)
{
    (void)data;
    (void)size;
    (void)out;
    return refuse(err);
}

static enum frt_status decode(const struct frt_image *image, const struct stored_request *q,
                              struct frt_frame *out, struct frt_error *err)
{
    (void)image;
    (void)q;
    (void)out;
    return refuse(err);
}

#endif

const struct image_decoder image_decoder_heif = {read_header, decode};
