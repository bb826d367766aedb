/*
 * A model file that is there already, to be looked at and changed: nodes, their attributes, and f32 weights.
 *
 *     bytes ── parse ──> model ── the passes of rewrite.h change nodes ── pack ──> bytes
 *
 * What no pass touches goes through unchanged, whatever it is: doc strings, opsets, types that this file does
 * not know. Values are named by their texts, as in the file. Positions of nodes are valid until the next
 * replacement. (onnx_graph.h builds graphs from nothing; this one edits.)
 *
 * A hostile file: every byte of memory that reading it takes is counted, and more than FRT_ONNX_MODEL_SPREAD
 * times the file's size (plus a megabyte) is refused, as a few bytes of protobuf can stand for large
 * structures.
 *
 * Threading: one owner.
 */
#ifndef FRT_MODEL_ONNX_MODEL_H
#define FRT_MODEL_ONNX_MODEL_H

#include "model/onnx_graph.h"

enum { FRT_ONNX_MODEL_SPREAD = 8, FRT_ONNX_MODEL_NEW_INPUTS = 3 };

struct frt_onnx_model;

/** Errors: FRT_EBAD_MODEL (not an ONNX file, or one that takes too much memory), FRT_ENOMEM. `out` is owned. */
FRT_NODISCARD enum frt_status frt_onnx_model_parse(const void *bytes, size_t size, struct frt_onnx_model **out,
                                                   struct frt_error *err);
/** NULL is fine. */
void frt_onnx_model_free(struct frt_onnx_model *model);
/** The file's bytes; weights that nobody reads any more are left out. `bytes` is owned (frt_free). */
FRT_NODISCARD enum frt_status frt_onnx_model_pack(struct frt_onnx_model *model, uint8_t **bytes, size_t *size,
                                                  struct frt_error *err);

uint32_t frt_onnx_model_nodes(const struct frt_onnx_model *model);
/** Borrowed until the node is replaced; "" where there is none. */
const char *frt_onnx_model_op(const struct frt_onnx_model *model, uint32_t node);
const char *frt_onnx_model_input(const struct frt_onnx_model *model, uint32_t node, uint32_t i);
const char *frt_onnx_model_output(const struct frt_onnx_model *model, uint32_t node, uint32_t i);
/** The node that makes a value; false: an input, weights, or nobody. */
bool frt_onnx_model_maker(const struct frt_onnx_model *model, const char *value, uint32_t *node);

/** How often a value is read, the graph's outputs included. */
uint32_t frt_onnx_model_readers(const struct frt_onnx_model *model, const char *value);

/** An attribute that is an integer; `missing` where it is not there. */
int64_t frt_onnx_model_int(const struct frt_onnx_model *model, uint32_t node, const char *name,
                           int64_t missing);
/** Change an integer attribute that is there; false when it is not. */
bool frt_onnx_model_set_int(struct frt_onnx_model *model, uint32_t node, const char *name, int64_t value);

/** Weights in f32 of at most FRT_ONNX_MAX_DIMS dimensions, borrowed until the model is freed. False: there are
 * none of that name, or they are of another kind, or their sizes contradict each other. */
bool frt_onnx_model_weights(const struct frt_onnx_model *model, const char *name, struct frt_onnx_shape *shape,
                            const float **data);
/** Weights of a name that is not taken. `name` and `data` are copied. Errors: FRT_ENOMEM, FRT_EINVAL. */
FRT_NODISCARD enum frt_status frt_onnx_model_add_weights(struct frt_onnx_model *model, const char *name,
                                                         const struct frt_onnx_shape *shape, const float *data,
                                                         struct frt_error *err);
/** Let a node read another value. `name` is copied. Errors: FRT_ENOMEM. */
FRT_NODISCARD enum frt_status frt_onnx_model_set_input(struct frt_onnx_model *model, uint32_t node, uint32_t i,
                                                       const char *name, struct frt_error *err);

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

#endif
