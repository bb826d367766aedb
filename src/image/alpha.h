/* Alpha: RGBA onto white. A transparent cut-out of a face is still a face. Pure function. */
#ifndef FRT_IMAGE_ALPHA_H
#define FRT_IMAGE_ALPHA_H

#include <stddef.h>
#include <stdint.h>

/** u8[count][4] straight-alpha RGBA → u8[count][3] RGB over white. `rgb` may be `rgba` itself. */
void frt_rgba_onto_white(const uint8_t *rgba, uint8_t *rgb, size_t count);

#endif
