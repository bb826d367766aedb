#include "model/pass_batch.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* The batch of the inputs: a number, -1 for any. */
static enum frt_status batch_of(const struct frt_onnx_model *model, int64_t *out, struct frt_error *err)
{
    struct frt_onnx_value value;
    bool found = false;
    for (uint32_t i = 0; frt_onnx_model_graph_input(model, i, &value); i++) {
        if (!value.has_shape || value.shape.n_dims < 2 || (found && value.shape.dims[0] != *out))
            return frt_fail(err, FRT_EBAD_MODEL, "the model's inputs have no batch in common");
        *out = value.shape.dims[0];
        found = true;
    }
    if (!found)
        return frt_fail(err, FRT_EBAD_MODEL, "the model has no input");
    return FRT_OK;
}

/* A constant shape [batch, …] of a Reshape: its first number becomes 0, "as the input's", where the node's
 * `allowzero` does not mean something else by it. Only where the others say all about their own sizes. */
static enum frt_status let_follow(struct frt_onnx_model *model, uint32_t node, int64_t batch, bool *changed,
                                  struct frt_error *err)
{
    struct frt_onnx_tensor shape;
    int64_t dims[FRT_ONNX_MAX_DIMS];
    char name[FRT_ONNX_MODEL_MAX_NAME + 32];
    if (strcmp(frt_onnx_model_op(model, node), "Reshape") != 0 ||
        frt_onnx_model_int(model, node, "allowzero", 0) != 0 ||
        strlen(frt_onnx_model_output(model, node, 0)) >= FRT_ONNX_MODEL_MAX_NAME ||
        !frt_onnx_model_tensor(model, frt_onnx_model_input(model, node, 1), &shape) ||
        shape.type != FRT_ONNX_I64 || shape.shape.n_dims != 1)
        return FRT_OK;
    const size_t n = frt_onnx_tensor_count(&shape);
    if (n < 2 || n > FRT_ONNX_MAX_DIMS)
        return FRT_OK;
    memcpy(dims, shape.data, n * sizeof *dims);
    if (dims[0] != batch)
        return FRT_OK;
    dims[0] = 0;
    (void)snprintf(name, sizeof name, "%s/frt_batch", frt_onnx_model_output(model, node, 0));
    const struct frt_onnx_tensor follows = {
        .type = FRT_ONNX_I64, .shape = shape.shape, .data = dims, .bytes = n * sizeof *dims};
    enum frt_status status = frt_onnx_model_add_tensor(model, name, &follows, err);
    if (status == FRT_OK)
        status = frt_onnx_model_set_input(model, node, 1, name, err);
    *changed = true;
    return status;
}

enum frt_status frt_batch_set(struct frt_onnx_model *model, int64_t batch, bool *changed, struct frt_error *err)
{
    int64_t before = 0;
    if (batch == 0 || batch < -1)
        return frt_fail(err, FRT_EINVAL, "a batch of %" PRId64 ": a number from 1, or -1 for any", batch);
    enum frt_status status = batch_of(model, &before, err);
    if (status != FRT_OK || before == batch)
        return status;
    for (uint32_t i = 0; status == FRT_OK && before > 0 && i < frt_onnx_model_nodes(model); i++)
        status = let_follow(model, i, before, changed, err);
    if (status == FRT_OK)
        status = frt_onnx_model_set_batch(model, batch, err);
    *changed = true;
    return status;
}
