#include "gpu/half_graph.h"

#include <string.h>

#include "core/mem.h"
#include "model/onnx_model.h"
#include "model/pass_batch.h"
#include "model/pass_compute_half.h"
#include "model/shape_inference.h"

enum frt_status bench_half_graph(const void *bytes, size_t size, uint8_t **out, size_t *out_size,
                                 uint32_t *halved, struct frt_error *err)
{
    struct frt_onnx_model *model = NULL;
    uint8_t *any = NULL;
    size_t any_size = 0;
    bool changed = false;
    enum frt_status status = frt_onnx_model_parse(bytes, size, &model, err);
    if (status == FRT_OK)
        status = frt_batch_set(model, -1, &changed, err);
    if (status == FRT_OK) {
        frt_onnx_model_forget_shapes(model);
        status = frt_onnx_model_pack(model, &any, &any_size, err);
    }
    if (status == FRT_OK)
        status = frt_rewrite_in_half(any, any_size, out, out_size, halved, err);
    if (status == FRT_OK && *out == NULL)
        status = frt_fail(err, FRT_EBAD_MODEL, "nothing of the graph can be computed in f16");
    frt_free(any);
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
