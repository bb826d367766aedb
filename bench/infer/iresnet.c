#include "infer/iresnet.h"

#include <math.h>
#include <stdio.h>

#include "model/onnx_ops.h"

enum { SIDE = 112, DIM = 512 };

struct net {
    struct frt_onnx_graph *graph;
    uint64_t seed;
    uint32_t made; /* for names */
};

/* Even on -1..1. */
static float draw(struct net *net)
{
    net->seed = net->seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (float)(net->seed >> 40) / (float)(1 << 23) - 1.0F;
}

/* Even on middle ± spread. */
static int weights(struct net *net, const char *what, const struct frt_onnx_shape *shape, float middle,
                   float spread)
{
    char name[32];
    int value = FRT_ONNX_NONE;
    (void)snprintf(name, sizeof name, "%s%u", what, net->made++);
    float *to = frt_onnx_const_space(net->graph, name, shape, &value);
    for (int64_t i = 0; to != NULL && i < frt_onnx_shape_size(shape); i++)
        to[i] = middle + spread * draw(net);
    return value;
}

static int conv(struct net *net, int x, int64_t out, int64_t kernel, int64_t stride)
{
    const int64_t in = frt_onnx_shape_of(net->graph, x).dims[1], pad = kernel / 2;
    const struct frt_onnx_shape shape = {.n_dims = 4, .dims = {out, in, kernel, kernel}};
    const struct frt_onnx_window window = {
        .stride = {stride, stride}, .padding = FRT_ONNX_EXPLICIT, .pads = {pad, pad, pad, pad}};
    const float spread =
        sqrtf(3 * 2.0F / (float)(in * kernel * kernel)); /* an even variable's variance: spread²/3 */
    const int w = weights(net, "w", &shape, 0, spread);
    return frt_op_conv(net->graph, x, w, FRT_ONNX_NO_BIAS, 1, &window);
}

static int norm(struct net *net, int x, float gain)
{
    const struct frt_onnx_shape shape = frt_onnx_shape_of(net->graph, x),
                                each = {.n_dims = 1, .dims = {shape.dims[1]}};
    const int g = weights(net, "gain", &each, gain, 0.3F * gain), b = weights(net, "shift", &each, 0, 0.1F),
              mean = weights(net, "mean", &each, 0, 0.1F), spread = weights(net, "spread", &each, 1, 0.3F);
    const struct frt_onnx_node node = {
        .op = "BatchNormalization", .n_inputs = 5, .inputs = {x, g, b, mean, spread}, .outputs = {shape}};
    return frt_onnx_node_add(net->graph, &node);
}

static int prelu(struct net *net, int x)
{
    const struct frt_onnx_shape shape = frt_onnx_shape_of(net->graph, x),
                                each = {.n_dims = 3, .dims = {shape.dims[1], 1, 1}};
    const int slopes = weights(net, "slope", &each, 0.25F, 0.2F);
    const struct frt_onnx_node node = {.op = "PRelu", .n_inputs = 2, .inputs = {x, slopes}, .outputs = {shape}};
    return frt_onnx_node_add(net->graph, &node);
}

static int block(struct net *net, int x, int64_t out, int64_t stride)
{
    int y = norm(net, x, 1);
    y = prelu(net, norm(net, conv(net, y, out, 3, 1), 1));
    y = norm(net, conv(net, y, out, 3, stride), 0.3F);
    if (stride != 1)
        x = norm(net, conv(net, x, out, 1, stride), 0.7F);
    return frt_op_binary(net->graph, "Add", y, x);
}

static int flatten(struct net *net, int x)
{
    const struct frt_onnx_shape in = frt_onnx_shape_of(net->graph, x);
    const struct frt_onnx_node node = {
        .op = "Flatten",
        .n_inputs = 1,
        .inputs = {x},
        .outputs = {{.n_dims = 2, .dims = {1, in.dims[1] * in.dims[2] * in.dims[3]}}}};
    return frt_onnx_node_add(net->graph, &node);
}

static int dense(struct net *net, int x)
{
    const struct frt_onnx_shape in = frt_onnx_shape_of(net->graph, x),
                                shape = {.n_dims = 2, .dims = {in.dims[1], DIM}},
                                offset = {.n_dims = 1, .dims = {DIM}};
    const int w = weights(net, "w", &shape, 0, sqrtf(3.0F / (float)in.dims[1])),
              b = weights(net, "b", &offset, 0, 0.1F);
    return frt_op_dense(net->graph, x, w, b);
}

enum frt_status bench_iresnet(const uint32_t blocks[4], uint8_t **bytes, size_t *size, struct frt_error *err)
{
    const struct frt_onnx_shape photo = {.n_dims = 4, .dims = {1, 3, SIDE, SIDE}};
    struct net net = {.seed = 1};
    enum frt_status status = frt_onnx_new("iresnet", &net.graph, err);
    if (status != FRT_OK)
        return status;
    int x = frt_onnx_input(net.graph, "x", &photo);
    x = prelu(&net, norm(&net, conv(&net, x, 64, 3, 1), 1));
    for (uint32_t stage = 0; stage < 4; stage++)
        for (uint32_t i = 0; i < blocks[stage]; i++)
            x = block(&net, x, INT64_C(64) << stage, i == 0 ? 2 : 1);
    x = norm(&net, dense(&net, flatten(&net, norm(&net, x, 1))), 1);
    frt_onnx_output(net.graph, x, "y");
    status = frt_onnx_serialise(net.graph, bytes, size, err);
    frt_onnx_free(net.graph);
    return status;
}
