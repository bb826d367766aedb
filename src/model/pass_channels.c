/*
 * Channels between two layers that are not whole blocks of the runtime's layout → filled up with channels of
 * zeros:
 *
 *     Conv (… → C) ─ activation ─ depthwise Conv over C ─ activation ─ Conv (C → …)       C → the next multiple
 * of 16
 *
 * The runtime takes a depthwise convolution out of the blocked layout when its channels are not whole blocks,
 * and everything beside it, too; pruned nets (MiniFASNet) have 13, 26, 52 or 103. The new channels are made by
 * zeros and read with zeros, so that whatever an activation makes of them counts for nothing. Nobody else may
 * read what lies between the two layers.
 */
#include <stdio.h>
#include <string.h>

#include "core/mem.h"
#include "model/layer_weights.h"
#include "model/passes.h"

enum {
    BLOCK = 16,  /* channels of the runtime's blocks with AVX-512; a multiple of those with less */
    MOST = 4096, /* channels */
    LONGEST = 12 /* nodes between the two layers */
};

/* What is to be padded: dimension `dim` of a node's weights, C → the whole blocks. */
struct change {
    uint32_t node, input, dim;
    bool group; /* and the node's groups */
};

struct chain {
    int64_t channels;
    struct change changes[2 * LONGEST + 4];
    uint32_t n;
    bool pays; /* a depthwise convolution or a PReLU is part of it */
};

static void add(struct chain *chain, uint32_t node, uint32_t input, uint32_t dim, bool group)
{
    chain->changes[chain->n++] = (struct change){node, input, dim, group};
}

/* The node that alone reads a value, as its first input. */
static bool only_reader(const struct frt_onnx_model *model, const char *value, uint32_t *node)
{
    if (value[0] == '\0' || frt_onnx_model_readers(model, value) != 1 || frt_onnx_model_is_output(model, value))
        return false;
    for (uint32_t i = 0; i < frt_onnx_model_nodes(model); i++) {
        if (strcmp(frt_onnx_model_input(model, i, 0), value) == 0) {
            *node = i;
            return true;
        }
    }
    return false;
}

static bool has_bias(const struct frt_onnx_model *model, uint32_t node)
{
    return frt_onnx_model_input(model, node, 2)[0] != '\0';
}

/* A PReLU of one slope a channel, or one for all: false where it is another. */
static bool add_prelu(const struct frt_onnx_model *model, uint32_t node, struct chain *chain)
{
    struct frt_onnx_shape shape;
    const float *data;
    if (!frt_onnx_model_weights(model, frt_onnx_model_input(model, node, 1), &shape, &data))
        return false;
    chain->pays = true;
    if (frt_onnx_shape_size(&shape) == 1)
        return true;
    const uint32_t dim = shape.n_dims == 4 ? 1 : 0;
    if (frt_onnx_shape_size(&shape) != chain->channels || shape.n_dims < 3 || shape.n_dims > 4 ||
        shape.dims[dim] != chain->channels)
        return false;
    add(chain, node, 1, dim, false);
    return true;
}

static bool is_activation(const char *op)
{
    static const char *const ops[] = {"Relu", "LeakyRelu", "Clip", "Sigmoid", "Tanh", "Elu", "HardSigmoid"};
    for (size_t i = 0; i < sizeof ops / sizeof *ops; i++)
        if (strcmp(ops[i], op) == 0)
            return true;
    return false;
}

/* From a layer's output to the layer that reads it: what is to be padded. False: the way ends elsewhere. */
static bool follow(const struct frt_onnx_model *model, uint32_t first, struct chain *chain)
{
    uint32_t node = first;
    add(chain, first, 1, 0, false);
    if (has_bias(model, first))
        add(chain, first, 2, 0, false);
    for (int steps = 0; steps < LONGEST; steps++) {
        struct frt_layer layer;
        if (!only_reader(model, frt_onnx_model_output(model, node, 0), &node))
            return false;
        const char *op = frt_onnx_model_op(model, node);
        if (is_activation(op))
            continue;
        if (strcmp(op, "PRelu") == 0) {
            if (!add_prelu(model, node, chain))
                return false;
            continue;
        }
        if (strcmp(op, "Conv") != 0 || !frt_layer_read(model, node, &layer) || layer.inputs != chain->channels)
            return false;
        if (layer.groups == 1) { /* the end */
            add(chain, node, 1, 1, false);
            return chain->pays;
        }
        if (layer.groups != chain->channels || layer.outputs != chain->channels)
            return false;
        chain->pays = true;
        add(chain, node, 1, 0, true);
        if (has_bias(model, node))
            add(chain, node, 2, 0, false);
    }
    return false;
}

static enum frt_status pad(struct frt_onnx_model *model, const struct change *change, int64_t channels,
                           struct frt_error *err)
{
    struct frt_onnx_shape shape;
    const float *data;
    char name[FRT_ONNX_MODEL_MAX_NAME + 16];
    const int64_t whole = (channels + BLOCK - 1) / BLOCK * BLOCK;
    size_t outer = 1, inner = 1;
    if (!frt_onnx_model_weights(model, frt_onnx_model_input(model, change->node, change->input), &shape, &data))
        return frt_fail(err, FRT_EINTERNAL, "weights that were there");
    for (uint32_t i = 0; i < change->dim; i++)
        outer *= (size_t)shape.dims[i];
    for (uint32_t i = change->dim + 1; i < shape.n_dims; i++)
        inner *= (size_t)shape.dims[i];
    float *padded = frt_alloc_zero(outer * (size_t)whole * inner, sizeof *padded);
    if (padded == NULL)
        return frt_fail_nomem(err, "weights");
    for (size_t o = 0; o < outer; o++)
        memcpy(padded + o * (size_t)whole * inner, data + o * (size_t)channels * inner,
               (size_t)channels * inner * sizeof *padded);
    shape.dims[change->dim] = whole;
    frt_fresh_name(model, frt_onnx_model_output(model, change->node, 0), "frt_p", name);
    enum frt_status status = frt_onnx_model_add_weights(model, name, &shape, padded, err);
    frt_free(padded);
    if (status == FRT_OK)
        status = frt_onnx_model_set_input(model, change->node, change->input, name, err);
    if (status == FRT_OK && change->group)
        (void)frt_onnx_model_set_int(model, change->node, "group", whole);
    return status;
}

enum frt_status frt_pass_channels(struct frt_onnx_model *model, uint32_t *changed, struct frt_error *err)
{
    enum frt_status status = FRT_OK;
    for (uint32_t i = 0; status == FRT_OK && i < frt_onnx_model_nodes(model); i++) {
        struct frt_layer layer;
        if (strcmp(frt_onnx_model_op(model, i), "Conv") != 0 || !frt_layer_read(model, i, &layer) ||
            layer.groups != 1 || layer.outputs % BLOCK == 0 || layer.outputs > MOST)
            continue;
        struct chain chain = {.channels = layer.outputs};
        if (!follow(model, i, &chain))
            continue;
        for (uint32_t k = 0; status == FRT_OK && k < chain.n; k++)
            status = pad(model, &chain.changes[k], chain.channels, err);
        (*changed)++;
    }
    return status;
}
