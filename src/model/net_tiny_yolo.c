/*
 * Tiny face detector: a small YOLOv2 with depth-wise separable convolutions. Five poolings halve a side
 * that is a multiple of 32; the second meets an odd one (16k − 1, since the first convolution is valid)
 * and pads it at the far end, as does the sixth, whose stride is 1. So the pads are the same for every
 * input size and height and width stay dynamic.
 */
#include <stdio.h>

#include "model/import_nets.h"

static int activate(struct frt_import_net *net, int x)
{
    return frt_op_leaky_relu(net->graph, x, 0.1F); /* 0.10000000149011612 in the package: the float 0.1 */
}

void frt_import_tiny_yolo(struct frt_import_net *net)
{
    static const int64_t widths[6] = {16, 32, 64, 128, 256, 512};
    static const struct frt_onnx_window around = {.padding = FRT_ONNX_EXPLICIT, .pads = {1, 1, 1, 1}};
    struct frt_onnx_graph *graph = net->graph;
    struct frt_onnx_shape image = {.n_dims = 4, .dims = {-1, 3, -1, -1}};
    int x = frt_onnx_input(graph, "image", &image);
    for (int i = 0; i < 6; i++) {
        char name[FRT_IMPORT_NAME_MAX];
        (void)snprintf(name, sizeof name, "conv%d", i);
        if (i == 0)
            x = frt_import_conv(net, x, "conv0/filters", "conv0/bias", 3, widths[0],
                                &(struct frt_onnx_window){0}, NULL);
        else
            x = frt_import_separable(net, x, name, widths[i], &around);
        int64_t stride = i == 5 ? 1 : 2, far_end = i == 1 || i == 5 ? 1 : 0;
        x = frt_op_max_pool(graph, activate(net, x),
                            &(struct frt_onnx_window){.kernel = {2, 2},
                                                      .stride = {stride, stride},
                                                      .padding = FRT_ONNX_EXPLICIT,
                                                      .pads = {0, 0, far_end, far_end}});
    }
    x = frt_import_conv(net, x, "conv8/filters", "conv8/bias", 1, 25, &(struct frt_onnx_window){0}, NULL);
    frt_onnx_output(graph, x, "grid");
}
