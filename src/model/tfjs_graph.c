/*
 * The nodes are visited depth first from the model's output, operands before the node, with a stack of
 * our own: a hostile file may be deep. What the output does not need is not looked at.
 *
 * Source: the TensorFlow.js converter's op mappers (tfjs-converter, operations/op_list) for the names of
 * attributes; proto3's JSON mapping for their form: int64 as text, bytes as base64.
 */
#include "model/tfjs_graph.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/crypto.h"
#include "core/mem.h"
#include "model/import_layers.h"
#include "model/onnx_ops.h"

enum { MAX_NODES = 2048, MAX_INPUTS = 8, MAX_SIDE = 16384, WORD = 32 };

struct tf_node {
    const char *name, *op; /* borrowed from the JSON */
    const struct frt_json_value *attributes;
    uint32_t n_inputs;
    uint32_t inputs[MAX_INPUTS]; /* positions of nodes */
    enum { UNSEEN, OPEN, DONE } state;
    int value;                             /* in the ONNX graph; FRT_ONNX_NONE for a Const */
    const struct frt_tfjs_tensor *weights; /* of a Const, else NULL */
};

struct converter {
    struct frt_onnx_graph *graph;
    const struct frt_tfjs_weights *weights;
    struct tf_node *nodes;
    uint32_t n_nodes;
    uint32_t *stack;
    bool has_input;
};

/* Every refusal names the op and the node. */
FRT_PRINTF(3, 4)
static int refuse(struct converter *c, const struct tf_node *node, const char *fmt, ...)
{
    char text[256];
    va_list args;
    va_start(args, fmt);
    /* clang-tidy 14 loses sight of va_start when it checks several files in one run */
    (void)vsnprintf(text, sizeof text, fmt, args); // NOLINT(clang-analyzer-valist.Uninitialized)
    va_end(args);
    return frt_onnx_fail(c->graph, FRT_EBAD_MODEL, "graph model: node %s (%s): %s", node->name, node->op, text);
}

/* ---------------------------------------------------------- attributes */

/* A whole number: proto3's JSON writes int64 as text. */
static bool whole_number(const struct frt_json_value *value, int64_t *out)
{
    const char *text = frt_json_text(value);
    if (text != NULL) {
        char *end;
        long long number = strtoll(text, &end, 10);
        *out = number;
        return end != text && *end == '\0' && number >= INT32_MIN && number <= INT32_MAX;
    }
    double number = frt_json_double(value, 0.5);
    if (!(number >= INT32_MIN && number <= INT32_MAX) || number != (double)(int64_t)number)
        return false;
    *out = (int64_t)number;
    return true;
}

/* Bytes in base64 that are a short word, as "U0FNRQ==" is SAME. "" when they are not. */
static void word_of(const struct frt_json_value *value, char out[WORD])
{
    const char *text = frt_json_text(value);
    char bytes[WORD];
    size_t n = 0;
    struct frt_error ignored;
    out[0] = '\0';
    if (text == NULL || strlen(text) > WORD ||
        frt_base64_decode(text, strlen(text), bytes, sizeof bytes, &n, &ignored) != FRT_OK || n >= WORD)
        return;
    for (size_t i = 0; i < n; i++) {
        if (bytes[i] < ' ' || bytes[i] > '~')
            return;
    }
    memcpy(out, bytes, n);
    out[n] = '\0';
}

static bool attribute_true(const struct tf_node *node, const char *key)
{
    return frt_json_truth(frt_json_get(frt_json_get(node->attributes, key), "b"), false);
}

/* strides, ksize, dilations: [1, height, width, 1]. */
static bool attribute_window(struct converter *c, const struct tf_node *node, const char *key, int64_t out[2])
{
    const struct frt_json_value *list =
        frt_json_get(frt_json_get(frt_json_get(node->attributes, key), "list"), "i");
    int64_t numbers[4] = {0};
    uint32_t n = 0;
    for (const struct frt_json_value *v = frt_json_first(list); v != NULL && n < 5; v = frt_json_next(v)) {
        if (n == 4 || !whole_number(v, &numbers[n]))
            n = 4;
        n++;
    }
    if (n != 4 || numbers[0] != 1 || numbers[3] != 1 || numbers[1] < 1 || numbers[2] < 1) {
        (void)refuse(c, node, "attribute %s is not [1, height, width, 1]", key);
        return false;
    }
    out[0] = numbers[1];
    out[1] = numbers[2];
    return true;
}

/* padding and data_format of convolutions and pools */
static bool attribute_padding(struct converter *c, const struct tf_node *node, enum frt_onnx_padding *out)
{
    char padding[WORD], format[WORD];
    word_of(frt_json_get(frt_json_get(node->attributes, "padding"), "s"), padding);
    word_of(frt_json_get(frt_json_get(node->attributes, "data_format"), "s"), format);
    if (format[0] != '\0' && strcmp(format, "NHWC") != 0) {
        (void)refuse(c, node, "data format %s; NHWC is read", format);
        return false;
    }
    if (strcmp(padding, "SAME") != 0 && strcmp(padding, "VALID") != 0) {
        (void)refuse(c, node, "padding \"%s\"; SAME and VALID are read", padding);
        return false;
    }
    *out = padding[0] == 'S' ? FRT_ONNX_SAME : FRT_ONNX_VALID;
    return true;
}

/* -------------------------------------------------------------- operands */

static bool operand_count(struct converter *c, const struct tf_node *node, uint32_t n)
{
    if (node->n_inputs == n)
        return true;
    (void)refuse(c, node, "%u operands; %u would be right", node->n_inputs, n);
    return false;
}

static struct tf_node *operand(struct converter *c, const struct tf_node *node, uint32_t i)
{
    return &c->nodes[node->inputs[i]];
}

/* Operand i as a computed value. */
static int operand_value(struct converter *c, const struct tf_node *node, uint32_t i)
{
    if (operand(c, node, i)->value == FRT_ONNX_NONE)
        return refuse(c, node, "operand %u is a constant; a computed value would be right", i);
    return operand(c, node, i)->value;
}

/* Operand i as float weights of a rank. */
static const struct frt_tfjs_tensor *operand_weights(struct converter *c, const struct tf_node *node,
                                                     uint32_t i, uint32_t rank)
{
    const struct frt_tfjs_tensor *weights = operand(c, node, i)->weights;
    if (weights != NULL && weights->f32 != NULL && weights->shape.n_dims == rank)
        return weights;
    (void)refuse(c, node, "operand %u is not a float constant of %u dimensions", i, rank);
    return NULL;
}

static int vector_constant(struct converter *c, const struct frt_tfjs_tensor *weights)
{
    return frt_onnx_const_f32(c->graph, weights->name, &weights->shape, weights->f32);
}

/* Constant as the second operand of an element-wise op on x: per channel, or the same for all. */
static int broadcast_constant(struct converter *c, const struct tf_node *node,
                              const struct frt_tfjs_tensor *weights, int x)
{
    struct frt_onnx_shape sx = frt_onnx_shape_of(c->graph, x), shape = {.n_dims = sx.n_dims};
    char name[600];
    if (weights->f32 == NULL)
        return refuse(c, node, "its constant is not float32");
    int64_t last = weights->shape.n_dims == 0 ? 1 : weights->shape.dims[weights->shape.n_dims - 1];
    uint32_t channel_axis = sx.n_dims == 4 ? 1 : sx.n_dims - 1;
    if (weights->n != (size_t)last || (last != 1 && last != sx.dims[channel_axis]))
        return refuse(c, node, "its constant is neither one number nor one per channel");
    for (uint32_t i = 0; i < shape.n_dims; i++)
        shape.dims[i] = i == channel_axis ? last : 1;
    (void)snprintf(name, sizeof name, "%s/rank%u", weights->name, sx.n_dims);
    return frt_onnx_const_f32(c->graph, name, &shape, weights->f32);
}

/* ----------------------------------------------------------- operations */

static int convert_placeholder(struct converter *c, const struct tf_node *node)
{
    const struct frt_json_value *dims =
        frt_json_get(frt_json_get(frt_json_get(node->attributes, "shape"), "shape"), "dim");
    static const uint32_t to_nchw[4] = {0, 2, 3, 1};
    struct frt_onnx_shape shape = {.n_dims = 4};
    uint32_t n = 0;
    for (const struct frt_json_value *d = frt_json_first(dims); d != NULL && n < 5; d = frt_json_next(d), n++) {
        int64_t size;
        if (n == 4 || !whole_number(frt_json_get(d, "size"), &size) || size == 0 || size < -1 ||
            size > MAX_SIDE) {
            n = 5;
            break;
        }
        shape.dims[to_nchw[n]] = size;
    }
    if (n != 4 || shape.dims[1] < 1)
        return refuse(c, node, "its shape is not [batch, height, width, channels]");
    if (c->has_input)
        return refuse(c, node, "a second input; models with one are read");
    c->has_input = true;
    return frt_onnx_input(c->graph, "image", &shape);
}

static int convert_identity(struct converter *c, const struct tf_node *node)
{
    return operand_count(c, node, 1) ? operand_value(c, node, 0) : FRT_ONNX_NONE;
}

static int convert_unary(struct converter *c, const struct tf_node *node)
{
    if (!operand_count(c, node, 1))
        return FRT_ONNX_NONE;
    int x = operand_value(c, node, 0);
    if (strcmp(node->op, "Relu6") == 0)
        return frt_op_relu6(c->graph, x);
    if (strcmp(node->op, "Softmax") == 0)
        return frt_op_softmax(c->graph, x, 1); /* the last in NHWC and in rank 2 */
    return frt_op_unary(c->graph, strcmp(node->op, "Relu") == 0 ? "Relu" : "Sigmoid", x);
}

/* What a fused node does after its product: nothing, a bias, a bias and an activation. */
static bool fused_read(struct converter *c, const struct tf_node *node, bool *bias, char activation[WORD])
{
    const struct frt_json_value *list =
        frt_json_get(frt_json_get(frt_json_get(node->attributes, "fused_ops"), "list"), "s");
    char word[WORD] = "";
    uint32_t n = 0;
    activation[0] = '\0';
    for (const struct frt_json_value *v = frt_json_first(list); v != NULL; v = frt_json_next(v), n++) {
        word_of(v, word);
        bool fits = n == 0 ? strcmp(word, "BiasAdd") == 0
                           : n == 1 && (strcmp(word, "Relu") == 0 || strcmp(word, "Relu6") == 0);
        if (!fits) {
            (void)refuse(c, node, "fused operation %u is \"%s\"; BiasAdd, then Relu or Relu6 are read", n,
                         word);
            return false;
        }
        if (n == 1)
            memcpy(activation, word, WORD);
    }
    *bias = n > 0;
    return operand_count(c, node, n > 0 ? 3 : 2);
}

static int activated(struct converter *c, int x, const char activation[WORD])
{
    if (strcmp(activation, "Relu6") == 0)
        return frt_op_relu6(c->graph, x);
    return activation[0] == '\0' ? x : frt_op_unary(c->graph, "Relu", x);
}

/* [height, width, in, out] filters as an ONNX constant. */
static int filter_constant(struct converter *c, const struct frt_tfjs_tensor *filters)
{
    const int64_t *dims = filters->shape.dims;
    struct frt_onnx_shape shape = {.n_dims = 4, .dims = {dims[3], dims[2], dims[0], dims[1]}};
    float *laid_out = frt_alloc_array(filters->n, sizeof *laid_out);
    if (laid_out == NULL)
        return frt_onnx_fail(c->graph, FRT_ENOMEM, "out of memory for filters");
    frt_import_lay_out(filters->f32, &shape, false, NULL, laid_out);
    int value = frt_onnx_const_f32(c->graph, filters->name, &shape, laid_out);
    frt_free(laid_out);
    return value;
}

static int convert_conv(struct converter *c, const struct tf_node *node)
{
    struct frt_onnx_window window = {0};
    int64_t dilations[2] = {1, 1};
    bool has_bias;
    char activation[WORD];
    if (!fused_read(c, node, &has_bias, activation) || !attribute_window(c, node, "strides", window.stride) ||
        !attribute_padding(c, node, &window.padding))
        return FRT_ONNX_NONE;
    if (frt_json_get(node->attributes, "dilations") != NULL &&
        !attribute_window(c, node, "dilations", dilations))
        return FRT_ONNX_NONE;
    if (dilations[0] != 1 || dilations[1] != 1)
        return refuse(c, node, "dilated filters are not read");
    int x = operand_value(c, node, 0);
    const struct frt_tfjs_tensor *filters = operand_weights(c, node, 1, 4);
    const struct frt_tfjs_tensor *bias = has_bias ? operand_weights(c, node, 2, 1) : NULL;
    if (filters == NULL || (has_bias && bias == NULL))
        return FRT_ONNX_NONE;
    int b = has_bias ? vector_constant(c, bias) : FRT_ONNX_NO_BIAS;
    return activated(c, frt_op_conv(c->graph, x, filter_constant(c, filters), b, 1, &window), activation);
}

static int convert_pool(struct converter *c, const struct tf_node *node)
{
    struct frt_onnx_window window = {0};
    if (!operand_count(c, node, 1) || !attribute_window(c, node, "ksize", window.kernel) ||
        !attribute_window(c, node, "strides", window.stride) || !attribute_padding(c, node, &window.padding))
        return FRT_ONNX_NONE;
    int x = operand_value(c, node, 0);
    return strcmp(node->op, "MaxPool") == 0 ? frt_op_max_pool(c->graph, x, &window)
                                            : frt_op_average_pool(c->graph, x, &window);
}

static int convert_matmul(struct converter *c, const struct tf_node *node)
{
    bool has_bias;
    char activation[WORD];
    if (!fused_read(c, node, &has_bias, activation))
        return FRT_ONNX_NONE;
    if (attribute_true(node, "transpose_a") || attribute_true(node, "transpose_b"))
        return refuse(c, node, "transposed operands are not read");
    int x = operand_value(c, node, 0);
    const struct frt_tfjs_tensor *weights = operand_weights(c, node, 1, 2);
    const struct frt_tfjs_tensor *bias = has_bias ? operand_weights(c, node, 2, 1) : NULL;
    if (weights == NULL || (has_bias && bias == NULL))
        return FRT_ONNX_NONE;
    int b = has_bias ? vector_constant(c, bias) : FRT_ONNX_NO_BIAS;
    return activated(c, frt_op_dense(c->graph, x, vector_constant(c, weights), b), activation);
}

static int convert_binary(struct converter *c, const struct tf_node *node)
{
    if (!operand_count(c, node, 2))
        return FRT_ONNX_NONE;
    const char *op = strcmp(node->op, "Mul") == 0 ? "Mul" : (strcmp(node->op, "Sub") == 0 ? "Sub" : "Add");
    struct tf_node *sides[2] = {operand(c, node, 0), operand(c, node, 1)};
    int values[2] = {sides[0]->value, sides[1]->value};
    if (sides[0]->weights != NULL && sides[1]->weights != NULL)
        return refuse(c, node, "both operands are constants");
    for (int i = 0; i < 2; i++) {
        if (sides[i]->weights != NULL)
            values[i] = broadcast_constant(c, node, sides[i]->weights, values[1 - i]);
    }
    if (sides[0]->weights == NULL && sides[1]->weights == NULL) {
        struct frt_onnx_shape a = frt_onnx_shape_of(c->graph, values[0]),
                              b = frt_onnx_shape_of(c->graph, values[1]);
        if (a.n_dims != b.n_dims || memcmp(a.dims, b.dims, a.n_dims * sizeof *a.dims) != 0)
            return refuse(c, node, "operands of different shapes");
    }
    return frt_op_binary(c->graph, op, values[0], values[1]);
}

static int convert_reshape(struct converter *c, const struct tf_node *node)
{
    if (!operand_count(c, node, 2))
        return FRT_ONNX_NONE;
    int x = operand_value(c, node, 0);
    const struct frt_tfjs_tensor *to = operand(c, node, 1)->weights;
    if (to == NULL || to->i32 == NULL || to->n != 2 || to->i32[0] != -1 || to->i32[1] < 1)
        return refuse(c, node, "its shape is not [-1, elements]");
    if (frt_onnx_shape_of(c->graph, x).n_dims == 4)
        x = frt_op_transpose(c->graph, x, 4, (int64_t[]){0, 2, 3, 1});
    return frt_op_reshape(c->graph, x, 2, (int64_t[]){0, to->i32[1]});
}

static const struct {
    const char *op;
    int (*convert)(struct converter *c, const struct tf_node *node);
} op_table[] = {
    {"Placeholder", convert_placeholder},
    {"Identity", convert_identity},
    {"Conv2D", convert_conv},
    {"_FusedConv2D", convert_conv},
    {"MaxPool", convert_pool},
    {"AvgPool", convert_pool},
    {"MatMul", convert_matmul},
    {"_FusedMatMul", convert_matmul},
    {"BiasAdd", convert_binary},
    {"Add", convert_binary},
    {"AddV2", convert_binary},
    {"Sub", convert_binary},
    {"Mul", convert_binary},
    {"Relu", convert_unary},
    {"Relu6", convert_unary},
    {"Sigmoid", convert_unary},
    {"Softmax", convert_unary},
    {"Reshape", convert_reshape},
};

static void convert_node(struct converter *c, struct tf_node *node)
{
    if (strcmp(node->op, "Const") == 0) {
        node->weights = frt_tfjs_weights_find(c->weights, node->name);
        if (node->weights == NULL)
            (void)refuse(c, node, "the weights have no tensor of this name");
        return;
    }
    for (size_t i = 0; i < sizeof op_table / sizeof *op_table; i++) {
        if (strcmp(node->op, op_table[i].op) == 0) {
            node->value = op_table[i].convert(c, node);
            return;
        }
    }
    (void)refuse(c, node, "this operation is not read");
}

/* ------------------------------------------------------------- the graph */

static bool failed(const struct converter *c)
{
    return frt_onnx_status(c->graph, NULL) != FRT_OK;
}

/* Position of the node that `reference` ("name" or "name:0") means; n_nodes when there is none. */
static uint32_t node_find(const struct converter *c, const char *reference)
{
    size_t n = strlen(reference);
    if (n > 2 && strcmp(reference + n - 2, ":0") == 0)
        n -= 2;
    uint32_t i = 0;
    while (i < c->n_nodes && (strncmp(c->nodes[i].name, reference, n) != 0 || c->nodes[i].name[n] != '\0'))
        i++;
    return i;
}

/* False when the graph has failed. */
static bool nodes_read(struct converter *c, const struct frt_json_value *list)
{
    size_t count = frt_json_count(list);
    if (!frt_json_is_array(list) || count < 1 || count > MAX_NODES) {
        (void)frt_onnx_fail(c->graph, FRT_EBAD_MODEL,
                            "graph model: modelTopology.node has %zu nodes; 1 to %d fit", count, MAX_NODES);
        return false;
    }
    c->nodes = frt_alloc_zero(count, sizeof *c->nodes);
    c->stack = frt_alloc_array(count, sizeof *c->stack);
    if (c->nodes == NULL || c->stack == NULL) {
        (void)frt_onnx_fail(c->graph, FRT_ENOMEM, "out of memory for a graph model");
        return false;
    }
    for (const struct frt_json_value *v = frt_json_first(list); v != NULL; v = frt_json_next(v)) {
        struct tf_node node = {.name = frt_json_text(frt_json_get(v, "name")),
                               .op = frt_json_text(frt_json_get(v, "op")),
                               .attributes = frt_json_get(v, "attr"),
                               .value = FRT_ONNX_NONE};
        if (node.name == NULL || node.op == NULL || node_find(c, node.name) != c->n_nodes) {
            (void)frt_onnx_fail(c->graph, FRT_EBAD_MODEL, "graph model: node %u has no name and op of its own",
                                c->n_nodes);
            return false;
        }
        c->nodes[c->n_nodes++] = node;
    }
    return true;
}

/* Resolve a node's references; "^name" only orders execution and is skipped. */
static void inputs_read(struct converter *c, struct tf_node *node, const struct frt_json_value *list)
{
    for (const struct frt_json_value *v = frt_json_first(list); v != NULL; v = frt_json_next(v)) {
        const char *reference = frt_json_text(v);
        if (reference != NULL && reference[0] == '^')
            continue;
        uint32_t at = reference == NULL ? c->n_nodes : node_find(c, reference);
        if (at == c->n_nodes || node->n_inputs == MAX_INPUTS) {
            (void)refuse(c, node, "operand %u (%s) is not there, or too many", node->n_inputs,
                         reference == NULL ? "no text" : reference);
            return;
        }
        node->inputs[node->n_inputs++] = at;
    }
}

/* Convert `start` and what it needs, operands first. Each node is on the stack once at most. */
static void visit(struct converter *c, uint32_t start)
{
    uint32_t depth = 0;
    c->stack[depth++] = start;
    c->nodes[start].state = OPEN;
    while (depth > 0 && !failed(c)) {
        struct tf_node *node = &c->nodes[c->stack[depth - 1]];
        uint32_t i = 0;
        while (i < node->n_inputs && c->nodes[node->inputs[i]].state == DONE)
            i++;
        if (i == node->n_inputs) {
            convert_node(c, node);
            node->state = DONE;
            depth--;
        } else if (c->nodes[node->inputs[i]].state == OPEN) {
            (void)refuse(c, node, "it depends on its own result");
        } else {
            c->nodes[node->inputs[i]].state = OPEN;
            c->stack[depth++] = node->inputs[i];
        }
    }
}

/* The one output that the model's signature names; n_nodes when there is none. */
static uint32_t output_find(struct converter *c, const struct frt_json_value *model)
{
    const struct frt_json_value *outputs = frt_json_get(frt_json_get(model, "signature"), "outputs");
    const char *name = frt_json_text(frt_json_get(frt_json_first(outputs), "name"));
    uint32_t at = name == NULL ? c->n_nodes : node_find(c, name);
    if (frt_json_count(outputs) == 1 && at < c->n_nodes)
        return at;
    (void)frt_onnx_fail(c->graph, FRT_EBAD_MODEL,
                        "graph model: signature.outputs names %zu outputs; one that is a node would be right",
                        frt_json_count(outputs));
    return c->n_nodes;
}

void frt_tfjs_graph_convert(const struct frt_json_value *model, const struct frt_tfjs_weights *weights,
                            const char *output_name, struct frt_onnx_graph *graph)
{
    struct converter c = {.graph = graph, .weights = weights};
    const char *format = frt_json_text(frt_json_get(model, "format"));
    const struct frt_json_value *list = frt_json_get(frt_json_get(model, "modelTopology"), "node");
    if (format == NULL || strcmp(format, "graph-model") != 0)
        (void)frt_onnx_fail(graph, FRT_EBAD_MODEL, "graph model: format \"%s\"; \"graph-model\" would be right",
                            format == NULL ? "" : format);
    if (failed(&c) || !nodes_read(&c, list))
        goto done;
    uint32_t i = 0;
    for (const struct frt_json_value *v = frt_json_first(list); v != NULL && !failed(&c); v = frt_json_next(v))
        inputs_read(&c, &c.nodes[i++], frt_json_get(v, "input"));
    uint32_t output = failed(&c) ? c.n_nodes : output_find(&c, model);
    if (output == c.n_nodes)
        goto done;
    visit(&c, output);
    if (!failed(&c))
        frt_onnx_output(graph, c.nodes[output].value, output_name);
done:
    frt_free(c.nodes);
    frt_free(c.stack);
}
