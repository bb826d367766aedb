/*
 * Rows in, a smaller frame out: averages n × n blocks while a decoder hands over one row after the
 * other, so that a large PNG never lies in memory at full size. The last block of a row or column may
 * be narrower; it is averaged over what there is.
 * Threading: one owner.
 */
#ifndef FRT_IMAGE_SHRINK_H
#define FRT_IMAGE_SHRINK_H

#include "image/image.h"

struct frt_shrink {
    uint32_t x, y, width, height; /* region of the stored image */
    uint32_t n;                   /* block side, >= 1 */
    uint32_t out_width, out_height;
    uint8_t *pixels; /* u8[out_height][out_width][3]; owned until taken */
    uint32_t *sums;  /* u32[out_width][3] of the block row under way; NULL when n is 1 */
};

FRT_NODISCARD enum frt_status frt_shrink_init(struct frt_shrink *shrink, uint32_t x, uint32_t y, uint32_t width,
                                              uint32_t height, uint32_t n, struct frt_error *err);
void frt_shrink_deinit(struct frt_shrink *shrink);
/** Row y of the stored image: u8 RGB, whole width. Rows outside the region are ignored. In order. */
void frt_shrink_row(struct frt_shrink *shrink, uint32_t y, const uint8_t *rgb);
/** Move the result into a frame, in stored coordinates. */
void frt_shrink_take(struct frt_shrink *shrink, struct frt_frame *out);

#endif
