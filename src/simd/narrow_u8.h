/*
 * 3 × 3 convolutions of few inputs a channel over 8-bit quantised activations, channels last: depthwise, and
 * groups of two inputs and two outputs. A PReLU behind them is part of it.
 *
 *     sum = offset[c] + Σ (x − x_zero) · w        32 bits, exact: no product or pair of them saturates
 *     y = clamp(y_zero + rint(sum · ratio[c] · (sum > 0 ? 1 : slope[c])), 0, 255)
 *
 * All tiers give the same bytes. Beyond the edges x is x_zero.
 *
 * Threading: an operator is immutable once made; rows may be computed by several threads at a time.
 */
#ifndef FRT_SIMD_NARROW_U8_H
#define FRT_SIMD_NARROW_U8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "simd/cpu.h"

enum { FRT_NARROW_U8_MAX_CHANNELS = 4096, FRT_NARROW_U8_MAX_PAD = 2, FRT_NARROW_U8_MAX_SIDE = 1 << 24 };

struct frt_narrow_u8_spec {
    uint32_t channels;      /* in and out */
    uint32_t group;         /* inputs of a group, and outputs: 1 or 2 */
    uint32_t stride[2];     /* down, across: 1 or 2 */
    uint32_t pads[4];       /* above, left, below, right */
    const int8_t *weights;  /* channels × group × 3 × 3 */
    const float *ratios;    /* a channel: finite */
    const float *slopes;    /* a channel: finite; NULL: 1 */
    const int32_t *offsets; /* a channel; NULL: 0 */
    uint8_t x_zero, y_zero;
};

struct frt_narrow_u8;
struct frt_narrow_u8_image {
    const uint8_t *x; /* images × height × width × channels */
    uint8_t *y;       /* images × out_height × out_width × channels; apart from x */
    size_t height, width, out_height, out_width;
};

/** NULL: no such operator, or no memory; `bad` says which. The tier must run on this machine. */
struct frt_narrow_u8 *frt_narrow_u8_new(enum frt_simd_tier tier, const struct frt_narrow_u8_spec *spec,
                                        bool *bad);
void frt_narrow_u8_free(struct frt_narrow_u8 *op);
uint32_t frt_narrow_u8_channels_of(const struct frt_narrow_u8 *op);
/** False: sides without a result, or beyond FRT_NARROW_U8_MAX_SIDE. */
bool frt_narrow_u8_out_sides(const struct frt_narrow_u8 *op, size_t height, size_t width, size_t *out_height,
                             size_t *out_width);
/** Rows `from` to `to` − 1 of the results of all images, counted through (images × out_height in all). */
void frt_narrow_u8_rows(const struct frt_narrow_u8 *op, const struct frt_narrow_u8_image *image, size_t from,
                        size_t to);
#endif
