/* Identity, and Dropout, which does nothing once a net is trained: whoever read what they make reads what they
 * took. A Dropout whose mask somebody reads, or that is told to train, stays. */
#include <string.h>

#include "model/layer_weights.h"
#include "model/passes.h"

static bool does_nothing(const struct frt_onnx_model *model, uint32_t node)
{
    const char *op = frt_onnx_model_op(model, node);
    if (strcmp(op, "Identity") == 0)
        return true;
    const char *mask = frt_onnx_model_output(model, node, 1);
    return strcmp(op, "Dropout") == 0 && (mask[0] == '\0' || frt_onnx_model_readers(model, mask) == 0) &&
           frt_onnx_model_input(model, node, 2)[0] == '\0' /* training_mode */ &&
           frt_onnx_model_opset(model) >= 7; /* before, an attribute could say: train */
}

enum frt_status frt_pass_identity(struct frt_onnx_model *model, uint32_t *changed, struct frt_error *err)
{
    enum frt_status status = FRT_OK;
    for (uint32_t i = 0; status == FRT_OK && i < frt_onnx_model_nodes(model);) {
        bool done = false;
        if (does_nothing(model, i))
            status = frt_bypass(model, i, frt_onnx_model_input(model, i, 0), &done, err);
        if (done)
            (*changed)++;
        else
            i++;
    }
    return status;
}
