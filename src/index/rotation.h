/*
 * A fixed random rotation of R^dim. After it the components of any vector look like draws of one Gaussian,
 * which is what codes of few bits need: without it a model whose components differ in spread would lose people.
 *
 * Rounds of random sign flips and a Walsh-Hadamard transform; where dim is no power of two, transforms of the
 * first and of the last 2^k components alternate (2^k the largest power that fits). Lengths and dot products
 * stay as they are. Which flips: a generator seeded with FRT_ROTATION_SEED and dim; part of the snapshot
 * format, never to be changed without a new format version.
 *
 * Threading: immutable.
 * Source: Ailon and Chazelle, The fast Johnson-Lindenstrauss transform, 2009; docs/formats/index-v1.md.
 */
#ifndef FRT_INDEX_ROTATION_H
#define FRT_INDEX_ROTATION_H

#include "core/status.h"

#define FRT_ROTATION_SEED UINT64_C(0x4652545f726f7431) /* "FRT_rot1" */
enum { FRT_ROTATION_ROUNDS = 4 };

struct frt_rotation {
    uint32_t dim, block; /* block: largest power of two <= dim */
    float *signs;        /* f32[FRT_ROTATION_ROUNDS][dim], ±1; owned */
};

FRT_NODISCARD enum frt_status frt_rotation_init(struct frt_rotation *rotation, uint32_t dim,
                                                struct frt_error *err);
void frt_rotation_deinit(struct frt_rotation *rotation);
/** out f32[dim] = the rotated `vector` f32[dim]; they may be the same. */
void frt_rotation_apply(const struct frt_rotation *rotation, const float *vector, float *out);

#endif
