#include "image/orient.h"

#include "core/mem.h"

/* Upright x grows with stored … : which stored axis, and whether it is reversed. */
struct axes {
    bool swap, flip_x, flip_y; /* upright = swap(stored), then mirrored */
};

static struct axes axes_of(uint8_t orientation)
{
    static const struct axes table[9] = {
        [1] = {false, false, false}, [2] = {false, true, false}, [3] = {false, true, true},
        [4] = {false, false, true},  [5] = {true, false, false}, [6] = {true, true, false},
        [7] = {true, true, true},    [8] = {true, false, true},
    };
    return table[orientation >= 1 && orientation <= 8 ? orientation : 1];
}

struct frt_box frt_orient_to_stored(uint8_t orientation, const struct frt_box *upright, double stored_width,
                                    double stored_height)
{
    struct axes a = axes_of(orientation);
    double width = a.swap ? stored_height : stored_width, height = a.swap ? stored_width : stored_height;
    double x = (double)upright->x, y = (double)upright->y;
    double w = (double)upright->width, h = (double)upright->height;
    if (a.flip_x)
        x = width - x - w;
    if (a.flip_y)
        y = height - y - h;
    if (a.swap)
        return (struct frt_box){(float)y, (float)x, (float)h, (float)w};
    return (struct frt_box){(float)x, (float)y, (float)w, (float)h};
}

static void copy_turned(const struct frt_frame *from, struct axes a, uint8_t *to, uint32_t width,
                        uint32_t height)
{
    for (uint32_t y = 0; y < height; y++) {
        uint32_t v = a.flip_y ? height - 1 - y : y;
        uint8_t *row = to + (size_t)y * width * 3;
        for (uint32_t x = 0; x < width; x++) {
            uint32_t u = a.flip_x ? width - 1 - x : x;
            const uint8_t *p = a.swap ? from->pixels + (size_t)u * from->stride_bytes + (size_t)v * 3
                                      : from->pixels + (size_t)v * from->stride_bytes + (size_t)u * 3;
            row[3 * (size_t)x] = p[0];
            row[3 * (size_t)x + 1] = p[1];
            row[3 * (size_t)x + 2] = p[2];
        }
    }
}

enum frt_status frt_orient_frame(uint8_t orientation, double stored_width, double stored_height,
                                 struct frt_frame *frame, struct frt_error *err)
{
    struct axes a = axes_of(orientation);
    if (!a.swap && !a.flip_x && !a.flip_y)
        return FRT_OK;
    struct frt_frame turned = *frame;
    turned.width_px = a.swap ? frame->height_px : frame->width_px;
    turned.height_px = a.swap ? frame->width_px : frame->height_px;
    turned.stride_bytes = (size_t)turned.width_px * 3;
    turned.borrowed = false;
    turned.pixels = frt_alloc_array(turned.height_px, turned.stride_bytes);
    if (turned.pixels == NULL)
        return frt_fail_nomem(err, "an upright frame");
    copy_turned(frame, a, turned.pixels, turned.width_px, turned.height_px);
    if (a.swap) {
        turned.origin_x = frame->origin_y;
        turned.origin_y = frame->origin_x;
        turned.scale_x = frame->scale_y;
        turned.scale_y = frame->scale_x;
    }
    double width = a.swap ? stored_height : stored_width, height = a.swap ? stored_width : stored_height;
    if (a.flip_x)
        turned.origin_x = width - turned.origin_x - turned.width_px * turned.scale_x;
    if (a.flip_y)
        turned.origin_y = height - turned.origin_y - turned.height_px * turned.scale_y;
    frt_frame_deinit(frame);
    *frame = turned;
    return FRT_OK;
}
