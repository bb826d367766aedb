/*
 * Multiplying into the weights of a layer what stands before or after it: what several passes share. A layer is
 * a Conv, or a Gemm, whose weights and bias are f32 in the file; its channels are those of its output or its
 * input.
 *
 * Threading: pure functions over their arguments.
 */
#ifndef FRT_MODEL_LAYER_WEIGHTS_H
#define FRT_MODEL_LAYER_WEIGHTS_H

#include "model/onnx_model.h"

struct frt_layer {
    uint32_t node;
    bool is_conv, padded; /* padded: zeros stand around the input, or it is not known that none do */
    int64_t outputs, inputs, groups;
};

/** False: not a layer, or one that cannot be changed (weights that are computed, a Gemm with factors, …). */
bool frt_layer_read(const struct frt_onnx_model *model, uint32_t node, struct frt_layer *out);
/** The layer that makes a value, where nobody else reads it; the graph's outputs count as readers. */
bool frt_layer_before(const struct frt_onnx_model *model, const char *value, struct frt_layer *out);

/** y → y · scale[c] + shift[c] for each output channel; the node gets weights of its own and a bias.
 *  Errors: FRT_ENOMEM. */
FRT_NODISCARD enum frt_status frt_layer_scale_outputs(struct frt_onnx_model *model,
                                                      const struct frt_layer *layer, const double *scale,
                                                      const double *shift, struct frt_error *err);
/** The layer of x · scale[c] + shift[c] becomes one of x: exact unless it is padded and a shift is not zero.
 *  Errors: FRT_ENOMEM. */
FRT_NODISCARD enum frt_status frt_layer_scale_inputs(struct frt_onnx_model *model,
                                                     const struct frt_layer *layer, const double *scale,
                                                     const double *shift, struct frt_error *err);

/**
 * Let whoever reads `y` read `x` instead, and take the node that made y of x away. Where y is an output of the
 * graph, whoever makes x makes y. False in *done: it cannot be (y is an output, and x is an input of the graph,
 * weights, or an output itself). Errors: FRT_ENOMEM.
 */
FRT_NODISCARD enum frt_status frt_bypass(struct frt_onnx_model *model, uint32_t node, const char *x, bool *done,
                                         struct frt_error *err);

/** A constant of one number a channel, in f32, as something that is added to or multiplied with a value of
 *  `n_dims` dimensions whose dimension 1 has `channels`: one number for all, or each its own.
 *  False: neither. `out` has `channels` places. */
bool frt_channel_numbers(const struct frt_onnx_model *model, const char *name, uint32_t n_dims,
                         int64_t channels, double *out);

/** A name for weights that nobody has, after a value's. `out` has FRT_ONNX_MODEL_MAX_NAME + 16 places. */
void frt_fresh_name(const struct frt_onnx_model *model, const char *after, const char *what, char *out);

#endif
