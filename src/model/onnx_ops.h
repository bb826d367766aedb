/*
 * ONNX operations with their shape rules: one call = one node, operands checked, result's shape known.
 *
 * Images are NCHW. "same" padding is TensorFlow's: ceil(size / stride) outputs, the odd pixel of
 * padding at the far side. It is written as explicit pads, which needs a known size; where height and
 * width are dynamic the caller gives explicit pads.
 *
 * Failures stick to the graph (onnx_graph.h). Threading: one owner.
 */
#ifndef FRT_MODEL_ONNX_OPS_H
#define FRT_MODEL_ONNX_OPS_H

#include "model/onnx_graph.h"

enum frt_onnx_padding { FRT_ONNX_VALID = 0, FRT_ONNX_SAME, FRT_ONNX_EXPLICIT };

/** Window of a convolution (kernel from its weights) or of a pool. Zero strides count as 1. */
struct frt_onnx_window {
    int64_t kernel[2]; /* height, width; pools only */
    int64_t stride[2];
    enum frt_onnx_padding padding;
    int64_t pads[4]; /* top, left, bottom, right; for FRT_ONNX_EXPLICIT */
};

/** Convolution of x [N,C,H,W] with w [O,C/groups,kh,kw]; bias [O] or FRT_ONNX_NO_BIAS. */
#define FRT_ONNX_NO_BIAS (-2)
int frt_op_conv(struct frt_onnx_graph *graph, int x, int w, int bias, int64_t groups,
                const struct frt_onnx_window *window);
int frt_op_max_pool(struct frt_onnx_graph *graph, int x, const struct frt_onnx_window *window);
/** Padding is not counted in the mean. */
int frt_op_average_pool(struct frt_onnx_graph *graph, int x, const struct frt_onnx_window *window);
/** Mean over height and width: [N,C,1,1]. */
int frt_op_global_average(struct frt_onnx_graph *graph, int x);

/** `op` is an element-wise ONNX operator of one operand: "Relu", "Sigmoid", "Exp", "Identity". */
int frt_op_unary(struct frt_onnx_graph *graph, const char *op, int x);
/** min(max(x, 0), 6). */
int frt_op_relu6(struct frt_onnx_graph *graph, int x);
int frt_op_leaky_relu(struct frt_onnx_graph *graph, int x, float slope);
int frt_op_softmax(struct frt_onnx_graph *graph, int x, int64_t axis);

/** `op` is "Add", "Sub" or "Mul", with ONNX's (NumPy's) broadcasting. */
int frt_op_binary(struct frt_onnx_graph *graph, const char *op, int a, int b);
/** x [N,K] times w [K,M], plus bias [M] or FRT_ONNX_NO_BIAS. */
int frt_op_dense(struct frt_onnx_graph *graph, int x, int w, int bias);

/** `dims` as ONNX reads them: 0 copies the dimension, one -1 takes the rest. */
int frt_op_reshape(struct frt_onnx_graph *graph, int x, uint32_t n_dims, const int64_t *dims);
int frt_op_transpose(struct frt_onnx_graph *graph, int x, uint32_t n_dims, const int64_t *order);
int frt_op_concat(struct frt_onnx_graph *graph, const int *xs, uint32_t n, int64_t axis);
/** Elements [start, end) along one axis of known length. */
int frt_op_slice(struct frt_onnx_graph *graph, int x, int64_t axis, int64_t start, int64_t end);
/** Zeros appended at the far end of each dimension. */
int frt_op_pad_end(struct frt_onnx_graph *graph, int x, const int64_t *more);

/** A f32 scalar (no dimensions), shared by all nodes that use the same value. */
int frt_op_scalar(struct frt_onnx_graph *graph, float value);

#endif
