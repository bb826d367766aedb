#include "index/encoder.h"

#include <math.h>
#include <string.h>

#include "core/mem.h"

/* Mean of |x| of a Gaussian over its standard deviation: what Σ|x_i| / sqrt(dim) of a rotated unit vector
 * comes to. */
static const float gauss_mean_magnitude = 0.79788456f;

enum frt_status frt_encoder_init(struct frt_encoder *encoder, uint32_t dim, struct frt_error *err)
{
    struct frt_encoder e = {.dim = dim, .kernels = frt_code_kernels_get(frt_simd_tier_active())};
    e.kind = dim >= FRT_CODE_BITS_FROM_DIM ? FRT_CODE_BITS : FRT_CODE_NIBBLES;
    e.words = e.kind == FRT_CODE_BITS ? (dim + 63) / 64 : (dim + 7) / 8;
    e.block_bytes = (size_t)e.words * FRT_CODE_BLOCK * (e.kind == FRT_CODE_BITS ? 8 : 4);
    e.row_bytes = (dim + 15) / 16 * 16;
    enum frt_status status = frt_rotation_init(&e.rotation, dim, err);
    if (status == FRT_OK)
        *encoder = e;
    return status;
}

void frt_encoder_deinit(struct frt_encoder *encoder)
{
    frt_rotation_deinit(&encoder->rotation);
}

/* ------------------------------------------------------------------ encode */

static float encode_bits(const struct frt_encoder *e, const float *x, uint64_t *block, uint32_t lane)
{
    float sum = 0;
    for (uint32_t w = 0; w < e->words; w++) {
        uint64_t word = 0;
        for (uint32_t i = w * 64; i < w * 64 + 64 && i < e->dim; i++) {
            word |= (uint64_t)(x[i] > 0) << (i % 64);
            sum += fabsf(x[i]);
        }
        block[w * FRT_CODE_BLOCK + lane] = word;
    }
    return sum > 0 ? 1 / sum : 0;
}

/* Values (v - 7.5) · step. The step is the one of least squared error among a few: clipping the largest
 * components costs less than rounding all of them coarsely. */
static float encode_nibbles(const struct frt_encoder *e, const float *x, uint32_t *block, uint32_t lane)
{
    float most = 0, best_error = INFINITY, best_step = 1;
    for (uint32_t i = 0; i < e->dim; i++)
        most = fmaxf(most, fabsf(x[i]));
    for (int shrink = 0; shrink < 6; shrink++) {
        const float step = most * (1 - 0.07f * (float)shrink) / 7.5f;
        float error = 0;
        for (uint32_t i = 0; i < e->dim; i++) {
            const float v = fminf(fmaxf(floorf(x[i] / step + 8), 0), 15);
            const float d = x[i] - (v - 7.5f) * step;
            error += d * d;
        }
        if (error < best_error) {
            best_error = error;
            best_step = step;
        }
    }
    for (uint32_t g = 0; g < e->words; g++) {
        uint32_t word = 0;
        for (uint32_t j = 0; j < 8 && g * 8 + j < e->dim; j++) {
            const float v = fminf(fmaxf(floorf(x[g * 8 + j] / best_step + 8), 0), 15);
            word |= (uint32_t)v << (8 * (j % 4) + (j >= 4 ? 4 : 0));
        }
        block[g * FRT_CODE_BLOCK + lane] = word;
    }
    return best_step;
}

float frt_encoder_row(const struct frt_encoder *e, const float *x, int8_t *row)
{
    float most = 0;
    for (uint32_t i = 0; i < e->dim; i++)
        most = fabsf(x[i]) > most ? fabsf(x[i]) : most;
    const float inverse = most > 0 ? 127 / most : 0;
    for (uint32_t i = 0; i < e->dim; i++)
        row[i] = (int8_t)lrintf(x[i] * inverse);
    memset(row + e->dim, 0, e->row_bytes - e->dim);
    return most / 127;
}

void frt_encoder_encode(const struct frt_encoder *encoder, const float *vector, float *scratch,
                        const struct frt_encoded *out)
{
    frt_rotation_apply(&encoder->rotation, vector, scratch);
    *out->factor = encoder->kind == FRT_CODE_BITS ? encode_bits(encoder, scratch, out->block, out->lane)
                                                  : encode_nibbles(encoder, scratch, out->block, out->lane);
    *out->row_scale = frt_encoder_row(encoder, scratch, out->row);
}

/* ------------------------------------------------------------------- query */

size_t frt_prepared_bytes(const struct frt_encoder *encoder)
{
    const size_t code =
        encoder->kind == FRT_CODE_BITS ? (size_t)encoder->words * 16 : (size_t)encoder->words * 8;
    return (encoder->row_bytes * sizeof(float) + code + 63) / 64 * 64;
}

enum { SUMS = 8 };

/* What a query's magnitudes sum up to: all of them, and the big ones, which reach `unit`. Eight sums each, as
 * one would wait for itself. */
struct magnitudes {
    float all, big;
    uint32_t n_big;
};

static struct magnitudes measure(const float *q, uint32_t n, float unit)
{
    float all[SUMS] = {0}, big[SUMS] = {0};
    uint32_t n_big[SUMS] = {0}, i = 0;
    for (; i + SUMS <= n; i += SUMS) {
        for (uint32_t j = 0; j < SUMS; j++) {
            const float magnitude = fabsf(q[i + j]);
            const bool is_big = magnitude >= unit;
            all[j] += magnitude;
            big[j] += is_big ? magnitude : 0;
            n_big[j] += is_big;
        }
    }
    for (; i < n; i++) {
        const bool is_big = fabsf(q[i]) >= unit;
        all[0] += fabsf(q[i]);
        big[0] += is_big ? fabsf(q[i]) : 0;
        n_big[0] += is_big;
    }
    struct magnitudes m = {0};
    for (uint32_t j = 0; j < SUMS; j++) {
        m.all += all[j];
        m.big += big[j];
        m.n_big += n_big[j];
    }
    return m;
}

/* The unit of the two magnitudes unit / 2 and 3 · unit / 2 that come closest to a query's: from the Gaussian
 * optimum (0.9957 deviations; Max, Quantizing for minimum distortion, 1960), each round the best unit for the
 * present split. */
static float best_unit(const float *q, uint32_t n)
{
    float unit = 0.9957f / sqrtf((float)n);
    for (int round = 0; round < 6; round++) {
        const struct magnitudes m = measure(q, n, unit);
        /* <level, |q|> over |level|², with level² = 0.25, of big ones 2.25 */
        unit = (0.5f * m.all + m.big) / (0.25f * (float)n + 2 * (float)m.n_big);
    }
    return unit;
}

static void prepare_bits(const struct frt_encoder *e, const float *q, uint64_t *words, struct frt_prepared *out)
{
    uint64_t *sign = words, *big = words + e->words;
    const float unit = best_unit(q, e->dim), n = (float)e->dim;
    const struct magnitudes m = measure(q, e->dim, unit);
    memset(words, 0, (size_t)e->words * 16);
    for (uint32_t i = 0; i < e->dim; i++) {
        sign[i / 64] |= (uint64_t)(q[i] > 0) << (i % 64);
        big[i / 64] |= (uint64_t)(fabsf(q[i]) >= unit) << (i % 64);
    }
    /* of q̂, the query at its two magnitudes: its length squared, <q̂, |q|>, and the sum of its magnitudes */
    const float norm = unit * unit * (0.25f * n + 2 * (float)m.n_big), product = unit * (0.5f * m.all + m.big);
    const float sum = unit * (0.5f * n + (float)m.n_big);
    /* q̂ = product · q + something at right angles to q: divided by product, the estimate has no bias */
    const float c2 = gauss_mean_magnitude * gauss_mean_magnitude, e2 = norm / (product * product) - 1;
    out->spread = sqrtf((1 / c2 - 1 + e2 / c2) / (n - 1));
    /* the same for the query's signs alone: <sign(q), q> = all magnitudes */
    const float sign_e2 = n / (m.all * m.all) - 1;
    const float sign_spread = sqrtf((1 / c2 - 1 + sign_e2 / c2) / (n - 1));
    out->bits = (struct frt_bits_query){.sign = sign,
                                        .big = big,
                                        .words = e->words,
                                        .unit = unit / product,
                                        .sum = sum / product,
                                        .sign_unit = 2 / m.all,
                                        .sign_sum = n / m.all,
                                        .sign_slack = FRT_FIRST_PASS_MARGIN * (sign_spread - out->spread)};
}

static void prepare_nibbles(const struct frt_encoder *e, const float *q, int8_t *q8, struct frt_prepared *out)
{
    float most = 0;
    int32_t sum = 0;
    for (uint32_t i = 0; i < e->dim; i++)
        most = fmaxf(most, fabsf(q[i]));
    const float step = most > 0 ? most / 127 : 1;
    memset(q8, 0, (size_t)e->words * 8);
    for (uint32_t i = 0; i < e->dim; i++) {
        q8[i] = (int8_t)lrintf(q[i] / step);
        sum += q8[i];
    }
    out->nibbles = (struct frt_nibbles_query){q8, e->words, step, step * 7.5f * (float)sum};
    /* a stored component is off by step' / sqrt(12), with step' about 5.3 deviations over 15, and clipped ones
     * by a little more; the query's own rounding adds step / sqrt(12) a component */
    const float stored = 0.115f / sqrtf((float)e->dim), rounding = step * 0.29f;
    out->spread = sqrtf(stored * stored + rounding * rounding);
}

void frt_encoder_prepare(const struct frt_encoder *encoder, const float *query, void *scratch,
                         struct frt_prepared *out)
{
    out->rotated = scratch;
    char *code = (char *)scratch + encoder->row_bytes * sizeof(float);
    frt_rotation_apply(&encoder->rotation, query, out->rotated);
    for (uint32_t i = encoder->dim; i < encoder->row_bytes; i++)
        out->rotated[i] = 0;
    if (encoder->kind == FRT_CODE_BITS)
        prepare_bits(encoder, out->rotated, (uint64_t *)(void *)code, out);
    else
        prepare_nibbles(encoder, out->rotated, (int8_t *)code, out);
}

size_t frt_encoder_scan(const struct frt_encoder *encoder, const struct frt_prepared *query, const void *codes,
                        const float *factors, size_t n_blocks, uint32_t first, float cut, uint32_t *out)
{
    if (encoder->kind == FRT_CODE_BITS)
        return encoder->kernels->bits_scan(&query->bits, codes, factors, n_blocks, first, cut, out);
    return encoder->kernels->nibbles_scan(&query->nibbles, codes, factors, n_blocks, first, cut, out);
}

float frt_encoder_score_error(const struct frt_encoder *encoder)
{
    /* largest component of a rotated unit vector: about 4.2 deviations at most; the step is that over 127, the
     * error of one component step / sqrt(12), and the query weighs them with a unit vector */
    return 4 * 4.2f / 127 / sqrtf(12 * (float)encoder->dim);
}
