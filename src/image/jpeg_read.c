/*
 * JPEG through libjpeg-turbo, the only reader of the room that includes its header.
 *
 * The scanline interface is used, not TurboJPEG's: it scales by n/8 inside the inverse transform, skips
 * the rows and columns outside a region, and keeps a handful of rows in memory. A baseline photo of any
 * size costs its frame plus a few hundred kilobytes; a progressive one needs its coefficients (2 bytes a
 * sample) as well, which libjpeg takes at once: MAX_LIBRARY_BYTES bounds it.
 *
 * For frames of 1/8 and 1/4 size the commonest kind of file takes a faster way (jpeg_scan.h) from libjpeg's
 * tables on; whatever that declines comes back here.
 *
 * A region is decoded with a margin, and the margin is cut off: the chroma upsampling at the border of
 * what libjpeg decodes has no neighbours and differs from a decode of the whole.
 *
 * Damage: libjpeg repairs what it can and calls that a warning. A file that ends before its last row is
 * refused (half a face is no face); other warnings pass. One that lacks only its end marker passes, unless
 * it has several scans: there nobody can tell whether a scan is missing.
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
#include "image/jpeg_scan.h"

enum {
    MAX_SCANS = 100,              /* of a progressive file; encoders write 10 */
    REGION_MARGIN = 16,           /* stored pixels around a region, so that chroma at its edge has neighbours */
    MAX_LIBRARY_BYTES = 448 << 20 /* libjpeg's own memory: 50 megapixels, 4 components, progressive */
};

struct reader {
    struct jpeg_decompress_struct jpeg;
    struct jpeg_error_mgr errors;
    struct jpeg_progress_mgr progress;
    jmp_buf escape;
    char text[JMSG_LENGTH_MAX];
    bool truncated;
    bool in_pixels, several_scans; /* past the header; more than one scan to come */
    enum frt_status failed;        /* how an escape is to be reported */
};

/* libjpeg's errors that are not damage. */
static enum frt_status status_of(int code)
{
    switch (code) {
    case JERR_OUT_OF_MEMORY:
        return FRT_ENOMEM;
    case JERR_IMAGE_TOO_BIG:    /* over 65,500 pixels a side */
    case JERR_NO_BACKING_STORE: /* over MAX_LIBRARY_BYTES */
        return FRT_EIMAGE_TOO_LARGE;
    case JERR_BAD_PRECISION:
    case JERR_SOF_UNSUPPORTED:
    case JERR_CONVERSION_NOTIMPL:
        return FRT_EUNSUPPORTED_IMAGE;
    default:
        return FRT_EBAD_IMAGE;
    }
}

static void on_error(j_common_ptr common)
{
    struct reader *r = (struct reader *)common->client_data;
    common->err->format_message(common, r->text);
    r->failed = status_of(common->err->msg_code);
    longjmp(r->escape, 1);
}

static void on_message(j_common_ptr common, int level)
{
    struct reader *r = (struct reader *)common->client_data;
    if (level >= 0)
        return;
    /* HIT_MARKER: bits were needed that are not there. EOF alone: the reader looked past the last byte. */
    bool needs_end = !r->in_pixels || r->several_scans || r->jpeg.arith_code;
    if (common->err->msg_code == JWRN_HIT_MARKER || (common->err->msg_code == JWRN_JPEG_EOF && needs_end))
        r->truncated = true;
}

static void on_progress(j_common_ptr common)
{
    struct reader *r = (struct reader *)common->client_data;
    if (r->jpeg.input_scan_number > MAX_SCANS) {
        (void)snprintf(r->text, sizeof r->text, "more than %d scans", MAX_SCANS);
        r->failed = FRT_EBAD_IMAGE;
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
    r->jpeg.mem->max_memory_to_use = MAX_LIBRARY_BYTES;
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

static enum frt_status read_header(const uint8_t *data, size_t size, struct image_header *out,
                                   struct frt_error *err)
{
    struct reader r;
    memset(&r, 0, sizeof r);
    if (setjmp(r.escape) != 0) {
        jpeg_destroy_decompress(&r.jpeg);
        return frt_fail(err, r.failed, "JPEG: %s", r.text);
    }
    start(&r, data, size);
    jpeg_save_markers(&r.jpeg, JPEG_APP0 + 1, 0xFFFF);
    (void)jpeg_read_header(&r.jpeg, TRUE);
    struct image_header header = {.width_px = r.jpeg.image_width,
                                  .height_px = r.jpeg.image_height,
                                  .channels = (uint8_t)r.jpeg.num_components,
                                  .bit_depth = (uint8_t)r.jpeg.data_precision,
                                  .orientation = orientation_of(&r.jpeg),
                                  .scales = !r.jpeg.progressive_mode};
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

/* What is read of the scaled image, and the part of it that is kept. */
struct plan {
    unsigned eighths;
    JDIMENSION first_row, rows;
    JDIMENSION first_column, columns;
    JDIMENSION keep_row, keep_rows;
    JDIMENSION keep_column, keep_columns;
};

/* Scaled pixels that cover the stored ones from `at` to `end`. */
static void span(const struct plan *plan, uint32_t at, uint32_t end, JDIMENSION limit, JDIMENSION *first,
                 JDIMENSION *count)
{
    JDIMENSION last = (JDIMENSION)(((uint64_t)end * plan->eighths + 7) / 8);
    *first = (JDIMENSION)((uint64_t)at * plan->eighths / 8);
    *count = (last < limit ? last : limit) - *first;
}

static void set_up(struct reader *r, const struct stored_request *q, struct plan *plan)
{
    struct jpeg_decompress_struct *jpeg = &r->jpeg;
    (void)jpeg_read_header(jpeg, TRUE);
    r->several_scans = jpeg_has_multiple_scans(jpeg) != 0;
    r->in_pixels = true;
    jpeg->scale_num = plan->eighths;
    jpeg->scale_denom = 8;
    jpeg->dct_method = JDCT_ISLOW;
    jpeg->do_fancy_upsampling = plan->eighths == 8;
    jpeg->out_color_space =
        jpeg->jpeg_color_space == JCS_CMYK || jpeg->jpeg_color_space == JCS_YCCK ? JCS_CMYK : JCS_RGB;
    jpeg_calc_output_dimensions(jpeg);

    /* in output pixels a margin of REGION_MARGIN stored ones is never less than the upsampler's one */
    uint32_t x0 = q->x > REGION_MARGIN ? q->x - REGION_MARGIN : 0, x1 = q->x + q->width + REGION_MARGIN;
    uint32_t y0 = q->y > REGION_MARGIN ? q->y - REGION_MARGIN : 0, y1 = q->y + q->height + REGION_MARGIN;
    span(plan, y0, y1, jpeg->output_height, &plan->first_row, &plan->rows);
    span(plan, x0, x1, jpeg->output_width, &plan->first_column, &plan->columns);
    span(plan, q->y, q->y + q->height, jpeg->output_height, &plan->keep_row, &plan->keep_rows);
    span(plan, q->x, q->x + q->width, jpeg->output_width, &plan->keep_column, &plan->keep_columns);
}

/* The scan that the header led to, when it holds the whole image in a form that jpeg_scan.c may know. */
static bool describe_scan(const struct jpeg_decompress_struct *jpeg, struct jpeg_scan *scan)
{
    bool grey = jpeg->jpeg_color_space == JCS_GRAYSCALE && jpeg->num_components == 1;
    bool colour = jpeg->jpeg_color_space == JCS_YCbCr && jpeg->num_components == 3;
    if ((!grey && !colour) || jpeg->progressive_mode || jpeg->arith_code || jpeg->data_precision != 8 ||
        jpeg->comps_in_scan != jpeg->num_components || jpeg->Ss != 0 || jpeg->Se != 63 || jpeg->Ah != 0 ||
        jpeg->Al != 0)
        return false;
    *scan = (struct jpeg_scan){.data = jpeg->src->next_input_byte,
                               .size = jpeg->src->bytes_in_buffer,
                               .width_px = jpeg->image_width,
                               .height_px = jpeg->image_height,
                               .restart_interval = jpeg->restart_interval,
                               .n_components = (uint8_t)jpeg->num_components};
    for (int i = 0; i < jpeg->num_components; i++) {
        const jpeg_component_info *c = &jpeg->comp_info[i];
        /* libjpeg looks at these only when it starts to decode */
        if (c->quant_tbl_no < 0 || c->quant_tbl_no >= NUM_QUANT_TBLS || c->dc_tbl_no < 0 ||
            c->dc_tbl_no >= NUM_HUFF_TBLS || c->ac_tbl_no < 0 || c->ac_tbl_no >= NUM_HUFF_TBLS)
            return false;
        const JQUANT_TBL *quant = jpeg->quant_tbl_ptrs[c->quant_tbl_no];
        const JHUFF_TBL *dc = jpeg->dc_huff_tbl_ptrs[c->dc_tbl_no], *ac = jpeg->ac_huff_tbl_ptrs[c->ac_tbl_no];
        if (jpeg->cur_comp_info[i] != c || quant == NULL || dc == NULL || ac == NULL)
            return false;
        scan->component[i] = (struct jpeg_component){
            .h = grey ? 1 : (uint8_t)c->h_samp_factor, /* alone in a scan, a component has no sampling */
            .v = grey ? 1 : (uint8_t)c->v_samp_factor,
            .quant = quant->quantval,
            .dc_bits = dc->bits,
            .dc_values = dc->huffval,
            .ac_bits = ac->bits,
            .ac_values = ac->huffval};
    }
    return true;
}

static bool read_coarse(const struct reader *r, const struct plan *plan, uint8_t *pixels)
{
    struct jpeg_scan scan;
    const struct jpeg_part part = {plan->keep_column, plan->keep_row, plan->keep_columns, plan->keep_rows};
    return plan->eighths <= 2 && describe_scan(&r->jpeg, &scan) &&
           frt_jpeg_scan_decode(&scan, plan->eighths, &part, pixels);
}

/* Starts libjpeg's own decoding. */
static void start_rows(struct reader *r, struct plan *plan)
{
    (void)jpeg_start_decompress(&r->jpeg);
    if (plan->columns < r->jpeg.output_width)
        jpeg_crop_scanline(&r->jpeg, &plan->first_column, &plan->columns); /* widens to block borders */
}

/* Rows first_row … of the file → the kept rows of `pixels`. */
static void read_rows(struct reader *r, const struct plan *plan, uint8_t *line, uint8_t *pixels)
{
    bool cmyk = r->jpeg.out_color_space == JCS_CMYK;
    size_t stride = (size_t)plan->keep_columns * 3;
    JDIMENSION end = plan->keep_row + plan->keep_rows;
    if (plan->first_row > 0)
        (void)jpeg_skip_scanlines(&r->jpeg, plan->first_row);
    for (JDIMENSION y = plan->first_row; y < end && !r->truncated; y++) {
        JSAMPROW rows = line;
        (void)jpeg_read_scanlines(&r->jpeg, &rows, 1);
        if (y < plan->keep_row)
            continue;
        const uint8_t *from = line + (size_t)(plan->keep_column - plan->first_column) * (cmyk ? 4 : 3);
        uint8_t *to = pixels + (y - plan->keep_row) * stride;
        if (cmyk)
            cmyk_row(from, to, plan->keep_columns, r->jpeg.saw_Adobe_marker != 0);
        else
            memcpy(to, from, stride);
    }
}

static enum frt_status decode(const struct frt_image *image, const struct stored_request *request,
                              struct frt_frame *out, struct frt_error *err)
{
    struct reader r;
    struct plan plan = {.eighths = scale_eighths(request->shrink)};
    uint8_t *volatile pixels = NULL;
    uint8_t *volatile line = NULL;

    memset(&r, 0, sizeof r);
    if (setjmp(r.escape) != 0) {
        jpeg_destroy_decompress(&r.jpeg);
        frt_free(pixels);
        frt_free(line);
        return r.failed == FRT_ENOMEM ? frt_fail_nomem(err, "a JPEG frame")
                                      : frt_fail(err, r.failed, "JPEG: %s", r.text);
    }
    start(&r, image->data, image->size);
    set_up(&r, request, &plan);
    pixels = frt_alloc_array(plan.keep_rows, (size_t)plan.keep_columns * 3);
    bool done = pixels != NULL && read_coarse(&r, &plan, pixels);
    if (pixels != NULL && !done) {
        start_rows(&r, &plan);
        line = frt_alloc_array(plan.columns, r.jpeg.out_color_space == JCS_CMYK ? 4 : 3);
    }
    if (pixels == NULL || (!done && line == NULL)) {
        r.failed = FRT_ENOMEM;
        longjmp(r.escape, 1);
    }
    if (!done)
        read_rows(&r, &plan, line, pixels);
    bool cut = r.truncated;
    double scale = 8.0 / plan.eighths; /* exact: the last column and row are padded, not stretched */
    jpeg_destroy_decompress(&r.jpeg);
    frt_free(line);
    if (cut) {
        frt_free(pixels);
        return frt_fail(err, FRT_EBAD_IMAGE, "JPEG: the file ends before the image does");
    }
    *out = (struct frt_frame){.pixels = pixels,
                              .width_px = plan.keep_columns,
                              .height_px = plan.keep_rows,
                              .stride_bytes = (size_t)plan.keep_columns * 3,
                              .origin_x = plan.keep_column * scale,
                              .origin_y = plan.keep_row * scale,
                              .scale_x = scale,
                              .scale_y = scale};
    return FRT_OK;
}

const struct image_decoder image_decoder_jpeg = {read_header, decode};
