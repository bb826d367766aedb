/*
 * Building ONNX graphs: values, nodes and weights go in, the bytes of a .onnx file come out.
 *
 *     graph ── input/const/node ──> value ids ── output names ── serialise ──> bytes
 *
 * A value is an int: the position in the graph's table of values, or FRT_ONNX_NONE. The first failure
 * sticks to the graph together with its text (as in core/buf.h): every later call does nothing and
 * answers FRT_ONNX_NONE, and the writer of a topology asks once, at the end. Calls take FRT_ONNX_NONE as
 * an operand and pass it on.
 *
 * The graph keeps the shape of every value, so that each operation can check its operands where the
 * mistake is made and not when the runtime opens the file. A dynamic dimension is -1: the first one of
 * an input is written as "N", the others as "H" and "W".
 *
 * The same calls in the same order give the same bytes: nothing of the time, the machine or the address
 * space goes in. So no two calls may stand among the arguments of one: compilers differ in their order.
 * Written: IR version 8, opset 13, weights as raw_data (little-endian), no external data.
 *
 * Threading: one owner.
 */
#ifndef FRT_MODEL_ONNX_GRAPH_H
#define FRT_MODEL_ONNX_GRAPH_H

#include "core/status.h"

#define FRT_ONNX_MAX_DIMS 6
#define FRT_ONNX_MAX_NODE_INPUTS 8
#define FRT_ONNX_MAX_NODE_OUTPUTS 2
#define FRT_ONNX_MAX_NODE_ATTRIBUTES 6
#define FRT_ONNX_MAX_ATTRIBUTE_INTS 8
#define FRT_ONNX_NONE (-1)
#define FRT_ONNX_IR_VERSION 8
#define FRT_ONNX_OPSET 13

struct frt_onnx_graph;

struct frt_onnx_shape {
    uint32_t n_dims;
    int64_t dims[FRT_ONNX_MAX_DIMS]; /* -1 = dynamic */
};

struct frt_onnx_attribute {
    const char *name; /* static storage */
    enum { FRT_ONNX_INT, FRT_ONNX_INTS, FRT_ONNX_FLOAT } kind;
    int64_t i;
    float f;
    uint32_t n_ints;
    int64_t ints[FRT_ONNX_MAX_ATTRIBUTE_INTS];
};

struct frt_onnx_node {
    const char *op; /* static storage, e.g. "Conv" */
    uint32_t n_inputs;
    int inputs[FRT_ONNX_MAX_NODE_INPUTS];
    uint32_t n_outputs; /* 0 counts as 1 */
    struct frt_onnx_shape outputs[FRT_ONNX_MAX_NODE_OUTPUTS];
    uint32_t n_attributes;
    struct frt_onnx_attribute attributes[FRT_ONNX_MAX_NODE_ATTRIBUTES];
};

/** Empty graph. `name` is copied. `out` is owned; free with frt_onnx_free. Errors: FRT_ENOMEM. */
FRT_NODISCARD enum frt_status frt_onnx_new(const char *name, struct frt_onnx_graph **out,
                                           struct frt_error *err);
void frt_onnx_free(struct frt_onnx_graph *graph);

/** Let the graph fail with this text, unless it has failed already. Answers FRT_ONNX_NONE. */
int frt_onnx_fail(struct frt_onnx_graph *graph, enum frt_status status, const char *fmt, ...) FRT_PRINTF(3, 4);
/** FRT_OK, or the first failure; its text is copied to `err`. */
FRT_NODISCARD enum frt_status frt_onnx_status(const struct frt_onnx_graph *graph, struct frt_error *err);

/** A f32 input of the model. `name` is copied. */
int frt_onnx_input(struct frt_onnx_graph *graph, const char *name, const struct frt_onnx_shape *shape);
/** Give a value its name in the file and make it an output of the model. `name` is copied. */
void frt_onnx_output(struct frt_onnx_graph *graph, int value, const char *name);

/**
 * Weights. `name` and `data` are copied. A name that stands already must come with the same bytes and
 * then answers the value that is there (constants shared between nodes).
 */
int frt_onnx_const_f32(struct frt_onnx_graph *graph, const char *name, const struct frt_onnx_shape *shape,
                       const float *data);
int frt_onnx_const_i64(struct frt_onnx_graph *graph, const char *name, uint32_t n, const int64_t *data);
/** As frt_onnx_const_f32, but hands out the memory to write the weights into; NULL after a failure. */
float *frt_onnx_const_space(struct frt_onnx_graph *graph, const char *name, const struct frt_onnx_shape *shape,
                            int *value);

/** Append a node; answers its first output, the further ones follow it (+1). The node is copied. */
int frt_onnx_node_add(struct frt_onnx_graph *graph, const struct frt_onnx_node *node);

/** Shape of a value; n_dims 0 for FRT_ONNX_NONE. */
struct frt_onnx_shape frt_onnx_shape_of(const struct frt_onnx_graph *graph, int value);
/** Element count, -1 when a dimension is dynamic or the product leaves int64. */
int64_t frt_onnx_shape_size(const struct frt_onnx_shape *shape);

/** The file's bytes. `bytes` is owned (frt_free). Errors: the graph's own failure, FRT_ENOMEM. */
FRT_NODISCARD enum frt_status frt_onnx_serialise(const struct frt_onnx_graph *graph, uint8_t **bytes,
                                                 size_t *size, struct frt_error *err);

#endif
