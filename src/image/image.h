/*
 * Images inside the library: what frt.h shows, plus decoding on demand.
 *
 *     bytes ─ sniff ─ header (limits) ─ frt_image ─ decode(region, size wanted) ─ frt_frame
 *
 * An frt_image holds borrowed bytes and header facts only. frt_image_decode turns the part that is
 * wanted, at about the size that is wanted, into upright 8-bit RGB: a 12-megapixel JPEG reaches a
 * 640-pixel detector through libjpeg's 1/4 scaling, and a small face is decoded finely afterwards from
 * just its region.
 *
 * Pixels: RGB, interleaved, 8 bit, 0..255, sRGB as stored (no colour management). 16-bit samples are
 * reduced to 8; grey is spread; CMYK is converted; alpha is composited onto white.
 *
 * Threading: frt_image is immutable: decode the same one from several threads. A frame has one owner.
 */
#ifndef FRT_IMAGE_IMAGE_H
#define FRT_IMAGE_IMAGE_H

#include "core/status.h"

/** Decoded pixels and where they lie in the upright full-size image:
 *  X = origin_x + x * scale_x, Y = origin_y + y * scale_y, in continuous coordinates (frt.h). Of a photo that
 *  was shrunk and then turned upright, the origin may lie up to a frame's pixel before the image's edge. */
struct frt_frame {
    uint8_t *pixels; /* u8[height_px][stride_bytes]; owned unless `borrowed` */
    uint32_t width_px, height_px;
    size_t stride_bytes;
    double origin_x, origin_y;
    double scale_x, scale_y; /* full-size pixels per frame pixel, >= 1 or 1 */
    bool borrowed;
};

struct frt_decode_request {
    /* part of the upright full-size image; clipped to it; width 0 = all */
    struct frt_box region;
    /* the frame is at least this many pixels on its longer side when the region has as many, and at
     * most about twice that where the decoder can scale; 0 = full size */
    uint32_t want_side_px;
};

struct frt_image_limits {
    uint64_t max_pixels;  /* 0 = 50,000,000 */
    uint32_t max_side_px; /* 0 = 16384 */
};

/** Format by magic number only; needs at most the first 64 bytes. */
enum frt_image_format frt_image_sniff(const void *data, size_t size);

/** As frt_image_open_memory of frt.h, limits given directly. */
FRT_NODISCARD enum frt_status frt_image_open(const struct frt_image_limits *limits, const void *data,
                                             size_t size, struct frt_image **out, struct frt_error *err);

/** As frt_image_open_file of frt.h, limits given directly. The file is read into memory, not mapped: one
 *  that shrinks while mapped would kill the process. */
FRT_NODISCARD enum frt_status frt_image_map(const struct frt_image_limits *limits, const char *path,
                                            struct frt_image **out, struct frt_error *err);

/** As frt_image_open_pixels of frt.h, limits given directly. */
FRT_NODISCARD enum frt_status frt_image_wrap(const struct frt_image_limits *limits, const uint8_t *pixels,
                                             uint32_t width_px, uint32_t height_px, size_t stride_bytes,
                                             struct frt_image **out, struct frt_error *err);

/** The encoded bytes that it was opened from; NULL for pixels that the caller handed over. */
const void *frt_image_bytes(const struct frt_image *image, size_t *size);

/** Does a small frame, or one of a region, cost much less than one of everything? So it is with baseline JPEG
 * and raw pixels. Of other formats all has to be unpacked whatever is wanted: better once than twice. */
bool frt_image_scales(const struct frt_image *image);

/**
 * Decode. `out` receives ownership; frt_frame_deinit it.
 * Errors: FRT_EBAD_IMAGE, FRT_ENOMEM, FRT_EINVAL (region outside the image).
 * Memory: stated per decoder in docs/design/images.md; bounded by limits checked at open.
 */
FRT_NODISCARD enum frt_status frt_image_decode(const struct frt_image *image,
                                               const struct frt_decode_request *request, struct frt_frame *out,
                                               struct frt_error *err);
void frt_frame_deinit(struct frt_frame *frame);

#endif
