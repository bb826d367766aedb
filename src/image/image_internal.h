/*
 * What the decoders of this room share: the opened image, a decoder's two functions, and requests in
 * stored (not yet upright) coordinates. Private to src/image.
 */
#ifndef FRT_IMAGE_IMAGE_INTERNAL_H
#define FRT_IMAGE_IMAGE_INTERNAL_H

#include "image/image.h"

/* Facts from a header, stored orientation. */
struct image_header {
    uint32_t width_px, height_px;
    uint8_t channels, bit_depth;
    uint8_t orientation; /* EXIF 1..8 still to be applied */
    bool scales;         /* a small frame, or a region, costs much less than the whole */
};

/* A rectangle of the stored image and how much smaller the frame may be. */
struct stored_request {
    uint32_t x, y, width, height;
    uint32_t shrink; /* each side may be divided by up to this, >= 1 */
};

/* A decoder fills pixels (RGB8, owned), width, height, stride, and origin/scale in stored coordinates. */
struct image_decoder {
    enum frt_status (*read_header)(const uint8_t *data, size_t size, struct image_header *out,
                                   struct frt_error *err);
    enum frt_status (*decode)(const struct frt_image *image, const struct stored_request *request,
                              struct frt_frame *out, struct frt_error *err);
};

struct frt_image {
    const uint8_t *data; /* borrowed, unless `owned` */
    size_t size;
    uint8_t *owned;
    size_t stride_bytes; /* of raw pixels */
    enum frt_image_format format;
    struct image_header header;
    const struct image_decoder *decoder;
};

extern const struct image_decoder image_decoder_jpeg, image_decoder_png, image_decoder_webp, image_decoder_heif;

#endif
