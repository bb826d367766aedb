/*
 * Weights stored in half the bytes: f32 → f16, with a Cast to f32 before the first node, which the runtime
 * folds when it opens the file. Computing stays in f32; weights are rounded to eleven bits. Not a pass of the
 * table: the file shrinks and results change by more than rounding of sums.
 *
 * Threading: pure functions over their arguments.
 */
#ifndef FRT_MODEL_PASS_HALF_H
#define FRT_MODEL_PASS_HALF_H

#include "model/onnx_model.h"

/** Weights of fewer elements stay: a Cast costs as many bytes. So do weights that f16 cannot hold (over 65504,
 * not finite). `halved` counts up. Errors: FRT_ENOMEM, FRT_EBAD_MODEL (too many nodes). */
FRT_NODISCARD enum frt_status frt_halve_weights(struct frt_onnx_model *model, uint32_t *halved,
                                                struct frt_error *err);

/** Nearest f16, ties to even; infinity past 65504. */
uint16_t frt_f16_of(float value);

#endif
