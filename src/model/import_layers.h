/*
 * Layers that several of the imported nets share: weights by name, laid out for ONNX, with their
 * shapes checked against what the topology expects.
 *
 * Filters lie as height × width × in × out in TensorFlow and as out × in × height × width in ONNX;
 * depth-wise ones as height × width × channels × 1 and channels × 1 × height × width.
 *
 * A scale or batch normalisation that follows a convolution is folded into its filters and bias, in
 * double: conv(x)·s + o = conv with filters·s and bias·s + o, borders included, because it acts after
 * the padding. The runtime would do the same at every start.
 *
 * Failures stick to the graph. Threading: one owner.
 */
#ifndef FRT_MODEL_IMPORT_LAYERS_H
#define FRT_MODEL_IMPORT_LAYERS_H

#include "model/onnx_ops.h"
#include "model/tfjs_weights.h"

struct frt_import_net {
    struct frt_onnx_graph *graph;
    const struct frt_tfjs_weights *weights;
};

/** Per-channel affine map that follows a convolution: y = x · scale + offset. Either may be NULL. */
struct frt_import_affine {
    const double *scale;
    const double *offset;
};

#define FRT_IMPORT_NAME_MAX 128

/** "<prefix>/<suffix>" in `out`; NULL when it does not fit (the graph has failed then). */
const char *frt_import_name(struct frt_import_net *net, const char *prefix, const char *suffix,
                            char out[FRT_IMPORT_NAME_MAX]);

/** A float tensor of exactly this shape; NULL (and a failed graph: tensor, shape found, shape expected). */
const struct frt_tfjs_tensor *frt_import_tensor(struct frt_import_net *net, const char *name, uint32_t n_dims,
                                                const int64_t *dims);

/**
 * Filters from TensorFlow's layout to ONNX's.
 *
 * from   [height,width,in,out]; with `depthwise` [height,width,channels,1].
 * shape  of the result: out, in (1 with `depthwise`), height, width.
 * scale  f64[out] to multiply with, NULL = none.
 */
void frt_import_lay_out(const float *from, const struct frt_onnx_shape *shape, bool depthwise,
                        const double *scale, float *to);

/** Convolution with filters `filters_name` [kernel,kernel,C of x,out] and bias `bias_name` [out] (NULL = none).
 */
int frt_import_conv(struct frt_import_net *net, int x, const char *filters_name, const char *bias_name,
                    int64_t kernel, int64_t out, const struct frt_onnx_window *window,
                    const struct frt_import_affine *affine);
/** Depth-wise convolution with 3 × 3 filters `filters_name` [3,3,C of x,1]. */
int frt_import_depthwise(struct frt_import_net *net, int x, const char *filters_name,
                         const struct frt_onnx_window *window, const struct frt_import_affine *affine);
/** "<prefix>/depthwise_filter", "<prefix>/pointwise_filter", "<prefix>/bias". */
int frt_import_separable(struct frt_import_net *net, int x, const char *prefix, int64_t out,
                         const struct frt_onnx_window *window);
/** "<prefix>/weights" [K of x,out] and "<prefix>/bias" [out]; x is [N,K]. */
int frt_import_dense(struct frt_import_net *net, int x, const char *prefix, int64_t out);
/** [N,C,H,W] with any H and W → mean over them as [N,C]. */
int frt_import_mean(struct frt_import_net *net, int x);

#endif
