/*
 * What each operator makes of the shapes of its inputs: the table behind shape_inference.h, and private to it.
 * Threading: pure functions.
 */
#ifndef FRT_MODEL_SHAPE_OPERATORS_H
#define FRT_MODEL_SHAPE_OPERATORS_H

#include "model/shape_inference.h"

enum { FRT_SHAPE_MAX_INPUTS = 64, FRT_SHAPE_MAX_OUTPUTS = 8 };

struct frt_shape_fact {
    struct frt_onnx_shape shape;
    int64_t numbers[FRT_SHAPES_MAX_VALUES]; /* FRT_SHAPES_UNKNOWN where one is not known */
    uint32_t n_numbers;
    bool known;       /* the number of dimensions; each may be -1 */
    bool has_numbers; /* of a vector of i64 (n_dims 1), or a scalar (n_dims 0) */
};

/* A node and what is known of its inputs. */
struct frt_shape_question {
    const struct frt_onnx_model *model;
    uint32_t node, n_inputs;
    const struct frt_shape_fact *in;
};

/** `out` holds FRT_SHAPE_MAX_OUTPUTS facts of nothing, and what is found is written there. */
void frt_shape_of_node(const struct frt_shape_question *q, struct frt_shape_fact *out);

#endif
