#include "image/jpeg_write.h"

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jpeglib.h>

struct writer {
    struct jpeg_compress_struct jpeg;
    struct jpeg_error_mgr errors;
    jmp_buf escape;
    char text[JMSG_LENGTH_MAX];
};

static void on_error(j_common_ptr common)
{
    struct writer *w = (struct writer *)common->client_data;
    common->err->format_message(common, w->text);
    longjmp(w->escape, 1);
}

enum frt_status frt_jpeg_encode(const uint8_t *pixels, uint32_t width_px, uint32_t height_px,
                                size_t stride_bytes, int quality, uint8_t **out, size_t *size,
                                struct frt_error *err)
{
    struct writer w;
    unsigned char *bytes = NULL; /* grown by libjpeg, with the C library's malloc */
    unsigned long length = 0;
    if (width_px == 0 || height_px == 0 || width_px > JPEG_MAX_DIMENSION || height_px > JPEG_MAX_DIMENSION)
        return frt_fail(err, FRT_EINVAL, "a JPEG of %u x %u pixels; 1 to %ld a side fit", width_px, height_px,
                        (long)JPEG_MAX_DIMENSION);
    memset(&w, 0, sizeof w);
    w.jpeg.err = jpeg_std_error(&w.errors);
    w.errors.error_exit = on_error;
    w.jpeg.client_data = &w;
    if (setjmp(w.escape) != 0) {
        jpeg_destroy_compress(&w.jpeg);
        free(bytes);
        return frt_fail(err, FRT_ENOMEM, "JPEG encoder: %s", w.text);
    }
    jpeg_create_compress(&w.jpeg);
    jpeg_mem_dest(&w.jpeg, &bytes, &length);
    w.jpeg.image_width = width_px;
    w.jpeg.image_height = height_px;
    w.jpeg.input_components = 3;
    w.jpeg.in_color_space = JCS_RGB;
    jpeg_set_defaults(&w.jpeg);
    jpeg_set_quality(&w.jpeg, quality, TRUE);
    jpeg_start_compress(&w.jpeg, TRUE);
    while (w.jpeg.next_scanline < height_px) {
        JSAMPROW row = (JSAMPROW)(uintptr_t)(pixels + w.jpeg.next_scanline * stride_bytes);
        (void)jpeg_write_scanlines(&w.jpeg, &row, 1);
    }
    jpeg_finish_compress(&w.jpeg);
    jpeg_destroy_compress(&w.jpeg);
    *out = bytes;
    *size = length;
    return FRT_OK;
}

void frt_jpeg_bytes_free(uint8_t *bytes)
{
    free(bytes);
}
