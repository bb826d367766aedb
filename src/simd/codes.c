/* Dispatch, and the portable kernels that every other tier is tested against. */
#include "simd/codes.h"

static size_t bits_scan_scalar(const struct frt_bits_query *query, const uint64_t *codes, const float *factors,
                               size_t n_blocks, uint32_t first, float cut, uint32_t *out)
{
    size_t kept = 0;
    for (size_t b = 0; b < n_blocks; b++) {
        const uint64_t *block = codes + b * query->words * FRT_CODE_BLOCK;
        for (uint32_t lane = 0; lane < FRT_CODE_BLOCK; lane++) {
            uint32_t wrong = 0;
            for (uint32_t w = 0; w < query->words; w++) {
                const uint64_t t = block[w * FRT_CODE_BLOCK + lane] ^ query->sign[w];
                wrong += (uint32_t)(__builtin_popcountll(t) + 2 * __builtin_popcountll(t & query->big[w]));
            }
            const uint32_t number = (uint32_t)(b * FRT_CODE_BLOCK) + lane;
            if (factors[number] * (query->sum - query->unit * (float)wrong) >= cut)
                out[kept++] = first + number;
        }
    }
    return kept;
}

static size_t nibbles_scan_scalar(const struct frt_nibbles_query *query, const uint32_t *codes,
                                  const float *factors, size_t n_blocks, uint32_t first, float cut,
                                  uint32_t *out)
{
    size_t kept = 0;
    for (size_t b = 0; b < n_blocks; b++) {
        const uint32_t *block = codes + b * query->groups * FRT_CODE_BLOCK;
        for (uint32_t lane = 0; lane < FRT_CODE_BLOCK; lane++) {
            int32_t sum = 0;
            for (uint32_t g = 0; g < query->groups; g++) {
                const uint32_t v = block[g * FRT_CODE_BLOCK + lane];
                const int8_t *q = query->q8 + 8 * g;
                for (uint32_t j = 0; j < 4; j++) {
                    sum += (int32_t)(v >> (8 * j) & 15) * q[j];
                    sum += (int32_t)(v >> (8 * j + 4) & 15) * q[4 + j];
                }
            }
            const uint32_t number = (uint32_t)(b * FRT_CODE_BLOCK) + lane;
            if (factors[number] * (query->step * (float)sum - query->offset) >= cut)
                out[kept++] = first + number;
        }
    }
    return kept;
}

static float dot_f32_i8_scalar(const float *a, const int8_t *b, size_t n)
{
    float sum[8] = {0};
    for (size_t i = 0; i < n; i += 8) {
        for (size_t j = 0; j < 8; j++)
            sum[j] += a[i + j] * (float)b[i + j];
    }
    return ((sum[0] + sum[4]) + (sum[2] + sum[6])) + ((sum[1] + sum[5]) + (sum[3] + sum[7]));
}

static void dots_i8_scalar(const int8_t *query, const int8_t *rows, size_t bytes, size_t n, int32_t *out)
{
    for (size_t r = 0; r < n; r++) {
        int32_t sum = 0;
        for (size_t i = 0; i < bytes; i++)
            sum += query[i] * rows[r * bytes + i];
        out[r] = sum;
    }
}

const struct frt_code_kernels frt_code_kernels_scalar = {bits_scan_scalar, nibbles_scan_scalar,
                                                         dot_f32_i8_scalar, dots_i8_scalar};

const struct frt_code_kernels *frt_code_kernels_get(enum frt_simd_tier tier)
{
#if defined(__x86_64__)
    if (tier == FRT_SIMD_AVX512VNNI)
        return &frt_code_kernels_avx512vnni;
    if (tier == FRT_SIMD_AVX2 || tier == FRT_SIMD_AVX512)
        return &frt_code_kernels_avx2;
#elif defined(__aarch64__)
    if (tier == FRT_SIMD_NEONDOT)
        return &frt_code_kernels_neondot;
    if (tier == FRT_SIMD_NEON)
        return &frt_code_kernels_neon;
#endif
    (void)tier;
    return &frt_code_kernels_scalar;
}
