/*
 * TensorFlow.js graph models (format "graph-model": a TensorFlow graph as JSON) → ONNX.
 *
 * TensorFlow's images are NHWC; the result's are NCHW. Every rank-4 value is kept in NCHW, per-channel
 * constants are laid out to match, and a Reshape first turns its operand back, so that the flattened
 * order stays TensorFlow's.
 *
 * Ops: Const, Placeholder, Identity, Conv2D, _FusedConv2D, MaxPool, AvgPool, MatMul, _FusedMatMul, BiasAdd,
 * Add, AddV2, Sub, Mul, Relu, Relu6, Sigmoid, Softmax, Reshape to two dimensions. Any other op, data format
 * or fused operation is refused with its name and the node's.
 *
 * Threading: one owner.
 */
#ifndef FRT_MODEL_TFJS_GRAPH_H
#define FRT_MODEL_TFJS_GRAPH_H

#include "core/json_read.h"
#include "model/onnx_graph.h"
#include "model/tfjs_weights.h"

/**
 * Append the model to an empty graph: one input, named "image", and one output.
 *
 * model        the root of the model's JSON, borrowed.
 * weights      its weights, borrowed.
 * output_name  name of the output in the ONNX file.
 * Failures (FRT_EBAD_MODEL) stick to the graph.
 */
void frt_tfjs_graph_convert(const struct frt_json_value *model, const struct frt_tfjs_weights *weights,
                            const char *output_name, struct frt_onnx_graph *graph);

#endif
