/*
 * BatchNormalization into the layer before it: y = (conv(x) − mean) · s + shift with s = scale / √(variance +
 * ε) is a convolution of other weights. One that stands before a layer instead goes into that one where borders
 * stay exact: a padded convolution pads with zeros what the normalisation makes, not what it takes, so only
 * where nothing is added.
 */
#include <math.h>
#include <string.h>

#include "core/mem.h"
#include "model/layer_weights.h"
#include "model/passes.h"

/* y = x · scale + shift, one each for `channels`. */
struct affine {
    int64_t channels;
    double *scale, *shift;
};

static void affine_free(struct affine *a)
{
    frt_free(a->scale);
    frt_free(a->shift);
}

/* Inputs scale, shift, mean and variance of a node that only normalises. False: it is another one. */
static bool read_inputs(const struct frt_onnx_model *model, uint32_t node, int64_t *channels,
                        const float *data[4])
{
    if (strcmp(frt_onnx_model_op(model, node), "BatchNormalization") != 0 ||
        frt_onnx_model_int(model, node, "training_mode", 0) != 0 ||
        frt_onnx_model_int(model, node, "spatial", 1) != 1)
        return false;
    for (uint32_t i = 0; i < 4; i++) {
        struct frt_onnx_shape shape;
        if (!frt_onnx_model_weights(model, frt_onnx_model_input(model, node, 1 + i), &shape, &data[i]) ||
            shape.n_dims != 1 || (i > 0 && shape.dims[0] != *channels))
            return false;
        *channels = shape.dims[0];
    }
    for (uint32_t i = 1; i < frt_onnx_model_n_outputs(model, node); i++)
        if (frt_onnx_model_output(model, node, i)[0] != '\0')
            return false;
    return true;
}

/* NULL scale on success: not a normalisation that can be folded. */
static enum frt_status read_affine(const struct frt_onnx_model *model, uint32_t node, struct affine *out,
                                   struct frt_error *err)
{
    const float *data[4];
    struct affine a = {0};
    *out = a;
    if (!read_inputs(model, node, &a.channels, data))
        return FRT_OK;
    const double epsilon = (double)frt_onnx_model_float(model, node, "epsilon", 1e-5F);
    a.scale = frt_alloc_array((size_t)a.channels, sizeof *a.scale);
    a.shift = frt_alloc_array((size_t)a.channels, sizeof *a.shift);
    if (a.scale == NULL || a.shift == NULL) {
        affine_free(&a);
        return frt_fail_nomem(err, "a normalisation");
    }
    for (int64_t c = 0; c < a.channels; c++) {
        a.scale[c] = (double)data[0][c] / sqrt((double)data[3][c] + epsilon);
        a.shift[c] = (double)data[1][c] - (double)data[2][c] * a.scale[c];
        if (!isfinite(a.scale[c]) || !isfinite(a.shift[c])) {
            affine_free(&a);
            return FRT_OK;
        }
    }
    *out = a;
    return FRT_OK;
}

/* The layer that alone reads a value as its input, and can take up the affine. */
static bool layer_after(const struct frt_onnx_model *model, const char *value, const struct affine *a,
                        struct frt_layer *out)
{
    if (frt_onnx_model_readers(model, value) != 1 || frt_onnx_model_is_output(model, value))
        return false;
    for (uint32_t i = 0; i < frt_onnx_model_nodes(model); i++) {
        if (strcmp(frt_onnx_model_input(model, i, 0), value) != 0)
            continue;
        if (!frt_layer_read(model, i, out) || out->inputs != a->channels)
            return false;
        for (int64_t c = 0; out->padded && c < a->channels; c++)
            if (a->shift[c] != 0)
                return false;
        return true;
    }
    return false;
}

static enum frt_status fold(struct frt_onnx_model *model, uint32_t node, const struct affine *a, bool *done,
                            struct frt_error *err)
{
    struct frt_layer layer;
    const char *x = frt_onnx_model_input(model, node, 0), *y = frt_onnx_model_output(model, node, 0);
    enum frt_status status;
    if (strlen(x) >= FRT_ONNX_MODEL_MAX_NAME || strlen(y) >= FRT_ONNX_MODEL_MAX_NAME)
        return FRT_OK;
    if (frt_layer_before(model, x, &layer) && layer.outputs == a->channels)
        status = frt_layer_scale_outputs(model, &layer, a->scale, a->shift, err);
    else if (layer_after(model, y, a, &layer))
        status = frt_layer_scale_inputs(model, &layer, a->scale, a->shift, err);
    else
        return FRT_OK;
    return status == FRT_OK ? frt_bypass(model, node, frt_onnx_model_input(model, node, 0), done, err) : status;
}

enum frt_status frt_pass_batchnorm(struct frt_onnx_model *model, uint32_t *changed, struct frt_error *err)
{
    enum frt_status status = FRT_OK;
    for (uint32_t i = 0; status == FRT_OK && i < frt_onnx_model_nodes(model);) {
        struct affine a;
        bool done = false;
        status = read_affine(model, i, &a, err);
        if (status == FRT_OK && a.scale != NULL)
            status = fold(model, i, &a, &done, err);
        affine_free(&a);
        if (done)
            (*changed)++;
        else
            i++;
    }
    return status;
}
