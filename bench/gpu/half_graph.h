/*
 * A net for bench_gpu: in the form that the service runs with FRT_DEVICE_PRECISION=fp16, and how much it
 * computes.
 *
 * Threading: pure functions over their arguments.
 */
#ifndef FRT_BENCH_HALF_GRAPH_H
#define FRT_BENCH_HALF_GRAPH_H

#include "core/status.h"

/** frt_rewrite_in_half, with any batch. halved: nodes. `out` is owned (frt_free). Errors: FRT_EBAD_MODEL (also
 *  where nothing can be halved), FRT_ENOMEM. */
FRT_NODISCARD enum frt_status bench_half_graph(const void *bytes, size_t size, uint8_t **out, size_t *out_size,
                                               uint32_t *halved, struct frt_error *err);

/** Floating-point operations of one image through the convolutions and dense layers, a multiplication and an
 *  addition each counted. The rest (additions, PReLU, norms) is left out. Errors: FRT_EBAD_MODEL (a layer whose
 *  shapes are not known), FRT_ENOMEM. */
FRT_NODISCARD enum frt_status bench_graph_flops(const void *bytes, size_t size, double *out,
                                                struct frt_error *err);

#endif
