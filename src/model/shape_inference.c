/*
 * One walk over the nodes in the file's order; a function for each kind of operator, listed in a table. Facts
 * about values lie in a table of hashed names.
 */
#include "model/shape_inference.h"

#include <string.h>

#include "core/mem.h"
#include "model/shape_operators.h"

struct entry {
    char *name; /* NULL: free; owned */
    struct frt_shape_fact fact;
};

struct frt_shapes {
    const struct frt_onnx_model *model;
    struct entry *entries;
    size_t slots; /* a power of two, more than twice the values */
    bool failed;
};

static size_t hash(const char *text)
{
    uint64_t h = 14695981039346656037U; /* FNV-1a */
    for (; *text != '\0'; text++)
        h = (h ^ (unsigned char)*text) * 1099511628211U;
    return (size_t)(h ^ h >> 32);
}

static struct entry *slot_of(const struct frt_shapes *shapes, const char *name)
{
    size_t at = hash(name) & (shapes->slots - 1);
    while (shapes->entries[at].name != NULL && strcmp(shapes->entries[at].name, name) != 0)
        at = (at + 1) & (shapes->slots - 1);
    return &shapes->entries[at];
}

/* Without memory for the name nothing is learnt, and that is said at the end. */
static void learn(struct frt_shapes *shapes, const char *name, const struct frt_shape_fact *fact)
{
    struct entry *entry = slot_of(shapes, name);
    if (entry->name == NULL)
        entry->name = frt_strdup(name);
    if (entry->name != NULL)
        entry->fact = *fact;
    else
        shapes->failed = true;
}

/* What is known of a value: weights, or what a node before was found to make. */
static struct frt_shape_fact look_up(const struct frt_shapes *shapes, const char *name)
{
    if (name[0] == '\0')
        return (struct frt_shape_fact){0};
    const struct entry *entry = slot_of(shapes, name);
    return entry->name != NULL ? entry->fact : (struct frt_shape_fact){0};
}

static struct frt_shape_fact fact_of_tensor(const struct frt_onnx_tensor *tensor)
{
    struct frt_shape_fact fact = {.known = true, .shape = tensor->shape};
    const size_t n = frt_onnx_tensor_count(tensor);
    if (tensor->type != FRT_ONNX_I64 || tensor->shape.n_dims > 1 || n > FRT_SHAPES_MAX_VALUES)
        return fact;
    fact.has_numbers = true;
    fact.n_numbers = (uint32_t)n;
    for (size_t i = 0; i < n; i++)
        fact.numbers[i] = ((const int64_t *)tensor->data)[i];
    return fact;
}

static void infer_node(struct frt_shapes *shapes, uint32_t node)
{
    const struct frt_onnx_model *model = shapes->model;
    struct frt_shape_fact in[FRT_SHAPE_MAX_INPUTS] = {{.known = false}},
                          out[FRT_SHAPE_MAX_OUTPUTS] = {{.known = false}};
    struct frt_onnx_tensor tensor;
    const uint32_t n = frt_onnx_model_n_inputs(model, node);
    if (frt_onnx_model_constant(model, node, &tensor)) {
        out[0] = fact_of_tensor(&tensor);
    } else if (n <= FRT_SHAPE_MAX_INPUTS) {
        for (uint32_t i = 0; i < n; i++)
            in[i] = look_up(shapes, frt_onnx_model_input(model, node, i));
        frt_shape_of_node(&(struct frt_shape_question){model, node, n, in}, out);
    }
    for (uint32_t i = 0; i < frt_onnx_model_n_outputs(model, node) && i < FRT_SHAPE_MAX_OUTPUTS; i++)
        if (frt_onnx_model_output(model, node, i)[0] != '\0')
            learn(shapes, frt_onnx_model_output(model, node, i), &out[i]);
}

static size_t count_values(const struct frt_onnx_model *model)
{
    size_t n = 0;
    const char *name;
    struct frt_onnx_value value;
    for (uint32_t i = 0; i < frt_onnx_model_nodes(model); i++)
        n += frt_onnx_model_n_outputs(model, i);
    for (uint32_t i = 0; frt_onnx_model_weights_name(model, i, &name); i++)
        n++;
    for (uint32_t i = 0; frt_onnx_model_graph_input(model, i, &value); i++)
        n++;
    return n;
}

enum frt_status frt_shapes_infer(const struct frt_onnx_model *model, struct frt_shapes **out,
                                 struct frt_error *err)
{
    struct frt_shapes *shapes = frt_alloc_zero(1, sizeof *shapes);
    const size_t values = count_values(model);
    const char *name;
    struct frt_onnx_value value;
    if (shapes == NULL)
        return frt_fail_nomem(err, "shapes");
    shapes->model = model;
    for (shapes->slots = 16; shapes->slots < 2 * values + 1;)
        shapes->slots *= 2;
    shapes->entries = frt_alloc_zero(shapes->slots, sizeof *shapes->entries);
    if (shapes->entries == NULL) {
        frt_shapes_free(shapes);
        return frt_fail_nomem(err, "shapes");
    }
    for (uint32_t i = 0; frt_onnx_model_weights_name(model, i, &name); i++) {
        struct frt_onnx_tensor tensor;
        if (!frt_onnx_model_tensor(model, name, &tensor))
            continue;
        const struct frt_shape_fact fact = fact_of_tensor(&tensor);
        learn(shapes, name, &fact);
    }
    for (uint32_t i = 0; frt_onnx_model_graph_input(model, i, &value); i++) {
        const struct frt_shape_fact fact = {.known = value.has_shape, .shape = value.shape};
        learn(shapes, value.name, &fact);
    }
    for (uint32_t i = 0; i < frt_onnx_model_nodes(model); i++)
        infer_node(shapes, i);
    if (shapes->failed) {
        frt_shapes_free(shapes);
        return frt_fail_nomem(err, "shapes");
    }
    *out = shapes;
    return FRT_OK;
}

void frt_shapes_free(struct frt_shapes *shapes)
{
    if (shapes == NULL)
        return;
    for (size_t i = 0; shapes->entries != NULL && i < shapes->slots; i++)
        frt_free(shapes->entries[i].name);
    frt_free(shapes->entries);
    frt_free(shapes);
}

bool frt_shapes_get(const struct frt_shapes *shapes, const char *value, struct frt_onnx_shape *out)
{
    const struct frt_shape_fact fact = look_up(shapes, value);
    if (fact.known)
        *out = fact.shape;
    return fact.known;
}

bool frt_shapes_numbers(const struct frt_shapes *shapes, const char *value, int64_t out[FRT_SHAPES_MAX_VALUES],
                        uint32_t *n)
{
    const struct frt_shape_fact fact = look_up(shapes, value);
    if (!fact.has_numbers)
        return false;
    memcpy(out, fact.numbers, sizeof fact.numbers);
    *n = fact.n_numbers;
    return true;
}
