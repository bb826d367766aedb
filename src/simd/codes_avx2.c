/*
 * Code scans for AVX2 (Haswell, Zen). Bits are counted by a table look-up on nibbles, in bytes, and the bytes
 * summed once a block. Source of the counting: Mula, Kurz, Lemire, Faster population counts using AVX2
 * instructions, 2018.
 */
#include "simd/codes.h"

#if defined(__x86_64__)
#include <immintrin.h>

#define TARGET __attribute__((target("avx2,fma,popcnt")))

enum { MAX_BYTE_WORDS = 31 /* 8 bits a word, at most 255 a byte */ };

TARGET static inline __m256i byte_counts(__m256i v)
{
    const __m256i table = _mm256_setr_epi8(0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4, 0, 1, 1, 2, 1, 2, 2,
                                           3, 1, 2, 2, 3, 2, 3, 3, 4);
    const __m256i low = _mm256_set1_epi8(15);
    return _mm256_add_epi8(_mm256_shuffle_epi8(table, _mm256_and_si256(v, low)),
                           _mm256_shuffle_epi8(table, _mm256_and_si256(_mm256_srli_epi16(v, 4), low)));
}

/* Eight estimates: numbers of those that reach the cut. */
TARGET static inline size_t keep(__m256 estimate, float cut, uint32_t number, uint32_t *out)
{
    unsigned good = (unsigned)_mm256_movemask_ps(_mm256_cmp_ps(estimate, _mm256_set1_ps(cut), _CMP_GE_OQ));
    size_t kept = 0;
    while (good != 0) {
        out[kept++] = number + (uint32_t)__builtin_ctz(good);
        good &= good - 1;
    }
    return kept;
}

/* Counts of vectors 0..3 in a, 4..7 in b, as floats in order. */
TARGET static inline __m256 to_floats(__m256i a, __m256i b)
{
    const __m256i order = _mm256_setr_epi32(0, 2, 4, 6, 0, 2, 4, 6);
    const __m256i low = _mm256_permutevar8x32_epi32(a, order), high = _mm256_permutevar8x32_epi32(b, order);
    return _mm256_cvtepi32_ps(_mm256_blend_epi32(low, high, 0xf0));
}

/* Vectors half * 8 .. half * 8 + 7 of a block. */
TARGET static inline size_t bits_half(const struct frt_bits_query *query, const uint64_t *block,
                                      const float *factors, float cut, uint32_t number, uint32_t *out)
{
    const __m256i zero = _mm256_setzero_si256();
    __m256i differ[2] = {zero, zero}, differ_big[2] = {zero, zero};
    for (uint32_t w = 0; w < query->words;) {
        const uint32_t end = query->words - w < MAX_BYTE_WORDS ? query->words : w + MAX_BYTE_WORDS;
        __m256i bytes[2] = {zero, zero}, bytes_big[2] = {zero, zero};
        for (; w < end; w++) {
            const __m256i sign = _mm256_set1_epi64x((long long)query->sign[w]);
            const __m256i big = _mm256_set1_epi64x((long long)query->big[w]);
            for (int i = 0; i < 2; i++) {
                const uint64_t *at = block + w * FRT_CODE_BLOCK + i * 4;
                const __m256i t = _mm256_xor_si256(_mm256_load_si256((const __m256i *)(const void *)at), sign);
                bytes[i] = _mm256_add_epi8(bytes[i], byte_counts(t));
                bytes_big[i] = _mm256_add_epi8(bytes_big[i], byte_counts(_mm256_and_si256(t, big)));
            }
        }
        for (int i = 0; i < 2; i++) {
            differ[i] = _mm256_add_epi64(differ[i], _mm256_sad_epu8(bytes[i], zero));
            differ_big[i] = _mm256_add_epi64(differ_big[i], _mm256_sad_epu8(bytes_big[i], zero));
        }
    }
    __m256i wrong[2];
    for (int i = 0; i < 2; i++)
        wrong[i] = _mm256_add_epi64(differ[i], _mm256_add_epi64(differ_big[i], differ_big[i]));
    const __m256 e = _mm256_fnmadd_ps(_mm256_set1_ps(query->unit), to_floats(wrong[0], wrong[1]),
                                      _mm256_set1_ps(query->sum));
    return keep(_mm256_mul_ps(e, _mm256_loadu_ps(factors)), cut, number, out);
}

TARGET static size_t bits_scan_avx2(const struct frt_bits_query *query, const uint64_t *codes,
                                    const float *factors, size_t n_blocks, uint32_t first, float cut,
                                    uint32_t *out)
{
    size_t kept = 0;
    for (size_t b = 0; b < n_blocks; b++) {
        const uint64_t *block = codes + b * query->words * FRT_CODE_BLOCK;
        for (uint32_t half = 0; half < 2; half++) {
            const uint32_t number = (uint32_t)(b * FRT_CODE_BLOCK) + half * 8;
            kept += bits_half(query, block + half * 8, factors + number, cut, first + number, out + kept);
        }
    }
    return kept;
}

TARGET static size_t nibbles_scan_avx2(const struct frt_nibbles_query *query, const uint32_t *codes,
                                       const float *factors, size_t n_blocks, uint32_t first, float cut,
                                       uint32_t *out)
{
    const __m256i low = _mm256_set1_epi8(15), ones = _mm256_set1_epi16(1);
    const __m256 step = _mm256_set1_ps(query->step), offset = _mm256_set1_ps(query->offset);
    size_t kept = 0;
    for (size_t b = 0; b < n_blocks; b++) {
        const uint32_t *block = codes + b * query->groups * FRT_CODE_BLOCK;
        for (uint32_t half = 0; half < 2; half++) {
            __m256i sum = _mm256_setzero_si256();
            for (uint32_t g = 0; g < query->groups; g++) {
                int32_t q[2];
                __builtin_memcpy(q, query->q8 + 8 * g, 8);
                const uint32_t *at = block + g * FRT_CODE_BLOCK + half * 8;
                const __m256i v = _mm256_load_si256((const __m256i *)(const void *)at);
                /* two products of 15 · 127 at most each, twice: 7,620 fits 16 bits */
                const __m256i pairs =
                    _mm256_add_epi16(_mm256_maddubs_epi16(_mm256_and_si256(v, low), _mm256_set1_epi32(q[0])),
                                     _mm256_maddubs_epi16(_mm256_and_si256(_mm256_srli_epi32(v, 4), low),
                                                          _mm256_set1_epi32(q[1])));
                sum = _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, ones));
            }
            const uint32_t number = (uint32_t)(b * FRT_CODE_BLOCK) + half * 8;
            const __m256 e = _mm256_mul_ps(_mm256_fmsub_ps(_mm256_cvtepi32_ps(sum), step, offset),
                                           _mm256_loadu_ps(factors + number));
            kept += keep(e, cut, first + number, out + kept);
        }
    }
    return kept;
}

TARGET static float dot_f32_i8_avx2(const float *a, const int8_t *b, size_t n)
{
    __m256 s0 = _mm256_setzero_ps(), s1 = s0;
    for (size_t i = 0; i < n; i += 16) {
        const __m256 b0 =
            _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i *)(const void *)(b + i))));
        const __m256 b1 = _mm256_cvtepi32_ps(
            _mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i *)(const void *)(b + i + 8))));
        s0 = _mm256_fmadd_ps(_mm256_loadu_ps(a + i), b0, s0);
        s1 = _mm256_fmadd_ps(_mm256_loadu_ps(a + i + 8), b1, s1);
    }
    s0 = _mm256_add_ps(s0, s1);
    __m128 q = _mm_add_ps(_mm256_castps256_ps128(s0), _mm256_extractf128_ps(s0, 1));
    q = _mm_add_ps(q, _mm_movehl_ps(q, q));
    return _mm_cvtss_f32(_mm_add_ss(q, _mm_movehdup_ps(q)));
}

TARGET static inline __m256i sixteen(const int8_t *from)
{
    return _mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *)(const void *)from));
}

/* Two products a 32-bit sum: 32,768 at most, so that 65,536 components cannot overflow it. */
TARGET static void dots_i8_avx2(const int8_t *query, const int8_t *rows, size_t bytes, size_t n, int32_t *out)
{
    for (size_t r = 0; r < n; r++) {
        __m256i sum = _mm256_setzero_si256();
        for (size_t i = 0; i < bytes; i += 16)
            sum = _mm256_add_epi32(sum, _mm256_madd_epi16(sixteen(query + i), sixteen(rows + r * bytes + i)));
        __m128i q = _mm_add_epi32(_mm256_castsi256_si128(sum), _mm256_extracti128_si256(sum, 1));
        q = _mm_add_epi32(q, _mm_shuffle_epi32(q, 0x4e));
        out[r] = _mm_cvtsi128_si32(_mm_add_epi32(q, _mm_shuffle_epi32(q, 0xb1)));
    }
}

const struct frt_code_kernels frt_code_kernels_avx2 = {bits_scan_avx2, nibbles_scan_avx2, dot_f32_i8_avx2,
                                                       dots_i8_avx2};
#endif
