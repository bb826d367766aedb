/*
 * Editing over protobuf-c's tree. Whatever hangs in the tree comes from the tree's own allocator, so that one
 * call frees it, however it was changed. The allocator counts: see the header.
 */
#include "model/onnx_model.h"

#include <stdio.h>
#include <string.h>

#include "core/mem.h"
#include "onnx/onnx.pb-c.h"

enum { SLACK = 1 << 20 };

/* Bytes handed out stand before each block. */
struct block {
    size_t size;
    max_align_t bytes[];
};

struct frt_onnx_model {
    Onnx__ModelProto *proto;
    ProtobufCAllocator allocator;
    size_t used, most;
    bool exceeded;
};

static void *take(void *arg, size_t size)
{
    struct frt_onnx_model *model = arg;
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

static void give_back(void *arg, void *pointer)
{
    struct frt_onnx_model *model = arg;
    if (pointer == NULL)
        return;
    struct block *block = (struct block *)((char *)pointer - offsetof(struct block, bytes));
    model->used -= block->size;
    frt_free(block);
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
    if (status != FRT_OK) {
        frt_onnx_model_free(model);
        return status;
    }
    model->most = SIZE_MAX; /* what passes add is ours */
    *out = model;
    return FRT_OK;
}

void frt_onnx_model_free(struct frt_onnx_model *model)
{
    if (model == NULL)
        return;
    if (model->proto != NULL)
        onnx__model_proto__free_unpacked(model->proto, &model->allocator);
    frt_free(model);
}

/* ----------------------------------------------------------------- looking */

static const char *text(const char *maybe)
{
    return maybe != NULL ? maybe : "";
}

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
    return text(n->domain)[0] == '\0' ? text(n->op_type) : ""; /* others' domains: not ours to know */
}

const char *frt_onnx_model_input(const struct frt_onnx_model *model, uint32_t node, uint32_t i)
{
    const Onnx__NodeProto *n = node_at(model, node);
    return i < n->n_input ? text(n->input[i]) : "";
}

const char *frt_onnx_model_output(const struct frt_onnx_model *model, uint32_t node, uint32_t i)
{
    const Onnx__NodeProto *n = node_at(model, node);
    return i < n->n_output ? text(n->output[i]) : "";
}

bool frt_onnx_model_maker(const struct frt_onnx_model *model, const char *value, uint32_t *node)
{
    for (uint32_t i = 0; i < frt_onnx_model_nodes(model); i++) {
        const Onnx__NodeProto *n = node_at(model, i);
        for (size_t k = 0; k < n->n_output; k++) {
            if (strcmp(text(n->output[k]), value) == 0) {
                *node = i;
                return true;
            }
        }
    }
    return false;
}

static Onnx__AttributeProto *attribute_of(const struct frt_onnx_model *model, uint32_t node, const char *name)
{
    const Onnx__NodeProto *n = node_at(model, node);
    for (size_t i = 0; i < n->n_attribute; i++)
        if (strcmp(text(n->attribute[i]->name), name) == 0)
            return n->attribute[i];
    return NULL;
}

uint32_t frt_onnx_model_readers(const struct frt_onnx_model *model, const char *value)
{
    const Onnx__GraphProto *graph = model->proto->graph;
    uint32_t readers = 0;
    for (size_t i = 0; i < graph->n_node; i++)
        for (size_t k = 0; k < graph->node[i]->n_input; k++)
            readers += strcmp(text(graph->node[i]->input[k]), value) == 0;
    for (size_t i = 0; i < graph->n_output; i++)
        readers += strcmp(text(graph->output[i]->name), value) == 0;
    return readers;
}

int64_t frt_onnx_model_int(const struct frt_onnx_model *model, uint32_t node, const char *name, int64_t missing)
{
    const Onnx__AttributeProto *attribute = attribute_of(model, node, name);
    return attribute != NULL && attribute->has_i ? attribute->i : missing;
}

static const Onnx__TensorProto *tensor_of(const struct frt_onnx_model *model, const char *name)
{
    const Onnx__GraphProto *graph = model->proto->graph;
    for (size_t i = 0; i < graph->n_initializer; i++)
        if (strcmp(text(graph->initializer[i]->name), name) == 0)
            return graph->initializer[i];
    return NULL;
}

bool frt_onnx_model_weights(const struct frt_onnx_model *model, const char *name, struct frt_onnx_shape *shape,
                            const float **data)
{
    const Onnx__TensorProto *tensor = tensor_of(model, name);
    struct frt_onnx_shape s = {0};
    size_t bytes;
    if (tensor == NULL || tensor->data_type != ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT ||
        tensor->n_external_data > 0 || tensor->n_dims > FRT_ONNX_MAX_DIMS)
        return false;
    s.n_dims = (uint32_t)tensor->n_dims;
    for (uint32_t i = 0; i < s.n_dims; i++)
        s.dims[i] = tensor->dims[i];
    const int64_t count = frt_onnx_shape_size(&s);
    if (count <= 0 || !frt_mul_size((size_t)count, sizeof(float), &bytes))
        return false;
    if (tensor->has_raw_data && tensor->raw_data.len == bytes)
        *data = (const float *)(const void *)tensor->raw_data.data; /* a block of its own: aligned */
    else if (!tensor->has_raw_data && tensor->n_float_data == (size_t)count)
        *data = tensor->float_data;
    else
        return false;
    *shape = s;
    return true;
}

/* ---------------------------------------------------------------- changing */

static char *copy_text(struct frt_onnx_model *model, const char *from)
{
    const size_t size = strlen(from) + 1;
    char *to = take(model, size);
    if (to != NULL)
        memcpy(to, from, size);
    return to;
}

/* A list of pointers with room for `more`; what stood in it is copied, the old one freed. */
static void *widen(struct frt_onnx_model *model, void *list, size_t n, size_t more)
{
    void *wide = take(model, (n + more) * sizeof(void *));
    if (wide == NULL)
        return NULL;
    if (n > 0)
        memcpy(wide, list, n * sizeof(void *));
    give_back(model, list);
    return wide;
}

bool frt_onnx_model_set_int(struct frt_onnx_model *model, uint32_t node, const char *name, int64_t value)
{
    Onnx__AttributeProto *attribute = attribute_of(model, node, name);
    if (attribute == NULL || !attribute->has_i)
        return false;
    attribute->i = value;
    return true;
}

enum frt_status frt_onnx_model_set_input(struct frt_onnx_model *model, uint32_t node, uint32_t i,
                                         const char *name, struct frt_error *err)
{
    Onnx__NodeProto *n = model->proto->graph->node[node];
    char *copy = copy_text(model, name);
    if (copy == NULL)
        return frt_fail_nomem(err, "a node");
    give_back(model, n->input[i]);
    n->input[i] = copy;
    return FRT_OK;
}

enum frt_status frt_onnx_model_add_weights(struct frt_onnx_model *model, const char *name,
                                           const struct frt_onnx_shape *shape, const float *data,
                                           struct frt_error *err)
{
    Onnx__GraphProto *graph = model->proto->graph;
    const int64_t count = frt_onnx_shape_size(shape);
    size_t bytes;
    if (count <= 0 || !frt_mul_size((size_t)count, sizeof(float), &bytes) || tensor_of(model, name) != NULL)
        return frt_fail(err, FRT_EINVAL, "weights '%.100s': a name that is taken, or no fixed size", name);
    Onnx__TensorProto *tensor = take(model, sizeof *tensor);
    if (tensor == NULL)
        return frt_fail_nomem(err, "weights");
    onnx__tensor_proto__init(tensor);
    tensor->has_data_type = 1;
    tensor->data_type = ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT;
    tensor->name = copy_text(model, name);
    tensor->dims = take(model, shape->n_dims * sizeof *tensor->dims);
    tensor->has_raw_data = 1;
    tensor->raw_data.data = take(model, bytes);
    void *list = widen(model, graph->initializer, graph->n_initializer, 1);
    if (list != NULL)
        graph->initializer = list;
    if (tensor->name == NULL || tensor->dims == NULL || tensor->raw_data.data == NULL || list == NULL) {
        tensor->has_raw_data = tensor->raw_data.data != NULL;
        give_back(model, tensor->name);
        give_back(model, tensor->dims);
        give_back(model, tensor->raw_data.data);
        give_back(model, tensor);
        return frt_fail_nomem(err, "weights");
    }
    memcpy(tensor->dims, shape->dims, shape->n_dims * sizeof *tensor->dims);
    tensor->n_dims = shape->n_dims;
    memcpy(tensor->raw_data.data, data, bytes);
    tensor->raw_data.len = bytes;
    graph->initializer[graph->n_initializer++] = tensor;
    return FRT_OK;
}

static Onnx__AttributeProto *attribute_new(struct frt_onnx_model *model, const char *name)
{
    Onnx__AttributeProto *attribute = take(model, sizeof *attribute);
    if (attribute == NULL)
        return NULL;
    onnx__attribute_proto__init(attribute);
    attribute->name = copy_text(model, name);
    attribute->has_type = 1;
    return attribute;
}

/* By way of its bytes: whatever kind it is of. */
static Onnx__AttributeProto *attribute_copy(struct frt_onnx_model *model, const Onnx__AttributeProto *from)
{
    Onnx__AttributeProto *copy = NULL;
    const size_t size = onnx__attribute_proto__get_packed_size(from);
    uint8_t *bytes = frt_alloc(size > 0 ? size : 1);
    if (bytes != NULL)
        copy =
            onnx__attribute_proto__unpack(&model->allocator, onnx__attribute_proto__pack(from, bytes), bytes);
    frt_free(bytes);
    return copy;
}

static bool copy_attributes(struct frt_onnx_model *model, const Onnx__NodeProto *from, int64_t group,
                            Onnx__NodeProto *node)
{
    node->attribute = take(model, (from->n_attribute + 1) * sizeof *node->attribute);
    if (node->attribute == NULL)
        return false;
    for (size_t i = 0; i < from->n_attribute; i++) {
        Onnx__AttributeProto *attribute = attribute_copy(model, from->attribute[i]);
        if (attribute == NULL)
            return false;
        if (strcmp(text(attribute->name), "group") == 0)
            attribute->i = group;
        node->attribute[node->n_attribute++] = attribute;
    }
    return true;
}

/* Attributes of a 1 × 1 convolution in `group` groups, or the slope of a leaky relu. */
static bool write_attributes(struct frt_onnx_model *model, const struct frt_onnx_new_node *from,
                             const Onnx__NodeProto *before, Onnx__NodeProto *node)
{
    if (from->like)
        return copy_attributes(model, before, from->group, node);
    const size_t n = from->group > 0 ? 2 : from->has_alpha ? 1 : 0;
    if (n == 0)
        return true;
    node->attribute = take(model, n * sizeof *node->attribute);
    if (node->attribute == NULL)
        return false;
    for (size_t i = 0; i < n; i++) {
        static const char *const names[] = {"group", "kernel_shape"};
        Onnx__AttributeProto *attribute = attribute_new(model, from->group > 0 ? names[i] : "alpha");
        if (attribute == NULL)
            return false;
        node->attribute[node->n_attribute++] = attribute;
        if (attribute->name == NULL)
            return false;
        if (from->group > 0 && i == 1) {
            attribute->type = ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INTS;
            attribute->ints = take(model, 2 * sizeof *attribute->ints);
            if (attribute->ints == NULL)
                return false;
            attribute->ints[0] = attribute->ints[1] = 1;
            attribute->n_ints = 2;
        } else if (from->group > 0) {
            attribute->type = ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INT;
            attribute->has_i = 1;
            attribute->i = from->group;
        } else {
            attribute->type = ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__FLOAT;
            attribute->has_f = 1;
            attribute->f = from->alpha;
        }
    }
    return true;
}

static bool write_values(struct frt_onnx_model *model, const struct frt_onnx_new_node *from,
                         Onnx__NodeProto *node)
{
    uint32_t n = 0;
    while (n < FRT_ONNX_MODEL_NEW_INPUTS && from->inputs[n] != NULL)
        n++;
    node->op_type = copy_text(model, from->op);
    node->name = copy_text(model, from->output);
    node->input = take(model, n * sizeof *node->input);
    node->output = take(model, sizeof *node->output);
    if (node->op_type == NULL || node->name == NULL || node->input == NULL || node->output == NULL)
        return false;
    for (uint32_t i = 0; i < n; i++) {
        node->input[i] = copy_text(model, from->inputs[i]);
        if (node->input[i] == NULL)
            return false;
        node->n_input++;
    }
    node->output[0] = copy_text(model, from->output);
    node->n_output = node->output[0] != NULL;
    return node->n_output == 1;
}

/* Frees what hangs on a node, also on one that was not finished. */
static void node_free(struct frt_onnx_model *model, Onnx__NodeProto *node)
{
    if (node != NULL)
        onnx__node_proto__free_unpacked(node, &model->allocator);
}

static Onnx__NodeProto *node_new(struct frt_onnx_model *model, const struct frt_onnx_new_node *from,
                                 const Onnx__NodeProto *before)
{
    Onnx__NodeProto *node = take(model, sizeof *node);
    if (node == NULL)
        return NULL;
    onnx__node_proto__init(node);
    if (write_values(model, from, node) && write_attributes(model, from, before, node))
        return node;
    node_free(model, node);
    return NULL;
}

enum frt_status frt_onnx_model_replace(struct frt_onnx_model *model, uint32_t node,
                                       const struct frt_onnx_new_node *with, uint32_t n, struct frt_error *err)
{
    Onnx__GraphProto *graph = model->proto->graph;
    Onnx__NodeProto **fresh = take(model, n * sizeof *fresh);
    void *list = fresh == NULL ? NULL : widen(model, graph->node, graph->n_node, n);
    uint32_t made = 0;
    if (list != NULL)
        graph->node = list;
    while (list != NULL && made < n && (fresh[made] = node_new(model, &with[made], graph->node[node])) != NULL)
        made++;
    if (made < n) {
        for (uint32_t i = 0; i < made; i++)
            node_free(model, fresh[i]);
        give_back(model, fresh);
        return frt_fail_nomem(err, "nodes");
    }
    node_free(model, graph->node[node]);
    memmove(graph->node + node + n, graph->node + node + 1, (graph->n_node - node - 1) * sizeof *graph->node);
    memcpy(graph->node + node, fresh, n * sizeof *fresh);
    graph->n_node += n - 1;
    give_back(model, fresh);
    return FRT_OK;
}

/* ----------------------------------------------------------------- packing */

/* Whether a node or an output of the graph names the value. Nodes with graphs inside may read anything. */
static bool is_read(const Onnx__GraphProto *graph, const char *value)
{
    for (size_t i = 0; i < graph->n_node; i++) {
        const Onnx__NodeProto *n = graph->node[i];
        for (size_t k = 0; k < n->n_input; k++)
            if (strcmp(text(n->input[k]), value) == 0)
                return true;
        for (size_t k = 0; k < n->n_attribute; k++)
            if (n->attribute[k]->g != NULL || n->attribute[k]->n_graphs > 0)
                return true;
    }
    for (size_t i = 0; i < graph->n_output; i++)
        if (strcmp(text(graph->output[i]->name), value) == 0)
            return true;
    for (size_t i = 0; i < graph->n_input; i++) /* before IR 4, weights are inputs with a default */
        if (strcmp(text(graph->input[i]->name), value) == 0)
            return true;
    return false;
}

static void drop_unread_weights(struct frt_onnx_model *model)
{
    Onnx__GraphProto *graph = model->proto->graph;
    size_t kept = 0;
    for (size_t i = 0; i < graph->n_initializer; i++) {
        if (is_read(graph, text(graph->initializer[i]->name)))
            graph->initializer[kept++] = graph->initializer[i];
        else
            onnx__tensor_proto__free_unpacked(graph->initializer[i], &model->allocator);
    }
    graph->n_initializer = kept;
}

enum frt_status frt_onnx_model_pack(struct frt_onnx_model *model, uint8_t **bytes, size_t *size,
                                    struct frt_error *err)
{
    drop_unread_weights(model);
    const size_t n = onnx__model_proto__get_packed_size(model->proto);
    uint8_t *packed = frt_alloc(n);
    if (packed == NULL)
        return frt_fail_nomem(err, "a model file");
    *size = onnx__model_proto__pack(model->proto, packed);
    *bytes = packed;
    return FRT_OK;
}
