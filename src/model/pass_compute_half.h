/*
 * A graph that computes in f16, for devices that do so faster: weights, and values from layer to layer.
 *
 *     x ─Cast─> Conv ─> Relu ─> … ─> Gemm ─Cast─> Softmax ─> y        inputs and outputs stay f32
 *               └──── in f16 ──────────┘          └─ f32 ─┘
 *
 * In f16 are the layers that multiply matrices and what stands before one of them: activations, pooling, sums,
 * shapes. What comes after the last of them stays in f32 (boxes from offsets, Softmax, norms): it costs nothing
 * and decides. So do operators that are not in the table, layers with weights that f16 cannot hold, and
 * BatchNormalizations that were not folded, whose variances are too small for it. A Cast stands where the two
 * meet. Not a pass of the table: results change by more than rounding of sums (docs/accelerators.md has how
 * much).
 *
 * Threading: pure functions over their arguments.
 */
#ifndef FRT_MODEL_PASS_COMPUTE_HALF_H
#define FRT_MODEL_PASS_COMPUTE_HALF_H

#include "model/onnx_model.h"

/** `halved` counts nodes up; 0: the model is as it was. Errors: FRT_ENOMEM, FRT_EBAD_MODEL (too many nodes).
 * The model may be changed in part on failure. */
FRT_NODISCARD enum frt_status frt_compute_half(struct frt_onnx_model *model, uint32_t *halved,
                                               struct frt_error *err);

/** A model's file in that form, its graph simplified first (passes.h, FRT_PASS_PLAIN). *out NULL: nothing to be
 *  halved. Errors: FRT_EBAD_MODEL, FRT_ENOMEM. `out` is owned. */
FRT_NODISCARD enum frt_status frt_rewrite_in_half(const void *bytes, size_t size, uint8_t **out,
                                                  size_t *out_size, uint32_t *halved, struct frt_error *err);

#endif
