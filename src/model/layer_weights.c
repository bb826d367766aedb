#include "model/layer_weights.h"

#include <stdio.h>
#include <string.h>

#include "core/mem.h"

enum { NAME = FRT_ONNX_MODEL_MAX_NAME + 16 };

void frt_fresh_name(const struct frt_onnx_model *model, const char *after, const char *what, char *out)
{
    struct frt_onnx_tensor tensor;
    for (unsigned i = 1;; i++) {
        (void)snprintf(out, NAME, "%.*s/%.8s%u", FRT_ONNX_MODEL_MAX_NAME - 1, after, what, i % 1000);
        if (!frt_onnx_model_tensor(model, out, &tensor) || i == 999)
            return; /* the thousandth fails when it is added */
    }
}

/* ----------------------------------------------------------------- reading */

static bool is_padded(const struct frt_onnx_model *model, uint32_t node)
{
    int64_t pads[8];
    uint32_t n = 0;
    if (!frt_onnx_model_text_is(model, node, "auto_pad", "NOTSET", true))
        return !frt_onnx_model_text_is(model, node, "auto_pad", "VALID", false);
    if (!frt_onnx_model_ints(model, node, "pads", 8, pads, &n))
        return false; /* none, which is the default; more than eight there are not */
    for (uint32_t i = 0; i < n; i++)
        if (pads[i] != 0)
            return true;
    return false;
}

static bool good_bias(const struct frt_onnx_model *model, const char *bias, int64_t outputs)
{
    struct frt_onnx_shape shape;
    const float *data;
    return bias[0] == '\0' ||
           (frt_onnx_model_weights(model, bias, &shape, &data) && frt_onnx_shape_size(&shape) == outputs);
}

bool frt_layer_read(const struct frt_onnx_model *model, uint32_t node, struct frt_layer *out)
{
    struct frt_layer layer = {.node = node, .groups = 1};
    struct frt_onnx_shape shape;
    const float *data;
    const char *op = frt_onnx_model_op(model, node);
    layer.is_conv = strcmp(op, "Conv") == 0;
    if ((!layer.is_conv && strcmp(op, "Gemm") != 0) ||
        strlen(frt_onnx_model_output(model, node, 0)) >= FRT_ONNX_MODEL_MAX_NAME ||
        !frt_onnx_model_weights(model, frt_onnx_model_input(model, node, 1), &shape, &data) || shape.n_dims < 2)
        return false;
    if (layer.is_conv) {
        layer.groups = frt_onnx_model_int(model, node, "group", 1);
        layer.outputs = shape.dims[0];
        if (layer.groups < 1 || layer.groups > layer.outputs || layer.outputs % layer.groups != 0 ||
            layer.groups > INT32_MAX || shape.dims[1] > INT32_MAX)
            return false;
        layer.inputs = shape.dims[1] * layer.groups;
        layer.padded = is_padded(model, node);
    } else {
        const bool turned = frt_onnx_model_int(model, node, "transB", 0) != 0;
        if (shape.n_dims != 2 || frt_onnx_model_int(model, node, "transA", 0) != 0 ||
            frt_onnx_model_float(model, node, "alpha", 1) != 1 ||
            frt_onnx_model_float(model, node, "beta", 1) != 1)
            return false;
        layer.outputs = shape.dims[turned ? 0 : 1];
        layer.inputs = shape.dims[turned ? 1 : 0];
    }
    if (!good_bias(model, frt_onnx_model_input(model, node, 2), layer.outputs))
        return false;
    *out = layer;
    return true;
}

bool frt_layer_before(const struct frt_onnx_model *model, const char *value, struct frt_layer *out)
{
    uint32_t maker;
    return frt_onnx_model_readers(model, value) == 1 && frt_onnx_model_maker(model, value, &maker) &&
           frt_layer_read(model, maker, out);
}

bool frt_channel_numbers(const struct frt_onnx_model *model, const char *name, uint32_t n_dims,
                         int64_t channels, double *out)
{
    struct frt_onnx_tensor t;
    if (!frt_onnx_model_tensor(model, name, &t) || t.type != FRT_ONNX_F32 || t.shape.n_dims > n_dims)
        return false;
    const float *data = t.data;
    const size_t n = frt_onnx_tensor_count(&t);
    if (n != 1) {
        /* where dimension 1 of the value lies in the constant, counted from the end */
        const int64_t at = (int64_t)t.shape.n_dims - (int64_t)n_dims + 1;
        if (n != (size_t)channels || at < 0 || t.shape.dims[at] != channels)
            return false;
    }
    for (int64_t c = 0; c < channels; c++)
        out[c] = (double)data[n == 1 ? 0 : c];
    return true;
}

/* ---------------------------------------------------------------- changing */

/* Copies of a layer's weights and bias (zeros without one), to be changed and put back. */
struct copy {
    struct frt_onnx_shape shape, bias_shape;
    float *weights, *bias;
    int64_t n;
};

static void copy_free(struct copy *copy)
{
    frt_free(copy->weights);
    frt_free(copy->bias);
}

static enum frt_status copy_out(const struct frt_onnx_model *model, const struct frt_layer *layer,
                                struct copy *copy, struct frt_error *err)
{
    const float *data;
    struct frt_onnx_shape shape;
    (void)frt_onnx_model_weights(model, frt_onnx_model_input(model, layer->node, 1), &copy->shape, &data);
    copy->n = frt_onnx_shape_size(&copy->shape);
    copy->weights = frt_alloc_array((size_t)copy->n, sizeof *copy->weights);
    copy->bias = frt_alloc_zero((size_t)layer->outputs, sizeof *copy->bias);
    if (copy->weights == NULL || copy->bias == NULL) {
        copy_free(copy);
        return frt_fail_nomem(err, "weights");
    }
    memcpy(copy->weights, data, (size_t)copy->n * sizeof *data);
    copy->bias_shape = (struct frt_onnx_shape){.n_dims = 1, .dims = {layer->outputs}};
    if (frt_onnx_model_weights(model, frt_onnx_model_input(model, layer->node, 2), &shape, &data))
        memcpy(copy->bias, data, (size_t)layer->outputs * sizeof *data);
    return FRT_OK;
}

/* CONSUMES the copy. */
static enum frt_status put_back(struct frt_onnx_model *model, const struct frt_layer *layer, struct copy *copy,
                                struct frt_error *err)
{
    char name[NAME];
    const char *y = frt_onnx_model_output(model, layer->node, 0);
    frt_fresh_name(model, y, "frt_w", name);
    enum frt_status status = frt_onnx_model_add_weights(model, name, &copy->shape, copy->weights, err);
    if (status == FRT_OK)
        status = frt_onnx_model_set_input(model, layer->node, 1, name, err);
    frt_fresh_name(model, y, "frt_b", name);
    if (status == FRT_OK)
        status = frt_onnx_model_add_weights(model, name, &copy->bias_shape, copy->bias, err);
    if (status == FRT_OK)
        status = frt_onnx_model_set_input(model, layer->node, 2, name, err);
    copy_free(copy);
    return status;
}

/* Where the weight of an output and an input is: rows of `outputs` or, in a Gemm that is not turned, of inputs.
 */
static bool by_input(const struct frt_onnx_model *model, const struct frt_layer *layer)
{
    return !layer->is_conv && frt_onnx_model_int(model, layer->node, "transB", 0) == 0;
}

enum frt_status frt_layer_scale_outputs(struct frt_onnx_model *model, const struct frt_layer *layer,
                                        const double *scale, const double *shift, struct frt_error *err)
{
    struct copy copy = {0};
    enum frt_status status = copy_out(model, layer, &copy, err);
    if (status != FRT_OK)
        return status;
    const bool columns = by_input(model, layer);
    const int64_t each = copy.n / layer->outputs;
    for (int64_t k = 0; k < copy.n; k++)
        copy.weights[k] = (float)(copy.weights[k] * scale[columns ? k % layer->outputs : k / each]);
    for (int64_t o = 0; o < layer->outputs; o++)
        copy.bias[o] = (float)(copy.bias[o] * scale[o] + shift[o]);
    return put_back(model, layer, &copy, err);
}

enum frt_status frt_layer_scale_inputs(struct frt_onnx_model *model, const struct frt_layer *layer,
                                       const double *scale, const double *shift, struct frt_error *err)
{
    struct copy copy = {0};
    enum frt_status status = copy_out(model, layer, &copy, err);
    if (status != FRT_OK)
        return status;
    const bool columns = by_input(model, layer);
    const int64_t a_group = layer->inputs / layer->groups, outputs_a_group = layer->outputs / layer->groups;
    const int64_t taps = copy.n / layer->outputs / a_group;
    for (int64_t o = 0; o < layer->outputs; o++) {
        double sum = copy.bias[o];
        for (int64_t i = 0; i < a_group; i++) {
            const int64_t input = o / outputs_a_group * a_group + i;
            float *at =
                columns ? copy.weights + i * layer->outputs + o : copy.weights + (o * a_group + i) * taps;
            for (int64_t t = 0; t < taps; t++) {
                sum += at[t] * shift[input];
                at[t] = (float)(at[t] * scale[input]);
            }
        }
        copy.bias[o] = (float)sum;
    }
    return put_back(model, layer, &copy, err);
}

enum frt_status frt_bypass(struct frt_onnx_model *model, uint32_t node, const char *from, bool *done,
                           struct frt_error *err)
{
    char x[FRT_ONNX_MODEL_MAX_NAME], y[FRT_ONNX_MODEL_MAX_NAME];
    uint32_t maker;
    enum frt_status status = FRT_OK;
    *done = false;
    if (strlen(from) >= sizeof x || strlen(frt_onnx_model_output(model, node, 0)) >= sizeof y)
        return FRT_OK;
    (void)snprintf(x, sizeof x, "%s", from); /* what is changed below may be what `from` points to */
    (void)snprintf(y, sizeof y, "%s", frt_onnx_model_output(model, node, 0));
    if (!frt_onnx_model_is_output(model, y)) {
        status = frt_onnx_model_redirect(model, y, x, err);
    } else {
        if (frt_onnx_model_is_output(model, x) || !frt_onnx_model_maker(model, x, &maker))
            return FRT_OK;
        for (uint32_t i = 0; status == FRT_OK && i < frt_onnx_model_n_outputs(model, maker); i++)
            if (strcmp(frt_onnx_model_output(model, maker, i), x) == 0)
                status = frt_onnx_model_set_output(model, maker, i, y, err);
        if (status == FRT_OK)
            status = frt_onnx_model_redirect(model, x, y, err);
    }
    if (status != FRT_OK)
        return status;
    frt_onnx_model_remove(model, node);
    *done = true;
    return FRT_OK;
}
