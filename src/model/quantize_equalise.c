#include "model/quantize_equalise.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/mem.h"
#include "model/ranges_collect.h"

enum { INPUTS = 12, MAX_VALUES = 4096, MAX_CHANNELS = 8192, NAME = FRT_ONNX_MODEL_MAX_NAME + 16 };
#define MOST 64.0F /* a factor: a channel that is all but dead needs no more */

struct value {
    char name[FRT_ONNX_MODEL_MAX_NAME];
    uint32_t parent;  /* union-find: the group is the root's number */
    int64_t channels; /* of a convolution that makes or reads it; 0 = not known */
    bool spoilt;      /* somebody else makes or reads it */
    bool made, read;  /* by a convolution */
    bool dense;       /* read by one that is not depthwise */
};

struct groups {
    struct value *values;
    uint32_t n;
    bool overflow;
};

/* ------------------------------------------------------------------ groups */

static uint32_t value_of(struct groups *g, const char *name)
{
    for (uint32_t i = 0; i < g->n; i++)
        if (strcmp(g->values[i].name, name) == 0)
            return i;
    if (g->n == MAX_VALUES || name[0] == '\0' || strlen(name) >= FRT_ONNX_MODEL_MAX_NAME) {
        g->overflow = true;
        return 0;
    }
    struct value *v = &g->values[g->n];
    *v = (struct value){.parent = g->n};
    memcpy(v->name, name, strlen(name) + 1);
    return g->n++;
}

static uint32_t root_of(struct groups *g, uint32_t i)
{
    while (g->values[i].parent != i)
        i = g->values[i].parent = g->values[g->values[i].parent].parent;
    return i;
}

/* What is known of either holds for both. */
static void join(struct groups *g, uint32_t a, uint32_t b)
{
    a = root_of(g, a);
    b = root_of(g, b);
    if (a == b)
        return;
    struct value *to = &g->values[a], *from = &g->values[b];
    from->parent = a;
    to->spoilt = to->spoilt || from->spoilt ||
                 (to->channels > 0 && from->channels > 0 && to->channels != from->channels);
    to->channels = to->channels > 0 ? to->channels : from->channels;
    to->made = to->made || from->made;
    to->read = to->read || from->read;
    to->dense = to->dense || from->dense;
}

static void has_channels(struct value *v, int64_t channels)
{
    v->spoilt =
        v->spoilt || channels <= 0 || channels > MAX_CHANNELS || (v->channels > 0 && v->channels != channels);
    v->channels = channels;
}

static bool conv_weights(const struct frt_onnx_model *model, uint32_t node, struct frt_onnx_shape *shape)
{
    struct frt_onnx_shape bias;
    const float *data;
    const int64_t groups = frt_onnx_model_int(model, node, "group", 1);
    const char *offset = frt_onnx_model_input(model, node, 2);
    return strcmp(frt_onnx_model_op(model, node), "Conv") == 0 &&
           frt_onnx_model_weights(model, frt_onnx_model_input(model, node, 1), shape, &data) &&
           shape->n_dims == 4 && groups > 0 && shape->dims[0] % groups == 0 &&
           (offset[0] == '\0' || (frt_onnx_model_weights(model, offset, &bias, &data) &&
                                  frt_onnx_shape_size(&bias) == shape->dims[0]));
}

/* Inputs of a node that a factor passes through; 0: none. */
static uint32_t passes_through(const struct frt_onnx_model *model, uint32_t node)
{
    static const char *const ops[] = {"Relu",    "PRelu",       "LeakyRelu",        "Identity",
                                      "MaxPool", "AveragePool", "GlobalAveragePool"};
    struct frt_onnx_tensor tensor;
    const char *op = frt_onnx_model_op(model, node);
    for (size_t i = 0; i < sizeof ops / sizeof *ops; i++)
        if (strcmp(op, ops[i]) == 0)
            return frt_onnx_model_n_outputs(model, node) == 1;
    if (strcmp(op, "Add") != 0)
        return 0;
    return frt_onnx_model_tensor(model, frt_onnx_model_input(model, node, 0), &tensor) ||
                   frt_onnx_model_tensor(model, frt_onnx_model_input(model, node, 1), &tensor)
               ? 0
               : 2;
}

static void look_at(const struct frt_onnx_model *model, struct groups *g, uint32_t node)
{
    struct frt_onnx_shape shape;
    struct frt_onnx_tensor tensor;
    const uint32_t through = passes_through(model, node);
    if (conv_weights(model, node, &shape)) {
        struct value *x = &g->values[root_of(g, value_of(g, frt_onnx_model_input(model, node, 0)))];
        has_channels(x, shape.dims[1] * frt_onnx_model_int(model, node, "group", 1));
        x->read = true;
        x->dense = x->dense || shape.dims[1] != 1;
        struct value *y = &g->values[root_of(g, value_of(g, frt_onnx_model_output(model, node, 0)))];
        has_channels(y, shape.dims[0]);
        y->made = true;
    } else if (through > 0) {
        const uint32_t y = value_of(g, frt_onnx_model_output(model, node, 0));
        for (uint32_t i = 0; i < through; i++)
            join(g, y, value_of(g, frt_onnx_model_input(model, node, i)));
    } else {
        for (uint32_t i = 0; i < frt_onnx_model_n_inputs(model, node); i++) {
            const char *name = frt_onnx_model_input(model, node, i);
            if (name[0] != '\0' && !frt_onnx_model_tensor(model, name, &tensor))
                g->values[root_of(g, value_of(g, name))].spoilt = true;
        }
        for (uint32_t i = 0; i < frt_onnx_model_n_outputs(model, node); i++)
            if (frt_onnx_model_output(model, node, i)[0] != '\0')
                g->values[root_of(g, value_of(g, frt_onnx_model_output(model, node, i)))].spoilt = true;
    }
}

static void find_groups(const struct frt_onnx_model *model, struct groups *g)
{
    struct frt_onnx_value edge;
    for (uint32_t i = 0; i < frt_onnx_model_nodes(model) && !g->overflow; i++)
        look_at(model, g, i);
    for (uint32_t i = 0; frt_onnx_model_graph_input(model, i, &edge); i++)
        g->values[root_of(g, value_of(g, edge.name))].spoilt = true;
    for (uint32_t i = 0; frt_onnx_model_graph_output(model, i, &edge); i++)
        g->values[root_of(g, value_of(g, edge.name))].spoilt = true;
}

static bool counts(struct groups *g, uint32_t i)
{
    const struct value *v = &g->values[root_of(g, i)];
    return !v->spoilt && v->made && v->read && v->channels > 0;
}

/* ------------------------------------------------------------------- scale */

/* Weights of a node under a name of their own: times the factor of their output channel, or divided by that of
 * their input channel. */
static enum frt_status scale(struct frt_onnx_model *model, uint32_t node, uint32_t input, const char *suffix,
                             const float *factors, bool by_input, struct frt_error *err)
{
    struct frt_onnx_shape shape;
    const float *data;
    char name[NAME];
    if (!frt_onnx_model_weights(model, frt_onnx_model_input(model, node, input), &shape, &data))
        return FRT_OK; /* no offset */
    const int64_t n = frt_onnx_shape_size(&shape), each = n / shape.dims[0];
    float *scaled = frt_alloc_array((size_t)n, sizeof *scaled);
    if (scaled == NULL)
        return frt_fail_nomem(err, "weights");
    if (!by_input) {
        for (int64_t i = 0; i < n; i++)
            scaled[i] = data[i] * factors[i / each];
    } else {
        const int64_t groups = frt_onnx_model_int(model, node, "group", 1), outputs = shape.dims[0] / groups,
                      inputs = shape.dims[1], taps = shape.dims[2] * shape.dims[3];
        for (int64_t i = 0; i < n; i++)
            scaled[i] = data[i] / factors[i / each / outputs * inputs + i / taps % inputs];
    }
    (void)snprintf(name, sizeof name, "%.255s/frt_%s", frt_onnx_model_output(model, node, 0), suffix);
    enum frt_status status = frt_onnx_model_add_weights(model, name, &shape, scaled, err);
    frt_free(scaled);
    return status == FRT_OK ? frt_onnx_model_set_input(model, node, input, name, err) : status;
}

/* `largest`: of each channel, over the group's values. */
static void choose_factors(const struct value *root, const float *largest, float *factors)
{
    float most = 0;
    for (int64_t c = 0; c < root->channels; c++)
        most = fmaxf(most, largest[c]);
    for (int64_t c = 0; c < root->channels; c++) {
        const float k = largest[c] > 0 ? fminf(most / largest[c], MOST) : 1;
        factors[c] = root->dense ? sqrtf(k) : k;
    }
}

static enum frt_status apply(struct frt_onnx_model *model, struct groups *g, uint32_t root,
                             const float *factors, struct frt_error *err)
{
    struct frt_onnx_shape shape;
    enum frt_status status = FRT_OK;
    for (uint32_t i = 0; i < frt_onnx_model_nodes(model) && status == FRT_OK; i++) {
        if (!conv_weights(model, i, &shape))
            continue;
        if (root_of(g, value_of(g, frt_onnx_model_output(model, i, 0))) == root) {
            status = scale(model, i, 1, "eo", factors, false, err);
            if (status == FRT_OK)
                status = scale(model, i, 2, "eb", factors, false, err);
        }
        if (status == FRT_OK && root_of(g, value_of(g, frt_onnx_model_input(model, i, 0))) == root)
            status = scale(model, i, 1, "ei", factors, true, err);
    }
    return status;
}

/* -------------------------------------------------------------- all of it */

static enum frt_status watch(struct frt_onnx_model *model, const struct frt_quantise_task *task,
                             struct frt_ranges_tensor *tensors, uint32_t n, struct frt_error *err)
{
    struct frt_quantise_task fewer = *task;
    const struct frt_compile_inputs inputs = {task->inputs->tensors,
                                              task->inputs->n < INPUTS ? task->inputs->n : INPUTS};
    uint8_t *bytes = NULL;
    size_t size = 0;
    fewer.inputs = &inputs;
    enum frt_status status = frt_onnx_model_pack(model, &bytes, &size, err);
    if (status == FRT_OK)
        status = frt_ranges_collect(bytes, size, tensors, n, &fewer, err);
    frt_free(bytes);
    return status;
}

enum frt_status frt_q_equalise(struct frt_onnx_model *model, const struct frt_quantise_task *task,
                               uint32_t *groups, struct frt_error *err)
{
    struct groups g = {.values = frt_alloc_array(MAX_VALUES, sizeof *g.values)};
    struct frt_ranges_tensor *tensors = frt_alloc_zero(MAX_VALUES, sizeof *tensors);
    float *largest = NULL, *factors = frt_alloc_array(MAX_CHANNELS, sizeof *factors);
    uint32_t n = 0, changed = 0;
    size_t room = 0;
    enum frt_status status = FRT_OK;
    if (g.values == NULL || tensors == NULL || factors == NULL) {
        status = frt_fail_nomem(err, "groups of values");
        goto done;
    }
    find_groups(model, &g);
    if (g.overflow)
        goto done;
    for (uint32_t i = 0; i < g.n; i++)
        room += counts(&g, i) ? (size_t)g.values[root_of(&g, i)].channels : 0;
    if (room == 0)
        goto done;
    largest = frt_alloc_zero(room, sizeof *largest);
    if (largest == NULL) {
        status = frt_fail_nomem(err, "channels");
        goto done;
    }
    room = 0;
    for (uint32_t i = 0; i < g.n; i++) {
        if (!counts(&g, i))
            continue;
        const int64_t channels = g.values[root_of(&g, i)].channels;
        tensors[n++] = (struct frt_ranges_tensor){
            .name = g.values[i].name, .channels = largest + room, .n_channels = (uint32_t)channels};
        room += (size_t)channels;
    }
    status = watch(model, task, tensors, n, err);
    for (uint32_t root = 0; root < g.n && status == FRT_OK; root++) {
        if (root_of(&g, root) != root || !counts(&g, root))
            continue;
        float *most = NULL; /* the first value's take the others' in */
        for (uint32_t i = 0; i < n; i++) {
            if (root_of(&g, value_of(&g, tensors[i].name)) != root)
                continue;
            for (uint32_t c = 0; most != NULL && c < tensors[i].n_channels; c++)
                most[c] = fmaxf(most[c], tensors[i].channels[c]);
            most = most != NULL ? most : tensors[i].channels;
        }
        if (most == NULL)
            continue;
        choose_factors(&g.values[root], most, factors);
        status = apply(model, &g, root, factors, err);
        changed++;
    }
    if (status == FRT_OK)
        (void)frt_onnx_model_drop_unread_weights(model);
done:
    frt_free(g.values);
    frt_free(tensors);
    frt_free(largest);
    frt_free(factors);
    if (status == FRT_OK)
        *groups = changed;
    return status;
}
