#include "simd/narrow_u8.h"

#include <math.h>
#include <string.h>

#include "core/mem.h"
#include "simd/narrow_u8_kernels.h"

static const struct frt_narrow_u8_kernel scalar = {.pixels = NULL};

static const struct frt_narrow_u8_kernel *kernel_of(enum frt_simd_tier tier)
{
#if defined(__x86_64__)
    if (tier == FRT_SIMD_AVX512VNNI)
        return &frt_narrow_u8_avx512vnni;
    if (tier == FRT_SIMD_AVX512 || tier == FRT_SIMD_AVX2)
        return &frt_narrow_u8_avx2;
#elif defined(__aarch64__)
    if (tier == FRT_SIMD_NEON || tier == FRT_SIMD_NEONDOT)
        return &frt_narrow_u8_neon;
#endif
    (void)tier;
    return &scalar;
}

/* ----------------------------------------------------------------- packing */

static bool fits(const struct frt_narrow_u8_spec *spec)
{
    if (spec->channels == 0 || spec->channels > FRT_NARROW_U8_MAX_CHANNELS ||
        (spec->group != 1 && spec->group != 2) || spec->channels % spec->group != 0)
        return false;
    for (int i = 0; i < 2; i++)
        if (spec->stride[i] != 1 && spec->stride[i] != 2)
            return false;
    for (int i = 0; i < 4; i++)
        if (spec->pads[i] > FRT_NARROW_U8_MAX_PAD)
            return false;
    for (uint32_t c = 0; c < spec->channels; c++)
        if (!isfinite(spec->ratios[c]) ||
            (spec->slopes != NULL && !isfinite(spec->slopes[c] * spec->ratios[c])))
            return false;
    return true;
}

/* The weight of element e of a row's 4 columns × `group` inputs, of a result that lies `shift` columns in. */
static int weight_at(const struct frt_narrow_u8 *op, uint32_t channel, uint32_t shift, uint32_t row, uint32_t e)
{
    const uint32_t column = e / op->group - shift, input = e % op->group; /* wraps to a column too far */
    return channel < op->channels && column < 3
               ? op->weights[(channel * op->group + input) * 9 + row * 3 + column]
               : 0;
}

static void pack_block(struct frt_narrow_u8 *op, const struct frt_narrow_u8_kernel *k, uint32_t block)
{
    const uint32_t chunks = 4 * op->group / k->depth;
    size_t at = (size_t)block * op->block_weights;
    for (uint32_t shift = 0; shift < 2; shift++)
        for (uint32_t row = 0; row < 3; row++)
            for (uint32_t chunk = 0; chunk < chunks; chunk++)
                for (uint32_t lane = 0; lane < k->block; lane++) {
                    const uint32_t c = block * k->block + k->channel_at(op->group, lane);
                    for (uint32_t d = 0; d < k->depth; d++, at++) {
                        const int w = weight_at(op, c, shift, row, chunk * k->depth + d);
                        if (k->wide)
                            ((int16_t *)op->packed)[at] = (int16_t)w;
                        else
                            ((int8_t *)op->packed)[at] = (int8_t)w;
                    }
                }
    for (uint32_t lane = 0; lane < k->block; lane++) {
        const uint32_t c = block * k->block + k->channel_at(op->group, lane), to = block * k->block + lane;
        op->lane_offsets[to] = c < op->channels ? op->offsets[c] : 0;
        op->lane_above[to] = c < op->channels ? op->above[c] : 0;
        op->lane_below[to] = c < op->channels ? op->below[c] : 0;
    }
}

static bool pack_all(struct frt_narrow_u8 *op)
{
    const struct frt_narrow_u8_kernel *k = op->kernel;
    if (k->pixels == NULL)
        return true;
    const uint32_t blocks = (op->channels + k->block - 1) / k->block;
    const size_t lanes = (size_t)blocks * k->block;
    op->block_weights = (size_t)k->block * 2 * 3 * 4 * op->group;
    op->packed = frt_alloc_array(blocks * op->block_weights, k->wide ? sizeof(int16_t) : sizeof(int8_t));
    op->lane_offsets = frt_alloc_array(lanes, sizeof *op->lane_offsets);
    op->lane_above = frt_alloc_array(lanes, sizeof *op->lane_above);
    op->lane_below = frt_alloc_array(lanes, sizeof *op->lane_below);
    if (op->packed == NULL || op->lane_offsets == NULL || op->lane_above == NULL || op->lane_below == NULL)
        return false;
    for (uint32_t b = 0; b < blocks; b++)
        pack_block(op, k, b);
    return true;
}

static void fill(struct frt_narrow_u8 *op, const struct frt_narrow_u8_spec *spec)
{
    memcpy(op->weights, spec->weights, (size_t)9 * op->channels * op->group);
    memset(op->outside, spec->x_zero, op->channels);
    for (uint32_t c = 0; c < op->channels; c++) {
        int32_t sum = 0;
        for (uint32_t i = 0; i < 9 * op->group; i++)
            sum += op->weights[c * 9 * op->group + i];
        const int32_t offset = spec->offsets != NULL ? spec->offsets[c] : 0;
        op->offsets[c] = (int32_t)((uint32_t)offset - (uint32_t)(sum * spec->x_zero));
        op->above[c] = spec->ratios[c];
        op->below[c] = spec->slopes != NULL ? spec->ratios[c] * spec->slopes[c] : spec->ratios[c];
    }
}

struct frt_narrow_u8 *frt_narrow_u8_new(enum frt_simd_tier tier, const struct frt_narrow_u8_spec *spec,
                                        bool *bad)
{
    *bad = !fits(spec);
    struct frt_narrow_u8 *op = *bad ? NULL : frt_alloc_zero(1, sizeof *op);
    if (op == NULL)
        return NULL;
    op->kernel = kernel_of(tier);
    op->channels = spec->channels;
    op->group = spec->group;
    op->y_zero = spec->y_zero;
    op->sloped = spec->slopes != NULL;
    memcpy(op->stride, spec->stride, sizeof op->stride);
    memcpy(op->pads, spec->pads, sizeof op->pads);
    op->weights = frt_alloc((size_t)9 * op->channels * op->group);
    op->outside = frt_alloc(op->channels);
    op->offsets = frt_alloc_array(op->channels, sizeof *op->offsets);
    op->above = frt_alloc_array(op->channels, sizeof *op->above);
    op->below = frt_alloc_array(op->channels, sizeof *op->below);
    if (op->weights == NULL || op->outside == NULL || op->offsets == NULL || op->above == NULL ||
        op->below == NULL) {
        frt_narrow_u8_free(op);
        return NULL;
    }
    fill(op, spec);
    if (!pack_all(op)) {
        frt_narrow_u8_free(op);
        return NULL;
    }
    return op;
}

void frt_narrow_u8_free(struct frt_narrow_u8 *op)
{
    if (op == NULL)
        return;
    frt_free(op->weights);
    frt_free(op->outside);
    frt_free(op->offsets);
    frt_free(op->above);
    frt_free(op->below);
    frt_free(op->packed);
    frt_free(op->lane_offsets);
    frt_free(op->lane_above);
    frt_free(op->lane_below);
    frt_free(op);
}

/* ----------------------------------------------------------------- running */

uint32_t frt_narrow_u8_channels_of(const struct frt_narrow_u8 *op)
{
    return op->channels;
}

bool frt_narrow_u8_out_sides(const struct frt_narrow_u8 *op, size_t height, size_t width, size_t *out_height,
                             size_t *out_width)
{
    const size_t down = height + op->pads[0] + op->pads[2], across = width + op->pads[1] + op->pads[3];
    if (height == 0 || width == 0 || height > FRT_NARROW_U8_MAX_SIDE || width > FRT_NARROW_U8_MAX_SIDE ||
        down < 3 || across < 3)
        return false;
    *out_height = (down - 3) / op->stride[0] + 1;
    *out_width = (across - 3) / op->stride[1] + 1;
    return true;
}

void frt_narrow_u8_channels(const struct frt_narrow_u8 *op, const uint8_t *const taps[3][4], uint32_t from,
                            uint32_t shift, uint8_t *y)
{
    for (uint32_t c = from; c < op->channels; c++) {
        const uint32_t first = c / op->group * op->group;
        const int8_t *w = op->weights + (size_t)c * 9 * op->group;
        uint32_t sum = (uint32_t)op->offsets[c]; /* wraps as the vectors do */
        for (uint32_t i = 0; i < op->group; i++, w += 9)
            for (uint32_t row = 0; row < 3; row++)
                for (uint32_t column = 0; column < 3; column++)
                    sum += (uint32_t)(taps[row][column + shift][first + i] * w[row * 3 + column]);
        const int32_t whole = (int32_t)sum;
        const float v = rintf((float)whole * (whole > 0 ? op->above[c] : op->below[c])) + (float)op->y_zero;
        y[c] = (uint8_t)(v > 0 ? v < UINT8_MAX ? v : UINT8_MAX : 0);
    }
}

static void scalar_pixels(const struct frt_narrow_u8 *op, const uint8_t *const taps[3][4], uint8_t *y,
                          uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        frt_narrow_u8_channels(op, taps, 0, i, y + (size_t)i * op->channels);
}

/* Two neighbours of a row share two of their columns where the step is one. */
static void one_row(const struct frt_narrow_u8 *op, const struct frt_narrow_u8_image *image, const uint8_t *x,
                    size_t out_row, uint8_t *y)
{
    const size_t channels = op->channels, together = op->stride[1] == 1 ? 2 : 1;
    const uint8_t *lines[3], *taps[3][4];
    for (size_t i = 0; i < 3; i++) {
        const size_t row = out_row * op->stride[0] + i - op->pads[0]; /* above the first: wraps, too large */
        lines[i] = row < image->height ? x + row * image->width * channels : NULL;
    }
    for (size_t at = 0; at < image->out_width; at += together) {
        const size_t n = image->out_width - at < together ? 1 : together;
        for (size_t k = 0; k < 4; k++) {
            const size_t column = at * op->stride[1] + k - op->pads[1];
            for (size_t i = 0; i < 3; i++)
                taps[i][k] = lines[i] != NULL && column < image->width && k < 2 + together
                                 ? lines[i] + column * channels
                                 : op->outside;
        }
        if (op->kernel->pixels != NULL)
            op->kernel->pixels(op, (const uint8_t *const(*)[4])taps, y + at * channels, (uint32_t)n);
        else
            scalar_pixels(op, (const uint8_t *const(*)[4])taps, y + at * channels, (uint32_t)n);
    }
}

void frt_narrow_u8_rows(const struct frt_narrow_u8 *op, const struct frt_narrow_u8_image *image, size_t from,
                        size_t to)
{
    const size_t line = image->out_width * op->channels;
    for (size_t i = from; i < to; i++)
        one_row(op, image, image->x + i / image->out_height * image->height * image->width * op->channels,
                i % image->out_height, image->y + i * line);
}
