/*
 * The eight EXIF orientations, of coordinates and of pixels.
 *
 *     stored            upright for orientation
 *     1 rows top→bottom, columns left→right      5 transposed
 *     2 mirrored left-right                      6 to be turned 90° clockwise
 *     3 turned 180°                              7 transposed along the other diagonal
 *     4 mirrored top-bottom                      8 to be turned 90° counter-clockwise
 *
 * Threading: pure functions.
 */
#ifndef FRT_IMAGE_ORIENT_H
#define FRT_IMAGE_ORIENT_H

#include "image/image.h"

/** Do width and height swap? */
static inline bool frt_orient_swaps(uint8_t orientation)
{
    return orientation >= 5;
}

/** Rectangle of the upright image → rectangle of the stored one; sizes are the stored image's. */
struct frt_box frt_orient_to_stored(uint8_t orientation, const struct frt_box *upright, double stored_width,
                                    double stored_height);

/**
 * Turn a frame's pixels and its place (given in stored coordinates) upright, in place or into new
 * memory. stored_width, stored_height: of the full image.
 * Errors: FRT_ENOMEM (the frame is unchanged).
 */
FRT_NODISCARD enum frt_status frt_orient_frame(uint8_t orientation, double stored_width, double stored_height,
                                               struct frt_frame *frame, struct frt_error *err);

#endif
