/*
 * Shapes of a model's values, from its inputs, weights and nodes: what the passes need to know to be exact.
 *
 * What is not known stays unknown, and is never guessed: a value of an operator that is not in the table, or of
 * one whose inputs are not known well enough, has no shape; a dimension that depends on the input is -1. Small
 * vectors of integers (what Shape gives, and what Gather, Concat, Slice and arithmetic make of it) are followed
 * as numbers, each of which may be unknown.
 *
 * Source: the operators' pages of ONNX, opsets 7 to 21.
 * Threading: immutable once made. What it says of a name stays true while the model gives the name the same
 * value; it borrows nothing of the model after it is made.
 */
#ifndef FRT_MODEL_SHAPE_INFERENCE_H
#define FRT_MODEL_SHAPE_INFERENCE_H

#include "model/onnx_model.h"

enum { FRT_SHAPES_MAX_VALUES = 8 };
#define FRT_SHAPES_UNKNOWN INT64_MIN

struct frt_shapes;

/** `out` is owned. Errors: FRT_ENOMEM. */
FRT_NODISCARD enum frt_status frt_shapes_infer(const struct frt_onnx_model *model, struct frt_shapes **out,
                                               struct frt_error *err);
/** NULL is fine. */
void frt_shapes_free(struct frt_shapes *shapes);
/** False: not even the number of dimensions is known. */
bool frt_shapes_get(const struct frt_shapes *shapes, const char *value, struct frt_onnx_shape *out);
/** The numbers of an i64 vector, or scalar, of at most FRT_SHAPES_MAX_VALUES; FRT_SHAPES_UNKNOWN for each that
 *  is not known. False: it is none. */
bool frt_shapes_numbers(const struct frt_shapes *shapes, const char *value, int64_t out[FRT_SHAPES_MAX_VALUES],
                        uint32_t *n);

#endif
