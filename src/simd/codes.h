/*
 * Scans over compact codes of unit vectors, and the finer dot product behind them.
 *
 * A first pass looks at every vector through a code of few bits and keeps those whose estimated cosine reaches
 * a cut; what is kept is compared more exactly. Vectors lie in blocks of 16, transposed, so that one register
 * holds the same part of many vectors and nothing is summed across a register:
 *
 *     bit code     u64[block][word][16]    bit i % 64 of word i / 64: is component i positive?
 *     nibble code  u32[block][group][16]   components 8g..8g+7: byte j holds 8g+j (low half) and 8g+4+j (high
 * half), each v in 0..15 standing for (v - 7.5) · step
 *
 * Estimates (query q, per-vector factor f):
 *
 *     bits     f · (sum - unit · (|t| + 2 · |t & big|)),  t = code ^ sign
 *              where q_i counts as ±unit / 2, or three times that where `big` has a bit; sum = Σ of those
 * magnitudes nibbles  f · (step · Σ v_i · q8_i - offset)
 *
 * Contract between the tiers: the sums are whole numbers and exact; the few float operations behind them may be
 * fused or not, so an estimate may differ by a few units in the last place and with it, at the very cut, what
 * is kept. Source: Gao and Long, RaBitQ, SIGMOD 2024 (the estimator behind bit codes); docs/design/index.md.
 *
 * Threading: pure functions.
 */
#ifndef FRT_SIMD_CODES_H
#define FRT_SIMD_CODES_H

#include <stddef.h>
#include <stdint.h>

#include "simd/cpu.h"

enum { FRT_CODE_BLOCK = 16 /* vectors */ };

struct frt_bits_query {
    const uint64_t *sign; /* [words]: bit set = q_i positive */
    const uint64_t *big;  /* [words] */
    uint32_t words;       /* 1..64 */
    float unit, sum;
    /* A coarser estimate from the query's signs alone, f · (sign_sum - sign_unit · |t|): a kernel may drop a
     * vector whose coarse estimate is below the cut by more than sign_slack (INFINITY: none). */
    float sign_unit, sign_sum, sign_slack;
};

struct frt_nibbles_query {
    const int8_t *q8; /* [groups * 8], zeros behind the last component */
    uint32_t groups;  /* 1..512 */
    float step, offset;
};

/**
 * Vectors of `n_blocks` blocks whose estimate reaches `cut`.
 *
 * codes    first block; 64-byte aligned.
 * factors  f32[n_blocks * 16].
 * first    number of the first vector.
 * out      u32[n_blocks * 16]: numbers of those kept, ascending. Returns how many.
 */
typedef size_t frt_bits_scan_fn(const struct frt_bits_query *query, const uint64_t *codes, const float *factors,
                                size_t n_blocks, uint32_t first, float cut, uint32_t *out);
typedef size_t frt_nibbles_scan_fn(const struct frt_nibbles_query *query, const uint32_t *codes,
                                   const float *factors, size_t n_blocks, uint32_t first, float cut,
                                   uint32_t *out);
/** Σ a[i] · b[i]; n a multiple of 16; within 2e-7 · sqrt(n) · |a| · |b| of the exact sum. */
typedef float frt_dot_f32_i8_fn(const float *a, const int8_t *b, size_t n);

/**
 * Σ query[i] · row[i] of each of many rows, exactly: for choosing among centres, where the query's own rounding
 * to 8 bits does no harm.
 *
 * query  i8[bytes], -127..127; bytes a multiple of 16, at most 65,536.
 * rows   i8[n][bytes], one after the other.
 * out    i32[n].
 */
typedef void frt_dots_i8_fn(const int8_t *query, const int8_t *rows, size_t bytes, size_t n, int32_t *out);

struct frt_code_kernels {
    frt_bits_scan_fn *bits_scan;
    frt_nibbles_scan_fn *nibbles_scan;
    frt_dot_f32_i8_fn *dot_f32_i8;
    frt_dots_i8_fn *dots_i8;
};

/** Kernels of the widest tier not above `tier` that has some. The tier must run on this machine. */
const struct frt_code_kernels *frt_code_kernels_get(enum frt_simd_tier tier);

extern const struct frt_code_kernels frt_code_kernels_scalar;
#if defined(__x86_64__)
extern const struct frt_code_kernels frt_code_kernels_avx2;
extern const struct frt_code_kernels frt_code_kernels_avx512vnni;
#elif defined(__aarch64__)
extern const struct frt_code_kernels frt_code_kernels_neon;
extern const struct frt_code_kernels frt_code_kernels_neondot;
#endif

#endif
