#include "model/pass_half.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/mem.h"

enum { LEAST = 64 };
#define LARGEST 65504.0F

uint16_t frt_f16_of(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    const uint32_t sign = bits >> 16 & 0x8000U, rest = bits & 0x7FFFFFFFU;
    if (rest > 0x7F800000U)
        return (uint16_t)(sign | 0x7E00U); /* not a number */
    if (rest >= 0x477FF000U)
        return (uint16_t)(sign | 0x7C00U); /* 65520 and more round to infinity */
    if (rest < 0x38800000U) {              /* below 2^-14: a multiple of 2^-24 */
        float magnitude;
        memcpy(&magnitude, &rest, sizeof magnitude);
        return (uint16_t)(sign |
                          (uint32_t)lrintf(magnitude * 0x1p24F)); /* the default rounding: ties to even */
    }
    const uint32_t rounded = rest + 0xFFFU + (rest >> 13 & 1U);
    return (uint16_t)(sign | (rounded - 0x38000000U) >> 13);
}

static bool fits(const float *data, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!(fabsf(data[i]) <= LARGEST))
            return false;
    return true;
}

static enum frt_status halve(struct frt_onnx_model *model, const char *name,
                             const struct frt_onnx_tensor *tensor, struct frt_error *err)
{
    char wide[FRT_ONNX_MODEL_MAX_NAME], half[FRT_ONNX_MODEL_MAX_NAME + 16];
    const size_t n = frt_onnx_tensor_count(tensor);
    (void)snprintf(wide, sizeof wide, "%s", name);
    (void)snprintf(half, sizeof half, "%s/frt_f16", name);
    uint16_t *values = frt_alloc_array(n, sizeof *values);
    if (values == NULL)
        return frt_fail_nomem(err, "weights");
    for (size_t i = 0; i < n; i++)
        values[i] = frt_f16_of(((const float *)tensor->data)[i]);
    const struct frt_onnx_tensor smaller = {
        .type = FRT_ONNX_F16, .shape = tensor->shape, .data = values, .bytes = n * sizeof *values};
    enum frt_status status = frt_onnx_model_add_tensor(model, half, &smaller, err);
    frt_free(values);
    if (status != FRT_OK)
        return status;
    frt_onnx_model_remove_weights(model, wide);
    return frt_onnx_model_insert(
        model, 0,
        &(struct frt_onnx_insert){.op = "Cast",
                                  .n_inputs = 1,
                                  .inputs = {half},
                                  .n_outputs = 1,
                                  .outputs = {wide},
                                  .n_attributes = 1,
                                  .attributes = {{.name = "to", .kind = FRT_ONNX_INT, .i = FRT_ONNX_F32}}},
        err);
}

enum frt_status frt_halve_weights(struct frt_onnx_model *model, uint32_t *halved, struct frt_error *err)
{
    enum frt_status status = FRT_OK;
    const char *name;
    if (frt_onnx_model_has_inner_graphs(model))
        return FRT_OK;
    (void)frt_onnx_model_drop_unread_weights(model);
    (void)frt_onnx_model_fix_weights(model); /* what a node makes is no input */
    /* what is halved goes from its place in the list to the end */
    for (uint32_t i = 0; status == FRT_OK && frt_onnx_model_weights_name(model, i, &name);) {
        struct frt_onnx_tensor tensor;
        if (strlen(name) >= FRT_ONNX_MODEL_MAX_NAME || frt_onnx_model_is_output(model, name) ||
            !frt_onnx_model_tensor(model, name, &tensor) || tensor.type != FRT_ONNX_F32 ||
            frt_onnx_tensor_count(&tensor) < LEAST || !fits(tensor.data, frt_onnx_tensor_count(&tensor))) {
            i++;
            continue;
        }
        status = halve(model, name, &tensor, err);
        (*halved)++;
    }
    return status;
}
