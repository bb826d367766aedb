/*
 * Dot products. For L2-normalised vectors the dot product is the cosine.
 *
 * Numerical contract: the products are summed in float in an order that depends on the tier; every tier
 * is within 2e-7 · sqrt(n) · |a| · |b| of the exact sum (tests/simd). Non-finite inputs give a non-finite
 * or undefined value, never a trap.
 *
 * Threading: pure functions.
 */
#ifndef FRT_SIMD_DOT_H
#define FRT_SIMD_DOT_H

#include <stddef.h>

#include "simd/cpu.h"

/** Σ a[i] · b[i]; a, b f32[n], any alignment, borrowed. 0 when n is 0. */
float frt_dot_f32(const float *a, const float *b, size_t n);

typedef float frt_dot_f32_fn(const float *a, const float *b, size_t n);
/** The kernel of the widest tier not above `tier`; the tier must run on this machine. For loops over many
 *  vectors, and for tests. */
frt_dot_f32_fn *frt_dot_f32_get(enum frt_simd_tier tier);

#endif
