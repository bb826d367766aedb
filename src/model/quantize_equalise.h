/*
 * Making the channels of a value alike before it is quantised: one scale covers a whole tensor, so a channel
 * whose values are a hundredth of another's has a hundredth of its steps.
 *
 *     convolutions ─ relu, PReLU, pooling, additions ─ convolutions
 *     channel c of what the ones on the left make times k, the weights of those on the right for it divided by
 * k
 *
 * A group is all values that hang together by operators which commute with a positive factor; it counts when
 * none but convolutions make its values and none but convolutions read them. Exact in floats but for rounding.
 * Where all readers are depthwise nothing is lost, their weights having a scale a channel: k brings each
 * channel to the same largest value. Other readers share a scale between the input channels of an output, so k
 * goes halfway: the root.
 *
 * Source: Nagel et al., "Data-free quantization through weight equalization and bias correction", 2019, here by
 * activations in the place of weights, and over whole residual stages.
 *
 * Threading: one owner.
 */
#ifndef FRT_MODEL_QUANTIZE_EQUALISE_H
#define FRT_MODEL_QUANTIZE_EQUALISE_H

#include "model/compile.h"

/** groups  out: groups of values changed. Errors: the backend's, FRT_ENOMEM, FRT_ECANCELLED. */
FRT_NODISCARD enum frt_status frt_q_equalise(struct frt_onnx_model *model, const struct frt_quantise_task *task,
                                             uint32_t *groups, struct frt_error *err);

#endif
