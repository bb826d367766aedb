/*
 * What a graph does to its input before the first layer: exporters from MXNet and others put the normalisation
 * inside, and such a graph wants plain pixels.
 * Threading: pure functions.
 */
#ifndef FRT_MODEL_GRAPH_HEAD_H
#define FRT_MODEL_GRAPH_HEAD_H

#include "core/status.h"

struct frt_graph_head {
    bool normalises; /* subtracts, adds, multiplies or divides by constants, or begins with a BatchNormalization
                      */
    float mean, scale; /* of what it does, where it is one number for all colours: (x - mean) * scale; else 0 */
    char ops[96];      /* the first operators, "Sub, Mul, Conv" */
    uint32_t nodes;
};

/** Look at a model file's bytes. Errors: FRT_EBAD_MODEL (not an ONNX file), FRT_ENOMEM. */
FRT_NODISCARD enum frt_status frt_graph_head_look(const void *bytes, size_t size, struct frt_graph_head *out,
                                                  struct frt_error *err);

#endif
