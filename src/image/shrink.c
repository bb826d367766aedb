#include "image/shrink.h"

#include <assert.h>
#include <string.h>

#include "core/mem.h"

enum frt_status frt_shrink_init(struct frt_shrink *shrink, uint32_t x, uint32_t y, uint32_t width,
                                uint32_t height, uint32_t n, struct frt_error *err)
{
    struct frt_shrink s = {.x = x, .y = y, .width = width, .height = height, .n = n};
    s.out_width = (width + n - 1) / n;
    s.out_height = (height + n - 1) / n;
    s.pixels = frt_alloc_array(s.out_height, (size_t)s.out_width * 3);
    if (n > 1)
        s.sums = frt_alloc_zero((size_t)s.out_width * 3, sizeof *s.sums);
    if (s.pixels == NULL || (n > 1 && s.sums == NULL)) {
        frt_shrink_deinit(&s);
        return frt_fail_nomem(err, "a frame");
    }
    *shrink = s;
    return FRT_OK;
}

void frt_shrink_deinit(struct frt_shrink *shrink)
{
    frt_free(shrink->pixels);
    frt_free(shrink->sums);
    shrink->pixels = NULL;
    shrink->sums = NULL;
}

static void finish_block_row(struct frt_shrink *s, uint32_t block_row, uint32_t rows)
{
    uint8_t *to = s->pixels + (size_t)block_row * s->out_width * 3;
    assert(rows > 0 && s->n > 0);
    for (uint32_t b = 0; b < s->out_width; b++) {
        uint32_t left = s->width - b * s->n, columns = left < s->n ? left : s->n, area = columns * rows;
        assert(area > 0); /* the last block holds at least one column */
        for (uint32_t c = 0; c < 3; c++)
            to[3 * b + c] = (uint8_t)((s->sums[3 * b + c] + area / 2) / area);
    }
    memset(s->sums, 0, (size_t)s->out_width * 3 * sizeof *s->sums);
}

void frt_shrink_row(struct frt_shrink *shrink, uint32_t y, const uint8_t *rgb)
{
    if (y < shrink->y || y - shrink->y >= shrink->height)
        return;
    uint32_t row = y - shrink->y;
    const uint8_t *from = rgb + (size_t)shrink->x * 3;
    if (shrink->n <= 1) {
        memcpy(shrink->pixels + (size_t)row * shrink->width * 3, from, (size_t)shrink->width * 3);
        return;
    }
    for (uint32_t b = 0, i = 0; b < shrink->out_width; b++) {
        uint32_t left = shrink->width - i, columns = left < shrink->n ? left : shrink->n;
        uint32_t *sum = shrink->sums + (size_t)b * 3;
        for (uint32_t k = 0; k < columns; k++, i++, from += 3) {
            sum[0] += from[0];
            sum[1] += from[1];
            sum[2] += from[2];
        }
    }
    if (row % shrink->n == shrink->n - 1 || row == shrink->height - 1)
        finish_block_row(shrink, row / shrink->n, row % shrink->n + 1);
}

void frt_shrink_take(struct frt_shrink *shrink, struct frt_frame *out)
{
    *out = (struct frt_frame){.pixels = shrink->pixels,
                              .width_px = shrink->out_width,
                              .height_px = shrink->out_height,
                              .stride_bytes = (size_t)shrink->out_width * 3,
                              .origin_x = shrink->x,
                              .origin_y = shrink->y,
                              .scale_x = shrink->n,
                              .scale_y = shrink->n};
    shrink->pixels = NULL;
    frt_shrink_deinit(shrink);
}
