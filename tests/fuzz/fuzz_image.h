/*
 * What the image fuzzers share: open, then decode whole, scaled and a region. A frame that comes out must
 * lie inside the image and be readable to its last byte.
 */
#ifndef FRT_TESTS_FUZZ_IMAGE_H
#define FRT_TESTS_FUZZ_IMAGE_H

#include <stdint.h>
#include <stdlib.h>

#include "image/image.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static inline void fuzz_image(const uint8_t *data, size_t size)
{
    static const struct frt_decode_request requests[] = {
        {{0, 0, 0, 0}, 0}, {{0, 0, 0, 0}, 8}, {{3, 2, 9, 7}, 0}, {{-5, 4, 40, 30}, 12}};
    const struct frt_image_limits limits = {.max_pixels = 1 << 18, .max_side_px = 4096};
    static volatile uint32_t sink; /* the pixels are read, whatever the optimiser thinks */
    struct frt_image *image = NULL;
    struct frt_error err;
    uint32_t sum = 0;
    if (frt_image_open(&limits, data, size, &image, &err) != FRT_OK)
        return;
    struct frt_image_info info = frt_image_info_get(image);
    if ((uint64_t)info.width_px * info.height_px > limits.max_pixels || info.orientation < 1 ||
        info.orientation > 8)
        abort();
    for (size_t i = 0; i < sizeof requests / sizeof *requests; i++) {
        struct frt_frame frame = {0};
        if (frt_image_decode(image, &requests[i], &frame, &err) != FRT_OK)
            continue;
        /* the last pixel of a row or column may cover less; turned, it is the first, and begins before 0 */
        if (frame.origin_x <= -frame.scale_x || frame.origin_y <= -frame.scale_y || frame.width_px == 0 ||
            frame.height_px == 0 || frame.origin_x + (frame.width_px - 1) * frame.scale_x >= info.width_px ||
            frame.origin_y + (frame.height_px - 1) * frame.scale_y >= info.height_px)
            abort();
        for (uint32_t y = 0; y < frame.height_px; y++)
            for (uint32_t x = 0; x < 3 * frame.width_px; x++)
                sum += frame.pixels[y * frame.stride_bytes + x];
        frt_frame_deinit(&frame);
    }
    sink = sum;
    (void)sink;
    frt_image_free(image);
}

#endif
