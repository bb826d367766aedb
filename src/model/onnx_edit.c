/*
 * Changing a model over protobuf-c's tree: onnx_model.h says what each call does, onnx_model_inside.h how the
 * tree is owned. A call that fails for lack of memory leaves the tree whole.
 */
#include <stdio.h>
#include <string.h>

#include "core/mem.h"
#include "model/onnx_model_inside.h"

static char *copy_text(struct frt_onnx_model *model, const char *from)
{
    const size_t size = strlen(from) + 1;
    char *to = frt_onnx_model_take(model, size);
    if (to != NULL)
        memcpy(to, from, size);
    return to;
}

/* A list of pointers with room for `more`; what stood in it is copied, the old one freed. */
static void *widen(struct frt_onnx_model *model, void *list, size_t n, size_t more)
{
    void *wide = frt_onnx_model_take(model, (n + more) * sizeof(void *));
    if (wide == NULL)
        return NULL;
    if (n > 0)
        memcpy(wide, list, n * sizeof(void *));
    frt_onnx_model_give_back(model, list);
    return wide;
}

bool frt_onnx_model_set_int(struct frt_onnx_model *model, uint32_t node, const char *name, int64_t value)
{
    Onnx__AttributeProto *attribute = frt_onnx_model_attribute(model, node, name);
    if (attribute == NULL || !attribute->has_i)
        return false;
    attribute->i = value;
    return true;
}

/* Text `i` of a list, which grows by one when i is its length. */
static enum frt_status set_text(struct frt_onnx_model *model, char ***list, size_t *n, uint32_t i,
                                const char *name, struct frt_error *err)
{
    char *copy = copy_text(model, name);
    if (copy != NULL && i == *n) {
        void *wide = widen(model, *list, *n, 1);
        if (wide != NULL) {
            *list = wide;
            (*list)[(*n)++] = NULL;
        } else {
            frt_onnx_model_give_back(model, copy);
            copy = NULL;
        }
    }
    if (copy == NULL)
        return frt_fail_nomem(err, "a node");
    frt_onnx_model_give_back(model, (*list)[i]);
    (*list)[i] = copy;
    return FRT_OK;
}

enum frt_status frt_onnx_model_set_input(struct frt_onnx_model *model, uint32_t node, uint32_t i,
                                         const char *name, struct frt_error *err)
{
    Onnx__NodeProto *n = model->proto->graph->node[node];
    return set_text(model, &n->input, &n->n_input, i, name, err);
}

enum frt_status frt_onnx_model_set_output(struct frt_onnx_model *model, uint32_t node, uint32_t i,
                                          const char *name, struct frt_error *err)
{
    Onnx__NodeProto *n = model->proto->graph->node[node];
    return set_text(model, &n->output, &n->n_output, i, name, err);
}

enum frt_status frt_onnx_model_redirect(struct frt_onnx_model *model, const char *from, const char *to,
                                        struct frt_error *err)
{
    enum frt_status status = FRT_OK;
    for (uint32_t i = 0; status == FRT_OK && i < frt_onnx_model_nodes(model); i++)
        for (uint32_t k = 0; status == FRT_OK && k < frt_onnx_model_n_inputs(model, i); k++)
            if (strcmp(frt_onnx_model_input(model, i, k), from) == 0)
                status = frt_onnx_model_set_input(model, i, k, to, err);
    return status;
}

enum frt_status frt_onnx_model_add_tensor(struct frt_onnx_model *model, const char *name,
                                          const struct frt_onnx_tensor *from, struct frt_error *err)
{
    Onnx__GraphProto *graph = model->proto->graph;
    const int64_t count = from->shape.n_dims == 0 ? 1 : frt_onnx_shape_size(&from->shape);
    const size_t each = frt_onnx_type_bytes(from->type);
    size_t bytes;
    if (count <= 0 || each == 0 || !frt_mul_size((size_t)count, each, &bytes) || bytes != from->bytes ||
        frt_onnx_model_find_tensor(model, name) != NULL)
        return frt_fail(err, FRT_EINVAL, "weights '%.100s': a name that is taken, or no fixed size", name);
    Onnx__TensorProto *tensor = frt_onnx_model_take(model, sizeof *tensor);
    if (tensor == NULL)
        return frt_fail_nomem(err, "weights");
    onnx__tensor_proto__init(tensor);
    tensor->has_data_type = 1;
    tensor->data_type = (int32_t)from->type;
    tensor->name = copy_text(model, name);
    tensor->dims = frt_onnx_model_take(model, from->shape.n_dims * sizeof *tensor->dims);
    tensor->has_raw_data = 1;
    tensor->raw_data.data = frt_onnx_model_take(model, bytes);
    void *list = widen(model, graph->initializer, graph->n_initializer, 1);
    if (list != NULL)
        graph->initializer = list;
    if (tensor->name == NULL || tensor->dims == NULL || tensor->raw_data.data == NULL || list == NULL) {
        frt_onnx_model_give_back(model, tensor->name);
        frt_onnx_model_give_back(model, tensor->dims);
        frt_onnx_model_give_back(model, tensor->raw_data.data);
        frt_onnx_model_give_back(model, tensor);
        return frt_fail_nomem(err, "weights");
    }
    memcpy(tensor->dims, from->shape.dims, from->shape.n_dims * sizeof *tensor->dims);
    tensor->n_dims = from->shape.n_dims;
    memcpy(tensor->raw_data.data, from->data, bytes);
    tensor->raw_data.len = bytes;
    graph->initializer[graph->n_initializer++] = tensor;
    return FRT_OK;
}

enum frt_status frt_onnx_model_add_weights(struct frt_onnx_model *model, const char *name,
                                           const struct frt_onnx_shape *shape, const float *data,
                                           struct frt_error *err)
{
    struct frt_onnx_tensor tensor = {.type = FRT_ONNX_F32, .shape = *shape, .data = data};
    const int64_t count = frt_onnx_shape_size(shape);
    if (count <= 0 || !frt_mul_size((size_t)count, sizeof *data, &tensor.bytes))
        return frt_fail(err, FRT_EINVAL, "weights '%.100s': no fixed size", name);
    return frt_onnx_model_add_tensor(model, name, &tensor, err);
}

static void take_out(void *list, size_t *n, size_t i)
{
    void **items = list;
    memmove(items + i, items + i + 1, (*n - i - 1) * sizeof *items);
    (*n)--;
}

void frt_onnx_model_remove_weights(struct frt_onnx_model *model, const char *name)
{
    Onnx__GraphProto *graph = model->proto->graph;
    for (size_t i = 0; i < graph->n_initializer; i++) {
        if (strcmp(frt_onnx_text(graph->initializer[i]->name), name) == 0) {
            onnx__tensor_proto__free_unpacked(graph->initializer[i], &model->allocator);
            take_out(graph->initializer, &graph->n_initializer, i);
            return;
        }
    }
}

/* Before IR 4, weights are inputs with a default. */
static void remove_graph_input(struct frt_onnx_model *model, const char *name)
{
    Onnx__GraphProto *graph = model->proto->graph;
    for (size_t i = 0; i < graph->n_input; i++) {
        if (strcmp(frt_onnx_text(graph->input[i]->name), name) == 0) {
            onnx__value_info_proto__free_unpacked(graph->input[i], &model->allocator);
            take_out(graph->input, &graph->n_input, i);
            return;
        }
    }
}

uint32_t frt_onnx_model_drop_unread_weights(struct frt_onnx_model *model)
{
    Onnx__GraphProto *graph = model->proto->graph;
    size_t kept = 0;
    if (frt_onnx_model_has_inner_graphs(model))
        return 0; /* nodes with graphs inside may read anything */
    const size_t before = graph->n_initializer;
    for (size_t i = 0; i < before; i++) {
        const char *name = frt_onnx_text(graph->initializer[i]->name);
        if (frt_onnx_model_readers(model, name) > 0) {
            graph->initializer[kept++] = graph->initializer[i];
            continue;
        }
        remove_graph_input(model, name);
        onnx__tensor_proto__free_unpacked(graph->initializer[i], &model->allocator);
    }
    graph->n_initializer = kept;
    return (uint32_t)(before - kept);
}

uint32_t frt_onnx_model_fix_weights(struct frt_onnx_model *model)
{
    Onnx__GraphProto *graph = model->proto->graph;
    uint32_t fixed = 0;
    for (size_t i = graph->n_input; i-- > 0;) {
        if (frt_onnx_model_find_tensor(model, frt_onnx_text(graph->input[i]->name)) == NULL)
            continue;
        onnx__value_info_proto__free_unpacked(graph->input[i], &model->allocator);
        take_out(graph->input, &graph->n_input, i);
        fixed++;
    }
    return fixed;
}

/* ------------------------------------------------- shapes of the graph's values */

void frt_onnx_model_forget_shapes(struct frt_onnx_model *model)
{
    Onnx__GraphProto *graph = model->proto->graph;
    while (graph->n_value_info > 0)
        onnx__value_info_proto__free_unpacked(graph->value_info[--graph->n_value_info], &model->allocator);
}

static enum frt_status set_first_dim(struct frt_onnx_model *model, const Onnx__ValueInfoProto *info,
                                     int64_t batch, struct frt_error *err)
{
    if (info->type == NULL || info->type->value_case != ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE ||
        info->type->tensor_type == NULL || info->type->tensor_type->shape == NULL ||
        info->type->tensor_type->shape->n_dim == 0)
        return FRT_OK;
    Onnx__TensorShapeProto__Dimension *dim = info->type->tensor_type->shape->dim[0];
    char *symbol = NULL;
    if (batch < 0 && (symbol = copy_text(model, "N")) == NULL)
        return frt_fail_nomem(err, "a dimension");
    if (dim->value_case == ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_PARAM)
        frt_onnx_model_give_back(model, dim->dim_param);
    if (symbol != NULL) {
        dim->value_case = ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_PARAM;
        dim->dim_param = symbol;
    } else {
        dim->value_case = ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_VALUE;
        dim->dim_value = batch;
    }
    return FRT_OK;
}

enum frt_status frt_onnx_model_set_batch(struct frt_onnx_model *model, int64_t batch, struct frt_error *err)
{
    Onnx__GraphProto *graph = model->proto->graph;
    enum frt_status status = FRT_OK;
    for (size_t i = 0; status == FRT_OK && i < graph->n_input; i++)
        if (frt_onnx_model_find_tensor(model, frt_onnx_text(graph->input[i]->name)) == NULL)
            status = set_first_dim(model, graph->input[i], batch, err);
    for (size_t i = 0; status == FRT_OK && i < graph->n_output; i++)
        status = set_first_dim(model, graph->output[i], batch, err);
    frt_onnx_model_forget_shapes(model);
    return status;
}

bool frt_onnx_model_set_opset(struct frt_onnx_model *model, int64_t opset)
{
    for (size_t i = 0; i < model->proto->n_opset_import; i++) {
        Onnx__OperatorSetIdProto *import = model->proto->opset_import[i];
        if (frt_onnx_text(import->domain)[0] == '\0') {
            import->has_version = 1;
            import->version = opset;
            return true;
        }
    }
    return false;
}

/* ------------------------------------------------------------------- nodes */

static Onnx__AttributeProto *attribute_new(struct frt_onnx_model *model, const char *name)
{
    Onnx__AttributeProto *attribute = frt_onnx_model_take(model, sizeof *attribute);
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
    node->attribute = frt_onnx_model_take(model, (from->n_attribute + 1) * sizeof *node->attribute);
    if (node->attribute == NULL)
        return false;
    for (size_t i = 0; i < from->n_attribute; i++) {
        Onnx__AttributeProto *attribute = attribute_copy(model, from->attribute[i]);
        if (attribute == NULL)
            return false;
        if (strcmp(frt_onnx_text(attribute->name), "group") == 0)
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
    node->attribute = frt_onnx_model_take(model, n * sizeof *node->attribute);
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
            attribute->ints = frt_onnx_model_take(model, 2 * sizeof *attribute->ints);
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
    node->input = frt_onnx_model_take(model, n * sizeof *node->input);
    node->output = frt_onnx_model_take(model, sizeof *node->output);
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
    Onnx__NodeProto *node = frt_onnx_model_take(model, sizeof *node);
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
    Onnx__NodeProto **fresh = frt_onnx_model_take(model, n * sizeof *fresh);
    void *list = fresh == NULL ? NULL : widen(model, graph->node, graph->n_node, n);
    uint32_t made = 0;
    if (list != NULL)
        graph->node = list;
    while (list != NULL && made < n && (fresh[made] = node_new(model, &with[made], graph->node[node])) != NULL)
        made++;
    if (list == NULL || made < n) {
        for (uint32_t i = 0; i < made; i++)
            node_free(model, fresh[i]);
        frt_onnx_model_give_back(model, fresh);
        return frt_fail_nomem(err, "nodes");
    }
    node_free(model, graph->node[node]);
    memmove(graph->node + node + n, graph->node + node + 1, (graph->n_node - node - 1) * sizeof *graph->node);
    memcpy(graph->node + node, fresh, n * sizeof *fresh);
    graph->n_node += n - 1;
    frt_onnx_model_give_back(model, fresh);
    return FRT_OK;
}

static bool write_attribute(struct frt_onnx_model *model, const struct frt_onnx_attribute *from,
                            Onnx__AttributeProto *to)
{
    if (to->name == NULL)
        return false;
    switch (from->kind) {
    case FRT_ONNX_INT:
        to->type = ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INT;
        to->has_i = 1;
        to->i = from->i;
        return true;
    case FRT_ONNX_FLOAT:
        to->type = ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__FLOAT;
        to->has_f = 1;
        to->f = from->f;
        return true;
    case FRT_ONNX_INTS:
        to->type = ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INTS;
        to->ints = frt_onnx_model_take(model, from->n_ints * sizeof *to->ints);
        if (to->ints == NULL)
            return false;
        memcpy(to->ints, from->ints, from->n_ints * sizeof *to->ints);
        to->n_ints = from->n_ints;
        return true;
    }
    return false;
}

static bool write_texts(struct frt_onnx_model *model, const char *const *from, uint32_t n, char ***list,
                        size_t *made)
{
    *list = frt_onnx_model_take(model, n * sizeof **list);
    if (*list == NULL)
        return false;
    for (uint32_t i = 0; i < n; i++) {
        (*list)[i] = copy_text(model, from[i]);
        if ((*list)[i] == NULL)
            return false;
        (*made)++;
    }
    return true;
}

static bool write_insert(struct frt_onnx_model *model, const struct frt_onnx_insert *from,
                         Onnx__NodeProto *node)
{
    node->op_type = copy_text(model, from->op);
    node->name = copy_text(model, from->outputs[0]);
    if (from->domain != NULL && (node->domain = copy_text(model, from->domain)) == NULL)
        return false;
    if (node->op_type == NULL || node->name == NULL ||
        !write_texts(model, from->inputs, from->n_inputs, &node->input, &node->n_input) ||
        !write_texts(model, from->outputs, from->n_outputs, &node->output, &node->n_output))
        return false;
    node->attribute = frt_onnx_model_take(model, from->n_attributes * sizeof *node->attribute);
    if (node->attribute == NULL)
        return false;
    for (uint32_t i = 0; i < from->n_attributes; i++) {
        Onnx__AttributeProto *attribute = attribute_new(model, from->attributes[i].name);
        if (attribute == NULL)
            return false;
        node->attribute[node->n_attribute++] = attribute;
        if (!write_attribute(model, &from->attributes[i], attribute))
            return false;
    }
    return true;
}

enum frt_status frt_onnx_model_insert(struct frt_onnx_model *model, uint32_t at,
                                      const struct frt_onnx_insert *from, struct frt_error *err)
{
    Onnx__GraphProto *graph = model->proto->graph;
    if (graph->n_node >= FRT_ONNX_MODEL_MAX_NODES)
        return frt_fail(err, FRT_EBAD_MODEL, "the model has %zu nodes; no more fit", graph->n_node);
    Onnx__NodeProto *node = frt_onnx_model_take(model, sizeof *node);
    if (node == NULL)
        return frt_fail_nomem(err, "a node");
    onnx__node_proto__init(node);
    void *list = NULL;
    if (write_insert(model, from, node))
        list = widen(model, graph->node, graph->n_node, 1);
    if (list == NULL) {
        node_free(model, node);
        return frt_fail_nomem(err, "a node");
    }
    graph->node = list;
    memmove(graph->node + at + 1, graph->node + at, (graph->n_node - at) * sizeof *graph->node);
    graph->node[at] = node;
    graph->n_node++;
    return FRT_OK;
}

void frt_onnx_model_remove(struct frt_onnx_model *model, uint32_t node)
{
    Onnx__GraphProto *graph = model->proto->graph;
    node_free(model, graph->node[node]);
    take_out(graph->node, &graph->n_node, node);
}
