/*
 * Products and sums with constants, one number a channel, into the layer beside them: after it always; before
 * it a product always, a sum only where the layer pads nothing (a padded one pads with zeros what the sum
 * makes). So the normalisation that some graphs begin with, (x − 127.5) / 128, becomes part of the first
 * convolution as far as it is exact.
 */
#include <math.h>
#include <string.h>

#include "core/mem.h"
#include "model/layer_weights.h"
#include "model/passes.h"
#include "model/shape_inference.h"

/* Which of the node's inputs is the constant; false: not an operation of this kind. */
static bool read_node(const struct frt_onnx_model *model, uint32_t node, char *kind, uint32_t *constant)
{
    static const char *const ops[] = {"Mul", "Div", "Add", "Sub"};
    const char *op = frt_onnx_model_op(model, node);
    struct frt_onnx_tensor tensor;
    size_t i = 0;
    while (i < sizeof ops / sizeof *ops && strcmp(ops[i], op) != 0)
        i++;
    if (i == sizeof ops / sizeof *ops || frt_onnx_model_n_inputs(model, node) != 2)
        return false;
    *kind = op[0];
    *constant = 1;
    if (!frt_onnx_model_tensor(model, frt_onnx_model_input(model, node, 1), &tensor)) {
        *constant = 0; /* c − x and c / x are others */
        if ((*kind != 'M' && *kind != 'A') ||
            !frt_onnx_model_tensor(model, frt_onnx_model_input(model, node, 0), &tensor))
            return false;
    }
    return strlen(frt_onnx_model_input(model, node, 0)) < FRT_ONNX_MODEL_MAX_NAME &&
           strlen(frt_onnx_model_input(model, node, 1)) < FRT_ONNX_MODEL_MAX_NAME &&
           strlen(frt_onnx_model_output(model, node, 0)) < FRT_ONNX_MODEL_MAX_NAME;
}

/* The constants as y = x · scale + shift, of 2 · channels places. False: they are of another shape, or do not
 * stay finite. */
static bool read_numbers(const struct frt_onnx_model *model, const char *name, char kind, uint32_t n_dims,
                         int64_t channels, double *scale, double *shift)
{
    if (!frt_channel_numbers(model, name, n_dims, channels, scale))
        return false;
    for (int64_t c = 0; c < channels; c++) {
        const double number = scale[c];
        scale[c] = kind == 'M' ? number : kind == 'D' ? 1 / number : 1;
        shift[c] = kind == 'A' ? number : kind == 'S' ? -number : 0;
        if (!isfinite((float)scale[c]) || !isfinite(shift[c]))
            return false;
    }
    return true;
}

/* A value of a layer has as many dimensions as its weights, or two. */
static uint32_t dims_of(const struct frt_onnx_model *model, const struct frt_layer *layer)
{
    struct frt_onnx_shape shape = {0};
    const float *data;
    (void)frt_onnx_model_weights(model, frt_onnx_model_input(model, layer->node, 1), &shape, &data);
    return shape.n_dims;
}

static bool layer_after(const struct frt_onnx_model *model, const char *value, struct frt_layer *out)
{
    if (frt_onnx_model_readers(model, value) != 1 || frt_onnx_model_is_output(model, value))
        return false;
    for (uint32_t i = 0; i < frt_onnx_model_nodes(model); i++)
        if (strcmp(frt_onnx_model_input(model, i, 0), value) == 0)
            return frt_layer_read(model, i, out);
    return false;
}

/* Whether a value is beyond doubt of `n_dims` dimensions and so many channels: were it smaller, the constant
 * would spread it. */
static enum frt_status has_channels(const struct frt_onnx_model *model, const char *value, uint32_t n_dims,
                                    int64_t channels, bool *has, struct frt_error *err)
{
    struct frt_shapes *shapes = NULL;
    struct frt_onnx_shape shape;
    enum frt_status status = frt_shapes_infer(model, &shapes, err);
    if (status != FRT_OK)
        return status;
    *has = frt_shapes_get(shapes, value, &shape) && shape.n_dims == n_dims && shape.dims[1] == channels;
    frt_shapes_free(shapes);
    return FRT_OK;
}

static enum frt_status fold(struct frt_onnx_model *model, uint32_t node, char kind, uint32_t constant,
                            bool *done, struct frt_error *err)
{
    const char *c = frt_onnx_model_input(model, node, constant),
               *x = frt_onnx_model_input(model, node, 1 - constant), *y = frt_onnx_model_output(model, node, 0);
    struct frt_layer layer;
    enum frt_status status = FRT_OK;
    const bool after = frt_layer_before(model, x, &layer);
    if (!after && (!layer_after(model, y, &layer) || (layer.padded && (kind == 'A' || kind == 'S'))))
        return FRT_OK;
    const int64_t channels = after ? layer.outputs : layer.inputs;
    bool fits = after;
    if (!after)
        status = has_channels(model, x, dims_of(model, &layer), channels, &fits, err);
    if (status != FRT_OK || !fits)
        return status;
    double *scale = frt_alloc_array((size_t)channels, sizeof *scale);
    double *shift = frt_alloc_array((size_t)channels, sizeof *shift);
    if (scale == NULL || shift == NULL)
        status = frt_fail_nomem(err, "factors");
    else if (!read_numbers(model, c, kind, dims_of(model, &layer), channels, scale, shift))
        goto out;
    if (status == FRT_OK)
        status = after ? frt_layer_scale_outputs(model, &layer, scale, shift, err)
                       : frt_layer_scale_inputs(model, &layer, scale, shift, err);
    if (status == FRT_OK)
        status = frt_bypass(model, node, frt_onnx_model_input(model, node, 1 - constant), done, err);
out:
    frt_free(scale);
    frt_free(shift);
    return status;
}

enum frt_status frt_pass_scale(struct frt_onnx_model *model, uint32_t *changed, struct frt_error *err)
{
    enum frt_status status = FRT_OK;
    for (uint32_t i = frt_onnx_model_nodes(model); status == FRT_OK && i-- > 0;) {
        /* from the end: of (x − a) · b before a padded layer, b goes first */
        bool done = false;
        char kind;
        uint32_t constant;
        if (!read_node(model, i, &kind, &constant))
            continue;
        status = fold(model, i, kind, constant, &done, err);
        *changed += done;
        if (done && i < frt_onnx_model_nodes(model))
            i++; /* another one moved here */
    }
    return status;
}
