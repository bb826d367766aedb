/*
 * Geometry of resampling; the inner loops are in resample_<tier>.c.
 *
 * A stretch is separable. Along each axis a target pixel is a weighted run of source pixels (struct
 * frt_axis_tap): two for bilinear, many for area averaging. Columns are done in blocks, so that a block's
 * tap table and its strip of source columns fit on the stack and in L1/L2; nothing is allocated:
 *
 *     for each block of target columns            for each target row
 *        taps in x, once                             taps in y
 *                                                    rows of the strip, weighted, into acc   (interleaved)
 *                                                    acc by the taps in x into the planes    (planar)
 *
 * Edges: bilinear samples whose centre lies inside the source use its nearest pixels, so that a whole
 * image stretched has no dark rim; samples whose centre lies outside are padding. Area averages count
 * the part outside as padding.
 */
#include "simd/resample.h"

#include <math.h>
#include <string.h>

#include "simd/resample_kernels.h"

enum {
    BLOCK_COLUMNS = 256,  /* target columns of a block */
    STRIP_COLUMNS = 2048, /* source columns of a block */
    WARP_COLUMNS = 256,   /* chip pixels done at once */
    WARP_MAX_SAMPLES = 8  /* samples an axis averaged into one chip pixel */
};

/* above this many source pixels a target pixel, an axis is averaged instead of interpolated */
static const double area_step = 2.0;

const struct frt_resample_kernels *frt_resample_kernels_get(enum frt_simd_tier tier)
{
#if defined(__x86_64__)
    if (tier == FRT_SIMD_AVX2 || tier == FRT_SIMD_AVX512 || tier == FRT_SIMD_AVX512VNNI)
        return &frt_resample_kernels_avx2;
#elif defined(__aarch64__)
    if (tier == FRT_SIMD_NEON || tier == FRT_SIMD_NEONDOT)
        return &frt_resample_kernels_neon;
#endif
    (void)tier;
    return &frt_resample_kernels_scalar;
}

static const struct frt_resample_kernels *active(void)
{
    return frt_resample_kernels_get(frt_simd_tier_active());
}

static const struct frt_axis_tap all_padding = {.pad_weight = 1};

/* The source run of target pixel i of an axis of `size` source pixels, `origin` + i · step onwards.
 * Comparisons are written so that NaN ends in padding. */
static struct frt_axis_tap tap_at(double origin, double step, uint32_t i, uint32_t size)
{
    struct frt_axis_tap tap = all_padding;
    if (step <= area_step) {
        const double centre = origin + (i + 0.5) * step;
        if (!(centre >= 0 && centre < size))
            return all_padding;
        const double low = floor(centre - 0.5), part = centre - 0.5 - low;
        const int32_t first = (int32_t)low;
        tap.pad_weight = 0;
        if (first < 0 || part == 0 || first + 1 >= (int64_t)size) {
            tap.first = tap.last = first < 0 ? 0 : first;
            tap.first_weight = 1;
        } else {
            tap.first = first;
            tap.last = first + 1;
            tap.first_weight = (float)(1 - part);
            tap.last_weight = (float)part;
        }
        return tap;
    }
    const double begin = fmax(origin + i * step, 0), end = fmin(origin + (i + 1.0) * step, size);
    if (!(end > begin))
        return all_padding;
    tap.first = (int32_t)begin; /* begin < end <= size */
    tap.last = (int32_t)ceil(end) - 1;
    tap.middle_weight = (float)(1 / step);
    if (tap.last <= tap.first) {
        tap.last = tap.first;
        tap.first_weight = (float)((end - begin) / step);
    } else {
        tap.first_weight = (float)((tap.first + 1 - begin) / step);
        tap.last_weight = (float)((end - tap.last) / step);
    }
    tap.pad_weight = (float)(1 - (end - begin) / step);
    return tap;
}

static const uint8_t *pixel_at(const struct frt_pixels *src, int32_t column, int32_t row)
{
    return src->data + (size_t)row * src->stride_bytes + 3 * (size_t)column;
}

/* Rows of the strip [column, column + n/3) by the vertical tap into acc. */
static void blend_rows(const struct frt_resample_kernels *k, const struct frt_pixels *src,
                       const struct frt_axis_tap *tap, int32_t column, float pad, float *acc, size_t n)
{
    k->row_blend(acc, pixel_at(src, column, tap->first), pixel_at(src, column, tap->last), tap->first_weight,
                 tap->last_weight, pad * tap->pad_weight, n);
    for (int32_t row = tap->first + 1; row < tap->last; row++)
        k->row_add(acc, pixel_at(src, column, row), tap->middle_weight, n);
}

/* One target pixel that covers more source columns than a strip holds: strip after strip. */
static void gather_wide(const struct frt_resample_kernels *k, const struct frt_pixels *src,
                        const struct frt_axis_tap *tx, const struct frt_axis_tap *ty, float pad, float *acc,
                        float *const planes[3], const float mean[3], const float scale[3])
{
    double sum[3];
    for (int c = 0; c < 3; c++)
        sum[c] = (double)pad * tx->pad_weight;
    for (int32_t column = tx->first; column <= tx->last; column += STRIP_COLUMNS) {
        const int32_t left = tx->last - column + 1;
        const int32_t columns = left < STRIP_COLUMNS ? left : STRIP_COLUMNS;
        blend_rows(k, src, ty, column, pad, acc, 3 * (size_t)columns);
        for (int32_t i = 0; i < columns; i++) {
            const float w = column + i == tx->first  ? tx->first_weight
                            : column + i == tx->last ? tx->last_weight
                                                     : tx->middle_weight;
            for (int c = 0; c < 3; c++)
                sum[c] += (double)(acc[3 * i + c] * w);
        }
    }
    for (int c = 0; c < 3; c++)
        planes[c][0] = ((float)sum[c] - mean[c]) * scale[c];
}

static void fill_rect(const struct frt_plane_target *dst, uint32_t x, uint32_t y, uint32_t w, uint32_t h,
                      uint8_t pad)
{
    const size_t plane = (size_t)dst->width_px * dst->height_px;
    for (size_t c = 0; c < 3; c++) {
        const float value = ((float)pad - dst->mean[c]) * dst->scale[c];
        for (uint32_t row = y; row < y + h; row++) {
            float *p = dst->data + c * plane + (size_t)row * dst->width_px + x;
            for (uint32_t i = 0; i < w; i++)
                p[i] = value;
        }
    }
}

void frt_planes_fill(const struct frt_plane_target *dst, uint8_t pad)
{
    fill_rect(dst, 0, 0, dst->width_px, dst->height_px, pad);
}

/* Planes, means and scales in the order of the source's channels R, G, B. */
struct channel_view {
    float *planes[3];
    float mean[3], scale[3];
};

static struct channel_view view_channels(const struct frt_plane_target *dst)
{
    struct channel_view view;
    const size_t plane = (size_t)dst->width_px * dst->height_px;
    for (int c = 0; c < 3; c++) {
        const int at = dst->bgr ? 2 - c : c;
        view.planes[c] = dst->data + (size_t)at * plane;
        view.mean[c] = dst->mean[at];
        view.scale[c] = dst->scale[at];
    }
    return view;
}

void frt_resample_to_planes_by(const struct frt_resample_kernels *k, const struct frt_pixels *src, double src_x,
                               double src_y, double src_w, double src_h, const struct frt_plane_target *dst,
                               uint32_t dst_x, uint32_t dst_y, uint32_t dst_w, uint32_t dst_h, uint8_t pad)
{
    if (dst_x >= dst->width_px || dst_y >= dst->height_px || dst_w == 0 || dst_h == 0)
        return;
    /* the scale is that of the rectangle asked for; only its part inside the target is written */
    const double step_x = src_w / dst_w, step_y = src_h / dst_h;
    const uint32_t columns = dst_w < dst->width_px - dst_x ? dst_w : dst->width_px - dst_x;
    const uint32_t rows = dst_h < dst->height_px - dst_y ? dst_h : dst->height_px - dst_y;
    if (!(step_x > 0 && step_y > 0 && isfinite(step_x) && isfinite(step_y) && isfinite(src_x) &&
          isfinite(src_y)) ||
        src->width_px == 0 || src->height_px == 0) {
        fill_rect(dst, dst_x, dst_y, columns, rows, pad);
        return;
    }
    const struct channel_view view = view_channels(dst);
    struct frt_axis_tap taps[BLOCK_COLUMNS];
    float acc[3 * STRIP_COLUMNS + FRT_ROW_SLACK];
    memset(acc + 3 * STRIP_COLUMNS, 0, FRT_ROW_SLACK * sizeof *acc);

    for (uint32_t begin = 0, n; begin < columns; begin += n) {
        int32_t first = 0, last = -1; /* source columns of the block */
        bool two = true;
        for (n = 0; n < BLOCK_COLUMNS && begin + n < columns; n++) {
            taps[n] = tap_at(src_x, step_x, begin + n, src->width_px);
            if (taps[n].pad_weight >= 1)
                continue;
            if (last < 0)
                first = taps[n].first;
            if (n > 0 && taps[n].last - first >= STRIP_COLUMNS)
                break;
            last = taps[n].last;
            two = two && taps[n].last <= taps[n].first + 1;
            if (last - first >= STRIP_COLUMNS) { /* wider than a strip: a block of its own */
                n++;
                break;
            }
        }
        for (uint32_t i = 0; i < n; i++) { /* padding reads no pixel, but the kernels load one */
            if (taps[i].pad_weight >= 1)
                taps[i].first = taps[i].last = first;
        }
        const int32_t strip = last - first + 1;
        for (uint32_t row = 0; row < rows; row++) {
            const size_t at = (size_t)(dst_y + row) * dst->width_px + dst_x + begin;
            float *const planes[3] = {view.planes[0] + at, view.planes[1] + at, view.planes[2] + at};
            const struct frt_axis_tap ty = tap_at(src_y, step_y, row, src->height_px);
            if (last < 0 || ty.pad_weight >= 1) {
                fill_rect(dst, dst_x + begin, dst_y + row, n, 1, pad);
            } else if (strip > STRIP_COLUMNS) { /* then n is 1 */
                gather_wide(k, src, &taps[0], &ty, pad, acc, planes, view.mean, view.scale);
            } else {
                blend_rows(k, src, &ty, first, pad, acc, 3 * (size_t)strip);
                memset(acc + 3 * (size_t)strip, 0, FRT_ROW_SLACK * sizeof *acc);
                k->row_gather(acc, first, taps, n, two, pad, planes, view.mean, view.scale);
            }
        }
    }
}

/* Samples an axis that a chip pixel averages. A bilinear sample spans two source pixels, so steps up to
 * 1.5 lose nothing visible with one. */
static uint32_t samples_for(double step)
{
    if (!(step > 1.5))
        return 1;
    return step >= WARP_MAX_SAMPLES ? WARP_MAX_SAMPLES : (uint32_t)ceil(step - 0.5);
}

void frt_warp_to_chip_by(const struct frt_resample_kernels *k, const struct frt_pixels *src, const double m[6],
                         uint8_t *chip, uint32_t width_px, uint32_t height_px)
{
    const uint32_t nu = samples_for(hypot(m[0], m[3])), nv = samples_for(hypot(m[1], m[4]));
    const float weight = 1 / (float)(nu * nv);
    float acc[4 * WARP_COLUMNS];

    for (uint32_t v = 0; v < height_px; v++) {
        for (uint32_t u = 0; u < width_px; u += WARP_COLUMNS) {
            const uint32_t n = width_px - u < WARP_COLUMNS ? width_px - u : WARP_COLUMNS;
            memset(acc, 0, 4 * n * sizeof *acc);
            for (uint32_t j = 0; j < nv; j++) {
                for (uint32_t i = 0; i < nu; i++) {
                    const double pu = u + (i + 0.5) / nu, pv = v + (j + 0.5) / nv;
                    k->warp_add(src, m[0] * pu + m[1] * pv + m[2] - 0.5, m[3] * pu + m[4] * pv + m[5] - 0.5,
                                m[0], m[3], n, acc);
                }
            }
            k->warp_store(acc, weight, n, chip + 3 * ((size_t)v * width_px + u));
        }
    }
}

void frt_chip_to_planes_by(const struct frt_resample_kernels *k, const uint8_t *chip,
                           const struct frt_plane_target *dst)
{
    const struct channel_view view = view_channels(dst);
    k->split(chip, (size_t)dst->width_px * dst->height_px, view.planes, view.mean, view.scale);
}

void frt_resample_to_planes(const struct frt_pixels *src, double src_x, double src_y, double src_w,
                            double src_h, const struct frt_plane_target *dst, uint32_t dst_x, uint32_t dst_y,
                            uint32_t dst_w, uint32_t dst_h, uint8_t pad)
{
    frt_resample_to_planes_by(active(), src, src_x, src_y, src_w, src_h, dst, dst_x, dst_y, dst_w, dst_h, pad);
}

void frt_warp_to_chip(const struct frt_pixels *src, const double m[6], uint8_t *chip, uint32_t width_px,
                      uint32_t height_px)
{
    frt_warp_to_chip_by(active(), src, m, chip, width_px, height_px);
}

void frt_chip_to_planes(const uint8_t *chip, const struct frt_plane_target *dst)
{
    frt_chip_to_planes_by(active(), chip, dst);
}
