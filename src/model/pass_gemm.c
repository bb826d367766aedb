/* MatMul with weights and the sum with a bias behind it → Gemm, where the value is beyond doubt of two
 * dimensions: what follows can then be folded into its weights. */
#include <stdio.h>
#include <string.h>

#include "model/layer_weights.h"
#include "model/passes.h"
#include "model/shape_inference.h"

struct found {
    uint32_t product, sum;
    char x[FRT_ONNX_MODEL_MAX_NAME], w[FRT_ONNX_MODEL_MAX_NAME], b[FRT_ONNX_MODEL_MAX_NAME],
        y[FRT_ONNX_MODEL_MAX_NAME];
};

static bool copy_name(char *to, const char *from)
{
    return (size_t)snprintf(to, FRT_ONNX_MODEL_MAX_NAME, "%s", from) < FRT_ONNX_MODEL_MAX_NAME;
}

/* Add(MatMul(x, w), b), the two in any order. */
static bool find(const struct frt_onnx_model *model, const struct frt_shapes *shapes, uint32_t node,
                 struct found *out)
{
    struct frt_onnx_shape x, w, b;
    const float *data;
    if (strcmp(frt_onnx_model_op(model, node), "Add") != 0 || frt_onnx_model_n_inputs(model, node) != 2)
        return false;
    for (uint32_t i = 0; i < 2; i++) {
        const char *product = frt_onnx_model_input(model, node, i),
                   *bias = frt_onnx_model_input(model, node, 1 - i);
        if (!frt_onnx_model_maker(model, product, &out->product) ||
            strcmp(frt_onnx_model_op(model, out->product), "MatMul") != 0 ||
            frt_onnx_model_readers(model, product) != 1 ||
            !frt_onnx_model_weights(model, frt_onnx_model_input(model, out->product, 1), &w, &data) ||
            w.n_dims != 2 || !frt_onnx_model_weights(model, bias, &b, &data) ||
            frt_onnx_shape_size(&b) != w.dims[1] || b.dims[b.n_dims - 1] != w.dims[1] || b.n_dims > 2)
            continue;
        out->sum = node;
        return frt_shapes_get(shapes, frt_onnx_model_input(model, out->product, 0), &x) && x.n_dims == 2 &&
               copy_name(out->x, frt_onnx_model_input(model, out->product, 0)) &&
               copy_name(out->w, frt_onnx_model_input(model, out->product, 1)) && copy_name(out->b, bias) &&
               copy_name(out->y, frt_onnx_model_output(model, node, 0));
    }
    return false;
}

enum frt_status frt_pass_gemm(struct frt_onnx_model *model, uint32_t *changed, struct frt_error *err)
{
    struct frt_shapes *shapes = NULL;
    enum frt_status status = FRT_OK;
    for (uint32_t i = 0; status == FRT_OK && i < frt_onnx_model_nodes(model); i++) {
        struct found f;
        if (strcmp(frt_onnx_model_op(model, i), "Add") != 0)
            continue;
        if (shapes == NULL)
            status = frt_shapes_infer(model, &shapes, err);
        if (status != FRT_OK || !find(model, shapes, i, &f))
            continue;
        status = frt_onnx_model_insert(
            model, i,
            &(struct frt_onnx_insert){
                .op = "Gemm", .n_inputs = 3, .inputs = {f.x, f.w, f.b}, .n_outputs = 1, .outputs = {f.y}},
            err);
        if (status != FRT_OK)
            break;
        frt_onnx_model_remove(model, f.sum + 1);
        frt_onnx_model_remove(model, f.product); /* stands before */
        (*changed)++;
        i--;
    }
    frt_shapes_free(shapes);
    return status;
}
