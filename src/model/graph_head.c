#include "model/graph_head.h"

#include <stdio.h>
#include <string.h>

#include "model/onnx_model.h"

enum { SHOWN_OPS = 5, MAX_HEAD = 6 };

static bool one_of(const char *op, const char *const *words, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (strcmp(op, words[i]) == 0)
            return true;
    return false;
}

static bool tensor_of(const struct frt_onnx_model *model, const char *name, struct frt_onnx_tensor *out)
{
    uint32_t node;
    return frt_onnx_model_tensor(model, name, out) ||
           (frt_onnx_model_maker(model, name, &node) && frt_onnx_model_constant(model, node, out));
}

/* One number for all colours. */
static bool single(const struct frt_onnx_model *model, const char *name, float *out)
{
    struct frt_onnx_tensor tensor;
    if (!tensor_of(model, name, &tensor) || tensor.type != FRT_ONNX_F32)
        return false;
    const size_t n = frt_onnx_tensor_count(&tensor);
    float first = 0, other;
    for (size_t i = 0; i < n; i++) {
        memcpy(i == 0 ? &first : &other, (const char *)tensor.data + i * sizeof(float), sizeof(float));
        if (i > 0 && other != first)
            return false;
    }
    *out = first;
    return n > 0;
}

/* The node that reads a value; false: none or several. */
static bool reader(const struct frt_onnx_model *model, const char *value, uint32_t *out)
{
    uint32_t found = 0;
    for (uint32_t i = 0; i < frt_onnx_model_nodes(model); i++)
        for (uint32_t k = 0; k < frt_onnx_model_n_inputs(model, i); k++)
            if (strcmp(frt_onnx_model_input(model, i, k), value) == 0) {
                *out = i;
                found++;
            }
    return found == 1;
}

static void note_op(struct frt_graph_head *head, const char *op)
{
    size_t used = strlen(head->ops);
    (void)snprintf(head->ops + used, sizeof head->ops - used, "%s%s", used > 0 ? ", " : "", op);
}

static void follow(const struct frt_onnx_model *model, const char *value, struct frt_graph_head *head)
{
    static const char *const arithmetic[] = {"Sub", "Mul", "Div", "Add"};
    static const char *const passing[] = {"Identity", "Cast", "Transpose"};
    float offset = 0, factor = 1; /* x · factor + offset */
    bool plain = true, head_over = false;
    uint32_t node;
    struct frt_onnx_tensor tensor;
    for (uint32_t i = 0; i < MAX_HEAD && reader(model, value, &node); i++) {
        const char *op = frt_onnx_model_op(model, node);
        if (i < SHOWN_OPS)
            note_op(head, op);
        head_over = head_over || (!one_of(op, arithmetic, 4) && !one_of(op, passing, 3));
        if (!head_over && one_of(op, arithmetic, 4)) {
            const char *first = frt_onnx_model_input(model, node, 0),
                       *second = frt_onnx_model_input(model, node, 1);
            const char *other = strcmp(first, value) == 0 ? second : first;
            float c = 0;
            head->normalises = head->normalises || tensor_of(model, other, &tensor);
            plain = plain && single(model, other, &c) &&
                    (strcmp(first, value) == 0 || op[0] == 'M' || op[0] == 'A');
            if (strcmp(op, "Sub") == 0)
                offset -= c;
            else if (strcmp(op, "Add") == 0)
                offset += c;
            else if (strcmp(op, "Mul") == 0 || c != 0) {
                float by = strcmp(op, "Mul") == 0 ? c : 1 / c;
                factor *= by;
                offset *= by;
            }
        } else if (i == 0 && strcmp(op, "BatchNormalization") == 0) {
            head->normalises = true;
            plain = false;
        }
        value = frt_onnx_model_output(model, node, 0);
    }
    if (head->normalises && plain && factor != 0) {
        head->scale = factor;
        head->mean = -offset / factor;
    }
}

enum frt_status frt_graph_head_look(const void *bytes, size_t size, struct frt_graph_head *out,
                                    struct frt_error *err)
{
    struct frt_onnx_model *model = NULL;
    struct frt_onnx_value input;
    enum frt_status status = frt_onnx_model_parse(bytes, size, &model, err);
    if (status != FRT_OK)
        return status;
    struct frt_graph_head head = {.nodes = frt_onnx_model_nodes(model)};
    if (frt_onnx_model_graph_input(model, 0, &input))
        follow(model, input.name, &head);
    frt_onnx_model_free(model);
    *out = head;
    return FRT_OK;
}
