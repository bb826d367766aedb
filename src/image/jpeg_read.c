/*
 * JPEG through libjpeg-turbo, the only reader of the room that includes its header.
 *
 * The scanline interface is used, not TurboJPEG's: it scales by n/8 inside the inverse transform, skips
 * the rows and columns outside a region, and keeps a handful of rows in memory. A baseline photo of any
 * size costs its frame plus a few hundred kilobytes; a progressive one needs its coefficients (2 bytes a
 * sample) as well, which libjpeg takes at once: MAX_COEFFICIENT_BYTES bounds it.
 *
 * Damage: libjpeg repairs what it can and calls that a warning. A file that ends before its last row is
 * refused (half a face is no face); other warnings pass.
 *
 * Threading: pure functions.
 */
#include <setjmp.h>
#include <stdio.h>
#include <string.h>

#include <jerror.h>
#include <jpeglib.h>

#include "core/mem.h"
#include "image/exif.h"
#include "image/image_internal.h"

enum {
    MAX_SCANS = 100,   /* of a progressive file; encoders write 10 */
    REGION_MARGIN = 16 /* stored pixels around a region, so that chroma at its edge has neighbours */
};

struct reader {
    struct jpeg_decompress_struct jpeg;
    struct jpeg_error_mgr errors;
    struct jpeg_progress_mgr progress;
    jmp_buf escape;
    char text[JMSG_LENGTH_MAX];
    bool truncated;
};

static void on_error(j_common_ptr common)
{
    struct reader *r = (struct reader *)common->client_data;
    common->err->format_message(common, r->text);
    longjmp(r->escape, 1);
}

static void on_message(j_common_ptr common, int level)
{
    struct reader *r = (struct reader *)common->client_data;
    if (level < 0 && (common->err->msg_code == JWRN_JPEG_EOF || common->err->msg_code == JWRN_HIT_MARKER))
        r->truncated = true;
}

static void on_progress(j_common_ptr common)
{
    struct reader *r = (struct reader *)common->client_data;
    if (r->jpeg.input_scan_number > MAX_SCANS) {
        (void)snprintf(r->text, sizeof r->text, "more than %d scans", MAX_SCANS);
        longjmp(r->escape, 1);
    }
}

static void on_output(j_common_ptr common)
{
    (void)common; /* nothing is printed from a library */
}

static void start(struct reader *r, const uint8_t *data, size_t size)
{
    r->jpeg.err = jpeg_std_error(&r->errors);
    r->errors.error_exit = on_error;
    r->errors.emit_message = on_message;
    r->errors.output_message = on_output;
    r->jpeg.client_data = r;
    jpeg_create_decompress(&r->jpeg);
    r->progress.progress_monitor = on_progress;
    r->jpeg.progress = &r->progress;
    jpeg_mem_src(&r->jpeg, data, (unsigned long)size);
}

static uint8_t orientation_of(const struct jpeg_decompress_struct *jpeg)
{
    for (jpeg_saved_marker_ptr m = jpeg->marker_list; m != NULL; m = m->next)
        if (m->marker == JPEG_APP0 + 1 && m->data_length >= 6 && memcmp(m->data, "Exif\0\0", 6) == 0)
            return frt_exif_orientation(m->data, m->data_length);
    return 1;
}

static enum frt_status read_header(const uint8_t *data, size_t size, struct image_header *out, struct frt_error *err)
{
    struct reader r;
    memset(&r, 0, sizeof r);
    if (setjmp(r.escape) != 0) {
        jpeg_destroy_decompress(&r.jpeg);
        return frt_fail(err, FRT_EBAD_IMAGE, "JPEG: %s", r.text);
    }
    start(&r, data, size);
    jpeg_save_markers(&r.jpeg, JPEG_APP0 + 1, 0xFFFF);
    (void)jpeg_read_header(&r.jpeg, TRUE);
    struct image_header header = {.width_px = r.jpeg.image_width,
                                  .height_px = r.jpeg.image_height,
                                  .channels = (uint8_t)r.jpeg.num_components,
                                  .bit_depth = (uint8_t)r.jpeg.data_precision,
                                  .orientation = orientation_of(&r.jpeg)};
    bool cut = r.truncated;
    jpeg_destroy_decompress(&r.jpeg);
    if (cut)
        return frt_fail(err, FRT_EBAD_IMAGE, "JPEG: the file ends inside its header");
    *out = header;
    return FRT_OK;
}

/* CMYK as Adobe writes it (inverted) or plain, in place to RGB; `to` may be `from`. */
static void cmyk_row(const uint8_t *from, uint8_t *to, uint32_t width, bool inverted)
{
    for (uint32_t i = 0; i < width; i++, from += 4, to += 3) {
        unsigned k = inverted ? from[3] : 255U - from[3];
        for (int c = 0; c < 3; c++) {
            unsigned ink = inverted ? from[c] : 255U - from[c];
            to[c] = (uint8_t)((ink * k + 127) / 255);
        }
    }
}

/* Largest n/8 scale whose result is not smaller than 1/shrink. */
static unsigned scale_eighths(uint32_t shrink)
{
    return shrink >= 8 ? 1 : (8 + shrink - 1) / shrink;
}

struct plan {
    unsigned eighths;
    JDIMENSION first_row, rows;   /* of the scaled image */
    JDIMENSION first_column, columns;
};

static void set_up(struct reader *r, const struct stored_request *q, struct plan *plan)
{
    struct jpeg_decompress_struct *jpeg = &r->jpeg;
    (void)jpeg_read_header(jpeg, TRUE);
    jpeg->scale_num = plan->eighths;
    jpeg->scale_denom = 8;
    jpeg->dct_method = JDCT_ISLOW;
    jpeg->do_fancy_upsampling = plan->eighths == 8;
    jpeg->out_color_space =
        jpeg->jpeg_color_space == JCS_CMYK || jpeg->jpeg_color_space == JCS_YCCK ? JCS_CMYK : JCS_RGB;
    (void)jpeg_start_decompress(jpeg);

    double s = plan->eighths / 8.0;
    uint32_t x0 = q->x > REGION_MARGIN ? q->x - REGION_MARGIN : 0, y0 = q->y > REGION_MARGIN ? q->y - REGION_MARGIN : 0;
    uint32_t x1 = q->x + q->width + REGION_MARGIN, y1 = q->y + q->height + REGION_MARGIN;
    plan->first_row = (JDIMENSION)(y0 * s);
    plan->rows = (JDIMENSION)(y1 * s) + 1;
    if (plan->rows > jpeg->output_height)
        plan->rows = jpeg->output_height;
    plan->rows -= plan->first_row;
    plan->first_column = (JDIMENSION)(x0 * s);
    plan->columns = (JDIMENSION)(x1 * s) + 1;
    if (plan->columns > jpeg->output_width)
        plan->columns = jpeg->output_width;
    plan->columns -= plan->first_column;
    if (plan->columns < jpeg->output_width)
        jpeg_crop_scanline(jpeg, &plan->first_column, &plan->columns); /* widens to block borders */
}

static enum frt_status decode(const struct frt_image *image, const struct stored_request *request,
                              struct frt_frame *out, struct frt_error *err)
{
    struct reader r;
    struct plan plan = {.eighths = scale_eighths(request->shrink)};
    uint8_t *volatile pixels = NULL;
    uint8_t *volatile row = NULL;
    volatile bool nomem = false;

    memset(&r, 0, sizeof r);
    if (setjmp(r.escape) != 0) {
        jpeg_destroy_decompress(&r.jpeg);
        frt_free(pixels);
        frt_free(row);
        if (nomem || strstr(r.text, "memory") != NULL)
            return frt_fail_nomem(err, "a JPEG frame");
        return frt_fail(err, FRT_EBAD_IMAGE, "JPEG: %s", r.text);
    }
    start(&r, image->data, image->size);
    set_up(&r, request, &plan);
    bool cmyk = r.jpeg.out_color_space == JCS_CMYK;
    size_t stride = (size_t)plan.columns * 3;
    pixels = frt_alloc_array(plan.rows, stride);
    if (cmyk)
        row = frt_alloc_array(plan.columns, 4);
    if (pixels == NULL || (cmyk && row == NULL)) {
        nomem = true;
        longjmp(r.escape, 1);
    }
    if (plan.first_row > 0)
        (void)jpeg_skip_scanlines(&r.jpeg, plan.first_row);
    for (JDIMENSION y = 0; y < plan.rows && !r.truncated; y++) {
        JSAMPROW line = cmyk ? row : pixels + y * stride;
        (void)jpeg_read_scanlines(&r.jpeg, &line, 1);
        if (cmyk)
            cmyk_row(row, pixels + y * stride, plan.columns, r.jpeg.saw_Adobe_marker != 0);
    }
    bool cut = r.truncated;
    double scale = 8.0 / plan.eighths; /* exact: the last column and row are padded, not stretched */
    jpeg_destroy_decompress(&r.jpeg);
    frt_free(row);
    if (cut) {
        frt_free(pixels);
        return frt_fail(err, FRT_EBAD_IMAGE, "JPEG: the file ends before the image does");
    }
    *out = (struct frt_frame){.pixels = pixels,
                              .width_px = plan.columns,
                              .height_px = plan.rows,
                              .stride_bytes = stride,
                              .origin_x = plan.first_column * scale,
                              .origin_y = plan.first_row * scale,
                              .scale_x = scale,
                              .scale_y = scale};
    return FRT_OK;
}

const struct image_decoder image_decoder_jpeg = {read_header, decode};
