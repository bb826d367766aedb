/*
 * Writing a plan into its model: active nodes become the runtime's 8-bit operators, on bytes with their
 * channels last; conversions stand where floats and bytes meet.
 *
 *     x f32 NCHW ─ QuantizeLinear ─ Transpose ─> x/frt_u8 NHWC ─ QLinearConv ─ QLinearPRelu ─ … ─> y/frt_u8
 *                                                    y/frt_u8 ─ DequantizeLinear ─ Transpose ─> y f32 NCHW
 *
 * Activations u8 with a zero of their own, one scale a tensor; weights i8, symmetric, one scale an output
 * channel; offsets i32 with the product of both scales. On processors without 8-bit dot products (VNNI) the
 * runtime's kernels add pairs of products in 16 bits, which may saturate: `weight_bits` 7 rules that out.
 *
 * Operators: QLinearConv, QLinearAdd, NhwcMaxPool, QLinearAveragePool, QGemm of the domain com.microsoft (ONNX
 * Runtime's contrib operators), QLinearPRelu of our own (infer/infer_onnxruntime_ops.h).
 *
 * Threading: one owner.
 */
#ifndef FRT_MODEL_QUANTIZE_EMIT_H
#define FRT_MODEL_QUANTIZE_EMIT_H

#include "model/quantize_plan.h"

/** The model is the one that the plan was made of, unchanged; weight_bits 8 or 7. Errors: FRT_ENOMEM,
 *  FRT_EBAD_MODEL (a name that is taken, too many nodes). The model is changed in part on failure. */
FRT_NODISCARD enum frt_status frt_q_emit(struct frt_onnx_model *model, const struct frt_q_plan *plan,
                                         unsigned weight_bits, struct frt_error *err);

#endif
