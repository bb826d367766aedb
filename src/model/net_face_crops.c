/*
 * The three nets that look at a 112 × 112 face crop.
 *
 * Landmarks and expression share an extractor of four dense blocks, 112 → 56 → 28 → 14 → 7, each block
 *
 *     a = relu(conv0(x))   b = conv1(a)   c = conv2(relu(a + b))   d = conv3(relu(a + b + c))
 *     out = relu(a + b + c + d)
 *
 * Age and gender use a small Xception. Their last pooling has a 7 × 7 window on a 7 × 7 map, so it is
 * the mean.
 */
#include <stdio.h>

#include "model/import_nets.h"

static const struct frt_onnx_window same = {.padding = FRT_ONNX_SAME};
static const struct frt_onnx_window same_half = {.stride = {2, 2}, .padding = FRT_ONNX_SAME};

static int crop_input(struct frt_import_net *net)
{
    struct frt_onnx_shape image = {.n_dims = 4, .dims = {-1, 3, 112, 112}};
    return frt_onnx_input(net->graph, "image", &image);
}

static int relu(struct frt_import_net *net, int x)
{
    return frt_op_unary(net->graph, "Relu", x);
}

static int add(struct frt_import_net *net, int a, int b)
{
    return frt_op_binary(net->graph, "Add", a, b);
}

static int separable(struct frt_import_net *net, int x, const char *block, const char *layer, int64_t out,
                     const struct frt_onnx_window *window)
{
    char name[FRT_IMPORT_NAME_MAX];
    const char *prefix = frt_import_name(net, block, layer, name);
    return prefix == NULL ? FRT_ONNX_NONE : frt_import_separable(net, x, prefix, out, window);
}

/* Four dense blocks and the mean: [N,256]. */
static int dense_extractor(struct frt_import_net *net)
{
    static const struct {
        const char *name;
        int64_t channels;
    } blocks[4] = {{"dense0", 32}, {"dense1", 64}, {"dense2", 128}, {"dense3", 256}};
    int x = crop_input(net);
    for (int i = 0; i < 4; i++) {
        const char *block = blocks[i].name;
        int64_t out = blocks[i].channels;
        int a = i == 0 ? frt_import_conv(net, x, "dense0/conv0/filters", "dense0/conv0/bias", 3, out,
                                         &same_half, NULL)
                       : separable(net, x, block, "conv0", out, &same_half);
        a = relu(net, a);
        int b = separable(net, a, block, "conv1", out, &same);
        int ab = add(net, a, b);
        int c = separable(net, relu(net, ab), block, "conv2", out, &same);
        int abc = add(net, ab, c);
        int d = separable(net, relu(net, abc), block, "conv3", out, &same);
        x = relu(net, add(net, abc, d));
    }
    return frt_import_mean(net, x);
}

void frt_import_landmarks(struct frt_import_net *net)
{
    int x = frt_import_dense(net, dense_extractor(net), "fc", 136);
    frt_onnx_output(net->graph, x, "points");
}

void frt_import_expression(struct frt_import_net *net)
{
    int x = frt_import_dense(net, dense_extractor(net), "fc", 7);
    frt_onnx_output(net->graph, frt_op_softmax(net->graph, x, 1), "expression");
}

/* Xception's reduction: two separable convolutions and a pool, beside a strided 1 × 1. */
static int reduction(struct frt_import_net *net, int x, const char *block, int64_t out, bool activate_input)
{
    char filters[FRT_IMPORT_NAME_MAX], bias[FRT_IMPORT_NAME_MAX];
    static const struct frt_onnx_window pool = {.kernel = {3, 3}, .stride = {2, 2}, .padding = FRT_ONNX_SAME};
    int y = activate_input ? relu(net, x) : x;
    y = separable(net, y, block, "separable_conv0", out, &same);
    y = separable(net, relu(net, y), block, "separable_conv1", out, &same);
    y = frt_op_max_pool(net->graph, y, &pool);
    int beside =
        frt_import_conv(net, x, frt_import_name(net, block, "expansion_conv/filters", filters),
                        frt_import_name(net, block, "expansion_conv/bias", bias), 1, out, &same_half, NULL);
    return add(net, y, beside);
}

void frt_import_age_gender(struct frt_import_net *net)
{
    static const char *const layers[3] = {"separable_conv0", "separable_conv1", "separable_conv2"};
    static const char *const blocks[2] = {"middle_flow/main_block_0", "middle_flow/main_block_1"};
    int x = crop_input(net);
    x = relu(net, frt_import_conv(net, x, "entry_flow/conv_in/filters", "entry_flow/conv_in/bias", 3, 32,
                                  &same_half, NULL));
    x = reduction(net, x, "entry_flow/reduction_block_0", 64, false);
    x = reduction(net, x, "entry_flow/reduction_block_1", 128, true);
    for (int i = 0; i < 2; i++) {
        int y = x;
        for (int j = 0; j < 3; j++)
            y = separable(net, relu(net, y), blocks[i], layers[j], 128, &same);
        x = add(net, y, x);
    }
    x = reduction(net, x, "exit_flow/reduction_block", 256, true);
    x = relu(net, frt_import_separable(net, x, "exit_flow/separable_conv", 512, &same));
    x = frt_import_mean(net, x);
    frt_onnx_output(net->graph, frt_import_dense(net, x, "fc/age", 1), "age");
    frt_onnx_output(net->graph, frt_op_softmax(net->graph, frt_import_dense(net, x, "fc/gender", 2), 1),
                    "gender");
}
