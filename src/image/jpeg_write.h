/*
 * JPEG encoding, for drawings. The room's one writer over libjpeg (jpeg_read.c is its one reader).
 * Threading: pure function.
 */
#ifndef FRT_IMAGE_JPEG_WRITE_H
#define FRT_IMAGE_JPEG_WRITE_H

#include "core/status.h"

/**
 * Encode interleaved RGB.
 *
 * pixels   u8[height_px][stride_bytes], borrowed.
 * quality  1..100.
 * out      the file's bytes; frt_jpeg_bytes_free them.
 * Errors: FRT_EINVAL (sizes over 65,500 or 0), FRT_ENOMEM.
 */
FRT_NODISCARD enum frt_status frt_jpeg_encode(const uint8_t *pixels, uint32_t width_px, uint32_t height_px,
                                              size_t stride_bytes, int quality, uint8_t **out, size_t *size,
                                              struct frt_error *err);
void frt_jpeg_bytes_free(uint8_t *bytes);

#endif
