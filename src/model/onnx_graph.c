/*
 * The one file that speaks protobuf-c. The graph is kept in plain structs of ours; serialise() draws a
 * protobuf tree over them, all of it in one arena, and packs that.
 *
 * Source: onnx.proto (IR version 8) as installed by libonnx-dev.
 */
#include "model/onnx_graph.h"

#include <stdio.h>
#include <string.h>

#include "core/mem.h"
#include "onnx/onnx.pb-c.h"

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "raw_data is little-endian; this machine would need a byte swap here"
#endif

enum { MAX_NODES = 8192, MAX_VALUES = 32768, MAX_NAME = 512 };
static const size_t max_weight_bytes = (size_t)1 << 30; /* protobuf cannot hold 2 GiB */

enum value_kind { VALUE_INPUT, VALUE_F32, VALUE_I64, VALUE_RESULT };

struct value {
    enum value_kind kind;
    char *name; /* NULL: named by its position */
    struct frt_onnx_shape shape;
    void *data; /* weights */
    size_t data_bytes;
    bool is_output;
};

struct frt_onnx_graph {
    char *name;
    struct value *values;
    uint32_t n_values, values_capacity;
    struct frt_onnx_node *nodes;
    int *node_results; /* first output of each node */
    uint32_t n_nodes, nodes_capacity;
    size_t weight_bytes;
    struct frt_error failure;
};

enum frt_status frt_onnx_new(const char *name, struct frt_onnx_graph **out, struct frt_error *err)
{
    struct frt_onnx_graph *graph = frt_alloc_zero(1, sizeof *graph);
    if (graph == NULL)
        return frt_fail_nomem(err, "an ONNX graph");
    graph->name = frt_strdup(name);
    if (graph->name == NULL) {
        frt_free(graph);
        return frt_fail_nomem(err, "an ONNX graph");
    }
    *out = graph;
    return FRT_OK;
}

void frt_onnx_free(struct frt_onnx_graph *graph)
{
    if (graph == NULL)
        return;
    for (uint32_t i = 0; i < graph->n_values; i++) {
        frt_free(graph->values[i].name);
        frt_free(graph->values[i].data);
    }
    frt_free(graph->values);
    frt_free(graph->nodes);
    frt_free(graph->node_results);
    frt_free(graph->name);
    frt_free(graph);
}

int frt_onnx_fail(struct frt_onnx_graph *graph, enum frt_status status, const char *fmt, ...)
{
    char text[FRT_ERROR_TEXT_MAX];
    va_list args;
    if (graph->failure.status != FRT_OK)
        return FRT_ONNX_NONE;
    va_start(args, fmt);
    /* clang-tidy 14 loses sight of va_start when it checks several files in one run */
    (void)vsnprintf(text, sizeof text, fmt, args); // NOLINT(clang-analyzer-valist.Uninitialized)
    va_end(args);
    graph->failure.status = frt_fail(&graph->failure, status, "%s", text);
    return FRT_ONNX_NONE;
}

static int out_of_memory(struct frt_onnx_graph *graph)
{
    return frt_onnx_fail(graph, FRT_ENOMEM, "out of memory for the ONNX graph %s", graph->name);
}

enum frt_status frt_onnx_status(const struct frt_onnx_graph *graph, struct frt_error *err)
{
    if (graph->failure.status != FRT_OK && err != NULL)
        *err = graph->failure;
    return graph->failure.status;
}

static bool failed(const struct frt_onnx_graph *graph)
{
    return graph->failure.status != FRT_OK;
}

int64_t frt_onnx_shape_size(const struct frt_onnx_shape *shape)
{
    int64_t n = 1;
    for (uint32_t i = 0; i < shape->n_dims; i++) {
        if (shape->dims[i] < 0 || __builtin_mul_overflow(n, shape->dims[i], &n))
            return -1;
    }
    return n;
}

struct frt_onnx_shape frt_onnx_shape_of(const struct frt_onnx_graph *graph, int value)
{
    struct frt_onnx_shape none = {0};
    if (value < 0 || (uint32_t)value >= graph->n_values)
        return none;
    return graph->values[value].shape;
}

/* Grow an array of `size`-byte items so that one more fits. */
static bool grow(void **items, uint32_t *capacity, uint32_t n, size_t size)
{
    if (n < *capacity)
        return true;
    uint32_t more = *capacity == 0 ? 64 : *capacity * 2;
    void *larger = frt_realloc(*items, (size_t)more * size);
    if (larger == NULL)
        return false;
    *items = larger;
    *capacity = more;
    return true;
}

static int find_named(const struct frt_onnx_graph *graph, const char *name)
{
    for (uint32_t i = 0; i < graph->n_values; i++) {
        if (graph->values[i].name != NULL && strcmp(graph->values[i].name, name) == 0)
            return (int)i;
    }
    return FRT_ONNX_NONE;
}

/* Append a value. `name` NULL = by position. */
static int value_add(struct frt_onnx_graph *graph, enum value_kind kind, const char *name,
                     const struct frt_onnx_shape *shape)
{
    if (shape->n_dims > FRT_ONNX_MAX_DIMS)
        return frt_onnx_fail(graph, FRT_EINVAL, "a value of %u dimensions; at most %d fit", shape->n_dims,
                             FRT_ONNX_MAX_DIMS);
    if (graph->n_values >= MAX_VALUES)
        return frt_onnx_fail(graph, FRT_EBAD_MODEL, "the graph %s has more than %d values", graph->name,
                             MAX_VALUES);
    void *values = graph->values;
    if (!grow(&values, &graph->values_capacity, graph->n_values, sizeof *graph->values))
        return out_of_memory(graph);
    graph->values = values;
    char *copy = NULL;
    if (name != NULL) {
        if (strlen(name) > MAX_NAME)
            return frt_onnx_fail(graph, FRT_EBAD_MODEL, "a name of %zu bytes; at most %d fit", strlen(name),
                                 MAX_NAME);
        copy = frt_strdup(name);
        if (copy == NULL)
            return out_of_memory(graph);
    }
    graph->values[graph->n_values] = (struct value){.kind = kind, .name = copy, .shape = *shape};
    return (int)graph->n_values++;
}

int frt_onnx_input(struct frt_onnx_graph *graph, const char *name, const struct frt_onnx_shape *shape)
{
    if (failed(graph))
        return FRT_ONNX_NONE;
    if (find_named(graph, name) != FRT_ONNX_NONE)
        return frt_onnx_fail(graph, FRT_EBAD_MODEL, "two values are named %s", name);
    return value_add(graph, VALUE_INPUT, name, shape);
}

void frt_onnx_output(struct frt_onnx_graph *graph, int value, const char *name)
{
    if (failed(graph))
        return;
    if (value < 0 || (uint32_t)value >= graph->n_values || graph->values[value].kind != VALUE_RESULT ||
        graph->values[value].is_output) {
        (void)frt_onnx_fail(graph, FRT_EBAD_MODEL, "the output %s is not the result of a node of its own",
                            name);
        return;
    }
    if (find_named(graph, name) != FRT_ONNX_NONE) {
        (void)frt_onnx_fail(graph, FRT_EBAD_MODEL, "two values are named %s", name);
        return;
    }
    char *copy = frt_strdup(name);
    if (copy == NULL) {
        (void)out_of_memory(graph);
        return;
    }
    graph->values[value].name = copy;
    graph->values[value].is_output = true;
}

/* A constant whose bytes the caller writes: the value and its memory, or the one that stands already
 * (then *fresh is false). */
static int const_add(struct frt_onnx_graph *graph, enum value_kind kind, const char *name,
                     const struct frt_onnx_shape *shape, size_t item_bytes, const void *data)
{
    if (failed(graph))
        return FRT_ONNX_NONE;
    int64_t n = frt_onnx_shape_size(shape);
    size_t bytes;
    if (n <= 0 || !frt_mul_size((size_t)n, item_bytes, &bytes) ||
        bytes > max_weight_bytes - graph->weight_bytes)
        return frt_onnx_fail(graph, FRT_EBAD_MODEL, "the weights %s are empty or too large for one ONNX file",
                             name);
    int standing = find_named(graph, name);
    if (standing != FRT_ONNX_NONE) {
        const struct value *value = &graph->values[standing];
        if (data == NULL || value->kind != kind || value->data_bytes != bytes ||
            value->shape.n_dims != shape->n_dims ||
            memcmp(value->shape.dims, shape->dims, shape->n_dims * sizeof *shape->dims) != 0 ||
            memcmp(value->data, data, bytes) != 0)
            return frt_onnx_fail(graph, FRT_EBAD_MODEL, "two different weights are named %s", name);
        return standing;
    }
    int id = value_add(graph, kind, name, shape);
    if (id == FRT_ONNX_NONE)
        return id;
    struct value *value = &graph->values[id];
    value->data = frt_alloc(bytes);
    if (value->data == NULL)
        return out_of_memory(graph);
    if (data != NULL)
        memcpy(value->data, data, bytes);
    value->data_bytes = bytes;
    graph->weight_bytes += bytes;
    return id;
}

int frt_onnx_const_f32(struct frt_onnx_graph *graph, const char *name, const struct frt_onnx_shape *shape,
                       const float *data)
{
    return const_add(graph, VALUE_F32, name, shape, sizeof *data, data);
}

int frt_onnx_const_i64(struct frt_onnx_graph *graph, const char *name, uint32_t n, const int64_t *data)
{
    struct frt_onnx_shape shape = {.n_dims = 1, .dims = {n}};
    return const_add(graph, VALUE_I64, name, &shape, sizeof *data, data);
}

float *frt_onnx_const_space(struct frt_onnx_graph *graph, const char *name, const struct frt_onnx_shape *shape,
                            int *value)
{
    *value = const_add(graph, VALUE_F32, name, shape, sizeof(float), NULL);
    return *value == FRT_ONNX_NONE ? NULL : graph->values[*value].data;
}

int frt_onnx_node_add(struct frt_onnx_graph *graph, const struct frt_onnx_node *node)
{
    if (failed(graph))
        return FRT_ONNX_NONE;
    for (uint32_t i = 0; i < node->n_inputs; i++) {
        if (node->inputs[i] < 0 || (uint32_t)node->inputs[i] >= graph->n_values)
            return frt_onnx_fail(graph, FRT_EINTERNAL, "node %s: operand %u does not exist", node->op, i);
    }
    if (graph->n_nodes >= MAX_NODES)
        return frt_onnx_fail(graph, FRT_EBAD_MODEL, "the graph %s has more than %d nodes", graph->name,
                             MAX_NODES);
    uint32_t capacity = graph->nodes_capacity;
    void *nodes = graph->nodes, *results = graph->node_results;
    bool grown = grow(&nodes, &capacity, graph->n_nodes, sizeof *graph->nodes);
    graph->nodes = nodes;
    capacity = graph->nodes_capacity;
    grown = grown && grow(&results, &capacity, graph->n_nodes, sizeof *graph->node_results);
    graph->node_results = results;
    if (!grown)
        return out_of_memory(graph);
    graph->nodes_capacity = capacity;

    int first = FRT_ONNX_NONE;
    uint32_t n_outputs = node->n_outputs == 0 ? 1 : node->n_outputs;
    for (uint32_t i = 0; i < n_outputs; i++) {
        int value = value_add(graph, VALUE_RESULT, NULL, &node->outputs[i]);
        if (value == FRT_ONNX_NONE)
            return FRT_ONNX_NONE;
        first = i == 0 ? value : first;
    }
    graph->nodes[graph->n_nodes] = *node;
    graph->nodes[graph->n_nodes].n_outputs = n_outputs;
    graph->node_results[graph->n_nodes++] = first;
    return first;
}

/* ------------------------------------------------------------ protobuf */

/* Everything the protobuf tree needs, freed in one go. */
struct arena {
    struct block {
        struct block *next;
        max_align_t bytes[];
    } * blocks;
    bool failed;
};

static void *take(struct arena *arena, size_t count, size_t size)
{
    size_t bytes;
    if (arena->failed || !frt_mul_size(count == 0 ? 1 : count, size, &bytes) ||
        !frt_add_size(bytes, sizeof(struct block), &bytes)) {
        arena->failed = true;
        return NULL;
    }
    struct block *block = frt_alloc_zero(1, bytes);
    if (block == NULL) {
        arena->failed = true;
        return NULL;
    }
    block->next = arena->blocks;
    arena->blocks = block;
    return block->bytes;
}

/* A list of `count` pointers. */
static void *take_list(struct arena *arena, size_t count)
{
    return take(arena, count, sizeof(void *));
}

static void arena_free(struct arena *arena)
{
    for (struct block *block = arena->blocks, *next; block != NULL; block = next) {
        next = block->next;
        frt_free(block);
    }
}

/* protobuf-c has no const: its packer reads these texts only */
static char *text_of(const char *text)
{
    union {
        const char *in;
        char *out;
    } cast = {.in = text};
    return cast.out;
}

static char *value_name(struct arena *arena, const struct frt_onnx_graph *graph, int id)
{
    if (graph->values[id].name != NULL)
        return graph->values[id].name;
    char *name = take(arena, 1, 16);
    if (name != NULL)
        (void)snprintf(name, 16, "v%d", id);
    return name;
}

static Onnx__ValueInfoProto *draw_value_info(struct arena *arena, const struct frt_onnx_graph *graph, int id)
{
    static const char *const dynamic_names[FRT_ONNX_MAX_DIMS] = {"N", "C", "H", "W", "D4", "D5"};
    const struct frt_onnx_shape *shape = &graph->values[id].shape;
    Onnx__ValueInfoProto *info = take(arena, 1, sizeof *info);
    Onnx__TypeProto *type = take(arena, 1, sizeof *type);
    Onnx__TypeProto__Tensor *tensor = take(arena, 1, sizeof *tensor);
    Onnx__TensorShapeProto *dims = take(arena, 1, sizeof *dims);
    Onnx__TensorShapeProto__Dimension *dim = take(arena, shape->n_dims, sizeof *dim);
    Onnx__TensorShapeProto__Dimension **list = take_list(arena, shape->n_dims);
    if (arena->failed)
        return NULL;
    for (uint32_t i = 0; i < shape->n_dims; i++) {
        onnx__tensor_shape_proto__dimension__init(&dim[i]);
        if (shape->dims[i] < 0) {
            dim[i].value_case = ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_PARAM;
            dim[i].dim_param = text_of(dynamic_names[i]);
        } else {
            dim[i].value_case = ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_VALUE;
            dim[i].dim_value = shape->dims[i];
        }
        list[i] = &dim[i];
    }
    onnx__tensor_shape_proto__init(dims);
    dims->n_dim = shape->n_dims;
    dims->dim = list;
    onnx__type_proto__tensor__init(tensor);
    tensor->has_elem_type = 1;
    tensor->elem_type = ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT;
    tensor->shape = dims;
    onnx__type_proto__init(type);
    type->value_case = ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE;
    type->tensor_type = tensor;
    onnx__value_info_proto__init(info);
    info->name = value_name(arena, graph, id);
    info->type = type;
    return info;
}

static Onnx__TensorProto *draw_weights(struct arena *arena, const struct frt_onnx_graph *graph, int id)
{
    struct value *value = &graph->values[id];
    Onnx__TensorProto *tensor = take(arena, 1, sizeof *tensor);
    if (tensor == NULL)
        return NULL;
    onnx__tensor_proto__init(tensor);
    tensor->name = value->name;
    tensor->n_dims = value->shape.n_dims;
    tensor->dims = value->shape.dims;
    tensor->has_data_type = 1;
    tensor->data_type =
        value->kind == VALUE_F32 ? ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT : ONNX__TENSOR_PROTO__DATA_TYPE__INT64;
    tensor->has_raw_data = 1;
    tensor->raw_data.data = value->data;
    tensor->raw_data.len = value->data_bytes;
    return tensor;
}

static void draw_attribute(Onnx__AttributeProto *to, struct frt_onnx_attribute *from)
{
    onnx__attribute_proto__init(to);
    to->name = text_of(from->name);
    to->has_type = 1;
    switch (from->kind) {
    case FRT_ONNX_INT:
        to->type = ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INT;
        to->has_i = 1;
        to->i = from->i;
        break;
    case FRT_ONNX_FLOAT:
        to->type = ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__FLOAT;
        to->has_f = 1;
        to->f = from->f;
        break;
    case FRT_ONNX_INTS:
        to->type = ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INTS;
        to->n_ints = from->n_ints;
        to->ints = from->ints;
        break;
    }
}

static Onnx__NodeProto *draw_node(struct arena *arena, const struct frt_onnx_graph *graph, uint32_t index)
{
    struct frt_onnx_node *from = &graph->nodes[index];
    Onnx__NodeProto *node = take(arena, 1, sizeof *node);
    char **inputs = take_list(arena, from->n_inputs);
    char **outputs = take_list(arena, from->n_outputs);
    Onnx__AttributeProto *attributes = take(arena, from->n_attributes, sizeof *attributes);
    Onnx__AttributeProto **list = take_list(arena, from->n_attributes);
    char *name = take(arena, 1, 64);
    if (arena->failed)
        return NULL;
    (void)snprintf(name, 64, "%s_%u", from->op, index);
    onnx__node_proto__init(node);
    node->name = name;
    node->op_type = text_of(from->op);
    node->n_input = from->n_inputs;
    node->input = inputs;
    for (uint32_t i = 0; i < from->n_inputs; i++)
        inputs[i] = value_name(arena, graph, from->inputs[i]);
    node->n_output = from->n_outputs;
    node->output = outputs;
    for (uint32_t i = 0; i < from->n_outputs; i++)
        outputs[i] = value_name(arena, graph, graph->node_results[index] + (int)i);
    node->n_attribute = from->n_attributes;
    node->attribute = list;
    for (uint32_t i = 0; i < from->n_attributes; i++) {
        draw_attribute(&attributes[i], &from->attributes[i]);
        list[i] = &attributes[i];
    }
    return arena->failed ? NULL : node;
}

/* The graph's lists. Weights no node reads (left over from folding) are written all the same: there
 * are none, and a runtime warns about them, so a test sees it. */
static Onnx__GraphProto *draw_graph(struct arena *arena, const struct frt_onnx_graph *graph)
{
    Onnx__GraphProto *proto = take(arena, 1, sizeof *proto);
    Onnx__NodeProto **nodes = take_list(arena, graph->n_nodes);
    Onnx__TensorProto **weights = take_list(arena, graph->n_values);
    Onnx__ValueInfoProto **inputs = take_list(arena, graph->n_values);
    Onnx__ValueInfoProto **outputs = take_list(arena, graph->n_values);
    if (arena->failed)
        return NULL;
    onnx__graph_proto__init(proto);
    proto->name = graph->name;
    proto->node = nodes;
    proto->initializer = weights;
    proto->input = inputs;
    proto->output = outputs;
    for (uint32_t i = 0; i < graph->n_nodes && !arena->failed; i++)
        nodes[proto->n_node++] = draw_node(arena, graph, i);
    for (uint32_t i = 0; i < graph->n_values && !arena->failed; i++) {
        const struct value *value = &graph->values[i];
        if (value->kind == VALUE_INPUT)
            inputs[proto->n_input++] = draw_value_info(arena, graph, (int)i);
        else if (value->kind == VALUE_F32 || value->kind == VALUE_I64)
            weights[proto->n_initializer++] = draw_weights(arena, graph, (int)i);
        else if (value->is_output)
            outputs[proto->n_output++] = draw_value_info(arena, graph, (int)i);
    }
    return arena->failed ? NULL : proto;
}

enum frt_status frt_onnx_serialise(const struct frt_onnx_graph *graph, uint8_t **bytes, size_t *size,
                                   struct frt_error *err)
{
    enum frt_status status = frt_onnx_status(graph, err);
    if (status != FRT_OK)
        return status;

    struct arena arena = {0};
    uint8_t *packed = NULL;
    Onnx__ModelProto model = ONNX__MODEL_PROTO__INIT;
    Onnx__OperatorSetIdProto opset = ONNX__OPERATOR_SET_ID_PROTO__INIT;
    Onnx__OperatorSetIdProto *opsets[] = {&opset};
    opset.domain = text_of("");
    opset.has_version = 1;
    opset.version = FRT_ONNX_OPSET;
    model.has_ir_version = 1;
    model.ir_version = FRT_ONNX_IR_VERSION;
    model.producer_name = text_of("frt");
    model.n_opset_import = 1;
    model.opset_import = opsets;
    model.graph = draw_graph(&arena, graph);
    if (model.graph == NULL) {
        status = frt_fail_nomem(err, "an ONNX file");
        goto done;
    }
    size_t n = onnx__model_proto__get_packed_size(&model);
    packed = frt_alloc(n);
    if (packed == NULL) {
        status = frt_fail_nomem(err, "an ONNX file");
        goto done;
    }
    *size = onnx__model_proto__pack(&model, packed);
    *bytes = packed;
done:
    arena_free(&arena);
    return status;
}
