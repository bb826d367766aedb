/*
 * SSD on MobileNetV1, 512 × 512, faces only.
 *
 *     512² ─ conv 3/2 ─ 13 × (depth-wise, point-wise) ─┬─ conv_11: 32² ×512 ── predictor 0, 3 anchors a cell
 *                                                      └─ conv_13: 16² ×1024 ─ predictor 1, 6 anchors
 *          ─ 1×1, 3×3/2 four times ─ 8², 4², 2², 1² ───────────────────────── predictors 2 to 5, 6 anchors
 *
 * Two things differ from the JavaScript and not in their result: of the three class channels of an
 * anchor only number 1 (face) is computed, the other two are never read; and the sizes and centres of
 * the anchors, which it derives from their corners at every call, are constants here.
 */
#include <math.h>
#include <stdio.h>

#include "core/mem.h"
#include "model/import_nets.h"

enum { N_ANCHORS = 5118, MAX_CHANNELS = 1024, N_PREDICTORS = 6 };

/* filters "<prefix>/weights", offset "<prefix>/convolution_bn_offset", relu6; named pointwise also
 * where the kernel is 3 × 3 */
static int pointwise(struct frt_import_net *net, int x, const char *scope, int index, int64_t kernel,
                     int64_t out, int64_t stride)
{
    char prefix[FRT_IMPORT_NAME_MAX], weights[FRT_IMPORT_NAME_MAX], offset[FRT_IMPORT_NAME_MAX];
    (void)snprintf(prefix, sizeof prefix, "%s/Conv2d_%d_pointwise", scope, index);
    struct frt_onnx_window window = {.stride = {stride, stride}, .padding = FRT_ONNX_SAME};
    x = frt_import_conv(net, x, frt_import_name(net, prefix, "weights", weights),
                        frt_import_name(net, prefix, "convolution_bn_offset", offset), kernel, out, &window,
                        NULL);
    return frt_op_relu6(net->graph, x);
}

/* Depth-wise convolution with its batch normalisation, relu6. */
static int depthwise(struct frt_import_net *net, int x, int index, int64_t stride)
{
    static const double epsilon = 0.0010000000474974513; /* of the package, mobileNetV1.ts */
    static const char *const parts[4] = {"BatchNorm/gamma", "BatchNorm/beta", "BatchNorm/moving_mean",
                                         "BatchNorm/moving_variance"};
    char prefix[FRT_IMPORT_NAME_MAX], name[FRT_IMPORT_NAME_MAX];
    double scale[MAX_CHANNELS], shift[MAX_CHANNELS];
    const struct frt_tfjs_tensor *bn[4];
    int64_t channels = frt_onnx_shape_of(net->graph, x).dims[1];
    if (x == FRT_ONNX_NONE || channels > MAX_CHANNELS)
        return FRT_ONNX_NONE;
    (void)snprintf(prefix, sizeof prefix, "MobilenetV1/Conv2d_%d_depthwise", index);
    for (int i = 0; i < 4; i++) {
        bn[i] = frt_import_tensor(net, frt_import_name(net, prefix, parts[i], name), 1, &channels);
        if (bn[i] == NULL)
            return FRT_ONNX_NONE;
    }
    for (int64_t c = 0; c < channels; c++) {
        double variance = (double)bn[3]->f32[c];
        if (variance + epsilon <= 0)
            return frt_onnx_fail(net->graph, FRT_EBAD_MODEL,
                                 "weights %s: variance %g of channel %lld is negative", name, variance,
                                 (long long)c);
        scale[c] = (double)bn[0]->f32[c] / sqrt(variance + epsilon);
        shift[c] = (double)bn[1]->f32[c] - (double)bn[2]->f32[c] * scale[c];
    }
    struct frt_onnx_window window = {.stride = {stride, stride}, .padding = FRT_ONNX_SAME};
    x = frt_import_depthwise(net, x, frt_import_name(net, prefix, "depthwise_weights", name), &window,
                             &(struct frt_import_affine){scale, shift});
    return frt_op_relu6(net->graph, x);
}

/* Point-wise convolution whose channels are anchors × per_anchor; `first` and `take` choose some of each
 * anchor's. Answers [N, cells × anchors, take]. */
static int predictor(struct frt_import_net *net, int x, int index, const char *kind, int64_t anchors,
                     int64_t per_anchor, int64_t first, int64_t take)
{
    struct frt_onnx_graph *graph = net->graph;
    char prefix[FRT_IMPORT_NAME_MAX], weights_name[FRT_IMPORT_NAME_MAX], biases_name[FRT_IMPORT_NAME_MAX];
    int64_t in = frt_onnx_shape_of(graph, x).dims[1], all = anchors * per_anchor, out = anchors * take;
    if (x == FRT_ONNX_NONE)
        return x;
    (void)snprintf(prefix, sizeof prefix, "Prediction/BoxPredictor_%d/%s", index, kind);
    const struct frt_tfjs_tensor *weights = frt_import_tensor(
        net, frt_import_name(net, prefix, "weights", weights_name), 4, (int64_t[]){1, 1, in, all});
    const struct frt_tfjs_tensor *biases =
        frt_import_tensor(net, frt_import_name(net, prefix, "biases", biases_name), 1, &all);
    if (weights == NULL || biases == NULL)
        return FRT_ONNX_NONE;
    int w, b;
    float *to_w = frt_onnx_const_space(graph, weights_name,
                                       &(struct frt_onnx_shape){.n_dims = 4, .dims = {out, in, 1, 1}}, &w);
    float *to_b =
        frt_onnx_const_space(graph, biases_name, &(struct frt_onnx_shape){.n_dims = 1, .dims = {out}}, &b);
    if (to_w == NULL || to_b == NULL)
        return FRT_ONNX_NONE;
    for (int64_t o = 0; o < out; o++) {
        int64_t from = o / take * per_anchor + first + o % take;
        to_b[o] = biases->f32[from];
        for (int64_t i = 0; i < in; i++)
            to_w[o * in + i] = weights->f32[i * all + from];
    }
    x = frt_op_conv(graph, x, w, b, 1, &(struct frt_onnx_window){0});
    x = frt_op_transpose(graph, x, 4, (int64_t[]){0, 2, 3, 1});
    return frt_op_reshape(graph, x, 3, (int64_t[]){0, -1, take});
}

/* Sizes or centres of the anchors (y, x), times `factor`, as a constant [1, anchors, 2]. */
static int anchor_table(struct frt_import_net *net, const char *name, const struct frt_tfjs_tensor *corners,
                        bool sizes, double factor)
{
    int value;
    struct frt_onnx_shape shape = {.n_dims = 3, .dims = {1, N_ANCHORS, 2}};
    float *to = frt_onnx_const_space(net->graph, name, &shape, &value);
    if (to == NULL)
        return FRT_ONNX_NONE;
    for (size_t a = 0; a < N_ANCHORS; a++) {
        for (size_t axis = 0; axis < 2; axis++) {
            double low = (double)corners->f32[4 * a + axis], high = (double)corners->f32[4 * a + 2 + axis];
            *to++ = (float)(factor * (sizes ? high - low : (low + high) / 2));
        }
    }
    return value;
}

/* Raw encodings [N,A,4] (ty, tx, th, tw) → corners: centre + t/10 · size ∓ exp(t/5) · size / 2. */
static int decode(struct frt_import_net *net, int raw)
{
    struct frt_onnx_graph *graph = net->graph;
    const struct frt_tfjs_tensor *corners =
        frt_import_tensor(net, "Output/extra_dim", 3, (int64_t[]){1, N_ANCHORS, 4});
    if (corners == NULL)
        return FRT_ONNX_NONE;
    /* one call a line: C leaves the order of calls among arguments open, and with it the file's bytes */
    int tenths = anchor_table(net, "anchor_tenths", corners, true, 0.1);
    int centres = anchor_table(net, "anchor_centres", corners, false, 1);
    int sizes = anchor_table(net, "anchor_halves", corners, true, 0.5);
    int moves = frt_op_slice(graph, raw, 2, 0, 2);
    moves = frt_op_binary(graph, "Mul", moves, tenths);
    centres = frt_op_binary(graph, "Add", moves, centres);
    int growth = frt_op_slice(graph, raw, 2, 2, 4);
    growth = frt_op_binary(graph, "Mul", growth, frt_op_scalar(graph, 0.2F));
    growth = frt_op_unary(graph, "Exp", growth);
    int halves = frt_op_binary(graph, "Mul", growth, sizes);
    int near = frt_op_binary(graph, "Sub", centres, halves);
    int far = frt_op_binary(graph, "Add", centres, halves);
    return frt_op_concat(graph, (int[]){near, far}, 2, 2);
}

void frt_import_ssd(struct frt_import_net *net)
{
    static const int64_t widths[14] = {32, 64, 128, 128, 256, 256, 512, 512, 512, 512, 512, 512, 1024, 1024};
    static const int64_t extra[8] = {256, 512, 128, 256, 128, 256, 64, 128};
    struct frt_onnx_graph *graph = net->graph;
    struct frt_onnx_shape image = {.n_dims = 4, .dims = {-1, 3, 512, 512}};
    int levels[N_PREDICTORS] = {FRT_ONNX_NONE}, boxes[N_PREDICTORS], scores[N_PREDICTORS];

    int x = frt_onnx_input(graph, "image", &image);
    x = pointwise(net, x, "MobilenetV1", 0, 3, widths[0], 2);
    for (int i = 1; i < 14; i++) {
        x = depthwise(net, x, i, i == 2 || i == 4 || i == 6 || i == 12 ? 2 : 1);
        x = pointwise(net, x, "MobilenetV1", i, 1, widths[i], 1);
        if (i == 11)
            levels[0] = x;
    }
    levels[1] = x;
    for (int i = 0; i < 8; i++) {
        x = pointwise(net, x, "Prediction", i, i % 2 == 0 ? 1 : 3, extra[i], i % 2 == 0 ? 1 : 2);
        if (i % 2 == 1)
            levels[2 + i / 2] = x;
    }
    for (int i = 0; i < N_PREDICTORS; i++) {
        int64_t anchors = i == 0 ? 3 : 6;
        boxes[i] = predictor(net, levels[i], i, "BoxEncodingPredictor", anchors, 4, 0, 4);
        scores[i] = predictor(net, levels[i], i, "ClassPredictor", anchors, 3, 1, 1);
    }
    frt_onnx_output(graph, decode(net, frt_op_concat(graph, boxes, N_PREDICTORS, 1)), "boxes");
    int flat = frt_op_reshape(graph, frt_op_concat(graph, scores, N_PREDICTORS, 1), 2, (int64_t[]){0, -1});
    frt_onnx_output(graph, frt_op_unary(graph, "Sigmoid", flat), "scores");
}
