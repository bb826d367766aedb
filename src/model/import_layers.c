#include "model/import_layers.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static void dims_text(uint32_t n_dims, const int64_t *dims, char *text, size_t size)
{
    size_t at = 1;
    (void)snprintf(text, size, "[");
    for (uint32_t i = 0; i < n_dims && at < size; i++)
        at += (size_t)snprintf(text + at, size - at, "%s%" PRId64, i == 0 ? "" : ",", dims[i]);
    if (at < size)
        (void)snprintf(text + at, size - at, "]");
}

const char *frt_import_name(struct frt_import_net *net, const char *prefix, const char *suffix,
                            char out[FRT_IMPORT_NAME_MAX])
{
    int n = snprintf(out, FRT_IMPORT_NAME_MAX, "%s/%s", prefix, suffix);
    if (n < 0 || n >= FRT_IMPORT_NAME_MAX) {
        (void)frt_onnx_fail(net->graph, FRT_EINTERNAL, "the weights' name %s/%s is too long", prefix, suffix);
        return NULL;
    }
    return out;
}

const struct frt_tfjs_tensor *frt_import_tensor(struct frt_import_net *net, const char *name, uint32_t n_dims,
                                                const int64_t *dims)
{
    if (name == NULL || frt_onnx_status(net->graph, NULL) != FRT_OK)
        return NULL;
    const struct frt_tfjs_tensor *tensor = frt_tfjs_weights_find(net->weights, name);
    char found[96], expected[96];
    dims_text(n_dims, dims, expected, sizeof expected);
    if (tensor == NULL || tensor->f32 == NULL) {
        (void)frt_onnx_fail(net->graph, FRT_EBAD_MODEL, "weights %s: %s; the topology expects float32 %s", name,
                            tensor == NULL ? "not there" : "int32", expected);
        return NULL;
    }
    if (tensor->shape.n_dims != n_dims || memcmp(tensor->shape.dims, dims, n_dims * sizeof *dims) != 0) {
        dims_text(tensor->shape.n_dims, tensor->shape.dims, found, sizeof found);
        (void)frt_onnx_fail(net->graph, FRT_EBAD_MODEL, "weights %s: shape %s; the topology expects %s", name,
                            found, expected);
        return NULL;
    }
    return tensor;
}

void frt_import_lay_out(const float *from, const struct frt_onnx_shape *shape, bool depthwise,
                        const double *scale, float *to)
{
    int64_t out = shape->dims[0], in = shape->dims[1], positions = shape->dims[2] * shape->dims[3];
    for (int64_t o = 0; o < out; o++) {
        double s = scale == NULL ? 1.0 : scale[o];
        for (int64_t i = 0; i < in; i++) {
            for (int64_t p = 0; p < positions; p++) {
                float value = depthwise ? from[p * out + o] : from[(p * in + i) * out + o];
                *to++ = (float)((double)value * s);
            }
        }
    }
}

static int conv(struct frt_import_net *net, int x, const char *filters_name, const char *bias_name,
                bool depthwise, int64_t kernel, int64_t out, const struct frt_onnx_window *window,
                const struct frt_import_affine *affine)
{
    struct frt_onnx_shape sx = frt_onnx_shape_of(net->graph, x);
    if (x == FRT_ONNX_NONE || sx.n_dims != 4)
        return FRT_ONNX_NONE;
    int64_t channels = sx.dims[1];
    if (depthwise)
        out = channels;
    int64_t expected[4] = {kernel, kernel, channels, depthwise ? 1 : out};
    const struct frt_tfjs_tensor *filters = frt_import_tensor(net, filters_name, 4, expected);
    const struct frt_tfjs_tensor *bias = bias_name == NULL ? NULL : frt_import_tensor(net, bias_name, 1, &out);
    const double *scale = affine == NULL ? NULL : affine->scale;
    const double *offset = affine == NULL ? NULL : affine->offset;
    if (filters == NULL || (bias_name != NULL && bias == NULL))
        return FRT_ONNX_NONE;

    struct frt_onnx_shape shape = {.n_dims = 4, .dims = {out, depthwise ? 1 : channels, kernel, kernel}};
    int w, b = FRT_ONNX_NO_BIAS;
    float *to = frt_onnx_const_space(net->graph, filters_name, &shape, &w);
    if (to == NULL)
        return FRT_ONNX_NONE;
    frt_import_lay_out(filters->f32, &shape, depthwise, scale, to);
    if (bias != NULL || offset != NULL) {
        char name[FRT_IMPORT_NAME_MAX];
        struct frt_onnx_shape row = {.n_dims = 1, .dims = {out}};
        if (bias_name == NULL)
            bias_name = frt_import_name(net, filters_name, "offset", name);
        to = bias_name == NULL ? NULL : frt_onnx_const_space(net->graph, bias_name, &row, &b);
        if (to == NULL)
            return FRT_ONNX_NONE;
        for (int64_t o = 0; o < out; o++)
            to[o] = (float)((bias == NULL ? 0.0 : (double)bias->f32[o]) * (scale == NULL ? 1.0 : scale[o]) +
                            (offset == NULL ? 0.0 : offset[o]));
    }
    return frt_op_conv(net->graph, x, w, b, depthwise ? channels : 1, window);
}

int frt_import_conv(struct frt_import_net *net, int x, const char *filters_name, const char *bias_name,
                    int64_t kernel, int64_t out, const struct frt_onnx_window *window,
                    const struct frt_import_affine *affine)
{
    return conv(net, x, filters_name, bias_name, false, kernel, out, window, affine);
}

int frt_import_depthwise(struct frt_import_net *net, int x, const char *filters_name,
                         const struct frt_onnx_window *window, const struct frt_import_affine *affine)
{
    return conv(net, x, filters_name, NULL, true, 3, 0, window, affine);
}

int frt_import_separable(struct frt_import_net *net, int x, const char *prefix, int64_t out,
                         const struct frt_onnx_window *window)
{
    char depthwise[FRT_IMPORT_NAME_MAX], pointwise[FRT_IMPORT_NAME_MAX], bias[FRT_IMPORT_NAME_MAX];
    struct frt_onnx_window point = {0};
    x = frt_import_depthwise(net, x, frt_import_name(net, prefix, "depthwise_filter", depthwise), window, NULL);
    return frt_import_conv(net, x, frt_import_name(net, prefix, "pointwise_filter", pointwise),
                           frt_import_name(net, prefix, "bias", bias), 1, out, &point, NULL);
}

int frt_import_dense(struct frt_import_net *net, int x, const char *prefix, int64_t out)
{
    char weights_name[FRT_IMPORT_NAME_MAX], bias_name[FRT_IMPORT_NAME_MAX];
    struct frt_onnx_shape sx = frt_onnx_shape_of(net->graph, x);
    if (x == FRT_ONNX_NONE || sx.n_dims != 2)
        return FRT_ONNX_NONE;
    int64_t expected[2] = {sx.dims[1], out};
    const struct frt_tfjs_tensor *weights =
        frt_import_tensor(net, frt_import_name(net, prefix, "weights", weights_name), 2, expected);
    const struct frt_tfjs_tensor *bias =
        frt_import_tensor(net, frt_import_name(net, prefix, "bias", bias_name), 1, &out);
    if (weights == NULL || bias == NULL)
        return FRT_ONNX_NONE;
    int w = frt_onnx_const_f32(net->graph, weights_name, &weights->shape, weights->f32);
    int b = frt_onnx_const_f32(net->graph, bias_name, &bias->shape, bias->f32);
    return frt_op_dense(net->graph, x, w, b);
}

int frt_import_mean(struct frt_import_net *net, int x)
{
    int64_t channels = frt_onnx_shape_of(net->graph, x).dims[1];
    x = frt_op_global_average(net->graph, x);
    return frt_op_reshape(net->graph, x, 2, (int64_t[]){0, channels});
}
