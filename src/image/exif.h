/*
 * EXIF orientation: the one tag that changes what a photo means. Source: CIPA DC-008 (EXIF 2.32),
 * TIFF 6.0. Threading: pure function.
 */
#ifndef FRT_IMAGE_EXIF_H
#define FRT_IMAGE_EXIF_H

#include <stddef.h>
#include <stdint.h>

/** Orientation 1..8 from a TIFF block (what follows "Exif\0\0"); 1 when absent or malformed: a photo
 *  with damaged metadata is still a photo. Reads only inside [data, data + size). */
uint8_t frt_exif_orientation(const uint8_t *data, size_t size);

#endif
