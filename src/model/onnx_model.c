/*
 * Reading, looking and packing over protobuf-c's tree; onnx_edit.c changes it. See onnx_model.h and
 * onnx_model_inside.h.
 */
#include "model/onnx_model.h"

#include <stdio.h>
#include <string.h>

#include "core/mem.h"
#include "model/onnx_model_inside.h"

enum { SLACK = 1 << 20 };

/* Bytes handed out stand before each block. */
struct block {
    size_t size;
    max_align_t bytes[];
};

void *frt_onnx_model_take(struct frt_onnx_model *model, size_t size)
{
    size_t bytes;
    if (!frt_add_size(size, sizeof(struct block), &bytes) || bytes > model->most - model->used) {
        model->exceeded = true;
        return NULL;
    }
    struct block *block = frt_alloc(bytes);
    if (block == NULL)
        return NULL;
    block->size = bytes;
    model->used += bytes;
    return block->bytes;
}

void frt_onnx_model_give_back(struct frt_onnx_model *model, void *pointer)
{
    if (pointer == NULL)
        return;
    struct block *block = (struct block *)((char *)pointer - offsetof(struct block, bytes));
    model->used -= block->size;
    frt_free(block);
}

static void *take(void *arg, size_t size)
{
    return frt_onnx_model_take(arg, size);
}

static void give_back(void *arg, void *pointer)
{
    frt_onnx_model_give_back(arg, pointer);
}

enum frt_status frt_onnx_model_parse(const void *bytes, size_t size, struct frt_onnx_model **out,
                                     struct frt_error *err)
{
    struct frt_onnx_model *model = frt_alloc_zero(1, sizeof *model);
    if (model == NULL)
        return frt_fail_nomem(err, "a model");
    model->allocator = (ProtobufCAllocator){.alloc = take, .free = give_back, .allocator_data = model};
    if (!frt_mul_size(size, FRT_ONNX_MODEL_SPREAD, &model->most) ||
        !frt_add_size(model->most, SLACK, &model->most))
        model->most = SIZE_MAX;
    model->proto = onnx__model_proto__unpack(&model->allocator, size, bytes);
    enum frt_status status = FRT_OK;
    if (model->proto == NULL && model->exceeded)
        status = frt_fail(err, FRT_EBAD_MODEL, "reading the model takes more than %d times its size",
                          FRT_ONNX_MODEL_SPREAD);
    else if (model->proto == NULL || model->proto->graph == NULL)
        status = frt_fail(err, FRT_EBAD_MODEL, "not an ONNX model: its %zu bytes cannot be read as one", size);
    else if (model->proto->graph->n_node > FRT_ONNX_MODEL_MAX_NODES)
        status = frt_fail(err, FRT_EBAD_MODEL, "the model has %zu nodes; at most %d fit",
                          model->proto->graph->n_node, FRT_ONNX_MODEL_MAX_NODES);
    if (status == FRT_OK)
        *out = model;
    else
        frt_onnx_model_free(model);
    return status;
}

void frt_onnx_model_swap(struct frt_onnx_model *a, struct frt_onnx_model *b)
{
    struct frt_onnx_model other = *a;
    *a = *b;
    *b = other;
    a->allocator.allocator_data = a; /* the bytes taken are counted where they now belong */
    b->allocator.allocator_data = b;
}

void frt_onnx_model_free(struct frt_onnx_model *model)
{
    if (model == NULL)
        return;
    if (model->proto != NULL)
        onnx__model_proto__free_unpacked(model->proto, &model->allocator);
    frt_free(model);
}

/* ------------------------------------------------------------------- nodes */

static const Onnx__NodeProto *node_at(const struct frt_onnx_model *model, uint32_t node)
{
    return model->proto->graph->node[node];
}

uint32_t frt_onnx_model_nodes(const struct frt_onnx_model *model)
{
    return (uint32_t)model->proto->graph->n_node;
}

const char *frt_onnx_model_op(const struct frt_onnx_model *model, uint32_t node)
{
    const Onnx__NodeProto *n = node_at(model, node);
    return frt_onnx_text(n->domain)[0] == '\0' ? frt_onnx_text(n->op_type)
                                               : ""; /* others' domains: not ours to know */
}

const char *frt_onnx_model_node_name(const struct frt_onnx_model *model, uint32_t node)
{
    return frt_onnx_text(node_at(model, node)->name);
}

uint32_t frt_onnx_model_n_inputs(const struct frt_onnx_model *model, uint32_t node)
{
    return (uint32_t)node_at(model, node)->n_input;
}

uint32_t frt_onnx_model_n_outputs(const struct frt_onnx_model *model, uint32_t node)
{
    return (uint32_t)node_at(model, node)->n_output;
}

const char *frt_onnx_model_input(const struct frt_onnx_model *model, uint32_t node, uint32_t i)
{
    const Onnx__NodeProto *n = node_at(model, node);
    return i < n->n_input ? frt_onnx_text(n->input[i]) : "";
}

const char *frt_onnx_model_output(const struct frt_onnx_model *model, uint32_t node, uint32_t i)
{
    const Onnx__NodeProto *n = node_at(model, node);
    return i < n->n_output ? frt_onnx_text(n->output[i]) : "";
}

bool frt_onnx_model_maker(const struct frt_onnx_model *model, const char *value, uint32_t *node)
{
    if (value[0] == '\0')
        return false; /* an output that is left out is nobody's input */
    for (uint32_t i = 0; i < frt_onnx_model_nodes(model); i++) {
        const Onnx__NodeProto *n = node_at(model, i);
        for (size_t k = 0; k < n->n_output; k++) {
            if (strcmp(frt_onnx_text(n->output[k]), value) == 0) {
                *node = i;
                return true;
            }
        }
    }
    return false;
}

bool frt_onnx_model_is_output(const struct frt_onnx_model *model, const char *value)
{
    const Onnx__GraphProto *graph = model->proto->graph;
    for (size_t i = 0; i < graph->n_output; i++)
        if (strcmp(frt_onnx_text(graph->output[i]->name), value) == 0)
            return true;
    return false;
}

uint32_t frt_onnx_model_readers(const struct frt_onnx_model *model, const char *value)
{
    const Onnx__GraphProto *graph = model->proto->graph;
    uint32_t readers = 0;
    for (size_t i = 0; i < graph->n_node; i++)
        for (size_t k = 0; k < graph->node[i]->n_input; k++)
            readers += strcmp(frt_onnx_text(graph->node[i]->input[k]), value) == 0;
    for (size_t i = 0; i < graph->n_output; i++)
        readers += strcmp(frt_onnx_text(graph->output[i]->name), value) == 0;
    return readers;
}

bool frt_onnx_model_has_inner_graphs(const struct frt_onnx_model *model)
{
    const Onnx__GraphProto *graph = model->proto->graph;
    if (model->proto->n_functions > 0)
        return true;
    for (size_t i = 0; i < graph->n_node; i++)
        for (size_t k = 0; k < graph->node[i]->n_attribute; k++)
            if (graph->node[i]->attribute[k]->g != NULL || graph->node[i]->attribute[k]->n_graphs > 0)
                return true;
    return false;
}

int64_t frt_onnx_model_opset(const struct frt_onnx_model *model)
{
    for (size_t i = 0; i < model->proto->n_opset_import; i++)
        if (frt_onnx_text(model->proto->opset_import[i]->domain)[0] == '\0')
            return model->proto->opset_import[i]->version;
    return 0;
}

/* ------------------------------------------------------- inputs and outputs */

size_t frt_onnx_type_bytes(enum frt_onnx_type type)
{
    switch (type) {
    case FRT_ONNX_U8:
    case FRT_ONNX_I8:
    case FRT_ONNX_BOOL:
        return 1;
    case FRT_ONNX_F16:
        return 2;
    case FRT_ONNX_F32:
    case FRT_ONNX_I32:
        return 4;
    case FRT_ONNX_I64:
    case FRT_ONNX_F64:
        return 8;
    }
    return 0;
}

const char *frt_onnx_type_name(enum frt_onnx_type type)
{
    switch (type) {
    case FRT_ONNX_U8:
        return "u8";
    case FRT_ONNX_I8:
        return "i8";
    case FRT_ONNX_BOOL:
        return "bool";
    case FRT_ONNX_F16:
        return "f16";
    case FRT_ONNX_F32:
        return "f32";
    case FRT_ONNX_I32:
        return "i32";
    case FRT_ONNX_I64:
        return "i64";
    case FRT_ONNX_F64:
        return "f64";
    }
    return "?";
}

static void read_value(const Onnx__ValueInfoProto *info, struct frt_onnx_value *out)
{
    *out = (struct frt_onnx_value){.name = frt_onnx_text(info->name)};
    if (info->type == NULL || info->type->value_case != ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE ||
        info->type->tensor_type == NULL)
        return;
    const Onnx__TypeProto__Tensor *type = info->type->tensor_type;
    out->type = (enum frt_onnx_type)type->elem_type;
    if (type->shape == NULL || type->shape->n_dim > FRT_ONNX_MAX_DIMS)
        return;
    out->has_shape = true;
    out->shape.n_dims = (uint32_t)type->shape->n_dim;
    for (uint32_t i = 0; i < out->shape.n_dims; i++) {
        const Onnx__TensorShapeProto__Dimension *dim = type->shape->dim[i];
        const bool number =
            dim->value_case == ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_VALUE && dim->dim_value > 0;
        out->shape.dims[i] = number ? dim->dim_value : -1;
    }
}

bool frt_onnx_model_graph_input(const struct frt_onnx_model *model, uint32_t i, struct frt_onnx_value *out)
{
    const Onnx__GraphProto *graph = model->proto->graph;
    for (size_t k = 0; k < graph->n_input; k++) {
        if (frt_onnx_model_find_tensor(model, frt_onnx_text(graph->input[k]->name)) != NULL)
            continue;
        if (i-- == 0) {
            read_value(graph->input[k], out);
            return true;
        }
    }
    return false;
}

bool frt_onnx_model_graph_output(const struct frt_onnx_model *model, uint32_t i, struct frt_onnx_value *out)
{
    const Onnx__GraphProto *graph = model->proto->graph;
    if (i >= graph->n_output)
        return false;
    read_value(graph->output[i], out);
    return true;
}

/* -------------------------------------------------------------- attributes */

Onnx__AttributeProto *frt_onnx_model_attribute(const struct frt_onnx_model *model, uint32_t node,
                                               const char *name)
{
    const Onnx__NodeProto *n = node_at(model, node);
    for (size_t i = 0; i < n->n_attribute; i++)
        if (strcmp(frt_onnx_text(n->attribute[i]->name), name) == 0)
            return n->attribute[i];
    return NULL;
}

int64_t frt_onnx_model_int(const struct frt_onnx_model *model, uint32_t node, const char *name, int64_t missing)
{
    const Onnx__AttributeProto *attribute = frt_onnx_model_attribute(model, node, name);
    return attribute != NULL && attribute->has_i ? attribute->i : missing;
}

float frt_onnx_model_float(const struct frt_onnx_model *model, uint32_t node, const char *name, float missing)
{
    const Onnx__AttributeProto *attribute = frt_onnx_model_attribute(model, node, name);
    return attribute != NULL && attribute->has_f ? attribute->f : missing;
}

bool frt_onnx_model_ints(const struct frt_onnx_model *model, uint32_t node, const char *name, uint32_t room,
                         int64_t *out, uint32_t *n)
{
    const Onnx__AttributeProto *attribute = frt_onnx_model_attribute(model, node, name);
    if (attribute == NULL || attribute->n_ints == 0 || attribute->n_ints > room)
        return false;
    for (size_t i = 0; i < attribute->n_ints; i++)
        out[i] = attribute->ints[i];
    *n = (uint32_t)attribute->n_ints;
    return true;
}

bool frt_onnx_model_text_is(const struct frt_onnx_model *model, uint32_t node, const char *name,
                            const char *text, bool missing)
{
    const Onnx__AttributeProto *attribute = frt_onnx_model_attribute(model, node, name);
    if (attribute == NULL || !attribute->has_s)
        return missing;
    return attribute->s.len == strlen(text) && memcmp(attribute->s.data, text, attribute->s.len) == 0;
}

/* ----------------------------------------------------------------- weights */

Onnx__TensorProto *frt_onnx_model_find_tensor(const struct frt_onnx_model *model, const char *name)
{
    const Onnx__GraphProto *graph = model->proto->graph;
    for (size_t i = 0; i < graph->n_initializer; i++)
        if (strcmp(frt_onnx_text(graph->initializer[i]->name), name) == 0)
            return graph->initializer[i];
    return NULL;
}

size_t frt_onnx_tensor_count(const struct frt_onnx_tensor *tensor)
{
    return tensor->bytes / frt_onnx_type_bytes(tensor->type);
}

/* Where the elements of a kind lie when they are not raw: NULL where they are not kept as they are. */
static const void *listed(const Onnx__TensorProto *tensor, size_t count)
{
    if (tensor->data_type == FRT_ONNX_F32 && tensor->n_float_data == count)
        return tensor->float_data;
    if (tensor->data_type == FRT_ONNX_I32 && tensor->n_int32_data == count)
        return tensor->int32_data;
    if (tensor->data_type == FRT_ONNX_I64 && tensor->n_int64_data == count)
        return tensor->int64_data;
    if (tensor->data_type == FRT_ONNX_F64 && tensor->n_double_data == count)
        return tensor->double_data;
    return NULL;
}

static bool read_elements(const Onnx__TensorProto *tensor, struct frt_onnx_tensor *out)
{
    struct frt_onnx_tensor t = {.type = (enum frt_onnx_type)tensor->data_type};
    const size_t each = frt_onnx_type_bytes(t.type);
    if (each == 0 || tensor->n_external_data > 0 || tensor->n_dims > FRT_ONNX_MAX_DIMS)
        return false;
    t.shape.n_dims = (uint32_t)tensor->n_dims;
    for (uint32_t i = 0; i < t.shape.n_dims; i++)
        t.shape.dims[i] = tensor->dims[i];
    const int64_t count = t.shape.n_dims == 0 ? 1 : frt_onnx_shape_size(&t.shape);
    if (count <= 0 || !frt_mul_size((size_t)count, each, &t.bytes))
        return false;
    if (tensor->has_raw_data)
        t.data = tensor->raw_data.len == t.bytes ? tensor->raw_data.data : NULL; /* its own block: aligned */
    else
        t.data = listed(tensor, (size_t)count);
    if (t.data == NULL)
        return false;
    *out = t;
    return true;
}

bool frt_onnx_model_tensor(const struct frt_onnx_model *model, const char *name, struct frt_onnx_tensor *out)
{
    const Onnx__TensorProto *tensor = name[0] == '\0' ? NULL : frt_onnx_model_find_tensor(model, name);
    return tensor != NULL && read_elements(tensor, out);
}

bool frt_onnx_model_constant(const struct frt_onnx_model *model, uint32_t node, struct frt_onnx_tensor *out)
{
    const Onnx__AttributeProto *value = frt_onnx_model_attribute(model, node, "value");
    return strcmp(frt_onnx_model_op(model, node), "Constant") == 0 && value != NULL && value->t != NULL &&
           read_elements(value->t, out);
}

bool frt_onnx_model_weights(const struct frt_onnx_model *model, const char *name, struct frt_onnx_shape *shape,
                            const float **data)
{
    struct frt_onnx_tensor tensor;
    if (!frt_onnx_model_tensor(model, name, &tensor) || tensor.type != FRT_ONNX_F32 || tensor.shape.n_dims == 0)
        return false;
    *shape = tensor.shape;
    *data = tensor.data;
    return true;
}

bool frt_onnx_model_weights_name(const struct frt_onnx_model *model, uint32_t i, const char **name)
{
    const Onnx__GraphProto *graph = model->proto->graph;
    if (i >= graph->n_initializer)
        return false;
    *name = frt_onnx_text(graph->initializer[i]->name);
    return true;
}

/* ----------------------------------------------------------------- packing */

enum frt_status frt_onnx_model_pack(struct frt_onnx_model *model, uint8_t **bytes, size_t *size,
                                    struct frt_error *err)
{
    (void)frt_onnx_model_drop_unread_weights(model);
    const size_t n = onnx__model_proto__get_packed_size(model->proto);
    uint8_t *packed = frt_alloc(n);
    if (packed == NULL)
        return frt_fail_nomem(err, "a model file");
    *size = onnx__model_proto__pack(model->proto, packed);
    *bytes = packed;
    return FRT_OK;
}
