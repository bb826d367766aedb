/* What nobody reads is taken out: nodes, then weights. Weights that the file lists among its inputs (as all did
 * before IR 4) are weights only: as inputs, which somebody might feed, the runtime could not fold them. */
#include "model/passes.h"

static bool is_dead(const struct frt_onnx_model *model, uint32_t node)
{
    for (uint32_t i = 0; i < frt_onnx_model_n_outputs(model, node); i++)
        if (frt_onnx_model_output(model, node, i)[0] != '\0' &&
            frt_onnx_model_readers(model, frt_onnx_model_output(model, node, i)) > 0)
            return false;
    return true;
}

enum frt_status frt_pass_dead(struct frt_onnx_model *model, uint32_t *changed, struct frt_error *err)
{
    (void)err;
    for (uint32_t i = frt_onnx_model_nodes(model); i-- > 0;) { /* readers stand behind makers */
        if (is_dead(model, i)) {
            frt_onnx_model_remove(model, i);
            (*changed)++;
        }
    }
    *changed += frt_onnx_model_drop_unread_weights(model);
    *changed += frt_onnx_model_fix_weights(model);
    return FRT_OK;
}
