/*
 * dlib's face recognition ResNet (dlib_face_recognition_resnet_model_v1), as face-api carries it.
 *
 *     150² ─ conv 7/2 ─ 72² ─ max 3/2 ─ 35² ×32 ─ 3 × res ─ down 17² ×64 ─ 3 × res ─ down 8² ×128
 *          ─ 2 × res ─ down 4² ×256 ─ 2 × res ─ down 2² ×256 ─ mean ─ 256×128 ─ embedding
 *
 * "down" adds a mean-pooled input to its two convolutions. Where the first of them (valid, stride 2)
 * comes out one short of the pool, it gets a row and a column of zeros at the far end; where the input
 * has fewer channels, the pool gets channels of zeros. Each convolution is followed by a scale layer,
 * folded here.
 */
#include <string.h>

#include "core/mem.h"
#include "model/import_nets.h"

enum { MAX_CHANNELS = 256 };

/* Convolution "<prefix>/conv" and scale "<prefix>/scale". */
static int scaled_conv(struct frt_import_net *net, int x, const char *prefix, int64_t kernel, int64_t out,
                       bool down)
{
    char name[FRT_IMPORT_NAME_MAX], filters[FRT_IMPORT_NAME_MAX], bias[FRT_IMPORT_NAME_MAX];
    double scale[MAX_CHANNELS], offset[MAX_CHANNELS];
    const struct frt_tfjs_tensor *s =
        frt_import_tensor(net, frt_import_name(net, prefix, "scale/weights", name), 1, &out);
    const struct frt_tfjs_tensor *o =
        frt_import_tensor(net, frt_import_name(net, prefix, "scale/biases", name), 1, &out);
    if (s == NULL || o == NULL)
        return FRT_ONNX_NONE;
    for (int64_t i = 0; i < out; i++) {
        scale[i] = (double)s->f32[i];
        offset[i] = (double)o->f32[i];
    }
    struct frt_onnx_window window = {.stride = {down ? 2 : 1, down ? 2 : 1},
                                     .padding = down ? FRT_ONNX_VALID : FRT_ONNX_SAME};
    return frt_import_conv(net, x, frt_import_name(net, prefix, "conv/filters", filters),
                           frt_import_name(net, prefix, "conv/bias", bias), kernel, out, &window,
                           &(struct frt_import_affine){scale, offset});
}

/* relu(conv2(relu(conv1(x)))) without the last relu */
static int two_convs(struct frt_import_net *net, int x, const char *prefix, int64_t out, bool down)
{
    char name[FRT_IMPORT_NAME_MAX];
    const char *conv1 = frt_import_name(net, prefix, "conv1", name);
    x = conv1 == NULL ? FRT_ONNX_NONE : scaled_conv(net, x, conv1, 3, out, down);
    x = frt_op_unary(net->graph, "Relu", x);
    const char *conv2 = frt_import_name(net, prefix, "conv2", name);
    return conv2 == NULL ? FRT_ONNX_NONE : scaled_conv(net, x, conv2, 3, out, false);
}

static int residual(struct frt_import_net *net, int x, const char *prefix, int64_t out)
{
    int y = two_convs(net, x, prefix, out, false);
    return frt_op_unary(net->graph, "Relu", frt_op_binary(net->graph, "Add", y, x));
}

static int residual_down(struct frt_import_net *net, int x, const char *prefix, int64_t out)
{
    struct frt_onnx_graph *graph = net->graph;
    struct frt_onnx_window half = {.kernel = {2, 2}, .stride = {2, 2}};
    int y = two_convs(net, x, prefix, out, true);
    int pooled = frt_op_average_pool(graph, x, &half);
    if (y == FRT_ONNX_NONE || pooled == FRT_ONNX_NONE)
        return FRT_ONNX_NONE;
    struct frt_onnx_shape sy = frt_onnx_shape_of(graph, y), sp = frt_onnx_shape_of(graph, pooled);
    if (sp.dims[2] != sy.dims[2])
        y = frt_op_pad_end(graph, y, (int64_t[]){0, 0, sp.dims[2] - sy.dims[2], sp.dims[3] - sy.dims[3]});
    if (sp.dims[1] != out)
        pooled = frt_op_pad_end(graph, pooled, (int64_t[]){0, out - sp.dims[1], 0, 0});
    return frt_op_unary(graph, "Relu", frt_op_binary(graph, "Add", pooled, y));
}

void frt_import_recognition(struct frt_import_net *net)
{
    static const struct {
        const char *prefix;
        int64_t channels;
        bool down;
    } blocks[] = {
        {"conv32_1", 32, false},   {"conv32_2", 32, false},         {"conv32_3", 32, false},
        {"conv64_down", 64, true}, {"conv64_1", 64, false},         {"conv64_2", 64, false},
        {"conv64_3", 64, false},   {"conv128_down", 128, true},     {"conv128_1", 128, false},
        {"conv128_2", 128, false}, {"conv256_down", 256, true},     {"conv256_1", 256, false},
        {"conv256_2", 256, false}, {"conv256_down_out", 256, true},
    };
    struct frt_onnx_graph *graph = net->graph;
    struct frt_onnx_shape image = {.n_dims = 4, .dims = {-1, 3, 150, 150}};
    int x = frt_onnx_input(graph, "image", &image);
    x = frt_op_unary(graph, "Relu", scaled_conv(net, x, "conv32_down", 7, 32, true));
    x = frt_op_max_pool(graph, x, &(struct frt_onnx_window){.kernel = {3, 3}, .stride = {2, 2}});
    for (size_t i = 0; i < sizeof blocks / sizeof *blocks; i++)
        x = (blocks[i].down ? residual_down : residual)(net, x, blocks[i].prefix, blocks[i].channels);
    x = frt_import_mean(net, x);
    const struct frt_tfjs_tensor *fc = frt_import_tensor(net, "fc", 2, (int64_t[]){256, 128});
    if (fc != NULL)
        x = frt_op_dense(graph, x, frt_onnx_const_f32(graph, "fc", &fc->shape, fc->f32), FRT_ONNX_NO_BIAS);
    frt_onnx_output(graph, x, "embedding");
}
