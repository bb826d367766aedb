/*
 * The batch of a model: a fixed number, or any. The first dimension of its inputs and outputs is changed, and
 * constant shapes of Reshape nodes that begin with the batch are made to follow it. Whether rows then stand for
 * themselves is for the caller to try (engine/model_drift.h runs a batch of two against each alone).
 *
 * Threading: pure functions over their arguments.
 */
#ifndef FRT_MODEL_PASS_BATCH_H
#define FRT_MODEL_PASS_BATCH_H

#include "model/onnx_model.h"

/**
 * batch    1 or more, or -1: any.
 * changed  out: whether anything was.
 * Errors: FRT_EBAD_MODEL (no input has a first dimension to change; inputs differ in it), FRT_EINVAL,
 * FRT_ENOMEM.
 */
FRT_NODISCARD enum frt_status frt_batch_set(struct frt_onnx_model *model, int64_t batch, bool *changed,
                                            struct frt_error *err);

#endif
