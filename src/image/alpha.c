#include "image/alpha.h"

void frt_rgba_onto_white(const uint8_t *rgba, uint8_t *rgb, size_t count)
{
    for (size_t i = 0; i < count; i++, rgba += 4, rgb += 3) {
        unsigned a = rgba[3], white = (255U - a) * 255U;
        for (int c = 0; c < 3; c++)
            rgb[c] = (uint8_t)((rgba[c] * a + white + 127) / 255);
    }
}
