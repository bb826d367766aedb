/*
 * Which instruction sets the hot kernels may use.
 *
 * The build's baseline is the ABI floor; wider code stands under target attributes and is chosen once,
 * at the first call, from what the processor and the operating system offer. $FRT_SIMD lowers the
 * choice, so that every tier can be tested and a wrong one ruled out on a customer's machine; it never
 * raises it above what the machine has.
 *
 * Threading: internally locked (one atomic word); every thread sees the same tier.
 */
#ifndef FRT_SIMD_CPU_H
#define FRT_SIMD_CPU_H

#include <stdbool.h>

/** Ordered within an architecture: a machine with a tier has those before it. */
enum frt_simd_tier {
    FRT_SIMD_SCALAR = 0, /* portable C */
    FRT_SIMD_SSE2,       /* x86-64 baseline */
    FRT_SIMD_AVX2,       /* AVX2 + FMA: Haswell 2013, Zen 2017 */
    FRT_SIMD_AVX512,     /* F, BW, DQ, VL: Skylake-X 2017 */
    FRT_SIMD_AVX512VNNI, /* and VNNI, VPOPCNTDQ: Ice Lake 2019, Zen 4 2022 */
    FRT_SIMD_NEON,       /* AArch64 baseline (ARMv8.0) */
    FRT_SIMD_NEONDOT,    /* and dot products of bytes: Cortex-A55, A75 2018, Neoverse N1 2019 */
    FRT_SIMD_TIER_COUNT
};

/** "scalar", "sse2", "avx2", "avx512", "avx512vnni", "neon", "neondot". Static storage. */
const char *frt_simd_tier_name(enum frt_simd_tier tier);
/** Word → tier; false for another word. */
bool frt_simd_tier_parse(const char *word, enum frt_simd_tier *out);

/** Can this machine run the tier's code? Scalar: always. */
bool frt_simd_tier_runs(enum frt_simd_tier tier);

/** The best tier of the machine, whatever $FRT_SIMD says. */
enum frt_simd_tier frt_simd_tier_detected(void);

/** The tier in use: the detected one, or the one that $FRT_SIMD names when the machine runs it. The
 *  variable is read once; a word that is unknown or a tier that does not run counts as unset. */
enum frt_simd_tier frt_simd_tier_active(void);

#endif
