/*
 * Code scans for AVX-512 with VPOPCNTDQ and VNNI (Ice Lake, Zen 4).
 *
 * Bits: one register is one word of 8 vectors; a word costs an exclusive or, an and, two counts and two sums,
 * and for 512 components the whole query stays in 16 registers. On one core of a 2022 server that is as fast as
 * memory delivers the codes.
 */
#include "simd/codes.h"

#if defined(__x86_64__)
#include <immintrin.h>

#define TARGET __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx512vpopcntdq,popcnt")))

struct counts {
    __m512i differ[2], differ_big[2]; /* of vectors 0..7 and 8..15 */
};

TARGET static inline size_t keep(__m512 estimate, float cut, uint32_t number, uint32_t *out)
{
    const __mmask16 good = _mm512_cmp_ps_mask(estimate, _mm512_set1_ps(cut), _CMP_GE_OQ);
    if (good == 0)
        return 0;
    const __m512i lanes = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    _mm512_mask_compressstoreu_epi32(out, good, _mm512_add_epi32(lanes, _mm512_set1_epi32((int)number)));
    return (size_t)_mm_popcnt_u32(good);
}

/* 16 counts below 2^31 as floats. */
TARGET static inline __m512 to_floats(const __m512i v[2])
{
    const __m512i all =
        _mm512_inserti64x4(_mm512_castsi256_si512(_mm512_cvtepi64_epi32(v[0])), _mm512_cvtepi64_epi32(v[1]), 1);
    return _mm512_cvtepi32_ps(all);
}

/* `words` is a constant where it is worth it: then the loop unrolls and the query stays in registers. */
TARGET static inline __attribute__((always_inline)) size_t bits_scan(const struct frt_bits_query *query,
                                                                     uint32_t words, const uint64_t *codes,
                                                                     const float *factors, size_t n_blocks,
                                                                     uint32_t first, float cut, uint32_t *out)
{
    const __m512 m0 = _mm512_set1_ps(-2 * query->m0), m1 = _mm512_set1_ps(-2 * query->m1);
    const __m512 sum = _mm512_set1_ps(query->sum);
    size_t kept = 0;
    for (size_t b = 0; b < n_blocks; b++) {
        const uint64_t *block = codes + b * words * FRT_CODE_BLOCK;
        struct counts c = {{_mm512_setzero_si512(), _mm512_setzero_si512()},
                           {_mm512_setzero_si512(), _mm512_setzero_si512()}};
        _mm_prefetch((const char *)(block + 4 * (size_t)words * FRT_CODE_BLOCK), _MM_HINT_T0);
        for (uint32_t w = 0; w < words; w++) {
            const __m512i sign = _mm512_set1_epi64((long long)query->sign[w]);
            const __m512i big = _mm512_set1_epi64((long long)query->big[w]);
            for (int half = 0; half < 2; half++) {
                const __m512i t =
                    _mm512_xor_si512(_mm512_load_si512(block + w * FRT_CODE_BLOCK + half * 8), sign);
                c.differ[half] = _mm512_add_epi64(c.differ[half], _mm512_popcnt_epi64(t));
                c.differ_big[half] =
                    _mm512_add_epi64(c.differ_big[half], _mm512_popcnt_epi64(_mm512_and_si512(t, big)));
            }
        }
        __m512 e = _mm512_fmadd_ps(m0, to_floats(c.differ), sum);
        e = _mm512_fmadd_ps(m1, to_floats(c.differ_big), e);
        e = _mm512_mul_ps(e, _mm512_loadu_ps(factors + b * FRT_CODE_BLOCK));
        kept += keep(e, cut, first + (uint32_t)(b * FRT_CODE_BLOCK), out + kept);
    }
    return kept;
}

TARGET static size_t bits_scan_avx512vnni(const struct frt_bits_query *query, const uint64_t *codes,
                                          const float *factors, size_t n_blocks, uint32_t first, float cut,
                                          uint32_t *out)
{
    if (query->words == 8)
        return bits_scan(query, 8, codes, factors, n_blocks, first, cut, out);
    return bits_scan(query, query->words, codes, factors, n_blocks, first, cut, out);
}

TARGET static size_t nibbles_scan_avx512vnni(const struct frt_nibbles_query *query, const uint32_t *codes,
                                             const float *factors, size_t n_blocks, uint32_t first, float cut,
                                             uint32_t *out)
{
    const __m512i low = _mm512_set1_epi8(15);
    const __m512 step = _mm512_set1_ps(query->step), offset = _mm512_set1_ps(query->offset);
    size_t kept = 0;
    for (size_t b = 0; b < n_blocks; b++) {
        const uint32_t *block = codes + b * query->groups * FRT_CODE_BLOCK;
        __m512i sum[2] = {_mm512_setzero_si512(), _mm512_setzero_si512()};
        for (uint32_t g = 0; g < query->groups; g++) {
            int32_t q[2];
            __builtin_memcpy(q, query->q8 + 8 * g, 8);
            const __m512i v = _mm512_load_si512(block + g * FRT_CODE_BLOCK);
            sum[0] = _mm512_dpbusd_epi32(sum[0], _mm512_and_si512(v, low), _mm512_set1_epi32(q[0]));
            sum[1] = _mm512_dpbusd_epi32(sum[1], _mm512_and_si512(_mm512_srli_epi32(v, 4), low),
                                         _mm512_set1_epi32(q[1]));
        }
        __m512 e = _mm512_cvtepi32_ps(_mm512_add_epi32(sum[0], sum[1]));
        e = _mm512_mul_ps(_mm512_fmsub_ps(e, step, offset), _mm512_loadu_ps(factors + b * FRT_CODE_BLOCK));
        kept += keep(e, cut, first + (uint32_t)(b * FRT_CODE_BLOCK), out + kept);
    }
    return kept;
}

TARGET static float dot_f32_i8_avx512(const float *a, const int8_t *b, size_t n)
{
    __m512 s0 = _mm512_setzero_ps(), s1 = s0;
    size_t i = 0;
    for (; i + 32 <= n; i += 32) {
        const __m512 b0 =
            _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i *)(const void *)(b + i))));
        const __m512 b1 = _mm512_cvtepi32_ps(
            _mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i *)(const void *)(b + i + 16))));
        s0 = _mm512_fmadd_ps(_mm512_loadu_ps(a + i), b0, s0);
        s1 = _mm512_fmadd_ps(_mm512_loadu_ps(a + i + 16), b1, s1);
    }
    for (; i < n; i += 16) {
        const __m512 b0 =
            _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i *)(const void *)(b + i))));
        s0 = _mm512_fmadd_ps(_mm512_loadu_ps(a + i), b0, s0);
    }
    return _mm512_reduce_add_ps(_mm512_add_ps(s0, s1));
}

const struct frt_code_kernels frt_code_kernels_avx512vnni = {bits_scan_avx512vnni, nibbles_scan_avx512vnni,
                                                             dot_f32_i8_avx512};
#endif
