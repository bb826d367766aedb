/* Min and Max with constants → Clip, and Max with 0 → Relu: the runtime makes those part of the convolution
 * before them, and keeps its blocked layout. */
#include <float.h>
#include <string.h>

#include "model/layer_weights.h"
#include "model/passes.h"

/* One side of a clip: op(x, constant). */
struct bound {
    const char *x;
    float value;
};

static bool read_bound(const struct frt_onnx_model *model, uint32_t node, const char *op, struct bound *out)
{
    if (strcmp(frt_onnx_model_op(model, node), op) != 0 || frt_onnx_model_n_inputs(model, node) != 2)
        return false;
    for (uint32_t i = 0; i < 2; i++) {
        struct frt_onnx_tensor t;
        const char *x = frt_onnx_model_input(model, node, 1 - i);
        if (!frt_onnx_model_tensor(model, frt_onnx_model_input(model, node, i), &t) || t.type != FRT_ONNX_F32 ||
            frt_onnx_tensor_count(&t) != 1 || t.shape.n_dims > 1 || strlen(x) >= FRT_ONNX_MODEL_MAX_NAME)
            continue;
        out->x = x;
        out->value = *(const float *)t.data;
        return out->value == out->value; /* not NaN */
    }
    return false;
}

static enum frt_status add_scalar(struct frt_onnx_model *model, const char *after, const char *what,
                                  float value, char *name, struct frt_error *err)
{
    const struct frt_onnx_tensor scalar = {.type = FRT_ONNX_F32, .data = &value, .bytes = sizeof value};
    frt_fresh_name(model, after, what, name);
    return frt_onnx_model_add_tensor(model, name, &scalar, err);
}

/* In the place of `node`, which it removes; x and y are copied before that. */
static enum frt_status put(struct frt_onnx_model *model, uint32_t node, const char *x, float low, float high,
                           struct frt_error *err)
{
    char from[FRT_ONNX_MODEL_MAX_NAME], to[FRT_ONNX_MODEL_MAX_NAME], names[2][FRT_ONNX_MODEL_MAX_NAME + 16];
    enum frt_status status = FRT_OK;
    memcpy(from, x, strlen(x) + 1);
    memcpy(to, frt_onnx_model_output(model, node, 0), strlen(frt_onnx_model_output(model, node, 0)) + 1);
    struct frt_onnx_insert clip = {
        .op = "Clip", .n_inputs = 1, .inputs = {from}, .n_outputs = 1, .outputs = {to}};
    if (low == 0 && high == FLT_MAX) {
        clip.op = "Relu";
    } else if (frt_onnx_model_opset(model) >= 11) {
        status = add_scalar(model, to, "frt_low", low, names[0], err);
        if (status == FRT_OK)
            status = add_scalar(model, to, "frt_high", high, names[1], err);
        clip.n_inputs = 3;
        clip.inputs[1] = names[0];
        clip.inputs[2] = names[1];
    } else {
        clip.n_attributes = 2;
        clip.attributes[0] = (struct frt_onnx_attribute){.name = "min", .kind = FRT_ONNX_FLOAT, .f = low};
        clip.attributes[1] = (struct frt_onnx_attribute){.name = "max", .kind = FRT_ONNX_FLOAT, .f = high};
    }
    if (status == FRT_OK)
        status = frt_onnx_model_insert(model, node, &clip, err);
    if (status == FRT_OK)
        frt_onnx_model_remove(model, node + 1);
    return status;
}

enum frt_status frt_pass_clip(struct frt_onnx_model *model, uint32_t *changed, struct frt_error *err)
{
    enum frt_status status = FRT_OK;
    /* from the end: of two, the outer one is met first */
    for (uint32_t i = frt_onnx_model_nodes(model); status == FRT_OK && i-- > 0;) {
        struct bound outer, inner;
        uint32_t maker;
        const bool upper = read_bound(model, i, "Min", &outer);
        if ((!upper && !read_bound(model, i, "Max", &outer)) ||
            strlen(frt_onnx_model_output(model, i, 0)) >= FRT_ONNX_MODEL_MAX_NAME)
            continue;
        const bool two = frt_onnx_model_maker(model, outer.x, &maker) &&
                         frt_onnx_model_readers(model, outer.x) == 1 &&
                         read_bound(model, maker, upper ? "Max" : "Min", &inner);
        const float low = upper ? (two ? inner.value : -FLT_MAX) : outer.value,
                    high = upper ? outer.value : (two ? inner.value : FLT_MAX);
        if (!(low <= high))
            continue; /* which of the two counts then depends on their order */
        status = put(model, i, two ? inner.x : outer.x, low, high, err);
        if (status == FRT_OK && two)
            frt_onnx_model_remove(model, maker); /* stands before this one, which is met again and left alone */
        (*changed)++;
    }
    return status;
}
