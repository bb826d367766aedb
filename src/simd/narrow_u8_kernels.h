/*
 * What narrow_u8.c and its kernels share. A kernel computes one result, or two that are neighbours across, from
 * 3 rows × 4 columns of pixels: the second one's weights lie a column further in. What a lane needs lies side
 * by side, in the order in which a kernel's lanes hold the channels:
 *
 *     packed   [block][shift 0, 1][row][chunk][lane][depth]    `depth` elements of (column, input)
 *     lane_*   [block][lane]
 *
 * Threading: pure functions.
 */
#ifndef FRT_SIMD_NARROW_U8_KERNELS_H
#define FRT_SIMD_NARROW_U8_KERNELS_H

#include "simd/narrow_u8.h"

/* The loops of a kernel are short and their counts known: sums stay in registers only when they are unrolled,
 * which the compiler at -O2 does not see fit to do on its own. */
#if defined(__clang__)
#define FRT_NARROW_UNROLL _Pragma("unroll")
#else
#define FRT_NARROW_UNROLL _Pragma("GCC unroll 12")
#endif

struct frt_narrow_u8_kernel {
    uint32_t block; /* channels at a time */
    uint32_t depth; /* products that one instruction adds up in a lane */
    bool wide;      /* weights in 16 bits */
    uint32_t (*channel_at)(uint32_t group, uint32_t lane);
    /* n: 1 or 2. NULL: the scalar one */
    void (*pixels)(const struct frt_narrow_u8 *op, const uint8_t *const taps[3][4], uint8_t *y, uint32_t n);
};

struct frt_narrow_u8 {
    const struct frt_narrow_u8_kernel *kernel;
    uint32_t channels, group, stride[2], pads[4];
    uint8_t y_zero;
    bool sloped;
    uint8_t *outside; /* a pixel of zeros */
    int8_t *weights;
    int32_t *offsets; /* less what x_zero adds */
    float *above, *below;
    void *packed;
    size_t block_weights; /* elements of a block */
    int32_t *lane_offsets;
    float *lane_above, *lane_below;
};

/* The scalar kernel, for channels `from` and on, of the result `shift` columns in. */
void frt_narrow_u8_channels(const struct frt_narrow_u8 *op, const uint8_t *const taps[3][4], uint32_t from,
                            uint32_t shift, uint8_t *y);

extern const struct frt_narrow_u8_kernel frt_narrow_u8_avx2, frt_narrow_u8_avx512vnni, frt_narrow_u8_neon;

#endif
