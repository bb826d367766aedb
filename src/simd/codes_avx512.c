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

TARGET static inline size_t keep(__m512 estimate, float cut, uint32_t number, uint32_t *out)
{
    const __mmask16 good = _mm512_cmp_ps_mask(estimate, _mm512_set1_ps(cut), _CMP_GE_OQ);
    if (good == 0)
        return 0;
    const __m512i lanes = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    _mm512_mask_compressstoreu_epi32(out, good, _mm512_add_epi32(lanes, _mm512_set1_epi32((int)number)));
    return (size_t)_mm_popcnt_u32(good);
}

/* Σ |t| and Σ |t & big| of one register's vectors, to which a word's counts are added. */
struct counts {
    __m512i differ, differ_big;
};

TARGET static inline __attribute__((always_inline)) struct counts count_word(struct counts c, __m512i code,
                                                                             __m512i sign, __m512i big)
{
    const __m512i t = _mm512_xor_si512(code, sign);
    c.differ = _mm512_add_epi64(c.differ, _mm512_popcnt_epi64(t));
    c.differ_big = _mm512_add_epi64(c.differ_big, _mm512_popcnt_epi64(_mm512_and_si512(t, big)));
    return c;
}

TARGET static inline __m256i weigh(struct counts c)
{
    return _mm512_cvtepi64_epi32(_mm512_add_epi64(c.differ, _mm512_add_epi64(c.differ_big, c.differ_big)));
}

/* Estimates of a block's 16 vectors. */
TARGET static inline __attribute__((always_inline)) __m512 estimate(struct counts low, struct counts high,
                                                                    const struct frt_bits_query *query,
                                                                    __m512 factors)
{
    const __m512i wrong = _mm512_inserti64x4(_mm512_castsi256_si512(weigh(low)), weigh(high), 1);
    const __m512 e =
        _mm512_fnmadd_ps(_mm512_set1_ps(query->unit), _mm512_cvtepi32_ps(wrong), _mm512_set1_ps(query->sum));
    return _mm512_mul_ps(e, factors);
}

TARGET static inline __attribute__((always_inline)) __m512i sign_word(const uint64_t *c, int w,
                                                                      const __m512i s[8])
{
    return _mm512_popcnt_epi64(_mm512_xor_si512(_mm512_load_si512(c + w * FRT_CODE_BLOCK), s[w]));
}

TARGET static inline __attribute__((always_inline)) __m512i big_word(const uint64_t *c, int w,
                                                                     const __m512i s[8], const __m512i m[8])
{
    /* (code ^ sign) & big in one instruction */
    return _mm512_popcnt_epi64(
        _mm512_ternarylogic_epi64(_mm512_load_si512(c + w * FRT_CODE_BLOCK), s[w], m[w], 0x28));
}

/* Σ |t| over the 8 words of 8 vectors; written out, so that the query stays in registers. */
TARGET static inline __attribute__((always_inline)) __m512i count_signs(const uint64_t *c, const __m512i s[8])
{
    const __m512i a = _mm512_add_epi64(sign_word(c, 0, s), sign_word(c, 1, s));
    const __m512i b = _mm512_add_epi64(sign_word(c, 2, s), sign_word(c, 3, s));
    const __m512i d = _mm512_add_epi64(sign_word(c, 4, s), sign_word(c, 5, s));
    const __m512i e = _mm512_add_epi64(sign_word(c, 6, s), sign_word(c, 7, s));
    return _mm512_add_epi64(_mm512_add_epi64(a, b), _mm512_add_epi64(d, e));
}

/* Σ |t & big| in the same way. */
TARGET static inline __attribute__((always_inline)) __m512i count_bigs(const uint64_t *c, const __m512i s[8],
                                                                       const __m512i m[8])
{
    const __m512i a = _mm512_add_epi64(big_word(c, 0, s, m), big_word(c, 1, s, m));
    const __m512i b = _mm512_add_epi64(big_word(c, 2, s, m), big_word(c, 3, s, m));
    const __m512i d = _mm512_add_epi64(big_word(c, 4, s, m), big_word(c, 5, s, m));
    const __m512i e = _mm512_add_epi64(big_word(c, 6, s, m), big_word(c, 7, s, m));
    return _mm512_add_epi64(_mm512_add_epi64(a, b), _mm512_add_epi64(d, e));
}

/*
 * 512 components, the commonest size: the query in 16 registers, and two steps. The signs of the query alone,
 * half the work, rule most blocks out; blocks in which some vector reaches the cut less the slack are counted
 * in full.
 */
TARGET static size_t bits_scan_8_words(const struct frt_bits_query *query, const uint64_t *codes,
                                       const float *factors, size_t n_blocks, uint32_t first, float cut,
                                       uint32_t *out)
{
    const __m512 sign_unit = _mm512_set1_ps(query->sign_unit), sign_sum = _mm512_set1_ps(query->sign_sum);
    const __m512 sign_cut = _mm512_set1_ps(cut - query->sign_slack);
    const struct counts zero = {_mm512_setzero_si512(), _mm512_setzero_si512()};
    __m512i s[8], m[8];
    size_t kept = 0;
    for (int w = 0; w < 8; w++) {
        s[w] = _mm512_set1_epi64((long long)query->sign[w]);
        m[w] = _mm512_set1_epi64((long long)query->big[w]);
    }
    for (size_t b = 0; b < n_blocks; b++) {
        const uint64_t *c = codes + b * 8 * FRT_CODE_BLOCK;
        const __m512 f = _mm512_loadu_ps(factors + b * FRT_CODE_BLOCK);
        struct counts low = zero, high = zero;
        low.differ = count_signs(c, s);
        high.differ = count_signs(c + 8, s);
        const __m512i differ = _mm512_inserti64x4(_mm512_castsi256_si512(_mm512_cvtepi64_epi32(low.differ)),
                                                  _mm512_cvtepi64_epi32(high.differ), 1);
        const __m512 by_sign =
            _mm512_mul_ps(_mm512_fnmadd_ps(sign_unit, _mm512_cvtepi32_ps(differ), sign_sum), f);
        if (_mm512_cmp_ps_mask(by_sign, sign_cut, _CMP_GE_OQ) == 0)
            continue;
        low.differ_big = count_bigs(c, s, m);
        high.differ_big = count_bigs(c + 8, s, m);
        kept += keep(estimate(low, high, query, f), cut, first + (uint32_t)(b * FRT_CODE_BLOCK), out + kept);
    }
    return kept;
}

TARGET static size_t bits_scan_avx512vnni(const struct frt_bits_query *query, const uint64_t *codes,
                                          const float *factors, size_t n_blocks, uint32_t first, float cut,
                                          uint32_t *out)
{
    const struct counts zero = {_mm512_setzero_si512(), _mm512_setzero_si512()};
    size_t kept = 0;
    if (query->words == 8)
        return bits_scan_8_words(query, codes, factors, n_blocks, first, cut, out);
    for (size_t b = 0; b < n_blocks; b++) {
        const uint64_t *c = codes + b * query->words * FRT_CODE_BLOCK;
        struct counts low = zero, high = zero;
        for (uint32_t w = 0; w < query->words; w++) {
            const __m512i sign = _mm512_set1_epi64((long long)query->sign[w]);
            const __m512i big = _mm512_set1_epi64((long long)query->big[w]);
            low = count_word(low, _mm512_load_si512(c + w * FRT_CODE_BLOCK), sign, big);
            high = count_word(high, _mm512_load_si512(c + w * FRT_CODE_BLOCK + 8), sign, big);
        }
        const __m512 e = estimate(low, high, query, _mm512_loadu_ps(factors + b * FRT_CODE_BLOCK));
        kept += keep(e, cut, first + (uint32_t)(b * FRT_CODE_BLOCK), out + kept);
    }
    return kept;
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

/* VNNI multiplies unsigned with signed bytes: rows are moved up by 128, and 128 · Σ query comes off again. Four
 * rows at once, as the sums of one wait for each other. */
enum { ROWS_AT_ONCE = 4 };

TARGET static void dots_i8_avx512vnni(const int8_t *query, const int8_t *rows, size_t bytes, size_t n,
                                      int32_t *out)
{
    const __m512i up = _mm512_set1_epi8(-128);
    __m512i moved = _mm512_setzero_si512();
    for (size_t i = 0; i < bytes; i += 64) {
        const __mmask64 there = bytes - i >= 64 ? ~UINT64_C(0) : (UINT64_C(1) << (bytes - i)) - 1;
        moved = _mm512_dpbusd_epi32(moved, up, _mm512_maskz_loadu_epi8(there, query + i));
    }
    const int32_t offset = _mm512_reduce_add_epi32(moved);
    size_t r = 0;
    for (; r < n; r += ROWS_AT_ONCE) {
        const size_t rest = n - r;
        const int8_t *row[ROWS_AT_ONCE];
        __m512i sum[ROWS_AT_ONCE];
        for (size_t j = 0; j < ROWS_AT_ONCE; j++) {
            row[j] = rows + (r + (j < rest ? j : 0)) * bytes;
            sum[j] = _mm512_setzero_si512();
        }
        size_t i = 0;
        for (; i + 64 <= bytes; i += 64) {
            const __m512i q = _mm512_loadu_si512(query + i);
            for (size_t j = 0; j < ROWS_AT_ONCE; j++)
                sum[j] = _mm512_dpbusd_epi32(sum[j], _mm512_xor_si512(_mm512_loadu_si512(row[j] + i), up), q);
        }
        if (i < bytes) {
            const __mmask64 there = (UINT64_C(1) << (bytes - i)) - 1;
            const __m512i q = _mm512_maskz_loadu_epi8(there, query + i);
            for (size_t j = 0; j < ROWS_AT_ONCE; j++)
                sum[j] = _mm512_dpbusd_epi32(
                    sum[j], _mm512_xor_si512(_mm512_maskz_loadu_epi8(there, row[j] + i), up), q);
        }
        for (size_t j = 0; j < ROWS_AT_ONCE && j < rest; j++)
            out[r + j] = _mm512_reduce_add_epi32(sum[j]) - offset;
    }
}

const struct frt_code_kernels frt_code_kernels_avx512vnni = {bits_scan_avx512vnni, nibbles_scan_avx512vnni,
                                                             dot_f32_i8_avx512, dots_i8_avx512vnni};
#endif
