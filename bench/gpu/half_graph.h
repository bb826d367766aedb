/*
 * A graph that computes in half floats, and how much it computes. For nets like those of infer/iresnet.h, all
 * of whose operators take either kind; inputs and outputs stay f32, so whoever runs it notices nothing.
 *
 * Threading: pure functions over their arguments.
 */
#ifndef FRT_BENCH_HALF_GRAPH_H
#define FRT_BENCH_HALF_GRAPH_H

#include "core/status.h"

/** Weights become f16, with a Cast behind each input and before each output; the batch becomes any. What a
 *  weight is past 65504 becomes infinite. `out` is owned (frt_free). Errors: FRT_EBAD_MODEL, FRT_ENOMEM. */
FRT_NODISCARD enum frt_status bench_half_graph(const void *bytes, size_t size, uint8_t **out, size_t *out_size,
                                               struct frt_error *err);

/** Floating-point operations of one image through the convolutions and dense layers, a multiplication and an
 *  addition each counted. The rest (additions, PReLU, norms) is left out. Errors: FRT_EBAD_MODEL (a layer whose
 *  shapes are not known), FRT_ENOMEM. */
FRT_NODISCARD enum frt_status bench_graph_flops(const void *bytes, size_t size, double *out,
                                                struct frt_error *err);

#endif
