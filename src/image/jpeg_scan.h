/*
 * A fast way through one JPEG scan, for frames of 1/8 and 1/4 size: most of such a decode is spent on
 * reading coefficients that nobody wants.
 *
 * Reads what nearly every camera writes: baseline or extended sequential Huffman coding, 8 bits, one scan,
 * grey or YCbCr at 4:4:4, 4:2:2, 4:4:0 or 4:2:0, with or without restart markers. Whatever else it meets,
 * damage above all, it declines: then libjpeg decides what is still an image and what is not.
 *
 * Threading: pure functions.
 */
#ifndef FRT_IMAGE_JPEG_SCAN_H
#define FRT_IMAGE_JPEG_SCAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** One component of the scan. Tables are borrowed; as in the file (ITU T.81, B.2.4). */
struct jpeg_component {
    uint8_t h, v;           /* sampling factors, 1 or 2 */
    const uint16_t *quant;  /* u16[64], natural order (not zigzag) */
    const uint8_t *dc_bits; /* u8[17]: codes of each length 1..16 */
    const uint8_t *dc_values;
    const uint8_t *ac_bits;
    const uint8_t *ac_values;
};

/** A scan that holds the whole image. */
struct jpeg_scan {
    const uint8_t *data; /* the entropy-coded bytes, to the end of the file; borrowed */
    size_t size;
    uint32_t width_px, height_px;
    uint32_t restart_interval; /* in MCUs; 0 = none */
    uint8_t n_components;      /* 1 or 3 */
    struct jpeg_component component[3];
};

/** The rectangle of the scaled image that is kept. */
struct jpeg_part {
    uint32_t x, y, width, height;
};

/**
 * Decode at 1/8 (`per_block` 1: a pixel is the mean of a block of 8 × 8) or 1/4 (2: of 4 × 4).
 *
 * pixels  u8[height][width][3] RGB, BT.601 full range; written in any case, worth something after `true`.
 * Returns false for what this reader does not speak or finds damaged, and when memory is short.
 */
bool frt_jpeg_scan_decode(const struct jpeg_scan *scan, uint32_t per_block, const struct jpeg_part *part,
                          uint8_t *pixels);

#endif
