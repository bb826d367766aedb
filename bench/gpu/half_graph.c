#include "gpu/half_graph.h"

#include <stdio.h>
#include <string.h>

#include "core/mem.h"
#include "model/onnx_model.h"
#include "model/pass_batch.h"
#include "model/pass_half.h"
#include "model/shape_inference.h"

static enum frt_status cast(struct frt_onnx_model *model, uint32_t at, const char *from, const char *to,
                            enum frt_onnx_type type, struct frt_error *err)
{
    const struct frt_onnx_insert node = {.op = "Cast",
                                         .n_inputs = 1,
                                         .inputs = {from},
                                         .n_outputs = 1,
                                         .outputs = {to},
                                         .n_attributes = 1,
                                         .attributes = {{.name = "to", .kind = FRT_ONNX_INT, .i = type}}};
    return frt_onnx_model_insert(model, at, &node, err);
}

static enum frt_status halve_one(struct frt_onnx_model *model, const char *name,
                                 const struct frt_onnx_tensor *tensor, struct frt_error *err)
{
    char wide[FRT_ONNX_MODEL_MAX_NAME], half[FRT_ONNX_MODEL_MAX_NAME + 8];
    const size_t n = frt_onnx_tensor_count(tensor);
    const float *from = tensor->data;
    uint16_t *values = frt_alloc_array(n, sizeof *values);
    if (values == NULL)
        return frt_fail_nomem(err, "weights");
    for (size_t i = 0; i < n; i++)
        values[i] = frt_f16_of(from[i]);
    (void)snprintf(wide, sizeof wide, "%s", name);
    (void)snprintf(half, sizeof half, "%s/half", name);
    const struct frt_onnx_tensor smaller = {
        .type = FRT_ONNX_F16, .shape = tensor->shape, .data = values, .bytes = n * sizeof *values};
    enum frt_status status = frt_onnx_model_add_tensor(model, half, &smaller, err);
    frt_free(values);
    if (status == FRT_OK)
        status = frt_onnx_model_redirect(model, wide, half, err);
    if (status == FRT_OK)
        frt_onnx_model_remove_weights(model, wide);
    return status;
}

static enum frt_status halve_weights(struct frt_onnx_model *model, struct frt_error *err)
{
    enum frt_status status = FRT_OK;
    const char *name = NULL;
    /* what is halved goes from its place in the list to the end */
    for (uint32_t i = 0; status == FRT_OK && frt_onnx_model_weights_name(model, i, &name);) {
        struct frt_onnx_tensor tensor;
        if (strlen(name) < FRT_ONNX_MODEL_MAX_NAME && frt_onnx_model_tensor(model, name, &tensor) &&
            tensor.type == FRT_ONNX_F32)
            status = halve_one(model, name, &tensor, err);
        else
            i++;
    }
    return status;
}

/* Inputs and outputs. */
static enum frt_status cast_ends(struct frt_onnx_model *model, struct frt_error *err)
{
    enum frt_status status = FRT_OK;
    struct frt_onnx_value value;
    char name[FRT_ONNX_MODEL_MAX_NAME], half[FRT_ONNX_MODEL_MAX_NAME + 8];
    for (uint32_t i = 0; status == FRT_OK && frt_onnx_model_graph_input(model, i, &value); i++) {
        (void)snprintf(name, sizeof name, "%s", value.name);
        (void)snprintf(half, sizeof half, "%s/half", name);
        status = frt_onnx_model_redirect(model, name, half, err);
        if (status == FRT_OK)
            status = cast(model, 0, name, half, FRT_ONNX_F16, err);
    }
    for (uint32_t i = 0; status == FRT_OK && frt_onnx_model_graph_output(model, i, &value); i++) {
        uint32_t maker = 0, output = 0;
        (void)snprintf(name, sizeof name, "%s", value.name);
        (void)snprintf(half, sizeof half, "%s/half", name);
        if (!frt_onnx_model_maker(model, name, &maker))
            return frt_fail(err, FRT_EBAD_MODEL, "nobody computes the output %s", name);
        while (strcmp(frt_onnx_model_output(model, maker, output), name) != 0)
            output++;
        status = frt_onnx_model_redirect(model, name, half, err);
        if (status == FRT_OK)
            status = frt_onnx_model_set_output(model, maker, output, half, err);
        if (status == FRT_OK)
            status = cast(model, frt_onnx_model_nodes(model), half, name, FRT_ONNX_F32, err);
    }
    return status;
}

enum frt_status bench_half_graph(const void *bytes, size_t size, uint8_t **out, size_t *out_size,
                                 struct frt_error *err)
{
    struct frt_onnx_model *model = NULL;
    bool changed = false;
    enum frt_status status = frt_onnx_model_parse(bytes, size, &model, err);
    if (status == FRT_OK)
        status = frt_batch_set(model, -1, &changed, err);
    if (status == FRT_OK)
        status = halve_weights(model, err);
    if (status == FRT_OK)
        status = cast_ends(model, err);
    if (status == FRT_OK) {
        frt_onnx_model_forget_shapes(model);
        status = frt_onnx_model_pack(model, out, out_size, err);
    }
    frt_onnx_model_free(model);
    return status;
}

enum frt_status bench_graph_flops(const void *bytes, size_t size, double *out, struct frt_error *err)
{
    struct frt_onnx_model *model = NULL;
    struct frt_shapes *shapes = NULL;
    double sum = 0;
    enum frt_status status = frt_onnx_model_parse(bytes, size, &model, err);
    if (status == FRT_OK)
        status = frt_shapes_infer(model, &shapes, err);
    for (uint32_t i = 0; status == FRT_OK && i < frt_onnx_model_nodes(model); i++) {
        struct frt_onnx_shape weights, made;
        const float *data = NULL;
        const bool conv = strcmp(frt_onnx_model_op(model, i), "Conv") == 0;
        if (!conv && strcmp(frt_onnx_model_op(model, i), "Gemm") != 0 &&
            strcmp(frt_onnx_model_op(model, i), "MatMul") != 0)
            continue;
        if (!frt_onnx_model_weights(model, frt_onnx_model_input(model, i, 1), &weights, &data) ||
            !frt_shapes_get(shapes, frt_onnx_model_output(model, i, 0), &made) ||
            (conv && (made.n_dims != 4 || made.dims[2] <= 0 || made.dims[3] <= 0))) {
            status = frt_fail(err, FRT_EBAD_MODEL, "node %u: shapes are not known", i);
            break;
        }
        /* each weight is used once for every place of the output; groups are in the weights' shape */
        sum += 2 * (double)frt_onnx_shape_size(&weights) * (conv ? (double)(made.dims[2] * made.dims[3]) : 1);
    }
    frt_shapes_free(shapes);
    frt_onnx_model_free(model);
    if (status == FRT_OK)
        *out = sum;
    return status;
}
