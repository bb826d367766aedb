/* What a graph answers with, and whose operators it may use. Small messages are made on the stack and come into
 * the tree by way of their bytes, so that all in the tree is the tree's allocator's. */
#include <string.h>

#include "model/onnx_model_inside.h"

enum { MESSAGE_MAX = 1024 };

/* A longer list with one more at its end; the old one is given back. False: no memory, nothing changed. */
static bool append(struct frt_onnx_model *model, void ***list, size_t *n, void *item)
{
    void **wide = item == NULL ? NULL : frt_onnx_model_take(model, (*n + 1) * sizeof *wide);
    if (wide == NULL)
        return false;
    if (*n > 0)
        memcpy(wide, *list, *n * sizeof *wide);
    wide[(*n)++] = item;
    frt_onnx_model_give_back(model, *list);
    *list = wide;
    return true;
}

enum frt_status frt_onnx_model_add_output(struct frt_onnx_model *model, const char *name,
                                          enum frt_onnx_type type, struct frt_error *err)
{
    Onnx__GraphProto *graph = model->proto->graph;
    Onnx__TypeProto__Tensor tensor = ONNX__TYPE_PROTO__TENSOR__INIT;
    Onnx__TypeProto of = ONNX__TYPE_PROTO__INIT;
    Onnx__ValueInfoProto info = ONNX__VALUE_INFO_PROTO__INIT;
    uint8_t bytes[MESSAGE_MAX];
    char copy[FRT_ONNX_MODEL_MAX_NAME];
    if (strlen(name) >= sizeof copy)
        return frt_fail(err, FRT_EBAD_MODEL, "the name of a value has %zu characters", strlen(name));
    memcpy(copy, name, strlen(name) + 1);
    tensor.has_elem_type = 1;
    tensor.elem_type = (int32_t)type;
    of.value_case = ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE;
    of.tensor_type = &tensor;
    info.name = copy;
    info.type = &of;
    Onnx__ValueInfoProto *made =
        onnx__value_info_proto__unpack(&model->allocator, onnx__value_info_proto__pack(&info, bytes), bytes);
    if (append(model, (void ***)&graph->output, &graph->n_output, made))
        return FRT_OK;
    if (made != NULL)
        onnx__value_info_proto__free_unpacked(made, &model->allocator);
    return frt_fail_nomem(err, "an output");
}

void frt_onnx_model_drop_outputs(struct frt_onnx_model *model)
{
    Onnx__GraphProto *graph = model->proto->graph;
    while (graph->n_output > 0)
        onnx__value_info_proto__free_unpacked(graph->output[--graph->n_output], &model->allocator);
}

enum frt_status frt_onnx_model_use_domain(struct frt_onnx_model *model, const char *domain, int64_t version,
                                          struct frt_error *err)
{
    Onnx__OperatorSetIdProto import = ONNX__OPERATOR_SET_ID_PROTO__INIT;
    uint8_t bytes[MESSAGE_MAX];
    char copy[FRT_ONNX_MODEL_MAX_NAME];
    for (size_t i = 0; i < model->proto->n_opset_import; i++)
        if (strcmp(frt_onnx_text(model->proto->opset_import[i]->domain), domain) == 0)
            return FRT_OK;
    if (strlen(domain) >= sizeof copy)
        return frt_fail(err, FRT_EINVAL, "the name of a domain has %zu characters", strlen(domain));
    memcpy(copy, domain, strlen(domain) + 1);
    import.domain = copy;
    import.has_version = 1;
    import.version = version;
    Onnx__OperatorSetIdProto *made = onnx__operator_set_id_proto__unpack(
        &model->allocator, onnx__operator_set_id_proto__pack(&import, bytes), bytes);
    if (append(model, (void ***)&model->proto->opset_import, &model->proto->n_opset_import, made))
        return FRT_OK;
    if (made != NULL)
        onnx__operator_set_id_proto__free_unpacked(made, &model->allocator);
    return frt_fail_nomem(err, "a domain");
}
