#include "model/quantize_plan.h"

#include <math.h>
#include <string.h>

#include "core/mem.h"

/* ----------------------------------------------------------- what a node is */

static bool op_is(const struct frt_onnx_model *model, uint32_t node, const char *op)
{
    return strcmp(frt_onnx_model_op(model, node), op) == 0;
}

static bool is_weights(const struct frt_onnx_model *model, const char *name)
{
    struct frt_onnx_tensor tensor;
    return frt_onnx_model_tensor(model, name, &tensor);
}

static bool plain_padding(const struct frt_onnx_model *model, uint32_t node)
{
    return frt_onnx_model_text_is(model, node, "auto_pad", "NOTSET", true);
}

static bool all_finite(const float *values, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        if (!isfinite(values[i]))
            return false;
    return true;
}

/* Our kernels for them need AVX2; elsewhere the runtime's own are faster than plain C. */
static bool has_narrow_kernels(void)
{
#if defined(__x86_64__)
    return __builtin_cpu_supports("avx2") != 0;
#else
    return false;
#endif
}

/* n numbers of an attribute, each from least to most; when it is not there, each is `least`. */
static bool numbers_within(const struct frt_onnx_model *model, uint32_t node, const char *name, uint32_t n,
                           int64_t least, int64_t most)
{
    int64_t numbers[FRT_ONNX_MAX_ATTRIBUTE_INTS];
    uint32_t count = 0;
    if (!frt_onnx_model_ints(model, node, name, FRT_ONNX_MAX_ATTRIBUTE_INTS, numbers, &count))
        return true;
    bool fits = count == n;
    for (uint32_t i = 0; fits && i < n; i++)
        fits = numbers[i] >= least && numbers[i] <= most;
    return fits;
}

bool frt_q_is_narrow(const struct frt_onnx_model *model, uint32_t node)
{
    struct frt_onnx_shape w;
    const float *data;
    const int64_t groups = frt_onnx_model_int(model, node, "group", 1);
    return has_narrow_kernels() && op_is(model, node, "Conv") && plain_padding(model, node) &&
           frt_onnx_model_weights(model, frt_onnx_model_input(model, node, 1), &w, &data) && w.n_dims == 4 &&
           w.dims[0] <= FRT_Q_MAX_CHANNELS && (w.dims[1] == 1 || w.dims[1] == 2) && groups > 0 &&
           groups <= FRT_Q_MAX_CHANNELS && w.dims[0] == groups * w.dims[1] && w.dims[2] == 3 &&
           w.dims[3] == 3 && numbers_within(model, node, "strides", 2, 1, 2) &&
           numbers_within(model, node, "pads", 4, 0, 2) && numbers_within(model, node, "dilations", 2, 1, 1);
}

static bool fits_conv(const struct frt_onnx_model *model, uint32_t node)
{
    struct frt_onnx_shape shape, bias;
    const float *data;
    const int64_t groups = frt_onnx_model_int(model, node, "group", 1);
    if (!frt_onnx_model_weights(model, frt_onnx_model_input(model, node, 1), &shape, &data) ||
        shape.n_dims != 4 || !plain_padding(model, node) || shape.dims[0] > FRT_Q_MAX_CHANNELS)
        return false;
    if (frt_onnx_model_n_inputs(model, node) > 2 && frt_onnx_model_input(model, node, 2)[0] != '\0' &&
        (!frt_onnx_model_weights(model, frt_onnx_model_input(model, node, 2), &bias, &data) ||
         frt_onnx_shape_size(&bias) != shape.dims[0] || !all_finite(data, shape.dims[0])))
        return false;
    return groups == 1 || (shape.dims[1] == 1 && shape.dims[0] == groups) || frt_q_is_narrow(model, node);
}

/* Gemm or MatMul over Flatten(x): weights [K,N], or [N,K] with transB. */
static bool fits_dense(const struct frt_onnx_model *model, uint32_t node, uint32_t *flatten)
{
    struct frt_onnx_shape shape, bias;
    const float *data;
    const bool gemm = op_is(model, node, "Gemm");
    const char *x = frt_onnx_model_input(model, node, 0);
    if (!frt_onnx_model_weights(model, frt_onnx_model_input(model, node, 1), &shape, &data) ||
        shape.n_dims != 2 || !frt_onnx_model_maker(model, x, flatten) || !op_is(model, *flatten, "Flatten") ||
        frt_onnx_model_int(model, *flatten, "axis", 1) != 1 || frt_onnx_model_readers(model, x) != 1 ||
        !all_finite(data, frt_onnx_shape_size(&shape)))
        return false;
    const int64_t n = shape.dims[gemm && frt_onnx_model_int(model, node, "transB", 0) != 0 ? 0 : 1];
    if (!gemm || n > FRT_Q_MAX_CHANNELS)
        return n <= FRT_Q_MAX_CHANNELS;
    const char *c = frt_onnx_model_input(model, node, 2);
    return frt_onnx_model_int(model, node, "transA", 0) == 0 &&
           frt_onnx_model_float(model, node, "alpha", 1) == 1 &&
           frt_onnx_model_float(model, node, "beta", 1) == 1 &&
           (c[0] == '\0' || (frt_onnx_model_weights(model, c, &bias, &data) &&
                             frt_onnx_shape_size(&bias) == n && all_finite(data, n)));
}

static bool fits_prelu(const struct frt_onnx_model *model, uint32_t node)
{
    struct frt_onnx_shape shape;
    const float *data;
    if (op_is(model, node, "LeakyRelu"))
        return fabsf(frt_onnx_model_float(model, node, "alpha", 0.01F)) < 2;
    if (!frt_onnx_model_weights(model, frt_onnx_model_input(model, node, 1), &shape, &data))
        return false;
    const int64_t n = frt_onnx_shape_size(&shape);
    for (int64_t i = 0; i < n; i++)
        if (!(fabsf(data[i]) < 2))
            return false;
    /* one, or one a channel: [C,1,1] or [1,C,1,1] */
    const uint32_t at = shape.n_dims == 4 ? 1 : 0;
    return n == 1 || ((shape.n_dims == 3 || shape.n_dims == 4) && n == shape.dims[at]);
}

static bool fits_pool(const struct frt_onnx_model *model, uint32_t node)
{
    return plain_padding(model, node) && frt_onnx_model_int(model, node, "ceil_mode", 0) == 0 &&
           frt_onnx_model_int(model, node, "storage_order", 0) == 0 &&
           frt_onnx_model_n_outputs(model, node) == 1;
}

static enum frt_q_kind kind_of(const struct frt_onnx_model *model, uint32_t i, uint32_t *flatten)
{
    if (op_is(model, i, "Conv"))
        return fits_conv(model, i) ? FRT_Q_CONV : FRT_Q_OTHER;
    if (op_is(model, i, "Gemm") || op_is(model, i, "MatMul"))
        return fits_dense(model, i, flatten) ? FRT_Q_DENSE : FRT_Q_OTHER;
    if (op_is(model, i, "PRelu") || op_is(model, i, "LeakyRelu"))
        return fits_prelu(model, i) ? FRT_Q_PRELU : FRT_Q_OTHER;
    if (op_is(model, i, "Add"))
        return is_weights(model, frt_onnx_model_input(model, i, 0)) ||
                       is_weights(model, frt_onnx_model_input(model, i, 1))
                   ? FRT_Q_OTHER
                   : FRT_Q_ADD;
    if (op_is(model, i, "MaxPool") && fits_pool(model, i))
        return FRT_Q_MAX_POOL;
    if (op_is(model, i, "AveragePool") && fits_pool(model, i))
        return FRT_Q_AVERAGE_POOL;
    return FRT_Q_OTHER;
}

/* Relu, or a Clip whose lower end is 0: by weights (opset 11) or attributes (before). */
static bool clips_at_zero(const struct frt_onnx_model *model, uint32_t node)
{
    struct frt_onnx_tensor low;
    float value;
    if (op_is(model, node, "Relu"))
        return true;
    if (!op_is(model, node, "Clip"))
        return false;
    if (frt_onnx_model_n_inputs(model, node) < 2)
        return frt_onnx_model_float(model, node, "min", -INFINITY) == 0;
    if (!frt_onnx_model_tensor(model, frt_onnx_model_input(model, node, 1), &low) || low.type != FRT_ONNX_F32 ||
        frt_onnx_tensor_count(&low) != 1)
        return false;
    memcpy(&value, low.data, sizeof value);
    return value == 0;
}

/* -------------------------------------------------------------------- plan */

static uint32_t value_of(struct frt_q_plan *plan, const char *name)
{
    for (uint32_t i = 0; i < plan->n_values; i++)
        if (strcmp(plan->values[i].name, name) == 0)
            return i;
    return FRT_Q_NO_VALUE;
}

/* The value of this name, made if need be; FRT_Q_NO_VALUE when there is no room or the name is too long. */
static uint32_t value_need(const struct frt_onnx_model *model, struct frt_q_plan *plan, const char *name)
{
    uint32_t i = value_of(plan, name), maker = FRT_Q_NO_VALUE;
    if (i != FRT_Q_NO_VALUE)
        return i;
    if (plan->n_values == FRT_Q_MAX_VALUES || name[0] == '\0' || strlen(name) + 16 >= FRT_ONNX_MODEL_MAX_NAME)
        return FRT_Q_NO_VALUE;
    struct frt_q_value *value = &plan->values[plan->n_values];
    memcpy(value->name, name, strlen(name) + 1);
    value->maker = frt_onnx_model_maker(model, name, &maker) ? maker : FRT_Q_NO_VALUE;
    return plan->n_values++;
}

static void read_node(const struct frt_onnx_model *model, struct frt_q_plan *plan, uint32_t i)
{
    struct frt_q_node *node = &plan->nodes[i];
    if (node->kind == FRT_Q_FOLDED)
        return; /* its maker found it */
    *node = (struct frt_q_node){.in = {FRT_Q_NO_VALUE, FRT_Q_NO_VALUE},
                                .out = FRT_Q_NO_VALUE,
                                .flatten = FRT_Q_NO_VALUE,
                                .maker = FRT_Q_NO_VALUE};
    node->kind = kind_of(model, i, &node->flatten);
    if (node->kind == FRT_Q_OTHER)
        return;
    const char *out = frt_onnx_model_output(model, i, 0);
    node->in[0] =
        value_need(model, plan, frt_onnx_model_input(model, node->kind == FRT_Q_DENSE ? node->flatten : i, 0));
    if (node->kind == FRT_Q_ADD)
        node->in[1] = value_need(model, plan, frt_onnx_model_input(model, i, 1));
    bool fits = node->in[0] != FRT_Q_NO_VALUE && (node->kind != FRT_Q_ADD || node->in[1] != FRT_Q_NO_VALUE);
    if (node->kind != FRT_Q_DENSE && fits) {
        const bool folds = (node->kind == FRT_Q_CONV || node->kind == FRT_Q_ADD) &&
                           frt_onnx_model_readers(model, out) == 1 && !frt_onnx_model_is_output(model, out);
        for (uint32_t k = i + 1; folds && k < plan->n_nodes; k++) {
            if (strcmp(frt_onnx_model_input(model, k, 0), out) != 0 || !clips_at_zero(model, k))
                continue;
            plan->nodes[k] = (struct frt_q_node){.kind = FRT_Q_FOLDED,
                                                 .in = {FRT_Q_NO_VALUE, FRT_Q_NO_VALUE},
                                                 .out = FRT_Q_NO_VALUE,
                                                 .flatten = FRT_Q_NO_VALUE,
                                                 .maker = i};
            out = frt_onnx_model_output(model, k, 0);
            break;
        }
        node->out = value_need(model, plan, out);
        fits = node->out != FRT_Q_NO_VALUE;
    }
    if (!fits)
        node->kind = FRT_Q_OTHER;
}

enum frt_status frt_q_plan_new(const struct frt_onnx_model *model, struct frt_q_plan **out,
                               struct frt_error *err)
{
    struct frt_q_plan *plan = frt_alloc_zero(1, sizeof *plan);
    if (plan == NULL)
        return frt_fail_nomem(err, "a plan");
    plan->n_nodes = frt_onnx_model_nodes(model);
    plan->nodes = frt_alloc_zero(plan->n_nodes + 1, sizeof *plan->nodes);
    plan->values = frt_alloc_zero(FRT_Q_MAX_VALUES, sizeof *plan->values);
    if (plan->nodes == NULL || plan->values == NULL) {
        frt_q_plan_free(plan);
        return frt_fail_nomem(err, "a plan");
    }
    for (uint32_t i = 0; i < plan->n_nodes; i++)
        read_node(model, plan, i);
    *out = plan;
    return FRT_OK;
}

void frt_q_plan_free(struct frt_q_plan *plan)
{
    if (plan == NULL)
        return;
    for (uint32_t i = 0; plan->values != NULL && i < plan->n_values; i++)
        frt_free(plan->values[i].stats);
    frt_free(plan->nodes);
    frt_free(plan->values);
    frt_free(plan);
}

/* ------------------------------------------------------------------ shapes */

static void give_up(struct frt_q_plan *plan, uint32_t i)
{
    plan->nodes[i].kind = FRT_Q_OTHER;
    for (uint32_t k = i + 1; k < plan->n_nodes; k++)
        if (plan->nodes[k].kind == FRT_Q_FOLDED && plan->nodes[k].maker == i)
            plan->nodes[k].kind = FRT_Q_OTHER;
}

static const struct frt_q_value *seen(const struct frt_q_plan *plan, uint32_t value)
{
    const struct frt_q_value *v = value != FRT_Q_NO_VALUE ? &plan->values[value] : NULL;
    const bool fits = v != NULL && v->shape.n_dims == 4 && v->shape.dims[1] <= FRT_Q_MAX_CHANNELS &&
                      v->stats != NULL && v->stats->n > 0 && v->stats->not_finite == 0;
    return fits ? v : NULL;
}

void frt_q_plan_check_shapes(const struct frt_onnx_model *model, struct frt_q_plan *plan)
{
    for (uint32_t i = 0; i < plan->n_nodes; i++) {
        struct frt_q_node *node = &plan->nodes[i];
        struct frt_onnx_shape slopes;
        const float *data;
        if (node->kind == FRT_Q_OTHER || node->kind == FRT_Q_FOLDED)
            continue;
        const struct frt_q_value *a = seen(plan, node->in[0]), *b = seen(plan, node->in[1]);
        bool fits = a != NULL && (node->kind == FRT_Q_DENSE || seen(plan, node->out) != NULL);
        if (fits && node->kind == FRT_Q_ADD)
            fits = b != NULL && memcmp(a->shape.dims, b->shape.dims, 4 * sizeof *a->shape.dims) == 0;
        if (fits && node->kind == FRT_Q_PRELU &&
            frt_onnx_model_weights(model, frt_onnx_model_input(model, i, 1), &slopes, &data))
            fits = frt_onnx_shape_size(&slopes) == 1 || frt_onnx_shape_size(&slopes) == a->shape.dims[1];
        if (!fits)
            give_up(plan, i);
    }
}

/* ------------------------------------------------------------------ scales */

/* The relation of the two scales that QLinearPRelu can bridge, its slopes of under 2 included. */
#define MOST_APART 3.9F

void frt_q_plan_scales(struct frt_q_plan *plan, enum frt_range_method method)
{
    for (uint32_t i = 0; i < plan->n_values; i++) {
        struct frt_q_value *value = &plan->values[i];
        if (value->stats == NULL)
            continue;
        value->range = frt_range_choose(value->stats, method);
        frt_range_quantum(value->range, &value->scale, &value->zero);
    }
    for (uint32_t i = 0; i < plan->n_nodes; i++) { /* in the graph's order: what is read is settled */
        const struct frt_q_node *node = &plan->nodes[i];
        if (node->kind != FRT_Q_PRELU && node->kind != FRT_Q_MAX_POOL)
            continue;
        const struct frt_q_value *in = &plan->values[node->in[0]];
        struct frt_q_value *out = &plan->values[node->out];
        if (node->kind == FRT_Q_MAX_POOL) { /* picks bytes, does not make any */
            out->range = in->range;
            out->scale = in->scale;
            out->zero = in->zero;
        } else if (in->scale > MOST_APART * out->scale) {
            const float by = in->scale / (MOST_APART * out->scale);
            out->range = (struct frt_range){out->range.lo * by, out->range.hi * by};
            frt_range_quantum(out->range, &out->scale, &out->zero);
        }
    }
}

/* ------------------------------------------------------------------ settle */

static bool made_active(const struct frt_q_plan *plan, uint32_t value)
{
    uint32_t maker = plan->values[value].maker;
    if (maker == FRT_Q_NO_VALUE)
        return false;
    if (plan->nodes[maker].kind == FRT_Q_FOLDED)
        maker = plan->nodes[maker].maker;
    return plan->nodes[maker].active;
}

void frt_q_plan_settle(struct frt_q_plan *plan)
{
    for (uint32_t i = 0; i < plan->n_values; i++)
        plan->values[i].quantised = false;
    for (uint32_t i = 0; i < plan->n_nodes; i++) {
        struct frt_q_node *node = &plan->nodes[i];
        switch (node->kind) {
        case FRT_Q_CONV:
        case FRT_Q_DENSE:
            node->active = !node->wide;
            break;
        case FRT_Q_PRELU:
        case FRT_Q_MAX_POOL:
        case FRT_Q_AVERAGE_POOL:
            node->active = made_active(plan, node->in[0]);
            break;
        case FRT_Q_ADD:
            node->active = made_active(plan, node->in[0]) || made_active(plan, node->in[1]);
            break;
        case FRT_Q_FOLDED:
            node->active = plan->nodes[node->maker].active;
            break;
        case FRT_Q_OTHER:
            node->active = false;
            break;
        }
        if (!node->active)
            continue;
        for (uint32_t k = 0; k < 2; k++)
            if (node->in[k] != FRT_Q_NO_VALUE)
                plan->values[node->in[k]].quantised = true;
        if (node->out != FRT_Q_NO_VALUE)
            plan->values[node->out].quantised = true;
    }
}
