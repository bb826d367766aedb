#include "model/pass_compute_half.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/mem.h"
#include "model/pass_half.h"
#include "model/passes.h"

#define SUFFIX "/frt_half"
#define LARGEST 65504.0F
enum { NAME_MAX = FRT_ONNX_MODEL_MAX_NAME + sizeof SUFFIX };

/* Operators that may be in f16, and which of their inputs then are. */
enum reads { READS_ALL, READS_FIRST, READS_FIRST_AND_THIRD };
struct operator
{
    const char *name;
    enum reads reads;
    bool multiplies; /* matrices: what the rest is brought along for */
};
static const struct operator operators[] = {
    {"Conv", READS_ALL, true},
    {"ConvTranspose", READS_ALL, true},
    {"Gemm", READS_ALL, true},
    {"MatMul", READS_ALL, true},
    {"Add", READS_ALL, false},
    {"Sub", READS_ALL, false},
    {"Mul", READS_ALL, false},
    {"Div", READS_ALL, false},
    {"Max", READS_ALL, false},
    {"Min", READS_ALL, false},
    {"Clip", READS_ALL, false},
    {"Relu", READS_ALL, false},
    {"PRelu", READS_ALL, false},
    {"LeakyRelu", READS_ALL, false},
    {"Sigmoid", READS_ALL, false},
    {"Concat", READS_ALL, false},
    {"AveragePool", READS_ALL, false},
    {"MaxPool", READS_ALL, false},
    {"GlobalAveragePool", READS_ALL, false},
    {"Flatten", READS_ALL, false},
    {"Transpose", READS_ALL, false},
    {"Reshape", READS_FIRST, false},
    {"Squeeze", READS_FIRST, false},
    {"Unsqueeze", READS_FIRST, false},
    {"Slice", READS_FIRST, false},
    {"Resize", READS_FIRST, false},
    {"Upsample", READS_FIRST, false},
    {"Pad", READS_FIRST_AND_THIRD, false},
};

static const struct operator* operator_of(const struct frt_onnx_model *model, uint32_t node)
{
    const char *op = frt_onnx_model_op(model, node);
    for (size_t i = 0; i < sizeof operators / sizeof *operators; i++)
        if (strcmp(operators[i].name, op) == 0)
            return &operators[i];
    return NULL;
}

static bool reads(const struct operator* op, const struct frt_onnx_model *model, uint32_t node, uint32_t i)
{
    return frt_onnx_model_input(model, node, i)[0] != '\0' &&
           (op->reads == READS_ALL || i == 0 || (op->reads == READS_FIRST_AND_THIRD && i == 2));
}

static bool short_enough(const char *name)
{
    return strlen(name) < FRT_ONNX_MODEL_MAX_NAME;
}

/* Whether f16 can hold what a node reads of weights, and names can be told apart. */
static bool can_be_half(const struct frt_onnx_model *model, uint32_t node, const struct operator* op)
{
    if (!short_enough(frt_onnx_model_output(model, node, 0)))
        return false;
    for (uint32_t i = 0; i < frt_onnx_model_n_inputs(model, node); i++) {
        const char *name = frt_onnx_model_input(model, node, i);
        struct frt_onnx_tensor weights;
        if (!reads(op, model, node, i))
            continue;
        if (!short_enough(name))
            return false;
        if (!frt_onnx_model_tensor(model, name, &weights))
            continue;
        if (weights.type != FRT_ONNX_F32)
            return false;
        const size_t n = frt_onnx_tensor_count(&weights);
        for (size_t k = 0; k < n; k++)
            if (!(fabsf(((const float *)weights.data)[k]) <= LARGEST))
                return false;
    }
    return true;
}

/* -------------------------------------------------------------- choosing */

/* Backwards from those that multiply, along what is read in f16: numbers of a shape are never come upon. */
static enum frt_status choose(const struct frt_onnx_model *model, bool *half, uint32_t *n_half,
                              struct frt_error *err)
{
    const uint32_t n = frt_onnx_model_nodes(model);
    uint32_t *stack = frt_alloc_array(n, sizeof *stack), depth = 0;
    if (stack == NULL)
        return frt_fail_nomem(err, "a graph in halves");
    for (uint32_t node = 0; node < n; node++) {
        const struct operator* op = operator_of(model, node);
        half[node] = op != NULL && op->multiplies && can_be_half(model, node, op);
        if (half[node])
            stack[depth++] = node; /* each node at most once */
    }
    while (depth > 0) {
        const uint32_t node = stack[--depth];
        const struct operator* op = operator_of(model, node);
        (*n_half)++;
        for (uint32_t i = 0; i < frt_onnx_model_n_inputs(model, node); i++) {
            uint32_t maker;
            if (!reads(op, model, node, i) ||
                !frt_onnx_model_maker(model, frt_onnx_model_input(model, node, i), &maker) || half[maker])
                continue;
            const struct operator* before = operator_of(model, maker);
            /* a second output is of another kind (MaxPool's indices), or not its first's */
            if (before == NULL || !can_be_half(model, maker, before) ||
                strcmp(frt_onnx_model_output(model, maker, 0), frt_onnx_model_input(model, node, i)) != 0)
                continue;
            half[maker] = true;
            stack[depth++] = maker;
        }
    }
    frt_free(stack);
    return FRT_OK;
}

/* -------------------------------------------------------------- changing */

static void half_name(const char *name, char out[NAME_MAX])
{
    (void)snprintf(out, NAME_MAX, "%.*s" SUFFIX, FRT_ONNX_MODEL_MAX_NAME - 1, name);
}

static enum frt_status halve_weights(struct frt_onnx_model *model, const struct frt_onnx_tensor *weights,
                                     const char *name, struct frt_error *err)
{
    struct frt_onnx_tensor there;
    if (frt_onnx_model_tensor(model, name, &there)) /* read by another layer, too */
        return FRT_OK;
    const size_t n = frt_onnx_tensor_count(weights);
    uint16_t *values = frt_alloc_array(n, sizeof *values);
    if (values == NULL)
        return frt_fail_nomem(err, "weights");
    for (size_t i = 0; i < n; i++)
        values[i] = frt_f16_of(((const float *)weights->data)[i]);
    const struct frt_onnx_tensor smaller = {
        .type = FRT_ONNX_F16, .shape = weights->shape, .data = values, .bytes = n * sizeof *values};
    enum frt_status status = frt_onnx_model_add_tensor(model, name, &smaller, err);
    frt_free(values);
    return status;
}

static enum frt_status cast(struct frt_onnx_model *model, uint32_t at, const char *from, const char *to,
                            enum frt_onnx_type type, struct frt_error *err)
{
    return frt_onnx_model_insert(
        model, at,
        &(struct frt_onnx_insert){.op = "Cast",
                                  .n_inputs = 1,
                                  .inputs = {from},
                                  .n_outputs = 1,
                                  .outputs = {to},
                                  .n_attributes = 1,
                                  .attributes = {{.name = "to", .kind = FRT_ONNX_INT, .i = type}}},
        err);
}

/* What a node reads has the name of its value in f16; what it makes, too. */
static enum frt_status rename_node(struct frt_onnx_model *model, uint32_t node, struct frt_error *err)
{
    const struct operator* op = operator_of(model, node);
    enum frt_status status = FRT_OK;
    char name[NAME_MAX];
    for (uint32_t i = 0; status == FRT_OK && i < frt_onnx_model_n_inputs(model, node); i++) {
        struct frt_onnx_tensor weights;
        if (!reads(op, model, node, i))
            continue;
        half_name(frt_onnx_model_input(model, node, i), name);
        if (frt_onnx_model_tensor(model, frt_onnx_model_input(model, node, i), &weights))
            status = halve_weights(model, &weights, name, err);
        if (status == FRT_OK)
            status = frt_onnx_model_set_input(model, node, i, name, err);
    }
    half_name(frt_onnx_model_output(model, node, 0), name);
    return status == FRT_OK ? frt_onnx_model_set_output(model, node, 0, name, err) : status;
}

/* The value's own name, of one that is called as in f16. False: it is not. */
static bool own_name(const char *half, char out[NAME_MAX])
{
    const size_t length = strlen(half), suffix = sizeof SUFFIX - 1;
    if (length <= suffix || length >= NAME_MAX || strcmp(half + length - suffix, SUFFIX) != 0)
        return false;
    memcpy(out, half, length - suffix);
    out[length - suffix] = '\0';
    return true;
}

/* Behind the node at `at`, whose output is in f16: its f32 for those that read it. */
static enum frt_status widen(struct frt_onnx_model *model, uint32_t at, bool *inserted, struct frt_error *err)
{
    char half[NAME_MAX], own[NAME_MAX];
    (void)snprintf(half, sizeof half, "%s", frt_onnx_model_output(model, at, 0));
    if (!own_name(half, own) || frt_onnx_model_readers(model, own) == 0)
        return FRT_OK;
    *inserted = true;
    return cast(model, at + 1, half, own, FRT_ONNX_F32, err);
}

/* Before the node at `at`: what it reads in f16 and nobody makes so. */
static enum frt_status narrow(struct frt_onnx_model *model, uint32_t at, uint32_t *inserted,
                              struct frt_error *err)
{
    enum frt_status status = FRT_OK;
    char half[NAME_MAX], own[NAME_MAX];
    for (uint32_t i = 0; status == FRT_OK && i < frt_onnx_model_n_inputs(model, at + *inserted); i++) {
        struct frt_onnx_tensor weights;
        uint32_t maker;
        (void)snprintf(half, sizeof half, "%s", frt_onnx_model_input(model, at + *inserted, i));
        if (!own_name(half, own) || frt_onnx_model_tensor(model, half, &weights) ||
            frt_onnx_model_maker(model, half, &maker))
            continue;
        status = cast(model, at, own, half, FRT_ONNX_F16, err);
        (*inserted)++;
    }
    return status;
}

static enum frt_status change(struct frt_onnx_model *model, const bool *half, struct frt_error *err)
{
    const uint32_t n = frt_onnx_model_nodes(model);
    enum frt_status status = FRT_OK;
    for (uint32_t i = 0; status == FRT_OK && i < n; i++)
        if (half[i])
            status = rename_node(model, i, err);
    /* in their order: the first that reads a value in f16 has the Cast before it, and the later ones find it */
    for (uint32_t i = 0, at = 0; status == FRT_OK && i < n; i++, at++) {
        uint32_t before = 0;
        bool behind = false;
        if (!half[i])
            continue;
        status = narrow(model, at, &before, err);
        at += before;
        if (status == FRT_OK)
            status = widen(model, at, &behind, err);
        at += behind;
    }
    return status;
}

enum frt_status frt_compute_half(struct frt_onnx_model *model, uint32_t *halved, struct frt_error *err)
{
    const uint32_t n = frt_onnx_model_nodes(model);
    if (n == 0 || frt_onnx_model_has_inner_graphs(model))
        return FRT_OK;
    for (uint32_t i = 0; i < n; i++) { /* halved before */
        char own[NAME_MAX];
        if (own_name(frt_onnx_model_output(model, i, 0), own))
            return FRT_OK;
    }
    bool *half = frt_alloc_zero(n, sizeof *half);
    uint32_t n_half = 0;
    if (half == NULL)
        return frt_fail_nomem(err, "a graph in halves");
    (void)frt_onnx_model_fix_weights(model);
    enum frt_status status = choose(model, half, &n_half, err);
    if (status == FRT_OK && n_half > 0) {
        status = change(model, half, err);
        (void)frt_onnx_model_drop_unread_weights(model);
    }
    frt_free(half);
    *halved += n_half;
    return status;
}

enum frt_status frt_rewrite_in_half(const void *bytes, size_t size, uint8_t **out, size_t *out_size,
                                    uint32_t *halved, struct frt_error *err)
{
    struct frt_onnx_model *model = NULL;
    struct frt_pass_counts counts = {0};
    *out = NULL;
    *out_size = 0;
    enum frt_status status = frt_onnx_model_parse(bytes, size, &model, err);
    if (status == FRT_OK)
        status = frt_passes_run(model, FRT_PASS_PLAIN, &counts, err);
    if (status == FRT_OK)
        status = frt_compute_half(model, halved, err);
    if (status == FRT_OK && *halved > 0)
        status = frt_onnx_model_pack(model, out, out_size, err);
    frt_onnx_model_free(model);
    return status;
}
