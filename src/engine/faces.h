/*
 * What a photo held: the body of frt.h's struct frt_faces. Threading: immutable once handed out.
 */
#ifndef FRT_ENGINE_FACES_H
#define FRT_ENGINE_FACES_H

#include "core/status.h"

struct frt_faces {
    size_t n;
    size_t dim;             /* 0 = no embeddings */
    struct frt_face *faces; /* [n], largest first; NULL when n is 0 */
    float *embeddings;      /* f32[n][dim] or NULL */
    struct frt_timing timing;
};

/** Zeroed room for n faces, and for their embeddings when dim is not 0. Owned. */
FRT_NODISCARD enum frt_status frt_faces_new(size_t n, size_t dim, struct frt_faces **out,
                                            struct frt_error *err);

/** The gate of liveness: FRT_ESPOOF for a face that was looked at and is no live one. */
FRT_NODISCARD enum frt_status frt_face_check_live(const struct frt_face *face, struct frt_error *err);

/** sum += t, step by step. */
void frt_timing_add(struct frt_timing *sum, const struct frt_timing *t);
/** The mean of n, step by step; of none, nothing. */
struct frt_timing frt_timing_mean(const struct frt_timing *sum, size_t n);

#endif
