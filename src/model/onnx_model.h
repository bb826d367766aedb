/*
 * A model file that is there already, to be looked at and changed: nodes, their attributes, weights, inputs and
 * outputs.
 *
 *     bytes ── parse ──> model ── the passes of passes.h change nodes ── pack ──> bytes
 *
 * What no pass touches goes through unchanged, whatever it is: doc strings, opsets, types that this file does
 * not know. Values are named by their texts, as in the file. Positions of nodes are valid until the next
 * replacement, insertion or removal. (onnx_graph.h builds graphs from nothing; this one edits.)
 *
 * A hostile file: every byte of memory that reading it takes is counted, and more than FRT_ONNX_MODEL_SPREAD
 * times the file's size (plus a megabyte) is refused, as a few bytes of protobuf can stand for large
 * structures; what passes add counts, too. A graph of more than FRT_ONNX_MODEL_MAX_NODES nodes is refused, as
 * looking for a value walks them.
 *
 * Threading: one owner.
 */
#ifndef FRT_MODEL_ONNX_MODEL_H
#define FRT_MODEL_ONNX_MODEL_H

#include "core/buf.h"
#include "model/onnx_graph.h"

enum {
    FRT_ONNX_MODEL_SPREAD = 8,
    FRT_ONNX_MODEL_NEW_INPUTS = 3,
    FRT_ONNX_INSERT_INPUTS = 10, /* of a quantised convolution: 9 */
    FRT_ONNX_MODEL_MAX_NODES = 1 << 14,
    FRT_ONNX_MODEL_MAX_NAME = 256 /* of a value that a pass may touch, its NUL included */
};

struct frt_onnx_model;

/** Errors: FRT_EBAD_MODEL (not an ONNX file, or one that takes too much memory), FRT_ENOMEM. `out` is owned. */
FRT_NODISCARD enum frt_status frt_onnx_model_parse(const void *bytes, size_t size, struct frt_onnx_model **out,
                                                   struct frt_error *err);
/** Each becomes the other; what was borrowed from either goes along. */
void frt_onnx_model_swap(struct frt_onnx_model *a, struct frt_onnx_model *b);
/** NULL is fine. */
void frt_onnx_model_free(struct frt_onnx_model *model);
/** The file's bytes; weights that nobody reads any more are left out. `bytes` is owned (frt_free). */
FRT_NODISCARD enum frt_status frt_onnx_model_pack(struct frt_onnx_model *model, uint8_t **bytes, size_t *size,
                                                  struct frt_error *err);
/** Append the graph as text, a line each for inputs, nodes and outputs, for people and tests:
 *  "y = Conv(x, w:f32[8,3,3,3]) group=1 pads=[1,1,1,1]". Errors: FRT_ENOMEM, FRT_EBODY_TOO_LARGE (the
 * buffer's). */
FRT_NODISCARD enum frt_status frt_onnx_model_dump(const struct frt_onnx_model *model, struct frt_buf *out);

/* ----------------------------------------------------------------- looking */

uint32_t frt_onnx_model_nodes(const struct frt_onnx_model *model);
/** Borrowed until the node is replaced; "" where there is none. */
const char *frt_onnx_model_op(const struct frt_onnx_model *model, uint32_t node);
const char *frt_onnx_model_node_name(const struct frt_onnx_model *model, uint32_t node);
uint32_t frt_onnx_model_n_inputs(const struct frt_onnx_model *model, uint32_t node);
uint32_t frt_onnx_model_n_outputs(const struct frt_onnx_model *model, uint32_t node);
const char *frt_onnx_model_input(const struct frt_onnx_model *model, uint32_t node, uint32_t i);
const char *frt_onnx_model_output(const struct frt_onnx_model *model, uint32_t node, uint32_t i);
/** The node that makes a value; false: an input, weights, or nobody. */
bool frt_onnx_model_maker(const struct frt_onnx_model *model, const char *value, uint32_t *node);

/** How often a value is read, the graph's outputs included. */
uint32_t frt_onnx_model_readers(const struct frt_onnx_model *model, const char *value);
bool frt_onnx_model_is_output(const struct frt_onnx_model *model, const char *value);
/** Graphs within nodes (If, Loop), or functions: values may be read where readers() does not look. Passes leave
 *  such models alone. */
bool frt_onnx_model_has_inner_graphs(const struct frt_onnx_model *model);
/** Of the ONNX operators' own domain; 0 = the file does not say. */
int64_t frt_onnx_model_opset(const struct frt_onnx_model *model);

/** Element types, as onnx.proto numbers them; others are passed through and not named here. */
enum frt_onnx_type {
    FRT_ONNX_F32 = 1,
    FRT_ONNX_U8 = 2,
    FRT_ONNX_I8 = 3,
    FRT_ONNX_I32 = 6,
    FRT_ONNX_I64 = 7,
    FRT_ONNX_BOOL = 9,
    FRT_ONNX_F16 = 10,
    FRT_ONNX_F64 = 11
};
/** Bytes of an element; 0: a type that is not listed. */
size_t frt_onnx_type_bytes(enum frt_onnx_type type);
/** "f32"; "?" */
const char *frt_onnx_type_name(enum frt_onnx_type type);

/** An input or output of the graph. Weights that are inputs with a default (before IR 4) do not count as
 *  inputs. A dynamic dimension is -1. */
struct frt_onnx_value {
    const char *name; /* borrowed */
    enum frt_onnx_type type;
    bool has_shape;
    struct frt_onnx_shape shape;
};
/** False past the last one. */
bool frt_onnx_model_graph_input(const struct frt_onnx_model *model, uint32_t i, struct frt_onnx_value *out);
bool frt_onnx_model_graph_output(const struct frt_onnx_model *model, uint32_t i, struct frt_onnx_value *out);

/** Attributes; `missing`, or false, where the node has none of that name and kind. */
int64_t frt_onnx_model_int(const struct frt_onnx_model *model, uint32_t node, const char *name,
                           int64_t missing);
float frt_onnx_model_float(const struct frt_onnx_model *model, uint32_t node, const char *name, float missing);
/** At most `room` numbers, else false. */
bool frt_onnx_model_ints(const struct frt_onnx_model *model, uint32_t node, const char *name, uint32_t room,
                         int64_t *out, uint32_t *n);
/** Whether a text attribute is this; `missing` where it is not there. */
bool frt_onnx_model_text_is(const struct frt_onnx_model *model, uint32_t node, const char *name,
                            const char *text, bool missing);

/** Weights, or what a Constant node holds: dense little-endian elements. */
struct frt_onnx_tensor {
    enum frt_onnx_type type;
    struct frt_onnx_shape shape; /* a scalar has no dimensions */
    const void *data;            /* borrowed until the model is freed */
    size_t bytes;
};
/** Number of elements. */
size_t frt_onnx_tensor_count(const struct frt_onnx_tensor *tensor);
/** Weights of a type of enum frt_onnx_type, none of whose dimensions is 0, of at most FRT_ONNX_MAX_DIMS
 *  dimensions. False: there are none of that name, or of another kind, or their sizes contradict each other. */
bool frt_onnx_model_tensor(const struct frt_onnx_model *model, const char *name, struct frt_onnx_tensor *out);
/** Of a Constant node. */
bool frt_onnx_model_constant(const struct frt_onnx_model *model, uint32_t node, struct frt_onnx_tensor *out);
/** Weights in f32 of at least one dimension, as frt_onnx_model_tensor. */
bool frt_onnx_model_weights(const struct frt_onnx_model *model, const char *name, struct frt_onnx_shape *shape,
                            const float **data);
/** Names of the weights, in the file's order; false past the last. */
bool frt_onnx_model_weights_name(const struct frt_onnx_model *model, uint32_t i, const char **name);

/* ---------------------------------------------------------------- changing */

/** Change an integer attribute that is there; false when it is not. */
bool frt_onnx_model_set_int(struct frt_onnx_model *model, uint32_t node, const char *name, int64_t value);
/** Weights of a name that is not taken. `name` and `data` are copied. Errors: FRT_ENOMEM, FRT_EINVAL. */
FRT_NODISCARD enum frt_status frt_onnx_model_add_weights(struct frt_onnx_model *model, const char *name,
                                                         const struct frt_onnx_shape *shape, const float *data,
                                                         struct frt_error *err);
FRT_NODISCARD enum frt_status frt_onnx_model_add_tensor(struct frt_onnx_model *model, const char *name,
                                                        const struct frt_onnx_tensor *tensor,
                                                        struct frt_error *err);
/** Let a node read another value, where it has an input `i` already or exactly i of them. `name` is copied.
 *  Errors: FRT_ENOMEM. */
FRT_NODISCARD enum frt_status frt_onnx_model_set_input(struct frt_onnx_model *model, uint32_t node, uint32_t i,
                                                       const char *name, struct frt_error *err);
/** Give a node's output another name. `name` is copied. Errors: FRT_ENOMEM. */
FRT_NODISCARD enum frt_status frt_onnx_model_set_output(struct frt_onnx_model *model, uint32_t node, uint32_t i,
                                                        const char *name, struct frt_error *err);
/** Let all nodes that read `from` read `to`. The graph's outputs keep their names. Errors: FRT_ENOMEM. */
FRT_NODISCARD enum frt_status frt_onnx_model_redirect(struct frt_onnx_model *model, const char *from,
                                                      const char *to, struct frt_error *err);
/** The first dimension of graph inputs and outputs that have one: a number, or -1 for "N". What the file says
 * of values in between is dropped, as it may no longer hold. Errors: FRT_ENOMEM. */
FRT_NODISCARD enum frt_status frt_onnx_model_set_batch(struct frt_onnx_model *model, int64_t batch,
                                                       struct frt_error *err);
/** Forget what the file says of the shapes of values between inputs and outputs: after a change they may be
 *  wrong, and nobody needs them. */
void frt_onnx_model_forget_shapes(struct frt_onnx_model *model);
/** Raise the opset of the ONNX operators' own domain. Whether the nodes mean the same there is for the caller
 * to know. False: the file names none. */
bool frt_onnx_model_set_opset(struct frt_onnx_model *model, int64_t opset);

/** Operators of another domain may be used from now on; without effect where they may already. Errors:
 * FRT_ENOMEM. */
FRT_NODISCARD enum frt_status frt_onnx_model_use_domain(struct frt_onnx_model *model, const char *domain,
                                                        int64_t version, struct frt_error *err);

/** Let the graph answer with a value of its inside, too, whose shape is not said. Errors: FRT_ENOMEM,
 * FRT_EBAD_MODEL (the name is too long). */
FRT_NODISCARD enum frt_status frt_onnx_model_add_output(struct frt_onnx_model *model, const char *name,
                                                        enum frt_onnx_type type, struct frt_error *err);
/** Take all outputs out; a graph needs one before it can be run. */
void frt_onnx_model_drop_outputs(struct frt_onnx_model *model);

/** A node to put in the place of another; texts are copied. */
struct frt_onnx_new_node {
    const char *op;
    const char *inputs[FRT_ONNX_MODEL_NEW_INPUTS]; /* NULL from the first that is not there */
    const char *output;
    int64_t group; /* of a Conv: its groups; 0 = no such attribute */
    float alpha;   /* of a LeakyRelu */
    bool has_alpha;
    bool like; /* with the attributes of the one that is replaced, but for `group`; else a Conv is 1 × 1 */
};
/** Put nodes in the place of one. The last one's output should be the old one's. Errors: FRT_ENOMEM. */
FRT_NODISCARD enum frt_status frt_onnx_model_replace(struct frt_onnx_model *model, uint32_t node,
                                                     const struct frt_onnx_new_node *with, uint32_t n,
                                                     struct frt_error *err);

/** A node with whatever attributes; texts are copied, attribute names too. */
struct frt_onnx_insert {
    const char *op;
    const char *domain; /* NULL: ONNX's own; see frt_onnx_model_use_domain */
    uint32_t n_inputs, n_outputs;
    const char *inputs[FRT_ONNX_INSERT_INPUTS]; /* "" = left out */
    const char *outputs[FRT_ONNX_MAX_NODE_OUTPUTS];
    uint32_t n_attributes;
    struct frt_onnx_attribute attributes[FRT_ONNX_MAX_NODE_ATTRIBUTES];
};
/** Put a node before node `at`, or at the end (at = frt_onnx_model_nodes). The file's order is the order of
 *  computing: whoever makes its inputs must stand before. The node is named after its first output.
 *  Errors: FRT_ENOMEM. */
FRT_NODISCARD enum frt_status frt_onnx_model_insert(struct frt_onnx_model *model, uint32_t at,
                                                    const struct frt_onnx_insert *node, struct frt_error *err);
void frt_onnx_model_remove(struct frt_onnx_model *model, uint32_t node);
/** Take weights out, read or not. */
void frt_onnx_model_remove_weights(struct frt_onnx_model *model, const char *name);
/** Take out what no node and no output of the graph reads: how many. */
uint32_t frt_onnx_model_drop_unread_weights(struct frt_onnx_model *model);

/** Weights that are inputs with a default become weights only, which the runtime may fold: how many. */
uint32_t frt_onnx_model_fix_weights(struct frt_onnx_model *model);

#endif
