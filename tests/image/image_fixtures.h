/* Small images encoded on the spot. Every function returns bytes to be freed with free(). One owner. */
#ifndef FRT_TESTS_IMAGE_FIXTURES_H
#define FRT_TESTS_IMAGE_FIXTURES_H

#include <stddef.h>
#include <stdint.h>

struct fixture {
    uint8_t *data;
    size_t size;
};

/** PNG from samples in host byte order (spng's own layout); orientation 0 = no eXIf. */
struct fixture fixture_png(const void *samples, size_t bytes, uint32_t width, uint32_t height,
                           uint8_t color_type, uint8_t bit_depth, int interlaced, uint8_t orientation);
/** Palette PNG of 8 bits; entry i is (i, 255 - i, 2 i mod 256), alpha[0] = 0 when `transparent_zero`. */
struct fixture fixture_png_palette(const uint8_t *indexes, uint32_t width, uint32_t height,
                                   int transparent_zero);
/** JPEG; components 1, 3 or 4 (CMYK with an Adobe marker, samples inverted as Adobe does). */
struct fixture fixture_jpeg(const uint8_t *samples, uint32_t width, uint32_t height, int components,
                            int quality, int subsampled, int progressive, uint8_t orientation);
/** Lossless WebP (lossy with quality > 0), in an extended container when orientation is not 0. */
struct fixture fixture_webp(const uint8_t *rgb, uint32_t width, uint32_t height, float quality,
                            uint8_t orientation);

#endif
