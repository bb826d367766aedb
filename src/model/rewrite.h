/*
 * Rewriting a model's graph so that the runtime runs it faster, with the same results but for rounding.
 *
 * Each pass is one function over an editable model (onnx_model.h), does one thing, and says how often it did:
 *
 * split_prelu: PReLU → relu(x') + a/(1−a)·x' with x' = (1−a)·x, which the convolution before gives when its
 * weights are multiplied; where it cannot, relu(x)·(1−a) + a·x. The products are 1 × 1 depthwise convolutions,
 * as the runtime keeps those in its blocked layout (a PReLU costs two changes of layout). A slope that is the
 * same for all channels → LeakyRelu, which becomes part of the convolution before it.
 *
 * widen_groups: grouped convolutions of fewer than 16 channels a group → groups of 16, zeros added: the runtime
 * has no fast kernel for the narrow ones. Groups of two in and two out → two depthwise convolutions, one over
 * the channels with the pairs swapped.
 *
 * What does not fit a pass exactly stays as it is. Measured: docs/design/inference.md.
 *
 * Threading: pure functions over their arguments.
 */
#ifndef FRT_MODEL_REWRITE_H
#define FRT_MODEL_REWRITE_H

#include "model/onnx_model.h"

struct frt_rewrite_report {
    uint32_t prelus, leaky_relus, groups; /* nodes changed */
};

/** The passes, one by one. Errors: FRT_ENOMEM. The model may be changed in part on failure. */
FRT_NODISCARD enum frt_status frt_rewrite_split_prelu(struct frt_onnx_model *model,
                                                      struct frt_rewrite_report *report, struct frt_error *err);
FRT_NODISCARD enum frt_status frt_rewrite_widen_groups(struct frt_onnx_model *model,
                                                       struct frt_rewrite_report *report,
                                                       struct frt_error *err);

/** Whether it is worth reading this file for a rewrite: its bytes name an operator that a pass replaces. */
bool frt_rewrite_pays(const void *bytes, size_t size);

/**
 * All passes over a model file in memory.
 * out     owned (frt_free); NULL when nothing was to change.
 * report  may be NULL.
 * Errors: FRT_EBAD_MODEL, FRT_ENOMEM.
 */
FRT_NODISCARD enum frt_status frt_rewrite_for_runtime(const void *bytes, size_t size, uint8_t **out,
                                                      size_t *out_size, struct frt_rewrite_report *report,
                                                      struct frt_error *err);

#endif
