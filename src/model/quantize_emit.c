#include "model/quantize_emit.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/mem.h"

#define CONTRIB "com.microsoft"
enum { NAME = FRT_ONNX_MODEL_MAX_NAME + 24 };

/* The names that go with a value. */
struct names {
    char u8[NAME], scale[NAME], zero[NAME], other[NAME];
};

struct emitter {
    struct frt_onnx_model *model;
    const struct frt_q_plan *plan;
    uint32_t at;      /* position of the node in hand */
    float most;       /* largest 8-bit weight */
    bool *ready;      /* values whose bytes are there */
    bool *float_read; /* values that somebody reads in floats */
    bool *dropped;    /* nodes that nobody reads any more */
    bool *taken;      /* PReLUs that the convolution before them computes */
    struct frt_error *err;
};

static void name_value(const struct frt_q_value *value, struct names *n)
{
    (void)snprintf(n->u8, sizeof n->u8, "%s/frt_u8", value->name);
    (void)snprintf(n->scale, sizeof n->scale, "%s/frt_s", value->name);
    (void)snprintf(n->zero, sizeof n->zero, "%s/frt_z", value->name);
    (void)snprintf(n->other, sizeof n->other, "%s/frt_t", value->name);
}

static enum frt_status add_tensor(struct emitter *e, const char *name, enum frt_onnx_type type,
                                  const struct frt_onnx_shape *shape, const void *data, size_t count)
{
    const struct frt_onnx_tensor tensor = {
        .type = type, .shape = *shape, .data = data, .bytes = count * frt_onnx_type_bytes(type)};
    return frt_onnx_model_add_tensor(e->model, name, &tensor, e->err);
}

static enum frt_status add_quantum(struct emitter *e, const struct frt_q_value *value)
{
    const struct frt_onnx_shape scalar = {0};
    struct names n;
    name_value(value, &n);
    enum frt_status status = add_tensor(e, n.scale, FRT_ONNX_F32, &scalar, &value->scale, 1);
    return status == FRT_OK ? add_tensor(e, n.zero, FRT_ONNX_U8, &scalar, &value->zero, 1) : status;
}

static enum frt_status insert(struct emitter *e, const struct frt_onnx_insert *node)
{
    enum frt_status status = frt_onnx_model_insert(e->model, e->at, node, e->err);
    if (status == FRT_OK)
        e->at++;
    return status;
}

static enum frt_status insert_transpose(struct emitter *e, const char *from, const char *to, bool to_nhwc)
{
    struct frt_onnx_insert node = {.op = "Transpose",
                                   .n_inputs = 1,
                                   .n_outputs = 1,
                                   .inputs = {from},
                                   .outputs = {to},
                                   .n_attributes = 1,
                                   .attributes = {{.name = "perm", .kind = FRT_ONNX_INTS, .n_ints = 4}}};
    static const int64_t order[2][4] = {{0, 3, 1, 2}, {0, 2, 3, 1}};
    memcpy(node.attributes[0].ints, order[to_nhwc], sizeof order[0]);
    return insert(e, &node);
}

/* The bytes of a value that is made in floats. */
static enum frt_status need_bytes(struct emitter *e, uint32_t value)
{
    struct names n;
    if (value == FRT_Q_NO_VALUE || e->ready[value])
        return FRT_OK;
    const struct frt_q_value *v = &e->plan->values[value];
    name_value(v, &n);
    const struct frt_onnx_insert quantise = {.op = "QuantizeLinear",
                                             .n_inputs = 3,
                                             .n_outputs = 1,
                                             .inputs = {v->name, n.scale, n.zero},
                                             .outputs = {n.other}};
    enum frt_status status = insert(e, &quantise);
    if (status == FRT_OK)
        status = insert_transpose(e, n.other, n.u8, true);
    e->ready[value] = status == FRT_OK;
    return status;
}

/* Bytes are there; floats, too, where they are read. */
static enum frt_status made(struct emitter *e, uint32_t value)
{
    const struct frt_q_value *v = &e->plan->values[value];
    struct names n;
    e->ready[value] = true;
    if (!e->float_read[value])
        return FRT_OK;
    name_value(v, &n);
    const struct frt_onnx_insert floats = {.op = "DequantizeLinear",
                                           .n_inputs = 3,
                                           .n_outputs = 1,
                                           .inputs = {n.u8, n.scale, n.zero},
                                           .outputs = {n.other}};
    enum frt_status status = insert(e, &floats);
    return status == FRT_OK ? insert_transpose(e, n.other, v->name, false) : status;
}

/* ----------------------------------------------------------------- weights */

/* i8 weights, a scale and an offset each output channel. `step`: elements from a channel's one to its next;
 * `first`: from a channel's first to the next channel's. */
struct packed {
    int8_t *weights;
    float *scales;
    int32_t *offsets; /* NULL: none */
};

static void packed_free(struct packed *p)
{
    frt_free(p->weights);
    frt_free(p->scales);
    frt_free(p->offsets);
}

static int32_t to_i32(double v)
{
    return v >= INT32_MAX ? INT32_MAX : v <= INT32_MIN ? INT32_MIN : (int32_t)lrint(v);
}

static bool pack_weights(float most, const float *w, const float *bias, int64_t channels, int64_t each,
                         int64_t step, int64_t first, float x_scale, struct packed *p)
{
    p->weights = frt_alloc((size_t)(channels * each));
    p->scales = frt_alloc_array((size_t)channels, sizeof *p->scales);
    p->offsets = bias != NULL ? frt_alloc_array((size_t)channels, sizeof *p->offsets) : NULL;
    if (p->weights == NULL || p->scales == NULL || (bias != NULL && p->offsets == NULL))
        return false;
    for (int64_t c = 0; c < channels; c++) {
        float largest = 0;
        for (int64_t i = 0; i < each; i++)
            largest = fmaxf(largest, fabsf(w[c * first + i * step]));
        float scale = largest / most;
        if (bias != NULL) /* the offset must fit into 31 bits */
            scale = fmaxf(scale, fabsf(bias[c]) / x_scale / 1e9F);
        if (!(scale > 1e-30F))
            scale = 1;
        p->scales[c] = scale;
        for (int64_t i = 0; i < each; i++)
            p->weights[c * first + i * step] = (int8_t)lrintf(w[c * first + i * step] / scale);
        if (bias != NULL)
            p->offsets[c] = to_i32((double)bias[c] / ((double)x_scale * (double)scale));
    }
    return true;
}

struct weight_names {
    char w[NAME], scales[NAME], zero[NAME], offsets[NAME];
};

static enum frt_status add_packed(struct emitter *e, const char *value, const struct frt_onnx_shape *shape,
                                  int64_t channels, const struct packed *p, struct weight_names *n)
{
    const struct frt_onnx_shape one_each = {.n_dims = 1, .dims = {channels}};
    static const int8_t zeros[FRT_Q_MAX_CHANNELS]; /* one each, too: QGemm insists */
    (void)snprintf(n->w, sizeof n->w, "%s/frt_w", value);
    (void)snprintf(n->scales, sizeof n->scales, "%s/frt_ws", value);
    (void)snprintf(n->zero, sizeof n->zero, "%s/frt_wz", value);
    (void)snprintf(n->offsets, sizeof n->offsets, "%s/frt_b", value);
    enum frt_status status =
        add_tensor(e, n->w, FRT_ONNX_I8, shape, p->weights, (size_t)frt_onnx_shape_size(shape));
    if (status == FRT_OK)
        status = add_tensor(e, n->scales, FRT_ONNX_F32, &one_each, p->scales, (size_t)channels);
    if (status == FRT_OK)
        status = add_tensor(e, n->zero, FRT_ONNX_I8, &one_each, zeros, (size_t)channels);
    if (status == FRT_OK && p->offsets != NULL)
        status = add_tensor(e, n->offsets, FRT_ONNX_I32, &one_each, p->offsets, (size_t)channels);
    return status;
}

/* ------------------------------------------------------------------- nodes */

static void copy_ints(const struct emitter *e, const char *name, struct frt_onnx_insert *to)
{
    struct frt_onnx_attribute *attribute = &to->attributes[to->n_attributes];
    *attribute = (struct frt_onnx_attribute){.name = name, .kind = FRT_ONNX_INTS};
    if (frt_onnx_model_ints(e->model, e->at, name, FRT_ONNX_MAX_ATTRIBUTE_INTS, attribute->ints,
                            &attribute->n_ints))
        to->n_attributes++;
}

static void put_int(struct frt_onnx_insert *to, const char *name, int64_t i)
{
    to->attributes[to->n_attributes++] =
        (struct frt_onnx_attribute){.name = name, .kind = FRT_ONNX_INT, .i = i};
}

static enum frt_status put_conv(struct emitter *e, const struct frt_q_node *node, const struct weight_names *wn,
                                bool offsets)
{
    struct names xn, yn;
    name_value(&e->plan->values[node->in[0]], &xn);
    name_value(&e->plan->values[node->out], &yn);
    struct frt_onnx_insert conv = {
        .op = "QLinearConv",
        .domain = CONTRIB,
        .n_inputs = offsets ? 9 : 8,
        .n_outputs = 1,
        .inputs = {xn.u8, xn.scale, xn.zero, wn->w, wn->scales, wn->zero, yn.scale, yn.zero, wn->offsets},
        .outputs = {yn.u8}};
    copy_ints(e, "kernel_shape", &conv);
    copy_ints(e, "strides", &conv);
    copy_ints(e, "pads", &conv);
    copy_ints(e, "dilations", &conv);
    put_int(&conv, "group", frt_onnx_model_int(e->model, e->at, "group", 1));
    put_int(&conv, "channels_last", 1);
    return insert(e, &conv);
}

/* The one slope, or one a channel, of a PReLU or LeakyRelu, as weights of one dimension. */
static enum frt_status add_slopes(struct emitter *e, uint32_t at, const char *name, int64_t channels)
{
    const struct frt_onnx_shape each = {.n_dims = 1, .dims = {channels}};
    struct frt_onnx_shape shape;
    const float *slopes = NULL;
    float *all = frt_alloc_array((size_t)channels, sizeof *all);
    if (all == NULL)
        return frt_fail_nomem(e->err, "slopes");
    const float alpha = frt_onnx_model_float(e->model, at, "alpha", 0.01F);
    const bool listed =
        frt_onnx_model_weights(e->model, frt_onnx_model_input(e->model, at, 1), &shape, &slopes);
    for (int64_t c = 0; c < channels; c++)
        all[c] = !listed ? alpha : slopes[frt_onnx_shape_size(&shape) == 1 ? 0 : c];
    enum frt_status status = add_tensor(e, name, FRT_ONNX_F32, &each, all, (size_t)channels);
    frt_free(all);
    return status;
}

/* The PReLU that alone reads what this node makes; FRT_Q_NO_VALUE: none. */
static uint32_t only_prelu(const struct emitter *e, const struct frt_q_node *node)
{
    const char *name = e->plan->values[node->out].name;
    if (e->float_read[node->out] || frt_onnx_model_readers(e->model, name) != 1)
        return FRT_Q_NO_VALUE;
    for (uint32_t i = (uint32_t)(node - e->plan->nodes) + 1; i < e->plan->n_nodes; i++)
        if (e->plan->nodes[i].active && e->plan->nodes[i].in[0] == node->out)
            return e->plan->nodes[i].kind == FRT_Q_PRELU ? i : FRT_Q_NO_VALUE;
    return FRT_Q_NO_VALUE;
}

static enum frt_status put_narrow(struct emitter *e, const struct frt_q_node *node,
                                  const struct weight_names *wn, int64_t channels)
{
    const uint32_t at = (uint32_t)(node - e->plan->nodes), prelu = only_prelu(e, node),
                   out = prelu != FRT_Q_NO_VALUE ? e->plan->nodes[prelu].out : node->out;
    struct names xn, yn;
    char slopes[NAME];
    enum frt_status status;
    name_value(&e->plan->values[node->in[0]], &xn);
    name_value(&e->plan->values[out], &yn);
    (void)snprintf(slopes, sizeof slopes, "%s/frt_a", e->plan->values[out].name);
    if (prelu != FRT_Q_NO_VALUE) /* nodes from here on are as the plan saw them */
        status = add_slopes(e, e->at + (prelu - at), slopes, channels);
    else {
        const float none = 1;
        status =
            add_tensor(e, slopes, FRT_ONNX_F32, &(struct frt_onnx_shape){.n_dims = 1, .dims = {1}}, &none, 1);
    }
    struct frt_onnx_insert conv = {
        .op = "QLinearNarrowConv",
        .domain = "frt",
        .n_inputs = 9,
        .n_outputs = 1,
        .inputs = {xn.u8, xn.scale, xn.zero, wn->w, wn->scales, yn.scale, yn.zero, wn->offsets, slopes},
        .outputs = {yn.u8},
        .n_attributes = 2,
        .attributes = {{.name = "strides", .kind = FRT_ONNX_INTS}, {.name = "pads", .kind = FRT_ONNX_INTS}}};
    struct frt_onnx_attribute *strides = &conv.attributes[0], *pads = &conv.attributes[1];
    if (!frt_onnx_model_ints(e->model, e->at, "strides", 2, strides->ints, &strides->n_ints))
        strides->ints[0] = strides->ints[1] = 1;
    if (!frt_onnx_model_ints(e->model, e->at, "pads", 4, pads->ints, &pads->n_ints))
        memset(pads->ints, 0, 4 * sizeof *pads->ints);
    strides->n_ints = 2;
    pads->n_ints = 4;
    if (status == FRT_OK)
        status = frt_onnx_model_use_domain(e->model, "frt", 1, e->err);
    if (status == FRT_OK)
        status = insert(e, &conv);
    if (status != FRT_OK || prelu == FRT_Q_NO_VALUE)
        return status;
    e->taken[prelu] = true;
    return made(e, out);
}

static enum frt_status emit_conv(struct emitter *e, const struct frt_q_node *node)
{
    const struct frt_q_value *x = &e->plan->values[node->in[0]], *y = &e->plan->values[node->out];
    struct weight_names wn;
    struct frt_onnx_shape shape, bias_shape;
    const float *w = NULL, *bias = NULL;
    float *none = NULL;
    struct packed p = {0};
    if (!frt_onnx_model_weights(e->model, frt_onnx_model_input(e->model, e->at, 1), &shape, &w))
        return frt_fail(e->err, FRT_EBAD_MODEL, "the weights of %.100s are gone", y->name);
    if (!frt_onnx_model_weights(e->model, frt_onnx_model_input(e->model, e->at, 2), &bias_shape, &bias))
        bias = NULL;
    const int64_t channels = shape.dims[0], each = frt_onnx_shape_size(&shape) / channels;
    const bool narrow = frt_q_is_narrow(e->model, e->at);
    if (narrow && bias == NULL)
        bias = none = frt_alloc_zero((size_t)channels, sizeof *none);
    enum frt_status status = FRT_OK;
    /* our own kernels are exact with 8 bits on any processor */
    if ((narrow && bias == NULL) ||
        !pack_weights(narrow ? INT8_MAX : e->most, w, bias, channels, each, 1, each, x->scale, &p))
        status = frt_fail_nomem(e->err, "8-bit weights");
    if (status == FRT_OK)
        status = add_packed(e, y->name, &shape, channels, &p, &wn);
    if (status == FRT_OK)
        status = narrow ? put_narrow(e, node, &wn, channels) : put_conv(e, node, &wn, bias != NULL);
    packed_free(&p);
    frt_free(none);
    return status;
}

/* Answers in floats: what follows (normalisation, comparison) is small and counts. */
static enum frt_status emit_dense(struct emitter *e, const struct frt_q_node *node)
{
    const struct frt_q_value *x = &e->plan->values[node->in[0]];
    char y[FRT_ONNX_MODEL_MAX_NAME], flat[NAME], turned_back[NAME];
    struct names xn;
    struct weight_names wn;
    struct frt_onnx_shape shape, bias_shape;
    const float *w = NULL, *bias = NULL;
    struct packed p = {0};
    name_value(x, &xn);
    (void)snprintf(y, sizeof y, "%s", frt_onnx_model_output(e->model, e->at, 0));
    (void)snprintf(flat, sizeof flat, "%s/frt_flat", y);
    (void)snprintf(turned_back, sizeof turned_back, "%s/frt_nchw", y);
    if (!frt_onnx_model_weights(e->model, frt_onnx_model_input(e->model, e->at, 1), &shape, &w))
        return frt_fail(e->err, FRT_EBAD_MODEL, "the weights of %.100s are gone", y);
    if (!frt_onnx_model_weights(e->model, frt_onnx_model_input(e->model, e->at, 2), &bias_shape, &bias))
        bias = NULL;
    const bool turned = frt_onnx_model_int(e->model, e->at, "transB", 0) != 0;
    const int64_t channels = shape.dims[turned ? 0 : 1], each = shape.dims[turned ? 1 : 0];
    enum frt_status status = FRT_OK;
    if (!pack_weights(e->most, w, bias, channels, each, turned ? 1 : channels, turned ? each : 1, x->scale, &p))
        status = frt_fail_nomem(e->err, "8-bit weights");
    if (status == FRT_OK)
        status = add_packed(e, y, &shape, channels, &p, &wn);
    if (status == FRT_OK)
        status = insert_transpose(e, xn.u8, turned_back, false);
    const struct frt_onnx_insert flatten = {.op = "Flatten",
                                            .n_inputs = 1,
                                            .n_outputs = 1,
                                            .inputs = {turned_back},
                                            .outputs = {flat},
                                            .n_attributes = 1,
                                            .attributes = {{.name = "axis", .kind = FRT_ONNX_INT, .i = 1}}};
    if (status == FRT_OK)
        status = insert(e, &flatten);
    struct frt_onnx_insert gemm = {.op = "QGemm",
                                   .domain = CONTRIB,
                                   .n_inputs = bias != NULL ? 7 : 6,
                                   .n_outputs = 1,
                                   .inputs = {flat, xn.scale, xn.zero, wn.w, wn.scales, wn.zero, wn.offsets},
                                   .outputs = {y}};
    put_int(&gemm, "transB", turned);
    if (status == FRT_OK)
        status = insert(e, &gemm);
    packed_free(&p);
    return status;
}

static enum frt_status emit_prelu(struct emitter *e, const struct frt_q_node *node)
{
    const struct frt_q_value *x = &e->plan->values[node->in[0]], *y = &e->plan->values[node->out];
    struct names xn, yn;
    char name[NAME];
    name_value(x, &xn);
    name_value(y, &yn);
    (void)snprintf(name, sizeof name, "%s/frt_a", y->name);
    const struct frt_onnx_insert prelu = {.op = "QLinearPRelu",
                                          .domain = "frt",
                                          .n_inputs = 6,
                                          .n_outputs = 1,
                                          .inputs = {xn.u8, xn.scale, xn.zero, name, yn.scale, yn.zero},
                                          .outputs = {yn.u8}};
    enum frt_status status = add_slopes(e, e->at, name, x->shape.dims[1]);
    if (status == FRT_OK)
        status = frt_onnx_model_use_domain(e->model, "frt", 1, e->err);
    return status == FRT_OK ? insert(e, &prelu) : status;
}

static enum frt_status emit_add(struct emitter *e, const struct frt_q_node *node)
{
    struct names a, b, y;
    name_value(&e->plan->values[node->in[0]], &a);
    name_value(&e->plan->values[node->in[1]], &b);
    name_value(&e->plan->values[node->out], &y);
    const struct frt_onnx_insert add = {
        .op = "QLinearAdd",
        .domain = CONTRIB,
        .n_inputs = 8,
        .n_outputs = 1,
        .inputs = {a.u8, a.scale, a.zero, b.u8, b.scale, b.zero, y.scale, y.zero},
        .outputs = {y.u8}};
    return insert(e, &add);
}

static enum frt_status emit_pool(struct emitter *e, const struct frt_q_node *node)
{
    const bool max = node->kind == FRT_Q_MAX_POOL;
    struct names x, y;
    name_value(&e->plan->values[node->in[0]], &x);
    name_value(&e->plan->values[node->out], &y);
    struct frt_onnx_insert pool = {.op = max ? "NhwcMaxPool" : "QLinearAveragePool",
                                   .domain = CONTRIB,
                                   .n_inputs = max ? 1 : 5,
                                   .n_outputs = 1,
                                   .inputs = {x.u8, x.scale, x.zero, y.scale, y.zero},
                                   .outputs = {y.u8}};
    copy_ints(e, "kernel_shape", &pool);
    copy_ints(e, "strides", &pool);
    copy_ints(e, "pads", &pool);
    if (max)
        copy_ints(e, "dilations", &pool);
    else {
        put_int(&pool, "count_include_pad", frt_onnx_model_int(e->model, e->at, "count_include_pad", 0));
        put_int(&pool, "channels_last", 1);
    }
    return insert(e, &pool);
}

static enum frt_status emit_node(struct emitter *e, const struct frt_q_node *node)
{
    if (e->taken[node - e->plan->nodes])
        return FRT_OK;
    enum frt_status status = need_bytes(e, node->in[0]);
    if (status == FRT_OK)
        status = need_bytes(e, node->in[1]);
    if (status != FRT_OK)
        return status;
    switch (node->kind) {
    case FRT_Q_CONV:
        status = emit_conv(e, node);
        break;
    case FRT_Q_DENSE:
        return emit_dense(e, node);
    case FRT_Q_PRELU:
        status = emit_prelu(e, node);
        break;
    case FRT_Q_ADD:
        status = emit_add(e, node);
        break;
    case FRT_Q_MAX_POOL:
    case FRT_Q_AVERAGE_POOL:
        status = emit_pool(e, node);
        break;
    case FRT_Q_FOLDED:
    case FRT_Q_OTHER:
        return FRT_OK;
    }
    return status == FRT_OK ? made(e, node->out) : status;
}

/* ------------------------------------------------------------ the whole plan */

static void find_float_readers(struct emitter *e)
{
    const struct frt_q_plan *plan = e->plan;
    for (uint32_t i = 0; i < plan->n_nodes; i++)
        if (plan->nodes[i].active && plan->nodes[i].kind == FRT_Q_DENSE)
            e->dropped[plan->nodes[i].flatten] = true;
    for (uint32_t v = 0; v < plan->n_values; v++) {
        const char *name = plan->values[v].name;
        e->float_read[v] = frt_onnx_model_is_output(e->model, name);
        for (uint32_t i = 0; i < plan->n_nodes && !e->float_read[v]; i++) {
            if (plan->nodes[i].active || e->dropped[i])
                continue;
            for (uint32_t k = 0; k < frt_onnx_model_n_inputs(e->model, i); k++)
                e->float_read[v] = e->float_read[v] || strcmp(frt_onnx_model_input(e->model, i, k), name) == 0;
        }
    }
}

enum frt_status frt_q_emit(struct frt_onnx_model *model, const struct frt_q_plan *plan, unsigned weight_bits,
                           struct frt_error *err)
{
    struct emitter e = {.model = model, .plan = plan, .most = weight_bits == 7 ? 63 : 127, .err = err};
    e.ready = frt_alloc_zero(plan->n_values + 1, sizeof *e.ready);
    e.float_read = frt_alloc_zero(plan->n_values + 1, sizeof *e.float_read);
    e.dropped = frt_alloc_zero(plan->n_nodes + 1, sizeof *e.dropped);
    e.taken = frt_alloc_zero(plan->n_nodes + 1, sizeof *e.taken);
    if (e.ready == NULL || e.float_read == NULL || e.dropped == NULL || e.taken == NULL) {
        frt_free(e.ready);
        frt_free(e.float_read);
        frt_free(e.dropped);
        frt_free(e.taken);
        return frt_fail_nomem(err, "a plan");
    }
    enum frt_status status = frt_onnx_model_use_domain(model, CONTRIB, 1, err);
    if (status == FRT_OK)
        find_float_readers(&e);
    for (uint32_t v = 0; v < plan->n_values && status == FRT_OK; v++)
        if (plan->values[v].quantised)
            status = add_quantum(&e, &plan->values[v]);
    for (uint32_t i = 0; i < plan->n_nodes && status == FRT_OK; i++) {
        const struct frt_q_node *node = &plan->nodes[i];
        if (node->active)
            status = emit_node(&e, node);
        if (status == FRT_OK && (node->active || e.dropped[i]))
            frt_onnx_model_remove(model, e.at);
        else
            e.at++;
    }
    frt_free(e.ready);
    frt_free(e.float_read);
    frt_free(e.dropped);
    frt_free(e.taken);
    if (status == FRT_OK) {
        (void)frt_onnx_model_drop_unread_weights(model);
        frt_onnx_model_forget_shapes(model);
    }
    return status;
}
